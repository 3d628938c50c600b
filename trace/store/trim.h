/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a recorder does to captures that are not its own, or to the beginning of its own: deleting the oldest events in
 * steps, and closing what a dead recorder left. Counts and check sums of the captures stay right, so that a replay never
 * takes what is left for damage, nor for the whole: where events were deleted lies a mark, a lost event of cause "retention".
 *
 * All calls belong into a transaction of the store (store_begin()). For the capture that the store has open,
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
	bool gone;	 /* nothing was left of a capture that is not being recorded: it was deleted, too */
};

/*
 * Deletes the oldest events of a capture: at most max rows, and only such with t < before_t. In their place comes a mark, a
 * lost event at the time of the last of them that counts all records that were deleted so far (those that lost events
 * among them stood for included), and, if one of these did not know how many, before it another one that does not either.
 * 0, or -1 and the error: roll back.
 */
int store_trim(struct store *s, uint64_t capture, uint64_t before_t, size_t max, struct store_trimmed *out,
	       struct error *e);

/* Sets state and note of a capture. A note that retention left stays with it. 0, or -1 and the error: roll back. */
int store_capture_close(struct store *s, uint64_t capture, const char *state, const char *note, struct error *e);

#endif
