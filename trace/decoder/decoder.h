/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From probe records to events. Trace files, ftrace text and live ring buffers use the same decoder. raw.h says what a
 * record is before it is known what it means.
 *
 * Two layers: decoder_feed() takes raw records, whatever they were read from, and knows what probes mean together;
 * decoder_record() reads the fields out of libtraceevent records and feeds them. One raw record gives at most
 * DECODER_MAX_EVENTS events. What gives none is counted, so that nothing vanishes in silence.
 *
 * Time order is kept here and nowhere else: no event that comes out is older than one that came out before, the losses
 * that its user tells included. What waited for a later record can be; it gets the time of that one, and is counted.
 *
 * A decoder belongs to one stream of records in time order, and to one thread.
 */
#ifndef IOFLUSH_TRACE_DECODER_DECODER_H
#define IOFLUSH_TRACE_DECODER_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include <event-parse.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/intern.h"
#include "trace/decoder/raw.h"
#include "trace/event.h"
#include "trace/source.h"

#define DECODER_MAX_EVENTS 3

struct decoder_stats {
	uint64_t records;	/* all that were fed */
	uint64_t other;		/* records of other events */
	uint64_t state;		/* hwpt_alloc, map_entry and their like: kept in mind, no event */
	uint64_t unneeded;	/* area_unfill_domain, area_unmap_domain, unpin of no page */
	uint64_t failed_map;	/* map with rc != 0 */
	uint64_t failed_access; /* access_add with rc != 0 */
	uint64_t empty_unmap;	/* unmap of nothing */
	uint64_t unpaired; /* ends of calls whose entry is missing, and entries whose end is: a lost event tells of each */
	uint64_t doubtful_names; /* records whose command's name may be forged, and is unknown; see cmdlines.h */
	uint64_t unnamed; /* records without the name of their command, for which there was no room; they are decoded */
	uint64_t events;  /* that came out */
	uint64_t moved;	  /* events and losses among those that would have been older than one before them */
};

struct decoder;

/*
 * group: the system whose probes are ours for certain ("ioflush"; NULL means that): one that lacks a field it needs is
 * an error there, and somebody else's event of the same name anywhere else. NULL: out of memory.
 */
struct decoder *decoder_new(struct intern *strings, const char *group);
void decoder_free(struct decoder *d);

/* What is kept for later records is taken from the budget, which must live as long. To be said before the first record. */
void decoder_within(struct decoder *d, struct budget *budget);

/*
 * The tracepoints iommu:map and iommu:unmap stand in for the probes map and unmap, which they would repeat elsewhere. They
 * name no domain: it is 0 in their events.
 */
void decoder_take_tracepoints(struct decoder *d);

/*
 * Anyone may call a thread what they like: names of commands are added to the strings as long as these are fewer than most.
 * One that is not is unknown. For who decodes without an end; without this a name that finds no room is an error.
 */
void decoder_limit_names(struct decoder *d, uint32_t most);

/*
 * The events that a raw record gives, in time order: how many, or -1 and the error (without the place). Then the record
 * is as if it had not been, and what was held back before it still comes out.
 */
int decoder_feed(struct decoder *d, const struct raw_record *r, struct event out[DECODER_MAX_EVENTS], struct error *e);

/* The same for a record of a known event format. The record's data is only read. */
int decoder_record(struct decoder *d, struct tep_handle *tep, const struct tep_record *rec,
		   struct event out[DECODER_MAX_EVENTS], struct error *e);

/*
 * Records were lost here, as a lost event tells that the caller made and gives out next: what waits for a later record
 * of its thread may not belong to that any more, so it is forgotten.
 */
void decoder_lost(struct decoder *d, struct event *lost);

/* At the end of the stream, until it returns 0: the next event that was still held back. */
int decoder_finish(struct decoder *d, struct event *out);

/* Formats or command names have changed in the tep handle: look at them anew. */
void decoder_reset_formats(struct decoder *d);

const struct decoder_stats *decoder_stats(const struct decoder *d);

/* What of these is dropped for good. */
void decoder_dropped(const struct decoder *d, struct dropped *out);

/* Whether records of this format are read: it has the name of one of ours, and the fields that that needs. */
bool decoder_reads(const struct tep_event *event);

#endif
