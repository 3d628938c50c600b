/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation of ours fails once, in turn: of reading each format, of writing the database and JSON Lines. The
 * property: the call fails and says so, and gives back what it had; with sanitizers, nothing is leaked or used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/formats/jsonl.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/store.h"
#include "trace/store/sweep.h"
#include "trace/store/trim.h"

#define EVENTS 2000

/* ---- allocations ---- */

extern const char __executable_start[], etext[];

static bool watching;
static long countdown; /* which of those from now on fails */

/* A sanitizer calls these before it is ready itself. */
#define PLAIN __attribute__((no_sanitize_address, no_sanitize_undefined))

/* Libraries and the tests have what they ask for. */
PLAIN static bool fails(const void *caller)
{
	const uintptr_t at = (uintptr_t)caller;

	return watching && at >= (uintptr_t)__executable_start && at < (uintptr_t)etext && !--countdown;
}

/* A sanitizer's, or the C library's own. */
#define REAL(type, name, libc, ...)                                               \
	type __interceptor_##name(__VA_ARGS__) __attribute__((weak));             \
	type real_##name(__VA_ARGS__) __asm__(libc);                              \
	type watched_##name(__VA_ARGS__) __asm__(#name);                          \
	PLAIN static type (*our_##name(void))(__VA_ARGS__)                        \
	{                                                                         \
		return __interceptor_##name ? __interceptor_##name : real_##name; \
	}

REAL(void *, malloc, "__libc_malloc", size_t)
REAL(void *, calloc, "__libc_calloc", size_t, size_t)
REAL(void *, realloc, "__libc_realloc", void *, size_t)
REAL(char *, strdup, "__strdup", const char *)
REAL(char *, strndup, "__strndup", const char *, size_t)

#define CALLER __builtin_return_address(0)

PLAIN void *watched_malloc(size_t size)
{
	return fails(CALLER) ? NULL : our_malloc()(size);
}

PLAIN void *watched_calloc(size_t n, size_t size)
{
	return fails(CALLER) ? NULL : our_calloc()(n, size);
}

PLAIN void *watched_realloc(void *p, size_t size)
{
	return fails(CALLER) ? NULL : our_realloc()(p, size);
}

void *watched_reallocarray(void *p, size_t n, size_t size) __asm__("reallocarray");
PLAIN void *watched_reallocarray(void *p, size_t n, size_t size)
{
	return fails(CALLER) || (size && n > SIZE_MAX / size) ? NULL : our_realloc()(p, n * size);
}

PLAIN char *watched_strdup(const char *text)
{
	return fails(CALLER) ? NULL : our_strdup()(text);
}

PLAIN char *watched_strndup(const char *text, size_t n)
{
	return fails(CALLER) ? NULL : our_strndup()(text, n);
}

/* Lets it fail everywhere; it returns 0, or -1 and the error. */
static void fail_everywhere(int (*call)(const char *path, struct error *e), const char *path, long least)
{
	bool failed = true;
	long point;

	for (point = 1; failed; point += point < 300 ? 1 : point / 30) {
		struct error e = {""};
		int rc;

		countdown = point;
		watching = true;
		rc = call(path, &e);
		watching = false;
		failed = countdown <= 0;
		if (failed && (!rc || !strstr(e.text, "memory")))
			fail_msg("%s: allocation %ld: returned %d: \"%s\"", path, point, rc, e.text);
		if (!failed && rc)
			fail_msg("%s", e.text);
	}
	assert_true(point > least);
}

/* ---- reading ---- */

static struct event events[EVENTS];

static int read_all(const char *path, struct error *e)
{
	struct source *source = NULL;
	struct capture c;
	ssize_t n = 0;
	int rc;

	if (source_open(&source, path, e)) {
		assert_null(source);
		return -1;
	}
	while ((rc = source_capture(source, &c, e)) > 0)
		do
			n = source_read(source, events, EVENTS, e);
		while (n > 0);
	source_close(source);
	return rc < 0 || n < 0 || e->text[0] ? -1 : 0;
}

static void read_data(const char *name, long least)
{
	const char *data = getenv("IOFLUSH_TEST_DATA");
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", data ? data : "tests/data", name);
	fail_everywhere(read_all, path, least);
}

static void test_reading(void **state)
{
	(void)state;
	read_data("cases/hotplug.jsonl", 5);
	read_data("traces/churn-small.trace", 10);
	read_data("traces/vmboot-nonsnoop.dat", 30);
	read_data("faults/attach-lost.dat", 10);
}

/* ---- writing ---- */

static const struct capture like = {.source = "s", .format = "live", .host = "h", .kernel = "k", .clock = "c"};

static int store_parts(struct store *s, const struct intern *strings, struct error *e)
{
	struct event ev = {.t = 1, .cpu = 1, .tid = 2, .comm = 1, .kind = EV_lost};
	struct store_sweep sweep = {0};
	struct store_trimmed out;
	int rc;

	ev.lost.count = 1;
	ev.lost.cause = 2;
	if (store_begin(s, e) || store_capture_begin(s, &like, NULL, e))
		return -1;
	for (unsigned i = 0; i < 400; i++, ev.tid++)
		if (store_append(s, &ev, 1, strings, e))
			return -1;
	if (store_capture_end(s, "complete", "n", e) || store_trim(s, 1, 2, 300, &out, e) || store_commit(s, e))
		return -1;
	while ((rc = store_sweep_step(&sweep, s, 100, e)) > 0)
		;
	return rc;
}

static int store_all(const char *path, struct error *e)
{
	struct intern *strings;
	struct store *s = NULL;
	bool was = watching;
	int rc;

	watching = false;
	strings = intern_new();
	intern_add(strings, "a", 1);
	intern_add(strings, "b", 1);
	unlink(path);
	watching = was;
	rc = store_open(&s, path, 0, e) || store_parts(s, strings, e) ? -1 : 0;
	if (rc)
		store_discard(s);
	else
		store_close(s);
	watching = false;
	intern_free(strings);
	return rc;
}

static int write_jsonl(const char *path, struct error *e)
{
	struct jsonl_writer *w;

	if (jsonl_writer_open(&w, path, e)) {
		assert_null(w);
		return -1;
	}
	return jsonl_write_capture(w, &like, e) || jsonl_writer_close(w, true, e) ? -1 : 0;
}

static void test_writing(void **state)
{
	char dir[] = "/tmp/ioflush-memory-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	fail_everywhere(write_jsonl, path, 3);
	unlink(path);
	fail_everywhere(store_all, path, 10);
	fail_everywhere(read_all, path, 10);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reading), cmocka_unit_test(test_writing)};

	return cmocka_run_group_tests_name("no_memory", tests, NULL, NULL);
}
