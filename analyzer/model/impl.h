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
#include "analyzer/model/operations.h"

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
	struct operations operations;
	const struct event *now;
	const struct intern *strings; /* NULL: no caller is known */
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

static inline struct origin event_origin(const struct model *m)
{
	const struct event *ev = m->now;

	return (struct origin){
		.seq = m->totals.events, .t = ev->t, .cpu = ev->cpu, .tid = ev->tid, .comm = ev->comm, .kind = ev->kind};
}

/* This event says in which iopt its domain is; which iopt_pages and range its area has. */
static inline void check_owner(struct model *m, uint64_t is, uint64_t named)
{
	count(m, HEALTH_mismatched, is != named);
}

static inline void check_area(struct model *m, const struct area *a, uint64_t pages, uint64_t iova, uint64_t last)
{
	count(m, HEALTH_mismatched, a->pages->pub.id != pages || a->pub.iova != iova || a->pub.last != last);
}

/* This event says that something failed. */
static inline void count_failure(struct model *m, enum health h, int64_t rc)
{
	count(m, h, 1);
	tally_failure(&m->totals.failures,
		      &(struct failure){.kind = m->now->kind, .rc = rc, .n = 1, .first = event_origin(m)});
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

#define PROT_MMIO 0x10 /* IOMMU_MMIO: what is mapped is no RAM */

static inline struct ioflush_fill area_filled(struct area *a, const struct domain *d)
{
	return (struct ioflush_fill){&a->iopt->pub, d ? &d->pub : NULL, &a->pub, &a->pages->pub};
}

/* What each event does. Without one of them the model does not link. */
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

/* operations.c */

/* Before each event: what its thread left open. */
void operations_next(struct model *m, const struct event *ev);

/* The thread of this event begins an operation on an area or domain that is known, in its iopt; pages NULL: on none. */
void operations_begin(struct model *m, enum event_kind kind, uint64_t object, struct iopt *iopt, struct pages *pages);
/* The same for area_add_domain, which is part of a domain_add. */
void operations_begin_add(struct model *m, struct area *a, const struct domain *d);
/* The end of what began with an event of that kind. */
void operations_end(struct model *m, enum event_kind kind, uint64_t object, bool failed);
void operations_end_add(struct model *m, uint64_t area, uint64_t domain, bool failed);

/* An access takes indexes of the area's pages. */
void operations_access(struct model *m, struct area *a);

/* Whether the thread may map the area into the domain; unmap it; and the area that it fills, or NULL. */
bool operations_fills(struct model *m, const struct area *a, const struct domain *d);
bool operations_unmaps(struct model *m, const struct area *a, const struct domain *d);
struct area *operations_filling(struct model *m);

/* The thread undoes what it mapped. */
void operations_undone(struct model *m);

/* The thread does something to the iopt or area; racing: a cut, or an access, which takes effect in its own time. */
void operations_touch(struct model *m, struct iopt *iopt, bool racing);
void operations_touch_area(struct model *m, struct area *a, bool racing);

/*
 * The thread released pages (d: by an unmap of it), and the kernel unpinned some. Whether that is in an operation, whose
 * balance then has it, not the one of the whole trace.
 */
bool operations_released(struct model *m, uint64_t pfn, uint64_t npages, const struct area *a, const struct domain *d);
bool operations_unpinned(struct model *m, uint64_t pfn, uint64_t npages);

/* The thread reads or writes an iopt_pages once, from now on; no more; and whether it does. */
void operations_rw(struct model *m, uint64_t pages);
void operations_rw_end(struct model *m, uint64_t pages);
bool operations_in_rw(struct model *m);

/* This unmap covers pages that nothing had mapped. */
void operations_odd_unmap(struct model *m, uint64_t pages);

/* At the end of the trace: into the health counters. */
void operations_finish(struct model *m);

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
void midlife_map(struct model *m, const struct event *ev, bool mmio);

/* A map, or an unmap (pages 0), of an unknown domain. Returns whether it is known to be an iommufd domain. */
bool midlife_stranger(struct model *m, uint64_t domain, uint64_t pages);

/* A fill ended well: what that proves about the domains of the iopt. */
void midlife_fill_proves(struct model *m, struct iopt *iopt, const struct older_fill *f);

#endif
