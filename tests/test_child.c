/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program that is run for its output: when memory is short it is killed first, whoever runs it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"

static const struct child_limits limits = {.memory = UINT64_C(1) << 40, .timeout_ms = 20000, .output = 4096};

/* What a program prints, malloc'ed; NULL: it failed. */
static char *output_of(const char *program, const char *arg)
{
	char *const argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)arg, NULL};
	struct error e = {""};
	struct child *c = child_start(argv, &limits, &e);
	char *text = NULL;
	size_t len;

	while (c && !child_poll(c))
		poll(NULL, 0, 5);
	if (c && !child_failure(c))
		text = child_output(c, &len);
	child_free(c);
	return text;
}

static int goes_first(void)
{
	char *text = output_of("/bin/cat", "/proc/self/oom_score_adj");
	int good = text && !strcmp(text, "1000\n");

	free(text);
	return good;
}

static void test_goes_first(void **state)
{
	(void)state;
	assert_true(goes_first());
}

/* One that was root once is not dumpable, and so cannot write all files of its own in /proc. */
static void test_goes_first_as_user(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid()) {
		print_message("not run: not root\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || prctl(PR_GET_DUMPABLE) == 1)
			_exit(2);
		_exit(goes_first() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_first),
		cmocka_unit_test(test_goes_first_as_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
