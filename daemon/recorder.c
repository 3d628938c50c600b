/* Who records which capture; see recorder.h. */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_db.h"
#include "store_trim.h"

/* The text of a small file in /proc, "" if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* When the process started, 0: there is none (any more: a zombie writes nothing), or -1: it cannot be seen. */
static int64_t process_started(int64_t pid)
{
	char path[64], text[1024], *p, state;
	int field;

	if (pid <= 0 || pid > INT32_MAX)
		return 0;
	snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	read_text(path, text, sizeof(text));
	p = strrchr(text, ')'); /* the name before it may hold anything */
	if (!p || p[1] != ' ')
		return kill((pid_t)pid, 0) && errno == ESRCH ? 0 : -1;
	p += 2;
	state = *p;
	for (field = 3; field < 22 && p; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (state == 'Z' || state == 'X')
		return 0;
	return p ? strtoll(p, NULL, 10) : -1;
}

void recorder_self(struct recorder *r)
{
	r->pid = getpid();
	r->started = process_started(r->pid);
	read_text("/proc/sys/kernel/random/boot_id", r->boot, sizeof(r->boot));
	r->boot[strcspn(r->boot, "\n")] = '\0';
}

int64_t recorder_wall(void)
{
	struct timespec wall, mono;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return (wall.tv_sec - mono.tv_sec) * INT64_C(1000000000) + (wall.tv_nsec - mono.tv_nsec);
}

static const char *db_path(struct store *s)
{
	const char *path = sqlite3_db_filename(store_handle(s), "main");

	return path ? path : "";
}

static int finish(struct store *s, sqlite3_stmt *stmt, struct error *e)
{
	sqlite3_step(stmt);
	if (sqlite3_finalize(stmt) != SQLITE_OK)
		return db_error(store_handle(s), db_path(s), "writing the recorder", e);
	return 0;
}

int recorder_add(struct store *s, const struct recorder *self, uint64_t capture, struct error *e)
{
	sqlite3_stmt *stmt = db_prepare(store_handle(s), db_path(s),
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
	sqlite3_stmt *stmt =
		db_prepare(store_handle(s), db_path(s),
			   "SELECT 1 FROM recorder WHERE capture = ?1 AND pid = ?2 AND started = ?3 AND boot = ?4", e);
	int rc;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, self->pid);
	sqlite3_bind_int64(stmt, 3, self->started);
	sqlite3_bind_text(stmt, 4, self->boot, -1, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		db_error(store_handle(s), db_path(s), "reading the recorder", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

int recorder_set_wall(struct store *s, uint64_t capture, int64_t wall, struct error *e)
{
	sqlite3_stmt *stmt =
		db_prepare(store_handle(s), db_path(s), "UPDATE recorder SET wall = ?2 WHERE capture = ?1", e);

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, wall);
	return finish(s, stmt, e);
}

/* A capture that says that it is being recorded. 1: by a process that lives; 0: not any more. Columns: see below. */
static int is_alive(sqlite3_stmt *stmt, const struct recorder *self)
{
	int64_t pid = sqlite3_column_int64(stmt, 1), started;
	const char *boot = (const char *)sqlite3_column_text(stmt, 3);

	if (!boot || strcmp(boot, self->boot) || pid == self->pid)
		return 0;
	started = process_started(pid);
	return started && (started < 0 || started == sqlite3_column_int64(stmt, 2));
}

int recorder_close_dead(struct store *s, const struct recorder *self, uint64_t own, struct error *e)
{
	const char *path = db_path(s);
	/* an import that is under way has no recorder, and closes its captures itself */
	sqlite3_stmt *stmt =
		db_prepare(store_handle(s), path,
			   "SELECT c.id, r.pid, r.started, r.boot FROM capture c LEFT JOIN recorder r ON "
			   "r.capture = c.id WHERE c.state = 'recording' AND c.id <> ?1 AND (r.pid IS NOT NULL "
			   "OR c.format = 'live') ORDER BY c.id LIMIT 1",
			   e);
	char note[128];
	int rc, closed = 0;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)own);
	/* one at a time: each closed is not found again */
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
		int64_t pid = sqlite3_column_int64(stmt, 1);

		if (is_alive(stmt, self)) {
			error_set(e,
				  "%s: process %" PRId64 " is recording into it (capture %" PRIu64
				  "): stop it, or give this one another database",
				  path, pid, id);
			break;
		}
		snprintf(note, sizeof(note), "the recorder (process %" PRId64 ") ended without closing it", pid);
		sqlite3_reset(stmt);
		if (store_capture_close(s, id, "cut-off", note, e))
			break;
		closed++;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		db_error(store_handle(s), path, "reading captures", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? closed : -1;
}
