/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sub-buffers of the kernel's ring buffer; see subbuf.h. */
#include "trace/decoder/subbuf.h"

#include <stdlib.h>
#include <string.h>

#define COMMIT_MASK ((1u << 27) - 1)
#define MISSED_EVENTS (1u << 31)
#define MISSED_STORED (1u << 30) /* the count is stored behind the last record */

#define TYPE_PADDING 29
#define TYPE_TIME_EXTEND 30
#define TYPE_TIME_STAMP 31
#define TS_BITS 27

/* An absolute time stamp has 59 bits; the upper five are those of the previous time. */
#define ABS_TS_BITS 59
#define ABS_TS_MSB (~0ull << ABS_TS_BITS)

#define MAX_SIZE (16u << 20)
#define TEXT_MAX 4096

static uint32_t read32(const struct subbuf_format *f, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return f->bigendian == tep_is_bigendian() ? v : __builtin_bswap32(v);
}

static uint64_t read64(const struct subbuf_format *f, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return f->bigendian == tep_is_bigendian() ? v : __builtin_bswap64(v);
}

/* The number after key ("offset:" or "size:") in the line of the field. 0 or -1. */
static int header_number(const char *line, const char *key, uint32_t *out)
{
	const char *eol = strchrnul(line, '\n');
	const char *p = strstr(line, key);
	unsigned long v;
	char *end;

	if (!p || p > eol)
		return -1;
	p += strlen(key);
	if (*p < '0' || *p > '9')
		return -1;
	v = strtoul(p, &end, 10);
	if (v > MAX_SIZE || *end != ';')
		return -1;
	*out = (uint32_t)v;
	return 0;
}

int subbuf_format(struct subbuf_format *f, const char *text, size_t len, uint32_t size, bool bigendian, struct error *e)
{
	char copy[TEXT_MAX + 1];
	const char *commit, *data;
	uint32_t data_size;

	if (len > TEXT_MAX)
		return error_set(e, "header_page: %zu bytes: the kernel's is below %d", len, TEXT_MAX);
	memcpy(copy, text, len);
	copy[len] = '\0';
	commit = strstr(copy, " commit;");
	data = strstr(copy, " data;");
	if (!commit || header_number(commit, "offset:", &f->commit) || header_number(commit, "size:", &f->commit_size))
		return error_set(e, "header_page: field commit is not there or not readable");
	if (!data || header_number(data, "offset:", &f->data) || header_number(data, "size:", &data_size))
		return error_set(e, "header_page: field data is not there or not readable");
	f->size = size ? size : f->data + data_size;
	f->bigendian = bigendian;
	if (f->commit_size != 4 && f->commit_size != 8)
		return error_set(e, "header_page: commit has %u bytes, not 4 or 8", f->commit_size);
	if (f->commit != 8 || f->data < f->commit + f->commit_size || f->size > MAX_SIZE || f->data + 8 > f->size)
		return error_set(e, "header_page: commit at %u, data at %u do not fit a sub-buffer of %u bytes",
				 f->commit, f->data, f->size);
	return 0;
}

int subbuf_load(struct subbuf *sb, const struct subbuf_format *f, const void *page, struct error *e)
{
	uint32_t word;
	uint64_t stored;

	sb->fmt = f;
	sb->page = page;
	/* The flags are in the low 32 bits of the word; in a 64-bit big-endian word these come last. */
	word = f->commit_size == 8 ? (uint32_t)read64(f, sb->page + f->commit) : read32(f, sb->page + f->commit);
	sb->ts = read64(f, sb->page);
	sb->pos = f->data;
	sb->end = f->data + (word & COMMIT_MASK);
	sb->lost = 0;
	if (sb->end > f->size)
		return error_set(e, "says that it holds %u bytes, but has room for %u", word & COMMIT_MASK,
				 f->size - f->data);
	if (!(word & MISSED_EVENTS))
		return 0;
	sb->lost = SUBBUF_LOST_UNKNOWN;
	if (word & MISSED_STORED && sb->end + f->commit_size <= f->size) {
		stored = f->commit_size == 8 ? read64(f, sb->page + sb->end) : read32(f, sb->page + sb->end);
		if (stored && stored <= INT64_MAX)
			sb->lost = (int64_t)stored;
	}
	return 0;
}

static int cut_record(const struct subbuf *sb, struct error *e)
{
	return error_set(e, "record at byte %u goes past the %u bytes in use", sb->pos, sb->end);
}

/* The upper bits of an absolute time stamp are not stored; see the kernel's rb_fix_abs_ts(). */
static uint64_t absolute_ts(uint64_t abs, uint64_t before)
{
	if (!(before & ABS_TS_MSB))
		return abs;
	abs |= before & ABS_TS_MSB;
	return abs < before ? abs + (1ull << ABS_TS_BITS) : abs;
}

int subbuf_next(struct subbuf *sb, struct tep_record *rec, struct error *e)
{
	const struct subbuf_format *f = sb->fmt;

	while (sb->end - sb->pos >= 4) {
		const uint8_t *p = sb->page + sb->pos;
		uint32_t room = sb->end - sb->pos;
		uint32_t word = read32(f, p);
		uint32_t type = f->bigendian ? word >> TS_BITS : word & 31;
		uint64_t delta = f->bigendian ? word & ((1u << TS_BITS) - 1) : word >> 5;
		uint32_t array = 0, skip = 4, len = type * 4;
		uint64_t padded;

		if (type == 0 || type >= TYPE_PADDING) {
			if (type == TYPE_PADDING && !delta)
				break; /* the rest is empty */
			if (room < 8)
				return cut_record(sb, e);
			array = read32(f, p + 4);
		}
		if (type == TYPE_TIME_EXTEND || type == TYPE_TIME_STAMP) {
			delta += (uint64_t)array << TS_BITS;
			sb->ts = type == TYPE_TIME_STAMP ? absolute_ts(delta, sb->ts) : sb->ts + delta;
			sb->pos += 8;
			continue;
		}
		if (type == 0 || type == TYPE_PADDING) {
			/* The length counts its own word (without it, it is too long); records are a multiple of 4 bytes. */
			len = array - 4;
			skip = 8;
		}
		sb->ts += delta;
		padded = ((uint64_t)len + 3) & ~3ull;
		if (padded > room - skip)
			return cut_record(sb, e);
		rec->offset = sb->pos;
		sb->pos += skip + (uint32_t)padded;
		if (type == TYPE_PADDING)
			continue; /* a record that its writer discarded */
		rec->ts = sb->ts;
		rec->data = (void *)(uintptr_t)(p + skip);
		rec->size = (int)len;
		rec->record_size = (int)(sb->pos - rec->offset);
		return 1;
	}
	return 0;
}
