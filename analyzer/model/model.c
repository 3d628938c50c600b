/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model as a whole (semantics.md, sections 4 and 5); see model.h. It gives each event to its handler and keeps the
 * totals. The handlers of maps and lifetimes are in mappings.c and lifetimes.c, all others are here.
 */
#include "analyzer/model/model.h"

#include <inttypes.h>

#include "analyzer/model/impl.h"
#include "base/number.h"

const char *const hook_names[HOOKS] = {"map", "unmap", "unpin", "access"};
const char *const gap_names[GAPS] = {"leak", "reexpose", "release", "access"};
const bool gap_is_error[GAPS] = {[GAP_LEAK] = true, [GAP_RELEASE] = true};

const struct health_desc health_table[HEALTH_COUNT] = {
#define HEALTH(n, u, s, d, a) {.name = #n, .unit = u, .severity = s, .doc = d, .advice = a},
#include "schema/health.def"
#undef HEALTH
};

void model_on_attach(struct model *m, const struct event *ev)
{
	const struct event_attach *f = &ev->attach;
	struct device *dev;

	if (!m->watched || !event_has(ev, attach, domain) || !f->device)
		return;
	dev = device_get(&m->objects, f->domain);
	if (dev)
		dev->name = f->device;
	else
		m->failed = true;
}

void model_on_detach(struct model *m, const struct event *ev)
{
	(void)m; /* only information: what counts is the domain_remove that may follow */
	(void)ev;
}

void model_on_lost(struct model *m, const struct event *ev)
{
	struct loss l = {.places = 1};

	m->frames.lost++;
	if (event_has(ev, lost, cause))
		l.cause = (uint32_t)ev->lost.cause;
	if (event_has(ev, lost, count))
		l.records = ev->lost.count;
	else
		l.unknown = 1;
	m->totals.health[HEALTH_lost_records] = number_sum(m->totals.health[HEALTH_lost_records], l.records);
	count(m, HEALTH_lost_unknown, l.unknown);
	tally_loss(&m->totals.losses, &l);
}

static void (*const handlers[EV_KINDS])(struct model *, const struct event *) = {
#define EVENT(num, name, fields, doc) [num] = model_on_##name,
#include "schema/events.def"
#undef EVENT
};

struct model *model_new(struct ioflush_policy *const *policies, size_t n, const struct model_observer *obs,
			struct budget *budget)
{
	struct model *m = budget_alloc(budget, sizeof(*m));

	if (!m)
		return NULL;
	m->budget = m->objects.budget = m->balance.budget = m->older.budget = m->operations.budget = budget;
	m->policies = policies;
	m->n = n;
	m->watched = obs;
	frames_init(&m->frames, policies, n, obs, budget);
	for (size_t i = 0; i < n; i++) {
		m->needs_source |= policies[i]->ops->needs & IOFLUSH_NEEDS_SOURCE;
		if (policies[i]->ops->clear_area_when_idle)
			m->clear_when_idle |= policies[i]->bit;
	}
	return m;
}

void model_strings(struct model *m, const struct intern *strings)
{
	m->strings = strings;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	objects_clear(&m->objects);
	framemap_clear(&m->frames.map);
	balancemap_clear(&m->balance);
	older_clear(&m->older);
	operations_clear(&m->operations);
	budget_free(m->budget, m->dying, m->dying_cap * sizeof(*m->dying));
	budget_free(m->budget, m, sizeof(*m));
}

int model_events(struct model *m, const struct event *ev, size_t n, struct error *e)
{
	for (size_t i = 0; i < n; i++, ev++) {
		if (!m->totals.events++)
			m->totals.first_t = ev->t;
		else if (ev->t < m->totals.last_t)
			return error_set(e,
					 "event %" PRIu64 ": t: %" PRIu64
					 ": earlier than the event before it, at %" PRIu64,
					 m->totals.events, ev->t, m->totals.last_t);
		m->totals.last_t = ev->t;
		m->totals.by_kind[ev->kind]++;
		m->now = ev;
		if (m->watched)
			m->frames.now = event_origin(m);
		frames_break(&m->frames);
		operations_next(m, ev);
		handlers[ev->kind](m, ev);
		/* the observer uses the same budget */
		if (m->failed || (m->budget && m->budget->over))
			return error_set(e, "event %" PRIu64 " (%s, t=%" PRIu64 "): %s", m->totals.events,
					 event_table[ev->kind].name, ev->t, budget_failure(m->budget));
	}
	return 0;
}

/* If the recording began in mid-life no gap is certain; otherwise all are. */
static void settle_uncertain(struct model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct policy_counts *c = &m->frames.counts[i];

		for (int k = 0; k < GAPS; k++) {
			c->uncertain[k] = m->totals.midlife.seq ? c->gaps[k] : 0;
			c->if_new[k] = m->totals.midlife.seq ? c->if_new[k] : 0;
		}
	}
}

int model_finish(struct model *m, struct error *e)
{
	const struct balancemap_span *s;

	(void)e;
	operations_finish(m);
	for (s = balancemap_from(&m->balance, 0); s; s = balancemap_from(&m->balance, s->hi + 1)) {
		uint64_t pages = s->hi - s->lo + 1;

		if (s->v.diff > 0)
			m->totals.missing_in_kernel += pages * (uint64_t)s->v.diff;
		else
			m->totals.not_derived += pages * (uint64_t)-s->v.diff;
	}
	m->totals.peak_exposed = m->frames.peak_exposed;
	settle_uncertain(m);
	return 0;
}

const struct policy_counts *model_counts(const struct model *m, size_t policy)
{
	return &m->frames.counts[policy];
}

const struct model_totals *model_totals(const struct model *m)
{
	return &m->totals;
}
