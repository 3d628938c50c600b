/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Retention; see retention.h. */
#include "daemon/record/retention.h"

#include <string.h>

#include "base/clock.h"
#include "trace/store/rows.h"
#include "trace/store/trim.h"

#define FIRST_ROWS 1024u
#define LEAST_ROWS 64u
#define MOST_ROWS 8192u
#define STEP_NS 20000000u  /* the time that a step should take */
#define SWEEP_LEAST 65536u /* deleted events after which a sweep for unused strings and tasks is worth it */
#define VACUUM_PAGES "64"  /* per step */

/* For a capture c: the time of its first event, not counting retention's own marks; NULL: it has none. */
#define FIRST_T                                                                                                  \
	"(SELECT t FROM event e WHERE e.id BETWEEN c.first_event AND c.last_event AND e.capture = c.id AND NOT " \
	"(e.kind = 19 AND e.f1 IS (SELECT id FROM string WHERE text = '" STORE_TRIM_CAUSE "')) ORDER BY e.id LIMIT 1)"

/* Whether it has events to delete. Marks count, except in the current capture, ?1, where they must stay. */
#define HAS_SOME "iif(c.id = ?1, " FIRST_T " IS NOT NULL, c.events > 0 AND c.state <> 'recording')"

struct sizes {
	uint64_t page, pages, unused; /* bytes of one page, number of pages, unused ones */
};

static int read_sizes(struct store *s, struct sizes *z, struct error *e)
{
	int64_t page, pages, unused;

	if (store_number(s, "PRAGMA page_size", &page, e) || store_number(s, "PRAGMA page_count", &pages, e) ||
	    store_number(s, "PRAGMA freelist_count", &unused, e))
		return -1;
	z->page = (uint64_t)page;
	z->pages = (uint64_t)pages;
	z->unused = (uint64_t)unused;
	return 0;
}

/* Times in a database may be anything: sums and differences stop at the largest and smallest number. */
static int64_t plus(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static int64_t minus(int64_t a, int64_t b)
{
	int64_t rest;

	return __builtin_sub_overflow(a, b, &rest) ? (a < 0 ? INT64_MIN : INT64_MAX) : rest;
}

/*
 * Events of a capture before this time of its trace clock are too old. sleeps: t and slept of table suspend, latest
 * first.
 *
 * The age of an event is the time that the trace clock ran since, plus the time that the machine slept since. For this
 * boot the kernel knows both, even if the wall clock was set; for other boots the wall clock is used.
 */
static int too_old(const struct recorder *self, const char *boot, int64_t wall, uint64_t age_ns, sqlite3_stmt *sleeps,
		   uint64_t *before_t)
{
	bool this_boot = boot && !strcmp(boot, self->boot), first = true;
	int64_t limit = (int64_t)clock_ns(), end = INT64_MAX, slept = 0;
	int rc;

	*before_t = 0;
	if (age_ns > INT64_MAX)
		return SQLITE_DONE;
	limit = minus(limit, (int64_t)age_ns);
	if (!this_boot)
		limit = plus(limit, minus(recorder_wall(), wall));
	/* earlier events are older, and those before a sleep are older than all after it */
	while ((rc = sqlite3_step(sleeps)) == SQLITE_ROW) {
		int64_t from = sqlite3_column_int64(sleeps, 0), then = sqlite3_column_int64(sleeps, 1);

		if (!first)
			limit = plus(limit, minus(slept, then));
		else if (this_boot)
			limit = plus(limit, minus(recorder_slept(), then));
		first = false;
		slept = then;
		if (limit > from)
			break;
		end = from;
	}
	if (limit > 0)
		*before_t = (uint64_t)(limit < end ? limit : end);
	return rc;
}

/* Finds a capture with events that are too old. 1, 0: there is none, or -1. */
static int find_by_age(struct store *s, uint64_t current, const struct recorder *self, uint64_t age_ns,
		       uint64_t *capture, uint64_t *before_t, struct error *e)
{
	sqlite3_stmt *stmt =
		store_statement(s,
				"SELECT c.id, ifnull(" FIRST_T ", c.first_t), r.boot, r.wall FROM capture c JOIN "
				"recorder r ON r.capture = c.id WHERE " HAS_SOME " AND c.clock = 'mono' ORDER BY c.id",
				e);
	sqlite3_stmt *sleeps = store_statement(s, "SELECT t, slept FROM suspend WHERE capture = ?1 ORDER BY t DESC", e);
	int rc = SQLITE_DONE, found = 0;

	if (!stmt || !sleeps) {
		found = -1;
		goto out;
	}
	sqlite3_bind_int64(stmt, 1, (int64_t)current);
	while (!found && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		*capture = (uint64_t)sqlite3_column_int64(stmt, 0);
		sqlite3_reset(sleeps);
		sqlite3_bind_int64(sleeps, 1, (int64_t)*capture);
		rc = too_old(self, (const char *)sqlite3_column_text(stmt, 2), sqlite3_column_int64(stmt, 3), age_ns,
			     sleeps, before_t);
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			break;
		found = (uint64_t)sqlite3_column_int64(stmt, 1) < *before_t;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		found = store_error(s, "reading captures", e);
out:
	sqlite3_finalize(sleeps);
	sqlite3_finalize(stmt);
	return found;
}

/* Finds the oldest capture with events to delete. 1, 0: there is none, or -1. */
static int find_oldest(struct store *s, uint64_t current, uint64_t *capture, struct error *e)
{
	sqlite3_stmt *stmt = store_statement(s, "SELECT c.id FROM capture c WHERE " HAS_SOME " ORDER BY c.id LIMIT 1", e);
	int rc;

	if (!stmt)
		return -1;
	sqlite3_bind_int64(stmt, 1, (int64_t)current);
	rc = sqlite3_step(stmt);
	*capture = (uint64_t)sqlite3_column_int64(stmt, 0);
	if (rc == SQLITE_ROW)
		rc = 1;
	else
		rc = rc == SQLITE_DONE ? 0 : store_error(s, "reading captures", e);
	sqlite3_finalize(stmt);
	return rc;
}

/* In a transaction: deletes up to rows of a capture's events. 0, or -1: roll back. */
static int delete_some(struct store *s, size_t rows, uint64_t capture, uint64_t before_t, uint64_t current,
		       struct retention_done *done, struct error *e)
{
	struct store_trimmed trimmed;
	int rc;

	if (store_trim(s, capture, before_t, rows, &trimmed, e))
		return -1;
	if (capture == current && trimmed.events) {
		rc = store_capture_resume(s, current, e);
		if (rc <= 0)
			return rc ? -1 : error_set(e, "%s: the capture under way is gone", store_path(s));
		done->of_current = true;
	}
	/* earlier captures without any event tell nothing once older ones are gone */
	if (trimmed.gone &&
	    db_exec(store_handle(s), store_path(s),
		    "DELETE FROM recorder WHERE capture IN (SELECT id FROM capture WHERE events = 0 AND state <> "
		    "'recording' AND id < (SELECT min(id) FROM capture WHERE events > 0 OR state = 'recording')); DELETE "
		    "FROM suspend WHERE capture IN (SELECT id FROM capture WHERE events = 0 AND state <> 'recording' AND "
		    "id < (SELECT min(id) FROM capture WHERE events > 0 OR state = 'recording')); DELETE FROM capture WHERE events = 0 AND state <> 'recording' AND id < (SELECT min(id) FROM capture WHERE "
		    "events > 0 OR state = 'recording')",
		    "deleting old captures", e))
		return -1;
	done->events = trimmed.events;
	done->more = trimmed.events || trimmed.gone;
	return 0;
}

static void adapt(struct retention *r, uint64_t took)
{
	if (took > STEP_NS)
		r->rows /= 2;
	else if (took < STEP_NS / 4)
		r->rows *= 2;
	if (r->rows < LEAST_ROWS)
		r->rows = LEAST_ROWS;
	if (r->rows > MOST_ROWS)
		r->rows = MOST_ROWS;
}

/*
 * Returns empty pages to the file system if the file is too large or a quarter empty; otherwise new events will fill
 * them. Not while a reader keeps the log large: the file would not shrink, but the log would grow.
 */
static int vacuum(struct store *s, const struct sizes *z, const struct retention_limits *limits,
		  struct retention_done *done, struct error *e)
{
	bool too_large = limits->size && z->pages * z->page + limits->log_size > limits->size;
	int64_t mode;

	if (!z->unused || limits->log_size > limits->log_most || !(too_large || z->unused > z->pages / 4))
		return 0;
	if (store_number(s, "PRAGMA auto_vacuum", &mode, e))
		return -1;
	if (mode != 2) /* made by an import: its pages can only be reused */
		return 0;
	if (db_exec(store_handle(s), store_path(s), "PRAGMA incremental_vacuum(" VACUUM_PAGES ")", "giving back space", e))
		return -1;
	done->more = true;
	return 0;
}

/* Finds what must be deleted, and deletes a part of it. 0, or -1 and the error: nothing was done. */
static int trim(struct retention *r, struct store *s, uint64_t current, const struct recorder *self,
		const struct retention_limits *limits, bool too_large, struct retention_done *done, struct error *e)
{
	uint64_t capture = 0, before_t = 0, start = clock_ns();
	int rc = 0;

	if (limits->age_ns)
		rc = find_by_age(s, current, self, limits->age_ns, &capture, &before_t, e);
	if (!rc && too_large) {
		before_t = UINT64_MAX;
		rc = find_oldest(s, current, &capture, e);
	}
	if (rc <= 0)
		return rc;
	if (store_begin(s, e))
		return -1;
	rc = delete_some(s, r->rows, capture, before_t, current, done, e);
	if (rc)
		store_rollback(s);
	else
		rc = store_commit(s, e);
	if (rc)
		memset(done, 0, sizeof(*done));
	adapt(r, clock_since(start));
	return rc;
}

/*
 * One step of the sweep of strings and tasks, if it is worth it: the sweep reads all remaining events, so as many must
 * have been deleted. 0 or -1.
 */
static int sweep(struct retention *r, struct store *s, struct retention_done *done, struct error *e)
{
	int64_t left;
	int rc;

	if (!r->sweep.running) {
		if (r->deleted < SWEEP_LEAST)
			return 0;
		if (store_number(s, "SELECT sum(events) FROM capture", &left, e))
			return -1;
		if (r->deleted < (uint64_t)left)
			return 0;
		r->deleted = 0;
	}
	rc = store_sweep_step(&r->sweep, s, r->rows, e);
	done->more |= rc > 0;
	return rc < 0 ? -1 : 0;
}

void retention_clear(struct retention *r)
{
	store_sweep_clear(&r->sweep);
	*r = (struct retention){0};
}

int retention_step(struct retention *r, struct store *s, uint64_t current, const struct recorder *self,
		   const struct retention_limits *limits, struct retention_done *done, struct error *e)
{
	uint64_t log = limits->log_size < limits->log_most ? limits->log_size : limits->log_most;
	struct sizes z;
	bool too_large;

	memset(done, 0, sizeof(*done));
	if (!r->rows)
		r->rows = FIRST_ROWS;
	if (!limits->age_ns && !limits->size)
		return 0;
	if (read_sizes(s, &z, e))
		return -1;
	too_large = limits->size && (z.pages - z.unused) * z.page + log > limits->size;
	if (trim(r, s, current, self, limits, too_large, done, e))
		return -1;
	r->deleted += done->events;
	if (done->events && store_sweep_trimmed(&r->sweep, s, e))
		return -1;
	if (!done->more && sweep(r, s, done, e))
		return -1;
	return vacuum(s, &z, limits, done, e);
}
