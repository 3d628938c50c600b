/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated iommufd: user memory, iopt_pages over it, areas of these in iopts, domains that map them, accesses that
 * hold them. Each function below is one operation, like an ioctl: it changes the state and queues the events that the
 * kernel's probes would fire, in the kernel's order (drivers/iommu/iommufd/pages.c and io_pagetable.c).
 *
 *	region	user memory: page i lies in the frame that its runs say. When no iopt_pages lies over the region any more,
 *		its frames go back to the allocator and are used again.
 *	pages	an iopt_pages: a slice of a region; several may lie over the same frames.
 *	area	[first, last_index] of an iopt_pages in an iopt; "stored" while it has a storage domain.
 *	hold	an access: [first, last] of an iopt_pages, taken through one area.
 *
 * Invariants: outside an operation an area is stored iff its iopt has a domain, and is then mapped completely in each
 * domain of it. An index is pinned iff a stored area or a hold covers it, so an operation unpins only the indexes that
 * nothing else covers. region.busy counts covers: only at 0 may the frames of a region change. All pools have a fixed
 * size, so the state does not grow with the number of events.
 *
 * Part of shapes.c, which decides what happens when.
 */
#ifndef IOFLUSH_ANALYZER_GENERATOR_IOMMUFD_H
#define IOFLUSH_ANALYZER_GENERATOR_IOMMUFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer/generator/generator.h"
#include "base/intern.h"
#include "trace/event.h"

#define SIM_MAX_IOPTS 64
#define SIM_MAX_DOMAINS 16
#define SIM_MAX_ACCESSES 64
#define SIM_MAX_RUN_ORDER 18
#define SIM_MAX_SHARE 12 /* areas of one iopt_pages */
#define SIM_THREADS 6

struct run {
	uint64_t lo, n, pfn; /* pages lo to lo + n - 1 of the region lie at pfn */
	unsigned order;	     /* the block of 2^order frames that it begins */
};

struct region {
	struct run *run;
	size_t nruns, cap;
	size_t hint; /* the run that was looked up last */
	uint64_t npages, uptr;
	uint32_t users; /* iopt_pages over it */
	uint32_t busy;	/* covers: stored areas and holds */
	bool kept;	/* whoever made it frees it */
	size_t pos;	/* in gen.regions */
};

struct pages {
	uint64_t id;
	struct region *region;
	uint64_t start, npages; /* slice of the region */
	struct area *area[SIM_MAX_SHARE];
	unsigned nareas, nholds;
};

struct area {
	uint64_t id;
	struct iopt *iopt;
	struct pages *pages;
	uint64_t iova, last, first, last_index;
	uint32_t page_offset, prot, nholds;
	struct domain *storage;
	size_t pos; /* in gen.areas */
};

struct hold {
	struct area *area;
	uint64_t first, last;
};

struct domain {
	uint64_t id, hwpt;
	unsigned ndevices;
};

struct iopt {
	uint64_t id;
	struct domain *domain[SIM_MAX_DOMAINS];
	unsigned ndomains;
	struct area **area; /* by iova */
	size_t nareas;
	uint64_t freed_iova; /* where the last removed area was */
	uint64_t attach_at;  /* no attach or detach before this many events */
};

struct device {
	uint32_t name; /* strings id */
	struct domain *domain;
};

struct thread {
	uint32_t cpu, tid, comm;
};

/* A fixed number of objects of one size; free ones are a list through their first word. */
struct pool {
	char *mem;
	size_t size, cap, used;
	void *free;
};

/* A stack of numbers: free ids, free frames. */
struct stack {
	uint64_t *v;
	size_t n, cap;
};

struct sim {
	struct generate_options o;
	bool no_memory; /* something could not be queued or kept: give up */

	uint64_t random[4];
	uint64_t t, emitted;
	struct event *queue, scratch; /* events of the operations since head and tail were set to 0 */
	size_t head, tail, cap;

	struct thread thread[SIM_THREADS];
	unsigned now; /* the thread of this operation */

	struct stack free_ids, free_frames[SIM_MAX_RUN_ORDER + 1];
	uint64_t next_id, next_pfn, next_uptr;
	unsigned fragments; /* small runs still to come, vmboot */

	struct pool area_pool, pages_pool, region_pool, domain_pool;
	struct area **areas;
	size_t nareas, max_areas;
	struct region **regions;
	size_t nregions, max_regions;
	uint64_t memory; /* pages in regions */
	struct hold holds[SIM_MAX_ACCESSES];
	unsigned nholds;
	struct iopt *iopts;
	struct device *devices;
	size_t ndevices;
};

static inline uint64_t sim_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* An empty state, for options that were checked. Interns its names. false: out of memory; sim_free() all the same. */
bool sim_init(struct sim *sim, const struct generate_options *o, struct intern *strings);
void sim_free(struct sim *sim);

/* A random number, 0 to n - 1; n is at most 2^32. */
uint64_t sim_below(struct sim *sim, uint64_t n);

/* True in this many of a thousand cases. */
bool sim_chance(struct sim *sim, uint32_t thousandths);

/* An operation begins: in some thread, which may have moved to another cpu, some time after the last one. */
void sim_begin(struct sim *sim);

/* User memory with frames of its own. NULL: too many regions. */
struct region *sim_region_new(struct sim *sim, uint64_t npages);

/* Only without iopt_pages over it: its frames are used again. */
void sim_region_free(struct sim *sim, struct region *r);

/* New frames for memory that nothing pins (busy is 0), as after swapping or migration. */
void sim_migrate(struct sim *sim, struct region *r);

/* An iopt_pages over a slice of a region. It must get an area, or be put. NULL: too many. */
struct pages *sim_pages_new(struct sim *sim, struct region *r, uint64_t start, uint64_t npages);

/* Removes an iopt_pages without an area, and perhaps its memory. */
void sim_pages_put(struct sim *sim, struct pages *p);

/* Whether no area is in [iova, iova + size). */
bool sim_iova_free(const struct iopt *t, uint64_t iova, uint64_t size);

/* A new area maps bytes [byte, byte + size) of the iopt_pages at iova. NULL: the fill failed, or there was no room. */
struct area *sim_map(struct sim *sim, struct iopt *t, struct pages *p, uint64_t byte, uint64_t size, uint64_t iova);

/* Destroys an area, after its accesses have released it. */
void sim_unmap(struct sim *sim, struct area *a);

/* An access takes a range of an area; there must be room in holds. */
void sim_hold(struct sim *sim, struct area *a);

/* Hold i is released. */
void sim_release(struct sim *sim, unsigned i);

/* A device is attached to a new domain, if there is a device and room for a domain. */
void sim_attach(struct sim *sim, struct iopt *t);

/* One more device on a domain that is there. */
void sim_attach_more(struct sim *sim, struct iopt *t);

/* A device leaves its domain; with the last device the domain ends. */
void sim_detach(struct sim *sim, struct iopt *t);

/* Cuts at one or two iovas, in or near the area. */
void sim_cut(struct sim *sim, struct area *a);

/* Replaces an empty iopt by a new one. */
void sim_renew_iopt(struct sim *sim, struct iopt *t);

#endif
