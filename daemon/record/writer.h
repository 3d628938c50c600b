/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer: a bounded queue and a thread that takes events from it into the database, in batches bounded by rows and by
 * time. The drain never waits for it: what does not fit in the queue is lost, and becomes a lost event (cause "queue"). A
 * batch that the database refuses (disk full, I/O error, locked) is kept and tried again while the queue lasts; what is
 * lost in the end becomes a lost event (cause "database") as soon as the database takes rows again.
 * It also does retention, in small steps between batches.
 */
#ifndef IOFLUSH_DAEMON_RECORD_WRITER_H
#define IOFLUSH_DAEMON_RECORD_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file_id.h"
#include "daemon/config/config.h"
#include "trace/event.h"
#include "trace/source.h"

struct writer;

struct writer_stats {
	uint64_t queued, queue_max;	 /* events now, and at most since start */
	uint64_t rows, batches, commits; /* rows: events from the queue that are committed; lost events made here aside */
#define RING_LOSS(...)
#define WRITER_LOSS(ID, id, ...) uint64_t lost_##id;
#include "schema/losses.def"
	uint64_t unnamed;    /* rows without the name of their command or device, see store_unnamed() */
	uint64_t failures;   /* batches refused */
	char failing[256];   /* why the database takes no rows now; "": it does */
	struct file_id file; /* that is recorded into */
	char displaced[256]; /* what has become of its path, if another file lies there now; "" */
	uint64_t batch_ns_sum, commit_ns_sum; /* time spent, for averages */
	uint64_t commit_ns_max;
	uint64_t log_syncs, log_sync_failures; /* of the write-ahead log, made by the writer itself; see durability */
	uint64_t db_bytes;		       /* size of the database file and its WAL */
	uint64_t capture;		       /* id of the capture under way */
	uint64_t retained_deleted;	       /* events deleted by retention */
};

/*
 * Opens (creates, migrates) the database, closes captures that a dead recorder left "recording" as "cut-off", begins a
 * capture with the metadata given, starts the thread. events' string ids are those of strings. NULL and the error.
 */
struct writer *writer_new(const struct config *c, const struct capture *meta, struct intern *strings, struct error *e);

/* Never blocks. What does not fit is counted. One thread calls it. */
void writer_put(struct writer *w, const struct event *ev, size_t n);

void writer_reload(struct writer *w, const struct config *c);  /* options of batches, durability or retention changed */
void writer_stats(struct writer *w, struct writer_stats *out); /* any thread */

/* What was left out of the capture by design, for its row; before writer_close(). */
void writer_dropped(struct writer *w, const struct dropped *d);

/* Recording failed: the capture is to be closed as "cut-off", with the reason as its note; before writer_close(). */
void writer_cut_off(struct writer *w, const char *why);

/* Drains the queue, closes the capture as "complete", ends the thread. NULL is fine. -1: rows could not be written. */
int writer_close(struct writer *w, struct error *e);

#endif
