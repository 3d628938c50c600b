/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /v1/domains and /v1/iopts: what exists now or at a time. Only the model knows, so "ioflush state" replays the capture
 * in a process; both paths share the answer for a (capture, time).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define WAIT_MS 5000

/* The part of the answer for the path, with the header of the whole. */
static int make_part(struct call *c, const char *text, size_t len, const char *part)
{
	static const char *const whole[] = {"capture", "events", "last_t", "partial", "midlife", "health"};
	struct json *all = json_read(text, len, NULL);
	struct json *capture = json_first(json_get(all, "captures")), *v;

	if (!json_get(capture, part)) {
		json_free(all);
		return call_fail(c, 503, "no-answer", NULL, "what 'ioflush state' printed is not understood");
	}
	c->json = json_new_object();
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		v = json_take(capture, whole[i]);
		if (v)
			json_put(c->json, strcmp(whole[i], "last_t") ? whole[i] : "t", v);
	}
	json_put(c->json, part, json_take(capture, part));
	json_free(all);
	return 0;
}

static int make_domains(struct call *c, const char *text, size_t len)
{
	return make_part(c, text, len, "domains");
}

static int make_iopts(struct call *c, const char *text, size_t len)
{
	return make_part(c, text, len, "iopts");
}

static int get_state(struct call *c, int (*make)(struct call *c, const char *text, size_t len))
{
	char capture_text[24], at_text[24], file[FILE_ID_TEXT];
	const char *args[] = {"state",	    "--format",	     "json",  "--allow-partial", "--capture",
			      capture_text, "--at",	     at_text, "--inode",	 file,
			      "--",	    c->api->db_path, NULL};
	uint64_t id = 0, at = UINT64_MAX;
	struct capture_row row;
	struct error e = {""};
	bool given;
	int got;

	if (call_param_u64(c, "capture", 1, INT64_MAX, &id, NULL) ||
	    call_param_u64(c, "at", 0, UINT64_MAX, &at, &given) || call_params_end(c))
		return -1;
	got = call_database(c, &e) ? -1 : api_db_capture(c->api->db, id, &row, &e);
	if (got < 0)
		return call_db_fail(c, &e);
	if (!got)
		return call_fail(c, 404, "not-found", "capture",
				 id ? "there is no capture %" PRIu64 : "there is no capture", id);
	snprintf(capture_text, sizeof(capture_text), "%" PRIu64, row.c.id);
	snprintf(at_text, sizeof(at_text), "%" PRIu64, at);
	api_db_file(c->api->db, file);
	return call_ask(c, args, row.last_event, WAIT_MS, make);
}

int api_get_domains(struct call *c)
{
	return get_state(c, make_domains);
}

int api_get_iopts(struct call *c)
{
	return get_state(c, make_iopts);
}
