/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer: a bounded queue, and a thread that moves its events into the database, in batches bounded by rows and by
 * time. The drain never waits for it: what does not fit in the queue is lost, and becomes a lost event (cause "queue").
 * A batch that the database refuses (disk full, I/O error, locked) is kept and tried again; what does not fit in the
 * queue meanwhile becomes a lost event (cause "database") when the database takes rows again. The writer also does
 * retention, in small steps between batches.
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
	uint64_t queued, queue_max;	 /* events now; most since the start */
	uint64_t rows, batches, commits; /* rows: committed events from the queue, without lost events made here */
#define RING_LOSS(...)
#define WRITER_LOSS(ID, id, ...) uint64_t lost_##id;
#include "schema/losses.def"
	uint64_t unnamed;    /* rows that lost the name of their command or device, see store_unnamed() */
	uint64_t failures;   /* batches refused */
	char failing[256];   /* why the database takes no rows now; "": it does */
	struct file_id file; /* the file that is recorded into */
	char displaced[256]; /* what has become of its path, if another file lies there now; "" */
	uint64_t batch_ns_sum, commit_ns_sum; /* time spent, for averages */
	uint64_t commit_ns_max;
	uint64_t log_syncs, log_sync_failures; /* of the write-ahead log, done by the writer itself; see durability */
	uint64_t db_bytes;		       /* size of the database file and its WAL */
	uint64_t capture;		       /* id of the current capture */
	uint64_t retained_deleted;	       /* events deleted by retention */
};

/*
 * Opens (creates, migrates) the database, closes captures that a dead recorder left "recording" as "cut-off", begins a
 * capture with the given metadata, starts the thread. String ids in events belong to strings. NULL and the error.
 */
struct writer *writer_new(const struct config *c, const struct capture *meta, struct intern *strings, struct error *e);

/* Never blocks. What does not fit is counted as lost. Only one thread may call it. */
void writer_put(struct writer *w, const struct event *ev, size_t n);

void writer_reload(struct writer *w, const struct config *c);  /* options of batches, durability or retention changed */
void writer_stats(struct writer *w, struct writer_stats *out); /* any thread */

/* What was left out of the capture by design, for its row; call it before writer_close(). */
void writer_dropped(struct writer *w, const struct dropped *d);

/* Recording failed: the capture will be closed as "cut-off", with the reason as note. Before writer_close(). */
void writer_cut_off(struct writer *w, const char *why);

/* Drains the queue, closes the capture as "complete", ends the thread. NULL is fine. -1: rows could not be written. */
int writer_close(struct writer *w, struct error *e);

#endif
