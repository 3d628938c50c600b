/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of a trace.dat: clock, host, statistics, and the places of the buffers; see tracefile_parts.h. */
#include "trace/formats/tracefile_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

#define MAX_OPTION (16u << 20)

enum option {
	OPTION_DONE,
	OPTION_CPUSTAT = 2,
	OPTION_BUFFER,
	OPTION_CLOCK,
	OPTION_UNAME,
	OPTION_CPUCOUNT = 8,
	OPTION_TEXT = 22
};

/* "local global [mono] boot": the one in brackets. */
static int read_clock(struct tracefile *tf, struct cursor *c, const char *text)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	return close ? tracefile_set_string(c, &tf->clock, open + 1, (size_t)(close - open - 1)) : 0;
}

/* "Linux HOST RELEASE MACHINE" */
static int read_uname(struct tracefile *tf, struct cursor *c, const char *text)
{
	const char *host = strchr(text, ' '), *release = host ? strchr(host + 1, ' ') : NULL;

	if (!release)
		return 0;
	if (tracefile_set_string(c, &tf->host, host + 1, (size_t)(release - host - 1)))
		return -1;
	return tracefile_set_string(c, &tf->kernel, release + 1, strcspn(release + 1, " \n"));
}

static uint64_t stat_number(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/*
 * per_cpu/cpuN/stats, and before the first CPU of an instance a text "Buffer: NAME". index: the buffer that it belongs
 * to; in version 7 only its name is known yet, as buffers come later.
 */
static int read_cpustat(struct tracefile *tf, struct cursor *c, const char *text, uint32_t *index)
{
	const char *name = strstr(text, "Buffer: ");
	struct tracefile_buffer *b;
	char copy[256];
	uint64_t lost;

	if (name) {
		snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(name + 8, "\n"), name + 8);
		b = tracefile_buffer_named(tf, c, copy);
		*index = b ? (uint32_t)(b - tf->buffer) : 0;
		return b ? 0 : -1;
	}
	lost = number_sum(stat_number(text, "\noverrun: "), stat_number(text, "commit overrun: "));
	lost = number_sum(lost, stat_number(text, "dropped events: "));
	if (!lost || strncmp(text, "CPU: ", 5))
		return 0;
	return tracefile_add_stat(c, &tf->buffer[*index], stat_number(text, "CPU: "), lost);
}

/* Version 7: whether the section of a buffer's records is compressed. */
static int read_compressed(const struct tracefile *tf, uint64_t offset, bool *compressed, struct error *e)
{
	struct cursor at = tracefile_at(tf, offset, "section of records", e);
	uint64_t id, flags;
	int ret;

	if (offset > tf->size)
		return cursor_cut(&at);
	ret = cursor_number(&at, 2, &id) || cursor_number(&at, 2, &flags);
	cursor_free(&at);
	if (ret)
		return -1;
	*compressed = flags & SECTION_COMPRESSED;
	return 0;
}

/* The beginning of a buffer's option in both versions: an offset and the name. NULL and the error. */
static struct tracefile_buffer *read_buffer(struct tracefile *tf, struct cursor *c, uint64_t *offset)
{
	const char *name;

	if (cursor_number(c, 8, offset))
		return NULL;
	name = cursor_string(c, 255);
	return name ? tracefile_buffer_named(tf, c, name) : NULL;
}

/* Version 7: where the records of a buffer are. */
static int read_buffer_v7(struct tracefile *tf, struct cursor *c)
{
	uint64_t section_offset, offset, size;
	struct tracefile_buffer *b = read_buffer(tf, c, &section_offset);
	const char *clock = b ? cursor_string(c, 255) : NULL;
	uint32_t n, cpu;

	if (!clock || tracefile_set_string(c, &b->clock, clock, strlen(clock)))
		return -1;
	if (cursor_u32(c, &b->page_size) || cursor_u32(c, &n) || tracefile_begin_cpus(c, b, n, 20))
		return -1;
	while (n--)
		if (cursor_u32(c, &cpu) || cursor_number(c, 8, &offset) || cursor_number(c, 8, &size) ||
		    tracefile_add_cpu(c, b, cpu, offset, size))
			return -1;
	return read_compressed(tf, section_offset, &b->compressed, c->e);
}

/* Version 6: where the table of an instance's CPUs is. */
static int read_buffer_v6(struct tracefile *tf, struct cursor *c, uint32_t *last)
{
	uint64_t offset;
	struct tracefile_buffer *b = read_buffer(tf, c, &offset);

	if (!b)
		return -1;
	b->offset = offset;
	*last = (uint32_t)(b - tf->buffer);
	return 0;
}

/* One option with its data in a cursor of its own. */
static int read_option(struct tracefile *tf, struct cursor *c, unsigned id, size_t len, struct tracefile_options *st)
{
	uint32_t n;
	char *text;
	int ret;

	if (tf->version >= 7 && id >= SECTION_HEADER && id <= SECTION_CMDLINES)
		return cursor_number(c, 8, &st->section[id]);
	switch (id) {
	case OPTION_DONE:
		return tf->version >= 7 ? cursor_number(c, 8, &st->next) : 0;
	case OPTION_BUFFER:
		return tf->version >= 7 ? read_buffer_v7(tf, c) : read_buffer_v6(tf, c, &st->last);
	case OPTION_CPUCOUNT:
		if (cursor_u32(c, &n))
			return -1;
		if (st->last)
			tf->buffer[st->last].cpu_count = n;
		else if (tf->version >= 7)
			tf->cpu_count = n;
		st->last = 0;
		return 0;
	case OPTION_TEXT:
		tf->has_text = true;
		return 0;
	case OPTION_CPUSTAT:
	case OPTION_CLOCK:
	case OPTION_UNAME:
		text = cursor_text(c, len);
		if (!text)
			return -1;
		ret = id == OPTION_CPUSTAT ? read_cpustat(tf, c, text, &st->stats_of) :
		      id == OPTION_CLOCK   ? read_clock(tf, c, text) :
					     read_uname(tf, c, text);
		budget_free(c->budget, text, len + 1);
		return ret;
	default:
		return 0;
	}
}

/* Options up to DONE. */
int tracefile_read_options(struct tracefile *tf, struct cursor *c, struct tracefile_options *st)
{
	struct cursor in;
	uint64_t id;
	uint32_t len;

	for (;;) {
		c->what = "options";
		if (cursor_number(c, 2, &id))
			return -1;
		if (id == OPTION_DONE && tf->version < 7)
			return 0;
		if (cursor_u32(c, &len))
			return -1;
		if (len > MAX_OPTION)
			return cursor_error(c, "an option of more than 16 MiB; the file is damaged");
		if (cursor_over(c, len, &in))
			return -1;
		if (read_option(tf, &in, (unsigned)id, len, st))
			return -1;
		if (id == OPTION_DONE)
			return 0;
	}
}
