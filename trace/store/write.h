/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store that is open for writing, for the files of which it consists: create.c opens it, known.c knows its strings
 * and tasks, write.c writes captures and events. Private to the store.
 */
#ifndef IOFLUSH_TRACE_STORE_WRITE_H
#define IOFLUSH_TRACE_STORE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/store/rows.h"
#include "trace/store/store.h"

#define MOST_NAMES (1 << 20) /* strings, and tasks: no name of a command is added beyond them */
#define MOST_STRINGS 4000000 /* nor any other text: a reader can have few more */
#define NO_STRING UINT32_MAX /* own number of a string that is not in the database and cannot be added */

/* A string of the database, by its own number. */
struct known_string {
	int64_t id; /* in the database */
	uint64_t sum;
};

struct task {
	int64_t id;   /* in the database; 0: the slot is free */
	int64_t comm; /* id of the string, 0: unknown */
	uint64_t sum;
	uint32_t tid; /* EVENT_NO_TID: unknown */
};

struct store {
	char *path;
	sqlite3 *db;
	struct db_guard guard;
	bool created; /* by us, and nothing committed since */
	bool in_transaction, stale;
	int code;	      /* SQLite's, of the last failure */
	int64_t data_version; /* changes when others write */

	sqlite3_stmt *insert[EV_KINDS];
	sqlite3_stmt *find_string, *insert_string, *find_task, *insert_task, *insert_capture, *update_capture;

	struct intern *strings;	    /* some of the database's; own numbers */
	struct known_string *known; /* by own number */
	size_t known_room;
	struct task *task; /* hash table with open addressing */
	uint32_t task_slots, tasks;
	const struct task *last_task;
	int64_t all_strings, all_tasks; /* in the database; -1: not counted yet */
	uint64_t next_event;

	uint32_t *map; /* own number by the caller's; 0: not known yet, or not in the database */
	size_t map_room;
	const struct intern *map_of;

	bool open;		       /* a capture is */
	struct capture_row row, saved; /* sum: of the events only; saved: as of the last commit */
	bool saved_open;
	struct intern *texts; /* of row */
};

/* A statement of the store, prepared at its first use. NULL and the error. */
sqlite3_stmt *store_prepared(struct store *s, sqlite3_stmt **stmt, const char *sql, struct error *e);

/* ---- strings and tasks (known.c) ---- */

/* In a transaction: empties the caches, unless they are still valid. 0 or -1. */
int known_learn(struct store *s, struct error *e);

/* Sets the table of the strings to come. */
void known_use(struct store *s, const struct intern *strings);

/* Before an event, during which own numbers must stay valid: makes room in full caches. 0 or -1. */
int known_trim(struct store *s, struct error *e);

/*
 * The own number of the caller's string, which is stored if there are fewer than most strings. NO_STRING: there are
 * more; 0 and the error. known_map_slow() is for an unknown one.
 */
uint32_t known_map_slow(struct store *s, const struct intern *strings, uint64_t id, int64_t most, struct error *e);

static inline uint32_t known_map(struct store *s, const struct intern *strings, uint64_t id, int64_t most,
				 struct error *e)
{
	if (id < s->map_room && s->map[id])
		return s->map[id];
	return known_map_slow(s, strings, id, most, e);
}

/* comm: own number of its name, 0: unknown. If there is no room, uses the task without a name. NULL and the error. */
const struct task *known_task(struct store *s, uint32_t tid, uint32_t comm, struct error *e);

#endif
