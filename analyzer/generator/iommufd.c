/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated iommufd: areas, accesses, domains and cuts. See iommufd.h for its objects and invariants. */
#include <string.h>

#include "analyzer/generator/impl.h"

/* --- areas --- */

/* Where an iova belongs among the areas of an iopt: the first that ends at or after it. */
static size_t area_slot(const struct iopt *t, uint64_t iova)
{
	size_t lo = 0, hi = t->nareas, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (t->area[mid]->last < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct area *area_at(const struct iopt *t, uint64_t iova)
{
	size_t i = area_slot(t, iova);

	return i < t->nareas && t->area[i]->iova <= iova ? t->area[i] : NULL;
}

bool sim_iova_free(const struct iopt *t, uint64_t iova, uint64_t size)
{
	size_t i = area_slot(t, iova);

	return i == t->nareas || t->area[i]->iova > iova + size - 1;
}

static void area_insert(struct sim *sim, struct area *a)
{
	struct iopt *t = a->iopt;
	size_t i = area_slot(t, a->iova);

	memmove(&t->area[i + 1], &t->area[i], (t->nareas - i) * sizeof(*t->area));
	t->area[i] = a;
	t->nareas++;
	a->pages->area[a->pages->nareas++] = a;
	a->pos = sim->nareas;
	sim->areas[sim->nareas++] = a;
}

struct pages *sim_pages_new(struct sim *sim, struct region *r, uint64_t start, uint64_t npages)
{
	struct pages *p = sim_pool_take(&sim->pages_pool);

	if (!p)
		return NULL;
	p->id = sim_new_id(sim);
	p->region = r;
	p->start = start;
	p->npages = npages;
	r->users++;
	return p;
}

void sim_pages_put(struct sim *sim, struct pages *p)
{
	struct region *r = p->region;

	if (p->nareas)
		return;
	sim_free_id(sim, p->id);
	sim_pool_give(&sim->pages_pool, p);
	if (!--r->users && !r->kept && sim_below(sim, 2))
		sim_region_free(sim, r);
}

static void area_remove(struct sim *sim, struct area *a)
{
	struct iopt *t = a->iopt;
	struct pages *p = a->pages;
	size_t i = area_slot(t, a->iova);

	t->nareas--;
	memmove(&t->area[i], &t->area[i + 1], (t->nareas - i) * sizeof(*t->area));
	t->freed_iova = a->iova;
	for (i = 0; p->area[i] != a; i++)
		;
	p->area[i] = p->area[--p->nareas];
	sim->areas[a->pos] = sim->areas[--sim->nareas];
	sim->areas[a->pos]->pos = a->pos;
	sim_free_id(sim, a->id);
	sim_pool_give(&sim->area_pool, a);
	sim_pages_put(sim, p);
}

struct area *sim_map(struct sim *sim, struct iopt *t, struct pages *p, uint64_t byte, uint64_t size, uint64_t iova)
{
	struct area *a = sim->nareas < sim->max_areas && p->nareas < SIM_MAX_SHARE ? sim_pool_take(&sim->area_pool) :
										     NULL;
	struct event *ev;
	int64_t rc = 0;

	if (!a) {
		sim_pages_put(sim, p);
		return NULL;
	}
	a->id = sim_new_id(sim);
	a->iopt = t;
	a->pages = p;
	a->iova = iova;
	a->last = iova + size - 1;
	a->first = byte / PAGE_SIZE_BYTES;
	a->last_index = (byte + size - 1) / PAGE_SIZE_BYTES;
	a->page_offset = (uint32_t)(byte % PAGE_SIZE_BYTES);
	a->prot = sim_below(sim, 16) ? 7 : 5;
	area_insert(sim, a);
	ev = sim_emit(sim, EV_area_fill);
	ev->area_fill = (struct event_area_fill){
		.area = a->id,
		.pages = p->id,
		.iopt = t->id,
		.iova = a->iova,
		.last = a->last,
		.first = a->first,
		.last_index = a->last_index,
		.page_offset = a->page_offset,
		.prot = a->prot,
		.npages = p->npages,
		.uptr = p->region->uptr + p->start * PAGE_SIZE_BYTES,
	};
	if (t->ndomains)
		rc = sim_fill(sim, a, t->domain, t->ndomains, sim_chance(sim, sim->o.fail));
	if (!rc && t->ndomains)
		sim_set_storage(a, t->domain[0]);
	ev = sim_emit(sim, EV_area_fill_end);
	ev->area_fill_end.area = a->id;
	ev->area_fill_end.rc = rc;
	if (rc) {
		area_remove(sim, a);
		return NULL;
	}
	return a;
}

/* --- accesses --- */

void sim_release(struct sim *sim, unsigned i)
{
	struct hold h = sim->holds[i];

	sim_emit_access(sim, EV_access_remove, &h);
	sim->holds[i] = sim->holds[--sim->nholds];
	h.area->nholds--;
	h.area->pages->nholds--;
	h.area->pages->region->busy--;
	sim_unpin_holes(sim, h.area->pages, h.first, h.last);
}

void sim_hold(struct sim *sim, struct area *a)
{
	uint64_t n = a->last_index - a->first + 1;
	struct hold h = {.area = a, .first = a->first + sim_below(sim, n)};

	h.last = h.first + sim_below(sim, a->last_index - h.first + 1);
	if (!sim_below(sim, 4)) { /* all of it */
		h.first = a->first;
		h.last = a->last_index;
	}
	if (!sim_below(sim, 4)) /* the same range as another hold, if this area has all of it */
		for (unsigned i = 0; i < sim->nholds; i++)
			if (sim->holds[i].area->pages == a->pages && sim->holds[i].first >= a->first &&
			    sim->holds[i].last <= a->last_index) {
				h.first = sim->holds[i].first;
				h.last = sim->holds[i].last;
				break;
			}
	sim_emit_access(sim, EV_access_add, &h);
	sim->holds[sim->nholds++] = h;
	a->nholds++;
	a->pages->nholds++;
	a->pages->region->busy++;
}

void sim_unmap(struct sim *sim, struct area *a)
{
	struct iopt *t = a->iopt;
	struct domain *storage = a->storage;

	for (unsigned i = sim->nholds; a->nholds && i--;)
		if (sim->holds[i].area == a)
			sim_release(sim, i);
	sim_emit_area(sim, EV_area_unfill, a);
	if (storage) {
		for (unsigned i = 0; i < t->ndomains; i++)
			if (t->domain[i] != storage)
				sim_unmap_range(sim, a, t->domain[i], a->first, a->last_index);
		sim_set_storage(a, NULL);
		sim_unfill(sim, a, storage, a->last_index);
	}
	sim_emit_area(sim, EV_area_unfill_end, a);
	area_remove(sim, a);
}

/* --- domains and devices --- */

static struct device *device_of(struct sim *sim, const struct domain *d)
{
	size_t i = sim_below(sim, sim->ndevices);

	for (size_t n = sim->ndevices; n--; i = i + 1 == sim->ndevices ? 0 : i + 1)
		if (sim->devices[i].domain == d)
			return &sim->devices[i];
	return NULL;
}

static int64_t add_domain_area(struct sim *sim, struct area *a, struct domain *d, bool fail)
{
	struct event *ev = sim_emit(sim, EV_area_add_domain);
	int64_t rc;

	ev->area_add_domain = (struct event_area_add_domain){
		.area = a->id,
		.domain = d->id,
		.pages = a->pages->id,
		.iopt = a->iopt->id,
		.iova = a->iova,
		.last = a->last,
	};
	rc = sim_fill(sim, a, &d, 1, fail);
	ev = sim_emit(sim, EV_area_add_domain_end);
	ev->area_add_domain_end.area = a->id;
	ev->area_add_domain_end.domain = d->id;
	ev->area_add_domain_end.rc = rc;
	if (!rc && !a->storage)
		sim_set_storage(a, d);
	return rc;
}

/* Fills the areas by iova; if one fails, those before it are unfilled again. */
static int64_t add_domain_areas(struct sim *sim, struct iopt *t, struct domain *d, bool fail)
{
	size_t failing = fail ? sim_below(sim, t->nareas + 1) : SIZE_MAX;
	int64_t rc = 0;

	if (fail && failing == t->nareas)
		return RC_IN_USE; /* refused before anything is mapped */
	for (size_t i = 0; i < t->nareas; i++) {
		rc = add_domain_area(sim, t->area[i], d, i == failing);
		if (!rc)
			continue;
		for (size_t j = 0; j < i; j++) {
			if (!t->ndomains)
				sim_set_storage(t->area[j], NULL);
			sim_unfill(sim, t->area[j], d, t->area[j]->last_index);
		}
		break;
	}
	return rc;
}

void sim_attach(struct sim *sim, struct iopt *t)
{
	struct device *dev = device_of(sim, NULL);
	struct domain *d = dev && t->ndomains < sim->o.domains ? sim_pool_take(&sim->domain_pool) : NULL;
	struct event *ev;
	int64_t rc;

	if (!d)
		return;
	d->hwpt = sim_new_id(sim);
	d->id = sim_new_id(sim);
	sim_emit_device(sim, EV_attach, d, dev->name);
	ev = sim_emit(sim, EV_domain_add);
	ev->domain_add.iopt = t->id;
	ev->domain_add.domain = d->id;
	ev->domain_add.coherent = sim_chance(sim, sim->o.coherent);
	if (sim_chance(sim, sim->o.unknown)) {
		ev->domain_add.coherent = 0;
		ev->missing = EVENT_BIT(domain_add, coherent);
	}
	rc = add_domain_areas(sim, t, d, sim_chance(sim, sim->o.fail));
	ev = sim_emit(sim, EV_domain_add_end);
	ev->domain_add_end.iopt = t->id;
	ev->domain_add_end.domain = d->id;
	ev->domain_add_end.rc = rc;
	if (rc) {
		sim_free_id(sim, d->id);
		sim_free_id(sim, d->hwpt);
		sim_pool_give(&sim->domain_pool, d);
		return;
	}
	t->domain[t->ndomains++] = d;
	dev->domain = d;
	d->ndevices = 1;
}

void sim_attach_more(struct sim *sim, struct iopt *t)
{
	struct device *dev = t->ndomains ? device_of(sim, NULL) : NULL;
	struct domain *d;

	if (!dev)
		return;
	d = t->domain[sim_below(sim, t->ndomains)];
	sim_emit_device(sim, EV_attach, d, dev->name);
	dev->domain = d;
	d->ndevices++;
}

static void remove_domain_areas(struct sim *sim, struct iopt *t, struct domain *d)
{
	struct area *a;

	for (size_t i = 0; i < t->nareas; i++) {
		a = t->area[i];
		if (t->ndomains) {
			if (a->storage == d)
				sim_set_storage(a, t->domain[0]);
			sim_unmap_range(sim, a, d, a->first, a->last_index);
		} else {
			sim_set_storage(a, NULL);
			sim_unfill(sim, a, d, a->last_index);
		}
	}
}

void sim_detach(struct sim *sim, struct iopt *t)
{
	unsigned i = t->ndomains ? (unsigned)sim_below(sim, t->ndomains) : 0;
	struct domain *d = t->ndomains ? t->domain[i] : NULL;
	struct device *dev = d ? device_of(sim, d) : NULL;
	struct event *ev;

	if (!dev)
		return;
	sim_emit_device(sim, EV_detach, d, dev->name);
	dev->domain = NULL;
	if (--d->ndevices)
		return;
	ev = sim_emit(sim, EV_domain_remove);
	ev->domain_remove.iopt = t->id;
	ev->domain_remove.domain = d->id;
	t->domain[i] = t->domain[--t->ndomains];
	remove_domain_areas(sim, t, d);
	ev = sim_emit(sim, EV_domain_remove_end);
	ev->domain_remove_end.iopt = t->id;
	ev->domain_remove_end.domain = d->id;
	sim_free_id(sim, d->id);
	sim_free_id(sim, d->hwpt);
	sim_pool_give(&sim->domain_pool, d);
}

void sim_renew_iopt(struct sim *sim, struct iopt *t)
{
	if (t->nareas || t->ndomains)
		return;
	sim_free_id(sim, t->id);
	t->id = sim_new_id(sim);
}

/* --- cut --- */

/* The last byte of a page inside the area, sometimes a byte that the kernel refuses or has nothing to do at. */
static uint64_t cut_iova(struct sim *sim, const struct area *a)
{
	uint64_t n = a->last_index - a->first;

	switch (sim_below(sim, 16)) {
	case 0:
		return a->last + (1 + sim_below(sim, 64)) * PAGE_SIZE_BYTES; /* likely no area */
	case 1:
		return a->last;
	case 2:
		return n ? sim_index_iova(a, a->first + 1 + sim_below(sim, n)) + 511 : a->last;
	default:
		return n ? sim_index_iova(a, a->first + 1 + sim_below(sim, n)) - 1 : a->last;
	}
}

/* false: refused; the cuts after it are not made. */
static bool split(struct sim *sim, struct area *a, uint64_t iova)
{
	uint64_t offset = iova + 1 - a->iova + a->page_offset, old = a->id;
	struct area *right;

	if (iova == a->iova || iova == a->last)
		return true;
	if (a->nholds || offset % PAGE_SIZE_BYTES)
		return false;
	right = sim_pool_take(&sim->area_pool); /* sim_cut() has checked that there is one */
	if (!right)
		return false;
	a->id = sim_new_id(sim);
	*right = *a;
	right->id = sim_new_id(sim);
	right->iova = iova + 1;
	right->first = a->first + offset / PAGE_SIZE_BYTES;
	right->page_offset = 0;
	right->storage = NULL;
	a->last = iova;
	a->last_index = right->first - 1;
	area_insert(sim, right);
	sim_set_storage(right, a->storage);
	sim_free_id(sim, old);
	return true;
}

static bool may_split(const struct area *a)
{
	return !a || a->pages->nareas + 2 <= SIM_MAX_SHARE;
}

void sim_cut(struct sim *sim, struct area *a)
{
	struct iopt *t = a->iopt;
	uint64_t iova[2] = {cut_iova(sim, a), 0};
	unsigned n = 1 + (unsigned)sim_below(sim, 2);
	struct event *ev;

	if (n == 2)
		iova[1] = cut_iova(sim, sim_below(sim, 2) ? a : t->area[sim_below(sim, t->nareas)]);
	for (unsigned i = 0; i < n; i++)
		if (!may_split(area_at(t, iova[i])))
			return;
	if (sim->nareas + n > sim->max_areas)
		return;
	ev = sim_emit(sim, EV_cut);
	ev->cut.iopt = t->id;
	ev->cut.num_iovas = n;
	ev->cut.iova0 = iova[0];
	if (n == 2)
		ev->cut.iova1 = iova[1];
	else
		ev->missing = EVENT_BIT(cut, iova1);
	for (unsigned i = 0; i < n; i++) {
		a = area_at(t, iova[i]);
		if (a && !split(sim, a, iova[i]))
			break;
	}
}
