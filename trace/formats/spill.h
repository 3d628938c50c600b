/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For sources whose steps make several events each, up to SPILL_EVENTS: reads any number of events from such steps. A
 * step writes directly to the reader's array while that has room for all it may make, and into the spill otherwise.
 */
#ifndef IOFLUSH_TRACE_FORMATS_SPILL_H
#define IOFLUSH_TRACE_FORMATS_SPILL_H

#include <stddef.h>

#include "trace/decoder/decoder.h"
#include "trace/event.h"
#include "trace/source.h"

#define SPILL_LOSSES 16u /* that may come before the events of a record */
#define SPILL_EVENTS (SPILL_LOSSES + DECODER_MAX_EVENTS)

/* All zero at first; zeroing it also drops what waits. */
struct spill {
	struct event ev[SPILL_EVENTS];
	unsigned n, pos;
};

/* Up to max events from step, which makes up to SPILL_EVENTS and returns how many (0: no more). Returns how many. */
size_t spill_read(struct spill *sp, struct event *ev, size_t max,
		  int (*step)(struct source *s, struct event out[SPILL_EVENTS]), struct source *s);

#endif
