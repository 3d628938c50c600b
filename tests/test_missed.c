/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kprobe_events and kprobe_profile say together, as a kernel prints them (6.12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/probes/missed.h"

static const char events[] = "p:kprobes/map iommu_map\n"
			     "r16:ioflushd/map_end iommu_map rc=$retval\n"
			     "p:ioflushd/map iommu_map domain=%di:x64\n"
			     "r:ioflushd_try/map_end iommu_map\n"
			     "r:ioflushd/unmap_end iommu_unmap\n";
static const char profile[] = "  map                                                     1000               7\n"
			      "  map_end                                                  990              10\n"
			      "  map                                                     1000               0\n"
			      "  map_end                                                    1             100\n"
			      "  unmap_end                                         4294967296      4294967296\n";

static void only_our_group_counts(void **state)
{
	uint64_t sum;

	(void)state;
	assert_int_equal(missed_sum(events, profile, "ioflushd", &sum), 0);
	assert_int_equal(sum, 10 + UINT64_C(4294967296));
	assert_int_equal(missed_sum(events, profile, "ioflushd_try", &sum), 0);
	assert_int_equal(sum, 100);
	assert_int_equal(missed_sum(events, profile, "ioflush", &sum), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(missed_sum("", "", "ioflushd", &sum), 0);
	assert_int_equal(sum, 0);
}

/* A probe came or went between the two. */
static void what_does_not_fit_is_refused(void **state)
{
	static const char *const bad[][2] = {
		{events, ""},
		{"", profile},
		{"p:a/b c\n", "  b 1 2\n  d 1 2\n"},
		{"p:a/b c\np:a/d c\n", "  b 1 2\n"},
		{"p:a/b c\np:a/d c\n", "  b 1 2\n  e 1 2\n"},
		{"p:a/b c\n", "  b 1\n"},
		{"p:a/b c\n", "  b one two\n"},
		{"nonsense\n", "  b 1 2\n"},
		{"p:a/b c\n", "\n"},
	};
	uint64_t sum;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(missed_sum(bad[i][0], bad[i][1], "a", &sum), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_our_group_counts),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
