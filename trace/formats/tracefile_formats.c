/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a trace.dat says about its records, the same in both versions: the header of a page, the formats of events, and
 * the command names; see tracefile_parts.h. libtraceevent gets a text only if it looks like one of the kernel.
 */
#include "trace/formats/tracefile_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "trace/decoder/cmdlines.h"

#define MAX_HEADER_PAGE 65536u
#define MAX_FORMAT (1u << 20) /* of one event's format text */
#define MAX_FORMATS 1024u     /* wanted ones: a few names, each in a few systems */
#define MAX_DECLARATION 256   /* of a field: libtraceevent's time for it grows with the square of its words */
#define FORMAT_MEMORY(len) (4096 + 8 * (uint64_t)(len)) /* most memory in libtraceevent and here */
#define COMM_MEMORY(len) (96 + (uint64_t)(len))		/* the same of a command's name */

int tracefile_read_header_page(struct tracefile *tf, struct cursor *c)
{
	const uint8_t *p;
	uint64_t len;

	c->what = "header_page";
	if (cursor_expect(c, "header_page", 12) || cursor_number(c, 8, &len))
		return -1;
	if (len > MAX_HEADER_PAGE)
		return cursor_error(c, "more than 64 KiB; the file is damaged");
	p = cursor_take(c, len);
	if (!p)
		return -1;
	budget_free(tf->budget, tf->header_page, tf->header_page_len + 1);
	tf->header_page = budget_alloc(tf->budget, len + 1);
	tf->header_page_len = len;
	if (!tf->header_page)
		return cursor_no_memory(c);
	memcpy(tf->header_page, p, len);
	c->what = "header_event";
	if (cursor_expect(c, "header_event", 13) || cursor_number(c, 8, &len))
		return -1;
	return cursor_skip(c, len);
}

/* "KEY:NUMBER;" after blanks. What follows it, or NULL. */
static const char *format_number(const char *p, const char *end, const char *key)
{
	size_t len = strlen(key), digits = 0;

	while (p < end && (*p == '\t' || *p == ' '))
		p++;
	if ((size_t)(end - p) < len || memcmp(p, key, len))
		return NULL;
	for (p += len; p < end && *p >= '0' && *p <= '9'; p++)
		digits++;
	return digits && digits < 6 && p < end && *p == ';' ? p + 1 : NULL;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/*
 * "TYPE NAME", with brackets behind or between them: a word, then at least one more word or '*', and one pair of
 * brackets at most. libtraceevent loses the memory of a field that has no name.
 */
static bool declaration_ok(const char *p, const char *end)
{
	enum { BEFORE, WITHIN, BEHIND } brackets = BEFORE;
	unsigned parts = 0;

	if (end - p > MAX_DECLARATION)
		return false;
	while (p < end) {
		if (is_word(*p)) {
			parts += brackets == BEFORE;
			while (p < end && is_word(*p))
				p++;
			continue;
		}
		if (*p == '*' && brackets == BEFORE && parts)
			parts++;
		else if (*p == '[' && brackets == BEFORE && parts > 1)
			brackets = WITHIN;
		else if (*p == ']' && brackets == WITHIN)
			brackets = BEHIND;
		else if (*p != ' ')
			return false;
		p++;
	}
	return parts > 1 && brackets != WITHIN;
}

/* "field:TYPE NAME; offset:N; size:N; signed:N;", the last being optional. */
static bool format_line_ok(const char *p, const char *end)
{
	static const char field[] = "\tfield:";
	const char *semicolon;

	if ((size_t)(end - p) < sizeof(field) - 1 || memcmp(p, field, sizeof(field) - 1))
		return false;
	p += sizeof(field) - 1;
	semicolon = memchr(p, ';', (size_t)(end - p));
	if (!semicolon)
		return false;
	if (!declaration_ok(p, semicolon))
		return false;
	p = format_number(semicolon + 1, end, "offset:");
	p = p ? format_number(p, end, "size:") : NULL;
	if (p && p != end)
		p = format_number(p, end, "signed:");
	return p == end;
}

/*
 * Whether a format text up to its "print fmt" looks as the kernel writes it. On some other texts libtraceevent leaks or
 * worse, so it never gets those.
 */
static bool format_ok(const char *p, const char *end)
{
	static const char *const head[] = {"name: ", "ID: ", "format:"};
	const char *eol;
	size_t line, len;

	for (line = 0; p < end; line++, p = eol + (eol < end)) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		if (line < 3) {
			len = strlen(head[line]);
			if ((size_t)(eol - p) < len || memcmp(p, head[line], len))
				return false;
			p += len;
			if (line > 0 && (p == eol) != (line == 2)) /* a number, and nothing */
				return false;
			for (; line == 1 && p < eol; p++)
				if (*p < '0' || *p > '9' || eol - p > 6)
					return false;
		} else if (p != eol && !format_line_ok(p, eol)) {
			return false;
		}
	}
	return line > 3;
}

static int format_error(const struct cursor *c, const char *system, const char *name, size_t len, const char *what)
{
	return error_set(c->e, "%s: %s at offset %" PRIu64 ": the format of %s/%s %s", c->path, c->what,
			 cursor_offset(c), error_quote(system, strlen(system)).text, error_quote(name, len).text, what);
}

/* Keeps the name of an event that is not wanted. Whether its format is a good one does not matter. */
static int add_other(struct tracefile *tf, struct cursor *c, const char *system, const char *text, size_t len)
{
	const char *end = text + len, *name = text + 6, *eol = memchr(text, '\n', len), *p = eol;
	struct tracefile_other *other;
	char full[OTHER_NAME * 2];
	int n;

	if (!grow_within(tf->budget, tf->other, tf->others, tf->others_cap, 64u))
		return cursor_no_memory(c);
	other = &tf->other[tf->others];
	memset(other, 0, sizeof(*other));
	if ((size_t)(end - p) < 6 || memcmp(p, "\nID: ", 5))
		return 0;
	for (p += 5; p < end && *p >= '0' && *p <= '9' && other->id <= UINT16_MAX; p++)
		other->id = other->id * 10 + (uint32_t)(*p - '0');
	other->probe = memmem(text, len, " __probe_", 9);
	n = snprintf(full, sizeof(full), "%.*s:%.*s", OTHER_NAME - 1, system, (int)(eol - name), name);
	other_event_name(other->name, full, n < (int)sizeof(full) ? (size_t)n : sizeof(full) - 1);
	tf->others++;
	return 0;
}

/*
 * Gives libtraceevent one format text, if its name is wanted, without the print format: nobody prints the event, and it
 * is by far the hardest part to parse. It also gets the first good one that is not wanted, for where records have their id.
 */
static int add_format(struct tracefile *tf, struct cursor *c, const char *system, const char *text, size_t len)
{
	static const char no_print[] = "\nprint fmt: \"\"\n";
	const char *eol = memchr(text, '\n', len), *print = memmem(text, len, "\nprint fmt:", 11);
	size_t keep = print ? (size_t)(print - text) : len, name_len;
	const char *name = text + 6;
	char *copy;
	int ret = 0;

	if (len < 6 || memcmp(text, "name: ", 6) || !eol)
		return cursor_error(c, "an event format without a name; the file is damaged");
	name_len = (size_t)(eol - name);
	if (!tf->wanted(name, name_len)) {
		if (add_other(tf, c, system, text, len))
			return -1;
		if (tep_get_first_event(tf->tep) || len > MAX_DECLARATION * 64 || !format_ok(text, text + keep))
			return 0;
	}
	if (!format_ok(text, text + keep))
		return format_error(c, system, name, name_len, "is damaged");
	if (tf->formats++ == MAX_FORMATS)
		return format_error(c, system, name, name_len, "is one too many: no kernel has over 1024 of these names");
	if (!budget_take(tf->budget, FORMAT_MEMORY(len)))
		return format_error(c, system, name, name_len, budget_failure(tf->budget));
	copy = malloc(keep + sizeof(no_print));
	if (!copy)
		return cursor_error(c, "out of memory");
	memcpy(copy, text, keep);
	memcpy(copy + keep, no_print, sizeof(no_print));
	if (tep_parse_event(tf->tep, copy, keep + sizeof(no_print) - 1, system) != TEP_ERRNO__SUCCESS)
		ret = format_error(c, system, name, name_len, "cannot be parsed");
	free(copy);
	return ret;
}

static int read_one_format(struct tracefile *tf, struct cursor *c, const char *system)
{
	const uint8_t *p;
	uint64_t len;

	if (cursor_number(c, 8, &len))
		return -1;
	if (len > MAX_FORMAT)
		return cursor_error(c, "an event format of more than 1 MiB; the file is damaged");
	p = cursor_take(c, len);
	if (!p)
		return -1;
	return system ? add_format(tf, c, system, (const char *)p, len) : 0;
}

/* A count and that many formats. */
static int read_system(struct tracefile *tf, struct cursor *c, const char *system)
{
	uint32_t n;

	if (cursor_u32(c, &n))
		return -1;
	while (n--)
		if (read_one_format(tf, c, system))
			return -1;
	return 0;
}

/* ftrace's own events, function traces and prints, are not needed. */
int tracefile_skip_ftrace_formats(struct tracefile *tf, struct cursor *c)
{
	c->what = "ftrace event formats";
	return read_system(tf, c, NULL);
}

int tracefile_read_formats(struct tracefile *tf, struct cursor *c)
{
	char system[256];
	const char *name;
	uint32_t systems;

	c->what = "event formats";
	if (cursor_u32(c, &systems))
		return -1;
	while (systems--) {
		name = cursor_string(c, sizeof(system) - 1);
		if (!name)
			return -1;
		strcpy(system, name); /* at most 255 bytes: cursor_string() */
		if (read_system(tf, c, system))
			return -1;
	}
	return 0;
}

int tracefile_read_cmdlines(struct tracefile *tf, struct cursor *c)
{
	unsigned names = 0;
	const char *p, *at;
	uint64_t len, lines = 0;

	c->what = "command names";
	if (cursor_number(c, 8, &len))
		return -1;
	p = (const char *)cursor_take(c, len);
	if (!p)
		return -1;
	for (at = p; at && at < p + len; at = memchr(at, '\n', (size_t)(p + len - at)), at += at != NULL)
		lines++;
	if (!budget_take(tf->budget, lines * COMM_MEMORY(CMDLINES_MAX_NAME)))
		return cursor_no_memory(c);
	if (cmdlines_register(tf->tep, p, len, &names))
		return cursor_error(c, "a line that is not a pid and a name; the file is damaged");
	return 0;
}

void tracefile_name_other(const struct tracefile *tf, uint32_t id, uint64_t n, struct dropped *d)
{
	const struct tep_event *event = tep_find_event(tf->tep, (int)id);
	struct other_event other = {.n = n};
	char full[OTHER_NAME * 2];
	size_t i;

	for (i = 0; i < tf->others && tf->other[i].id != id; i++)
		;
	if (i < tf->others) {
		memcpy(other.name, tf->other[i].name, sizeof(other.name));
		other.probe = tf->other[i].probe;
	} else if (event && event->system && event->name) { /* it has a name of ours, but not the fields */
		snprintf(full, sizeof(full), "%.*s:%.*s", OTHER_NAME - 1, event->system, OTHER_NAME - 1, event->name);
		other_event_name(other.name, full, strlen(full));
		if (!strcmp(full, "iommu:map") || !strcmp(full, "iommu:unmap"))
			d->tracepoints += n;
	} else {
		snprintf(other.name, sizeof(other.name), "number-%u", id);
	}
	dropped_name(d, &other);
}
