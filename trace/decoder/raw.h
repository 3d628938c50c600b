/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw records: what a probe reports, before it is interpreted. A probe is known by its name: that of the event, or one
 * of the few that only carry state (hwpt_alloc, the tracepoint attach_device_to_domain). Fields are known by their
 * names.
 */
#ifndef IOFLUSH_TRACE_DECODER_RAW_H
#define IOFLUSH_TRACE_DECODER_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/event.h"

/* Kinds of raw records: those of the events, and these, which alone do not make an event. */
enum raw_kind {
	RAW_OTHER = EV_NONE, /* not ours */
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
 * Raw fields: 0 to nfields - 1 are those of the event's table; then come up to RAW_MAX_EXTRA that only probes have (rc,
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
/* The index of the same field as a number: an address that stands for a name. -1: there is none. */
int raw_field_as_address(unsigned kind, int field);

/*
 * The field that a record of this kind lacks to be ours; NULL: none. The end of a call may lack all fields of its
 * entry, with which it is paired.
 */
const char *raw_field_lacking(unsigned kind, uint16_t present);

/* Whether the record of an end has no field of its entry. A kind that is an event only at its end has a return code. */
bool raw_is_bare_end(unsigned kind, uint16_t present);

#endif
