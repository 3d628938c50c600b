/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks, in nanoseconds unless the name has another unit, and monotonic unless the name has another clock. To ask how
 * long ago something was, use clock_since(), never a subtraction: if the times were taken in the other order, the
 * difference would wrap to centuries.
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

/* The time since then; 0 if then is in the future. */
static inline uint64_t clock_since(uint64_t then)
{
	uint64_t now = clock_ns();

	return now > then ? now - then : 0;
}

#endif
