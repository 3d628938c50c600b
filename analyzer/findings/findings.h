/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings: the gaps of one policy, grouped so that one cause is one finding, with both of its sides: the event that
 * violates, and the earlier event that set the state up.
 *
 *	findings_new -> { findings_begin -> a model that runs with findings_observer() -> findings_end }...
 *		-> findings_sort -> read
 *
 * Gaps with the same key are one finding. The key: capture, gap kind, hook, iopt, domain (or its device, so that a
 * device that comes and goes is one cause), violating operation, fill around it, reason, and kind of set-up event. The
 * pages are not in the key: the cause is how the policy treats an operation, or where it keeps its bit, so a workload
 * that maps and unmaps all day has as many findings as one that did it once. Events and objects are those of the first
 * occurrence. Memory: a struct per finding, a serial per iopt_pages in it, and a span per run of pinned frames with the
 * same history.
 */
#ifndef IOFLUSH_ANALYZER_FINDINGS_FINDINGS_H
#define IOFLUSH_ANALYZER_FINDINGS_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer/model/model.h"
#include "base/error.h"
#include "base/intern.h"

#define FINDING_RANGES 8

/* lo and hi are inclusive. */
struct finding_range {
	uint64_t lo, hi;
};

/* Ranges, merged where they touch: the first few (sorted at the end); spans outside of them are only counted. */
struct finding_ranges {
	struct finding_range r[FINDING_RANGES];
	unsigned n;
	uint64_t more;	 /* spans that lie in none of r */
	uint64_t lo, hi; /* the lowest and highest of all spans */
};

/* What in the earlier state makes it a gap. */
enum finding_reason {
	REASON_PINNED,	/* leak: no flush since the frames were pinned */
	REASON_PRE_PIN, /* leak: the policy's bit was set by a fill before the frames were pinned */
	REASON_POST_PIN, /* leak: the policy's bit was set by a fill after the frames were pinned, but they got no flush */
	REASON_HIDDEN,	/* reexpose: no flush since the frames were hidden */
	REASON_EXPOSED, /* release, access: a device could write to them, and no flush since they were hidden */
};

/* Which event set the state up, by reason. */
extern const char *const finding_roles[]; /* "pinned", "bit-set", "bit-set", "hidden", "exposed" */

struct finding {
	enum gap_kind kind;
	enum finding_reason reason;
	enum hook hook; /* where a flush would have prevented it */
	bool filling;	/* exposures: by the fill of a new area; else by a joining domain */

	uint64_t capture;
	bool ticks;			    /* its times are such */
	uint64_t iopt, domain, pages, area; /* ids, of the first occurrence; domain 0: none */
	uint32_t device;		    /* findings_strings() id, 0: unknown */
	bool more_domains;		    /* other domains of the device are in it, too */
	uint64_t more_pages;		    /* how many other iopt_pages are in it */
	bool mark_in_area;		    /* mark is the bit of the area, else of the iopt_pages */

	/* Of the first occurrence; comm is a findings_strings() id. seq 0: unknown or none. */
	struct origin event;		       /* that violates */
	struct origin within;		       /* the fill, unfill or removal around it */
	struct origin setup;		       /* the earlier event that set the state up: one of the next four */
	struct origin mark;		       /* set the policy's bit, if it was set */
	struct origin pinned, exposed, hidden; /* the last event that did so */
	uint64_t lost;			       /* lost events before it */
	bool uncertain;			       /* the recording began in mid-life; valid after findings_end() */
	uint64_t stale_pages;	  /* leaks: of frames at the same place as before; the rest may be another owner's */
	uint64_t unordered_pages; /* in gaps where operations overlapped: the kernel's order may be another */
	uint64_t new_pages;	  /* if uncertain: in gaps if their memory was new to iommufd */

	uint64_t last_seq, last_t; /* of the last occurrence */
	uint64_t events;	   /* that violate in this way */
	uint64_t spans, npages;
	struct finding_ranges pfn, iova; /* iova: of whole pages, in bytes */
};

struct findings;

/*
 * policy: the only one of the model. It and the budget, the model's (NULL: no bound), must outlive the findings. NULL:
 * no memory.
 */
struct findings *findings_new(const struct ioflush_policy *policy, struct budget *budget);
void findings_free(struct findings *f);

/* A capture begins: its number, the strings of its events, and whether its times are ticks. Forgets the frames of the previous one. */
void findings_begin(struct findings *f, uint64_t capture, const struct intern *strings, bool ticks);

/* The capture ends; call it after model_finish(), when it is known whether it began in mid-life. */
void findings_end(struct findings *f, const struct model_totals *t);

/* The id in findings_strings() of a string of the present capture. */
uint32_t findings_string(struct findings *f, uint32_t id);

/* For model_new(); valid as long as f. */
const struct model_observer *findings_observer(const struct findings *f);

/* 0, or -1: there was no memory while observing. */
int findings_check(const struct findings *f, struct error *e);

/* Errors before warnings, then by first occurrence. Call it after the last model_finish(). */
void findings_sort(struct findings *f);

size_t findings_count(const struct findings *f);
const struct finding *findings_get(const struct findings *f, size_t i);
const struct intern *findings_strings(const struct findings *f);

/* "no flush since they were pinned" */
const char *finding_reason_text(enum finding_reason r);

/* Sentences: what happens; which flush was missing, and where in the kernel it belongs; why. Cut to len. */
const char *finding_what(const struct finding *g);
void finding_missing(const struct finding *g, char *buf, size_t len);
void finding_why(const struct finding *g, const char *policy, char *buf, size_t len);

#endif
