/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over a source: its captures, each into a fresh model.
 *
 * A reader thread decodes ahead into a ring of batches; the caller's thread feeds the model from it. The ring is
 * bounded and made once. Two counters under a lock hand batches over: made (by the reader) and used (by the consumer),
 * with made - used <= RING_SLOTS. A batch belongs to the reader until it is counted in made, then to the consumer until
 * it is counted in used. The reader ends at the end of the capture, at an error, or when the consumer says stop, and is
 * joined before anything else uses the source. So the result does not depend on scheduling.
 */
#include "analyzer/replay/replay.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/replay/progress.h"
#include "base/text.h"
#include "trace/formats/open.h"

#define RING_SLOTS 8
#define BATCH_EVENTS 1024
#define PARTIAL_HINT "--allow-partial reports what is there, as a part"

struct batch {
	size_t n;
	struct event ev[BATCH_EVENTS];
};

struct ring {
	struct source *source;
	struct batch *slot; /* RING_SLOTS of them */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* at most one thread waits: the consumer for a batch or the reader for room */
	unsigned made, used;
	bool done; /* the reader has ended; failed and error are final */
	bool stop; /* the consumer wants no more */
	bool failed;
	struct error error;
};

/* What the replay of one capture needs, besides the ring. */
struct pass {
	const struct replay *r;
	struct ring *ring;
	struct progress *progress;
	struct capture capture;
	struct model *model;
	bool cut;	/* an event after replay.to was seen: it and what follows are left out */
	bool broken;	/* the capture is not whole, and that is an error */
	char note[128]; /* the text of partial for that */
};

static int ring_init(struct ring *ring, struct source *s, struct error *e)
{
	*ring = (struct ring){.source = s};
	ring->slot = calloc(RING_SLOTS, sizeof(*ring->slot));
	if (!ring->slot)
		return error_set(e, "out of memory");
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	return 0;
}

static void ring_destroy(struct ring *ring)
{
	if (!ring->slot)
		return;
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
	free(ring->slot);
}

/* The reader's next free batch, or NULL: the consumer wants no more. */
static struct batch *ring_wait_room(struct ring *ring)
{
	struct batch *b = NULL;

	pthread_mutex_lock(&ring->lock);
	while (ring->made - ring->used == RING_SLOTS && !ring->stop)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (!ring->stop)
		b = &ring->slot[ring->made % RING_SLOTS];
	pthread_mutex_unlock(&ring->lock);
	return b;
}

/* Wakes the other side only when it can be asleep: the consumer on an empty ring, the reader on a full one. */
static void ring_made(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	if (ring->made++ == ring->used)
		pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

static void ring_used(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	if (ring->made - ring->used++ == RING_SLOTS)
		pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

/* The consumer's next batch, or NULL: the reader has ended and all it made was used. */
static struct batch *ring_wait_batch(struct ring *ring)
{
	struct batch *b = NULL;

	pthread_mutex_lock(&ring->lock);
	while (ring->made == ring->used && !ring->done)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (ring->made != ring->used)
		b = &ring->slot[ring->used % RING_SLOTS];
	pthread_mutex_unlock(&ring->lock);
	return b;
}

static void ring_stop(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->stop = true;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

static void ring_done(struct ring *ring, bool failed)
{
	pthread_mutex_lock(&ring->lock);
	ring->done = true;
	ring->failed = failed;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

static void *reader(void *arg)
{
	struct ring *ring = arg;
	struct batch *b;
	ssize_t n = 1;

	while (n > 0) {
		b = ring_wait_room(ring);
		if (!b)
			break;
		/* fill it: a source may return few events at a time, and each hand-over costs */
		b->n = 0;
		while (b->n < BATCH_EVENTS) {
			n = source_read(ring->source, b->ev + b->n, BATCH_EVENTS - b->n, &ring->error);
			if (n <= 0)
				break;
			b->n += (size_t)n;
		}
		if (b->n)
			ring_made(ring);
	}
	ring_done(ring, n < 0);
	return NULL;
}

/* How many events of the batch are not later than the end of the replay. Times never decrease. */
static size_t events_until(const struct batch *b, uint64_t to)
{
	size_t lo = 0, hi = b->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (b->ev[mid].t <= to)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* An error of the model, with its place, and how far the replay got. */
static int model_error(const struct pass *p, const char *why, struct error *e)
{
	double share = source_progress(p->ring->source); /* the reader is ahead by what the ring holds */
	char came[64] = "";

	if (p->capture.events)
		snprintf(came, sizeof(came), " of %llu events", (unsigned long long)p->capture.events);
	else if (share >= 0)
		snprintf(came, sizeof(came), ", about %.0f %% into the trace", 100 * share);
	return error_set(e, "%s: capture %llu%s: %s", p->ring->source->path, (unsigned long long)p->capture.id, came,
			 why);
}

static int consume_batch(struct pass *p, const struct batch *b, struct error *e)
{
	size_t n = p->r->until ? events_until(b, p->r->to) : b->n;
	struct error why;
	int ret;

	p->cut = n < b->n;
	if (progress_due(p->progress, n))
		progress_show(p->progress, source_progress(p->ring->source));
	why.text[0] = '\0';
	ret = p->r->batch ? p->r->batch(p->r->ctx, b->ev, n, p->model, &why) : model_events(p->model, b->ev, n, &why);
	return ret && why.text[0] ? model_error(p, why.text, e) : ret;
}

/* Feeds the whole capture to the model. 0, -1, or what a callback returned; ring->failed: the input broke off. */
static int pump(struct pass *p, struct error *e)
{
	struct ring *ring = p->ring;
	struct batch *b;
	pthread_t thread;
	int errnum, ret = 0;

	ring->made = ring->used = 0;
	ring->done = ring->stop = ring->failed = false;
	ring->error.text[0] = '\0';
	errnum = pthread_create(&thread, NULL, reader, ring);
	if (errnum)
		return error_set(e, "cannot start a thread: %s", strerror(errnum));
	p->cut = false;
	while (!ret && !p->cut && (b = ring_wait_batch(ring))) {
		ret = consume_batch(p, b, e);
		ring_used(ring);
	}
	if (ret || p->cut)
		ring_stop(ring);
	pthread_join(thread, NULL);
	return ret;
}

/* A capture that was stored as a part: an error unless parts are allowed; checked before time is spent on it. */
static int check_state(struct pass *p, const char **partial, struct error *e)
{
	const struct capture *c = &p->capture;

	*partial = NULL;
	if (strcmp(c->state, "partial"))
		return 0;
	*partial = c->note[0] ? c->note : "it was stored as a part";
	p->broken = !p->r->allow_partial;
	if (!p->broken)
		return 0;
	return error_set(e, "%s: capture %llu is a part only: %s; " PARTIAL_HINT, p->ring->source->path,
			 (unsigned long long)c->id, *partial);
}

/* The same for input that broke off while it was read. What comes after the requested time does not matter. */
static int check_broken(struct pass *p, const char **partial, struct error *e)
{
	const struct ring *ring = p->ring;

	if (p->cut) {
		snprintf(p->note, sizeof(p->note), "only events up to t=%llu were asked for",
			 (unsigned long long)p->r->to);
		*partial = p->note;
		return 0;
	}
	if (!ring->failed)
		return 0;
	*partial = ring->error.text[0] ? ring->error.text : "the input broke off";
	p->broken = !p->r->allow_partial;
	return p->broken ? error_set(e, "%s; " PARTIAL_HINT, *partial) : 0;
}

static int replay_capture(struct pass *p, struct error *e)
{
	const struct replay *r = p->r;
	const char *partial;
	int ret;

	if (check_state(p, &partial, e))
		return -1;
	p->model = model_new(r->set->policy, r->set->n, r->obs, r->memory);
	if (!p->model)
		return model_error(p, budget_failure(r->memory), e);
	model_strings(p->model, p->ring->source->strings);
	if (r->begin) {
		ret = r->begin(r->ctx, p->ring->source, &p->capture, p->model);
		if (ret)
			goto out;
	}
	ret = pump(p, e);
	if (ret)
		goto out;
	ret = check_broken(p, &partial, e);
	if (ret)
		goto out;
	ret = model_finish(p->model, e);
	if (ret)
		goto out;
	if (r->end)
		ret = r->end(r->ctx, p->ring->source, &p->capture, p->model, partial);
out:
	model_free(p->model);
	p->model = NULL;
	return ret;
}

/* The same, but a broken capture may be left out. */
static int replay_or_leave_out(struct pass *p, struct error *e)
{
	struct error why = {0};
	int ret;

	p->broken = p->ring->failed = p->cut = false;
	ret = replay_capture(p, &why);
	if (!ret || !p->broken || !p->r->left_out)
		return ret < 0 ? error_set(e, "%s", why.text) : ret;
	p->r->left_out(p->r->ctx, p->ring->source, &p->capture, &why);
	return 0;
}

/* The captures one after the other; found says how many there were. */
static int replay_captures(struct pass *p, uint64_t *found, struct error *e)
{
	struct capture *c = &p->capture;
	bool ended = false;
	int ret = 0;

	*found = 0;
	while (!ended && !ret) {
		memset(c, 0, sizeof(*c));
		ret = source_capture(p->ring->source, c, e);
		if (ret <= 0)
			return ret;
		text_use_ticks(capture_in_ticks(c));
		ret = 0;
		if (p->r->capture && c->id != p->r->capture)
			continue;
		ret = replay_or_leave_out(p, e);
		(*found)++;
		/* a failed source may have no more captures; ids are unique */
		ended = p->r->capture || (p->ring->failed && !p->cut && !p->ring->source->ops->goes_on);
	}
	return ret;
}

int replay_run(const struct replay *r, const char *path, struct error *e)
{
	struct source *source = NULL;
	struct ring ring = {0};
	struct progress progress;
	struct pass pass = {.r = r, .ring = &ring, .progress = &progress};
	uint64_t found = 0;
	int ret;

	progress_begin(&progress, r->progress);
	ret = source_open(&source, path, e);
	if (ret)
		goto out;
	if (r->file.ino && !same_file(&r->file, &source->file)) {
		ret = error_set(e, "%s: it is not the file that --inode names", path);
		goto out;
	}
	ret = ring_init(&ring, source, e);
	if (ret)
		goto out;
	ret = replay_captures(&pass, &found, e);
	if (ret || found)
		goto out;
	ret = r->capture ? error_set(e, "%s: it has no capture %llu", path, (unsigned long long)r->capture) :
			   error_set(e, "%s: it has no capture", path);
out:
	progress_end(&progress);
	ring_destroy(&ring);
	source_close(source);
	return ret;
}
