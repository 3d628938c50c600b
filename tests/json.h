/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests ask of JSON, beside base/json.h. */
#ifndef IOFLUSH_TESTS_JSON_H
#define IOFLUSH_TESTS_JSON_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* The element of an array, or NULL. */
static inline struct json *json_at(const struct json *array, size_t i)
{
	struct json *v = json_is_array(array) ? json_first(array) : NULL;

	while (v && i--)
		v = json_next(v);
	return v;
}

static inline bool json_prints_as(const struct json *v, const char *want)
{
	char *text = v ? json_format(v, JSON_TIGHT) : NULL;
	bool same = text && !strcmp(text, want);

	free(text);
	return same;
}

static inline bool json_is_true(const struct json *v)
{
	return json_prints_as(v, "true");
}

static inline bool json_is_bool(const struct json *v)
{
	return json_is_true(v) || json_prints_as(v, "false");
}

#endif
