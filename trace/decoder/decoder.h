/*
 * From probe records to events. A probe is known by its name, which is the event's own name or one of the few that only
 * carry state (hwpt_alloc, the tracepoint attach_device_to_domain); its fields are known by theirs. Trace files, ftrace
 * text and live ring buffers use the same decoder.
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
#include "trace/event.h"
#include "trace/source.h"

#define DECODER_MAX_EVENTS 3

/* Kinds of raw records: those of the events, and these, which no event is made from alone. */
enum raw_kind {
	RAW_OTHER = EV_NONE, /* none of ours */
	RAW_hwpt_alloc = EV_KINDS,
	RAW_hwpt_alloc_end,
	RAW_area_unfill_domain,
	RAW_area_unmap_domain,
	RAW_attach_device_to_domain,
	RAW_map_entry,
	RAW_unmap_entry,
	RAW_access_add_entry,
	RAW_KINDS
};

/*
 * Raw fields: 0 to nfields - 1 are those of the event's table, then come RAW_MAX_EXTRA that only probes have (rc,
 * unmapped, page, ...). Field i is bit i of a present mask.
 */
#define RAW_MAX_EXTRA 3
#define RAW_EXTRA EVENT_MAX_FIELDS
#define RAW_MAX_FIELDS (RAW_EXTRA + RAW_MAX_EXTRA)

struct raw_record {
	uint64_t t;
	uint32_t cpu, tid;
	uint32_t comm;		    /* strings id, 0: unknown */
	uint16_t kind;		    /* enum raw_kind */
	uint16_t present;	    /* which of v[] the record has; the others are 0 */
	uint64_t v[RAW_MAX_FIELDS]; /* signed fields extended to 64 bits; a string as its id, 0: not present */
};

/* The kind (enum raw_kind) of the probe of this name (len bytes), or RAW_OTHER. */
unsigned raw_kind_by_name(const char *name, size_t len);
const char *raw_kind_name(unsigned kind);

/* The index of a kind's field by name, or -1. hint: an index to try first. */
int raw_field_by_name(unsigned kind, const char *name, size_t len, int hint);
const char *raw_field_name(unsigned kind, int field); /* NULL: no such field */
bool raw_field_is_string(unsigned kind, int field);

/*
 * What a record of the kind with these fields lacks to be one of ours, or NULL: nothing. The end of a call may lack all
 * that its entry has: it is paired with it.
 */
const char *raw_field_lacking(unsigned kind, uint16_t present);

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
