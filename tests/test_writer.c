/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer against real SQLite, and the faults it is made for: full disk, locked, read-only and moved databases, kill
 * -9, readers that stay. In each test, rows plus losses must equal the input, each event must be there once, and a
 * reader must find a capture that is complete or says what it lacks.
 *
 * "test_writer --read DB" reads a database as ioflush does, in a process of its own, as is necessary while it is
 * written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/record/writer.h"
#include "tests/files.h"
#include "trace/source.h"
#include "trace/store/store.h"
#include "trace/store/sweep.h"
#include "trace/store/trim.h"

#define CHUNK 500
#define PATIENCE 3000 /* times 10 ms until what must happen counts as not happening */

struct fixture {
	char dir[64];
	char db[96];
	struct intern *strings;
	struct config c;
	struct writer *w;
	uint64_t put;  /* events, all of them maps, the first of them number 0 */
	uint64_t t;    /* of the next */
	unsigned open; /* descriptors before it */
};

/* --- the clocks as after a sleep of so many nanoseconds, during which the monotonic one stood still */

static _Atomic int64_t slept_ns;

int slept_clock(clockid_t clock, struct timespec *t) __asm__("clock_gettime");
int slept_clock(clockid_t clock, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, t);

	if (!rc && (clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME))
		t->tv_sec += atomic_load(&slept_ns) / 1000000000;
	return rc;
}

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- what was made to reach the disk, and how often */

static _Atomic unsigned syncs;
static atomic_bool syncs_fail;
static char disk[96]; /* folder for files as the disk has them; "": none is kept */

static void keep_as_synced(int fd);

static int sync_file(long call, int fd)
{
	atomic_fetch_add(&syncs, 1);
	if (atomic_load(&syncs_fail)) {
		errno = EIO;
		return -1;
	}
	if (disk[0])
		keep_as_synced(fd);
	return (int)syscall(call, fd);
}

int counted_fdatasync(int fd) __asm__("fdatasync");
int counted_fdatasync(int fd)
{
	return sync_file(SYS_fdatasync, fd);
}

int counted_fsync(int fd) __asm__("fsync");
int counted_fsync(int fd)
{
	return sync_file(SYS_fsync, fd);
}

static const struct capture meta = {
	.source = "ioflushd",
	.format = "live",
	.host = "h",
	.kernel = "6.12",
	.clock = "mono",
	.probes = "p\nq",
	.state = "recording",
	.note = "",
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->open = descriptors();
	snprintf(f->dir, sizeof(f->dir), "/tmp/ioflush-writer-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->db, sizeof(f->db), "%s/a.db", f->dir);
	f->strings = intern_new();
	f->c.db = f->db;
	f->c.queue_events = 65536;
	f->c.batch_rows = 1000;
	f->c.batch_time = 20;
	f->t = 1000;
	*state = f;
	return 0;
}

static void remove_all(const char *dir)
{
	static const char *const name[] = {"a.db",	 "a.db-wal", "a.db-shm",     "old.db",	   "old.db-wal",
					   "old.db-shm", "other.db", "cut.db",	     "cut.db-wal", "cut.db-shm",
					   "disk/a.db",	 "disk/new", "disk/a.db-wal"};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/disk", dir);
	rmdir(path);
	rmdir(dir);
}

/* Whatever went wrong, a writer that is closed has left no file open. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	unsigned left;

	writer_close(f->w, NULL);
	intern_free(f->strings);
	remove_all(f->dir);
	left = descriptors() - f->open;
	free(f);
	if (left)
		print_error("%u descriptors are left open\n", left);
	return left ? -1 : 0;
}

static void start(struct fixture *f)
{
	struct error e = {""};

	f->w = writer_new(&f->c, &meta, f->strings, &e);
	if (!f->w)
		fail_msg("writer_new: %s", e.text);
}

static void stop(struct fixture *f)
{
	struct error e = {""};
	int rc = writer_close(f->w, &e);

	f->w = NULL;
	if (rc)
		fail_msg("writer_close: %s", e.text);
}

/* The next events: maps whose iova is their number. */
static void put(struct fixture *f, size_t n)
{
	struct event ev[CHUNK];
	size_t i, k;

	for (; n; n -= k) {
		k = n < CHUNK ? n : CHUNK;
		memset(ev, 0, sizeof(ev));
		for (i = 0; i < k; i++) {
			ev[i].t = f->t++;
			ev[i].cpu = (uint32_t)(f->put & 1);
			ev[i].tid = 7;
			ev[i].comm = intern_add(f->strings, "qemu", 4);
			ev[i].kind = EV_map;
			ev[i].map.domain = 0xff11000000000100ull;
			ev[i].map.iova = f->put++ << 12;
			ev[i].map.paddr = 0x100000000ull;
			ev[i].map.size = 4096;
			ev[i].missing = 1u << 4;
		}
		writer_put(f->w, ev, k);
	}
}

static void nap(void)
{
	poll(NULL, 0, 10);
}

static struct writer_stats stats(struct fixture *f)
{
	struct writer_stats s;

	writer_stats(f->w, &s);
	return s;
}

/* Puts n events no faster than they are written. */
static void put_slowly(struct fixture *f, size_t n)
{
	size_t k;

	for (; n; n -= k) {
		k = n < CHUNK ? n : CHUNK;
		while (stats(f).queued + k > f->c.queue_events)
			nap();
		put(f, k);
	}
}

#define WAIT_FOR(f, what)                                                     \
	do {                                                                  \
		int patience = PATIENCE;                                      \
		struct writer_stats s;                                        \
		while (s = stats(f), !(what)) {                               \
			if (!patience--)                                      \
				fail_msg("never: %s (%s)", #what, s.failing); \
			nap();                                                \
		}                                                             \
	} while (0)

/* ---- what a reader finds ---- */

#define MAX_CAPTURES 40

struct found {
	unsigned captures;
	uint64_t rows, doubled; /* maps; those with a number that is not above the one before */
	uint64_t gap;		/* numbers that were jumped over */
	uint64_t queue, database, retention, invalid, ring, unknown; /* lost, by cause */
	unsigned lost_events;
	uint64_t rows_of[MAX_CAPTURES], first_of[MAX_CAPTURES];
	char state[MAX_CAPTURES][16];
	char note[MAX_CAPTURES][128];
	bool lost_first; /* the last capture begins with a lost event */
};

static void find_lost(struct found *r, const struct event *ev, const struct intern *strings)
{
	const char *cause = intern_get(strings, (uint32_t)ev->lost.cause);

	r->lost_events++;
	if (ev->missing & 1)
		r->unknown++;
	else if (!strcmp(cause, "queue"))
		r->queue += ev->lost.count;
	else if (!strcmp(cause, "database"))
		r->database += ev->lost.count;
	else if (!strcmp(cause, "retention"))
		r->retention += ev->lost.count;
	else if (!strcmp(cause, "invalid"))
		r->invalid += ev->lost.count;
	else if (!strcmp(cause, "ring buffer"))
		r->ring += ev->lost.count;
}

/* Reads all captures. Numbers go on from one to the next, unless afresh: then each begins anew. 0, or -1. */
static int read_db(const char *path, struct found *r, bool afresh, struct error *e)
{
	struct source_input in = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
	uint64_t next = 0, number;
	struct event ev[64];
	struct source *s;
	struct capture c;
	ssize_t n = 0, i;
	bool first;
	int rc;

	memset(r, 0, sizeof(*r));
	if (in.fd < 0)
		return error_errno(e, "%s", path);
	if (store_source_open(&s, &in, e))
		return -1;
	while ((rc = source_capture(s, &c, e)) > 0 && r->captures < MAX_CAPTURES) {
		snprintf(r->state[r->captures], sizeof(r->state[0]), "%s", c.state);
		snprintf(r->note[r->captures], sizeof(r->note[0]), "%s", c.note);
		if (afresh)
			next = 0;
		first = true;
		while ((n = source_read(s, ev, 64, e)) > 0) {
			for (i = 0; i < n; i++) {
				if (first)
					r->lost_first = ev[i].kind == EV_lost;
				first = false;
				if (ev[i].kind == EV_lost) {
					find_lost(r, &ev[i], s->strings);
					continue;
				}
				number = ev[i].map.iova >> 12;
				if (!r->rows_of[r->captures]++)
					r->first_of[r->captures] = number;
				r->rows++;
				r->doubled += number < next;
				r->gap += number > next ? number - next : 0;
				next = number + 1;
			}
		}
		if (n < 0)
			break;
		r->captures++;
	}
	source_close(s);
	return rc < 0 || n < 0 ? -1 : 0;
}

static struct found found(const char *path, bool afresh)
{
	struct error e = {""};
	struct found r;

	if (read_db(path, &r, afresh, &e))
		fail_msg("%s", e.text);
	return r;
}

/* One result of a query. */
static int64_t number(const char *path, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t value;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) || sqlite3_step(stmt) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static sqlite3 *other_connection(struct fixture *f, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	return db;
}

static void check_sound(const char *path)
{
	assert_int_equal(number(path, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

/* ---- tests ---- */

static void test_batch_rows(void **state)
{
	struct fixture *f = *state;
	struct found r;

	f->c.batch_rows = 100;
	f->c.batch_time = 3600 * 1000;
	start(f);
	put(f, 250);
	WAIT_FOR(f, s.rows == 200 && s.queued == 50);
	assert_int_equal(stats(f).batches, 2);
	assert_int_equal(number(f->db, "SELECT events FROM capture"), 200);
	assert_int_equal(number(f->db, "SELECT count(*) FROM capture WHERE state = 'recording'"), 1);
	put(f, 50);
	WAIT_FOR(f, s.rows == 300);
	put(f, 7);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, 307);
	assert_int_equal(r.gap + r.doubled + r.lost_events, 0);
	assert_string_equal(r.state[0], "complete");
	assert_string_equal(r.note[0], "");
	check_sound(f->db);
}

static void test_batch_time(void **state)
{
	struct fixture *f = *state;

	f->c.batch_rows = 1000000;
	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	put(f, 5);
	WAIT_FOR(f, s.rows == 15);
	assert_true(stats(f).batches >= 2);
	f->c.batch_rows = 3; /* a reload is heeded */
	f->c.batch_time = 3600 * 1000;
	writer_reload(f->w, &f->c);
	WAIT_FOR(f, s.db_bytes > 0);
	put(f, 3);
	WAIT_FOR(f, s.rows == 18);
	stop(f);
	assert_int_equal(found(f->db, false).rows, 18);
}

static void test_overflow(void **state)
{
	struct fixture *f = *state;
	struct writer_stats last;
	struct found r;
	unsigned i;

	f->c.queue_events = 100;
	start(f);
	for (i = 0; i < 20; i++) {
		put(f, CHUNK); /* in one go: 400 of them at least find no room */
		nap();
	}
	WAIT_FOR(f, s.queued == 0);
	put(f, 1);
	last = stats(f);
	stop(f);
	r = found(f->db, false);
	assert_true(last.lost_queue >= 20 * 400);
	assert_int_equal(r.queue, last.lost_queue);
	assert_int_equal(r.rows + r.queue, f->put);
	assert_int_equal(r.gap, r.queue);
	assert_int_equal(r.doubled + r.database, 0);
	assert_true(r.lost_events <= 21);
	assert_true(last.queue_max <= 100);
}

/* An event that cannot be must not cost the capture its reader. */
static void test_invalid(void **state)
{
	struct fixture *f = *state;
	struct event bad = {.t = 2000, .tid = 1, .kind = EV_unmap};
	struct found r;

	start(f);
	put(f, 10);
	writer_put(f->w, &bad, 1); /* of size 0 */
	bad.unmap.size = 4096;
	bad.t = 1;
	writer_put(f->w, &bad, 1); /* earlier */
	put(f, 10);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, 20);
	assert_int_equal(r.invalid, 2);
	assert_int_equal(r.lost_events, 1);
}

static void test_locked(void **state)
{
	struct fixture *f = *state;
	struct writer_stats last;
	struct found r;
	sqlite3 *other;

	f->c.queue_events = 1000;
	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	other = other_connection(f, "BEGIN EXCLUSIVE");
	put(f, 300);
	WAIT_FOR(f, s.failures >= 2);
	assert_non_null(strstr(stats(f).failing, "another process is using the database"));
	put(f, 5000);
	assert_int_equal(stats(f).lost_database, 300 + 5000 - 1000);
	assert_int_equal(stats(f).lost_queue, 0);
	sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(other);
	WAIT_FOR(f, s.queued == 0 && !s.failing[0]);
	put(f, 50);
	last = stats(f);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.database, last.lost_database);
	assert_int_equal(r.rows + r.database, f->put);
	assert_int_equal(r.gap, r.database);
	assert_int_equal(r.lost_events, 1);
	assert_int_equal(r.doubled, 0);
	check_sound(f->db);
}

/* The lock stays: closing gives up, and says so. */
static void test_give_up(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct found r;
	sqlite3 *other;

	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	other = other_connection(f, "BEGIN EXCLUSIVE");
	put(f, 30);
	assert_int_equal(writer_close(f->w, &e), -1);
	f->w = NULL;
	assert_non_null(strstr(e.text, "that are lost: 30"));
	sqlite3_close(other);
	start(f);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, 100);
	assert_string_equal(r.state[0], "cut-off");
}

/* Killed, the recorder closes nothing. Readers say at once that its capture is cut off, and the next recorder stores it. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	int ready[2], status;
	struct found r;
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start(f);
		put(f, 100);
		WAIT_FOR(f, s.rows == 100);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	r = found(f->db, false);
	assert_string_equal(r.state[0], "recording");
	assert_int_equal(r.rows, 100);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r = found(f->db, false);
	assert_string_equal(r.state[0], "cut-off");
	assert_non_null(strstr(r.note[0], "its recorder died"));
	assert_int_equal(r.rows, 100);
	assert_int_equal(number(f->db, "SELECT count(*) FROM capture WHERE state = 'recording'"), 1);
	start(f);
	stop(f);
	assert_int_equal(number(f->db, "SELECT count(*) FROM capture WHERE state = 'recording'"), 0);
	r = found(f->db, true);
	assert_string_equal(r.state[0], "cut-off");
	assert_non_null(strstr(r.note[0], "ended without closing it"));
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct writer_stats last;
	struct found r;

	if (mount("none", f->dir, "tmpfs", 0, "size=1M")) {
		print_message("not run: no tmpfs can be mounted: %s\n", strerror(errno));
		skip();
	}
	f->c.queue_events = 4000;
	f->c.batch_rows = 700;
	start(f);
	while (!stats(f).failing[0]) {
		put(f, 100);
		poll(NULL, 0, 1);
	}
	assert_non_null(strstr(stats(f).failing, "no space left"));
	put(f, 10000);
	assert_true(stats(f).lost_database >= 6000);
	assert_int_equal(mount("none", f->dir, "tmpfs", MS_REMOUNT, "size=64M"), 0);
	WAIT_FOR(f, s.queued == 0 && !s.failing[0]);
	put(f, 500);
	last = stats(f);
	stop(f);
	r = found(f->db, false);
	check_sound(f->db);
	remove_all(f->dir);
	umount(f->dir);
	assert_int_equal(r.captures, 1);
	assert_string_equal(r.state[0], "complete");
	assert_int_equal(r.database, last.lost_database);
	assert_int_equal(r.queue, last.lost_queue);
	assert_int_equal(r.rows + r.database + r.queue, f->put);
	assert_int_equal(r.gap, r.database + r.queue);
	assert_int_equal(r.doubled, 0);
}

/* A database that cannot be written is refused. Runs without root's rights. */
static int read_only_scenario(struct fixture *f)
{
	struct error e = {""};

	f->w = writer_new(&f->c, &meta, f->strings, &e);
	if (!f->w || writer_close(f->w, &e) || chmod(f->db, 0440))
		return 1;
	f->w = writer_new(&f->c, &meta, f->strings, &e);
	if (f->w || !strstr(e.text, "no permission to write"))
		return 2;
	e.text[0] = '\0';
	if (chmod(f->db, 0640))
		return 3;
	f->w = writer_new(&f->c, &meta, f->strings, &e);
	return !f->w || writer_close(f->w, &e) ? 4 : 0;
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	assert_int_equal(chmod(f->dir, 0777), 0);
	pid = fork();
	if (!pid) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(99);
		_exit(read_only_scenario(f));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(found(f->db, false).captures, 2);
	check_sound(f->db);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void path_of(const struct fixture *f, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", f->dir, name);
}

/*
 * Another file is put in the place of the one that is recorded into, which is kept; the other is not touched. When the first
 * is put back, that goes on, too.
 */
static void test_displaced(void **state)
{
	static const char text[] = "What somebody put there. It is no database, and will not be one.";
	struct fixture *f = *state;
	char old[128], other[128], log[128], got[128] = "";
	struct file_id file;
	struct found r;
	int fd;

	path_of(f, "old.db", old);
	path_of(f, "other.db", other);
	path_of(f, "a.db-wal", log);
	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	assert_string_equal(stats(f).displaced, "");
	file = stats(f).file;
	assert_true(file.ino);
	write_text(other, text);
	assert_int_equal(rename(f->db, old), 0);
	assert_int_equal(rename(other, f->db), 0);
	WAIT_FOR(f, s.displaced[0]); /* also without events */
	put(f, 20);
	WAIT_FOR(f, s.rows == 120);
	assert_int_equal(access(log, F_OK), -1); /* or SQLite takes it for that of the other file */
	assert_int_equal(stats(f).failures, 0);
	assert_non_null(strstr(stats(f).displaced, "another file"));
	assert_true(same_file(&(struct file_id){stats(f).file.dev, stats(f).file.ino}, &file));
	fd = open(f->db, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got) - 1), sizeof(text) - 1);
	close(fd);
	assert_string_equal(got, text);
	assert_int_equal(rename(f->db, other), 0);
	assert_int_equal(rename(old, f->db), 0);
	put(f, 3);
	WAIT_FOR(f, s.rows == 123 && !s.displaced[0]);
	assert_int_equal(rename(f->db, old), 0);
	assert_int_equal(rename(other, f->db), 0);
	put(f, 4);
	WAIT_FOR(f, s.rows == 127 && s.displaced[0]);
	put(f, 5);
	stop(f);
	r = found(old, false);
	assert_int_equal(r.captures, 1);
	assert_string_equal(r.state[0], "complete");
	assert_int_equal(r.rows, 132);
	assert_int_equal(r.gap + r.doubled + r.lost_events, 0);
	check_sound(old);
}

/* The same where the file has no name left, and what is in its place keeps its readers busy for ever. */
static void test_displaced_by_hostile(void **state)
{
	struct fixture *f = *state;
	char other[128];
	sqlite3 *db;

	path_of(f, "other.db", other);
	f->c.db = other;
	start(f);
	stop(f);
	f->c.db = f->db;
	assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "ALTER TABLE capture RENAME TO x; CREATE VIEW capture AS WITH RECURSIVE c(n) AS (SELECT "
				      "1 UNION ALL SELECT n + 1 FROM c) SELECT x.* FROM c, x WHERE n < 0",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	assert_int_equal(rename(other, f->db), 0);
	put(f, 20);
	WAIT_FOR(f, s.rows == 120 && s.displaced[0]);
	assert_non_null(strstr(stats(f).displaced, "has no name any more"));
	assert_int_equal(stats(f).failures, 0);
	stop(f);
	/* nor is it taken by who starts there */
	{
		struct error e = {""};

		assert_null(writer_new(&f->c, &meta, f->strings, &e));
		assert_non_null(strstr(e.text, "capture is a view in it, not a table"));
	}
}

/* Whether the mode of a file is this one; there is a file. */
static void expect_mode(const char *path, mode_t mode)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	if ((st.st_mode & 07777) != mode)
		fail_msg("%s: mode %04o, not %04o", path, st.st_mode & 07777, mode);
}

/* What is recorded is not for everybody, whatever the umask, and also where an older version has made the file. */
static void test_modes(void **state)
{
	static const char *const name[] = {"a.db", "a.db-wal", "a.db-shm"};
	struct fixture *f = *state;
	mode_t old = umask(022);
	char path[128];
	int round, i;

	for (round = 0; round < 2; round++) {
		start(f);
		put(f, 10);
		WAIT_FOR(f, s.rows == 10);
		for (i = 0; i < 3; i++) {
			path_of(f, name[i], path);
			expect_mode(path, 0640);
		}
		stop(f);
		if (!round)
			assert_int_equal(chmod(f->db, 0644), 0);
	}
	umask(077);
	path_of(f, "other.db", path);
	f->c.db = path;
	start(f);
	expect_mode(path, 0600);
	stop(f);
	f->c.db = f->db;
	umask(old);
}

/* Somebody who may only read holds a lock that the writer needs: the failure names him. */
static void test_lock_named(void **state)
{
	struct fixture *f = *state;
	struct writer_stats last;
	char shm[128], want[64];
	int ready[2];
	pid_t pid;
	char c;

	path_of(f, "a.db-shm", shm);
	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
		int fd = open(shm, O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd < 0 || fcntl(fd, F_SETLKW, &l) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	put(f, 10);
	WAIT_FOR(f, s.failing[0]);
	snprintf(want, sizeof(want), "process %d (", pid);
	last = stats(f);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!strstr(last.failing, want) || !strstr(last.failing, "holds a read lock on a.db-shm"))
		fail_msg("%s", last.failing);
	WAIT_FOR(f, s.rows == 20 && !s.failing[0]);
	stop(f);
	close(ready[0]);
}

/* Gone, with its log: recording goes on in a new file that says what it lacks. */
static void test_removed(void **state)
{
	struct fixture *f = *state;
	char log[128];
	struct found r;

	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	snprintf(log, sizeof(log), "%s-wal", f->db);
	unlink(f->db);
	unlink(log);
	snprintf(log, sizeof(log), "%s-shm", f->db);
	unlink(log);
	put(f, 10);
	WAIT_FOR(f, s.rows == 110);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, 10);
	assert_int_equal(r.database, 100);
	assert_true(r.lost_first);
	check_sound(f->db);
}

/* Moved away while it was recorded into: it says so itself, without the log that it had, and has all until then. */
static void test_moved(void **state)
{
	struct fixture *f = *state;
	char old[128];
	struct found r;

	path_of(f, "old.db", old);
	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	assert_int_equal(rename(f->db, old), 0);
	put(f, 10);
	WAIT_FOR(f, s.rows == 110);
	assert_int_equal(stats(f).failures, 0);
	r = found(old, false);
	assert_int_equal(r.rows, 100);
	assert_string_equal(r.state[0], "cut-off");
	assert_string_equal(r.note[0], "the database was moved away or removed while it was recorded");
	check_sound(old);
	stop(f);
	r = found(f->db, true);
	assert_int_equal(r.captures, 1);
	assert_string_equal(r.state[0], "complete");
	assert_int_equal(r.database, 100);
	assert_true(r.lost_first);
}

/* When recording ends all is in the file itself, also where somebody has it open, who reads nothing just now. */
static void test_whole_file(void **state)
{
	struct fixture *f = *state;
	char log[128];
	struct stat st;
	sqlite3 *other;
	struct found r;

	path_of(f, "a.db-wal", log);
	start(f);
	put(f, 3000);
	WAIT_FOR(f, s.rows == 3000);
	other = other_connection(f, "SELECT count(*) FROM event");
	put(f, 10);
	stop(f);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_size, 0);
	sqlite3_close(other);
	r = found(f->db, false);
	assert_int_equal(r.rows, 3010);
	assert_string_equal(r.state[0], "complete");
}

/* A failure that needs the database opened anew: the capture goes on, nothing is doubled, and no other file is taken. */
static void test_reopened(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;
	char away[128];
	struct found r;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){.rlim_cur = 8192, .rlim_max = old.rlim_max};
	start(f);
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* an I/O error for each write */
	put(f, 20);
	WAIT_FOR(f, s.failures >= 2);
	path_of(f, "old.db", away);
	assert_int_equal(rename(f->db, away), 0);
	assert_int_equal(mkdir(f->db, 0700), 0);
	setrlimit(RLIMIT_FSIZE, &old);
	WAIT_FOR(f, strstr(s.failing, "another file than the one recorded into lies there"));
	assert_int_equal(rmdir(f->db), 0);
	assert_int_equal(rename(away, f->db), 0);
	WAIT_FOR(f, s.rows == 120 && !s.failing[0]);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.captures, 1);
	assert_int_equal(r.rows, 120);
	assert_int_equal(r.doubled + r.gap, 0);
	check_sound(f->db);
}

/* A reader that stays in its transaction costs nothing but log. */
static void test_long_reader(void **state)
{
	struct fixture *f = *state;
	struct found r;
	sqlite3 *other;

	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	other = other_connection(f, "BEGIN; SELECT count(*) FROM event");
	put_slowly(f, 400000);
	WAIT_FOR(f, s.queued == 0);
	assert_int_equal(stats(f).failures, 0);
	sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(other);
	put_slowly(f, 100);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, f->put);
	assert_int_equal(r.lost_events + r.gap + r.doubled, 0);
	check_sound(f->db);
}

static int run_reader(const char *db)
{
	int status;
	pid_t pid = vfork(); /* nothing of SQLite's may be taken over */

	if (!pid) {
		execl("/proc/self/exe", "test_writer", "--read", db, (char *)NULL);
		_exit(99);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As ioflush reads it: what is committed, as a capture under way. */
static void test_read_while_recording(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	f->c.retain_size = 2 << 20; /* the beginning goes away meanwhile, too */
	start(f);
	for (i = 0; i < 10; i++) {
		put_slowly(f, 10000);
		assert_int_equal(run_reader(f->db), 0);
	}
	stop(f);
}

static int reader_main(const char *db)
{
	struct error e = {""};
	struct found r;

	if (read_db(db, &r, false, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	if (r.captures != 1 || strcmp(r.state[0], "recording") || r.doubled || r.gap != r.retention)
		return 2;
	return 0;
}

/* ---- the disk ---- */

/* A busy host does not make the disk busy: 300 events a second for 20 seconds, committed twice a second. */
static void test_few_syncs(void **state)
{
	const unsigned seconds = 20;
	struct fixture *f = *state;
	unsigned i;

	f->c.batch_rows = 8192;
	f->c.batch_time = 500;
	start(f);
	atomic_store(&syncs, 0);
	for (i = 0; i < seconds * 50; i++) {
		put(f, 6);
		usleep(20000);
	}
	i = atomic_load(&syncs);
	print_message("%u syncs in %u seconds with %" PRIu64 " commits\n", i, seconds, stats(f).commits);
	assert_true(stats(f).commits > seconds);
	assert_true(i <= seconds / 4 + 1);
	stop(f);
	assert_int_equal(found(f->db, false).rows, f->put);
}

/* The last events before a pause do not wait for the next ones to be on the disk. */
static void test_sync_when_quiet(void **state)
{
	struct fixture *f = *state;
	unsigned before;
	int i;

	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	before = atomic_load(&syncs);
	for (i = 0; i < 490 && !stats(f).log_syncs; i++)
		nap();
	assert_int_equal(stats(f).log_syncs, 1);
	assert_int_equal(atomic_load(&syncs), before + 1);
	assert_int_equal(stats(f).commits, 1);
	stop(f);
}

static void test_sync_each_commit(void **state)
{
	char commit[] = "commit", interval[] = "interval";
	struct fixture *f = *state;
	uint64_t commits;
	unsigned before;
	int i;

	f->c.durability = commit;
	start(f);
	before = atomic_load(&syncs);
	for (i = 0; i < 20; i++) {
		put(f, 10);
		WAIT_FOR(f, s.queued == 0);
	}
	commits = stats(f).commits;
	assert_true(commits >= 10);
	assert_true(atomic_load(&syncs) >= before + commits);
	assert_int_equal(stats(f).log_syncs, 0);
	/* a reload is heeded */
	f->c.durability = interval;
	writer_reload(f->w, &f->c);
	usleep(50000);
	put(f, 1);
	WAIT_FOR(f, s.queued == 0);
	before = atomic_load(&syncs);
	commits = stats(f).commits;
	for (i = 0; i < 20; i++) {
		put(f, 10);
		WAIT_FOR(f, s.queued == 0);
	}
	assert_true(stats(f).commits >= commits + 10);
	assert_int_equal(atomic_load(&syncs), before);
	stop(f);
	assert_int_equal(found(f->db, false).rows, f->put);
}

/* A log that could not be synced is no safe place: what is in it is moved into the database before all is well again. */
static void test_sync_fails(void **state)
{
	struct fixture *f = *state;
	unsigned before;

	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	atomic_store(&syncs_fail, true);
	WAIT_FOR(f, s.log_sync_failures >= 1);
	before = atomic_load(&syncs);
	atomic_store(&syncs_fail, false);
	put(f, 10);
	WAIT_FOR(f, s.log_syncs >= 1);
	assert_true(atomic_load(&syncs) >= before + 2); /* of the log and the database */
	assert_int_equal(stats(f).failures, 0);
	stop(f);
	assert_int_equal(found(f->db, false).rows, 20);
}

/* A size that is changed under way does not end the care for the log. */
static void test_log_after_reload(void **state)
{
	struct fixture *f = *state;
	char log[128];
	struct stat st;

	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	f->c.retain_size = 64 << 20; /* a checkpoint each 4 MiB of log */
	writer_reload(f->w, &f->c);
	usleep(100000);
	put_slowly(f, 300000);
	WAIT_FOR(f, s.queued == 0);
	snprintf(log, sizeof(log), "%s-wal", f->db);
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size < 12 << 20);
	stop(f);
}

/* ---- power losses ---- */

struct bytes {
	uint8_t *p;
	size_t n;
};

static struct bytes read_bytes(const char *dir, const char *name)
{
	struct bytes b = {NULL, 0};
	char path[192];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return b;
	if (!fstat(fd, &st) && st.st_size)
		b.p = malloc((size_t)st.st_size);
	while (b.p && b.n < (size_t)st.st_size) {
		ssize_t n = pread(fd, b.p + b.n, (size_t)st.st_size - b.n, (off_t)b.n);

		if (n <= 0)
			break;
		b.n += (size_t)n;
	}
	close(fd);
	return b;
}

static int write_bytes(const char *dir, const char *name, const struct bytes *b)
{
	char path[192];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	rc = write(fd, b->p, b->n) == (ssize_t)b->n ? 0 : -1;
	close(fd);
	return rc;
}

/* From here on the disk has the file as it is now. In the recorder's process. */
static void keep_as_synced(int fd)
{
	char self[64], path[192] = "", from[192], to[192], *name;
	struct bytes b;
	int failed;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (readlink(self, path, sizeof(path) - 1) < 0)
		_exit(90);
	name = strrchr(path, '/');
	if (!name || (strcmp(name, "/a.db") && strcmp(name, "/a.db-wal")))
		return;
	*name++ = '\0';
	b = read_bytes(path, name);
	failed = write_bytes(disk, "new", &b);
	free(b.p);
	snprintf(from, sizeof(from), "%s/new", disk);
	snprintf(to, sizeof(to), "%s/%s", disk, name);
	if (failed || rename(from, to))
		_exit(91);
}

#define SAMPLES 8192

/* What the recorder says to the test: so many rows were committed by then. */
struct recorded {
	_Atomic unsigned n;
	struct {
		uint64_t t, rows;
	} sample[SAMPLES];
};

static void record_for_cuts(struct fixture *f, struct recorded *r, uint64_t seed)
{
	unsigned n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(disk, sizeof(disk), "%s/disk", f->dir);
	f->w = writer_new(&f->c, &meta, f->strings, NULL);
	if (!f->w)
		_exit(1);
	for (;;) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		put_slowly(f, 1 + (size_t)(seed >> 33) % 60);
		nap();
		if (n == SAMPLES)
			continue;
		r->sample[n].t = mono_ns(); /* before the rows: what is committed by then is in them */
		r->sample[n].rows = stats(f).rows;
		atomic_store(&r->n, ++n);
	}
}

/* Rows that were committed before t, at least. */
static uint64_t rows_by(const struct recorded *r, uint64_t t)
{
	unsigned i = atomic_load(&r->n);

	while (i && r->sample[i - 1].t > t)
		i--;
	return i > 1 ? r->sample[i - 2].rows : 0; /* those of the last may have come after its time was taken */
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 20;
}

/* A file of which the disk has some sectors as they are now, and some as they were synced; and the size between. */
static struct bytes mix_sectors(const struct bytes *old, const struct bytes *now, uint64_t *seed)
{
	size_t most = old->n > now->n ? old->n : now->n, least = old->n + now->n - most, from, len;
	struct bytes b = {.n = least + next_random(seed) % (most - least + 1)};
	unsigned share = (unsigned)(next_random(seed) % 101);

	b.p = calloc(1, b.n + 1);
	for (from = 0; from < b.n; from += 512) {
		const struct bytes *of = next_random(seed) % 100 < share ? now : old;

		len = b.n - from < 512 ? b.n - from : 512;
		if (from < of->n)
			memcpy(b.p + from, of->p + from, of->n - from < len ? of->n - from : len);
	}
	return b;
}

/* A file that ends, or is zero, from a random byte on that is not among the first keep. */
static struct bytes cut_at(const struct bytes *now, size_t keep, bool zero_tail, uint64_t *seed)
{
	size_t at = keep + next_random(seed) % (now->n - keep + 1);
	struct bytes b = {.p = calloc(1, now->n + 1), .n = zero_tail ? now->n : at};

	if (at)
		memcpy(b.p, now->p, at);
	return b;
}

static size_t same_beginning(const struct bytes *a, const struct bytes *b)
{
	size_t n = 0;

	while (n < a->n && n < b->n && a->p[n] == b->p[n])
		n++;
	return n;
}

/* What a reader finds in cut.db: a beginning of what was recorded, and nothing that claims to be all of it. */
static void check_cut(struct fixture *f, uint64_t at_least, bool reopen)
{
	char path[128];
	struct found r;

	snprintf(path, sizeof(path), "%s/cut.db", f->dir);
	if (!number(path, "SELECT count(*) FROM sqlite_schema")) {
		assert_int_equal(at_least, 0);
		return;
	}
	r = found(path, false);
	assert_true(r.captures <= 1);
	assert_int_equal(r.doubled + r.queue + r.database + r.unknown, 0);
	assert_int_equal(r.gap, r.retention);
	if (r.rows + r.retention < at_least)
		fail_msg("%" PRIu64 " rows are left, %" PRIu64 " are wanted", r.rows + r.retention, at_least);
	if (r.captures)
		assert_string_equal(r.state[0], "cut-off"); /* a copy: nobody records into it */
	check_sound(path);
	if (!reopen || !r.captures)
		return;
	f->c.db = path;
	start(f);
	stop(f);
	f->c.db = f->db;
	r = found(path, true);
	assert_int_equal(r.captures, 2);
	assert_string_equal(r.state[0], "cut-off");
	assert_string_equal(r.state[1], "complete");
}

static void remove_cut(struct fixture *f)
{
	static const char *const name[] = {"cut.db", "cut.db-wal", "cut.db-shm"};
	char path[128];

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, name[i]);
		unlink(path);
	}
}

/* The power fails now, in each of several ways. The recorder stands still, and goes on once its files are read. */
static void lose_power(struct fixture *f, pid_t recorder, uint64_t at_least, bool checkpointed, uint64_t *seed)
{
	char synced[96];
	struct bytes db[2], log[2], cut_db, cut_log;

	snprintf(synced, sizeof(synced), "%s/disk", f->dir);
	db[0] = read_bytes(synced, "a.db");
	db[1] = read_bytes(f->dir, "a.db");
	log[0] = read_bytes(synced, "a.db-wal");
	log[1] = read_bytes(f->dir, "a.db-wal");
	kill(recorder, SIGCONT);
	for (unsigned how = 0; how < 8; how++) {
		size_t keep = same_beginning(&log[0], &log[1]);

		if (how < 4) {
			cut_db = mix_sectors(&db[0], &db[1], seed);
			cut_log = mix_sectors(&log[0], &log[1], seed);
		} else if (how < 6 || checkpointed) {
			cut_db = mix_sectors(&db[1], &db[1], seed);
			cut_log = cut_at(&log[1], keep, how % 2, seed);
		} else { /* nothing of the log is in the database yet, so all of it may be gone */
			cut_db = mix_sectors(&db[0], &db[0], seed);
			cut_log = cut_at(&log[1], 0, how % 2, seed);
			at_least = 0;
		}
		remove_cut(f);
		assert_int_equal(write_bytes(f->dir, "cut.db", &cut_db) || write_bytes(f->dir, "cut.db-wal", &cut_log),
				 0);
		free(cut_db.p);
		free(cut_log.p);
		check_cut(f, at_least, how == 3 || how == 7);
	}
	for (unsigned i = 0; i < 2; i++) {
		free(db[i].p);
		free(log[i].p);
	}
}

/* Records for so long, and lets the power fail again and again. within: what is older by so much must be there. */
static void cut_often(struct fixture *f, unsigned seconds, uint64_t within)
{
	struct recorded *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 20261, begin = mono_ns(), now, at_least = 0;
	bool checkpointed = false;
	struct stat first, st;
	char dir[128];
	int status;
	pid_t pid;

	assert_ptr_not_equal(r, MAP_FAILED);
	snprintf(dir, sizeof(dir), "%s/disk", f->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(dir, sizeof(dir), "%s/disk/a.db", f->dir);
	pid = fork();
	if (!pid)
		record_for_cuts(f, r, seed);
	while (atomic_load(&r->n) < 2)
		nap();
	assert_int_equal(stat(dir, &first), 0);
	do {
		usleep((useconds_t)(100000 + next_random(&seed) % 500000));
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(WIFSTOPPED(status));
		now = mono_ns();
		checkpointed = checkpointed || stat(dir, &st) || st.st_ino != first.st_ino;
		at_least = rows_by(r, now - within);
		lose_power(f, pid, at_least, checkpointed, &seed);
	} while (now - begin < seconds * UINT64_C(1000000000));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(at_least > 100); /* there was something to lose */
	munmap(r, sizeof(*r));
}

static void test_cut_interval(void **state)
{
	struct fixture *f = *state;

	f->c.batch_time = 500;
	cut_often(f, 12, UINT64_C(5000000000));
}

static void test_cut_commit(void **state)
{
	char commit[] = "commit";
	struct fixture *f = *state;

	f->c.batch_time = 50;
	f->c.durability = commit;
	cut_often(f, 3, 0);
}

/* While the beginning is deleted, and the log moved into the database all the time. */
static void test_cut_retention(void **state)
{
	struct fixture *f = *state;

	f->c.batch_time = 50;
	f->c.retain_size = 1 << 20;
	cut_often(f, 8, UINT64_C(5000000000));
}

/* ---- kill -9 ---- */

/* Records until it is killed; says how many rows are committed. */
static void record_until_killed(struct fixture *f, _Atomic uint64_t *rows)
{
	uint64_t seed = (uint64_t)getpid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	f->w = writer_new(&f->c, &meta, f->strings, NULL);
	if (!f->w)
		_exit(1);
	for (;;) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		put_slowly(f, 1 + (size_t)(seed >> 33) % 900);
		atomic_store(rows, stats(f).rows + 1);
	}
}

static void test_kill(void **state)
{
	struct fixture *f = *state;
	_Atomic uint64_t *rows = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 1, committed[20];
	struct found r;
	unsigned i;
	pid_t pid;

	assert_ptr_not_equal(rows, MAP_FAILED);
	f->c.batch_rows = 200;
	f->c.batch_time = 2;
	for (i = 0; i < 20; i++) {
		atomic_store(rows, 0);
		pid = fork();
		if (!pid)
			record_until_killed(f, rows);
		while (!atomic_load(rows))
			nap();
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		usleep((useconds_t)(seed >> 33) % 60000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		committed[i] = atomic_load(rows) - 1;
	}
	start(f);
	stop(f);
	check_sound(f->db);
	r = found(f->db, true); /* each begins with number 0: with a gap there would be one of its own */
	assert_int_equal(r.captures, 21);
	assert_int_equal(r.doubled + r.gap + r.lost_events, 0);
	for (i = 0; i < 20; i++) {
		assert_true(r.rows_of[i] >= committed[i]);
		assert_string_equal(r.state[i], "cut-off");
		assert_non_null(strstr(r.note[i], "ended without closing it"));
	}
	assert_string_equal(r.state[20], "complete");
	munmap(rows, 4096);
}

/* Field of /proc/self/stat, from 1. */
static long long stat_field(int n)
{
	char text[1024] = "", *p;
	FILE *file = fopen("/proc/self/stat", "r");

	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	p = strrchr(text, ')');
	for (int i = 2; i < n; i++)
		p = strchr(p + 1, ' ');
	return atoll(p);
}

static uint64_t clock_at(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* By what a recorder is known, and its clock to that of the wall, after its end too. */
static void test_recorder(void **state)
{
	const int64_t second = 1000000000;
	struct fixture *f = *state;
	char boot[64] = "", sql[160];
	int64_t wall, slept;
	FILE *file;

	file = fopen("/proc/sys/kernel/random/boot_id", "r");
	assert_non_null(file);
	assert_non_null(fgets(boot, sizeof(boot), file));
	fclose(file);
	boot[strcspn(boot, "\n")] = '\0';
	start(f);
	put(f, 1);
	stop(f);
	assert_int_equal(number(f->db, "SELECT count(*) FROM recorder WHERE capture = 1"), 1);
	assert_int_equal(number(f->db, "SELECT pid FROM recorder"), getpid());
	assert_int_equal(number(f->db, "SELECT started FROM recorder"), stat_field(22));
	snprintf(sql, sizeof(sql), "SELECT boot = '%s' FROM recorder", boot);
	assert_int_equal(number(f->db, sql), 1);
	wall = (int64_t)(clock_at(CLOCK_REALTIME) - mono_ns());
	slept = (int64_t)(clock_at(CLOCK_BOOTTIME) - mono_ns());
	assert_in_range(number(f->db, "SELECT wall FROM recorder"), wall - second, wall + second);
	assert_int_equal(number(f->db, "SELECT count(*) FROM suspend WHERE capture = 1 AND t = 0"), 1);
	assert_in_range(number(f->db, "SELECT slept FROM suspend") + 2 * second, slept + second, slept + 3 * second);
}

/* Two recorders: the second is refused while the first lives. */
static void test_two_recorders(void **state)
{
	struct fixture *f = *state;
	_Atomic uint64_t *rows = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct error e = {""};
	pid_t pid = fork();

	if (!pid)
		record_until_killed(f, rows);
	while (!atomic_load(rows))
		nap();
	assert_null(writer_new(&f->c, &meta, f->strings, &e));
	if (!strstr(e.text, "is recording into it"))
		fail_msg("%s", e.text);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	start(f);
	stop(f);
	munmap((void *)rows, 4096);
}

/* The dead recorder's pid is that of another process, as old as the recorder was. It must not be taken for it. */
static void test_pid_used_again(void **state)
{
	struct fixture *f = *state;
	_Atomic uint64_t *rows = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char sql[160], stat[1024] = "", *field;
	pid_t pid = fork();
	struct found r;
	FILE *file;

	if (!pid)
		record_until_killed(f, rows);
	while (!atomic_load(rows))
		nap();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	file = fopen("/proc/1/stat", "r");
	field = file && fgets(stat, sizeof(stat), file) ? strrchr(stat, ')') : stat;
	for (int i = 2; i < 22 && field; i++)
		field = strchr(field + 1, ' ');
	if (file)
		fclose(file);
	snprintf(sql, sizeof(sql), "UPDATE recorder SET pid = 1, started = %lld", field ? atoll(field) : 0);
	sqlite3_close(other_connection(f, sql));
	start(f);
	stop(f);
	r = found(f->db, true);
	assert_int_equal(r.captures, 2);
	assert_string_equal(r.state[0], "cut-off");
	assert_string_equal(r.state[1], "complete");
	munmap((void *)rows, 4096);
}

/* Recording failed for a reason that the writer is told; the beginning is gone, too. */
static void test_cut_off(void **state)
{
	struct fixture *f = *state;
	struct found r;

	start(f);
	put(f, 10);
	writer_cut_off(f->w, "CPU 0: its buffer cannot be read");
	stop(f);
	start(f);
	f->c.retain_size = 1;
	put(f, 100);
	WAIT_FOR(f, s.rows == 100);
	writer_reload(f->w, &f->c);
	WAIT_FOR(f, s.retained_deleted >= 100);
	writer_cut_off(f->w, "why");
	stop(f);
	r = found(f->db, true);
	assert_int_equal(r.captures, 1);
	assert_string_equal(r.state[0], "cut-off");
	assert_string_equal(r.note[0], "why; " STORE_TRIM_NOTE);
	remove_all(f->dir);
	mkdir(f->dir, 0700);
	f->c.retain_size = 0;
	start(f);
	writer_cut_off(f->w, "CPU 0: its buffer cannot be read");
	stop(f);
	r = found(f->db, true);
	assert_string_equal(r.state[0], "cut-off");
	assert_string_equal(r.note[0], "CPU 0: its buffer cannot be read");
}

/* ---- retention ---- */

static void test_retain_size(void **state)
{
	struct fixture *f = *state;
	uint64_t limit = 3 << 20, first;
	struct writer_stats last;
	struct found r;

	start(f);
	put_slowly(f, 20000); /* a capture of before */
	stop(f);
	first = f->put;
	start(f);
	stop(f); /* and one without events */
	f->c.retain_size = limit;
	start(f);
	put_slowly(f, 200000);
	WAIT_FOR(f, s.queued == 0 && s.retained_deleted > 100000);
	WAIT_FOR(f, s.db_bytes <= limit);
	last = stats(f);
	stop(f);
	assert_true(number(f->db, "SELECT page_count * 8192 FROM pragma_page_count") <= (int64_t)limit);
	r = found(f->db, false);
	assert_int_equal(r.captures, 1);
	assert_string_equal(r.state[0], "complete");
	assert_non_null(strstr(r.note[0], STORE_TRIM_NOTE));
	assert_true(r.lost_first);
	assert_int_equal(r.lost_events, 1);
	assert_int_equal(r.rows + r.retention, f->put - first);
	assert_int_equal(r.gap, r.retention + first);
	assert_int_equal(last.retained_deleted, f->put - r.rows);
	assert_true(r.rows > 10000);
	assert_int_equal(number(f->db, "SELECT count(*) FROM recorder"), 1);
	check_sound(f->db);
}

static void test_retain_age(void **state)
{
	struct fixture *f = *state;
	struct timespec ts;
	struct found r;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u;
	f->c.retain_age = now / 2 / 1000000; /* since half the time since boot */
	start(f);
	put_slowly(f, 5000);
	f->t = now;
	put_slowly(f, 500);
	WAIT_FOR(f, s.retained_deleted == 5000);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows, 500);
	assert_int_equal(r.retention, 5000);
	assert_int_equal(r.first_of[0], 5000);
	assert_true(r.lost_first);
	/* a capture of another boot, of the same age by the wall clock; nothing of it is left */
	sqlite3_close(
		other_connection(f, "UPDATE recorder SET boot = 'other', wall = wall - 1000000000 * 86400 * 365 * 10"));
	f->c.retain_age = UINT64_C(86400000) * 365;
	start(f);
	WAIT_FOR(f, s.retained_deleted == 500);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.captures, 1);
	assert_int_equal(r.rows, 0);
	check_sound(f->db);
}

/* The trace clock stands still while the machine sleeps: events of before the sleep are too old, those after it are not. */
static void test_retain_slept(void **state)
{
	const int64_t hour = INT64_C(3600) * 1000000000;
	struct fixture *f = *state;
	struct found r;

	atomic_store(&slept_ns, 0);
	f->c.retain_age = 3600 * 1000;
	start(f);
	f->t = mono_ns();
	put_slowly(f, 300);
	WAIT_FOR(f, s.rows == 300);
	atomic_fetch_add(&slept_ns, hour / 2);
	f->t = mono_ns();
	put_slowly(f, 200);
	WAIT_FOR(f, s.rows == 500);
	usleep(1500000); /* retention had its turn: half an hour is not too old */
	assert_int_equal(stats(f).retained_deleted, 0);
	atomic_fetch_add(&slept_ns, hour * 3 / 4);
	f->t = mono_ns();
	put_slowly(f, 100);
	WAIT_FOR(f, s.retained_deleted == 300);
	stop(f);
	assert_int_equal(number(f->db, "SELECT count(*) FROM suspend"), 3);
	/* the same of another boot, where the wall clock tells: another quarter of an hour makes the second part too old */
	sqlite3_close(other_connection(f, "UPDATE recorder SET boot = 'other'"));
	atomic_fetch_add(&slept_ns, hour * 2 / 5);
	start(f);
	WAIT_FOR(f, s.retained_deleted == 200);
	usleep(1500000);
	assert_int_equal(stats(f).retained_deleted, 200);
	stop(f);
	atomic_store(&slept_ns, 0);
	r = found(f->db, false);
	assert_int_equal(r.rows_of[0], 100);
	assert_int_equal(r.retention, 500);
}

/* Puts n events, each by a task and of a name that no other has, to be written. */
static void put_names(struct fixture *f, const char *prefix, unsigned n)
{
	struct event ev;
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		memset(&ev, 0, sizeof(ev));
		ev.kind = EV_unmap;
		ev.t = f->t++;
		ev.tid = i;
		ev.comm = intern_add(f->strings, name, (size_t)snprintf(name, sizeof(name), "%s%u", prefix, i));
		ev.unmap.size = 4096;
		writer_put(f->w, &ev, 1);
	}
}

/* Strings and tasks go with the last event that refers to them; those in use stay, and may be used again. */
static void test_sweep(void **state)
{
	struct fixture *f = *state;

	start(f);
	put_names(f, "old", 3000);
	WAIT_FOR(f, s.queued == 0);
	put_slowly(f, 70000);
	WAIT_FOR(f, s.queued == 0);
	f->t = mono_ns();
	put_names(f, "new", 1000);
	WAIT_FOR(f, s.queued == 0 && s.rows == 74000);
	assert_true(number(f->db, "SELECT count(*) FROM string") > 4000);
	f->c.retain_age = mono_ns() / 2 / 1000000;
	writer_reload(f->w, &f->c);
	WAIT_FOR(f, s.retained_deleted == 73000);
	for (int i = 0; number(f->db, "SELECT count(*) FROM string WHERE text LIKE 'old%'"); i++) {
		assert_true(i < PATIENCE);
		nap();
	}
	assert_int_equal(number(f->db, "SELECT count(*) FROM task"), 1000);
	/* the writer knew them: it must not use what is gone */
	put_names(f, "old", 3000);
	put_names(f, "new", 1000);
	WAIT_FOR(f, s.queued == 0 && s.rows == 78000);
	stop(f);
	assert_int_equal(number(f->db, "SELECT count(*) FROM task"), 4000);
	assert_int_equal(number(f->db, "SELECT count(*) FROM event WHERE task NOT IN (SELECT id FROM task)"), 0);
	assert_int_equal(number(f->db, "SELECT count(*) FROM task WHERE comm NOT IN (SELECT id FROM string)"), 0);
	check_sound(f->db);
	found(f->db, false); /* with its check sum */
}

/* Numbers only rise: one that is far from the others is swept, or kept, as they are. */
static void test_sweep_ranges(void **state)
{
	struct fixture *f = *state;
	struct store_sweep w = {0};
	struct error e = {""};
	struct store *s;
	int rc = 0;

	start(f);
	put(f, 20);
	put_names(f, "used", 1);
	stop(f);
	sqlite3_close(other_connection(
		f, "INSERT INTO string (id, text) VALUES (1000000000, 'far'), (1000000001, 'far and used'), "
		   "(9000000000000, 'farther'); INSERT INTO task (id, tid, comm) VALUES (2000000000, 5, 1000000000), "
		   "(2000000001, 0, 1000000001), (90, 6, NULL); UPDATE event SET task = 2000000001 WHERE id = 21"));
	assert_int_equal(store_open(&s, f->db, STORE_WAL, &e), 0);
	for (int i = 0; i < 6 && rc >= 0; i++)
		while ((rc = store_sweep_step(&w, s, 8, &e)) > 0)
			;
	if (rc)
		fail_msg("%s", e.text);
	store_close(s);
	assert_int_equal(number(f->db, "SELECT count(*) FROM string WHERE id > 900000000"), 1);
	assert_int_equal(number(f->db, "SELECT count(*) FROM string WHERE text = 'far and used'"), 1);
	assert_int_equal(number(f->db, "SELECT count(*) FROM task"), 2);
	assert_int_equal(number(f->db, "SELECT count(*) FROM event WHERE task NOT IN (SELECT id FROM task)"), 0);
}

/* As if so many different names had been recorded. */
static void fill_strings(struct fixture *f, unsigned all)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "WITH RECURSIVE n (i) AS (SELECT 10000000 UNION ALL SELECT i + 1 FROM n LIMIT %u - (SELECT count(*) FROM "
		 "string)) INSERT INTO string (text) SELECT 'n' || i FROM n",
		 all);
	sqlite3_close(other_connection(f, sql));
}

/* Names that find no more room, in a database as older versions left it, cost no event, now or after a restart. */
static void test_too_many_names(void **state)
{
	struct fixture *f = *state;
	struct found r;

	start(f);
	put(f, 10);
	stop(f);
	fill_strings(f, 4194303);
	for (int i = 0; i < 2; i++) {
		start(f);
		put_names(f, "new", 100);
		put(f, 10);
		WAIT_FOR(f, s.queued == 0);
		assert_int_equal(stats(f).rows, 110);
		assert_int_equal(stats(f).unnamed, 100);
		assert_int_equal(stats(f).failures, 0);
		stop(f);
	}
	assert_int_equal(number(f->db, "SELECT count(*) FROM unmap WHERE capture = 3 AND comm IS NULL"), 100);
	assert_int_equal(number(f->db, "SELECT count(*) FROM map WHERE comm = 'qemu'"), 30);
	r = found(f->db, true);
	assert_int_equal(r.captures, 3);
	assert_string_equal(r.state[2], "complete");
	assert_string_equal(
		r.note[2], "events without the name of their command or device, for which the database had no room: 100");
}

/* Retention makes room for names when nothing refers to the old ones any more. */
static void test_names_return(void **state)
{
	struct fixture *f = *state;

	start(f);
	put(f, 10);
	WAIT_FOR(f, s.rows == 10);
	fill_strings(f, 1 << 20);
	put_names(f, "new", 100);
	WAIT_FOR(f, s.unnamed == 100);
	put_slowly(f, 70000);
	WAIT_FOR(f, s.queued == 0);
	f->c.retain_age = mono_ns() / 2 / 1000000;
	writer_reload(f->w, &f->c);
	for (int i = 0; number(f->db, "SELECT count(*) FROM (SELECT 1 FROM string LIMIT 10000)") > 100; i++) {
		assert_true(i < PATIENCE);
		nap();
	}
	f->t = mono_ns();
	put_names(f, "new", 100);
	WAIT_FOR(f, s.queued == 0);
	assert_int_equal(stats(f).unnamed, 100);
	stop(f);
	assert_int_equal(number(f->db, "SELECT count(*) FROM unmap WHERE comm LIKE 'new%'"), 100);
	check_sound(f->db);
	found(f->db, true);
}

/* A mark that retention leaves among events that the sweep has read: its cause, which an older mark left behind, stays. */
static void test_sweep_keeps_cause(void **state)
{
	struct fixture *f = *state;
	struct store_sweep w = {0};
	struct store_trimmed done;
	struct error e = {""};
	struct store *s;
	int64_t cause;
	int rc;

	start(f);
	put(f, 20);
	stop(f);
	assert_int_equal(store_open(&s, f->db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(store_string(s, STORE_TRIM_CAUSE, &cause, &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	assert_int_equal(store_sweep_step(&w, s, 8, &e), 1);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(store_trim(s, 1, UINT64_MAX, 2, &done, &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	assert_int_equal(store_sweep_trimmed(&w, s, &e), 0);
	while ((rc = store_sweep_step(&w, s, 8, &e)) > 0)
		;
	assert_int_equal(rc, 0);
	store_close(s);
	assert_int_equal(found(f->db, false).retention, 2);
}

static void put_loss(struct fixture *f, uint64_t count)
{
	struct event lost = {.kind = EV_lost, .cpu = 1, .tid = EVENT_NO_TID, .t = f->t - 1, .missing = count ? 0 : 1};

	lost.lost.count = count;
	lost.lost.cause = intern_add(f->strings, "ring buffer", 11);
	writer_put(f->w, &lost, 1);
}

/* One loss of unknown size does not make that of others unknown where retention counts both together. */
static void test_trim_unknown(void **state)
{
	struct fixture *f = *state;
	struct store_trimmed done = {.events = 1};
	struct error e = {""};
	struct store *s;
	struct found r;
	unsigned steps;

	start(f);
	put(f, 10);
	put_loss(f, 0);
	put_loss(f, 90);
	put(f, 10);
	put_loss(f, 0);
	put(f, 3);
	stop(f);
	assert_int_equal(store_open(&s, f->db, STORE_WAL, &e), 0);
	for (steps = 0; done.events; steps++) {
		assert_int_equal(store_begin(s, &e), 0);
		if (store_trim(s, 1, f->t - 3, 5, &done, &e))
			fail_msg("%s", e.text);
		assert_int_equal(store_commit(s, &e), 0);
		r = found(f->db, false); /* and with it counts and check sum */
		assert_true(r.rows + r.retention == 23 || r.rows + r.retention == 113);
	}
	store_close(s);
	assert_in_range(steps, 6, 10);
	assert_int_equal(r.rows, 3);
	assert_int_equal(r.retention, 110);
	assert_int_equal(r.unknown, 1); /* where and how often is not told any more */
	assert_int_equal(r.lost_events, 2);
}

/* The same by age and by size, while it is recorded. */
static void test_retain_unknown(void **state)
{
	struct fixture *f = *state;
	struct found r;

	f->c.retain_size = 1;
	start(f);
	for (int i = 0; i < 20; i++) {
		put(f, 1000);
		put_loss(f, 0);
	}
	WAIT_FOR(f, s.queued == 0 && s.retained_deleted == 20020);
	f->c.retain_size = 0;
	f->c.retain_age = 1;
	writer_reload(f->w, &f->c);
	put(f, 1000);
	WAIT_FOR(f, s.queued == 0 && s.retained_deleted == 21020);
	stop(f);
	r = found(f->db, false);
	assert_int_equal(r.rows + r.retention, 21000);
	assert_int_equal(r.unknown, 1);
}

/* What the queue has no room for: losses of known and of unknown size. */
static void test_overflow_unknown(void **state)
{
	struct fixture *f = *state;
	struct writer_stats last;
	struct found r;

	f->c.queue_events = 64;
	start(f);
	for (int i = 0; i < 2000; i++) {
		put(f, 100);
		put_loss(f, 0);
		put_loss(f, 5);
	}
	last = stats(f);
	stop(f);
	r = found(f->db, false);
	assert_true(last.lost_queue > 0);
	assert_true(r.unknown > 0);
	assert_int_equal(r.rows + r.queue + r.ring, 2000 * 105);
}

/* Losses among what is deleted stay counted. */
static void test_trim_counts(void **state)
{
	struct fixture *f = *state;
	struct event lost = {.kind = EV_lost, .cpu = 1, .tid = EVENT_NO_TID};
	struct store_trimmed done;
	struct error e = {""};
	struct store *s;
	struct found r;
	unsigned i;

	start(f);
	put(f, 10);
	lost.t = f->t;
	lost.lost.count = 90;
	lost.lost.cause = intern_add(f->strings, "ring buffer", 11);
	writer_put(f->w, &lost, 1);
	put(f, 10);
	stop(f);
	for (i = 0; i < 5; i++) {
		assert_int_equal(store_open(&s, f->db, STORE_WAL, &e), 0);
		assert_int_equal(store_begin(s, &e), 0);
		if (store_trim(s, 1, UINT64_MAX, 4, &done, &e))
			fail_msg("%s", e.text);
		assert_int_equal(store_commit(s, &e), 0);
		store_close(s);
		assert_int_equal(done.events, i ? 3 : 4);
		r = found(f->db, false); /* and with it counts and check sum */
		assert_int_equal(r.rows + r.retention, i < 3 ? 20 : 110);
	}
	assert_int_equal(r.rows, 5);
	assert_int_equal(r.retention, 105);
	assert_int_equal(store_open(&s, f->db, STORE_WAL, &e), 0);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(store_trim(s, 1, UINT64_MAX, 100, &done, &e), 0);
	assert_true(done.gone);
	assert_int_equal(store_commit(s, &e), 0);
	store_close(s);
	assert_int_equal(found(f->db, false).captures, 0);
}

int main(int argc, char **argv)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_batch_rows),
		TEST(test_batch_time),
		TEST(test_overflow),
		TEST(test_invalid),
		TEST(test_locked),
		TEST(test_give_up),
		TEST(test_killed),
		TEST(test_full_disk),
		TEST(test_read_only),
		TEST(test_removed),
		TEST(test_moved),
		TEST(test_whole_file),
		TEST(test_reopened),
		TEST(test_long_reader),
		TEST(test_read_while_recording),
		TEST(test_few_syncs),
		TEST(test_sync_when_quiet),
		TEST(test_sync_each_commit),
		TEST(test_sync_fails),
		TEST(test_log_after_reload),
		TEST(test_cut_interval),
		TEST(test_cut_commit),
		TEST(test_cut_retention),
		TEST(test_kill),
		TEST(test_recorder),
		TEST(test_two_recorders),
		TEST(test_pid_used_again),
		TEST(test_cut_off),
		TEST(test_retain_size),
		TEST(test_retain_age),
		TEST(test_retain_slept),
		TEST(test_sweep),
		TEST(test_sweep_keeps_cause),
		TEST(test_sweep_ranges),
		TEST(test_too_many_names),
		TEST(test_names_return),
		TEST(test_trim_counts),
		TEST(test_displaced),
		TEST(test_displaced_by_hostile),
		TEST(test_modes),
		TEST(test_lock_named),
		TEST(test_trim_unknown),
		TEST(test_retain_unknown),
		TEST(test_overflow_unknown),
	};

	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	if (argc == 3 && !strcmp(argv[1], "--read"))
		return reader_main(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
