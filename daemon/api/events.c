/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /v1/events: the events of a capture, filtered, page by page. A page is bounded in events and in rows read, so it may
 * be short or even empty without being the last: "more" tells that, and "cursor" is where to continue. A cursor is the
 * number of an event and stays valid while the database grows.
 */
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

static void put_field(struct json *into, const struct api_event *ev, unsigned i)
{
	const struct field_desc *f = &event_table[ev->ev.kind].field[i];
	uint64_t v = ev->ev.f[i];

	if (ev->ev.missing & 1u << i)
		json_put_null(into, f->name);
	else if (f->type == FIELD_ID || f->type == FIELD_HEX)
		json_put_hex(into, f->name, v);
	else if (f->type == FIELD_INT)
		json_put_i64(into, f->name, (int64_t)v);
	else if (f->type == FIELD_STR)
		json_put_text(into, f->name, ev->string);
	else
		json_put_u64(into, f->name, v);
}

/* As in the canonical text form, and its number and its capture's. */
static int add_event(void *ctx, const struct api_event *row)
{
	const struct event *ev = &row->ev;
	const struct event_desc *d = &event_table[ev->kind];
	struct json *json = json_put_object(ctx, NULL);

	json_put_u64(json, "id", row->row.id);
	json_put_u64(json, "capture", row->row.capture);
	json_put_u64(json, "t", ev->t);
	json_put_known(json, "cpu", ev->cpu != EVENT_NO_CPU, ev->cpu);
	json_put_known(json, "tid", ev->tid != EVENT_NO_TID, ev->tid);
	json_put_text(json, "comm", row->comm);
	json_put_text(json, "e", d->name);
	for (unsigned i = 0; i < d->nfields; i++)
		put_field(json, row, i);
	return 0;
}

/* kind=map,unmap: a set of bits. */
static int parse_kinds(struct call *c, uint64_t *kinds)
{
	const char *text = call_param(c, "kind");

	while (text && *text) {
		size_t len = strcspn(text, ",");
		enum event_kind kind = event_kind_by_name(text, len);

		if (kind == EV_NONE)
			return call_fail(c, 400, "bad-parameter", "kind", "unknown kind of event %s",
					 call_quote(text, len).text);
		*kinds |= 1ull << kind;
		text += len + (text[len] == ',');
	}
	return 0;
}

static int parse_order(struct call *c, bool *descending)
{
	const char *order = call_param(c, "order");

	if (order && strcmp(order, "asc") && strcmp(order, "desc"))
		return call_fail(c, 400, "bad-parameter", "order", "'order' is asc or desc, not %s",
				 call_quote(order, strlen(order)).text);
	*descending = order && !strcmp(order, "desc");
	return 0;
}

static int parse_filter(struct call *c, struct api_filter *f, bool *all)
{
	const char *capture = call_param(c, "capture");
	uint64_t limit = LIMIT_DEFAULT;

	*all = capture && !strcmp(capture, "all");
	if ((!*all && call_param_u64(c, "capture", 1, INT64_MAX, &f->capture, NULL)) || parse_kinds(c, &f->kinds) ||
	    call_param_u64(c, "domain", 0, UINT64_MAX, &f->domain, &f->has_domain) ||
	    call_param_u64(c, "iopt", 0, UINT64_MAX, &f->iopt, &f->has_iopt) ||
	    call_param_u64(c, "from", 0, INT64_MAX, &f->from, &f->has_from) ||
	    call_param_u64(c, "to", 0, INT64_MAX, &f->to, &f->has_to) ||
	    call_param_u64(c, "limit", 1, LIMIT_MAX, &limit, NULL) ||
	    call_param_u64(c, "cursor", 0, INT64_MAX, &f->after, &f->has_after) || parse_order(c, &f->descending) ||
	    call_params_end(c))
		return -1;
	f->limit = (size_t)limit;
	if (*all && (f->has_from || f->has_to))
		return call_fail(c, 422, "bad-range", "capture",
				 "'from' and 'to' are times of one capture's clock: name the capture");
	if (f->has_from && f->has_to && f->from > f->to)
		return call_fail(c, 422, "bad-range", "from", "'from' is after 'to'");
	return 0;
}

/* The requested capture, or the newest one. 1, 0: there is none, -1. */
static int find_capture(struct call *c, struct api_filter *f)
{
	struct capture_row row;
	struct error e = {""};
	int got = api_db_capture(c->api->db, f->capture, &row, &e);

	if (got < 0)
		return call_db_fail(c, &e);
	if (!got && f->capture)
		return call_fail(c, 404, "not-found", "capture", "there is no capture %llu",
				 (unsigned long long)f->capture);
	if (got)
		f->capture = row.c.id;
	return got;
}

int api_get_events(struct call *c)
{
	struct json *events;
	struct api_filter f = {0};
	struct error e = {""};
	uint64_t next = 0;
	bool all, more = false;
	int got;

	if (parse_filter(c, &f, &all))
		return -1;
	if (call_database(c, &e))
		return call_db_fail(c, &e);
	got = all ? 1 : find_capture(c, &f);
	if (got < 0)
		return -1;
	c->json = json_new_object();
	json_put_known(c->json, "capture", f.capture, f.capture);
	events = json_put_array(c->json, "events");
	if (got && api_db_events(c->api->db, &f, add_event, events, &next, &more, &e))
		return call_db_fail(c, &e);
	json_put_u64(c->json, "cursor", next);
	json_put_bool(c->json, "more", more);
	return 0;
}
