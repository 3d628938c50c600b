/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/status: what is recorded now, how fast, what was lost, and whether anything is wrong. */
#include "base/clock.h"
#include "base/number.h"
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"
#include "daemon/probes/priv.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif

static void put_rate(struct json *into, const char *key, uint64_t now, uint64_t then, uint64_t ms)
{
	json_put_real(into, key, ms && now >= then ? (double)(now - then) * 1000 / (double)ms : 0);
}

/* Since the oldest sample: ten seconds ago, or the start. */
static void put_rates(struct json *into, const struct api *a, const struct ring_stats *r, const struct writer_stats *w)
{
	const struct rate_sample *s = &a->sample[a->samples < RATE_SAMPLES ? 0 : a->samples % RATE_SAMPLES];
	uint64_t ms = clock_ms() - s->ms;

	json_put_real(into, "seconds", (double)ms / 1000);
	put_rate(into, "records_per_second", r->records, s->records, ms);
	put_rate(into, "events_per_second", r->events, s->events, ms);
	put_rate(into, "rows_per_second", w->rows, s->rows, ms);
}

static void put_losses(struct json *into, const struct ring_stats *r, const struct writer_stats *w)
{
	struct live_loss loss[LOSSES];
	struct json *by_cause;
	uint64_t sum = 0;

	live_losses(r, w, loss);
	for (int i = 0; i < LOSSES; i++)
		sum = number_sum(sum, loss[i].records);
	json_put_u64(into, "records", sum);
	json_put_u64(into, "unknown", r->lost_unknown);
	by_cause = json_put_object(into, "by_cause");
	for (int i = 0; i < LOSSES; i++)
		json_put_u64(by_cause, loss[i].cause, loss[i].records);
}

static void put_names(struct json *into, const struct ring_stats *r, const struct writer_stats *w)
{
	json_put_u64(into, "not_kept", r->unnamed);
	json_put_u64(into, "not_stored", w->unnamed);
	json_put_u64(into, "doubtful", r->doubtful_names);
}

static void put_probes(struct json *into, const struct priv_armed *armed)
{
	for (size_t i = 0; armed && i < armed->nevents; i++) {
		const struct armed_event *v = &armed->event[i];
		struct json *one = json_put_object(into, NULL);

		json_put_text(one, "event", v->name);
		json_put_known(one, "alternative", v->alt >= 0, (uint64_t)v->alt);
		json_put_text(one, "probe", v->alt < 0 ? NULL : v->line);
		json_put_text(one, "lost", v->lost);
		json_put_text(one, "refused", v->refused);
	}
}

static void put_capture(struct json *into, const struct ring_stats *r, const struct writer_stats *w)
{
	json_put_u64(into, "id", w->capture);
	json_put_u64(into, "pages", r->pages);
	json_put_u64(into, "records", r->records);
	json_put_u64(into, "events", r->events);
	json_put_u64(into, "other_records", r->other);
	json_put_u64(into, "drains", r->drains);
	json_put_u64(into, "last_t", r->last_t);
}

static void put_queue(struct json *into, const struct writer_stats *w)
{
	json_put_u64(into, "events", w->queued);
	json_put_u64(into, "max", w->queue_max);
}

static void put_database(struct json *into, const struct api *a, const struct writer_stats *w)
{
	json_put_text(into, "path", a->db_path);
	json_put_u64(into, "bytes", w->db_bytes);
	json_put_u64(into, "rows", w->rows);
	json_put_u64(into, "batches", w->batches);
	json_put_u64(into, "commits", w->commits);
	json_put_u64(into, "failures", w->failures);
	json_put_text(into, "failing", w->failing[0] ? w->failing : NULL);
	json_put_text(into, "displaced", w->displaced[0] ? w->displaced : NULL);
	json_put_u64(into, "deleted_by_retention", w->retained_deleted);
}

int api_get_status(struct call *c)
{
	struct api *a = c->api;
	struct ring_stats r;
	struct writer_stats w;

	if (call_params_end(c))
		return -1;
	live_stats(a, &r, &w);
	c->json = json_new_object();
	json_put_text(c->json, "version", PACKAGE_VERSION);
	json_put_u64(c->json, "uptime_seconds", (clock_ms() - a->started_ms) / 1000);
	live_put_health(json_put_object(c->json, "health"), a, &r, &w);
	put_capture(json_put_object(c->json, "capture"), &r, &w);
	put_rates(json_put_object(c->json, "rates"), a, &r, &w);
	put_queue(json_put_object(c->json, "queue"), &w);
	put_losses(json_put_object(c->json, "losses"), &r, &w);
	put_names(json_put_object(c->json, "names"), &r, &w);
	put_database(json_put_object(c->json, "database"), a, &w);
	put_probes(json_put_array(c->json, "probes"), a->live.armed);
	return 0;
}
