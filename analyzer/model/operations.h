/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations (semantics, section 10): what a thread does from the event that begins it (area_fill, area_add_domain,
 * domain_add, area_unfill, domain_remove, access_remove) to its end. What one releases and what the kernel unpins in it must be
 * the same, frame by frame; a begin and its end belong together; and two of different threads that take the same locks
 * overlap, so that the recorded order may not be the kernel's.
 *
 * A thread is in one operation at most; an area_add_domain within a domain_add is part of that. A thread keeps its entry.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_OPERATIONS_H
#define IOFLUSH_ANALYZER_MODEL_OPERATIONS_H

#include "analyzer/model/model.h"
#include "analyzer/model/objects.h"

/* Released less unpinned, by frame. Below 0: unpinned before it was released. */
struct tally {
	int64_t diff;
};
#define SPANMAP tallymap
#define SPANMAP_VALUE struct tally
#define SPANMAP_SAME(a, b) ((a)->diff == (b)->diff)
#define SPANMAP_EMPTY(v) (!(v)->diff)
#include "analyzer/model/spanmap.h"

struct thread {
	uint64_t tid;
	uint8_t kind;	 /* the event that began it; EV_NONE: in no operation */
	uint64_t object; /* the id of its area or domain */
	uint64_t iopt, iopt_serial;
	uint64_t pages, pages_serial; /* of the area; serial 0: none */
	bool nested;		      /* domain_add: within an area_add_domain, of */
	uint64_t area, domain;	      /* these ids; also those of an area_add_domain by itself */
	bool in_part;		      /* domain_add: an area in it failed */
	bool unordered;		      /* it overlaps another one */
	bool rw;		      /* between rw_access and rw_access_end, which is no operation, of */
	uint64_t rw_pages;	      /* this id */
	uint64_t unknown;	      /* released indexes whose frame is unknown */
	uint64_t undone;	      /* unmaps and failed maps in it */
	struct tallymap tally;
	struct origin begin, early; /* early: the unpin that came before its release */
	struct {
		uint64_t domain, iova, last, pages;
	} odd; /* pages that the unmap before covered and nothing had mapped */
	UT_hash_handle hh;
};

struct operations {
	struct budget *budget;
	struct thread *threads;
	struct thread *recent;
	uint64_t waiting;				  /* threads whose next event settles something */
	uint64_t reading;				  /* threads within an rw_access */
	uint64_t too_early, too_many, too_few, unordered; /* unordered: any of these where operations overlapped */
};

void operations_clear(struct operations *o);

#endif
