/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens a store: makes a database, migrates it to the newest version with its views, or brings it to its last commit;
 * see store.h. open.h makes the connections.
 */
#include "trace/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/migrations.h"
#include "trace/store/write.h"

#define PAGE_BYTES "8192"

static void put_column(sqlite3_str *sql, const struct field_desc *f, unsigned i)
{
	switch (f->type) {
	case FIELD_ID:
	case FIELD_HEX:
		if (f->optional)
			sqlite3_str_appendf(sql, ", iif(e.f%u IS NULL, NULL, printf('0x%%x', e.f%u)) AS \"%w\"", i, i,
					    f->name);
		else
			sqlite3_str_appendf(sql, ", printf('0x%%x', e.f%u) AS \"%w\"", i, f->name);
		break;
	case FIELD_STR:
		sqlite3_str_appendf(sql, ", (SELECT text FROM string WHERE id = e.f%u) AS \"%w\"", i, f->name);
		break;
	default:
		sqlite3_str_appendf(sql, ", e.f%u AS \"%w\"", i, f->name);
	}
}

/* The SQL of the view of a kind, to be freed with sqlite3_free(); NULL: out of memory. */
static char *view_sql(sqlite3 *db, unsigned kind)
{
	const struct event_desc *d = &event_table[kind];
	sqlite3_str *sql = sqlite3_str_new(db);
	unsigned i;

	sqlite3_str_appendf(sql,
			    "DROP VIEW IF EXISTS \"%w\"; CREATE VIEW \"%w\" AS SELECT e.id AS id, e.capture AS capture, "
			    "e.t AS t, e.cpu AS cpu, k.tid AS tid, (SELECT text FROM string WHERE id = k.comm) AS comm",
			    d->name, d->name);
	for (i = 0; i < d->nfields; i++)
		put_column(sql, &d->field[i], i);
	sqlite3_str_appendf(sql,
			    " FROM event e LEFT JOIN task k ON k.id = e.task WHERE e.kind = %u;"
			    "INSERT OR REPLACE INTO event_kind (kind, name, doc) VALUES (%u, %Q, %Q);",
			    kind, kind, d->name, d->doc);
	return sqlite3_str_finish(sql);
}

/* Whether event_kind has the kind as in our table, and so the view is right. 1, 0, or -1. */
static int has_kind(struct store *s, unsigned kind, struct error *e)
{
	char *sql = sqlite3_mprintf("SELECT count(*) FROM event_kind WHERE kind = %u AND name = %Q AND doc = %Q", kind,
				    event_table[kind].name, event_table[kind].doc);
	int64_t n = 0;
	int rc;

	if (!sql)
		return error_set(e, "%s: out of memory", s->path);
	rc = db_number(s->db, s->path, sql, &n, e);
	sqlite3_free(sql);
	return rc ? -1 : n == 1;
}

/* Makes the missing views. With only_look, only tells whether one is missing. 1, 0, or -1. */
static int make_views(struct store *s, bool only_look, struct error *e)
{
	unsigned kind;
	char *sql;
	int rc;

	for (kind = 1; kind < EV_KINDS; kind++) {
		if (!event_table[kind].name)
			continue;
		rc = has_kind(s, kind, e);
		if (rc < 0)
			return -1;
		if (rc)
			continue;
		if (only_look)
			return 1;
		sql = view_sql(s->db, kind);
		if (!sql)
			return error_set(e, "%s: out of memory", s->path);
		rc = db_exec(s->db, s->path, sql, "making the views", e);
		sqlite3_free(sql);
		if (rc)
			return -1;
	}
	if (only_look)
		return 0;
	return db_exec(
		s->db, s->path,
		"DROP VIEW IF EXISTS loss; CREATE VIEW loss AS SELECT capture, cpu, since, t, count, cause FROM lost",
		"making the views", e);
}

/* In a transaction: migrates the database from its current version to the newest. */
static int migrate_locked(struct store *s, struct error *e)
{
	int version, newest = db_newest_version();
	char sql[256];

	if (db_check(s->db, s->path, DB_WRITE, &version, e)) /* again: another process may have been faster */
		return -1;
	for (; version < newest; version++) {
		const struct migration *m = &migrations[version];

		if (db_exec(s->db, s->path, m->sql, "migrating", e))
			return -1;
		snprintf(sql, sizeof(sql), "INSERT INTO migration (version, name) VALUES (%d, '%s')", m->version,
			 m->name);
		if (db_exec(s->db, s->path, sql, "migrating", e))
			return -1;
	}
	if (make_views(s, false, e))
		return -1;
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", STORE_APPLICATION_ID, newest);
	return db_exec(s->db, s->path, sql, "migrating", e);
}

static int migrate(struct store *s, bool wal, struct error *e)
{
	int version, rc;

	if (db_check(s->db, s->path, DB_WRITE, &version, e))
		return -1;
	if (!version && db_exec(s->db, s->path, "PRAGMA page_size = " PAGE_BYTES, "creating", e))
		return -1;
	if (!version && wal && db_exec(s->db, s->path, "PRAGMA auto_vacuum = INCREMENTAL", "creating", e))
		return -1;
	if (wal && db_exec(s->db, s->path, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", "creating", e))
		return -1;
	if (version == db_newest_version()) {
		rc = make_views(s, true, e);
		if (rc <= 0)
			return rc;
	}
	if (db_exec(s->db, s->path, "BEGIN IMMEDIATE", "locking", e))
		return -1;
	if (migrate_locked(s, e)) {
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return db_exec(s->db, s->path, "COMMIT", "migrating", e);
}

/* Whether the file is missing or empty, so that we may make it. */
static bool is_missing(const char *path)
{
	struct stat st;

	return stat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode) && !st.st_size;
}

/* Not everybody may read frame numbers and kernel addresses, or hold locks. SQLite's other files get this mode, too. */
static int make_file(const char *path, struct error *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, STORE_MODE);

	if (fd < 0)
		return error_errno(e, "%s: opening", path);
	close(fd);
	return 0;
}

int store_open(struct store **out, const char *path, unsigned flags, struct error *e)
{
	struct store *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return error_set(e, "%s: out of memory", path);
	s->stale = true;
	s->path = strdup(path);
	s->texts = intern_new();
	if (!s->path || !s->texts) {
		error_set(e, "%s: out of memory", path);
		goto fail;
	}
	if (is_missing(path)) {
		if (make_file(path, e)) /* here, since SQLite would not say why it cannot */
			goto fail;
		s->created = true;
	}
	if (db_open(&s->db, path, DB_WRITE, &s->guard, e) || migrate(s, flags & STORE_WAL, e))
		goto fail;
	*out = s;
	return 0;
fail:
	store_discard(s);
	return -1;
}

void store_close(struct store *s)
{
	unsigned i;

	if (!s)
		return;
	store_rollback(s);
	for (i = 0; i < EV_KINDS; i++)
		sqlite3_finalize(s->insert[i]);
	sqlite3_finalize(s->find_string);
	sqlite3_finalize(s->insert_string);
	sqlite3_finalize(s->find_task);
	sqlite3_finalize(s->insert_task);
	sqlite3_finalize(s->insert_capture);
	sqlite3_finalize(s->update_capture);
	sqlite3_close(s->db);
	intern_free(s->strings);
	intern_free(s->texts);
	free(s->known);
	free(s->task);
	free(s->map);
	free(s->path);
	free(s);
}

void store_discard(struct store *s)
{
	char *path = NULL;

	if (s && s->created) {
		path = s->path;
		s->path = NULL;
	}
	store_close(s);
	if (path)
		unlink(path);
	free(path);
}

static bool has_content(const char *path, const char *suffix)
{
	char *name = sqlite3_mprintf("%s%s", path, suffix);
	struct stat st;
	bool has = name && !stat(name, &st) && st.st_size;

	sqlite3_free(name);
	return has;
}

/* Opening for writing rolls a journal back; the last process that closes a database moves the log into it. */
int store_recover(const char *path, struct store_recovered *r, struct error *e)
{
	char *file = realpath(path, NULL); /* the file behind links: journal and log are beside it */
	struct db_guard guard = {0};
	bool journal, log;
	sqlite3 *db = NULL;
	int version, ret;

	*r = (struct store_recovered){0};
	if (!file)
		return error_errno(e, "%s", path);
	journal = has_content(file, "-journal");
	log = has_content(file, "-wal");
	ret = db_open(&db, path, DB_WRITE, &guard, e);
	if (!ret)
		ret = db_check(db, path, DB_READ, &version, e);
	sqlite3_close(db);
	r->rolled_back = journal && !has_content(file, "-journal");
	r->moved = log && !has_content(file, "-wal");
	r->in_use = log && !r->moved;
	free(file);
	return ret;
}

bool store_is_file(const struct store *s, const char *path)
{
	struct stat a, b;

	return !stat(s->path, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
