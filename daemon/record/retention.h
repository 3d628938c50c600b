/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Retention: the oldest events go first, by age and by size, and the space of their rows goes back to the file system.
 * One step is one small transaction; its rows are bounded, and so is its time: a step that took long makes the next one
 * smaller. So the writer does steps between its batches, and the queue does not feel them.
 *
 * The oldest are those of the oldest capture (which may be imported; only its size counts then, as nothing says how old it
 * is). Age goes by the wall clock, so that a night's sleep counts. A capture that is being recorded by others is left alone. What is left of one says that its beginning is missing
 * (trace/store/trim.h); one without events is deleted. Strings and tasks that only deleted events referred to are swept away
 * when as many events were deleted as are left: reading them is cheap if done rarely.
 */
#ifndef IOFLUSH_DAEMON_RECORD_RETENTION_H
#define IOFLUSH_DAEMON_RECORD_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/record/recorder.h"
#include "trace/store/store.h"
#include "trace/store/sweep.h"

/* Zeroed: as at first. */
struct retention {
	size_t rows;	  /* of the next step */
	uint64_t deleted; /* events, since strings and tasks were swept last */
	struct store_sweep sweep;
};

struct retention_limits {
	uint64_t age_ns;   /* 0: none */
	uint64_t size;	   /* 0: none: of the database and its log */
	uint64_t log_size; /* what the log has now */
	uint64_t log_most; /* what it has at most, unless a reader holds it; only that much of it is counted, as deleting
			    * rows would not make it smaller */
};

struct retention_done {
	uint64_t events; /* deleted */
	bool of_current; /* some of them were of the present capture */
	bool more;	 /* there is more to do */
};

/* Forgets what is under way. */
void retention_clear(struct retention *r);

/* One step, not in a transaction. current: the capture that the store has open. 0, or -1 and the error: nothing was done. */
int retention_step(struct retention *r, struct store *s, uint64_t current, const struct recorder *self,
		   const struct retention_limits *limits, struct retention_done *done, struct error *e);

#endif
