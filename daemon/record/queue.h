/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounded queue between the drain and the writer: a ring of events for one producer and one consumer, each a
 * thread. Neither waits for the other: there are no locks, and an event that finds no room is lost and counted.
 *
 * Positions count events from the beginning and never wrap: events between head and tail are queued. The consumer reads
 * them in place, as often as it likes, and releases them when they are safe. So a batch that the database refuses costs
 * nothing to keep.
 *
 * A loss lies between two positions. Losses are kept as totals since the beginning, per cause. A mark holds the totals
 * at a position; when the consumer passes it, the difference to the previous totals is the loss. After an overflow the
 * producer takes no events until an eighth of the queue is free, so that a slow consumer causes few losses instead of
 * one per event, and few marks are enough.
 */
#ifndef IOFLUSH_DAEMON_RECORD_QUEUE_H
#define IOFLUSH_DAEMON_RECORD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/event.h"

enum queue_cause {
	QUEUE_FULL,	/* the writer is too slow */
	QUEUE_DATABASE, /* the database takes nothing */
	QUEUE_CAUSES
};

/* Totals since the beginning. */
struct queue_loss {
	uint64_t records[QUEUE_CAUSES]; /* a lost event counts as the records it stands for */
	uint64_t unknown[QUEUE_CAUSES]; /* lost events with an unknown count */
	uint64_t t;			/* of the last lost event */
};

struct queue;

struct queue *queue_new(size_t capacity); /* NULL: out of memory; capacity 0 is taken as 1 */
void queue_free(struct queue *q);	  /* NULL is fine */

/* ---- producer ---- */

/* Queues what there is room for and counts the rest as lost. Returns how many are queued now. */
size_t queue_put(struct queue *q, const struct event *ev, size_t n);

/* ---- consumer ---- */

uint64_t queue_head(const struct queue *q);

/*
 * Up to max events from pos on (between head and tail), contiguous in memory and without a loss between them. Returns
 * how many; 0: none are queued. *loss: the totals before the first of them, or before the next event to come.
 */
size_t queue_peek(struct queue *q, uint64_t pos, size_t max, const struct event **ev, struct queue_loss *loss);

/* The totals at the last release. */
const struct queue_loss *queue_released(const struct queue *q);

/* Events before pos are safe, and so are the losses up to these totals. */
void queue_release(struct queue *q, uint64_t pos, const struct queue_loss *loss);

/* Whether there is anything to read: events or losses. */
bool queue_pending(const struct queue *q);

/* Sets the cause under which the producer counts losses from now on. */
void queue_set_cause(struct queue *q, enum queue_cause cause);

/* ---- any thread ---- */

size_t queue_capacity(const struct queue *q);
size_t queue_count(const struct queue *q); /* events queued */
size_t queue_most(const struct queue *q);  /* at most since the beginning */
/* Events lost here. If a lost event did not fit, the losses that it reports were counted earlier, and not here. */
uint64_t queue_lost(const struct queue *q, enum queue_cause cause);

#endif
