/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Splits one line of ftrace text (ftext.c), from p to before end. Only the source knows which event it makes, and
 * whether a mistake matters. Functions that return "what follows" return NULL for something else.
 */
#ifndef IOFLUSH_TRACE_FORMATS_FTEXT_LINE_H
#define IOFLUSH_TRACE_FORMATS_FTEXT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "trace/decoder/decoder.h"

/* Where the fixed columns of a line end. */
struct ftext_columns {
	const char *comm;
	size_t comm_len;
	uint32_t tid, cpu;
	uint64_t t;
	bool ticks;	   /* the time has no decimals: the clock does not count in seconds */
	const char *group; /* "GROUP:NAME:" as some tools print it */
	size_t group_len;  /* 0: none */
	const char *name;
	size_t name_len; /* 0: what stands there is no event */
	const char *args;
};

/* A value that could not be read: remembered, as it matters only if the record is ours. */
struct ftext_bad {
	int field;
	const char *p, *end, *why;
};

static inline bool ftext_is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

static inline const char *ftext_skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* A decimal number: what follows it, or NULL: there is none, or it is above max. */
const char *ftext_decimal(const char *p, const char *end, uint64_t max, uint64_t *out);

bool ftext_begins(const char *p, const char *end, const char *with);

/* Splits a line. 0, or -1: it is not the line of an event. */
int ftext_columns(const char *line, const char *end, struct ftext_columns *col);

/*
 * The function of a probe, from its place: "(FUNCTION+0x4/0x320)", or "(CALLER+0x1c1/0x270 <- FUNCTION)" at a return. NULL: what
 * begins at p is no place.
 */
const char *ftext_function(const char *p, const char *end, size_t *len);

/* Whether the function is not named: "ffffffff81422754", as trace-cmd shows places. */
bool ftext_is_address(const char *p, size_t len);

/* "##### CPU 1 buffer started ####". Whether the line is one. */
bool ftext_buffer_started(const char *p, const char *end, uint32_t *cpu);

/* Reads all "NAME=VALUE" of a line that the kind has. NULL, or what is wrong with the line. */
const char *ftext_fields(struct intern *strings, const char *p, const char *end, struct raw_record *raw,
			 struct ftext_bad *bad);

/* "CPU:1 [LOST 123 EVENTS]", "[LOST EVENTS]", "[EVENTS DROPPED]", "[123 EVENTS DROPPED]". Whether the line is one. */
bool ftext_loss(const char *p, const char *end, uint32_t *cpu, uint64_t *count);

#endif
