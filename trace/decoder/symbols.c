/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions by their addresses; see symbols.h. */
#include "trace/decoder/symbols.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_FUNCTION 65536 /* bytes: what is farther from its start is something that the text does not name */

void symbol_begin(struct symbol_search *s, uint64_t address)
{
	s->address = address ? address - 1 : 0; /* the call itself: it may be the last of its function */
	s->best = 0;
	s->len = 0;
	s->name[0] = '\0';
}

static const char *word_end(const char *p, const char *end)
{
	while (p < end && *p != ' ' && *p != '\t')
		p++;
	return p;
}

static const char *blanks_end(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* The address at the start of a line. Returns what follows it, or NULL. */
static const char *take_address(const char *p, const char *end, uint64_t *out)
{
	const char *start = p;
	uint64_t v = 0;

	for (; p < end && *p != ' '; p++) {
		unsigned char c = (unsigned char)*p, low = c | 0x20;
		bool digit = c >= '0' && c <= '9';

		if (!digit && !(low >= 'a' && low <= 'f'))
			return NULL;
		v = v << 4 | (digit ? c - (unsigned)'0' : low - (unsigned)'a' + 10);
	}
	*out = v;
	return p == start || p - start > 16 || p == end ? NULL : p;
}

/* A whole line: remembered if it is a function that is nearer than those before. */
static void take_line(struct symbol_search *s, const char *p, size_t len)
{
	const char *end = p + len, *name, *name_end, *module;
	uint64_t address;
	int n;

	p = take_address(p, end, &address);
	if (!p || !address || address > s->address || address <= s->best)
		return;
	name = blanks_end(p, end);
	if (end - name > 2 && name[1] == ' ') { /* the type of kallsyms */
		if (!strchr("tTwW", name[0]))
			return;
		name = blanks_end(name + 1, end);
	}
	name_end = word_end(name, end);
	module = blanks_end(name_end, end);
	if (name == name_end)
		return;
	n = snprintf(s->name, sizeof(s->name), "%.*s%s%.*s", (int)(name_end - name), name, module < end ? " " : "",
		     (int)(word_end(module, end) - module), module);
	if (n >= (int)sizeof(s->name))
		s->name[0] = '\0';
	s->best = address;
}

void symbol_text(struct symbol_search *s, const char *text, size_t len)
{
	const char *end = text + len, *eol;
	size_t n;

	for (; text < end; text += n + (eol != NULL)) {
		eol = memchr(text, '\n', (size_t)(end - text));
		n = (size_t)((eol ? eol : end) - text);
		if (eol && !s->len) {
			take_line(s, text, n);
			continue;
		}
		if (s->len + n <= sizeof(s->line)) /* else it is too long: len says so until its end */
			memcpy(s->line + s->len, text, n);
		s->len = s->len + n <= sizeof(s->line) ? s->len + n : sizeof(s->line) + 1;
		if (!eol)
			continue;
		if (s->len <= sizeof(s->line))
			take_line(s, s->line, s->len);
		s->len = 0;
	}
}

const char *symbol_end(struct symbol_search *s)
{
	if (s->len && s->len <= sizeof(s->line))
		take_line(s, s->line, s->len);
	s->len = 0;
	return s->name[0] && s->address - s->best < LONGEST_FUNCTION ? s->name : NULL;
}
