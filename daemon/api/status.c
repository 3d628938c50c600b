/* /v1/status: what is recorded now, how fast, what was lost, and whether anything is wrong. */
#include "base/child.h"
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"
#include "daemon/probes/priv.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif

static json_t *rate(uint64_t now, uint64_t then, uint64_t ms)
{
	return json_real(ms && now >= then ? (double)(now - then) * 1000 / (double)ms : 0);
}

/* Since the oldest sample: ten seconds ago, or the start. */
static json_t *rates_json(const struct api *a, const struct ring_stats *r, const struct writer_stats *w)
{
	const struct rate_sample *s = &a->sample[a->samples < RATE_SAMPLES ? 0 : a->samples % RATE_SAMPLES];
	uint64_t ms = child_now_ms() - s->ms;

	return json_pack("{s:o, s:o, s:o, s:o}", "seconds", json_real((double)ms / 1000), "records_per_second",
			 rate(r->records, s->records, ms), "events_per_second", rate(r->events, s->events, ms),
			 "rows_per_second", rate(w->rows, s->rows, ms));
}

static json_t *losses_json(const struct ring_stats *r, const struct writer_stats *w)
{
	json_t *by_cause = json_object();
	struct live_loss loss[LIVE_LOSSES];
	uint64_t sum = 0;

	live_losses(r, w, loss);
	for (int i = 0; i < LIVE_LOSSES; i++) {
		json_object_set_new(by_cause, loss[i].cause, json_number(loss[i].records));
		sum += loss[i].records;
	}
	return json_pack("{s:o, s:o, s:o}", "records", json_number(sum), "unknown", json_number(r->lost_unknown),
			 "by_cause", by_cause);
}

static json_t *names_json(const struct ring_stats *r, const struct writer_stats *w)
{
	return json_pack("{s:o, s:o, s:o}", "not_kept", json_number(r->unnamed), "not_stored", json_number(w->unnamed),
			 "doubtful", json_number(r->doubtful_names));
}

static json_t *probes_json(const struct priv_armed *armed)
{
	json_t *all = json_array();

	for (size_t i = 0; armed && i < armed->nevents; i++) {
		const struct armed_event *v = &armed->event[i];

		json_array_append_new(all, json_pack("{s:o, s:o, s:o, s:o, s:o}", "event", json_text(v->name),
						     "alternative", v->alt < 0 ? json_null() : json_integer(v->alt),
						     "probe", json_text(v->alt < 0 ? NULL : v->line), "lost",
						     json_text(v->lost), "refused", json_text(v->refused)));
	}
	return all;
}

static json_t *capture_now_json(const struct ring_stats *r, const struct writer_stats *w)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", json_number(w->capture), "pages",
			 json_number(r->pages), "records", json_number(r->records), "events", json_number(r->events),
			 "other_records", json_number(r->other), "drains", json_number(r->drains), "last_t",
			 json_number(r->last_t));
}

static json_t *queue_json(const struct writer_stats *w)
{
	return json_pack("{s:o, s:o}", "events", json_number(w->queued), "max", json_number(w->queue_max));
}

static json_t *database_json(const struct api *a, const struct writer_stats *w)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "path", json_text(a->db_path), "bytes",
			 json_number(w->db_bytes), "rows", json_number(w->rows), "batches", json_number(w->batches),
			 "commits", json_number(w->commits), "failures", json_number(w->failures), "failing",
			 json_text(w->failing[0] ? w->failing : NULL), "displaced",
			 json_text(w->displaced[0] ? w->displaced : NULL), "deleted_by_retention",
			 json_number(w->retained_deleted));
}

int api_get_status(struct call *c)
{
	struct api *a = c->api;
	struct ring_stats r;
	struct writer_stats w;
	json_t *health;
	bool well;

	if (call_params_end(c))
		return -1;
	live_stats(a, &r, &w);
	health = live_health_json(a, &r, &w, &well);
	c->json = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", PACKAGE_VERSION,
			    "uptime_seconds", json_number((child_now_ms() - a->started_ms) / 1000), "health", health,
			    "capture", capture_now_json(&r, &w), "rates", rates_json(a, &r, &w), "queue",
			    queue_json(&w), "losses", losses_json(&r, &w), "names", names_json(&r, &w), "database",
			    database_json(a, &w), "probes", probes_json(a->live.armed));
	return c->json ? 0 : call_no_memory(c);
}
