/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the text of a line to its members; see jsonl_line.h.
 *
 * Accepts exactly JSON: no 01 and no 1., no bytes that are not UTF-8, no lone surrogate. Two things are narrower:
 * integers have 64 bits with the sign, and no string contains a NUL.
 *
 * Each function takes where its piece begins and returns where it ends, or NULL when wrong() has been told.
 */
#include "trace/formats/jsonl_line.h"

#include <string.h>

#include "base/text.h"

#define MAX_DEPTH 2048
#define TEXT_OF(number) TEXT_OF_IT(number)
#define TEXT_OF_IT(number) #number
#define NOT_JSON "not JSON: "
#define NO_END NOT_JSON "a string does not end"

static char *wrong(struct line *l, const char *at, const char *what)
{
	l->at = at;
	l->wrong = what;
	return NULL;
}

static inline char *skip_blank(const struct line *l, char *p)
{
	const char *end = l->end;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

static inline bool is_digit(const struct line *l, const char *p)
{
	return p < l->end && *p >= '0' && *p <= '9';
}

/* ---- strings ---- */

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* The number of \uXXXX at p; UINT32_MAX: it is not one. */
static uint32_t unicode_escape(const struct line *l, const char *p)
{
	uint32_t c = 0;
	int i;

	if (l->end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return UINT32_MAX;
	for (i = 2; i < 6; i++) {
		unsigned digit = (unsigned char)p[i], low = digit | 0x20;

		if (digit >= '0' && digit <= '9')
			c = c << 4 | (digit - '0');
		else if (low >= 'a' && low <= 'f')
			c = c << 4 | (low - 'a' + 10);
		else
			return UINT32_MAX;
	}
	return c;
}

/* Writes the escape at p to *to, which is not behind it. */
static char *resolve_escape(struct line *l, char *p, char **to)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	uint32_t c, low;
	char *end = p + 6;

	if (l->end - p < 2)
		return wrong(l, l->end, NO_END);
	letter = memchr(letters, p[1], sizeof(letters) - 1);
	if (letter) {
		*(*to)++ = meant[letter - letters];
		return p + 2;
	}
	if (p[1] != 'u')
		return wrong(l, p, NOT_JSON "no such escape in a string");
	c = unicode_escape(l, p);
	if (c == UINT32_MAX)
		return wrong(l, p, NOT_JSON "\\u without four digits");
	if (!c)
		return wrong(l, p, "\\u0000: a NUL is no text");
	if (c >= 0xd800 && c < 0xe000) {
		low = unicode_escape(l, end);
		if (c >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
			return wrong(l, p, NOT_JSON "half a pair of surrogates");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
		end += 6;
	}
	*to = put_utf8(*to, c);
	return end;
}

/* The rest of a string, from its first byte on that is an escape or not of ASCII. */
static char *string_rest(struct line *l, char *p, const char *text, size_t *len)
{
	char *to = p;
	size_t n;

	while (p < l->end && *p != '"') {
		if (*p == '\\') {
			p = resolve_escape(l, p, &to);
			if (!p)
				return NULL;
			continue;
		}
		if ((unsigned char)*p < 0x20)
			return wrong(l, p, NOT_JSON "a control character in a string");
		n = text_utf8_len(p, (size_t)(l->end - p));
		if (!n)
			return wrong(l, p, NOT_JSON "a byte that is no UTF-8");
		memmove(to, p, n);
		to += n;
		p += n;
	}
	if (p == l->end)
		return wrong(l, p, NO_END);
	*len = (size_t)(to - text);
	return p + 1;
}

/* What a string has of ASCII, but the quote that ends it and the backslash. */
static const bool is_plain[256] = {[0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0x7f] = true};

/* A string, from behind its opening quote. */
static inline char *string(struct line *l, char *p, const char **text, size_t *len)
{
	const char *end = l->end;

	*text = p;
	while (p < end && is_plain[(unsigned char)*p])
		p++;
	if (p == end || *p != '"')
		return string_rest(l, p, *text, len);
	*len = (size_t)(p - *text);
	return p + 1;
}

/* ---- values ---- */

/* The fraction and exponent of a number: unused, but they must be correct. */
static char *number_rest(struct line *l, char *p)
{
	if (*p == '.') {
		if (!is_digit(l, ++p))
			return wrong(l, p, NOT_JSON "a digit is missing");
		while (is_digit(l, p))
			p++;
	}
	if (p < l->end && (*p | 0x20) == 'e') {
		p++;
		if (p < l->end && (*p == '+' || *p == '-'))
			p++;
		if (!is_digit(l, p))
			return wrong(l, p, NOT_JSON "a digit is missing");
		while (is_digit(l, p))
			p++;
	}
	return p;
}

static inline char *number(struct line *l, char *p, struct member *m)
{
	char *start = p, *digits;
	const char *end = l->end;
	uint64_t n = 0;

	p += *p == '-';
	for (digits = p; p < end && *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	if (p == digits)
		return wrong(l, p, p == start ? NOT_JSON "no value begins here" : NOT_JSON "a digit is missing");
	if (*digits == '0' && p - digits > 1)
		return wrong(l, start, NOT_JSON "a number begins with 0");
	if (p < l->end && (*p == '.' || (*p | 0x20) == 'e')) {
		m->type = VALUE_OTHER;
		return number_rest(l, p);
	}
	/* 19 digits do not wrap */
	if (p - digits > 19 || n > (uint64_t)INT64_MAX + (digits > start))
		return wrong(l, start, "too big an integer; numbers above 2^63 - 1 are written \"0x...\"");
	m->type = VALUE_NUMBER;
	m->negative = digits > start && n;
	m->number = m->negative ? -n : n;
	return p;
}

static char *word(struct line *l, char *p, const char *text, struct member *m, enum value_type type)
{
	size_t len = strlen(text);

	if ((size_t)(l->end - p) < len || memcmp(p, text, len) != 0)
		return wrong(l, p, NOT_JSON "no value begins here");
	m->type = type;
	return p + len;
}

static char *nested(struct line *l, char *p, unsigned depth);

static inline char *value(struct line *l, char *p, struct member *m, unsigned depth)
{
	if (p == l->end)
		return wrong(l, p, NOT_JSON "a value is missing");
	switch (*p) {
	case '"':
		m->type = VALUE_STRING;
		return string(l, p + 1, &m->text, &m->text_len);
	case 'n':
		return word(l, p, "null", m, VALUE_NULL);
	case 't':
		return word(l, p, "true", m, VALUE_OTHER);
	case 'f':
		return word(l, p, "false", m, VALUE_OTHER);
	case '{':
	case '[':
		m->type = VALUE_NESTED;
		return nested(l, p, depth + 1);
	default:
		return number(l, p, m);
	}
}

/* "key": value, and the blanks around it. */
static inline char *member(struct line *l, char *p, struct member *m, unsigned depth)
{
	p = skip_blank(l, p);
	if (p == l->end || *p != '"')
		return wrong(l, p, NOT_JSON "a key in quotes is missing");
	p = string(l, p + 1, &m->key, &m->key_len);
	if (!p)
		return NULL;
	p = skip_blank(l, p);
	if (p == l->end || *p != ':')
		return wrong(l, p, NOT_JSON "':' is missing");
	p = value(l, skip_blank(l, p + 1), m, depth);
	return p ? skip_blank(l, p) : NULL;
}

static char *nested(struct line *l, char *p, unsigned depth)
{
	char close = *p == '{' ? '}' : ']';
	struct member skipped;

	if (depth > MAX_DEPTH)
		return wrong(l, p, "nested more than " TEXT_OF(MAX_DEPTH) " deep");
	p = skip_blank(l, p + 1);
	if (p < l->end && *p == close)
		return p + 1;
	for (;;) {
		p = close == '}' ? member(l, p, &skipped, depth) : value(l, skip_blank(l, p), &skipped, depth);
		if (!p)
			return NULL;
		p = skip_blank(l, p);
		if (p == l->end || (*p != ',' && *p != close))
			return wrong(l, p,
				     close == '}' ? NOT_JSON "',' or '}' is missing" : NOT_JSON "',' or ']' is missing");
		if (*p++ == close)
			return p;
	}
}

int line_parse(struct line *l, char *text, size_t len)
{
	char *p;

	l->n = 0;
	l->end = text + len;
	p = skip_blank(l, text);
	if (p == l->end || *p != '{') {
		wrong(l, p, "not a JSON object");
		return -1;
	}
	p = skip_blank(l, p + 1);
	if (p < l->end && *p == '}')
		p++;
	else
		for (;;) {
			if (l->n == LINE_MEMBERS) {
				wrong(l, p, "over " TEXT_OF(LINE_MEMBERS) " members: neither a header nor an event");
				return -1;
			}
			p = member(l, p, &l->member[l->n++], 0);
			if (!p)
				return -1;
			if (p == l->end || (*p != ',' && *p != '}')) {
				wrong(l, p, NOT_JSON "',' or '}' is missing");
				return -1;
			}
			if (*p++ == '}')
				break;
		}
	p = skip_blank(l, p);
	if (p < l->end)
		wrong(l, p, NOT_JSON "something follows the object");
	return p < l->end ? -1 : 0;
}
