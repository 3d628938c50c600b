/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * naive TRACE: the numbers of a trace by the naive model, as JSON, to compare with the analyzer and with the expected
 * files of the cases. One object per capture. A trace that breaks off prints only the error.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "tests/naive.h"
#include "trace/formats/open.h"
#include "trace/source.h"

static void put_policy(struct json *into, const struct naive_counts *c)
{
	struct json *policy = json_put_object(into, c->name), *gaps;
	uint64_t total = 0;
	char key[64];

	for (int k = 0; k < NAIVE_KINDS; k++) {
		total += c->flush[k];
		snprintf(key, sizeof(key), "flush_%s_pages", naive_kind_names[k]);
		json_put_u64(policy, key, c->flush[k]);
	}
	json_put_u64(policy, "flush_pages", total);
	json_put_u64(policy, "flush_ranges", c->ranges);
	gaps = json_put_object(policy, "gaps");
	for (int g = 0; g < NAIVE_GAPS; g++)
		json_put_u64(gaps, naive_gap_names[g], c->gaps[g]);
}

static void put_totals(struct json *into, const struct naive_totals *t)
{
	struct json *totals = json_put_object(into, "totals");

	json_put_u64(totals, "mapped_pages", t->mapped_pages);
	json_put_u64(totals, "unpinned_pages", t->unpinned_pages);
	json_put_u64(totals, "peak_exposed", t->peak_exposed);
	json_put_u64(totals, "derived_unpins", t->derived_unpins);
	json_put_u64(totals, "kernel_unpins", t->kernel_unpins);
	json_put_u64(totals, "missing_in_kernel", t->missing_in_kernel);
	json_put_u64(totals, "not_derived", t->not_derived);
}

static int print_counts(const struct naive *n, struct error *e)
{
	struct json *out = json_new_object(), *part;
	const struct naive_totals *t = naive_totals(n);

	part = json_put_object(out, "policies");
	for (unsigned i = 0; i < NAIVE_POLICIES; i++)
		put_policy(part, naive_counts(n, i));
	put_totals(out, t);
	part = json_put_object(out, "health");
	for (int h = 0; h < NAIVE_HEALTH_COUNT; h++)
		json_put_u64(part, naive_health_names[h], t->health[h]);
	return json_print(stdout, out, 1) ? error_set(e, "out of memory") : 0;
}

/* Reads the present capture into a model of its own. 0 or -1. */
static int run_capture(struct source *s, struct error *e)
{
	struct naive *n = naive_new(s->strings);
	struct event ev[256];
	ssize_t got;

	while ((got = source_read(s, ev, 256, e)) > 0) {
		for (ssize_t i = 0; i < got; i++)
			naive_event(n, &ev[i]);
	}
	naive_finish(n);
	if (got == 0)
		got = print_counts(n, e);
	naive_free(n);
	return got;
}

int main(int argc, char **argv)
{
	struct error e = {0};
	struct source *s = NULL;
	struct capture c;
	int rc;

	if (argc != 2) {
		fputs("usage: naive TRACE\n", stderr);
		return 2;
	}
	rc = source_open(&s, argv[1], &e);
	while (rc == 0) {
		rc = source_capture(s, &c, &e);
		if (rc <= 0)
			break;
		rc = run_capture(s, &e);
	}
	source_close(s);
	if (rc < 0)
		fprintf(stderr, "naive: %s\n", e.text);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
