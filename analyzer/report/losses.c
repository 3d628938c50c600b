/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See losses.h. Causes come from traces: one that is not known here is shown as it is. */
#include "analyzer/report/losses.h"

#include <string.h>

#include "base/text.h"
#include "trace/losses.h"

/* Causes that are not the recorder's own, or that others than ioflushd give, too. */
static const struct {
	const char *cause, *advice;
} others[] = {
	{"ring buffer", "enlarge the buffers (trace-cmd record -b; ioflushd: buffer-size) and record again"},
	{"CPU statistics", "enlarge the buffers (trace-cmd record -b) and record again"},
	{"retention",
	 "ioflushd deleted these old events, as it was told to: keep more (retain-age, retain-size); no buffer helps"},
};

static const char *cause_name(const struct loss *l, const struct intern *strings)
{
	if (l->cause == TALLY_OTHERS)
		return "several other causes";
	return l->cause && strings ? intern_get(strings, l->cause) : NULL;
}

static const char *advice_for(const char *cause)
{
	if (!cause)
		return "the trace does not say why: if the ring buffers were too small, enlarge them";
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(cause, others[i].cause))
			return others[i].advice;
	for (size_t i = 0; i < LOSSES; i++)
		if (!strcmp(cause, loss_table[i].name))
			return loss_table[i].advice;
	return "";
}

void loss_text(char *buf, size_t len, const struct loss *l, const struct intern *strings)
{
	const char *cause = cause_name(l, strings), *advice = advice_for(cause);
	char places[64], count[64];

	text_counted(places, sizeof(places), l->places, "places");
	text_counted(count, sizeof(count), l->records, "records");
	snprintf(buf, len, "%s%s in %s: %.64s%s%s", l->records || !l->unknown ? count : "an unknown number of records",
		 l->records && l->unknown ? " and more" : "", places, cause ? cause : "cause unknown",
		 advice[0] ? "; advice: " : "", advice);
	text_printable(buf);
}

void losses_put(struct json *into, const char *key, const struct losses *losses, const struct intern *strings)
{
	struct json *list = json_put_array(into, key), *one;

	for (size_t i = 0; i < losses->n; i++) {
		const struct loss *l = &losses->loss[i];
		const char *cause = cause_name(l, strings);

		one = json_put_object(list, NULL);
		json_put_text(one, "cause", cause);
		json_put_u64(one, "count", l->records);
		json_put_u64(one, "places", l->places);
		json_put_u64(one, "unknown_places", l->unknown);
		json_put_text(one, "advice", advice_for(cause));
	}
}

void losses_print(FILE *out, const struct losses *losses, const struct intern *strings)
{
	char buf[512];

	for (size_t i = 0; i < losses->n; i++) {
		loss_text(buf, sizeof(buf), &losses->loss[i], strings);
		text_item(out, "lost", buf);
	}
}
