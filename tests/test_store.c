/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database: what is stored reads back the same; views, migration, and damage that must not pass as data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/random_events.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"
#include "trace/store/write.h"

#define MAX_EVENTS 8192

struct fixture {
	char dir[64];
	char db[96], copy[96];
	struct intern *strings;
	struct event *ev;
	size_t n;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ioflush-store-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->db, sizeof(f->db), "%s/a.db", f->dir);
	snprintf(f->copy, sizeof(f->copy), "%s/b %%?#.db", f->dir);
	f->strings = intern_new();
	f->ev = calloc(MAX_EVENTS, sizeof(*f->ev));
	*state = f;
	return 0;
}

static void remove_db(const char *path)
{
	static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
	char name[128];
	size_t i;

	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
		unlink(name);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	remove_db(f->db);
	remove_db(f->copy);
	rmdir(f->dir);
	intern_free(f->strings);
	free(f->ev);
	free(f);
	return 0;
}

static void make_events(struct fixture *f, uint64_t seed, size_t n)
{
	uint64_t t = 5;
	size_t i;

	for (i = 0; i < n; i++)
		f->ev[i] = random_event(&seed, f->strings, i < EV_KINDS - 1 ? (unsigned)i + 1 : 0, &t);
	f->n = n;
}

static const struct capture example = {
	.source = "x.dat",
	.format = "trace.dat",
	.host = "h",
	.kernel = "6.12",
	.clock = "mono",
	.probes = "p\nq",
};

#define OK(call)                                           \
	do {                                               \
		if (call)                                  \
			fail_msg("%s: %s", #call, e.text); \
	} while (0)

/* Stores the fixture's events from first on as one capture in one transaction. */
static void store_events(struct fixture *f, const char *path, size_t first, size_t n)
{
	struct error e = {""};
	struct store *s;
	uint64_t id;

	OK(store_open(&s, path, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, &id, &e));
	OK(store_append(s, f->ev + first, n / 2, f->strings, &e));
	OK(store_append(s, f->ev + first + n / 2, n - n / 2, f->strings, &e));
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	store_close(s);
}

/* Reads all captures and compares their events, one capture after the other, with the fixture's. -1: an error. */
static int compare(struct fixture *f, const char *path, size_t *events, struct error *e)
{
	struct event ev[37];
	struct capture c;
	struct source *s;
	size_t at = 0, i;
	ssize_t n = 0;
	int rc;

	e->text[0] = '\0';
	if (source_open(&s, path, e))
		return -1;
	while ((rc = source_capture(s, &c, e)) > 0) {
		if (strcmp(c.host, "h") || strcmp(c.clock, "mono") || strcmp(c.probes, "p\nq") ||
		    strcmp(c.source, "x.dat"))
			*events = SIZE_MAX; /* as below */
		while ((n = source_read(s, ev, 37, e)) > 0) {
			for (i = 0; i < (size_t)n; i++, at++)
				/* until the check sum at the end speaks, damage may show as other events */
				if (at >= f->n || !same_event(&ev[i], s->strings, &f->ev[at], f->strings))
					*events = SIZE_MAX;
		}
		if (n < 0)
			break;
	}
	source_close(s);
	if (n < 0 || rc < 0)
		return -1;
	if (*events == SIZE_MAX)
		fail_msg("other events or metadata without an error");
	*events = at;
	return 0;
}

static void expect_events(struct fixture *f, const char *path, size_t n)
{
	struct error e = {""};
	size_t events = 0;

	OK(compare(f, path, &events, &e));
	assert_int_equal(events, n);
}

static void expect_error(struct fixture *f, const char *path, const char *text)
{
	struct error e = {""};
	size_t events = 0;

	assert_int_equal(compare(f, path, &events, &e), -1);
	if (strncmp(e.text, path, strlen(path)) || !strstr(e.text, text))
		fail_msg("\n got: %s\nwant: %s: ...%s", e.text, path, text);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* The first row of a query, columns joined with '|'. */
static void query(const char *path, const char *text, char *out, size_t size)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	int i;

	out[0] = '\0';
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		for (i = 0; i < sqlite3_column_count(stmt); i++) {
			const unsigned char *v = sqlite3_column_text(stmt, i);
			size_t n = strlen(out);

			snprintf(out + n, size - n, "%s%s", i ? "|" : "", v ? (const char *)v : "NULL");
		}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void expect_query(const char *path, const char *text, const char *want)
{
	char got[512];

	query(path, text, got, sizeof(got));
	assert_string_equal(got, want);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;

	make_events(f, 11, MAX_EVENTS);
	store_events(f, f->db, 0, f->n);
	expect_events(f, f->db, f->n);
	expect_query(f->db, "PRAGMA integrity_check", "ok");
	expect_query(f->db, "PRAGMA foreign_key_check", "");
}

static void test_several_captures(void **state)
{
	struct fixture *f = *state;
	struct event ev[8];
	struct error e = {""};
	struct capture c;
	struct source *s;

	make_events(f, 12, 600);
	store_events(f, f->db, 0, 200);
	store_events(f, f->db, 200, 0);
	store_events(f, f->db, 200, 400);
	expect_events(f, f->db, 600);
	OK(source_open(&s, f->db, &e));
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 8, &e), 8);
	assert_int_equal(source_capture(s, &c, &e), 1); /* skips the rest of the first */
	assert_int_equal(source_read(s, ev, 8, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(c.id, 3);
	assert_string_equal(c.format, "database");
	assert_int_equal(source_read(s, ev, 8, &e), 8);
	assert_true(same_event(&ev[7], s->strings, &f->ev[207], f->strings));
	assert_int_equal(source_capture(s, &c, &e), 0);
	source_close(s);
}

static void expect_captures(struct store *s, const char *want)
{
	struct intern *texts = intern_new();
	struct error e = {""};
	struct capture_row *r;
	char out[256] = "";
	size_t n;

	OK(db_load_captures(store_handle(s), store_path(s), texts, &r, &n, NULL, &e));
	for (size_t i = 0; i < n; i++)
		sprintf(out + strlen(out), "%" PRIu64 " %s %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %s;", r[i].c.id,
			r[i].c.format, r[i].c.state, r[i].c.note, r[i].events, r[i].first_t, r[i].last_t, r[i].c.kernel);
	assert_string_equal(out, want);
	free(r);
	intern_free(texts);
}

static void test_states_and_listing(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct capture c;
	struct source *src;
	struct store *s;

	f->ev[0] = (struct event){.t = 7, .kind = EV_lost, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .missing = 7};
	f->ev[1] = f->ev[0];
	f->ev[1].t = 9;
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_append(s, f->ev, 2, f->strings, &e));
	OK(store_capture_end(s, "partial", "x.dat: ends early", &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_commit(s, &e)); /* while it is open */
	expect_captures(s, "1 trace.dat partial x.dat: ends early 2 7 9 6.12;2 trace.dat recording  0 0 0 6.12;");
	store_close(s);
	OK(source_open(&src, f->db, &e));
	assert_int_equal(source_capture(src, &c, &e), 1);
	assert_string_equal(c.state, "partial");
	assert_string_equal(c.note, "x.dat: ends early");
	source_close(src);
	OK(store_open(&s, f->db, 0, &e));
	assert_true(store_is_file(s, f->db));
	assert_false(store_is_file(s, "/dev/null"));
	store_close(s);
}

/* What was dropped is kept with a capture, and so is the format that it first came in. */
static void test_dropped_and_origin(void **state)
{
	const struct dropped d = {.failed_maps = 1, .failed_accesses = 2, .empty_unmaps = 3, .other = UINT64_MAX};
	struct capture copy = example, c;
	struct fixture *f = *state;
	struct error e = {""};
	struct dropped got;
	struct source *src;
	struct store *s;

	copy.format = "database";
	copy.origin = "ftrace-text";
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_capture_dropped(s, &d, &e));
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_capture_begin(s, &copy, NULL, &e));
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	expect_captures(s, "1 trace.dat complete  0 0 0 6.12;2 ftrace-text complete  0 0 0 6.12;");
	assert_int_equal(store_capture_dropped(s, &d, &e), -1);
	store_close(s);
	e.text[0] = '\0';
	OK(source_open(&src, f->db, &e));
	assert_int_equal(source_capture(src, &c, &e), 1);
	assert_string_equal(c.format, "database");
	assert_string_equal(c.origin, "trace.dat");
	source_dropped(src, &got);
	assert_memory_equal(&got, &d, sizeof(d));
	assert_int_equal(source_read(src, f->ev, 1, &e), 0);
	assert_int_equal(source_capture(src, &c, &e), 1);
	source_dropped(src, &got);
	assert_int_equal(got.other, 0);
	source_close(src);
}

static void test_views(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	char text[64], want[32];
	struct store *s;
	unsigned kind;

	f->ev[0] = (struct event){.t = 1,
				  .cpu = 2,
				  .tid = 3,
				  .kind = EV_map,
				  .missing = 1 << 4,
				  .map = {.domain = 0xff11000000000040, .iova = 0x1000, .paddr = 0x2000, .size = 0x3000}};
	f->ev[0].comm = intern_add(f->strings, "qemu", 4);
	f->ev[1] = (struct event){.t = 2, .kind = EV_attach, .attach = {.hwpt = 1}, .missing = 1 << 1};
	f->ev[1].attach.device = intern_add(f->strings, "0000:00:02.0", 12);
	f->ev[2] = (struct event){.t = 3, .kind = EV_domain_add, .domain_add = {.iopt = UINT64_MAX}, .missing = 1 << 2};
	f->ev[3] =
		(struct event){.t = 4, .cpu = 1, .tid = EVENT_NO_TID, .kind = EV_lost, .lost = {.count = 5, .since = 2}};
	f->ev[3].lost.cause = intern_add(f->strings, "overrun", 7);
	f->n = 4;
	store_events(f, f->db, 0, 4);
	expect_events(f, f->db, 4);
	expect_query(f->db, "SELECT * FROM map WHERE t BETWEEN 1 AND 2",
		     "1|1|1|2|3|qemu|0xff11000000000040|0x1000|0x2000|0x3000|NULL");
	expect_query(f->db, "SELECT * FROM attach", "2|1|2|0|0|NULL|0x1|NULL|0000:00:02.0");
	expect_query(f->db, "SELECT iopt, coherent FROM domain_add", "0xffffffffffffffff|NULL");
	expect_query(f->db, "SELECT * FROM lost", "4|1|4|1|NULL|NULL|5|overrun|2");
	expect_query(f->db, "SELECT capture, cpu, since, t, count, cause FROM loss", "1|1|2|4|5|overrun");
	expect_query(f->db, "SELECT group_concat(version || name) FROM migration",
		     "10001_events,20002_suspend,30003_task_index,40004_map_failed");
	expect_query(f->db, "SELECT doc FROM event_kind WHERE name = 'domain_remove_end'", "the domain has left");
	for (kind = 1; kind < EV_KINDS; kind++) {
		snprintf(text, sizeof(text), "SELECT count(*) >= 0 FROM \"%s\"", event_table[kind].name);
		expect_query(f->db, text, "1");
		snprintf(text, sizeof(text), "SELECT name FROM event_kind WHERE kind = %u", kind);
		snprintf(want, sizeof(want), "%s", event_table[kind].name);
		expect_query(f->db, text, want);
	}
	/* a kind that an older ioflush did not know gets its view when the database is next opened for writing */
	sql(f->db, "DROP VIEW map; DELETE FROM event_kind WHERE name = 'map'");
	OK(store_open(&s, f->db, 0, &e));
	store_close(s);
	expect_query(f->db, "SELECT size FROM map", "0x3000");
}

static void test_rollback(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct event wrong;
	struct store *s;
	uint64_t id = 0;

	make_events(f, 13, 300);
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, &id, &e));
	OK(store_append(s, f->ev, 300, f->strings, &e));
	wrong = f->ev[0];
	assert_int_equal(store_append(s, &wrong, 1, f->strings, &e), -1);
	assert_non_null(strstr(e.text, "earlier than the event before it"));
	e.text[0] = '\0';
	store_rollback(s);
	expect_query(f->db,
		     "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM capture) + (SELECT count(*) FROM "
		     "string) + (SELECT count(*) FROM task)",
		     "0");
	assert_int_equal(store_append(s, f->ev, 1, f->strings, &e), -1); /* no transaction, no capture */
	e.text[0] = '\0';
	OK(store_begin(s, &e));
	assert_int_equal(store_append(s, f->ev, 1, f->strings, &e), -1);
	e.text[0] = '\0';
	OK(store_capture_begin(s, &example, &id, &e));
	assert_int_equal(id, 1);
	OK(store_append(s, f->ev, 300, f->strings, &e)); /* strings and tasks are stored anew */
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	expect_events(f, f->db, 300);
	/* a transaction in the middle of a capture goes, the capture stays as it was */
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, &id, &e));
	OK(store_append(s, f->ev, 100, f->strings, &e));
	OK(store_commit(s, &e));
	OK(store_begin(s, &e));
	OK(store_append(s, f->ev + 100, 100, f->strings, &e));
	store_rollback(s);
	OK(store_begin(s, &e));
	OK(store_append(s, f->ev + 100, 200, f->strings, &e));
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	store_close(s);
	memcpy(f->ev + 300, f->ev, 300 * sizeof(*f->ev));
	f->n = 600;
	expect_events(f, f->db, 600);
}

static void test_discard(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct store *s;

	make_events(f, 14, 10);
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	store_discard(s);
	assert_int_equal(access(f->db, F_OK), -1);
	store_events(f, f->db, 0, 10);
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	store_discard(s); /* was there before: stays */
	expect_events(f, f->db, 10);
	store_discard(NULL);
	store_close(NULL);
}

/* Two processes that write captures in turns: each capture has its own events. */
static void test_interleaved(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct store *a, *b;

	make_events(f, 15, 400);
	OK(store_open(&a, f->db, STORE_WAL, &e));
	OK(store_open(&b, f->db, 0, &e));
	OK(store_begin(a, &e));
	OK(store_capture_begin(a, &example, NULL, &e));
	OK(store_append(a, f->ev, 100, f->strings, &e));
	OK(store_commit(a, &e));
	OK(store_begin(b, &e));
	OK(store_capture_begin(b, &example, NULL, &e));
	OK(store_append(b, f->ev + 200, 200, f->strings, &e));
	OK(store_capture_end(b, "complete", "", &e));
	OK(store_commit(b, &e));
	OK(store_begin(a, &e));
	OK(store_append(a, f->ev + 100, 100, f->strings, &e));
	OK(store_capture_end(a, "complete", "", &e));
	OK(store_commit(a, &e));
	store_close(a);
	store_close(b);
	expect_events(f, f->db, 400);
	expect_query(f->db, "PRAGMA foreign_key_check", "");
}

/* compare() in another process, as a reader of a database that is being written is. How many events, 255: an error. */
static int events_elsewhere(struct fixture *f, const char *path)
{
	struct error e = {""};
	size_t events = 0;
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (compare(f, path, &events, &e)) {
			fprintf(stderr, "%s\n", e.text);
			_exit(255);
		}
		_exit((int)events);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_recording(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct store *s;

	make_events(f, 16, 200);
	OK(store_open(&s, f->db, STORE_WAL, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_append(s, f->ev, 50, f->strings, &e));
	OK(store_commit(s, &e));
	assert_int_equal(events_elsewhere(f, f->db), 50);
	OK(store_begin(s, &e));
	OK(store_append(s, f->ev + 50, 70, f->strings, &e));
	assert_int_equal(events_elsewhere(f, f->db), 50); /* not committed */
	OK(store_commit(s, &e));
	assert_int_equal(events_elsewhere(f, f->db), 120);
	store_close(s);
}

/* A reader's picture does not change while another process writes. */
static void test_snapshot(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct event ev[300];
	struct capture c;
	struct source *src;
	struct store *s;

	make_events(f, 17, 300);
	store_events(f, f->db, 0, 100);
	OK(store_open(&s, f->db, STORE_WAL, &e));
	OK(source_open(&src, f->db, &e));
	assert_int_equal(source_capture(src, &c, &e), 1);
	assert_int_equal(source_read(src, ev, 10, &e), 10);
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_append(s, f->ev + 100, 200, f->strings, &e));
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	assert_int_equal(source_read(src, ev, 300, &e), 90);
	assert_int_equal(source_read(src, ev, 300, &e), 0);
	assert_int_equal(source_capture(src, &c, &e), 0);
	source_close(src);
	store_close(s);
	expect_events(f, f->db, 300);
}

static char *load_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *data;

	assert_true(fd >= 0);
	fstat(fd, &st);
	*len = (size_t)st.st_size;
	data = malloc(*len);
	assert_int_equal(read(fd, data, *len), *len);
	close(fd);
	return data;
}

static void save_file(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void test_truncated(void **state)
{
	struct fixture *f = *state;
	struct error e;
	size_t len, cut, events;
	uint64_t seed = 1;
	char *data;
	int i;

	make_events(f, 18, 2000);
	store_events(f, f->db, 0, 2000);
	data = load_file(f->db, &len);
	assert_int_equal(len % 8192, 0);
	for (i = 0; i < 120; i++) {
		cut = i < 3 ? (size_t)i : i == 3 ? len - 1 : i < 60 ? (size_t)i * 8192 : random_next(&seed) % len;
		if (cut >= len)
			continue;
		save_file(f->copy, data, cut);
		events = 0;
		if (!compare(f, f->copy, &events, &e))
			fail_msg("%zu of %zu bytes: no error", cut, len);
		assert_true(e.text[0]);
	}
	free(data);
}

/* A byte that flips anywhere gives an error or changes nothing that is read. */
static void test_flipped(void **state)
{
	struct fixture *f = *state;
	size_t len, at, events, errors = 0;
	uint64_t seed = 2;
	struct error e;
	char *data, was;
	int i;

	make_events(f, 19, 400);
	store_events(f, f->db, 0, 400);
	data = load_file(f->db, &len);
	for (i = 0; i < 1500; i++) {
		at = i < 108 ? (size_t)i : random_next(&seed) % len;
		was = data[at];
		data[at] ^= i % 3 ? (char)(1 << random_next(&seed) % 8) : (char)0xff;
		save_file(f->copy, data, len);
		events = 0;
		if (compare(f, f->copy, &events, &e)) {
			assert_true(e.text[0]);
			errors++;
		} else if (events != 400) {
			fail_msg("byte %zu: %zu events without an error", at, events);
		}
		data[at] = was;
	}
	assert_true(errors > 50);
	free(data);
}

static void test_changed_rows(void **state)
{
	static const struct {
		const char *sql, *message;
	} bad[] = {
		{"DELETE FROM event WHERE id = 50", "capture 1: 99 events, but its row says 100"},
		{"DELETE FROM event WHERE id > 60", "capture 1: 60 events, but its row says 100"},
		{"DELETE FROM event WHERE id = 50; UPDATE capture SET events = 99",
		 "capture 1: the check sum of its events"},
		{"UPDATE event SET cpu = cpu + 1 WHERE id = 30", "the check sum of its events does not fit"},
		{"UPDATE string SET text = text || 'x' WHERE id = 1", "the check sum of its events does not fit"},
		{"UPDATE capture SET kernel = '6.13'", "the check sum of its events does not fit"},
		{"UPDATE capture SET other_records = 1", "the check sum of its events does not fit"},
		{"UPDATE event SET kind = 77 WHERE id = 30", "event id 30: kind 77 is not known"},
		{"UPDATE event SET task = 7777 WHERE id = 30", "event id 30: no task 7777"},
		{"UPDATE event SET f2 = 7777 WHERE id = 17", "event id 17: no string 7777"},
		{"UPDATE event SET f3 = 0 WHERE id = 11", "event id 11: map: size: 0x0: a run has at least one byte"},
		{"UPDATE event SET f3 = NULL WHERE id = 11", "event id 11: map: size: missing"},
		{"UPDATE event SET t = 0 WHERE id = 30", "t: 0: earlier than the event before it"},
		{"UPDATE event SET cpu = -1 WHERE id = 30", "event id 30: no cpu"},
		{"DELETE FROM task", "no task"},
		{"DELETE FROM string", "its comm is no string"},
		{"DELETE FROM capture", "event id 1: belongs to no capture"},
		{"UPDATE capture SET page_size = 16384", "ioflush knows pages of 4096 bytes only"},
		{"UPDATE capture SET first_event = 1000", "impossible range of events"},
		{"ALTER TABLE event RENAME f3 TO f33", "not a whole ioflush database"},
		{"DROP TABLE task", "not a whole ioflush database"},
		{"PRAGMA user_version = 99", "a database of version 99, made by a newer ioflush"},
		{"PRAGMA user_version = 0", "an ioflush database of version 0: the database is damaged"},
		{"PRAGMA application_id = 5", "not of ioflush (application_id 0x5"},
	};
	struct fixture *f = *state;
	size_t i, len;
	char *data;

	make_events(f, 20, 100);
	f->ev[16] = (struct event){.kind = EV_attach, .t = f->ev[16].t, .attach = {.device = 1}};
	store_events(f, f->db, 0, 100);
	data = load_file(f->db, &len);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		save_file(f->copy, data, len);
		sql(f->copy, bad[i].sql);
		expect_error(f, f->copy, bad[i].message);
	}
	free(data);
}

static void open_refused(const char *path, const char *message)
{
	struct error e = {""};
	struct store *s;

	assert_int_equal(store_open(&s, path, 0, &e), -1);
	assert_null(s);
	if (strncmp(e.text, path, strlen(path)) || !strstr(e.text, message))
		fail_msg("\n got: %s\nwant: ...%s", e.text, message);
}

/* A file that is not ours is refused, and left as it is. */
static void test_not_ours(void **state)
{
	static const char text[] =
		"This is a text, although its name ends in .db; it must not be overwritten by anyone.\n";
	struct fixture *f = *state;
	size_t len;
	char *data;

	save_file(f->db, text, sizeof(text) - 1);
	open_refused(f->db, "not a database");
	expect_error(f, f->db, "the format is not known from its content");
	data = load_file(f->db, &len);
	assert_int_equal(len, sizeof(text) - 1);
	assert_memory_equal(data, text, len);
	free(data);
	save_file(f->db, "", 0);
	expect_error(f, f->db, "is empty");
	sql(f->db, "CREATE TABLE other (x)");
	open_refused(f->db, "not of ioflush");
	expect_error(f, f->db, "not of ioflush");
	sql(f->db, "PRAGMA application_id = 0x494f464c; PRAGMA user_version = 99");
	open_refused(f->db, "made by a newer ioflush");
	open_refused("/nonexistent/x.db", "No such file or directory");
	open_refused(f->dir, "opening");
	assert_int_equal(access(f->copy, F_OK), -1);
}

/* In a process of its own without root's rights: reads what is there, and is refused to write. 0: all as it should be. */
static int read_as_nobody(struct fixture *f, const char *path, int events)
{
	struct error e = {""};
	size_t got = 0;
	struct store *s;

	if (!getuid() && (setgid(65534) || setuid(65534)))
		return 1;
	if (!access(f->dir, W_OK) || !access(path, W_OK))
		return 2;
	if (compare(f, path, &got, &e) || (int)got != events) {
		fprintf(stderr, "%s\n", e.text);
		return 3;
	}
	if (!store_open(&s, path, 0, &e) || !strstr(e.text, "no permission to write"))
		return 4;
	return 0;
}

/* One of the first version is read as it is, also where it cannot be migrated, and migrated by who writes into it. */
static void test_older_version(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct store *s;

	make_events(f, 7, 300);
	store_events(f, f->db, 0, 300);
	sql(f->db,
	    "DROP TABLE suspend; DROP INDEX task_thread; DELETE FROM migration WHERE version > 1; PRAGMA user_version "
	    "= 1");
	expect_events(f, f->db, 300);
	expect_query(f->db, "PRAGMA user_version", "1");
	OK(store_open(&s, f->db, 0, &e));
	store_close(s);
	expect_query(f->db, "SELECT count(*) FROM suspend", "0");
	expect_events(f, f->db, 300);
}

/* A database as version 3 made it, whose unpins have no caller: read as it is, migrated, and events of new kinds appended. */
static void test_version_3(void **state)
{
	const char *dir = getenv("IOFLUSH_TEST_DATA");
	struct fixture *f = *state;
	struct error e = {""};
	char path[4096], *text;
	struct store *s;
	struct source *src;
	struct capture c;
	size_t unpins = 0;
	struct event *ev;
	FILE *file;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/version3.sql", dir ? dir : "tests/data");
	file = fopen(path, "r");
	assert_non_null(file);
	text = calloc(1, 1 << 16);
	assert_non_null(text);
	assert_in_range(fread(text, 1, (1 << 16) - 1, file), 1, (1 << 16) - 2);
	fclose(file);
	sql(f->db, text);
	free(text);
	for (int migrated = 0; migrated < 2; migrated++) {
		OK(source_open(&src, f->db, &e));
		assert_int_equal(source_capture(src, &c, &e), 1);
		f->n = 0;
		while ((n = source_read(src, f->ev + f->n, 16, &e)) > 0)
			f->n += (size_t)n;
		if (n)
			fail_msg("%s", e.text);
		source_close(src);
		assert_int_equal(f->n, 81);
		for (ev = f->ev; ev < f->ev + f->n; ev++) {
			assert_true(ev->kind != EV_unpin || !event_has(ev, unpin, caller));
			unpins += ev->kind == EV_unpin;
		}
		expect_query(f->db, "PRAGMA user_version", migrated ? "4" : "3");
		OK(store_open(&s, f->db, 0, &e));
		store_close(s);
	}
	assert_int_equal(unpins, 2 * 23);
	expect_query(f->db, "SELECT count(*), count(caller) FROM unpin", "23|0");
	memset(f->ev, 0, 3 * sizeof(*f->ev));
	f->ev[0] = (struct event){.kind = EV_unpin, .t = 1};
	f->ev[0].unpin = (struct event_unpin){.pfn = 7, .npages = 2};
	f->ev[0].unpin.caller = intern_add(f->strings, "batch_unpin [iommufd]", 21);
	f->ev[1] = (struct event){.kind = EV_rw_access, .t = 2, .missing = EVENT_BIT(rw_access, flags)};
	f->ev[1].rw_access = (struct event_rw_access){.pages = 16, .start = 5, .length = 4096};
	f->ev[2] = (struct event){.kind = EV_rw_access_end, .t = 3};
	f->ev[2].rw_access_end = (struct event_rw_access_end){.pages = 16, .rc = -14};
	store_events(f, f->db, 0, 3);
	expect_query(f->db, "SELECT caller FROM unpin WHERE capture = 2", "batch_unpin [iommufd]");
	expect_query(f->db, "SELECT pages, start, length, flags FROM rw_access", "0x10|0x5|0x1000|NULL");
	expect_query(f->db, "SELECT pages, rc FROM rw_access_end", "0x10|-14");
	/* the caller is in the check sum: without it the row is another */
	sql(f->db, "UPDATE event SET f2 = NULL WHERE capture = 2 AND kind = 16");
	OK(source_open(&src, f->db, &e));
	assert_int_equal(source_capture(src, &c, &e), 1);
	assert_int_equal(source_capture(src, &c, &e), 1);
	while ((n = source_read(src, f->ev, 16, &e)) > 0)
		;
	source_close(src);
	assert_int_equal(n, -1);
	assert_non_null(strstr(e.text, "capture 2: the check sum of its events"));
}

/* Reading needs no right to write, neither to the file nor to its folder, also with a write-ahead log. */
static void test_read_only(void **state)
{
	struct fixture *f = *state;
	int wal, status;
	pid_t pid;

	make_events(f, 21, 100);
	store_events(f, f->copy, 0, 100); /* a name that needs care in a URI */
	for (wal = 0; wal < 2; wal++) {
		if (wal)
			sql(f->copy, "PRAGMA journal_mode = WAL");
		chmod(f->copy, 0444);
		chmod(f->dir, 0555);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			_exit(read_as_nobody(f, f->copy, 100));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		chmod(f->dir, 0755);
		chmod(f->copy, 0644);
		assert_int_equal(status, 0);
	}
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;
	struct error e = {""};
	struct store *s;
	int i, rc = 0;

	make_events(f, 22, MAX_EVENTS);
	store_events(f, f->db, 0, 100);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 400000;
	OK(store_open(&s, f->db, 0, &e));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	for (i = 100; i + 512 < MAX_EVENTS && !rc; i += 512)
		rc = store_append(s, f->ev + i, 512, f->strings, &e);
	if (!rc)
		rc = store_capture_end(s, "complete", "", &e) || store_commit(s, &e) ? -1 : 0;
	store_rollback(s);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	if (!strstr(e.text, "a.db: writing"))
		fail_msg("%s", e.text);
	store_close(s);
	expect_events(f, f->db, 100);
	/* a new database is not left behind */
	e.text[0] = '\0';
	small.rlim_cur = 20000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rc = store_open(&s, f->copy, 0, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_true(e.text[0]);
	assert_int_equal(access(f->copy, F_OK), -1);
}

/* A writer that died in the middle of a transaction leaves a journal. Reading leaves it alone; recovering rolls it back. */
static void test_hot_journal(void **state)
{
	struct fixture *f = *state;
	struct store_recovered r;
	struct error e = {""};
	size_t len[2], now_len;
	char journal[128], *data[2];
	int status = 0;
	pid_t pid;

	make_events(f, 23, 100);
	store_events(f, f->db, 0, 100);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct store *s;

		int i, rc;

		rc = store_open(&s, f->db, 0, &e) || store_begin(s, &e) || store_capture_begin(s, &example, NULL, &e);
		f->ev[0].t = f->ev[99].t;
		for (i = 0; i < 60000 && !rc; i++)
			rc = store_append(s, f->ev, 1, f->strings, &e);
		if (rc)
			_exit(1);
		_exit(0); /* over SQLite's cache: a part is in the file already */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snprintf(journal, sizeof(journal), "%s-journal", f->db);
	assert_int_equal(access(journal, F_OK), 0);
	data[0] = load_file(f->db, &len[0]);
	data[1] = load_file(journal, &len[1]);
	expect_error(f, f->db, "run 'ioflush recover ");
	for (int i = 0; i < 2; i++) {
		char *now = load_file(i ? journal : f->db, &now_len);

		assert_int_equal(now_len, len[i]);
		assert_memory_equal(now, data[i], now_len);
		free(now);
		free(data[i]);
	}
	OK(store_recover(f->db, &r, &e));
	assert_true(r.rolled_back);
	assert_int_equal(access(journal, F_OK), -1);
	expect_events(f, f->db, 100);
}

/* A database that takes no new names of commands: threads and devices find room, and what lacks a name is counted. */
static void test_full_of_names(void **state)
{
	struct fixture *f = *state;
	struct event ev = {.kind = EV_unmap, .tid = 1, .unmap = {.size = 4096}};
	struct error e = {""};
	struct source *src;
	struct capture c;
	struct store *s;

	make_events(f, 25, 10);
	store_events(f, f->db, 0, 10);
	sql(f->db, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1048576) INSERT INTO task (tid) "
		   "SELECT 10000000 + i FROM n; INSERT INTO string (text) VALUES ('known')");
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_append(s, &ev, 1, f->strings, &e)); /* a thread without a name */
	ev.comm = intern_add(f->strings, "known", 5);
	OK(store_append(s, &ev, 1, f->strings, &e));
	assert_int_equal(store_unnamed(s), 1);
	OK(store_commit(s, &e));
	sql(f->db,
	    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1048576) INSERT INTO string (text) "
	    "SELECT 'n' || i FROM n; DELETE FROM task WHERE tid > 10000000");
	OK(store_begin(s, &e));
	ev.tid = 2;
	OK(store_append(s, &ev, 1, f->strings, &e));
	assert_int_equal(store_unnamed(s), 1);
	ev.comm = intern_add(f->strings, "a device", 8);
	OK(store_append(s, &ev, 1, f->strings, &e));
	assert_int_equal(store_unnamed(s), 2);
	ev = (struct event){.kind = EV_attach, .tid = 1, .attach = {.hwpt = 1, .device = ev.comm}};
	OK(store_append(s, &ev, 1, f->strings, &e));
	assert_int_equal(store_unnamed(s), 2);
	OK(store_capture_end(s, "complete", "why", &e));
	OK(store_commit(s, &e));
	store_close(s);
	expect_query(f->db, "SELECT group_concat(tid || ' ' || ifnull(comm, '-')) FROM \"unmap\" WHERE capture = 2",
		     "1 -,1 -,2 known,2 -");
	expect_query(f->db, "SELECT device FROM attach WHERE capture = 2", "a device");
	OK(source_open(&src, f->db, &e));
	OK(source_capture(src, &c, &e) <= 0 || source_capture(src, &c, &e) <= 0);
	assert_string_equal(c.note,
			    "why; events without the name of their command or device, for which the database had no "
			    "room: 2");
	while (source_read(src, &ev, 1, &e) > 0)
		;
	OK(e.text[0]); /* with the check sum */
	source_close(src);
}

/* No room for any string: of every kind of event just the strings are unknown, and the rest is as it was. */
static void test_full_of_strings(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct store *s;
	uint64_t unnamed = 0;

	make_events(f, 27, 10 * EV_KINDS);
	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	s->all_strings = MOST_STRINGS; /* as if they had been counted */
	OK(store_capture_begin(s, &example, NULL, &e));
	OK(store_append(s, f->ev, f->n, f->strings, &e));
	for (size_t i = 0; i < f->n; i++) {
		struct event *ev = &f->ev[i];
		const struct event_desc *d = &event_table[ev->kind];
		bool has_name = ev->comm;

		ev->comm = 0;
		for (unsigned k = 0; k < d->nfields; k++)
			if (d->field[k].type == FIELD_STR && !(ev->missing & 1u << k)) {
				ev->missing |= (uint16_t)(1u << k);
				ev->f[k] = 0;
				has_name = true;
			}
		unnamed += has_name;
	}
	assert_int_equal(store_unnamed(s), unnamed);
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	store_close(s);
	expect_events(f, f->db, f->n);
	expect_query(f->db, "SELECT count(*) FROM string", "0");
}

/* More strings and tasks than the store remembers: each is stored once all the same. */
static void test_many_names(void **state)
{
	const unsigned names = 150000, tids = 300000;
	struct fixture *f = *state;
	struct event ev = {.kind = EV_unmap, .unmap = {.size = 4096}};
	struct error e = {""};
	char name[32];
	struct store *s;
	uint64_t found = 0;
	struct source *src;
	struct capture c;
	ssize_t n;

	OK(store_open(&s, f->db, 0, &e));
	OK(store_begin(s, &e));
	OK(store_capture_begin(s, &example, NULL, &e));
	for (unsigned i = 0; i < 2 * tids; i++) {
		ev.t = i;
		ev.tid = i % tids;
		ev.comm = intern_add(f->strings, name, (size_t)snprintf(name, sizeof(name), "name%u", i % tids % names));
		OK(store_append(s, &ev, 1, f->strings, &e));
	}
	assert_int_equal(store_unnamed(s), 0);
	OK(store_capture_end(s, "complete", "", &e));
	OK(store_commit(s, &e));
	store_close(s);
	expect_query(f->db, "SELECT count(*) FROM string", "150000");
	expect_query(f->db, "SELECT count(*) FROM task", "300000");
	OK(source_open(&src, f->db, &e));
	OK(source_capture(src, &c, &e) <= 0);
	while ((n = source_read(src, &ev, 1, &e)) > 0) {
		snprintf(name, sizeof(name), "name%u", ev.tid % names);
		found += !strcmp(intern_get(src->strings, ev.comm), name);
	}
	OK(n < 0); /* with the check sum */
	source_close(src);
	assert_int_equal(found, 2 * tids);
}

/* The same events give the same bytes. */
static void test_deterministic(void **state)
{
	struct fixture *f = *state;
	size_t len1, len2;
	char *one, *two;

	make_events(f, 24, 1000);
	store_events(f, f->db, 0, 1000);
	store_events(f, f->copy, 0, 1000);
	one = load_file(f->db, &len1);
	two = load_file(f->copy, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(one, two, len1);
	free(one);
	free(two);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_several_captures),
		TEST(test_states_and_listing),
		TEST(test_dropped_and_origin),
		TEST(test_views),
		TEST(test_rollback),
		TEST(test_discard),
		TEST(test_interleaved),
		TEST(test_recording),
		TEST(test_snapshot),
		TEST(test_truncated),
		TEST(test_flipped),
		TEST(test_changed_rows),
		TEST(test_not_ours),
		TEST(test_read_only),
		TEST(test_older_version),
		TEST(test_version_3),
		TEST(test_full_disk),
		TEST(test_hot_journal),
		TEST(test_deterministic),
		TEST(test_many_names),
		TEST(test_full_of_names),
		TEST(test_full_of_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
