/*
 * The pipeline of replay.c: a reader thread ahead of the model. Whoever consumes may stop at any event, input may break
 * off at any event, and the result does not depend on how the two threads take turns.
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

#include "replay.h"

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

static int batch(void *ctx, const struct event *ev, size_t n, struct model *m)
{
	struct fixture *f = ctx;

	f->events += n;
	if (f->stop_after && f->events >= f->stop_after)
		return 7;
	return model_events(m, ev, n, &f->err);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_capture, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
