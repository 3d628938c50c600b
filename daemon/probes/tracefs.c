/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File operations of tracefs: plain system calls, so that the errno of a refused write is kept. */
#include "daemon/probes/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT (16u << 20) /* bytes of any file */

int path_print(char out[PATH_MAX], const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, PATH_MAX, fmt, ap);
	va_end(ap);
	if (n >= 0 && n < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int file_write(const char *path, const char *text, int flags)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), saved;
	ssize_t n;

	if (fd < 0)
		return -1;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	saved = n < 0 ? errno : EIO;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

char *file_read(const char *path, size_t *len)
{
	size_t size = 0, n = 0;
	char *text = NULL, *grown;
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;
	ssize_t got;

	if (fd < 0)
		return NULL;
	for (;;) {
		if (n + 4096 > size) {
			size = size ? size * 2 : 16384;
			grown = size > MAX_TEXT ? NULL : realloc(text, size);
			if (!grown)
				goto fail;
			text = grown;
		}
		got = read(fd, text + n, size - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto fail;
		if (!got)
			break;
		n += (size_t)got;
	}
	close(fd);
	text[n] = 0;
	if (len)
		*len = n;
	return text;
fail:
	saved = errno;
	close(fd);
	free(text);
	errno = saved ? saved : ENOMEM;
	return NULL;
}

int tracefs_write(const struct tracer *t, const char *name, const char *text, int flags)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->opt.tracefs, name) ? -1 : file_write(path, text, flags);
}

char *tracefs_read(const struct tracer *t, const char *name, size_t *len)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->opt.tracefs, name) ? NULL : file_read(path, len);
}

bool tracefs_has(const struct tracer *t, const char *name)
{
	char path[PATH_MAX];

	return !path_print(path, "%s/%s", t->opt.tracefs, name) && !access(path, F_OK);
}

int instance_write(const struct tracer *t, const char *name, const char *text)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->dir, name) ? -1 : file_write(path, text, 0);
}

char *instance_read(const struct tracer *t, const char *name)
{
	char path[PATH_MAX], *text;

	if (path_print(path, "%s/%s", t->dir, name))
		return NULL;
	text = file_read(path, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text;
}

bool no_privilege(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == EROFS;
}
