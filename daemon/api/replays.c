/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /v1/replays: what was requested, its progress, its result. A replay needs the capture from the beginning, so a range
 * can only end it early. If the capture is still being recorded, the replay ends at its last event at the time of the
 * request, so that its report and its findings, which are made later, cover the same events.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define MAX_CYCLES 1000000000
#define MAX_MHZ 1000000

/* ---- one replay as JSON ---- */

static void put_time(struct json *into, const char *key, int64_t t)
{
	struct tm tm;
	char text[32];
	time_t tt = t;
	bool is = t && gmtime_r(&tt, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

	json_put_text(into, key, is ? text : NULL);
}

static void put_job(struct json *into, const struct job *j)
{
	static const char *const names[] = {
		[JOB_QUEUED] = "queued", [JOB_RUNNING] = "running", [JOB_DONE] = "done", [JOB_FAILED] = "failed"};
	double progress = j->state == JOB_RUNNING ? child_progress(j->child) : j->progress;

	json_put_text(into, "id", j->id);
	json_put_text(into, "state", names[j->state]);
	if (progress < 0)
		json_put_null(into, "progress");
	else
		json_put_real(into, "progress", progress);
	json_put_u64(into, "capture", j->capture);
	json_put_known(into, "to", j->until, j->to);
	json_put_text(into, "policies", j->policies);
	put_time(into, "created", j->created);
	put_time(into, "started", j->started);
	put_time(into, "ended", j->ended);
	json_put_text(into, "error", j->state == JOB_FAILED && !j->failure ? "out of memory" : j->failure);
}

/* With its result, which is passed on unchanged. */
static struct json *whole_job(const struct job *j)
{
	struct json *json = json_new_object();

	put_job(json, j);
	json_put_compact(json, "result", j->result ? j->result : "null");
	return json;
}

int api_get_replays(struct call *c)
{
	struct json *all;

	if (call_params_end(c))
		return -1;
	c->json = json_new_object();
	all = json_put_array(c->json, "replays");
	for (const struct job *j = jobs_first(c->api->jobs); j; j = j->next)
		put_job(json_put_object(all, NULL), j);
	return 0;
}

/* The replay of a path that takes no parameters; NULL and the error. */
static struct job *only_job(struct call *c)
{
	return call_params_end(c) ? NULL : call_job(c);
}

int api_get_replay(struct call *c)
{
	struct job *j = only_job(c);

	if (!j)
		return -1;
	c->json = whole_job(j);
	return 0;
}

int api_delete_replay(struct call *c)
{
	struct job *j = only_job(c);

	if (!j)
		return -1;
	jobs_remove(c->api->jobs, j);
	c->status = 204;
	return 0;
}

/* ---- POST: the whole request is checked before anything is made ---- */

static int unknown_member(struct call *c, const struct json *object, const char *prefix, const char *const known[])
{
	char *field;
	size_t i;

	for (const struct json *v = json_first(object); v; v = json_next(v)) {
		const char *key = json_key(v);

		for (i = 0; known[i] && strcmp(known[i], key); i++)
			;
		if (known[i])
			continue;
		if (asprintf(&field, "%s%s", prefix, key) < 0)
			return call_no_memory(c);
		call_fail(c, 422, "unknown-field", field, "unknown member %s", call_quote(key, strlen(key)).text);
		free(field);
		return -1;
	}
	return 0;
}

/* A number, or a text with one. Absent or null: *given is false. */
static int take_u64(struct call *c, const struct json *v, const char *field, uint64_t min, uint64_t max, uint64_t *out,
		    bool *given)
{
	uint64_t n;

	*given = v && !json_is_null(v);
	if (!*given)
		return 0;
	if (json_get_u64(v, &n) || n < min || n > max)
		return call_fail(c, 422, "bad-field", field, "'%s' must be a whole number from %" PRIu64 " to %" PRIu64,
				 field, min, max);
	*out = n;
	return 0;
}

/* Adds a text to the list; i: how many it has. */
static int add_policies(struct call *c, char list[POLICY_LIST_MAX], size_t i, const char *text)
{
	size_t n = strlen(list);
	int len = snprintf(list + n, POLICY_LIST_MAX - n, "%s%s", i ? "," : "", text);

	if (len >= 0 && (size_t)len < POLICY_LIST_MAX - n)
		return 0;
	return call_fail(c, 422, "bad-field", "policies", "'policies' is longer than %d bytes", POLICY_LIST_MAX - 1);
}

/* A text with commas, or an array of names, into out with commas. */
static int take_policies(struct call *c, const struct json *v, char out[POLICY_LIST_MAX])
{
	bool given = v && !json_is_null(v);
	const struct json *first = json_is_array(v) ? json_first(v) : NULL;
	size_t i = 0;

	out[0] = '\0';
	if (given && !json_is_string(v) && !first)
		return call_fail(c, 422, "bad-field", "policies", "'policies' must be an array of names, or one text");
	if (!first && add_policies(c, out, 0, given ? json_get_text(v) : c->api->policies))
		return -1;
	for (const struct json *one = first; one; one = json_next(one)) {
		if (!json_is_string(one) || strchr(json_get_text(one), ','))
			return call_fail(c, 422, "bad-field", "policies", "'policies' must be an array of names");
		if (add_policies(c, out, i++, json_get_text(one)))
			return -1;
	}
	for (const char *s = out;; s++) {
		size_t len = strcspn(s, ",");

		if (call_check_policy(c, "policies", s, len))
			return -1;
		s += len;
		if (!*s)
			return 0;
	}
}

static int take_cost(struct call *c, const struct json *v, struct job *j)
{
	static const char *const known[] = {"cycles_per_page", "cpu_mhz", NULL};
	bool given;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return call_fail(c, 422, "bad-field", "cost", "'cost' must be an object");
	if (unknown_member(c, v, "cost.", known))
		return -1;
	if (take_u64(c, json_get(v, "cycles_per_page"), "cost.cycles_per_page", 0, MAX_CYCLES, &j->cycles, &j->has_cycles))
		return -1;
	return take_u64(c, json_get(v, "cpu_mhz"), "cost.cpu_mhz", 1, MAX_MHZ, &j->mhz, &given);
}

struct range {
	uint64_t from;
	bool has_from;
};

static int take_range(struct call *c, const struct json *v, struct job *j, struct range *r)
{
	static const char *const known[] = {"from", "to", NULL};

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return call_fail(c, 422, "bad-field", "range", "'range' must be an object");
	if (unknown_member(c, v, "range.", known) ||
	    take_u64(c, json_get(v, "from"), "range.from", 0, INT64_MAX, &r->from, &r->has_from))
		return -1;
	return take_u64(c, json_get(v, "to"), "range.to", 0, INT64_MAX, &j->to, &j->until);
}

/* Finds the capture, and checks that the range can be replayed. */
static int check_capture(struct call *c, struct job *j, const struct range *r)
{
	struct capture_row row;
	struct error e = {""};
	int got = call_database(c, &e) ? -1 : api_db_capture(c->api->db, j->capture, &row, &e);

	if (got < 0)
		return call_db_fail(c, &e);
	if (!got)
		return call_fail(c, 422, "no-capture", "capture", "there is no such capture");
	j->capture = row.c.id;
	api_db_file(c->api->db, j->file);
	if (r->has_from && r->from > row.first_t && row.events)
		call_fail(c, 422, "bad-range", "range.from",
			  "a replay needs the capture from its beginning (t=%" PRIu64
			  "): what was mapped before is part of every later state; leave 'from' out",
			  row.first_t);
	else if (j->until && row.events && j->to < row.first_t)
		call_fail(c, 422, "bad-range", "range.to", "nothing was recorded before t=%" PRIu64, row.first_t);
	if (!j->until && !strcmp(row.c.state, "recording") && row.events) {
		j->until = true;
		j->to = row.last_t;
	}
	return c->error.status ? -1 : 0;
}

static int parse_request(struct call *c, struct job *j)
{
	static const char *const known[] = {"capture", "range", "policies", "cost", NULL};
	char policies[POLICY_LIST_MAX];
	struct range range = {0};
	struct error e = {""};
	struct json *body;
	bool given;
	int ret = -1;

	body = json_read(c->q->body ? c->q->body : "", c->q->body_len, &e);
	if (!body)
		return call_fail(c, 400, "bad-json", NULL, "the body is not JSON: %s", e.text);
	if (!json_is_object(body)) {
		call_fail(c, 400, "bad-json", NULL, "the body must be a JSON object");
		goto out;
	}
	if (unknown_member(c, body, "", known) ||
	    take_u64(c, json_get(body, "capture"), "capture", 1, INT64_MAX, &j->capture, &given) ||
	    take_range(c, json_get(body, "range"), j, &range) || take_policies(c, json_get(body, "policies"), policies) ||
	    take_cost(c, json_get(body, "cost"), j) || check_capture(c, j, &range))
		goto out;
	j->policies = strdup(policies);
	ret = j->policies ? 0 : call_no_memory(c);
out:
	json_free(body);
	return ret;
}

int api_post_replay(struct call *c)
{
	struct jobs *jobs = c->api->jobs;
	unsigned running, waiting;
	struct job *j;

	if (call_params_end(c))
		return -1;
	if (!jobs_max(jobs))
		return call_fail(c, 403, "replays-off", NULL,
				 "this service makes no replays (replay-max = 0); run 'ioflush replay' on the database");
	jobs_count(jobs, &running, &waiting);
	if (running + waiting >= 2 * jobs_max(jobs)) {
		call_fail(c, 429, "too-many-replays", NULL, "%u replays run and %u wait: no more at once", running,
			  waiting);
		c->error.retry_after = 5;
		return -1;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return call_no_memory(c);
	if (parse_request(c, j)) {
		free(j);
		return -1;
	}
	jobs_add(jobs, j);
	c->status = 202;
	c->location = j->location;
	c->json = whole_job(j);
	return 0;
}
