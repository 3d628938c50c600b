/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of reading JSON before cJSON, which takes much that is none: 01, 1., \u0000, bytes that are no UTF-8. For json.c
 * alone; what is refused is said in json.h, at json_read().
 */
#ifndef IOFLUSH_BASE_JSON_CHECK_H
#define IOFLUSH_BASE_JSON_CHECK_H

#include <stddef.h>

#include "base/error.h"

/*
 * A copy without blanks between the parts, malloc'ed; or NULL, and what is wrong where. With a mark, each number is a string
 * there that begins with it: a byte that no UTF-8 has, so that no other string does.
 */
char *json_check(const char *text, size_t len, char number_mark, struct error *e);

#endif
