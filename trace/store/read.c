/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database as a source; see store.h and rows.h.
 *
 * Everything is read in one read transaction, so a database that is being written gives a consistent picture. The rows
 * of captures are read when it is opened. Each capture is one scan of event, in order of id, from its first to its last
 * event; strings and tasks are looked up when events name them (names.h). There is no join and no index, and columns
 * that the event's kind does not have are not read.
 *
 * A capture in state "recording" whose file no recorder has locked is given as "cut-off": its recorder died. The row stays as
 * it is until the next recorder closes it.
 *
 * Damage never passes as data: ids must rise, strings and tasks must exist, each event must be possible, and at the end
 * of a capture the number of events and the sum of their hashes must equal those in its row.
 */
#include "trace/store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/caller.h"
#include "trace/store/names.h"
#include "trace/store/rows.h"

struct store_source {
	struct source source;
	sqlite3 *db;
	int fd;		 /* of the file: closed after db, or SQLite's locks would end; -1: none */
	bool unrecorded; /* no recorder has locked it */
	struct db_guard guard;
	sqlite3_stmt *scan;
	struct intern *texts; /* of captures */
	struct capture_row *row;
	size_t rows, next; /* next: the capture to begin next; the current one is row[next - 1] */
	struct store_names *names;
	bool ended, failed;   /* the current capture, the source */
	struct error error;   /* to be given by the next read */
	uint64_t events, sum; /* of the current capture so far */
	uint64_t no_domain;   /* of these: without a domain */
	uint64_t last_id, last_t;
	uint64_t total, done; /* events of all captures */
};

static struct store_source *store_source(struct source *s)
{
	return (struct store_source *)s;
}

/* ---- opening ---- */

static int by_first_event(const void *a, const void *b)
{
	const struct capture_row *const *x = a, *const *y = b;

	return (*x)->first_event < (*y)->first_event ? -1 : (*x)->first_event > (*y)->first_event;
}

/* Checks that no event lies between lo and hi. */
static int check_gap(struct store_source *s, sqlite3_stmt *stmt, uint64_t lo, uint64_t hi, struct error *e)
{
	int rc;

	if (lo > hi)
		return 0;
	sqlite3_bind_int64(stmt, 1, (int64_t)lo);
	sqlite3_bind_int64(stmt, 2, (int64_t)hi);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		error_set(e, "%s: event id %lld: belongs to no capture: the database is damaged", s->source.path,
			  sqlite3_column_int64(stmt, 0));
	else if (rc != SQLITE_DONE)
		db_error(s->db, s->source.path, "reading events", e);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* Checks that every event is in the range of a capture; otherwise the row of a capture is lost. */
static int check_captures(struct store_source *s, struct error *e)
{
	const size_t room = (s->rows + 1) * sizeof(const struct capture_row *);
	const struct capture_row **sorted = budget_alloc(&s->source.budget, room);
	sqlite3_stmt *stmt = NULL;
	uint64_t next = 0; /* events below it are accounted for */
	size_t i;
	int rc = -1;

	if (!sorted)
		return error_set(e, "%s: %zu captures: %s", s->source.path, s->rows, budget_failure(&s->source.budget));
	stmt = db_prepare(s->db, s->source.path, "SELECT id FROM event NOT INDEXED WHERE id BETWEEN ?1 AND ?2 LIMIT 1",
			  e);
	if (!stmt)
		goto out;
	for (i = 0; i < s->rows; i++)
		sorted[i] = &s->row[i];
	qsort(sorted, s->rows, sizeof(const struct capture_row *), by_first_event);
	for (i = 0; i < s->rows; i++) {
		const struct capture_row *r = sorted[i];

		if (!r->events)
			continue;
		if (!r->first_event || r->first_event > r->last_event || r->last_event > INT64_MAX - 1 ||
		    r->events > r->last_event - r->first_event + 1) {
			error_set(e, "%s: capture %" PRIu64 ": impossible range of events: the database is damaged",
				  s->source.path, r->c.id);
			goto out;
		}
		if (r->first_event > next && check_gap(s, stmt, next, r->first_event - 1, e))
			goto out;
		if (r->last_event >= next)
			next = r->last_event + 1;
		s->total += r->events;
	}
	rc = check_gap(s, stmt, next, INT64_MAX, e);
out:
	sqlite3_finalize(stmt);
	budget_free(&s->source.budget, sorted, room);
	return rc;
}

/*
 * Whether no recorder holds its lock on the file, which ends with its process. Asked only if a capture seems to be recorded,
 * after that was read: a recorder that begins waits a moment for this lock.
 */
static bool is_unrecorded(const struct store_source *s)
{
	bool any = false;
	size_t i;

	for (i = 0; i < s->rows; i++)
		any |= !strcmp(s->row[i].c.state, "recording");
	if (!any || s->fd < 0 || flock(s->fd, LOCK_SH | LOCK_NB))
		return false;
	flock(s->fd, LOCK_UN);
	return true;
}

/* Whether a recorder made the capture; an import that is under way has none, and no lock. */
static bool has_recorder(struct store_source *s, const struct capture_row *r)
{
	struct error ignored = {""};
	int64_t pid = 0;
	char sql[96];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM recorder WHERE capture = %" PRIu64, r->c.id);
	return !strcmp(r->c.format, "live") || (!db_number(s->db, s->source.path, sql, &pid, &ignored) && pid);
}

static int load(struct store_source *s, struct error *e)
{
	int version;

	if (db_exec(s->db, s->source.path, "BEGIN", "opening", e) ||
	    db_check(s->db, s->source.path, DB_READ, &version, e))
		return -1;
	if (!version)
		return error_set(e, "%s: an empty database, not one of ioflush", s->source.path);
	/* what is read here is the same in all versions so far; only a writer must migrate */
	if (db_load_captures(s->db, s->source.path, s->texts, &s->row, &s->rows, &s->source.budget, e) ||
	    check_captures(s, e))
		return -1;
	s->unrecorded = is_unrecorded(s);
	s->names = store_names_new(s->db, s->source.path, &s->guard, s->source.strings, &s->source.budget, e);
	if (!s->names)
		return -1;
	s->scan = db_prepare(s->db, s->source.path,
			     "SELECT " EVENT_COLUMNS " FROM event e NOT INDEXED WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
			     e);
	return s->scan ? 0 : -1;
}

/* ---- reading ---- */

static int damaged(struct store_source *s, uint64_t id, const char *why, uint64_t value, struct error *e)
{
	return error_set(e, "%s: event id %" PRIu64 ": %s %" PRIu64 ": the database is damaged", s->source.path, id,
			 why, value);
}

/* Strings of the database become the source's. What they add to the sum goes to *sum. */
static int decode_strings(struct store_source *s, struct event *ev, uint64_t id, uint64_t *sum, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	const struct name_row *text;
	unsigned i;
	int rc;

	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].type != FIELD_STR || ev->missing & 1u << i)
			continue;
		rc = store_names_string(s->names, (int64_t)ev->f[i], &text, e);
		if (rc < 1)
			return rc < 0 ? -1 : damaged(s, id, "no string", ev->f[i], e);
		*sum += text->sum * sum_key[6 + i];
		ev->f[i] = text->own;
	}
	return 0;
}

static int decode_task(struct store_source *s, struct event *ev, const struct event_row *row, uint64_t *sum,
		       struct error *e)
{
	const struct name_row *task;
	int rc;

	if (!row->has_task)
		return 0;
	rc = store_names_task(s->names, row->task, &task, e);
	if (rc < 1)
		return rc < 0 ? -1 : damaged(s, row->id, "no task", (uint64_t)row->task, e);
	ev->tid = task->tid;
	ev->comm = task->own;
	*sum = task->sum;
	return 0;
}

/* After the check sum, which is that of the row. */
static void drop_unknown_caller(const struct store_source *s, struct event *ev)
{
	const char *caller = intern_get(s->source.strings, (uint32_t)ev->unpin.caller);

	if (!caller || caller_is_known(caller, strlen(caller)))
		return;
	ev->unpin.caller = 0;
	ev->missing |= EVENT_BIT(unpin, caller);
}

/* Reads the current row of the scan. 1, 0: of another capture, or -1. */
static int decode(struct store_source *s, struct event *ev, struct error *e)
{
	uint64_t task_sum = 0, string_sum = 0;
	struct error why;
	struct event_row row;
	bool known = db_read_event(s->scan, &row, ev);

	why.text[0] = '\0'; /* no more of it: this is done for each event */
	if (row.id <= s->last_id)
		return damaged(s, row.id, "comes after", s->last_id, e);
	s->last_id = row.id;
	if (row.capture != s->row[s->next - 1].c.id)
		return 0;
	if (!known)
		return error_set(e,
				 "%s: event id %" PRIu64 ": kind %" PRId64
				 " is not known: the database is damaged, or made by a newer ioflush",
				 s->source.path, row.id, row.kind);
	if (row.cpu >= EVENT_NO_CPU)
		return damaged(s, row.id, "no cpu", row.cpu, e);
	if (decode_task(s, ev, &row, &task_sum, e) || decode_strings(s, ev, row.id, &string_sum, e))
		return -1;
	if (event_check(ev, &why))
		return error_set(e, "%s: event id %" PRIu64 ": %s", s->source.path, row.id, why.text);
	if (ev->t < s->last_t)
		return error_set(e,
				 "%s: event id %" PRIu64 ": %s: t: %" PRIu64
				 ": earlier than the event before it, at %" PRIu64,
				 s->source.path, row.id, event_table[ev->kind].name, ev->t, s->last_t);
	s->last_t = ev->t;
	s->events++;
	s->no_domain += event_has_no_domain(ev);
	s->sum += sum_event(ev, row.id, task_sum, string_sum);
	if (ev->kind == EV_unpin)
		drop_unknown_caller(s, ev);
	return 1;
}

/* All events of the capture are read: checks that they match its row. */
static int check_end(struct store_source *s, struct error *e)
{
	const struct capture_row *r = &s->row[s->next - 1];

	if (s->events != r->events)
		return error_set(e,
				 "%s: capture %" PRIu64 ": %" PRIu64 " events, but its row says %" PRIu64
				 ": the database is damaged, or rows were deleted",
				 s->source.path, r->c.id, s->events, r->events);
	if (s->sum + sum_capture(r) != r->sum)
		return error_set(e,
				 "%s: capture %" PRIu64
				 ": the check sum of its events does not fit: the database is damaged, "
				 "or was changed",
				 s->source.path, r->c.id);
	return 0;
}

/* One event. 1, 0: the capture ended, or -1. */
static int read_event(struct store_source *s, struct event *ev, struct error *e)
{
	int rc, got;

	while ((rc = sqlite3_step(s->scan)) == SQLITE_ROW) {
		s->guard.rows++;
		got = decode(s, ev, e);
		if (got)
			return got;
	}
	if (rc != SQLITE_DONE)
		return db_error(s->db, s->source.path, "reading events", e);
	s->ended = true;
	sqlite3_reset(s->scan);
	return check_end(s, e);
}

/* If a file was changed that nobody should have changed, that is the error, not damage. */
static int check_changed(struct store_source *s, int rc, struct error *e)
{
	if (rc > 0 || !s->db || !db_changed(&s->guard))
		return rc;
	e->text[0] = '\0';
	return error_set(e, "%s: was written to while it was read: run this again", s->source.path);
}

/* SQLite opens by name the file that was checked by a descriptor. */
static int check_file(struct store_source *s, const struct file_id *seen, struct error *e)
{
	struct file_id now;

	if (db_file(s->db, &now) && same_file(&now, seen))
		return 0;
	return error_set(e, "%s: was replaced by another file while it was opened: run this again", s->source.path);
}

static ssize_t store_source_read(struct source *src, struct event *ev, size_t max, struct error *e)
{
	struct store_source *s = store_source(src);
	size_t n = 0;
	int rc = 1;

	while (n < max && rc > 0 && !s->failed && !s->ended) {
		rc = check_changed(s, read_event(s, &ev[n], &s->error), &s->error);
		n += rc > 0;
		s->failed = rc < 0;
	}
	__atomic_fetch_add(&s->done, n, __ATOMIC_RELAXED);
	if (n || !s->failed)
		return (ssize_t)n;
	return error_set(e, "%s", s->error.text);
}

/* Skipping a capture also skips its checks. */
static int store_source_capture(struct source *src, struct capture *c, struct error *e)
{
	struct store_source *s = store_source(src);
	const struct capture_row *r;

	(void)e;
	if (s->next && !s->ended)
		__atomic_fetch_add(&s->done, s->row[s->next - 1].events - s->events, __ATOMIC_RELAXED);
	sqlite3_reset(s->scan);
	if (s->next == s->rows)
		return 0;
	r = &s->row[s->next++];
	s->failed = false; /* each capture has its own rows and sum */
	s->error.text[0] = '\0';
	*c = r->c;
	c->origin = r->c.format;
	c->format = "database";
	c->events = r->events;
	if (s->unrecorded && !strcmp(c->state, "recording") && has_recorder(s, r)) {
		c->state = "cut-off";
		c->note = "no process records it any more: its recorder died, or this is a copy";
	}
	s->ended = false;
	s->events = s->sum = s->no_domain = s->last_id = s->last_t = 0;
	/* without events: an empty range */
	sqlite3_bind_int64(s->scan, 1, r->events ? (int64_t)r->first_event : 1);
	sqlite3_bind_int64(s->scan, 2, r->events ? (int64_t)r->last_event : 0);
	return 1;
}

static void store_source_dropped(struct source *src, struct dropped *d)
{
	struct store_source *s = store_source(src);

	if (!s->next)
		return;
	*d = s->row[s->next - 1].dropped;
	d->no_domain = s->no_domain;
}

static double store_source_progress(struct source *src)
{
	struct store_source *s = store_source(src);
	uint64_t done = __atomic_load_n(&s->done, __ATOMIC_RELAXED);

	return done < s->total ? (double)done / (double)s->total : 1;
}

static void store_source_close(struct source *src)
{
	struct store_source *s = store_source(src);

	store_names_free(s->names);
	sqlite3_finalize(s->scan);
	sqlite3_close(s->db);
	if (s->fd >= 0)
		close(s->fd);
	intern_free(s->texts);
	free(s->row);
	source_free(src);
}

static const struct source_ops store_source_ops = {
	.capture = store_source_capture,
	.read = store_source_read,
	.progress = store_source_progress,
	.close = store_source_close,
	.dropped = store_source_dropped,
	.goes_on = true,
};

int store_source_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct file_id file = {0};
	struct store_source *s;
	struct stat st;

	*out = NULL;
	if (!fstat(in->fd, &st))
		file = file_id_of(&st);
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(in->fd);
		return error_set(e, "%s: out of memory", in->path);
	}
	s->fd = in->fd;
	if (source_init(&s->source, &store_source_ops, in->path, e)) {
		store_source_close(&s->source);
		return -1;
	}
	s->texts = intern_new_within(&s->source.budget);
	if (!s->texts)
		error_set(e, "%s: out of memory", in->path);
	else if (!db_open(&s->db, s->source.path, DB_READ, &s->guard, e) && !check_file(s, &file, e) &&
		 !check_changed(s, load(s, e), e))
		*out = &s->source;
	if (*out)
		return 0;
	store_source_close(&s->source);
	return -1;
}
