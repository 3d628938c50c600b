/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capture's event loop: readable buffers and the timer ask for drains, which are coalesced, and repeated while
 * there is more; signals arrive. Pipes replace ring buffers. Nothing depends on the speed of the machine: waits end
 * with the event waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "daemon/capture/loop.h"

#define PIPES 8
#define NEVER_MS 3600000

struct fixture {
	struct loop *loop;
	int pipe[PIPES][2];
	unsigned drains, ticks, reloads;
	unsigned stop_after; /* drains */
	unsigned more;	     /* so many times: come again at once */
	bool keep_data;	     /* a drain leaves the pipes as they are */
	int signal;
};

static void read_empty(struct fixture *f)
{
	char byte;

	for (int i = 0; i < PIPES && !f->keep_data; i++)
		while (read(f->pipe[i][0], &byte, 1) == 1)
			;
}

static bool on_drain(void *ctx)
{
	struct fixture *f = ctx;

	f->drains++;
	read_empty(f);
	if (f->drains == f->stop_after)
		loop_stop(f->loop);
	if (!f->more)
		return false;
	f->more--;
	return true;
}

static void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	f->ticks++;
	if (!f->stop_after)
		loop_stop(f->loop);
}

static void on_reload(void *ctx)
{
	struct fixture *f = ctx;

	f->reloads++;
	raise(SIGTERM);
}

static void on_stop(void *ctx, int sig)
{
	struct fixture *f = ctx;

	f->signal = sig;
	raise(SIGTERM); /* a second one is not heard */
	loop_stop(f->loop);
}

static void start(struct fixture *f, uint64_t interval_ms)
{
	const struct loop_ops ops = {f, on_drain, on_tick, on_reload, on_stop};
	struct error e = {0};

	f->loop = loop_new(&ops, interval_ms, &e);
	assert_non_null(f->loop);
	for (int i = 0; i < PIPES; i++) {
		assert_int_equal(pipe2(f->pipe[i], O_NONBLOCK | O_CLOEXEC), 0);
		assert_int_equal(loop_watch(f->loop, (unsigned)i, f->pipe[i][0], &e), 0);
	}
}

static void run(struct fixture *f)
{
	struct error e = {0};

	assert_int_equal(loop_run(f->loop, &e), 0);
	assert_string_equal(e.text, "");
}

static void finish(struct fixture *f)
{
	loop_free(f->loop);
	for (int i = 0; i < PIPES; i++) {
		close(f->pipe[i][0]);
		close(f->pipe[i][1]);
	}
}

static void fill(struct fixture *f, int from)
{
	for (int i = from; i < PIPES; i++)
		assert_int_equal(write(f->pipe[i][1], "x", 1), 1);
}

static void one_drain_for_all_that_is_readable(void **state)
{
	struct fixture f = {.stop_after = 1};

	(void)state;
	start(&f, NEVER_MS);
	fill(&f, 0);
	run(&f);
	assert_int_equal(f.drains, 1);
	/* ... and afterwards they are watched again */
	f.stop_after = 2;
	fill(&f, PIPES - 1);
	run(&f);
	assert_int_equal(f.drains, 2);
	finish(&f);
}

static void a_buffer_that_stays_readable_does_not_spin(void **state)
{
	struct fixture f = {.keep_data = true};

	(void)state;
	start(&f, NEVER_MS);
	fill(&f, 0);
	run(&f); /* to the first tick, a second */
	assert_true(f.drains >= 1);
	assert_true(f.drains <= 1000000 / LOOP_MIN_INTERVAL_US + 1);
	finish(&f);
}

static void the_timer_drains_silent_buffers(void **state)
{
	struct fixture f = {.stop_after = 3};
	struct error e = {0};

	(void)state;
	start(&f, NEVER_MS);
	assert_int_equal(loop_set_interval(f.loop, 1, &e), 0);
	run(&f);
	assert_int_equal(f.drains, 3);
	finish(&f);
}

static void more_comes_again_at_once(void **state)
{
	struct fixture f = {.stop_after = 5, .more = 4};

	(void)state;
	start(&f, NEVER_MS);
	fill(&f, 0);
	run(&f); /* nothing else would ask for drains 2 to 5 */
	assert_int_equal(f.drains, 5);
	finish(&f);
}

static void unwatched_buffers_are_left_alone(void **state)
{
	struct fixture f = {0};

	(void)state;
	start(&f, NEVER_MS);
	for (unsigned i = 0; i < PIPES; i++)
		loop_unwatch(f.loop, i);
	loop_unwatch(f.loop, 12345);
	fill(&f, 0);
	run(&f);
	assert_int_equal(f.drains, 0);
	assert_int_equal(f.ticks, 1);
	finish(&f);
}

static void the_owner_may_close_its_descriptor(void **state)
{
	struct fixture f = {.stop_after = 1};
	struct error e = {0};
	int own;

	(void)state;
	start(&f, NEVER_MS);
	own = dup(f.pipe[0][0]);
	assert_int_equal(loop_watch(f.loop, 0, own, &e), 0); /* in place of the one before */
	close(own);
	assert_int_equal(write(f.pipe[0][1], "x", 1), 1);
	run(&f);
	assert_int_equal(f.drains, 1);
	finish(&f);
}

static void signals_come_through(void **state)
{
	struct fixture f = {.stop_after = UINT32_MAX};

	(void)state;
	start(&f, NEVER_MS);
	raise(SIGHUP);
	run(&f);
	assert_int_equal(f.reloads, 1);
	assert_int_equal(f.signal, SIGTERM);
	finish(&f);
}

static void many_hangups_are_one_reload(void **state)
{
	struct fixture f = {.stop_after = UINT32_MAX};

	(void)state;
	start(&f, NEVER_MS);
	for (int i = 0; i < 10; i++)
		raise(SIGHUP);
	run(&f);
	assert_int_equal(f.reloads, 1);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_drain_for_all_that_is_readable),
		cmocka_unit_test(a_buffer_that_stays_readable_does_not_spin),
		cmocka_unit_test(the_timer_drains_silent_buffers),
		cmocka_unit_test(more_comes_again_at_once),
		cmocka_unit_test(unwatched_buffers_are_left_alone),
		cmocka_unit_test(the_owner_may_close_its_descriptor),
		cmocka_unit_test(signals_come_through),
		cmocka_unit_test(many_hangups_are_one_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
