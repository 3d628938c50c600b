/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pipeline of replay.c: a reader thread ahead of the model. The consumer may stop at any event, input may break off
 * at any event, and the result does not depend on how the two threads take turns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "analyzer/findings/findings.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/report.h"
#include "analyzer/report/state.h"

struct fixture {
	struct policy_set set;
	struct error err;
	char dir[256], path[256];
	/* what the callbacks saw */
	uint64_t events, begun, ended, leaks;
	uint64_t stop_after; /* events; 0: never */
	char partial[256];
};

static int setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;

	memset(f, 0, sizeof(*f));
	assert_true(snprintf(f->dir, sizeof(f->dir), "%s/ioflush-replay-XXXXXX",
			     getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp") < (int)sizeof(f->dir));
	assert_non_null(mkdtemp(f->dir));
	assert_true(snprintf(f->path, sizeof(f->path), "%s/t", f->dir) < (int)sizeof(f->path));
	assert_int_equal(policy_set_add(&f->set, "none", &f->err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->dir);
	policy_set_clear(&f->set);
	return 0;
}

static int begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct fixture *f = ctx;

	(void)s;
	(void)c;
	assert_int_equal(model_totals(m)->events, 0); /* each capture has a model of its own */
	f->begun++;
	return 0;
}

static int batch(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e)
{
	struct fixture *f = ctx;

	f->events += n;
	if (f->stop_after && f->events >= f->stop_after)
		return 7;
	return model_events(m, ev, n, e);
}

static int end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct fixture *f = ctx;

	(void)s;
	(void)c;
	f->ended++;
	f->leaks += model_counts(m, 0)->gaps[GAP_LEAK];
	snprintf(f->partial, sizeof(f->partial), "%s", partial ? partial : "");
	return 0;
}

static struct replay replay_of(struct fixture *f)
{
	return (struct replay){.set = &f->set, .begin = begin, .batch = batch, .end = end, .ctx = f};
}

/* captures of n areas each: fill, one leaking map, fill_end; three events an area, two more to begin with. */
static void write_trace(struct fixture *f, unsigned captures, unsigned n)
{
	FILE *out = fopen(f->path, "w");

	assert_non_null(out);
	for (unsigned c = 0; c < captures; c++) {
		fputs("{\"ioflush_trace\":1,\"page_size\":4096}\n"
		      "{\"t\":0,\"cpu\":0,\"tid\":1,\"e\":\"domain_add\",\"iopt\":1,\"domain\":2,\"coherent\":0}\n"
		      "{\"t\":0,\"cpu\":0,\"tid\":1,\"e\":\"domain_add_end\",\"iopt\":1,\"domain\":2}\n",
		      out);
		for (unsigned i = 0; i < n; i++) {
			unsigned long iova = 4096ul * i;

			fprintf(out,
				"{\"t\":%u,\"cpu\":0,\"tid\":1,\"e\":\"area_fill\",\"area\":%u,\"pages\":%u,"
				"\"iopt\":1,\"iova\":%lu,\"last\":%lu,\"first\":0,\"last_index\":0,"
				"\"page_offset\":0}\n",
				i, i + 10, i + 10, iova, iova + 4095);
			fprintf(out,
				"{\"t\":%u,\"cpu\":0,\"tid\":1,\"e\":\"map\",\"domain\":2,\"iova\":%lu,"
				"\"paddr\":%lu,\"size\":4096}\n",
				i, iova, iova);
			fprintf(out, "{\"t\":%u,\"cpu\":0,\"tid\":1,\"e\":\"area_fill_end\",\"area\":%u}\n", i, i + 10);
		}
	}
	assert_int_equal(fclose(out), 0);
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	struct replay r = replay_of(f);

	write_trace(f, 3, 20000); /* more than the threads can hold between them */
	assert_int_equal(replay_run(&r, f->path, &f->err), 0);
	assert_int_equal(f->begun, 3);
	assert_int_equal(f->ended, 3);
	assert_int_equal(f->events, 3 * (2 + 3 * 20000));
	assert_int_equal(f->leaks, 3 * 20000);
	assert_string_equal(f->partial, "");
}

static void test_one_capture(void **state)
{
	struct fixture *f = *state;
	struct replay r = replay_of(f);

	write_trace(f, 3, 5);
	r.capture = 2;
	assert_int_equal(replay_run(&r, f->path, &f->err), 0);
	assert_int_equal(f->begun, 1);
	assert_int_equal(f->leaks, 5);
	r.capture = 4;
	assert_int_equal(replay_run(&r, f->path, &f->err), -1);
	assert_non_null(strstr(f->err.text, f->path));
}

/* The consumer's word ends the replay wherever the reader is then. */
static void test_stop(void **state)
{
	struct fixture *f = *state;
	struct replay r = replay_of(f);

	write_trace(f, 2, 20000);
	for (uint64_t stop = 1; stop < 120000; stop = stop * 3 + 1) {
		f->events = f->ended = 0;
		f->stop_after = stop;
		assert_int_equal(replay_run(&r, f->path, &f->err), 7);
		assert_true(f->events >= stop);
		assert_true(f->ended <= 1);
	}
}

/* Input that breaks off: an error, or a part that says so; what came before it counts. */
static void test_broken(void **state)
{
	struct fixture *f = *state;
	struct replay r = replay_of(f);
	FILE *out;

	write_trace(f, 1, 9000);
	out = fopen(f->path, "a");
	assert_non_null(out);
	fputs("{\"t\":99999,\"cpu\"", out);
	fclose(out);
	assert_int_equal(replay_run(&r, f->path, &f->err), -1);
	assert_non_null(strstr(f->err.text, ":27004:"));
	assert_int_equal(f->ended, 0);
	f->err.text[0] = '\0';
	r.allow_partial = true;
	assert_int_equal(replay_run(&r, f->path, &f->err), 0);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->leaks, 9000);
	assert_non_null(strstr(f->partial, ":27004:"));
}

/* --- memory */

/* What keeps something of a replay, beside the model, all of one budget. */
struct keepers {
	struct findings *findings;
	struct state state;
	struct report report;
	struct error *e;
	uint64_t gaps;
};

static int keep_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct keepers *k = ctx;

	(void)m;
	findings_begin(k->findings, c->id, s->strings, false);
	return 0;
}

static int keep_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct keepers *k = ctx;
	struct dropped dropped = {0};

	findings_end(k->findings, model_totals(m));
	k->gaps += model_counts(m, 0)->gaps[GAP_LEAK];
	return findings_check(k->findings, k->e) || state_add(&k->state, c, m, s->strings, true, partial, k->e) ||
			       report_add(&k->report, c, m, s->strings, partial, &dropped, k->e) ?
		       -1 :
		       0;
}

/* Replays the trace within a limit. 0, or -1 and f->err. All that was taken is given back. */
static int replay_within(struct fixture *f, const char *path, uint64_t limit, uint64_t *gaps)
{
	struct keepers k = {.e = &f->err};
	struct budget b;
	struct replay r = {.set = &f->set, .memory = &b, .begin = keep_begin, .end = keep_end, .ctx = &k};
	int ret = -1;

	f->err.text[0] = '\0';
	budget_init(&b, limit, "this test allows");
	k.findings = findings_new(f->set.policy[0], &b);
	if (report_init(&k.report, &f->set, &f->err))
		goto out;
	k.state.budget = k.report.budget = &b;
	if (!k.findings) {
		error_set(&f->err, "%s", budget_failure(&b));
		goto out;
	}
	r.obs = findings_observer(k.findings);
	ret = replay_run(&r, path, &f->err);
	*gaps = k.gaps;
out:
	findings_free(k.findings);
	state_clear(&k.state);
	report_clear(&k.report);
	assert_int_equal(b.used, 0);
	return ret;
}

/*
 * Wherever the memory ends, it is said, with the trace, the event and the limit, and nothing is lost or touched that is not
 * there; with enough of it the result is the same.
 */
static void test_memory_limits(void **state)
{
	static const char *const names[] = {"odd",	   "split",	    "access-held",
					    "cut-refused", "failed-beside", "generated-11"};
	const char *data = getenv("IOFLUSH_TEST_DATA");
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t gaps = 0, whole = 0, limit, errors = 0;
		char path[512];

		snprintf(path, sizeof(path), "%s/cases/%s.jsonl", data ? data : "tests/data", names[i]);
		assert_int_equal(replay_within(f, path, UINT64_MAX, &whole), 0);
		for (limit = 0; replay_within(f, path, limit, &gaps); limit += 61 + limit / 200) {
			assert_non_null(strstr(f->err.text, "of memory that this test allows"));
			errors++;
		}
		assert_true(errors > 20);
		assert_int_equal(gaps, whole);
		/* the last refusals were those of single events */
		assert_true(limit > 20000);
	}
}

static void test_memory_error(void **state)
{
	struct fixture *f = *state;
	uint64_t gaps;
	char want[512];

	write_trace(f, 1, 2);
	for (uint64_t limit = 0; replay_within(f, f->path, limit, &gaps) && !strstr(f->err.text, "event "); limit += 50)
		;
	snprintf(want, sizeof(want), "%s: capture 1, about 100 %% into the trace: event ", f->path);
	assert_memory_equal(f->err.text, want, strlen(want));
	assert_non_null(strstr(f->err.text, " bytes of memory that this test allows"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_capture, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_error, setup, teardown),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
