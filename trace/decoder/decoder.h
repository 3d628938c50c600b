/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From probe records to events, for trace files, ftrace text and live ring buffers alike. raw.h has records before they
 * are interpreted.
 *
 * Two layers: decoder_feed() takes raw records from anywhere, and knows what probes mean together; decoder_record()
 * reads the fields of libtraceevent records and feeds them. One raw record gives at most DECODER_MAX_EVENTS events.
 * Records that give none are counted, so that nothing is dropped silently.
 *
 * Time order is kept only here: no event that comes out is older than one before it, including the losses that the
 * caller reports. An event that waited for a later record may be; it gets the time of that record, and is counted.
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
#include "trace/decoder/symbols.h"
#include "trace/event.h"
#include "trace/source.h"

#define DECODER_MAX_EVENTS 3

struct decoder_stats {
	uint64_t records;	 /* all that were given */
	uint64_t other;		 /* records of other events */
	uint64_t state;		 /* hwpt_alloc, map_entry and the like: remembered, but no event */
	uint64_t unneeded;	 /* area_unfill_domain, area_unmap_domain, unpin of no page */
	uint64_t failed_map;	 /* map with rc != 0 */
	uint64_t failed_access;	 /* access_add with rc != 0 */
	uint64_t empty_unmap;	 /* unmap of nothing */
	uint64_t unpaired;	 /* ends without their entry, and entries without their end: each became a lost event */
	uint64_t covered;	 /* ends without their entry that a loss before them explains: no loss of their own */
	uint64_t doubtful_names; /* records whose command name may be forged, so it is unknown; see cmdlines.h */
	uint64_t unnamed;	 /* records decoded without their command name, as there was no room for it */
	uint64_t events;	 /* that came out */
	uint64_t moved;		 /* events and losses that got a later time to keep the order */
	uint64_t no_rc;		 /* records of ends without a return code, which counts as 0 */
	uint64_t no_rc_kinds;	 /* of these kinds: bit k */
};

struct decoder;

/*
 * group: the system whose probes are certainly ours (NULL: "ioflush"). There a probe that lacks a needed field is an
 * error; in any other system it is somebody else's event with the same name. Returns NULL if out of memory.
 */
struct decoder *decoder_new(struct intern *strings, const char *group);
void decoder_free(struct decoder *d);

/* Sets the budget for what is kept for later records; it must outlive the decoder. Call it before the first record. */
void decoder_within(struct decoder *d, struct budget *budget);

/*
 * The tracepoints iommu:map and iommu:unmap replace the probes map and unmap; otherwise they would only repeat these.
 * They name no domain: it is 0 in their events.
 */
void decoder_take_tracepoints(struct decoder *d);

/*
 * For a recorder, which runs without end while anyone may invent thread names: command names are only added while there
 * are fewer than most strings, and are unknown after that. Without this call, a name that finds no room is an error.
 */
void decoder_limit_names(struct decoder *d, uint32_t most);

/*
 * Who knows the function that an address is in: name writes "NAME [MODULE]" and returns true, or false: it is unknown. It is
 * asked once for an address; if modules may come (live), now and then again for one that had no name. Without this call, a
 * caller that is recorded as an address is unknown.
 */
void decoder_name_callers(struct decoder *d, bool (*name)(void *ctx, uint64_t address, char out[SYMBOL_MAX]), void *ctx,
			  bool live);

/*
 * The events of a raw record, in time order. Returns how many, or -1 and the error (without the place). After an error
 * the record counts as absent, and what was held back before it still comes out.
 */
int decoder_feed(struct decoder *d, const struct raw_record *r, struct event out[DECODER_MAX_EVENTS], struct error *e);

/* The same for a record of a known event format, whose data is only read. */
int decoder_record(struct decoder *d, struct tep_handle *tep, const struct tep_record *rec,
		   struct event out[DECODER_MAX_EVENTS], struct error *e);

/*
 * Records were lost here; the caller makes the lost event and gives it out next. What waits for a later record of its
 * thread may no longer belong to that record, so it is forgotten.
 */
void decoder_lost(struct decoder *d, struct event *lost);

/* At the end of the stream, call it until it returns 0: gives the next event that was held back. */
int decoder_finish(struct decoder *d, struct event *out);

/* Formats or command names changed in the tep handle: read them again. */
void decoder_reset_formats(struct decoder *d);

const struct decoder_stats *decoder_stats(const struct decoder *d);

/* For each format whose records are not ours: its id, and how many there were. */
void decoder_others(const struct decoder *d, void (*each)(void *ctx, uint32_t id, uint64_t n), void *ctx);

/* The part of these that is finally dropped, without the names of the others. */
void decoder_dropped(const struct decoder *d, struct dropped *out);

/* Whether records of this format are read: it has the name of a probe of ours, and the fields that this needs. */
bool decoder_reads(const struct tep_event *event);

#endif
