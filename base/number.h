/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers as users and clients write them, on a command line or in a request: decimal or 0x hex; the whole text, and
 * without the signs, spaces and octal that strtoull() accepts. Sizes and counts may end in K, M or G: powers of 1024.
 * And sums of counts that a trace gives, which may be of any size.
 */
#ifndef IOFLUSH_BASE_NUMBER_H
#define IOFLUSH_BASE_NUMBER_H

#include <stdint.h>

/* 0; -1: it is not such a number, or not from min to max; *out is unchanged. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* A decimal number that may end in K, M or G. 0; -1: it is not one, or has more than 64 bits; *out is unchanged. */
int parse_size(const char *text, uint64_t *out);

/* a + b, or the largest number if that would wrap: a count that says "that or more", never none. */
static inline uint64_t number_sum(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* "256 MiB", or bytes if no unit divides it. Returns buf. */
#define SIZE_TEXT 32
const char *size_text(char buf[SIZE_TEXT], uint64_t bytes);

#endif
