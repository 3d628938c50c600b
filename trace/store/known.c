/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's caches of the strings and tasks in its database; see write.h. An array maps the caller's string numbers
 * to the database's, and a hash table maps (tid, comm) to a task. The caches are bounded: what they lack is looked up
 * in the database. They are emptied when they are full, and (stale) when a transaction is rolled back or another
 * process has written.
 *
 * A database has a bounded number of strings and tasks: who reads it holds all of them in memory, and anyone may call a
 * thread what they like. A name that finds no more room is unknown in the events that have it, and they are counted; no
 * event is refused for it.
 */
#include "trace/store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "trace/store/write.h"

#define FIRST_TASK_SLOTS 256u
#define CACHED_STRINGS (1u << 17)
#define CACHED_TASKS (1u << 18)

/* Remembers that the database has the text under id. Returns its own number, 0: out of memory. */
static uint32_t remember_string(struct store *s, const char *text, int64_t id)
{
	uint32_t own = intern_add(s->strings, text, strlen(text));

	if (!own || own == UINT32_MAX || !grow_within(NULL, s->known, own, s->known_room, 256u))
		return 0;
	s->known[own].id = id;
	s->known[own].sum = sum_text(text);
	return own;
}

static struct task *task_slot(const struct store *s, uint32_t tid, int64_t comm)
{
	uint64_t h = sum_mix((uint64_t)comm << 32 ^ (uint64_t)comm >> 32 ^ tid);
	uint32_t i = (uint32_t)(h >> 32) & (s->task_slots - 1);

	while (s->task[i].id && (s->task[i].tid != tid || s->task[i].comm != comm))
		i = (i + 1) & (s->task_slots - 1);
	return &s->task[i];
}

static int grow_tasks(struct store *s)
{
	struct task *old = s->task;
	uint32_t i, n = s->task_slots;

	s->task = calloc(n ? (size_t)n * 2 : FIRST_TASK_SLOTS, sizeof(*s->task));
	if (!s->task) {
		s->task = old;
		return -1;
	}
	s->task_slots = n ? n * 2 : FIRST_TASK_SLOTS;
	s->last_task = NULL;
	for (i = 0; i < n; i++)
		if (old[i].id)
			*task_slot(s, old[i].tid, old[i].comm) = old[i];
	free(old);
	return 0;
}

/* Remembers a new task. NULL: out of memory. */
static const struct task *remember_task(struct store *s, const struct task *task)
{
	struct task *t;

	if (s->tasks >= s->task_slots / 2 && grow_tasks(s))
		return NULL;
	t = task_slot(s, task->tid, task->comm);
	if (!t->id)
		s->tasks++;
	*t = *task;
	return t;
}

static int forget_tasks(struct store *s, struct error *e)
{
	free(s->task);
	s->task = NULL;
	s->last_task = NULL;
	s->task_slots = s->tasks = 0;
	return grow_tasks(s) ? error_set(e, "%s: out of memory", s->path) : 0;
}

static void clear_map(struct store *s)
{
	if (s->map_room)
		memset(s->map, 0, s->map_room * sizeof(*s->map));
}

static int forget_strings(struct store *s, struct error *e)
{
	intern_free(s->strings);
	s->strings = intern_new();
	clear_map(s);
	return s->strings ? 0 : error_set(e, "%s: out of memory", s->path);
}

/* In a transaction: empties the caches, unless they are still valid. */
int known_learn(struct store *s, struct error *e)
{
	int64_t version, largest;

	if (db_number(s->db, s->path, "PRAGMA data_version", &version, e))
		return -1;
	if (!s->stale && version == s->data_version)
		return 0;
	s->all_strings = s->all_tasks = -1;
	if (forget_strings(s, e) || forget_tasks(s, e) ||
	    db_number(s->db, s->path, "SELECT max(id) FROM event", &largest, e))
		return -1;
	if (largest < 0 || largest > INT64_MAX / 2)
		return error_set(e, "%s: event id %" PRId64 ": the database is damaged", s->path, largest);
	s->next_event = (uint64_t)largest + 1;
	s->data_version = version;
	s->stale = false;
	return 0;
}

void store_forget(struct store *s)
{
	s->stale = true;
}

/* Whether a table has room for another row; *all: its number of rows, -1: not counted yet. 1, 0 or -1. */
static int has_room(struct store *s, const char *count, int64_t *all, int64_t most, struct error *e)
{
	if (*all < 0 && db_number(s->db, s->path, count, all, e)) {
		*all = -1;
		return -1;
	}
	return *all < most;
}

/* The id that a query returns. 1, 0: none, or -1. */
static int find_id(struct store *s, sqlite3_stmt *stmt, int64_t *id, struct error *e)
{
	int rc = sqlite3_step(stmt);

	*id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return db_error(s->db, s->path, "reading strings and tasks", e);
	return rc == SQLITE_ROW;
}

static int find_string(struct store *s, const char *text, int64_t *id, struct error *e)
{
	sqlite3_stmt *stmt = store_prepared(s, &s->find_string, "SELECT id FROM string WHERE text = ?1", e);

	if (!stmt)
		return -1;
	sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
	return find_id(s, stmt, id, e);
}

static int insert_string(struct store *s, const char *text, int64_t *id, struct error *e)
{
	sqlite3_stmt *stmt = store_prepared(s, &s->insert_string, "INSERT INTO string (text) VALUES (?1)", e);

	if (!stmt)
		return -1;
	sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
	sqlite3_step(stmt);
	if (sqlite3_reset(stmt) != SQLITE_OK)
		return db_error(s->db, s->path, "writing a string", e);
	*id = sqlite3_last_insert_rowid(s->db);
	s->all_strings++;
	return 0;
}

/*
 * The own number of a text, which is stored if there are fewer than most strings. NO_STRING: there are more; 0 and the
 * error.
 */
static uint32_t take_string(struct store *s, const char *text, int64_t most, struct error *e)
{
	uint32_t own = intern_find(s->strings, text, strlen(text));
	int64_t id;
	int rc;

	if (own)
		return own;
	rc = find_string(s, text, &id, e);
	if (!rc) {
		rc = has_room(s, "SELECT count(*) FROM string", &s->all_strings, most, e);
		if (!rc)
			return NO_STRING;
		if (rc > 0 && insert_string(s, text, &id, e))
			rc = -1;
	}
	if (rc < 0)
		return 0;
	own = remember_string(s, text, id);
	if (!own)
		error_set(e, "%s: out of memory", s->path);
	return own;
}

int store_string(struct store *s, const char *text, int64_t *id, struct error *e)
{
	uint32_t own;

	if (!s->in_transaction)
		return error_set(e, "%s: no transaction is open", s->path);
	own = take_string(s, text, INT64_MAX, e);
	*id = own ? s->known[own].id : 0;
	return own ? 0 : -1;
}

void known_use(struct store *s, const struct intern *strings)
{
	if (s->map_of != strings) {
		clear_map(s);
		s->map_of = strings;
	}
}

/* A string of the caller that is not known yet. As take_string(). */
uint32_t known_map_slow(struct store *s, const struct intern *strings, uint64_t id, int64_t most, struct error *e)
{
	const char *text = id <= UINT32_MAX ? intern_get(strings, (uint32_t)id) : NULL;
	uint32_t *grown, own;
	size_t room;

	if (!text) {
		error_set(e, "%s: writing: string %" PRIu64 " is not in the table", s->path, id);
		return 0;
	}
	if (id >= s->map_room) {
		for (room = s->map_room ? s->map_room : 256; room <= id; room *= 2)
			;
		grown = reallocarray(s->map, room, sizeof(*grown));
		if (!grown) {
			error_set(e, "%s: out of memory", s->path);
			return 0;
		}
		memset(grown + s->map_room, 0, (room - s->map_room) * sizeof(*grown));
		s->map = grown;
		s->map_room = room;
	}
	own = take_string(s, text, most, e);
	s->map[id] = own != NO_STRING ? own : 0; /* in another use it may find room */
	return own;
}

static void bind_task(sqlite3_stmt *stmt, const struct task *t)
{
	if (t->tid == EVENT_NO_TID)
		sqlite3_bind_null(stmt, 1);
	else
		sqlite3_bind_int64(stmt, 1, t->tid);
	if (t->comm)
		sqlite3_bind_int64(stmt, 2, t->comm);
	else
		sqlite3_bind_null(stmt, 2);
}

static int look_up_task(struct store *s, struct task *t, struct error *e)
{
	sqlite3_stmt *stmt =
		store_prepared(s, &s->find_task, "SELECT id FROM task WHERE tid IS ?1 AND comm IS ?2 LIMIT 1", e);

	if (!stmt)
		return -1;
	bind_task(stmt, t);
	return find_id(s, stmt, &t->id, e);
}

static int insert_task(struct store *s, struct task *t, struct error *e)
{
	sqlite3_stmt *stmt = store_prepared(s, &s->insert_task, "INSERT INTO task (tid, comm) VALUES (?1, ?2)", e);

	if (!stmt)
		return -1;
	bind_task(stmt, t);
	sqlite3_step(stmt);
	if (sqlite3_reset(stmt) != SQLITE_OK)
		return db_error(s->db, s->path, "writing a task", e);
	t->id = sqlite3_last_insert_rowid(s->db);
	if (s->all_tasks >= 0)
		s->all_tasks++;
	return 0;
}

/* Finds or stores an unknown task. 1, 0: there is no room for another name of a thread, or -1. */
static int take_unknown_task(struct store *s, struct task *t, struct error *e)
{
	int rc = look_up_task(s, t, e);

	if (!rc && t->comm)
		rc = has_room(s, "SELECT count(*) FROM task", &s->all_tasks, MOST_NAMES, e);
	else if (!rc)
		rc = 1; /* without a name: there are no more of these than threads */
	if (rc > 0 && !t->id && insert_task(s, t, e))
		rc = -1;
	return rc;
}

/* comm: own number of its name, 0: unknown. If there is no room for it, the task without a name is used. */
const struct task *known_task(struct store *s, uint32_t tid, uint32_t comm, struct error *e)
{
	struct task new = {.tid = tid, .comm = comm ? s->known[comm].id : 0};
	const struct task *t = s->last_task;
	int rc;

	if (t && t->tid == tid && t->comm == new.comm)
		return t;
	t = task_slot(s, tid, new.comm);
	if (!t->id) {
		new.sum = sum_task(tid, comm ? s->known[comm].sum : sum_text(NULL));
		rc = take_unknown_task(s, &new, e);
		if (rc <= 0)
			return rc ? NULL : known_task(s, tid, 0, e);
		t = remember_task(s, &new);
		if (!t) {
			error_set(e, "%s: out of memory", s->path);
			return NULL;
		}
	}
	s->last_task = t;
	return t;
}

/* Before an event, during which own numbers must stay valid: makes room in full caches. */
int known_trim(struct store *s, struct error *e)
{
	if (intern_count(s->strings) >= CACHED_STRINGS && forget_strings(s, e))
		return -1;
	return s->tasks >= CACHED_TASKS ? forget_tasks(s, e) : 0;
}
