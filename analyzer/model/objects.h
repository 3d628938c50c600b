/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of iommufd as a trace shows them (semantics.md, section 2): iopts, domains, iopt_pages, areas; how they
 * come and go, how an id finds them, which storage domain an area has, and where the pages of a fill come from.
 *
 * Ids are kernel pointers and are reused: an id names an object from the event that introduces it to the event that
 * ends it. Serials are never reused. This file knows no frames: pinning and exposure are in frames.h.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_OBJECTS_H
#define IOFLUSH_ANALYZER_MODEL_OBJECTS_H

/* Ids are kernel pointers with most bits alike: one multiplication spreads them well enough. */
#define HASH_FUNCTION(key, len, hv) ((hv) = (unsigned)((*(const uint64_t *)(key)*0x9e3779b97f4a7c15ull) >> 32))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "analyzer/ioflush-policy.h"
#include "analyzer/model/model.h"
#include "trace/event.h"

/* A set of page indexes. */
struct member {
	uint64_t in;
};
#define SPANMAP idxset
#define SPANMAP_VALUE struct member
#define SPANMAP_SAME(a, b) ((a)->in == (b)->in)
#define SPANMAP_EMPTY(v) (!(v)->in)
#include "analyzer/model/spanmap.h"

/*
 * State of an index of an iopt_pages. It is pinned iff maps or held is not 0. A known frame is kept as the distance
 * from index to PFN, which is the same for a whole physical run.
 */
struct idx {
	uint64_t delta; /* pfn - index; 0 while unknown */
	uint32_t maps;	/* how many (area, domain) pairs map it */
	uint32_t held;	/* how many accesses hold it */
	uint64_t known; /* whether the frame is known */
};
#define SPANMAP idxmap
#define SPANMAP_VALUE struct idx
#define SPANMAP_SAME(a, b) \
	((a)->delta == (b)->delta && (a)->maps == (b)->maps && (a)->held == (b)->held && (a)->known == (b)->known)
#define SPANMAP_EMPTY(v) (!(v)->maps && !(v)->held)
#include "analyzer/model/spanmap.h"

/* The frame that an index had: pfn - index. */
struct was {
	uint64_t delta, known;
};
#define SPANMAP wasmap
#define SPANMAP_VALUE struct was
#define SPANMAP_SAME(a, b) ((a)->delta == (b)->delta && (a)->known == (b)->known)
#define SPANMAP_EMPTY(v) (!(v)->known)
#include "analyzer/model/spanmap.h"

struct area;

/* Areas by the bytes of their iova range. */
struct areap {
	struct area *area;
};
#define SPANMAP areamap
#define SPANMAP_VALUE struct areap
#define SPANMAP_SAME(a, b) ((a)->area == (b)->area)
#define SPANMAP_EMPTY(v) (!(v)->area)
#include "analyzer/model/spanmap.h"

/* Whether one of several threads had an access, or made a cut, here (semantics, section 10). */
struct sharing {
	uint32_t tid; /* of the first thread */
	bool touched, by_many, racing, counted;
};

/* An access to indexes, by how many users. */
struct access {
	struct access_range {
		uint64_t mix; /* of both: what the hash looks at */
		uint64_t first, last;
	} range;
	uint64_t users;
	UT_hash_handle hh;
};

struct domain;

/* Byte iovas to cut at, in order. */
struct waiting_cut {
	uint64_t n, iova[2];
};

struct iopt {
	struct ioflush_iopt pub; /* first: policies see it; pub.domains is the length of the array */
	uint64_t serial;
	struct domain **domain; /* the kernel's array of those that have joined */
	size_t cap;
	struct budget *budget;
	uint32_t live;	   /* domains that name this iopt, joining and leaving ones included */
	bool older;	   /* since it was last proven: it had an unknown domain */
	bool proven;	   /* a fill showed that all its domains are known (semantics, section 9) */
	uint32_t changing; /* domains that join or leave */
	uint32_t domain_operations, area_operations; /* of threads, on it (operations.h) */
	bool overlapped;			     /* ... of which two want the same locks */
	uint32_t adding;			     /* ... that map an area into a domain */
	struct sharing sharing;
	struct waiting_cut *waiting; /* cuts that are made when nothing is changing any more */
	size_t nwaiting, waiting_cap;
	struct areamap areas;
	UT_hash_handle hh;
};

struct domain {
	struct ioflush_domain pub;
	uint64_t serial;
	struct iopt *iopt;
	bool joining, leaving;
	struct idxset mmio;    /* pages of its iovas that are no RAM, by iova */
	bool unknown;	       /* the trace does not tell its coherency */
	struct origin removal; /* the domain_remove under way */
	UT_hash_handle hh;
};

/* One area that may be the source of an index; see objects_source(). */
struct source_area {
	uint64_t first, last, max_last; /* max_last: highest last of this and all earlier entries */
	const struct area *area;
};

struct pages {
	struct ioflush_pages pub;
	uint64_t serial;
	struct idxmap idx;
	struct area **area;
	size_t nareas, areas_cap;
	struct source_area *source; /* areas with a storage domain, by first, then by how long they have had it */
	size_t nsource, source_cap;
	struct budget *budget;
	bool source_stale;
	struct wasmap was;   /* where each index was when it was unpinned last */
	uint32_t operations; /* of threads, on it (operations.h) */
	bool overlapped;     /* ... of which two wanted the same locks: their order may be another */
	bool mmio;	     /* it has maps that are no RAM */
	struct sharing sharing;
	struct access *accesses; /* made and not released, by range */
	bool tainted;		 /* it, or a domain that it was mapped into, may be older than the recording */
	uint32_t unsure;	 /* fills under way whose end tells whether that is so */
	struct origin mark;	 /* the fill that last set a policy's bit here */
	UT_hash_handle hh;
};

/* The indexes of an area that a domain maps. */
struct link {
	const struct domain *domain;
	struct idxset set;
};

struct area {
	struct ioflush_area pub;
	struct iopt *iopt;
	struct pages *pages;
	size_t slot; /* in pages->area */
	uint64_t first, last_index;
	uint64_t page_offset;
	bool filling;					     /* between area_fill and its end */
	bool unsure;					     /* filling, and counted in unsure of its iopt_pages */
	bool unfilling;					     /* from area_unfill on: it has no storage */
	const struct domain *storage[IOFLUSH_STORAGE_RULES]; /* all NULL or none */
	uint64_t storage_since; /* serial of when it last got storage after having none, or of the cut */
	uint64_t accesses;	/* made through it and not released */
	struct idxset hooked;	/* indexes whose hook was called in this fill */
	struct link *link;
	size_t nlinks, links_cap;
	struct budget *budget;
	struct origin mark, fill; /* the fill that last set a policy's bit here; the operation under way */
	UT_hash_handle hh;	  /* by pub.id, when that is not 0 */
};

/* The device last attached to a domain. The attach comes before the domain_add, so it is kept by id. */
struct device {
	uint64_t domain;
	uint32_t name; /* strings id */
	UT_hash_handle hh;
};

struct objects {
	struct budget *budget; /* for everything here; set it before the first event */
	struct iopt *iopts;
	struct domain *domains;
	struct pages *pages;
	struct area *areas;
	struct device *devices;
	uint64_t serial;     /* last given */
	struct area *recent; /* the area found last: events come in runs */
};

void objects_clear(struct objects *o);

/* The device last attached to a domain, by its id. */
struct device *device_find(const struct objects *o, uint64_t domain);
struct device *device_get(struct objects *o, uint64_t domain); /* made if need be; NULL: no memory */

struct iopt *iopt_find(const struct objects *o, uint64_t id);
struct iopt *iopt_get(struct objects *o, uint64_t id); /* made if need be; NULL: no memory */
void iopt_put(struct objects *o, struct iopt *iopt);   /* freed when nothing is in it any more */

struct domain *domain_find(const struct objects *o, uint64_t id);
/* A joining domain; NULL: no memory. */
struct domain *domain_new(struct objects *o, struct iopt *iopt, uint64_t id, bool noncoherent);
int domain_joined(struct domain *d); /* appends it to the array */
/* Out of the array, the last one takes its slot; storage of its areas moves to those left, or goes. */
void domain_leaves(struct domain *d);
void domain_end(struct objects *o, struct domain *d); /* after domain_leaves(); its mappings must be gone */

/* Whether any area of the iopt has d as storage: takes it away (a join that failed). */
void iopt_storage_drop(struct iopt *iopt, const struct domain *d);
/* A non-coherent domain that has joined takes over from coherent storage where the rule prefers it. */
void iopt_storage_prefer(struct iopt *iopt, const struct domain *d);

struct pages *pages_find(const struct objects *o, uint64_t id);
struct pages *pages_get(struct objects *o, uint64_t id);
void pages_end(struct objects *o, struct pages *p); /* no area is left */

/* An access to indexes is made (-1: no memory), or released: whether there was one. */
int pages_access(struct pages *p, uint64_t first, uint64_t last);
bool pages_access_end(struct pages *p, uint64_t first, uint64_t last);

/* A new area, entered in its iopt and pages. The range must be free. NULL: no memory. */
struct area *area_new(struct objects *o, struct iopt *iopt, struct pages *pages, const struct event_area_fill *f);
struct area *area_by_id(const struct objects *o, uint64_t id);
struct area *area_at(struct objects *o, const struct iopt *iopt, uint64_t iova);
/* The area of an event that names id, iopt and iova (of the area): see semantics on stale pointers. NULL: none. */
struct area *area_of(struct objects *o, uint64_t id, uint64_t iopt, uint64_t iova);
void area_end(struct objects *o, struct area *a); /* its mappings must be gone; its pages stays, perhaps without area */
/* Splits a after the byte cut: a becomes the left half, the new area the right one; both without id. NULL: no memory. */
struct area *area_split(struct objects *o, struct area *a, uint64_t cut);

/* The area's fill tells no more of the domains of its iopt; unless they are known now, the pages is tainted. */
void area_sure(struct area *a, bool known);

uint64_t area_index(const struct area *a, uint64_t iova);     /* the index of the page that holds byte iova */
uint64_t area_index_iova(const struct area *a, uint64_t idx); /* the first byte of the area in that page */
struct link *area_link(const struct area *a, const struct domain *d);
uint64_t area_unmapped(const struct area *a, const struct domain *d); /* indexes that d does not map through it */
struct link *area_link_get(struct area *a, const struct domain *d);   /* NULL: no memory */
void area_link_drop(struct area *a, struct link *l);		      /* frees the set too */

/* What the iopt's array offers as storage under a rule; NULL: nothing. */
const struct domain *iopt_storage(const struct iopt *iopt, enum ioflush_storage rule);

/* Storage by the rules of section 4: what the iopt's array offers, one domain for both rules, or none (NULL). */
void area_storage_choose(struct objects *o, struct area *a);
void area_storage_set(struct objects *o, struct area *a, const struct domain *d);

/*
 * The area that a fill of (pages, idx) reads page numbers back from, or NULL: user memory. *last is the last index for
 * which that answer holds. -1: no memory.
 */
int objects_source(struct pages *p, uint64_t idx, const struct area **area, uint64_t *last);

int idxset_add(struct idxset *s, uint64_t lo, uint64_t hi);
int idxset_del(struct idxset *s, uint64_t lo, uint64_t hi);

#endif
