/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture: raw ring buffer pages of all CPUs in, events in time order out. Knows neither tracefs nor the event loop: it is
 * given descriptors, and told when to drain. All state of decoding is here (trace/decoder/decoder.h does the decoding).
 *
 * Merging: a drain that begins at time T (of the trace clock) has, once every CPU was read empty, seen every record with a
 * timestamp below T less merge_window. Up to there records are merged across CPUs, decoded in that order and given to the
 * sink; the rest waits. A record that comes later than that is lost ("late"), and counted.
 *
 * Loss: every lost record becomes part of a lost event: cause "ring buffer" (sub-buffer flags, and per_cpu stats, reconciled
 * so that each is counted once; what others read, emptied or turned off), "decoder" (records that could not be decoded), "late", "merge memory", "probe" (what
 * the probes missed, as ring_missed() is told; on no CPU).
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
	/* Takes n events, in time order. Never blocks; what it cannot take it must count itself. */
	void (*events)(void *ctx, const struct event *ev, size_t n);
};

struct ring_options {
	uint64_t merge_window_ns;
	uint64_t merge_bytes;
	bool tracepoints; /* of the IOMMU core stand in for probes; see decoder_take_tracepoints() */
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
	uint64_t lost_unknown;	 /* places where the count is not known */
	uint64_t unnamed;	 /* records without the name of their command: there are more names than are kept */
	uint64_t doubtful_names; /* records of threads whose name another may have forged; see trace/decoder/cmdlines.h */
	uint64_t last_t;	 /* of the last event given to the sink */
	uint64_t drains;
	bool changed; /* others have changed how the kernel records, see ring_watched() */
};

struct ring;

struct ring *ring_new(const struct ring_options *o, struct intern *strings, struct error *e);
void ring_free(struct ring *c);

/* header_page and event formats as text, from tracefs or recorded ones. 0 or -1. */
int ring_header_page(struct ring *c, const char *text, size_t len, struct error *e);
int ring_format(struct ring *c, const char *system, const char *text, size_t len, struct error *e);

/* The pid -> command table: fd of saved_cmdlines, reread when a pid is new (at most once a second); -1: none. */
void ring_cmdlines(struct ring *c, int fd);

/*
 * Probes have missed so many records in all, see missed.h: more than the last time become a lost event, since that time.
 * Those of the first time do not count; fewer than the last time: the kernel begins anew with a module that comes again.
 */
void ring_missed(struct ring *c, uint64_t total);

/*
 * Whether the kernel records as it was told to, at times: what came between two such times with different answers, and
 * until the end if it does not by then, is a loss of unknown size.
 */
void ring_watched(struct ring *c, bool changed);

/* A CPU comes; owns the descriptors from now on. stats_fd -1: none. */
int ring_cpu_add(struct ring *c, unsigned cpu, int fd, int stats_fd, struct error *e);

/* Reads all CPUs empty (bounded work: at most max_pages a CPU), merges, decodes, gives to the sink. The number of pages
 * read; a CPU whose descriptor says ENODEV or ends is removed (what was read is still merged), its number in *gone if gone is
 * not NULL (else -1). */
long ring_drain(struct ring *c, size_t max_pages, int *gone, struct error *e);

/* At the end: everything still waiting is merged and given to the sink; statistics reconciled. */
int ring_finish(struct ring *c, struct error *e);

/* What the decoder left out by design (calls that failed, records of others); on the thread that drains. */
void ring_dropped(const struct ring *c, struct dropped *out);

void ring_stats(const struct ring *c, struct ring_stats *out); /* any thread */

#endif
