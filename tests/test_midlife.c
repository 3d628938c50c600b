/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings that begin in mid-life (semantics.md, section 9): complete traces with the first N events cut off, for
 * many N. What the rest seems to prove is compared with the complete trace, in which every gap is known, page by page:
 *
 * - if nothing shows that the recording began in mid-life, all gaps count as certain;
 * - if something does, none does, and some are "if new": gaps if their memory was new to iommufd.
 *
 * Either must be a gap of the same kind, for the same policy, at the same event and frame of the complete trace, unless
 * the memory was not new: an older iopt_pages pinned the frame when the gap came, or the gap is of such an iopt_pages;
 * a fill that was under way at the cut is older. IOFLUSH_PROPERTY_SEEDS=FIRST-LAST runs other seeds than the default
 * ones.
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <uthash.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"
#include "tests/random_traces.h"
#include "trace/formats/open.h"

#define SEEDS 600 /* traces, by default */
#define CUTS 32	  /* of each */
#define FILE_CUTS 8
#define POLICIES 10

struct gap {
	uint64_t seq, policies, pfn, npages, pages;
	enum gap_kind kind;
	bool if_new;
};

/* A frame that was pinned from the event began on, until the event ended (UINT64_MAX: still). */
struct life {
	uint64_t began, ended;
	size_t earlier; /* one more than the number of its life before, 0: none */
};

struct frame_lives {
	uint64_t pfn;
	size_t last; /* one more than the number of its last life */
	UT_hash_handle hh;
};

struct gaps {
	struct gap *gap;
	size_t n, cap;
	struct frame_lives *frames;
	struct life *life;
	size_t nlives, lives_cap;
	bool lives; /* are wanted */
};

/* Pages objects that exist at the cut. */
struct ids {
	uint64_t id[4096];
	size_t n;
};

/* What all the checks together saw: a check of nothing proves nothing. */
struct seen {
	uint64_t cuts, midlife, certain, if_new, uncertain, excused, invented;
};

static void *room(void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap ? 2 * *cap : 64;
	array = reallocarray(array, *cap, size);
	assert_non_null(array);
	return array;
}

static void on_gap(void *ctx, const struct gap_span *g)
{
	struct gaps *a = ctx;

	a->gap = room(a->gap, a->n, &a->cap, sizeof(*a->gap));
	a->gap[a->n++] = (struct gap){.seq = g->event.seq,
				      .policies = g->policies,
				      .pfn = g->pfn,
				      .npages = g->npages,
				      .pages = g->pages->id,
				      .kind = g->kind,
				      .if_new = g->if_new};
}

static struct frame_lives *frame_find(const struct gaps *a, uint64_t pfn)
{
	struct frame_lives *f;

	HASH_FIND(hh, a->frames, &pfn, sizeof(pfn), f);
	return f;
}

static void on_pinned(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	struct gaps *a = ctx;

	for (; a->lives && lo <= hi; lo++) {
		struct frame_lives *f = frame_find(a, lo);

		if (!f) {
			f = calloc(1, sizeof(*f));
			assert_non_null(f);
			f->pfn = lo;
			HASH_ADD(hh, a->frames, pfn, sizeof(f->pfn), f);
		}
		a->life = room(a->life, a->nlives, &a->lives_cap, sizeof(*a->life));
		a->life[a->nlives++] = (struct life){.began = ev->seq, .ended = UINT64_MAX, .earlier = f->last};
		f->last = a->nlives;
	}
}

static void on_released(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	struct gaps *a = ctx;

	for (; a->lives && lo <= hi; lo++)
		a->life[frame_find(a, lo)->last - 1].ended = ev->seq;
}

static void gaps_clear(struct gaps *a)
{
	struct frame_lives *f, *next;

	HASH_ITER(hh, a->frames, f, next) {
		HASH_DEL(a->frames, f);
		free(f);
	}
	free(a->gap);
	free(a->life);
	*a = (struct gaps){0};
}

/* The model of the events, told to a; not finished. */
static struct model *run(const struct policy_set *set, const struct event *ev, size_t n, struct gaps *a,
			 struct model_observer *obs)
{
	struct error e = {0};
	struct model *m;

	*obs = (struct model_observer){.ctx = a, .gap = on_gap, .pinned = on_pinned, .released = on_released};
	m = model_new(set->policy, set->n, obs, NULL);
	assert_non_null(m);
	assert_int_equal(model_events(m, ev, n, &e), 0);
	return m;
}

static void add_pages(void *ctx, const struct model_area *area)
{
	struct ids *ids = ctx;

	assert_true(ids->n < sizeof(ids->id) / sizeof(ids->id[0]));
	ids->id[ids->n++] = area->pages;
}

/* The pages objects that exist after n events. */
static void pages_at(const struct policy_set *set, const struct event *ev, size_t n, struct ids *ids)
{
	const struct model_visitor v = {.ctx = ids, .area = add_pages};
	struct gaps none = {0};
	struct model_observer obs;
	struct error e = {0};
	struct model *m = run(set, ev, n, &none, &obs);

	ids->n = 0;
	assert_int_equal(model_visit(m, &v, &e), 0);
	model_free(m);
	gaps_clear(&none);
}

/* The policies for which the whole trace has this gap of this page. */
static uint64_t known_gap(const struct gaps *whole, uint64_t seq, enum gap_kind kind, uint64_t pfn)
{
	size_t lo = 0, hi = whole->n;
	uint64_t policies = 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (whole->gap[mid].seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < whole->n && whole->gap[lo].seq == seq; lo++) {
		const struct gap *g = &whole->gap[lo];

		if (g->kind == kind && g->pfn <= pfn && pfn - g->pfn < g->npages)
			policies |= g->policies;
	}
	return policies;
}

static bool is_old(const struct ids *ids, uint64_t pages)
{
	for (size_t i = 0; i < ids->n; i++) {
		if (ids->id[i] == pages)
			return true;
	}
	return false;
}

/* Whether the event, a map, is of a fill that began before the cut, or of one of an older pages object. */
static bool old_fill(const struct trace *t, const struct ids *ids, uint64_t cut, uint64_t seq)
{
	for (size_t i = seq - 1; i-- > 0;) {
		const struct event *ev = &t->ev[i];

		if (ev->tid != t->ev[seq - 1].tid || ev->kind == EV_map || ev->kind == EV_unmap || ev->kind == EV_unpin)
			continue;
		if (ev->kind == EV_area_fill)
			return i < cut || is_old(ids, ev->area_fill.pages);
		return ev->kind == EV_area_add_domain && (i < cut || is_old(ids, ev->area_add_domain.pages));
	}
	return false;
}

static bool old_memory(const struct trace *t, const struct gaps *whole, const struct ids *ids, uint64_t cut,
		       uint64_t seq, uint64_t pfn, uint64_t pages)
{
	const struct frame_lives *f = frame_find(whole, pfn);
	const struct life *l;

	if (is_old(ids, pages))
		return true;
	for (size_t i = f ? f->last : 0; i; i = l->earlier) {
		l = &whole->life[i - 1];
		if (l->began <= seq && l->ended > cut && l->ended >= seq &&
		    (l->began <= cut || old_fill(t, ids, cut, l->began)))
			return true;
	}
	return false;
}

/* Whether a coherent domain failed to join before the cut: the count of sticky-v1 as posted remembers it. */
static bool undone_before(const struct trace *t, uint64_t cut)
{
	for (size_t i = 0; i < cut; i++) {
		if (t->ev[i].kind == EV_domain_add_end && t->ev[i].domain_add_end.rc)
			return true;
	}
	return false;
}

/* A gap that the rest of the trace says is one. */
static void check_gap(const char *name, const struct policy_set *set, const struct trace *t, const struct gaps *whole,
		      const struct ids *ids, uint64_t cut, const struct gap *g, struct seen *seen)
{
	for (uint64_t pfn = g->pfn; pfn < g->pfn + g->npages; pfn++) {
		uint64_t known = known_gap(whole, g->seq + cut, g->kind, pfn);
		uint64_t invented = g->policies & ~known;

		if (!invented)
			continue;
		if (!strcmp(set->policy[__builtin_ctzll(invented)]->ops->name, "sticky-v1") && undone_before(t, cut))
			invented &= invented - 1;
		if (!invented)
			continue;
		if (old_memory(t, whole, ids, cut, g->seq + cut, pfn, g->pages)) {
			seen->excused++;
			continue;
		}
		if (seen->invented++ < 20)
			print_error("%s, from event %" PRIu64 " on: %s at event %" PRIu64 ", pfn 0x%" PRIx64
				    ", invented for %s (%016" PRIx64 ")\n",
				    name, cut + 1, gap_names[g->kind], g->seq + cut, pfn,
				    set->policy[__builtin_ctzll(invented)]->ops->name, invented);
	}
}

/* The counts that a report shows agree with what was told gap by gap. */
static void check_counts(const struct model *m, const struct gaps *a)
{
	bool midlife = model_totals(m)->midlife.seq;

	for (unsigned p = 0; p < POLICIES; p++) {
		const struct policy_counts *c = model_counts(m, p);
		uint64_t if_new[GAPS] = {0};

		for (size_t i = 0; i < a->n; i++) {
			if (a->gap[i].policies >> p & 1 && a->gap[i].if_new && midlife)
				if_new[a->gap[i].kind] += a->gap[i].npages;
		}
		for (int k = 0; k < GAPS; k++) {
			assert_int_equal(c->uncertain[k], midlife ? c->gaps[k] : 0);
			assert_int_equal(c->if_new[k], if_new[k]);
		}
	}
}

static void check_cut(const char *name, const struct policy_set *set, const struct trace *t, const struct gaps *whole,
		      size_t cut, struct seen *seen)
{
	struct model_observer obs;
	struct gaps rest = {0};
	struct ids ids;
	struct error e = {0};
	struct model *m = run(set, t->ev + cut, t->n - cut, &rest, &obs);
	bool midlife;

	assert_int_equal(model_finish(m, &e), 0);
	check_counts(m, &rest);
	pages_at(set, t->ev, cut, &ids);
	midlife = model_totals(m)->midlife.seq;
	seen->cuts++;
	seen->midlife += midlife;
	for (size_t i = 0; i < rest.n; i++) {
		const struct gap *g = &rest.gap[i];

		*(!midlife ? &seen->certain : g->if_new ? &seen->if_new : &seen->uncertain) += g->npages;
		if (!midlife || g->if_new)
			check_gap(name, set, t, whole, &ids, cut, g, seen);
	}
	model_free(m);
	gaps_clear(&rest);
}

/* The whole trace, which shows nothing older, and cuts of it. */
static void check_trace(const char *name, const struct trace *t, uint64_t seed, unsigned cuts, struct seen *seen)
{
	struct gaps whole = {.lives = true};
	struct policy_set set = {0};
	struct model_observer obs;
	struct error e = {0};
	struct model *m;
	uint64_t r = seed;

	assert_int_equal(policy_set_add(&set, "all", &e), 0);
	assert_int_equal(set.n, POLICIES);
	m = run(&set, t->ev, t->n, &whole, &obs);
	assert_int_equal(model_finish(m, &e), 0);
	assert_int_equal(model_totals(m)->midlife.seq, 0);
	check_counts(m, &whole);
	model_free(m);
	for (unsigned i = 0; i < cuts; i++)
		check_cut(name, &set, t, &whole, (size_t)below(&r, t->n), seen);
	gaps_clear(&whole);
	policy_set_clear(&set);
}

static void conclude(const struct seen *s)
{
	print_message("%" PRIu64 " cuts, %" PRIu64 " of them in mid-life; pages of gaps: %" PRIu64 " certain, %" PRIu64
		      " if new, %" PRIu64 " uncertain; %" PRIu64 " not so for memory that was not new\n",
		      s->cuts, s->midlife, s->certain, s->if_new, s->uncertain, s->excused);
	assert_int_equal(s->invented, 0);
	assert_true(s->midlife > s->cuts / 2 && s->midlife < s->cuts);
	assert_true(s->if_new > 0 && s->uncertain > 0 && s->certain > 0);
}

static void generated_traces(void **state)
{
	uint64_t first, last;
	struct seen seen = {0};
	char name[64];

	(void)state;
	seed_range(&first, &last, SEEDS);
	for (uint64_t seed = first; seed <= last; seed++) {
		struct generate_options o;
		struct source *s;
		struct trace t;

		stress(&o, seed);
		t = generate(&s, &o);
		snprintf(name, sizeof(name), "seed %" PRIu64, seed);
		check_trace(name, &t, seed, CUTS, &seen);
		free(t.ev);
		source_close(s);
	}
	conclude(&seen);
}

static void check_file(const char *dir, const char *name, struct seen *seen)
{
	struct error e = {0};
	struct source *s = NULL;
	struct trace t;
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (source_open(&s, path, &e))
		fail_msg("%s", e.text);
	t = read_all(s);
	check_trace(name, &t, strlen(name), FILE_CUTS, seen);
	free(t.ev);
	source_close(s);
}

/* All files of the folder with the ending, but odd.jsonl: that one is not whole. */
static void check_files(const char *folder, const char *ending, struct seen *seen)
{
	const char *data = getenv("IOFLUSH_TEST_DATA");
	struct dirent *entry;
	char dir[512];
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/%s", data ? data : "tests/data", folder);
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot && !strcmp(dot, ending) && strcmp(entry->d_name, "odd.jsonl"))
			check_file(dir, entry->d_name, seen);
	}
	closedir(d);
}

static void cases_and_recordings(void **state)
{
	struct seen seen = {0};

	(void)state;
	check_files("cases", ".jsonl", &seen);
	check_files("traces", ".dat", &seen);
	check_files("traces", ".trace", &seen);
	conclude(&seen);
	assert_true(seen.cuts >= 20u * FILE_CUTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generated_traces),
		cmocka_unit_test(cases_and_recordings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
