/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line on standard error that shows the progress of long work: title, events, rate and share done. It is shown only
 * on a terminal, at most five times a second, and cleared at the end.
 *
 * For programs that run ioflush: with IOFLUSH_PROGRESS=lines in the environment it is lines "progress SHARE EVENTS",
 * share from 0 to 1, or "-" when unknown.
 */
#ifndef IOFLUSH_ANALYZER_REPLAY_PROGRESS_H
#define IOFLUSH_ANALYZER_REPLAY_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *title;
	uint64_t events;
	int64_t start, shown; /* ns of the monotonic clock */
	bool on;	      /* standard error is a terminal or lines are asked for, and a title was given */
	bool lines;
	bool dirty; /* something is on the line */
};

/* title: what is being worked on; NULL: show nothing. It must stay valid until progress_end(). */
void progress_begin(struct progress *p, const char *title);

/* Whether it is time to show something: ask before computing a share. */
bool progress_due(struct progress *p, uint64_t new_events);

/* share: 0 to 1, or negative when unknown. */
void progress_show(struct progress *p, double share);

/* Clears the line. */
void progress_end(struct progress *p);

#endif
