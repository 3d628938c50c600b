/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One sentence per policy: where it is wrong, what it costs, and why this may be wrong. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/report/impl.h"
#include "analyzer/report/lacking.h"
#include "base/text.h"

/* The first event that the policy needs and a capture has no probe for, or NULL. */
static const char *missing_event(const struct report *r, unsigned needs)
{
	uint64_t lacking = 0;

	for (size_t i = 0; i < r->n; i++)
		lacking |= r->capture[i].idle ? 0 : r->capture[i].lacking;
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

/* The gaps that depend on the order of operations that overlapped. */
static void add_unordered(const struct policy_counts *c, struct text *t)
{
	uint64_t pages = 0;

	for (int i = 0; i < GAPS; i++)
		pages += c->unordered[i];
	if (pages)
		text_add(t, "; %s in gaps where operations overlapped: the kernel's order may be another",
			 text_thousands(pages));
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
	if (c->stale_leak)
		text_add(t, "; %s of the leaked pages %s stale: older data of the same place",
			 c->stale_leak == c->gaps[GAP_LEAK] ? "all" : text_thousands(c->stale_leak),
			 c->stale_leak == 1 ? "is" : "are");
	add_unordered(c, t);
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
		text_add(t, "%s",
			 r->totals.health[HEALTH_failed_fills] || r->totals.health[HEALTH_failed_joins] ?
				 "; fills failed: another safe policy may flush less" :
				 "; the lower bound");
	else if (!report_is_safe(&r->counts[i]) || pages < report_flushed(ideal))
		text_add(t, "; flushes %s page%s", text_thousands(pages), text_s(pages));
	else if (!report_flushed(ideal))
		text_add(t, "; flushes %s page%s where ideal flushes none", text_thousands(pages), text_s(pages));
	else {
		report_ratio(r, i, ratio);
		text_add(t, "; flushes %s ideal", ratio);
	}
}

static void add_doubts(const struct report *r, const struct ioflush_policy_ops *ops, struct text *t)
{
	const char *missing = missing_event(r, ops->needs);

	if (!r->totals.peak_exposed)
		text_add(t, "; nothing was exposed to a non-coherent domain");
	if (r->worst.unjudged)
		text_add(t, "; there may be more: %s cannot be judged",
			 r->worst.unjudged == 1 ? "a capture" : "captures");
	if (missing)
		text_add(t, "; says nothing: no probe gave the %s events that it needs", missing);
	if (report_partial(r))
		text_add(t, "; only as far as the partial input goes");
	if (worst_doubt(&r->worst))
		text_add(t, "; %s", worst_doubt(&r->worst));
}

static bool has_gap(const struct policy_counts *c)
{
	for (int i = 0; i < GAPS; i++)
		if (c->gaps[i])
			return true;
	return false;
}

void report_verdicts(const struct report *r, FILE *out)
{
	int name = (int)report_name_width(r) + 1;
	char label[64], cannot[WORST_TEXT];

	worst_cannot_text(&r->worst, cannot);
	if (strstr(cannot, " ("))
		*strstr(cannot, " (") = '\0'; /* what there is instead stands beside "verify", once */
	fputs("\nverdicts\n", out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct ioflush_policy_ops *ops = r->set->policy[i]->ops;
		struct text t = {0};

		/* gaps of other captures are gaps still; their absence says nothing */
		if (cannot[0] && (worst_none_judged(&r->worst) || !has_gap(&r->counts[i]))) {
			text_add(&t, "cannot be judged: %s", cannot);
		} else {
			add_gaps(r, &r->counts[i], &t);
			add_cost(r, i, &t);
			add_doubts(r, ops, &t);
		}
		snprintf(label, sizeof(label), "%s:", ops->name);
		report_wrapped(out, label, (size_t)name + 1, t.s);
	}
}
