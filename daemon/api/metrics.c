/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /metrics: the counters as text that Prometheus reads (exposition format 0.0.4). Names end in their unit; counters in
 * _total; times are seconds, sizes bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif

struct metrics {
	const struct ring_stats *ring;
	const struct writer_stats *writer;
	const uint64_t *kinds;	  /* events by kind; NULL: not counted */
	const uint64_t *requests; /* answers by status */
	size_t statuses;
	uint64_t uptime_ms;
	unsigned replays_running, replays_waiting;
	bool healthy;
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* How often something happened and how long all of it took: a summary without quantiles. */
static void times(FILE *out, const char *name, const char *help, uint64_t count, uint64_t ns)
{
	head(out, name, "summary", help);
	fprintf(out, "%s_sum %.9f\n%s_count %" PRIu64 "\n", name, (double)ns / 1e9, name, count);
}

static void put_capture(FILE *out, const struct metrics *m)
{
	const struct ring_stats *r = m->ring;
	struct live_loss loss[LOSSES];

	one(out, "ioflush_ring_pages_total", "counter", "Ring buffer pages read.", r->pages);
	one(out, "ioflush_records_total", "counter", "Records read from the ring buffers.", r->records);
	one(out, "ioflush_other_records_total", "counter", "Records that are no events by design.", r->other);
	one(out, "ioflush_recorded_events_total", "counter", "Events that the records gave.", r->events);
	one(out, "ioflush_drains_total", "counter", "Times that the ring buffers were drained.", r->drains);
	if (m->kinds) {
		head(out, "ioflush_events_total", "counter", "Events by kind.");
		for (unsigned k = 0; k < EV_KINDS; k++) {
			if (event_table[k].name)
				fprintf(out, "ioflush_events_total{kind=\"%s\"} %" PRIu64 "\n", event_table[k].name,
					m->kinds[k]);
		}
	}
	live_losses(r, m->writer, loss);
	head(out, "ioflush_lost_records_total", "counter", "Records lost, by cause, as far as counted.");
	for (int i = 0; i < LOSSES; i++)
		fprintf(out, "ioflush_lost_records_total{cause=\"%s\"} %" PRIu64 "\n", loss[i].cause, loss[i].records);
	one(out, "ioflush_lost_unknown_total", "counter", "Places where an unknown number of records was lost.",
	    r->lost_unknown);
}

static void put_names(FILE *out, const struct metrics *m)
{
	head(out, "ioflush_unnamed_events_total", "counter",
	     "Events without the name of their command or device: no room for it in memory or in the database, or in doubt.");
	fprintf(out,
		"ioflush_unnamed_events_total{why=\"memory\"} %" PRIu64
		"\nioflush_unnamed_events_total{why=\"database\"} %" PRIu64
		"\nioflush_unnamed_events_total{why=\"doubt\"} %" PRIu64 "\n",
		m->ring->unnamed, m->writer->unnamed, m->ring->doubtful_names);
}

static void put_writer(FILE *out, const struct writer_stats *w)
{
	one(out, "ioflush_queue_events", "gauge", "Events between the drain and the writer.", w->queued);
	one(out, "ioflush_queue_events_max", "gauge", "Most events that were in the queue since the start.",
	    w->queue_max);
	one(out, "ioflush_rows_total", "counter", "Rows written to the database.", w->rows);
	times(out, "ioflush_batch_seconds", "Time to write a batch of rows, its commit included.", w->batches,
	      w->batch_ns_sum);
	times(out, "ioflush_commit_seconds", "Time to commit a batch.", w->commits, w->commit_ns_sum);
	head(out, "ioflush_commit_seconds_max", "gauge", "The longest commit since the start.");
	fprintf(out, "ioflush_commit_seconds_max %.9f\n", (double)w->commit_ns_max / 1e9);
	one(out, "ioflush_log_syncs_total", "counter",
	    "Syncs of the write-ahead log beside those of commits and checkpoints.", w->log_syncs);
	one(out, "ioflush_log_sync_failures_total", "counter", "Such syncs that failed.", w->log_sync_failures);
	one(out, "ioflush_batch_failures_total", "counter", "Batches that the database refused.", w->failures);
	one(out, "ioflush_database_failing", "gauge", "1 while the database takes no rows.", w->failing[0] != '\0');
	one(out, "ioflush_database_bytes", "gauge", "Size of the database and its write-ahead log.", w->db_bytes);
	one(out, "ioflush_retention_deleted_events_total", "counter", "Events deleted by retention.",
	    w->retained_deleted);
}

static void put_service(FILE *out, const struct metrics *m)
{
	head(out, "ioflush_build_info", "gauge", "1; the version is the label.");
	fprintf(out, "ioflush_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	head(out, "ioflush_uptime_seconds", "gauge", "Time since the start.");
	fprintf(out, "ioflush_uptime_seconds %.3f\n", (double)m->uptime_ms / 1000);
	one(out, "ioflush_healthy", "gauge", "1 if /healthz says ok.", m->healthy);
	head(out, "ioflush_replays", "gauge", "Replays that are not done.");
	fprintf(out, "ioflush_replays{state=\"running\"} %u\nioflush_replays{state=\"queued\"} %u\n",
		m->replays_running, m->replays_waiting);
	head(out, "ioflush_api_requests_total", "counter", "API requests answered, by status.");
	for (size_t i = 0; i < m->statuses; i++) {
		if (m->requests[i])
			fprintf(out, "ioflush_api_requests_total{status=\"%zu\"} %" PRIu64 "\n", i, m->requests[i]);
	}
}

/* malloc'ed; NULL: out of memory. */
static char *metrics_text(const struct metrics *m, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	put_service(out, m);
	put_capture(out, m);
	put_names(out, m);
	put_writer(out, m->writer);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

int api_get_metrics(struct call *c)
{
	struct api *a = c->api;
	char cause[LIVE_CAUSES][320];
	uint64_t kinds[EV_KINDS] = {0};
	struct writer_stats w;
	struct ring_stats r;
	struct metrics m = {.ring = &r,
			    .writer = &w,
			    .requests = a->requests,
			    .statuses = STATUS_SLOTS,
			    .uptime_ms = clock_ms() - a->started_ms};

	if (call_params_end(c))
		return -1;
	live_stats(a, &r, &w);
	if (a->live.kinds) {
		a->live.kinds(a->live.ctx, kinds);
		m.kinds = kinds;
	}
	m.healthy = !live_causes(a, &r, &w, cause);
	jobs_count(a->jobs, &m.replays_running, &m.replays_waiting);
	c->type = "text/plain; version=0.0.4; charset=utf-8";
	c->text = metrics_text(&m, &c->text_len);
	return c->text ? 0 : call_no_memory(c);
}
