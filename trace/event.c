/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event table, and the conditions that every possible event satisfies; see event.h. Code behind a source need not
 * check these again: no range wraps, no size is 0, every index fits.
 */
#include "trace/event.h"

#include <inttypes.h>
#include <string.h>

#define INDEX_LIMIT (1ull << 52) /* page indexes and PFNs lie below */
#define BYTES_LIMIT (1ull << 56) /* physical addresses lie below, and no run is longer */
#define MAP_UNIT 512ull		 /* no IOMMU has smaller pages: 4096 is usual, and 2048 in iommufd's selftest */

#define ID(n) {#n, FIELD_ID, false},
#define HEX(n) {#n, FIELD_HEX, false},
#define DEC(n) {#n, FIELD_DEC, false},
#define INT(n) {#n, FIELD_INT, false},
#define OPT_ID(n) {#n, FIELD_ID, true},
#define OPT_HEX(n) {#n, FIELD_HEX, true},
#define OPT_DEC(n) {#n, FIELD_DEC, true},
#define FLAG(n) {#n, FIELD_FLAG, true},
#define OPT_STR(n) {#n, FIELD_STR, true},
const struct event_desc event_table[EV_KINDS] = {
#define EVENT(num, name, fields, doc) [num] = {#name, doc, sizeof(struct event_##name) / sizeof(uint64_t), {fields}},
#include "schema/events.def"
#undef EVENT
};

#define EVENT(num, name, fields, doc) \
	_Static_assert(sizeof(struct event_##name) <= sizeof(((struct event *)0)->f), #name " has too many fields");
#include "schema/events.def"
#undef EVENT

static const uint8_t name_len[EV_KINDS] = {
#define EVENT(num, name, fields, doc) [num] = sizeof(#name) - 1,
#include "schema/events.def"
#undef EVENT
};

enum event_kind event_kind_by_name(const char *name, size_t len)
{
	unsigned kind;

	if (!len)
		return EV_NONE;
	for (kind = 1; kind < EV_KINDS; kind++)
		if (name_len[kind] == len && !memcmp(event_table[kind].name, name, len))
			return kind;
	return EV_NONE;
}

void event_lost(struct event *ev, uint64_t t, uint32_t cpu, uint32_t cause, uint64_t count, const uint64_t *since)
{
	*ev = (struct event){.kind = EV_lost, .t = t, .cpu = cpu, .tid = EVENT_NO_TID};
	ev->lost.cause = cause;
	ev->lost.count = count;
	ev->lost.since = since ? *since : 0;
	if (!count)
		ev->missing |= EVENT_BIT(lost, count);
	if (!since)
		ev->missing |= EVENT_BIT(lost, since);
}

/* Sets the error "EVENT: FIELD: VALUE: WHY" and returns -1. */
static int refuse(struct error *e, const struct event *ev, const char *field, uint64_t value, const char *why)
{
	const struct event_desc *d = &event_table[ev->kind];
	bool dec = false;
	unsigned i;

	for (i = 0; i < d->nfields; i++)
		if (!strcmp(d->field[i].name, field))
			dec = d->field[i].type != FIELD_ID && d->field[i].type != FIELD_HEX;
	if (dec)
		return error_set(e, "%s: %s: %" PRIu64 ": %s", d->name, field, value, why);
	return error_set(e, "%s: %s: 0x%" PRIx64 ": %s", d->name, field, value, why);
}

static int check_range(const struct event *ev, uint64_t iova, uint64_t last, struct error *e)
{
	if (iova > last)
		return refuse(e, ev, "last", last, "the last byte lies before iova");
	return 0;
}

static int check_run(const struct event *ev, uint64_t iova, uint64_t size, struct error *e)
{
	if (!size)
		return refuse(e, ev, "size", size, "a run has at least one byte");
	if (size > BYTES_LIMIT)
		return refuse(e, ev, "size", size, "no run is longer than 2^56 bytes");
	if (iova + (size - 1) < iova)
		return refuse(e, ev, "iova", iova, "iova + size - 1 wraps past 2^64");
	return 0;
}

/* The IOMMU core refuses what is no multiple of the IOMMU's pages: only a map that failed may be. */
static int check_aligned(const struct event *ev, const char *field, uint64_t value, struct error *e)
{
	if (value % MAP_UNIT)
		return refuse(e, ev, field, value, "no multiple of 512 bytes; no IOMMU has smaller pages");
	return 0;
}

static int check_map(const struct event *ev, uint64_t iova, uint64_t paddr, uint64_t size, struct error *e)
{
	if (check_run(ev, iova, size, e))
		return -1;
	if (paddr >= BYTES_LIMIT || paddr + (size - 1) >= BYTES_LIMIT)
		return refuse(e, ev, "paddr", paddr, "physical addresses end at 2^56");
	return 0;
}

static int check_pages(const struct event *ev, uint64_t iova, uint64_t size, struct error *e)
{
	return check_aligned(ev, "iova", iova, e) ? -1 : check_aligned(ev, "size", size, e);
}

static int check_area_fill(const struct event *ev, struct error *e)
{
	const struct event_area_fill *a = &ev->area_fill;
	uint64_t bytes = a->last - a->iova;
	uint64_t more; /* pages after the first; computed in two parts because bytes + page_offset may wrap */

	if (check_range(ev, a->iova, a->last, e))
		return -1;
	if (a->page_offset >= PAGE_SIZE_BYTES)
		return refuse(e, ev, "page_offset", a->page_offset, "an offset into a page is below 4096");
	if (a->first > a->last_index)
		return refuse(e, ev, "last_index", a->last_index, "the last index lies before first");
	if (a->last_index >= INDEX_LIMIT)
		return refuse(e, ev, "last_index", a->last_index, "page indexes end at 2^52");
	more = (bytes >> PAGE_SHIFT) + (((bytes & (PAGE_SIZE_BYTES - 1)) + a->page_offset) >> PAGE_SHIFT);
	if (a->last_index - a->first != more)
		return refuse(e, ev, "last_index", a->last_index, "is not first + (last - iova + page_offset) / 4096");
	/* the pages are those of the whole iopt_pages, of which the area may show a part */
	if (event_has(ev, area_fill, npages) && a->npages <= a->last_index)
		return refuse(e, ev, "npages", a->npages, "the iopt_pages ends before last_index");
	if (event_has(ev, area_fill, npages) && a->npages > INDEX_LIMIT)
		return refuse(e, ev, "npages", a->npages, "page indexes end at 2^52");
	return 0;
}

static int check_access(const struct event *ev, uint64_t first, uint64_t last, struct error *e)
{
	if (first > last)
		return refuse(e, ev, "last", last, "the last index lies before first");
	if (last >= INDEX_LIMIT)
		return refuse(e, ev, "last", last, "page indexes end at 2^52");
	return 0;
}

static int check_unpin(const struct event *ev, struct error *e)
{
	const struct event_unpin *u = &ev->unpin;

	if (!u->npages)
		return refuse(e, ev, "npages", u->npages, "a run has at least one page");
	if (u->npages > INDEX_LIMIT)
		return refuse(e, ev, "npages", u->npages, "no run is longer than 2^52 pages");
	if (u->pfn >= INDEX_LIMIT || u->pfn + u->npages > INDEX_LIMIT)
		return refuse(e, ev, "pfn", u->pfn, "page frame numbers end at 2^52");
	return 0;
}

static int check_bytes(const struct event *ev, const struct event_rw_access *f, struct error *e)
{
	if (!f->length)
		return refuse(e, ev, "length", f->length, "an access has at least one byte");
	if (f->start + (f->length - 1) < f->start)
		return refuse(e, ev, "start", f->start, "start + length - 1 wraps past 2^64");
	return 0;
}

static int check_cut(const struct event *ev, struct error *e)
{
	const struct event_cut *c = &ev->cut;

	if (c->num_iovas != 1 && c->num_iovas != 2)
		return refuse(e, ev, "num_iovas", c->num_iovas, "a cut has 1 or 2 iovas");
	if (c->num_iovas == 2 && !event_has(ev, cut, iova1))
		return error_set(e, "cut: iova1: missing, although num_iovas is 2");
	return 0;
}

static int check_lost(const struct event *ev, struct error *e)
{
	if (event_has(ev, lost, count) && !ev->lost.count)
		return refuse(e, ev, "count", 0, "a loss has at least one record; one of unknown size has no count");
	return 0;
}

/* For every kind: only optional fields, and cpu and tid of a lost event, may be unknown; unknown fields are 0. */
static int check_common(const struct event *ev, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	if (ev->kind != EV_lost && ev->cpu == EVENT_NO_CPU)
		return error_set(e, "%s: cpu: missing", d->name);
	if (ev->kind != EV_lost && ev->tid == EVENT_NO_TID)
		return error_set(e, "%s: tid: missing", d->name);
	if (ev->missing >> d->nfields)
		return error_set(e, "%s: unknown fields 0x%x: the event has only %u", d->name, ev->missing, d->nfields);
	for (i = 0; i < d->nfields; i++) {
		bool missing = ev->missing & 1u << i;

		if (missing && !d->field[i].optional)
			return error_set(e, "%s: %s: missing", d->name, d->field[i].name);
		if (missing && ev->f[i])
			return refuse(e, ev, d->field[i].name, ev->f[i], "marked unknown, but has a value");
		if (d->field[i].type == FIELD_STR && !missing && (!ev->f[i] || ev->f[i] > UINT32_MAX))
			return refuse(e, ev, d->field[i].name, ev->f[i], "not the number of a string");
		if (d->field[i].type == FIELD_FLAG && ev->f[i] > 1)
			return refuse(e, ev, d->field[i].name, ev->f[i], "is 0, 1 or unknown");
	}
	return 0;
}

int event_check(const struct event *ev, struct error *e)
{
	if (ev->kind >= EV_KINDS || !event_table[ev->kind].name)
		return error_set(e, "event kind %u: not one of the %u known", ev->kind, EV_KINDS - 1);
	if (check_common(ev, e))
		return -1;
	switch ((enum event_kind)ev->kind) {
	case EV_area_fill:
		return check_area_fill(ev, e);
	case EV_area_unfill:
		return check_range(ev, ev->area_unfill.iova, ev->area_unfill.last, e);
	case EV_area_unfill_end:
		return check_range(ev, ev->area_unfill_end.iova, ev->area_unfill_end.last, e);
	case EV_area_add_domain:
		return check_range(ev, ev->area_add_domain.iova, ev->area_add_domain.last, e);
	case EV_map:
		if (check_map(ev, ev->map.iova, ev->map.paddr, ev->map.size, e) ||
		    check_aligned(ev, "paddr", ev->map.paddr, e))
			return -1;
		return check_pages(ev, ev->map.iova, ev->map.size, e);
	case EV_map_failed:
		return check_map(ev, ev->map_failed.iova, ev->map_failed.paddr, ev->map_failed.size, e);
	case EV_unmap:
		if (check_run(ev, ev->unmap.iova, ev->unmap.size, e))
			return -1;
		return check_pages(ev, ev->unmap.iova, ev->unmap.size, e);
	case EV_cut:
		return check_cut(ev, e);
	case EV_access_add:
		return check_access(ev, ev->access_add.first, ev->access_add.last, e);
	case EV_access_remove:
		return check_access(ev, ev->access_remove.first, ev->access_remove.last, e);
	case EV_unpin:
		return check_unpin(ev, e);
	case EV_lost:
		return check_lost(ev, e);
	case EV_rw_access:
		return check_bytes(ev, &ev->rw_access, e);
	default:
		return 0;
	}
}
