/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SQLite's write-ahead log: when commits are on the disk, and how long the log may get; see writer.h.
 *
 * A killed process loses no commit. What a crash of the machine may lose depends on the option durability. With
 * "interval" a commit does not wait for the disk (synchronous NORMAL). The log is synced when a commit in it has waited
 * for SYNC_TIME (writer.c), even if no other follows; a crash loses only whole commits, the last ones. With "commit"
 * SQLite syncs the log at each commit (synchronous FULL). The database stays consistent either way.
 *
 * The writer also does the checkpoints: passive ones, which wait for nobody, when the log has grown enough; when idle
 * it empties the log. A reader that stays makes the log grow, but costs no event.
 */
#include "daemon/record/impl.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define IDLE_TIME (5000 * MS) /* without a commit for so long: the log may be emptied */
#define LOG_BYTES (16u << 20) /* size of the log at which to do a checkpoint */
#define LOG_LEAST (256u << 10)
#define LOG_STARVED 8 /* at so many times that, readers follow so closely that the log never restarts; wait for them */
#define STARVED_MS 20 /* how long to wait */

uint64_t wal_most(const struct writer *w)
{
	uint64_t n = w->opt.retain_size / 16;

	if (!w->opt.retain_size || n > LOG_BYTES)
		return LOG_BYTES;
	return n < LOG_LEAST ? LOG_LEAST : n;
}

/* SQLite calls this after each commit. */
static int on_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct writer *w = ctx;

	(void)db;
	(void)name;
	w->wal.bytes = (uint64_t)pages * 8192;
	w->wal.empty = false;
	if (!w->wal.unsynced_at && !w->wal.syncs_commits)
		w->wal.unsynced_at = clock_ns();
	return SQLITE_OK;
}

int wal_set_up(struct writer *w, struct store *s, struct error *e)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit = %" PRIu64 "; PRAGMA synchronous = %s", wal_most(w),
		 w->opt.sync_commits ? "FULL" : "NORMAL");
	if (db_exec(store_handle(s), w->path, sql, "opening", e))
		return -1;
	w->wal.syncs_commits = w->opt.sync_commits;
	sqlite3_wal_hook(store_handle(s), on_log, w); /* instead of SQLite's own checkpoints */
	return 0;
}

void wal_checkpoint(struct writer *w, int mode, int busy_ms)
{
	sqlite3 *db = store_handle(w->store);
	int rc, all = 0, moved = 0;

	sqlite3_busy_timeout(db, busy_ms);
	rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, &all, &moved);
	sqlite3_busy_timeout(db, BUSY_MS);
	w->wal.empty = rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE;
	if (rc == SQLITE_OK && (w->wal.empty || all == moved)) {
		w->wal.bytes = 0; /* the next commit tells the size */
		w->wal.unsynced_at = 0;
	}
	w->wal.checkpoint_at = w->wal.bytes;
	rc &= 0xff;
	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
		if (!w->wal.failing)
			log_warning("%s: moving its log into it: %s; tried again later", w->path, sqlite3_errmsg(db));
		w->wal.failing = true;
	} else if (rc == SQLITE_OK) {
		w->wal.failing = false;
	}
}

static void count_sync(struct writer *w, int rc)
{
	if (rc != SQLITE_OK && !w->wal.sync_failing)
		log_warning("%s: syncing its log: %s; until that is mended a power loss may take more than 5 seconds of "
			    "events",
			    w->path, sqlite3_errstr(rc));
	else if (rc == SQLITE_OK && w->wal.sync_failing)
		log_notice("%s: what is committed is on the disk again", w->path);
	w->wal.sync_failing = rc != SQLITE_OK;
	w->wal.unsynced_at = rc == SQLITE_OK ? 0 : clock_ns();
	pthread_mutex_lock(&w->lock);
	w->stats.log_syncs += rc == SQLITE_OK;
	w->stats.log_sync_failures += rc != SQLITE_OK;
	pthread_mutex_unlock(&w->lock);
}

void wal_sync(struct writer *w)
{
	sqlite3_file *log = NULL;
	int rc;

	if (w->wal.sync_failing) {
		wal_checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
		count_sync(w, w->wal.unsynced_at ? SQLITE_IOERR_FSYNC : SQLITE_OK);
		return;
	}
	rc = sqlite3_file_control(store_handle(w->store), "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc == SQLITE_OK && log && log->pMethods) /* none: there is no log */
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	count_sync(w, rc);
}

void wal_keep_short(struct writer *w)
{
	uint64_t bytes = wal_most(w);

	if (w->wal.bytes >= w->wal.checkpoint_at + bytes) {
		if (w->wal.bytes >= bytes * LOG_STARVED)
			wal_checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, STARVED_MS);
		else
			wal_checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, 0);
		writer_note_sizes(w);
	} else if (!w->wal.empty && clock_since(w->last_commit) >= IDLE_TIME && !queue_pending(w->queue)) {
		wal_checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, 0);
		w->last_commit = clock_ns(); /* if a reader prevented it: again after the same time */
		writer_note_sizes(w);
	}
}
