/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's options: their sources and which one wins, values and units, and that mistakes are refused with their
 * place and what would be right. The sample file is read back and must give the defaults.
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

#include "daemon/config/config.h"

static char *temp_name(char out[4096])
{
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(out, 4096, "%s/test_config.XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(out);
	assert_true(fd >= 0);
	close(fd);
	return out;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void defaults(struct config *c)
{
	struct error e = {{0}};

	if (config_defaults(c, &e))
		fail_msg("%s", e.text);
}

static void expect(const struct error *e, const char *part)
{
	if (!strstr(e->text, part))
		fail_msg("the error is \"%s\", without \"%s\"", e->text, part);
}

static int read_text(struct config *c, const char *text, struct error *e)
{
	char path[4096];
	int ret;

	temp_name(path);
	write_text(path, text);
	ret = config_read(c, path, e);
	unlink(path);
	return ret;
}

static void refuse_file(const char *text, const char *part, const char *part2)
{
	struct error e = {{0}};
	struct config c;

	defaults(&c);
	assert_int_equal(read_text(&c, text, &e), -1);
	expect(&e, part);
	expect(&e, part2);
	config_free(&c);
}

/* The line of words, up to a NULL. */
static int args(struct config *c, struct error *e, const char *a, ...)
{
	char *argv[16] = {(char *)(uintptr_t) "ioflushd"};
	int argc = 1;
	va_list ap;

	va_start(ap, a);
	for (; a && argc < 15; a = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)a;
	va_end(ap);
	return config_args(c, argc, argv, e);
}

static void refuse_arg(const char *arg, const char *part)
{
	struct error e = {{0}};
	struct config c;

	defaults(&c);
	assert_int_equal(args(&c, &e, arg, NULL), -1);
	expect(&e, part);
	config_free(&c);
}

static void test_defaults(void **state)
{
	struct error e = {{0}};
	struct config c;

	(void)state;
	defaults(&c);
	assert_string_equal(c.instance, "ioflushd");
	assert_string_equal(c.probes, "auto");
	assert_string_equal(c.user, "");
	assert_int_equal(c.buffer_size, 4 << 20);
	assert_int_equal(c.drain_interval, 100);
	assert_int_equal(c.replay_timeout, 600000);
	assert_int_equal(c.queue_events, 262144);
	assert_false(c.overwrite);
	if (config_check(&c, &e))
		fail_msg("%s", e.text);
	config_free(&c);
	config_free(&c);
}

static void test_file(void **state)
{
	struct error e = {{0}};
	struct config c;

	(void)state;
	defaults(&c);
	if (read_text(&c,
		      "# a comment\n\n"
		      "db=/a b/x#y.db # the file\n"
		      "\tbuffer-size =  512K\r\n"
		      "retain-size = 3G\nretain-age = 90d\nbatch-time = 2s\nhttp-timeout = 1m\nreplay-timeout = 2h\n"
		      "overwrite = yes\n"
		      "token-file =",
		      &e))
		fail_msg("%s", e.text);
	assert_string_equal(c.db, "/a b/x#y.db");
	assert_int_equal(c.buffer_size, 512 << 10);
	assert_int_equal(c.retain_size, 3ull << 30);
	assert_int_equal(c.retain_age, 90ull * 86400000);
	assert_int_equal(c.batch_time, 2000);
	assert_int_equal(c.http_timeout, 60000);
	assert_int_equal(c.replay_timeout, 7200000);
	assert_true(c.overwrite);
	assert_string_equal(c.token_file, "");
	config_free(&c);
}

static void test_bad_file(void **state)
{
	char path[4096], big[5000];
	struct error e = {{0}};
	struct config c;

	(void)state;
	refuse_file("\ndb = x\nbufer-size = 1\n", ":3: unknown key \"bufer-size\"", "nearest is \"buffer-size\"");
	refuse_file("batch_rows = 1\n", ":1: unknown key", "nearest is \"batch-rows\"");
	refuse_file("check = yes\n", ":1: unknown key", "check");
	refuse_file("db = x\n#\ndb = y\n", ":3: db", "line 1");
	refuse_file("buffer-size = 12X\n", ":1: buffer-size: \"12X\"", "K, M or G");
	refuse_file("buffer-size = -1\n", ":1: buffer-size", "whole number");
	refuse_file("buffer-size = 99999999999G\n", ":1: buffer-size", "whole number");
	refuse_file("buffer-size = 99999999999999999999999\n", ":1: buffer-size", "whole number");
	refuse_file("buffer-size = 1KK\n", ":1: buffer-size", "whole number");
	refuse_file("buffer-size =\n", ":1: buffer-size", "whole number");
	refuse_file("batch-time = 5\n", ":1: batch-time: \"5\"", "unit");
	refuse_file("batch-time = 1.5s\n", ":1: batch-time", "unit");
	refuse_file("retain-age = 999999999999d\n", ":1: retain-age", "unit");
	refuse_file("overwrite = true\n", ":1: overwrite: \"true\"", "yes or no");
	refuse_file("a word\n", ":1: \"a word\"", "key = value");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	refuse_file(big, ":1: ", "longer than");

	defaults(&c);
	temp_name(path);
	unlink(path);
	assert_int_equal(config_read(&c, path, &e), -1);
	expect(&e, path);
	config_free(&c);
}

static void test_command_line(void **state)
{
	struct error e = {{0}};
	char path[4096], option[5000];
	struct config c;

	(void)state;
	temp_name(path);
	write_text(path, "db = /from/file\ninstance = from_file\noverwrite = yes\n");
	snprintf(option, sizeof(option), "--config=%s", path);
	defaults(&c);
	/* The file comes first wherever --config stands. */
	if (args(&c, &e, "--db", "/from/line", option, "--foreground", "--batch-rows=1K", "--overwrite=no", NULL))
		fail_msg("%s", e.text);
	assert_string_equal(c.db, "/from/line");
	assert_string_equal(c.instance, "from_file");
	assert_string_equal(c.config_file, path);
	assert_int_equal(c.batch_rows, 1024);
	assert_true(c.foreground);
	assert_false(c.check);
	assert_false(c.overwrite);
	config_free(&c);

	defaults(&c);
	assert_int_equal(args(&c, &e, "--overwrite", "--check", NULL), 0);
	assert_true(c.overwrite);
	assert_true(c.check);
	assert_false(c.foreground);
	config_free(&c);

	write_text(path, "instnce = x\n");
	defaults(&c);
	assert_int_equal(args(&c, &e, option, NULL), -1);
	expect(&e, ":1: unknown key \"instnce\"");
	config_free(&c);
	unlink(path);
}

static void test_bad_command_line(void **state)
{
	(void)state;
	refuse_arg("--bath-rows=1", "--batch-rows");
	refuse_arg("--chek", "--check");
	refuse_arg("--disram", "--disarm");
	refuse_arg("--batch-rows=many", "--batch-rows: \"many\"");
	refuse_arg("--batch-rows", "a value is missing");
	refuse_arg("--check=yes", "takes no value");
	refuse_arg("-x", "unknown option -x");
	refuse_arg("stray", "\"stray\" is no option");
	refuse_arg("--config=/nowhere/at/all", "/nowhere/at/all");
}

/* What an option that prints has printed; malloc'ed. */
static char *printed(const char *option)
{
	char path[4096], *text = calloc(1, 65536);
	struct error e = {{0}};
	struct config c;
	int out;
	FILE *f;

	assert_non_null(text);
	defaults(&c);
	temp_name(path);
	fflush(stdout);
	out = dup(STDOUT_FILENO);
	assert_non_null(freopen(path, "w", stdout));
	assert_int_equal(args(&c, &e, option, NULL), 1);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	unlink(path);
	config_free(&c);
	return text;
}

/* With every option uncommented, the sample says the defaults. */
static void test_sample(void **state)
{
	char *sample = printed("--help-config"), *p;
	struct error e = {{0}};
	struct config c, d;
	unsigned n = 0;

	(void)state;
	for (p = sample; (p = strstr(p, "\n#")); p++)
		if (p[2] != ' ') {
			p[1] = ' ';
			n++;
		}
	defaults(&c);
	defaults(&d);
	c.buffer_size = c.batch_time = 1;
	free(c.db);
	c.db = strdup("other");
	if (read_text(&c, sample, &e))
		fail_msg("%s", e.text);
	assert_string_equal(c.db, d.db);
	assert_int_equal(c.buffer_size, d.buffer_size);
	assert_int_equal(c.batch_time, d.batch_time);
#define OPTION(type, key, def, ph, doc) n--;
#include "schema/options.def"
#undef OPTION
	assert_int_equal(n, 0);
	config_free(&c);
	config_free(&d);
	free(sample);
}

static void test_help(void **state)
{
	char *text = printed("--help");

	(void)state;
#define OPTION(type, key, def, ph, doc) assert_non_null(strstr(text, doc));
#include "schema/options.def"
#undef OPTION
	assert_non_null(strstr(text, "--buffer-size=BYTES"));
	assert_non_null(strstr(text, "--overwrite[=yes|no]"));
	free(text);
	text = printed("--version");
	assert_non_null(strstr(text, "ioflushd "));
	free(text);
}

static void check_text(const char *text, const char *part)
{
	struct error e = {{0}};
	struct config c;

	defaults(&c);
	if (read_text(&c, text, &e))
		fail_msg("%s", e.text);
	if (!part && config_check(&c, &e))
		fail_msg("%s: %s", text, e.text);
	if (part) {
		assert_int_equal(config_check(&c, &e), -1);
		expect(&e, part);
	}
	config_free(&c);
}

static void test_check(void **state)
{
	(void)state;
	check_text("listen = none", NULL);
	check_text("listen = 127.0.0.1:80", NULL);
	check_text("listen = [::1]:80", NULL);
	check_text("listen = 0.0.0.0:80\ntoken-file = /t", NULL);
	check_text("listen = 0.0.0.0:80", "token-file");
	check_text("listen = [::]:80", "token-file");
	check_text("listen = 127.0.0.1:65536", "listen");
	check_text("listen = 127.0.0.1", "listen");
	check_text("listen = localhost:80", "numbers");
	check_text("listen = unix:here", "begins with /");
	check_text("listen = unix:/"
		   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		   "xxxxxxx",
		   "at most");
	check_text("instance = a-b_9", NULL);
	check_text("instance = ../x", "instance");
	check_text("instance = 9a", "instance");
	check_text("instance =", "instance");
	check_text("instance = a234567890123456789012345678901234567890123456789", "instance");
	check_text("log-level = loud", "log-level: \"loud\"");
	check_text("buffer-size = 1K", "buffer-size: 1024 is out of range");
	check_text("drain-interval = 1h", "drain-interval");
	check_text("queue-events = 0", "queue-events");
	check_text("db =", "db:");
	check_text("durability = commit", NULL);
	check_text("durability = always", "durability: \"always\": interval or commit");
}

/* want: as config_listen_group() returns it. */
static void group_of(const char *text, int want, gid_t want_gid)
{
	struct error e = {{0}};
	gid_t gid = (gid_t)-1;
	struct config c;

	defaults(&c);
	assert_int_equal(read_text(&c, text, &e), 0);
	assert_int_equal(config_listen_group(&c, &gid, &e), want);
	if (want < 0)
		expect(&e, "listen-group: \"no-such-group\": there is no such group");
	if (want > 0)
		assert_int_equal(gid, want_gid);
	config_free(&c);
}

static void test_listen_group(void **state)
{
	(void)state;
	group_of("", 0, 0);
	group_of("listen-group = root", 1, 0);
	group_of("listen-group = no-such-group", -1, 0);
	/* the service has the option for its socket, wherever the file makes it listen */
	group_of("listen = 127.0.0.1:80\nlisten-group = no-such-group", 0, 0);
	group_of("listen = none\nlisten-group = no-such-group", 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_bad_command_line),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_listen_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
