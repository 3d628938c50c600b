/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of ftrace text; see ftext_line.h. It is read once from left to right, without allocation or copy. A command
 * name may contain blanks, '-' and '[', so the split is at the first "[CPU]" with a time after it and "-PID" before it.
 */
#include "trace/formats/ftext_line.h"

#include <string.h>

#include "trace/caller.h"

static const char *skip_word(const char *p, const char *end)
{
	while (p < end && *p != ' ')
		p++;
	return p;
}

/* A decimal number: what follows it, or NULL: there is none, or it is above max. */
const char *ftext_decimal(const char *p, const char *end, uint64_t max, uint64_t *out)
{
	const char *start = p;
	uint64_t v = 0;

	for (; p < end && ftext_is_digit(*p); p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (v > (max - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*out = v;
	return p == start ? NULL : p;
}

/* --- the fixed columns */

/* "6.109168:" or, with clocks that do not count nanoseconds, "6109168:". Returns what follows it, or NULL. */
static const char *parse_time(const char *p, const char *end, uint64_t *t, bool *ticks)
{
	uint64_t sec, frac = 0, scale = 1000000000;
	const char *q;

	q = ftext_decimal(p, end, UINT64_MAX, &sec);
	if (!q || q == end)
		return NULL;
	*ticks = *q == ':';
	if (*ticks) {
		*t = sec;
		return q + 1;
	}
	if (*q++ != '.')
		return NULL;
	for (p = q; q < end && ftext_is_digit(*q) && q - p < 9; q++) {
		frac = frac * 10 + (unsigned)(*q - '0');
		scale /= 10;
	}
	if (q == p || q == end || *q != ':' || sec > INT64_MAX / 1000000000 - 1)
		return NULL;
	*t = sec * 1000000000 + frac * scale;
	return q + 1;
}

/* "[001] ..... 6.109168:" from the '[' on. Returns what follows it, or NULL: something else. */
static const char *parse_cpu_and_time(const char *p, const char *end, struct ftext_columns *col)
{
	uint64_t cpu;
	const char *q;

	p = ftext_decimal(p + 1, end, 65535, &cpu);
	if (!p || p + 1 >= end || p[0] != ']' || p[1] != ' ')
		return NULL;
	col->cpu = (uint32_t)cpu;
	p = ftext_skip_blanks(p + 1, end);
	q = parse_time(p, end, &col->t, &col->ticks);
	if (q)
		return q;
	return parse_time(ftext_skip_blanks(skip_word(p, end), end), end, &col->t, &col->ticks);
}

/* "COMM-PID" and perhaps "(TGID)", from the start of the line to the '[' of the CPU. 0 or -1. */
static int parse_task(const char *line, const char *bracket, struct ftext_columns *col)
{
	const char *end = bracket, *p;
	uint64_t tid;

	while (end > line && end[-1] == ' ')
		end--;
	if (end == bracket)
		return -1;
	if (end > line && end[-1] == ')') {
		while (end > line && *end != '(')
			end--;
		while (end > line && end[-1] == ' ')
			end--;
	}
	for (p = end; p > line && ftext_is_digit(p[-1]); p--)
		;
	if (p == end || p == line || p[-1] != '-' || !ftext_decimal(p, end, INT32_MAX, &tid))
		return -1;
	col->tid = (uint32_t)tid;
	end = p - 1;
	p = ftext_skip_blanks(line, end);
	col->comm = p;
	col->comm_len = (size_t)(end - p);
	return 0;
}

/* "(+10)" behind the time, which trace-cmd report --ts-diff adds. Returns what follows it, p if there is none. */
static const char *skip_difference(const char *p, const char *end)
{
	const char *q = p;

	if (q == end || *q != '(')
		return p;
	for (q++; q < end && (*q == '+' || *q == '-' || ftext_is_digit(*q)); q++)
		;
	return q < end && q - p > 1 && *q == ')' ? ftext_skip_blanks(q + 1, end) : p;
}

static const char *skip_name(const char *p, const char *end)
{
	while (p < end && *p != ':' && *p != ' ')
		p++;
	return p;
}

/* Splits a line. 0, or -1: it is not the line of an event. */
int ftext_columns(const char *line, const char *end, struct ftext_columns *col)
{
	const char *p, *bracket = line;

	for (;; bracket++) {
		bracket = memchr(bracket, '[', (size_t)(end - bracket));
		if (!bracket)
			return -1;
		p = parse_cpu_and_time(bracket, end, col);
		if (p && !parse_task(line, bracket, col))
			break;
	}
	p = skip_difference(ftext_skip_blanks(p, end), end);
	col->group_len = 0;
	col->name = p;
	p = skip_name(p, end);
	if (end - p > 1 && *p == ':' && p[1] != ' ' && skip_name(p + 1, end) < end && *skip_name(p + 1, end) == ':') {
		col->group = col->name;
		col->group_len = (size_t)(p - col->name);
		col->name = p + 1;
		p = skip_name(p + 1, end);
	}
	/* "name:" is an event; the function tracers print other things here. */
	col->name_len = p < end && *p == ':' ? (size_t)(p - col->name) : 0;
	col->args = p < end ? p + 1 : end;
	return 0;
}

const char *ftext_function(const char *p, const char *end, size_t *len)
{
	const char *close, *q;

	if (p == end || *p != '(')
		return NULL;
	close = memchr(p, ')', (size_t)(end - p));
	if (!close)
		return NULL;
	q = memmem(p, (size_t)(close - p), " <- ", 4);
	p = q ? q + 4 : p + 1;
	for (q = p; q < close && *q != '+' && *q != ' '; q++)
		;
	*len = (size_t)(q - p);
	return *len ? p : NULL;
}

bool ftext_is_address(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && (ftext_is_digit(p[i]) || (p[i] >= 'a' && p[i] <= 'f')); i++)
		;
	return len >= 8 && i == len;
}

/* --- fields */

/* The value of a hex digit plus one; 0: it is not one. */
static const uint8_t hex_digit[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,	['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/*
 * Reads a value "12", "-12" or "0x1f" at *at, and moves *at behind it, to a blank or the line's end. NULL, or what is
 * wrong with it.
 */
static const char *parse_value(const char **at, const char *end, uint64_t *out)
{
	const char *p = *at, *start;
	bool hex = end - p > 2 && p[0] == '0' && (p[1] | 0x20) == 'x';
	bool negative = p < end && *p == '-';
	bool above = false;
	unsigned digit;
	uint64_t v = 0;

	if (hex) {
		p += 2;
		for (start = p; p < end && (digit = hex_digit[(uint8_t)*p]); p++) {
			above |= v >> 60 != 0;
			v = v << 4 | (digit - 1);
		}
	} else {
		p += negative;
		for (start = p; p < end && ftext_is_digit(*p); p++) {
			above |= __builtin_mul_overflow(v, 10u, &v);
			above |= __builtin_add_overflow(v, (unsigned)(*p - '0'), &v);
		}
		above |= negative && v > (uint64_t)INT64_MAX + 1;
	}
	*at = p;
	*out = 0;
	if (p == start || (p < end && *p != ' '))
		return "is not a number";
	if (above)
		return "is above 64 bits";
	*out = negative ? 0 - v : v;
	return NULL;
}

/* Where it goes wrong, why. */
static const char *parse_string(struct intern *strings, const char *p, const char *end, uint64_t *out)
{
	uint32_t id;

	if (end - p >= 2 && *p == '"' && end[-1] == '"') {
		p++;
		end--;
	}
	if (end - p > EVENT_MAX_STRING)
		return "a string of more than 255 bytes; the line is damaged";
	id = intern_add(strings, p, (size_t)(end - p));
	if (id == UINT32_MAX)
		return intern_failure(strings);
	*out = id;
	return NULL;
}

/*
 * A function as the kernel prints it, "NAME+0x12/0x80 [MODULE]", without the place in it; none, if nobody knows it. Moves *at
 * behind it. NULL, or what is wrong.
 */
static const char *parse_symbol(struct intern *strings, const char **at, const char *end, uint64_t *out)
{
	const char *name = *at, *p = skip_word(name, end), *module = ftext_skip_blanks(p, end), *module_end;
	char text[EVENT_MAX_STRING + 1];
	size_t len = 0, module_len = 0;

	*at = p;
	name += name < p && *name == '"';
	while (name + len < p && name[len] != '+' && name[len] != '"')
		len++;
	if (module < end && *module == '[') {
		*at = module_end = skip_word(module, end);
		module_end -= module_end[-1] == '"';
		module_len = module_end[-1] == ']' ? (size_t)(module_end - module) : 0;
	}
	if (len + 1 + module_len > EVENT_MAX_STRING)
		return "a function of more than 255 bytes; the line is damaged";
	memcpy(text, name, len);
	if (module_len) {
		text[len] = ' ';
		memcpy(text + len + 1, module, module_len);
		len += 1 + module_len;
	}
	if (!caller_is_known(text, len))
		return NULL;
	return parse_string(strings, text, text + len, out);
}

/* Whether "NAME=" of that field is at *at; moves *at to the '='. */
static bool is_field(unsigned kind, int field, const char **at, const char *end)
{
	const char *name = raw_field_name(kind, field), *p = *at;

	if (!name)
		return false;
	for (; *name && p < end && *p == *name; p++)
		name++;
	if (*name || p == end || *p != '=')
		return false;
	*at = p;
	return true;
}

const char *ftext_fields(struct intern *strings, const char *p, const char *end, struct raw_record *raw,
			 struct ftext_bad *bad)
{
	const char *name, *value, *wrong;
	int field, hint = 0;

	for (; (p = ftext_skip_blanks(p, end)) < end; p = skip_word(p, end)) {
		name = p;
		field = hint;
		if (!is_field(raw->kind, hint, &p, end)) { /* fields usually come in the table's order */
			while (p < end && *p != '=' && *p != ' ')
				p++;
			if (p == end || *p == ' ')
				continue;
			field = raw_field_by_name(raw->kind, name, (size_t)(p - name), RAW_EXTRA);
		}
		value = p + 1;
		if (field < 0 || raw->present & 1u << field)
			continue;
		hint = field + 1;
		p = value;
		if (raw_field_is_string(raw->kind, field)) {
			wrong = raw_field_as_address(raw->kind, field) >= 0 ?
					parse_symbol(strings, &p, end, &raw->v[field]) :
					parse_string(strings, value, skip_word(p, end), &raw->v[field]);
			if (wrong)
				return wrong;
			raw->present |= (uint16_t)((raw->v[field] != 0) << field);
			continue;
		}
		wrong = parse_value(&p, end, &raw->v[field]);
		if (!wrong)
			raw->present |= (uint16_t)(1u << field);
		else if (!bad->why)
			*bad = (struct ftext_bad){field, value, skip_word(value, end), wrong};
	}
	return NULL;
}

/* --- losses */

bool ftext_begins(const char *p, const char *end, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(end - p) >= n && !memcmp(p, with, n);
}

bool ftext_loss(const char *p, const char *end, uint32_t *on, uint64_t *lost_count)
{
	uint64_t cpu, count = 0;
	bool lost;

	if (!ftext_begins(p, end, "CPU:"))
		return false;
	p = ftext_decimal(p + 4, end, 65535, &cpu);
	p = p ? ftext_skip_blanks(p, end) : end;
	if (p == end || *p++ != '[')
		return false;
	lost = ftext_begins(p, end, "LOST ");
	p += lost ? 5 : 0;
	if (p < end && ftext_is_digit(*p)) {
		p = ftext_decimal(p, end, INT64_MAX, &count);
		if (!p || p == end || *p++ != ' ' || !count) /* an unknown number is left out, and none is no loss */
			return false;
	}
	if (!ftext_begins(p, end, lost ? "EVENTS]" : "EVENTS DROPPED]"))
		return false;
	*on = (uint32_t)cpu;
	*lost_count = count;
	return true;
}

bool ftext_buffer_started(const char *p, const char *end, uint32_t *on)
{
	uint64_t cpu;

	if (!ftext_begins(p, end, "##### CPU "))
		return false;
	p = ftext_decimal(p + 10, end, 65535, &cpu);
	if (!p || !ftext_begins(p, end, " buffer started ####"))
		return false;
	*on = (uint32_t)cpu;
	return true;
}
