/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture: raw ring buffer pages of all CPUs in, events in time order out. It knows neither tracefs nor the event loop:
 * it gets descriptors, and is told when to drain. trace/decoder/decoder.h decodes; its state is here.
 *
 * Merging: a drain begins at time T of the trace clock. When every CPU was read empty, it has seen every record with a
 * timestamp below T minus merge_window. Records up to there are merged across CPUs, decoded in that order and given to
 * the sink; the rest waits. A record that comes too late for that is lost ("late"), and counted.
 *
 * Loss: every lost record is part of a lost event. Causes: "ring buffer" (sub-buffer flags and per_cpu stats,
 * reconciled so that each is counted once; also what other processes read, emptied or turned off), "decoder" (records
 * that could not be decoded), "late", "merge memory", "probe" (what the probes missed, from ring_missed(); on no CPU).
 */
#ifndef IOFLUSH_DAEMON_CAPTURE_RING_H
#define IOFLUSH_DAEMON_CAPTURE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"
#include "trace/source.h"

struct ring_sink {
	void *ctx;
	/* Takes n events, in time order. Must not block; must count itself what it cannot take. */
	void (*events)(void *ctx, const struct event *ev, size_t n);
};

struct ring_options {
	uint64_t merge_window_ns;
	uint64_t merge_bytes;
	bool tracepoints; /* tracepoints of the IOMMU core replace probes; see decoder_take_tracepoints() */
	struct ring_sink sink;
	uint64_t (*now)(void *ctx); /* the trace clock; NULL: CLOCK_MONOTONIC. Tests give their own */
	void *now_ctx;
};

/* Counters, read by other threads: use the accessors. */
struct ring_stats {
	uint64_t pages, records, events, other;	   /* other: records that are no events by design (dropped, not ours) */
#define RING_LOSS(ID, id, ...) uint64_t lost_##id; /* records */
#define WRITER_LOSS(...)
#include "schema/losses.def"
	uint64_t lost_unknown;	 /* places with an unknown count */
	uint64_t unnamed;	 /* records whose command name is unknown: too many names */
	uint64_t doubtful_names; /* records of threads whose name may be forged; see trace/decoder/cmdlines.h */
	uint64_t last_t;	 /* of the last event given to the sink */
	uint64_t drains;
	bool changed; /* another process changed how the kernel records, see ring_watched() */
};

struct ring;

struct ring *ring_new(const struct ring_options *o, struct intern *strings, struct error *e);
void ring_free(struct ring *c);

/* header_page and event formats as text, from tracefs or from a recording. 0 or -1. */
int ring_header_page(struct ring *c, const char *text, size_t len, struct error *e);
int ring_format(struct ring *c, const char *system, const char *text, size_t len, struct error *e);

/* The pid -> command table: fd of saved_cmdlines, reread when a pid is new (at most once a second); -1: none. */
void ring_cmdlines(struct ring *c, int fd);

/* The kernel's functions: fd of their addresses, read when a caller is new; -1: callers stay unknown. */
void ring_symbols(struct ring *c, int fd);

/*
 * The total of records that probes missed, see missed.h. An increase becomes a lost event that begins at the last call.
 * The first call sets the base; so does a lower total: the counters restart when a module is loaded again.
 */
void ring_missed(struct ring *c, uint64_t total);

/*
 * Reports from time to time whether the kernel records as it was told. From a good answer to the next good one, if
 * there was a bad one between, or to the end, there is a loss of unknown size.
 */
void ring_watched(struct ring *c, bool changed);

/* A CPU comes; the ring owns the descriptors from now on. stats_fd -1: none. */
int ring_cpu_add(struct ring *c, unsigned cpu, int fd, int stats_fd, struct error *e);

/*
 * Reads all CPUs empty (at most max_pages a CPU), merges, decodes, gives to the sink. Returns the number of pages read.
 * A CPU whose descriptor gives ENODEV or ends is removed, after what was read: *gone (may be NULL) is its number, else
 * -1.
 */
long ring_drain(struct ring *c, size_t max_pages, int *gone, struct error *e);

/* At the end: merges all that still waits, gives it to the sink, reconciles the statistics. */
int ring_finish(struct ring *c, struct error *e);

/* What the decoder left out by design (failed calls, foreign records). Only on the thread that drains. */
void ring_dropped(const struct ring *c, struct dropped *out);

void ring_stats(const struct ring *c, struct ring_stats *out); /* any thread */

#endif
