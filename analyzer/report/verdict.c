/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sentence per policy: where it is wrong, what it costs, and why this may be wrong. */
#include <stdarg.h>
#include <stdlib.h>

#include "analyzer/report/impl.h"
#include "analyzer/report/lacking.h"
#include "base/text.h"

/* The first event that the policy needs and a capture has no probe for, or NULL. */
static const char *missing_event(const struct report *r, unsigned needs)
{
	uint64_t lacking = 0;

	for (size_t i = 0; i < r->n; i++)
		lacking |= r->capture[i].lacking;
	for (size_t i = 0; i < NEEDS; i++) {
		if (!(needs & need_table[i].need))
			continue;
		for (const enum event_kind *k = need_table[i].kind; *k != EV_NONE; k++) {
			if (lacking & 1ull << *k)
				return event_table[*k].name;
		}
	}
	return NULL;
}

/* Text that grows; without memory it is NULL from then on. */
struct text {
	char *s;
};

static void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *fmt, ...)
{
	char *more = NULL, *joined = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&more, fmt, ap) < 0)
		more = NULL;
	va_end(ap);
	if (more && asprintf(&joined, "%s%s", t->s ? t->s : "", more) < 0)
		joined = NULL;
	free(more);
	free(t->s);
	t->s = joined;
}

/* The gaps of captures that began in mid-life, by kind: "uncertain: 12 leak (8 if new), 3 access (none if new)" */
static void add_uncertain(const struct policy_counts *c, struct text *t)
{
	const char *before = "; uncertain:";

	for (int i = 0; i < GAPS; i++) {
		if (!c->uncertain[i])
			continue;
		text_add(t, "%s %s %s", before, text_thousands(c->uncertain[i]), gap_names[i]);
		text_add(t, " (%s if new)", c->if_new[i] ? text_thousands(c->if_new[i]) : "none");
		before = ",";
	}
}

/* Errors first, then warnings. Short: most verdicts should be one line. */
static void add_gaps(const struct report *r, const struct policy_counts *c, struct text *t)
{
	uint64_t gap[GAPS];

	for (int i = 0; i < GAPS; i++)
		gap[i] = c->gaps[i] - c->uncertain[i];
	if (gap[GAP_LEAK])
		text_add(t, "leaks %s page%s%s", text_thousands(gap[GAP_LEAK]), text_s(gap[GAP_LEAK]),
			 gap[GAP_RELEASE] ? ", " : "");
	if (gap[GAP_RELEASE])
		text_add(t, "releases %s unflushed", text_thousands(gap[GAP_RELEASE]));
	if (gap[GAP_LEAK] || gap[GAP_RELEASE])
		text_add(t, ": not safe");
	else
		text_add(t, "no %s%s", report_midlife(r) ? "certain " : "",
			 gap[GAP_REEXPOSE] || gap[GAP_ACCESS] ? "error" : "gap");
	if (gap[GAP_REEXPOSE] || gap[GAP_ACCESS])
		text_add(t, "; warning:");
	if (gap[GAP_REEXPOSE])
		text_add(t, " %s re-exposed%s", text_thousands(gap[GAP_REEXPOSE]), gap[GAP_ACCESS] ? "," : "");
	if (gap[GAP_ACCESS])
		text_add(t, " %s read stale in the kernel", text_thousands(gap[GAP_ACCESS]));
	add_uncertain(c, t);
}

static void add_cost(const struct report *r, size_t i, struct text *t)
{
	const struct policy_counts *ideal = report_ideal(r);
	uint64_t pages = report_flushed(&r->counts[i]);
	char ratio[REPORT_CELL];

	if (!pages)
		text_add(t, "; flushes nothing");
	else if (!ideal)
		text_add(t, "; flushes %s page%s", text_thousands(pages), text_s(pages));
	else if (&r->counts[i] == ideal)
		text_add(t, "; the lower bound");
	else if (!report_flushed(ideal))
		text_add(t, "; flushes %s page%s where ideal flushes none", text_thousands(pages), text_s(pages));
	else {
		report_ratio(r, i, ratio);
		text_add(t, "; flushes %s ideal", ratio);
	}
}

/*
 * Whether a warning, other than losses, says that the trace or the model is wrong. Unknown coherency is one: the domain
 * is taken as non-coherent, which adds gaps and flushes, and such a flush may hide another gap.
 */
static bool is_broken(const struct report *r)
{
	for (int i = 0; i < HEALTH_COUNT; i++) {
		if (health_table[i].severity == 'w' && r->totals.health[i])
			return true;
	}
	/* without the kernel's own unpins all are missing, and that shows nothing */
	return r->totals.by_kind[EV_unpin] && r->totals.missing_in_kernel;
}

static void add_doubts(const struct report *r, const struct ioflush_policy_ops *ops, struct text *t)
{
	const char *missing = missing_event(r, ops->needs);

	if (!r->totals.peak_exposed)
		text_add(t, "; nothing was exposed to a non-coherent domain");
	if (missing)
		text_add(t, "; says nothing: no probe gave the %s events that it needs", missing);
	if (report_partial(r))
		text_add(t, "; only as far as the partial input goes");
	if (report_lost(r))
		text_add(t, "; not proof: records were lost%s", is_broken(r) ? ", and see health" : "");
	else if (is_broken(r))
		text_add(t, "; not proof: see health");
}

void report_verdicts(const struct report *r, FILE *out)
{
	int name = (int)report_name_width(r) + 1;
	char label[64];

	fputs("\nverdicts\n", out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct ioflush_policy_ops *ops = r->set->policy[i]->ops;
		struct text t = {0};

		if (report_unjudged(r)) {
			text_add(&t, "cannot be judged: events that every policy needs were not recorded, see health");
		} else {
			add_gaps(r, &r->counts[i], &t);
			add_cost(r, i, &t);
			add_doubts(r, ops, &t);
		}
		snprintf(label, sizeof(label), "%s:", ops->name);
		report_wrapped(out, label, (size_t)name + 1, t.s);
	}
}
