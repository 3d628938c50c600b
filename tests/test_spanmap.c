/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The span map against an array: random updates over a small range of keys; after each both must hold the same, and the
 * map must be in its one canonical form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct cell {
	uint64_t v;
};
#define SPANMAP cells
#define SPANMAP_VALUE struct cell
#define SPANMAP_SAME(a, b) ((a)->v == (b)->v)
#define SPANMAP_EMPTY(c) (!(c)->v)
#include "analyzer/model/spanmap.h"

#define KEYS 6000

struct op {
	uint64_t *naive; /* what each key holds */
	uint64_t base;	 /* of the keys in the map */
	uint64_t expect; /* next lo that the callback must be told */
	uint64_t set, add;
	bool adding;
};

static uint64_t rnd(uint64_t *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s >> 33;
}

/* Changes the value, and the array with it; spans must come in order, without holes, each in one state. */
static void change(void *ctx, uint64_t lo, uint64_t hi, struct cell *v)
{
	struct op *op = ctx;
	uint64_t before = v->v;

	assert_int_equal(lo, op->expect);
	assert_true(hi >= lo);
	op->expect = hi + 1;
	v->v = op->adding ? v->v + op->add : op->set;
	for (uint64_t k = lo; k <= hi && k >= lo; k++) {
		assert_int_equal(op->naive[k - op->base], before);
		op->naive[k - op->base] = v->v;
	}
}

static void compare(const struct cells *m, const uint64_t *naive, uint64_t base)
{
	const struct cells_span *s, *prev = NULL;
	uint64_t at = 0;

	for (s = cells_from(m, 0); s; s = s->hi < UINT64_MAX ? cells_from(m, s->hi + 1) : NULL) {
		assert_true(s->lo <= s->hi && s->v.v);
		if (prev && prev->hi + 1 == s->lo)
			assert_int_not_equal(prev->v.v, s->v.v);
		for (; at < s->lo - base; at++)
			assert_int_equal(naive[at], 0);
		for (; at <= s->hi - base; at++)
			assert_int_equal(naive[at], s->v.v);
		prev = s;
	}
	for (; at < KEYS; at++)
		assert_int_equal(naive[at], 0);
}

/* width: how long updates are; values: how many different ones there are (few: much merging). */
static void churn(uint64_t seed, uint64_t base, uint64_t width, uint64_t values, unsigned rounds)
{
	uint64_t *naive = calloc(KEYS, sizeof(*naive));
	struct cells m = {0};

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t lo = rnd(&seed) % KEYS, hi = lo + rnd(&seed) % width;
		struct op op = {.naive = naive, .base = base};
		const struct cells_span *s;

		if (hi >= KEYS)
			hi = KEYS - 1;
		op.expect = base + lo;
		op.adding = rnd(&seed) % 4 == 0;
		op.add = rnd(&seed) % 2;
		op.set = rnd(&seed) % values;
		assert_int_equal(cells_update(&m, base + lo, base + hi, change, &op), 0);
		assert_int_equal(op.expect, base + hi + 1);
		s = cells_at(&m, base + lo);
		assert_int_equal(s ? s->v.v : 0, naive[lo]);
		if (i % 64 == 0 || i + 1 == rounds)
			compare(&m, naive, base);
	}
	cells_clear(&m);
	assert_null(cells_from(&m, 0));
	free(naive);
}

static void test_long(void **state)
{
	(void)state;
	churn(1, 0, 900, 4, 4000);
}

static void test_short(void **state)
{
	(void)state;
	churn(2, 1ull << 40, 3, 1000, 40000); /* thousands of spans: many leaves, split and freed */
}

static void test_sparse(void **state)
{
	(void)state;
	churn(3, 12345, 40, 2, 20000);
}

/* The last key there is. */
static void test_end_of_keys(void **state)
{
	(void)state;
	churn(4, UINT64_MAX - KEYS + 1, 500, 3, 4000);
}

/* Filled at the end, emptied from the front: leaves come and go, and an empty map works again. */
static void test_queue(void **state)
{
	uint64_t *naive = calloc(KEYS, sizeof(*naive));
	struct cells m = {0};

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t k = 0; k < KEYS; k++) {
			struct op op = {.naive = naive, .expect = k, .set = k + 1};

			assert_int_equal(cells_update(&m, k, k, change, &op), 0);
		}
		compare(&m, naive, 0);
		for (uint64_t k = 0; k < KEYS; k++) {
			struct op op = {.naive = naive, .expect = k, .set = 0};

			assert_int_equal(cells_update(&m, k, k, change, &op), 0);
		}
		assert_null(cells_from(&m, 0));
	}
	cells_clear(&m);
	free(naive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long),	    cmocka_unit_test(test_short), cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_end_of_keys), cmocka_unit_test(test_queue),
	};

	return cmocka_run_group_tests_name("spanmap", tests, NULL, NULL);
}
