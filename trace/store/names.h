/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of string and task that events of a database refer to by number. Each is fetched when an event first needs
 * it, and kept, so a database with millions of names costs no more than what is read of it. Rows without a reference
 * are never read. Private to the store's source; belongs to one thread.
 */
#ifndef IOFLUSH_TRACE_STORE_NAMES_H
#define IOFLUSH_TRACE_STORE_NAMES_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/intern.h"
#include "trace/store/open.h"

struct store_names;

struct name_row {
	int64_t id;   /* above 0 */
	uint64_t sum; /* its sum_text() or sum_task() */
	uint32_t own; /* in strings: the text, or the task's comm */
	uint32_t tid; /* of a task */
};

/* All arguments must outlive it; path is for messages. NULL and the error: out of memory, or over the budget. */
struct store_names *store_names_new(sqlite3 *db, const char *path, struct db_guard *guard, struct intern *strings,
				    struct budget *budget, struct error *e);
void store_names_free(struct store_names *n);

/* 1 and *row, which the next call may move; 0: there is no such id; -1 and the error. */
int store_names_string(struct store_names *n, int64_t id, const struct name_row **row, struct error *e);
int store_names_task(struct store_names *n, int64_t id, const struct name_row **row, struct error *e);

#endif
