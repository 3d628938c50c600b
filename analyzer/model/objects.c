/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lifetimes and lookups of iommufd's objects; see objects.h. */
#include "analyzer/model/objects.h"

#include <stdlib.h>

#include "base/grow.h"

/* What objects in a hash table take. */
#define IOPT_MEMORY (sizeof(struct iopt) + BUDGET_HASHED)
#define DOMAIN_MEMORY (sizeof(struct domain) + BUDGET_HASHED)
#define PAGES_MEMORY (sizeof(struct pages) + BUDGET_HASHED)
#define AREA_MEMORY (sizeof(struct area) + BUDGET_HASHED)
#define DEVICE_MEMORY (sizeof(struct device) + BUDGET_HASHED)

/* ---- sets of indexes ---- */

static void member_set(void *ctx, uint64_t lo, uint64_t hi, struct member *v)
{
	(void)lo;
	(void)hi;
	v->in = *(const uint64_t *)ctx;
}

int idxset_add(struct idxset *s, uint64_t lo, uint64_t hi)
{
	uint64_t in = 1;

	return idxset_update(s, lo, hi, member_set, &in);
}

int idxset_del(struct idxset *s, uint64_t lo, uint64_t hi)
{
	uint64_t in = 0;

	return idxset_update(s, lo, hi, member_set, &in);
}

/* ---- iopts ---- */

struct iopt *iopt_find(const struct objects *o, uint64_t id)
{
	struct iopt *iopt;

	HASH_FIND(hh, o->iopts, &id, sizeof(id), iopt);
	return iopt;
}

struct iopt *iopt_get(struct objects *o, uint64_t id)
{
	struct iopt *iopt = iopt_find(o, id);

	if (iopt)
		return iopt;
	iopt = budget_alloc(o->budget, IOPT_MEMORY);
	if (!iopt)
		return NULL;
	iopt->budget = iopt->areas.budget = o->budget;
	iopt->pub.id = id;
	iopt->serial = ++o->serial;
	HASH_ADD(hh, o->iopts, pub.id, sizeof(id), iopt);
	if (!iopt->hh.tbl) {
		budget_free(o->budget, iopt, IOPT_MEMORY);
		return NULL;
	}
	return iopt;
}

void iopt_put(struct objects *o, struct iopt *iopt)
{
	if (iopt->live || areamap_from(&iopt->areas, 0))
		return;
	HASH_DEL(o->iopts, iopt);
	areamap_clear(&iopt->areas);
	budget_free(o->budget, iopt->waiting, iopt->waiting_cap * sizeof(*iopt->waiting));
	budget_free(o->budget, iopt->domain, iopt->cap * sizeof(struct domain *));
	budget_free(o->budget, iopt, IOPT_MEMORY);
}

/* ---- domains ---- */

struct domain *domain_find(const struct objects *o, uint64_t id)
{
	struct domain *d;

	HASH_FIND(hh, o->domains, &id, sizeof(id), d);
	return d;
}

struct domain *domain_new(struct objects *o, struct iopt *iopt, uint64_t id, bool noncoherent)
{
	struct domain *d = budget_alloc(o->budget, DOMAIN_MEMORY);

	if (!d)
		return NULL;
	d->pub.id = id;
	d->pub.noncoherent = noncoherent;
	d->serial = ++o->serial;
	d->iopt = iopt;
	d->joining = true;
	d->mmio.budget = o->budget;
	HASH_ADD(hh, o->domains, pub.id, sizeof(id), d);
	if (!d->hh.tbl) {
		budget_free(o->budget, d, DOMAIN_MEMORY);
		return NULL;
	}
	iopt->live++;
	iopt->changing++;
	return d;
}

int domain_joined(struct domain *d)
{
	struct iopt *iopt = d->iopt;

	if (!grow_within(iopt->budget, iopt->domain, iopt->pub.domains, iopt->cap, 2u))
		return -1;
	iopt->domain[iopt->pub.domains++] = d;
	d->joining = false;
	iopt->changing--;
	return 0;
}

void domain_leaves(struct domain *d)
{
	struct iopt *iopt = d->iopt;
	const struct areamap_span *s;
	uint32_t i;

	for (i = 0; i < iopt->pub.domains && iopt->domain[i] != d; i++)
		;
	if (i < iopt->pub.domains)
		iopt->domain[i] = iopt->domain[--iopt->pub.domains];
	iopt->changing += !d->joining && !d->leaving;
	d->joining = false;
	d->leaving = true;
	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL) {
		struct area *a = s->v.area;

		for (int r = 0; r < IOFLUSH_STORAGE_RULES; r++) {
			if (a->storage[r] == d)
				a->storage[r] = iopt_storage(iopt, r);
		}
		for (int r = 1; r < IOFLUSH_STORAGE_RULES; r++) {
			if (!a->storage[0] || !a->storage[r])
				a->storage[r] = a->storage[0];
		}
		if (!a->storage[0])
			a->pages->source_stale = true;
	}
}

void domain_end(struct objects *o, struct domain *d)
{
	struct device *dev = device_find(o, d->pub.id);
	struct iopt *iopt = d->iopt;

	if (dev) {
		HASH_DEL(o->devices, dev);
		budget_free(o->budget, dev, DEVICE_MEMORY);
	}
	HASH_DEL(o->domains, d);
	iopt->changing -= d->joining || d->leaving;
	idxset_clear(&d->mmio);
	budget_free(o->budget, d, DOMAIN_MEMORY);
	iopt->live--;
	iopt_put(o, iopt);
}

/* ---- pages ---- */

struct pages *pages_find(const struct objects *o, uint64_t id)
{
	struct pages *p;

	HASH_FIND(hh, o->pages, &id, sizeof(id), p);
	return p;
}

struct pages *pages_get(struct objects *o, uint64_t id)
{
	struct pages *p = pages_find(o, id);

	if (p)
		return p;
	p = budget_alloc(o->budget, PAGES_MEMORY);
	if (!p)
		return NULL;
	p->budget = p->idx.budget = p->was.budget = o->budget;
	p->pub.id = id;
	p->serial = ++o->serial;
	HASH_ADD(hh, o->pages, pub.id, sizeof(id), p);
	if (!p->hh.tbl) {
		budget_free(o->budget, p, PAGES_MEMORY);
		return NULL;
	}
	return p;
}

/* ---- accesses ---- */

#define ACCESS_MEMORY (sizeof(struct access) + BUDGET_HASHED)

static struct access *access_find(const struct pages *p, const struct access_range *r)
{
	struct access *x;

	HASH_FIND(hh, p->accesses, r, sizeof(*r), x);
	return x;
}

static struct access_range access_range(uint64_t first, uint64_t last)
{
	return (struct access_range){first ^ last << 20 ^ last >> 44, first, last};
}

static void access_end(struct pages *p, struct access *x)
{
	HASH_DEL(p->accesses, x);
	budget_free(p->budget, x, ACCESS_MEMORY);
}

int pages_access(struct pages *p, uint64_t first, uint64_t last)
{
	const struct access_range r = access_range(first, last);
	struct access *x = access_find(p, &r);

	if (!x) {
		x = budget_alloc(p->budget, ACCESS_MEMORY);
		if (!x)
			return -1;
		x->range = r;
		HASH_ADD(hh, p->accesses, range, sizeof(x->range), x);
		if (!x->hh.tbl) {
			budget_free(p->budget, x, ACCESS_MEMORY);
			return -1;
		}
	}
	x->users++;
	return 0;
}

bool pages_access_end(struct pages *p, uint64_t first, uint64_t last)
{
	const struct access_range r = access_range(first, last);
	struct access *x = access_find(p, &r);

	if (!x)
		return false;
	if (!--x->users)
		access_end(p, x);
	return true;
}

void pages_end(struct objects *o, struct pages *p)
{
	struct access *x, *next;

	HASH_ITER(hh, p->accesses, x, next)
		access_end(p, x);
	HASH_DEL(o->pages, p);
	idxmap_clear(&p->idx);
	wasmap_clear(&p->was);
	budget_free(o->budget, p->area, p->areas_cap * sizeof(struct area *));
	budget_free(o->budget, p->source, p->source_cap * sizeof(*p->source));
	budget_free(o->budget, p, PAGES_MEMORY);
}

/* ---- devices ---- */

struct device *device_find(const struct objects *o, uint64_t domain)
{
	struct device *dev;

	HASH_FIND(hh, o->devices, &domain, sizeof(domain), dev);
	return dev;
}

struct device *device_get(struct objects *o, uint64_t domain)
{
	struct device *dev = device_find(o, domain);

	if (dev)
		return dev;
	dev = budget_alloc(o->budget, DEVICE_MEMORY);
	if (!dev)
		return NULL;
	dev->domain = domain;
	HASH_ADD(hh, o->devices, domain, sizeof(domain), dev);
	if (dev->hh.tbl)
		return dev;
	budget_free(o->budget, dev, DEVICE_MEMORY);
	return NULL;
}

/* ---- areas ---- */

uint64_t area_index(const struct area *a, uint64_t iova)
{
	/* at most 2^64 - 1 + 4095: the parts are shifted apart, so that nothing wraps */
	uint64_t off = iova - a->pub.iova;

	return a->first + (off >> PAGE_SHIFT) + (((off & (PAGE_SIZE_BYTES - 1)) + a->page_offset) >> PAGE_SHIFT);
}

uint64_t area_index_iova(const struct area *a, uint64_t idx)
{
	return idx == a->first ? a->pub.iova : a->pub.iova - a->page_offset + ((idx - a->first) << PAGE_SHIFT);
}

struct link *area_link(const struct area *a, const struct domain *d)
{
	for (size_t i = 0; i < a->nlinks; i++) {
		if (a->link[i].domain == d)
			return &a->link[i];
	}
	return NULL;
}

uint64_t area_unmapped(const struct area *a, const struct domain *d)
{
	uint64_t n = a->last_index - a->first + 1;
	const struct link *l = area_link(a, d);
	const struct idxset_span *s;

	for (s = l ? idxset_from(&l->set, 0) : NULL; s; s = idxset_from(&l->set, s->hi + 1))
		n -= s->hi - s->lo + 1;
	return n;
}

struct link *area_link_get(struct area *a, const struct domain *d)
{
	struct link *l = area_link(a, d);

	if (l || !grow_within(a->budget, a->link, a->nlinks, a->links_cap, 2u))
		return l;
	l = &a->link[a->nlinks++];
	memset(l, 0, sizeof(*l));
	l->domain = d;
	l->set.budget = a->budget;
	return l;
}

void area_link_drop(struct area *a, struct link *l)
{
	idxset_clear(&l->set);
	*l = a->link[--a->nlinks];
}

static void areamap_set(void *ctx, uint64_t lo, uint64_t hi, struct areap *v)
{
	(void)lo;
	(void)hi;
	v->area = ctx;
}

/* Gives the area its id; an area that had it is found only by iova from now on. */
static int area_bind(struct objects *o, struct area *a, uint64_t id)
{
	struct area *old = area_by_id(o, id);

	if (a->pub.id)
		HASH_DEL(o->areas, a);
	if (old && old != a) {
		HASH_DEL(o->areas, old);
		old->pub.id = 0;
	}
	a->pub.id = id;
	if (!id)
		return 0;
	HASH_ADD(hh, o->areas, pub.id, sizeof(id), a);
	if (!a->hh.tbl)
		a->pub.id = 0;
	return a->pub.id ? 0 : -1;
}

/* Enters a in its iopt and pages. */
static int area_enter(struct area *a)
{
	struct pages *p = a->pages;

	if (!grow_within(p->budget, p->area, p->nareas, p->areas_cap, 2u) ||
	    areamap_update(&a->iopt->areas, a->pub.iova, a->pub.last, areamap_set, a))
		return -1;
	a->slot = p->nareas;
	p->area[p->nareas++] = a;
	return 0;
}

static struct area *area_alloc(struct objects *o)
{
	struct area *a = budget_alloc(o->budget, AREA_MEMORY);

	if (a)
		a->budget = a->hooked.budget = o->budget;
	return a;
}

static void area_free(struct area *a)
{
	while (a->nlinks)
		area_link_drop(a, a->link);
	budget_free(a->budget, a->link, a->links_cap * sizeof(*a->link));
	idxset_clear(&a->hooked);
	budget_free(a->budget, a, AREA_MEMORY);
}

struct area *area_new(struct objects *o, struct iopt *iopt, struct pages *pages, const struct event_area_fill *f)
{
	struct area *a = area_alloc(o);

	if (!a)
		return NULL;
	a->iopt = iopt;
	a->pages = pages;
	a->pub.iova = f->iova;
	a->pub.last = f->last;
	a->first = f->first;
	a->last_index = f->last_index;
	a->page_offset = f->page_offset;
	a->filling = true;
	if (area_enter(a)) {
		area_free(a);
		return NULL;
	}
	return area_bind(o, a, f->area) ? NULL : a;
}

struct area *area_by_id(const struct objects *o, uint64_t id)
{
	struct area *a = NULL;

	if (id)
		HASH_FIND(hh, o->areas, &id, sizeof(id), a);
	return a;
}

struct area *area_at(struct objects *o, const struct iopt *iopt, uint64_t iova)
{
	const struct areamap_span *s;
	struct area *a = o->recent;

	if (a && a->iopt == iopt && a->pub.iova <= iova && iova <= a->pub.last)
		return a;
	s = areamap_at(&iopt->areas, iova);
	if (s)
		o->recent = s->v.area;
	return s ? s->v.area : NULL;
}

struct area *area_of(struct objects *o, uint64_t id, uint64_t iopt_id, uint64_t iova)
{
	struct area *a = area_by_id(o, id);
	struct iopt *iopt;

	if (a && a->pub.iova == iova && a->iopt->pub.id == iopt_id)
		return a;
	iopt = iopt_find(o, iopt_id);
	a = iopt ? area_at(o, iopt, iova) : NULL;
	/* a half of a cut shows its pointer here for the first time */
	if (a && a->pub.iova == iova && a->pub.id != id)
		area_bind(o, a, id);
	return a;
}

void area_sure(struct area *a, bool known)
{
	if (!a->unsure)
		return;
	a->unsure = false;
	a->pages->unsure--;
	a->pages->tainted |= !known;
}

void area_end(struct objects *o, struct area *a)
{
	struct pages *p = a->pages;

	area_sure(a, false);
	if (o->recent == a)
		o->recent = NULL;
	area_bind(o, a, 0);
	/* taking a span out never needs memory: it ends where it began */
	areamap_update(&a->iopt->areas, a->pub.iova, a->pub.last, areamap_set, NULL);
	p->area[a->slot] = p->area[--p->nareas];
	p->area[a->slot]->slot = a->slot;
	if (a->storage[0])
		p->source_stale = true;
	area_free(a);
}

/* Moves what lies at or above index from the left to the right half's set. */
static int idxset_move(struct idxset *left, struct idxset *right, uint64_t from)
{
	const struct idxset_span *s;

	for (s = idxset_from(left, from); s; s = idxset_from(left, s->hi + 1)) {
		if (idxset_add(right, s->lo > from ? s->lo : from, s->hi))
			return -1;
	}
	return idxset_del(left, from, UINT64_MAX >> 1);
}

struct area *area_split(struct objects *o, struct area *a, uint64_t cut)
{
	struct area *r = area_alloc(o);

	if (!r)
		return NULL;
	area_bind(o, a, 0);
	r->iopt = a->iopt;
	r->pages = a->pages;
	r->pub.iova = cut + 1;
	r->pub.last = a->pub.last;
	r->pub.marks = a->pub.marks;
	r->first = area_index(a, cut) + 1;
	r->last_index = a->last_index;
	r->mark = a->mark;
	memcpy(r->storage, a->storage, sizeof(r->storage));
	r->storage_since = a->storage_since = ++o->serial;
	a->pub.last = cut;
	a->last_index = r->first - 1;
	a->pub.req = 0;
	a->pages->source_stale = true;
	if (area_enter(r)) {
		area_free(r);
		return NULL;
	}
	for (size_t i = 0; i < a->nlinks; i++) {
		struct link *l = area_link_get(r, a->link[i].domain);

		if (!l || idxset_move(&a->link[i].set, &l->set, r->first))
			return NULL;
	}
	return r;
}

/* ---- the end ---- */

void objects_clear(struct objects *o)
{
	struct pages *p, *next_pages;
	struct domain *d, *next_domain;
	struct iopt *iopt, *next_iopt;
	struct device *dev, *next_dev;

	HASH_ITER(hh, o->pages, p, next_pages) {
		while (p->nareas)
			area_end(o, p->area[p->nareas - 1]);
		pages_end(o, p);
	}
	HASH_ITER(hh, o->domains, d, next_domain) {
		HASH_DEL(o->domains, d);
		idxset_clear(&d->mmio);
		budget_free(o->budget, d, DOMAIN_MEMORY);
	}
	HASH_ITER(hh, o->iopts, iopt, next_iopt) {
		iopt->live = 0;
		iopt_put(o, iopt);
	}
	HASH_ITER(hh, o->devices, dev, next_dev) {
		HASH_DEL(o->devices, dev);
		budget_free(o->budget, dev, DEVICE_MEMORY);
	}
}
