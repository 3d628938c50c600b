/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of the capture side, and its only file that knows libevent. It says when to drain the buffers, when a
 * second has passed, and when a signal came; the owner acts on that.
 *
 * Drains are coalesced: a buffer that becomes readable asks for one drain, no earlier than LOOP_MIN_INTERVAL_US after
 * the previous one ended, and is watched again only when that drain is over. So a fast flood costs a few drains a
 * second, not one per page, and a buffer that stays readable does not make the loop spin. A timer asks for drains, too,
 * because on some kernels poll on the buffers reports nothing.
 */
#ifndef IOFLUSH_DAEMON_CAPTURE_LOOP_H
#define IOFLUSH_DAEMON_CAPTURE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LOOP_MIN_INTERVAL_US 10000 /* rest between two drains that poll asked for */

struct loop_ops {
	void *ctx;
	bool (*drain)(void *ctx); /* true: there is more, call again at once (after signals) */
	void (*tick)(void *ctx);  /* once a second */
	void (*reload)(void *ctx);
	void (*stop)(void *ctx, int signal); /* SIGTERM or SIGINT; once */
};

struct loop;

/* Catches SIGTERM, SIGINT and SIGHUP from now on; loop_run() acts on them. NULL and the error. */
struct loop *loop_new(const struct loop_ops *ops, uint64_t drain_interval_ms, struct error *e);
void loop_free(struct loop *l); /* NULL is fine */

/*
 * Watches a buffer under a number (its CPU). The loop keeps a duplicate of the descriptor, so the owner may close its
 * own at any time. A number that is watched already is replaced. 0 or -1.
 */
int loop_watch(struct loop *l, unsigned number, int fd, struct error *e);
void loop_unwatch(struct loop *l, unsigned number); /* unknown numbers are fine */

int loop_set_interval(struct loop *l, uint64_t drain_interval_ms, struct error *e);

/* Runs until loop_stop(). 0, or -1: the loop itself failed. */
int loop_run(struct loop *l, struct error *e);
void loop_stop(struct loop *l);

#endif
