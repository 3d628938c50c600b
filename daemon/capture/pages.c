/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages, from the kernel to the queue of their CPU; see ring.h. Each read is from the CPU that is furthest behind,
 * until all CPUs are empty or that one has had its share. So unread records are never much older than queued ones, and
 * queues stay short.
 *
 * If records arrive as fast as they are read, each would get a page of its own. So a CPU whose pages are nearly empty
 * has had its share; the rest is read and merged in the next drain.
 *
 * At most pool.limit pages exist, plus one for each CPU that is being filled. They are reused, and never freed.
 */
#include "daemon/capture/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/log.h"

#define SCRAPS 2 /* nearly empty pages after which a drain stops reading a CPU */
#define ENDED 2	 /* empty reads in a row: the kernel gives one when it races with a writer */

void pages_limit(struct ring *r)
{
	size_t n = r->fmt.size ? (size_t)(r->opt.merge_bytes / r->fmt.size) : 0;

	r->pool.limit = n < r->cpus + 1 ? r->cpus + 1 : n;
}

void page_release(struct ring *r, struct page *p)
{
	p->next = r->pool.free;
	r->pool.free = p;
}

void pages_free(struct page *p)
{
	struct page *next;

	for (; p; p = next) {
		next = p->next;
		free(p);
	}
}

/* A free page; when memory is used up, records go out for it, at last before their time. NULL: out of memory. */
static struct page *get_page(struct ring *r, struct error *e)
{
	struct page *p;

	if (!r->pool.free && r->pool.pages >= r->pool.limit)
		merge_for_page(r);
	p = r->pool.free;
	if (p) {
		r->pool.free = p->next;
	} else {
		p = malloc(sizeof(*p) + r->fmt.size);
		if (!p) {
			error_set(e, "out of memory for ring buffer pages; lower merge_bytes");
			return NULL;
		}
		r->pool.pages++;
	}
	p->next = NULL;
	p->fill = 0;
	p->lost = 0;
	return p;
}

/* The page is complete: looks at its header, and queues it. */
static void take_page(struct ring *r, struct cpu *c, struct page *p)
{
	struct error why;
	struct subbuf sb;

	why.text[0] = '\0';
	c->read.filling = NULL;
	c->read.pages++;
	r->stats.pages++;
	if (p->fill < r->fmt.size)
		memset(p->data + p->fill, 0, r->fmt.size - p->fill);
	if (p->fill < r->fmt.data || subbuf_load(&sb, &r->fmt, p->data, &why) || sb.end > p->fill) {
		c->stats.uncounted = true;
		loss_unknown(r, c, LOST_DECODER);
		ring_complain(r, c, why.text[0] ? why.text : "a sub-buffer that is cut off");
		page_release(r, p);
		return;
	}
	if (sb.ts > c->read.bound && !ring_in_future(r, sb.ts))
		c->read.bound = sb.ts;
	stats_book_flag(c, p, sb.lost, r->now);
	c->stats.taken++;
	c->read.scraps = sb.end - sb.pos < r->fmt.size / 2 ? c->read.scraps + 1 : 0;
	c->read.caught_up = c->read.scraps >= SCRAPS;
	merge_queue(r, c, p);
}

void pages_take_rest(struct ring *r, struct cpu *c)
{
	if (c->read.filling && c->read.filling->fill)
		take_page(r, c, c->read.filling);
}

static void end_cpu(struct ring *r, struct cpu *c)
{
	pages_take_rest(r, c);
	stats_settle_last(r, c);
	close_fd(&c->fd);
	close_fd(&c->stats.fd);
	c->read.empty = true;
}

/*
 * Reads into the page. If it can, the kernel hands over a whole sub-buffer, which may have no room for the number of
 * lost records. If asked for less than a sub-buffer, it copies records up to that size, and the count fits behind them;
 * the rest of the sub-buffer comes with the next read.
 */
static ssize_t read_page(const struct ring *r, const struct cpu *c, struct page *p)
{
	size_t want = r->fmt.size - p->fill, tail = r->fmt.commit_size;
	struct iovec iov[2] = {
		{p->data + p->fill, want - tail},
		{p->data + r->fmt.size - tail, tail},
	};

	if (c->read.roomy_until && !p->fill)
		return readv(c->fd, iov, 2);
	return read(c->fd, p->data + p->fill, want);
}

int pages_read(struct ring *r, struct cpu *c, struct error *e)
{
	struct page *p = c->read.filling;
	ssize_t n;

	if (!p) {
		p = c->read.filling = get_page(r, e);
		if (!p)
			return -1;
	}
	while (p->fill < r->fmt.size) {
		n = read_page(r, c, p);
		if (n > 0) {
			p->fill += (size_t)n;
			c->read.zeros = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->read.zeros = 0;
			c->read.empty = true;
			return 0;
		}
		if (!n && ++c->read.zeros < ENDED)
			continue;
		if (!n && !c->read.ends) {
			c->read.zeros = 0;
			c->read.empty = true;
			return 0;
		}
		if (n < 0 && errno != ENODEV)
			log_error("CPU %u: reading its buffer: %s", c->number, strerror(errno));
		c->read.tell_gone = true;
		end_cpu(r, c);
		return 0;
	}
	take_page(r, c, p);
	return 1;
}

/* The CPU that is furthest behind, of those that have more to read, or NULL. */
static struct cpu *next_to_read(const struct ring *r)
{
	struct cpu *best = NULL;
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		if (c->fd >= 0 && !c->read.empty && !c->read.caught_up && (!best || c->read.bound < best->read.bound))
			best = c;
	}
	return best;
}

void pages_give_back(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		if (!c->read.filling || c->read.filling->fill)
			continue;
		page_release(r, c->read.filling);
		c->read.filling = NULL;
	}
}

long pages_read_all(struct ring *r, size_t max_pages, struct error *e)
{
	struct cpu *c;
	long pages = 0;
	int ret = 0;

	while ((c = next_to_read(r)) && c->read.pages < max_pages) {
		ret = pages_read(r, c, e);
		if (ret < 0)
			break;
		pages += ret;
	}
	pages_give_back(r);
	return ret < 0 ? -1 : pages;
}
