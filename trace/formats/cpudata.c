/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of one CPU in a trace.dat; see cpudata.h. */
#include "trace/formats/cpudata.h"

#include <inttypes.h>

#include "trace/formats/cursor.h"

#define MAX_CHUNK (64u << 20)	 /* of compressed records */
#define WINDOWS_TOTAL (8u << 20) /* for all CPUs together */
#define WINDOW_MAX (256u << 10)

static int error_at(const struct cpudata *d, uint64_t offset, const char *what, struct error *e)
{
	return error_set(e, "%s: CPU %u: sub-buffer at offset %" PRIu64 "%s: %s", d->file->path, d->cpu->cpu, offset,
			 d->buffer->compressed ? " (in the chunk compressed there)" : "", what);
}

int cpudata_error(const struct cpudata *d, const char *what, struct error *e)
{
	return error_at(d, d->buffer->compressed ? d->offset : d->offset + d->next - d->size, what, e);
}

/* Reads at least min bytes at an offset. Returns how many, or -1 and the error. */
static ssize_t read_run(const struct cpudata *d, void *buf, size_t len, size_t min, uint64_t offset, struct error *e)
{
	ssize_t n = read_at(d->file->fd, d->file->path, buf, len, offset, e);

	if (n < 0 || (size_t)n >= min)
		return n;
	return error_set(e,
			 "%s: CPU %u: its records break off at offset %" PRIu64 ", where %" PRIu64
			 " more bytes should follow; the file is truncated",
			 d->file->path, d->cpu->cpu, offset + (size_t)n, d->end - d->pos);
}

/* Makes room for want bytes of sub-buffers. 0, or -1: no memory. */
static int grow(struct cpudata *d, size_t want)
{
	uint8_t *grown;

	if (want <= d->cap)
		return 0;
	grown = budget_resize(d->file->budget, d->buf, d->cap, want);
	if (!grown)
		return -1;
	d->buf = grown;
	d->cap = want;
	return 0;
}

static int no_memory(const struct cpudata *d, struct error *e)
{
	return error_at(d, d->pos, budget_failure(d->file->budget), e);
}

/* Fills the window with whole, uncompressed sub-buffers. 1, 0: none are left, or -1. */
static int fill_plain(struct cpudata *d, struct error *e)
{
	size_t want = WINDOWS_TOTAL / d->buffer->cpus;
	ssize_t n;

	if (d->pos == d->end)
		return 0;
	if (want > WINDOW_MAX)
		want = WINDOW_MAX;
	want = want < d->size ? d->size : want - want % d->size;
	if (want > d->end - d->pos)
		want = d->end - d->pos;
	if (grow(d, want))
		return no_memory(d, e);
	n = read_run(d, d->buf, want, d->size, d->pos, e);
	if (n < 0)
		return -1;
	d->offset = d->pos;
	d->len = (size_t)n - (size_t)n % d->size;
	d->next = 0;
	d->pos += d->len;
	return 1;
}

/* Reads and unpacks the chunk here: packed bytes behind its head, which unpack to size. 0 or -1. */
static int unpack(struct cpudata *d, size_t packed, size_t size, struct error *e)
{
	struct budget *budget = d->file->budget;
	uint8_t *from = grow(d, size) ? NULL : budget_resize(budget, NULL, 0, packed);
	struct error why = {""};
	int ret = -1;

	if (!from)
		return no_memory(d, e);
	if (read_run(d, from, packed, packed, d->pos + 8, e) < 0)
		goto out;
	if (tracefile_unpack(d->file, d->buf, size, from, packed, &why))
		error_at(d, d->pos, why.text, e);
	else
		ret = 0;
out:
	budget_free(budget, from, packed);
	return ret;
}

/* Unpacks the next chunk: its size packed, its size unpacked, its bytes. 1, 0: none are left, or -1. */
static int fill_chunk(struct cpudata *d, struct error *e)
{
	bool big = d->file->bigendian;
	size_t packed, size;
	uint8_t head[8];

	if (!d->chunks)
		return 0;
	if (read_run(d, head, sizeof(head), sizeof(head), d->pos, e) < 0)
		return -1;
	packed = number_at(head, 4, big);
	size = number_at(head + 4, 4, big);
	if (d->end - d->pos < 8 || packed > d->end - d->pos - 8)
		return error_at(d, d->pos, "the chunk goes past the data of its CPU; the file is damaged", e);
	if (!packed || !size || size > MAX_CHUNK || size % d->size || packed > MAX_CHUNK)
		return error_at(d, d->pos, "the chunk has an impossible size; the file is damaged", e);
	if (unpack(d, packed, size, e))
		return -1;
	d->offset = d->pos;
	d->len = size;
	d->next = 0;
	d->pos += 8 + packed;
	d->chunks--;
	return 1;
}

int cpudata_begin(struct cpudata *d, const struct tracefile *tf, const struct tracefile_buffer *b, uint32_t index,
		  uint32_t size, struct error *e)
{
	uint8_t head[4];

	d->file = tf;
	d->buffer = b;
	d->cpu = &b->cpu[index];
	d->size = size;
	d->pos = d->cpu->offset;
	d->end = d->cpu->offset + d->cpu->size;
	d->len = d->next = 0;
	d->chunks = 0;
	if (!d->cpu->size || !b->compressed)
		return 0;
	if (read_run(d, head, sizeof(head), sizeof(head), d->pos, e) < 0)
		return -1;
	if (d->cpu->size < 4)
		return error_at(d, d->pos, "there is no count of chunks; the file is damaged", e);
	d->chunks = number_at(head, 4, tf->bigendian);
	d->pos += 4;
	d->end += 4; /* trace-cmd's size of compressed data leaves this count out */
	if (d->chunks > (d->end - d->pos) / 8)
		return error_at(d, d->pos, "more chunks than there is room for; the file is damaged", e);
	return 0;
}

int cpudata_next(struct cpudata *d, const uint8_t **subbuf, struct error *e)
{
	int ret;

	if (d->next == d->len) {
		ret = d->buffer->compressed ? fill_chunk(d, e) : fill_plain(d, e);
		if (!ret)
			cpudata_free(d);
		if (ret <= 0)
			return ret;
	}
	*subbuf = d->buf + d->next;
	d->next += d->size;
	return 1;
}

void cpudata_free(struct cpudata *d)
{
	if (!d->file)
		return;
	budget_free(d->file->budget, d->buf, d->cap);
	d->buf = NULL;
	d->cap = d->len = d->next = 0;
}
