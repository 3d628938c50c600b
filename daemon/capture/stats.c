/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel's statistics say about losses; see ring.h.
 *
 * The kernel may report a loss twice. With overwriting off, dropped records are only in the statistics. With
 * overwriting on, each one is in "overrun" of the statistics and, exactly once, in the missed count of the next page
 * swapped out. But a full page has no room for the count, and only says that there was a loss. Such a page gets its
 * count from the statistics: overrun minus all that pages have reported. This is right only if no later page still has
 * to report a loss, so the buffer must be empty before and after the statistics are read. Until a CPU stops losing
 * records, its pages are therefore read in a way that leaves room for the count (see read_page() in pages.c).
 *
 * The buffer is ours alone. The statistics also count the records read from it: if they are more than our pages had,
 * another process read them; if fewer, it was emptied. Neither may look like a recording without loss.
 */
#include "daemon/capture/impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"

#define STATS_EVERY NS_PER_S
#define ROOMY_TIME (10 * NS_PER_S) /* after this time without loss a CPU is read in whole pages again */

struct cpu_stats {
	uint64_t overrun, dropped;
	uint64_t read, pages; /* records that were read; our pages at that time */
	bool has_read;
};

static int stats_number(const char *text, const char *key, uint64_t *out)
{
	const char *p = strstr(text, key);
	char *end;

	if (!p)
		return -1;
	p += strlen(key);
	errno = 0;
	*out = strtoull(p, &end, 10);
	return end == p || errno ? -1 : 0;
}

static int read_stats(struct cpu *c, struct cpu_stats *s)
{
	uint64_t commit = 0, dropped = 0;
	char text[1024];
	ssize_t n;

	do
		n = pread(c->stats.fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		log_warning("CPU %u: reading its statistics: %s; what it loses may not be counted from now on",
			    c->number, strerror(errno));
		close_fd(&c->stats.fd);
		return -1;
	}
	text[n] = '\0';
	/* Older kernels have no "dropped events"; "commit overrun" contains "overrun", so the newline matters. */
	if (stats_number(text, "\noverrun: ", &s->overrun)) {
		log_warning("CPU %u: its statistics are not as expected; what it loses may not be counted", c->number);
		close_fd(&c->stats.fd);
		return -1;
	}
	stats_number(text, "\ncommit overrun: ", &commit);
	stats_number(text, "\ndropped events: ", &dropped);
	s->dropped = commit + dropped;
	/* how much of a partly read page is counted is not known yet */
	s->has_read = !(c->read.filling && c->read.filling->fill) && !stats_number(text, "\nread events: ", &s->read);
	s->pages = c->stats.taken;
	return 0;
}

/* Losses of the ring buffer since the statistics were last read; the exact place is unknown. */
static void add_interval(struct ring *r, struct cpu *c, uint64_t count)
{
	struct loss *l = &c->loss[LOST_RING];
	bool first = !l->count && !l->places;

	loss_add(r, c, LOST_RING, count);
	if (first) {
		l->since = c->stats.since;
	}
}

/* Counters went back: another process emptied the buffer. */
static void check_reset(struct ring *r, struct cpu *c, const struct cpu_stats *s)
{
	if (s->dropped >= c->stats.dropped && s->overrun >= c->stats.overrun)
		return;
	log_warning("CPU %u: its buffer was emptied by somebody else; what was in it is lost", c->number);
	loss_unknown(r, c, LOST_RING);
	c->stats.dropped = c->stats.flagged = c->stats.settled = c->stats.ahead = c->stats.unknown = 0;
	c->stats.unknown_page = NULL;
	c->stats.uncounted = true;
}

/* What overrun has beyond all that pages reported. */
static void settle_overrun(struct ring *r, struct cpu *c, uint64_t overrun)
{
	uint64_t rest = overrun > c->stats.flagged + c->stats.settled ? overrun - c->stats.flagged - c->stats.settled : 0;

	if (rest && c->stats.unknown == 1 && c->stats.unknown_page)
		c->stats.unknown_page->lost = rest <= INT64_MAX ? (int64_t)rest : INT64_MAX;
	else if (rest)
		add_interval(r, c, rest);
	c->stats.settled += rest;
	c->stats.unknown = 0;
	c->stats.unknown_page = NULL;
}

void stats_begin(struct cpu *c)
{
	c->stats.since = c->last;
}

void stats_check_read(struct ring *r, struct cpu *c)
{
	uint64_t told = c->stats.told.records, ours = c->stats.records;
	struct loss *l = &c->loss[LOST_RING];
	bool first = !l->count && !l->places;
	char what[128] = "its buffer was emptied by somebody else; what was in it is lost";

	if (!c->stats.told.open || c->stats.done != c->stats.told.pages)
		return;
	c->stats.told.open = false;
	c->stats.records = told;
	if (c->stats.told.uncounted || told == ours)
		return;
	if (told > ours) {
		snprintf(what, sizeof(what), "%" PRIu64 " records were read by another process, and are lost",
			 told - ours);
		loss_add(r, c, LOST_RING, told - ours);
	} else {
		loss_unknown(r, c, LOST_RING);
	}
	ring_complain(r, c, what);
	if (first) {
		l->since = c->stats.told.since;
	}
}

static void take_told(struct ring *r, struct cpu *c, const struct cpu_stats *s)
{
	struct told *t = &c->stats.told;

	if (!s->has_read)
		return;
	if (!t->open)
		*t = (struct told){.open = true, .since = c->stats.since};
	t->pages = s->pages;
	t->records = s->read;
	t->uncounted |= c->stats.uncounted;
	c->stats.uncounted = false;
	stats_check_read(r, c);
}

/* Books what the statistics report. whole: no unread page still has to report an overrun. */
static void book_stats(struct ring *r, struct cpu *c, const struct cpu_stats *s, bool whole)
{
	check_reset(r, c, s);
	if (s->dropped > c->stats.dropped)
		add_interval(r, c, s->dropped - c->stats.dropped);
	c->stats.dropped = s->dropped;
	c->stats.overrun = s->overrun;
	if (whole)
		settle_overrun(r, c, s->overrun);
	take_told(r, c, s);
	c->stats.at = r->now;
	c->stats.fresh = whole;
	stats_begin(c);
}

/* Settles a CPU if it is time, or if it was read empty and a page waits for its count. 0 or -1. */
static int settle_cpu(struct ring *r, struct cpu *c, struct error *e)
{
	struct cpu_stats s;
	bool whole = c->read.empty;
	int ret;

	if (c->stats.fd < 0 || (!(c->read.empty && c->stats.unknown_page) && r->now - c->stats.at < STATS_EVERY))
		return 0;
	if (read_stats(c, &s))
		return 0;
	if (whole && c->fd >= 0 && s.overrun > c->stats.flagged + c->stats.settled) {
		ret = pages_read(r, c, e);
		if (ret < 0)
			return -1;
		whole = !ret;
		if (c->stats.fd < 0) /* it ended and is settled */
			return 0;
	}
	book_stats(r, c, &s, whole);
	return 0;
}

int stats_settle(struct ring *r, struct error *e)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < r->cpus && !ret; i++)
		ret = settle_cpu(r, r->cpu[i], e);
	pages_give_back(r);
	return ret;
}

void stats_settle_last(struct ring *r, struct cpu *c)
{
	struct cpu_stats s;

	if (c->stats.fd < 0 || read_stats(c, &s))
		return;
	if (!c->stats.unknown && s.overrun > c->stats.flagged + c->stats.settled)
		c->stats.ahead += s.overrun - c->stats.flagged - c->stats.settled;
	book_stats(r, c, &s, true);
}

void stats_rebase(struct cpu *c)
{
	struct cpu_stats s;

	if (c->stats.fd < 0 || read_stats(c, &s))
		return;
	if (s.dropped < c->stats.dropped || s.overrun < c->stats.overrun)
		c->stats.dropped = c->stats.overrun = c->stats.flagged = c->stats.settled = c->stats.ahead = 0;
}

void stats_book_flag(struct cpu *c, struct page *p, int64_t lost, uint64_t now)
{
	uint64_t told = lost > 0 ? (uint64_t)lost : 0;

	if (told > c->stats.ahead)
		told = c->stats.ahead;
	c->stats.ahead -= told;
	c->stats.flagged += told; /* the statistics reported it: settled moves to flagged */
	c->stats.settled -= told;
	lost -= (int64_t)told;
	p->lost = lost;
	if (lost > 0) {
		c->stats.flagged += (uint64_t)lost;
		c->read.roomy_until = c->read.roomy_until ? now + ROOMY_TIME : 0;
	} else if (lost) {
		c->stats.unknown++;
		c->stats.unknown_page = p;
		c->read.roomy_until = now + ROOMY_TIME;
	} else if (c->read.roomy_until < now) {
		c->read.roomy_until = 0;
	}
}
