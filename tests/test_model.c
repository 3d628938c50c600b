/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model where the golden cases and the naive model do not reach: runs too long to walk page by page, what observers
 * are told, ranges flushed together, translation, stale ids, and objects older than the recording.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"

#define IOPT 0x1000
#define NC 0x2000 /* a non-coherent domain */
#define CO 0x3000 /* a coherent one */
#define PAGES 0x4000
#define AREA 0x5000

struct fixture {
	struct policy_set set;
	struct model *m;
	struct error err;
	uint64_t t;
};

static int setup_with(void **state, const struct model_observer *obs)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;

	memset(f, 0, sizeof(*f));
	assert_int_equal(policy_set_add(&f->set, "all", &f->err), 0);
	f->m = model_new(f->set.policy, f->set.n, obs, NULL);
	assert_non_null(f->m);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	model_free(f->m);
	policy_set_clear(&f->set);
	return 0;
}

static void feed(struct fixture *f, struct event ev)
{
	ev.t = ++f->t;
	assert_int_equal(event_check(&ev, &f->err), 0);
	assert_int_equal(model_events(f->m, &ev, 1, &f->err), 0);
}

static const struct policy_counts *counts(struct fixture *f, const char *policy)
{
	struct ioflush_policy *p = policy_set_find(&f->set, policy);

	assert_non_null(p);
	return model_counts(f->m, (size_t)__builtin_ctzll(p->bit));
}

static uint64_t health(struct fixture *f, enum health h)
{
	return model_totals(f->m)->health[h];
}

static void add_domain(struct fixture *f, uint64_t domain, bool coherent)
{
	feed(f, (struct event){.kind = EV_domain_add, .domain_add = {IOPT, domain, coherent}});
	feed(f, (struct event){.kind = EV_domain_add_end, .domain_add_end = {IOPT, domain, 0}});
}

/* An area over npages of pages from index first, at iova; fill only: maps and the end are the test's. */
static void fill(struct fixture *f, uint64_t area, uint64_t pages, uint64_t iova, uint64_t first, uint64_t npages)
{
	feed(f, (struct event){.kind = EV_area_fill,
			       .area_fill = {.area = area,
					     .pages = pages,
					     .iopt = IOPT,
					     .iova = iova,
					     .last = iova + npages * 4096 - 1,
					     .first = first,
					     .last_index = first + npages - 1,
					     .prot = 7,
					     .npages = first + npages}});
}

static void fill_end(struct fixture *f, uint64_t area)
{
	feed(f, (struct event){.kind = EV_area_fill_end, .area_fill_end = {area, 0}});
}

static void map(struct fixture *f, uint64_t domain, uint64_t iova, uint64_t pfn, uint64_t npages)
{
	feed(f, (struct event){.kind = EV_map, .map = {domain, iova, pfn << 12, npages << 12, 7}});
}

static void unmap(struct fixture *f, uint64_t domain, uint64_t iova, uint64_t npages)
{
	feed(f, (struct event){.kind = EV_unmap, .unmap = {domain, iova, npages << 12}});
}

static void unfill(struct fixture *f, uint64_t area, uint64_t pages, uint64_t iova, uint64_t npages)
{
	feed(f,
	     (struct event){.kind = EV_area_unfill, .area_unfill = {area, pages, IOPT, iova, iova + npages * 4096 - 1}});
}

static void unfill_end(struct fixture *f, uint64_t area, uint64_t pages, uint64_t iova, uint64_t npages)
{
	feed(f, (struct event){.kind = EV_area_unfill_end,
			       .area_unfill_end = {area, pages, IOPT, iova, iova + npages * 4096 - 1}});
}

/* 256 TiB at once, in and out, through two domains: exact to the page. */
static void test_huge(void **state)
{
	struct fixture *f = *state;
	const uint64_t n = 1ull << 36;

	add_domain(f, NC, false);
	add_domain(f, CO, true);
	fill(f, AREA, PAGES, 0, 0, n);
	map(f, NC, 0, 0x100, n);
	map(f, CO, 0, 0x100, n);
	fill_end(f, AREA);
	unfill(f, AREA, PAGES, 0, n);
	unmap(f, NC, 0, n);
	unmap(f, CO, 0, n);
	feed(f, (struct event){.kind = EV_unpin, .missing = EVENT_BIT(unpin, caller), .unpin = {0x100, n, 0}});
	unfill_end(f, AREA, PAGES, 0, n);
	assert_int_equal(model_finish(f->m, &f->err), 0);
	assert_int_equal(counts(f, "none")->gaps[GAP_LEAK], n);
	assert_int_equal(counts(f, "none")->gaps[GAP_RELEASE], n);
	assert_int_equal(counts(f, "ideal")->flush[HOOK_MAP], n);
	assert_int_equal(counts(f, "ideal")->flush[HOOK_UNPIN], n);
	assert_int_equal(counts(f, "ideal")->ranges, 2);
	assert_int_equal(model_totals(f->m)->mapped_pages, 2 * n);
	assert_int_equal(model_totals(f->m)->unpinned_pages, n);
	assert_int_equal(model_totals(f->m)->peak_exposed, n);
	assert_int_equal(model_totals(f->m)->missing_in_kernel, 0);
	assert_int_equal(model_totals(f->m)->not_derived, 0);
	for (int h = 0; h < HEALTH_COUNT; h++)
		assert_int_equal(health(f, h), 0);
}

/* A range is what one hook flushes in one event without a physical break, however the model cut it up. */
static void test_ranges(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x100000, 0, 16);
	map(f, NC, 0x100000, 0x100, 8); /* 1 */
	map(f, NC, 0x108000, 0x108, 4); /* 2: contiguous, but another event */
	map(f, NC, 0x10c000, 0x200, 4); /* 3 */
	fill_end(f, AREA);
	/* frames 0x104 to 0x105 become pinned twice: spans split, the range does not */
	fill(f, AREA + 1, PAGES + 1, 0x200000, 0, 2);
	map(f, NC, 0x200000, 0x104, 2); /* 4 */
	fill_end(f, AREA + 1);
	assert_int_equal(counts(f, "always")->ranges, 4);
	unfill(f, AREA, PAGES, 0x100000, 16);
	unmap(f, NC, 0x100000, 16); /* 0x100 to 0x10b and 0x200 to 0x203: two ranges at unpin, two at unmap */
	assert_int_equal(counts(f, "always")->ranges, 6);
	assert_int_equal(counts(f, "span")->ranges, 6);
	/* ideal leaves the twice-pinned frames in the middle alone: three ranges */
	assert_int_equal(counts(f, "ideal")->flush[HOOK_UNPIN], 14);
	assert_int_equal(counts(f, "ideal")->ranges, 3 + 3);
}

static void test_translate(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x100000, 4, 8);
	map(f, NC, 0x100000, 0x700, 8);
	fill_end(f, AREA);
	assert_int_equal(model_translate(f->m, NC, 0x100000), 0x700);
	assert_int_equal(model_translate(f->m, NC, 0x107fff), 0x707);
	assert_true(model_translate(f->m, NC, 0x108000) == IOFLUSH_PFN_UNKNOWN);
	assert_true(model_translate(f->m, CO, 0x100000) == IOFLUSH_PFN_UNKNOWN);
	unmap(f, NC, 0x102000, 1);
	assert_true(model_translate(f->m, NC, 0x102000) == IOFLUSH_PFN_UNKNOWN);
	assert_int_equal(model_translate(f->m, NC, 0x103000), 0x703);
	assert_int_equal(model_frame(f->m, 0x703).pin, 1);
	assert_int_equal(model_frame(f->m, 0x703).nc, 1);
	assert_int_equal(model_frame(f->m, 0x702).pin, 0);
}

/* A pointer seen on a half of a cut belongs to that half; the old one names nothing any more. */
static void test_stale_pointer(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x100000, 0, 8);
	map(f, NC, 0x100000, 0x700, 8);
	fill_end(f, AREA);
	feed(f, (struct event){.kind = EV_cut, .cut = {IOPT, 1, 0x103fff, 0}});
	/* the kernel gives the right half the pointer that the whole area had */
	unfill(f, AREA, PAGES, 0x104000, 4);
	unmap(f, NC, 0x104000, 4);
	unfill_end(f, AREA, PAGES, 0x104000, 4);
	assert_int_equal(model_frame(f->m, 0x703).pin, 1);
	assert_int_equal(model_frame(f->m, 0x704).pin, 0);
	unfill(f, AREA + 1, PAGES, 0x100000, 4);
	unmap(f, NC, 0x100000, 4);
	unfill_end(f, AREA + 1, PAGES, 0x100000, 4);
	assert_int_equal(model_totals(f->m)->unpinned_pages, 8);
	assert_int_equal(health(f, HEALTH_unknown_area), 0);
	assert_int_equal(health(f, HEALTH_mappings_dropped), 0);
}

/* A domain of another iopt is no storage, even if an event says so: it would outlive its use. */
static void test_foreign_storage(void **state)
{
	struct fixture *f = *state;

	feed(f, (struct event){.kind = EV_domain_add, .domain_add = {IOPT + 8, NC, 0}});
	fill(f, AREA, PAGES, 0x100000, 0, 8);
	fill_end(f, AREA);
	feed(f, (struct event){.kind = EV_area_add_domain_end, .area_add_domain_end = {AREA, NC, 0}});
	feed(f, (struct event){.kind = EV_domain_remove_end, .domain_remove_end = {IOPT + 8, NC}});
	add_domain(f, CO, false);
	fill(f, AREA + 1, PAGES, 0x200000, 0, 8);
	map(f, CO, 0x200000, 0x700, 8);
	assert_int_equal(counts(f, "span")->flush[HOOK_MAP], 8);
}

/* What observers are told adds up: each frame is pinned, exposed, hidden and released in turn. */
struct watch {
	uint64_t pinned, released, exposed, hidden, flushed, gaps, seq;
};

static void on_pinned(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	struct watch *w = ctx;

	w->pinned += hi - lo + 1;
	w->seq = ev->seq;
}

static void on_released(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	struct watch *w = ctx;

	w->released += hi - lo + 1;
	w->seq = ev->seq;
}

static void on_exposed(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	((struct watch *)ctx)->exposed += hi - lo + 1;
}

static void on_hidden(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	((struct watch *)ctx)->hidden += hi - lo + 1;
}

static void on_flushed(void *ctx, uint64_t lo, uint64_t hi, enum hook hook, uint64_t policies, const struct origin *ev)
{
	(void)hook;
	(void)ev;
	((struct watch *)ctx)->flushed += (hi - lo + 1) * (uint64_t)__builtin_popcountll(policies);
}

static void on_gap(void *ctx, const struct gap_span *g)
{
	struct watch *w = ctx;

	w->gaps += g->npages * (uint64_t)__builtin_popcountll(g->policies);
	assert_int_equal(g->iopt->id, IOPT);
	assert_int_equal(g->iova - 0x100000, g->index * 4096);
	assert_int_equal(g->pfn - 0x700, g->index);
	if (g->kind == GAP_LEAK) {
		assert_int_equal(g->domain->id, NC);
		assert_int_equal(g->device, 77);
		assert_true(g->filling);
		assert_int_equal(g->event.kind, EV_map);
		assert_int_equal(g->fill.kind, EV_area_fill);
	}
}

static struct watch watch;
static const struct model_observer watcher = {
	.ctx = &watch,
	.pinned = on_pinned,
	.released = on_released,
	.exposed = on_exposed,
	.hidden = on_hidden,
	.flushed = on_flushed,
	.gap = on_gap,
};

static int setup_watched(void **state)
{
	memset(&watch, 0, sizeof(watch));
	return setup_with(state, &watcher);
}

static void test_observer(void **state)
{
	struct fixture *f = *state;
	uint64_t flushed = 0, gaps = 0;

	feed(f, (struct event){.kind = EV_attach, .attach = {0x9000, NC, 77}});
	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x100000, 0, 8);
	map(f, NC, 0x100000, 0x700, 8);
	fill_end(f, AREA);
	assert_int_equal(watch.pinned, 8);
	assert_int_equal(watch.exposed, 8);
	assert_int_equal(watch.seq, 5);
	unfill(f, AREA, PAGES, 0x100000, 8);
	unmap(f, NC, 0x100000, 3);
	unmap(f, NC, 0x103000, 5);
	unfill_end(f, AREA, PAGES, 0x100000, 8);
	assert_int_equal(watch.released, 8);
	assert_int_equal(watch.hidden, 8);
	for (size_t i = 0; i < f->set.n; i++) {
		const struct policy_counts *c = model_counts(f->m, i);

		for (int h = 0; h < HOOKS; h++)
			flushed += c->flush[h];
		for (int g = 0; g < GAPS; g++)
			gaps += c->gaps[g];
	}
	assert_int_equal(watch.flushed, flushed);
	assert_int_equal(watch.gaps, gaps);
	assert_int_equal(gaps, 16); /* none: leak and release */
}

/* ---- recordings that begin in mid-life ---- */

#define OLD_IOPT 0x7000
#define OLD_DOMAIN 0x7100
#define OLD_AREA 0x7200
#define OLD_PAGES 0x7300

static void lost(struct fixture *f)
{
	feed(f, (struct event){.kind = EV_lost, .lost = {.count = 1}, .missing = 1u << 1 | 1u << 2});
}

/* What would wrap to no loss at all stays the most there is. */
static void test_losses_do_not_wrap(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++)
		feed(f, (struct event){.kind = EV_lost, .lost = {.count = 1ull << 63}, .missing = 1u << 1 | 1u << 2});
	assert_true(health(f, HEALTH_lost_records) == UINT64_MAX);
	assert_true(model_totals(f->m)->losses.loss[0].records == UINT64_MAX);
}

/* Five events name four older objects, each met once; the first is told. */
static void test_older_objects_are_met_once(void **state)
{
	struct fixture *f = *state;
	struct event ev = {.kind = EV_area_unfill, .area_unfill = {OLD_AREA, OLD_PAGES, OLD_IOPT, 0x10000, 0x1ffff}};

	add_domain(f, NC, false);
	for (int i = 0; i < 3; i++)
		feed(f, ev);
	feed(f, (struct event){.kind = EV_domain_remove, .domain_remove = {OLD_IOPT, OLD_DOMAIN}});
	feed(f, (struct event){.kind = EV_domain_remove_end, .domain_remove_end = {OLD_IOPT, OLD_DOMAIN}});
	assert_int_equal(health(f, HEALTH_midlife_areas), 1);
	assert_int_equal(health(f, HEALTH_midlife_pages), 1);
	assert_int_equal(health(f, HEALTH_midlife_iopts), 1);
	assert_int_equal(health(f, HEALTH_midlife_domains), 1);
	assert_int_equal(health(f, HEALTH_unknown_after_loss), 0);
	assert_int_equal(model_totals(f->m)->midlife.seq, 3);
	assert_int_equal(model_totals(f->m)->midlife.kind, EV_area_unfill);
	/* the id is free again: another removal is of another one */
	feed(f, (struct event){.kind = EV_domain_remove, .domain_remove = {OLD_IOPT, OLD_DOMAIN}});
	assert_int_equal(health(f, HEALTH_midlife_domains), 2);
}

/* After a loss nobody can tell what is older. */
static void test_after_a_loss(void **state)
{
	struct fixture *f = *state;

	lost(f);
	feed(f, (struct event){.kind = EV_domain_remove, .domain_remove = {OLD_IOPT, OLD_DOMAIN}});
	assert_int_equal(health(f, HEALTH_unknown_after_loss), 2);
	assert_int_equal(health(f, HEALTH_midlife_domains) + health(f, HEALTH_midlife_iopts), 0);
	assert_int_equal(model_totals(f->m)->midlife.seq, 0);
}

/* A foreign domain stays one; what a removal names was never foreign, and its maps are counted anew. */
static void test_foreign_or_older(void **state)
{
	struct fixture *f = *state;

	map(f, 0x9000, 0x10000, 0x100, 5);
	map(f, OLD_DOMAIN, 0x10000, 0x200, 3);
	unmap(f, OLD_DOMAIN, 0x10000, 1);
	assert_int_equal(health(f, HEALTH_foreign_maps), 3);
	feed(f, (struct event){.kind = EV_domain_remove, .domain_remove = {OLD_IOPT, OLD_DOMAIN}});
	unmap(f, OLD_DOMAIN, 0x10000, 2);
	map(f, OLD_DOMAIN, 0x20000, 0x300, 1);
	assert_int_equal(health(f, HEALTH_foreign_maps), 1);
	assert_int_equal(health(f, HEALTH_midlife_map_pages), 4);
}

/* A fill maps all of its range into each domain of the iopt, so an unknown one is an older one of it. */
static void test_a_fill_shows_an_older_domain(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x10000, 0, 4);
	map(f, NC, 0x10000, 0x100, 4);
	map(f, OLD_DOMAIN, 0x10000, 0x100, 1);
	map(f, OLD_DOMAIN, 0x11000, 0x101, 3);
	assert_int_equal(model_totals(f->m)->midlife.seq, 0);
	fill_end(f, AREA);
	assert_int_equal(health(f, HEALTH_midlife_domains), 1);
	assert_int_equal(health(f, HEALTH_midlife_iopts), 1);
	assert_int_equal(health(f, HEALTH_midlife_map_pages), 4);
	assert_int_equal(health(f, HEALTH_foreign_maps), 0);
	assert_int_equal(model_totals(f->m)->midlife.seq, 7);
	assert_int_equal(model_finish(f->m, &f->err), 0);
	assert_int_equal(counts(f, "none")->gaps[GAP_LEAK], 4);
	assert_int_equal(counts(f, "none")->uncertain[GAP_LEAK], 4);
	assert_int_equal(counts(f, "none")->if_new[GAP_LEAK], 4); /* before it was mapped into the older one */
	unmap(f, NC, 0x10000, 4);
	map(f, NC, 0x10000, 0x100, 4); /* now it is there */
	assert_int_equal(model_finish(f->m, &f->err), 0);
	assert_int_equal(counts(f, "none")->uncertain[GAP_LEAK], 8);
	assert_int_equal(counts(f, "none")->if_new[GAP_LEAK], 4);
}

/* The DMA API maps from an interrupt, by chance at an iova that the interrupted thread is filling. */
static void test_an_interrupt_shows_nothing(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x10000, 0, 4);
	map(f, NC, 0x10000, 0x100, 4);
	map(f, 0x9000, 0x12000, 0x500, 1);
	fill_end(f, AREA);
	assert_int_equal(model_finish(f->m, &f->err), 0);
	assert_int_equal(health(f, HEALTH_foreign_maps), 1);
	assert_int_equal(model_totals(f->m)->midlife.seq, 0);
	assert_int_equal(counts(f, "none")->gaps[GAP_LEAK], 4);
	assert_int_equal(counts(f, "none")->uncertain[GAP_LEAK], 0);
}

/* What shows it may come last: all gaps before it are uncertain, and "if new", for all else is known. */
static void test_late_knowledge(void **state)
{
	struct fixture *f = *state;

	add_domain(f, NC, false);
	fill(f, AREA, PAGES, 0x10000, 0, 1);
	map(f, NC, 0x10000, 0x100, 1);
	fill_end(f, AREA);
	fill(f, AREA + 1, PAGES + 1, 0x20000, 0, 4);
	map(f, NC, 0x20000, 0x200, 4);
	fill_end(f, AREA + 1);
	feed(f, (struct event){.kind = EV_domain_remove, .domain_remove = {OLD_IOPT, OLD_DOMAIN}});
	assert_int_equal(model_finish(f->m, &f->err), 0);
	assert_int_equal(counts(f, "none")->gaps[GAP_LEAK], 5);
	assert_int_equal(counts(f, "none")->uncertain[GAP_LEAK], 5);
	assert_int_equal(counts(f, "none")->if_new[GAP_LEAK], 5);
	assert_int_equal(counts(f, "ideal")->uncertain[GAP_LEAK], 0);
}

/* No source gives it; if one did, no span of time may wrap. */
static void test_time_goes_on(void **state)
{
	const struct event ev = {.t = 1, .kind = EV_unpin, .missing = EVENT_BIT(unpin, caller), .unpin = {1, 1, 0}};
	struct fixture *f = *state;

	feed(f, ev);
	feed(f, ev);
	assert_int_equal(model_events(f->m, &ev, 1, &f->err), -1);
	assert_string_equal(f->err.text, "event 3: t: 1: earlier than the event before it, at 2");
	assert_int_equal(model_totals(f->m)->last_t, 2);
	assert_int_equal(time_span(2, 5), 3);
	assert_int_equal(time_span(5, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_translate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_pointer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_storage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observer, setup_watched, teardown),
		cmocka_unit_test_setup_teardown(test_older_objects_are_met_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_losses_do_not_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_or_older, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_fill_shows_an_older_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_interrupt_shows_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_knowledge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_goes_on, setup, teardown),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
