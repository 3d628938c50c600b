/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A position in binary metadata that moves forward, through a window of a file or over bytes in memory. Nothing is read
 * before it is known to exist, so a wrong length in the metadata does no harm.
 *
 * Offsets are bytes in the file. A cursor over memory keeps the offset in the file that its bytes have, or come from,
 * for messages. An error names the path, what is being read and the offset, and goes to e. Functions that return int
 * give 0, or -1 and the error; those that return a pointer give NULL and the error.
 */
#ifndef IOFLUSH_TRACE_FORMATS_CURSOR_H
#define IOFLUSH_TRACE_FORMATS_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/error.h"

struct cursor {
	int fd;	       /* borrowed; -1: all is in buf */
	uint64_t base; /* offset of buf[0] */
	uint64_t end;  /* offset of the end of what may be read */
	uint8_t *buf;  /* owned if fd is not -1, or after cursor_unpacked() */
	size_t pos, len, cap;
	struct budget *budget; /* that an owned buf is taken from */
	bool bigendian;
	const char *path, *what; /* for messages; what may be set at any time */
	struct error *e;
};

/* Frees the window of a cursor in a file, or what cursor_unpacked() gave it. Not for one of cursor_over(). */
void cursor_free(struct cursor *c);

/* Sets an error with the place. Always -1. */
int cursor_error(const struct cursor *c, const char *what);

/* Sets the error that the budget did not give memory. Always -1. */
int cursor_no_memory(const struct cursor *c);

/* Sets the error that the input ends before what should be here. Always -1. */
int cursor_cut(const struct cursor *c);

uint64_t cursor_offset(const struct cursor *c);

/* Makes n bytes at the position available without moving it. They are valid until the cursor is used again. */
const uint8_t *cursor_need(struct cursor *c, size_t n);

/* The same, and moves behind them. */
const uint8_t *cursor_take(struct cursor *c, size_t n);

int cursor_skip(struct cursor *c, uint64_t n);

/* A number of size bytes, at most 8, in the cursor's byte order. */
int cursor_number(struct cursor *c, unsigned size, uint64_t *out);
int cursor_u32(struct cursor *c, uint32_t *out);

/* A string that ends with NUL, at most max bytes long: valid until the cursor is used again. */
const char *cursor_string(struct cursor *c, size_t max);

/*
 * A copy of len bytes as a string, up to the first NUL if there is one. Of len + 1 bytes of the budget, which
 * budget_free() gives back.
 */
char *cursor_text(struct cursor *c, size_t len);

/* Moves behind the given bytes, which must be there. */
int cursor_expect(struct cursor *c, const char *bytes, size_t len);

/* A cursor over the next len bytes, valid until c is used again; c moves behind them. */
int cursor_over(struct cursor *c, size_t len, struct cursor *out);

/* Turns c into a cursor over len bytes of its budget, which it then owns, with the offset where they came from. */
void cursor_unpacked(struct cursor *c, uint8_t *bytes, size_t len, uint64_t offset);

/* A number of size bytes, at most 8, at p. */
uint64_t number_at(const uint8_t *p, unsigned size, bool bigendian);

/* Reads len bytes at an offset of a file. Returns how many (fewer only at its end), or -1 and the error. */
ssize_t read_at(int fd, const char *path, void *buf, size_t len, uint64_t offset, struct error *e);

#endif
