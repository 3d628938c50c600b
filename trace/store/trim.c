/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deleting the beginnings of captures; see trim.h.
 *
 * The sum of a capture is a plain sum over its events (rows.h), so deleted events are read once more and subtracted.
 * The mark gets the id of the last event that it replaces, and a second mark that of the event before: ids still rise,
 * and nothing else changes.
 */
#include "trace/store/trim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "trace/store/rows.h"

struct trim {
	struct store *store;
	sqlite3_stmt *text; /* of a string */
	struct capture_row row;
	struct intern *texts;		/* of row */
	uint64_t rows, last_id, last_t; /* read so far */
	uint64_t previous_id;		/* of the row before the last */
	uint64_t marks;			/* rows with which it began that are marks */
	uint64_t records, unknown;	/* that the new marks will stand for */
	uint64_t sum;			/* of the rows */
	char note[512];
};

/* The sum of a string's text; one that is not there counts as the reader counts it: it refuses. */
static int string_sum(struct trim *t, int64_t id, uint64_t *sum, bool *is_mark, struct error *e)
{
	const char *text;
	int rc;

	sqlite3_bind_int64(t->text, 1, id);
	rc = sqlite3_step(t->text);
	if (rc == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(t->text, 0);
		*sum = sum_text(text);
		*is_mark = text && !strcmp(text, STORE_TRIM_CAUSE);
	} else if (rc != SQLITE_DONE) {
		store_error(t->store, "reading strings", e);
	}
	sqlite3_reset(t->text);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Adds the records that an event or a mark stands for. */
static void count_records(struct trim *t, const struct event *ev)
{
	if (ev->kind != EV_lost)
		t->records = number_sum(t->records, 1);
	else if (!event_has(ev, lost, count))
		t->unknown++;
	else
		t->records = number_sum(t->records, ev->lost.count);
}

/* What is selected behind the event: tid, comm's text. */
static int take_row(struct trim *t, sqlite3_stmt *scan, struct error *e)
{
	uint64_t task = 0, strings = 0, sum;
	const struct event_desc *d;
	bool is_mark = false;
	struct event_row row;
	struct event ev;
	unsigned i;

	if (!db_read_event(scan, &row, &ev))
		return error_set(e, "%s: event id %" PRIu64 ": kind %u is not known: the database is damaged",
				 store_path(t->store), row.id, (unsigned)row.kind);
	if (sqlite3_column_type(scan, EVENT_COLUMNS_END) != SQLITE_NULL)
		ev.tid = (uint32_t)sqlite3_column_int64(scan, EVENT_COLUMNS_END);
	if (row.has_task)
		task = sum_task(ev.tid, sum_text((const char *)sqlite3_column_text(scan, EVENT_COLUMNS_END + 1)));
	d = &event_table[ev.kind];
	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].type != FIELD_STR || ev.missing & 1u << i)
			continue;
		sum = 0;
		if (string_sum(t, (int64_t)ev.f[i], &sum, &is_mark, e))
			return -1;
		strings += sum * sum_key[6 + i];
	}
	t->sum += sum_event(&ev, row.id, task, strings);
	if (t->marks == t->rows && ev.kind == EV_lost && is_mark)
		t->marks++;
	count_records(t, &ev);
	t->rows++;
	t->previous_id = t->last_id;
	t->last_id = row.id;
	t->last_t = ev.t;
	return 0;
}

static int read_rows(struct trim *t, uint64_t before_t, size_t max, struct error *e)
{
	sqlite3_stmt *scan = store_statement(
		t->store,
		"SELECT " EVENT_COLUMNS
		", k.tid, s.text FROM event e LEFT JOIN task k ON k.id = e.task LEFT JOIN string s ON s.id = k.comm WHERE e.id BETWEEN ?1 AND ?2 "
		"AND e.capture = ?3 ORDER BY e.id LIMIT ?4",
		e);
	int rc = SQLITE_DONE, ret = -1;

	if (!scan)
		return -1;
	t->text = store_statement(t->store, "SELECT text FROM string WHERE id = ?1", e);
	if (!t->text)
		goto out;
	sqlite3_bind_int64(scan, 1, (int64_t)t->row.first_event);
	sqlite3_bind_int64(scan, 2, (int64_t)t->row.last_event);
	sqlite3_bind_int64(scan, 3, (int64_t)t->row.c.id);
	sqlite3_bind_int64(scan, 4, max < INT32_MAX ? (int64_t)max : INT32_MAX);
	while ((rc = sqlite3_step(scan)) == SQLITE_ROW) {
		if ((uint64_t)sqlite3_column_int64(scan, 2) >= before_t)
			break;
		if (take_row(t, scan, e))
			goto out;
	}
	ret = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : store_error(t->store, "reading events", e);
out:
	sqlite3_finalize(t->text);
	sqlite3_finalize(scan);
	return ret;
}

/* Runs a statement with up to three numbers. */
static int run(struct trim *t, const char *sql, uint64_t a, uint64_t b, uint64_t c, struct error *e)
{
	sqlite3_stmt *stmt = store_statement(t->store, sql, e);
	const uint64_t number[] = {a, b, c};
	int i, n;

	if (!stmt)
		return -1;
	n = sqlite3_bind_parameter_count(stmt);
	for (i = 0; i < n && i < 3; i++)
		sqlite3_bind_int64(stmt, i + 1, (int64_t)number[i]);
	sqlite3_step(stmt);
	if (sqlite3_finalize(stmt) != SQLITE_OK)
		return store_error(t->store, "deleting old events", e);
	return 0;
}

/* Writes a mark: for all counted records, or for an unknown number. */
static int insert_mark(struct trim *t, uint64_t id, bool unknown, struct error *e)
{
	struct event ev = {.t = t->last_t, .cpu = EVENT_NO_CPU, .tid = EVENT_NO_TID, .kind = EV_lost};
	int64_t cause;

	if (store_string(t->store, STORE_TRIM_CAUSE, &cause, e))
		return -1;
	ev.lost.cause = (uint64_t)cause;
	ev.missing = EVENT_BIT(lost, since); /* nothing is known of before */
	if (unknown)
		ev.missing |= EVENT_BIT(lost, count);
	else
		ev.lost.count = t->records;
	if (store_insert_event(t->store, t->row.c.id, id, 0, &ev, "deleting old events", e))
		return -1;
	t->row.sum += sum_event(&ev, id, 0, sum_text(STORE_TRIM_CAUSE) * sum_key[6 + 1]);
	return 0;
}

/* The note, with the text about retention. */
static const char *note_of(struct trim *t, const char *note)
{
	if (strstr(note, STORE_TRIM_NOTE))
		return note;
	snprintf(t->note, sizeof(t->note), "%.400s%s%s", note, note[0] ? "; " : "", STORE_TRIM_NOTE);
	return t->note;
}

/* Loads the row of a capture; its sum becomes that of the events only. 1, 0: there is none, or -1. */
static int start(struct trim *t, struct store *s, uint64_t capture, struct error *e)
{
	int rc;

	memset(t, 0, sizeof(*t));
	t->store = s;
	t->texts = intern_new();
	if (!t->texts)
		return error_set(e, "%s: out of memory", store_path(s));
	rc = db_load_capture(store_handle(s), store_path(s), t->texts, capture, &t->row, e);
	if (rc > 0)
		t->row.sum -= sum_capture(&t->row);
	return rc;
}

static int delete_capture(struct trim *t, struct error *e)
{
	uint64_t id = t->row.c.id;

	return run(t, "DELETE FROM event WHERE id BETWEEN ?1 AND ?2 AND capture = ?3", t->row.first_event,
		   t->row.last_event, id, e) ||
			       run(t, "DELETE FROM recorder WHERE capture = ?1", id, 0, 0, e) ||
			       run(t, "DELETE FROM suspend WHERE capture = ?1", id, 0, 0, e) ||
			       run(t, "DELETE FROM capture WHERE id = ?1", id, 0, 0, e) ?
		       -1 :
		       0;
}

static int replace_rows(struct trim *t, struct error *e)
{
	struct capture_row *r = &t->row;
	bool both = t->records && t->unknown; /* of two rows at least */

	if (run(t, "DELETE FROM event WHERE id BETWEEN ?1 AND ?2 AND capture = ?3", r->first_event, t->last_id, r->c.id,
		e))
		return -1;
	r->sum -= t->sum;
	if (t->unknown && insert_mark(t, both ? t->previous_id : t->last_id, true, e))
		return -1;
	if ((both || !t->unknown) && insert_mark(t, t->last_id, false, e))
		return -1;
	r->events -= t->rows - (both ? 2 : 1);
	r->first_event = both ? t->previous_id : t->last_id;
	r->first_t = t->last_t;
	r->c.note = note_of(t, r->c.note);
	return store_update_capture(t->store, r, e);
}

int store_trim(struct store *s, uint64_t capture, uint64_t before_t, size_t max, struct store_trimmed *out,
	       struct error *e)
{
	struct trim t;
	int rc = start(&t, s, capture, e);

	memset(out, 0, sizeof(*out));
	if (rc <= 0 || !t.row.events)
		goto out;
	rc = read_rows(&t, before_t, max, e);
	if (rc)
		goto out;
	if (t.rows == t.row.events && t.last_id == t.row.last_event && strcmp(t.row.c.state, "recording")) {
		out->gone = true;
		rc = delete_capture(&t, e);
	} else if (t.rows > t.marks) {
		rc = replace_rows(&t, e);
	}
	out->events = t.rows - t.marks;
out:
	intern_free(t.texts);
	return rc < 0 ? -1 : 0;
}

int store_capture_close(struct store *s, uint64_t capture, const char *state, const char *note, struct error *e)
{
	struct trim t;
	int rc = start(&t, s, capture, e);

	if (rc > 0) {
		rc = 0;
		t.row.c.state = state;
		t.row.c.note = strstr(t.row.c.note, STORE_TRIM_NOTE) ? note_of(&t, note) : note;
		rc = store_update_capture(s, &t.row, e);
	} else if (!rc) {
		rc = error_set(e, "%s: it has no capture %" PRIu64, store_path(s), capture);
	}
	intern_free(t.texts);
	return rc;
}
