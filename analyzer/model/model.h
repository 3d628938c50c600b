/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model of what iommufd holds (semantics.md, sections 2 to 6). Fed with events in order, it knows what is pinned
 * and exposed, calls the policies, counts their flushes and audits where they are wrong. All policies run in one pass.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_MODEL_H
#define IOFLUSH_ANALYZER_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer/ioflush-policy.h"
#include "analyzer/model/tally.h"
#include "base/budget.h"
#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"

#define MODEL_MAX_POLICIES 63 /* a bit each in a word, and one for "ever" */

enum hook { HOOK_MAP, HOOK_UNMAP, HOOK_UNPIN, HOOK_ACCESS, HOOKS };
enum gap_kind { GAP_LEAK, GAP_REEXPOSE, GAP_RELEASE, GAP_ACCESS, GAPS };

extern const char *const hook_names[HOOKS]; /* "map", "unmap", "unpin", "access" */
extern const char *const gap_names[GAPS];   /* "leak", "reexpose", "release", "access" */
extern const bool gap_is_error[GAPS];	    /* else a warning */

/* Counts for one policy, in pages; only ranges is not. */
struct policy_counts {
	uint64_t flush[HOOKS];
	uint64_t ranges; /* physically contiguous runs flushed together: by one hook in one event */
	uint64_t gaps[GAPS];
	/* Valid after model_finish(), 0 unless the recording began in mid-life: then no gap is certain (semantics, 9) */
	uint64_t uncertain[GAPS];
	uint64_t if_new[GAPS]; /* of the uncertain ones: gaps if their memory was new to iommufd */
	uint64_t stale_leak; /* leaks of a frame that was at the same place before: stale; else it may be another owner's */
	uint64_t unordered[GAPS]; /* gaps where operations of threads overlapped: the kernel's order may be another */
};

enum health {
#define HEALTH(name, unit, severity, doc, advice) HEALTH_##name,
#include "schema/health.def"
#undef HEALTH
	HEALTH_COUNT
};

struct health_desc {
	const char *name, *unit, *doc, *advice;
	char severity; /* 'i' information, 'w' warning: results may be wrong, 'e' error: results are wrong */
};
extern const struct health_desc health_table[HEALTH_COUNT];

/* The first event that shows that the recording began in mid-life (semantics, section 9). seq 0: none does. */
struct midlife {
	uint64_t seq, t;
	uint8_t kind;
};

/* Totals that do not depend on a policy. */
struct model_totals {
	uint64_t events;
	uint64_t by_kind[EV_KINDS];
	uint64_t first_t, last_t;
	uint64_t mapped_pages;	 /* a page counts once per domain */
	uint64_t unpinned_pages; /* derived, PFN known or not */
	uint64_t peak_exposed;	 /* most frames with nc > 0 at one time */
	uint64_t derived_unpins; /* derived, PFN known */
	uint64_t kernel_unpins; /* pages in unpin events, without those of others and of reads and writes (section 10) */
	uint64_t missing_in_kernel; /* by PFN: derived more often than the kernel did. Valid after model_finish() */
	uint64_t not_derived;	    /* by PFN: the kernel did more often. Valid after model_finish() */
	uint64_t pending_unpins;    /* derived in operations that the trace does not end. Valid after model_finish() */
	uint64_t health[HEALTH_COUNT];
	struct midlife midlife;
	struct losses losses;
	struct failures failures;
};

/* A gap in a span of frames, as it happens. Pointers are valid during the call. */
struct gap_span {
	enum gap_kind kind;
	uint64_t policies;		   /* bits of the policies that have the gap */
	uint64_t pfn, npages, index, iova; /* of its first page; iova within the area */
	const struct ioflush_iopt *iopt;
	const struct ioflush_domain *domain; /* that exposes, or was just left; NULL for an access or its release */
	const struct ioflush_area *area;
	const struct ioflush_pages *pages;
	uint64_t iopt_serial, domain_serial, pages_serial; /* ids are reused; serials are not */
	uint32_t device;	 /* strings id of the device last attached to domain, 0: unknown */
	enum hook hook;		 /* where a flush would have prevented it */
	bool filling;		 /* exposures: a new area's fill; else a domain that joins */
	bool was_here;		 /* a leak: the frame was at this place before, was unpinned, and is pinned again */
	bool unordered;		 /* operations of threads overlapped: the kernel's order may be another */
	bool if_new;		 /* if the recording began in mid-life: a gap if this memory was new to iommufd */
	uint64_t lost;		 /* lost events before it */
	struct origin event;	 /* that violates */
	struct origin fill;	 /* the area_fill, area_add_domain, area_unfill or domain_remove around it, if any */
	struct origin area_mark; /* the fill that last set a policy's bit in the area; in the iopt_pages */
	struct origin pages_mark;
};

/* An operation of a thread in which releases and unpins do not agree (semantics, section 10). */
struct violation {
	enum health what;	/* HEALTH_unpinned_early, _too_many or _too_few */
	uint64_t pages, lo, hi; /* frames, IOFLUSH_PFN_UNKNOWN: not known which */
	uint64_t domain;	/* early: the one that still mapped them */
	struct origin begin;	/* of the operation */
	struct origin unpin;	/* the last one in it */
	struct origin event;	/* early: the release; else the end of the operation */
};

/* What happens to frames, told as it happens; each may be NULL. lo and hi are PFNs, hi inclusive. Never calls back. */
struct model_observer {
	void *ctx;
	void (*pinned)(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev);	/* pin rose from 0 */
	void (*released)(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev); /* pin fell to 0 */
	void (*exposed)(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev);	/* nc rose from 0 */
	void (*hidden)(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev);	/* nc fell to 0 */
	/* anything changed or was flushed, also if nothing above happened; called with the state after the step */
	void (*touched)(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev);
	void (*flushed)(void *ctx, uint64_t lo, uint64_t hi, enum hook hook, uint64_t policies, const struct origin *ev);
	void (*gap)(void *ctx, const struct gap_span *g);
	void (*violation)(void *ctx, const struct violation *v);
};

/* A frame as it is now. */
struct model_frame {
	uint32_t pin, nc;
	bool ever;
	uint64_t clean; /* a bit a policy */
};

struct model;

/*
 * policies: n instances, initialised, with bits 1 << 0 to 1 << (n - 1) in order. They, obs (may be NULL) and the budget
 * of the model's memory (NULL: no bound) must outlive the model. NULL: no memory.
 */
struct model *model_new(struct ioflush_policy *const *policies, size_t n, const struct model_observer *obs,
			struct budget *budget);
void model_free(struct model *m);

/* The strings of the events, for the callers of unpins; without it all of them are unknown. It must outlive the model. */
void model_strings(struct model *m, const struct intern *strings);

/*
 * Takes n events in time order that passed event_check(). 0, or -1 and the error, which names the event: no memory, or
 * the event is earlier than the one before it, which no source gives. After an error the model cannot be used.
 */
int model_events(struct model *m, const struct event *ev, size_t n, struct error *e);

/* Ends the trace: completes the comparison of unpins. */
int model_finish(struct model *m, struct error *e);

const struct policy_counts *model_counts(const struct model *m, size_t policy);
const struct model_totals *model_totals(const struct model *m);
struct model_frame model_frame(const struct model *m, uint64_t pfn);

/* The frame at an iova of a domain now, or IOFLUSH_PFN_UNKNOWN. */
uint64_t model_translate(const struct model *m, uint64_t domain, uint64_t iova);

/* What exists now: an iopt, a domain, an area. Pages are counted by index, once per area or domain. */
struct model_iopt {
	uint64_t id;
	uint32_t domains, noncoherent; /* joining and leaving ones included */
	uint64_t areas;
	uint64_t mapped;  /* by any domain */
	uint64_t exposed; /* of the mapped ones: in a frame that a non-coherent domain of any iopt maps */
	uint64_t held;	  /* by accesses */
};

struct model_domain {
	uint64_t id, iopt;
	int coherent;	 /* 1, 0, or -1: the trace does not tell */
	uint32_t device; /* strings id of the device last attached, 0: unknown. Only with an observer */
	bool joining;
	uint64_t areas; /* areas of which it maps a page */
	uint64_t mapped, exposed;
};

struct model_area {
	uint64_t id; /* 0: half of a cut area whose pointer was not seen yet */
	uint64_t iopt, pages, iova, last, first, last_index;
	uint64_t storage; /* domain that page numbers are read back from */
	bool has_storage, filling;
	uint64_t mapped, exposed, held;
};

/* Each may be NULL. Areas (by iova) come before their iopt, domains at the end; objects in order of arrival. */
struct model_visitor {
	void *ctx;
	void (*iopt)(void *ctx, const struct model_iopt *iopt);
	void (*domain)(void *ctx, const struct model_domain *domain);
	void (*area)(void *ctx, const struct model_area *area);
};

/* 0, or -1 and the error: no memory. */
int model_visit(const struct model *m, const struct model_visitor *v, struct error *e);

/* After model_finish(): spans where derived and kernel unpins differ, diff = derived - kernel. 0 from fn stops. */
void model_unpin_differences(const struct model *m, int (*fn)(void *ctx, uint64_t lo, uint64_t hi, int64_t diff),
			     void *ctx);

#endif
