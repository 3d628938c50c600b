/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer thread, from its start to its end; see writer.h. w->done is the state of the database as of the last
 * commit.
 */
#include "daemon/record/impl.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "trace/losses.h"
#include "trace/store/trim.h"

#define FIRST_RETRY (20 * MS)
#define LAST_RETRY (1000 * MS)
#define CLOSE_MS 3000 /* how long to keep trying at the end */
#define CLOSE_TIME (CLOSE_MS * MS)
#define LONGEST_WAIT (1000 * MS) /* between checks for other work */
#define SYNC_TIME (4000 * MS)	 /* after that a commit is synced; all in all it is on the disk within five seconds */
#define RETAIN_TIME (1000 * MS)	 /* between checks for events that are too old */
#define GROWN_TIME (100 * MS)	 /* and, after commits, of the size */
#define RETAIN_BUDGET (40 * MS)	 /* for steps of retention between two batches */

/* --- numbers */

static uint64_t file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) || st.st_size < 0 ? 0 : (uint64_t)st.st_size;
}

void writer_note_sizes(struct writer *w)
{
	uint64_t bytes = w->place.displaced ? 0 : file_bytes(w->log_path);
	struct stat st;

	if (!fstat(w->lock_file.fd, &st))
		bytes += (uint64_t)st.st_size;

	pthread_mutex_lock(&w->lock);
	w->stats.db_bytes = bytes;
	w->stats.capture = w->capture;
	pthread_mutex_unlock(&w->lock);
}

/* --- failures */

/* Whether a new connection may help. */
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
	if (!w->failure.now) {
		log_warning("%s; events wait in the queue, and are lost and counted when it is full", e->text);
		w->failure.wait = FIRST_RETRY;
	}
	w->failure.now = true;
	queue_set_cause(w->queue, QUEUE_DATABASE);
	/* a file that left its path could not be found again, nor its log */
	if (w->store && !w->place.displaced && is_worth_reopening(store_code(w->store)))
		writer_close_store(w);
	w->failure.retry_at = clock_ns() + w->failure.wait;
	w->failure.wait = w->failure.wait * 2 < LAST_RETRY ? w->failure.wait * 2 : LAST_RETRY;
	pthread_mutex_lock(&w->lock);
	w->stats.failures++;
	snprintf(w->stats.failing, sizeof(w->stats.failing), "%.255s", e->text);
	pthread_mutex_unlock(&w->lock);
}

static void recovered(struct writer *w)
{
	if (!w->failure.now)
		return;
	log_notice("%s: takes events again; lost meanwhile: %" PRIu64, w->path, queue_lost(w->queue, QUEUE_DATABASE));
	w->failure.now = false;
	w->failure.retry_at = 0;
	queue_set_cause(w->queue, QUEUE_FULL);
	pthread_mutex_lock(&w->lock);
	w->stats.failing[0] = '\0';
	pthread_mutex_unlock(&w->lock);
}

/* --- other work */

/* Steps of retention: at least one, and more while the queue is far from full. */
static void retain(struct writer *w)
{
	uint64_t start = clock_ns();
	struct retention_limits limits = {.age_ns = w->opt.retain_age_ns, .size = w->opt.retain_size};
	struct retention_done done;
	struct error e = {""};
	bool worked = false;

	w->retain_at = start + RETAIN_TIME;
	limits.log_most = 2 * wal_most(w);
	do {
		limits.log_size = file_bytes(w->log_path);
		if (retention_step(&w->retention, w->store, w->capture, &w->self, &limits, &done, &e)) {
			log_debug("retention: %s; tried again later", e.text);
			return;
		}
		worked = worked || done.more;
		w->end.trimmed = w->end.trimmed || done.of_current;
		pthread_mutex_lock(&w->lock);
		w->stats.retained_deleted += done.events;
		pthread_mutex_unlock(&w->lock);
		wal_keep_short(w);
	} while (done.more && clock_since(start) < RETAIN_BUDGET && queue_count(w->queue) < queue_capacity(w->queue) / 2);
	if (done.more)
		w->retain_at = start;
	else if (worked) /* the file shrinks only then */
		wal_checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
	writer_note_sizes(w);
}

static void take_options(struct writer *w)
{
	size_t most = queue_capacity(w->queue) / 2;
	uint64_t before = wal_most(w);
	struct error ignored = {""};

	pthread_mutex_lock(&w->lock);
	w->opt = w->next_options;
	pthread_mutex_unlock(&w->lock);
	if (w->store && (wal_most(w) != before || w->opt.sync_commits != w->wal.syncs_commits))
		wal_set_up(w, w->store, &ignored); /* a limit that is not set now is set at the next opening */
	if (w->opt.batch_rows > most)
		w->opt.batch_rows = most;
	if (!w->opt.batch_rows)
		w->opt.batch_rows = 1;
	atomic_store(&w->wake_at, (size_t)w->opt.batch_rows);
}

/* --- the thread */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Waits until there may be something to do. */
static void wait_for_work(struct writer *w)
{
	uint64_t now = clock_ns(), until = now + LONGEST_WAIT, value;
	struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};
	ssize_t n;

	if (w->wal.unsynced_at)
		until = least(until, w->wal.unsynced_at + SYNC_TIME);
	if (w->failure.now) {
		until = least(until, w->failure.retry_at);
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
		(void)n; /* the count does not matter */
	}
	atomic_store(&w->sleeping, false);
}

/* Writes a batch if it is time. */
static void write_some(struct writer *w)
{
	uint64_t now = clock_ns();
	struct error e = {""};

	if (w->failure.now ? now < w->failure.retry_at : queue_count(w->queue) < w->opt.batch_rows && now < w->next_batch)
		return;
	w->next_batch = now + w->opt.batch_ns;
	if (!w->failure.now && !queue_pending(w->queue))
		return;
	if (batch_write(w, &e)) {
		failed(w, &e);
		return;
	}
	recovered(w);
	writer_note_sizes(w);
	if (w->opt.retain_size)
		w->retain_at = least(w->retain_at, clock_ns() + GROWN_TIME);
}

/* Closes the capture, in a transaction. */
static int end_capture(struct writer *w, struct error *e)
{
	const char *why = w->end.cut_off ? w->end.cut_off : "", *trimmed = w->end.trimmed ? STORE_TRIM_NOTE : "";
	char note[sizeof(struct error) + sizeof(STORE_TRIM_NOTE) + 2];

	snprintf(note, sizeof(note), "%s%s%s", why, *why && *trimmed ? "; " : "", trimmed);
	if (store_capture_dropped(w->store, &w->end.dropped, e))
		return -1;
	return store_capture_end(w->store, w->end.cut_off ? "cut-off" : "complete", note, e);
}

/* Writes the rest and closes the capture. 0, or -1 and the error. */
static int finish_once(struct writer *w, struct error *e)
{
	while (queue_pending(w->queue) || !w->store) {
		if (batch_write(w, e))
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
		if (w->failure.retry_at > end) {
			w->end.gave_up = true;
			error_set(&w->end.error, "%s; events in the queue that are lost: %zu", e.text,
				  queue_count(w->queue));
			return;
		}
		e.text[0] = '\0';
		usleep((useconds_t)(w->failure.wait / 1000));
	}
	recovered(w);
	wal_checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, w->place.displaced ? CLOSE_MS : 0);
	if (w->place.displaced && !w->wal.empty)
		log_error("%s: what was recorded last is not in its file, for somebody reads that", w->path);
	writer_note_sizes(w);
}

static void *run(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->stop)) {
		take_options(w);
		if (w->store && w->wal.unsynced_at && clock_since(w->wal.unsynced_at) >= SYNC_TIME)
			wal_sync(w);
		write_some(w);
		if (w->store && !w->failure.now) {
			wal_keep_short(w);
			place_look(w);
			if ((w->opt.retain_age_ns || w->opt.retain_size) && clock_ns() >= w->retain_at)
				retain(w);
		}
		wait_for_work(w);
	}
	finish(w);
	writer_close_store(w);
	return NULL;
}

/* --- interface */

static int copy_meta(struct writer *w, const struct capture *meta)
{
	w->meta = *meta;
	w->texts = intern_new();
	return w->texts ? capture_keep(&w->meta, w->texts) : -1;
}

static int intern_causes(struct writer *w)
{
	_Static_assert(LOSS_QUEUE + CAUSES == LOSSES, "ours stand last in the table, in its order");
	unsigned i;

	for (i = 0; i < CAUSES; i++) {
		const char *name = loss_table[LOSS_QUEUE + i].name;

		w->cause[i] = intern_add(w->strings, name, strlen(name));
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
	intern_free(w->texts);
	free(w->path);
	free(w->log_path);
	free(w->end.cut_off);
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
	if (writer_open(w, e))
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

	(void)n; /* if it is full, the thread is waking anyway */
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
	w->end.dropped = *d; /* the thread reads it when it is told to stop */
}

void writer_cut_off(struct writer *w, const char *why)
{
	free(w->end.cut_off);
	w->end.cut_off = strndup(why, sizeof(struct error) - 1);
}

int writer_close(struct writer *w, struct error *e)
{
	int rc = 0;

	if (!w)
		return 0;
	atomic_store(&w->stop, true);
	wake(w);
	pthread_join(w->thread, NULL);
	if (w->end.gave_up)
		rc = error_set(e, "%s", w->end.error.text);
	free_writer(w);
	return rc;
}
