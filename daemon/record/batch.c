/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch: moves events of the queue into a transaction; see writer.h.
 *
 * Events stay in the queue until the transaction that holds them is committed: a batch reads them in place, and only
 * then releases them. So a refused batch costs nothing to keep; the next try makes it anew, and larger. What does not
 * fit into the queue meanwhile becomes a lost event behind it. No event is written twice and none is dropped between
 * the two, because the head of the queue and last_event move together.
 */
#include "daemon/record/impl.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"

#define SECOND INT64_C(1000000000)

int batch_append_lost(struct writer *w, struct store *s, struct batch *b, unsigned cause, uint64_t count, bool unknown,
		      uint64_t t, uint64_t since, struct error *e)
{
	struct event ev = {.kind = EV_lost, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID};

	ev.t = b->has_t && t < b->last_t ? b->last_t : t;
	ev.lost.cause = w->cause[cause];
	if (unknown)
		ev.missing |= EVENT_BIT(lost, count);
	else
		ev.lost.count = count;
	if (b->has_t)
		ev.lost.since = since;
	else
		ev.missing |= EVENT_BIT(lost, since);
	b->records = number_sum(b->records, count);
	b->last_t = ev.t;
	b->has_t = true;
	return store_append(s, &ev, 1, w->strings, e);
}

static bool has_texts(const struct writer *w, const struct event *ev)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	if (ev->comm && !intern_get(w->strings, ev->comm))
		return false;
	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type == FIELD_STR && !(ev->missing & 1u << i) &&
		    !intern_get(w->strings, (uint32_t)ev->f[i]))
			return false;
	return true;
}

/* Whether a reader would accept the event; one that it refuses would make the whole capture unreadable. */
static bool is_valid(struct writer *w, const struct batch *b, const struct event *ev)
{
	struct error e = {""};

	if (event_check(ev, &e))
		; /* e has the reason */
	else if (b->has_t && ev->t < b->last_t)
		error_set(&e, "%s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64,
			  event_table[ev->kind].name, ev->t, b->last_t);
	else if (!has_texts(w, ev))
		error_set(&e, "%s: text without an entry in the table of strings", event_table[ev->kind].name);
	else
		return true;
	if (!w->told_invalid)
		log_error("an event that cannot be is not stored, but counted as lost, as all like it: %s", e.text);
	w->told_invalid = true;
	return false;
}

/* Appends events of the queue; each run of impossible events becomes one lost event. */
static int append_run(struct writer *w, struct batch *b, const struct event *ev, size_t n, struct error *e)
{
	size_t i = 0, first, bad;

	while (i < n) {
		for (first = i; i < n && is_valid(w, b, &ev[i]); i++) {
			b->last_t = ev[i].t;
			b->has_t = true;
			b->records = number_sum(b->records, ev[i].kind == EV_lost ? ev[i].lost.count : 1);
		}
		if (store_append(w->store, ev + first, i - first, w->strings, e))
			return -1;
		b->rows += i - first;
		for (bad = 0; i < n && !is_valid(w, b, &ev[i]); i++)
			bad++;
		b->invalid += bad;
		if (bad && batch_append_lost(w, w->store, b, CAUSE_INVALID, bad, false, b->last_t, b->last_t, e))
			return -1;
	}
	return 0;
}

/* Appends the loss between the last appended event and the next one: known and unknown counts separately. */
static int append_loss(struct writer *w, struct batch *b, const struct queue_loss *now, struct error *e)
{
	uint64_t since = b->last_t, records, unknown;
	struct queue_loss *before = &b->loss;
	unsigned i;

	for (i = 0; i < QUEUE_CAUSES; i++) {
		records = now->records[i] > before->records[i] ? now->records[i] - before->records[i] : 0;
		unknown = now->unknown[i] > before->unknown[i] ? now->unknown[i] - before->unknown[i] : 0;
		if (!records && !unknown)
			continue;
		before->records[i] += records;
		before->unknown[i] += unknown;
		if (records && batch_append_lost(w, w->store, b, i, records, false, now->t, since, e))
			return -1;
		if (unknown && batch_append_lost(w, w->store, b, i, 0, true, now->t, since, e))
			return -1;
	}
	return 0;
}

/*
 * In a transaction: notes that the wall clock was set, or that the machine slept. Events since the last such check may
 * be from before or after the sleep: they count as the younger.
 */
static int follow_clocks(struct writer *w, struct batch *b, struct error *e)
{
	int64_t wall = recorder_wall(), slept = recorder_slept();
	uint64_t now = clock_ns();

	if (wall - b->wall > SECOND || b->wall - wall > SECOND) {
		if (recorder_set_wall(w->store, w->capture, wall, e))
			return -1;
		b->wall = wall;
	}
	if (slept - b->slept > SECOND) {
		if (recorder_add_sleep(w->store, w->capture, b->looked, slept, e))
			return -1;
		b->slept = slept;
	}
	b->looked = now;
	return 0;
}

/* In a transaction. */
static int append_batch(struct writer *w, struct batch *b, struct error *e)
{
	uint64_t left = w->opt.batch_rows;
	const struct event *ev = NULL;
	struct queue_loss loss;
	size_t n;

	if (follow_clocks(w, b, e))
		return -1;
	while (left) {
		n = queue_peek(w->queue, b->pos, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &ev, &loss);
		if (append_loss(w, b, &loss, e))
			return -1;
		if (!n)
			break;
		if (append_run(w, b, ev, n, e))
			return -1;
		b->pos += n;
		left -= n;
	}
	return 0;
}

void batch_committed(struct writer *w, const struct batch *b)
{
	uint64_t rows = b->rows - w->done.rows, invalid = b->invalid - w->done.invalid;
	uint64_t unnamed = b->unnamed - w->done.unnamed;

	if (b->pos != queue_head(w->queue) || memcmp(&b->loss, queue_released(w->queue), sizeof(b->loss)))
		queue_release(w->queue, b->pos, &b->loss);
	w->done = *b;
	w->attempt.last_event = 0;
	pthread_mutex_lock(&w->lock);
	w->stats.rows += rows;
	w->stats.lost_invalid += invalid;
	w->stats.unnamed += unnamed;
	pthread_mutex_unlock(&w->lock);
}

int batch_write(struct writer *w, struct error *e)
{
	uint64_t start = clock_ns(), before, took;
	struct batch b;

	if (w->store)
		place_follow(w);
	if (!w->store && writer_open(w, e))
		return -1;
	w->attempt.last_event = 0;
	b = w->done;
	if (store_begin(w->store, e))
		return -1;
	if (append_batch(w, &b, e)) {
		store_rollback(w->store);
		return -1;
	}
	b.unnamed = b.unnamed_before + store_unnamed(w->store);
	b.last_event = store_last_event(w->store);
	w->attempt = b;
	before = clock_ns();
	if (store_commit(w->store, e))
		return -1;
	took = clock_since(before);
	batch_committed(w, &b);
	w->last_commit = clock_ns();
	pthread_mutex_lock(&w->lock);
	w->stats.batches++;
	w->stats.commits++;
	w->stats.batch_ns_sum += clock_since(start);
	w->stats.commit_ns_sum += took;
	if (took > w->stats.commit_ns_max)
		w->stats.commit_ns_max = took;
	pthread_mutex_unlock(&w->lock);
	return 0;
}
