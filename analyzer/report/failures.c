/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See failures.h. */
#include "analyzer/report/failures.h"

#include <inttypes.h>
#include <string.h>

#include "analyzer/findings/wording.h"

/* The name of a return code, "ENOMEM", or NULL. */
static const char *error_name(int64_t rc)
{
	return rc < 0 && rc >= -4095 ? strerrorname_np((int)-rc) : NULL;
}

static const char *what_failed(uint8_t kind)
{
	switch (kind) {
	case EV_area_fill_end:
		return "fills";
	case EV_domain_add_end:
		return "joins of domains";
	default:
		return "maps";
	}
}

void failure_text(char *buf, size_t len, const struct failure *f)
{
	char counted[64], when[32], error[64];
	const char *name = error_name(f->rc);

	text_counted(counted, sizeof(counted), f->n, what_failed(f->kind));
	text_time(when, sizeof(when), f->first.t);
	if (!f->rc)
		snprintf(error, sizeof(error), "the trace does not say why");
	else if (name)
		snprintf(error, sizeof(error), "%s (%" PRId64 ")", name, f->rc);
	else
		snprintf(error, sizeof(error), "%" PRId64, f->rc);
	snprintf(buf, len, "%s failed: %s; %sevent #%" PRIu64 ", %s at %s", counted, error, f->n > 1 ? "first: " : "",
		 f->first.seq, event_table[f->kind].name, when);
}

void failures_put(struct json *into, const char *key, const struct failures *failures, const struct intern *strings)
{
	struct json *list = json_put_array(into, key), *one;

	for (size_t i = 0; i < failures->n; i++) {
		const struct failure *f = &failures->failure[i];

		one = json_put_object(list, NULL);
		json_put_text(one, "event", event_table[f->kind].name);
		json_put_text(one, "error", error_name(f->rc));
		if (f->rc)
			json_put_i64(one, "rc", f->rc);
		else
			json_put_null(one, "rc");
		json_put_u64(one, "count", f->n);
		json_put_origin(json_put_object(one, "first"), &f->first, strings);
	}
}

void failures_print(FILE *out, const struct failures *failures)
{
	char buf[512];

	for (size_t i = 0; i < failures->n; i++) {
		failure_text(buf, sizeof(buf), &failures->failure[i]);
		text_item(out, "failed", buf);
	}
}
