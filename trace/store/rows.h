/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What writing (write.c) and reading (read.c) share: SQLite's errors, statements, the rows of captures and events, and the
 * check sums. open.h makes the connections. Nothing else knows the columns of these rows: the recorder and the API read
 * and write theirs through this.
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

/* The columns that db_read_event() reads, with e as the name of the event table. A query may select more behind them. */
#define EVENT_COLUMNS "e.id, e.capture, e.t, e.cpu, e.task, e.kind, f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10"
#define EVENT_FIELDS_AT 6
#define EVENT_COLUMNS_END (EVENT_FIELDS_AT + EVENT_MAX_FIELDS)

/* The columns of an event's row that struct event does not hold as they are. */
struct event_row {
	uint64_t id, capture;
	uint64_t cpu; /* the column; 0: NULL, or CPU 0 */
	int64_t kind, task;
	bool has_task;
};

/*
 * Reads the current row of a statement. Strings stay numbers of the database; tid and comm stay unknown, since the row has
 * only the number of a task. false: the kind is unknown, and the event is not filled.
 */
bool db_read_event(sqlite3_stmt *stmt, struct event_row *row, struct event *ev);

/* Runs SQL without results. what is for the message. */
int db_exec(sqlite3 *db, const char *path, const char *sql, const char *what, struct error *e);

/* Prepares a statement, or NULL and the error. */
sqlite3_stmt *db_prepare(sqlite3 *db, const char *path, const char *sql, struct error *e);

/* The first column of the first row of a query (0 if NULL or no row). 0, or -1 and the error. */
int db_number(sqlite3 *db, const char *path, const char *sql, int64_t *out, struct error *e);

/* What db_read_capture() reads. */
#define CAPTURE_COLUMNS                                                          \
	"id, page_size, first_t, last_t, first_event, last_event, events, sum, " \
	"source, format, host, kernel, clock, probes, state, note, "             \
	"failed_maps, failed_accesses, empty_unmaps, other_records"

/* The row that a statement stands at. Texts go to texts. 0, or -1 and the error. */
int db_read_capture(sqlite3_stmt *stmt, const char *path, struct intern *texts, struct capture_row *r, struct error *e);

/* Reads all capture rows in order of id, within a budget. Texts go to texts; *rows is malloc'ed, NULL if there are none. */
int db_load_captures(sqlite3 *db, const char *path, struct intern *texts, struct capture_row **rows, size_t *n,
		     struct budget *b, struct error *e);

/* Reads one. 1, 0: there is none of this id, or -1 and the error. */
int db_load_capture(sqlite3 *db, const char *path, struct intern *texts, uint64_t id, struct capture_row *row,
		    struct error *e);

/* ---- a store that is open for writing, for what a recorder does besides writing events ---- */

struct store;

sqlite3 *store_handle(struct store *s);	 /* its connection */
const char *store_path(struct store *s); /* absolute; "" if SQLite does not know */

/* db_prepare(), db_number() and db_error() with these. */
sqlite3_stmt *store_statement(struct store *s, const char *sql, struct error *e);
int store_number(struct store *s, const char *sql, int64_t *out, struct error *e);
int store_error(struct store *s, const char *what, struct error *e);

/* Writes what changes of a capture's row while it grows or is trimmed; sum: of its events only. */
int store_update_capture(struct store *s, const struct capture_row *r, struct error *e);

/* Writes an event's row. Its strings are numbers of the database, and so is task (0: unknown). what is for the message. */
int store_insert_event(struct store *s, uint64_t capture, uint64_t id, int64_t task, const struct event *ev,
		       const char *what, struct error *e);

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

/* Fields that rows of an older version do not have: that one is unknown does not count. Known, it is a string and counts. */
static inline unsigned sum_later(unsigned kind)
{
	return kind == EV_unpin ? EVENT_BIT(unpin, caller) : 0;
}

/* The share of all fields except strings; for these the caller adds sum_text() times sum_key[6 + i]. */
static inline uint64_t sum_event(const struct event *ev, uint64_t id, uint64_t task_sum, uint64_t strings_part)
{
	const struct event_desc *d = &event_table[ev->kind];
	uint64_t h = strings_part;
	unsigned i;

	h += id * sum_key[0] + ev->t * sum_key[1] + ev->cpu * sum_key[2] + task_sum * sum_key[3];
	h += ((uint64_t)ev->kind << 16 | (ev->missing & ~sum_later(ev->kind))) * sum_key[4];
	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type != FIELD_STR)
			h += ev->f[i] * sum_key[6 + i];
	return sum_mix(h);
}

/* The share of the row itself: everything except sum. */
uint64_t sum_capture(const struct capture_row *r);

#endif
