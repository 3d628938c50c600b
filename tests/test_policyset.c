/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which policies a run gets: lists, parameters, plugins, and that mistakes are refused with a message that names what
 * would be right. Plugins with one mistake each are compiled here; without a compiler these tests are skipped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"

static const char *example(void)
{
	static char path[4096];
	const char *folder = getenv("IOFLUSH_TEST_PLUGINS");

	snprintf(path, sizeof(path), "%s/example_policy.so", folder ? folder : "examples");
	return path;
}

static void expect_error(const struct error *e, const char *part)
{
	if (!strstr(e->text, part))
		fail_msg("the error is \"%s\", without \"%s\"", e->text, part);
}

/* Adding names fails with a message that has both parts. */
static void refuse(const char *names, const char *part, const char *part2)
{
	struct policy_set set = {0};
	struct error e = {0};

	assert_int_equal(policy_set_add(&set, names, &e), -1);
	expect_error(&e, part);
	expect_error(&e, part2);
	policy_set_clear(&set);
}

static void refuse_plugin(const char *spec, const char *part, const char *part2)
{
	struct policy_set set = {0};
	struct error e = {0};

	assert_int_equal(policy_set_add_plugin(&set, spec, &e), -1);
	expect_error(&e, part);
	expect_error(&e, part2);
	assert_int_equal(set.n, 0);
	policy_set_clear(&set);
}

static void test_all(void **state)
{
	static const char *const names[] = {
		"none",	   "always",	"sticky-v1", "sticky-always", "sticky-max", "span", "span-prefer-noncoherent",
		"counter", "area-flag", "ideal"};
	struct policy_set set = {0};
	struct error e = {0};

	(void)state;
	assert_int_equal(policy_set_add(&set, "all", &e), 0);
	assert_int_equal(set.n, sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < set.n; i++) {
		assert_string_equal(set.policy[i]->ops->name, names[i]);
		assert_int_equal(set.policy[i]->bit, 1ull << i);
		assert_null(set.handle[i]);
	}
	policy_set_clear(&set);
	assert_int_equal(set.n, 0);
}

static void test_list(void **state)
{
	struct policy_set set = {0};
	struct error e = {0};

	(void)state;
	assert_int_equal(policy_set_add(&set, "ideal,none", &e), 0);
	assert_int_equal(set.n, 2);
	assert_ptr_equal(policy_set_find(&set, "ideal"), set.policy[0]);
	assert_ptr_equal(policy_set_find(&set, "none"), set.policy[1]);
	assert_null(policy_set_find(&set, "span"));
	/* all: what is there already keeps its place */
	assert_int_equal(policy_set_add(&set, "all", &e), 0);
	assert_int_equal(set.n, 10);
	assert_string_equal(set.policy[0]->ops->name, "ideal");
	assert_string_equal(set.policy[2]->ops->name, "always");
	policy_set_clear(&set);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("spam", "unknown policy 'spam'", "span-prefer-noncoherent");
	refuse("", "unknown policy ''", "sticky-v1");
	refuse("none,,span", "unknown policy ''", "known policies");
	refuse("none,", "unknown policy ''", "known policies");
	refuse("Span", "unknown policy 'Span'", "known policies");
	refuse("span,none,span", "'span' is asked for twice", "");
	refuse("span:depth=3", "no parameter 'depth'", "takes none");
	refuse("span:", "''", "");
	refuse("all:x=1", "'all' takes no parameters", "");
}

static void test_plugin(void **state)
{
	struct policy_set set = {0};
	struct error e = {0};

	(void)state;
	assert_int_equal(policy_set_add(&set, "none", &e), 0);
	if (policy_set_add_plugin(&set, example(), &e))
		fail_msg("%s", e.text);
	assert_int_equal(set.n, 2);
	assert_string_equal(set.policy[1]->ops->name, "first-touch");
	assert_int_equal(set.policy[1]->bit, 2);
	assert_non_null(set.handle[1]);
	/* a second one of that name */
	assert_int_equal(policy_set_add_plugin(&set, example(), &e), -1);
	expect_error(&e, "'first-touch' is asked for twice");
	assert_int_equal(set.n, 2);
	policy_set_clear(&set);
}

/* The answer of the example's unpin to a frame that nothing non-coherent reached tells which parameter it got. */
static bool flushes_unexposed(const char *params)
{
	struct ioflush_span span = {.npages = 1, .pin = 1};
	struct policy_set set = {0};
	struct error e = {0};
	char spec[4200];
	bool answer;

	snprintf(spec, sizeof(spec), "%s%s", example(), params);
	if (policy_set_add_plugin(&set, spec, &e))
		fail_msg("%s", e.text);
	answer = set.policy[0]->ops->unpin(set.policy[0], &span);
	policy_set_clear(&set);
	return answer;
}

static void test_plugin_parameter(void **state)
{
	char spec[4200];

	(void)state;
	assert_false(flushes_unexposed(""));
	assert_false(flushes_unexposed(":unpin=ever"));
	assert_true(flushes_unexposed(":unpin=always"));
	snprintf(spec, sizeof(spec), "%s:unpin=sometimes", example());
	refuse_plugin(spec, "'sometimes' is none of never, ever, always", "first-touch");
	snprintf(spec, sizeof(spec), "%s:pin=1", example());
	refuse_plugin(spec, "no parameter 'pin'", "known parameters: unpin");
	snprintf(spec, sizeof(spec), "%s:unpin", example());
	refuse_plugin(spec, "'unpin' has no value", "");
	snprintf(spec, sizeof(spec), "%s:unpin=ever:unpin=ever", example());
	refuse_plugin(spec, "'unpin' is given twice", "");
}

static void test_no_plugin(void **state)
{
	(void)state;
	refuse_plugin("/nonexistent/policy.so", "/nonexistent/policy.so", "cannot load");
	/* a library of the system's is not searched for */
	refuse_plugin("libc.so.6", "libc.so.6", "cannot load");
	refuse_plugin("", "has no path", "");
	refuse_plugin(":a=b", "has no path", "");
	refuse_plugin("/dev/null", "/dev/null", "cannot load");
}

/* Plugins that are wrong. Every one is OPS and PLUGIN in a source of its own. */
static const struct {
	const char *ops, *plugin, *part, *part2;
} bad[] = {
	{".name = \"bad\"", "int no_plugin;", "not an ioflush plugin", "ioflush_plugin"},
	{".name = \"bad\"", "const struct ioflush_plugin ioflush_plugin = {IOFLUSH_POLICY_ABI + 1, &ops};", "version 3",
	 "the known version is 2"},
	{".name = \"bad\"", "const struct ioflush_plugin ioflush_plugin = {IOFLUSH_POLICY_ABI, 0};", "names no policy",
	 ""},
	{".summary = \"x\"", NULL, "name ''", "lower case"},
	{".name = \"Bad\"", NULL, "name 'Bad'", "lower case"},
	{".name = \"a-name-that-is-too-long-\"", NULL, "too-long", "1 to 23"},
	{".name = \"all\"", NULL, "'all'", "built-in"},
	{".name = \"span\"", NULL, "'span'", "built-in"},
	{".name = \"bad\", .params = params", NULL, "no init", ""},
};

static bool have_compiler(void)
{
	return !system("cc --version >/dev/null 2>&1");
}

/* What cc makes of the source; where the header is comes from the build. */
static void build_plugin(size_t i, const char *folder, char *so, size_t size)
{
	const char *top = getenv("IOFLUSH_SRCDIR");
	char source[256], command[9000];
	FILE *f;

	snprintf(source, sizeof(source), "%s/bad%zu.c", folder, i);
	snprintf(so, size, "%s/bad%zu.so", folder, i);
	f = fopen(source, "w");
	assert_non_null(f);
	fprintf(f,
		"#include \"ioflush-policy.h\"\nstatic const struct ioflush_param params[] = {{\"p\", \"d\", \"v\"}, "
		"{0}};\n"
		"const void *used = params;\nconst struct ioflush_policy_ops ops = {%s};\n%s\n",
		bad[i].ops,
		bad[i].plugin ? bad[i].plugin :
				"const struct ioflush_plugin ioflush_plugin = {IOFLUSH_POLICY_ABI, &ops};");
	assert_int_equal(fclose(f), 0);
	snprintf(command, sizeof(command), "cc -w -fPIC -shared -I '%s/analyzer' -o '%s' '%s'", top ? top : ".", so,
		 source);
	assert_int_equal(system(command), 0);
	unlink(source);
}

static void test_bad_plugins(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char folder[200], so[300];

	(void)state;
	if (!have_compiler())
		skip();
	snprintf(folder, sizeof(folder), "%.150s/ioflush-test.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		build_plugin(i, folder, so, sizeof(so));
		refuse_plugin(so, bad[i].part, bad[i].part2);
		unlink(so);
	}
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_plugin),
		cmocka_unit_test(test_plugin_parameter),
		cmocka_unit_test(test_no_plugin),
		cmocka_unit_test(test_bad_plugins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
