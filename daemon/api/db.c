/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See db.h. Every question is one or a few separate statements, so that no read transaction lasts: that would prevent
 * the writer's log from being moved back into the database.
 *
 * Events are read by windows of ids. Writers give ids in order and without gaps, so a window bounds the rows, whatever
 * the filter. Times rise with ids within a capture, so bisection finds the ids of a time range. If two writers'
 * captures are mixed, bisection gives up, and only the window is used.
 */
#include "daemon/api/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/number.h"
#include "trace/store/rows.h"

#define BUSY_MS 50	    /* most time that the HTTP thread waits for a lock */
#define STEP_NS 1000000000u /* most time of a statement */
#define MAX_TEXT 65536	    /* bytes of a text, and of all texts of a capture: one answer has many */
#define WINDOW 16384	    /* ids looked at for one answer */
#define LOSS_CACHE 1024	    /* captures, as many as one answer has */

enum {
	ST_CAPTURE,
	ST_BEFORE,
	ST_LOSSES,
	ST_EVENTS,
	ST_EVENTS_DESC,
	ST_AT,
	ST_AT_OR_BEFORE,
	ST_STRING,
	ST_ENDS,
	STATEMENTS
};

/* The known losses of a capture. The place follows from its number, so that all captures of a page fit. */
struct loss_entry {
	uint64_t capture, first_event; /* retention moves the beginning: then all is counted again */
	uint64_t last_id;	       /* lost events up to here are counted */
	uint64_t whole_to;	       /* the capture's last event when all were counted; 0: not yet */
	struct api_losses sum;
};

struct api_db {
	char *path;
	sqlite3 *db; /* NULL: not open */
	struct db_guard guard;
	struct file_id file; /* the one that is open, or was open last */
	sqlite3_stmt *stmt[STATEMENTS];
	struct intern *texts; /* of the capture read last */
	struct loss_entry loss[LOSS_CACHE];
	char string[256];
};

struct api_db *api_db_new(const char *path)
{
	struct api_db *db = calloc(1, sizeof(*db));

	if (db)
		db->path = strdup(path);
	if (db && db->path)
		return db;
	free(db);
	return NULL;
}

static void disconnect(struct api_db *db)
{
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->stmt[i]);
	memset(db->stmt, 0, sizeof(db->stmt));
	sqlite3_close(db->db);
	db->db = NULL;
	memset(db->loss, 0, sizeof(db->loss));
}

void api_db_free(struct api_db *db)
{
	if (!db)
		return;
	disconnect(db);
	intern_free(db->texts);
	free(db->path);
	free(db);
}

/* "CASE e.kind WHEN 1 THEN e.f1 ... END": the field of that name in each kind. */
static void put_field_of(sqlite3_str *sql, const char *name)
{
	sqlite3_str_appendall(sql, "CASE e.kind");
	for (unsigned k = 0; k < EV_KINDS; k++) {
		const struct event_desc *d = &event_table[k];

		for (unsigned i = 0; d->name && i < d->nfields; i++) {
			if (!strcmp(d->field[i].name, name))
				sqlite3_str_appendf(sql, " WHEN %u THEN e.f%u", k, i);
		}
	}
	sqlite3_str_appendall(sql, " END");
}

static sqlite3_stmt *prepare_events(struct api_db *db, bool descending, struct error *e)
{
	sqlite3_str *sql = sqlite3_str_new(db->db);
	sqlite3_stmt *stmt = NULL;
	char *text;

	sqlite3_str_appendall(sql, "SELECT " EVENT_COLUMNS ", k.tid, (SELECT text FROM string WHERE id = k.comm)"
				   " FROM event e NOT INDEXED LEFT JOIN task k ON k.id = e.task WHERE e.id BETWEEN "
				   "?1 AND ?2"
				   " AND (?3 IS NULL OR e.capture = ?3) AND (?4 IS NULL OR (1 << e.kind) & ?4)"
				   " AND (?5 IS NULL OR e.t >= ?5) AND (?6 IS NULL OR e.t <= ?6) AND (?7 IS NULL OR ");
	put_field_of(sql, "domain");
	sqlite3_str_appendall(sql, " = ?7) AND (?8 IS NULL OR ");
	put_field_of(sql, "iopt");
	sqlite3_str_appendf(sql, " = ?8) ORDER BY e.id %s LIMIT ?9", descending ? "DESC" : "ASC");
	text = sqlite3_str_finish(sql);
	if (text)
		stmt = db_prepare(db->db, db->path, text, e);
	else
		error_set(e, "out of memory");
	sqlite3_free(text);
	return stmt;
}

static int prepare(struct api_db *db, struct error *e)
{
	static const char *const sql[STATEMENTS] = {
		[ST_CAPTURE] = "SELECT " CAPTURE_COLUMNS " FROM capture NOT INDEXED WHERE id = ?1",
		[ST_BEFORE] = "SELECT " CAPTURE_COLUMNS
			      " FROM capture NOT INDEXED WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT 1",
		[ST_LOSSES] = "SELECT id, f0, (SELECT text FROM string WHERE id = f1) FROM event "
			      "WHERE kind = 19 AND capture = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
		[ST_AT] = "SELECT id, t, capture FROM event NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT 1",
		[ST_AT_OR_BEFORE] = "SELECT id, t, capture FROM event NOT INDEXED WHERE id <= ?1 ORDER BY id DESC LIMIT 1",
		[ST_STRING] = "SELECT text FROM string WHERE id = ?1",
		[ST_ENDS] = "SELECT (SELECT min(id) FROM event NOT INDEXED), (SELECT max(id) FROM event NOT INDEXED)",
	};

	_Static_assert(EV_lost == 19, "the index event_lost and the statement above name this number");
	for (int i = 0; i < STATEMENTS; i++) {
		db->stmt[i] = sql[i] ? db_prepare(db->db, db->path, sql[i], e) :
				       prepare_events(db, i == ST_EVENTS_DESC, e);
		if (!db->stmt[i])
			return -1;
	}
	return 0;
}

static int reconnect(struct api_db *db, const struct file_id *file, struct error *e)
{
	struct file_id opened;
	int version = 0;

	db->guard.until = clock_ns() + STEP_NS;
	if (db_open(&db->db, db->path, DB_READ_LIVE, &db->guard, e))
		return -1;
	sqlite3_busy_timeout(db->db, BUSY_MS);
	sqlite3_limit(db->db, SQLITE_LIMIT_LENGTH, MAX_TEXT);
	if (!db_file(db->db, &opened) || !same_file(&opened, file)) {
		error_set(e, "%s: was replaced while it was opened", db->path);
		goto fail;
	}
	if (db_check(db->db, db->path, DB_READ_LIVE, &version, e))
		goto fail;
	if (version != db_newest_version()) {
		error_set(e, "%s: nothing was recorded into it yet, or it is of an older version", db->path);
		goto fail;
	}
	if (prepare(db, e))
		goto fail;
	db->file = opened;
	return 0;
fail:
	disconnect(db);
	return -1;
}

void api_db_file(const struct api_db *db, char text[FILE_ID_TEXT])
{
	file_id_text(&db->file, text);
}

int api_db_ready(struct api_db *db, const struct file_id *recorded, struct error *e)
{
	const struct file_id *want = recorded->ino ? recorded : &db->file;
	struct file_id now;
	struct stat st;

	if (db->db && recorded->ino && same_file(recorded, &db->file))
		return 0;
	if (stat(db->path, &st)) {
		disconnect(db);
		return error_errno(e, "%s", db->path);
	}
	now = file_id_of(&st);
	if (want->ino && !same_file(&now, want)) {
		disconnect(db);
		return error_set(e, "%s: another file than the one recorded into lies there now, and is left alone",
				 db->path);
	}
	if (db->db && same_file(&now, &db->file))
		return 0;
	disconnect(db);
	return reconnect(db, &now, e);
}

/* A statement ready to be bound. */
static sqlite3_stmt *again(struct api_db *db, int which)
{
	sqlite3_reset(db->stmt[which]);
	sqlite3_clear_bindings(db->stmt[which]);
	db->guard.until = clock_ns() + STEP_NS;
	db->guard.rows++; /* a new statement: its steps are counted from 0 */
	return db->stmt[which];
}

/* After the last step of a statement: 0, or -1 and the error. A new file may have no damage, so it is opened again. */
static int finish(struct api_db *db, sqlite3_stmt *stmt, int rc, struct error *e)
{
	int code = rc & 0xff;

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		db_error(db->db, db->path, "reading", e);
	sqlite3_reset(stmt);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return 0;
	if (code != SQLITE_BUSY && code != SQLITE_LOCKED)
		disconnect(db);
	return -1;
}

static uint64_t column_u64(sqlite3_stmt *stmt, int i)
{
	return (uint64_t)sqlite3_column_int64(stmt, i);
}

/* ---- captures ---- */

static int fetch_capture(struct api_db *db, sqlite3_stmt *stmt, struct capture_row *c, struct error *e)
{
	int rc = sqlite3_step(stmt);
	size_t len = 0;

	if (rc != SQLITE_ROW)
		return finish(db, stmt, rc, e);
	intern_free(db->texts);
	db->texts = intern_new();
	rc = db->texts ? db_read_capture(stmt, db->path, db->texts, c, e) : error_set(e, "out of memory");
	sqlite3_reset(stmt);
	if (rc)
		return -1;
	for (unsigned i = 0; i < CAPTURE_TEXTS; i++)
		len += strlen(capture_get(&c->c, i));
	if (len > MAX_TEXT)
		return error_set(e, "%s: capture %llu: texts of %zu bytes: the database is damaged", db->path,
				 (unsigned long long)c->c.id, len);
	return 1;
}

int api_db_capture(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e)
{
	sqlite3_stmt *stmt;

	if (!id)
		return api_db_capture_before(db, 0, out, e);
	stmt = again(db, ST_CAPTURE);
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	return fetch_capture(db, stmt, out, e);
}

int api_db_capture_before(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e)
{
	sqlite3_stmt *stmt = again(db, ST_BEFORE);

	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	return fetch_capture(db, stmt, out, e);
}

/* ---- losses ---- */

static struct loss_entry *loss_entry(struct api_db *db, const struct capture_row *c)
{
	struct loss_entry *l = &db->loss[c->c.id % LOSS_CACHE];

	if (l->capture != c->c.id || l->first_event != c->first_event)
		*l = (struct loss_entry){.capture = c->c.id, .first_event = c->first_event};
	return l;
}

/* The last place collects all names without a place. A name is cut and made fit for a key. */
static void add_cause(struct api_losses *s, const char *text, uint64_t records)
{
	char name[sizeof(s->cause[0].name)];
	size_t i;

	snprintf(name, sizeof(name), "%s", text);
	for (char *p = name; *p; p++)
		if (*p & 0x80)
			*p = '?';
	for (i = 0; i < s->causes && strcmp(s->cause[i].name, name); i++)
		;
	if (i == s->causes && i >= API_DB_CAUSES - 1 && strcmp(name, "other")) {
		add_cause(s, "other", records);
		return;
	}
	if (i == s->causes)
		strcpy(s->cause[s->causes++].name, name);
	s->cause[i].records = number_sum(s->cause[i].records, records);
}

static void add_loss(struct loss_entry *l, sqlite3_stmt *stmt)
{
	const char *cause = (const char *)sqlite3_column_text(stmt, 2);
	bool known = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
	uint64_t n = known ? column_u64(stmt, 1) : 0;

	l->last_id = column_u64(stmt, 0);
	l->sum.rows++;
	l->sum.records = number_sum(l->sum.records, n);
	l->sum.unknown += !known;
	add_cause(&l->sum, cause ? cause : "unknown", n);
}

int api_db_losses(struct api_db *db, const struct capture_row *c, size_t *rows, struct api_losses *out, struct error *e)
{
	struct loss_entry *l = loss_entry(db, c);
	sqlite3_stmt *stmt;
	int rc;

	*out = l->sum;
	out->more = !l->whole_to || l->whole_to != c->last_event;
	if (!c->events || !out->more || !*rows) {
		out->more = c->events && out->more;
		return 0;
	}
	stmt = again(db, ST_LOSSES);
	sqlite3_bind_int64(stmt, 1, (int64_t)c->c.id);
	sqlite3_bind_int64(stmt, 2, (int64_t)l->last_id);
	sqlite3_bind_int64(stmt, 3, (int64_t)*rows);
	for (; (rc = sqlite3_step(stmt)) == SQLITE_ROW; --*rows)
		add_loss(l, stmt);
	l->whole_to = *rows && rc == SQLITE_DONE ? c->last_event : 0;
	*out = l->sum;
	out->more = !l->whole_to;
	return finish(db, stmt, rc, e);
}

/* ---- events ---- */

struct position {
	uint64_t id, t, capture;
};

/* The first event at or after id, or the last one at or before it. 1, 0: none, -1. */
static int event_at(struct api_db *db, uint64_t id, bool before, struct position *p, struct error *e)
{
	sqlite3_stmt *stmt = again(db, before ? ST_AT_OR_BEFORE : ST_AT);
	int rc;

	sqlite3_bind_int64(stmt, 1, id > INT64_MAX ? INT64_MAX : (int64_t)id);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*p = (struct position){column_u64(stmt, 0), column_u64(stmt, 1), column_u64(stmt, 2)};
	return finish(db, stmt, rc, e) ? -1 : rc == SQLITE_ROW;
}

/*
 * The first of a capture's ids lo to hi whose time is t or later, or hi + 1. If events of another capture lie between,
 * the answer is an earlier id. 0 or -1.
 */
static int bisect(struct api_db *db, uint64_t capture, uint64_t lo, uint64_t hi, uint64_t t, uint64_t *out,
		  struct error *e)
{
	uint64_t end = hi + 1;
	struct position p;
	int got;

	while (lo < end) {
		uint64_t mid = lo + (end - lo) / 2;

		got = event_at(db, mid, false, &p, e);
		if (got < 0)
			return -1;
		if (got && p.id <= hi && p.capture != capture)
			break;
		if (!got || p.id > hi || p.t >= t)
			end = mid;
		else
			lo = p.id + 1;
	}
	*out = lo;
	return 0;
}

/* Cuts ids after the filter's last time off the end of lo to hi, if bisection is certain of them. */
static int cut_after(struct api_db *db, const struct api_filter *f, uint64_t lo, uint64_t *hi, struct error *e)
{
	struct position p;
	uint64_t end;
	int got;

	if (bisect(db, f->capture, lo, *hi, f->to + 1, &end, e))
		return -1;
	if (end > *hi)
		return 0;
	got = event_at(db, end, false, &p, e);
	if (got > 0 && p.capture == f->capture && p.t > f->to)
		*hi = end - 1;
	return got < 0 ? -1 : 0;
}

/* The ids that can pass a filter: none if lo > hi. */
static int id_range(struct api_db *db, const struct api_filter *f, uint64_t *lo, uint64_t *hi, struct error *e)
{
	struct capture_row c;
	sqlite3_stmt *stmt;
	int rc;

	*lo = 1;
	*hi = 0;
	if (!f->capture) {
		stmt = again(db, ST_ENDS);
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
			*lo = column_u64(stmt, 0);
			*hi = column_u64(stmt, 1);
		}
		return finish(db, stmt, rc, e);
	}
	rc = api_db_capture(db, f->capture, &c, e);
	if (rc <= 0)
		return rc;
	if (c.events) {
		*lo = c.first_event;
		*hi = c.last_event;
	}
	if (*lo <= *hi && f->has_to && f->to < UINT64_MAX && cut_after(db, f, *lo, hi, e))
		return -1;
	if (*lo <= *hi && f->has_from)
		return bisect(db, f->capture, *lo, *hi, f->from, lo, e);
	return 0;
}

/* Parameters that are not bound are NULL. */
static void bind_optional(sqlite3_stmt *stmt, int i, bool given, uint64_t value)
{
	if (given)
		sqlite3_bind_int64(stmt, i, (int64_t)value);
}

/* A string by number, kept until the next call. */
static const char *string_of(struct api_db *db, uint64_t id)
{
	sqlite3_stmt *stmt = again(db, ST_STRING);
	const char *s;

	db->string[0] = '\0';
	sqlite3_bind_int64(stmt, 1, (int64_t)id);
	if (sqlite3_step(stmt) == SQLITE_ROW) {
		s = (const char *)sqlite3_column_text(stmt, 0);
		snprintf(db->string, sizeof(db->string), "%s", s ? s : "");
	}
	sqlite3_reset(stmt);
	return db->string[0] ? db->string : NULL;
}

/* false: a kind that this program does not know. */
static bool read_row(struct api_db *db, sqlite3_stmt *stmt, struct api_event *ev)
{
	const struct event_desc *d;

	if (!db_read_event(stmt, &ev->row, &ev->ev))
		return false;
	if (sqlite3_column_type(stmt, EVENT_COLUMNS_END) != SQLITE_NULL)
		ev->ev.tid = (uint32_t)column_u64(stmt, EVENT_COLUMNS_END);
	ev->comm = (const char *)sqlite3_column_text(stmt, EVENT_COLUMNS_END + 1);
	ev->string = NULL;
	d = &event_table[ev->ev.kind];
	for (unsigned i = 0; i < d->nfields; i++)
		if (d->field[i].type == FIELD_STR && !(ev->ev.missing & 1u << i))
			ev->string = string_of(db, ev->ev.f[i]);
	return true;
}

/* One window: lo to hi. *last: the last id given to fn. 0, -1, or what fn returned. */
static int read_window(struct api_db *db, const struct api_filter *f, uint64_t lo, uint64_t hi,
		       int (*fn)(void *ctx, const struct api_event *ev), void *ctx, size_t *n, uint64_t *last,
		       struct error *e)
{
	sqlite3_stmt *stmt = again(db, f->descending ? ST_EVENTS_DESC : ST_EVENTS);
	struct api_event ev;
	int rc, ret = 0;

	sqlite3_bind_int64(stmt, 1, (int64_t)lo);
	sqlite3_bind_int64(stmt, 2, (int64_t)hi);
	bind_optional(stmt, 3, f->capture, f->capture);
	bind_optional(stmt, 4, f->kinds, f->kinds);
	bind_optional(stmt, 5, f->has_from, f->from);
	bind_optional(stmt, 6, f->has_to, f->to);
	bind_optional(stmt, 7, f->has_domain, f->domain);
	bind_optional(stmt, 8, f->has_iopt, f->iopt);
	sqlite3_bind_int64(stmt, 9, (int64_t)f->limit);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		*last = column_u64(stmt, 0);
		db->guard.rows++;
		++*n;
		if (!read_row(db, stmt, &ev))
			continue;
		ret = fn(ctx, &ev);
		if (ret)
			break;
	}
	return finish(db, stmt, rc, e) ? -1 : ret;
}

int api_db_events(struct api_db *db, const struct api_filter *f, int (*fn)(void *ctx, const struct api_event *ev),
		  void *ctx, uint64_t *next, bool *more, struct error *e)
{
	uint64_t lo, hi, edge, last = 0;
	struct position p;
	size_t n = 0;
	int ret;

	*next = f->has_after ? f->after : 0;
	*more = false;
	if (id_range(db, f, &lo, &hi, e))
		return -1;
	if (f->has_after && !f->descending && f->after >= lo)
		lo = f->after + 1;
	if (f->has_after && f->descending && f->after && f->after <= hi)
		hi = f->after - 1;
	if (lo > hi)
		return 0;
	/* skips what retention deleted, so that no window is wasted on it */
	ret = event_at(db, f->descending ? hi : lo, f->descending, &p, e);
	if (ret <= 0)
		return ret;
	if (p.id < lo || p.id > hi)
		return 0;
	if (f->descending) {
		hi = p.id;
		edge = hi - lo >= WINDOW ? hi - WINDOW + 1 : lo;
	} else {
		lo = p.id;
		edge = hi - lo >= WINDOW ? lo + WINDOW - 1 : hi;
	}
	ret = read_window(db, f, f->descending ? edge : lo, f->descending ? hi : edge, fn, ctx, &n, &last, e);
	*next = n == f->limit ? last : edge;
	*more = *next != (f->descending ? lo : hi);
	return ret;
}
