/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Databases made to harm their readers: whatever is in the file or beside it, reading and writing end soon, with an
 * error message or with the right rows, and nothing but the database is written, made or removed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/api/db.h"
#include "tests/files.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/store.h"

#define EVENTS 100
#define SECONDS 300 /* of a test, on a machine that is busy; an endless file takes more */
#define PAGE 8192
#define ENDLESS "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "

struct fixture {
	char dir[64];
	char base[96], db[96], beside[128];
};

static const struct file_id any;

static const struct capture example = {
	.source = "x.dat",
	.format = "trace.dat",
	.host = "h",
	.kernel = "6.12",
	.clock = "mono",
	.probes = "",
};

#define OK(call)                                           \
	do {                                               \
		if (call)                                  \
			fail_msg("%s: %s", #call, e.text); \
	} while (0)

/* Stores a capture of so many events. 0, or -1 and the error. */
static int add_capture(const char *path, unsigned flags, struct error *e)
{
	struct intern *strings = intern_new();
	struct store *s = NULL;
	int rc = store_open(&s, path, flags, e);

	if (!rc)
		rc = store_begin(s, e);
	if (!rc)
		rc = store_capture_begin(s, &example, NULL, e);
	for (uint64_t i = 0; i < EVENTS && !rc; i++) {
		struct event ev = {.t = 100 + i, .tid = 7, .kind = EV_map, .missing = 1u << 4};

		ev.comm = intern_add(strings, "qemu", 4);
		ev.map.size = 4096;
		rc = store_append(s, &ev, 1, strings, e);
	}
	if (!rc)
		rc = store_capture_end(s, "complete", "", e);
	if (!rc)
		rc = store_commit(s, e);
	store_close(s);
	intern_free(strings);
	return rc;
}

/* How many events all captures have, or -1 and the error. */
static int64_t count_events(const char *path, struct error *e)
{
	struct source *s = NULL;
	struct event ev[64];
	int64_t events = 0;
	struct capture c;
	ssize_t n = 0;
	int rc;

	e->text[0] = '\0';
	if (source_open(&s, path, e))
		return -1;
	while (n >= 0 && (rc = source_capture(s, &c, e)) > 0)
		while ((n = source_read(s, ev, 64, e)) > 0)
			events += n;
	source_close(s);
	return n < 0 || rc < 0 ? -1 : events;
}

static void load_file(const char *path, unsigned char **data, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	*data = malloc(*len + 1);
	assert_int_equal(read(fd, *data, *len), *len);
	close(fd);
}

static void save_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void copy_base(struct fixture *f)
{
	unsigned char *data;
	size_t len;

	load_file(f->base, &data, &len);
	save_file(f->db, data, len);
	free(data);
}

/* What somebody else does to it, with SQLite as it comes. */
static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA writable_schema = ON", NULL, NULL, NULL);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

static int64_t number(const char *path, const char *text)
{
	sqlite3_stmt *stmt;
	int64_t value;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) || sqlite3_step(stmt) != SQLITE_ROW)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error e = {""};

	alarm(SECONDS);
	strcpy(f->dir, "/tmp/ioflush-hostile-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->base, sizeof(f->base), "%s/base.db", f->dir);
	snprintf(f->db, sizeof(f->db), "%s/a.db", f->dir);
	*state = f;
	if (add_capture(f->base, 0, &e)) {
		print_error("%s\n", e.text);
		return -1;
	}
	copy_base(f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char name[400];
	struct dirent *d;
	DIR *dir = opendir(f->dir);

	while (dir && (d = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", f->dir, d->d_name);
		unlink(name);
	}
	if (dir)
		closedir(dir);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* A file beside the database. */
static const char *beside(struct fixture *f, const char *suffix)
{
	snprintf(f->beside, sizeof(f->beside), "%s%s", f->db, suffix);
	return f->beside;
}

static void expect_text(const char *got, const char *path, const char *want)
{
	if (strncmp(got, path, strlen(path)) || !strstr(got, want))
		fail_msg("\n got: %s\nwant: %s: ...%s", got, path, want);
}

static void refused_to_read(struct fixture *f, const char *want)
{
	struct error e = {""};

	assert_int_equal(count_events(f->db, &e), -1);
	expect_text(e.text, f->db, want);
}

static void refused_to_write(struct fixture *f, const char *want)
{
	struct error e = {""};

	assert_int_equal(add_capture(f->db, 0, &e), -1);
	expect_text(e.text, f->db, want);
}

static void refused_to_api(struct fixture *f, const char *want)
{
	struct api_db *db = api_db_new(f->db);
	struct error e = {""};

	assert_int_equal(api_db_ready(db, &any, &e), -1);
	expect_text(e.text, f->db, want);
	api_db_free(db);
}

/* ---- what is in the schema ---- */

/* What stands in place of a table of ours is not looked at, whatever it is, by anyone. */
static void test_no_tables(void **state)
{
	static const struct {
		const char *sql, *message;
	} bad[] = {
		{"ALTER TABLE event RENAME TO x; CREATE VIEW event AS " ENDLESS "SELECT x.* FROM c, x WHERE c.x < 0",
		 "event is a view in it, not a table"},
		{"ALTER TABLE string RENAME TO x; CREATE VIEW string(id, text) AS " ENDLESS
		 "SELECT x, 'a' || x FROM c WHERE x < 0",
		 "string is a view in it, not a table"},
		{"ALTER TABLE capture RENAME TO y; CREATE VIEW capture AS " ENDLESS
		 "SELECT x AS id, hex(zeroblob(1000000)) || x AS source, y.* FROM c, y",
		 "capture is a view in it, not a table"},
		{"ALTER TABLE recorder RENAME TO x; CREATE VIEW recorder AS " ENDLESS "SELECT x.* FROM c, x",
		 "recorder is a view in it, not a table"},
		{"ALTER TABLE task RENAME TO x; CREATE VIRTUAL TABLE task USING fts5(id, tid, comm)",
		 "the table task is not as any ioflush makes it"},
		{"UPDATE sqlite_schema SET sql = replace(sql, 'f10 INTEGER', 'f10 INTEGER AS (f9 * f9)') WHERE name = "
		 "'event'",
		 "the table event is not as any ioflush makes it"},
		{"UPDATE sqlite_schema SET sql = replace(sql, 'text TEXT', 'text TEXT CHECK (length(hex(zeroblob(9999999))))') "
		 "WHERE name = 'string'",
		 "the table string is not as any ioflush makes it"},
		{"UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'task'",
		 "the table task is not as any ioflush makes it"},
		{"UPDATE sqlite_schema SET sql = replace(sql, 'tid INTEGER', 'tid INTEGER /* */') WHERE name = 'task'",
		 "the table task is not as any ioflush makes it"},
		{"DROP INDEX event_lost; CREATE INDEX event_lost ON event (abs(t) + 1)",
		 "the index event_lost is not as any ioflush makes it"},
		{"DROP TABLE recorder", "no such table: recorder"},
		/* SQLite has an eye on these */
		{"INSERT INTO sqlite_schema VALUES ('view', 'event', 'event', 0, 'CREATE TEMP VIEW event AS " ENDLESS
		 "SELECT x FROM c')",
		 "table event already exists"},
		{"INSERT INTO sqlite_schema VALUES ('view', 'other', 'other', 0, 'CREATE TEMP VIEW event AS " ENDLESS
		 "SELECT x FROM c')",
		 "malformed database schema (other)"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		copy_base(f);
		sql(f->db, bad[i].sql);
		refused_to_read(f, bad[i].message);
		refused_to_api(f, bad[i].message);
		refused_to_write(f, bad[i].message);
	}
}

/* What else is in the file does not matter; nor do comments, which older versions had others of. */
static void test_ignored(void **state)
{
	static const char *const good[] = {
		"ANALYZE",
		"ANALYZE; UPDATE sqlite_stat1 SET stat = '1 1' WHERE tbl = 'event'",
		"CREATE TABLE notes (x); CREATE VIEW bad AS " ENDLESS
		"SELECT * FROM c; CREATE TRIGGER t INSERT ON notes BEGIN "
		"DELETE FROM event; END",
		"CREATE INDEX mine ON event (t, id, capture, cpu, task, kind, f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10)",
		"CREATE INDEX mine ON string (id, text); CREATE INDEX also ON capture (events); ANALYZE",
		"DROP INDEX event_lost",
		"VACUUM",
		"UPDATE sqlite_schema SET sql = replace(sql, 'recorder died or failed', 'recorder died') WHERE name = 'capture'",
		"UPDATE sqlite_schema SET sql = replace(sql, char(9), '  ') WHERE name = 'capture'",
	};
	struct fixture *f = *state;
	struct error e = {""};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct api_db *db = api_db_new(f->db);

		copy_base(f);
		sql(f->db, good[i]);
		if (count_events(f->db, &e) != EVENTS || api_db_ready(db, &any, &e) || add_capture(f->db, 0, &e) ||
		    count_events(f->db, &e) != 2 * EVENTS)
			fail_msg("%s: %s", good[i], e.text);
		api_db_free(db);
	}
}

/* A trigger is nothing to who reads. Who writes is told; and if it were not looked for, it would not run. */
static void test_triggers(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};

	sql(f->db,
	    "CREATE TRIGGER t AFTER INSERT ON capture BEGIN INSERT INTO string (text) " ENDLESS "SELECT x FROM c; END");
	assert_int_equal(count_events(f->db, &e), EVENTS);
	refused_to_write(f, "the table capture has a trigger, t");
	assert_int_equal(number(f->db, "SELECT count(*) FROM capture"), 1);
}

/* ---- what is in the pages ---- */

static void put_number(unsigned char *p, uint32_t n, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (unsigned char)(n >> 8 * (bytes - 1 - i));
}

/* An inner page of a table, all of whose rows are in one other page. */
static void inner_page(unsigned char *page, size_t head, uint32_t child)
{
	unsigned cells = 900, at = PAGE;

	memset(page + head, 0, PAGE - head);
	for (unsigned i = 0; i < cells; i++) {
		at -= 5;
		put_number(page + at, child, 4);
		page[at + 4] = (unsigned char)(i < 126 ? i : 126);
		put_number(page + head + 12 + 2 * i, at, 2);
	}
	page[head] = 5;
	put_number(page + head + 3, cells, 2);
	put_number(page + head + 5, at, 2);
	put_number(page + head + 8, child, 4);
}

static int64_t root_page(const char *path, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", name);
	return number(path, text);
}

#define DEPTH 7 /* 900^7 times the rows */

/* A table whose one page of rows is found by 900^DEPTH ways. */
static void fan_out(struct fixture *f, const char *table)
{
	uint32_t root = (uint32_t)root_page(f->base, table), pages;
	unsigned char *data, *page;
	size_t len;

	load_file(f->base, &data, &len);
	pages = (uint32_t)(len / PAGE);
	data = realloc(data, len + DEPTH * PAGE);
	page = data + len;
	memcpy(page, data + (root - 1) * PAGE, PAGE);
	for (uint32_t i = 1; i < DEPTH; i++)
		inner_page(page + i * PAGE, 0, pages + i);
	inner_page(data + (root - 1) * PAGE, 0, pages + DEPTH);
	put_number(data + 28, pages + DEPTH, 4);
	save_file(f->db, data, len + DEPTH * PAGE);
	free(data);
}

/* The schema ends in a row that SQLite takes as often as it is there. */
static void endless_schema(struct fixture *f)
{
	static const unsigned char row[] = "\x06\x17\x3f\x19\x01\x00"
					   "indexsqlite_autoindex_string_1string";
	unsigned char *data, *page, *old;
	unsigned at = PAGE - (sizeof(row) + 2);
	uint32_t pages;
	size_t len;

	load_file(f->base, &data, &len);
	assert_int_equal(data[100], 5);
	pages = (uint32_t)(len / PAGE);
	data = realloc(data, len + (DEPTH + 1) * PAGE);
	page = data + len;
	memset(page, 0, PAGE);
	page[0] = 13;
	put_number(page + 3, 1, 2);
	put_number(page + 5, at, 2);
	put_number(page + 8, at, 2);
	page[at] = sizeof(row);
	page[at + 1] = 126;
	memcpy(page + at + 2, row, sizeof(row) - 1);
	page[PAGE - 1] = (unsigned char)root_page(f->base, "sqlite_autoindex_string_1");
	for (uint32_t i = 1; i <= DEPTH; i++)
		inner_page(page + i * PAGE, 0, pages + i);
	/* behind all that is there: the last child of page 1 becomes the first of the last page */
	old = page + DEPTH * PAGE;
	memcpy(old + (old[12] << 8 | old[13]), data + 108, 4);
	put_number(data + 108, pages + DEPTH + 1, 4);
	put_number(data + 28, pages + DEPTH + 1, 4);
	save_file(f->db, data, len + (DEPTH + 1) * PAGE);
	free(data);
}

static void test_endless_pages(void **state)
{
	static const struct {
		const char *table, *message;
	} bad[] = {
		{"capture", "capture 1: ids do not rise"},
		{"event", "event id 1: belongs to no capture"},
	};
	struct fixture *f = *state;
	struct error e = {""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fan_out(f, bad[i].table);
		refused_to_read(f, bad[i].message);
		e.text[0] = '\0';
		if (add_capture(f->db, 0, &e))
			expect_text(e.text, f->db, "damaged");
	}
	fan_out(f, "task"); /* looked up, each by its id: no way leads in a circle */
	e.text[0] = '\0';
	assert_int_equal(count_events(f->db, &e), 100);
	endless_schema(f);
	refused_to_read(f, "opening: it takes too long");
	refused_to_api(f, "opening: it takes too long");
	refused_to_write(f, "opening: it takes too long");
}

static unsigned char *put_varint(unsigned char *p, uint64_t v)
{
	int n = 1;

	for (uint64_t rest = v >> 7; rest; rest >>= 7)
		n++;
	for (int i = n - 1; i >= 0; i--)
		*p++ = (unsigned char)((v >> 7 * i & 0x7f) | (i ? 0x80 : 0));
	return p;
}

#define LOCAL 1003 /* the least that a row has in its own page */
#define CHAINED (PAGE - 4)
#define MOST_ROWS 7
#define TEXT 15000000u

/*
 * The kinds of a capture's 20 columns, as a row begins with them. Of the eight texts the last has so many bytes more, and
 * the fifth takes some of the first, so that no text between is as in another row.
 */
static size_t row_head(unsigned char *head, uint32_t more, uint32_t moved)
{
	static const char kind[] = "0tttttpt000000tt0000";
	unsigned char *h = head + 1;

	for (int i = 0; i < 20; i++) {
		uint64_t len = TEXT + (i == 15 ? more : i == 5 ? moved : 0) - (i == 1 ? moved : 0);

		h = put_varint(h, kind[i] == 't' ? 13 + 2 * len : kind[i] == 'p' ? 13 + 2 * 4 : 0);
	}
	head[0] = (unsigned char)(h - head);
	return (size_t)(h - head);
}

#define PAGES 16000 /* no row may be larger than the file, which need not have blocks for all of it */

/* Captures with eight texts of 15 MB each, of a few KB on disk: the rest of each row is one page, which goes on with itself. */
static void large_texts(struct fixture *f)
{
	uint32_t root = (uint32_t)root_page(f->base, "capture"), pages, at = PAGE, n, more;
	unsigned char *data, *page, head[128], cell[LOCAL + 16], *p;
	size_t len, head_len = row_head(head, 0, 0);
	uint64_t payload = head_len + 8 * (uint64_t)TEXT + 4;

	more = CHAINED - (uint32_t)((payload - LOCAL) % CHAINED); /* so that just LOCAL bytes are in the row's own page */
	payload += more;
	load_file(f->base, &data, &len);
	pages = (uint32_t)(len / PAGE);
	data = realloc(data, len + PAGE);
	memset(data + len, 'x', PAGE);
	put_number(data + len, pages + 1, 4);
	memcpy(data + len + 4 + (head_len + 5 * (uint64_t)TEXT - LOCAL) % CHAINED, "4096", 4); /* page_size */
	page = data + (root - 1) * PAGE;
	memset(page, 0, PAGE);
	page[0] = 13;
	put_number(page + 3, MOST_ROWS, 2);
	for (unsigned i = 0; i < MOST_ROWS; i++) {
		assert_int_equal(row_head(head, more, i), head_len);
		p = put_varint(cell, payload);
		*p++ = (unsigned char)(i + 1);
		memset(p, 'a' + (int)i, LOCAL);
		memcpy(p, head, head_len);
		put_number(p + LOCAL, pages + 1, 4);
		n = (uint32_t)(p + LOCAL + 4 - cell);
		at -= n;
		memcpy(page + at, cell, n);
		put_number(page + 8 + 2 * i, at, 2);
	}
	put_number(page + 5, at, 2);
	put_number(data + 28, PAGES, 4);
	save_file(f->db, data, len + PAGE);
	assert_int_equal(truncate(f->db, PAGES * PAGE), 0);
	free(data);
}

static void test_large_texts(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct capture_row c;
	struct rusage usage;
	struct api_db *db;
	int status;
	pid_t pid;

	large_texts(f);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		int64_t n = count_events(f->db, &e);

		fprintf(stderr, "# %s\n", e.text);
		_exit(n < 0 && strstr(e.text, "text of a capture: more than the 256 MiB of memory") ? 0 : 1);
	}
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	assert_int_equal(status, 0);
#if !defined(__SANITIZE_ADDRESS__)
	if (usage.ru_maxrss > 700 << 10)
		fail_msg("%ld MiB", usage.ru_maxrss >> 10);
#endif
	db = api_db_new(f->db);
	OK(api_db_ready(db, &any, &e));
	assert_int_equal(api_db_capture(db, 1, &c, &e), -1);
	expect_text(e.text, f->db, "a text is longer than ioflush stores");
	api_db_free(db);
}

/* ---- what lies beside it ---- */

/* A journal that is to be rolled back. victim: it names that file as the journal of several databases, NULL: it does not. */
static void hot_journal(struct fixture *f, const char *victim)
{
	static const unsigned char magic[] = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
	unsigned char data[2048] = {0}, *p = data + 512;
	uint32_t sum = 0, n = victim ? (uint32_t)strlen(victim) : 0;
	unsigned char *db;
	size_t len;

	load_file(f->db, &db, &len);
	free(db);
	memcpy(data, magic, 8);
	put_number(data + 12, 0x1234, 4);
	put_number(data + 16, (uint32_t)(len / PAGE), 4);
	put_number(data + 20, 512, 4);
	put_number(data + 24, PAGE, 4);
	if (victim) {
		put_number(p, 0x40000000 / PAGE + 1, 4);
		memcpy(p + 4, victim, n);
		for (uint32_t i = 0; i < n; i++)
			sum += (unsigned char)victim[i];
		put_number(p + 4 + n, n, 4);
		put_number(p + 8 + n, sum, 4);
		memcpy(p + 12 + n, magic, 8);
		p += 20 + n;
	}
	save_file(beside(f, "-journal"), data, (size_t)(p - data));
}

static void expect_there(const char *path)
{
	if (access(path, F_OK))
		fail_msg("%s is gone", path);
}

/* Nobody removes what a journal names. */
static void test_journal_names_file(void **state)
{
	struct store_recovered r;
	struct fixture *f = *state;
	struct error e = {""};
	char victim[96];

	snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	save_file(victim, "precious", 8);
	hot_journal(f, victim);
	refused_to_read(f, "run 'ioflush recover ");
	expect_there(victim);
	expect_there(beside(f, "-journal"));
	refused_to_api(f, "run 'ioflush recover ");
	refused_to_write(f, "names another file");
	expect_there(victim);
	assert_int_equal(store_recover(f->db, &r, &e), -1);
	expect_text(e.text, f->db, "names another file");
	expect_there(victim);
	expect_there(beside(f, "-journal"));
	/* one that names none is rolled back by who may write */
	hot_journal(f, NULL);
	refused_to_read(f, "run 'ioflush recover ");
	expect_there(beside(f, "-journal"));
	e.text[0] = '\0';
	OK(store_recover(f->db, &r, &e));
	assert_true(r.rolled_back);
	assert_int_equal(access(beside(f, "-journal"), F_OK), -1);
	assert_int_equal(count_events(f->db, &e), EVENTS);
	OK(store_recover(f->db, &r, &e));
	assert_false(r.rolled_back || r.moved || r.in_use);
	hot_journal(f, NULL);
	OK(add_capture(f->db, 0, &e));
	assert_int_equal(count_events(f->db, &e), 2 * EVENTS);
}

/* Were such a journal put there behind the look at it, or SQLite in need of a temporary file: it cannot have it. */
static void test_no_other_files(void **state)
{
	static const int kinds[] = {SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_TEMP_DB, SQLITE_OPEN_TEMP_JOURNAL,
				    SQLITE_OPEN_TRANSIENT_DB};
	static const char *const names[] = {"ioflush-read", "ioflush-write"};
	struct fixture *f = *state;
	char victim[96];

	snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	save_file(victim, "precious", 8);
	for (size_t i = 0; i < 2; i++) {
		sqlite3_vfs *vfs = sqlite3_vfs_find(names[i]);
		sqlite3_file *file;

		assert_non_null(vfs);
		file = calloc(1, (size_t)vfs->szOsFile);
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			assert_int_equal(vfs->xOpen(vfs, victim, file, kinds[k] | SQLITE_OPEN_READWRITE, NULL),
					 SQLITE_CANTOPEN);
			assert_null(file->pMethods);
		}
		free(file);
	}
	expect_there(victim);
}

/* The journal beside a file that is not ours stays, too: to open it by SQLite would play it back. */
static void test_not_ours(void **state)
{
	struct fixture *f = *state;
	struct store_recovered r;
	struct error e = {""};

	sql(f->db, "PRAGMA application_id = 5");
	hot_journal(f, NULL);
	refused_to_write(f, "not of ioflush (application_id 0x5");
	assert_int_equal(store_recover(f->db, &r, &e), -1);
	expect_text(e.text, f->db, "not of ioflush");
	expect_there(beside(f, "-journal"));
	save_file(f->db, "a text that somebody wrote, for all that it is called a.db, which proves nothing at all ..",
		  90);
	refused_to_write(f, "not a database");
	expect_there(beside(f, "-journal"));
}

/* SQLite would write into what a link stands for, and wait for ever for who writes into a pipe. */
static void test_no_plain_files(void **state)
{
	static const char *const suffix[] = {"-shm", "-wal", "-journal"};
	struct fixture *f = *state;
	struct error e = {""};
	char victim[96];

	snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	save_file(victim, "precious", 8);
	sql(f->db, "PRAGMA journal_mode = WAL");
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(symlink(victim, beside(f, suffix[i])), 0);
		refused_to_read(f, "is no plain file");
		refused_to_write(f, "is no plain file");
		unlink(f->beside);
		assert_int_equal(mkfifo(f->beside, 0600), 0);
		refused_to_read(f, "is no plain file");
		refused_to_api(f, "is no plain file");
		refused_to_write(f, "is no plain file");
		unlink(f->beside);
		assert_int_equal(link(victim, f->beside), 0);
		if (!i)
			refused_to_read(f, "has another name too");
		refused_to_write(f, "has another name too");
		unlink(f->beside);
	}
	assert_int_equal(count_events(f->db, &e), EVENTS);
}

/* ---- what reading leaves ---- */

/* Reading makes nothing but the -shm of a log that is there, and changes nothing at all. */
static void test_reading_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned char *before[2], *after;
	struct error e = {""};
	size_t len[2], now;
	struct store *s;
	unsigned files;
	int status;
	pid_t pid;

	sql(f->db, "PRAGMA journal_mode = WAL");
	load_file(f->db, &before[0], &len[0]);
	files = files_in(f->dir);
	assert_int_equal(count_events(f->db, &e), EVENTS);
	assert_int_equal(files_in(f->dir), files);
	load_file(f->db, &after, &now);
	assert_int_equal(now, len[0]);
	assert_memory_equal(after, before[0], now);
	free(after);
	free(before[0]);
	/* a writer that was killed: what it committed is in the log */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (store_open(&s, f->db, STORE_WAL, &e) || store_begin(s, &e) ||
		    store_capture_begin(s, &example, NULL, &e) || store_commit(s, &e))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unlink(beside(f, "-shm"));
	load_file(f->db, &before[0], &len[0]);
	load_file(beside(f, "-wal"), &before[1], &len[1]);
	assert_true(len[1] > 0);
	files = files_in(f->dir);
	assert_int_equal(count_events(f->db, &e), EVENTS);
	assert_int_equal(files_in(f->dir), files + 1);
	for (int i = 0; i < 2; i++) {
		load_file(i ? beside(f, "-wal") : f->db, &after, &now);
		assert_int_equal(now, len[i]);
		assert_memory_equal(after, before[i], now);
		free(after);
		free(before[i]);
	}
}

/* Read as a file that nobody changes, and changed all the same: that is said, and is no damage. */
static void test_changed_while_read(void **state)
{
	struct fixture *f = *state;
	struct error e = {""};
	struct event ev[8];
	struct capture c;
	struct source *s;
	ssize_t n;

	sql(f->db, "PRAGMA journal_mode = WAL");
	OK(source_open(&s, f->db, &e));
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 8, &e), 8);
	OK(add_capture(f->db, STORE_WAL, &e));
	while ((n = source_read(s, ev, 8, &e)) > 0)
		;
	assert_int_equal(n, -1);
	expect_text(e.text, f->db, "was written to while it was read");
	source_close(s);
	assert_int_equal(count_events(f->db, &e), 2 * EVENTS);
}

/* What is asked again and again takes as many steps as an endless statement, but not at once. */
static void test_api_goes_on(void **state)
{
	const struct api_filter none = {.kinds = UINT64_C(1) << EV_attach, .limit = 10};
	struct fixture *f = *state;
	struct error e = {""};
	struct api_db *db;
	uint64_t next;
	bool more;

	sql(f->db,
	    "INSERT INTO event (id, capture, t, kind) WITH RECURSIVE c(x) AS (SELECT 1000 UNION ALL SELECT x + 1 FROM c "
	    "WHERE x < 20000) SELECT x, 1, x, 11 FROM c");
	db = api_db_new(f->db);
	OK(api_db_ready(db, &any, &e));
	for (int i = 0; i < 1000; i++) /* windows of 16384 rows */
		OK(api_db_events(db, &none, NULL, NULL, &next, &more, &e));
	api_db_free(db);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_no_tables),	       TEST(test_ignored),
		TEST(test_triggers),	       TEST(test_endless_pages),
		TEST(test_large_texts),	       TEST(test_journal_names_file),
		TEST(test_no_other_files),     TEST(test_not_ours),
		TEST(test_no_plain_files),     TEST(test_reading_leaves_nothing),
		TEST(test_changed_while_read), TEST(test_api_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
