/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is mapped and pinned: maps, unmaps, accesses, and the comparison of the kernel's own unpins with the derived
 * ones.
 *
 * objects.h says what an id names, frames.h what happens to a frame. This file stands between them: it turns one event
 * into runs of page indexes, and these into runs of frames. An event costs one step per run of pages in the same state,
 * however long.
 *
 * Invariants, for every iopt_pages and index: maps is the number of (area, domain) pairs whose link set holds it. If
 * the frame is known, its pin counts the index once while maps or held is not 0; its nc counts the maps in non-coherent
 * domains.
 */
#include <string.h>

#include "analyzer/model/impl.h"
#include "base/grow.h"

void run_init(struct run *r, struct model *m, struct area *a, const struct domain *d)
{
	const struct device *dev = d && m->watched ? device_find(&m->objects, d->pub.id) : NULL;

	memset(r, 0, sizeof(*r));
	r->m = m;
	r->pages = a->pages;
	r->step.frames = &m->frames;
	r->step.area = a;
	r->step.domain = d;
	r->step.tainted = !iopt_known(a->iopt, a) || a->pages->tainted || a->pages->unsure;
	r->step.span.iopt = &a->iopt->pub;
	r->step.span.area = &a->pub;
	r->step.span.pages = &a->pages->pub;
	r->step.device = dev ? dev->name : 0;
}

/* ---- unpins, derived and the kernel's ---- */

struct unpin {
	struct model *m;
	int64_t by;
};

static void balance_span(void *ctx, uint64_t lo, uint64_t hi, struct balance *v)
{
	const struct unpin *u = ctx;

	v->diff += u->by;
	/* the kernel unpinned a page that no known object held: if it is still pinned, an older object pins it, too */
	if (u->by < 0 && v->diff < 0)
		check(u->m, frames_taint(&u->m->frames, lo, hi, false));
}

static void verify_unpin(struct model *m, uint64_t pfn, uint64_t npages, int64_t by)
{
	struct unpin u = {m, by};

	check(m, balancemap_update(&m->balance, pfn, pfn + npages - 1, balance_span, &u));
}

/* Whether "NAME [MODULE]", or "NAME" of a kernel with iommufd built in, is a function of iommufd. */
static bool is_iommufd(const char *caller)
{
	static const char *const prefix[] = {"iommufd_", "iopt_", "__iopt_", "pfn_reader_", "batch_"};
	const char *module = strstr(caller, " [");

	if (module)
		return !strcmp(module, " [iommufd]");
	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
		if (!strncmp(caller, prefix[i], strlen(prefix[i])))
			return true;
	return false;
}

void model_on_unpin(struct model *m, const struct event *ev)
{
	const struct event_unpin *f = &ev->unpin;
	const char *caller = f->caller && m->strings ? intern_get(m->strings, (uint32_t)f->caller) : NULL;

	if (caller && !is_iommufd(caller)) {
		count(m, HEALTH_foreign_unpins, f->npages);
		return;
	}
	if (operations_in_rw(m)) {
		count(m, HEALTH_rw_unpins, f->npages);
		return;
	}
	m->totals.kernel_unpins += f->npages;
	if (operations_unpinned(m, f->pfn, f->npages))
		return;
	if (!caller)
		count(m, HEALTH_unattributed_unpins, f->npages);
	verify_unpin(m, f->pfn, f->npages, -1);
}

void model_on_rw_access(struct model *m, const struct event *ev)
{
	operations_rw(m, ev->rw_access.pages);
}

void model_on_rw_access_end(struct model *m, const struct event *ev)
{
	operations_rw_end(m, ev->rw_access_end.pages);
}

/* ---- release ---- */

static void was_span(void *ctx, uint64_t lo, uint64_t hi, struct was *v)
{
	(void)lo, (void)hi;
	*v = *(const struct was *)ctx;
}

/* Remembers which frames indexes had that are no longer pinned. */
static void was_here(struct run *r, uint64_t lo, uint64_t hi, uint64_t pfn)
{
	struct was was = {pfn - lo, 1};

	check(r->m, wasmap_update(&r->pages->was, lo, hi, was_span, &was));
}

static void dying_add(struct run *r, uint64_t lo, uint64_t hi, uint64_t pfn)
{
	struct model *m = r->m;

	if (grow_within(m->budget, m->dying, m->ndying, m->dying_cap, 64u))
		m->dying[m->ndying++] = (struct dying){r->step.area, r->step.domain, lo, hi, pfn};
	else
		m->failed = true;
}

/* H4, then the release, of all indexes that the event unpinned. */
static void dying_release(struct model *m)
{
	frames_break(&m->frames);
	for (size_t i = 0; i < m->ndying; i++) {
		const struct dying *d = &m->dying[i];
		uint64_t n = d->hi - d->lo + 1;
		bool balanced;
		struct run r;

		run_init(&r, m, d->area, d->domain);
		r.step.span.by_access = !d->domain;
		m->totals.unpinned_pages += n;
		balanced = operations_released(m, d->pfn, n, d->area, d->domain);
		if (d->pfn == IOFLUSH_PFN_UNKNOWN) {
			frames_unpin_unknown(&r.step, d->lo, n);
			continue;
		}
		run_at(&r, d->lo, d->pfn);
		check(m, frames_unpin(&r.step, d->pfn, d->pfn + n - 1));
		m->totals.derived_unpins += n;
		if (!balanced)
			verify_unpin(m, d->pfn, n, 1);
		if (!d->area->unfilling || d->area->pages->nareas > 1) /* else the pages is about to end */
			was_here(&r, d->lo, d->hi, d->pfn);
	}
	m->ndying = 0;
}

/* ---- map ---- */

/* H1 is due for the first mapping of an index in its fill. Sets *due; returns the last index with the same answer. */
static uint64_t map_due(const struct run *r, uint64_t lo, uint64_t hi, bool *due)
{
	const struct idxset_span *s;

	*due = r->hook;
	if (!r->hook || !r->step.filling)
		return hi;
	s = idxset_from(&r->step.area->hooked, lo);
	if (!s || s->lo > hi)
		return hi;
	if (s->lo > lo)
		return s->lo - 1;
	*due = false;
	return s->hi < hi ? s->hi : hi;
}

static enum ioflush_source storage_source(const struct domain *d)
{
	return d->pub.noncoherent ? IOFLUSH_SOURCE_NONCOHERENT : IOFLUSH_SOURCE_COHERENT;
}

/* Where a fill's page numbers come from, for policies that need it. Returns the last index with the same answer. */
static uint64_t map_source(struct run *r, const struct idx *v, uint64_t lo, uint64_t hi)
{
	enum ioflush_source *source = r->step.span.source;
	const struct area *a;
	uint64_t last = hi;

	if (!r->m->needs_source)
		return hi;
	if (v->held) {
		source[0] = source[1] = IOFLUSH_SOURCE_ACCESS;
		return hi;
	}
	check(r->m, objects_source(r->pages, lo, &a, &last));
	for (int i = 0; i < IOFLUSH_STORAGE_RULES; i++)
		source[i] = a ? storage_source(a->storage[i]) : IOFLUSH_SOURCE_USER;
	return last < hi ? last : hi;
}

/* Whether index lo had the frame pfn when it was unpinned last: how far from lo the answer is the same. */
static uint64_t map_was_here(const struct run *r, uint64_t lo, uint64_t hi, uint64_t pfn, bool *was_here)
{
	const struct wasmap_span *s = wasmap_from(&r->pages->was, lo);

	*was_here = false;
	if (!s || s->lo > hi)
		return hi;
	if (s->lo > lo)
		return s->lo - 1;
	*was_here = s->v.delta == pfn - lo;
	return s->hi < hi ? s->hi : hi;
}

/* Indexes that enter a domain and are in one state. */
static void map_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = r->pfn + (lo - r->lo), at, end;

	r->step.pin = !v->known;
	r->step.span.held = v->held;
	if (v->known) {
		if (pfn != v->delta + lo)
			count(r->m, HEALTH_pfn_changed, hi - lo + 1);
		pfn = v->delta + lo;
	}
	run_at(r, lo, pfn);
	for (at = lo;; at = end + 1) {
		end = map_due(r, at, hi, &r->step.ask);
		if (r->step.ask)
			end = map_source(r, v, at, end);
		end = map_was_here(r, at, end, pfn + (at - lo), &r->step.was_here);
		check(r->m, frames_map(&r->step, pfn + (at - lo), pfn + (end - lo)));
		if (end == hi)
			break;
	}
	v->known = 1;
	v->delta = pfn - lo;
	v->maps++;
}

/* Indexes first to last, whose first is in frame pfn, enter domain d through area a. */
static void map_indexes(struct model *m, struct area *a, struct domain *d, uint64_t first, uint64_t last, uint64_t pfn)
{
	struct link *l = area_link_get(a, d);
	uint64_t marks = a->pages->pub.marks, at, end;
	struct run r;

	if (!l) {
		m->failed = true;
		return;
	}
	if ((d->joining || a->filling) && first > a->first && !idxset_at(&l->set, first - 1))
		count(m, HEALTH_out_of_order, 1);
	run_init(&r, m, a, d);
	r.lo = first;
	r.pfn = pfn;
	r.hook = d->joining || a->filling;
	r.step.filling = !d->joining && a->filling;
	r.step.span.domain = d->joining ? &d->pub : NULL;
	for (at = first;; at = end + 1) {
		const struct idxset_span *s = idxset_from(&l->set, at);

		if (s && s->lo <= at) {
			end = s->hi < last ? s->hi : last;
			count(m, HEALTH_mapped_twice, end - at + 1);
		} else {
			end = s && s->lo <= last ? s->lo - 1 : last;
			check(m, idxmap_update(&a->pages->idx, at, end, map_idx, &r));
			m->totals.mapped_pages += end - at + 1;
			if (r.step.filling)
				check(m, idxset_add(&a->hooked, at, end));
		}
		if (end == last)
			break;
	}
	check(m, idxset_add(&l->set, first, last));
	if (a->pages->pub.marks & ~marks)
		a->pages->mark = a->fill;
}

/* The iopt_pages is no RAM; what it pins shows that it is. */
static void set_mmio(struct model *m, struct pages *p)
{
	const struct idxmap_span *s;

	p->mmio = true;
	for (s = idxmap_from(&p->idx, 0); s; s = idxmap_from(&p->idx, s->hi + 1))
		count(m, HEALTH_mmio_mixed, s->hi - s->lo + 1);
}

/* Pages of the domain's iovas that are no RAM: known, so that their unmap is, and nothing else. */
static void map_mmio(struct model *m, struct domain *d, struct area *a, const struct event_map *f)
{
	uint64_t lo = f->iova >> PAGE_SHIFT, hi = (f->iova + f->size - 1) >> PAGE_SHIFT;

	if (a && !a->pages->mmio)
		set_mmio(m, a->pages);

	count(m, HEALTH_mmio_pages, hi - lo + 1);
	check(m, idxset_add(&d->mmio, lo, hi));
}

/* Whether there was any. */
static bool unmap_mmio(struct model *m, struct domain *d, uint64_t iova, uint64_t last)
{
	uint64_t lo = iova >> PAGE_SHIFT, hi = last >> PAGE_SHIFT;
	const struct idxset_span *s = idxset_from(&d->mmio, lo);

	if (!s || s->lo > hi)
		return false;
	check(m, idxset_del(&d->mmio, lo, hi));
	return true;
}

void model_on_map(struct model *m, const struct event *ev)
{
	const struct event_map *f = &ev->map;
	struct domain *d = domain_find(&m->objects, f->domain);
	struct area *a = d ? area_at(&m->objects, d->iopt, f->iova) : NULL;
	bool mmio = event_has(ev, map, prot) && f->prot & PROT_MMIO;
	uint64_t first, last;

	if (!d) {
		midlife_map(m, ev, mmio);
		a = mmio ? operations_filling(m) : NULL;
		if (a && !a->pages->mmio && a->pub.iova <= f->iova && f->iova <= a->pub.last)
			set_mmio(m, a->pages);
		return;
	}
	if (mmio) {
		map_mmio(m, d, a, f);
		return;
	}
	if (!a) {
		midlife_range(m, d);
		midlife_ignored_map(m, f);
		return;
	}
	count(m, HEALTH_outside_operation, !operations_fills(m, a, d));
	first = area_index(a, f->iova);
	last = area_index(a, f->iova + f->size - 1);
	if (last > a->last_index) {
		count(m, HEALTH_beyond_area, last - a->last_index);
		last = a->last_index;
	}
	if (a->pages->mmio)
		count(m, HEALTH_mmio_mixed, last - first + 1);
	map_indexes(m, a, d, first, last, f->paddr >> PAGE_SHIFT);
}

/* B3: a map of the fill failed. */
void model_on_map_failed(struct model *m, const struct event *ev)
{
	struct domain *d = domain_find(&m->objects, ev->map_failed.domain);
	struct area *a = d ? area_at(&m->objects, d->iopt, ev->map_failed.iova) : NULL;
	struct ioflush_fill fill;
	uint64_t marks;

	count_failure(m, HEALTH_failed_maps, ev->map_failed.rc);
	if (a)
		operations_undone(m);
	if (!a || !(d->joining || a->filling))
		return;
	fill = area_filled(a, d);
	marks = a->pages->pub.marks;
	for (size_t i = 0; i < m->n; i++) {
		if (m->policies[i]->ops->map_failed)
			m->policies[i]->ops->map_failed(m->policies[i], &fill);
	}
	if (a->pages->pub.marks & ~marks)
		a->pages->mark = a->fill;
}

/* ---- unmap ---- */

static void unmap_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = v->delta + lo;

	v->maps--;
	r->step.span.held = v->held;
	run_at(r, lo, pfn);
	check(r->m, frames_unmap(&r->step, pfn, pfn + (hi - lo)));
	if (!v->maps && !v->held)
		dying_add(r, lo, hi, pfn);
}

/* What d maps of indexes first to last through a leaves it. How many it did not map. */
static uint64_t unmap_indexes(struct model *m, struct area *a, struct domain *d, uint64_t first, uint64_t last)
{
	struct link *l = area_link(a, d);
	uint64_t odd = last - first + 1;
	const struct idxset_span *s;
	struct run r;

	if (!l)
		return odd;
	run_init(&r, m, a, d);
	r.step.span.domain = &d->pub;
	for (s = idxset_from(&l->set, first); s && s->lo <= last; s = idxset_from(&l->set, s->hi + 1)) {
		uint64_t lo = s->lo > first ? s->lo : first, hi = s->hi < last ? s->hi : last;

		odd -= hi - lo + 1;
		check(m, idxmap_update(&a->pages->idx, lo, hi, unmap_idx, &r));
	}
	check(m, idxset_del(&l->set, first, last));
	if (!idxset_from(&l->set, 0))
		area_link_drop(a, l);
	return odd;
}

void model_on_unmap(struct model *m, const struct event *ev)
{
	const struct event_unmap *f = &ev->unmap;
	struct domain *d = domain_find(&m->objects, f->domain);
	uint64_t end = f->iova + f->size - 1, areas = 0, odd = 0, beside = f->size;
	const struct areamap_span *s;
	bool mmio, outside = false;

	if (!d) {
		midlife_stranger(m, f->domain, 0);
		return;
	}
	mmio = unmap_mmio(m, d, f->iova, end);
	for (s = areamap_from(&d->iopt->areas, f->iova); s && s->lo <= end; areas++) {
		struct area *a = s->v.area;
		uint64_t hi = s->hi, from = f->iova > s->lo ? f->iova : s->lo, to = end < hi ? end : hi, unknown;

		unknown = unmap_indexes(m, a, d, area_index(a, from), area_index(a, to));
		odd += a->pages->mmio ? 0 : unknown;
		outside |= !a->pages->mmio && !operations_unmaps(m, a, d);
		operations_touch_area(m, a, false);
		beside -= to - from + 1;
		s = hi < UINT64_MAX ? areamap_from(&d->iopt->areas, hi + 1) : NULL;
	}
	if (!areas && !mmio)
		midlife_range(m, d);
	count(m, HEALTH_beyond_area, areas ? (beside + PAGE_SIZE_BYTES - 1) >> PAGE_SHIFT : 0);
	count(m, HEALTH_outside_operation, outside);
	if (areas)
		operations_undone(m);
	if (odd)
		operations_odd_unmap(m, odd);
	dying_release(m);
}

/* ---- accesses ---- */

static void access_add_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = v->delta + lo;

	r->step.span.held = v->held;
	run_at(r, lo, pfn);
	if (v->known)
		check(r->m, frames_access(&r->step, pfn, pfn + (hi - lo)));
	v->held++;
}

/* How many of the indexes the area does not show. */
static uint64_t beside(const struct area *a, uint64_t first, uint64_t last)
{
	uint64_t lo = first > a->first ? first : a->first, hi = last < a->last_index ? last : a->last_index;

	return last - first + 1 - (lo <= hi ? hi - lo + 1 : 0);
}

void model_on_access_add(struct model *m, const struct event *ev)
{
	const struct event_access_add *f = &ev->access_add;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct run r;

	if (!a) {
		midlife_area(m, f->area, f->pages, f->iopt);
		return;
	}
	check_area(m, a, f->pages, f->iova, a->pub.last);
	count(m, HEALTH_beyond_area, beside(a, f->first, f->last));
	operations_touch_area(m, a, true);
	check(m, pages_access(a->pages, f->first, f->last));
	operations_access(m, a);
	a->accesses++;
	run_init(&r, m, a, NULL);
	check(m, idxmap_update(&a->pages->idx, f->first, f->last, access_add_idx, &r));
}

static void access_remove_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;

	if (!v->held) {
		count(r->m, HEALTH_access_not_held, hi - lo + 1);
		return;
	}
	v->held--;
	if (!v->maps && !v->held)
		dying_add(r, lo, hi, v->known ? v->delta + lo : IOFLUSH_PFN_UNKNOWN);
}

void model_on_access_remove(struct model *m, const struct event *ev)
{
	const struct event_access_remove *f = &ev->access_remove;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct run r;

	if (!a) {
		midlife_area(m, f->area, f->pages, f->iopt);
		return;
	}
	check_area(m, a, f->pages, f->iova, a->pub.last);
	operations_touch_area(m, a, true);
	count(m, HEALTH_access_mismatch, !pages_access_end(a->pages, f->first, f->last) || !a->accesses);
	operations_begin(m, EV_access_remove, f->area, a->iopt, a->pages);
	a->accesses -= a->accesses > 0;
	run_init(&r, m, a, NULL);
	check(m, idxmap_update(&a->pages->idx, f->first, f->last, access_remove_idx, &r));
	dying_release(m);
}
