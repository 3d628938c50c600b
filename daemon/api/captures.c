/* /v1/captures: what was recorded, when, and what each capture lost. */
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

/* NULL: out of memory. */
static json_t *lines_json(const char *text)
{
	json_t *all = json_array();

	while (all && text && *text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		if (!line || (len && json_array_append_new(all, json_text(line)))) {
			json_decref(all);
			all = NULL;
		}
		free(line);
		text += len + (text[len] == '\n');
	}
	return all;
}

static json_t *losses_json(const struct api_losses *l)
{
	json_t *by_cause = json_object();

	for (size_t i = 0; i < l->causes; i++)
		json_object_set_new_nocheck(by_cause, l->cause[i].name, json_number(l->cause[i].records));
	return json_pack("{s:o, s:o, s:o, s:b, s:o}", "places", json_number(l->rows), "records", json_number(l->records),
			 "unknown", json_number(l->unknown), "more", l->more, "by_cause", by_cause);
}

/* loss_rows: see db.h. NULL: an error was set. */
static json_t *capture_json(struct call *c, const struct api_capture *r, size_t *loss_rows)
{
	struct api_losses losses;
	struct error e = {""};
	json_t *json;

	if (api_db_losses(c->api->db, r, loss_rows, &losses, &e)) {
		call_db_fail(c, &e);
		return NULL;
	}
	json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", json_number(r->id),
			 "source", json_text(r->source), "format", json_text(r->format), "host", json_text(r->host),
			 "kernel", json_text(r->kernel), "clock", json_text(r->clock), "state", json_text(r->state),
			 "note", json_text(r->note), "events", json_number(r->events), "first_t",
			 r->events ? json_number(r->first_t) : json_null(), "last_t",
			 r->events ? json_number(r->last_t) : json_null(), "probes", lines_json(r->probes), "losses",
			 losses_json(&losses));
	if (!json)
		call_no_memory(c);
	return json;
}

/* Newest first. */
int api_get_captures(struct call *c)
{
	uint64_t limit = LIMIT_DEFAULT, before = 0;
	size_t loss_rows = API_DB_LOSS_ROWS;
	json_t *all = NULL, *one;
	struct api_capture row;
	struct error e = {""};
	int got = 1;

	if (call_param_u64(c, "limit", 1, LIMIT_MAX, &limit, NULL) ||
	    call_param_u64(c, "cursor", 1, INT64_MAX, &before, NULL) || call_params_end(c))
		return -1;
	if (call_database(c, &e))
		return call_db_fail(c, &e);
	all = json_array();
	while (json_array_size(all) < limit) {
		got = api_db_capture_before(c->api->db, before, &row, &e);
		if (got <= 0)
			break;
		before = row.id;
		one = capture_json(c, &row, &loss_rows);
		api_capture_clear(&row);
		if (!one)
			goto fail;
		json_array_append_new(all, one);
	}
	if (got < 0) {
		call_db_fail(c, &e);
		goto fail;
	}
	/* a full page may be the last one: then the next is empty */
	c->json = json_pack("{s:o, s:o}", "captures", all, "cursor", got ? json_number(before) : json_null());
	return c->json ? 0 : call_no_memory(c);
fail:
	json_decref(all);
	return -1;
}

int api_get_capture(struct call *c)
{
	size_t loss_rows = API_DB_LOSS_ROWS;
	struct api_capture row;
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
	c->json = capture_json(c, &row, &loss_rows);
	api_capture_clear(&row);
	return c->json ? 0 : -1;
}
