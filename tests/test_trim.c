/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Retention's hands: trimming the beginnings of captures and sweeping names that nothing refers to. The property: whatever
 * is deleted, in whatever steps, what is left reads as it was, with marks that count what went; and where SQLite fails,
 * at whatever point, the call says so and leaves nothing half done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "tests/random_events.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"
#include "trace/store/sweep.h"
#include "trace/store/trim.h"

#define CAPTURES 3
#define EVENTS 120

/* A capture, and what was done to it. */
struct model {
	struct event ev[EVENTS];
	size_t first; /* that is still there */
	uint64_t records;
	bool unknown, gone;
	const char *state, *note;
};

struct fixture {
	char dir[64], db[96], wal[104];
	struct intern *strings;
	struct store *s;
	struct model m[CAPTURES + 1]; /* the last has not begun */
};

static const struct capture like = {.source = "s", .format = "live", .host = "h", .kernel = "k", .clock = "c"};
static struct error e;

#define OK(call)                                           \
	do {                                               \
		if (call)                                  \
			fail_msg("%s: %s", #call, e.text); \
	} while (0)

static void open_store(struct fixture *f)
{
	e.text[0] = '\0';
	OK(store_open(&f->s, f->db, STORE_WAL, &e));
}

/* The last one who closes a database removes its log: a statement that was left open would keep it. */
static void close_store(struct fixture *f)
{
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(access(f->wal, F_OK), -1);
}

static void make_events(struct fixture *f, struct model *m, uint64_t seed)
{
	uint64_t t = 5;

	for (size_t i = 0; i < EVENTS; i++) {
		m->ev[i] = random_event(&seed, f->strings, i % 7 == 3 ? EV_lost : 0, &t);
		if (m->ev[i].kind == EV_lost && event_has(&m->ev[i], lost, count))
			m->ev[i].lost.count = seed % 2 ? 1 + m->ev[i].lost.count % 1000 :
							 UINT64_MAX - 1; /* sums may not fit */
	}
	m->ev[EVENTS - 1].t++; /* the last is alone at its time */
}

/* The first two are written in turns, and the second is still being recorded. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct model *m = f->m;

	strcpy(f->dir, "/tmp/ioflush-trim-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->db, sizeof(f->db), "%s/a.db", f->dir);
	snprintf(f->wal, sizeof(f->wal), "%s-wal", f->db);
	f->strings = intern_new();
	for (unsigned i = 0; i < CAPTURES; i++) {
		make_events(f, &m[i], i + 1);
		m[i].state = i == 1 ? "recording" : "complete";
		m[i].note = i == 2 ? "why" : "";
	}
	m[CAPTURES] = m[0];
	m[CAPTURES].gone = true;
	open_store(f);
	for (unsigned part = 0; part < 2; part++)
		for (unsigned i = 0; i < 2; i++) {
			OK(store_begin(f->s, &e));
			OK(part ? store_capture_resume(f->s, i + 1, &e) <= 0 :
				  store_capture_begin(f->s, &like, NULL, &e));
			OK(store_append(f->s, m[i].ev + part * EVENTS / 2, EVENTS / 2, f->strings, &e));
			OK(store_commit(f->s, &e));
			close_store(f);
			open_store(f);
		}
	OK(store_begin(f->s, &e));
	OK(store_capture_close(f->s, 1, "complete", "", &e));
	OK(store_capture_begin(f->s, &like, NULL, &e));
	OK(store_append(f->s, m[2].ev, EVENTS, f->strings, &e));
	OK(store_capture_end(f->s, "complete", "why", &e));
	OK(store_commit(f->s, &e));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_close(f->s);
	unlink(f->db);
	unlink(f->wal);
	rmdir(f->dir);
	intern_free(f->strings);
	free(f);
	return 0;
}

/* ---- what it should be ---- */

static unsigned marks_of(const struct model *m)
{
	return !m->first ? 0 : m->unknown && m->records ? 2 : 1;
}

/* As store_trim(). How many events go. */
static size_t trim_model(struct model *m, uint64_t before_t, size_t max)
{
	size_t marks = marks_of(m), n = 0;

	if (marks && (marks >= max || before_t <= m->ev[m->first - 1].t))
		return 0;
	for (; m->first < EVENTS && n < max - marks && m->ev[m->first].t < before_t; n++) {
		const struct event *ev = &m->ev[m->first++];

		if (ev->kind != EV_lost)
			m->records = number_sum(m->records, 1);
		else if (event_has(ev, lost, count))
			m->records = number_sum(m->records, ev->lost.count);
		else
			m->unknown = true;
	}
	return n;
}

static void expect_mark(const struct event *ev, const struct intern *strings, const struct model *m, bool unknown)
{
	assert_int_equal(ev->kind, EV_lost);
	assert_true(ev->t == m->ev[m->first - 1].t);
	assert_int_equal(ev->cpu, EVENT_NO_CPU);
	assert_int_equal(ev->tid, EVENT_NO_TID);
	assert_int_equal(ev->comm, 0);
	assert_string_equal(intern_get(strings, (uint32_t)ev->lost.cause), STORE_TRIM_CAUSE);
	assert_int_equal(ev->missing, EVENT_BIT(lost, since) | (unknown ? EVENT_BIT(lost, count) : 0));
	assert_true(ev->lost.count == (unknown ? 0 : m->records));
}

static void expect_capture(struct source *src, const struct capture *c, const struct model *m, const struct fixture *f)
{
	struct event ev[EVENTS + 1];
	unsigned marks = marks_of(m);
	size_t n = 0;
	ssize_t got;

	/* nobody holds the lock of a recorder here: what still records was cut off */
	if (!strcmp(m->state, "recording")) {
		assert_string_equal(c->state, "cut-off");
	} else {
		assert_string_equal(c->state, m->state);
		assert_string_equal(c->note, m->note);
	}
	while ((got = source_read(src, ev + n, EVENTS + 1 - n, &e)) > 0)
		n += (size_t)got;
	if (got < 0)
		fail_msg("%s", e.text); /* counts and check sum do not fit */
	assert_int_equal(n, marks + EVENTS - m->first);
	if (marks == 2)
		expect_mark(&ev[0], src->strings, m, true);
	if (marks)
		expect_mark(&ev[marks - 1], src->strings, m, !m->records && m->unknown);
	for (size_t i = marks; i < n; i++)
		if (!same_event(&ev[i], src->strings, &m->ev[m->first + i - marks], f->strings))
			fail_msg("event %zu is another", i);
}

/* All captures are as the model says. */
static void expect_model(struct fixture *f)
{
	struct source *src;
	struct capture c;

	close_store(f);
	e.text[0] = '\0';
	OK(source_open(&src, f->db, &e));
	for (unsigned i = 0; i < CAPTURES; i++) {
		if (f->m[i].gone)
			continue;
		assert_int_equal(source_capture(src, &c, &e), 1);
		assert_int_equal(c.id, i + 1);
		expect_capture(src, &c, &f->m[i], f);
	}
	assert_int_equal(source_capture(src, &c, &e), 0);
	source_close(src);
	open_store(f);
}

static int64_t number(struct fixture *f, const char *sql)
{
	int64_t n;

	OK(store_number(f->s, sql, &n, &e));
	return n;
}

static void run(struct fixture *f, const char *sql)
{
	assert_int_equal(sqlite3_exec(store_handle(f->s), sql, NULL, NULL, NULL), SQLITE_OK);
}

/* ---- trimming ---- */

static void trim(struct fixture *f, unsigned i, uint64_t before_t, size_t max)
{
	static const char *const note[] = {STORE_TRIM_NOTE, STORE_TRIM_NOTE, "why; " STORE_TRIM_NOTE};
	struct model *m = &f->m[i];
	const size_t n = m->gone ? 0 : trim_model(m, before_t, max);
	struct store_trimmed out;

	OK(store_begin(f->s, &e));
	OK(store_trim(f->s, i + 1, before_t, max, &out, &e));
	OK(store_commit(f->s, &e));
	assert_int_equal(out.events, n);
	if (n && m->first == EVENTS && strcmp(m->state, "recording"))
		m->gone = true;
	assert_true(out.gone == (n && m->gone));
	if (n && !m->gone)
		m->note = note[i];
}

static void test_steps(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 3;

	for (int i = 0; i < 60; i++) {
		const unsigned capture = (unsigned)(random_next(&seed) % CAPTURES);
		const struct model *m = &f->m[capture];
		const uint64_t at = m->first + random_next(&seed) % 30;

		trim(f, capture, at < EVENTS ? m->ev[at].t : UINT64_MAX, i % 3 ? 3 + random_next(&seed) % 20 : SIZE_MAX);
		expect_model(f);
	}
	for (unsigned i = 0; i < CAPTURES; i++)
		trim(f, i, UINT64_MAX, SIZE_MAX);
	assert_true(f->m[0].gone && !f->m[1].gone && f->m[2].gone);
	expect_model(f);
	/* what is recorded goes on behind its marks */
	trim(f, 1, UINT64_MAX, SIZE_MAX);
	assert_int_equal(number(f, "SELECT events FROM capture"), marks_of(&f->m[1]));
	assert_int_equal(number(f, "SELECT first_t = last_t FROM capture"), 1);
}

/* One by one: no event goes with another, and a step that has room for marks only does nothing. */
static void test_one_by_one(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < EVENTS + 5; i++) {
		trim(f, 0, UINT64_MAX, 1 + marks_of(&f->m[0]));
		if (i < 20)
			expect_model(f);
		if (!f->m[0].gone)
			trim(f, 0, UINT64_MAX, marks_of(&f->m[0]));
	}
	assert_true(f->m[0].gone);
	expect_model(f);
}

/* What belongs to a capture goes with it, and nothing else. */
static void test_gone(void **state)
{
	struct fixture *f = *state;

	run(f, "INSERT INTO recorder VALUES (1, 1, 1, 'b', 1), (2, 1, 1, 'b', 1); INSERT INTO suspend SELECT capture, 1, 2 "
	       "FROM recorder");
	trim(f, 0, UINT64_MAX, SIZE_MAX);
	assert_true(f->m[0].gone);
	assert_int_equal(number(f, "SELECT count(*) + sum(capture) FROM recorder"), 3);
	assert_int_equal(number(f, "SELECT count(*) + sum(capture) FROM suspend"), 3);
	assert_int_equal(number(f, "SELECT count(*) FROM event"), 2 * EVENTS);
	expect_model(f);
}

/* Closing keeps what retention has to say, and only that. */
static void test_close(void **state)
{
	struct fixture *f = *state;

	trim(f, 1, UINT64_MAX, 5);
	OK(store_begin(f->s, &e));
	OK(store_capture_close(f->s, 1, "cut-off", "died", &e));
	OK(store_capture_close(f->s, 2, "cut-off", "died", &e));
	OK(store_capture_close(f->s, 3, "partial", "", &e));
	assert_int_equal(store_capture_close(f->s, 9, "partial", "", &e), -1);
	assert_non_null(strstr(e.text, "a.db: it has no capture 9"));
	OK(store_commit(f->s, &e));
	f->m[0].state = f->m[1].state = "cut-off";
	f->m[2].state = "partial";
	f->m[0].note = "died";
	f->m[1].note = "died; " STORE_TRIM_NOTE;
	f->m[2].note = "";
	expect_model(f);
}

/* ---- failures ---- */

static long countdown;

static int interrupt(void *unused)
{
	(void)unused;
	return !--countdown;
}

static int deny(void *unused, int action, const char *a, const char *b, const char *c, const char *d)
{
	(void)unused, (void)action, (void)a, (void)b, (void)c, (void)d;
	return --countdown ? SQLITE_OK : SQLITE_DENY;
}

/* SQLite fails once, at the point of this number (0: it does not): while it runs a statement, or prepares one. */
static void fail_at(struct fixture *f, long point, bool prepare)
{
	sqlite3 *db = store_handle(f->s);

	countdown = point;
	sqlite3_progress_handler(db, !prepare && point ? 1 : 0, interrupt, NULL);
	sqlite3_set_authorizer(db, prepare && point ? deny : NULL, NULL);
}

/* Lets a call fail at each point, until there are no more. It must say so, and what is left is as the model says. */
static void fail_everywhere(struct fixture *f, void (*begin)(struct fixture *f), int (*call)(struct fixture *f))
{
	for (int prepare = 0; prepare < 2; prepare++) {
		bool failed = true;
		unsigned points = 0;

		for (long point = 1; failed; point += prepare || point < 300 ? 1 : 13, points++) {
			int rc;

			begin(f);
			e.text[0] = '\0';
			fail_at(f, point, prepare);
			rc = call(f);
			failed = countdown <= 0;
			fail_at(f, 0, prepare);
			if (failed != (rc < 0) || failed != (e.text[0] != '\0'))
				fail_msg("point %ld: returned %d: \"%s\"", point, rc, e.text);
			store_rollback(f->s);
			if (point % 50 == 1)
				expect_model(f);
		}
		assert_true(points > 20);
		expect_model(f);
	}
}

static void begin(struct fixture *f)
{
	OK(store_begin(f->s, &e));
}

static int trim_all(struct fixture *f)
{
	struct store_trimmed out;

	return store_trim(f->s, 1, UINT64_MAX, SIZE_MAX, &out, &e);
}

static int trim_some(struct fixture *f)
{
	struct store_trimmed out;

	return store_trim(f->s, 3, f->m[2].ev[20].t, SIZE_MAX, &out, &e);
}

static int close_one(struct fixture *f)
{
	return store_capture_close(f->s, 2, "cut-off", "died", &e);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;

	run(f, "INSERT INTO recorder VALUES (1, 1, 1, 'b', 1); INSERT INTO suspend VALUES (1, 1, 2)");
	fail_everywhere(f, begin, trim_all);
	fail_everywhere(f, begin, trim_some);
	fail_everywhere(f, begin, close_one);
	/* nor where there is a mark already */
	trim(f, 2, f->m[2].ev[10].t, SIZE_MAX);
	fail_everywhere(f, begin, trim_some);
}

/* ---- sweeping ---- */

static struct store_sweep sweep;

static int sweep_all(struct fixture *f)
{
	int rc;

	while ((rc = store_sweep_step(&sweep, f->s, 40, &e)) > 0)
		;
	assert_false(sweep.running);
	assert_null(sweep.task.bits);
	assert_null(sweep.string.bits);
	return rc;
}

/* How many strings and tasks no event refers to. */
static int64_t unused(struct fixture *f)
{
	char sql[2048] =
		"SELECT (SELECT count(*) FROM task WHERE id NOT IN (SELECT task FROM event WHERE task NOT NULL)) + "
		"(SELECT count(*) FROM string WHERE id NOT IN (SELECT comm FROM task WHERE comm NOT NULL";

	for (unsigned kind = 1; kind < EV_KINDS; kind++)
		for (unsigned i = 0; i < event_table[kind].nfields; i++)
			if (event_table[kind].field[i].type == FIELD_STR)
				sprintf(sql + strlen(sql),
					" UNION SELECT f%u FROM event WHERE kind = %u AND f%u NOT NULL", i, kind, i);
	return number(f, strcat(sql, "))"));
}

static void test_sweep(void **state)
{
	struct fixture *f = *state;
	struct model *again = &f->m[CAPTURES];

	OK(sweep_all(f));
	expect_model(f); /* all is in use */
	trim(f, 0, UINT64_MAX, SIZE_MAX);
	trim(f, 2, UINT64_MAX, SIZE_MAX);
	trim(f, 1, UINT64_MAX, EVENTS - 20);
	assert_true(unused(f) > 30);
	OK(sweep_all(f));
	assert_int_equal(unused(f), 0);
	/* names that the writer knew are made anew */
	OK(store_begin(f->s, &e));
	OK(store_capture_begin(f->s, &like, NULL, &e));
	OK(store_append(f->s, again->ev, EVENTS, f->strings, &e));
	OK(store_capture_end(f->s, "complete", "", &e));
	OK(store_commit(f->s, &e));
	again->gone = false;
	f->m[2].gone = true;
	assert_int_equal(number(f, "SELECT max(id) FROM capture"), 3);
	f->m[2] = *again;
	again->gone = true;
	expect_model(f);
}

/* In turns with trimming, whose marks may come among events that the sweep has read. */
static void test_sweep_in_turns(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 5;

	OK(store_sweep_trimmed(&sweep, f->s, &e)); /* none is under way */
	for (int i = 0; i < 200; i++) {
		const unsigned capture = (unsigned)(random_next(&seed) % CAPTURES);

		if (i % 4 == 0) {
			trim(f, capture, UINT64_MAX, 2 + random_next(&seed) % 12);
			OK(store_sweep_trimmed(&sweep, f->s, &e));
		}
		OK(store_sweep_step(&sweep, f->s, 1 + random_next(&seed) % 30, &e) < 0);
		if (i % 10 == 0)
			expect_model(f);
	}
	OK(sweep_all(f));
	OK(sweep_all(f));
	assert_int_equal(unused(f), 0);
	expect_model(f);
}

static void add_unused(struct fixture *f)
{
	run(f, "INSERT OR IGNORE INTO string (text) VALUES ('one'), ('two'), ('three'); INSERT INTO task (tid, comm) SELECT "
	       "7777, id FROM string WHERE text = 'two'");
}

static void test_sweep_failures(void **state)
{
	struct fixture *f = *state;

	fail_everywhere(f, add_unused, sweep_all);
	OK(sweep_all(f));
	assert_int_equal(unused(f), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_steps),    TEST(test_one_by_one), TEST(test_gone),	       TEST(test_close),
		TEST(test_failures), TEST(test_sweep),	    TEST(test_sweep_in_turns), TEST(test_sweep_failures),
	};

	return cmocka_run_group_tests_name("trim", tests, NULL, NULL);
}
