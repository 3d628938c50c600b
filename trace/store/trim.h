/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a recorder does to other captures, or to the beginning of its own: deletes the oldest events in steps, and
 * closes what a dead recorder left. Counts and check sums stay right, so a replay takes the rest neither as damaged nor
 * as complete: where events were deleted there is a mark, a lost event with cause "retention".
 *
 * All calls must be in a transaction of the store (store_begin()). For the capture that the store has open,
 * store_capture_resume() must follow.
 */
#ifndef IOFLUSH_TRACE_STORE_TRIM_H
#define IOFLUSH_TRACE_STORE_TRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/store/store.h"

#define STORE_TRIM_CAUSE "retention"
#define STORE_TRIM_NOTE "events before first_t were deleted by retention"

struct store_trimmed {
	uint64_t events; /* deleted, without the marks of earlier steps */
	bool gone;	 /* nothing is left of a capture that is not being recorded: it was deleted, too */
};

/*
 * Deletes the oldest events of a capture: at most max rows, and only those with t < before_t. A mark replaces them: a
 * lost event at the time of the last of them, which counts all records deleted so far, including those that deleted
 * lost events stood for. If one of these had an unknown count, another mark with an unknown count comes before it. 0,
 * or -1 and the error: roll back.
 */
int store_trim(struct store *s, uint64_t capture, uint64_t before_t, size_t max, struct store_trimmed *out,
	       struct error *e);

/* Sets state and note of a capture. A note of retention is kept. 0, or -1 and the error: roll back. */
int store_capture_close(struct store *s, uint64_t capture, const char *state, const char *note, struct error *e);

#endif
