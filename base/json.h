/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON documents: made, printed and read. Only json.c knows the library behind it.
 *
 * No integer ever becomes a double. A made one prints as decimal up to INT64_MAX, the limit of many JSON readers, and
 * above that as the string "0x...", as in JSON Lines. A read one stays the digits of the input.
 *
 * A value that is put into a document belongs to it. While a document is made, nothing has to be checked: a value
 * without memory is NULL, NULL may be put, and be put into, and an incomplete document is not printed: json_format()
 * and json_print() return an error. Functions that read accept NULL, and return NULL for what does not exist.
 */
#ifndef IOFLUSH_BASE_JSON_H
#define IOFLUSH_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct json; /* a value, with all that is in it */

/* ---- making ---- */

struct json *json_new_object(void);
struct json *json_new_array(void);
void json_free(struct json *v);

/*
 * Put into an object, under a key that it does not have yet, or at the end of an array (key NULL). Keys are copied and
 * keep their order. The first two return the new container, to be filled.
 */
struct json *json_put_object(struct json *into, const char *key);
struct json *json_put_array(struct json *into, const char *key);
void json_put(struct json *into, const char *key, struct json *v); /* takes v */
void json_put_null(struct json *into, const char *key);
void json_put_bool(struct json *into, const char *key, bool b);
void json_put_u64(struct json *into, const char *key, uint64_t n);
void json_put_known(struct json *into, const char *key, bool known, uint64_t n); /* else null */
void json_put_i64(struct json *into, const char *key, int64_t n);
void json_put_hex(struct json *into, const char *key, uint64_t n); /* "0x1f": an id, an address */

/* With 17 digits, so that it reads back unchanged; null if it is not a number. */
void json_put_real(struct json *into, const char *key, double x);

/* A string; null for NULL. If a text (a path, or of a trace) is not UTF-8, its non-ASCII bytes become '?'. */
void json_put_text(struct json *into, const char *key, const char *text);

/* A text from json_compact(), as a value. */
void json_put_compact(struct json *into, const char *key, const char *text);

/* ---- printing ---- */

#define JSON_TIGHT -1 /* no blanks */
#define JSON_LINE 0   /* one line, blanks after ':' and ',' */
/* above 0: one line per value, indented by that many blanks per level */

/* The text, malloc'ed; NULL: no memory, now or when the document was made. */
char *json_format(const struct json *v, int layout);

/* Prints it and a newline, and frees it. 0; -1: no memory. A failing write shows in ferror(). */
int json_print(FILE *out, struct json *v, int layout);

/* ---- reading ---- */

/*
 * Strict: one value in UTF-8, at most JSON_DEPTH deep, no key twice, no NUL even as \u0000, no number that is infinite
 * as a double. NULL and the error, with line and column.
 */
#define JSON_DEPTH 64
struct json *json_read(const char *text, size_t len, struct error *e);

/* Such a text (its keys are not checked) without blanks between its parts, malloc'ed; or NULL. */
char *json_compact(const char *text, size_t len, struct error *e);

bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_number(const struct json *v);
bool json_is_null(const struct json *v);

/* A member; the number of members or elements. */
struct json *json_get(const struct json *object, const char *key);
size_t json_count(const struct json *v);

/* Takes a member out of the object; the caller puts it elsewhere or frees it. */
struct json *json_take(struct json *object, const char *key);

/* for (v = json_first(all); v; v = json_next(v)); json_key(v) if all is an object */
struct json *json_first(const struct json *all);
struct json *json_next(const struct json *v);
const char *json_key(const struct json *v);

/* A string; a number as it was written. NULL: it is not one. */
const char *json_get_text(const struct json *v);
const char *json_get_digits(const struct json *v);

/* An integer, or a string with one in decimal or 0x hex. 0; -1: it is neither, or not from 0 to UINT64_MAX. */
int json_get_u64(const struct json *v, uint64_t *out);

#endif
