/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is older than the recording (semantics, section 9). A recording that begins in mid-life names objects that no
 * event introduced. This remembers which, so that each is met once, and what it takes to tell an iommufd domain from
 * a foreign one: the fill that each thread is in with the unknown domains that it maps into, and what those did before.
 *
 * Ids are kernel pointers: an older domain or area is forgotten when an event ends it, pages and iopts never, for none
 * does. A complete recording without DMA API maps keeps nothing here but one entry for each thread that made a fill.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_OLDER_H
#define IOFLUSH_ANALYZER_MODEL_OLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"

enum older_kind { OLDER_DOMAIN, OLDER_AREA, OLDER_PAGES, OLDER_IOPT, OLDER_STRANGER, OLDER_THREAD };

struct older_entry;

struct older {
	struct budget *budget; /* of all of it */
	struct older_entry *hash;
};

#define OLDER_FILL_DOMAINS 8 /* noted for one fill: any of them says all there is to say of the iopt */

struct older_fill {
	uint64_t iopt, iova, last;
	bool running;
	unsigned n;
	struct {
		uint64_t id, bytes; /* an unknown domain, and what was mapped into it */
	} domain[OLDER_FILL_DOMAINS];
};

/* Maps and unmaps of a domain that nothing has named as one of iommufd: foreign, until something does. */
struct older_stranger {
	uint64_t events, pages; /* pages of the maps */
};

void older_clear(struct older *o);

bool older_has(const struct older *o, enum older_kind kind, uint64_t id);

/* 1: it is new here; 0: it was known; -1: no memory. */
int older_add(struct older *o, enum older_kind kind, uint64_t id);
void older_forget(struct older *o, enum older_kind kind, uint64_t id);

/* A thread begins to fill a range of an iopt, and is at it until it says the end. 0, or -1: no memory. */
int older_fill(struct older *o, uint32_t tid, uint64_t iopt, uint64_t iova, uint64_t last);

/* A map into an unknown domain: noted (true) if the thread is filling a range that holds it. */
bool older_fill_map(struct older *o, uint32_t tid, uint64_t domain, uint64_t iova, uint64_t size);

/* Ends the thread's fill. NULL: it was in none. Valid until its next one. */
const struct older_fill *older_fill_end(struct older *o, uint32_t tid);

/* Counts an event of a domain that nothing has named. 0, or -1: no memory. */
int older_stranger(struct older *o, uint64_t domain, uint64_t pages);

/* Something names it after all: what it did so far, which is forgotten here. */
struct older_stranger older_named(struct older *o, uint64_t domain);

#endif
