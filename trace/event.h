/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one event type that everything passes on: sources and the decoder make it, the store keeps it, the model and the
 * reports consume it. The structs come from schema/events.def. An event is flat and of one size, so batches are arrays.
 *
 * Units: t in nanoseconds of the capture's trace clock; iova, paddr, last, size in bytes ("last" is inclusive); first,
 * last_index, npages in 4 KiB pages. Field i of the kind's table is f[i], whatever its name.
 */
#ifndef IOFLUSH_TRACE_EVENT_H
#define IOFLUSH_TRACE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE_BYTES (1ull << PAGE_SHIFT)
#define EVENT_MAX_FIELDS 11
#define EVENT_MAX_STRING 255	/* bytes of a comm, device or cause; the kernel's are far shorter */
#define EVENT_NO_CPU UINT32_MAX /* cpu is unknown (lost only) */
#define EVENT_NO_TID UINT32_MAX /* tid is unknown (lost only) */

#define ID(n) uint64_t n;
#define HEX(n) uint64_t n;
#define DEC(n) uint64_t n;
#define INT(n) int64_t n;
#define OPT_ID(n) uint64_t n;
#define OPT_HEX(n) uint64_t n;
#define OPT_DEC(n) uint64_t n;
#define FLAG(n) uint64_t n;
#define OPT_STR(n) uint64_t n; /* a strings id */
#define EVENT(num, name, fields, doc) \
	struct event_##name {         \
		fields                \
	};
#include "schema/events.def"
#undef EVENT
#undef ID
#undef HEX
#undef DEC
#undef INT
#undef OPT_ID
#undef OPT_HEX
#undef OPT_DEC
#undef FLAG
#undef OPT_STR

enum event_kind {
	EV_NONE = 0,
#define EVENT(num, name, fields, doc) EV_##name = num,
#include "schema/events.def"
#undef EVENT
	EV_KINDS /* one more than the largest number */
};

struct event {
	uint64_t t;
	uint32_t cpu;
	uint32_t tid;
	uint32_t comm;	  /* strings id, 0: unknown */
	uint16_t missing; /* bit i: field i is unknown; f[i] is 0 then */
	uint8_t kind;	  /* enum event_kind */
	uint8_t reserved;
	union {
		uint64_t f[EVENT_MAX_FIELDS];
#define EVENT(num, name, fields, doc) struct event_##name name;
#include "schema/events.def"
#undef EVENT
	};
};

/* The bit of a field in missing: EVENT_BIT(domain_add, coherent); and whether an event of that kind has the field. */
#define EVENT_BIT(kind, field) (1u << offsetof(struct event_##kind, field) / sizeof(uint64_t))
#define event_has(ev, kind, field) (!((ev)->missing & EVENT_BIT(kind, field)))

/* A map or unmap as the tracepoints of the IOMMU core have it: they name no domain, and 0 is no kernel pointer. */
static inline bool event_has_no_domain(const struct event *ev)
{
	return (ev->kind == EV_map && !ev->map.domain) || (ev->kind == EV_unmap && !ev->unmap.domain);
}

enum field_type { FIELD_ID, FIELD_HEX, FIELD_DEC, FIELD_INT, FIELD_FLAG, FIELD_STR };

struct field_desc {
	const char *name;
	enum field_type type;
	bool optional; /* may be unknown; an absent FIELD_INT is 0 instead */
};

struct event_desc {
	const char *name; /* NULL: no event has this number */
	const char *doc;
	unsigned nfields;
	struct field_desc field[EVENT_MAX_FIELDS];
};

/* By enum event_kind. */
extern const struct event_desc event_table[EV_KINDS];

/* The kind with a name of len bytes, or EV_NONE. */
enum event_kind event_kind_by_name(const char *name, size_t len);

/* Nanoseconds from one time to a later one, or 0. Only this subtracts times, so that no difference wraps. */
static inline uint64_t time_span(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

/* Makes a lost event. count 0: nobody knows how many; since NULL: nor what the last record before them was. */
void event_lost(struct event *ev, uint64_t t, uint32_t cpu, uint32_t cause, uint64_t count, const uint64_t *since);

/*
 * Whether the event is possible: sizes are not 0, ranges do not wrap, indexes fit their area. Every source calls it for
 * every event. -1 and a message with the field and its value (the source adds the place), else 0.
 */
int event_check(const struct event *ev, struct error *e);

#endif
