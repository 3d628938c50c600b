/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Input that cannot be read twice, put into a file that can; see spool.h. */
#include "trace/formats/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int write_full(int fd, const char *buf, size_t len)
{
	ssize_t n;

	for (; len; buf += n, len -= (size_t)n) {
		n = write(fd, buf, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return -1;
	}
	return 0;
}

/*
 * The metadata of a trace.dat may be at its end, and its CPUs follow each other, so it cannot be decoded from a pipe:
 * it is stored first, in a file without a name that vanishes with us. Returns the descriptor of that file, or -1.
 */
static int spool(const struct source_input *in, struct error *e)
{
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	char *name = NULL, buf[65536];
	ssize_t n;
	int fd = -1;

	if (asprintf(&name, "%s/ioflush-XXXXXX", dir) < 0)
		return error_set(e, "out of memory");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		error_errno(e, "%s: making a temporary file for %s (set TMPDIR to a folder with room)", name, in->path);
		goto fail;
	}
	unlink(name);
	if (in->head_len && write_full(fd, in->head, in->head_len))
		goto fail_write;
	for (;;) {
		n = read(in->fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_errno(e, "%s: reading", in->path);
			goto fail;
		}
		if (!n)
			break;
		if (write_full(fd, buf, (size_t)n))
			goto fail_write;
	}
	free(name);
	return fd;
fail_write:
	error_errno(e, "%s: writing a temporary copy of %s (set TMPDIR to a folder with room)", name, in->path);
fail:
	if (fd >= 0)
		close(fd);
	free(name);
	return -1;
}

int spool_seekable(const struct source_input *in, struct error *e)
{
	int fd;

	if (!lseek(in->fd, 0, SEEK_CUR))
		return in->fd;
	fd = spool(in, e);
	close(in->fd);
	return fd;
}
