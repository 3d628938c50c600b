/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the files of the model share: one model, and one step of it. model.c takes events and keeps totals;
 * lifetimes.c begins and ends iopts, domains and areas; mappings.c knows what is pinned and mapped; midlife.c what is
 * older than the recording; visit.c lists what exists.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_IMPL_H
#define IOFLUSH_ANALYZER_MODEL_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer/model/frames.h"
#include "analyzer/model/model.h"
#include "analyzer/model/objects.h"
#include "analyzer/model/older.h"

/* Derived unpins minus the kernel's own, by frame. */
struct balance {
	int64_t diff;
};
#define SPANMAP balancemap
#define SPANMAP_VALUE struct balance
#define SPANMAP_SAME(a, b) ((a)->diff == (b)->diff)
#define SPANMAP_EMPTY(v) (!(v)->diff)
#include "analyzer/model/spanmap.h"

/* Indexes that an event unpinned; they are released after all pages of the event. */
struct dying {
	struct area *area;
	const struct domain *domain; /* NULL: by access */
	uint64_t lo, hi, pfn;	     /* pfn of lo, or IOFLUSH_PFN_UNKNOWN */
};

struct model {
	struct budget *budget;
	struct objects objects;
	struct frames frames;
	struct balancemap balance;
	struct older older;
	const struct event *now;
	struct ioflush_policy *const *policies;
	size_t n;
	uint64_t clear_when_idle; /* bits of the policies that ask for it */
	bool needs_source, watched;
	bool failed; /* no memory */
	struct dying *dying;
	size_t ndying, dying_cap;
	struct model_totals totals;
};

/* What the span callbacks of one event need. */
struct run {
	struct model *m;
	struct step step;
	struct pages *pages;
	uint64_t lo, pfn; /* map: the first index of the run and its frame */
	bool hook;	  /* map: area or domain is filling */
};

static inline void count(struct model *m, enum health h, uint64_t n)
{
	m->totals.health[h] += n;
}

/* Keeps the first failure; whatever follows it does not count. */
static inline void check(struct model *m, int err)
{
	if (err)
		m->failed = true;
}

/*
 * Whether a policy gets right answers about the iopt in a step through an area (NULL: a fill that begins). Before the
 * iopt is proven this holds in a fill with a known non-coherent domain: cnt is not 0, whatever older domains there are.
 */
static inline bool iopt_known(const struct iopt *iopt, const struct area *a)
{
	return iopt->proven || (!iopt->older && iopt->pub.noncoherent && (!a || a->filling));
}

/* The handler of each event. If one is missing, the model does not link. */
#define EVENT(num, name, fields, doc) void model_on_##name(struct model *m, const struct event *ev);
#include "schema/events.def"
#undef EVENT

/* Begins a step through an area, in a domain or none; sets its place: index lo of the iopt_pages is frame pfn. */
void run_init(struct run *r, struct model *m, struct area *a, const struct domain *d);

static inline void run_at(struct run *r, uint64_t lo, uint64_t pfn)
{
	r->step.index = lo;
	r->step.pfn = pfn;
}

/* midlife.c */

/* An event names an unknown domain; the second: one that the iopt has, or had until now. */
void midlife_domain(struct model *m, uint64_t id);
void midlife_domain_of(struct model *m, uint64_t id);

/* An event names an unknown area, with its iopt_pages and iopt; the second: without them. */
void midlife_area(struct model *m, uint64_t id, uint64_t pages, uint64_t iopt);
void midlife_area_alone(struct model *m, uint64_t id);

/* An iommufd domain maps or unmaps a range without a known area; the second: such a map. */
void midlife_range(struct model *m, const struct domain *d);
void midlife_ignored_map(struct model *m, const struct event_map *f);
void midlife_map(struct model *m, const struct event *ev);

/* A map, or an unmap (pages 0), of an unknown domain. Returns whether it is known to be an iommufd domain. */
bool midlife_stranger(struct model *m, uint64_t domain, uint64_t pages);

/* A fill ended well: what that proves about the domains of the iopt. */
void midlife_fill_proves(struct model *m, struct iopt *iopt, const struct older_fill *f);

#endif
