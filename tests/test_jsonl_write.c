/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON Lines, the writer and the kernel: its buffer may end at any byte of what is written, and a write may be
 * interrupted, take a part, or fail. The property: the file is the same, or the call that failed says so and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace/formats/jsonl.h"

#define BUFFER (256u * 1024) /* of the writer */

/* longer than what is made room for at once */
#define LONG                                                                                                   \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* ---- what the kernel does to a write ---- */

static bool pieces;	   /* every second one is interrupted, the others take 7 bytes at most */
static bool full;	   /* it fails */
static bool full_for_back; /* a write to where the writer has been fails */
static unsigned writes;

/* How many bytes are taken, or -1. */
static ssize_t taken(size_t len, bool fails)
{
	errno = fails ? ENOSPC : EINTR;
	if (fails || (pieces && writes++ % 2))
		return -1;
	return pieces && len > 7 ? 7 : (ssize_t)len;
}

ssize_t watched_write(int fd, const void *data, size_t len) __asm__("write");
ssize_t watched_write(int fd, const void *data, size_t len)
{
	ssize_t n = fd > STDERR_FILENO ? taken(len, full) : (ssize_t)len;

	return n < 0 ? -1 : syscall(SYS_write, fd, data, n);
}

ssize_t watched_pwrite(int fd, const void *data, size_t len, off_t at) __asm__("pwrite");
ssize_t watched_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n = taken(len, full_for_back);

	return n < 0 ? -1 : syscall(SYS_pwrite64, fd, data, n, at);
}

/* ---- what is written ---- */

struct fixture {
	char dir[64], path[96];
	struct intern *strings;
	char *long_name; /* of BUFFER bytes */
	char *text;	 /* with a short name */
	size_t len;
};

/* Each part of it once; the first string is so long that the buffer ends where the test wants it. -1: what failed said so. */
static int write_parts(struct jsonl_writer *w, const struct fixture *f, size_t pad, struct error *e)
{
	const struct capture first = {.host = f->long_name + BUFFER - pad, .clock = "mono"};
	const struct capture second = {
		.host = "h", .clock = "c", .kernel = "k", .probes = "p\n", .source = "s", .state = "partial", .note = "n"};
	const struct event ev[] = {
		{.t = 1, .cpu = 2, .tid = 3, .comm = 1, .kind = EV_map, .map = {.domain = 9, .size = 4096}, .missing = 16},
		{.t = 2, .kind = EV_domain_add, .domain_add = {.iopt = 1}, .missing = 4},
		{.t = 1ull << 63, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .kind = EV_lost, .lost = {.count = 1, .cause = 2}},
		{.t = 1ull << 63, .kind = EV_attach, .attach = {.device = 3}, .missing = 2},
	};
	int rc = jsonl_write_capture(w, &first, e);

	assert_true(!rc == !e->text[0]);
	for (size_t i = 0; i < sizeof(ev) / sizeof(ev[0]) && !rc; i++) {
		rc = jsonl_write_events(w, &ev[i], 1, f->strings, e);
		assert_true(!rc == !e->text[0]);
	}
	if (!rc)
		rc = jsonl_write_capture(w, &second, e);
	assert_true(!rc == !e->text[0]);
	if (!rc)
		rc = jsonl_write_events(w, ev, 1, f->strings, e);
	assert_true(!rc == !e->text[0]);
	return rc;
}

static char *load(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	char *text;

	assert_true(fd >= 0 && !fstat(fd, &st));
	*len = (size_t)st.st_size;
	text = malloc(*len + 1);
	assert_int_equal(read(fd, text, *len), *len);
	text[*len] = '\0';
	close(fd);
	return text;
}

/* All is written, and the count of each capture. */
static char *write_whole(const struct fixture *f, size_t pad, size_t *len)
{
	struct jsonl_writer *w;
	struct error e = {""};

	assert_int_equal(jsonl_writer_open(&w, f->path, &e), 0);
	if (write_parts(w, f, pad, &e) || jsonl_writer_close(w, true, &e))
		fail_msg("%s", e.text);
	return load(f->path, len);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ioflush-jsonl-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/a.jsonl", f->dir);
	f->strings = intern_new();
	intern_add(f->strings, "a\xff\"\x01", 4);
	intern_add(f->strings, "\t\\\xc3\xa4", 4);
	intern_add(f->strings, LONG, strlen(LONG));
	f->long_name = malloc(BUFFER + 1);
	memset(f->long_name, 'x', BUFFER);
	f->long_name[BUFFER] = '\0';
	f->text = write_whole(f, 0, &f->len);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pieces = full = full_for_back = false;
	unlink(f->path);
	rmdir(f->dir);
	intern_free(f->strings);
	free(f->long_name);
	free(f->text);
	free(f);
	return 0;
}

static void test_text(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(
		f->text,
		"{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"\",\"clock\":\"mono\",\"events\":4                   }\n"
		"{\"t\":1,\"cpu\":2,\"tid\":3,\"comm\":\"a\\\\xff\\\"\\u0001\",\"e\":\"map\",\"domain\":\"0x9\",\"iova\":\"0x0\","
		"\"paddr\":\"0x0\",\"size\":\"0x1000\"}\n"
		"{\"t\":2,\"cpu\":0,\"tid\":0,\"e\":\"domain_add\",\"iopt\":\"0x1\",\"domain\":\"0x0\",\"coherent\":null}\n"
		"{\"t\":\"0x8000000000000000\",\"e\":\"lost\",\"count\":1,\"cause\":\"\\t\\\\\xc3\xa4\",\"since\":0}\n"
		"{\"t\":\"0x8000000000000000\",\"cpu\":0,\"tid\":0,\"e\":\"attach\",\"hwpt\":\"0x0\",\"device\":\"" LONG
		"\"}\n"
		"{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"h\",\"clock\":\"c\",\"kernel\":\"k\",\"probes\":\"p\\n\","
		"\"source\":\"s\",\"state\":\"partial\",\"note\":\"n\",\"events\":1                   }\n"
		"{\"t\":1,\"cpu\":2,\"tid\":3,\"comm\":\"a\\\\xff\\\"\\u0001\",\"e\":\"map\",\"domain\":\"0x9\",\"iova\":\"0x0\","
		"\"paddr\":\"0x0\",\"size\":\"0x1000\"}\n");
}

/* With so long a name the file is the same but for the name. */
static void expect_same(struct fixture *f, size_t pad)
{
	const size_t name = (size_t)(strstr(f->text, "\"host\":\"") - f->text) + 8;
	size_t len;
	char *text = write_whole(f, pad, &len);

	assert_int_equal(len, f->len + pad);
	assert_memory_equal(text, f->text, name);
	assert_memory_equal(text + name, f->long_name, pad);
	assert_memory_equal(text + name + pad, f->text + name, f->len - name);
	free(text);
}

static void test_end_of_buffer(void **state)
{
	struct fixture *f = *state;

	for (size_t pad = BUFFER - f->len; pad <= BUFFER; pad++)
		expect_same(f, pad);
}

static void test_pieces(void **state)
{
	struct fixture *f = *state;

	pieces = true;
	expect_same(f, 0);
	expect_same(f, 100);
}

/* What is told is the first failure, by the call in which it was. What was begun does not stay. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	char want[192];

	snprintf(want, sizeof(want), "%s: writing: No space left on device", f->path);
	for (size_t pad = BUFFER - f->len; pad <= BUFFER; pad++) {
		struct jsonl_writer *w;
		struct error e = {""};
		struct error again = {""};
		int rc;

		assert_int_equal(jsonl_writer_open(&w, f->path, &e), 0);
		full = true;
		rc = write_parts(w, f, pad, &e);
		full = false;
		if (rc) {
			/* more does not follow what is missing */
			assert_int_equal(write_parts(w, f, BUFFER, &again), -1);
			assert_non_null(strstr(again.text, "an earlier write failed"));
		} else {
			full = true;
		}
		assert_int_equal(jsonl_writer_close(w, true, &e), -1);
		full = false;
		assert_string_equal(e.text, want);
		assert_int_equal(access(f->path, F_OK), -1);
	}
}

/* The count of a capture is written at the next one, and at the end. */
static void test_full_for_count(void **state)
{
	struct fixture *f = *state;
	struct jsonl_writer *w;
	char want[192];

	snprintf(want, sizeof(want), "%s: writing the number of events: No space left on device", f->path);
	for (int last = 0; last < 2; last++) {
		struct error e = {""};

		assert_int_equal(jsonl_writer_open(&w, f->path, &e), 0);
		full_for_back = !last;
		assert_int_equal(write_parts(w, f, 0, &e), last ? 0 : -1);
		full_for_back = true;
		assert_int_equal(jsonl_writer_close(w, true, &e), -1);
		full_for_back = false;
		assert_string_equal(e.text, want);
		assert_int_equal(access(f->path, F_OK), -1);
	}
}

/* What is not to be kept is removed without a word, unless it is not ours. The mode is as the umask leaves it. */
static void test_closed(void **state)
{
	struct fixture *f = *state;
	const mode_t old = umask(026);
	struct jsonl_writer *w;
	struct error e = {""};
	struct stat st;

	unlink(f->path);
	assert_int_equal(jsonl_writer_open(&w, f->path, &e), 0);
	umask(old);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(write_parts(w, f, 5, &e), 0);
	full = true;
	assert_int_equal(jsonl_writer_close(w, false, &e), 0);
	full = false;
	assert_string_equal(e.text, "");
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(jsonl_writer_close(NULL, true, &e), 0);
	/* a device, or what a link leads to, is not ours to remove */
	assert_int_equal(symlink("/dev/null", f->path), 0);
	assert_int_equal(jsonl_writer_open(&w, f->path, &e), 0);
	assert_int_equal(jsonl_writer_close(w, false, &e), 0);
	assert_int_equal(access(f->path, F_OK), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_text), TEST(test_end_of_buffer),  TEST(test_pieces),
		TEST(test_full), TEST(test_full_for_count), TEST(test_closed),
	};

	return cmocka_run_group_tests_name("jsonl_write", tests, NULL, NULL);
}
