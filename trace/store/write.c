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
	s->in_transaction = true;
	s->saved = s->row;
	s->saved_open = s->open;
	if (db_exec(s->db, s->path, "BEGIN IMMEDIATE", "locking", e) || known_learn(s, e)) {
		store_rollback(s); /* SQLite may have begun all the same */
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

int store_update_capture(struct store *s, const struct capture_row *r, struct error *e)
{
	uint64_t sum = r->sum + sum_capture(r);
	sqlite3_stmt *stmt;

	stmt = store_prepared(s, &s->update_capture,
			      "UPDATE capture SET first_t = iif(?7, ?2, NULL), last_t = iif(?7, ?3, NULL), first_event "
			      "= iif(?7, ?5, NULL), last_event = iif(?7, ?6, NULL), events = ?7, sum = ?8, state = ?9, "
			      "note = ?4, failed_maps = ?10, failed_accesses = ?11, empty_unmaps = ?12, other_records = ?13 "
			      "WHERE id = ?1",
			      e);
	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)r->c.id);
	sqlite3_bind_int64(stmt, 2, (int64_t)r->first_t);
	sqlite3_bind_int64(stmt, 3, (int64_t)r->last_t);
	sqlite3_bind_text(stmt, 4, r->c.note, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 5, (int64_t)r->first_event);
	sqlite3_bind_int64(stmt, 6, (int64_t)r->last_event);
	sqlite3_bind_int64(stmt, 7, (int64_t)r->events);
	sqlite3_bind_int64(stmt, 8, (int64_t)sum);
	sqlite3_bind_text(stmt, 9, r->c.state, -1, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 10, (int64_t)r->dropped.failed_maps);
	sqlite3_bind_int64(stmt, 11, (int64_t)r->dropped.failed_accesses);
	sqlite3_bind_int64(stmt, 12, (int64_t)r->dropped.empty_unmaps);
	sqlite3_bind_int64(stmt, 13, (int64_t)r->dropped.other);
	sqlite3_step(stmt);
	if (sqlite3_reset(stmt) != SQLITE_OK)
		return db_error(s->db, s->path, "writing the capture", e);
	return 0;
}

int store_commit(struct store *s, struct error *e)
{
	if (!s->in_transaction)
		return error_set(e, "%s: no transaction is open", s->path);
	if ((s->open && store_update_capture(s, &s->row, e)) || db_exec(s->db, s->path, "COMMIT", "writing", e)) {
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

/* The note, with what the events lack, or what there was instead of them. Free it with sqlite3_free(); NULL: out of memory. */
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
		{r->dropped.no_rc, DROPPED_NO_RC},
		{r->dropped.more_entries, DROPPED_MORE_ENTRIES},
	};
	char *whole = sqlite3_mprintf("%s", note);
	size_t i;

	for (i = 0; i < sizeof(part) / sizeof(part[0]) && whole; i++)
		if (part[i].n)
			whole = sqlite3_mprintf("%z%s%s: %llu", whole, whole[0] ? "; " : "", part[i].what,
						(unsigned long long)part[i].n);
	/* beside events of ours nobody asks */
	for (i = 0; i < OTHER_EVENTS && r->dropped.other_event[i].n && !r->events && whole; i++) {
		const struct other_event *ev = &r->dropped.other_event[i];

		whole = sqlite3_mprintf("%z%s%llu %s%s%s", whole,
					i	 ? ", " :
					whole[0] ? "; " DROPPED_OTHERS :
						   DROPPED_OTHERS,
					(unsigned long long)ev->n, ev->name, ev->function[0] ? " on " : "", ev->function);
	}
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
	rc = keep(s, &s->row.c, e) || store_update_capture(s, &s->row, e);
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

sqlite3 *store_handle(struct store *s)
{
	return s->db;
}

const char *store_path(struct store *s)
{
	const char *path = sqlite3_db_filename(s->db, "main");

	return path ? path : "";
}

sqlite3_stmt *store_statement(struct store *s, const char *sql, struct error *e)
{
	return db_prepare(s->db, store_path(s), sql, e);
}

int store_number(struct store *s, const char *sql, int64_t *out, struct error *e)
{
	return db_number(s->db, store_path(s), sql, out, e);
}

int store_error(struct store *s, const char *what, struct error *e)
{
	return db_error(s->db, store_path(s), what, e);
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

static void bind_known(sqlite3_stmt *stmt, int i, bool known, int64_t v)
{
	if (known)
		sqlite3_bind_int64(stmt, i, v);
	else
		sqlite3_bind_null(stmt, i);
}

int store_insert_event(struct store *s, uint64_t capture, uint64_t id, int64_t task, const struct event *ev,
		       const char *what, struct error *e)
{
	sqlite3_stmt *stmt = insert_of(s, ev->kind, e);
	unsigned i;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)capture);
	sqlite3_bind_int64(stmt, 2, (int64_t)id);
	sqlite3_bind_int64(stmt, 3, (int64_t)ev->t);
	bind_known(stmt, 4, ev->cpu != EVENT_NO_CPU, ev->cpu);
	bind_known(stmt, 5, task, task);
	for (i = 0; i < event_table[ev->kind].nfields; i++)
		bind_known(stmt, 6 + (int)i, !(ev->missing & 1u << i), (int64_t)ev->f[i]);
	sqlite3_step(stmt);
	return sqlite3_reset(stmt) != SQLITE_OK ? db_error(s->db, s->path, what, e) : 0;
}

/* The caller's strings become the database's, or unknown where it has no room for them. What they add to the sum: *sum. */
static int take_strings(struct store *s, struct event *ev, const struct intern *strings, uint64_t *sum, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;
	uint32_t own;

	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].type != FIELD_STR || ev->missing & 1u << i)
			continue;
		own = known_map(s, strings, ev->f[i], MOST_STRINGS, e);
		if (!own)
			return -1;
		if (own == NO_STRING) { /* every string is optional */
			ev->missing |= (uint16_t)(1u << i);
			continue;
		}
		*sum += s->known[own].sum * sum_key[6 + i];
		ev->f[i] = (uint64_t)s->known[own].id;
	}
	return 0;
}

/* The task of an event: NULL in *task if it is unknown. *no_comm: its name found no room. 0 or -1. */
static int take_task(struct store *s, const struct event *ev, const struct intern *strings, const struct task **task,
		     bool *no_comm, struct error *e)
{
	uint32_t comm = 0;

	*task = NULL;
	if (ev->comm) {
		comm = known_map(s, strings, ev->comm, MOST_NAMES, e);
		if (!comm)
			return -1;
		*no_comm = comm == NO_STRING;
	}
	if (*no_comm)
		comm = 0;
	if (!comm && ev->tid == EVENT_NO_TID)
		return 0;
	*task = known_task(s, ev->tid, comm, e);
	if (!*task)
		return -1;
	*no_comm |= comm && !(*task)->comm;
	return 0;
}

static int append(struct store *s, const struct event *ev, const struct intern *strings, struct error *e)
{
	struct event stored = *ev; /* as it is read again */
	struct capture_row *r = &s->row;
	const struct task *task;
	uint64_t strings_sum = 0;
	bool no_comm = false;

	if (!ev->kind || ev->kind >= EV_KINDS || !event_table[ev->kind].name)
		return error_set(e, "%s: writing: event kind %u is not known", s->path, ev->kind);
	if (r->events && ev->t < r->last_t)
		return error_set(e, "%s: writing: %s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64,
				 s->path, event_table[ev->kind].name, ev->t, r->last_t);
	if (known_trim(s, e) || take_task(s, ev, strings, &task, &no_comm, e) ||
	    take_strings(s, &stored, strings, &strings_sum, e) ||
	    store_insert_event(s, r->c.id, s->next_event, task ? task->id : 0, &stored, "writing events", e))
		return -1;
	if (!r->events++) {
		r->first_t = ev->t;
		r->first_event = s->next_event;
	}
	r->last_t = ev->t;
	r->last_event = s->next_event;
	r->sum += sum_event(&stored, s->next_event++, task ? task->sum : 0, strings_sum);
	r->unnamed += stored.missing != ev->missing || no_comm;
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
