/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings: from hand-made gaps, which gaps are one finding, which event set it up, and why; then from the cases, that
 * no page of a gap is lost or counted twice on the way into findings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/findings/findings.h"
#include "analyzer/findings/wording.h"
#include "analyzer/policies/set.h"
#include "analyzer/replay/replay.h"

static const struct ioflush_policy_ops ops = {.name = "tested"};
static struct ioflush_policy tested = {.ops = &ops, .bit = 1};

/* Objects and a gap between them, for tests to vary. */
struct scene {
	struct findings *f;
	const struct model_observer *obs;
	struct ioflush_iopt iopt;
	struct ioflush_domain domain;
	struct ioflush_area area;
	struct ioflush_pages pages;
	struct gap_span gap;
};

static struct origin event(uint64_t seq, enum event_kind kind)
{
	return (struct origin){.seq = seq, .t = 1000000000 + seq, .cpu = 1, .tid = 7, .kind = kind};
}

static struct scene *scene_new(const struct intern *strings)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->f = findings_new(&tested, NULL);
	assert_non_null(s->f);
	findings_begin(s->f, 1, strings, false);
	s->obs = findings_observer(s->f);
	s->iopt.id = 0x10;
	s->domain = (struct ioflush_domain){0x20, true};
	s->area = (struct ioflush_area){.id = 0x30, .iova = 0x100000, .last = 0x1fffff};
	s->pages.id = 0x40;
	s->gap = (struct gap_span){
		.kind = GAP_LEAK,
		.policies = 1,
		.pfn = 0x1000,
		.npages = 4,
		.iova = 0x100000,
		.iopt = &s->iopt,
		.domain = &s->domain,
		.area = &s->area,
		.pages = &s->pages,
		.iopt_serial = 1,
		.domain_serial = 2,
		.pages_serial = 3,
		.event = event(20, EV_map),
		.fill = event(19, EV_area_add_domain),
	};
	return s;
}

static void scene_free(struct scene *s)
{
	findings_free(s->f);
	free(s);
}

/* The findings, of which there must be n, sorted; the first of them. */
static const struct finding *expect(struct scene *s, size_t n)
{
	struct error e = {0};

	assert_int_equal(findings_check(s->f, &e), 0);
	findings_sort(s->f);
	assert_int_equal(findings_count(s->f), n);
	return n ? findings_get(s->f, 0) : NULL;
}

static void pin(struct scene *s, uint64_t lo, uint64_t hi, uint64_t seq)
{
	struct origin o = event(seq, EV_map);

	s->obs->pinned(s->obs->ctx, lo, hi, &o);
}

static void give(struct scene *s)
{
	s->obs->gap(s->obs->ctx, &s->gap);
}

static void one_cause_is_one_finding(void **state)
{
	struct scene *s = scene_new(NULL);
	const struct finding *g;

	(void)state;
	give(s);
	s->gap.pfn += 4; /* goes on in the same event */
	s->gap.iova += 0x4000;
	give(s);
	s->gap.pfn = 0x2000; /* elsewhere, in a later one */
	s->gap.iova += 0x4000;
	s->gap.event = event(21, EV_map);
	give(s);
	g = expect(s, 1);
	assert_int_equal(g->npages, 12);
	assert_int_equal(g->spans, 3);
	assert_int_equal(g->events, 2);
	assert_int_equal(g->event.seq, 20);
	assert_int_equal(g->last_seq, 21);
	assert_int_equal(g->pfn.n, 2);
	assert_int_equal(g->pfn.r[0].lo, 0x1000);
	assert_int_equal(g->pfn.r[0].hi, 0x1007);
	assert_int_equal(g->pfn.r[1].hi, 0x2003);
	assert_int_equal(g->iova.n, 1);
	assert_int_equal(g->iova.r[0].lo, 0x100000);
	assert_int_equal(g->iova.r[0].hi, 0x10bfff);
	scene_free(s);
}

static void causes_differ(void **state)
{
	struct scene *s = scene_new(NULL);

	(void)state;
	give(s);
	s->gap.domain_serial++;
	give(s);
	s->gap.iopt_serial++;
	give(s);
	s->gap.fill = event(22, EV_area_fill);
	give(s);
	findings_begin(s->f, 2, NULL, false);
	give(s);
	expect(s, 5);
	scene_free(s);
}

/* A thousand maps of new pages, each twice, with and without a bit in them: one cause, and the pages are counted. */
static void pages_are_no_cause(void **state)
{
	const struct finding *g;

	(void)state;
	for (int marks = 0; marks < 2; marks++) {
		struct scene *s = scene_new(NULL);

		s->pages.marks = (uint64_t)marks;
		for (uint64_t i = 0; i < 2000; i++) {
			s->gap.event.seq = 20 + i;
			s->gap.fill.seq = 19 + i;
			s->gap.pages_serial = 3 + 2 * (i % 1000);
			s->gap.pages_mark = event(12, EV_area_fill);
			s->pages.id = 0x40 + i % 1000;
			give(s);
		}
		g = expect(s, 1);
		assert_int_equal(g->pages, 0x40);
		assert_int_equal(g->more_pages, 999);
		assert_int_equal(g->events, 2000);
		assert_int_equal(g->event.seq, 20);
		assert_int_equal(g->last_seq, 2019);
		scene_free(s);
	}
}

static void stale_fill_kind_is_no_cause(void **state)
{
	struct scene *s = scene_new(NULL);

	(void)state;
	s->gap.fill = (struct origin){.kind = EV_area_fill};
	give(s);
	s->gap.fill = (struct origin){.kind = EV_area_unfill};
	give(s);
	expect(s, 1);
	scene_free(s);
}

static void errors_come_first(void **state)
{
	struct scene *s = scene_new(NULL);

	(void)state;
	s->gap.kind = GAP_REEXPOSE;
	give(s);
	s->gap.kind = GAP_RELEASE;
	s->gap.event = event(31, EV_unmap);
	give(s);
	s->gap.kind = GAP_LEAK;
	s->gap.event = event(30, EV_map);
	give(s);
	assert_int_equal(expect(s, 3)->kind, GAP_LEAK);
	assert_int_equal(findings_get(s->f, 1)->kind, GAP_RELEASE);
	assert_int_equal(findings_get(s->f, 2)->kind, GAP_REEXPOSE);
	scene_free(s);
}

static void other_policies_are_not_ours(void **state)
{
	struct scene *s = scene_new(NULL);

	(void)state;
	s->gap.policies = 6;
	give(s);
	expect(s, 0);
	scene_free(s);
}

static void a_device_is_one_cause(void **state)
{
	struct intern *strings = intern_new();
	struct scene *s = scene_new(strings);
	const struct finding *g;

	(void)state;
	intern_add(strings, "other", 5);
	s->gap.device = intern_add(strings, "0000:00:02.0", 12);
	s->gap.event.comm = intern_add(strings, "qemu", 4);
	give(s);
	s->gap.domain_serial++;
	give(s);
	intern_free(strings); /* findings outlive the source */
	g = expect(s, 1);
	assert_true(g->more_domains);
	assert_string_equal(intern_get(findings_strings(s->f), g->device), "0000:00:02.0");
	assert_string_equal(intern_get(findings_strings(s->f), g->event.comm), "qemu");
	scene_free(s);
}

static void leak_without_a_bit(void **state)
{
	struct scene *s = scene_new(NULL);
	const struct finding *g;

	(void)state;
	pin(s, 0x1000, 0x1003, 20);
	give(s);
	g = expect(s, 1);
	assert_int_equal(g->reason, REASON_PINNED);
	assert_int_equal(g->setup.seq, 20);
	scene_free(s);
}

static void leak_by_a_bit_set_before_the_pin(void **state)
{
	struct scene *s = scene_new(NULL);
	const struct finding *g;
	char buf[TEXT_MAX];

	(void)state;
	pin(s, 0x1000, 0x1003, 15);
	s->pages.marks = 1;
	s->gap.pages_mark = event(12, EV_area_fill);
	give(s);
	g = expect(s, 1);
	assert_int_equal(g->reason, REASON_PRE_PIN);
	assert_int_equal(g->setup.seq, 12);
	assert_int_equal(g->pinned.seq, 15);
	assert_false(g->mark_in_area);
	finding_why(g, "tested", buf, sizeof(buf));
	assert_string_equal(buf, "tested's bit in pages 0x40 was set by the area_fill at 1.000000012 (event 12); these "
				 "frames were pinned after it, by the map at 1.000000015 (event 15), so no flush made for "
				 "that bit covers them, and the map at 1.000000020 (event 20) exposed them without one");
	scene_free(s);
}

/* One span of the model, two histories: pinned before the bit was set, and after. */
static void histories_are_told_apart(void **state)
{
	struct scene *s = scene_new(NULL);

	(void)state;
	pin(s, 0x1000, 0x1001, 10);
	pin(s, 0x1002, 0x1003, 15);
	s->area.marks = 1;
	s->gap.area_mark = event(12, EV_area_fill);
	give(s);
	assert_int_equal(expect(s, 2)->reason, REASON_POST_PIN);
	assert_int_equal(findings_get(s->f, 0)->pfn.hi, 0x1001);
	assert_int_equal(findings_get(s->f, 1)->reason, REASON_PRE_PIN);
	assert_int_equal(findings_get(s->f, 1)->pfn.lo, 0x1002);
	assert_int_equal(findings_get(s->f, 1)->iova.lo, 0x102000);
	assert_true(findings_get(s->f, 1)->mark_in_area);
	scene_free(s);
}

static void a_bit_of_this_fill_or_cleared_explains_nothing(void **state)
{
	struct scene *s = scene_new(NULL);
	const struct finding *g;

	(void)state;
	pin(s, 0x1000, 0x1003, 10);
	s->area.marks = 1;
	s->gap.area_mark = s->gap.fill;
	s->gap.pages_mark = event(12, EV_area_fill); /* was set, is not */
	give(s);
	g = expect(s, 1);
	assert_int_equal(g->reason, REASON_PINNED);
	assert_int_equal(g->mark.seq, 0);
	scene_free(s);
}

static void release_names_both_ends_of_exposure(void **state)
{
	struct scene *s = scene_new(NULL);
	struct origin exposed = event(11, EV_map), hidden = event(14, EV_unmap);
	const struct finding *g;

	(void)state;
	pin(s, 0x1000, 0x1003, 10);
	s->obs->exposed(s->obs->ctx, 0x1000, 0x1003, &exposed);
	s->obs->hidden(s->obs->ctx, 0x1000, 0x1003, &hidden);
	s->gap.kind = GAP_RELEASE;
	s->gap.event = event(16, EV_access_remove);
	s->gap.domain = NULL;
	give(s);
	g = expect(s, 1);
	assert_int_equal(g->setup.seq, 11);
	assert_int_equal(g->hidden.seq, 14);
	assert_int_equal(g->domain, 0);
	assert_string_equal(finding_roles[g->reason], "exposed");
	scene_free(s);
}

static void what_is_released_is_forgotten(void **state)
{
	struct scene *s = scene_new(NULL);
	struct origin o = event(12, EV_unmap);
	const struct finding *g;

	(void)state;
	pin(s, 0x1000, 0x1003, 10);
	s->obs->exposed(s->obs->ctx, 0x1000, 0x1003, &o);
	s->obs->released(s->obs->ctx, 0x1000, 0x1003, &o);
	give(s);
	assert_int_equal(expect(s, 1)->pinned.seq, 0);
	pin(s, 0x1000, 0x1003, 13);
	s->gap.event = event(21, EV_map);
	give(s);
	expect(s, 2);
	g = findings_get(s->f, 1);
	assert_int_equal(g->pinned.seq, 13);
	assert_int_equal(g->exposed.seq, 0);
	scene_free(s);
}

static void scattered_ranges_are_bounded(void **state)
{
	struct scene *s = scene_new(NULL);
	const struct finding *g;

	(void)state;
	for (uint64_t i = 0; i < 20; i++) {
		s->gap.pfn = 0x9000 - i * 0x100;
		give(s);
	}
	g = expect(s, 1);
	assert_int_equal(g->pfn.n, FINDING_RANGES);
	assert_int_equal(g->pfn.more, 20 - FINDING_RANGES);
	assert_int_equal(g->pfn.lo, 0x9000 - 19 * 0x100);
	assert_int_equal(g->pfn.hi, 0x9003);
	assert_true(g->pfn.r[0].lo < g->pfn.r[1].lo);
	assert_int_equal(g->npages, 80);
	assert_int_equal(g->iova.n, 1);
	scene_free(s);
}

static void names_are_made_fit_to_print(void **state)
{
	struct intern *strings = intern_new();
	struct origin o = event(3, EV_map);
	char buf[TEXT_MAX];

	(void)state;
	o.comm = intern_add(strings, "a\033[2J\nb", 7);
	text_origin(buf, sizeof(buf), &o, strings);
	assert_string_equal(buf, "#3  1.000000003  cpu 1  a?[2J?b-7  map");
	o.comm = 0;
	o.tid = EVENT_NO_TID;
	o.cpu = EVENT_NO_CPU;
	text_origin(buf, sizeof(buf), &o, strings);
	assert_string_equal(buf, "#3  1.000000003  cpu ?  <...>-?  map");
	intern_free(strings);
}

/* Cases: the pages of the findings are the pages of the gaps, by kind. */

struct tally {
	struct findings *f;
	uint64_t gaps[GAPS];
};

static int tally_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct tally *t = ctx;

	(void)m;
	findings_begin(t->f, c->id, s->strings, false);
	return 0;
}

static int tally_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct tally *t = ctx;

	(void)s, (void)c, (void)partial;
	for (int k = 0; k < GAPS; k++)
		t->gaps[k] += model_counts(m, 0)->gaps[k];
	return 0;
}

/* Every finding has its two sides, in order. Returns how many pages the findings have. */
static uint64_t check_findings(struct tally *t)
{
	uint64_t found[GAPS] = {0}, all = 0;

	findings_sort(t->f);
	for (size_t i = 0; i < findings_count(t->f); i++) {
		const struct finding *g = findings_get(t->f, i);

		assert_int_not_equal(g->setup.seq, 0);
		assert_true(g->setup.seq <= g->event.seq);
		if (g->kind != GAP_LEAK)
			assert_true(g->exposed.seq && g->hidden.seq && g->exposed.seq < g->hidden.seq);
		found[g->kind] += g->npages;
		all += g->npages;
	}
	for (int k = 0; k < GAPS; k++)
		assert_int_equal(found[k], t->gaps[k]);
	return all;
}

static uint64_t replay_case(const char *path, const char *policy)
{
	struct policy_set set = {0};
	struct error e = {0};
	struct tally t = {0};
	struct replay r = {.set = &set, .begin = tally_begin, .end = tally_end, .ctx = &t};
	uint64_t pages;

	assert_int_equal(policy_set_add(&set, policy, &e), 0);
	t.f = findings_new(set.policy[0], NULL);
	assert_non_null(t.f);
	r.obs = findings_observer(t.f);
	if (replay_run(&r, path, &e))
		fail_msg("%s: %s", path, e.text);
	pages = check_findings(&t);
	findings_free(t.f);
	policy_set_clear(&set);
	return pages;
}

static void cases_add_up(void **state)
{
	static const char *const names[] = {"hotplug",	"slices", "access-held", "access-later", "failed-beside",
					    "reexpose", "split",  "odd",	 "generated-11", "generated-14"};
	const char *data = getenv("IOFLUSH_TEST_DATA");
	uint64_t pages = 0;
	char path[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/cases/%s.jsonl", data ? data : "tests/data", names[i]);
		for (size_t p = 0; builtin_policies[p]; p++)
			pages += replay_case(path, builtin_policies[p]->name);
	}
	assert_true(pages > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_cause_is_one_finding),
		cmocka_unit_test(causes_differ),
		cmocka_unit_test(pages_are_no_cause),
		cmocka_unit_test(stale_fill_kind_is_no_cause),
		cmocka_unit_test(errors_come_first),
		cmocka_unit_test(other_policies_are_not_ours),
		cmocka_unit_test(a_device_is_one_cause),
		cmocka_unit_test(leak_without_a_bit),
		cmocka_unit_test(leak_by_a_bit_set_before_the_pin),
		cmocka_unit_test(histories_are_told_apart),
		cmocka_unit_test(a_bit_of_this_fill_or_cleared_explains_nothing),
		cmocka_unit_test(release_names_both_ends_of_exposure),
		cmocka_unit_test(what_is_released_is_forgotten),
		cmocka_unit_test(scattered_ranges_are_bounded),
		cmocka_unit_test(names_are_made_fit_to_print),
		cmocka_unit_test(cases_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
