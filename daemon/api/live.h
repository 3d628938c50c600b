/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is live: the counters of the recorder, how fast they go, and whether anything is wrong. */
#ifndef IOFLUSH_DAEMON_API_LIVE_H
#define IOFLUSH_DAEMON_API_LIVE_H

#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/capture/ring.h"
#include "daemon/record/writer.h"
#include "trace/losses.h"

/* The live counters, zeros where nobody gives them. */
void live_stats(const struct api *a, struct ring_stats *r, struct writer_stats *w);
void live_sample(struct api *a, const struct ring_stats *r, const struct writer_stats *w);

/* What was lost by cause, as the live counters say it; the same names everywhere. */
struct live_loss {
	const char *cause;
	uint64_t records;
};
void live_losses(const struct ring_stats *r, const struct writer_stats *w, struct live_loss out[LOSSES]);

/* Why recording does not work now, one a cause; how many. */
#define LIVE_CAUSES 4
size_t live_causes(struct api *a, const struct ring_stats *r, const struct writer_stats *w, char cause[LIVE_CAUSES][320]);

/* Puts the same into an object, with a status. Whether there is none. */
bool live_put_health(struct json *into, struct api *a, const struct ring_stats *r, const struct writer_stats *w);

#endif
