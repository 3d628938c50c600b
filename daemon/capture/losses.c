/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Losses, until a lost event reports them; see ring.h. A loss has a CPU, a cause, a count, and the time of the last
 * record before it. Its event comes right before the next record of its CPU, or at the end of the drain, whichever is
 * first: whoever reads a record after a loss must know of the loss.
 */
#include "daemon/capture/impl.h"

#include "base/number.h"
#include "trace/losses.h"

#define BIT(i) (1u << (i))

int losses_init(struct ring *r)
{
	enum loss_cause cause;

	r->losses.nowhere.number = r->losses.others.number = EVENT_NO_CPU;
	for (cause = LOST_FLAG; cause < LOSS_CAUSES; cause++) {
		const char *name = loss_table[cause == LOST_FLAG ? LOSS_RING : cause - LOST_RING].name;

		r->losses.cause[cause] = intern_add(r->strings, name, strlen(name));
		if (r->losses.cause[cause] == UINT32_MAX)
			return -1;
	}
	return 0;
}

static uint64_t *loss_counter(struct ring_stats *s, enum loss_cause cause)
{
	switch (cause) {
#define RING_LOSS(ID, id, ...) \
	case LOST_##ID:        \
		return &s->lost_##id;
#define WRITER_LOSS(...)
#include "schema/losses.def"
	default:
		return &s->lost_ring;
	}
}

void loss_add(struct ring *r, struct cpu *c, enum loss_cause cause, uint64_t count)
{
	uint64_t *all = loss_counter(&r->stats, cause);
	struct loss *l = &c->loss[cause];

	if (!l->count && !l->places) {
		l->since = c->last;
	}
	l->count = number_sum(l->count, count);
	*all = number_sum(*all, count);
	c->has_loss = true;
}

void loss_unknown(struct ring *r, struct cpu *c, enum loss_cause cause)
{
	loss_add(r, c, cause, 0);
	c->loss[cause].places++;
	r->stats.lost_unknown++;
}

static void give_lost(struct ring *r, const struct cpu *c, enum loss_cause cause, uint64_t count)
{
	const struct loss *l = &c->loss[cause];
	struct event *ev = batch_room(r, 1);

	event_lost(ev, r->out.t, c->number, r->losses.cause[cause], count, l->since.known ? &l->since.t : NULL);
	decoder_lost(r->decoder, ev);
	r->out.n++;
}

void losses_give(struct ring *r, struct cpu *c, uint64_t t, enum loss_cause first)
{
	enum loss_cause cause;

	if (t > r->out.t)
		r->out.t = t;
	for (cause = first; cause < LOSS_CAUSES; cause++) {
		struct loss *l = &c->loss[cause];

		if (l->count)
			give_lost(r, c, cause, l->count);
		if (l->places)
			give_lost(r, c, cause, 0);
		*l = (struct loss){0};
	}
	c->has_loss = c->loss[LOST_FLAG].count || c->loss[LOST_FLAG].places;
}

void losses_give_all(struct ring *r, uint64_t t, enum loss_cause first)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->has_loss)
			losses_give(r, r->cpu[i], t, first);
	if (r->losses.nowhere.has_loss)
		losses_give(r, &r->losses.nowhere, t, first);
	if (r->losses.others.has_loss)
		losses_give(r, &r->losses.others, t, first);
}

void ring_missed(struct ring *r, uint64_t total)
{
	if (r->losses.knows_missed && total > r->losses.missed)
		loss_add(r, &r->losses.nowhere, LOST_PROBE, total - r->losses.missed);
	r->losses.knows_missed = true;
	r->losses.missed = total;
	/* what probes miss from now on comes after all events given out so far */
	r->losses.nowhere.last = (struct moment){r->out.t, r->stats.events > 0};
}

void ring_watched(struct ring *r, bool changed)
{
	if (changed != r->stats.changed)
		loss_unknown(r, &r->losses.others, LOST_RING);
	else if (changed)
		return; /* the beginning is known */
	r->stats.changed = changed;
	r->losses.others.last = (struct moment){r->out.t, r->stats.events > 0};
}
