/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command names from saved_cmdlines: which lines are the kernel's, and which may be part of a name. The property:
 * whatever names threads choose, no thread gets a name that is not its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/decoder/cmdlines.h"

#define THREADS 24

/* All that a text gives, as "PID=NAME " each, "! " for a line that is none; and how many are in doubt. */
static void expect(const char *text, const char *want, unsigned doubtful)
{
	char got[512] = "";
	enum cmdline kind;
	struct cmdlines c;
	unsigned doubts = 0;
	size_t at = 0;

	cmdlines_begin(&c, text, strlen(text));
	while ((kind = cmdlines_next(&c))) {
		doubts += kind == CMDLINE_DOUBT;
		if (kind == CMDLINE_NAME)
			at += (size_t)snprintf(got + at, sizeof(got) - at, "%d=%.*s ", c.pid, (int)c.len, c.name);
		else if (kind == CMDLINE_NONE)
			at += (size_t)snprintf(got + at, sizeof(got) - at, "! ");
	}
	assert_string_equal(got, want);
	assert_int_equal(doubts, doubtful);
}

static void test_lines(void **state)
{
	(void)state;
	expect("", "", 0);
	expect("1 systemd\n15 rcu_preempt\n8402 qemu-system-x86\n", "1=systemd 15=rcu_preempt 8402=qemu-system-x86 ", 0);
	expect("7 no end", "7=no end ", 0);
	expect("12 <...>\n13 CPU 0/KVM\n14 CPU 1/KVM\n", "12=<...> 13=CPU 0/KVM 14=CPU 1/KVM ", 0);
	expect("12 \n", "", 0); /* no name */
	expect("12345 123456789012345\n1 x\n", "12345=123456789012345 1=x ", 0);
	/* what the kernel does not write */
	expect("rubbish\n1 systemd\n", "! 1=systemd ", 0);
	expect("1 1234567890123456\nrubbish\n", "1=1234567890123456 ! ", 0);
	expect("-1 x\n", "! ", 0);
	expect("2147483648 x\n", "! ", 0);
	expect("2147483647 x\n", "2147483647=x ", 0);
	expect("5 1234567890123456789012345678901234567890123456789012345678901234\n", "! ", 0);
}

static void test_forged(void **state)
{
	(void)state;
	expect("100 a\n4242 evil\n101 qemu-system-x86\n", "100=a 101=qemu-system-x86 ", 1);
	/* several at once, and with nothing before them */
	expect("100 \n1 a\n2 b\n3 c\n4242 qemu-system-x86\n", "4242=qemu-system-x86 ", 3);
	expect("100 a\nb\n\nc\n101 x is long enough\n", "100=a 101=x is long enough ", 0); /* names nobody */
	/* the last byte that a name can have, and the first that it cannot */
	expect("100 a\n4242 12345678\n", "100=a ", 1);
	expect("100 a\n4242 123456789\n", "100=a 4242=123456789 ", 0);
	/* a forged line forges no further than its thread's own name reaches; an honest one behind it may be in doubt */
	expect("100 a\n42 b\n43 long enough!\n", "100=a 43=long enough! ", 1);
	expect("100 sh\n101 sh\n102 ps\n103 a_longer_name\n", "100=sh 103=a_longer_name ", 2);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

struct thread {
	int32_t pid;
	char name[16];
};

static const struct thread *find_thread(const struct thread *t, int32_t pid)
{
	for (int i = 0; i < THREADS; i++)
		if (t[i].pid == pid)
			return &t[i];
	return NULL;
}

static void test_nobody_else(void **state)
{
	static const char alphabet[] = "\n\n\n  0123456789ab";
	char text[THREADS * 32];
	struct thread t[THREADS];
	uint64_t seed = 1, names = 0;
	enum cmdline kind;
	struct cmdlines c;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		size_t at = 0;

		for (int i = 0; i < THREADS; i++) {
			unsigned n = (unsigned)(next_random(&seed) % 16);

			t[i].pid = (int32_t)(i * 5 + (int)(next_random(&seed) % 5)) * (next_random(&seed) % 2 ? 1 : 1000);
			for (unsigned k = 0; k < n; k++)
				t[i].name[k] = alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
			t[i].name[n] = '\0';
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%d %s\n", t[i].pid, t[i].name);
		}
		cmdlines_begin(&c, text, at);
		while ((kind = cmdlines_next(&c))) {
			const struct thread *owner = find_thread(t, c.pid);

			if (kind == CMDLINE_NONE)
				fail_msg("round %d: a line that the kernel wrote is none", round);
			if (kind == CMDLINE_DOUBT)
				continue;
			if (!owner || strncmp(owner->name, c.name, c.len) || strcspn(owner->name, "\n") != c.len)
				fail_msg("round %d: %d is no \"%.*s\"", round, c.pid, (int)c.len, c.name);
			names++;
		}
	}
	assert_true(names > 100000);
}

/* A name that is certain wins, wherever its line stands; one in doubt takes no name away. */
static void test_register(void **state)
{
	struct tep_handle *tep = tep_alloc();
	unsigned names = 0;
	const char text[] = "100 a\n4242 evil\n43 evil\n102 long enough here\n4242 qemu-system-x86\n";

	(void)state;
	assert_non_null(tep);
	assert_int_equal(cmdlines_register(tep, text, sizeof(text), &names), 0);
	assert_int_equal(names, 4);
	assert_string_equal(tep_data_comm_from_pid(tep, 4242), "qemu-system-x86");
	assert_string_equal(tep_data_comm_from_pid(tep, 43), CMDLINES_DOUBT);
	assert_string_equal(tep_data_comm_from_pid(tep, 100), "a");
	assert_int_equal(cmdlines_register(tep, "100 a\n4242 evil\n", 18, &names), 0);
	assert_string_equal(tep_data_comm_from_pid(tep, 4242), "qemu-system-x86");
	assert_int_equal(cmdlines_register(tep, "43 a real name\nrubbish\nrubbish\n", 32, &names), -1);
	assert_string_equal(tep_data_comm_from_pid(tep, 43), "a real name");
	tep_free(tep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_nobody_else),
		cmocka_unit_test(test_register),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
