/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a database is ours: of a known version, with the tables that the migrations up to it make. These are made in
 * memory and compared; see open.h.
 */
#include "trace/store/open.h"

#include <inttypes.h>
#include <string.h>

#include "schema/migrations.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"

int db_newest_version(void)
{
	int n = 0;

	while (migrations[n].name)
		n++;
	return n;
}

/* The next character of a statement without its comments and with single blanks; 0 at its end. */
static int next_character(const char **p)
{
	const char *s = *p;
	bool blank = false;

	for (;; s++) {
		if (s[0] == '-' && s[1] == '-') {
			s += strcspn(s, "\n");
			blank = true;
			if (!*s)
				break;
		} else if (*s && strchr(" \t\r\n", *s)) {
			blank = true;
		} else {
			break;
		}
	}
	*p = s;
	if (blank && *s)
		return ' ';
	if (*s)
		++*p;
	return (unsigned char)*s;
}

/*
 * Whether two statements are equal except for blanks and comments, which differ in older versions. want has no quotes
 * and no other comments, so if they are equal, SQLite understands both in the same way.
 */
static bool same_sql(const char *want, const char *got)
{
	int a, b;

	if (!want || !got)
		return false;
	do {
		a = next_character(&want);
		b = next_character(&got);
	} while (a == b && a);
	return a == b;
}

/* Compares one table or index with the file's schema. SQLite ensures that type and name are those of the SQL. */
static int check_object(const char *path, sqlite3_stmt *find, const char *type, const char *name, const char *sql,
			sqlite3 *db, struct error *e)
{
	int rc, rows = 0;

	sqlite3_reset(find);
	sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);
	while ((rc = sqlite3_step(find)) == SQLITE_ROW) {
		const char *got = (const char *)sqlite3_column_text(find, 0);

		if (!got || strcmp(got, type))
			return error_set(e, "%s: not a whole ioflush database: %s is a %.20s in it, not a %s", path,
					 name, got ? got : "thing", type);
		if (rows++ || !same_sql(sql, (const char *)sqlite3_column_text(find, 1)))
			return error_set(e, "%s: not a whole ioflush database: the %s %s is not as any ioflush makes it",
					 path, type, name);
	}
	if (rc != SQLITE_DONE)
		return db_error(db, path, "reading the schema", e);
	if (!rows && !strcmp(type, "table"))
		return error_set(e, "%s: not a whole ioflush database: no such table: %s", path, name);
	return 0;
}

static int check_triggers(sqlite3 *db, const char *path, sqlite3_stmt *find, const char *table, struct error *e)
{
	int rc;

	sqlite3_reset(find);
	sqlite3_bind_text(find, 1, table, -1, SQLITE_STATIC);
	rc = sqlite3_step(find);
	if (rc == SQLITE_ROW)
		return error_set(e,
				 "%s: the table %s has a trigger, %.100s, and ioflush writes only what it says; DROP it",
				 path, table, (const char *)sqlite3_column_text(find, 0));
	return rc == SQLITE_DONE ? 0 : db_error(db, path, "reading the schema", e);
}

/* Makes a database in memory with the migrations up to a version. */
static int open_model(sqlite3 **out, const char *path, int version, struct db_guard *g, struct error *e)
{
	int i;

	if (db_open_one(out, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, DB_WRITE, g, path, e))
		return -1;
	for (i = 0; i < version; i++)
		if (db_exec(*out, path, migrations[i].sql, "making a model of its tables", e))
			return -1;
	return 0;
}

static int check_tables(sqlite3 *db, const char *path, enum db_mode mode, int version, struct error *e)
{
	sqlite3_stmt *want = NULL, *find = NULL, *triggers = NULL;
	struct db_guard g = {0};
	sqlite3 *model = NULL;
	int rc, ret = -1;

	if (open_model(&model, path, version, &g, e))
		goto out;
	want = db_prepare(model, path, "SELECT type, name, sql FROM main.sqlite_master WHERE sql IS NOT NULL", e);
	find = db_prepare(db, path, "SELECT type, sql FROM main.sqlite_master WHERE name = ?1 COLLATE NOCASE", e);
	triggers = db_prepare(
		db, path,
		"SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE LIMIT 1", e);
	if (!want || !find || !triggers)
		goto out;
	while ((rc = sqlite3_step(want)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(want, 1);

		if (check_object(path, find, (const char *)sqlite3_column_text(want, 0), name,
				 (const char *)sqlite3_column_text(want, 2), db, e) ||
		    (mode == DB_WRITE && check_triggers(db, path, triggers, name, e)))
			goto out;
	}
	ret = rc == SQLITE_DONE ? 0 : db_error(model, path, "making a model of its tables", e);
out:
	sqlite3_finalize(want);
	sqlite3_finalize(find);
	sqlite3_finalize(triggers);
	sqlite3_close(model);
	return ret;
}

int db_check(sqlite3 *db, const char *path, enum db_mode mode, int *version, struct error *e)
{
	int64_t id, v, any;

	*version = 0;
	if (db_number(db, path, "PRAGMA application_id", &id, e) || db_number(db, path, "PRAGMA user_version", &v, e) ||
	    db_number(db, path, "SELECT 1 FROM main.sqlite_master LIMIT 1", &any, e))
		return -1;
	if (!any && !id && !v)
		return 0;
	if (id != STORE_APPLICATION_ID)
		return db_not_ours(path, (uint32_t)id, e);
	if (v > db_newest_version())
		return error_set(e,
				 "%s: a database of version %" PRId64 ", made by a newer ioflush; this one knows versions "
				 "up to %d: use the newer one, or its export",
				 path, v, db_newest_version());
	if (v < 1)
		return error_set(e, "%s: an ioflush database of version %" PRId64 ": the database is damaged", path, v);
	*version = (int)v;
	return check_tables(db, path, mode, *version, e);
}
