/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a capture gave no event, by reason, and what its events lack. The records of other events are named, the probes on
 * functions of ours first and then the most frequent: so that a capture without any event of ours can say what it had instead.
 */
#ifndef IOFLUSH_TRACE_DROPPED_H
#define IOFLUSH_TRACE_DROPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTHER_EVENTS 8 /* that are named; the total has the rest, too */
#define OTHER_NAME 48

/* Records of one event that is not ours. */
struct other_event {
	uint64_t n;		   /* 0: this and the later ones are free */
	bool probe;		   /* somebody made it: a kprobe, fprobe or the like */
	char name[OTHER_NAME];	   /* perhaps with its group: "x:mymap" */
	char function[OTHER_NAME]; /* of ours, that it probes; "": none, or not known */
};

struct dropped {
	uint64_t failed_maps;	  /* map calls that failed, and of which nothing else is known */
	uint64_t failed_accesses; /* access_add calls that failed */
	uint64_t empty_unmaps;	  /* unmap calls that unmapped nothing */
	uint64_t other;		  /* records of other events */
	uint64_t tracepoints;	  /* among these: iommu:map and iommu:unmap, which tell no domain */
	uint64_t unnamed;	  /* records whose command name found no room */
	uint64_t doubtful_names;  /* records whose command name may be forged, see cmdlines.h */
	uint64_t moved;		  /* not records, but events that got a later time, to keep the order (decoder.h) */
	uint64_t no_rc;		  /* not records, but events whose probe gave no return code: it counts as 0 */
	uint64_t no_rc_kinds;	  /* of these kinds (bit k: enum event_kind) */
	uint64_t more_entries;	  /* not dropped: lines of text beyond what its header counts */
	uint64_t no_domain;	  /* not records, but maps and unmaps of domain 0: tracepoints tell none */
	struct other_event other_event[OTHER_EVENTS];
};

/* In the note of a capture that is stored: the numbers and kinds are not kept, but this is. */
#define DROPPED_MORE_ENTRIES "more entries of text than its header says"
#define DROPPED_NO_RC "events whose probe gave no return code, which counts as 0"

/* And, of a capture without any event: what it had instead, up to the next ';'. */
#define DROPPED_OTHERS "it had other events: "

/* Names n records among the other events, if they are among the foremost. The total is not changed. */
void dropped_name(struct dropped *d, const struct other_event *ev);

/* Counts records by name, for a source that learns names one after the other. All zero at first. */
#define OTHER_NAMES 32
struct other_names {
	struct other_event ev[OTHER_NAMES]; /* the first ones that came */
	unsigned n, last;
};

/* One record of a name (len bytes). If it is a probe's on a function of ours, that; else its length is 0. */
void other_names_count(struct other_names *o, const char *name, size_t len, bool probe, const char *function,
		       size_t function_len);
void other_names_dropped(const struct other_names *o, struct dropped *d);

/* Copies a name of len bytes, cut to what fits, and without what cannot be printed. */
void other_event_name(char out[OTHER_NAME], const char *name, size_t len);

/* Whether probes of ours are on the function of this name (len bytes). */
bool is_our_function(const char *name, size_t len);

#endif
