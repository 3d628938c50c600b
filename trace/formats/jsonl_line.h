/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of JSON Lines (jsonl.h), in two steps: the text is cut up into its members (jsonl_line.c), and of these an
 * event is made (jsonl_event.c). Which file and line it is, only the source knows (jsonl_read.c), and says so.
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
	VALUE_NUMBER, /* a whole one */
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
	const char *wrong; /* what is wrong with it, */
	const char *at;	   /* and where */
};

/*
 * Cuts a line up, strictly by JSON. Keys and texts lie in it from then on, their escapes resolved in place. Keys may be
 * doubled. 0, or -1: see wrong and at.
 */
int line_parse(struct line *l, char *text, size_t len);

/*
 * The event that the line is. 1, 0: a call that failed, which is no event and counts in d, or -1 and why, without the
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
