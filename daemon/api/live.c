/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See live.h. */
#include "daemon/api/live.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/api/call.h"

#define SAMPLE_MS 1000
#define STALL_INTERVALS 20 /* drain intervals without a drain: the capture is stalled */
#define STALL_MIN_MS 5000

void live_stats(const struct api *a, struct ring_stats *r, struct writer_stats *w)
{
	memset(r, 0, sizeof(*r));
	memset(w, 0, sizeof(*w));
	if (a->live.capture)
		a->live.capture(a->live.ctx, r);
	if (a->live.writer)
		a->live.writer(a->live.ctx, w);
}

void live_losses(const struct ring_stats *r, const struct writer_stats *w, struct live_loss out[LOSSES])
{
	const struct live_loss all[LOSSES] = {
#define RING_LOSS(ID, id, name, ...) {name, r->lost_##id},
#define WRITER_LOSS(ID, id, name, ...) {name, w->lost_##id},
#include "schema/losses.def"
	};

	memcpy(out, all, sizeof(all));
}

void live_sample(struct api *a, const struct ring_stats *r, const struct writer_stats *w)
{
	uint64_t now = clock_ms();
	const struct rate_sample *last = &a->sample[(a->samples + RATE_SAMPLES - 1) % RATE_SAMPLES];

	if (r->drains != a->drains || !a->live.capture) {
		a->drains = r->drains;
		a->drains_ms = now;
	}
	if (a->samples && now - last->ms < SAMPLE_MS)
		return;
	a->sample[a->samples++ % RATE_SAMPLES] =
		(struct rate_sample){.ms = now, .records = r->records, .events = r->events, .rows = w->rows};
}

size_t live_causes(struct api *a, const struct ring_stats *r, const struct writer_stats *w, char cause[LIVE_CAUSES][320])
{
	uint64_t stall = STALL_INTERVALS * a->live.drain_interval(a->live.ctx);
	uint64_t still;
	size_t n = 0;

	live_sample(a, r, w);
	still = clock_ms() - a->drains_ms;
	if (w->failing[0])
		snprintf(cause[n++], 320, "the database takes no rows: %s", w->failing);
	if (w->displaced[0])
		snprintf(cause[n++], 320, "%s", w->displaced);
	if (still > (stall > STALL_MIN_MS ? stall : STALL_MIN_MS))
		snprintf(cause[n++], 320, "the ring buffers were not drained for %llu s",
			 (unsigned long long)(still / 1000));
	if (r->changed)
		snprintf(cause[n++], 320, "somebody else has changed how the kernel records; the log says what");
	return n;
}

bool live_put_health(struct json *into, struct api *a, const struct ring_stats *r, const struct writer_stats *w)
{
	char cause[LIVE_CAUSES][320];
	size_t n = live_causes(a, r, w, cause);
	struct json *causes;

	json_put_text(into, "status", n ? "failing" : "ok");
	causes = json_put_array(into, "causes");
	for (size_t i = 0; i < n; i++)
		json_put_text(causes, NULL, cause[i]);
	return !n;
}
