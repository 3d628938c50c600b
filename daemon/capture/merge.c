/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records: taken out of the pages of each CPU, merged by time, decoded, and given out; see ring.h.
 *
 * Invariants:
 *   - the sink's events never go back in time: out.t is the last time, and a record before it is lost;
 *   - when all pages are in use, records go out early rather than being dropped: first the merge window is given up, then
 *     the order against unread pages. forced_t is the time up to which this happened; a record that is late for that
 *     reason counts as lost to "merge memory";
 *   - there is no allocation and no system call per record.
 */
#include "daemon/capture/impl.h"

/* --- the heap */

static bool heap_before(const struct cpu *a, const struct cpu *b)
{
	if (a->queue.rec.ts != b->queue.rec.ts)
		return a->queue.rec.ts < b->queue.rec.ts;
	return a->number < b->number;
}

static void heap_down(struct ring *r)
{
	struct cpu *c = r->heap.cpu[0];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->heap.n) {
		if (child + 1 < r->heap.n && heap_before(r->heap.cpu[child + 1], r->heap.cpu[child]))
			child++;
		if (!heap_before(r->heap.cpu[child], c))
			break;
		r->heap.cpu[i] = r->heap.cpu[child];
		i = child;
	}
	r->heap.cpu[i] = c;
}

static void heap_add(struct ring *r, struct cpu *c)
{
	size_t i = r->heap.n++, up;

	for (; i; i = up) {
		up = (i - 1) / 2;
		if (!heap_before(c, r->heap.cpu[up]))
			break;
		r->heap.cpu[i] = r->heap.cpu[up];
	}
	r->heap.cpu[i] = c;
	c->queue.in_heap = true;
}

static void heap_pop(struct ring *r)
{
	r->heap.cpu[0]->queue.in_heap = false;
	r->heap.cpu[0] = r->heap.cpu[--r->heap.n];
	if (r->heap.n)
		heap_down(r);
}

/* --- records of a CPU */

/* The losses that the first page reports before itself. Not done when it is loaded: its count may still come. */
static void take_flag(struct ring *r, struct cpu *c)
{
	struct page *p = c->queue.head;

	if (p->lost > 0)
		loss_add(r, c, LOST_FLAG, (uint64_t)p->lost);
	else
		loss_unknown(r, c, LOST_FLAG);
	p->lost = 0;
	if (p == c->stats.unknown_page)
		c->stats.unknown_page = NULL;
}

static void drop_head(struct ring *r, struct cpu *c)
{
	struct page *p = c->queue.head;

	if (p->lost)
		take_flag(r, c);
	c->queue.head = p->next;
	if (!c->queue.head)
		c->queue.tail = NULL;
	c->queue.loaded = false;
	page_release(r, p);
	c->stats.done++;
	stats_check_read(r, c);
}

/* Begins the CPU's first page. Its header was checked when it was read. */
static void load_head(const struct ring *r, struct cpu *c)
{
	struct error ignored;

	ignored.text[0] = '\0';
	if (subbuf_load(&c->queue.sb, &r->fmt, c->queue.head->data, &ignored))
		c->queue.sb.end = c->queue.sb.pos;
	c->queue.loaded = true;
}

/* Puts the CPU's next record into rec; false: it has none. */
static bool next_record(struct ring *r, struct cpu *c)
{
	struct error why;
	int ret;

	why.text[0] = '\0';
	while (c->queue.head) {
		if (!c->queue.loaded)
			load_head(r, c);
		ret = subbuf_next(&c->queue.sb, &c->queue.rec, &why);
		if (ret > 0) {
			r->stats.records++;
			c->stats.records++;
			if (!ring_in_future(r, c->queue.rec.ts))
				return true;
			loss_add(r, c, LOST_DECODER, 1);
			ring_complain(r, c, "a record's time lies in the future; is the trace clock \"mono\"?");
			continue;
		}
		if (ret < 0) {
			*(c->stats.told.open ? &c->stats.told.uncounted : &c->stats.uncounted) = true;
			loss_unknown(r, c, LOST_DECODER);
			ring_complain(r, c, why.text);
			why.text[0] = '\0';
		}
		drop_head(r, c);
	}
	return false;
}

void merge_queue(struct ring *r, struct cpu *c, struct page *p)
{
	if (c->queue.tail)
		c->queue.tail->next = p;
	else
		c->queue.head = p;
	c->queue.tail = p;
	if (!c->queue.in_heap && next_record(r, c))
		heap_add(r, c);
}

/* --- merging */

/* Calls that could not be paired since the last record; the decoder reports them by events of its own. */
static uint64_t take_unpaired(struct ring *r)
{
	uint64_t all = decoder_stats(r->decoder)->unpaired, since = all - r->unpaired;

	r->unpaired = all;
	return since;
}

/* Decodes the record of a CPU into events in the batch. */
static void give_record(struct ring *r, struct cpu *c)
{
	struct error why;
	int n;

	if (c->queue.head->lost)
		take_flag(r, c);
	if (c->queue.rec.ts < r->out.t) {
		loss_add(r, c, c->queue.rec.ts <= r->forced_t ? LOST_MERGE : LOST_LATE, 1);
		return;
	}
	if (c->has_loss)
		losses_give(r, c, c->queue.rec.ts, LOST_FLAG);
	if (r->names.fd >= 0 && r->names.has_pid)
		names_look(r, &c->queue.rec);
	why.text[0] = '\0'; /* to zero all of its 1 KiB would cost more than the record */
	n = decoder_record(r->decoder, r->names.tep, &c->queue.rec, batch_room(r, DECODER_MAX_EVENTS), &why);
	if (n < 0) {
		loss_add(r, c, LOST_DECODER, 1 + take_unpaired(r)); /* their event went with it */
		ring_complain(r, c, why.text);
	} else {
		r->out.n += (size_t)n;
		r->stats.events += (uint64_t)n;
		r->stats.lost_decoder += take_unpaired(r);
		if (n)
			r->stats.last_t = c->queue.rec.ts;
	}
	r->out.t = c->queue.rec.ts;
	c->last = (struct moment){c->queue.rec.ts, true};
}

/* The CPU with the second-earliest record, or NULL. */
static const struct cpu *heap_second(const struct ring *r)
{
	if (r->heap.n < 2)
		return NULL;
	if (r->heap.n > 2 && heap_before(r->heap.cpu[2], r->heap.cpu[1]))
		return r->heap.cpu[2];
	return r->heap.cpu[1];
}

void merge_until(struct ring *r, uint64_t limit, size_t wanted)
{
	while (r->heap.n && r->heap.cpu[0]->queue.rec.ts <= limit && !(wanted && r->pool.free)) {
		struct cpu *c = r->heap.cpu[0];
		const struct cpu *second = heap_second(r);
		const struct page *head = c->queue.head;
		bool more;

		/* Usually one CPU has many records before the next CPU's turn. */
		do {
			give_record(r, c);
			more = next_record(r, c);
		} while (more && c->queue.rec.ts <= limit && !(second && heap_before(second, c)) &&
			 !(wanted && c->queue.head != head));
		if (more)
			heap_down(r);
		else
			heap_pop(r);
	}
}

/* Up to this time every record is known, whatever the window: no unread one is older. */
static uint64_t read_limit(const struct ring *r)
{
	uint64_t limit = r->now;
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		const struct cpu *c = r->cpu[i];

		if (c->fd >= 0 && !c->read.empty && c->read.bound < limit)
			limit = c->read.bound;
	}
	return limit;
}

uint64_t merge_limit(const struct ring *r)
{
	uint64_t read = read_limit(r), window = r->opt.merge_window_ns;
	uint64_t limit = r->now > window ? r->now - window : 0;

	return read < limit ? read : limit;
}

void merge_for_page(struct ring *r)
{
	merge_until(r, merge_limit(r), 1);
	if (r->pool.free || !r->heap.n)
		return;
	merge_until(r, read_limit(r), 1);
	if (!r->pool.free)
		merge_until(r, UINT64_MAX, 1);
	r->forced_t = r->out.t;
}
