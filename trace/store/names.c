/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names in a database by their numbers; see names.h.
 *
 * For each of the two tables: a statement that fetches one row, and a hash table with open addressing of the fetched
 * rows. The ids come from the file, which may be hostile: a random seed prevents chosen collisions.
 */
#include "trace/store/names.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "trace/event.h"
#include "trace/store/rows.h"

#define FIRST_SLOTS 64u

struct names {
	const char *table, *sql;
	sqlite3_stmt *stmt;
	struct name_row *slot; /* id 0: free; at most half of them are used */
	size_t slots, used;    /* slots: a power of two */
};

struct store_names {
	sqlite3 *db;
	const char *path;
	struct db_guard *guard;
	struct intern *strings;
	struct budget *budget;
	uint64_t seed;
	struct names string, task;
};

static int damaged(const struct store_names *n, const struct names *t, int64_t id, const char *why, struct error *e)
{
	return error_set(e, "%s: %s id %" PRId64 ": %s: the database is damaged", n->path, t->table, id, why);
}

/* The slot of the id, or the free one where it belongs. */
static inline struct name_row *find_slot(const struct store_names *n, const struct names *t, int64_t id)
{
	size_t i = sum_mix((uint64_t)id ^ n->seed) & (t->slots - 1);

	while (t->slot[i].id && t->slot[i].id != id)
		i = (i + 1) & (t->slots - 1);
	return &t->slot[i];
}

/* Doubles the slots, or makes the first. false: no memory; nothing changes. */
static bool grow(struct store_names *n, struct names *t)
{
	struct names old = *t;

	t->slots = old.slots ? 2 * old.slots : FIRST_SLOTS;
	t->slot = budget_alloc(n->budget, t->slots * sizeof(*t->slot));
	if (!t->slot) {
		*t = old;
		return false;
	}
	for (size_t i = 0; i < old.slots; i++)
		if (old.slot[i].id)
			*find_slot(n, t, old.slot[i].id) = old.slot[i];
	budget_free(n->budget, old.slot, old.slots * sizeof(*old.slot));
	return true;
}

static int read_string(struct store_names *n, struct name_row *row, struct error *e)
{
	const char *text = (const char *)sqlite3_column_text(n->string.stmt, 0);
	size_t len = text ? strlen(text) : 0;

	if (len > EVENT_MAX_STRING)
		return damaged(n, &n->string, row->id, "longer than 255 bytes", e);
	if (!len)
		return damaged(n, &n->string, row->id, "no text", e);
	row->sum = sum_text(text);
	row->own = intern_add(n->strings, text, len);
	if (row->own == UINT32_MAX)
		return error_set(e, "%s: string id %" PRId64 ": %s", n->path, row->id, intern_failure(n->strings));
	return 0;
}

static int read_task(struct store_names *n, struct name_row *row, struct error *e)
{
	sqlite3_stmt *stmt = n->task.stmt;
	int64_t tid = EVENT_NO_TID;
	const struct name_row *comm;
	int rc;

	if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		tid = sqlite3_column_int64(stmt, 0);
	if (tid < 0 || tid > UINT32_MAX)
		return damaged(n, &n->task, row->id, "impossible tid", e);
	row->tid = (uint32_t)tid;
	row->sum = sum_task(row->tid, sum_text(NULL));
	if (sqlite3_column_type(stmt, 1) == SQLITE_NULL)
		return 0;
	rc = store_names_string(n, sqlite3_column_int64(stmt, 1), &comm, e);
	if (rc < 0)
		return -1;
	if (!rc)
		return damaged(n, &n->task, row->id, "its comm is no string", e);
	row->own = comm->own;
	row->sum = sum_task(row->tid, comm->sum);
	return 0;
}

/* Fetches the row of a new id into *row. As store_names_string(). */
static int fetch(struct store_names *n, struct names *t, struct name_row *row, struct error *e)
{
	int rc;

	if (!t->stmt)
		t->stmt = db_prepare(n->db, n->path, t->sql, e);
	if (!t->stmt)
		return -1;
	sqlite3_bind_int64(t->stmt, 1, row->id);
	rc = sqlite3_step(t->stmt);
	n->guard->rows++;
	if (rc == SQLITE_ROW)
		rc = (t == &n->string ? read_string : read_task)(n, row, e) ? -1 : 1;
	else
		rc = rc == SQLITE_DONE ? 0 : db_error(n->db, n->path, "reading names", e);
	sqlite3_reset(t->stmt);
	return rc;
}

static int lookup(struct store_names *n, struct names *t, int64_t id, const struct name_row **row, struct error *e)
{
	struct name_row fresh = {.id = id}, *at;
	int rc;

	if (id < 1)
		return 0;
	if (t->slots) {
		at = find_slot(n, t, id);
		*row = at;
		if (at->id)
			return 1;
	}
	rc = fetch(n, t, &fresh, e);
	if (rc < 1)
		return rc;
	if (t->used >= t->slots / 2 && !grow(n, t))
		return error_set(e, "%s: %s id %" PRId64 ": %s", n->path, t->table, id, budget_failure(n->budget));
	at = find_slot(n, t, id);
	*at = fresh;
	t->used++;
	*row = at;
	return 1;
}

int store_names_string(struct store_names *n, int64_t id, const struct name_row **row, struct error *e)
{
	return lookup(n, &n->string, id, row, e);
}

int store_names_task(struct store_names *n, int64_t id, const struct name_row **row, struct error *e)
{
	return lookup(n, &n->task, id, row, e);
}

struct store_names *store_names_new(sqlite3 *db, const char *path, struct db_guard *guard, struct intern *strings,
				    struct budget *budget, struct error *e)
{
	struct store_names *n = budget_alloc(budget, sizeof(*n));

	if (!n) {
		error_set(e, "%s: %s", path, budget_failure(budget));
		return NULL;
	}
	*n = (struct store_names){.db = db, .path = path, .guard = guard, .strings = strings, .budget = budget};
	n->string = (struct names){.table = "string", .sql = "SELECT text FROM string WHERE id = ?1"};
	n->task = (struct names){.table = "task", .sql = "SELECT tid, comm FROM task WHERE id = ?1"};
	if (getrandom(&n->seed, sizeof(n->seed), 0) != sizeof(n->seed))
		n->seed = clock_ns();
	return n;
}

static void names_free(struct store_names *n, struct names *t)
{
	sqlite3_finalize(t->stmt);
	budget_free(n->budget, t->slot, t->slots * sizeof(*t->slot));
}

void store_names_free(struct store_names *n)
{
	if (!n)
		return;
	names_free(n, &n->string);
	names_free(n, &n->task);
	budget_free(n->budget, n, sizeof(*n));
}
