/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sweep.h. */
#include "trace/store/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/store/rows.h"
#include "trace/store/trim.h"

#define MOST_NUMBERS (UINT64_C(1) << 28) /* of a range: 32 MiB of bits */

struct sweep {
	struct store_sweep *w;
	struct store *s;
	sqlite3_stmt *comm; /* of a task */
	bool at_end;	    /* all events were read */
};

static void clear_marks(struct store_marks *m)
{
	free(m->bits);
	*m = (struct store_marks){.from = m->from};
}

void store_sweep_clear(struct store_sweep *w)
{
	w->running = false;
	w->next_event = 0;
	clear_marks(&w->task);
	clear_marks(&w->string);
}

/* ---- marks ---- */

static bool is_marked(const struct store_marks *m, uint64_t number)
{
	uint64_t i = number - m->first;

	return i < m->room && m->bits[i / 8] >> (i % 8) & 1;
}

/* 1: it had no mark, or is out of the range; 0: it had one; -1: out of memory. */
static int mark(struct store_marks *m, uint64_t number)
{
	size_t room = m->room ? m->room : 4096;
	uint8_t *grown;

	if (number < m->first || number > m->last)
		return 1;
	if (is_marked(m, number))
		return 0;
	number -= m->first;
	while (room <= number)
		room *= 2;
	if (room > m->room) {
		grown = realloc(m->bits, room / 8);
		if (!grown)
			return -1;
		memset(grown + m->room / 8, 0, (room - m->room) / 8);
		m->bits = grown;
		m->room = room;
	}
	m->bits[number / 8] |= (uint8_t)(1u << (number % 8));
	return 1;
}

static int mark_failed(struct sweep *p, struct error *e)
{
	return error_set(e, "%s: sweeping strings and tasks: out of memory", store_path(p->s));
}

/* Marks a task and the string of its name. */
static int mark_task(struct sweep *p, uint64_t task, struct error *e)
{
	uint64_t comm = 0;
	int rc = mark(&p->w->task, task);

	if (rc <= 0)
		return rc ? mark_failed(p, e) : 0;
	sqlite3_bind_int64(p->comm, 1, (int64_t)task);
	rc = sqlite3_step(p->comm);
	if (rc == SQLITE_ROW)
		comm = (uint64_t)sqlite3_column_int64(p->comm, 0);
	sqlite3_reset(p->comm);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return store_error(p->s, "reading tasks", e);
	return comm && mark(&p->w->string, comm) < 0 ? mark_failed(p, e) : 0;
}

static int mark_row(struct sweep *p, sqlite3_stmt *scan, struct error *e)
{
	const struct event_desc *d;
	struct event_row row;
	struct event ev;

	if (!db_read_event(scan, &row, &ev))
		return error_set(e, "%s: events of kind %u are not known: nothing is swept", store_path(p->s),
				 (unsigned)row.kind);
	if (row.has_task && mark_task(p, (uint64_t)row.task, e))
		return -1;
	d = &event_table[ev.kind];
	for (unsigned i = 0; i < d->nfields; i++)
		if (d->field[i].type == FIELD_STR && !(ev.missing & 1u << i) && mark(&p->w->string, ev.f[i]) < 0)
			return mark_failed(p, e);
	return 0;
}

/* Marks what the next rows refer to. */
static int scan(struct sweep *p, size_t rows, struct error *e)
{
	sqlite3_stmt *stmt =
		store_statement(p->s, "SELECT " EVENT_COLUMNS " FROM event e WHERE id >= ?1 ORDER BY id LIMIT ?2", e);
	size_t n = 0;
	int rc;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)p->w->next_event);
	sqlite3_bind_int64(stmt, 2, (int64_t)rows);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (mark_row(p, stmt, e))
			break;
		p->w->next_event = (uint64_t)sqlite3_column_int64(stmt, 0) + 1;
		n++;
	}
	p->at_end = rc == SQLITE_DONE && n < rows;
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		store_error(p->s, "reading events", e);
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* ---- deleting ---- */

/* Deletes unmarked ones among the next rows of a table. Returns how many rows it checked, or -1. */
static int64_t delete_some(struct sweep *p, struct store_marks *m, const char *next_sql, const char *delete_sql,
			   size_t max, struct error *e)
{
	sqlite3_stmt *next = store_statement(p->s, next_sql, e), *delete = NULL;
	int64_t n = 0;
	int rc = SQLITE_DONE;

	if (next)
		delete = store_statement(p->s, delete_sql, e);
	for (; delete &&m->next <= m->last && (size_t)n < max; n++) {
		sqlite3_bind_int64(next, 1, (int64_t)m->next);
		rc = sqlite3_step(next);
		m->next = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(next, 0) : m->last + 1;
		sqlite3_reset(next);
		if (rc == SQLITE_ROW && m->next <= m->last && !is_marked(m, m->next)) {
			sqlite3_bind_int64(delete, 1, (int64_t)m->next);
			rc = sqlite3_step(delete);
			sqlite3_reset(delete);
		}
		if (rc != SQLITE_DONE && rc != SQLITE_ROW)
			break;
		m->next++;
	}
	if (!delete)
		n = -1;
	else if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		n = store_error(p->s, "deleting strings and tasks", e);
	sqlite3_finalize(delete);
	sqlite3_finalize(next);
	return n;
}

/* In a transaction, with all events read. */
static int delete_unmarked(struct sweep *p, size_t rows, struct error *e)
{
	int64_t n = delete_some(p, &p->w->task, "SELECT id FROM task WHERE id >= ?1 ORDER BY id LIMIT 1",
				"DELETE FROM task WHERE id = ?1", rows, e);

	if (n >= 0 && (size_t)n < rows)
		n = delete_some(p, &p->w->string, "SELECT id FROM string WHERE id >= ?1 ORDER BY id LIMIT 1",
				"DELETE FROM string WHERE id = ?1", rows - (size_t)n, e);
	return n < 0 ? -1 : 0;
}

static int sweep_locked(struct sweep *p, size_t rows, struct error *e)
{
	if (store_begin(p->s, e))
		return -1;
	if (scan(p, rows, e) || (p->at_end && delete_unmarked(p, rows, e))) {
		store_rollback(p->s);
		return -1;
	}
	if (store_commit(p->s, e))
		return -1;
	store_forget(p->s);
	return p->w->string.next <= p->w->string.last;
}

/* ---- steps ---- */

/* The range of a table's numbers for this sweep. */
static int choose_range(struct sweep *p, struct store_marks *m, const char *table, struct error *e)
{
	int64_t first = 0, highest;
	char sql[96];

	snprintf(sql, sizeof(sql), "SELECT max(id) FROM %s", table);
	if (store_number(p->s, sql, &highest, e))
		return -1;
	if (m->from) {
		snprintf(sql, sizeof(sql), "SELECT min(id) FROM %s WHERE id >= %" PRIu64, table, m->from);
		if (store_number(p->s, sql, &first, e))
			return -1;
	}
	snprintf(sql, sizeof(sql), "SELECT min(id) FROM %s", table);
	if (!first && store_number(p->s, sql, &first, e))
		return -1;
	m->first = m->next = first > 0 ? (uint64_t)first : 1;
	m->last = highest > 0 ? (uint64_t)highest : 0;
	m->from = 0;
	if (m->last >= m->first && m->last - m->first >= MOST_NUMBERS) {
		m->last = m->first + MOST_NUMBERS - 1;
		m->from = m->last + 1;
	}
	return 0;
}

static int begin(struct sweep *p, struct error *e)
{
	if (choose_range(p, &p->w->task, "task", e) || choose_range(p, &p->w->string, "string", e))
		return -1;
	p->w->running = true;
	return 0;
}

int store_sweep_step(struct store_sweep *w, struct store *s, size_t rows, struct error *e)
{
	struct sweep p = {.w = w, .s = s};
	int rc = w->running ? 0 : begin(&p, e);

	if (!rc) {
		p.comm = store_statement(p.s, "SELECT comm FROM task WHERE id = ?1", e);
		rc = p.comm ? scan(&p, rows, e) : -1;
	}
	if (!rc)
		rc = p.at_end ? sweep_locked(&p, rows, e) : 1;
	sqlite3_finalize(p.comm);
	if (rc <= 0)
		store_sweep_clear(w);
	return rc;
}

static int mark_cause(struct store_sweep *w, struct store *s, struct error *e)
{
	int64_t cause;

	if (store_number(s, "SELECT ifnull(max(id), 0) FROM string WHERE text = '" STORE_TRIM_CAUSE "'", &cause, e))
		return -1;
	return cause && mark(&w->string, (uint64_t)cause) < 0 ? error_set(e, "%s: out of memory", store_path(s)) : 0;
}

int store_sweep_trimmed(struct store_sweep *w, struct store *s, struct error *e)
{
	int64_t last;

	if (!w->running)
		return 0;
	/* the mark in their place may stand among events that were read */
	if (store_number(s, "SELECT max(id) FROM event", &last, e) || mark_cause(w, s, e)) {
		store_sweep_clear(w);
		return -1;
	}
	if (w->next_event > (uint64_t)last + 1)
		w->next_event = (uint64_t)last + 1;
	return 0;
}
