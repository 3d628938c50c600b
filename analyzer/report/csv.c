/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report as CSV: a line of titles, and one for each policy. */
#include <inttypes.h>

#include "analyzer/report/impl.h"

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
	fputc('\n', out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct policy_counts *c = &r->counts[i];

		fprintf(out, "%s,%" PRIu64, r->set->policy[i]->ops->name, report_flushed(c));
		for (int k = 0; k < HOOKS; k++)
			fprintf(out, ",%" PRIu64, c->flush[k]);
		fprintf(out, ",%" PRIu64 ",%" PRIu64, c->ranges, report_cycles(r, c));
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->gaps[k]);
		fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%d", health[HEALTH_lost_records], health[HEALTH_lost_unknown],
			report_partial(r));
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->uncertain[k]);
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->if_new[k]);
		fputc('\n', out);
	}
}
