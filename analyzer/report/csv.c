/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report as CSV: a line of titles, and one for each policy. */
#include <inttypes.h>

#include "analyzer/report/impl.h"

/* If policies cannot be judged, 0 is no answer: the cell is empty. */
static void put_gap(const struct report *r, uint64_t pages, FILE *out)
{
	if (pages || report_judged(r))
		fprintf(out, ",%" PRIu64, pages);
	else
		fputc(',', out);
}

void report_csv(const struct report *r, FILE *out)
{
	const uint64_t *health = r->totals.health;

	fputs("policy,flush_pages", out);
	for (int i = 0; i < HOOKS; i++)
		fprintf(out, ",flush_%s_pages", hook_names[i]);
	fputs(",flush_ranges,cycles", out);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",%s", gap_names[i]);
	fputs(",lost_records,lost_unknown,partial", out);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",uncertain_%s", gap_names[i]);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",if_new_%s", gap_names[i]);
	fputs(",stale_leak", out);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",unordered_%s", gap_names[i]);
	fputs(",verify,judged\n", out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct policy_counts *c = &r->counts[i];

		fprintf(out, "%s,%" PRIu64, r->set->policy[i]->ops->name, report_flushed(c));
		for (int k = 0; k < HOOKS; k++)
			fprintf(out, ",%" PRIu64, c->flush[k]);
		fprintf(out, ",%" PRIu64 ",%" PRIu64, c->ranges, report_cycles(r, c));
		for (int k = 0; k < GAPS; k++)
			put_gap(r, c->gaps[k], out);
		fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%d", health[HEALTH_lost_records], health[HEALTH_lost_unknown],
			report_partial(r));
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->uncertain[k]);
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->if_new[k]);
		fprintf(out, ",%" PRIu64, c->stale_leak);
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->unordered[k]);
		fprintf(out, ",%s,%d\n", verdict_json_names[r->worst.verdict], report_judged(r));
	}
}
