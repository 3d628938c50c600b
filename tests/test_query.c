/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to a program, and above all which answers are reused: one for the same version, or one that is younger than
 * the time it took; never an older one, not even while the new one is being made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/query.h"

#define TAKES_MS 200 /* the program */

struct fixture {
	char dir[64], program[96], count[96];
	struct queries *q;
	unsigned answers;
	int last; /* the number that the program gave with the last answer: how often it had run; 0: none */
};

static int setup(void **state)
{
	const struct child_limits limits = {.memory = 4ull << 30, .timeout_ms = 10000, .output = 65536};
	struct fixture *f = calloc(1, sizeof(*f));
	FILE *out;

	snprintf(f->dir, sizeof(f->dir), "/tmp/ioflush-query-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->program, sizeof(f->program), "%s/program", f->dir);
	snprintf(f->count, sizeof(f->count), "%s/count", f->dir);
	out = fopen(f->program, "w");
	if (!out)
		return -1;
	fprintf(out, "#!/bin/sh\necho >>%s\nwc -l <%s\nexec sleep 0.%d\n", f->count, f->count, TAKES_MS);
	fclose(out);
	if (chmod(f->program, 0755))
		return -1;
	f->q = queries_new(f->program, &limits);
	*state = f;
	return f->q ? 0 : -1;
}

static void forget(void *arg)
{
	(void)arg;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	queries_free(f->q, forget);
	unlink(f->program);
	unlink(f->count);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void take(void *ctx, void *arg, const struct query_answer *a)
{
	struct fixture *f = ctx;

	(void)arg;
	f->answers++;
	f->last = a->text ? atoi(a->text) : 0;
}

static void ask(struct fixture *f, uint64_t version)
{
	static const char *const args[] = {"state", NULL};

	assert_int_equal(queries_ask(f->q, args, version, 10000, take, f, NULL), 0);
}

static void nap(void)
{
	usleep(10000);
}

/* Until so many answers came. */
static void wait_answers(struct fixture *f, unsigned n)
{
	for (int i = 0; f->answers < n; i++) {
		assert_true(i < 1000);
		queries_tick(f->q);
		nap();
	}
	assert_int_equal(f->answers, n);
}

static void grow_old(void)
{
	usleep(2 * TAKES_MS * 1000 + 300000); /* also where starting the program took long */
}

static void test_same_version(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	wait_answers(f, 1);
	grow_old();
	ask(f, 1); /* at once, however old */
	assert_int_equal(f->answers, 2);
	assert_int_equal(f->last, 1);
}

static void test_young(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	wait_answers(f, 1);
	ask(f, 2); /* at once: making it anew takes longer than it is old */
	assert_int_equal(f->answers, 2);
	assert_int_equal(f->last, 1);
}

/* The answer of before is too old, for whoever asks first and for who asks while the new one is made. */
static void test_old(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	wait_answers(f, 1);
	grow_old();
	ask(f, 2);
	assert_int_equal(f->answers, 1);
	queries_tick(f->q); /* the program runs */
	ask(f, 2);
	ask(f, 1);
	assert_int_equal(f->answers, 1);
	wait_answers(f, 4);
	assert_int_equal(f->last, 2);
}

/* Who asks while the program runs for an earlier version waits for that answer; it counts as one of that version. */
static void test_version_of_run(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	queries_tick(f->q);
	ask(f, 2);
	wait_answers(f, 2);
	assert_int_equal(f->last, 1);
	grow_old();
	ask(f, 2);
	assert_int_equal(f->answers, 2);
	wait_answers(f, 3);
	assert_int_equal(f->last, 2);
}

/* All arguments are given, or the question is refused. */
static void test_args(void **state)
{
	struct fixture *f = *state;
	const char *args[QUERY_MAX_ARGS + 2];

	for (size_t i = 0; i <= QUERY_MAX_ARGS; i++)
		args[i] = "x";
	args[QUERY_MAX_ARGS + 1] = NULL;
	assert_int_equal(queries_ask(f->q, args, 1, 10000, take, f, NULL), -1);
	assert_false(queries_tick(f->q));
	args[QUERY_MAX_ARGS] = NULL;
	assert_int_equal(queries_ask(f->q, args, 1, 10000, take, f, NULL), 0);
	wait_answers(f, 1);
	assert_int_equal(f->last, 1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_same_version), TEST(test_young), TEST(test_old), TEST(test_version_of_run), TEST(test_args),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
