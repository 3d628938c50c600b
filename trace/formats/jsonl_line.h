/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of JSON Lines (jsonl.h), in two steps: the text is split into its members (jsonl_line.c), and these become
 * an event (jsonl_event.c). Only the source knows the file and the line number (jsonl_read.c), and adds them to errors.
 */
#ifndef IOFLUSH_TRACE_FORMATS_JSONL_LINE_H
#define IOFLUSH_TRACE_FORMATS_JSONL_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"
#include "trace/source.h"

#define LINE_MEMBERS 64 /* t, cpu, tid, comm, e, rc and the fields of the widest event are fewer, as are a header's */

enum value_type {
	VALUE_NULL,
	VALUE_NUMBER, /* an integer */
	VALUE_STRING,
	VALUE_NESTED, /* an object or array: it was JSON, and is not kept */
	VALUE_OTHER   /* true, false, or a number with a fraction or exponent */
};

struct member {
	const char *key, *text; /* not terminated */
	size_t key_len, text_len;
	uint64_t number; /* two's complement if negative */
	enum value_type type;
	bool negative;
};

struct line {
	struct member member[LINE_MEMBERS];
	unsigned n;
	const char *end;
	const char *wrong; /* what is wrong */
	const char *at;	   /* where it is wrong */
};

/*
 * Splits a line, strictly by JSON. Keys and texts point into it; escapes are resolved in place. Keys may be repeated.
 * 0, or -1: see wrong and at.
 */
int line_parse(struct line *l, char *text, size_t len);

/*
 * The event of the line. 1, 0: a failed call, which is not an event and is counted in d, or -1 and why, without the
 * place.
 */
int line_event(const struct line *l, struct event *ev, struct intern *strings, struct dropped *d, struct error *why);

static inline bool member_is(const struct member *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->key_len; i++)
		if (name[i] != m->key[i]) /* differs at the NUL at the latest */
			return false;
	return !name[i];
}

/* The first member of that name, or NULL. */
static inline const struct member *line_find(const struct line *l, const char *name)
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		if (member_is(&l->member[i], name))
			return &l->member[i];
	return NULL;
}

#endif
