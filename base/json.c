/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON documents by cJSON; see json.h. This file adds what cJSON is too lax about. A value is a cJSON node, but an
 * integer is raw text, as cJSON keeps numbers as doubles.
 *
 * Input goes through json_check.c first. In the copy that cJSON gets from it, numbers are strings with a mark.
 *
 * A container that lost one of its values has BROKEN in valueint, which cJSON does not use there.
 */
#include "base/json.h"

#include <cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_check.h"
#include "base/number.h"
#include "base/text.h"

#define BROKEN 1
#define NUMBER_MARK '\xff'
#define REAL_TEXT 32

/* The node of a value, and back: a struct json is just a cJSON node. */
static cJSON *node(const struct json *v)
{
	return (cJSON *)(uintptr_t)v;
}

static struct json *value(cJSON *n)
{
	return (struct json *)n;
}

/* ---- making ---- */

struct json *json_new_object(void)
{
	return value(cJSON_CreateObject());
}

struct json *json_new_array(void)
{
	return value(cJSON_CreateArray());
}

void json_free(struct json *v)
{
	cJSON_Delete(node(v));
}

static bool is_utf8(const char *text)
{
	size_t left = strlen(text), len;

	for (; left; text += len, left -= len) {
		len = text_utf8_len(text, left);
		if (!len)
			return false;
	}
	return true;
}

static void put_node(struct json *into, const char *key, cJSON *n)
{
	cJSON *to = node(into);

	if (to && n && (key ? cJSON_AddItemToObject(to, key, n) : cJSON_AddItemToArray(to, n)))
		return;
	cJSON_Delete(n);
	if (to)
		to->valueint = BROKEN;
}

void json_put(struct json *into, const char *key, struct json *v)
{
	put_node(into, key, node(v));
}

/* The container just put into into; NULL if that failed: what is put into it is lost, but into is marked broken. */
static struct json *put_container(struct json *into, const char *key, cJSON *n)
{
	put_node(into, key, n);
	return into && node(into)->valueint != BROKEN ? value(n) : NULL;
}

struct json *json_put_object(struct json *into, const char *key)
{
	return put_container(into, key, cJSON_CreateObject());
}

struct json *json_put_array(struct json *into, const char *key)
{
	return put_container(into, key, cJSON_CreateArray());
}

void json_put_null(struct json *into, const char *key)
{
	put_node(into, key, cJSON_CreateNull());
}

void json_put_bool(struct json *into, const char *key, bool b)
{
	put_node(into, key, cJSON_CreateBool(b));
}

void json_put_u64(struct json *into, const char *key, uint64_t n)
{
	char text[24];

	if (n > INT64_MAX) {
		json_put_hex(into, key, n);
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu64, n);
	put_node(into, key, cJSON_CreateRaw(text));
}

void json_put_known(struct json *into, const char *key, bool known, uint64_t n)
{
	if (known)
		json_put_u64(into, key, n);
	else
		json_put_null(into, key);
}

void json_put_i64(struct json *into, const char *key, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	put_node(into, key, cJSON_CreateRaw(text));
}

void json_put_hex(struct json *into, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, n);
	put_node(into, key, cJSON_CreateString(text));
}

/* "1e20", not "1e+20", and "2.0", not "2" */
static void real_text(char text[REAL_TEXT], double x)
{
	char *exponent, *digits;

	snprintf(text, REAL_TEXT, "%.17g", x);
	exponent = strchr(text, 'e');
	if (!exponent) {
		if (!strchr(text, '.'))
			strcat(text, ".0");
		return;
	}
	exponent += 1 + (exponent[1] == '-');
	digits = exponent + strspn(exponent, "+0");
	memmove(exponent, digits, strlen(digits) + 1);
}

void json_put_real(struct json *into, const char *key, double x)
{
	char text[REAL_TEXT];

	if (!isfinite(x)) {
		json_put_null(into, key);
		return;
	}
	real_text(text, x);
	put_node(into, key, cJSON_CreateRaw(text));
}

void json_put_text(struct json *into, const char *key, const char *text)
{
	cJSON *n = text ? cJSON_CreateString(text) : cJSON_CreateNull();

	if (text && n && !is_utf8(text)) {
		for (char *p = n->valuestring; *p; p++)
			if (*p & 0x80)
				*p = '?';
	}
	put_node(into, key, n);
}

void json_put_compact(struct json *into, const char *key, const char *text)
{
	put_node(into, key, cJSON_CreateRaw(text));
}

/* ---- printing ---- */

/* Whether a value is missing that was put there. */
static bool is_broken(const cJSON *n)
{
	if (!n || ((n->type & (cJSON_Object | cJSON_Array)) && n->valueint == BROKEN))
		return true;
	for (const cJSON *c = n->child; c; c = c->next)
		if (is_broken(c))
			return true;
	return false;
}

/* Writes a string with its quotes; returns its last byte. The digits of \u00.. are upper case. */
static const char *put_string(FILE *out, const char *p)
{
	putc_unlocked(*p++, out);
	for (; *p != '"'; p++) {
		putc_unlocked(*p, out);
		if (*p != '\\')
			continue;
		putc_unlocked(*++p, out);
		for (int i = 0; *p == 'u' && i < 4; i++)
			putc_unlocked(p[i + 1] >= 'a' ? p[i + 1] - 'a' + 'A' : p[i + 1], out);
		p += *p == 'u' ? 4 : 0;
	}
	putc_unlocked(*p, out);
	return p;
}

static void new_line(FILE *out, int layout, int depth)
{
	if (layout > 0)
		fprintf(out, "\n%*s", layout * depth, "");
}

/* Prints JSON that has no blanks, laid out. */
static void lay_out(FILE *out, const char *p, int layout)
{
	int depth = 0;

	for (; *p; p++) {
		if (*p == '"') {
			p = put_string(out, p);
			continue;
		}
		if (*p == '}' || *p == ']')
			new_line(out, layout, --depth);
		putc_unlocked(*p, out);
		if ((*p == '{' || *p == '[') && (p[1] == '}' || p[1] == ']'))
			putc_unlocked(*++p, out);
		else if (*p == '{' || *p == '[')
			new_line(out, layout, ++depth);
		else if (*p == ',')
			new_line(out, layout, depth);
		if ((*p == ':' && layout >= JSON_LINE) || (*p == ',' && layout == JSON_LINE))
			putc_unlocked(' ', out);
	}
}

static int print(FILE *out, const struct json *v, int layout)
{
	char *text = is_broken(node(v)) ? NULL : cJSON_PrintUnformatted(node(v));

	if (!text)
		return -1;
	lay_out(out, text, layout);
	cJSON_free(text);
	return 0;
}

int json_print(FILE *out, struct json *v, int layout)
{
	int err = print(out, v, layout);

	json_free(v);
	fputc('\n', out);
	return err;
}

char *json_format(const struct json *v, int layout)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int err = out ? print(out, v, layout) : -1;

	if (out && ferror(out))
		err = -1;
	if (out && fclose(out))
		err = -1;
	if (err) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- reading ---- */

char *json_compact(const char *text, size_t len, struct error *e)
{
	return json_check(text, len, 0, e);
}

static int by_key(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;

	return strcmp((*x)->string, (*y)->string);
}

/* 0, or -1: a key occurs twice. */
static int check_keys(const cJSON *object, struct error *e)
{
	size_t n = json_count((const struct json *)object), i = 0;
	const cJSON **member = n > 1 ? malloc(n * sizeof(*member)) : NULL;
	int err = 0;

	if (n < 2)
		return 0;
	if (!member)
		return error_set(e, "out of memory");
	for (const cJSON *c = object->child; c; c = c->next)
		member[i++] = c;
	qsort(member, n, sizeof(*member), by_key);
	for (i = 1; i < n && !err; i++)
		if (!by_key(&member[i - 1], &member[i]))
			err = error_set(e, "the key \"%s\" is there twice",
					error_quote(member[i]->string, strlen(member[i]->string)).text);
	free(member);
	return err;
}

/* Turns the marked strings into numbers again, and checks that no key occurs twice. 0 or -1. */
static int settle(cJSON *n, struct error *e)
{
	if (cJSON_IsString(n) && n->valuestring[0] == NUMBER_MARK) {
		n->type = cJSON_Raw;
		memmove(n->valuestring, n->valuestring + 1, strlen(n->valuestring));
	}
	for (cJSON *c = n->child; c; c = c->next)
		if (settle(c, e))
			return -1;
	return cJSON_IsObject(n) ? check_keys(n, e) : 0;
}

struct json *json_read(const char *text, size_t len, struct error *e)
{
	char *text_copy = json_check(text, len, NUMBER_MARK, e);
	cJSON *n = text_copy ? cJSON_Parse(text_copy) : NULL;

	if (text_copy && !n)
		error_set(e, "out of memory");
	free(text_copy);
	if (n && settle(n, e)) {
		cJSON_Delete(n);
		return NULL;
	}
	return value(n);
}

bool json_is_object(const struct json *v)
{
	return cJSON_IsObject(node(v));
}

bool json_is_array(const struct json *v)
{
	return cJSON_IsArray(node(v));
}

bool json_is_string(const struct json *v)
{
	return cJSON_IsString(node(v));
}

bool json_is_number(const struct json *v)
{
	return cJSON_IsRaw(node(v));
}

bool json_is_null(const struct json *v)
{
	return cJSON_IsNull(node(v));
}

struct json *json_get(const struct json *object, const char *key)
{
	return json_is_object(object) ? value(cJSON_GetObjectItemCaseSensitive(node(object), key)) : NULL;
}

size_t json_count(const struct json *v)
{
	size_t n = 0;

	for (const struct json *c = json_first(v); c; c = json_next(c))
		n++;
	return n;
}

struct json *json_take(struct json *object, const char *key)
{
	return value(cJSON_DetachItemViaPointer(node(object), node(json_get(object, key))));
}

struct json *json_first(const struct json *all)
{
	return all ? value(node(all)->child) : NULL;
}

struct json *json_next(const struct json *v)
{
	return value(node(v)->next);
}

const char *json_key(const struct json *v)
{
	return v ? node(v)->string : NULL;
}

const char *json_get_text(const struct json *v)
{
	return json_is_string(v) ? node(v)->valuestring : NULL;
}

const char *json_get_digits(const struct json *v)
{
	return json_is_number(v) ? node(v)->valuestring : NULL;
}

int json_get_u64(const struct json *v, uint64_t *out)
{
	const char *text = json_is_number(v) ? json_get_digits(v) : json_get_text(v);

	return text ? parse_u64(text, 0, UINT64_MAX, out) : -1;
}
