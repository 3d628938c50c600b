/*
 * Interned strings: commands, devices, causes of loss. An event holds a small number in place of a string; number 0 is
 * "unknown". Numbers are given in order of first use, so the same trace gives the same numbers.
 *
 * One thread interns. Other threads may read any id that was handed to them through a lock: texts never move, and the
 * chunk table is never reallocated.
 */
#ifndef IOFLUSH_STRINGS_H
#define IOFLUSH_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "budget.h"

struct strings;

/* Within a budget (NULL: no bound), which must live as long. NULL: out of memory, or over the budget. */
struct strings *strings_new_within(struct budget *b);
struct strings *strings_new(void); /* without a bound */
void strings_free(struct strings *s);

/* The id of the len bytes at text, 0 if len is 0, or UINT32_MAX: strings_failure() says why. */
uint32_t strings_intern(struct strings *s, const char *text, size_t len);

/* The id of a text that is there, or 0. For the thread that interns. */
uint32_t strings_find(const struct strings *s, const char *text, size_t len);
/* Why the last string was not kept: over four million different ones, over the budget, or out of memory. */
const char *strings_failure(const struct strings *s);

/* The text of an id, owned by s, or NULL for 0 and for ids that were never given. */
const char *strings_get(const struct strings *s, uint32_t id);

/* How many ids were given, without 0: they are 1 to strings_count(). */
uint32_t strings_count(const struct strings *s);

#endif
