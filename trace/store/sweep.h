/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deletes strings and tasks that no event refers to any more, after retention deleted events. Only the events tell
 * which these are, so a sweep reads all events, in steps of a bounded number of rows, and marks what is in use. Then it
 * deletes, in such steps, what existed at its start and has no mark. Before it deletes, each step reads, in the same
 * transaction, the events that came since the last step, so that nothing in use is deleted.
 *
 * Numbers only rise, however few rows are left. One sweep covers a bounded range of them, the next sweep the range
 * behind it, until it starts again at the lowest.
 *
 * Any other writer sees that the database changed, and forgets the numbers in its caches (known.c).
 */
#ifndef IOFLUSH_TRACE_STORE_SWEEP_H
#define IOFLUSH_TRACE_STORE_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/store/store.h"

/* Marks of what is in use: one bit per number. */
struct store_marks {
	uint8_t *bits;
	size_t room;	/* how many numbers have bits */
	uint64_t first; /* of the range */
	uint64_t last;	/* of it: one that was there at the start */
	uint64_t next;	/* to be looked at */
	uint64_t from;	/* where the range of the next sweep begins; 0: at the lowest number */
};

/* All zero at first: no sweep has begun. */
struct store_sweep {
	bool running;
	uint64_t next_event;
	struct store_marks task, string;
};

/*
 * One step, not in a transaction; begins a sweep if there is none. It reads at most this many rows, and checks as many
 * for deletion. Meanwhile only this process may delete events, and must report it below. 1: there is more to do, 0: the
 * sweep has ended, or -1 and the error: the next step begins a new sweep.
 */
int store_sweep_step(struct store_sweep *w, struct store *s, size_t rows, struct error *e);

/*
 * store_trim() deleted events: numbers after the last remaining one may be used again, and what its mark refers to is
 * in use. 0, or -1 and the error: the sweep has ended.
 */
int store_sweep_trimmed(struct store_sweep *w, struct store *s, struct error *e);

/* Ends a sweep in progress. */
void store_sweep_clear(struct store_sweep *w);

#endif
