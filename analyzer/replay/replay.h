/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over a source: its captures, each into a fresh model. A thread reads and decodes a few batches ahead, while
 * the model runs on the caller's thread; the result does not depend on that.
 */
#ifndef IOFLUSH_ANALYZER_REPLAY_REPLAY_H
#define IOFLUSH_ANALYZER_REPLAY_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"
#include "base/budget.h"
#include "base/error.h"
#include "trace/source.h"

struct replay {
	const struct policy_set *set;
	const struct model_observer *obs; /* or NULL */
	struct budget *memory;		  /* of the models and their observers; NULL: no bound */
	bool allow_partial;		  /* if input breaks off: report what there is, as a part */
	uint64_t capture;		  /* only this capture of a database; 0: all */
	bool until;			  /* only events up to the time to; if one is left out, the capture is a part */
	uint64_t to;
	struct file_id file;  /* the trace must be this file; not known: any */
	const char *progress; /* a title: show progress on standard error if it is a terminal; NULL: never */

	/*
	 * Called for a capture that cannot be replayed completely, if that is an error; then the replay goes on with
	 * the next. NULL: the replay ends there.
	 */
	void (*left_out)(void *ctx, const struct source *s, const struct capture *c, const struct error *why);

	/* Each may be NULL. A return value other than 0 stops the replay and becomes its result. */
	int (*begin)(void *ctx, struct source *s, const struct capture *c, struct model *m);
	/* instead of model_events(); errors are reported with their place */
	int (*batch)(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e);
	/* partial: NULL, or why the events are not all there (place included) */
	int (*end)(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial);
	void *ctx;
};

/*
 * Replays all captures of the trace at path. 0, or -1 and the error (also if there is no capture, or not the requested
 * one), or what a callback returned. Without allow_partial, input that breaks off is an error, and so is a capture
 * whose state is "partial". "recording" and "cut-off" are no errors: all that was committed is there.
 */
int replay_run(const struct replay *r, const char *path, struct error *e);

#endif
