/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SQLite store: captures, their events in integer columns, interned strings. Written by ioflush import now and by a
 * recorder later; read back as a source (store_source_open()) and, through its views, by anyone with
 * the sqlite3 shell. schema/migrations/ says what the tables mean.
 *
 * Writing is a sequence of transactions, each of which stays as a whole or leaves nothing:
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

#define STORE_MODE 0640 /* of the files that are made, less the umask */

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

/* Closes; an open transaction is rolled back. NULL is fine. */
void store_close(struct store *s);

/* As store_close(), and removes the file again if store_open() made it and nothing was ever committed to it since. */
void store_discard(struct store *s);

/* What was done to a database whose writer had died. */
struct store_recovered {
	bool rolled_back; /* a transaction that was not committed */
	bool moved;	  /* the log, into the database */
	bool in_use;	  /* another process has it open: the log stays */
};

/* Brings a database to its last commit, and does nothing else to it. 0, or -1 and the error. */
int store_recover(const char *path, struct store_recovered *r, struct error *e);

/* Whether path is the file of the store, by whatever name. */
bool store_is_file(const struct store *s, const char *path);

int store_begin(struct store *s, struct error *e);
int store_commit(struct store *s, struct error *e); /* -1: rolled back */
void store_rollback(struct store *s);		    /* fine without a transaction */

/* Begins a capture with what c knows (its id, state and note aside) and state "recording". Its number goes to id. */
int store_capture_begin(struct store *s, const struct capture *c, uint64_t *id, struct error *e);

/*
 * Appends n events of the present capture. They passed event_check(); t must not decrease. Their strings are in the
 * given table. -1: roll back.
 */
int store_append(struct store *s, const struct event *ev, size_t n, const struct intern *strings, struct error *e);

/*
 * How many events of the present capture are stored without the name of their command or device, since the database has no
 * room for more names. The note of a capture says it at its end.
 */
uint64_t store_unnamed(const struct store *s);

/* What was dropped of the present capture, all in all; its row has it at the latest when it ends. */
int store_capture_dropped(struct store *s, const struct dropped *d, struct error *e);

/* Ends the present capture: state "complete", "partial" or "cut-off"; note says why ("" for complete). */
int store_capture_end(struct store *s, const char *state, const char *note, struct error *e);

/* ---- for recorders, which outlive failures of the database ---- */

/* SQLite's extended code of what failed last, 0: nothing did, or the failure was none of SQLite's. */
int store_code(const struct store *s);

/*
 * In a transaction: goes on with a capture whose state is "recording", as after store_capture_begin(); for the present
 * one, reads its row anew. 1, 0: there is no such capture, or it is not being recorded, or -1 and the error: roll back.
 */
int store_capture_resume(struct store *s, uint64_t id, struct error *e);

/* The same of one that another store began: so many it has already. */
void store_set_unnamed(struct store *s, uint64_t n);

/* The id of the last event of the present capture, 0: it has none. */
uint64_t store_last_event(const struct store *s);

/* Strings or tasks were deleted: what is known of them is read anew in the next transaction. */
void store_forget(struct store *s);

/* In a transaction: the id of a text in the table of strings. 0, or -1 and the error: roll back. */
int store_string(struct store *s, const char *text, int64_t *id, struct error *e);

/* Opens a database as a source: an opener as those of source.h. */
int store_source_open(struct source **out, const struct source_input *in, struct error *e);

#endif
