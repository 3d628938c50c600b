/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage is the domain that an area reads page numbers back from (semantics.md, section 4). Source is the area whose
 * storage serves a given index of an iopt_pages. An iopt_pages keeps its areas with storage sorted by first index, each
 * with the largest last index so far, for a binary search. If the order is lost, the next search collects the list
 * again.
 */
#include <stdlib.h>

#include "analyzer/model/objects.h"
#include "base/grow.h"

const struct domain *iopt_storage(const struct iopt *iopt, enum ioflush_storage rule)
{
	uint32_t n = iopt->pub.domains;

	if (rule == IOFLUSH_STORAGE_PREFER_NONCOHERENT) {
		for (uint32_t i = 0; i < n; i++) {
			if (iopt->domain[i]->pub.noncoherent)
				return iopt->domain[i];
		}
	}
	return n ? iopt->domain[0] : NULL;
}

void iopt_storage_drop(struct iopt *iopt, const struct domain *d)
{
	const struct areamap_span *s;

	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL) {
		struct area *a = s->v.area;

		if (a->storage[IOFLUSH_STORAGE_FIRST] == d)
			area_storage_set(NULL, a, NULL);
	}
}

void iopt_storage_prefer(struct iopt *iopt, const struct domain *d)
{
	const struct areamap_span *s;
	const struct domain **storage;

	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL) {
		storage = &s->v.area->storage[IOFLUSH_STORAGE_PREFER_NONCOHERENT];
		if (*storage && !(*storage)->pub.noncoherent)
			*storage = d;
	}
}

/* Sets max_last from entry i on, until it no longer changes. */
static void source_settle(struct pages *p, size_t i)
{
	for (bool first = true; i < p->nsource; i++, first = false) {
		struct source_area *s = &p->source[i];
		uint64_t max = i && s[-1].max_last > s->last ? s[-1].max_last : s->last;

		if (!first && s->max_last == max)
			break;
		s->max_last = max;
	}
}

/* Enters an area that just got storage; most come in order, at the end. Without memory the list is collected later. */
static void source_insert(struct area *a)
{
	struct pages *p = a->pages;
	size_t lo = p->nsource;

	if (p->source_stale || !grow_within(p->budget, p->source, p->nsource, p->source_cap, 2u)) {
		p->source_stale = true;
		return;
	}
	if (lo && p->source[lo - 1].first > a->first) {
		size_t hi = lo;

		for (lo = 0; lo < hi;) {
			size_t mid = (lo + hi) / 2;

			if (p->source[mid].first <= a->first) /* of the same first index, the newest comes last */
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	memmove(p->source + lo + 1, p->source + lo, (p->nsource - lo) * sizeof(*p->source));
	p->source[lo] = (struct source_area){.first = a->first, .last = a->last_index, .area = a};
	p->nsource++;
	source_settle(p, lo);
}

void area_storage_set(struct objects *o, struct area *a, const struct domain *d)
{
	bool had = a->storage[0];

	if (a->unfilling)
		d = NULL;
	for (int r = 0; r < IOFLUSH_STORAGE_RULES; r++)
		a->storage[r] = d;
	if (had && !d)
		a->pages->source_stale = true;
	if (had || !d)
		return;
	a->storage_since = ++o->serial;
	source_insert(a);
}

void area_storage_choose(struct objects *o, struct area *a)
{
	area_storage_set(o, a, iopt_storage(a->iopt, IOFLUSH_STORAGE_FIRST));
	if (!a->storage[0])
		return;
	a->storage[IOFLUSH_STORAGE_PREFER_NONCOHERENT] = iopt_storage(a->iopt, IOFLUSH_STORAGE_PREFER_NONCOHERENT);
}

static int source_cmp(const void *x, const void *y)
{
	const struct source_area *a = x, *b = y;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->area->storage_since < b->area->storage_since ? -1 : 1;
}

/* Collects the areas of p that have storage, so that a search finds the one to use for any index. */
static int source_collect(struct pages *p)
{
	p->nsource = 0;
	for (size_t i = 0; i < p->nareas; i++) {
		const struct area *a = p->area[i];

		if (!a->storage[0])
			continue;
		if (!grow_within(p->budget, p->source, p->nsource, p->source_cap, 2u))
			return -1;
		p->source[p->nsource++] = (struct source_area){.first = a->first, .last = a->last_index, .area = a};
	}
	if (p->nsource > 1)
		qsort(p->source, p->nsource, sizeof(*p->source), source_cmp);
	for (size_t i = 0; i < p->nsource; i++) {
		struct source_area *s = &p->source[i];

		s->max_last = i && s[-1].max_last > s->last ? s[-1].max_last : s->last;
	}
	p->source_stale = false;
	return 0;
}

int objects_source(struct pages *p, uint64_t idx, const struct area **area, uint64_t *last)
{
	size_t lo = 0, hi;

	*area = NULL;
	*last = UINT64_MAX;
	if (p->source_stale && source_collect(p))
		return -1;
	/* the first entry whose max_last reaches idx: all before it end earlier, so none of them covers idx or more */
	hi = p->nsource;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->source[mid].max_last < idx)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == p->nsource)
		return 0;
	if (p->source[lo].first > idx) {
		*last = p->source[lo].first - 1;
	} else {
		*area = p->source[lo].area;
		*last = p->source[lo].last;
	}
	return 0;
}
