/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known about a capture besides its events. The texts are in a table, so that code that copies, stores or
 * hashes them forgets none. Their order is that of the check sums of a database, and never changes.
 */
#ifndef IOFLUSH_TRACE_CAPTURE_H
#define IOFLUSH_TRACE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"

/* Strings belong to the source and are valid until the next capture; "" if unknown. */
struct capture {
	uint64_t id;	    /* its number in a database, else counted from 1 */
	const char *source; /* path it came from, "-" for standard input */
	const char *format; /* "trace.dat", "ftrace-text", "jsonl", "database", "generated" */
	const char *origin; /* of a "database": the format that it was imported from; else NULL */
	const char *host;
	const char *kernel;
	const char *clock;  /* as the kernel names it; "ticks": one without a unit, as text shows */
	const char *probes; /* the probe lines, separated by newlines */
	const char *state;  /* "complete", "partial", "recording" or "cut-off" (the recorder died) */
	const char *note;   /* why the capture is not complete */
	uint64_t events;    /* how many it has, if known in advance; else 0 */
};

/* source, format, host, kernel, clock, probes, state, note; not origin */
#define CAPTURE_TEXTS 8
extern const size_t capture_text_at[CAPTURE_TEXTS];

static inline const char **capture_text(struct capture *c, unsigned i)
{
	return (const char **)((char *)c + capture_text_at[i]);
}

static inline const char *capture_get(const struct capture *c, unsigned i)
{
	return *(const char *const *)((const char *)c + capture_text_at[i]);
}

/* A complete capture of which nothing more is known. */
void capture_init(struct capture *c, uint64_t id, const char *source, const char *format);

/* Whether the capture's times are not nanoseconds but ticks of unknown length, by its clock. */
bool capture_in_ticks(const struct capture *c);

/* Copies the texts of a capture into texts, "" for NULL. 0, or -1: intern_failure() says why. */
int capture_keep(struct capture *c, struct intern *texts);

#endif
