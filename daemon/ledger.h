/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log says about a running capture: losses, names that are not kept, a database that takes no rows, its
 * recovery. A change is logged at most once per HEALTH_INTERVAL_S and kind, with the sum since the last log line; never
 * per event.
 */
#ifndef IOFLUSH_DAEMON_LEDGER_H
#define IOFLUSH_DAEMON_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/capture/ring.h"
#include "daemon/record/writer.h"
#include "trace/losses.h"

#define HEALTH_INTERVAL_S 60

/* The causes of trace/losses.h come first. */
enum health_cause { HEALTH_UNKNOWN = LOSSES, HEALTH_NAMES, HEALTH_CAUSES };

struct health {
	uint64_t said[HEALTH_CAUSES];	/* counts when they were logged last */
	uint64_t loss_due, failing_due; /* seconds: not logged again before */
	uint64_t lost_database;		/* lost events when the failure was logged */
	bool failing;			/* as last logged */
};

/* Logs what changed. now_s: seconds of any clock that does not step. */
void health_update(struct health *h, uint64_t now_s, const struct ring_stats *r, const struct writer_stats *w);

/* Logs what was lost after it was said last, as at the end of a capture. Whether there was any. */
bool health_say_losses(struct health *h, const struct ring_stats *r, const struct writer_stats *w);

/* Records lost so far, by any cause; without places of unknown count. */
uint64_t health_lost(const struct ring_stats *r, const struct writer_stats *w);

#endif
