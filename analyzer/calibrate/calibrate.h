/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What flushing a 4 KiB page costs on this CPU, in ticks of its time stamp counter (TSC). Ticks are not core cycles:
 * the TSC runs at a constant rate, so ticks and that rate together give true times.
 */
#ifndef IOFLUSH_ANALYZER_CALIBRATE_CALIBRATE_H
#define IOFLUSH_ANALYZER_CALIBRATE_CALIBRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum flush_instruction { FLUSH_CLFLUSH, FLUSH_CLFLUSHOPT, FLUSH_CLWB, FLUSH_INSTRUCTIONS };
enum line_state { LINES_DIRTY, LINES_CLEAN, LINE_STATES };

extern const char *const flush_instruction_names[FLUSH_INSTRUCTIONS]; /* "clflush", "clflushopt", "clwb" */
extern const char *const line_state_names[LINE_STATES];		      /* "dirty", "clean" */

#define CALIBRATE_PAGES 64 /* pages measured in a round, one after the other */
#define CALIBRATE_MAX_ROUNDS 100000

struct calibrate_options {
	int cpu;	 /* -1: the one that we are on */
	uint32_t rounds; /* 1 to CALIBRATE_MAX_ROUNDS */
};

/* Ticks per page: all its lines and the fences, minus the cost of measuring. min <= q1 <= ... <= max. */
struct calibrate_figures {
	uint64_t min, q1, median, q3, max;
};

struct calibrate_result {
	int cpu;
	char model[49];
	unsigned line_bytes;
	bool hypervisor;    /* this is a virtual machine */
	bool tsc_invariant; /* the CPU says that its TSC always runs at one rate */
	uint64_t tsc_khz;   /* measured against CLOCK_MONOTONIC_RAW */
	uint64_t overhead;  /* ticks that an empty measurement takes; subtracted */
	uint64_t samples;   /* of each figure */
	bool present[FLUSH_INSTRUCTIONS];
	struct calibrate_figures pages[FLUSH_INSTRUCTIONS][LINE_STATES]; /* of those present */
	enum flush_instruction use; /* what the kernel would use: clflushopt, else clflush */
};

/*
 * Measures for part of a second, pinned to one CPU; then restores the thread's affinity. 0, or -1 and the error: no x86
 * CPU, no clflush, no such CPU, no memory.
 */
int calibrate_run(struct calibrate_result *out, const struct calibrate_options *o, struct error *e);

/* Whether the middle half of the samples spreads over more than a quarter of the median. */
bool calibrate_noisy(const struct calibrate_figures *f);

/* The values for ioflush replay: ticks a page (dirty lines), and the TSC's rate in MHz. Both at least 1. */
uint64_t calibrate_cycles_per_page(const struct calibrate_result *r);
uint64_t calibrate_mhz(const struct calibrate_result *r);

#endif
