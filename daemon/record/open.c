/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens the database, and the capture in it; see writer.h. When it opens again after a failure, the row of our capture
 * tells whether the failed commit was done after all. If the file was taken away, or restored from a copy, a new
 * capture begins, with a lost event that stands for everything in the old one.
 */
#include "daemon/record/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"

/* Begins the capture, or a new one that continues it. */
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
	return batch_append_lost(w, s, b, QUEUE_DATABASE, old.records, false, old.last_t, 0, e);
}

/* Continues our capture, if it is as we left it. 1, 0: it is not, or -1. b: what is committed of it. */
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

/* Whether the path now has the file that was recorded into before, or nothing. */
static int check_place(const struct writer *w, struct error *e)
{
	struct file_id now = place_file_at(w->path);

	if (!w->place.file.ino || !now.ino || same_file(&now, &w->place.file))
		return 0;
	return error_set(e,
			 "%s: another file than the one recorded into lies there now, and is left alone: put the first one "
			 "back, or start ioflushd anew to record into this one",
			 w->path);
}

/* Checks that the file opened by name and the one locked by name are the same, and still there. */
static int know_files(struct writer *w, struct store *s, struct error *e)
{
	struct file_id opened;

	if (!db_file(store_handle(s), &opened) || !same_file(&opened, &w->lock_file.file))
		return error_set(e, "%s: was replaced while it was opened", w->path);
	w->place.file = opened;
	w->place.log = place_file_at(w->log_path);
	return 0;
}

/* Removes rights of others to read or lock an existing database, made by an older version or by hand. */
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

int writer_open(struct writer *w, struct error *e)
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
		sqlite3_busy_timeout(store_handle(s), BUSY_MS);
	w->wal.bytes = 0;
	w->wal.empty = false;
	w->wal.checkpoint_at = 0;
	if (wal_set_up(w, s, e) || store_begin(s, e))
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
	sqlite3_busy_timeout(store_handle(s), BUSY_MS);
	w->store = s;
	w->end.trimmed = w->end.trimmed && id == w->capture;
	w->capture = id;
	retention_clear(&w->retention); /* its state is that of the old file */
	batch_committed(w, &b);
	w->place.log = place_file_at(w->log_path);
	writer_note_sizes(w);
	place_note(w, false);
	return 0;
fail:
	store_close(s);
	return -1;
}

void writer_close_store(struct writer *w)
{
	if (!w->store)
		return;
	if (w->wal.unsynced_at)
		wal_sync(w);
	w->wal.unsynced_at = 0;
	store_close(w->store);
	w->store = NULL;
}
