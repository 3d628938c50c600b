/*
 * /v1/events: the events of a capture, filtered, a page at a time. A page is bounded in events and in the rows looked at,
 * so it may be short, or empty, and still not the last: "more" says that, and "cursor" is where to go on. A cursor is the
 * number of an event and stays good while the database grows.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

static json_t *field_json(const struct api_event *ev, unsigned i)
{
	const struct field_desc *f = &event_table[ev->kind].field[i];

	if (ev->missing & 1u << i)
		return json_null();
	switch (f->type) {
	case FIELD_ID:
	case FIELD_HEX:
		return json_hex(ev->f[i]);
	case FIELD_INT:
		return json_integer((json_int_t)ev->f[i]);
	case FIELD_STR:
		return json_text(ev->string);
	default: /* a count that no integer of JSON's readers holds is text, as in the canonical form */
		return ev->f[i] > INT64_MAX ? json_hex(ev->f[i]) : json_integer((json_int_t)ev->f[i]);
	}
}

/* As in the canonical text form, and its number and its capture's. */
static json_t *event_json(const struct api_event *ev)
{
	const struct event_desc *d = &event_table[ev->kind];
	json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "id", json_number(ev->id), "capture",
				 json_number(ev->capture), "t", json_number(ev->t), "cpu",
				 ev->cpu == EVENT_NO_CPU ? json_null() : json_integer(ev->cpu), "tid",
				 ev->tid == EVENT_NO_TID ? json_null() : json_integer(ev->tid), "comm",
				 json_text(ev->comm), "e", d->name);

	for (unsigned i = 0; json && i < d->nfields; i++) {
		if (json_object_set_new(json, d->field[i].name, field_json(ev, i))) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static int add_event(void *ctx, const struct api_event *ev)
{
	return json_array_append_new(ctx, event_json(ev)) ? 1 : 0;
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

/* The capture asked for, or the newest one. 1, 0: there is none, -1. */
static int find_capture(struct call *c, struct api_filter *f)
{
	struct api_capture row;
	struct error e = {""};
	int got = api_db_capture(c->api->db, f->capture, &row, &e);

	if (got < 0)
		return call_db_fail(c, &e);
	if (!got && f->capture)
		return call_fail(c, 404, "not-found", "capture", "there is no capture %llu",
				 (unsigned long long)f->capture);
	if (got)
		f->capture = row.id;
	api_capture_clear(&row);
	return got;
}

int api_get_events(struct call *c)
{
	json_t *events = NULL;
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
	events = json_array();
	if (!events)
		return call_no_memory(c);
	if (got)
		got = api_db_events(c->api->db, &f, add_event, events, &next, &more, &e);
	if (got) {
		json_decref(events);
		return got < 0 ? call_db_fail(c, &e) : call_no_memory(c);
	}
	c->json = json_pack("{s:o, s:o, s:o, s:b}", "capture", f.capture ? json_number(f.capture) : json_null(),
			    "events", events, "cursor", json_number(next), "more", more);
	return c->json ? 0 : call_no_memory(c);
}
