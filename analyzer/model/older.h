/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects older than the recording (semantics.md, section 9). A recording that begins in mid-life names objects that no
 * event introduced. This remembers them, so that each counts once. It also keeps what tells an iommufd domain from a
 * foreign one: the fill each thread is in, the unknown domains it maps into, and what those did before.
 *
 * Ids are kernel pointers: an older domain or area is forgotten when an event ends it. iopt_pages and iopts are never
 * forgotten: no event ends them. A complete recording without DMA API maps costs one entry for each thread that filled.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_OLDER_H
#define IOFLUSH_ANALYZER_MODEL_OLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"

enum older_kind { OLDER_DOMAIN, OLDER_AREA, OLDER_PAGES, OLDER_IOPT, OLDER_STRANGER, OLDER_THREAD };

struct older_entry;

struct older {
	struct budget *budget; /* for everything here */
	struct older_entry *hash;
};

#define OLDER_FILL_DOMAINS 8 /* noted per fill: one is enough to know that the iopt has an unknown domain */

struct older_fill {
	uint64_t iopt, iova, last;
	bool running;
	unsigned n;
	struct {
		uint64_t id, bytes; /* an unknown domain, and what was mapped into it */
	} domain[OLDER_FILL_DOMAINS];
};

/* Maps and unmaps of a domain that no event has named as iommufd's: foreign until one does. */
struct older_stranger {
	uint64_t events, pages; /* pages of the maps */
};

void older_clear(struct older *o);

bool older_has(const struct older *o, enum older_kind kind, uint64_t id);

/* 1: it is new here; 0: it was here before; -1: no memory. */
int older_add(struct older *o, enum older_kind kind, uint64_t id);
void older_forget(struct older *o, enum older_kind kind, uint64_t id);

/* A thread begins to fill a range of an iopt; older_fill_end() ends that. 0, or -1: no memory. */
int older_fill(struct older *o, uint32_t tid, uint64_t iopt, uint64_t iova, uint64_t last);

/* A map into an unknown domain. Noted, and true, if the thread is filling a range that contains it. */
bool older_fill_map(struct older *o, uint32_t tid, uint64_t domain, uint64_t iova, uint64_t size);

/* Ends the thread's fill and returns it, valid until its next one. NULL: the thread was in none. */
const struct older_fill *older_fill_end(struct older *o, uint32_t tid);

/* Counts an event of a domain that no event has named. 0, or -1: no memory. */
int older_stranger(struct older *o, uint64_t domain, uint64_t pages);

/* An event names the domain after all: returns what it did so far, and forgets it. */
struct older_stranger older_named(struct older *o, uint64_t domain);

#endif
