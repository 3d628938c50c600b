/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the model share, and nobody else sees: one model, and one step of it. model.c takes the events and has
 * the totals; lifetimes.c knows which iopts, domains and areas there are; mappings.c what is pinned and mapped; midlife.c
 * what is older than the recording; visit.c answers what exists.
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

/* Derived unpins less the kernel's own, by frame. */
struct balance {
	int64_t diff;
};
#define SPANMAP balancemap
#define SPANMAP_VALUE struct balance
#define SPANMAP_SAME(a, b) ((a)->diff == (b)->diff)
#define SPANMAP_EMPTY(v) (!(v)->diff)
#include "analyzer/model/spanmap.h"

/* Indexes that an event unpinned, to be let go after all its pages. */
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

/* Keeps the first failure; everything after it is void. */
static inline void check(struct model *m, int err)
{
	if (err)
		m->failed = true;
}

/*
 * Whether all that a policy may ask of the iopt is known in a step through an area (NULL: of a fill that begins). Before
 * the proof it is in a fill beside a known non-coherent domain, whatever older one may be there, too: cnt is not 0.
 */
static inline bool iopt_known(const struct iopt *iopt, const struct area *a)
{
	return iopt->proven || (!iopt->older && iopt->pub.noncoherent && (!a || a->filling));
}

/* What each event does. Without one of them the model does not link. */
#define EVENT(num, name, fields, doc) void model_on_##name(struct model *m, const struct event *ev);
#include "schema/events.def"
#undef EVENT

/* A step through an area, in a domain or none; and its place: index lo of the pages is frame pfn. (mappings.c) */
void run_init(struct run *r, struct model *m, struct area *a, const struct domain *d);

static inline void run_at(struct run *r, uint64_t lo, uint64_t pfn)
{
	r->step.index = lo;
	r->step.pfn = pfn;
}

/* midlife.c */

/* An event names a domain that is not there; and one that the iopt has, or had until now. */
void midlife_domain(struct model *m, uint64_t id);
void midlife_domain_of(struct model *m, uint64_t id);

/* An event names an area that is not there, and its pages and iopt; or nothing but the area. */
void midlife_area(struct model *m, uint64_t id, uint64_t pages, uint64_t iopt);
void midlife_area_alone(struct model *m, uint64_t id);

/* A domain of iommufd in whose iopt there is no area; and a map of it, or of a domain that is not there. */
void midlife_range(struct model *m, const struct domain *d);
void midlife_ignored_map(struct model *m, const struct event_map *f);
void midlife_map(struct model *m, const struct event *ev);

/* A map or unmap (of no pages) of a domain that is not there: whether it is known to be one of iommufd. */
bool midlife_stranger(struct model *m, uint64_t domain, uint64_t pages);

/* The end of a fill that went well: what it proves of the iopt's domains. */
void midlife_fill_proves(struct model *m, struct iopt *iopt, const struct older_fill *f);

#endif
