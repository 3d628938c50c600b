/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of JSON, exactly (RFC 8259), in one pass that also makes the copy; see json_check.h. Each function starts
 * at r->p and leaves it behind what it read, or at the mistake.
 */
#include "base/json_check.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

struct reader {
	const char *text, *p, *end;
	char *out;	  /* the copy; it has room for everything */
	char number_mark; /* or 0 */
	unsigned depth;
	struct error *error;
};

static int read_value(struct reader *r);

/* Reports what is wrong at r->p. */
static int wrong(struct reader *r, const char *what)
{
	const char *line = r->text;
	unsigned lines = 1;

	for (const char *p = r->text; p < r->p; p++) {
		if (*p == '\n') {
			lines++;
			line = p + 1;
		}
	}
	return error_set(r->error, "%s (line %u, column %zu)", what, lines, (size_t)(r->p - line) + 1);
}

static int unexpected(struct reader *r, const char *wanted)
{
	char what[128];

	if (r->p == r->end)
		snprintf(what, sizeof(what), "%s is missing at the end", wanted);
	else
		snprintf(what, sizeof(what), "%s is missing before '%s'", wanted, error_quote(r->p, 1).text);
	return wrong(r, what);
}

static bool at(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static bool at_digit(const struct reader *r)
{
	return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

static void copy(struct reader *r, size_t n)
{
	memcpy(r->out, r->p, n);
	r->out += n;
	r->p += n;
}

static void skip_blanks(struct reader *r)
{
	while (at(r, ' ') || at(r, '\t') || at(r, '\n') || at(r, '\r'))
		r->p++;
}

static int read_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len))
		return unexpected(r, "a value");
	copy(r, len);
	return 0;
}

static void read_digits(struct reader *r)
{
	while (at_digit(r))
		copy(r, 1);
}

static int read_number(struct reader *r)
{
	const char *start = r->p, *digits;

	if (r->number_mark) {
		*r->out++ = '"';
		*r->out++ = r->number_mark;
	}
	digits = r->out;
	if (at(r, '-'))
		copy(r, 1);
	if (!at_digit(r))
		return unexpected(r, "a digit");
	if (at(r, '0'))
		copy(r, 1);
	else
		read_digits(r);
	if (at_digit(r))
		return wrong(r, "a number begins with 0");
	if (at(r, '.')) {
		copy(r, 1);
		if (!at_digit(r))
			return unexpected(r, "a digit");
		read_digits(r);
	}
	if (at(r, 'e') || at(r, 'E')) {
		copy(r, 1);
		if (at(r, '+') || at(r, '-'))
			copy(r, 1);
		if (!at_digit(r))
			return unexpected(r, "a digit");
		read_digits(r);
	}
	*r->out = '\0';
	if (isinf(strtod(digits, NULL))) {
		r->p = start;
		return wrong(r, "a number is too large");
	}
	if (r->number_mark)
		*r->out++ = '"';
	return 0;
}

/* The four digits at p, or -1. */
static int hex4(const struct reader *r, const char *p)
{
	int n = 0;

	for (int i = 0; i < 4; i++, p++) {
		if (p >= r->end || !*p || !strchr("0123456789abcdefABCDEF", *p))
			return -1;
		n = n * 16 + (*p & 15) + (*p > '9' ? 9 : 0);
	}
	return n;
}

/* An escape that \ begins; a pair of surrogates is one. */
static int read_escape(struct reader *r)
{
	size_t left = (size_t)(r->end - r->p), len = 2;
	int first, second;

	if (left < 2 || !r->p[1] || !strchr("\"\\/bfnrtu", r->p[1]))
		return wrong(r, "a \\ with nothing that it can stand for");
	if (r->p[1] == 'u') {
		first = hex4(r, r->p + 2);
		if (first < 0)
			return wrong(r, "a \\u without four hex digits");
		if (!first)
			return wrong(r, "a NUL, \\u0000, which no text may have");
		len = 6;
		if (first >= 0xd800 && first < 0xe000) {
			second = left >= 12 && r->p[6] == '\\' && r->p[7] == 'u' ? hex4(r, r->p + 8) : -1;
			if (first >= 0xdc00 || second < 0xdc00 || second >= 0xe000)
				return wrong(r, "half of a surrogate pair");
			len = 12;
		}
	}
	copy(r, len);
	return 0;
}

static int read_string(struct reader *r)
{
	size_t len;

	copy(r, 1);
	while (!at(r, '"')) {
		if (r->p == r->end)
			return unexpected(r, "the end of a string");
		if ((unsigned char)*r->p < 0x20)
			return wrong(r, "a control character in a string");
		if (*r->p == '\\') {
			if (read_escape(r))
				return -1;
			continue;
		}
		len = text_utf8_len(r->p, (size_t)(r->end - r->p));
		if (!len)
			return wrong(r, "a byte that is no UTF-8");
		copy(r, len);
	}
	copy(r, 1);
	return 0;
}

static int read_key(struct reader *r)
{
	if (!at(r, '"'))
		return unexpected(r, "a key in quotes");
	if (read_string(r))
		return -1;
	skip_blanks(r);
	if (!at(r, ':'))
		return unexpected(r, "a ':'");
	copy(r, 1);
	return 0;
}

/* An object or array, at the character that opens it. */
static int read_container(struct reader *r, char close)
{
	bool empty;

	if (++r->depth > JSON_DEPTH)
		return wrong(r, "nested too deeply");
	copy(r, 1);
	skip_blanks(r);
	empty = at(r, close);
	while (!empty) {
		if ((close == '}' && read_key(r)) || read_value(r))
			return -1;
		if (at(r, close))
			break;
		if (!at(r, ','))
			return unexpected(r, close == '}' ? "a ',' or '}'" : "a ',' or ']'");
		copy(r, 1);
		skip_blanks(r);
	}
	copy(r, 1);
	r->depth--;
	return 0;
}

/* A value and the blanks around it. */
static int read_value(struct reader *r)
{
	int err;

	skip_blanks(r);
	if (at(r, '{'))
		err = read_container(r, '}');
	else if (at(r, '['))
		err = read_container(r, ']');
	else if (at(r, '"'))
		err = read_string(r);
	else if (at(r, '-') || at_digit(r))
		err = read_number(r);
	else
		err = read_word(r, at(r, 't') ? "true" : at(r, 'f') ? "false" : "null");
	skip_blanks(r);
	return err;
}

char *json_check(const char *text, size_t len, char number_mark, struct error *e)
{
	/* three more bytes for each number; there is another byte between two numbers */
	char *out = malloc(len + 3 * (len / 2 + 1) + 1);
	struct reader r = {.text = text, .p = text, .end = text + len, .out = out, .number_mark = number_mark, .error = e};
	int err;

	if (!out) {
		error_set(e, "out of memory");
		return NULL;
	}
	err = read_value(&r);
	if (!err && r.p < r.end)
		err = wrong(&r, "more text behind the value");
	*r.out = '\0';
	if (err) {
		free(out);
		return NULL;
	}
	return out;
}
