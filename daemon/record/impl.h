/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the writer share; see writer.h.
 *
 *	writer.c	the thread, from its start to its end
 *	open.c		the database, and the capture in it
 *	batch.c		events of the queue into a transaction
 *	wal.c		SQLite's log: durability, checkpoints
 *	place.c		the file, when it went away from its path
 *
 * Two threads use a writer: what both do is under its lock, or atomic, or of the queue.
 */
#ifndef IOFLUSH_DAEMON_RECORD_IMPL_H
#define IOFLUSH_DAEMON_RECORD_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/record/queue.h"
#include "daemon/record/recorder.h"
#include "daemon/record/retention.h"
#include "daemon/record/writer.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"

#define MS UINT64_C(1000000)
#define BUSY_MS 250

/* In the order of schema/losses.def. CAUSE_INVALID: no reader would take it, or it is of earlier than the one before. */
enum { CAUSE_INVALID = QUEUE_CAUSES, CAUSES };

struct options {
	uint64_t batch_rows, batch_ns;
	uint64_t retain_age_ns, retain_size;
	bool sync_commits;
};

/* What a transaction would have done, and does when it is committed. */
struct batch {
	uint64_t pos; /* of the queue: up to here */
	struct queue_loss loss;
	uint64_t rows, invalid;
	uint64_t records;	 /* that rows and lost events stand for */
	uint64_t unnamed;	 /* rows without a name that the events have, see store_unnamed() */
	uint64_t unnamed_before; /* of these, in captures before this one */
	uint64_t last_t;	 /* of the capture's last event */
	bool has_t;
	uint64_t last_event;
	int64_t wall;	 /* of the capture, see recorder.h */
	int64_t slept;	 /* by then */
	uint64_t looked; /* when that was looked at last */
};

/* place.c */
struct place {
	struct file_id file, log; /* of the store; they stay known when it is closed */
	bool displaced;		  /* another file lies at the path of the open store */
};

/* wal.c */
struct wal {
	uint64_t bytes; /* of its frames in use */
	uint64_t checkpoint_at;
	bool empty;
	bool syncs_commits;   /* SQLite does */
	uint64_t unsynced_at; /* when the first commit was made that the disk may not have yet; 0: it has all */
	bool failing, sync_failing;
};

/* writer.c: whether the database refuses batches. */
struct failure {
	bool now;
	uint64_t wait, retry_at;
};

/* writer.c: what the end of the capture will say. */
struct end {
	struct dropped dropped;
	bool trimmed;	    /* the beginning of the capture was deleted */
	char *cut_off;	    /* why it is not complete; NULL: it is */
	struct error error; /* and why not all was written */
	bool gave_up;
};

struct writer {
	char *path, *log_path;
	struct capture meta;
	struct intern *texts; /* of it */
	struct intern *strings;
	uint32_t cause[CAUSES]; /* ids of strings */
	struct recorder self;
	struct recorder_lock lock_file; /* of the database that is recorded into */
	struct queue *queue;
	int wake_fd;
	pthread_t thread;
	atomic_bool sleeping, stop;
	_Atomic size_t wake_at; /* so many events are a batch */

	pthread_mutex_t lock; /* of the next two */
	struct options next_options;
	struct writer_stats stats;

	/* the thread's own from here */
	struct options opt;
	struct store *store; /* NULL: to be opened */
	uint64_t capture;
	struct batch done;    /* as of the last commit */
	struct batch attempt; /* at whose commit it failed; last_event 0: none */
	bool told_invalid;
	uint64_t next_batch, last_commit, retain_at;
	struct place place;
	struct wal wal;
	struct failure failure;
	struct retention retention;
	struct end end;
};

/* --- writer.c */

void writer_note_sizes(struct writer *w);

/* --- open.c */

/* Opens the database and begins the capture, or goes on with it. 0, or -1 and the error: try again. */
int writer_open(struct writer *w, struct error *e);
/* With what is committed on the disk. */
void writer_close_store(struct writer *w);

/* --- batch.c */

/* One transaction. 0, or -1 and the error: nothing was done, as far as we know. */
int batch_write(struct writer *w, struct error *e);
/* What b did is committed. */
void batch_committed(struct writer *w, const struct batch *b);
/* Appends a lost event to the open capture. unknown: its count is not. */
int batch_append_lost(struct writer *w, struct store *s, struct batch *b, unsigned cause, uint64_t count, bool unknown,
		      uint64_t t, uint64_t since, struct error *e);

/* --- wal.c */

/* The log is ours to sync and to empty; what is left of it then is as large as it may get anyway. */
int wal_set_up(struct writer *w, struct store *s, struct error *e);
uint64_t wal_most(const struct writer *w); /* bytes of the log: then a checkpoint */
void wal_checkpoint(struct writer *w, int mode, int busy_ms);
/*
 * Makes sure that the disk has what is committed. Once a sync of the log has failed, another that succeeds says nothing
 * of what the first one was for: the kernel takes it for written. Moved into the database it is written anew.
 */
void wal_sync(struct writer *w);
void wal_keep_short(struct writer *w);

/* --- place.c */

/* The file at a path; not known: there is none, or it cannot be told. */
struct file_id place_file_at(const char *path);
/* The file that is recorded into, and what others know of it. */
void place_note(struct writer *w, bool displaced);
/* Before a batch: goes where the file went. */
void place_follow(struct writer *w);
/* Between batches: whether another file lies there now. */
void place_look(struct writer *w);

#endif
