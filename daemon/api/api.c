/*
 * The API's frame: routes, parameters, errors, answers that come later. What each path answers is in status.c,
 * captures.c, events.c, state.c and replays.c; metrics.c has the Prometheus text.
 *
 * Everything runs on one thread, and nothing waits: the database is asked with bounds, and what takes longer is a process
 * (query.h, replays.h) whose end api_tick() sees.
 */
#include "daemon/api/api.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "daemon/api/impl.h"

#define TICK_BUSY_MS 20
#define TICK_IDLE_MS 1000
#define QUERY_MEMORY (1ull << 30)
#define QUERY_TIMEOUT_MS 120000
#define QUERY_OUTPUT (4ull << 20)
#define POLICIES_WAIT_MS 5000

/* ---- errors ---- */

static void make_error(struct api_response *r, int status, const char *code, const char *message, const char *field)
{
	static const char no_memory[] =
		"{\"error\":{\"code\":\"no-memory\",\"message\":\"out of memory\",\"field\":null}}\n";
	json_t *json = json_pack("{s:{s:s, s:o, s:o}}", "error", "code", code, "message", json_text(message), "field",
				 json_text(field));

	*r = (struct api_response){.status = status, .content_type = "application/json"};
	if (json)
		r->body = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!r->body)
		r->body = strdup(no_memory);
	r->body_len = r->body ? strlen(r->body) : 0;
}

void api_error(struct api_response *r, int status, const char *code, const char *message, const char *field)
{
	make_error(r, status, code, message, field);
}

int call_fail(struct call *c, int status, const char *code, const char *field, const char *fmt, ...)
{
	va_list ap;

	free(c->error.message);
	free(c->error.field);
	c->error = (struct call_error){.status = status, .code = code, .field = field ? strdup(field) : NULL};
	va_start(ap, fmt);
	if (vasprintf(&c->error.message, fmt, ap) < 0)
		c->error.message = NULL;
	va_end(ap);
	return -1;
}

int call_no_memory(struct call *c)
{
	return call_fail(c, 500, "no-memory", NULL, "out of memory");
}

struct call_quoted call_quote(const char *text, size_t len)
{
	struct call_quoted q;
	size_t n = len > 60 ? 60 : len;

	while (n < len && n && (text[n] & 0xc0) == 0x80) /* not in the middle of a character */
		n--;
	snprintf(q.text, sizeof(q.text), "'%.*s'%s", (int)n, text, n < len ? "..." : "");
	return q;
}

/* ---- parameters ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes len bytes of a query. NULL: out of memory, or not well-formed (errno EINVAL). */
static char *decode(const char *s, size_t len)
{
	char *out = malloc(len + 1), *p = out;

	for (size_t i = 0; out && i < len; i++) {
		int high, low, c = s[i] == '+' ? ' ' : (unsigned char)s[i];

		if (c == '%') {
			high = i + 2 < len ? hex_digit(s[i + 1]) : -1;
			low = i + 2 < len ? hex_digit(s[i + 2]) : -1;
			c = high < 0 || low < 0 ? 0 : high << 4 | low;
			i += 2;
		}
		if (!c) {
			free(out);
			errno = EINVAL;
			return NULL;
		}
		*p++ = (char)c;
	}
	if (out)
		*p = '\0';
	return out;
}

static int add_param(struct call *c, const char *s, size_t len)
{
	const char *eq = memchr(s, '=', len);
	size_t name_len = eq ? (size_t)(eq - s) : len;
	struct param *p = &c->param[c->params];

	if (c->params == PARAMS_MAX)
		return call_fail(c, 400, "bad-query", NULL, "more than %d parameters", PARAMS_MAX);
	errno = 0;
	p->name = decode(s, name_len);
	p->value = eq ? decode(eq + 1, len - name_len - 1) : strdup("");
	c->params++;
	if (!p->name || !p->value)
		return errno == EINVAL ? call_fail(c, 400, "bad-query", NULL, "the query is not well-formed") :
					 call_no_memory(c);
	for (struct param *o = c->param; o < p; o++) {
		if (!strcmp(o->name, p->name))
			return call_fail(c, 400, "bad-parameter", p->name, "%s is given twice",
					 call_quote(p->name, strlen(p->name)).text);
	}
	return 0;
}

static int parse_query(struct call *c)
{
	const char *s = c->q->query, *end;

	for (; s && *s; s = *end ? end + 1 : end) {
		end = s + strcspn(s, "&");
		if (end > s && add_param(c, s, (size_t)(end - s)))
			return -1;
	}
	return 0;
}

const char *call_param(struct call *c, const char *name)
{
	for (size_t i = 0; i < c->params; i++) {
		if (strcmp(c->param[i].name, name))
			continue;
		c->param[i].used = true;
		return c->param[i].value[0] ? c->param[i].value : NULL;
	}
	return NULL;
}

int call_param_u64(struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *out, bool *given)
{
	const char *text = call_param(c, name);

	if (given)
		*given = text;
	if (!text || !parse_u64(text, min, max, out))
		return 0;
	return call_fail(c, 400, "bad-parameter", name,
			 "'%s' must be a whole number from %llu to %llu, decimal or 0x hex, not %s", name,
			 (unsigned long long)min, (unsigned long long)max, call_quote(text, strlen(text)).text);
}

int call_params_end(struct call *c)
{
	for (size_t i = 0; i < c->params; i++) {
		if (!c->param[i].used)
			return call_fail(c, 400, "bad-parameter", c->param[i].name, "unknown parameter %s",
					 call_quote(c->param[i].name, strlen(c->param[i].name)).text);
	}
	return 0;
}

static void clear_params(struct call *c)
{
	for (size_t i = 0; i < c->params; i++) {
		free(c->param[i].name);
		free(c->param[i].value);
	}
	c->params = 0;
}

int call_database(struct call *c, struct error *e)
{
	struct ring_stats ring;
	struct writer_stats writer;

	api_live_stats(c->api, &ring, &writer);
	return api_db_ready(c->api->db, &writer.file, e);
}

/* ---- routes ---- */

struct route {
	const char *method, *path; /* {} stands for an id */
	bool takes_body;
	int (*handle)(struct call *c);
};

static const struct route routes[] = {
	{"GET", "/healthz", false, api_get_health},
	{"GET", "/metrics", false, api_get_metrics},
	{"GET", "/v1/status", false, api_get_status},
	{"GET", "/v1/captures", false, api_get_captures},
	{"GET", "/v1/captures/{}", false, api_get_capture},
	{"GET", "/v1/events", false, api_get_events},
	{"GET", "/v1/domains", false, api_get_domains},
	{"GET", "/v1/iopts", false, api_get_iopts},
	{"GET", "/v1/policies", false, api_get_policies},
	{"GET", "/v1/replays", false, api_get_replays},
	{"POST", "/v1/replays", true, api_post_replay},
	{"GET", "/v1/replays/{}", false, api_get_replay},
	{"DELETE", "/v1/replays/{}", false, api_delete_replay},
	{"GET", "/v1/replays/{}/gaps", false, api_get_gaps},
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* Whether the path is the route's; its id goes to id (of size bytes). */
static bool path_matches(const char *pattern, const char *path, char *id, size_t size)
{
	const char *hole = strstr(pattern, "{}");
	size_t before, len;

	if (!hole)
		return !strcmp(pattern, path);
	before = (size_t)(hole - pattern);
	if (strncmp(pattern, path, before))
		return false;
	len = strspn(path + before, "0123456789abcdefABCDEFxX");
	if (!len || len >= size || strcmp(path + before + len, hole + 2))
		return false;
	memcpy(id, path + before, len);
	id[len] = '\0';
	return true;
}

static const char *allowed(const char *path)
{
	bool get = false, post = false, del = false;
	char id[ID_MAX];

	for (size_t i = 0; i < ROUTES; i++) {
		if (!path_matches(routes[i].path, path, id, sizeof(id)))
			continue;
		get |= !strcmp(routes[i].method, "GET");
		post |= !strcmp(routes[i].method, "POST");
		del |= !strcmp(routes[i].method, "DELETE");
	}
	if (post)
		return "GET, HEAD, POST";
	if (del)
		return "GET, HEAD, DELETE";
	return get ? "GET, HEAD" : NULL;
}

/* The route of a request, or NULL; the id of its path goes to id (of size bytes). */
static const struct route *find_route(const char *method, const char *path, char *id, size_t size)
{
	for (size_t i = 0; i < ROUTES; i++) {
		if (!strcmp(routes[i].method, method) && path_matches(routes[i].path, path, id, size))
			return &routes[i];
	}
	return NULL;
}

bool api_takes_body(const char *method, const char *path)
{
	char id[ID_MAX];
	const struct route *r = find_route(method, path, id, sizeof(id));

	return r && r->takes_body;
}

static int dispatch(struct call *c)
{
	const char *method = !strcmp(c->q->method, "HEAD") ? "GET" : c->q->method, *allow;
	const struct route *r = find_route(method, c->q->path, c->id, sizeof(c->id));

	if (r)
		return parse_query(c) ? -1 : r->handle(c);
	allow = allowed(c->q->path);
	if (!allow)
		return call_fail(c, 404, "not-found", NULL, "there is nothing at this path");
	call_fail(c, 405, "method-not-allowed", NULL, "this path takes %s", allow);
	c->error.allow = allow;
	return -1;
}

/* ---- answers ---- */

/* Turns what the handler left into a response; takes its values. */
static void respond(struct call *c, int result, struct api_response *r)
{
	if (!result && c->json && !c->text) {
		c->text = json_dumps(c->json, JSON_COMPACT);
		c->text_len = c->text ? strlen(c->text) : 0;
		if (!c->text)
			result = call_no_memory(c);
	}
	json_decref(c->json);
	c->json = NULL;
	if (!result && !c->text && c->status != 204)
		result = call_no_memory(c);
	if (result) {
		free(c->text);
		make_error(r, c->error.status, c->error.code, c->error.message ? c->error.message : "out of memory",
			   c->error.field);
		r->retry_after = c->error.retry_after;
		r->allow = c->error.allow;
	} else {
		*r = (struct api_response){.status = c->status ? c->status : 200,
					   .body = c->text,
					   .body_len = c->text_len,
					   .location = c->location,
					   .content_type = c->type ? c->type : "application/json"};
		if (!r->body)
			r->body = strdup("");
	}
	c->text = NULL;
	free(c->error.message);
	free(c->error.field);
	c->error = (struct call_error){0};
}

bool api_handle(struct api *a, const struct api_request *q, struct api_response *r, api_done_fn done, void *ctx)
{
	struct call c = {.api = a, .q = q, .done = done, .done_ctx = ctx};
	int result = dispatch(&c);

	clear_params(&c);
	if (result == CALL_LATER)
		return false;
	respond(&c, result, r);
	return true;
}

/* ---- answers that come later ---- */

/* What of a call lives on. */
struct late {
	struct call call; /* its request and parameters are gone */
	int (*make)(struct call *c, const char *text, size_t len);
	bool at_once; /* while call_ask() runs: leave the answer in the call */
	bool done;
	int result;
};

static int make_late(struct late *l, const struct query_answer *answer)
{
	struct call *c = &l->call;

	if (answer->text)
		return l->make(c, answer->text, answer->len);
	if (answer->late) {
		call_fail(c, 503, "try-again", NULL, "%s", answer->why);
		c->error.retry_after = 2;
		return -1;
	}
	/* usage errors are about what was asked */
	if (answer->exit_status == 2)
		return call_fail(c, 422, "refused", NULL, "%s", answer->why);
	call_fail(c, 503, "no-answer", NULL, "ioflush: %s", answer->why);
	c->error.retry_after = 5;
	return -1;
}

static void on_answer(void *ctx, void *arg, const struct query_answer *answer)
{
	struct late *l = arg;
	struct api_response r;

	(void)ctx;
	l->result = make_late(l, answer);
	l->done = true;
	if (l->at_once)
		return;
	respond(&l->call, l->result, &r);
	l->call.done(l->call.done_ctx, &r);
	free(l);
}

int call_ask(struct call *c, const char *const args[], uint64_t version, uint64_t wait_ms,
	     int (*make)(struct call *c, const char *text, size_t len))
{
	struct late *l = calloc(1, sizeof(*l));
	int result;

	if (!l)
		return call_no_memory(c);
	l->call = *c;
	l->call.q = NULL;
	l->call.params = 0;
	l->make = make;
	l->at_once = true;
	if (queries_ask(c->api->queries, args, version, wait_ms, on_answer, c->done_ctx, l)) {
		free(l);
		call_fail(c, 503, "busy", NULL, "too many questions at once");
		c->error.retry_after = 2;
		return -1;
	}
	l->at_once = false;
	if (!l->done)
		return CALL_LATER;
	result = l->result;
	c->json = l->call.json;
	c->text = l->call.text;
	c->text_len = l->call.text_len;
	c->type = l->call.type;
	c->status = l->call.status;
	c->error = l->call.error;
	free(l);
	return result;
}

void api_cancel(struct api *a, void *ctx)
{
	queries_cancel(a->queries, ctx, free);
}

unsigned api_tick(struct api *a)
{
	bool busy = queries_tick(a->queries);
	struct ring_stats ring;
	struct writer_stats writer;

	busy |= replays_tick(a->replays);
	api_live_stats(a, &ring, &writer);
	api_sample(a, &ring, &writer);
	return busy ? TICK_BUSY_MS : TICK_IDLE_MS;
}

void api_count(struct api *a, int status)
{
	a->requests[status > 0 && status < STATUS_SLOTS ? status : 0]++;
}

/* ---- policies ---- */

/* Remembers the names, so that a replay of an unknown one is refused at once. */
static int make_policies(struct call *c, const char *text, size_t len)
{
	json_t *all = json_loadb(text, len, 0, NULL), *names = json_array(), *policy;
	size_t i;

	json_array_foreach(json_object_get(all, "policies"), i, policy)
		json_array_append(names, json_object_get(policy, "name"));
	if (!all || !json_array_size(names)) {
		json_decref(all);
		json_decref(names);
		return call_fail(c, 503, "no-answer", NULL, "what 'ioflush policies' printed is not understood");
	}
	json_decref(c->api->policy_names);
	c->api->policy_names = names;
	c->json = all;
	return 0;
}

int api_get_policies(struct call *c)
{
	static const char *const args[] = {"policies", "--format", "json", NULL};

	if (call_params_end(c))
		return -1;
	return call_ask(c, args, 0, POLICIES_WAIT_MS, make_policies);
}

static void ignore_answer(void *ctx, struct api_response *r)
{
	(void)ctx;
	free(r->body);
}

bool api_policy_known(const struct api *a, const char *name, size_t len)
{
	json_t *known;
	size_t i;

	json_array_foreach(a->policy_names, i, known) {
		if (json_string_length(known) == len && !strncmp(json_string_value(known), name, len))
			return true;
	}
	return !a->policy_names;
}

/* ---- the whole ---- */

/* The ioflush beside ours, in ../bin of where we are installed, or in PATH. malloc'ed; NULL: out of memory. */
static char *find_program(const char *configured)
{
	static const char *const beside[] = {"/ioflush", "/../bin/ioflush"};
	const char *path = getenv("PATH"), *end;
	char exe[PATH_MAX], *slash, *found;
	ssize_t n;

	if (configured && configured[0])
		return strdup(configured);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	for (size_t i = 0; slash && i < 2; i++) {
		*slash = '\0';
		if (asprintf(&found, "%s%s", exe, beside[i]) < 0)
			return NULL;
		if (!access(found, X_OK))
			return found;
		free(found);
	}
	for (; path && *path; path = *end ? end + 1 : end) {
		end = path + strcspn(path, ":");
		if (asprintf(&found, "%.*s/ioflush", (int)(end - path), path) < 0)
			return NULL;
		if (path[0] == '/' && !access(found, X_OK))
			return found;
		free(found);
	}
	return strdup("/usr/bin/ioflush"); /* what fails then says where it was looked for */
}

/* A child has no other folder than we have, but be sure. The file need not be there yet. malloc'ed; NULL: out of memory. */
static char *absolute_path(const char *path)
{
	char *whole = realpath(path, NULL), *folder = whole ? NULL : realpath(".", NULL);

	if (!whole && (path[0] == '/' || !folder))
		whole = strdup(path);
	else if (!whole && asprintf(&whole, "%s/%s", folder, path) < 0)
		whole = NULL;
	free(folder);
	return whole;
}

struct api *api_new(const struct config *config, const struct api_live *live, struct error *e)
{
	const struct api_request policies = {.method = "GET", .path = "/v1/policies"};
	struct child_limits limits = {.memory = QUERY_MEMORY, .timeout_ms = QUERY_TIMEOUT_MS, .output = QUERY_OUTPUT};
	struct api *a = calloc(1, sizeof(*a));
	struct api_response r;

	if (!a) {
		error_set(e, "out of memory");
		return NULL;
	}
	if (config->policies && strlen(config->policies) >= POLICY_LIST_MAX) {
		error_set(e, "policies: longer than %d bytes", POLICY_LIST_MAX - 1);
		goto fail;
	}
	a->live = *live;
	a->started_ms = a->drains_ms = child_now_ms();
	a->db_path = absolute_path(config->db);
	a->policies = strdup(config->policies && config->policies[0] ? config->policies : "all");
	a->program = find_program(config->replay_program);
	if (config->replay_memory)
		limits.memory = config->replay_memory;
	if (a->db_path && a->policies && a->program) {
		a->db = api_db_new(a->db_path);
		a->queries = queries_new(a->program, &limits);
		limits.timeout_ms = config->replay_timeout;
		a->replays = replays_new(a->program, a->db_path, config->replay_max, &limits);
	}
	if (!a->db || !a->queries || !a->replays) {
		error_set(e, "out of memory");
		goto fail;
	}
	/* asked ahead: the names of the policies, to check requests with */
	if (api_handle(a, &policies, &r, ignore_answer, NULL))
		free(r.body);
	return a;
fail:
	api_free(a);
	return NULL;
}

static void drop_late(void *arg)
{
	free(arg);
}

void api_free(struct api *a)
{
	if (!a)
		return;
	if (a->queries)
		queries_cancel_all(a->queries, drop_late);
	queries_free(a->queries);
	replays_free(a->replays);
	api_db_free(a->db);
	json_decref(a->policy_names);
	free(a->db_path);
	free(a->policies);
	free(a->program);
	free(a);
}
