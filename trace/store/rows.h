/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What writing (write.c) and reading (read.c) share: SQLite's errors, statements, the rows of captures, and the check
 * sums. open.h makes the connections. Private to the store.
 *
 * Check sums: SQLite has none, so a flipped bit in an integer column would silently give a wrong number. So each
 * capture has a sum: of the texts and numbers of its row, plus one hash for each event. It is a plain sum modulo 2^64,
 * so events may be added, and later deleted, in portions of any size. A hash covers the meaning, not the storage: texts
 * instead of their numbers.
 */
#ifndef IOFLUSH_TRACE_STORE_ROWS_H
#define IOFLUSH_TRACE_STORE_ROWS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"
#include "trace/source.h"
#include "trace/store/open.h"

/* A capture's row. Its texts belong to the table they were read into. */
struct capture_row {
	struct capture c;
	uint64_t first_t, last_t;
	uint64_t first_event, last_event; /* 0: it has no events */
	uint64_t events;
	struct dropped dropped;
	uint64_t sum;	  /* of the row and all events */
	uint64_t unnamed; /* while writing: events stored without their name; not a column */
};

/* Sets "PATH: WHAT: why", with what to do about it. Returns -1. */
int db_error(sqlite3 *db, const char *path, const char *what, struct error *e);

/* The same for a log that needs the right to write. */
int db_error_log(const char *path, const char *what, struct error *e);

/* Runs SQL without results. what is for the message. */
int db_exec(sqlite3 *db, const char *path, const char *sql, const char *what, struct error *e);

/* Prepares a statement, or NULL and the error. */
sqlite3_stmt *db_prepare(sqlite3 *db, const char *path, const char *sql, struct error *e);

/* The first column of the first row of a query (0 if NULL or no row). 0, or -1 and the error. */
int db_number(sqlite3 *db, const char *path, const char *sql, int64_t *out, struct error *e);

/* Reads all capture rows in order of id, within a budget. Texts go to texts; *rows is malloc'ed, NULL if there are none. */
int db_load_captures(sqlite3 *db, const char *path, struct intern *texts, struct capture_row **rows, size_t *n,
		     struct budget *b, struct error *e);

/* Reads one. 1, 0: there is none of this id, or -1 and the error. */
int db_load_capture(sqlite3 *db, const char *path, struct intern *texts, uint64_t id, struct capture_row *row,
		    struct error *e);

/*
 * Writes the part of a capture's row that changes while it grows or is trimmed; sum: of its events only. *stmt belongs
 * to the caller and is made at the first use.
 */
int db_update_capture(sqlite3 *db, const char *path, sqlite3_stmt **stmt, const struct capture_row *r, struct error *e);

struct store;

/* The connection of a store, for what a recorder does besides writing events. */
sqlite3 *store_handle(struct store *s);

/* ---- sums ---- */

extern const uint64_t sum_key[EVENT_MAX_FIELDS + 7]; /* odd, so that every change of one value is seen */

static inline uint64_t sum_mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ h >> 29;
}

uint64_t sum_text(const char *text); /* NULL is as "" */

static inline uint64_t sum_task(uint32_t tid, uint64_t comm_sum)
{
	return sum_mix(comm_sum * sum_key[1] + tid * sum_key[2]);
}

/* The share of all fields except strings; for these the caller adds sum_text() times sum_key[6 + i]. */
static inline uint64_t sum_event(const struct event *ev, uint64_t id, uint64_t task_sum, uint64_t strings_part)
{
	const struct event_desc *d = &event_table[ev->kind];
	uint64_t h = strings_part;
	unsigned i;

	h += id * sum_key[0] + ev->t * sum_key[1] + ev->cpu * sum_key[2] + task_sum * sum_key[3];
	h += ((uint64_t)ev->kind << 16 | ev->missing) * sum_key[4];
	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type != FIELD_STR)
			h += ev->f[i] * sum_key[6 + i];
	return sum_mix(h);
}

/* The share of the row itself: everything except sum. */
uint64_t sum_capture(const struct capture_row *r);

#endif
