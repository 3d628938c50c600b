/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a folder holds, for tests of what is left behind. Include it after cmocka.h. */
#ifndef IOFLUSH_TESTS_FILES_H
#define IOFLUSH_TESTS_FILES_H

#include <dirent.h>
#include <string.h>

/* How many entries there are, "." and ".." aside. */
static inline unsigned files_in(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)))
		n += strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
	closedir(dir);
	return n;
}

/* The descriptors that this process has open; one of them is that of the counting. */
static inline unsigned descriptors(void)
{
	return files_in("/proc/self/fd");
}

#endif
