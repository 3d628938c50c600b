/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fills and their undoing. Pages that enter a domain are pinned before they are mapped, pages that leave it are
 * unmapped before they are unpinned; pages that storage or a hold still covers stay pinned. Error numbers are literals:
 * the same on every machine.
 */
#include "analyzer/generator/impl.h"

#define RUNS_MAX 512 /* runs in one batch, at most */

/* --- who covers an index --- */

void sim_set_storage(struct area *a, struct domain *d)
{
	struct region *r = a->pages->region;

	r->busy = r->busy + (d != NULL) - (a->storage != NULL);
	a->storage = d;
}

/* If a cover [first, last] contains *lo, moves *lo behind it (true); else limits *hi to before it. */
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

uint64_t sim_index_iova(const struct area *a, uint64_t idx)
{
	return idx == a->first ? a->iova : a->iova - a->page_offset + (idx - a->first) * PAGE_SIZE_BYTES;
}

static uint64_t index_iova_last(const struct area *a, uint64_t idx)
{
	return idx == a->last_index ? a->last : sim_index_iova(a, idx + 1) - 1;
}

static void map_extent(struct sim *sim, const struct area *a, const struct domain *d, uint64_t idx, uint64_t n,
		       uint64_t pfn)
{
	struct event *ev = sim_emit(sim, EV_map);

	ev->map.domain = d->id;
	ev->map.iova = sim_index_iova(a, idx);
	ev->map.paddr = pfn * PAGE_SIZE_BYTES + (idx == a->first ? a->page_offset : 0);
	ev->map.size = index_iova_last(a, idx + n - 1) - ev->map.iova + 1;
	ev->map.prot = a->prot;
}

/* The map of the extent at idx fails; now and then it had entered a part, which it undoes first. */
static void map_fails(struct sim *sim, const struct area *a, const struct domain *d, uint64_t idx, uint64_t last)
{
	uint64_t pfn, n = sim_extent(a->pages, idx, last, &pfn);
	struct event *ev;

	if (n > 1 && sim_below(sim, 2))
		sim_unmap_range(sim, a, d, idx, idx + n / 2 - 1);
	ev = sim_emit(sim, EV_map_failed);
	ev->map_failed.domain = d->id;
	ev->map_failed.iova = sim_index_iova(a, idx);
	ev->map_failed.paddr = pfn * PAGE_SIZE_BYTES + (idx == a->first ? a->page_offset : 0);
	ev->map_failed.size = index_iova_last(a, idx + n - 1) - ev->map_failed.iova + 1;
	ev->map_failed.prot = a->prot;
	ev->map_failed.rc = RC_NOMEM;
}

void sim_unmap_range(struct sim *sim, const struct area *a, const struct domain *d, uint64_t lo, uint64_t hi)
{
	struct event *ev = sim_emit(sim, EV_unmap);

	ev->unmap.domain = d->id;
	ev->unmap.iova = sim_index_iova(a, lo);
	ev->unmap.size = index_iova_last(a, hi) - ev->unmap.iova + 1;
}

static void unpin_range(struct sim *sim, const struct pages *p, uint64_t lo, uint64_t hi)
{
	struct event *ev;
	uint64_t n, pfn;

	for (; lo <= hi; lo += n) {
		n = sim_extent(p, lo, hi, &pfn);
		ev = sim_emit(sim, EV_unpin);
		ev->unpin.pfn = pfn;
		ev->unpin.npages = n;
		ev->missing = EVENT_BIT(unpin, caller);
	}
}

void sim_unpin_holes(struct sim *sim, const struct pages *p, uint64_t first, uint64_t last)
{
	uint64_t lo, hi;

	for (; next_hole(sim, p, first, last, &lo, &hi); first = hi + 1) {
		unpin_range(sim, p, lo, hi);
		if (hi == last)
			break;
	}
}

/*
 * Indexes first to last of an area, which is not stored or has another domain, leave the domain. What nothing else
 * covers is unpinned, never before it is unmapped. An unmap cannot stop inside a contiguous run, so it extends to the
 * end of the run in which a batch ends. Covered indexes are unmapped together with those around them.
 */
void sim_unfill(struct sim *sim, const struct area *a, const struct domain *d, uint64_t last)
{
	uint64_t unmapped = a->first, from = a->first, lo, hi, to, end, pfn; /* [first, unmapped) is unmapped */

	while (from <= last && next_hole(sim, a->pages, from, last, &lo, &hi)) {
		for (; lo <= hi; lo = to + 1) {
			to = sim_batch_last(a->pages, lo, hi, RUNS_MAX);
			end = to + sim_extent(a->pages, to, last, &pfn);
			if (end > unmapped) {
				sim_unmap_range(sim, a, d, unmapped, end - 1);
				unmapped = end;
			}
			unpin_range(sim, a->pages, lo, to);
		}
		from = hi + 1;
	}
	if (unmapped <= last)
		sim_unmap_range(sim, a, d, unmapped, last);
}

/* --- fill --- */

/* When a fill must fail: at this map, or after this many pinned batches. */
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
		n = sim_extent(a->pages, at, last, &pfn);
		map_extent(sim, a, d, at, n, pfn);
	}
	return at;
}

/*
 * Undoes a failed fill: domains before k have all indexes before end, the others all before from. Only the unmaps of
 * the last domain unpin.
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
			sim_unfill(sim, a, d[i], upto - 1);
		else
			sim_unmap_range(sim, a, d[i], a->first, upto - 1);
	}
}

/* Maps an area into n domains, batch by batch, each batch into all of them. Returns the return code. */
int64_t sim_fill(struct sim *sim, const struct area *a, struct domain *const *d, unsigned n, bool fail)
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
		to = sim_batch_last(a->pages, from, a->last_index, runs);
		for (unsigned k = 0; k < n; k++) {
			at = map_batch(sim, a, d[k], from, to, &f.maps);
			if (at > to)
				continue;
			map_fails(sim, a, d[k], at, to);
			/* the domain undoes its own part of the batch, then the batch's pages are unpinned */
			if (at > from)
				sim_unmap_range(sim, a, d[k], from, at - 1);
			sim_unpin_holes(sim, a->pages, from, to);
			fill_undo(sim, a, d, n, k, from, to + 1);
			return RC_NOMEM;
		}
	}
	return 0;
}
