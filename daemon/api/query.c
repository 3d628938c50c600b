/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See query.h. A small fixed number of slots. Each has a command line with its last answer, the program that may be
 * running for it, and the clients that wait. A slot without both can be taken for another question.
 */
#include "base/clock.h"
#include "daemon/api/query.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 16
#define RUNNING_MAX 2
#define WAITING_MAX 64
#define KEEP_MAX (256 * 1024) /* most bytes of an answer that is kept for later */

struct waiting {
	struct waiting *next;
	query_fn fn;
	void *ctx, *arg;
	uint64_t until;
};

struct slot {
	char *arg[QUERY_MAX_ARGS + 2]; /* arg[0]: the program; all NULL: free */
	uint64_t version;
	struct child *child;
	bool due; /* starts when a program may run */
	struct waiting *waiting;
	char *text; /* the answer, or NULL */
	size_t len;
	uint64_t started, ended, used;
};

struct queries {
	char *program;
	struct child_limits limits;
	struct slot slot[SLOTS];
	unsigned running, waiting;
};

struct queries *queries_new(const char *program, const struct child_limits *limits)
{
	struct queries *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->program = strdup(program);
	q->limits = *limits;
	if (q->program)
		return q;
	free(q);
	return NULL;
}

static void slot_clear(struct queries *q, struct slot *s)
{
	if (s->child)
		q->running--;
	child_free(s->child);
	for (size_t i = 0; s->arg[i]; i++)
		free(s->arg[i]);
	free(s->text);
	*s = (struct slot){0};
}

static bool same_args(const struct slot *s, const char *const args[])
{
	size_t i;

	if (!s->arg[0])
		return false;
	for (i = 0; args[i] && s->arg[i + 1]; i++) {
		if (strcmp(args[i], s->arg[i + 1]))
			return false;
	}
	return !args[i] && !s->arg[i + 1];
}

/* The slot of the question, or one to take for it: a free one, else the least recently used. NULL: none. */
static struct slot *find_slot(struct queries *q, const char *const args[])
{
	struct slot *found = NULL;

	for (struct slot *s = q->slot; s < q->slot + SLOTS; s++) {
		if (same_args(s, args))
			return s;
		if (s->child || s->due || s->waiting)
			continue;
		if (!found || s->used < found->used)
			found = s;
	}
	return found;
}

static int slot_take(struct queries *q, struct slot *s, const char *const args[])
{
	size_t n = 0;

	slot_clear(q, s);
	s->arg[n++] = strdup(q->program);
	while (s->arg[n - 1] && args[n - 1] && n <= QUERY_MAX_ARGS) {
		s->arg[n] = strdup(args[n - 1]);
		n++;
	}
	if (s->arg[n - 1] && !args[n - 1])
		return 0;
	slot_clear(q, s);
	return -1;
}

static bool fresh(const struct slot *s, uint64_t version, uint64_t now)
{
	return s->text && (s->version == version || now - s->ended <= s->ended - s->started);
}

int queries_ask(struct queries *q, const char *const args[], uint64_t version, uint64_t wait_ms, query_fn fn, void *ctx,
		void *arg)
{
	struct slot *s = find_slot(q, args);
	uint64_t now = clock_ms();
	struct waiting *w;

	if (!s || q->waiting >= WAITING_MAX || (!same_args(s, args) && slot_take(q, s, args)))
		return -1;
	s->used = now;
	if (fresh(s, version, now)) {
		fn(ctx, arg, &(struct query_answer){.text = s->text, .len = s->len});
		return 0;
	}
	w = malloc(sizeof(*w));
	if (!w)
		return -1;
	*w = (struct waiting){.next = s->waiting, .fn = fn, .ctx = ctx, .arg = arg, .until = now + wait_ms};
	s->waiting = w;
	q->waiting++;
	if (!s->child) {
		free(s->text); /* too old: nobody gets it while the new answer is made */
		s->text = NULL;
		s->due = true;
		s->version = version;
	}
	return 0;
}

/* Gives an answer to waiting clients; with until, only to those who have waited long enough. */
static void answer(struct queries *q, struct slot *s, const struct query_answer *a, uint64_t until)
{
	struct waiting **p = &s->waiting, *w;

	while ((w = *p)) {
		if (w->until > until) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		q->waiting--;
		w->fn(w->ctx, w->arg, a);
		free(w);
	}
}

static void ended(struct queries *q, struct slot *s)
{
	struct query_answer a = {.why = child_failure(s->child), .exit_status = child_status(s->child)};

	s->ended = clock_ms();
	free(s->text);
	s->text = a.why ? NULL : child_output(s->child, &s->len);
	if (!s->text && !a.why)
		a.why = "its output could not be read";
	a.text = s->text;
	a.len = s->len;
	answer(q, s, &a, UINT64_MAX);
	child_free(s->child);
	s->child = NULL;
	q->running--;
	if (s->text && s->len > KEEP_MAX) {
		free(s->text);
		s->text = NULL;
	}
}

static void start(struct queries *q, struct slot *s)
{
	struct error e = {""};

	s->due = false;
	s->started = clock_ms();
	s->child = child_start(s->arg, &q->limits, &e);
	if (s->child)
		q->running++;
	else
		answer(q, s, &(struct query_answer){.why = e.text, .exit_status = -1}, UINT64_MAX);
}

bool queries_tick(struct queries *q)
{
	const struct query_answer late = {
		.why = "the answer takes longer than this request may wait", .late = true, .exit_status = -1};
	bool busy = false;

	for (struct slot *s = q->slot; s < q->slot + SLOTS; s++) {
		if (s->child && child_poll(s->child))
			ended(q, s);
		if (s->due && q->running < RUNNING_MAX)
			start(q, s);
		answer(q, s, &late, clock_ms());
		if (s->due && !s->waiting)
			s->due = false; /* nobody waits any more */
		busy |= s->child || s->due;
	}
	return busy;
}

/* all: for all clients. */
static void cancel(struct queries *q, bool all, const void *ctx, void (*drop)(void *arg))
{
	for (struct slot *s = q->slot; s < q->slot + SLOTS; s++) {
		struct waiting **p = &s->waiting, *w;

		while ((w = *p)) {
			if (!all && w->ctx != ctx) {
				p = &w->next;
				continue;
			}
			*p = w->next;
			q->waiting--;
			drop(w->arg);
			free(w);
		}
	}
}

void queries_cancel(struct queries *q, void *ctx, void (*drop)(void *arg))
{
	cancel(q, false, ctx, drop);
}

void queries_free(struct queries *q, void (*drop)(void *arg))
{
	if (!q)
		return;
	cancel(q, true, NULL, drop);
	for (struct slot *s = q->slot; s < q->slot + SLOTS; s++)
		slot_clear(q, s);
	free(q->program);
	free(q);
}
