/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the events of a database call by number: rows of string and task. Each is looked up when an event first asks for
 * it, and kept, so that a database with millions of names costs no more than what is read of it.
 *
 * What no event refers to is not looked at. Private to the store's source; belongs to one thread.
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
	uint64_t sum; /* sum_text() or sum_task() of what it holds */
	uint32_t own; /* in strings: the text, or the task's comm */
	uint32_t tid; /* of a task */
};

/* All that is given must live as long; path is for messages. NULL and the error: out of memory, or over the budget. */
struct store_names *store_names_new(sqlite3 *db, const char *path, struct db_guard *guard, struct intern *strings,
				    struct budget *budget, struct error *e);
void store_names_free(struct store_names *n);

/* 1 and *row, which the next call may move; 0: there is none of this id; -1 and the error. */
int store_names_string(struct store_names *n, int64_t id, const struct name_row **row, struct error *e);
int store_names_task(struct store_names *n, int64_t id, const struct name_row **row, struct error *e);

#endif
