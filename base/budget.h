/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bound on memory. Everything that input may make large is taken from a budget and given back when it is freed, so
 * that a few bytes of input cannot cost gigabytes: beyond the limit an allocation fails with an error message. Each
 * file that is read has a budget (source.h), and so has the model.
 *
 * used is never above limit. It counts what malloc() takes for a block, and is updated when something grows, not per
 * event. A budget belongs to one thread. NULL is no bound, and costs nothing.
 */
#ifndef IOFLUSH_BASE_BUDGET_H
#define IOFLUSH_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define BUDGET_HASHED 16 /* added for each object in a uthash table: its share of the table */

struct budget {
	uint64_t limit, used; /* bytes */
	bool over;	      /* an allocation was refused */
	char refusal[256];    /* the message about that */
};

/* may: whose limit it is, as in "more than the 256 MiB of memory that MAY". */
void budget_init(struct budget *b, uint64_t limit, const char *may);

/* For memory that a library allocates. False: it is refused. */
bool budget_take(struct budget *b, uint64_t size);
void budget_give(struct budget *b, uint64_t size);

/* calloc(1, size), realloc() from the old size (0: p is NULL) and free(), within the budget. NULL: see budget_failure(). */
void *budget_alloc(struct budget *b, size_t size);
void *budget_resize(struct budget *b, void *p, size_t old, size_t size);
void budget_free(struct budget *b, void *p, size_t size);

/* Why an allocation failed: the limit is reached, or "out of memory". */
const char *budget_failure(const struct budget *b);

#endif
