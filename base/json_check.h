/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks JSON before cJSON reads it, which accepts much that is not JSON: 01, 1., \u0000, bytes that are not UTF-8.
 * Only for json.c; json_read() in json.h says what is refused.
 */
#ifndef IOFLUSH_BASE_JSON_CHECK_H
#define IOFLUSH_BASE_JSON_CHECK_H

#include <stddef.h>

#include "base/error.h"

/*
 * A copy without blanks between the parts, malloc'ed; or NULL, and what is wrong where. If there is a mark, each number
 * in the copy is a string that begins with it. The mark is a byte that UTF-8 never has, so no other string begins so.
 */
char *json_check(const char *text, size_t len, char number_mark, struct error *e);

#endif
