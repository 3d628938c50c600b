/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doctored recordings: real ones with one event left out, doubled, moved, made smaller, or with another's value in one of
 * its fields. Where that changes what the policies come to, verify must not say PASS. What gets a PASS all the same is
 * listed, with the reason why no check can see it; at least nine of ten must be caught.
 *
 * Each way is tried at places spread over each recording. A way for which there is no place, and one that no longer gets
 * through although the table says so, fail the test too.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"
#include "analyzer/report/judge.h"
#include "tests/random_traces.h"
#include "trace/formats/open.h"

#define PLACES 6 /* of each recording, at most */

static const char *const recordings[] = {
	"traces/churn-small.trace",    "traces/vmboot-nonsnoop.dat",   "recordings/replug.jsonl",
	"recordings/vfio-split.jsonl", "recordings/access-held.jsonl", "recordings/slices.jsonl",
};
#define RECORDINGS (sizeof(recordings) / sizeof(recordings[0]))

/* ---- ways to doctor: the event at, of the kind asked for, becomes something else. false: not possible here ---- */

struct way {
	const char *name;
	bool (*doctor)(struct trace *t, size_t at, unsigned field);
	enum event_kind kind;
	unsigned field;
	const char *unseen; /* why a PASS is right for what can be seen; NULL: it must not get one */
};

static bool drop(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	memmove(t->ev + at, t->ev + at + 1, (t->n - at - 1) * sizeof(*t->ev));
	t->n--;
	return true;
}

/* The end of the operation that the event begins, or t->n. */
static size_t end_of(const struct trace *t, size_t at)
{
	static const uint8_t end[EV_KINDS] = {
		[EV_domain_add] = EV_domain_add_end,   [EV_domain_remove] = EV_domain_remove_end,
		[EV_area_fill] = EV_area_fill_end,     [EV_area_add_domain] = EV_area_add_domain_end,
		[EV_area_unfill] = EV_area_unfill_end,
	};
	size_t i = at + 1;

	while (i < t->n && (t->ev[i].tid != t->ev[at].tid || t->ev[i].kind != end[t->ev[at].kind]))
		i++;
	return i;
}

/* What the thread does from the event on to the end of its operation is left out: all of it, or all between the two. */
static bool leave_out(struct trace *t, size_t at, bool all)
{
	size_t end = end_of(t, at), kept = at;

	if (end == t->n || (!all && end == at + 1))
		return false;
	for (size_t i = at; i < t->n; i++)
		if (i > end || t->ev[i].tid != t->ev[at].tid || (!all && (i == at || i == end)))
			t->ev[kept++] = t->ev[i];
	t->n = kept;
	return true;
}

static bool empty(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	return leave_out(t, at, false);
}

static bool gone(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	return leave_out(t, at, true);
}

static bool twice(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	memmove(t->ev + at + 1, t->ev + at, (t->n - at) * sizeof(*t->ev));
	t->n++;
	return true;
}

/* What was mapped is unmapped, unpinned and mapped again. */
static bool remap(struct trace *t, size_t at, unsigned field)
{
	struct event *ev = t->ev + at;

	(void)field;
	memmove(ev + 4, ev + 1, (t->n - at - 1) * sizeof(*ev));
	t->n += 3;
	ev[1] = ev[2] = ev[3] = ev[0];
	ev[1].kind = EV_unmap;
	ev[1].unmap = (struct event_unmap){ev->map.domain, ev->map.iova, ev->map.size};
	ev[2].kind = EV_unpin;
	ev[2].unpin = (struct event_unpin){.pfn = ev->map.paddr >> PAGE_SHIFT, .npages = ev->map.size >> PAGE_SHIFT};
	ev[1].missing = 0;
	ev[2].missing = EVENT_BIT(unpin, caller);
	return true;
}

/* The event comes later, behind n others; times stay where they are. */
static bool later_by(struct trace *t, size_t at, size_t n)
{
	struct event ev = t->ev[at];

	if (at + n >= t->n)
		return false;
	for (size_t i = at; i < at + n; i++) {
		uint64_t time = t->ev[i].t;

		t->ev[i] = t->ev[i + 1];
		t->ev[i].t = time;
	}
	ev.t = t->ev[at + n].t;
	t->ev[at + n] = ev;
	return true;
}

static bool later(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	return later_by(t, at, 12);
}

static bool swap(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	return later_by(t, at, 1);
}

static bool other_thread(struct trace *t, size_t at, unsigned field)
{
	(void)field;
	t->ev[at].tid ^= 1;
	return true;
}

/* The value that the same field has in another event. */
static bool other_id(struct trace *t, size_t at, unsigned field)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->ev[i].kind != t->ev[at].kind || t->ev[i].f[field] == t->ev[at].f[field])
			continue;
		t->ev[at].f[field] = t->ev[i].f[field];
		return true;
	}
	t->ev[at].f[field] += 0x40; /* there is no other */
	return true;
}

static bool half(struct trace *t, size_t at, unsigned field)
{
	uint64_t *v = &t->ev[at].f[field], unit = t->ev[at].kind == EV_unpin ? 1 : PAGE_SIZE_BYTES;

	if (*v < 2 * unit)
		return false;
	*v = *v / 2 / unit * unit;
	return true;
}

static bool page_on(struct trace *t, size_t at, unsigned field)
{
	t->ev[at].f[field] += t->ev[at].kind == EV_unpin ? 1 : PAGE_SIZE_BYTES;
	return true;
}

static bool one_less(struct trace *t, size_t at, unsigned field)
{
	if (!t->ev[at].f[field])
		return false;
	t->ev[at].f[field]--;
	return true;
}

static bool failed(struct trace *t, size_t at, unsigned field)
{
	t->ev[at].f[field] = t->ev[at].f[field] ? 0 : (uint64_t)-12;
	return true;
}

static bool flip(struct trace *t, size_t at, unsigned field)
{
	t->ev[at].f[field] ^= 1;
	return true;
}

static bool is_mmio(struct trace *t, size_t at, unsigned field)
{
	t->ev[at].f[field] ^= 0x10;
	return true;
}

#define FIELD_OF(kind, field) (offsetof(struct event_##kind, field) / sizeof(uint64_t))
#define WAY(doctor, kind, why)                               \
	{                                                    \
#doctor " " #kind, doctor, EV_##kind, 0, why \
	}
#define FIELD(doctor, kind, field, why)                                                     \
	{                                                                                   \
#doctor " " #kind "." #field, doctor, EV_##kind, FIELD_OF(kind, field), why \
	}

static const struct way ways[] = {
	WAY(drop, domain_add, NULL),
	WAY(drop, domain_add_end, NULL),
	WAY(drop, domain_remove, NULL),
	WAY(drop, domain_remove_end, NULL),
	WAY(drop, area_fill, NULL),
	WAY(drop, area_fill_end, NULL),
	WAY(drop, area_unfill, NULL),
	WAY(drop, area_unfill_end, NULL),
	WAY(drop, area_add_domain, NULL),
	WAY(drop, area_add_domain_end, NULL),
	WAY(drop, map, NULL),
	WAY(drop, unmap, NULL),
	WAY(drop, cut, NULL),
	WAY(drop, access_add, NULL),
	WAY(drop, access_remove, NULL),
	WAY(drop, unpin, NULL),
	WAY(empty, domain_add, NULL),
	WAY(empty, domain_remove, NULL),
	WAY(empty, area_fill, NULL),
	WAY(empty, area_unfill, NULL),
	WAY(empty, area_add_domain, NULL),
	WAY(gone, domain_add, NULL),
	WAY(gone, domain_remove, NULL),
	WAY(gone, area_fill, NULL),
	WAY(gone, area_unfill, NULL),
	WAY(gone, area_add_domain, NULL),
	WAY(twice, domain_add, NULL),
	WAY(twice, domain_add_end, NULL),
	WAY(twice, domain_remove, NULL),
	WAY(twice, domain_remove_end, NULL),
	WAY(twice, area_fill, NULL),
	WAY(twice, area_fill_end, NULL),
	WAY(twice, area_unfill, NULL),
	WAY(twice, area_unfill_end, NULL),
	WAY(twice, area_add_domain, NULL),
	WAY(twice, area_add_domain_end, NULL),
	WAY(twice, map, NULL),
	WAY(twice, unmap, NULL),
	WAY(twice, cut, NULL),
	WAY(twice, access_add, NULL),
	WAY(twice, access_remove, NULL),
	WAY(twice, unpin, NULL),
	WAY(remap, map, NULL),
	WAY(later, domain_add, NULL),
	WAY(later, domain_add_end, NULL),
	WAY(later, domain_remove, NULL),
	WAY(later, domain_remove_end, NULL),
	WAY(later, area_fill, NULL),
	WAY(later, area_fill_end, NULL),
	WAY(later, area_unfill, NULL),
	WAY(later, area_unfill_end, NULL),
	WAY(later, area_add_domain, NULL),
	WAY(later, area_add_domain_end, NULL),
	WAY(later, map, NULL),
	WAY(later, unmap, NULL),
	WAY(later, cut, NULL),
	WAY(later, access_add, NULL),
	WAY(later, access_remove, "an access may hold what is mapped as well as long as it likes"),
	WAY(later, unpin, NULL),
	WAY(swap, map, NULL),
	WAY(swap, unmap, NULL),
	WAY(swap, area_fill, NULL),
	WAY(swap, access_add, NULL),
	WAY(other_thread, map, NULL),
	WAY(other_thread, unmap, NULL),
	WAY(other_thread, unpin, NULL),
	WAY(other_thread, area_fill, NULL),
	WAY(other_thread, area_unfill_end, NULL),
	FIELD(other_id, domain_add, iopt, NULL),
	FIELD(other_id, domain_add, domain, NULL),
	FIELD(other_id, area_fill, area, NULL),
	FIELD(other_id, area_fill, pages, NULL),
	FIELD(other_id, area_fill, iopt, NULL),
	FIELD(other_id, area_add_domain, area, NULL),
	FIELD(other_id, area_add_domain, domain, NULL),
	FIELD(other_id, map, domain, NULL),
	FIELD(other_id, unmap, domain, NULL),
	FIELD(other_id, access_add, area, NULL),
	FIELD(other_id, cut, iopt, NULL),
	FIELD(half, map, size, NULL),
	FIELD(half, unmap, size, NULL),
	FIELD(half, unpin, npages, NULL),
	FIELD(one_less, access_add, last, NULL),
	FIELD(one_less, access_remove, last, NULL),
	FIELD(page_on, map, paddr, NULL),
	FIELD(page_on, map, iova, NULL),
	FIELD(page_on, unmap, iova, NULL),
	FIELD(page_on, unpin, pfn, NULL),
	FIELD(page_on, cut, iova0, NULL),
	FIELD(failed, domain_add_end, rc, NULL),
	FIELD(failed, area_fill_end, rc, NULL),
	FIELD(failed, area_add_domain_end, rc, NULL),
	FIELD(flip, domain_add, coherent, "nothing else in a trace tells whether a domain is coherent"),
	FIELD(is_mmio, map, prot, NULL),
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---- what a trace comes to ---- */

struct result {
	struct policy_counts counts[MODEL_MAX_POLICIES];
	size_t n;
	struct judgement judgement;
};

static void run(const struct trace *t, struct policy_set *set, struct result *r)
{
	struct capture c;
	struct model *m = model_new(set->policy, set->n, NULL, NULL);
	struct error e = {0};

	memset(r, 0, sizeof(*r));
	assert_non_null(m);
	capture_init(&c, 1, "", "jsonl");
	assert_int_equal(model_events(m, t->ev, t->n, &e), 0);
	assert_int_equal(model_finish(m, &e), 0);
	for (r->n = 0; r->n < set->n; r->n++)
		r->counts[r->n] = *model_counts(m, r->n);
	r->judgement = judge(&c, model_totals(m), NULL, false);
	model_free(m);
}

/* The numbers of a report: what is uncertain in them is part of the judgement. */
static bool same_numbers(const struct result *a, const struct result *b)
{
	for (size_t i = 0; i < a->n; i++) {
		if (memcmp(a->counts[i].flush, b->counts[i].flush, sizeof(a->counts[i].flush)) ||
		    memcmp(a->counts[i].gaps, b->counts[i].gaps, sizeof(a->counts[i].gaps)))
			return false;
	}
	return true;
}

static bool possible(const struct trace *t)
{
	struct error e = {0};

	for (size_t i = 0; i < t->n; i++) {
		if (event_check(&t->ev[i], &e) || (i && t->ev[i].t < t->ev[i - 1].t))
			return false;
	}
	return true;
}

/* ---- the table ---- */

struct tally {
	unsigned tried, differ, caught;
};

struct doctoring {
	struct policy_set set;
	struct trace t;
	struct result whole;
	const char *recording;
};

static void try_at(struct doctoring *d, const struct way *w, size_t at, struct tally *sum)
{
	struct trace t = {.n = d->t.n};
	struct result r;

	t.ev = calloc(t.n + 3, sizeof(*t.ev)); /* room for what a way adds */
	assert_non_null(t.ev);
	memcpy(t.ev, d->t.ev, t.n * sizeof(*t.ev));
	if (w->doctor(&t, at, w->field) && possible(&t)) {
		run(&t, &d->set, &r);
		sum->tried++;
		if (!same_numbers(&r, &d->whole)) {
			sum->differ++;
			sum->caught += r.judgement.verdict != VERDICT_PASS;
			if (r.judgement.verdict == VERDICT_PASS)
				print_message("  PASS  %s, event %zu of %s\n", w->name, at + 1, d->recording);
		}
	}
	free(t.ev);
}

/* The events of the kind, or as many as there is time for, spread over all of them. */
static void try_recording(struct doctoring *d, const struct way *w, struct tally *sum)
{
	size_t n = 0, places, k = 0;

	for (size_t i = 0; i < d->t.n; i++)
		n += d->t.ev[i].kind == w->kind;
	places = n < PLACES ? n : PLACES;
	for (size_t i = 0, seen = 0; i < d->t.n && k < places; i++) {
		if (d->t.ev[i].kind != w->kind || seen++ < k * n / places)
			continue;
		k++;
		try_at(d, w, i, sum);
	}
}

static void open_recording(struct doctoring *d, const char *name, struct source **s)
{
	const char *data = getenv("IOFLUSH_TEST_DATA");
	struct error e = {0};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", data ? data : "tests/data", name);
	if (source_open(s, path, &e))
		fail_msg("%s", e.text);
	d->recording = name;
	d->t = read_all(*s);
	assert_int_equal(policy_set_add(&d->set, "all", &e), 0);
	run(&d->t, &d->set, &d->whole);
	assert_int_equal(d->whole.judgement.verdict, VERDICT_PASS);
}

static void test_doctored(void **state)
{
	struct tally way[WAYS] = {0}, sum = {0};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < RECORDINGS; i++) {
		struct doctoring d = {0};
		struct source *s;

		open_recording(&d, recordings[i], &s);
		for (size_t k = 0; k < WAYS; k++)
			try_recording(&d, &ways[k], &way[k]);
		free(d.t.ev);
		policy_set_clear(&d.set);
		source_close(s);
	}
	print_message("%-40s %6s %7s %6s %6s\n", "way", "tried", "differ", "caught", "PASS");
	for (size_t k = 0; k < WAYS; k++) {
		unsigned passed = way[k].differ - way[k].caught;

		print_message("%-40s %6u %7u %6u %6u  %s\n", ways[k].name, way[k].tried, way[k].differ, way[k].caught,
			      passed, passed && ways[k].unseen ? ways[k].unseen : "");
		wrong += !way[k].tried || (passed && !ways[k].unseen) || (!passed && ways[k].unseen);
		sum.tried += way[k].tried;
		sum.differ += way[k].differ;
		sum.caught += way[k].caught;
	}
	print_message("%zu ways: %u tried, %u change numbers, %u of them caught\n", WAYS, sum.tried, sum.differ,
		      sum.caught);
	assert_int_equal(wrong, 0);
	assert_true(sum.differ >= 200);
	assert_true(10 * sum.caught >= 9 * sum.differ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_doctored)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
