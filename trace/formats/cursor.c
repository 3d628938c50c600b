/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A position in binary metadata that moves forward; see cursor.h. */
#include "trace/formats/cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 65536u

uint64_t number_at(const uint8_t *p, unsigned size, bool bigendian)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < size; i++)
		v |= (uint64_t)p[i] << 8 * (bigendian ? size - 1 - i : i);
	return v;
}

ssize_t read_at(int fd, const char *path, void *buf, size_t len, uint64_t offset, struct error *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(e, "%s: reading at offset %" PRIu64, path, offset);
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

void cursor_free(struct cursor *c)
{
	budget_free(c->budget, c->buf, c->cap);
	c->buf = NULL;
	c->pos = c->len = c->cap = 0;
}

uint64_t cursor_offset(const struct cursor *c)
{
	return c->base + c->pos;
}

int cursor_error(const struct cursor *c, const char *what)
{
	return error_set(c->e, "%s: %s at offset %" PRIu64 ": %s", c->path, c->what, cursor_offset(c), what);
}

int cursor_no_memory(const struct cursor *c)
{
	return cursor_error(c, budget_failure(c->budget));
}

int cursor_cut(const struct cursor *c)
{
	if (c->fd < 0)
		return cursor_error(c, "the section ends in the middle of it; the file is damaged");
	return error_set(c->e,
			 "%s: %s at offset %" PRIu64 ": the file ends at %" PRIu64
			 "; it is truncated: record again or copy it again",
			 c->path, c->what, cursor_offset(c), c->end);
}

/* Moves the window to the position, so that it holds at least n bytes, which lie before the end. */
static int refill(struct cursor *c, size_t n)
{
	size_t want = n > WINDOW ? n : WINDOW;
	uint8_t *grown;
	ssize_t got;

	c->base += c->pos;
	c->pos = c->len = 0;
	if (want > c->end - c->base)
		want = c->end - c->base;
	if (want > c->cap) {
		grown = budget_resize(c->budget, c->buf, c->cap, want);
		if (!grown)
			return cursor_no_memory(c);
		c->buf = grown;
		c->cap = want;
	}
	got = read_at(c->fd, c->path, c->buf, want, c->base, c->e);
	if (got < 0)
		return -1;
	c->len = (size_t)got;
	if (c->len >= n)
		return 0;
	c->end = c->base + c->len;
	return cursor_cut(c);
}

const uint8_t *cursor_need(struct cursor *c, size_t n)
{
	if (c->len - c->pos >= n)
		return c->buf + c->pos;
	if (c->fd < 0 || n > c->end - c->base - c->pos) {
		cursor_cut(c);
		return NULL;
	}
	return refill(c, n) ? NULL : c->buf;
}

const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_need(c, n);

	if (p)
		c->pos += n;
	return p;
}

int cursor_skip(struct cursor *c, uint64_t n)
{
	if (n <= c->len - c->pos) {
		c->pos += n;
		return 0;
	}
	if (c->fd < 0 || n > c->end - c->base - c->pos)
		return cursor_cut(c);
	c->base += c->pos + n;
	c->pos = c->len = 0;
	return 0;
}

int cursor_number(struct cursor *c, unsigned size, uint64_t *out)
{
	const uint8_t *p = cursor_take(c, size);

	if (!p)
		return -1;
	*out = number_at(p, size, c->bigendian);
	return 0;
}

int cursor_u32(struct cursor *c, uint32_t *out)
{
	uint64_t v;

	if (cursor_number(c, 4, &v))
		return -1;
	*out = (uint32_t)v;
	return 0;
}

const char *cursor_string(struct cursor *c, size_t max)
{
	size_t n = 0;
	const uint8_t *p;

	do {
		if (n > max) {
			cursor_error(c, "a string without end; the file is damaged");
			return NULL;
		}
		p = cursor_need(c, ++n);
		if (!p)
			return NULL;
	} while (p[n - 1]);
	c->pos += n;
	return (const char *)p;
}

char *cursor_text(struct cursor *c, size_t len)
{
	const uint8_t *p = cursor_take(c, len);
	char *text = p ? budget_alloc(c->budget, len + 1) : NULL;

	if (text)
		memcpy(text, p, len);
	else if (p)
		cursor_no_memory(c);
	return text;
}

int cursor_expect(struct cursor *c, const char *bytes, size_t len)
{
	const uint8_t *p = cursor_need(c, len);

	if (!p)
		return -1;
	if (memcmp(p, bytes, len))
		return error_set(c->e, "%s: %s at offset %" PRIu64 ": \"%s\" is missing; the file is damaged", c->path,
				 c->what, cursor_offset(c), bytes);
	c->pos += len;
	return 0;
}

int cursor_over(struct cursor *c, size_t len, struct cursor *out)
{
	const uint8_t *p = cursor_take(c, len);

	if (!p)
		return -1;
	*out = *c;
	out->fd = -1;
	out->base = cursor_offset(c) - len;
	out->end = cursor_offset(c);
	out->buf = (uint8_t *)(uintptr_t)p;
	out->pos = 0;
	out->len = out->cap = len;
	return 0;
}

void cursor_unpacked(struct cursor *c, uint8_t *bytes, size_t len, uint64_t offset)
{
	budget_free(c->budget, c->buf, c->cap);
	c->fd = -1;
	c->buf = bytes;
	c->pos = 0;
	c->len = c->cap = len;
	c->base = offset;
	c->end = offset + len;
}
