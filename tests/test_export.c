/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ioflush export does to a file: the content is on the disk before the file gets its name, the name is on the disk
 * before the end is reported, and the file is not for everybody. The system calls for this are watched, and made to
 * fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "analyzer/commands/cli.h"
#include "tests/files.h"

static char calls[256];	 /* "file", "rename" and "folder", as they were made */
static const char *fail; /* the one of them that fails */

static int made(const char *what)
{
	size_t n = strlen(calls);

	snprintf(calls + n, sizeof(calls) - n, "%s%s", n ? " " : "", what);
	if (!fail || strcmp(fail, what))
		return 0;
	errno = EIO;
	return -1;
}

int watched_fsync(int fd) __asm__("fsync");
int watched_fsync(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && made(S_ISDIR(st.st_mode) ? "folder" : "file"))
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

int watched_rename(const char *from, const char *to) __asm__("rename");
int watched_rename(const char *from, const char *to)
{
	return made("rename") ? -1 : (int)syscall(SYS_rename, from, to);
}

struct fixture {
	char dir[64], to[96], from[PATH_MAX];
};

static int setup(void **state)
{
	const char *data = getenv("IOFLUSH_TEST_DATA");
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/ioflush-export-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->to, sizeof(f->to), "%s/a.jsonl", f->dir);
	snprintf(f->from, sizeof(f->from), "%s/cases/hotplug.jsonl", data ? data : "tests/data");
	calls[0] = '\0';
	fail = NULL;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->to);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int export(struct fixture *f)
{
	char *argv[] = {(char[]){"export"}, f->from, (char[]){"-o"}, f->to, NULL};

	optind = 0;
	return cmd_export.run(&cmd_export, 4, argv);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

static void write_old(struct fixture *f)
{
	FILE *old = fopen(f->to, "w");

	assert_non_null(old);
	fputs("old", old);
	fclose(old);
}

static void test_synced(void **state)
{
	struct fixture *f = *state;

	write_old(f);
	assert_int_equal(export(f), STATUS_OK);
	assert_string_equal(calls, "file rename folder");
	assert_true(size_of(f->to) > 1000);
	assert_int_equal(files_in(f->dir), 1);
}

/* A failure leaves what was there, and nothing beside it; but once the name is the new file's, that stays. */
static void test_failures(void **state)
{
	struct fixture *f = *state;

	write_old(f);
	fail = "file";
	assert_int_equal(export(f), STATUS_ERROR);
	assert_string_equal(calls, "file");
	assert_int_equal(size_of(f->to), 3);
	assert_int_equal(files_in(f->dir), 1);
	fail = "rename";
	assert_int_equal(export(f), STATUS_ERROR);
	assert_int_equal(size_of(f->to), 3);
	assert_int_equal(files_in(f->dir), 1);
	fail = "folder";
	assert_int_equal(export(f), STATUS_ERROR);
	assert_true(size_of(f->to) > 1000);
	assert_int_equal(files_in(f->dir), 1);
}

static void test_mode(void **state)
{
	static const struct {
		mode_t umask, want;
	} modes[] = {{0, 0640}, {022, 0640}, {027, 0640}, {077, 0600}};
	struct fixture *f = *state;
	mode_t old = umask(022);
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		umask(modes[i].umask);
		assert_int_equal(export(f), STATUS_OK);
		assert_int_equal(stat(f->to, &st), 0);
		assert_int_equal(st.st_mode & 07777, modes[i].want);
		unlink(f->to);
	}
	umask(old);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(test_synced), TEST(test_failures), TEST(test_mode)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
