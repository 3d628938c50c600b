/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's use of SQLite, and the check sums; see rows.h. */
#include "trace/store/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "trace/store/lock.h"

const uint64_t sum_key[EVENT_MAX_FIELDS + 7] = {
	0x01846bb5e2e08da3ull, 0x5df12d5c5fb7cc75ull, 0xb1ff952a5579a835ull, 0xf7f7837a5ef27931ull,
	0xa42e57fcd3fe8bfbull, 0xbf96fb6568b6049bull, 0x2934080ebba93db7ull, 0x2fbf23f7a71a2549ull,
	0xb80991a62e6d5ab1ull, 0x9eea587b0b2d73b7ull, 0x7e4104378440c7f7ull, 0xd858f28d8a6e8d8bull,
	0x2bef38b92e63272full, 0xad82ca84cf9a1f79ull, 0xc1cbf89bd5aa33b5ull, 0x7e3fa95286f036b7ull,
	0x141bd5ee19a022f3ull, 0x6c62272e07bb0143ull,
};

int db_error_log(const char *path, const char *what, struct error *e)
{
	return error_set(e,
			 "%s: %s: its log, %s-wal, can only be read by a user who may write beside it; if no process records "
			 "into it any more, run 'ioflush recover %s' as such a user",
			 path, what, path, path);
}

/* Reports a transaction or a log that only a user who may write can finish. -1, or 0: it is something else. */
static int recovery_error(sqlite3 *db, const char *path, const char *what, struct error *e)
{
	switch (sqlite3_extended_errcode(db)) {
	case SQLITE_READONLY_ROLLBACK:
		return error_set(e,
				 "%s: %s: its writer ended in the middle of a transaction, which %s-journal can roll back; "
				 "reading commands do not write: run 'ioflush recover %s' first",
				 path, what, path, path);
	case SQLITE_READONLY_RECOVERY:
	case SQLITE_READONLY_CANTINIT:
		return db_error_log(path, what, e);
	}
	return 0;
}

static int busy_error(sqlite3 *db, const char *path, const char *what, struct error *e)
{
	const char *file = sqlite3_db_filename(db, "main");
	char holder[256];

	if (!file || !db_lock_holder(file, holder, sizeof(holder)))
		return error_set(e, "%s: %s: another process is using the database; try again when it is done", path,
				 what);
	return error_set(e, "%s: %s: another process is using the database: %s; try again when it is done", path, what,
			 holder);
}

int db_error(sqlite3 *db, const char *path, const char *what, struct error *e)
{
	int code = sqlite3_errcode(db) & 0xff;
	int sys = sqlite3_system_errno(db);

	if (recovery_error(db, path, what, e))
		return -1;
	switch (code) {
	case SQLITE_INTERRUPT:
		return error_set(e,
				 "%s: %s: it takes too long: the database is damaged, made to keep its readers busy, or on a "
				 "disk that is far too slow",
				 path, what);
	case SQLITE_AUTH:
		return error_set(e, "%s: %s: a view or trigger asks for something (%s), which none of ioflush does",
				 path, what, sqlite3_errmsg(db));
	case SQLITE_TOOBIG:
		return error_set(e, "%s: %s: a text is longer than ioflush stores: the database is damaged", path, what);
	case SQLITE_NOMEM:
		return error_set(e, "%s: %s: out of memory, or more memory than an ioflush database needs", path, what);
	case SQLITE_NOTADB:
		return error_set(e, "%s: %s: not a database, or its first page is damaged", path, what);
	case SQLITE_CORRUPT:
		return error_set(e,
				 "%s: %s: the database is damaged (%s); make it again from its traces, or, if it was "
				 "recorded, save what can be read with the sqlite3 shell's .recover",
				 path, what, sqlite3_errmsg(db));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return busy_error(db, path, what, e);
	case SQLITE_FULL:
		return error_set(e, "%s: %s: no space left", path, what);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		if (sys)
			return error_set(e, "%s: %s: %s: %s", path, what, sqlite3_errmsg(db), strerror(sys));
		break;
	}
	return error_set(e, "%s: %s: %s", path, what, db ? sqlite3_errmsg(db) : "out of memory");
}

int db_exec(sqlite3 *db, const char *path, const char *sql, const char *what, struct error *e)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(db, path, what, e);
	return 0;
}

sqlite3_stmt *db_prepare(sqlite3 *db, const char *path, const char *sql, struct error *e)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) == SQLITE_OK)
		return stmt;
	if ((sqlite3_errcode(db) & 0xff) == SQLITE_ERROR) /* tables or columns are not there */
		error_set(e, "%s: not a whole ioflush database: %s", path, sqlite3_errmsg(db));
	else
		db_error(db, path, "reading", e);
	return NULL;
}

int db_number(sqlite3 *db, const char *path, const char *sql, int64_t *out, struct error *e)
{
	sqlite3_stmt *stmt = db_prepare(db, path, sql, e);
	int rc;

	*out = 0;
	if (!stmt)
		return -1;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(stmt, 0);
	else if (rc != SQLITE_DONE)
		db_error(db, path, "reading", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* ---- captures ---- */

int db_read_capture(sqlite3_stmt *stmt, const char *path, struct intern *texts, struct capture_row *r, struct error *e)
{
	int64_t page_size = sqlite3_column_int64(stmt, 1);
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->c.id = (uint64_t)sqlite3_column_int64(stmt, 0);
	r->first_t = (uint64_t)sqlite3_column_int64(stmt, 2);
	r->last_t = (uint64_t)sqlite3_column_int64(stmt, 3);
	r->first_event = (uint64_t)sqlite3_column_int64(stmt, 4);
	r->last_event = (uint64_t)sqlite3_column_int64(stmt, 5);
	r->events = (uint64_t)sqlite3_column_int64(stmt, 6);
	r->sum = (uint64_t)sqlite3_column_int64(stmt, 7);
	for (i = 0; i < CAPTURE_TEXTS; i++)
		*capture_text(&r->c, i) = (const char *)sqlite3_column_text(stmt, 8 + (int)i);
	if (capture_keep(&r->c, texts))
		return error_set(e, "%s: text of a capture: %s", path, intern_failure(texts));
	r->dropped.failed_maps = (uint64_t)sqlite3_column_int64(stmt, 16);
	r->dropped.failed_accesses = (uint64_t)sqlite3_column_int64(stmt, 17);
	r->dropped.empty_unmaps = (uint64_t)sqlite3_column_int64(stmt, 18);
	r->dropped.other = (uint64_t)sqlite3_column_int64(stmt, 19);
	if (page_size != (int64_t)PAGE_SIZE_BYTES)
		return error_set(e,
				 "%s: capture %" PRIu64 ": page_size: %" PRId64
				 "; ioflush knows pages of %llu bytes only",
				 path, r->c.id, page_size, PAGE_SIZE_BYTES);
	return 0;
}

int db_load_capture(sqlite3 *db, const char *path, struct intern *texts, uint64_t id, struct capture_row *row,
		    struct error *e)
{
	sqlite3_stmt *stmt = db_prepare(db, path, "SELECT " CAPTURE_COLUMNS " FROM capture WHERE id = ?1", e);
	int rc, ret;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		ret = db_read_capture(stmt, path, texts, row, e) ? -1 : 1;
	else
		ret = rc == SQLITE_DONE ? 0 : db_error(db, path, "reading a capture", e);
	sqlite3_finalize(stmt);
	return ret;
}

/* Appends one more row. */
static int add_capture(sqlite3_stmt *stmt, const char *path, struct intern *texts, struct capture_row *rows, size_t *n,
		       struct error *e)
{
	if (db_read_capture(stmt, path, texts, &rows[*n], e))
		return -1;
	if (*n && rows[*n].c.id <= rows[*n - 1].c.id)
		return error_set(e, "%s: capture %" PRIu64 ": ids do not rise: the database is damaged", path,
				 rows[*n].c.id);
	++*n;
	return 0;
}

int db_load_captures(sqlite3 *db, const char *path, struct intern *texts, struct capture_row **rows, size_t *n,
		     struct budget *b, struct error *e)
{
	sqlite3_stmt *stmt = db_prepare(db, path, "SELECT " CAPTURE_COLUMNS " FROM capture NOT INDEXED ORDER BY id", e);
	size_t room = 0;
	int rc;

	*rows = NULL;
	*n = 0;
	if (!stmt)
		return -1;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (!grow_within(b, *rows, *n, room, 16u)) {
			error_set(e, "%s: %zu captures: %s", path, *n, budget_failure(b));
			goto fail;
		}
		if (add_capture(stmt, path, texts, *rows, n, e))
			goto fail;
	}
	if (rc != SQLITE_DONE) {
		db_error(db, path, "reading captures", e);
		goto fail;
	}
	sqlite3_finalize(stmt);
	return 0;
fail:
	sqlite3_finalize(stmt);
	free(*rows);
	*rows = NULL;
	*n = 0;
	return -1;
}

/* ---- events ---- */

bool db_read_event(sqlite3_stmt *stmt, struct event_row *row, struct event *ev)
{
	unsigned i;

	row->id = (uint64_t)sqlite3_column_int64(stmt, 0);
	row->capture = (uint64_t)sqlite3_column_int64(stmt, 1);
	row->cpu = (uint64_t)sqlite3_column_int64(stmt, 3);
	row->task = sqlite3_column_int64(stmt, 4);
	row->has_task = row->task || sqlite3_column_type(stmt, 4) != SQLITE_NULL;
	row->kind = sqlite3_column_int64(stmt, 5);
	if (row->kind < 1 || row->kind >= EV_KINDS || !event_table[row->kind].name)
		return false;
	memset(ev, 0, sizeof(*ev));
	ev->kind = (uint8_t)row->kind;
	ev->t = (uint64_t)sqlite3_column_int64(stmt, 2);
	ev->cpu = !row->cpu && sqlite3_column_type(stmt, 3) == SQLITE_NULL ? EVENT_NO_CPU : (uint32_t)row->cpu;
	ev->tid = EVENT_NO_TID;
	for (i = 0; i < event_table[ev->kind].nfields; i++) {
		ev->f[i] = (uint64_t)sqlite3_column_int64(stmt, EVENT_FIELDS_AT + (int)i);
		if (!ev->f[i] && sqlite3_column_type(stmt, EVENT_FIELDS_AT + (int)i) == SQLITE_NULL)
			ev->missing |= (uint16_t)(1u << i);
	}
	return true;
}

/* ---- sums ---- */

uint64_t sum_text(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; text && *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

uint64_t sum_capture(const struct capture_row *r)
{
	const struct capture *c = &r->c;
	const struct dropped *d = &r->dropped;
	const uint64_t number[] = {c->id,     r->first_t,     r->last_t,	  r->first_event,  r->last_event,
				   r->events, d->failed_maps, d->failed_accesses, d->empty_unmaps, d->other};
	uint64_t h = 0;
	size_t i;

	for (i = 0; i < CAPTURE_TEXTS; i++)
		h += sum_text(capture_get(c, i)) * sum_key[i];
	for (i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		h += number[i] * sum_key[8 + i];
	return sum_mix(h);
}
