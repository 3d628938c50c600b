/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One way through: a source's captures, each into a fresh model. The source is read and decoded on a thread of its own,
 * a few batches ahead, while the model runs on the caller's; the result does not depend on that.
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
	struct budget *memory;		  /* of the models, and of whoever keeps what they tell; NULL: no bound */
	bool allow_partial;		  /* input that breaks off: report what there is, as a part */
	uint64_t capture;		  /* only this capture of a database; 0: all */
	bool until; /* only events up to the time to; where one was left out, the capture is a part */
	uint64_t to;
	struct file_id file;  /* the trace must be this one; not known: whatever lies at the path */
	const char *progress; /* a title: show progress on standard error if it is a terminal; NULL: never */

	/*
	 * A capture that cannot be replayed whole, where that is an error: told of it, the replay goes on with the next.
	 * NULL: the replay ends there.
	 */
	void (*left_out)(void *ctx, const struct source *s, const struct capture *c, const struct error *why);

	/* Each may be NULL; not 0 stops the replay with that as the result. */
	int (*begin)(void *ctx, struct source *s, const struct capture *c, struct model *m);
	/* in place of model_events(), whose errors are said with the place */
	int (*batch)(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e);
	/* partial: NULL, or why the events are not all there (place included) */
	int (*end)(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial);
	void *ctx;
};

/*
 * Replays all captures of the trace at path. 0, or -1 and the error (also when a source has no capture at all, or
 * not the one asked for), or what a callback returned. Without allow_partial, input that breaks off is an error, and so
 * is a capture whose state is "partial"; a capture still "recording" or "cut-off" is not: all that was committed is there.
 */
int replay_run(const struct replay *r, const char *path, struct error *e);

#endif
