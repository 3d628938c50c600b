/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be tested of a measurement: its form. Figures exist and are ordered, the JSON has its keys, the thread may
 * afterwards run where it could before, and an impossible measurement is reported.
 */
#include <getopt.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "analyzer/calibrate/calibrate.h"
#include "analyzer/commands/cli.h"
#include "base/json.h"
#include "tests/json.h"

#if defined(__x86_64__) || defined(__i386__)
#define X86 true
#else
#define X86 false
#endif

static void check_figures(const struct calibrate_figures *f)
{
	assert_true(f->median > 0);
	assert_true(f->min <= f->q1 && f->q1 <= f->median && f->median <= f->q3 && f->q3 <= f->max);
}

static void test_figures(void **state)
{
	struct calibrate_options o = {.cpu = -1, .rounds = 5};
	struct calibrate_result r;
	struct error e = {0};
	cpu_set_t before, after;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	if (!X86) {
		assert_int_equal(calibrate_run(&r, &o, &e), -1);
		assert_non_null(strstr(e.text, "no x86"));
		return;
	}
	if (calibrate_run(&r, &o, &e))
		fail_msg("%s", e.text);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	assert_true(CPU_ISSET((size_t)r.cpu, &before));
	assert_int_equal(r.samples, 5 * CALIBRATE_PAGES);
	assert_true(r.tsc_khz > 100000 && r.tsc_khz < 20000000);
	assert_true(r.line_bytes >= 16 && r.line_bytes <= 1024);
	assert_true(r.present[FLUSH_CLFLUSH] && r.present[r.use]);
	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++)
		for (unsigned s = 0; r.present[i] && s < LINE_STATES; s++)
			check_figures(&r.pages[i][s]);
	assert_int_equal(calibrate_cycles_per_page(&r), r.pages[r.use][LINES_DIRTY].median);
	assert_int_equal(calibrate_mhz(&r), (r.tsc_khz + 500) / 1000);
}

static void test_noisy(void **state)
{
	struct calibrate_figures calm = {90, 100, 110, 120, 100000}, noisy = {10, 100, 110, 130, 140};

	(void)state;
	assert_false(calibrate_noisy(&calm));
	assert_true(calibrate_noisy(&noisy));
}

static void test_bad_options(void **state)
{
	struct calibrate_options none = {.cpu = -1, .rounds = 0}, far = {.cpu = 1000000, .rounds = 1};
	struct calibrate_result r;
	struct error e = {0};

	(void)state;
	if (!X86)
		skip();
	assert_int_equal(calibrate_run(&r, &none, &e), -1);
	assert_string_equal(e.text, "rounds is 0, it must be 1 to 100000");
	e.text[0] = '\0';
	assert_int_equal(calibrate_run(&r, &far, &e), -1);
	assert_non_null(strstr(e.text, "cpu 1000000"));
}

/* Runs the command with its standard output in a file; returns what it printed (to be freed) and its status. */
static char *run_command(char **argv, int *status)
{
	int argc = 0, out = dup(STDOUT_FILENO);
	FILE *f = tmpfile();
	char *text = calloc(1, 65536);

	assert_non_null(f);
	assert_non_null(text);
	while (argv[argc])
		argc++;
	fflush(stdout);
	assert_true(dup2(fileno(f), STDOUT_FILENO) >= 0);
	optind = 0;
	opterr = 0;
	*status = cmd_calibrate.run(&cmd_calibrate, argc, argv);
	fflush(stdout);
	assert_true(dup2(out, STDOUT_FILENO) >= 0);
	close(out);
	rewind(f);
	assert_true(fread(text, 1, 65535, f) < 65535);
	fclose(f);
	return text;
}

/* A member that must be a number. */
static uint64_t number(const struct json *object, const char *key)
{
	uint64_t n = 0;

	assert_int_equal(json_get_u64(json_get(object, key), &n), 0);
	return n;
}

static void check_json_figures(const struct json *f)
{
	static const char *const keys[] = {"min", "q1", "median", "q3", "max"};
	uint64_t last = 0;

	assert_true(json_is_bool(json_get(f, "noisy")));
	for (unsigned i = 0; i < 5; i++) {
		assert_true(number(f, keys[i]) >= last);
		last = number(f, keys[i]);
	}
	assert_true(last > 0);
}

static void test_json(void **state)
{
	char *argv[] = {(char[]){"calibrate"}, (char[]){"--rounds=3"}, (char[]){"--format=json"}, NULL};
	const struct json *ticks, *use, *one;
	struct error why = {""};
	struct json *root;
	char *text;
	int status;

	(void)state;
	text = run_command(argv, &status);
	assert_int_equal(status, X86 ? STATUS_OK : STATUS_ERROR);
	if (!X86) {
		free(text);
		return;
	}
	root = json_read(text, strlen(text), &why);
	if (!root)
		fail_msg("%s: %s", why.text, text);
	ticks = json_get(root, "page_ticks");
	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++) {
		one = json_get(ticks, flush_instruction_names[i]);
		assert_non_null(one);
		for (unsigned s = 0; !json_is_null(one) && s < LINE_STATES; s++)
			check_json_figures(json_get(one, line_state_names[s]));
	}
	use = json_get(root, "use");
	assert_true(number(use, "cycles_per_page") > 0);
	assert_true(number(use, "cpu_mhz") > 0);
	assert_true(json_is_string(json_get(use, "instruction")));
	assert_true(json_is_bool(json_get(json_get(root, "cpu"), "hypervisor")));
	assert_true(json_is_array(json_get(root, "notes")));
	assert_int_equal(number(root, "samples"), 3 * CALIBRATE_PAGES);
	json_free(root);
	free(text);
}

static void test_text(void **state)
{
	char *argv[] = {(char[]){"calibrate"}, (char[]){"--rounds"}, (char[]){"3"}, NULL};
	char *text, *use;
	unsigned long cycles = 0, mhz = 0;
	int status;

	(void)state;
	if (!X86)
		skip();
	text = run_command(argv, &status);
	assert_int_equal(status, STATUS_OK);
	use = strstr(text, "--cycles-per-page ");
	assert_non_null(use);
	assert_int_equal(sscanf(use, "--cycles-per-page %lu --cpu-mhz %lu", &cycles, &mhz), 2);
	assert_true(cycles > 0 && mhz > 0);
	assert_non_null(strstr(text, "clflushopt"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures), cmocka_unit_test(test_noisy), cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_json),	cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
