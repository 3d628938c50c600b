/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The live state: the recorder's counters, their rates, and whether anything is wrong. */
#ifndef IOFLUSH_DAEMON_API_LIVE_H
#define IOFLUSH_DAEMON_API_LIVE_H

#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/capture/ring.h"
#include "daemon/record/writer.h"
#include "trace/losses.h"

/* The live counters; zeros if there are none. */
void live_stats(const struct api *a, struct ring_stats *r, struct writer_stats *w);
void live_sample(struct api *a, const struct ring_stats *r, const struct writer_stats *w);

/* Losses by cause, from the live counters; the same names everywhere. */
struct live_loss {
	const char *cause;
	uint64_t records;
};
void live_losses(const struct ring_stats *r, const struct writer_stats *w, struct live_loss out[LOSSES]);

/* The reasons why recording does not work now. Returns how many. */
#define LIVE_CAUSES 4
size_t live_causes(struct api *a, const struct ring_stats *r, const struct writer_stats *w, char cause[LIVE_CAUSES][320]);

/* Puts these into an object, with a status. Returns whether there is no reason. */
bool live_put_health(struct json *into, struct api *a, const struct ring_stats *r, const struct writer_stats *w);

#endif
