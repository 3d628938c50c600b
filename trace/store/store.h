/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SQLite store: captures, their events in integer columns, interned strings. ioflush import and the recorder write
 * it; it is read as a source (store_source_open()) and, through its views, with the sqlite3 shell. schema/migrations/
 * explains the tables.
 *
 * Writing is a sequence of transactions; each is stored completely or not at all:
 *
 *	store_open -> { store_begin -> { store_capture_begin -> store_append... -> store_capture_end }... ->
 *	store_commit or store_rollback }... -> store_close
 *
 * A capture may span transactions: between them others read it as "recording", up to the last commit. One thread uses a
 * store at a time.
 *
 * Do not open a database as a source while the same process has it open for writing: POSIX drops the writer's locks
 * when the source closes its descriptor. store_is_file() tells.
 */
#ifndef IOFLUSH_TRACE_STORE_STORE_H
#define IOFLUSH_TRACE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"
#include "trace/source.h"

#define STORE_APPLICATION_ID 0x494f464c /* "IOFL" */

#define STORE_MODE 0640 /* of new files, minus the umask */

enum store_flags {
	STORE_WAL = 1 << 0, /* keep a write-ahead log, so that others read while this process writes; made so, a
			      * database can give back space of deleted rows in steps (PRAGMA incremental_vacuum) */
};

struct store;

/*
 * Opens the database at path. For writing it is created if missing or empty, and migrated if it is older; a file that
 * is anything else is left alone and refused. 0, or -1 and the error.
 */
int store_open(struct store **out, const char *path, unsigned flags, struct error *e);

/* Closes; an open transaction is rolled back. NULL is allowed. */
void store_close(struct store *s);

/* As store_close(), and removes the file if store_open() made it and nothing was committed since. */
void store_discard(struct store *s);

/* What was done to a database whose writer died. */
struct store_recovered {
	bool rolled_back; /* a transaction that was not committed */
	bool moved;	  /* the log, into the database */
	bool in_use;	  /* another process has it open: the log stays */
};

/* Brings a database to its last commit, and changes nothing else. 0, or -1 and the error. */
int store_recover(const char *path, struct store_recovered *r, struct error *e);

/* Whether path is the file of the store, whatever its name. */
bool store_is_file(const struct store *s, const char *path);

int store_begin(struct store *s, struct error *e);
int store_commit(struct store *s, struct error *e); /* -1: rolled back */
void store_rollback(struct store *s);		    /* fine without a transaction */

/* Begins a capture with the data of c (except id, state and note) and state "recording". *id: its number. */
int store_capture_begin(struct store *s, const struct capture *c, uint64_t *id, struct error *e);

/*
 * Appends n events to the current capture. They passed event_check(); t must not decrease. Their strings are in the
 * given table. -1: roll back.
 */
int store_append(struct store *s, const struct event *ev, size_t n, const struct intern *strings, struct error *e);

/*
 * How many events of the current capture are stored without the name of their command or device, because the database
 * has no room for more names. The note of a capture tells it at the end.
 */
uint64_t store_unnamed(const struct store *s);

/* The total of what was dropped of the current capture; its row has it when the capture ends, at the latest. */
int store_capture_dropped(struct store *s, const struct dropped *d, struct error *e);

/* Ends the current capture: state "complete", "partial" or "cut-off"; note says why ("" for complete). */
int store_capture_end(struct store *s, const char *state, const char *note, struct error *e);

/* ---- for recorders, which outlive failures of the database ---- */

/* SQLite's extended code of the last failure; 0: there was none, or not in SQLite. */
int store_code(const struct store *s);

/*
 * In a transaction: continues a capture in state "recording", as after store_capture_begin(); for the current one,
 * reads its row again. 1, 0: there is no such capture, or it is not being recorded, or -1 and the error: roll back.
 */
int store_capture_resume(struct store *s, uint64_t id, struct error *e);

/* The same count for a capture that another store began: sets what it has already. */
void store_set_unnamed(struct store *s, uint64_t n);

/* The id of the last event of the current capture, 0: it has none. */
uint64_t store_last_event(const struct store *s);

/* Strings or tasks were deleted: the next transaction empties the caches. */
void store_forget(struct store *s);

/* In a transaction: the id of a text in the table of strings. 0, or -1 and the error: roll back. */
int store_string(struct store *s, const char *text, int64_t *id, struct error *e);

/* Opens a database as a source: an opener as those of source.h. */
int store_source_open(struct source **out, const struct source_input *in, struct error *e);

#endif
