/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the store: transactions, captures and events; see store.h. create.c opens it; known.c has strings and tasks.
 *
 * Nothing is allocated per event: each kind has a prepared statement that binds only the columns of the kind.
 *
 * Ids of events are given here, counting up from the largest. The events of a capture lie between its first_event and
 * last_event, in order of time; if two processes write in turns, events of another capture may lie between them.
 */
#include "trace/store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/store/write.h"

/* ---- transactions ---- */

/* The reason why the last call of SQLite failed, 0 if it did not. */
static int failure_code(const struct store *s)
{
	int code = sqlite3_extended_errcode(s->db);

	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : code;
}

int store_begin(struct store *s, struct error *e)
{
	if (s->in_transaction)
		return error_set(e, "%s: a transaction is open already", s->path);
	s->code = 0;
	if (db_exec(s->db, s->path, "BEGIN IMMEDIATE", "locking", e)) {
		s->code = failure_code(s);
		return -1;
	}
	s->in_transaction = true;
	s->saved = s->row;
	s->saved_open = s->open;
	if (known_learn(s, e)) {
		store_rollback(s);
		return -1;
	}
	return 0;
}

void store_rollback(struct store *s)
{
	if (!s->in_transaction)
		return;
	s->code = failure_code(s);
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done so itself after an error */
	s->in_transaction = false;
	s->stale = true;
	s->row = s->saved;
	s->open = s->saved_open;
}

/* Writes the capture's row. */
static int update_capture(struct store *s, struct error *e)
{
	return db_update_capture(s->db, s->path, &s->update_capture, &s->row, e);
}

int store_commit(struct store *s, struct error *e)
{
	if (!s->in_transaction)
		return error_set(e, "%s: no transaction is open", s->path);
	if ((s->open && update_capture(s, e)) || db_exec(s->db, s->path, "COMMIT", "writing", e)) {
		store_rollback(s);
		return -1;
	}
	s->in_transaction = false;
	s->created = false;
	return 0;
}

/* ---- captures and events ---- */

/* The texts of the capture are kept by the store. */
static int keep(struct store *s, struct capture *c, struct error *e)
{
	return capture_keep(c, s->texts) ? error_set(e, "%s: out of memory", s->path) : 0;
}

static int insert_capture(struct store *s, struct error *e)
{
	const struct capture *c = &s->row.c;
	sqlite3_stmt *stmt;
	unsigned i;

	stmt = store_prepared(s, &s->insert_capture,
			      "INSERT INTO capture (source, format, host, kernel, clock, probes, state, note, id, "
			      "page_size, events, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 4096, 0, ?10)",
			      e);
	if (!stmt)
		return -1;
	for (i = 0; i < CAPTURE_TEXTS; i++)
		sqlite3_bind_text(stmt, (int)i + 1, capture_get(c, i), -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 9, (int64_t)c->id);
	sqlite3_bind_int64(stmt, 10, (int64_t)sum_capture(&s->row));
	sqlite3_step(stmt);
	if (sqlite3_reset(stmt) != SQLITE_OK)
		return db_error(s->db, s->path, "writing the capture", e);
	return 0;
}

int store_capture_begin(struct store *s, const struct capture *c, uint64_t *id, struct error *e)
{
	struct capture *own = &s->row.c;
	int64_t largest;

	if (!s->in_transaction || s->open)
		return error_set(e, "%s: %s", s->path, s->open ? "a capture is open already" : "no transaction is open");
	if (db_number(s->db, s->path, "SELECT max(id) FROM capture", &largest, e))
		return -1;
	memset(&s->row, 0, sizeof(s->row));
	*own = *c;
	own->id = (uint64_t)largest + 1;
	own->state = "recording";
	own->note = "";
	if (c->origin && c->origin[0]) /* a database copies events as they are */
		own->format = c->origin;
	own->origin = NULL;
	if (keep(s, own, e) || insert_capture(s, e))
		return -1;
	s->map_of = NULL;
	s->open = true;
	if (id)
		*id = own->id;
	return 0;
}

int store_capture_dropped(struct store *s, const struct dropped *d, struct error *e)
{
	if (!s->in_transaction || !s->open)
		return error_set(e, "%s: no capture or no transaction is open", s->path);
	s->row.dropped = *d;
	return 0;
}

/* The note, with the number of events without names. Free it with sqlite3_free(); NULL: out of memory. */
static char *whole_note(const struct store *s, const char *note)
{
	const struct capture_row *r = &s->row;
	const struct {
		uint64_t n;
		const char *what;
	} part[] = {
		{r->unnamed, "events without the name of their command or device, for which the database had no room"},
		{r->dropped.unnamed, "records without the name of their command, for which memory had no room"},
		{r->dropped.doubtful_names,
		 "records without the name of their command, which another thread's name may have forged"},
	};
	char *whole = sqlite3_mprintf("%s", note);
	size_t i;

	for (i = 0; i < sizeof(part) / sizeof(part[0]) && whole; i++)
		if (part[i].n)
			whole = sqlite3_mprintf("%z%s%s: %llu", whole, whole[0] ? "; " : "", part[i].what,
						(unsigned long long)part[i].n);
	return whole;
}

int store_capture_end(struct store *s, const char *state, const char *note, struct error *e)
{
	char *whole;
	int rc;

	if (!s->in_transaction || !s->open)
		return error_set(e, "%s: no capture or no transaction is open", s->path);
	whole = whole_note(s, note);
	if (!whole)
		return error_set(e, "%s: out of memory", s->path);
	s->row.c.state = state;
	s->row.c.note = whole;
	rc = keep(s, &s->row.c, e) || update_capture(s, e);
	sqlite3_free(whole);
	if (rc)
		return -1;
	s->open = false;
	return 0;
}

int store_capture_resume(struct store *s, uint64_t id, struct error *e)
{
	struct capture_row row;
	struct intern *texts;
	int rc;

	if (!s->in_transaction || (s->open && s->row.c.id != id))
		return error_set(e, "%s: %s", s->path, s->open ? "a capture is open already" : "no transaction is open");
	texts = intern_new();
	if (!texts)
		return error_set(e, "%s: out of memory", s->path);
	rc = db_load_capture(s->db, s->path, texts, id, &row, e);
	if (rc > 0 && strcmp(row.c.state, "recording")) {
		rc = 0;
	} else if (rc > 0) {
		row.sum -= sum_capture(&row);
		if (keep(s, &row.c, e)) {
			rc = -1;
		} else {
			s->map_of = s->open ? s->map_of : NULL;
			row.unnamed = s->open ? s->row.unnamed : 0;
			s->row = row;
			s->open = true;
		}
	}
	intern_free(texts);
	return rc;
}

uint64_t store_unnamed(const struct store *s)
{
	return s->row.unnamed;
}

void store_set_unnamed(struct store *s, uint64_t n)
{
	s->row.unnamed = n;
}

uint64_t store_last_event(const struct store *s)
{
	return s->row.last_event;
}

int store_code(const struct store *s)
{
	return s->code;
}

void store_busy_ms(struct store *s, int ms)
{
	sqlite3_busy_timeout(s->db, ms);
}

sqlite3 *store_handle(struct store *s)
{
	return s->db;
}

sqlite3_stmt *store_prepared(struct store *s, sqlite3_stmt **stmt, const char *sql, struct error *e)
{
	if (!*stmt)
		*stmt = db_prepare(s->db, s->path, sql, e);
	return *stmt;
}

/* The insert statement of a kind: capture, id, t, cpu, task, then the kind's fields. */
static sqlite3_stmt *insert_of(struct store *s, unsigned kind, struct error *e)
{
	unsigned i, n = event_table[kind].nfields;
	sqlite3_str *str;
	char *sql;

	if (s->insert[kind])
		return s->insert[kind];
	str = sqlite3_str_new(s->db);
	sqlite3_str_appendf(str, "INSERT INTO event (capture, id, t, cpu, task, kind");
	for (i = 0; i < n; i++)
		sqlite3_str_appendf(str, ", f%u", i);
	sqlite3_str_appendf(str, ") VALUES (?1, ?2, ?3, ?4, ?5, %u", kind);
	for (i = 0; i < n; i++)
		sqlite3_str_appendf(str, ", ?%u", 6 + i);
	sqlite3_str_appendchar(str, 1, ')');
	sql = sqlite3_str_finish(str);
	if (!sql) {
		error_set(e, "%s: out of memory", s->path);
		return NULL;
	}
	s->insert[kind] = db_prepare(s->db, s->path, sql, e);
	sqlite3_free(sql);
	return s->insert[kind];
}

/* About an event's row: the share of its strings in the sum, and what could not be stored. */
struct stored {
	uint64_t sum;
	uint16_t missing; /* fields */
	bool no_comm;
};

static inline int bind_field(struct store *s, sqlite3_stmt *stmt, const struct event *ev, unsigned i,
			     const struct intern *strings, struct stored *st, struct error *e)
{
	uint64_t v = ev->f[i];
	uint32_t own;

	if (ev->missing & 1u << i) {
		sqlite3_bind_null(stmt, 6 + (int)i);
		return 0;
	}
	if (event_table[ev->kind].field[i].type == FIELD_STR) {
		own = known_map(s, strings, v, MOST_STRINGS, e);
		if (!own)
			return -1;
		if (own == NO_STRING) { /* every string is optional */
			st->missing |= (uint16_t)(1u << i);
			sqlite3_bind_null(stmt, 6 + (int)i);
			return 0;
		}
		st->sum += s->known[own].sum * sum_key[6 + i];
		v = (uint64_t)s->known[own].id;
	}
	sqlite3_bind_int64(stmt, 6 + (int)i, (int64_t)v);
	return 0;
}

/* The task of an event: NULL in *task if it is unknown. 0 or -1. */
static int take_task(struct store *s, const struct event *ev, const struct intern *strings, const struct task **task,
		     struct stored *st, struct error *e)
{
	uint32_t comm = 0;

	*task = NULL;
	if (ev->comm) {
		comm = known_map(s, strings, ev->comm, MOST_NAMES, e);
		if (!comm)
			return -1;
		st->no_comm = comm == NO_STRING;
	}
	if (st->no_comm)
		comm = 0;
	if (!comm && ev->tid == EVENT_NO_TID)
		return 0;
	*task = known_task(s, ev->tid, comm, e);
	if (!*task)
		return -1;
	st->no_comm |= comm && !(*task)->comm;
	return 0;
}

/* The event as a reader will get it. */
static uint64_t sum_stored(const struct event *ev, uint64_t id, const struct task *task, const struct stored *st)
{
	struct event lacking;

	if (!st->missing)
		return sum_event(ev, id, task ? task->sum : 0, st->sum);
	lacking = *ev;
	lacking.missing |= st->missing;
	return sum_event(&lacking, id, task ? task->sum : 0, st->sum);
}

static int append(struct store *s, const struct event *ev, const struct intern *strings, struct error *e)
{
	struct capture_row *r = &s->row;
	const struct task *task;
	struct stored st = {0};
	sqlite3_stmt *stmt;
	unsigned i;

	stmt = ev->kind && ev->kind < EV_KINDS && event_table[ev->kind].name ? insert_of(s, ev->kind, e) : NULL;
	if (!stmt)
		return error_set(e, "%s: writing: event kind %u is not known", s->path, ev->kind);
	if (r->events && ev->t < r->last_t)
		return error_set(e, "%s: writing: %s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64,
				 s->path, event_table[ev->kind].name, ev->t, r->last_t);
	if (known_trim(s, e) || take_task(s, ev, strings, &task, &st, e))
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)r->c.id);
	sqlite3_bind_int64(stmt, 2, (int64_t)s->next_event);
	sqlite3_bind_int64(stmt, 3, (int64_t)ev->t);
	if (ev->cpu != EVENT_NO_CPU)
		sqlite3_bind_int64(stmt, 4, ev->cpu);
	else
		sqlite3_bind_null(stmt, 4);
	if (task)
		sqlite3_bind_int64(stmt, 5, task->id);
	else
		sqlite3_bind_null(stmt, 5);
	for (i = 0; i < event_table[ev->kind].nfields; i++)
		if (bind_field(s, stmt, ev, i, strings, &st, e))
			return -1;
	sqlite3_step(stmt);
	if (sqlite3_reset(stmt) != SQLITE_OK)
		return db_error(s->db, s->path, "writing events", e);
	if (!r->events++) {
		r->first_t = ev->t;
		r->first_event = s->next_event;
	}
	r->last_t = ev->t;
	r->last_event = s->next_event;
	r->sum += sum_stored(ev, s->next_event++, task, &st);
	r->unnamed += st.missing || st.no_comm;
	return 0;
}

int store_append(struct store *s, const struct event *ev, size_t n, const struct intern *strings, struct error *e)
{
	size_t i;

	if (!s->in_transaction || !s->open)
		return error_set(e, "%s: no capture or no transaction is open", s->path);
	known_use(s, strings);
	for (i = 0; i < n; i++)
		if (append(s, &ev[i], strings, e))
			return -1;
	return 0;
}

int store_captures(struct store *s, int (*fn)(void *ctx, const struct store_capture *c), void *ctx, struct error *e)
{
	struct capture_row *rows = NULL;
	struct intern *texts;
	struct store_capture c;
	struct budget budget;
	size_t i, n = 0;
	int rc = 0;

	source_budget(&budget);
	texts = intern_new_within(&budget);
	if (!texts)
		return error_set(e, "%s: out of memory", s->path);
	if (db_load_captures(s->db, s->path, texts, &rows, &n, &budget, e))
		rc = -1;
	for (i = 0; i < n && !rc; i++) {
		c.c = rows[i].c;
		c.events = rows[i].events;
		c.first_t = rows[i].first_t;
		c.dropped = rows[i].dropped;
		c.last_t = rows[i].last_t;
		rc = fn(ctx, &c);
	}
	free(rows);
	intern_free(texts);
	return rc;
}
