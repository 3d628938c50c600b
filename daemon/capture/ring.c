/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drain, and CPUs that come and go; see ring.h.
 *
 * Vocabulary: a page is one sub-buffer as read() returns it. Each CPU has a queue of pages; the first page is being
 * consumed: its next record is in rec. All CPUs that have a record are in a heap, by its time. A drain has three steps:
 *
 *   1. Read pages (pages.c).
 *   2. Settle losses that only the statistics report (stats.c).
 *   3. Merge records up to the limit, decode them into a batch of events, and give it to the sink (merge.c). The limit is
 *      the start of the drain minus the merge window, or, where a CPU still has unread pages, the time of the last page
 *      read there, if that is earlier.
 */
#include "daemon/capture/impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"

#define MAX_CPUS 65536u
#define MAX_NAMES (1u << 20)   /* strings, which are never freed; beyond that no command name is added */
#define FUTURE (10 * NS_PER_S) /* a record this much after now is damage */
#define WARNINGS 10	       /* log lines about damage; after that one a second, at debug level */
#define FINISH_PAGES 65536     /* of a CPU, at most, in the last read */

static uint64_t trace_now(const struct ring *r)
{
	return r->opt.now ? r->opt.now(r->opt.now_ctx) : clock_ns();
}

void ring_complain(struct ring *r, const struct cpu *c, const char *what)
{
	if (r->damage.told < WARNINGS) {
		r->damage.told++;
		log_warning("CPU %u: %s%s", c->number, what,
			    r->damage.told == WARNINGS ? " (more of this only at level debug, once a second)" : "");
		return;
	}
	if (r->now - r->damage.told_at < NS_PER_S)
		return;
	r->damage.told_at = r->now;
	log_debug("CPU %u: %s", c->number, what);
}

bool ring_in_future(const struct ring *r, uint64_t t)
{
	return t > r->now && t - r->now > FUTURE;
}

/* --- drains */

static void publish(struct ring *r)
{
	const struct decoder_stats *d = decoder_stats(r->decoder);

	r->stats.other =
		d->other + d->state + d->unneeded + d->failed_map + d->failed_access + d->empty_unmap + d->covered;
	r->stats.unnamed = d->unnamed;
	r->stats.doubtful_names = d->doubtful_names;
	pthread_mutex_lock(&r->lock);
	r->published = r->stats;
	pthread_mutex_unlock(&r->lock);
}

static void begin_drain(struct ring *r)
{
	size_t i;

	r->now = trace_now(r);
	r->stats.drains++;
	for (i = 0; i < r->cpus; i++) {
		r->cpu[i]->read.empty = false;
		r->cpu[i]->read.caught_up = false;
		r->cpu[i]->read.scraps = 0;
		r->cpu[i]->read.pages = 0;
	}
}

static void end_drain(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		if (r->cpu[i]->stats.fresh)
			stats_begin(r->cpu[i]);
		r->cpu[i]->stats.fresh = false;
	}
}

static int take_gone(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->read.tell_gone) {
			r->cpu[i]->read.tell_gone = false;
			return (int)r->cpu[i]->number;
		}
	return -1;
}

static int check_ready(const struct ring *r, struct error *e)
{
	return r->fmt.size ? 0 : error_set(e, "the format of ring buffer pages is not known: give header_page first");
}

long ring_drain(struct ring *r, size_t max_pages, int *gone, struct error *e)
{
	uint64_t limit;
	long pages;

	if (gone)
		*gone = -1;
	if (check_ready(r, e))
		return -1;
	begin_drain(r);
	pages = pages_read_all(r, max_pages, e);
	if (pages >= 0 && stats_settle(r, e))
		pages = -1;
	limit = merge_limit(r);
	/* Losses without a CPU come first: whoever reads a record after them must know. */
	losses_give_all(r, r->heap.n && r->heap.cpu[0]->queue.rec.ts < limit ? r->heap.cpu[0]->queue.rec.ts : limit,
			LOST_RING);
	merge_until(r, limit, 0);
	losses_give_all(r, limit, LOST_RING);
	batch_flush(r);
	end_drain(r);
	if (gone)
		*gone = take_gone(r);
	publish(r);
	return pages;
}

void ring_dropped(const struct ring *r, struct dropped *out)
{
	decoder_dropped(r->decoder, out);
}

int ring_finish(struct ring *r, struct error *e)
{
	size_t i;
	int ret = 0;

	if (check_ready(r, e))
		return -1;
	begin_drain(r);
	if (pages_read_all(r, FINISH_PAGES, e) < 0)
		ret = -1;
	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		stats_settle_last(r, c);
		pages_take_rest(r, c);
	}
	merge_until(r, UINT64_MAX, 0);
	if (r->stats.changed)
		loss_unknown(r, &r->losses.others, LOST_RING);
	losses_give_all(r, r->now, LOST_FLAG);
	while (decoder_finish(r->decoder, batch_room(r, 1)) > 0) {
		r->out.n++;
		r->stats.events++;
	}
	batch_flush(r);
	publish(r);
	return ret;
}

void ring_stats(const struct ring *r, struct ring_stats *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&r->lock;

	pthread_mutex_lock(lock);
	*out = r->published;
	pthread_mutex_unlock(lock);
}

/* --- CPUs */

static struct cpu *find_cpu(const struct ring *r, unsigned number)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->number == number)
			return r->cpu[i];
	return NULL;
}

static struct cpu *new_cpu(struct ring *r, unsigned number)
{
	struct cpu **cpu = grow(r->cpu, r->cpus), *c;

	if (!cpu || !grow(r->heap.cpu, r->cpus))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->number = number;
	c->queue.rec.cpu = (int)number;
	c->fd = c->stats.fd = -1;
	*cpu = c;
	r->cpus++;
	pages_limit(r);
	return c;
}

int ring_cpu_add(struct ring *r, unsigned cpu, int fd, int stats_fd, struct error *e)
{
	struct cpu *c = find_cpu(r, cpu);
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))) {
		error_errno(e, "CPU %u: its buffer", cpu);
		goto fail;
	}
	if (c && c->fd >= 0) {
		error_set(e, "CPU %u: is there already", cpu);
		goto fail;
	}
	if (!c && (cpu >= MAX_CPUS || !(c = new_cpu(r, cpu)))) {
		error_set(e, "CPU %u: %s", cpu, cpu >= MAX_CPUS ? "no machine has that many" : "out of memory");
		goto fail;
	}
	c->fd = fd;
	c->stats.fd = stats_fd;
	c->read.zeros = 0;
	/*
	 * A pipe ends. A file of tracefs does not: after any duplicate of its descriptor was closed (passing it to
	 * another process, or fork and exec, is enough), an empty buffer reads as end of file, not EAGAIN.
	 */
	c->read.ends = fstat(fd, &st) || !S_ISREG(st.st_mode);
	c->read.roomy_until = 0;
	c->stats.unknown = 0;
	c->stats.unknown_page = NULL;
	c->read.tell_gone = false;
	c->stats.uncounted = c->stats.taken > 0;
	stats_rebase(c);
	return 0;
fail:
	close_fd(&fd);
	close_fd(&stats_fd);
	return -1;
}

int ring_header_page(struct ring *r, const char *text, size_t len, struct error *e)
{
	struct subbuf_format fmt = {0};

	if (subbuf_format(&fmt, text, len, 0, tep_is_bigendian(), e))
		return -1;
	if (r->fmt.size && r->fmt.size != fmt.size)
		return error_set(e, "header_page: sub-buffers of %u bytes, but they had %u", fmt.size, r->fmt.size);
	r->fmt = fmt;
	pages_limit(r);
	return 0;
}

/* --- lifetime */

struct ring *ring_new(const struct ring_options *o, struct intern *strings, struct error *e)
{
	struct ring *r = calloc(1, sizeof(*r));

	if (!r)
		goto fail;
	r->opt = *o;
	r->strings = strings;
	r->names.fd = r->names.symbols = -1;
	pthread_mutex_init(&r->lock, NULL);
	r->decoder = decoder_new(strings, NULL);
	if (!r->decoder || names_init(r) || losses_init(r))
		goto fail;
	decoder_limit_names(r->decoder, MAX_NAMES);
	if (o->tracepoints)
		decoder_take_tracepoints(r->decoder);
	return r;
fail:
	ring_free(r);
	error_set(e, "out of memory");
	return NULL;
}

void ring_free(struct ring *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->cpus; i++) {
		close_fd(&r->cpu[i]->fd);
		close_fd(&r->cpu[i]->stats.fd);
		free(r->cpu[i]->read.filling);
		pages_free(r->cpu[i]->queue.head);
		free(r->cpu[i]);
	}
	free(r->cpu);
	free(r->heap.cpu);
	pages_free(r->pool.free);
	names_free(r);
	decoder_free(r->decoder);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
