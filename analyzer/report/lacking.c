/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lacking.h. */
#include "analyzer/report/lacking.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/ioflush-policy.h"

#define BIT(kind) (1ull << (kind))

#define NEEDED                                                                                             \
	(BIT(EV_domain_add) | BIT(EV_domain_add_end) | BIT(EV_domain_remove) | BIT(EV_domain_remove_end) | \
	 BIT(EV_area_fill) | BIT(EV_area_fill_end) | BIT(EV_area_unfill) | BIT(EV_area_unfill_end) |       \
	 BIT(EV_area_add_domain) | BIT(EV_area_add_domain_end) | BIT(EV_map) | BIT(EV_unmap))

const struct need need_table[NEEDS] = {
	{IOFLUSH_NEEDS_FILL,
	 "fill",
	 "area_fill, area_fill_end, area_add_domain, area_add_domain_end",
	 {EV_area_fill, EV_area_fill_end, EV_area_add_domain, EV_area_add_domain_end}},
	{IOFLUSH_NEEDS_ACCESS, "access", "access_add, access_remove", {EV_access_add, EV_access_remove}},
	{IOFLUSH_NEEDS_SOURCE,
	 "source",
	 "area fills, accesses, cut and domain_remove",
	 {EV_cut, EV_domain_remove, EV_area_fill, EV_area_add_domain, EV_access_add}},
	{IOFLUSH_NEEDS_COHERENT, "coherent", "the coherent field of domain_add (hwpt_alloc)", {EV_NONE}},
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Whether word stands in text as a whole word: an event's name in a probe line. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word)) {
		if ((p == text || !is_name_char(p[-1])) && !is_name_char(p[len]))
			return true;
	}
	return false;
}

uint64_t lacking_kinds(const char *probes, const struct model_totals *t)
{
	uint64_t lacking = 0;

	if (!probes[0])
		return 0;
	for (unsigned kind = 1; kind < EV_KINDS; kind++) {
		/* the probe of map gives both */
		unsigned probe = kind == EV_map_failed ? EV_map : kind;

		if (event_table[kind].name && !t->by_kind[kind] && !has_word(probes, event_table[probe].name))
			lacking |= BIT(kind);
	}
	return lacking;
}

uint64_t lacking_needed(uint64_t lacking)
{
	return lacking & NEEDED;
}

void lacking_text(uint64_t kinds, char out[LACKING_TEXT])
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned kind = 1; kind < EV_KINDS; kind++)
		if (kinds & BIT(kind) && n < LACKING_TEXT)
			n += (size_t)snprintf(out + n, LACKING_TEXT - n, "%s%s", n ? ", " : "", event_table[kind].name);
}

void lacking_put(struct json *into, const char *key, uint64_t kinds)
{
	struct json *names = json_put_array(into, key);

	for (unsigned kind = 1; kind < EV_KINDS; kind++)
		if (kinds & BIT(kind))
			json_put_text(names, NULL, event_table[kind].name);
}
