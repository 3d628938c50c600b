/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that is run for its output: with limits on memory, processor time, time and output size, at low priority,
 * its output in files without names. Starting and polling never wait for it.
 */
#ifndef IOFLUSH_BASE_CHILD_H
#define IOFLUSH_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct child_limits {
	uint64_t memory;     /* bytes of address space */
	uint64_t timeout_ms; /* limit of time, and of processor time */
	uint64_t output;     /* bytes of standard output */
};

struct child;

/* argv[0] is the path of the program. NULL and the error. If exec fails, the child ends as failed. */
struct child *child_start(char *const argv[], const struct child_limits *limits, struct error *e);

/* Whether it has ended. Kills it when its time is over. */
bool child_poll(struct child *c);

/* After child_poll() returned true: NULL, or why there is no good output. */
const char *child_failure(const struct child *c);
int child_status(const struct child *c); /* exit status, or -1 */

/* What it printed, malloc'ed, with a 0 byte at the end; NULL: out of memory or unreadable. */
char *child_output(const struct child *c, size_t *len);

/* The last share of progress that it printed, or -1. */
double child_progress(const struct child *c);

/* Kills it if it runs. NULL is allowed. */
void child_free(struct child *c);

#endif
