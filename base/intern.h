/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interned strings: commands, devices, causes of loss. An event holds a small number instead of a string; 0 is
 * "unknown". Numbers are given in order of first use, so the same trace gives the same numbers.
 *
 * One thread interns. Other threads may read any id that they got through a lock: texts never move, and the table of
 * chunks is never reallocated.
 */
#ifndef IOFLUSH_BASE_INTERN_H
#define IOFLUSH_BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct intern;

/* Uses memory of the budget (NULL: no bound), which must outlive it. NULL: out of memory, or over the budget. */
struct intern *intern_new_within(struct budget *b);
struct intern *intern_new(void); /* without a bound */
void intern_free(struct intern *s);

/* The id of the len bytes at text, 0 if len is 0, or UINT32_MAX: intern_failure() says why. */
uint32_t intern_add(struct intern *s, const char *text, size_t len);

/* The text as it stays: "" for "" and NULL. NULL: intern_failure() says why. */
const char *intern_keep(struct intern *s, const char *text);

/* The id of a text that is there, or 0. For the thread that interns. */
uint32_t intern_find(const struct intern *s, const char *text, size_t len);
/* Why the last string was not kept: more than four million strings, over the budget, or out of memory. */
const char *intern_failure(const struct intern *s);

/* The text of an id, owned by s, or NULL for 0 and for ids that were never given. */
const char *intern_get(const struct intern *s, uint32_t id);

/* How many ids were given, without 0: they are 1 to intern_count(). */
uint32_t intern_count(const struct intern *s);

#endif
