/*
 * Writing the store; see store.h.
 *
 * Nothing is allocated for an event: a prepared statement for each kind binds just the columns that the kind has; the
 * caller's string numbers become the database's through an array, and (tid, comm) a task through a hash table. These are
 * caches of a bounded size: what is not in them is looked up in the database. They are forgotten when they are full, and
 * (stale) when a transaction is rolled back or another process has written.
 *
 * A database has a bounded number of strings and tasks: who reads it holds all of them in memory, and anyone may call a
 * thread what they like. A name that finds no more room is unknown in the events that have it, and they are counted; no
 * event is refused for it.
 *
 * Ids of events are given here, counting on from the largest; a capture's events lie between its first_event and
 * last_event, in order of time. Another capture's may lie between them, if two processes wrote in turns.
 */
#include "trace/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/migrations.h"
#include "trace/store/rows.h"

#define PAGE_BYTES "8192"
#define FIRST_TASK_SLOTS 256u
#define CACHED_STRINGS (1u << 17)
#define CACHED_TASKS (1u << 18)
#define MOST_NAMES (1 << 20) /* strings, and tasks: no name of a command is added beyond them */
#define MOST_STRINGS 4000000 /* nor any other text: a reader can have few more */
#define NO_STRING UINT32_MAX /* own number of a string that is not in the database and cannot be added */

/* A string of the database, by its own number. */
struct known_string {
	int64_t id; /* in the database */
	uint64_t sum;
};

struct task {
	int64_t id;   /* in the database; 0: the slot is free */
	int64_t comm; /* id of the string, 0: unknown */
	uint64_t sum;
	uint32_t tid; /* EVENT_NO_TID: unknown */
};

struct store {
	char *path;
	sqlite3 *db;
	struct db_guard guard;
	bool created; /* by us, and nothing committed since */
	bool in_transaction, stale;
	int code;	      /* SQLite's, of the last failure */
	int64_t data_version; /* changes when others write */

	sqlite3_stmt *insert[EV_KINDS];
	sqlite3_stmt *find_string, *insert_string, *find_task, *insert_task, *insert_capture, *update_capture;

	struct intern *strings;	    /* some of the database's; own numbers */
	struct known_string *known; /* by own number */
	size_t known_room;
	struct task *task; /* hash table with open addressing */
	uint32_t task_slots, tasks;
	const struct task *last_task;
	int64_t all_strings, all_tasks; /* in the database; -1: not counted yet */
	uint64_t next_event;

	uint32_t *map; /* own number by the caller's; 0: not known yet, or not in the database */
	size_t map_room;
	const struct intern *map_of;

	bool open;		       /* a capture is */
	struct capture_row row, saved; /* sum: of the events only; saved: as of the last commit */
	bool saved_open;
	struct intern *texts; /* of row */
};

/* ---- opening, migration, views ---- */

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

/* Whether event_kind has the kind as the table says it, and so the view. 1, 0, or -1. */
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

/* Makes the views that are missing. With only_look, says whether any is. 1, 0, or -1. */
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

/* In a transaction: from whatever version the database has now to the newest. */
static int migrate_locked(struct store *s, struct error *e)
{
	int version, newest = db_newest_version();
	char sql[256];

	if (db_check(s->db, s->path, DB_WRITE, &version, e)) /* again: another process may have been quicker */
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

/* Whether the file is missing or empty, so that it is ours to make. */
static bool is_missing(const char *path)
{
	struct stat st;

	return stat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode) && !st.st_size;
}

/* Frame numbers and addresses of the kernel are not for everybody, nor are the locks. SQLite's other files get this mode. */
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
	bool reading = flags & STORE_READ;
	int version;

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
	if (!reading && is_missing(path)) {
		if (make_file(path, e)) /* here, since SQLite would not say why it cannot */
			goto fail;
		s->created = true;
	}
	if (db_open(&s->db, path, reading ? DB_READ : DB_WRITE, &s->guard, e))
		goto fail;
	if (reading) {
		if (db_check(s->db, path, DB_READ, &version, e))
			goto fail;
		if (!version) {
			error_set(e, "%s: an empty database, not one of ioflush", path);
			goto fail;
		}
	} else if (migrate(s, flags & STORE_WAL, e)) {
		goto fail;
	}
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

/* Opening for writing rolls a journal back, and the last one who closes a database moves its log into it. */
int store_recover(const char *path, struct store_recovered *r, struct error *e)
{
	char *file = realpath(path, NULL); /* whatever links lead there: journal and log lie beside it */
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

/* ---- what is known of strings and tasks ---- */

/* Remembers that the database has the text under id. Its own number, 0: out of memory. */
static uint32_t remember_string(struct store *s, const char *text, int64_t id)
{
	uint32_t own = intern_add(s->strings, text, strlen(text));
	struct known_string *grown;
	size_t room;

	if (!own || own == UINT32_MAX)
		return 0;
	if (own >= s->known_room) {
		room = s->known_room ? s->known_room * 2 : 256;
		grown = reallocarray(s->known, room, sizeof(*grown));
		if (!grown)
			return 0;
		s->known = grown;
		s->known_room = room;
	}
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

/* Remembers a task that is not known. NULL: out of memory. */
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

/* In a transaction: forgets what it knew of the database, unless that is still so. */
static int learn(struct store *s, struct error *e)
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
		return error_set(e, "%s: damaged: event id %" PRId64, s->path, largest);
	s->next_event = (uint64_t)largest + 1;
	s->data_version = version;
	s->stale = false;
	return 0;
}

void store_forget(struct store *s)
{
	s->stale = true;
}

/* ---- transactions ---- */

/* Why the last call of SQLite failed, 0 if it did not. */
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
	if (learn(s, e)) {
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
	struct capture_row *r = &s->row;
	sqlite3_stmt *stmt = s->update_capture;
	uint64_t sum = r->sum + sum_capture(r);

	if (!stmt) {
		stmt = db_prepare(
			s->db, s->path,
			"UPDATE capture SET first_t = iif(?7, ?2, NULL), last_t = iif(?7, ?3, NULL), first_event "
			"= iif(?7, ?5, NULL), last_event = iif(?7, ?6, NULL), events = ?7, sum = ?8, state = ?9, "
			"note = ?4, failed_maps = ?10, failed_accesses = ?11, empty_unmaps = ?12, other_records = ?13 "
			"WHERE id = ?1",
			e);
		if (!stmt)
			return -1;
		s->update_capture = stmt;
	}
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
	if ((s->open && update_capture(s, e)) || db_exec(s->db, s->path, "COMMIT", "writing", e)) {
		store_rollback(s);
		return -1;
	}
	s->in_transaction = false;
	s->created = false;
	return 0;
}

/* ---- captures and events ---- */

/* A text of the capture, kept by the store. */
static int keep(struct store *s, const char **text, struct error *e)
{
	uint32_t id = *text ? intern_add(s->texts, *text, strlen(*text)) : 0;

	if (id == UINT32_MAX)
		return error_set(e, "%s: out of memory", s->path);
	*text = id ? intern_get(s->texts, id) : "";
	return 0;
}

static int insert_capture(struct store *s, struct error *e)
{
	const struct capture *c = &s->row.c;
	const char *const text[] = {c->source, c->format, c->host, c->kernel, c->clock, c->probes, c->state, c->note};
	sqlite3_stmt *stmt = s->insert_capture;
	int i;

	if (!stmt) {
		stmt = db_prepare(s->db, s->path,
				  "INSERT INTO capture (source, format, host, kernel, clock, probes, state, note, id, "
				  "page_size, events, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 4096, 0, ?10)",
				  e);
		if (!stmt)
			return -1;
		s->insert_capture = stmt;
	}
	for (i = 0; i < 8; i++)
		sqlite3_bind_text(stmt, i + 1, text[i], -1, SQLITE_STATIC);
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
	if (keep(s, &own->source, e) || keep(s, &own->format, e) || keep(s, &own->host, e) ||
	    keep(s, &own->kernel, e) || keep(s, &own->clock, e) || keep(s, &own->probes, e))
		return -1;
	if (insert_capture(s, e))
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

/* The note, and what there is to say of events without names. To be freed with sqlite3_free(); NULL: out of memory. */
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
	rc = keep(s, &s->row.c.state, e) || keep(s, &s->row.c.note, e) || update_capture(s, e);
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
		if (keep(s, &row.c.source, e) || keep(s, &row.c.format, e) || keep(s, &row.c.host, e) ||
		    keep(s, &row.c.kernel, e) || keep(s, &row.c.clock, e) || keep(s, &row.c.probes, e) ||
		    keep(s, &row.c.state, e) || keep(s, &row.c.note, e)) {
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

/* Whether a table of the database has room for another row; all: how many it has, -1: to be counted. 1, 0 or -1. */
static int has_room(struct store *s, const char *count, int64_t *all, int64_t most, struct error *e)
{
	if (*all < 0 && db_number(s->db, s->path, count, all, e)) {
		*all = -1;
		return -1;
	}
	return *all < most;
}

/* Prepares a statement at its first use. */
static sqlite3_stmt *prepared(struct store *s, sqlite3_stmt **stmt, const char *sql, struct error *e)
{
	if (!*stmt)
		*stmt = db_prepare(s->db, s->path, sql, e);
	return *stmt;
}

/* The id that a query gives. 1, 0: nothing, or -1. */
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
	sqlite3_stmt *stmt = prepared(s, &s->find_string, "SELECT id FROM string WHERE text = ?1", e);

	if (!stmt)
		return -1;
	sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
	return find_id(s, stmt, id, e);
}

static int insert_string(struct store *s, const char *text, int64_t *id, struct error *e)
{
	sqlite3_stmt *stmt = prepared(s, &s->insert_string, "INSERT INTO string (text) VALUES (?1)", e);

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
 * The own number of a text, which is stored if the database has fewer than most strings. NO_STRING: it has more; 0 and the
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

uint64_t store_unnamed(const struct store *s)
{
	return s->row.unnamed;
}

void store_set_unnamed(struct store *s, uint64_t n)
{
	s->row.unnamed = n;
}

/* The caller's string, not known yet. As take_string(). */
static uint32_t map_slow(struct store *s, const struct intern *strings, uint64_t id, int64_t most, struct error *e)
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
	s->map[id] = own != NO_STRING ? own : 0; /* as another's, it may find room */
	return own;
}

/* most: how many strings the database may have before this one. */
static inline uint32_t map_string(struct store *s, const struct intern *strings, uint64_t id, int64_t most,
				  struct error *e)
{
	if (id < s->map_room && s->map[id])
		return s->map[id];
	return map_slow(s, strings, id, most, e);
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
	sqlite3_stmt *stmt = prepared(s, &s->find_task, "SELECT id FROM task WHERE tid IS ?1 AND comm IS ?2 LIMIT 1", e);

	if (!stmt)
		return -1;
	bind_task(stmt, t);
	return find_id(s, stmt, &t->id, e);
}

static int insert_task(struct store *s, struct task *t, struct error *e)
{
	sqlite3_stmt *stmt = prepared(s, &s->insert_task, "INSERT INTO task (tid, comm) VALUES (?1, ?2)", e);

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

/* Finds or stores a task that is not known. 1, 0: there is no room for another name of a thread, or -1. */
static int take_unknown_task(struct store *s, struct task *t, struct error *e)
{
	int rc = look_up_task(s, t, e);

	if (!rc && t->comm)
		rc = has_room(s, "SELECT count(*) FROM task", &s->all_tasks, MOST_NAMES, e);
	else if (!rc)
		rc = 1; /* a thread without a name: of these there are no more than threads */
	if (rc > 0 && !t->id && insert_task(s, t, e))
		rc = -1;
	return rc;
}

/* comm: own number of its name, 0: unknown. Where there is no room for it, the task is that without a name. */
static const struct task *find_task(struct store *s, uint32_t tid, uint32_t comm, struct error *e)
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
			return rc ? NULL : find_task(s, tid, 0, e);
		t = remember_task(s, &new);
		if (!t) {
			error_set(e, "%s: out of memory", s->path);
			return NULL;
		}
	}
	s->last_task = t;
	return t;
}

/* The statement of a kind: capture, id, t, cpu, task, then the kind's fields. */
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

/* What an event's row has beside the event: what its strings add to the sum, and what of it could not be stored. */
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
		own = map_string(s, strings, v, MOST_STRINGS, e);
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

/* Who did it: NULL in *task if that is unknown. 0 or -1. */
static int take_task(struct store *s, const struct event *ev, const struct intern *strings, const struct task **task,
		     struct stored *st, struct error *e)
{
	uint32_t comm = 0;

	*task = NULL;
	if (ev->comm) {
		comm = map_string(s, strings, ev->comm, MOST_NAMES, e);
		if (!comm)
			return -1;
		st->no_comm = comm == NO_STRING;
	}
	if (st->no_comm)
		comm = 0;
	if (!comm && ev->tid == EVENT_NO_TID)
		return 0;
	*task = find_task(s, ev->tid, comm, e);
	if (!*task)
		return -1;
	st->no_comm |= comm && !(*task)->comm;
	return 0;
}

/* Before an event, whose own numbers must last: makes room in the caches if they are full. */
static int trim_caches(struct store *s, struct error *e)
{
	if (intern_count(s->strings) >= CACHED_STRINGS && forget_strings(s, e))
		return -1;
	return s->tasks >= CACHED_TASKS ? forget_tasks(s, e) : 0;
}

/* The event as it is read again. */
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
	if (trim_caches(s, e) || take_task(s, ev, strings, &task, &st, e))
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
	if (s->map_of != strings) {
		clear_map(s);
		s->map_of = strings;
	}
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
