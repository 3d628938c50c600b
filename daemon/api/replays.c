/*
 * See replays.h. A replay needs the capture from its beginning, so a range can only end it early. One of a capture
 * that is still being recorded ends where the capture is when it is asked for: its report and its findings, which are
 * made later, then speak of the same events.
 */
#include "daemon/api/replays.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/api/impl.h"

#define KEPT 64
#define GAPS_WAIT_MS 10000
#define GAPS_LIMIT 100
#define GAPS_LIMIT_MAX 1000
#define MAX_CYCLES 1000000000
#define MAX_MHZ 1000000

enum replay_state { QUEUED, RUNNING, DONE, FAILED };

struct job {
	struct job *next; /* newer */
	char id[24], location[48];
	enum replay_state state;
	uint64_t capture, to;
	bool until;
	char file[FILE_ID_TEXT]; /* the database */
	char *policies;
	uint64_t cycles, mhz; /* 0: as ioflush has it */
	bool has_cycles;
	int64_t created, started, ended; /* seconds since 1970; 0: not yet */
	struct child *child;
	double progress;
	json_t *result;
	char *failure; /* NULL: it did not fail */
};

struct replays {
	char *program, *db_path;
	uint64_t max;
	struct child_limits limits;
	struct job *jobs; /* oldest first */
	size_t n;
	uint64_t next_id;
	unsigned running, waiting;
};

struct replays *replays_new(const char *program, const char *db_path, uint64_t max, const struct child_limits *limits)
{
	struct replays *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->program = strdup(program);
	r->db_path = strdup(db_path);
	r->max = max;
	r->limits = *limits;
	/* ids of an earlier run of the daemon do not come again */
	r->next_id = (uint64_t)time(NULL) << 20;
	if (r->program && r->db_path)
		return r;
	replays_free(r);
	return NULL;
}

static void job_free(struct replays *r, struct job *j)
{
	if (j->state == RUNNING)
		r->running--;
	if (j->state == QUEUED)
		r->waiting--;
	child_free(j->child);
	json_decref(j->result);
	free(j->policies);
	free(j->failure);
	free(j);
}

void replays_free(struct replays *r)
{
	struct job *j;

	if (!r)
		return;
	while ((j = r->jobs)) {
		r->jobs = j->next;
		job_free(r, j);
	}
	free(r->program);
	free(r->db_path);
	free(r);
}

void replays_count(const struct replays *r, unsigned *running, unsigned *waiting)
{
	*running = r->running;
	*waiting = r->waiting;
}

static struct job **find(struct replays *r, const char *id)
{
	struct job **p;

	for (p = &r->jobs; *p; p = &(*p)->next) {
		if (!strcmp((*p)->id, id))
			return p;
	}
	return NULL;
}

static void unlink_job(struct replays *r, struct job **p)
{
	struct job *j = *p;

	*p = j->next;
	r->n--;
	job_free(r, j);
}

/* The oldest that has ended makes room. Those that have not are far fewer than are kept, so there is one. */
static void make_room(struct replays *r)
{
	struct job **p;

	for (p = &r->jobs; r->n >= KEPT && *p;) {
		if ((*p)->state == DONE || (*p)->state == FAILED)
			unlink_job(r, p);
		else
			p = &(*p)->next;
	}
}

/* ---- running ---- */

static void job_fail(struct job *j, const char *why)
{
	j->state = FAILED;
	j->failure = strdup(why);
	j->ended = time(NULL);
}

static void start(struct replays *r, struct job *j)
{
	char capture[24], to[24], cycles[24], mhz[24];
	const char *args[24];
	struct error e = {""};
	size_t n = 0;

	args[n++] = r->program;
	args[n++] = "replay";
	args[n++] = "--format=json";
	args[n++] = "--allow-partial";
	args[n++] = "--capture";
	args[n++] = capture;
	args[n++] = "--policy";
	args[n++] = j->policies;
	if (j->until) {
		args[n++] = "--to";
		args[n++] = to;
	}
	if (j->has_cycles) {
		args[n++] = "--cycles-per-page";
		args[n++] = cycles;
	}
	if (j->mhz) {
		args[n++] = "--cpu-mhz";
		args[n++] = mhz;
	}
	args[n++] = "--inode";
	args[n++] = j->file;
	args[n++] = "--";
	args[n++] = r->db_path;
	args[n] = NULL;
	snprintf(capture, sizeof(capture), "%" PRIu64, j->capture);
	snprintf(to, sizeof(to), "%" PRIu64, j->to);
	snprintf(cycles, sizeof(cycles), "%" PRIu64, j->cycles);
	snprintf(mhz, sizeof(mhz), "%" PRIu64, j->mhz);
	r->waiting--;
	j->started = time(NULL);
	j->child = child_start((char *const *)args, &r->limits, &e);
	if (!j->child) {
		job_fail(j, e.text);
		return;
	}
	j->state = RUNNING;
	r->running++;
}

static void take_result(struct job *j)
{
	char *text;
	size_t len;

	if (child_failure(j->child)) {
		job_fail(j, child_failure(j->child));
		return;
	}
	text = child_output(j->child, &len);
	j->result = text ? json_loadb(text, len, 0, NULL) : NULL;
	free(text);
	if (!j->result) {
		job_fail(j, "what 'ioflush replay' printed is not understood");
		return;
	}
	j->state = DONE;
	j->progress = 1;
	j->ended = time(NULL);
}

bool replays_tick(struct replays *r)
{
	for (struct job *j = r->jobs; j; j = j->next) {
		if (j->state == RUNNING && child_poll(j->child)) {
			r->running--;
			take_result(j);
			child_free(j->child);
			j->child = NULL;
		}
		if (j->state == QUEUED && r->running < r->max)
			start(r, j);
	}
	return r->running || r->waiting;
}

/* ---- what is said of one ---- */

static json_t *time_json(int64_t t)
{
	struct tm tm;
	char text[32];
	time_t tt = t;

	if (!t || !gmtime_r(&tt, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

static json_t *job_json(const struct job *j, bool whole)
{
	static const char *const names[] = {
		[QUEUED] = "queued", [RUNNING] = "running", [DONE] = "done", [FAILED] = "failed"};
	double progress = j->state == RUNNING ? child_progress(j->child) : j->progress;
	json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", j->id, "state",
				 names[j->state], "progress", progress < 0 ? json_null() : json_real(progress),
				 "capture", json_number(j->capture), "to", j->until ? json_number(j->to) : json_null(),
				 "policies", json_text(j->policies), "created", time_json(j->created), "started",
				 time_json(j->started), "ended", time_json(j->ended), "error",
				 json_text(j->state == FAILED && !j->failure ? "out of memory" : j->failure));

	if (json && whole && json_object_set(json, "result", j->result ? j->result : json_null())) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

int api_get_replays(struct call *c)
{
	json_t *all = json_array();

	if (call_params_end(c)) {
		json_decref(all);
		return -1;
	}
	for (const struct job *j = c->api->replays->jobs; j; j = j->next)
		json_array_append_new(all, job_json(j, false));
	c->json = json_pack("{s:o}", "replays", all);
	return c->json ? 0 : call_no_memory(c);
}

/* The replay that the path names, or NULL and the error. */
static struct job **find_job(struct call *c)
{
	struct job **p = find(c->api->replays, c->id);

	if (!p)
		call_fail(c, 404, "not-found", NULL, "there is no replay '%s'", c->id);
	return p;
}

int api_get_replay(struct call *c)
{
	struct job **p;

	if (call_params_end(c))
		return -1;
	p = find_job(c);
	if (!p)
		return -1;
	c->json = job_json(*p, true);
	return c->json ? 0 : call_no_memory(c);
}

int api_delete_replay(struct call *c)
{
	struct job **p;

	if (call_params_end(c))
		return -1;
	p = find_job(c);
	if (!p)
		return -1;
	unlink_job(c->api->replays, p);
	c->status = 204;
	return 0;
}

/* ---- POST: the request is checked whole before anything is made of it ---- */

static int unknown_member(struct call *c, json_t *object, const char *prefix, const char *const known[])
{
	const char *key;
	json_t *value;
	char *field;
	size_t i;

	json_object_foreach(object, key, value) {
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

/* A number, or text with one. Absent or null: *given is false. */
static int take_u64(struct call *c, json_t *v, const char *field, uint64_t min, uint64_t max, uint64_t *out, bool *given)
{
	json_int_t n;

	*given = v && !json_is_null(v);
	if (!*given)
		return 0;
	n = json_integer_value(v);
	if (json_is_integer(v) && n >= 0 && (uint64_t)n >= min && (uint64_t)n <= max) {
		*out = (uint64_t)n;
		return 0;
	}
	if (json_is_string(v) && !parse_u64(json_string_value(v), min, max, out))
		return 0;
	return call_fail(c, 422, "bad-field", field, "'%s' must be a whole number from %" PRIu64 " to %" PRIu64, field,
			 min, max);
}

/* NAME[:key=value]...: nothing that could be a path or another option. */
static bool policy_word_ok(const char *s, size_t len)
{
	if (!len || s[0] < 'a' || s[0] > 'z')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:=.", s[i]) || !s[i])
			return false;
	}
	return true;
}

static int check_policy(struct call *c, const char *field, const char *s, size_t len)
{
	size_t name = 0;

	if (!policy_word_ok(s, len))
		return call_fail(c, 422, "bad-field", field, "%s is no name of a policy", call_quote(s, len).text);
	while (name < len && s[name] != ':')
		name++;
	if ((len != 3 || strncmp(s, "all", 3)) && !api_policy_known(c->api, s, name))
		return call_fail(c, 422, "unknown-policy", field, "there is no policy %s; /v1/policies lists them",
				 call_quote(s, name).text);
	return 0;
}

/* Adds a text to the list; i: how many were added before. */
static int add_policies(struct call *c, char list[POLICY_LIST_MAX], size_t i, const char *text)
{
	size_t n = strlen(list);
	int len = snprintf(list + n, POLICY_LIST_MAX - n, "%s%s", i ? "," : "", text);

	if (len >= 0 && (size_t)len < POLICY_LIST_MAX - n)
		return 0;
	return call_fail(c, 422, "bad-field", "policies", "'policies' is longer than %d bytes", POLICY_LIST_MAX - 1);
}

/* Text with commas, or an array of names; into out, with commas. */
static int take_policies(struct call *c, json_t *v, char out[POLICY_LIST_MAX])
{
	bool given = v && !json_is_null(v);
	json_t *one;
	size_t i;

	out[0] = '\0';
	if (given && !json_is_string(v) && !json_array_size(v))
		return call_fail(c, 422, "bad-field", "policies", "'policies' must be an array of names, or one text");
	if (!json_is_array(v) && add_policies(c, out, 0, given ? json_string_value(v) : c->api->policies))
		return -1;
	json_array_foreach(v, i, one) {
		if (!json_is_string(one) || strchr(json_string_value(one), ','))
			return call_fail(c, 422, "bad-field", "policies", "'policies' must be an array of names");
		if (add_policies(c, out, i, json_string_value(one)))
			return -1;
	}
	for (const char *s = out;; s++) {
		size_t len = strcspn(s, ",");

		if (check_policy(c, "policies", s, len))
			return -1;
		s += len;
		if (!*s)
			return 0;
	}
}

static int take_cost(struct call *c, json_t *v, struct job *j)
{
	static const char *const known[] = {"cycles_per_page", "cpu_mhz", NULL};
	bool given;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return call_fail(c, 422, "bad-field", "cost", "'cost' must be an object");
	if (unknown_member(c, v, "cost.", known))
		return -1;
	if (take_u64(c, json_object_get(v, "cycles_per_page"), "cost.cycles_per_page", 0, MAX_CYCLES, &j->cycles,
		     &j->has_cycles))
		return -1;
	return take_u64(c, json_object_get(v, "cpu_mhz"), "cost.cpu_mhz", 1, MAX_MHZ, &j->mhz, &given);
}

struct range {
	uint64_t from;
	bool has_from;
};

static int take_range(struct call *c, json_t *v, struct job *j, struct range *r)
{
	static const char *const known[] = {"from", "to", NULL};

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return call_fail(c, 422, "bad-field", "range", "'range' must be an object");
	if (unknown_member(c, v, "range.", known) ||
	    take_u64(c, json_object_get(v, "from"), "range.from", 0, INT64_MAX, &r->from, &r->has_from))
		return -1;
	return take_u64(c, json_object_get(v, "to"), "range.to", 0, INT64_MAX, &j->to, &j->until);
}

/* Looks the capture up, and whether the range is one that can be replayed. */
static int check_capture(struct call *c, struct job *j, const struct range *r)
{
	struct api_capture row;
	struct error e = {""};
	int got = call_database(c, &e) ? -1 : api_db_capture(c->api->db, j->capture, &row, &e);

	if (got < 0) {
		call_fail(c, 503, "database", NULL, "%s", e.text);
		c->error.retry_after = 1;
		return -1;
	}
	if (!got)
		return call_fail(c, 422, "no-capture", "capture", "there is no such capture");
	j->capture = row.id;
	api_db_file(c->api->db, j->file);
	if (r->has_from && r->from > row.first_t && row.events)
		call_fail(c, 422, "bad-range", "range.from",
			  "a replay needs the capture from its beginning (t=%" PRIu64
			  "): what was mapped before is part of every later state; leave 'from' out",
			  row.first_t);
	else if (j->until && row.events && j->to < row.first_t)
		call_fail(c, 422, "bad-range", "range.to", "nothing was recorded before t=%" PRIu64, row.first_t);
	if (!j->until && !strcmp(row.state, "recording") && row.events) {
		j->until = true;
		j->to = row.last_t;
	}
	api_capture_clear(&row);
	return c->error.status ? -1 : 0;
}

static int parse_request(struct call *c, struct job *j)
{
	static const char *const known[] = {"capture", "range", "policies", "cost", NULL};
	char policies[POLICY_LIST_MAX];
	struct range range = {0};
	json_error_t je;
	json_t *body;
	bool given;
	int ret = -1;

	body = json_loadb(c->q->body ? c->q->body : "", c->q->body_len, JSON_REJECT_DUPLICATES, &je);
	if (!body)
		return call_fail(c, 400, "bad-json", NULL, "the body is not JSON: %s (line %d, column %d)", je.text,
				 je.line, je.column);
	if (!json_is_object(body)) {
		call_fail(c, 400, "bad-json", NULL, "the body must be a JSON object");
		goto out;
	}
	if (unknown_member(c, body, "", known) ||
	    take_u64(c, json_object_get(body, "capture"), "capture", 1, INT64_MAX, &j->capture, &given) ||
	    take_range(c, json_object_get(body, "range"), j, &range) ||
	    take_policies(c, json_object_get(body, "policies"), policies) ||
	    take_cost(c, json_object_get(body, "cost"), j) || check_capture(c, j, &range))
		goto out;
	j->policies = strdup(policies);
	ret = j->policies ? 0 : call_no_memory(c);
out:
	json_decref(body);
	return ret;
}

int api_post_replay(struct call *c)
{
	struct replays *r = c->api->replays;
	struct job *j, **end;

	if (call_params_end(c))
		return -1;
	if (!r->max)
		return call_fail(c, 403, "replays-off", NULL,
				 "this service makes no replays (replay-max = 0); run 'ioflush replay' on the database");
	if (r->running + r->waiting >= 2 * r->max) {
		call_fail(c, 429, "too-many-replays", NULL, "%u replays run and %u wait: no more at once", r->running,
			  r->waiting);
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
	make_room(r);
	snprintf(j->id, sizeof(j->id), "0x%" PRIx64, ++r->next_id);
	snprintf(j->location, sizeof(j->location), "/v1/replays/%s", j->id);
	j->created = time(NULL);
	for (end = &r->jobs; *end; end = &(*end)->next)
		;
	*end = j;
	r->n++;
	r->waiting++;
	c->status = 202;
	c->location = j->location;
	c->json = job_json(j, true);
	return c->json ? 0 : call_no_memory(c);
}

/* ---- findings ---- */

/* As ioflush prints it, which is JSON already. */
static int make_gaps(struct call *c, const char *text, size_t len)
{
	c->text = malloc(len + 1);
	if (!c->text)
		return call_no_memory(c);
	memcpy(c->text, text, len + 1);
	c->text_len = len;
	return 0;
}

static int check_kinds(struct call *c, const char *kinds)
{
	static const char *const known[] = {"leak", "reexpose", "release", "access"};
	size_t i;

	for (const char *s = kinds;; s++) {
		size_t len = strcspn(s, ",");

		for (i = 0; i < 4 && (strlen(known[i]) != len || strncmp(known[i], s, len)); i++)
			;
		if (i == 4)
			return call_fail(c, 400, "bad-parameter", "kind",
					 "'kind' is leak, reexpose, release, access, or some of them with commas");
		s += len;
		if (!*s)
			return 0;
	}
}

static int check_one_policy(struct call *c, const char *policy)
{
	if (!policy)
		return call_fail(c, 400, "bad-parameter", "policy", "'policy' is needed: findings are of one policy");
	if (!strcmp(policy, "all") || strchr(policy, ','))
		return call_fail(c, 400, "bad-parameter", "policy", "findings are of one policy");
	if (check_policy(c, "policy", policy, strlen(policy))) {
		c->error.status = 400;
		return -1;
	}
	return 0;
}

int api_get_gaps(struct call *c)
{
	const char *policy = call_param(c, "policy"), *kind = call_param(c, "kind");
	char capture[24], to[24], limit_text[24];
	uint64_t limit = GAPS_LIMIT, version = 0;
	struct api_capture row;
	struct error e = {""};
	const struct job *j;
	struct job **p;

	if (call_param_u64(c, "limit", 1, GAPS_LIMIT_MAX, &limit, NULL) || call_params_end(c))
		return -1;
	p = find_job(c);
	if (!p || check_one_policy(c, policy) || (kind && check_kinds(c, kind)))
		return -1;
	j = *p;
	if (!call_database(c, &e) && api_db_capture(c->api->db, j->capture, &row, &e) > 0) {
		version = row.last_event;
		api_capture_clear(&row);
	}
	snprintf(capture, sizeof(capture), "%" PRIu64, j->capture);
	snprintf(to, sizeof(to), "%" PRIu64, j->until ? j->to : UINT64_MAX);
	snprintf(limit_text, sizeof(limit_text), "%" PRIu64, limit);
	{
		const char *const args[] = {"gaps",
					    "--format=json",
					    "--allow-partial",
					    "--capture",
					    capture,
					    "--to",
					    to,
					    "--limit",
					    limit_text,
					    "--policy",
					    policy,
					    "--kind",
					    kind ? kind : "leak,reexpose,release,access",
					    "--inode",
					    j->file,
					    "--",
					    c->api->db_path,
					    NULL};

		return call_ask(c, args, version, GAPS_WAIT_MS, make_gaps);
	}
}
