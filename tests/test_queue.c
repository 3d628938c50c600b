/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue: order, wrapping, and losses that are counted exactly, alone and with two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/record/queue.h"

static struct event make_event(uint64_t seq)
{
	struct event ev = {.t = seq, .kind = EV_unmap};

	ev.unmap.iova = seq;
	return ev;
}

static size_t put_range(struct queue *q, uint64_t first, size_t n)
{
	struct event *ev = calloc(n ? n : 1, sizeof(*ev));
	size_t i, queued;

	for (i = 0; i < n; i++)
		ev[i] = make_event(first + i);
	queued = queue_put(q, ev, n);
	free(ev);
	return queued;
}

/* What a consumer has seen: events in order, and losses in between. */
struct seen {
	uint64_t pos, next; /* next: the event that must come, if no more are lost */
	uint64_t events, losses, lost[QUEUE_CAUSES], unknown[QUEUE_CAUSES];
	struct queue_loss loss;
};

static void see_loss(struct seen *s, const struct queue_loss *now)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < QUEUE_CAUSES; i++) {
		if (now->records[i] > s->loss.records[i]) {
			s->lost[i] += now->records[i] - s->loss.records[i];
			s->next += now->records[i] - s->loss.records[i];
			s->loss.records[i] = now->records[i];
			any = true;
		}
		if (now->unknown[i] > s->loss.unknown[i]) {
			s->unknown[i] += now->unknown[i] - s->loss.unknown[i];
			s->loss.unknown[i] = now->unknown[i];
			any = true;
		}
	}
	s->losses += any;
}

/* Takes up to max events; releases them. How many. */
static size_t take(struct queue *q, struct seen *s, size_t max)
{
	const struct event *ev;
	struct queue_loss loss;
	size_t n, i, all = 0;

	for (;;) {
		n = queue_peek(q, s->pos, max - all, &ev, &loss);
		see_loss(s, &loss);
		for (i = 0; i < n; i++)
			if (ev[i].unmap.iova != s->next++)
				fail_msg("event %llu, expected %llu", (unsigned long long)ev[i].unmap.iova,
					 (unsigned long long)s->next - 1);
		s->pos += n;
		s->events += n;
		all += n;
		if (!n || all == max)
			break;
	}
	queue_release(q, s->pos, &s->loss);
	return all;
}

static void test_order(void **state)
{
	struct queue *q = queue_new(10);
	struct seen s = {0};
	uint64_t next = 0;
	unsigned i;

	(void)state;
	assert_int_equal(queue_capacity(q), 10);
	assert_false(queue_pending(q));
	for (i = 0; i < 50; i++) {
		assert_int_equal(put_range(q, next, 7), 7);
		next += 7;
		assert_true(queue_pending(q));
		assert_int_equal(take(q, &s, 3), 3);
		assert_int_equal(queue_count(q), 4);
		assert_int_equal(take(q, &s, 10), 4);
	}
	assert_int_equal(s.losses, 0);
	assert_int_equal(s.events, 350);
	assert_int_equal(queue_most(q), 7);
	queue_free(q);
	queue_free(NULL);
}

/* A refused batch: what is not released is read again, with what came meanwhile. */
static void test_peek_again(void **state)
{
	struct queue *q = queue_new(8);
	const struct event *ev;
	struct queue_loss loss;
	struct seen s = {0};

	(void)state;
	put_range(q, 0, 3);
	assert_int_equal(queue_peek(q, 0, 8, &ev, &loss), 3);
	put_range(q, 3, 2);
	assert_int_equal(queue_peek(q, 0, 8, &ev, &loss), 5);
	assert_int_equal(queue_count(q), 5);
	assert_int_equal(take(q, &s, 8), 5);
	queue_free(q);
}

static void test_overflow(void **state)
{
	struct queue *q = queue_new(16); /* taken again when 2 are free */
	struct seen s = {0};

	(void)state;
	put_range(q, 0, 20); /* 16 to 19 are lost */
	assert_int_equal(queue_count(q), 16);
	assert_int_equal(queue_lost(q, QUEUE_FULL), 4);
	put_range(q, 20, 1);
	assert_int_equal(take(q, &s, 1), 1);
	put_range(q, 21, 1); /* one free is not enough */
	assert_int_equal(queue_lost(q, QUEUE_FULL), 6);
	assert_int_equal(take(q, &s, 1), 1);
	assert_int_equal(s.losses, 0); /* it lies behind what is queued */
	put_range(q, 22, 2);
	assert_int_equal(queue_count(q), 16);
	assert_int_equal(take(q, &s, 14), 14);
	assert_int_equal(s.losses, 0);
	assert_int_equal(take(q, &s, 16), 2);
	assert_int_equal(s.losses, 1);
	assert_int_equal(s.lost[QUEUE_FULL], 6);
	assert_int_equal(s.events, 18);
	assert_false(queue_pending(q));
	queue_free(q);
}

/* A loss behind which nothing comes is seen all the same, once. */
static void test_open_loss(void **state)
{
	struct queue *q = queue_new(4);
	struct event lost[3];
	struct seen s = {0};

	(void)state;
	put_range(q, 0, 4);
	queue_set_cause(q, QUEUE_DATABASE);
	put_range(q, 4, 3);
	memset(lost, 0, sizeof(lost));
	lost[0] = lost[1] = make_event(7);
	lost[0].kind = lost[1].kind = EV_lost;
	lost[0].lost.count = 5; /* stands for 5 records; the other does not know */
	lost[1].lost.count = 0;
	lost[1].missing = 1;
	queue_put(q, lost, 2);
	assert_int_equal(take(q, &s, 4), 4);
	assert_true(queue_pending(q));
	assert_int_equal(take(q, &s, 4), 0);
	assert_int_equal(s.lost[QUEUE_DATABASE], 8);
	assert_int_equal(s.unknown[QUEUE_DATABASE], 1);
	assert_int_equal(s.lost[QUEUE_FULL], 0);
	assert_false(queue_pending(q));
	assert_int_equal(take(q, &s, 4), 0);
	assert_int_equal(s.losses, 1);
	put_range(q, 12, 2);
	assert_int_equal(take(q, &s, 4), 2);
	assert_int_equal(s.losses, 1);
	queue_free(q);
}

/* Two losses whose sum would wrap are not "none". */
static void test_huge_losses(void **state)
{
	struct queue *q = queue_new(1);
	struct event lost = make_event(1);
	struct seen s = {0};

	(void)state;
	put_range(q, 0, 2);
	lost.kind = EV_lost;
	lost.lost.count = 1ull << 63;
	lost.missing = 0;
	queue_put(q, &lost, 1);
	queue_put(q, &lost, 1);
	assert_int_equal(take(q, &s, 4), 1);
	assert_int_equal(take(q, &s, 4), 0);
	assert_true(s.lost[QUEUE_FULL] == UINT64_MAX);
	queue_free(q);
}

/* Many losses while the consumer sleeps: never more than the marks, and all counted. */
static void test_many_losses(void **state)
{
	size_t capacity;

	(void)state;
	for (capacity = 1; capacity < 200; capacity += capacity < 20 ? 1 : 37) {
		struct queue *q = queue_new(capacity);
		uint64_t seed = capacity, next = 0;
		struct seen s = {0};
		unsigned i;

		for (i = 0; i < 5000; i++) {
			size_t n;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			n = (size_t)(seed >> 33) % (capacity + 3);
			if (seed >> 63) {
				put_range(q, next, n);
				next += n;
			} else {
				take(q, &s, n);
			}
		}
		while (queue_pending(q))
			take(q, &s, capacity);
		assert_int_equal(s.events + s.lost[QUEUE_FULL], next);
		assert_int_equal(s.next, next);
		assert_true(s.lost[QUEUE_FULL] > 0);
		queue_free(q);
	}
}

struct flood {
	struct queue *q;
	uint64_t total;
	atomic_bool done;
};

static void *producer(void *arg)
{
	struct flood *f = arg;
	struct event ev[37];
	uint64_t next = 0;
	size_t i, n;

	while (next < f->total) {
		n = 1 + (size_t)(next * 31 % 37);
		for (i = 0; i < n; i++)
			ev[i] = make_event(next + i);
		queue_put(f->q, ev, n);
		next += n;
		if (next % 64 == 0)
			sched_yield();
	}
	f->total = next;
	atomic_store(&f->done, true);
	return NULL;
}

static void test_threads(void **state)
{
	struct flood f = {.total = 300000};
	struct seen s = {0};
	pthread_t thread;
	bool done;

	(void)state;
	f.q = queue_new(256);
	assert_int_equal(pthread_create(&thread, NULL, producer, &f), 0);
	do {
		done = atomic_load(&f.done); /* before the last look at the queue */
		if (!take(f.q, &s, 100))
			sched_yield();
	} while (!done || queue_pending(f.q));
	pthread_join(thread, NULL);
	assert_int_equal(s.events + s.lost[QUEUE_FULL], f.total);
	assert_int_equal(s.next, f.total);
	assert_int_equal(queue_lost(f.q, QUEUE_FULL), s.lost[QUEUE_FULL]);
	queue_free(f.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	    cmocka_unit_test(test_peek_again),
		cmocka_unit_test(test_overflow),    cmocka_unit_test(test_open_loss),
		cmocka_unit_test(test_huge_losses), cmocka_unit_test(test_many_losses),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
