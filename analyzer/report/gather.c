/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a report gathers from captures, and what follows from the counts. All arithmetic is on integers, so the same
 * trace gives the same bytes; sums and products that would wrap stay at the largest value.
 */
#include <stdlib.h>
#include <string.h>

#include "analyzer/report/impl.h"
#include "analyzer/report/lacking.h"
#include "base/grow.h"
#include "base/number.h"

uint64_t report_multiply(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint64_t report_flushed(const struct policy_counts *c)
{
	uint64_t n = 0;

	for (int i = 0; i < HOOKS; i++)
		n = number_sum(n, c->flush[i]);
	return n;
}

uint64_t report_cycles(const struct report *r, const struct policy_counts *c)
{
	return report_multiply(report_flushed(c), r->cycles_per_page);
}

bool report_lost(const struct report *r)
{
	return r->totals.health[HEALTH_lost_records] || r->totals.health[HEALTH_lost_unknown];
}

bool report_midlife(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].midlife.seq)
			return true;
	}
	return false;
}

bool report_partial(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].partial)
			return true;
	}
	return r->nleft_out;
}

const struct policy_counts *report_ideal(const struct report *r)
{
	for (size_t i = 0; i < r->set->n; i++) {
		if (!strcmp(r->set->policy[i]->ops->name, "ideal"))
			return &r->counts[i];
	}
	return NULL;
}

bool report_is_safe(const struct policy_counts *c)
{
	return !c->gaps[GAP_LEAK] && !c->gaps[GAP_RELEASE];
}

bool report_judged(const struct report *r)
{
	return worst_is_judged(&r->worst);
}

/* ---- gathering ---- */

int report_init(struct report *r, const struct policy_set *set, struct error *e)
{
	*r = (struct report){.set = set, .cycles_per_page = REPORT_CYCLES_PER_PAGE, .cpu_mhz = REPORT_CPU_MHZ};
	r->counts = calloc(set->n ? set->n : 1, sizeof(*r->counts));
	return r->counts ? 0 : error_set(e, "out of memory");
}

/* Where texts are kept. NULL: no memory. */
static struct intern *texts_of(struct report *r)
{
	if (!r->texts)
		r->texts = intern_new_within(r->budget);
	return r->texts;
}

void report_clear(struct report *r)
{
	budget_free(r->budget, r->capture, r->captures_cap * sizeof(*r->capture));
	free(r->counts);
	budget_free(r->budget, (void *)r->left_out, r->left_out_cap * sizeof(char *));
	intern_free(r->texts);
	*r = (struct report){0};
}

int report_leave_out(struct report *r, const char *what, struct error *e)
{
	const char *text = texts_of(r) ? intern_keep(r->texts, what) : NULL;

	if (!text || !grow_within(r->budget, r->left_out, r->nleft_out, r->left_out_cap, 4u))
		return error_set(e, "%s: %s", what, budget_failure(r->budget));
	r->left_out[r->nleft_out++] = text;
	worst_add_unread(&r->worst);
	return 0;
}

/* The next capture of the report, without its counts. 0 or -1. */
static int capture_copy(struct report *r, const struct capture *c, const struct model_totals *t,
			const struct judgement *j, const char *partial, struct error *e)
{
	struct report_capture copy = {
		.c = *c,
		.events = t->events,
		.first_t = t->first_t,
		.last_t = t->last_t,
		.midlife = t->midlife,
		.lacking = lacking_kinds(c->probes, t),
		.verdict = j->verdict,
		.judged = judge_is_judged(j),
		.idle = j->idle,
	};
	char reasons[JUDGE_TEXT];

	judge_text(j, t, reasons);
	memcpy(copy.health, t->health, sizeof(copy.health));
	copy.c.origin = NULL;
	if (partial)
		copy.c.state = "partial";
	if (!texts_of(r) || (partial && !(copy.partial = intern_keep(r->texts, partial))) ||
	    !(copy.reasons = intern_keep(r->texts, reasons)) || capture_keep(&copy.c, r->texts) ||
	    !grow_within(r->budget, r->capture, r->n, r->captures_cap, 4u))
		return error_set(e, "%s: capture %" PRIu64 ": %s", c->source, c->id, budget_failure(r->budget));
	r->capture[r->n++] = copy;
	return 0;
}

/* The report's id of a string of a capture. UINT32_MAX: no memory. */
static uint32_t keep_string(struct report *r, const struct intern *strings, uint32_t id)
{
	const char *text = id && strings ? intern_get(strings, id) : NULL;

	return text ? intern_add(r->texts, text, strlen(text)) : 0;
}

/* The losses and failures of a capture, with the report's own strings. 0 or -1. */
static int add_tallies(struct report *r, const struct model_totals *t, const struct intern *strings)
{
	for (size_t i = 0; i < t->losses.n; i++) {
		struct loss l = t->losses.loss[i];
		bool others = l.cause == TALLY_OTHERS;

		l.cause = others ? TALLY_OTHERS : keep_string(r, strings, l.cause);
		if (!others && l.cause == TALLY_OTHERS)
			return -1;
		tally_loss(&r->totals.losses, &l);
	}
	for (size_t i = 0; i < t->failures.n; i++) {
		struct failure f = t->failures.failure[i];

		f.first.comm = keep_string(r, strings, f.first.comm);
		if (f.first.comm == UINT32_MAX)
			return -1;
		tally_failure(&r->totals.failures, &f);
	}
	return 0;
}

static void add_totals(struct model_totals *sum, const struct model_totals *t)
{
	bool first = !sum->events;

	if (t->events && (first || t->first_t < sum->first_t))
		sum->first_t = t->first_t;
	if (t->events && (first || t->last_t > sum->last_t))
		sum->last_t = t->last_t;
	sum->events = number_sum(sum->events, t->events);
	for (int i = 0; i < EV_KINDS; i++)
		sum->by_kind[i] = number_sum(sum->by_kind[i], t->by_kind[i]);
	sum->mapped_pages = number_sum(sum->mapped_pages, t->mapped_pages);
	sum->unpinned_pages = number_sum(sum->unpinned_pages, t->unpinned_pages);
	if (t->peak_exposed > sum->peak_exposed)
		sum->peak_exposed = t->peak_exposed;
	sum->derived_unpins = number_sum(sum->derived_unpins, t->derived_unpins);
	sum->kernel_unpins = number_sum(sum->kernel_unpins, t->kernel_unpins);
	sum->missing_in_kernel = number_sum(sum->missing_in_kernel, t->missing_in_kernel);
	sum->not_derived = number_sum(sum->not_derived, t->not_derived);
	sum->pending_unpins = number_sum(sum->pending_unpins, t->pending_unpins);
	for (int i = 0; i < HEALTH_COUNT; i++)
		sum->health[i] = number_sum(sum->health[i], t->health[i]);
}

static void add_counts(struct policy_counts *sum, const struct policy_counts *c)
{
	for (int i = 0; i < HOOKS; i++)
		sum->flush[i] = number_sum(sum->flush[i], c->flush[i]);
	sum->ranges = number_sum(sum->ranges, c->ranges);
	for (int i = 0; i < GAPS; i++)
		sum->gaps[i] = number_sum(sum->gaps[i], c->gaps[i]);
	for (int i = 0; i < GAPS; i++) {
		sum->uncertain[i] = number_sum(sum->uncertain[i], c->uncertain[i]);
		sum->if_new[i] = number_sum(sum->if_new[i], c->if_new[i]);
		sum->unordered[i] = number_sum(sum->unordered[i], c->unordered[i]);
	}
	sum->stale_leak = number_sum(sum->stale_leak, c->stale_leak);
}

static void add_dropped(struct report *r, const struct dropped *d)
{
	struct dropped *sum = &r->dropped;

	if (!d) {
		r->dropped_unknown = true;
		return;
	}
	sum->failed_maps = number_sum(sum->failed_maps, d->failed_maps);
	sum->failed_accesses = number_sum(sum->failed_accesses, d->failed_accesses);
	sum->empty_unmaps = number_sum(sum->empty_unmaps, d->empty_unmaps);
	sum->other = number_sum(sum->other, d->other);
	sum->unnamed = number_sum(sum->unnamed, d->unnamed);
	sum->doubtful_names = number_sum(sum->doubtful_names, d->doubtful_names);
	sum->moved = number_sum(sum->moved, d->moved);
}

int report_add(struct report *r, const struct capture *c, const struct model *m, const struct intern *strings,
	       const char *partial, const struct dropped *dropped, struct error *e)
{
	const struct model_totals *t = model_totals(m);
	struct judgement j = judge(c, t, dropped, partial);

	if (capture_copy(r, c, t, &j, partial, e))
		return -1;
	worst_add(&r->worst, &j, t);
	add_totals(&r->totals, t);
	if (add_tallies(r, t, strings))
		return error_set(e, "%s: capture %" PRIu64 ": %s", c->source, c->id, budget_failure(r->budget));
	add_dropped(r, dropped);
	for (size_t i = 0; i < r->set->n; i++)
		add_counts(&r->counts[i], model_counts(m, i));
	return 0;
}
