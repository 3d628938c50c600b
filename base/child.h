/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program run for an answer: with limits on memory, processor, time and output, at low priority, its output in files
 * that have no name. Starting and polling never wait for it.
 */
#ifndef IOFLUSH_BASE_CHILD_H
#define IOFLUSH_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct child_limits {
	uint64_t memory;     /* bytes of address space */
	uint64_t timeout_ms; /* of time; processor time is bounded by the same */
	uint64_t output;     /* bytes of standard output */
};

struct child;

/* argv[0] is the path of the program. NULL and the error; what fails behind exec shows as a failed child. */
struct child *child_start(char *const argv[], const struct child_limits *limits, struct error *e);

/* Whether it has ended. Ends it when its time is over. */
bool child_poll(struct child *c);

/* After child_poll() said so: NULL, or why there is no good output. */
const char *child_failure(const struct child *c);
int child_status(const struct child *c); /* exit status, or -1 */

/* What it printed, malloc'ed, with a 0 byte behind; NULL: out of memory or unreadable. */
char *child_output(const struct child *c, size_t *len);

/* The share done that it said last, or -1. */
double child_progress(const struct child *c);

/* Kills it if it runs. NULL is fine. */
void child_free(struct child *c);

#endif
