/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON documents: made, printed and read. Only json.c knows the library behind it.
 *
 * No whole number ever becomes a double. One that is made prints as decimal up to INT64_MAX, where all JSON readers can
 * follow, and above as the string "0x...", as in JSON Lines. One that is read stays the digits that were there.
 *
 * What is put into a document belongs to it. Nothing has to be checked while it is made: a value that there was no memory
 * for is NULL, NULL may be put and put into, and a document that lacks something is not printed; json_format() and
 * json_print() say so then. What a document reads from is NULL for what is not there, and all that reads takes NULL.
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
 * Into an object under a key that it does not have yet, or at the end of an array, where key is NULL. Keys are copied, and
 * stay in the order in which they came. The first two return what is now in there, to be filled.
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

/* With 17 digits, so that it reads back as the same; null if it is no number. */
void json_put_real(struct json *into, const char *key, double x);

/* A string; null for NULL. JSON is UTF-8, a path or text of a trace anything: if it is not, '?' for what is not ASCII. */
void json_put_text(struct json *into, const char *key, const char *text);

/* A text that json_compact() made, as the value that it is. */
void json_put_compact(struct json *into, const char *key, const char *text);

/* ---- printing ---- */

#define JSON_TIGHT -1 /* no blanks at all */
#define JSON_LINE 0   /* one line, blanks behind ':' and ',' */
/* and above 0: a line a value, indented by so many blanks a level */

/* The text, malloc'ed; NULL: no memory, now or when it was made. */
char *json_format(const struct json *v, int layout);

/* Prints it and a newline, and frees it. 0; -1: no memory. A failing write shows in ferror(). */
int json_print(FILE *out, struct json *v, int layout);

/* ---- reading ---- */

/*
 * Strict: one value of UTF-8, at most JSON_DEPTH deep, no key twice, no NUL even as \u0000, no number beyond what a double
 * can tell from infinity. NULL, and what is wrong with its line and column.
 */
#define JSON_DEPTH 64
struct json *json_read(const char *text, size_t len, struct error *e);

/* Such a text (but keys are not looked at) without blanks between its parts, malloc'ed; or NULL. */
char *json_compact(const char *text, size_t len, struct error *e);

bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_number(const struct json *v);
bool json_is_null(const struct json *v);

/* A member; how many there are, or elements. */
struct json *json_get(const struct json *object, const char *key);
size_t json_count(const struct json *v);

/* A member, out of the object: the caller's to put elsewhere or to free. */
struct json *json_take(struct json *object, const char *key);

/* for (v = json_first(all); v; v = json_next(v)), with its key if all is an object */
struct json *json_first(const struct json *all);
struct json *json_next(const struct json *v);
const char *json_key(const struct json *v);

/* A string; a number as it was written. NULL: it is none. */
const char *json_get_text(const struct json *v);
const char *json_get_digits(const struct json *v);

/* A whole number, or a string with one in decimal or 0x hex. 0; -1: it is neither, or not from 0 to UINT64_MAX. */
int json_get_u64(const struct json *v, uint64_t *out);

#endif
