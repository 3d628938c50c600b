/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Retention: deletes the oldest events, by age and by size, and returns their space to the file system. One step is one
 * small transaction: its rows are bounded, and so is its time, as a slow step makes the next one smaller. The writer
 * does steps between its batches, without effect on the queue.
 *
 * The oldest events are those of the oldest capture. (For an imported one only the size counts: nothing tells its age.)
 * Age goes by the wall clock, so a night's sleep counts. A capture that another process is recording is left alone.
 * What is left of a capture notes that its beginning is missing (trace/store/trim.h); an empty one is deleted. Strings
 * and tasks that no event refers to are swept when as many events were deleted as are left: reading those is cheap if
 * done rarely.
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

/* All zero at first. */
struct retention {
	size_t rows;	  /* of the next step */
	uint64_t deleted; /* events deleted since the last sweep of strings and tasks */
	struct store_sweep sweep;
};

struct retention_limits {
	uint64_t age_ns;   /* 0: none */
	uint64_t size;	   /* 0: none: of the database and its log */
	uint64_t log_size; /* size of the log now */
	uint64_t log_most; /* what it has at most, unless a reader holds it; only that much of it is counted, as deleting
			    * rows would not make it smaller */
};

struct retention_done {
	uint64_t events; /* deleted */
	bool of_current; /* some of them were in the current capture */
	bool more;	 /* there is more to do */
};

/* Forgets what is in progress. */
void retention_clear(struct retention *r);

/* One step, outside a transaction. current: the capture open in the store. 0, or -1 and the error: nothing was done. */
int retention_step(struct retention *r, struct store *s, uint64_t current, const struct recorder *self,
		   const struct retention_limits *limits, struct retention_done *done, struct error *e);

#endif
