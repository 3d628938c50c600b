/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the writer share; see writer.h.
 *
 *	writer.c	the thread, from its start to its end
 *	open.c		the database, and the capture in it
 *	batch.c		events of the queue into a transaction
 *	wal.c		SQLite's log: durability, checkpoints
 *	place.c		the database file, if it left its path
 *
 * Two threads use a writer: what both use is under its lock, atomic, or part of the queue.
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

/* In the order of schema/losses.def. CAUSE_INVALID: no reader would accept the event, or it goes back in time. */
enum { CAUSE_INVALID = QUEUE_CAUSES, CAUSES };

struct options {
	uint64_t batch_rows, batch_ns;
	uint64_t retain_age_ns, retain_size;
	bool sync_commits;
};

/* The effects of a transaction; they count once it is committed. */
struct batch {
	uint64_t pos; /* position in the queue: all before it is done */
	struct queue_loss loss;
	uint64_t rows, invalid;
	uint64_t records;	 /* records that rows and lost events stand for */
	uint64_t unnamed;	 /* rows that lost the name of their event, see store_unnamed() */
	uint64_t unnamed_before; /* of these, in captures before this one */
	uint64_t last_t;	 /* of the capture's last event */
	bool has_t;
	uint64_t last_event;
	int64_t wall;	 /* wall clock of the capture, see recorder.h */
	int64_t slept;	 /* time slept by then */
	uint64_t looked; /* when that was last checked */
};

/* place.c */
struct place {
	struct file_id file, log; /* of the store; kept when it is closed */
	bool displaced;		  /* another file lies at the path of the open store */
};

/* wal.c */
struct wal {
	uint64_t bytes; /* bytes of its frames in use */
	uint64_t checkpoint_at;
	bool empty;
	bool syncs_commits;   /* SQLite syncs the log at each commit */
	uint64_t unsynced_at; /* time of the first commit that may not be on the disk yet; 0: all are */
	bool failing, sync_failing;
};

/* writer.c: whether the database refuses batches. */
struct failure {
	bool now;
	uint64_t wait, retry_at;
};

/* writer.c: what is noted at the end of the capture. */
struct end {
	struct dropped dropped;
	bool trimmed;	    /* the beginning of the capture was deleted */
	char *cut_off;	    /* why it is not complete; NULL: it is */
	struct error error; /* why not everything was written */
	bool gave_up;
};

struct writer {
	char *path, *log_path;
	struct capture meta;
	struct intern *texts; /* of it */
	struct intern *strings;
	uint32_t cause[CAUSES]; /* ids of strings */
	struct recorder self;
	struct recorder_lock lock_file; /* on the database that is recorded into */
	struct queue *queue;
	int wake_fd;
	pthread_t thread;
	atomic_bool sleeping, stop;
	_Atomic size_t wake_at; /* number of events in a batch */

	pthread_mutex_t lock; /* protects the next two */
	struct options next_options;
	struct writer_stats stats;

	/* from here on only the thread uses it */
	struct options opt;
	struct store *store; /* NULL: must be opened */
	uint64_t capture;
	struct batch done;    /* as of the last commit */
	struct batch attempt; /* the one whose commit failed; last_event 0: none */
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

/* Opens the database and begins the capture, or continues it. 0, or -1 and the error: try again. */
int writer_open(struct writer *w, struct error *e);
/* Closes it, with all commits on the disk. */
void writer_close_store(struct writer *w);

/* --- batch.c */

/* Does one transaction. 0, or -1 and the error: as far as we know, nothing was done. */
int batch_write(struct writer *w, struct error *e);
/* Takes over the effects of b, which are committed. */
void batch_committed(struct writer *w, const struct batch *b);
/* Appends a lost event to the open capture. unknown: its count is unknown. */
int batch_append_lost(struct writer *w, struct store *s, struct batch *b, unsigned cause, uint64_t count, bool unknown,
		      uint64_t t, uint64_t since, struct error *e);

/* --- wal.c */

/* From now on we sync and empty the log; an emptied log keeps at most the size that it may have anyway. */
int wal_set_up(struct writer *w, struct store *s, struct error *e);
uint64_t wal_most(const struct writer *w); /* bytes of the log: then a checkpoint */
void wal_checkpoint(struct writer *w, int mode, int busy_ms);
/*
 * Makes sure that all commits are on the disk. After a failed sync of the log, a later success proves nothing: the
 * kernel takes the data as written. So the data is moved into the database, which writes it again.
 */
void wal_sync(struct writer *w);
void wal_keep_short(struct writer *w);

/* --- place.c */

/* The file at a path; unknown: there is none, or it cannot be read. */
struct file_id place_file_at(const char *path);
/* Sets the file that is recorded into, also in the statistics. */
void place_note(struct writer *w, bool displaced);
/* Before a batch: reacts if the file left its path. */
void place_follow(struct writer *w);
/* Between batches: checks whether another file is at the path now. */
void place_look(struct writer *w);

#endif
