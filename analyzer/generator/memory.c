/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The physical memory of the simulated iommufd: frames, and the regions of user memory they back, run by run. */
#include <stdlib.h>

#include "analyzer/generator/impl.h"
#include "base/grow.h"

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

/* The maximum length of the next run. A VM's memory is huge pages, with fragmented parts. */
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
		sim_push(sim, &sim->free_frames[r->run[i].order], r->run[i].pfn);
	r->nruns = 0;
	r->hint = 0;
}

static void region_back(struct sim *sim, struct region *r)
{
	uint64_t lo, n;
	unsigned order;

	for (lo = 0; lo < r->npages; lo += n) {
		if (!grow_within(NULL, r->run, r->nruns, r->cap, 8u)) {
			sim->no_memory = true;
			return;
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
	r = sim_pool_take(&sim->region_pool);
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
	sim_pool_give(&sim->region_pool, r);
}

void sim_migrate(struct sim *sim, struct region *r)
{
	region_unback(sim, r);
	region_back(sim, r);
}

/* The run that contains page at of the region. */
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

/* How many pages from idx on, up to last, are contiguous in memory; *pfn: the first. */
uint64_t sim_extent(const struct pages *p, uint64_t idx, uint64_t last, uint64_t *pfn)
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
uint64_t sim_batch_last(const struct pages *p, uint64_t from, uint64_t last, unsigned runs)
{
	uint64_t pfn, at = from;

	if (last - from < runs)
		return last;
	while (runs-- && at <= last)
		at += sim_extent(p, at, last, &pfn);
	return at - 1;
}
