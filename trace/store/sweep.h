/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deletes strings and tasks that no event refers to any more, once retention has deleted those that did. Nothing says which
 * these are but the events themselves, so a sweep reads all of them, in steps of a bounded number of rows, and marks what
 * is in use; then it deletes, in such steps, what was there at its start and got no mark. Each step that deletes reads
 * first, in its transaction, the events that came since the last, so that nothing in use goes.
 *
 * Numbers only rise, however few rows are left. A sweep looks at a bounded range of them, and the next one at the range
 * behind it, until it is the turn of the lowest again.
 *
 * Whoever else writes into the database finds it changed, and forgets the numbers it knows (see write.c).
 */
#ifndef IOFLUSH_TRACE_STORE_SWEEP_H
#define IOFLUSH_TRACE_STORE_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/store/store.h"

/* What is in use, by number: a bit each. */
struct store_marks {
	uint8_t *bits;
	size_t room;	/* numbers that there are bits for */
	uint64_t first; /* of the range */
	uint64_t last;	/* of it: one that was there at the start */
	uint64_t next;	/* to be looked at */
	uint64_t from;	/* where the range of the next sweep begins; 0: at the lowest number */
};

/* Zeroed: none is under way, none ever was. */
struct store_sweep {
	bool running;
	uint64_t next_event;
	struct store_marks task, string;
};

/*
 * One step, not in a transaction, of a sweep that is begun by it if need be: at most so many rows are read, and as many
 * looked at for deletion. Only one process may delete events meanwhile: this one, which tells of it below. 1: there is
 * more to do, 0: it has come to its end, or -1 and the error: the next one begins anew.
 */
int store_sweep_step(struct store_sweep *w, struct store *s, size_t rows, struct error *e);

/*
 * Events were deleted by store_trim(): numbers after the last that is left may come again, and what its mark refers to is in
 * use. 0, or -1 and the error: the sweep has ended.
 */
int store_sweep_trimmed(struct store_sweep *w, struct store *s, struct error *e);

/* Ends what is under way. */
void store_sweep_clear(struct store_sweep *w);

#endif
