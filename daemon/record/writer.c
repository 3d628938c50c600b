/*
 * The writer thread; see writer.h.
 *
 * Events stay in the queue until the transaction that holds them is committed: a batch is read from it in place, and only
 * then released. So a batch that is refused costs nothing to keep; it is made anew, and grows, at the next try, and what
 * does not fit into the queue meanwhile becomes a lost event behind it. No event is written twice and none is dropped
 * between the two: head of the queue and last_event move together.
 *
 * What is known of the database (last_event and what else is said below) is that of the last commit. When the database is
 * opened again after a failure, the row of our capture tells whether the commit that failed came through after all. If
 * the file was taken away, or put back from a copy, the capture goes on as a new one, which begins with a lost event that
 * stands for all that the old one had. Where another file was put in its place, that is left alone, whatever it is: the
 * file that was opened is recorded into, wherever it is now.
 *
 * A killed process loses nothing that is committed. What a crash of the machine takes, the option durability says. By
 * "interval" a commit does not wait for the disk (synchronous NORMAL); the log is synced when a commit in it has waited
 * for SYNC_TIME, whether others follow or not, and what is lost are whole commits, the last ones. By "commit" SQLite syncs
 * the log at each commit (synchronous FULL). The database stays sound either way.
 *
 * Checkpoints are this thread's, too: passive ones, which wait for nobody, whenever the log has grown enough; and when
 * there is nothing to do the log is emptied. A reader that stays makes the log grow, and costs no event.
 */
#include "daemon/record/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/record/queue.h"
#include "daemon/record/recorder.h"
#include "daemon/record/retention.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"
#include "trace/store/trim.h"

#define MS UINT64_C(1000000)
#define SECOND INT64_C(1000000000)
#define BUSY_MS 250
#define FIRST_RETRY (20 * MS)
#define LAST_RETRY (1000 * MS)
#define CLOSE_MS 3000 /* how long to go on trying at the end */
#define CLOSE_TIME (CLOSE_MS * MS)
#define LONGEST_WAIT (1000 * MS) /* between looks at the rest of the work */
#define SYNC_TIME (4000 * MS)	/* a commit is on the disk after that; with what comes before it, within five seconds */
#define IDLE_TIME (5000 * MS)	/* without a commit: the log may be emptied */
#define RETAIN_TIME (1000 * MS) /* between looks at what is too old */
#define GROWN_TIME (100 * MS)	/* and, after commits, at the size */
#define RETAIN_BUDGET (40 * MS) /* for steps of retention between two batches */
#define LOG_BYTES (16u << 20)	/* of the log: then a checkpoint */
#define LOG_LEAST (256u << 10)
#define LOG_STARVED 8 /* times that: readers follow each other so closely that it is never begun anew; wait for them */
#define STARVED_MS 20 /* so long */

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

struct writer {
	char *path, *log_path;
	struct capture meta; /* its texts are ours */
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
	struct store *store;	  /* NULL: to be opened */
	struct file_id file, log; /* of the store; they stay known when it is closed */
	bool displaced;		  /* another file lies at the path of the open store */
	uint64_t capture;
	struct batch done;    /* as of the last commit */
	struct batch attempt; /* at whose commit it failed; last_event 0: none */
	struct dropped dropped;
	bool trimmed; /* the beginning of the capture was deleted */
	bool failing, log_failing, sync_failing, told_invalid;
	uint64_t retry, retry_at;
	uint64_t next_batch, last_commit, retain_at;
	struct retention retention;
	uint64_t log_bytes; /* of its frames in use */
	uint64_t checkpoint_at;
	bool log_empty;
	bool syncs_commits;   /* SQLite does */
	uint64_t unsynced_at; /* when the first commit was made that the disk may not have yet; 0: it has all */
	char *cut_off;	      /* at the end: why the capture is not complete; NULL: it is */
	struct error error;   /* and why not all was written */
	bool gave_up;
};

/* ---- numbers ---- */

static uint64_t file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) || st.st_size < 0 ? 0 : (uint64_t)st.st_size;
}

static void note_sizes(struct writer *w)
{
	uint64_t bytes = w->displaced ? 0 : file_bytes(w->log_path);
	struct stat st;

	if (!fstat(w->lock_file.fd, &st))
		bytes += (uint64_t)st.st_size;

	pthread_mutex_lock(&w->lock);
	w->stats.db_bytes = bytes;
	w->stats.capture = w->capture;
	pthread_mutex_unlock(&w->lock);
}

static uint64_t checkpoint_bytes(const struct writer *w)
{
	uint64_t n = w->opt.retain_size / 16;

	if (!w->opt.retain_size || n > LOG_BYTES)
		return LOG_BYTES;
	return n < LOG_LEAST ? LOG_LEAST : n;
}

/* ---- opening ---- */

/* SQLite calls it after each commit. */
static int on_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct writer *w = ctx;

	(void)db;
	(void)name;
	w->log_bytes = (uint64_t)pages * 8192;
	w->log_empty = false;
	if (!w->unsynced_at && !w->syncs_commits)
		w->unsynced_at = clock_ns();
	return SQLITE_OK;
}

/* Appends a lost event to the open capture. unknown: its count is not. */
static int append_lost(struct writer *w, struct store *s, struct batch *b, unsigned cause, uint64_t count, bool unknown,
		       uint64_t t, uint64_t since, struct error *e)
{
	struct event ev = {.kind = EV_lost, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID};

	ev.t = b->has_t && t < b->last_t ? b->last_t : t;
	ev.lost.cause = w->cause[cause];
	if (unknown)
		ev.missing |= 1u << 0;
	else
		ev.lost.count = count;
	if (b->has_t)
		ev.lost.since = since;
	else
		ev.missing |= 1u << 2;
	b->records += count;
	b->last_t = ev.t;
	b->has_t = true;
	return store_append(s, &ev, 1, w->strings, e);
}

/* Begins the capture, or what goes on as another one. */
static int begin_capture(struct writer *w, struct store *s, uint64_t *id, struct batch *b, struct error *e)
{
	struct batch old = *b;

	b->slept = recorder_slept();
	b->looked = clock_ns();
	if (store_capture_begin(s, &w->meta, id, e) || recorder_add(s, &w->self, *id, e) ||
	    recorder_add_sleep(s, *id, 0, b->slept, e))
		return -1;
	b->records = 0;
	b->unnamed_before = b->unnamed;
	b->has_t = false;
	b->wall = recorder_wall();
	if (!w->capture || !old.has_t)
		return 0;
	return append_lost(w, s, b, QUEUE_DATABASE, old.records, false, old.last_t, 0, e);
}

/* Goes on with our capture, if it is there as we left it. 1, 0: it is not, or -1. b: what is committed of it. */
static int resume_capture(struct writer *w, struct store *s, struct batch *b, struct error *e)
{
	int rc = recorder_is_self(s, &w->self, w->capture, e);

	if (rc > 0)
		rc = store_capture_resume(s, w->capture, e);
	if (rc <= 0 || store_last_event(s) == b->last_event)
		return rc;
	if (w->attempt.last_event && store_last_event(s) == w->attempt.last_event) {
		*b = w->attempt;
		return 1;
	}
	return store_capture_end(s, "cut-off", "the database was replaced by another copy while it was recorded", e);
}

static int begin_recording(struct writer *w, struct store *s, uint64_t *id, struct batch *b, struct error *e)
{
	int rc = 0, dead;

	if (w->capture) {
		rc = resume_capture(w, s, b, e);
		if (rc < 0)
			return -1;
	}
	dead = recorder_close_dead(s, rc ? w->capture : 0, e);
	if (dead < 0)
		return -1;
	if (dead)
		log_notice("%s: captures that were cut off, now closed: %d", w->path, dead);
	return rc ? 0 : begin_capture(w, s, id, b, e);
}

/* The file at a path; not known: there is none, or it cannot be told. */
static struct file_id file_at(const char *path)
{
	struct stat st;

	return stat(path, &st) ? (struct file_id){0} : file_id_of(&st);
}

/* Whether what is at the path now is the file that was recorded into before, or nothing. */
static int check_place(const struct writer *w, struct error *e)
{
	struct file_id now = file_at(w->path);

	if (!w->file.ino || !now.ino || same_file(&now, &w->file))
		return 0;
	return error_set(e,
			 "%s: another file than the one recorded into lies there now, and is left alone: put the first one "
			 "back, or start ioflushd anew to record into this one",
			 w->path);
}

/* What was opened by name and what was locked by name are one file, and still there. */
static int know_files(struct writer *w, struct store *s, struct error *e)
{
	const struct file_id locked = {.dev = w->lock_file.dev, .ino = w->lock_file.ino};
	struct file_id opened;

	if (!db_file(store_handle(s), &opened) || !same_file(&opened, &locked))
		return error_set(e, "%s: was replaced while it was opened", w->path);
	w->file = opened;
	w->log = file_at(w->log_path);
	return 0;
}

static void committed(struct writer *w, const struct batch *b);
static void note_place(struct writer *w, bool displaced);

/* The log is ours to sync and to empty; what is left of it then is as large as it may get anyway. */
static int set_up_log(struct writer *w, struct store *s, struct error *e)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit = %" PRIu64 "; PRAGMA synchronous = %s",
		 checkpoint_bytes(w), w->opt.sync_commits ? "FULL" : "NORMAL");
	if (db_exec(store_handle(s), w->path, sql, "opening", e))
		return -1;
	w->syncs_commits = w->opt.sync_commits;
	sqlite3_wal_hook(store_handle(s), on_log, w); /* in place of SQLite's own checkpoints */
	return 0;
}

/* What others may read or lock in a database that is there already, made with an older version or by hand, they may not. */
static void keep_private(const struct writer *w)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
	char name[PATH_MAX];
	struct stat st;

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", w->path, suffix[i]);
		if (lstat(name, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & 07777 & ~STORE_MODE))
			continue;
		if (fchmodat(AT_FDCWD, name, st.st_mode & STORE_MODE, AT_SYMLINK_NOFOLLOW))
			log_warning("%s: mode %04o lets others see frame numbers and addresses of the kernel, and cannot be "
				    "changed: %s",
				    name, (unsigned)st.st_mode & 07777, strerror(errno));
		else
			log_notice("%s: mode %04o let others see frame numbers and addresses of the kernel, and lock the "
				   "recorder out: now %04o",
				   name, (unsigned)st.st_mode & 07777, (unsigned)st.st_mode & STORE_MODE);
	}
}

/* Opens the database and begins the capture, or goes on with it. 0, or -1 and the error: try again. */
static int open_store(struct writer *w, struct error *e)
{
	struct batch b = w->done;
	uint64_t id = w->capture;
	struct store *s;

	if (check_place(w, e) || store_open(&s, w->path, STORE_WAL, e))
		return -1;
	if (recorder_lock(&w->lock_file, s, e) || know_files(w, s, e))
		goto fail;
	keep_private(w);
	if (w->capture) /* at the start there is time, and nothing is recorded yet */
		store_busy_ms(s, BUSY_MS);
	w->log_bytes = 0;
	w->log_empty = false;
	w->checkpoint_at = 0;
	if (set_up_log(w, s, e) || store_begin(s, e))
		goto fail;
	if (begin_recording(w, s, &id, &b, e)) {
		store_rollback(s);
		goto fail;
	}
	if (id == w->capture)
		store_set_unnamed(s, b.unnamed - b.unnamed_before);
	else
		b.unnamed += store_unnamed(s);
	b.last_event = store_last_event(s);
	if (store_commit(s, e))
		goto fail;
	store_busy_ms(s, BUSY_MS);
	w->store = s;
	w->trimmed = w->trimmed && id == w->capture;
	w->capture = id;
	retention_clear(&w->retention); /* what it knew was of the file as it was */
	committed(w, &b);
	w->log = file_at(w->log_path);
	note_sizes(w);
	note_place(w, false);
	return 0;
fail:
	store_close(s);
	return -1;
}

static void sync_log(struct writer *w);

/* With what is committed on the disk. */
static void close_store(struct writer *w)
{
	if (!w->store)
		return;
	if (w->unsynced_at)
		sync_log(w);
	w->unsynced_at = 0;
	store_close(w->store);
	w->store = NULL;
}

/* ---- files that went away ---- */

enum place {
	IN_PLACE, /* the file of the open database lies at its path */
	GONE,	  /* nothing does */
	DISPLACED /* another file does */
};

/* Writes all that is committed into the file itself, wherever it is now. false: not all of it. */
static bool empty_log(struct writer *w)
{
	return sqlite3_wal_checkpoint_v2(store_handle(w->store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
	       SQLITE_OK;
}

/* Takes our log away from beside another file: SQLite would take it for that file's. */
static void unlink_log(struct writer *w)
{
	struct file_id now = file_at(w->log_path);
	char *shm;

	if (!w->log.ino || !same_file(&now, &w->log))
		return;
	unlink(w->log_path);
	shm = sqlite3_mprintf("%s-shm", w->path);
	if (shm)
		unlink(shm);
	sqlite3_free(shm);
}

/* Closes the store, without touching what lies at its path. */
static void close_displaced(struct writer *w)
{
	sqlite3_db_config(store_handle(w->store), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	close_store(w);
}

/* The file that is recorded into, and what others know of it. */
static void note_place(struct writer *w, bool displaced)
{
	struct stat st;
	bool has_name = !fstat(w->lock_file.fd, &st) && st.st_nlink;
	char text[256] = "";

	w->displaced = displaced;
	if (displaced)
		snprintf(text, sizeof(text),
			 "another file lies at the database's path now, and is left alone; recording goes on in the one that was "
			 "there (inode %" PRIu64 "%s)",
			 w->file.ino, has_name ? "" : ", which has no name any more and is gone when ioflushd ends");
	pthread_mutex_lock(&w->lock);
	w->stats.file = w->file;
	memcpy(w->stats.displaced, text, sizeof(text));
	pthread_mutex_unlock(&w->lock);
	if (displaced)
		log_error("%s: %s", w->path, text);
}

/* The file of the open database is gone from its path: it is closed, and the next batch makes a new one. */
static void let_go(struct writer *w)
{
	struct error e = {""};

	log_warning("%s: was moved away or removed while it was recorded into; recording goes on in a new one", w->path);
	if (store_begin(w->store, &e) ||
	    store_capture_end(w->store, "cut-off", "the database was moved away or removed while it was recorded", &e) ||
	    store_commit(w->store, &e))
		store_rollback(w->store);
	empty_log(w);
	unlink_log(w);
	close_displaced(w);
}

/* Another file was put in the place of the open database's. */
static void displace(struct writer *w)
{
	empty_log(w);
	unlink_log(w);
	note_place(w, true);
}

/* It is back: opened anew, for its log has no name any more by which others would find it. */
static void put_back(struct writer *w)
{
	if (!empty_log(w))
		return; /* a reader is in the way; tried again with the next batch */
	log_notice("%s: the file that is recorded into is back", w->path);
	close_displaced(w);
}

static enum place place_of(const struct writer *w)
{
	struct file_id now;
	struct stat st;

	if (stat(w->path, &st))
		return errno == ENOENT || errno == ENOTDIR ? GONE : IN_PLACE;
	now = file_id_of(&st);
	return same_file(&now, &w->file) ? IN_PLACE : DISPLACED;
}

/* Before a batch. */
static void follow_file(struct writer *w)
{
	enum place place = place_of(w);

	if (place == GONE)
		let_go(w);
	else if (place == DISPLACED && !w->displaced)
		displace(w);
	else if (place == IN_PLACE && w->displaced)
		put_back(w);
}

/* ---- batches ---- */

static bool has_texts(const struct writer *w, const struct event *ev)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	if (ev->comm && !intern_get(w->strings, ev->comm))
		return false;
	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type == FIELD_STR && !(ev->missing & 1u << i) &&
		    !intern_get(w->strings, (uint32_t)ev->f[i]))
			return false;
	return true;
}

/* Whether a reader would take the event; one that it refuses would cost the whole capture. */
static bool is_valid(struct writer *w, const struct batch *b, const struct event *ev)
{
	struct error e = {""};

	if (event_check(ev, &e))
		; /* e says why */
	else if (b->has_t && ev->t < b->last_t)
		error_set(&e, "%s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64,
			  event_table[ev->kind].name, ev->t, b->last_t);
	else if (!has_texts(w, ev))
		error_set(&e, "%s: text without an entry in the table of strings", event_table[ev->kind].name);
	else
		return true;
	if (!w->told_invalid)
		log_error("an event that cannot be is not stored, but counted as lost, as all like it: %s", e.text);
	w->told_invalid = true;
	return false;
}

/* Appends events of the queue; runs of those that cannot be become a lost event each. */
static int append_run(struct writer *w, struct batch *b, const struct event *ev, size_t n, struct error *e)
{
	size_t i = 0, first, bad;

	while (i < n) {
		for (first = i; i < n && is_valid(w, b, &ev[i]); i++) {
			b->last_t = ev[i].t;
			b->has_t = true;
			b->records += ev[i].kind == EV_lost ? ev[i].lost.count : 1;
		}
		if (store_append(w->store, ev + first, i - first, w->strings, e))
			return -1;
		b->rows += i - first;
		for (bad = 0; i < n && !is_valid(w, b, &ev[i]); i++)
			bad++;
		b->invalid += bad;
		if (bad && append_lost(w, w->store, b, CAUSE_INVALID, bad, false, b->last_t, b->last_t, e))
			return -1;
	}
	return 0;
}

/* The loss between what was appended last and what comes next. What is known of it stays known beside what is not. */
static int append_loss(struct writer *w, struct batch *b, const struct queue_loss *now, struct error *e)
{
	uint64_t since = b->last_t, records, unknown;
	struct queue_loss *before = &b->loss;
	unsigned i;

	for (i = 0; i < QUEUE_CAUSES; i++) {
		records = now->records[i] > before->records[i] ? now->records[i] - before->records[i] : 0;
		unknown = now->unknown[i] > before->unknown[i] ? now->unknown[i] - before->unknown[i] : 0;
		if (!records && !unknown)
			continue;
		before->records[i] += records;
		before->unknown[i] += unknown;
		if (records && append_lost(w, w->store, b, i, records, false, now->t, since, e))
			return -1;
		if (unknown && append_lost(w, w->store, b, i, 0, true, now->t, since, e))
			return -1;
	}
	return 0;
}

/*
 * In a transaction: the wall clock was set, or the machine slept. Events since this was looked at last may be from before
 * the sleep or after it: they count as younger.
 */
static int follow_clocks(struct writer *w, struct batch *b, struct error *e)
{
	int64_t wall = recorder_wall(), slept = recorder_slept();
	uint64_t now = clock_ns();

	if (wall - b->wall > SECOND || b->wall - wall > SECOND) {
		if (recorder_set_wall(w->store, w->capture, wall, e))
			return -1;
		b->wall = wall;
	}
	if (slept - b->slept > SECOND) {
		if (recorder_add_sleep(w->store, w->capture, b->looked, slept, e))
			return -1;
		b->slept = slept;
	}
	b->looked = now;
	return 0;
}

/* In a transaction. */
static int append_batch(struct writer *w, struct batch *b, struct error *e)
{
	uint64_t left = w->opt.batch_rows;
	const struct event *ev = NULL;
	struct queue_loss loss;
	size_t n;

	if (follow_clocks(w, b, e))
		return -1;
	while (left) {
		n = queue_peek(w->queue, b->pos, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &ev, &loss);
		if (append_loss(w, b, &loss, e))
			return -1;
		if (!n)
			break;
		if (append_run(w, b, ev, n, e))
			return -1;
		b->pos += n;
		left -= n;
	}
	return 0;
}

/* What b did is committed. */
static void committed(struct writer *w, const struct batch *b)
{
	uint64_t rows = b->rows - w->done.rows, invalid = b->invalid - w->done.invalid;
	uint64_t unnamed = b->unnamed - w->done.unnamed;

	if (b->pos != queue_head(w->queue) || memcmp(&b->loss, queue_released(w->queue), sizeof(b->loss)))
		queue_release(w->queue, b->pos, &b->loss);
	w->done = *b;
	w->attempt.last_event = 0;
	pthread_mutex_lock(&w->lock);
	w->stats.rows += rows;
	w->stats.lost_invalid += invalid;
	w->stats.unnamed += unnamed;
	pthread_mutex_unlock(&w->lock);
}

/* One transaction. 0, or -1 and the error: nothing was done, as far as we know. */
static int write_batch(struct writer *w, struct error *e)
{
	uint64_t start = clock_ns(), before, took;
	struct batch b;

	if (w->store)
		follow_file(w);
	if (!w->store && open_store(w, e))
		return -1;
	w->attempt.last_event = 0;
	b = w->done;
	if (store_begin(w->store, e))
		return -1;
	if (append_batch(w, &b, e)) {
		store_rollback(w->store);
		return -1;
	}
	b.unnamed = b.unnamed_before + store_unnamed(w->store);
	b.last_event = store_last_event(w->store);
	w->attempt = b;
	before = clock_ns();
	if (store_commit(w->store, e))
		return -1;
	took = clock_since(before);
	committed(w, &b);
	w->last_commit = clock_ns();
	pthread_mutex_lock(&w->lock);
	w->stats.batches++;
	w->stats.commits++;
	w->stats.batch_ns_sum += clock_since(start);
	w->stats.commit_ns_sum += took;
	if (took > w->stats.commit_ns_max)
		w->stats.commit_ns_max = took;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* ---- failures ---- */

/* Whether a new connection may do better than the present one. */
static bool is_worth_reopening(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_NOMEM:
		return false;
	}
	return true;
}

static void failed(struct writer *w, const struct error *e)
{
	if (!w->failing) {
		log_warning("%s; events wait in the queue, and are lost and counted when it is full", e->text);
		w->retry = FIRST_RETRY;
	}
	w->failing = true;
	queue_set_cause(w->queue, QUEUE_DATABASE);
	/* one whose file lies elsewhere could not be found again, nor its log */
	if (w->store && !w->displaced && is_worth_reopening(store_code(w->store)))
		close_store(w);
	w->retry_at = clock_ns() + w->retry;
	w->retry = w->retry * 2 < LAST_RETRY ? w->retry * 2 : LAST_RETRY;
	pthread_mutex_lock(&w->lock);
	w->stats.failures++;
	snprintf(w->stats.failing, sizeof(w->stats.failing), "%.255s", e->text);
	pthread_mutex_unlock(&w->lock);
}

static void recovered(struct writer *w)
{
	if (!w->failing)
		return;
	log_notice("%s: takes events again; lost meanwhile: %" PRIu64, w->path, queue_lost(w->queue, QUEUE_DATABASE));
	w->failing = false;
	w->retry_at = 0;
	queue_set_cause(w->queue, QUEUE_FULL);
	pthread_mutex_lock(&w->lock);
	w->stats.failing[0] = '\0';
	pthread_mutex_unlock(&w->lock);
}

/* ---- the rest of the work ---- */

static void checkpoint(struct writer *w, int mode, int busy_ms)
{
	sqlite3 *db = store_handle(w->store);
	int rc, all = 0, moved = 0;

	store_busy_ms(w->store, busy_ms);
	rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, &all, &moved);
	store_busy_ms(w->store, BUSY_MS);
	w->log_empty = rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE;
	if (rc == SQLITE_OK && (w->log_empty || all == moved)) {
		w->log_bytes = 0; /* the next commit says how much it has */
		w->unsynced_at = 0;
	}
	w->checkpoint_at = w->log_bytes;
	rc &= 0xff;
	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
		if (!w->log_failing)
			log_warning("%s: moving its log into it: %s; tried again later", w->path, sqlite3_errmsg(db));
		w->log_failing = true;
	} else if (rc == SQLITE_OK) {
		w->log_failing = false;
	}
}

static void count_sync(struct writer *w, int rc)
{
	if (rc != SQLITE_OK && !w->sync_failing)
		log_warning("%s: syncing its log: %s; until that is mended a power loss may take more than 5 seconds of "
			    "events",
			    w->path, sqlite3_errstr(rc));
	else if (rc == SQLITE_OK && w->sync_failing)
		log_notice("%s: what is committed is on the disk again", w->path);
	w->sync_failing = rc != SQLITE_OK;
	w->unsynced_at = rc == SQLITE_OK ? 0 : clock_ns();
	pthread_mutex_lock(&w->lock);
	w->stats.log_syncs += rc == SQLITE_OK;
	w->stats.log_sync_failures += rc != SQLITE_OK;
	pthread_mutex_unlock(&w->lock);
}

/*
 * Makes sure that the disk has what is committed. Once a sync of the log has failed, another that succeeds says nothing
 * of what the first one was for: the kernel takes it for written. Moved into the database it is written anew.
 */
static void sync_log(struct writer *w)
{
	sqlite3_file *log = NULL;
	int rc;

	if (w->sync_failing) {
		checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
		count_sync(w, w->unsynced_at ? SQLITE_IOERR_FSYNC : SQLITE_OK);
		return;
	}
	rc = sqlite3_file_control(store_handle(w->store), "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc == SQLITE_OK && log && log->pMethods) /* none: there is no log */
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	count_sync(w, rc);
}

static void keep_log_short(struct writer *w)
{
	uint64_t bytes = checkpoint_bytes(w);

	if (w->log_bytes >= w->checkpoint_at + bytes) {
		if (w->log_bytes >= bytes * LOG_STARVED)
			checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, STARVED_MS);
		else
			checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
		note_sizes(w);
	} else if (!w->log_empty && clock_since(w->last_commit) >= IDLE_TIME && !queue_pending(w->queue)) {
		checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, 0);
		w->last_commit = clock_ns(); /* if a reader was in the way: again after as long */
		note_sizes(w);
	}
}

/* Some steps of retention; at least one, and more while the queue is far from full. */
static void retain(struct writer *w)
{
	uint64_t start = clock_ns();
	struct retention_limits limits = {.age_ns = w->opt.retain_age_ns, .size = w->opt.retain_size};
	struct retention_done done;
	struct error e = {""};
	bool worked = false;

	w->retain_at = start + RETAIN_TIME;
	limits.log_most = 2 * checkpoint_bytes(w);
	do {
		limits.log_size = file_bytes(w->log_path);
		if (retention_step(&w->retention, w->store, w->capture, &w->self, &limits, &done, &e)) {
			log_debug("retention: %s; tried again later", e.text);
			return;
		}
		worked = worked || done.more;
		w->trimmed = w->trimmed || done.of_current;
		pthread_mutex_lock(&w->lock);
		w->stats.retained_deleted += done.events;
		pthread_mutex_unlock(&w->lock);
		keep_log_short(w);
	} while (done.more && clock_since(start) < RETAIN_BUDGET && queue_count(w->queue) < queue_capacity(w->queue) / 2);
	if (done.more)
		w->retain_at = start;
	else if (worked) /* only then does the file get smaller */
		checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
	note_sizes(w);
}

static void take_options(struct writer *w)
{
	size_t most = queue_capacity(w->queue) / 2;
	uint64_t before = checkpoint_bytes(w);
	struct error ignored = {""};

	pthread_mutex_lock(&w->lock);
	w->opt = w->next_options;
	pthread_mutex_unlock(&w->lock);
	if (w->store && (checkpoint_bytes(w) != before || w->opt.sync_commits != w->syncs_commits))
		set_up_log(w, w->store, &ignored); /* a limit not set now is set when it is opened next */
	if (w->opt.batch_rows > most)
		w->opt.batch_rows = most;
	if (!w->opt.batch_rows)
		w->opt.batch_rows = 1;
	atomic_store(&w->wake_at, (size_t)w->opt.batch_rows);
}

/* ---- the thread ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Until there may be something to do. */
static void wait_for_work(struct writer *w)
{
	uint64_t now = clock_ns(), until = now + LONGEST_WAIT, value;
	struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};
	ssize_t n;

	if (w->unsynced_at)
		until = least(until, w->unsynced_at + SYNC_TIME);
	if (w->failing) {
		until = least(until, w->retry_at);
	} else {
		until = least(until, queue_pending(w->queue) ? w->next_batch : now + w->opt.batch_ns);
		if (w->opt.retain_age_ns || w->opt.retain_size)
			until = least(until, w->retain_at);
		atomic_store(&w->sleeping, true);
		if (queue_count(w->queue) >= w->opt.batch_rows)
			until = now;
	}
	if (until > now && !atomic_load(&w->stop) && poll(&p, 1, (int)((until - now + MS - 1) / MS)) > 0) {
		n = read(w->wake_fd, &value, sizeof(value));
		(void)n; /* how often does not matter */
	}
	atomic_store(&w->sleeping, false);
}

/* Writes a batch if it is time to. */
static void write_some(struct writer *w)
{
	uint64_t now = clock_ns();
	struct error e = {""};

	if (w->failing ? now < w->retry_at : queue_count(w->queue) < w->opt.batch_rows && now < w->next_batch)
		return;
	w->next_batch = now + w->opt.batch_ns;
	if (!w->failing && !queue_pending(w->queue))
		return;
	if (write_batch(w, &e)) {
		failed(w, &e);
		return;
	}
	recovered(w);
	note_sizes(w);
	if (w->opt.retain_size)
		w->retain_at = least(w->retain_at, clock_ns() + GROWN_TIME);
}

/* Closes the capture, in a transaction. */
static int end_capture(struct writer *w, struct error *e)
{
	const char *why = w->cut_off ? w->cut_off : "", *trimmed = w->trimmed ? STORE_TRIM_NOTE : "";
	char note[sizeof(struct error) + sizeof(STORE_TRIM_NOTE) + 2];

	snprintf(note, sizeof(note), "%s%s%s", why, *why && *trimmed ? "; " : "", trimmed);
	if (store_capture_dropped(w->store, &w->dropped, e))
		return -1;
	return store_capture_end(w->store, w->cut_off ? "cut-off" : "complete", note, e);
}

/* Writes what is left and closes the capture. 0, or -1 and the error. */
static int finish_once(struct writer *w, struct error *e)
{
	while (queue_pending(w->queue) || !w->store) {
		if (write_batch(w, e))
			return -1;
	}
	if (store_begin(w->store, e))
		return -1;
	if (end_capture(w, e)) {
		store_rollback(w->store);
		return -1;
	}
	return store_commit(w->store, e);
}

static void finish(struct writer *w)
{
	uint64_t end = clock_ns() + CLOSE_TIME;
	struct error e = {""};

	while (finish_once(w, &e)) {
		failed(w, &e);
		if (w->retry_at > end) {
			w->gave_up = true;
			error_set(&w->error, "%s; events in the queue that are lost: %zu", e.text, queue_count(w->queue));
			return;
		}
		e.text[0] = '\0';
		usleep((useconds_t)(w->retry / 1000));
	}
	recovered(w);
	checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, w->displaced ? CLOSE_MS : 0);
	if (w->displaced && !w->log_empty)
		log_error("%s: what was recorded last is not in its file, for somebody reads that", w->path);
	note_sizes(w);
}

static void *run(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->stop)) {
		take_options(w);
		if (w->store && w->unsynced_at && clock_since(w->unsynced_at) >= SYNC_TIME)
			sync_log(w);
		write_some(w);
		if (w->store && !w->failing) {
			keep_log_short(w);
			if (!w->displaced && place_of(w) == DISPLACED)
				displace(w);
			if ((w->opt.retain_age_ns || w->opt.retain_size) && clock_ns() >= w->retain_at)
				retain(w);
		}
		wait_for_work(w);
	}
	finish(w);
	close_store(w);
	return NULL;
}

/* ---- interface ---- */

static int copy_meta(struct writer *w, const struct capture *meta)
{
	const char *const text[] = {meta->source, meta->format, meta->host, meta->kernel, meta->clock, meta->probes};
	const char **const own[] = {&w->meta.source, &w->meta.format, &w->meta.host,
				    &w->meta.kernel, &w->meta.clock,  &w->meta.probes};
	const char *value;
	size_t i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		value = text[i] && text[i][0] ? text[i] : i < 2 ? "live" : "";
		*own[i] = strdup(value);
		if (!*own[i])
			return -1;
	}
	return 0;
}

static int intern_causes(struct writer *w)
{
	static const char *const name[CAUSES] = {"queue", "database", "invalid"};
	unsigned i;

	for (i = 0; i < CAUSES; i++) {
		w->cause[i] = intern_add(w->strings, name[i], strlen(name[i]));
		if (w->cause[i] == UINT32_MAX)
			return -1;
	}
	return 0;
}

static void free_writer(struct writer *w)
{
	if (!w)
		return;
	retention_clear(&w->retention);
	store_close(w->store);
	recorder_unlock(&w->lock_file); /* after SQLite is done with the file, see recorder.h */
	queue_free(w->queue);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free((char *)w->meta.source);
	free((char *)w->meta.format);
	free((char *)w->meta.host);
	free((char *)w->meta.kernel);
	free((char *)w->meta.clock);
	free((char *)w->meta.probes);
	free(w->path);
	free(w->log_path);
	free(w->cut_off);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* Signals are for the main thread. */
static int start_thread(struct writer *w)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		pthread_setname_np(w->thread, "ioflushd-writer");
	return rc;
}

struct writer *writer_new(const struct config *c, const struct capture *meta, struct intern *strings, struct error *e)
{
	struct writer *w = calloc(1, sizeof(*w));
	size_t len = strlen(c->db) + sizeof("-wal");

	if (!w) {
		error_set(e, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	w->strings = strings;
	w->lock_file.fd = -1;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0) {
		error_errno(e, "eventfd");
		goto fail;
	}
	w->path = strdup(c->db);
	w->log_path = malloc(len);
	w->queue = c->queue_events <= SIZE_MAX / sizeof(struct event) ? queue_new((size_t)c->queue_events) : NULL;
	if (!w->path || !w->log_path || !w->queue || copy_meta(w, meta) || intern_causes(w)) {
		error_set(e, "out of memory (queue-events: %" PRIu64 ")", c->queue_events);
		goto fail;
	}
	snprintf(w->log_path, len, "%s-wal", c->db);
	recorder_self(&w->self);
	writer_reload(w, c);
	take_options(w);
	if (open_store(w, e))
		goto fail;
	w->last_commit = w->next_batch = clock_ns();
	if (start_thread(w)) {
		error_set(e, "cannot start the writer's thread");
		goto fail;
	}
	return w;
fail:
	free_writer(w);
	return NULL;
}

static void wake(struct writer *w)
{
	const uint64_t one = 1;
	ssize_t n = write(w->wake_fd, &one, sizeof(one));

	(void)n; /* if it is full, the thread is about to wake anyway */
}

void writer_put(struct writer *w, const struct event *ev, size_t n)
{
	size_t queued = queue_put(w->queue, ev, n);

	if (queued >= atomic_load(&w->wake_at) && atomic_load(&w->sleeping) && atomic_exchange(&w->sleeping, false))
		wake(w);
}

void writer_reload(struct writer *w, const struct config *c)
{
	struct options o = {.batch_rows = c->batch_rows,
			    .retain_size = c->retain_size,
			    .sync_commits = c->durability && !strcmp(c->durability, "commit")};

	o.batch_ns = c->batch_time < UINT64_MAX / 2 / MS ? c->batch_time * MS : UINT64_MAX / 2;
	o.retain_age_ns = c->retain_age < UINT64_MAX / 2 / MS ? c->retain_age * MS : 0;
	pthread_mutex_lock(&w->lock);
	w->next_options = o;
	pthread_mutex_unlock(&w->lock);
}

void writer_stats(struct writer *w, struct writer_stats *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->stats;
	pthread_mutex_unlock(&w->lock);
	out->queued = queue_count(w->queue);
	out->queue_max = queue_most(w->queue);
	out->lost_queue = queue_lost(w->queue, QUEUE_FULL);
	out->lost_database = queue_lost(w->queue, QUEUE_DATABASE);
}

void writer_dropped(struct writer *w, const struct dropped *d)
{
	w->dropped = *d; /* the thread looks at it once it is told to stop */
}

void writer_cut_off(struct writer *w, const char *why)
{
	free(w->cut_off);
	w->cut_off = strndup(why, sizeof(struct error) - 1);
}

int writer_close(struct writer *w, struct error *e)
{
	int rc = 0;

	if (!w)
		return 0;
	atomic_store(&w->stop, true);
	wake(w);
	pthread_join(w->thread, NULL);
	if (w->gave_up)
		rc = error_set(e, "%s", w->error.text);
	free_writer(w);
	return rc;
}
