/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What source_open() makes of files, pipes and things that are not traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace/formats/open.h"
#include "trace/source.h"

#define HEADER "{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"h\",\"clock\":\"mono\"}\n"
#define LOST "{\"t\":1,\"e\":\"lost\"}\n"

struct fixture {
	char dir[64], path[96];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ioflush-source-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/trace.dat", f->dir); /* a name that says nothing */
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void put(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void refused(const char *path, const char *message)
{
	struct error e = {""};
	struct source *s = (void *)&e; /* any pointer but NULL */

	assert_int_equal(source_open(&s, path, &e), -1);
	assert_null(s);
	if (strncmp(e.text, path, strlen(path)) || !strstr(e.text, message))
		fail_msg("\n got: %s\nwant: %s: ...%s", e.text, path, message);
}

static void test_no_trace(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		const char *message;
	} bad[] = {
		{"", 0, ": is empty; ioflush reads trace.dat"},
		{"\x1f\x8b\x08\0\0", 5, ": is a gzip file: decompress it first; ioflush reads"},
		{"\x7f"
		 "ELF\2\1\1",
		 7, ": is an ELF program or library"},
		{"\xd4\xc3\xb2\xa1\2\0", 6, ": is a pcap file"},
		{"\x28\xb5\x2f\xfd\0", 5, ": is a zstd file"},
		{"[{\"ioflush_trace\":1}]", 21, ": is a JSON array"},
		{"hello, world [1] 5 o'clock: no\n", 31, ": the format is not known from its content"},
		{"\0\1\2\3\4\5\6", 7, ": is binary data of an unknown kind"},
		{"\x17\x08\x44trac", 7, ": the format is not known"},
		{"SQLite format 3 ", 16, ": the format is not known"},
		{"\n\n\n", 3, ": the format is not known"},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(f->path, bad[i].data, bad[i].len);
		refused(f->path, bad[i].message);
	}
	refused(f->dir, ": is a folder; ioflush reads");
	refused("/nonexistent/trace.dat", ": opening: No such file or directory");
	refused("", ": opening: No such file or directory");
	refused("/dev/null", ": is empty");
	refused("/dev/zero", ": is binary data");
}

static void expect_format(const char *path, const char *format)
{
	struct error e = {""};
	struct capture c;
	struct source *s;

	if (source_open(&s, path, &e) || source_capture(s, &c, &e) != 1)
		fail_msg("%s: %s", path, e.text);
	assert_string_equal(c.format, format);
	assert_string_equal(s->path, path);
	source_close(s);
}

static void test_detect(void **state)
{
	static const char *const texts[] = {
		"# tracer: nop\n#\n",
		"version = 7\ncpus=1\n",
		"cpus=2\n",
		"           churn-80      [001] .....     6.109168: map: (a+0x1/0x2) domain=0x1 iova=0 paddr=0 size=1 rc=0\n",
		" qemu-system-x86-83    [001]     8.223905: area_fill_end:  (ff <- ff) area=0xff11000006985000 rc=0\n",
		"CPU 0 is empty\n <...>-83    [001] d..1. 8.223905: area_fill_end:  (ff <- ff) area=0xff rc=0\n",
		" <...>-83    [001] d..1. 822390522: area_fill_end:  (ff <- ff) area=0xff rc=0\n",
	};
	struct fixture *f = *state;
	const char *data = getenv("IOFLUSH_TEST_DATA");
	char path[512];
	size_t i;

	put(f->path, HEADER, strlen(HEADER));
	expect_format(f->path, "jsonl");
	put(f->path, " \n\t" HEADER, strlen(HEADER) + 3);
	expect_format(f->path, "jsonl");
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put(f->path, texts[i], strlen(texts[i]));
		expect_format(f->path, "ftrace-text");
	}
	data = data ? data : "tests/data";
	snprintf(path, sizeof(path), "%s/traces/churn.dat", data);
	expect_format(path, "trace.dat");
	snprintf(path, sizeof(path), "%s/traces/churn-small.trace", data);
	expect_format(path, "ftrace-text");
}

/* Events of a trace given on standard input by a process that writes it in pieces, each in its own time. -1: an error. */
static int events_of_pipe(const char *const *piece, struct error *e)
{
	int fd[2], saved = dup(STDIN_FILENO), total = -1;
	struct event ev[4];
	struct capture c;
	struct source *s;
	ssize_t n = 0;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fd[0]);
		for (; *piece; piece++) {
			if (write(fd[1], *piece, strlen(*piece)) < 0)
				_exit(1);
			usleep(2000);
		}
		_exit(0);
	}
	close(fd[1]);
	dup2(fd[0], STDIN_FILENO);
	close(fd[0]);
	if (!source_open(&s, "-", e)) {
		total = 0;
		while (source_capture(s, &c, e) > 0) {
			assert_string_equal(c.source, "-");
			assert_true(source_progress(s) < 0); /* nobody knows how much will come */
			while ((n = source_read(s, ev, 4, e)) > 0)
				total += (int)n;
		}
		source_close(s);
	}
	dup2(saved, STDIN_FILENO);
	close(saved);
	waitpid(pid, NULL, 0);
	return e->text[0] ? -1 : total;
}

static void test_pipe(void **state)
{
	const char *const whole[] = {HEADER LOST LOST LOST LOST LOST, NULL};
	const char *const pieces[] = {
		" ", "\n", "{\"ioflush_trace\"", ":1,\"page_size\":4096}\n{\"t\":1,", "\"e\":\"lost\"}\n", LOST, NULL};
	const char *const none[] = {"", NULL};
	const char *const dat[] = {"\x17\x08\x44tracing7", NULL};
	const char *const db[] = {"SQLite format", " 3", NULL};
	struct error e = {""};

	(void)state;
	assert_int_equal(events_of_pipe(whole, &e), 5);
	assert_int_equal(events_of_pipe(pieces, &e), 2);
	assert_int_equal(events_of_pipe(none, &e), -1);
	assert_non_null(strstr(e.text, "-: is empty"));
	e.text[0] = '\0';
	assert_int_equal(events_of_pipe(dat, &e), -1);
	assert_string_equal(e.text,
			    "-: head at offset 10: the file ends at 11; it is truncated: record again or copy it again");
	e.text[0] = '\0';
	assert_int_equal(events_of_pipe(db, &e), -1);
	assert_non_null(strstr(e.text, "the format is not known"));
}

/* A file as standard input is read from where it stands. */
static void test_redirected(void **state)
{
	struct fixture *f = *state;
	int saved = dup(STDIN_FILENO), fd;
	struct error e = {""};
	struct event ev[4];
	struct capture c;
	struct source *s;

	put(f->path, "x\n" HEADER LOST, strlen(HEADER LOST) + 2);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	dup2(fd, STDIN_FILENO);
	close(fd);
	assert_int_equal(source_open(&s, "-", &e), 0);
	dup2(saved, STDIN_FILENO); /* the source has its own descriptor */
	close(saved);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(source_read(s, ev, 4, &e), 1);
	assert_int_equal(source_read(s, ev, 4, &e), 0);
	source_close(s);
	put(f->path, "SQLite format 3", 16);
	saved = dup(STDIN_FILENO);
	fd = open(f->path, O_RDONLY);
	dup2(fd, STDIN_FILENO);
	close(fd);
	assert_int_equal(source_open(&s, "-", &e), -1);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_string_equal(e.text, "-: a database cannot be read from standard input; give the path of its file");
	source_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detect, setup, teardown),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test_setup_teardown(test_redirected, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
