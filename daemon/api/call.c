/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See call.h. */
#include "daemon/api/call.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/live.h"

/* ---- errors ---- */

void api_error(struct api_response *r, int status, const char *code, const char *message, const char *field)
{
	static const char no_memory[] =
		"{\"error\":{\"code\":\"no-memory\",\"message\":\"out of memory\",\"field\":null}}\n";
	struct json *json = json_new_object(), *error = json_put_object(json, "error");

	json_put_text(error, "code", code);
	json_put_text(error, "message", message);
	json_put_text(error, "field", field);
	*r = (struct api_response){.status = status, .content_type = "application/json"};
	r->body = json_format(json, JSON_TIGHT);
	json_free(json);
	if (!r->body)
		r->body = strdup(no_memory);
	r->body_len = r->body ? strlen(r->body) : 0;
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

	while (n < len && n && (text[n] & 0xc0) == 0x80) /* do not cut a character */
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

int call_parse_query(struct call *c)
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

void call_clear_params(struct call *c)
{
	for (size_t i = 0; i < c->params; i++) {
		free(c->param[i].name);
		free(c->param[i].value);
	}
	c->params = 0;
}

/* ---- checks that several paths use ---- */

int call_database(struct call *c, struct error *e)
{
	struct ring_stats ring;
	struct writer_stats writer;

	live_stats(c->api, &ring, &writer);
	return api_db_ready(c->api->db, &writer.file, e);
}

int call_db_fail(struct call *c, const struct error *e)
{
	call_fail(c, 503, "database", NULL, "%s", e->text);
	c->error.retry_after = 1;
	return -1;
}

struct job *call_job(struct call *c)
{
	struct job *j = jobs_find(c->api->jobs, c->id);

	if (!j)
		call_fail(c, 404, "not-found", NULL, "there is no replay '%s'", c->id);
	return j;
}

/* NAME[:key=value]...: nothing that could be read as a path or another option. */
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

/* Whether name is a policy. True also while the list of policies is not known yet. */
static bool policy_known(const struct api *a, const char *name, size_t len)
{
	const struct json *all = json_get(a->policies_known, "policies");

	for (const struct json *one = json_first(all); one; one = json_next(one)) {
		const char *known = json_get_text(json_get(one, "name"));

		if (known && strlen(known) == len && !strncmp(known, name, len))
			return true;
	}
	return !a->policies_known;
}

int call_check_policy(struct call *c, const char *field, const char *s, size_t len)
{
	size_t name = 0;

	if (!policy_word_ok(s, len))
		return call_fail(c, 422, "bad-field", field, "%s is no name of a policy", call_quote(s, len).text);
	while (name < len && s[name] != ':')
		name++;
	if ((len != 3 || strncmp(s, "all", 3)) && !policy_known(c->api, s, name))
		return call_fail(c, 422, "unknown-policy", field, "there is no policy %s; /v1/policies lists them",
				 call_quote(s, name).text);
	return 0;
}

/* ---- answers ---- */

void call_respond(struct call *c, int result, struct api_response *r)
{
	if (!result && c->json && !c->text) {
		c->text = json_format(c->json, JSON_TIGHT);
		c->text_len = c->text ? strlen(c->text) : 0;
		if (!c->text)
			result = call_no_memory(c);
	}
	json_free(c->json);
	c->json = NULL;
	if (!result && !c->text && c->status != 204)
		result = call_no_memory(c);
	if (result) {
		free(c->text);
		api_error(r, c->error.status, c->error.code, c->error.message ? c->error.message : "out of memory",
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

/* ---- answers that come later ---- */

/* The part of a call that is kept until its answer. */
struct late {
	struct call call; /* its request and parameters are gone */
	int (*make)(struct call *c, const char *text, size_t len);
	bool at_once; /* while call_ask() runs: the answer stays in the call */
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
	/* usage errors are about the parameters */
	if (answer->exit_status == 2)
		return call_fail(c, 400, "refused", NULL, "%s", answer->why);
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
	call_respond(&l->call, l->result, &r);
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
