/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounded queue; see queue.h.
 *
 * The producer writes tail, marks_tail and the totals, the consumer head and marks_head. Each reads the other's with
 * acquire, and so sees all that was written before. A mark is published before the first event behind it. A loss with
 * no event behind it yet has no mark: a consumer that finds the queue empty reads the totals themselves; if the queue
 * is still empty after that, all of these losses lie before the next event.
 */
#include "daemon/record/queue.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#define MARKS 32u /* losses in the queue at once: before each but the first there is an eighth of the queue */
#define LINE 64	  /* the two sides write to different cache lines */

struct mark {
	uint64_t pos;
	struct queue_loss loss;
};

struct totals {
	_Atomic uint64_t records[QUEUE_CAUSES], unknown[QUEUE_CAUSES], t;
};

struct queue {
	size_t capacity, resume;
	struct event *event;
	struct mark mark[MARKS];
	_Atomic int cause;

	_Alignas(LINE) _Atomic uint64_t tail;
	_Atomic unsigned marks_tail;
	struct totals total;
	_Atomic uint64_t own[QUEUE_CAUSES]; /* of these: lost here, not earlier */
	_Atomic size_t most;
	bool losing;	    /* producer's: there was not enough room since the last loss */
	uint64_t head_seen; /* producer's: head is at least here */

	_Alignas(LINE) _Atomic uint64_t head;
	_Atomic unsigned marks_head;
	struct queue_loss released;
};

struct queue *queue_new(size_t capacity)
{
	struct queue *q = aligned_alloc(LINE, (sizeof(*q) + LINE - 1) / LINE * LINE);

	if (!q)
		return NULL;
	memset(q, 0, sizeof(*q));
	q->capacity = capacity ? capacity : 1;
	q->resume = q->capacity / 8 ? q->capacity / 8 : 1;
	q->event = calloc(q->capacity, sizeof(*q->event));
	if (!q->event) {
		free(q);
		return NULL;
	}
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	free(q->event);
	free(q);
}

/* ---- producer ---- */

/* Only the producer adds, so no read-modify-write is needed. */
static void add(_Atomic uint64_t *total, uint64_t n)
{
	atomic_store_explicit(total, number_sum(atomic_load_explicit(total, memory_order_relaxed), n),
			      memory_order_release);
}

static void count_lost(struct queue *q, const struct event *ev, size_t n)
{
	int cause = atomic_load_explicit(&q->cause, memory_order_relaxed);
	uint64_t records = 0, unknown = 0, own = 0;
	size_t i;

	if (!n)
		return;
	for (i = 0; i < n; i++) {
		if (ev[i].kind != EV_lost)
			own++;
		else if (!event_has(&ev[i], lost, count))
			unknown++;
		else
			records = number_sum(records, ev[i].lost.count);
	}
	/* t first: who sees the counts must not see an earlier t */
	atomic_store_explicit(&q->total.t, ev[n - 1].t, memory_order_release);
	add(&q->total.records[cause], number_sum(records, own));
	add(&q->own[cause], own);
	add(&q->total.unknown[cause], unknown);
	q->losing = true;
}

static void read_totals(const struct queue *q, struct queue_loss *loss)
{
	unsigned i;

	for (i = 0; i < QUEUE_CAUSES; i++) {
		loss->records[i] = atomic_load_explicit(&q->total.records[i], memory_order_acquire);
		loss->unknown[i] = atomic_load_explicit(&q->total.unknown[i], memory_order_acquire);
	}
	loss->t = atomic_load_explicit(&q->total.t, memory_order_acquire);
}

/* Ends a loss if there is room again; the next event comes behind a mark. Returns whether it did. */
static bool resume(struct queue *q, uint64_t tail, size_t room)
{
	unsigned at = atomic_load_explicit(&q->marks_tail, memory_order_relaxed);
	struct mark *m = &q->mark[at % MARKS];

	if (room < q->resume || at - atomic_load_explicit(&q->marks_head, memory_order_acquire) == MARKS)
		return false;
	m->pos = tail;
	read_totals(q, &m->loss);
	atomic_store_explicit(&q->marks_tail, at + 1, memory_order_release);
	q->losing = false;
	return true;
}

static void copy_in(struct queue *q, uint64_t tail, const struct event *ev, size_t n)
{
	size_t at = tail % q->capacity, first = q->capacity - at;

	if (first > n)
		first = n;
	memcpy(&q->event[at], ev, first * sizeof(*ev));
	memcpy(q->event, ev + first, (n - first) * sizeof(*ev));
}

size_t queue_put(struct queue *q, const struct event *ev, size_t n)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	size_t room = q->capacity - (size_t)(tail - q->head_seen), take = n, count;

	if (room < n || q->losing) {
		q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
		room = q->capacity - (size_t)(tail - q->head_seen);
	}
	if (take > room)
		take = room;
	if (n && q->losing && !resume(q, tail, room))
		take = 0;
	if (take) {
		copy_in(q, tail, ev, take);
		tail += take;
		/* sequentially consistent: the consumer announces that it sleeps, and then checks the queue again */
		atomic_store(&q->tail, tail);
	}
	count = (size_t)(tail - q->head_seen);
	if (count > atomic_load_explicit(&q->most, memory_order_relaxed)) {
		q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
		count = (size_t)(tail - q->head_seen);
		if (count > atomic_load_explicit(&q->most, memory_order_relaxed))
			atomic_store_explicit(&q->most, count, memory_order_relaxed);
	}
	count_lost(q, ev + take, n - take);
	return count;
}

/* ---- consumer ---- */

uint64_t queue_head(const struct queue *q)
{
	return atomic_load_explicit(&q->head, memory_order_relaxed);
}

const struct queue_loss *queue_released(const struct queue *q)
{
	return &q->released;
}

size_t queue_peek(struct queue *q, uint64_t pos, size_t max, const struct event **ev, struct queue_loss *loss)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire), end;
	unsigned i, marks;
	size_t at;

	if (pos == tail) {
		read_totals(q, loss);
		tail = atomic_load_explicit(&q->tail, memory_order_acquire);
		if (pos == tail)
			return 0;
	}
	*loss = q->released;
	end = tail;
	marks = atomic_load_explicit(&q->marks_tail, memory_order_acquire);
	for (i = atomic_load_explicit(&q->marks_head, memory_order_relaxed); i != marks; i++) {
		const struct mark *m = &q->mark[i % MARKS];

		if (m->pos > pos) {
			end = m->pos < tail ? m->pos : tail;
			break;
		}
		*loss = m->loss;
	}
	at = pos % q->capacity;
	*ev = &q->event[at];
	if (max > end - pos)
		max = (size_t)(end - pos);
	return max < q->capacity - at ? max : q->capacity - at;
}

static bool covers(const struct queue_loss *a, const struct queue_loss *b)
{
	unsigned i;

	for (i = 0; i < QUEUE_CAUSES; i++)
		if (a->records[i] < b->records[i] || a->unknown[i] < b->unknown[i])
			return false;
	return true;
}

void queue_release(struct queue *q, uint64_t pos, const struct queue_loss *loss)
{
	unsigned i = atomic_load_explicit(&q->marks_head, memory_order_relaxed);
	unsigned marks = atomic_load_explicit(&q->marks_tail, memory_order_acquire);

	while (i != marks && covers(loss, &q->mark[i % MARKS].loss))
		i++;
	q->released = *loss;
	atomic_store_explicit(&q->marks_head, i, memory_order_release);
	atomic_store_explicit(&q->head, pos, memory_order_release);
}

bool queue_pending(const struct queue *q)
{
	struct queue_loss loss;

	if (queue_count(q))
		return true;
	read_totals(q, &loss);
	return !covers(&q->released, &loss);
}

void queue_set_cause(struct queue *q, enum queue_cause cause)
{
	atomic_store_explicit(&q->cause, (int)cause, memory_order_relaxed);
}

/* ---- any thread ---- */

size_t queue_capacity(const struct queue *q)
{
	return q->capacity;
}

size_t queue_count(const struct queue *q)
{
	/* head first: a tail that is read later is never before it */
	uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
	uint64_t tail = atomic_load(&q->tail);
	uint64_t n = tail - head;

	return n < q->capacity ? (size_t)n : q->capacity;
}

size_t queue_most(const struct queue *q)
{
	return atomic_load_explicit(&q->most, memory_order_relaxed);
}

uint64_t queue_lost(const struct queue *q, enum queue_cause cause)
{
	return atomic_load_explicit(&q->own[cause], memory_order_relaxed);
}
