/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who records which capture; see recorder.h. */
#include "daemon/record/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/store/rows.h"
#include "trace/store/trim.h"

/* The text of a small file in /proc, "" if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* When this process started, in clock ticks since boot; 0: unknown. */
static int64_t started(void)
{
	char text[1024], *p;
	int field;

	read_text("/proc/self/stat", text, sizeof(text));
	p = strrchr(text, ')'); /* the name before it may contain anything */
	for (field = 2; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoll(p, NULL, 10) : 0;
}

void recorder_self(struct recorder *r)
{
	r->pid = getpid();
	r->started = started();
	read_text("/proc/sys/kernel/random/boot_id", r->boot, sizeof(r->boot));
	r->boot[strcspn(r->boot, "\n")] = '\0';
}

int64_t recorder_wall(void)
{
	uint64_t wall = clock_of(CLOCK_REALTIME);

	return (int64_t)(wall - clock_ns());
}

int64_t recorder_slept(void)
{
	uint64_t mono = clock_ns();

	return (int64_t)(clock_of(CLOCK_BOOTTIME) - mono);
}

static int finish(struct store *s, sqlite3_stmt *stmt, struct error *e)
{
	sqlite3_step(stmt);
	if (sqlite3_finalize(stmt) != SQLITE_OK)
		return store_error(s, "writing the recorder", e);
	return 0;
}

int recorder_add(struct store *s, const struct recorder *self, uint64_t capture, struct error *e)
{
	sqlite3_stmt *stmt =
		store_statement(s,
				"INSERT OR REPLACE INTO recorder (capture, pid, started, boot, wall) VALUES (?1, "
				"?2, ?3, ?4, ?5)",
				e);

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, self->pid);
	sqlite3_bind_int64(stmt, 3, self->started);
	sqlite3_bind_text(stmt, 4, self->boot, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, recorder_wall());
	return finish(s, stmt, e);
}

int recorder_is_self(struct store *s, const struct recorder *self, uint64_t capture, struct error *e)
{
	sqlite3_stmt *stmt = store_statement(
		s, "SELECT 1 FROM recorder WHERE capture = ?1 AND pid = ?2 AND started = ?3 AND boot = ?4", e);
	int rc;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, self->pid);
	sqlite3_bind_int64(stmt, 3, self->started);
	sqlite3_bind_text(stmt, 4, self->boot, -1, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		store_error(s, "reading the recorder", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

int recorder_add_sleep(struct store *s, uint64_t capture, uint64_t t, int64_t slept, struct error *e)
{
	sqlite3_stmt *stmt =
		store_statement(s, "INSERT OR REPLACE INTO suspend (capture, t, slept) VALUES (?1, ?2, ?3)", e);

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, (int64_t)t);
	sqlite3_bind_int64(stmt, 3, slept);
	return finish(s, stmt, e);
}

int recorder_set_wall(struct store *s, uint64_t capture, int64_t wall, struct error *e)
{
	sqlite3_stmt *stmt = store_statement(s, "UPDATE recorder SET wall = ?2 WHERE capture = ?1", e);

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, wall);
	return finish(s, stmt, e);
}

int recorder_close_dead(struct store *s, uint64_t own, struct error *e)
{
	/* an import that is under way has no recorder, and closes its captures itself */
	sqlite3_stmt *stmt =
		store_statement(s,
				"SELECT c.id, r.pid FROM capture c LEFT JOIN recorder r ON r.capture = c.id WHERE "
				"c.state = 'recording' AND c.id <> ?1 AND (r.pid IS NOT NULL OR c.format = 'live') "
				"ORDER BY c.id LIMIT 1",
				e);
	char note[128];
	int rc, closed = 0;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)own);
	/* one at a time: a closed one is not found again */
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
		int64_t pid = sqlite3_column_int64(stmt, 1);

		snprintf(note, sizeof(note), "the recorder (process %" PRId64 ") ended without closing it", pid);
		sqlite3_reset(stmt);
		if (store_capture_close(s, id, "cut-off", note, e))
			break;
		closed++;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		store_error(s, "reading captures", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? closed : -1;
}

/* ---- the lock ---- */

/* The table of recorders says who holds it: the one of the capture that is being recorded. */
static int locked_by_other(struct store *s, struct error *e)
{
	struct error ignored = {""};
	int64_t pid = 0;

	store_number(s, "SELECT ifnull(max(pid), 0) FROM recorder JOIN capture ON id = capture WHERE state = 'recording'",
		     &pid, &ignored);
	if (pid)
		return error_set(e,
				 "%s: process %" PRId64
				 " is recording into it: stop it, or give this one another database",
				 store_path(s), pid);
	return error_set(e, "%s: another process is recording into it: stop it, or give this one another database",
			 store_path(s));
}

/* A reader that looks whether anybody records holds a lock for a moment. */
static int wait_lock(int fd)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	int ret;

	for (int i = 0; (ret = flock(fd, LOCK_EX | LOCK_NB)) && errno == EWOULDBLOCK && i < 20; i++)
		nanosleep(&moment, NULL);
	return ret;
}

int recorder_lock(struct recorder_lock *l, struct store *s, struct error *e)
{
	const char *path = store_path(s);
	struct file_id now;
	struct stat st;
	int fd;

	if (stat(path, &st))
		return error_errno(e, "%s", path);
	now = file_id_of(&st);
	if (l->fd >= 0 && same_file(&l->file, &now))
		return 0; /* opened again: it is held all the time, and opening it twice would end SQLite's locks */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		goto fail;
	if (wait_lock(fd)) {
		if (errno != EWOULDBLOCK)
			goto fail;
		locked_by_other(s, e); /* before SQLite's own locks end with the descriptor */
		close(fd);
		return -1;
	}
	recorder_unlock(l);
	*l = (struct recorder_lock){.fd = fd, .file = file_id_of(&st)};
	return 0;
fail:
	error_errno(e, "%s: locking it for this recorder", path);
	if (fd >= 0)
		close(fd);
	return -1;
}

void recorder_unlock(struct recorder_lock *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}
