/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive model: the semantics once more, page by page, for the tests only. It shares nothing with the analyzer but
 * the event type and the list of health counters: every mapping, every page index and every frame is one hash table
 * entry, each policy is one plain function that reads like its row of the table, and nothing is clever. Where the
 * naive model and the analyzer differ, one of the two is wrong.
 *
 * Decisions where the semantics are silent (each the most literal reading, or what the analyzer's interface says):
 *  - an area is named by pointer, iopt and iova. When the area that has the pointer lies elsewhere, in another iopt
 *    or at another iova, the pointer is stale; the area that contains (iopt, iova) is taken, and has the pointer from
 *    then on if it begins at that iova. area_fill_end and area_add_domain_end have no iova: they go by the pointer
 *    alone. The pages of an event other than area_fill, and the iopt of a domain_* event other than domain_add, are
 *    only compared (mismatched).
 *  - an event that lacks its area counts once in unknown_area, one that lacks its domain once in unknown_domain, one
 *    that lacks both in both. A map or unmap that lacks its domain is foreign and nothing else. A cut where no area
 *    is found is normal and is not counted.
 *  - "at least one domain in the iopt", "no domain yet" and "no domain left" all mean the joined array.
 *  - domain_add_end rc=0 of a domain that is not joining, a second domain_remove and a second area_unfill change
 *    nothing. domain_add_end rc != 0 ends a domain that had joined as well: it says that the domain is not there.
 *    domain_remove_end without domain_remove does both.
 *  - no storage from area_unfill on, whatever area_fill_end or area_add_domain_end says later. Nor does an area get a
 *    domain of another iopt for storage.
 *  - req is one bit an area: a second B1 or B2 that sets it replaces it, area_fill_end and area_add_domain_end end
 *    it, and where no B2 was told, H2 finds it false (area-flag's B1 sets F, not req).
 *  - the halves of a cut are new areas that are not being filled or destroyed; they have the indexes, mappings,
 *    storage and area bit of the old one, and no accesses.
 *  - dropped mappings and accesses are not derived unpins: they had no H4. A dropped index counts once however often
 *    it was held; of a range released in part, only the indexes that were not held count.
 *  - an access takes the indexes that it says, within the area or not.
 *  - at area_fill the overlapped areas are dropped, and a pages that this leaves without area ends, before the new
 *    area is entered, so a new area of the same pages begins with fresh bits. An area elsewhere that had the new
 *    one's pointer stays and is found by iova only.
 *  - a domain_add of a live domain takes the old one from the array (the last takes its slot), from storage and from
 *    cnt; area-flag's F is not cleared by it.
 *  - a map lies in the one area that contains its first byte; an unmap goes through all areas that it overlaps, by
 *    iova. When it takes the last mappings of an index through two areas, H4 happens once, with the last of them.
 *  - what is older than the recording (section 9): each thread is in at most one fill, the last that it began.
 */
#ifndef IOFLUSH_TESTS_NAIVE_H
#define IOFLUSH_TESTS_NAIVE_H

#include <stdint.h>

#include "trace/event.h"

#define NAIVE_POLICIES 10

enum naive_kind { NAIVE_MAP, NAIVE_UNMAP, NAIVE_UNPIN, NAIVE_ACCESS, NAIVE_KINDS };
enum naive_gap { NAIVE_LEAK, NAIVE_REEXPOSE, NAIVE_RELEASE, NAIVE_ACCESS_GAP, NAIVE_GAPS };

enum naive_health {
#define HEALTH(name, unit, severity, doc, advice) NAIVE_##name,
#include "schema/health.def"
#undef HEALTH
	NAIVE_HEALTH_COUNT
};

/* What one policy did, in pages. */
struct naive_counts {
	const char *name;
	uint64_t flush[NAIVE_KINDS];
	uint64_t ranges; /* runs of consecutive frames flushed one after the other by one hook kind in one event */
	uint64_t gaps[NAIVE_GAPS];
	uint64_t uncertain[NAIVE_GAPS], if_new[NAIVE_GAPS]; /* valid after naive_finish() */
	uint64_t stale_leak;				    /* leaks of a frame that was at this place before */
	uint64_t unordered[NAIVE_GAPS];			    /* gaps where operations of threads overlapped */
};

struct naive_totals {
	uint64_t mapped_pages, unpinned_pages, peak_exposed;
	uint64_t derived_unpins, kernel_unpins;
	uint64_t missing_in_kernel, not_derived, pending_unpins; /* valid after naive_finish() */
	uint64_t health[NAIVE_HEALTH_COUNT];
	uint64_t midlife; /* the number of the first event that shows a beginning in mid-life, 0: none */
};

extern const char *const naive_kind_names[NAIVE_KINDS];
extern const char *const naive_gap_names[NAIVE_GAPS];
extern const char *const naive_health_names[NAIVE_HEALTH_COUNT];

struct naive;

/* strings: of the events. Exits when out of memory, as everything here. */
struct naive *naive_new(const struct intern *strings);
void naive_free(struct naive *n);
void naive_event(struct naive *n, const struct event *ev); /* that passed event_check() */
void naive_finish(struct naive *n);

/* Policy i of NAIVE_POLICIES, in the order of the semantics. */
const struct naive_counts *naive_counts(const struct naive *n, unsigned i);
const struct naive_totals *naive_totals(const struct naive *n);

#endif
