/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of the open database, if it left its path; see writer.h. If the path is empty, recording goes on in a new
 * file. If another file was put there, it is left alone, whatever it is: recording goes on into the open file, wherever
 * that is now.
 */
#include "daemon/record/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum where {
	IN_PLACE, /* the path has the file of the open database */
	GONE,	  /* the path has no file */
	DISPLACED /* the path has another file */
};

struct file_id place_file_at(const char *path)
{
	struct stat st;

	return stat(path, &st) ? (struct file_id){0} : file_id_of(&st);
}

/* Moves all that is committed from the log into the file itself, wherever that is. false: not all of it. */
static bool empty_log(struct writer *w)
{
	return sqlite3_wal_checkpoint_v2(store_handle(w->store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
	       SQLITE_OK;
}

/* Removes our log from beside another file: SQLite would take it for that file's log. */
static void unlink_log(struct writer *w)
{
	struct file_id now = place_file_at(w->log_path);
	char *shm;

	if (!w->place.log.ino || !same_file(&now, &w->place.log))
		return;
	unlink(w->log_path);
	shm = sqlite3_mprintf("%s-shm", w->path);
	if (shm)
		unlink(shm);
	sqlite3_free(shm);
}

/* Closes the store without touching the file at its path. */
static void close_displaced(struct writer *w)
{
	sqlite3_db_config(store_handle(w->store), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	writer_close_store(w);
}

void place_note(struct writer *w, bool displaced)
{
	struct stat st;
	bool has_name = !fstat(w->lock_file.fd, &st) && st.st_nlink;
	char text[256] = "";

	w->place.displaced = displaced;
	if (displaced)
		snprintf(text, sizeof(text),
			 "another file lies at the database's path now, and is left alone; recording goes on in the one that was "
			 "there (inode %" PRIu64 "%s)",
			 w->place.file.ino,
			 has_name ? "" : ", which has no name any more and is gone when ioflushd ends");
	pthread_mutex_lock(&w->lock);
	w->stats.file = w->place.file;
	memcpy(w->stats.displaced, text, sizeof(text));
	pthread_mutex_unlock(&w->lock);
	if (displaced)
		log_error("%s: %s", w->path, text);
}

/* The path of the open database is empty: closes it; the next batch makes a new one. */
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

/* Another file was put at the path of the open database. */
static void displace(struct writer *w)
{
	empty_log(w);
	unlink_log(w);
	place_note(w, true);
}

/* The file is back: opens it again, as its log has no name by which others would find it. */
static void put_back(struct writer *w)
{
	if (!empty_log(w))
		return; /* a reader prevents it; tried again with the next batch */
	log_notice("%s: the file that is recorded into is back", w->path);
	close_displaced(w);
}

static enum where place_of(const struct writer *w)
{
	struct file_id now;
	struct stat st;

	if (stat(w->path, &st))
		return errno == ENOENT || errno == ENOTDIR ? GONE : IN_PLACE;
	now = file_id_of(&st);
	return same_file(&now, &w->place.file) ? IN_PLACE : DISPLACED;
}

void place_follow(struct writer *w)
{
	enum where place = place_of(w);

	if (place == GONE)
		let_go(w);
	else if (place == DISPLACED && !w->place.displaced)
		displace(w);
	else if (place == IN_PLACE && w->place.displaced)
		put_back(w);
}

void place_look(struct writer *w)
{
	if (!w->place.displaced && place_of(w) == DISPLACED)
		displace(w);
}
