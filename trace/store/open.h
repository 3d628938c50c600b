/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a database. Every connection is made here, to read or to write, and the file may be anybody's: what it holds
 * must not make the process do anything but read or write rows of our tables.
 *
 * - Who reads opens the file for reading only, and never rolls a journal back. SQLite may make the -shm of a log that is
 *   there; nothing else is written, removed or made.
 * - SQLite opens the database, its journal and its log, and no other file: no journal that names another one (which
 *   SQLite would remove), no temporary files.
 * - Our tables must be tables, as the SQL of our migrations makes them: db_check(). Views and triggers are off, and an
 *   authorizer refuses what one would ask for, and recursion. What else is in the file is not looked at.
 * - Lengths, memory and steps are bounded: see open.c, and struct db_guard.
 */
#ifndef IOFLUSH_TRACE_STORE_OPEN_H
#define IOFLUSH_TRACE_STORE_OPEN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/file_id.h"

enum db_mode {
	DB_READ,      /* for one look: where nobody can have it open, it is read as a file that nobody changes */
	DB_READ_LIVE, /* for as long as another connection writes */
	DB_WRITE,     /* the file must be there, it may be empty; a transaction that was cut off is rolled back */
};

/*
 * Ends a statement that goes on and on, as pages of a hostile file may lead back to themselves; and knows whether a file
 * that nobody should have changed was changed. Belongs to one connection and outlives it.
 */
struct db_guard {
	sqlite3 *db;
	uint64_t rows;	/* who steps through any number of rows counts them here: while this rises, all is well */
	uint64_t until; /* clock_ns() after which no statement goes on; 0: only steps without a row are bounded */
	uint64_t seen;	/* rows and changes at the last look */
	unsigned idle;	/* looks since that rose */
	bool alone;	/* read as a file that nobody changes; as it was then: */
	struct stat was;
};

/*
 * Opens a connection and reads the schema. path is a file, whatever its name (":memory:", "file:x"). 0, or -1 and the
 * error, with *out NULL.
 */
int db_open(sqlite3 **out, const char *path, enum db_mode mode, struct db_guard *g, struct error *e);

/*
 * Whether the database is ours, of a version that we know (0 in version: it is empty), and its tables are what the
 * migrations up to that version make. To be written, they must have no triggers. 0, or -1 and the error.
 */
int db_check(sqlite3 *db, const char *path, enum db_mode mode, int *version, struct error *e);
int db_newest_version(void);

/* Whether somebody has written to a file that is read as one that nobody changes: what was read may be of no one time. */
bool db_changed(const struct db_guard *g);

/* The file that a connection has open. false: it does not lie at its path any more. */
bool db_file(sqlite3 *db, struct file_id *id);

/* ---- between open.c and ours.c ---- */

/* As SQLite opens it by name and flags, with all bounds set. 0, or -1 and the error, with *out NULL. */
int db_open_one(sqlite3 **out, const char *name, int flags, enum db_mode mode, struct db_guard *g, const char *path,
		struct error *e);

/* The error of a database whose application_id is id. Returns -1. */
int db_not_ours(const char *path, uint32_t id, struct error *e);

#endif
