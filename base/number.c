/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See number.h. */
#include "base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned long long n;

	if (!*digits || strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return -1;
	errno = 0;
	n = strtoull(digits, NULL, hex ? 16 : 10);
	if (errno || n < min || n > max)
		return -1;
	*out = n;
	return 0;
}

int parse_size(const char *text, uint64_t *out)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	unsigned shift = 0;
	char *end;
	uint64_t n;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -1;
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return -1;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (n > UINT64_MAX >> shift)
		return -1;
	*out = n << shift;
	return 0;
}

const char *size_text(char buf[SIZE_TEXT], uint64_t bytes)
{
	static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB"};
	size_t i = 0;

	while (i < sizeof(unit) / sizeof(unit[0]) - 1 && bytes && !(bytes % 1024)) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, SIZE_TEXT, "%" PRIu64 " %s", bytes, unit[i]);
	return buf;
}
