/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a replay reports, gathered over captures and printed once at the end: as text of 100 columns, as JSON and as CSV
 * (ioflush-replay(1) documents both). Pages are 4 KiB. The counts of captures are added up.
 */
#ifndef IOFLUSH_ANALYZER_REPORT_REPORT_H
#define IOFLUSH_ANALYZER_REPORT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"
#include "analyzer/report/judge.h"
#include "base/error.h"
#include "trace/source.h"

#define REPORT_CYCLES_PER_PAGE 588   /* measured by the author of the patches, a flush on the map side */
#define REPORT_CPU_MHZ 4494	     /* the CPU that this was measured on */
#define REPORT_MAX_CYCLES 1000000000 /* a page */
#define REPORT_MAX_MHZ 1000000

struct report_capture {
	struct capture c;
	uint64_t events, first_t, last_t;
	const char *partial; /* NULL, or why the events are not all there */
	struct midlife midlife;
	uint64_t health[HEALTH_COUNT];
	uint64_t lacking; /* bit k: its probes are known, and none is for event kind k */
	enum verdict verdict;
	const char *reasons; /* judge_text() */
	bool judged;	     /* policies can be judged by it */
	bool idle;	     /* it says nothing of policies */
};

struct report {
	const struct policy_set *set;
	struct budget *budget; /* of what is kept of captures; NULL: no bound */
	struct intern *texts;  /* of captures; totals.losses and totals.failures are with these */
	uint64_t cycles_per_page, cpu_mhz;
	bool cpu_mhz_given;
	struct policy_counts *counts; /* by policy */
	struct model_totals totals;   /* peak_exposed is the highest of any capture */
	struct worst worst;	      /* of the captures */
	struct dropped dropped;
	bool dropped_unknown; /* of some capture: only a part of it was read */
	struct report_capture *capture;
	size_t n, captures_cap;
	const char **left_out; /* captures that could not be read whole: which, and why */
	size_t nleft_out, left_out_cap;
};

/* The set must outlive the report. 0 or -1. */
int report_init(struct report *r, const struct policy_set *set, struct error *e);
void report_clear(struct report *r);

/*
 * Adds a capture whose model is finished. partial: NULL, or why events are missing. dropped: the records that gave no
 * events; NULL if that is not known for these events. strings: of its events. 0 or -1.
 */
int report_add(struct report *r, const struct capture *c, const struct model *m, const struct intern *strings,
	       const char *partial, const struct dropped *dropped, struct error *e);

/* Names in the report a capture that is not in it, and why. 0 or -1. */
int report_leave_out(struct report *r, const char *what, struct error *e);

/* Pages that a policy flushes. */
uint64_t report_flushed(const struct policy_counts *c);

/* Whether some capture began in mid-life. */
bool report_midlife(const struct report *r);

/*
 * Whether a policy's numbers are a verdict. Not if a capture cannot be judged, which hides any gap; a gap of another
 * capture is one still.
 */
bool report_judged(const struct report *r);

/* Whether the traces say that records were lost. */
bool report_lost(const struct report *r);

void report_text(const struct report *r, FILE *out);
void report_csv(const struct report *r, FILE *out);
int report_json(const struct report *r, FILE *out, struct error *e);

#endif
