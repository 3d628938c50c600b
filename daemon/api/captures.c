/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/captures: what was recorded, when, and what each capture lost. */
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

/* A line each. */
static void put_lines(struct json *into, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		if (line)
			json_put_text(into, NULL, line);
		else
			json_put(into, NULL, NULL);
		free(line);
		text += len + (text[len] == '\n');
	}
}

static void put_losses(struct json *into, const struct api_losses *l)
{
	struct json *by_cause;

	json_put_u64(into, "places", l->rows);
	json_put_u64(into, "records", l->records);
	json_put_u64(into, "unknown", l->unknown);
	json_put_bool(into, "more", l->more);
	by_cause = json_put_object(into, "by_cause");
	for (size_t i = 0; i < l->causes; i++)
		json_put_u64(by_cause, l->cause[i].name, l->cause[i].records);
}

/* Into an object. loss_rows: see db.h. 0, or -1 and the error. */
static int put_capture(struct json *into, struct call *c, const struct capture_row *r, size_t *loss_rows)
{
	struct api_losses losses;
	struct error e = {""};

	if (api_db_losses(c->api->db, r, loss_rows, &losses, &e))
		return call_db_fail(c, &e);
	json_put_u64(into, "id", r->c.id);
	json_put_text(into, "source", r->c.source);
	json_put_text(into, "format", r->c.format);
	json_put_text(into, "host", r->c.host);
	json_put_text(into, "kernel", r->c.kernel);
	json_put_text(into, "clock", r->c.clock);
	json_put_text(into, "state", r->c.state);
	json_put_text(into, "note", r->c.note);
	json_put_u64(into, "events", r->events);
	json_put_known(into, "first_t", r->events, r->first_t);
	json_put_known(into, "last_t", r->events, r->last_t);
	put_lines(json_put_array(into, "probes"), r->c.probes);
	put_losses(json_put_object(into, "losses"), &losses);
	return 0;
}

/* Newest first. */
int api_get_captures(struct call *c)
{
	uint64_t limit = LIMIT_DEFAULT, before = 0;
	size_t loss_rows = API_DB_LOSS_ROWS;
	struct json *all;
	struct capture_row row;
	struct error e = {""};
	int got = 1;

	if (call_param_u64(c, "limit", 1, LIMIT_MAX, &limit, NULL) ||
	    call_param_u64(c, "cursor", 1, INT64_MAX, &before, NULL) || call_params_end(c))
		return -1;
	if (call_database(c, &e))
		return call_db_fail(c, &e);
	c->json = json_new_object();
	all = json_put_array(c->json, "captures");
	for (uint64_t n = 0; n < limit; n++) {
		got = api_db_capture_before(c->api->db, before, &row, &e);
		if (got <= 0)
			break;
		before = row.c.id;
		if (put_capture(json_put_object(all, NULL), c, &row, &loss_rows))
			return -1;
	}
	if (got < 0)
		return call_db_fail(c, &e);
	/* a full page may be the last one: then the next is empty */
	json_put_known(c->json, "cursor", got, before);
	return 0;
}

int api_get_capture(struct call *c)
{
	size_t loss_rows = API_DB_LOSS_ROWS;
	struct capture_row row;
	struct error e = {""};
	uint64_t id;
	int got;

	if (call_params_end(c))
		return -1;
	if (parse_u64(c->id, 1, INT64_MAX, &id))
		return call_fail(c, 404, "not-found", NULL, "there is no capture '%s'", c->id);
	if (call_database(c, &e))
		return call_db_fail(c, &e);
	got = api_db_capture(c->api->db, id, &row, &e);
	if (got < 0)
		return call_db_fail(c, &e);
	if (!got)
		return call_fail(c, 404, "not-found", NULL, "there is no capture %s", c->id);
	c->json = json_new_object();
	return put_capture(c->json, c, &row, &loss_rows);
}
