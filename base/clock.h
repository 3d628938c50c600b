/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks, in nanoseconds unless the name has another unit; without a name it is the monotonic one. How long ago something was is asked with clock_since()
 * and never by a subtraction of two times: of these one may have been taken before the other, and the difference would
 * wrap to centuries.
 */
#ifndef IOFLUSH_BASE_CLOCK_H
#define IOFLUSH_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_of(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_ns(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

static inline uint64_t clock_ms(void)
{
	return clock_ns() / 1000000u;
}

static inline uint64_t clock_s(void)
{
	return clock_ns() / 1000000000u;
}

/* From then until now; 0 if then is yet to come. */
static inline uint64_t clock_since(uint64_t then)
{
	uint64_t now = clock_ns();

	return now > then ? now - then : 0;
}

#endif
