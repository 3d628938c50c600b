/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a capture beside its events. Its texts are in a table, so that whoever copies, keeps, stores or sums
 * them up forgets none; the order is that of the check sums of a database, and does not change.
 */
#ifndef IOFLUSH_TRACE_CAPTURE_H
#define IOFLUSH_TRACE_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"

/* Strings are the source's, until the next capture; "" where unknown. */
struct capture {
	uint64_t id;	    /* its number in a database, else counted from 1 */
	const char *source; /* path it came from, "-" for standard input */
	const char *format; /* "trace.dat", "ftrace-text", "jsonl", "database", "generated" */
	const char *origin; /* of a "database": the format that it was imported from; else NULL */
	const char *host;
	const char *kernel;
	const char *clock;
	const char *probes; /* the probe lines, newline separated */
	const char *state;  /* "complete", "partial", "recording" or "cut-off" (the recorder died) */
	const char *note;   /* why it is not complete */
	uint64_t events;    /* how many it has, where that is known beforehand; else 0 */
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

/* A complete one of which no more is known than this. */
void capture_init(struct capture *c, uint64_t id, const char *source, const char *format);

/* Has its texts, "" for NULL, kept by texts. 0, or -1: intern_failure() says why. */
int capture_keep(struct capture *c, struct intern *texts);

#endif
