/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kinds and fields of raw records; see raw.h. */
#include "trace/decoder/impl.h"

#include <string.h>

const struct raw_desc raw_table[RAW_KINDS] = {
	[EV_domain_add_end] = {.entry = EV_domain_add},
	[EV_domain_remove_end] = {.entry = EV_domain_remove},
	[EV_area_fill_end] = {.entry = EV_area_fill},
	[EV_area_unfill_end] = {.entry = EV_area_unfill},
	[EV_area_add_domain_end] = {.entry = EV_area_add_domain},
	[EV_map] = {.extra = {"rc"}, .entry = RAW_map_entry},
	[EV_access_add] = {.extra = {"rc"}, .entry = RAW_access_add_entry},
	[EV_unmap] = {.extra = {"unmapped", "unmapped_size"}, .entry = RAW_unmap_entry},
	[EV_unpin] = {.extra = {"page", "vmemmap", "caller_address"}},
	[EV_rw_access_end] = {.entry = EV_rw_access},
	[EV_attach] = {.extra = {"idev"}},
	[EV_detach] = {.extra = {"idev"}},
	[RAW_hwpt_alloc] = {"hwpt_alloc", {"coherent"}},
	[RAW_hwpt_alloc_end] = {"hwpt_alloc_end"},
	[RAW_area_unfill_domain] = {"area_unfill_domain"},
	[RAW_area_unmap_domain] = {"area_unmap_domain"},
	[RAW_attach_device_to_domain] = {"attach_device_to_domain", {"device"}, true},
	[RAW_map_entry] = {"map_entry", .like = EV_map},
	[RAW_unmap_entry] = {"unmap_entry", .like = EV_unmap},
	[RAW_access_add_entry] = {"access_add_entry", .like = EV_access_add},
};

const char *raw_kind_name(unsigned kind)
{
	if (kind < EV_KINDS)
		return event_table[kind].name;
	return kind < RAW_KINDS ? raw_table[kind].name : NULL;
}

unsigned raw_kind_by_name(const char *name, size_t len)
{
	enum event_kind ev = event_kind_by_name(name, len);
	unsigned kind;

	if (ev != EV_NONE)
		return ev == EV_lost ? (unsigned)RAW_OTHER : ev;
	for (kind = EV_KINDS; kind < RAW_KINDS; kind++)
		if (strlen(raw_table[kind].name) == len && !memcmp(raw_table[kind].name, name, len))
			return kind;
	return RAW_OTHER;
}

const char *raw_field_name(unsigned kind, int field)
{
	if (field >= RAW_EXTRA)
		return field < RAW_MAX_FIELDS ? raw_table[kind].extra[field - RAW_EXTRA] : NULL;
	if (kind >= EV_KINDS)
		kind = raw_table[kind].like;
	if (!kind || field < 0 || (unsigned)field >= event_table[kind].nfields)
		return NULL;
	return event_table[kind].field[field].name;
}

bool raw_field_is_string(unsigned kind, int field)
{
	if (field >= RAW_EXTRA)
		return field == RAW_EXTRA && raw_table[kind].string;
	return kind < EV_KINDS && event_table[kind].field[field].type == FIELD_STR;
}

int raw_field_as_address(unsigned kind, int field)
{
	return kind == EV_unpin && field == FIELD(unpin, caller) ? X_CALLER : -1;
}

static bool field_is(unsigned kind, int field, const char *name, size_t len)
{
	const char *have = raw_field_name(kind, field);

	return have && have[0] == name[0] && !strncmp(have, name, len) && !have[len];
}

int raw_field_by_name(unsigned kind, const char *name, size_t len, int hint)
{
	int i;

	if (!len)
		return -1;
	if (hint >= 0 && field_is(kind, hint, name, len))
		return hint;
	for (i = 0; i < RAW_MAX_FIELDS; i++)
		if (field_is(kind, i, name, len))
			return i;
	return -1;
}

uint16_t raw_fields_required(unsigned kind)
{
	const struct event_desc *d;
	uint16_t mask = 0;
	unsigned i;

	if (kind == RAW_hwpt_alloc)
		return BIT(X_COHERENT);
	if (kind == RAW_attach_device_to_domain)
		return BIT(X_DEVICE);
	if (kind >= EV_KINDS)
		kind = raw_table[kind].like;
	if (!kind)
		return 0;
	d = &event_table[kind];
	for (i = 0; i < d->nfields; i++)
		if (!d->field[i].optional && d->field[i].type != FIELD_INT)
			mask |= BIT(i);
	return mask;
}

bool raw_is_bare_end(unsigned kind, uint16_t present)
{
	if (kind >= RAW_KINDS || !raw_table[kind].entry || present & raw_fields_required(kind))
		return false;
	return !raw_table[kind].extra[0] || present & BIT(RAW_EXTRA);
}

const char *raw_field_lacking(unsigned kind, uint16_t present)
{
	uint16_t lacking;

	if (raw_is_bare_end(kind, present))
		return NULL;
	if (kind == EV_unmap && present & BIT(X_UNMAPPED))
		present |= EVENT_BIT(unmap, size);
	if (kind == EV_unpin && present & BIT(X_PAGE))
		present |= present & BIT(X_VMEMMAP) ? EVENT_BIT(unpin, pfn) : 0;
	/* All fields of detach are optional, but an event with none of them is not ours. */
	if (kind == EV_detach && !(present & (EVENT_BIT(detach, hwpt) | BIT(X_IDEV))))
		return "idev";
	lacking = raw_fields_required(kind) & ~present;
	return lacking ? raw_field_name(kind, __builtin_ctz(lacking)) : NULL;
}
