/*
 * naive TRACE: the numbers of a trace by the naive model, as JSON to compare with what the project's own analyzer and
 * the cases' expected files say. One object a capture. A trace that breaks off prints nothing but the error.
 */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "tests/naive.h"
#include "trace/formats/open.h"
#include "trace/source.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *policy_json(const struct naive_counts *c)
{
	json_t *policy = json_object(), *gaps = json_object();
	uint64_t total = 0;
	char key[64];

	for (int k = 0; k < NAIVE_KINDS; k++) {
		total += c->flush[k];
		snprintf(key, sizeof(key), "flush_%s_pages", naive_kind_names[k]);
		json_object_set_new(policy, key, number(c->flush[k]));
	}
	json_object_set_new(policy, "flush_pages", number(total));
	json_object_set_new(policy, "flush_ranges", number(c->ranges));
	for (int g = 0; g < NAIVE_GAPS; g++)
		json_object_set_new(gaps, naive_gap_names[g], number(c->gaps[g]));
	json_object_set_new(policy, "gaps", gaps);
	return policy;
}

static json_t *totals_json(const struct naive_totals *t)
{
	json_t *totals = json_object();

	json_object_set_new(totals, "mapped_pages", number(t->mapped_pages));
	json_object_set_new(totals, "unpinned_pages", number(t->unpinned_pages));
	json_object_set_new(totals, "peak_exposed", number(t->peak_exposed));
	json_object_set_new(totals, "derived_unpins", number(t->derived_unpins));
	json_object_set_new(totals, "kernel_unpins", number(t->kernel_unpins));
	json_object_set_new(totals, "missing_in_kernel", number(t->missing_in_kernel));
	json_object_set_new(totals, "not_derived", number(t->not_derived));
	return totals;
}

static void print_counts(const struct naive *n)
{
	json_t *out = json_object(), *all = json_object(), *health = json_object();
	const struct naive_totals *t = naive_totals(n);

	for (unsigned i = 0; i < NAIVE_POLICIES; i++)
		json_object_set_new(all, naive_counts(n, i)->name, policy_json(naive_counts(n, i)));
	for (int h = 0; h < NAIVE_HEALTH_COUNT; h++)
		json_object_set_new(health, naive_health_names[h], number(t->health[h]));
	json_object_set_new(out, "policies", all);
	json_object_set_new(out, "totals", totals_json(t));
	json_object_set_new(out, "health", health);
	json_dumpf(out, stdout, JSON_SORT_KEYS | JSON_INDENT(1));
	putchar('\n');
	json_decref(out);
}

/* Reads the present capture into a model of its own. 0 or -1. */
static int run_capture(struct source *s, struct error *e)
{
	struct naive *n = naive_new();
	struct event ev[256];
	ssize_t got;

	while ((got = source_read(s, ev, 256, e)) > 0) {
		for (ssize_t i = 0; i < got; i++)
			naive_event(n, &ev[i]);
	}
	naive_finish(n);
	if (got == 0)
		print_counts(n);
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
