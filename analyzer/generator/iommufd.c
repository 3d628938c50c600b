/*
 * The simulated iommufd: see iommufd.h for its objects and invariants. Numbers of errors and all arithmetic are
 * spelled out here: the same options give the same bytes everywhere.
 */
#include "analyzer/generator/iommufd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 512 /* runs in one batch, at most */

enum { RC_NOMEM = -12, RC_FAULT = -14, RC_IN_USE = -98 };

/* --- numbers --- */

static uint64_t rotl(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

static uint64_t splitmix(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* xoshiro256**, by David Blackman and Sebastiano Vigna (public domain algorithm). */
static uint64_t draw(struct sim *sim)
{
	uint64_t *s = sim->random, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
	return (draw(sim) >> 32) * n >> 32;
}

bool sim_chance(struct sim *sim, uint32_t thousandths)
{
	return thousandths && sim_below(sim, 1000) < thousandths;
}

/* --- memory of the generator itself --- */

static bool push(struct sim *sim, struct stack *s, uint64_t v)
{
	uint64_t *grown;

	if (s->n == s->cap) {
		grown = realloc(s->v, (s->cap ? s->cap * 2 : 64) * sizeof(*grown));
		if (!grown) {
			sim->no_memory = true;
			return false;
		}
		s->v = grown;
		s->cap = s->cap ? s->cap * 2 : 64;
	}
	s->v[s->n++] = v;
	return true;
}

static bool pool_init(struct pool *p, size_t size, size_t cap)
{
	p->size = size;
	p->cap = cap;
	p->mem = calloc(cap, size);
	return p->mem;
}

/* Zeroed, or NULL: all are in use. The one freed last comes first, as from a slab. */
static void *pool_take(struct pool *p)
{
	void *obj = p->free;

	if (obj)
		p->free = *(void **)obj;
	else if (p->used < p->cap)
		obj = p->mem + p->size * p->used++;
	else
		return NULL;
	return memset(obj, 0, p->size);
}

static void pool_give(struct pool *p, void *obj)
{
	*(void **)obj = p->free;
	p->free = obj;
}

/*
 * Kernel pointers of objects: one cache for all kinds, the one freed last given first, so that an address that named a
 * pages may name an area next.
 */
static uint64_t new_id(struct sim *sim)
{
	if (sim->free_ids.n)
		return sim->free_ids.v[--sim->free_ids.n];
	return 0xffff888100000000 + 0x100 * sim->next_id++;
}

static void free_id(struct sim *sim, uint64_t id)
{
	push(sim, &sim->free_ids, id);
}

/* --- events --- */

static bool queue_grow(struct sim *sim)
{
	size_t cap = sim->cap ? sim->cap * 2 : 1024;
	struct event *grown = realloc(sim->queue, cap * sizeof(*grown));

	if (!grown) {
		sim->no_memory = true;
		return false;
	}
	sim->queue = grown;
	sim->cap = cap;
	return true;
}

/* Never NULL: without memory what is written is thrown away, and the next read says so. */
static struct event *emit(struct sim *sim, enum event_kind kind)
{
	const struct thread *th = &sim->thread[sim->now];
	struct event *ev = &sim->scratch;

	if (sim->tail < sim->cap || queue_grow(sim))
		ev = &sim->queue[sim->tail++];
	memset(ev, 0, sizeof(*ev));
	sim->t += 120 + (draw(sim) >> 53);
	sim->emitted++;
	ev->t = sim->t;
	ev->cpu = th->cpu;
	ev->tid = th->tid;
	ev->comm = th->comm;
	ev->kind = (uint8_t)kind;
	return ev;
}

void sim_begin(struct sim *sim)
{
	uint64_t r = draw(sim);

	sim->now = (unsigned)(r % SIM_THREADS);
	if (!(r >> 8 & 15))
		sim->thread[sim->now].cpu = (uint32_t)(r >> 16 & 7);
	sim->t += 1000 + (r >> 48);
}

static void emit_area(struct sim *sim, enum event_kind kind, const struct area *a)
{
	struct event *ev = emit(sim, kind);

	/* area_unfill and area_unfill_end have the same fields in the same order */
	ev->area_unfill.area = a->id;
	ev->area_unfill.pages = a->pages->id;
	ev->area_unfill.iopt = a->iopt->id;
	ev->area_unfill.iova = a->iova;
	ev->area_unfill.last = a->last;
}

static void emit_access(struct sim *sim, enum event_kind kind, const struct hold *h)
{
	struct event *ev = emit(sim, kind);

	ev->access_add.area = h->area->id;
	ev->access_add.pages = h->area->pages->id;
	ev->access_add.iopt = h->area->iopt->id;
	ev->access_add.iova = h->area->iova;
	ev->access_add.first = h->first;
	ev->access_add.last = h->last;
}

static void emit_device(struct sim *sim, enum event_kind kind, const struct domain *d, uint32_t name)
{
	struct event *ev = emit(sim, kind);

	/* attach and detach have the same fields in the same order */
	ev->attach.hwpt = d->hwpt;
	ev->attach.domain = d->id;
	ev->attach.device = name;
}

/* --- physical memory --- */

static uint64_t frames_take(struct sim *sim, unsigned order)
{
	struct stack *s = &sim->free_frames[order];
	uint64_t n = 1ull << order, pfn;

	if (s->n)
		return s->v[--s->n];
	pfn = (sim->next_pfn + n - 1) & ~(n - 1);
	sim->next_pfn = pfn + n;
	return pfn;
}

/* How long the next run may be. A VM's memory is huge pages, with parts that are fragmented. */
static unsigned pick_order(struct sim *sim, uint64_t rest)
{
	unsigned max = sim->o.run_order, order;

	if (sim->o.shape != GENERATE_VMBOOT || max < 9) {
		order = (unsigned)sim_below(sim, max + 1);
	} else if (sim->fragments) {
		sim->fragments--;
		order = (unsigned)sim_below(sim, 2);
	} else {
		order = 9 + (unsigned)sim_below(sim, max - 8);
		if (!sim_below(sim, 8))
			sim->fragments = 64 + (unsigned)sim_below(sim, 192);
	}
	while (order && 1ull << order > rest)
		order--;
	return order;
}

static void region_unback(struct sim *sim, struct region *r)
{
	for (size_t i = 0; i < r->nruns; i++)
		push(sim, &sim->free_frames[r->run[i].order], r->run[i].pfn);
	r->nruns = 0;
	r->hint = 0;
}

static void region_back(struct sim *sim, struct region *r)
{
	struct run *grown;
	uint64_t lo, n;
	unsigned order;

	for (lo = 0; lo < r->npages; lo += n) {
		if (r->nruns == r->cap) {
			grown = realloc(r->run, (r->cap ? r->cap * 2 : 8) * sizeof(*grown));
			if (!grown) {
				sim->no_memory = true;
				return;
			}
			r->run = grown;
			r->cap = r->cap ? r->cap * 2 : 8;
		}
		order = pick_order(sim, r->npages - lo);
		n = 1ull << order;
		if (n > 1 && order < 9 && !sim_below(sim, 4))
			n = 1 + sim_below(sim, n);
		r->run[r->nruns++] = (struct run){.lo = lo, .n = n, .pfn = frames_take(sim, order), .order = order};
	}
}

struct region *sim_region_new(struct sim *sim, uint64_t npages)
{
	struct region *r;

	if (sim->nregions == sim->max_regions)
		return NULL;
	r = pool_take(&sim->region_pool);
	if (!r)
		return NULL;
	r->npages = npages;
	r->uptr = 0x7f0000000000 + sim->next_uptr * PAGE_SIZE_BYTES;
	sim->next_uptr = (sim->next_uptr + npages + sim_below(sim, 64)) & ((1ull << 27) - 1);
	sim->memory += npages;
	r->pos = sim->nregions;
	sim->regions[sim->nregions++] = r;
	region_back(sim, r);
	return r;
}

void sim_region_free(struct sim *sim, struct region *r)
{
	region_unback(sim, r);
	free(r->run);
	sim->memory -= r->npages;
	sim->regions[r->pos] = sim->regions[--sim->nregions];
	sim->regions[r->pos]->pos = r->pos;
	pool_give(&sim->region_pool, r);
}

void sim_migrate(struct sim *sim, struct region *r)
{
	region_unback(sim, r);
	region_back(sim, r);
}

/* The run that page at of the region lies in. */
static size_t run_find(struct region *r, uint64_t at)
{
	size_t lo = 0, hi = r->nruns, mid;

	for (size_t i = r->hint; i < r->nruns && i < r->hint + 2; i++)
		if (at >= r->run[i].lo && at < r->run[i].lo + r->run[i].n)
			return r->hint = i;
	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (r->run[mid].lo <= at)
			lo = mid;
		else
			hi = mid;
	}
	return r->hint = lo;
}

/* How many pages from idx on, up to last, lie one after the other in memory; the first in *pfn. */
static uint64_t extent(const struct pages *p, uint64_t idx, uint64_t last, uint64_t *pfn)
{
	struct region *r = p->region;
	uint64_t at = p->start + idx, want = last - idx + 1, n;
	size_t i = run_find(r, at);

	*pfn = r->run[i].pfn + (at - r->run[i].lo);
	n = r->run[i].lo + r->run[i].n - at;
	while (n < want && i + 1 < r->nruns && r->run[i + 1].pfn == *pfn + n)
		n += r->run[++i].n;
	return sim_min(n, want);
}

/* The last index of the batch that begins at from: up to runs extents. */
static uint64_t batch_last(const struct pages *p, uint64_t from, uint64_t last, unsigned runs)
{
	uint64_t pfn, at = from;

	if (last - from < runs)
		return last;
	while (runs-- && at <= last)
		at += extent(p, at, last, &pfn);
	return at - 1;
}

/* --- who covers an index --- */

static void set_storage(struct area *a, struct domain *d)
{
	struct region *r = a->pages->region;

	r->busy = r->busy + (d != NULL) - (a->storage != NULL);
	a->storage = d;
}

/* If a cover [first, last] holds *lo, moves *lo behind it (true); else keeps *hi before it. */
static bool hole_cut(uint64_t first, uint64_t last, uint64_t *lo, uint64_t *hi)
{
	if (first <= *lo && *lo <= last) {
		*lo = last + 1;
		return true;
	}
	if (first > *lo && first <= *hi)
		*hi = first - 1;
	return false;
}

/* The first span of indexes in [from, last] that no stored area and no hold covers, in *lo and *hi. */
static bool next_hole(const struct sim *sim, const struct pages *p, uint64_t from, uint64_t last, uint64_t *lo,
		      uint64_t *hi)
{
	bool moved = true;

	for (*lo = from; moved && *lo <= last;) {
		moved = false;
		*hi = last;
		for (unsigned i = 0; i < p->nareas; i++)
			if (p->area[i]->storage && hole_cut(p->area[i]->first, p->area[i]->last_index, lo, hi))
				moved = true;
		for (unsigned i = 0; p->nholds && i < sim->nholds; i++)
			if (sim->holds[i].area->pages == p && hole_cut(sim->holds[i].first, sim->holds[i].last, lo, hi))
				moved = true;
	}
	return *lo <= last;
}

/* --- map, unmap, unpin --- */

static uint64_t index_iova(const struct area *a, uint64_t idx)
{
	return idx == a->first ? a->iova : a->iova - a->page_offset + (idx - a->first) * PAGE_SIZE_BYTES;
}

static uint64_t index_iova_last(const struct area *a, uint64_t idx)
{
	return idx == a->last_index ? a->last : index_iova(a, idx + 1) - 1;
}

static void map_extent(struct sim *sim, const struct area *a, const struct domain *d, uint64_t idx, uint64_t n,
		       uint64_t pfn)
{
	struct event *ev = emit(sim, EV_map);

	ev->map.domain = d->id;
	ev->map.iova = index_iova(a, idx);
	ev->map.paddr = pfn * PAGE_SIZE_BYTES + (idx == a->first ? a->page_offset : 0);
	ev->map.size = index_iova_last(a, idx + n - 1) - ev->map.iova + 1;
	ev->map.prot = a->prot;
}

static void unmap_range(struct sim *sim, const struct area *a, const struct domain *d, uint64_t lo, uint64_t hi)
{
	struct event *ev = emit(sim, EV_unmap);

	ev->unmap.domain = d->id;
	ev->unmap.iova = index_iova(a, lo);
	ev->unmap.size = index_iova_last(a, hi) - ev->unmap.iova + 1;
}

static void unpin_range(struct sim *sim, const struct pages *p, uint64_t lo, uint64_t hi)
{
	struct event *ev;
	uint64_t n, pfn;

	for (; lo <= hi; lo += n) {
		n = extent(p, lo, hi, &pfn);
		ev = emit(sim, EV_unpin);
		ev->unpin.pfn = pfn;
		ev->unpin.npages = n;
	}
}

static void unpin_holes(struct sim *sim, const struct pages *p, uint64_t first, uint64_t last)
{
	uint64_t lo, hi;

	for (; next_hole(sim, p, first, last, &lo, &hi); first = hi + 1) {
		unpin_range(sim, p, lo, hi);
		if (hi == last)
			break;
	}
}

/*
 * Indexes first to last of an area, which is not stored or has another domain as well, leave the domain; what nothing else
 * covers is unpinned, never before it is unmapped. An unmap cannot stop inside a contiguous run, so it reads ahead to
 * the end of the one that a batch of a hole ends in. What is covered is unmapped along with what lies about it.
 */
static void unfill_span(struct sim *sim, const struct area *a, const struct domain *d, uint64_t last)
{
	uint64_t unmapped = a->first, from = a->first, lo, hi, to, end, pfn; /* [first, unmapped) is */

	while (from <= last && next_hole(sim, a->pages, from, last, &lo, &hi)) {
		for (; lo <= hi; lo = to + 1) {
			to = batch_last(a->pages, lo, hi, RUNS_MAX);
			end = to + extent(a->pages, to, last, &pfn);
			if (end > unmapped) {
				unmap_range(sim, a, d, unmapped, end - 1);
				unmapped = end;
			}
			unpin_range(sim, a->pages, lo, to);
		}
		from = hi + 1;
	}
	if (unmapped <= last)
		unmap_range(sim, a, d, unmapped, last);
}

/* --- fill --- */

/* When a fill is to fail: at this map, or when it has pinned so many batches. */
struct failure {
	uint64_t maps, batches;
};

static struct failure plan_failure(struct sim *sim, const struct area *a, unsigned ndomains, bool fail)
{
	struct failure f = {UINT64_MAX, UINT64_MAX};

	if (!fail)
		return f;
	if (!sim_below(sim, 3))
		f.batches = sim_below(sim, 4) ? 1 : 0;
	else
		f.maps = sim_below(sim, 1 + sim_min(a->last_index - a->first + 1, 8) * ndomains);
	return f;
}

/* Maps a batch into a domain; returns the index where it failed, or last + 1. */
static uint64_t map_batch(struct sim *sim, const struct area *a, const struct domain *d, uint64_t at, uint64_t last,
			  uint64_t *maps_left)
{
	uint64_t n, pfn;

	for (; at <= last && *maps_left; at += n, (*maps_left)--) {
		n = extent(a->pages, at, last, &pfn);
		map_extent(sim, a, d, at, n, pfn);
	}
	return at;
}

/*
 * Undoes a fill that failed: domains before k have all before end, the others all before from. Only the last domain's
 * unmaps unpin.
 */
static void fill_undo(struct sim *sim, const struct area *a, struct domain *const *d, unsigned n, unsigned k,
		      uint64_t from, uint64_t end)
{
	uint64_t upto;

	for (unsigned i = 0; i < n; i++) {
		upto = i < k ? end : from;
		if (upto == a->first)
			continue;
		if (i == n - 1)
			unfill_span(sim, a, d[i], upto - 1);
		else
			unmap_range(sim, a, d[i], a->first, upto - 1);
	}
}

/* Maps all of an area into n domains, batch by batch, each batch into all of them. The return code. */
static int64_t fill(struct sim *sim, const struct area *a, struct domain *const *d, unsigned n, bool fail)
{
	static const unsigned sizes[4] = {RUNS_MAX, RUNS_MAX, 32, 3};
	struct failure f = plan_failure(sim, a, n, fail);
	unsigned runs = sizes[sim_below(sim, 4)];
	uint64_t from = a->first, to, at;

	for (; from <= a->last_index; from = to + 1) {
		if (!f.batches--) {
			fill_undo(sim, a, d, n, 0, from, from);
			return RC_FAULT;
		}
		to = batch_last(a->pages, from, a->last_index, runs);
		for (unsigned k = 0; k < n; k++) {
			at = map_batch(sim, a, d[k], from, to, &f.maps);
			if (at > to)
				continue;
			/* the domain undoes its own part of the batch, then the batch's pages are unpinned */
			if (at > from)
				unmap_range(sim, a, d[k], from, at - 1);
			unpin_holes(sim, a->pages, from, to);
			fill_undo(sim, a, d, n, k, from, to + 1);
			return RC_NOMEM;
		}
	}
	return 0;
}

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
	struct pages *p = pool_take(&sim->pages_pool);

	if (!p)
		return NULL;
	p->id = new_id(sim);
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
	free_id(sim, p->id);
	pool_give(&sim->pages_pool, p);
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
	free_id(sim, a->id);
	pool_give(&sim->area_pool, a);
	sim_pages_put(sim, p);
}

struct area *sim_map(struct sim *sim, struct iopt *t, struct pages *p, uint64_t byte, uint64_t size, uint64_t iova)
{
	struct area *a = sim->nareas < sim->max_areas && p->nareas < SIM_MAX_SHARE ? pool_take(&sim->area_pool) : NULL;
	struct event *ev;
	int64_t rc = 0;

	if (!a) {
		sim_pages_put(sim, p);
		return NULL;
	}
	a->id = new_id(sim);
	a->iopt = t;
	a->pages = p;
	a->iova = iova;
	a->last = iova + size - 1;
	a->first = byte / PAGE_SIZE_BYTES;
	a->last_index = (byte + size - 1) / PAGE_SIZE_BYTES;
	a->page_offset = (uint32_t)(byte % PAGE_SIZE_BYTES);
	a->prot = sim_below(sim, 16) ? 7 : 5;
	area_insert(sim, a);
	ev = emit(sim, EV_area_fill);
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
		rc = fill(sim, a, t->domain, t->ndomains, sim_chance(sim, sim->o.fail));
	if (!rc && t->ndomains)
		set_storage(a, t->domain[0]);
	ev = emit(sim, EV_area_fill_end);
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

	emit_access(sim, EV_access_remove, &h);
	sim->holds[i] = sim->holds[--sim->nholds];
	h.area->nholds--;
	h.area->pages->nholds--;
	h.area->pages->region->busy--;
	unpin_holes(sim, h.area->pages, h.first, h.last);
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
	if (!sim_below(sim, 4)) /* the same range as another, if this area has it all */
		for (unsigned i = 0; i < sim->nholds; i++)
			if (sim->holds[i].area->pages == a->pages && sim->holds[i].first >= a->first &&
			    sim->holds[i].last <= a->last_index) {
				h.first = sim->holds[i].first;
				h.last = sim->holds[i].last;
				break;
			}
	emit_access(sim, EV_access_add, &h);
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
	emit_area(sim, EV_area_unfill, a);
	if (storage) {
		for (unsigned i = 0; i < t->ndomains; i++)
			if (t->domain[i] != storage)
				unmap_range(sim, a, t->domain[i], a->first, a->last_index);
		set_storage(a, NULL);
		unfill_span(sim, a, storage, a->last_index);
	}
	emit_area(sim, EV_area_unfill_end, a);
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
	struct event *ev = emit(sim, EV_area_add_domain);
	int64_t rc;

	ev->area_add_domain = (struct event_area_add_domain){
		.area = a->id,
		.domain = d->id,
		.pages = a->pages->id,
		.iopt = a->iopt->id,
		.iova = a->iova,
		.last = a->last,
	};
	rc = fill(sim, a, &d, 1, fail);
	ev = emit(sim, EV_area_add_domain_end);
	ev->area_add_domain_end.area = a->id;
	ev->area_add_domain_end.domain = d->id;
	ev->area_add_domain_end.rc = rc;
	if (!rc && !a->storage)
		set_storage(a, d);
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
				set_storage(t->area[j], NULL);
			unfill_span(sim, t->area[j], d, t->area[j]->last_index);
		}
		break;
	}
	return rc;
}

void sim_attach(struct sim *sim, struct iopt *t)
{
	struct device *dev = device_of(sim, NULL);
	struct domain *d = dev && t->ndomains < sim->o.domains ? pool_take(&sim->domain_pool) : NULL;
	struct event *ev;
	int64_t rc;

	if (!d)
		return;
	d->hwpt = new_id(sim);
	d->id = new_id(sim);
	emit_device(sim, EV_attach, d, dev->name);
	ev = emit(sim, EV_domain_add);
	ev->domain_add.iopt = t->id;
	ev->domain_add.domain = d->id;
	ev->domain_add.coherent = sim_chance(sim, sim->o.coherent);
	if (sim_chance(sim, sim->o.unknown)) {
		ev->domain_add.coherent = 0;
		ev->missing = EVENT_BIT(domain_add, coherent);
	}
	rc = add_domain_areas(sim, t, d, sim_chance(sim, sim->o.fail));
	ev = emit(sim, EV_domain_add_end);
	ev->domain_add_end.iopt = t->id;
	ev->domain_add_end.domain = d->id;
	ev->domain_add_end.rc = rc;
	if (rc) {
		free_id(sim, d->id);
		free_id(sim, d->hwpt);
		pool_give(&sim->domain_pool, d);
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
	emit_device(sim, EV_attach, d, dev->name);
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
				set_storage(a, t->domain[0]);
			unmap_range(sim, a, d, a->first, a->last_index);
		} else {
			set_storage(a, NULL);
			unfill_span(sim, a, d, a->last_index);
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
	emit_device(sim, EV_detach, d, dev->name);
	dev->domain = NULL;
	if (--d->ndevices)
		return;
	ev = emit(sim, EV_domain_remove);
	ev->domain_remove.iopt = t->id;
	ev->domain_remove.domain = d->id;
	t->domain[i] = t->domain[--t->ndomains];
	remove_domain_areas(sim, t, d);
	ev = emit(sim, EV_domain_remove_end);
	ev->domain_remove_end.iopt = t->id;
	ev->domain_remove_end.domain = d->id;
	free_id(sim, d->id);
	free_id(sim, d->hwpt);
	pool_give(&sim->domain_pool, d);
}

void sim_renew_iopt(struct sim *sim, struct iopt *t)
{
	if (t->nareas || t->ndomains)
		return;
	free_id(sim, t->id);
	t->id = new_id(sim);
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
		return n ? index_iova(a, a->first + 1 + sim_below(sim, n)) + 511 : a->last;
	default:
		return n ? index_iova(a, a->first + 1 + sim_below(sim, n)) - 1 : a->last;
	}
}

/* false: refused, and the cuts after it are not made. */
static bool split(struct sim *sim, struct area *a, uint64_t iova)
{
	uint64_t offset = iova + 1 - a->iova + a->page_offset, old = a->id;
	struct area *right;

	if (iova == a->iova || iova == a->last)
		return true;
	if (a->nholds || offset % PAGE_SIZE_BYTES)
		return false;
	right = pool_take(&sim->area_pool); /* sim_cut() saw to it that there is one */
	if (!right)
		return false;
	a->id = new_id(sim);
	*right = *a;
	right->id = new_id(sim);
	right->iova = iova + 1;
	right->first = a->first + offset / PAGE_SIZE_BYTES;
	right->page_offset = 0;
	right->storage = NULL;
	a->last = iova;
	a->last_index = right->first - 1;
	area_insert(sim, right);
	set_storage(right, a->storage);
	free_id(sim, old);
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
	ev = emit(sim, EV_cut);
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

/* --- begin and end --- */

static bool init_pools(struct sim *sim)
{
	size_t n = sim->o.live + (sim->o.shape == GENERATE_VMBOOT ? GENERATE_VM_RAMS : 0);

	sim->max_areas = n;
	sim->max_regions = 2 * n + 16;
	sim->ndevices = (size_t)sim->o.iopts * sim->o.domains + 2;
	sim->areas = calloc(n, sizeof(*sim->areas));
	sim->regions = calloc(sim->max_regions, sizeof(*sim->regions));
	sim->iopts = calloc(sim->o.iopts, sizeof(*sim->iopts));
	sim->devices = calloc(sim->ndevices, sizeof(*sim->devices));
	if (!sim->areas || !sim->regions || !sim->iopts || !sim->devices)
		return false;
	for (size_t i = 0; i < sim->o.iopts; i++) {
		sim->iopts[i].area = calloc(n, sizeof(struct area *));
		if (!sim->iopts[i].area)
			return false;
		sim->iopts[i].id = new_id(sim);
	}
	/* one pages more than areas: it is made before the area that shows it */
	return pool_init(&sim->area_pool, sizeof(struct area), n) &&
	       pool_init(&sim->pages_pool, sizeof(struct pages), n + 1) &&
	       pool_init(&sim->region_pool, sizeof(struct region), sim->max_regions) &&
	       pool_init(&sim->domain_pool, sizeof(struct domain), sim->ndevices);
}

static bool init_names(struct sim *sim, struct intern *s)
{
	static const char *const comms[SIM_THREADS] = {"qemu-system-x86", "CPU 0/KVM", "CPU 1/KVM",
						       "worker",	  "libvirtd",  "dpdk-main"};
	char name[32];
	int len;

	for (unsigned i = 0; i < SIM_THREADS; i++) {
		sim->thread[i].cpu = i & 3;
		sim->thread[i].tid = 1000 + 7 * i;
		sim->thread[i].comm = intern_add(s, comms[i], strlen(comms[i]));
		if (sim->thread[i].comm == UINT32_MAX)
			return false;
	}
	for (size_t i = 0; i < sim->ndevices; i++) {
		len = snprintf(name, sizeof(name), "0000:%02zx:%02zx.0", 1 + i / 32, i % 32);
		sim->devices[i].name = intern_add(s, name, (size_t)len);
		if (sim->devices[i].name == UINT32_MAX)
			return false;
	}
	return true;
}

bool sim_init(struct sim *sim, const struct generate_options *o, struct intern *strings)
{
	uint64_t seed = o->seed;

	memset(sim, 0, sizeof(*sim));
	sim->o = *o;
	for (unsigned i = 0; i < 4; i++)
		sim->random[i] = splitmix(&seed);
	sim->t = 1000000000;
	sim->next_pfn = 0x100000;
	return init_pools(sim) && init_names(sim, strings);
}

void sim_free(struct sim *sim)
{
	for (size_t i = 0; i < sim->nregions; i++)
		free(sim->regions[i]->run);
	for (size_t i = 0; sim->iopts && i < sim->o.iopts; i++)
		free(sim->iopts[i].area);
	for (size_t i = 0; i <= SIM_MAX_RUN_ORDER; i++)
		free(sim->free_frames[i].v);
	free(sim->free_ids.v);
	free(sim->area_pool.mem);
	free(sim->pages_pool.mem);
	free(sim->region_pool.mem);
	free(sim->domain_pool.mem);
	free(sim->areas);
	free(sim->regions);
	free(sim->iopts);
	free(sim->devices);
	free(sim->queue);
}
