/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short random traces for property tests, as the generator makes them, and a reader of the first capture of any source.
 * The same seed gives the same trace. Include it after cmocka.h.
 */
#ifndef IOFLUSH_TESTS_RANDOM_TRACES_H
#define IOFLUSH_TESTS_RANDOM_TRACES_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyzer/generator/generator.h"
#include "trace/source.h"

struct trace {
	struct event *ev;
	size_t n;
	struct intern *strings;
};

/* Random numbers of our own: the same everywhere. */
static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint64_t below(uint64_t *state, uint64_t n)
{
	return rnd(state) % n;
}

static inline uint64_t one_of(uint64_t *state, const uint64_t *values, size_t n)
{
	return values[below(state, n)];
}
#define ONE_OF(state, ...) \
	one_of(state, (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Few pages, few frames, several of everything, failures: what makes rules meet. */
static inline void stress(struct generate_options *o, uint64_t seed)
{
	uint64_t r = seed ^ 0x70726f7065727479ull;

	generate_defaults(o, ONE_OF(&r, GENERATE_VMBOOT, GENERATE_CHURN, GENERATE_MIXED, GENERATE_MIXED), seed,
			  ONE_OF(&r, 60, 120, 300, 600));
	o->no_teardown = below(&r, 4) == 0;
	o->live = ONE_OF(&r, 2, 4, 8);
	o->area_pages = ONE_OF(&r, 1, 2, 4, 16, 64, 300);
	o->memory_pages = ONE_OF(&r, 16, 32, 128, 512);
	o->run_order = ONE_OF(&r, 0, 1, 3);
	o->domains = ONE_OF(&r, 1, 2, 3, 4);
	o->coherent = ONE_OF(&r, 0, 300, 500, 700, 1000);
	if (o->shape == GENERATE_VMBOOT)
		return;
	o->iopts = ONE_OF(&r, 1, 2, 3);
	o->accesses = ONE_OF(&r, 0, 2, 6);
	o->fail = ONE_OF(&r, 0, 0, 100, 400);
	o->unknown = ONE_OF(&r, 0, 0, 200);
	o->offset = ONE_OF(&r, 0, 100, 500);
	o->share = ONE_OF(&r, 0, 300, 800);
	o->cuts = below(&r, 2);
}

/* The events of a source's first capture. The source stays open for its strings. */
static inline struct trace read_all(struct source *s)
{
	struct trace t = {.strings = s->strings};
	struct error e = {0};
	struct capture c;
	ssize_t got = source_capture(s, &c, &e);
	size_t size = 0;

	assert_int_equal(got, 1);
	for (; got > 0; t.n += (size_t)got) {
		if (t.n + 256 > size) {
			size = 2 * size + 256;
			t.ev = realloc(t.ev, size * sizeof(*t.ev));
			assert_non_null(t.ev);
		}
		got = source_read(s, t.ev + t.n, 256, &e);
		if (got < 0)
			fail_msg("%s", e.text);
	}
	return t;
}

static inline struct trace generate(struct source **s, const struct generate_options *o)
{
	struct error e = {0};

	if (generate_open(s, o, &e))
		fail_msg("seed %" PRIu64 ": %s", o->seed, e.text);
	return read_all(*s);
}

/* The seeds to run: 1 to n, or those of the environment. */
static inline void seed_range(uint64_t *first, uint64_t *last, uint64_t n)
{
	const char *range = getenv("IOFLUSH_PROPERTY_SEEDS");

	*first = 1;
	*last = n;
	if (range && sscanf(range, "%" SCNu64 "-%" SCNu64, first, last) != 2)
		fail_msg("IOFLUSH_PROPERTY_SEEDS=%s: not FIRST-LAST", range);
}

#endif
