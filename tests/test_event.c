/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings, the event table, and what event_check() accepts and refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/random_events.h"
#include "trace/event.h"

static void test_strings(void **state)
{
	struct intern *s = intern_new();
	const char *first;
	char text[32];
	uint32_t i;

	(void)state;
	assert_int_equal(intern_add(s, "", 0), 0);
	assert_null(intern_get(s, 0));
	assert_null(intern_get(s, 1));
	assert_null(intern_get(s, UINT32_MAX));
	for (i = 1; i <= 20000; i++) {
		snprintf(text, sizeof(text), "text %u", i);
		assert_int_equal(intern_add(s, text, strlen(text)), i);
	}
	first = intern_get(s, 1);
	for (i = 1; i <= 20000; i++) {
		snprintf(text, sizeof(text), "text %u", i);
		assert_int_equal(intern_add(s, text, strlen(text)), i);
		assert_string_equal(intern_get(s, i), text);
	}
	assert_ptr_equal(intern_get(s, 1), first);
	assert_int_equal(intern_count(s), 20000);
	assert_null(intern_get(s, 20001));
	assert_int_equal(intern_add(s, "text 12 and more", 7), 12); /* len counts, not a NUL */
	intern_free(s);
	intern_free(NULL);
}

static void test_long_string(void **state)
{
	struct intern *s = intern_new();
	static char text[200000];
	uint32_t id;

	(void)state;
	memset(text, 'x', sizeof(text));
	intern_add(s, "a", 1);
	id = intern_add(s, text, sizeof(text));
	assert_int_equal(id, 2);
	assert_int_equal(strlen(intern_get(s, 2)), sizeof(text));
	assert_int_equal(intern_add(s, text, sizeof(text) - 1), 3);
	assert_int_equal(intern_add(s, text, sizeof(text)), 2);
	intern_free(s);
}

static void test_table(void **state)
{
	unsigned kind;

	(void)state;
	for (kind = 1; kind < EV_KINDS; kind++) {
		assert_non_null(event_table[kind].name);
		assert_int_equal(event_kind_by_name(event_table[kind].name, strlen(event_table[kind].name)), kind);
	}
	assert_int_equal(event_table[EV_area_fill].nfields, 11);
	assert_string_equal(event_table[EV_area_fill].field[10].name, "uptr");
	assert_true(event_table[EV_area_fill].field[10].optional);
	assert_int_equal(event_table[EV_domain_add].field[2].type, FIELD_FLAG);
	assert_int_equal(event_kind_by_name("map", 2), EV_NONE);
	assert_int_equal(event_kind_by_name("mapx", 4), EV_NONE);
	assert_int_equal(event_kind_by_name("", 0), EV_NONE);
}

static void test_random_pass(void **state)
{
	struct intern *s = intern_new();
	uint64_t seed = 1, t = 0;
	struct error e;
	int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		struct event ev = random_event(&seed, s, 0, &t);

		e.text[0] = '\0';
		if (event_check(&ev, &e))
			fail_msg("%s", e.text);
	}
	intern_free(s);
}

static void refused(const struct event *ev, const char *text)
{
	struct error e = {""};

	assert_int_equal(event_check(ev, &e), -1);
	assert_string_equal(e.text, text);
}

static void taken(const struct event *ev)
{
	struct error e = {""};

	if (event_check(ev, &e))
		fail_msg("%s", e.text);
}

static void test_runs(void **state)
{
	struct event ev = {.kind = EV_map};

	(void)state;
	refused(&ev, "map: size: 0x0: a run has at least one byte");
	ev.map.size = 1ull << 63;
	refused(&ev, "map: size: 0x8000000000000000: no run is longer than 2^56 bytes");
	ev.map.size = 1ull << 56;
	taken(&ev);
	ev.map.paddr = 1;
	refused(&ev, "map: paddr: 0x1: physical addresses end at 2^56");
	ev.map.paddr = UINT64_MAX;
	ev.map.size = 4096;
	refused(&ev, "map: paddr: 0xffffffffffffffff: physical addresses end at 2^56");
	ev.map.paddr = 0;
	ev.map.iova = UINT64_MAX;
	refused(&ev, "map: iova: 0xffffffffffffffff: iova + size - 1 wraps past 2^64");
	ev.map.iova = UINT64_MAX - 4095;
	taken(&ev);
	ev = (struct event){.kind = EV_unmap, .unmap = {.iova = 4096}};
	refused(&ev, "unmap: size: 0x0: a run has at least one byte");
	ev = (struct event){.kind = EV_unpin, .missing = EVENT_BIT(unpin, caller)};
	refused(&ev, "unpin: npages: 0: a run has at least one page");
	ev.unpin.npages = 1ull << 52;
	taken(&ev);
	ev.unpin.pfn = 1;
	refused(&ev, "unpin: pfn: 0x1: page frame numbers end at 2^52");
}

/* What the IOMMU core has mapped is of whole pages of the IOMMU, which may be smaller than ours. */
static void test_alignment(void **state)
{
#define NO_MULTIPLE "no multiple of 512 bytes; no IOMMU has smaller pages"
	struct event ev = {.kind = EV_map, .map = {.iova = 0x1800, .paddr = 0x2800, .size = 2048}};

	(void)state;
	taken(&ev);
	ev.map.size = 4095;
	refused(&ev, "map: size: 0xfff: " NO_MULTIPLE);
	ev.map.iova += 256;
	refused(&ev, "map: iova: 0x1900: " NO_MULTIPLE);
	ev.map.paddr++;
	refused(&ev, "map: paddr: 0x2801: " NO_MULTIPLE);
	ev.kind = EV_map_failed; /* perhaps for that reason */
	taken(&ev);
	ev = (struct event){.kind = EV_unmap, .unmap = {.iova = 0x1800, .size = 0x1800}};
	taken(&ev);
	ev.unmap.size++;
	refused(&ev, "unmap: size: 0x1801: " NO_MULTIPLE);
	ev.unmap.iova--;
	refused(&ev, "unmap: iova: 0x17ff: " NO_MULTIPLE);
}

static void test_areas(void **state)
{
	struct event ev = {.kind = EV_area_fill,
			   .area_fill = {.last = UINT64_MAX, .last_index = (1ull << 52) - 1, .npages = 1ull << 52}};

	(void)state;
	taken(&ev);
	ev.area_fill.npages++;
	refused(&ev, "area_fill: npages: 4503599627370497: page indexes end at 2^52");
	ev.area_fill.page_offset = 1; /* one page more: the sum of bytes and offset wraps */
	refused(&ev, "area_fill: last_index: 4503599627370495: is not first + (last - iova + page_offset) / 4096");
	ev.area_fill.page_offset = 4096;
	refused(&ev, "area_fill: page_offset: 4096: an offset into a page is below 4096");
	ev.area_fill = (struct event_area_fill){
		.iova = 0x100800, .last = 0x1017ff, .first = 1, .last_index = 2, .page_offset = 2048, .npages = 3};
	taken(&ev);
	ev.area_fill.npages = 9; /* other areas may show the rest */
	taken(&ev);
	ev.area_fill.npages = 2;
	refused(&ev, "area_fill: npages: 2: the iopt_pages ends before last_index");
	ev.area_fill.npages = 0;
	ev.missing = EVENT_BIT(area_fill, npages);
	taken(&ev);
	ev.area_fill.last_index = 1;
	refused(&ev, "area_fill: last_index: 1: is not first + (last - iova + page_offset) / 4096");
	ev.area_fill.last_index = 0;
	refused(&ev, "area_fill: last_index: 0: the last index lies before first");
	ev.area_fill.last = 0;
	refused(&ev, "area_fill: last: 0x0: the last byte lies before iova");
	ev = (struct event){.kind = EV_area_unfill, .area_unfill = {.iova = 2, .last = 1}};
	refused(&ev, "area_unfill: last: 0x1: the last byte lies before iova");
	ev = (struct event){.kind = EV_access_add, .access_add = {.last = 1ull << 52}};
	refused(&ev, "access_add: last: 4503599627370496: page indexes end at 2^52");
	ev = (struct event){.kind = EV_access_remove, .access_remove = {.first = 2, .last = 1}};
	refused(&ev, "access_remove: last: 1: the last index lies before first");
}

static void test_others(void **state)
{
	struct event ev = {.kind = EV_cut};

	(void)state;
	refused(&ev, "cut: num_iovas: 0: a cut has 1 or 2 iovas");
	ev.cut.num_iovas = 2;
	taken(&ev);
	ev.missing = 1 << 3;
	refused(&ev, "cut: iova1: missing, although num_iovas is 2");
	ev.missing = 1 << 0;
	refused(&ev, "cut: iopt: missing");
	ev = (struct event){.kind = EV_domain_add, .domain_add = {.coherent = 2}};
	refused(&ev, "domain_add: coherent: 2: is 0, 1 or unknown");
	ev = (struct event){.kind = EV_domain_add, .domain_add = {.coherent = 1}, .missing = 4};
	refused(&ev, "domain_add: coherent: 1: marked unknown, but has a value");
	ev = (struct event){.kind = EV_attach};
	refused(&ev, "attach: device: 0: not the number of a string");
	ev = (struct event){.kind = EV_domain_remove, .cpu = EVENT_NO_CPU};
	refused(&ev, "domain_remove: cpu: missing");
	ev = (struct event){.kind = EV_lost, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .missing = 7};
	taken(&ev);
	ev.missing = 6;
	refused(&ev, "lost: count: 0: a loss has at least one record; one of unknown size has no count");
	ev.lost.count = 1;
	taken(&ev);
	ev.lost.count = 0;
	ev.missing = 15;
	refused(&ev, "lost: unknown fields 0xf: the event has only 3");
	ev = (struct event){.kind = EV_KINDS};
	refused(&ev, "event kind 23: not one of the 22 known");
	ev.kind = 0;
	refused(&ev, "event kind 0: not one of the 22 known");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings), cmocka_unit_test(test_long_string),
		cmocka_unit_test(test_table),	cmocka_unit_test(test_random_pass),
		cmocka_unit_test(test_runs),	cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_areas),	cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
