/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes connections; see open.h. ours.c decides whether the database is ours. */
#include "trace/store/open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/store/rows.h"
#include "trace/store/store.h"

#define BUSY_MS 5000
#define MAX_TEXT (16 * 1024 * 1024) /* we store no longer text or row: a damaged length must not cost memory */
#define MAX_SQL (1024 * 1024)	    /* the longest SQL in the schema */
#define MAX_HEAP (256 << 20)	    /* of SQLite in this process; our connections take a few MiB each */
#define CACHE_KIB "2000"	    /* cache of pages, whatever the file asks for */
#define LOOK_STEPS (1 << 20)	    /* steps of SQLite's machine between two checks of the guard */
#define IDLE_LOOKS 64		    /* a second or two; our statements need less than a hundredth of it per row */

#define FILE_MAGIC "SQLite format 3" /* with its 0 byte */
#define FILE_ID_AT 68		     /* in the file's first bytes: application_id */
#define FILE_READ_BY 19		     /* and the read version */
#define READ_BY_LOG 2		     /* a write-ahead log */
#define FILE_BEGUN 16384	     /* most bytes of a file that has no application_id of ours yet */
#define JOURNAL_MAGIC "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
#define JOURNAL_BEFORE 16 /* in a journal's first bytes: pages that the file had before */
#define JOURNAL_END 16	  /* its last bytes, where it names another: the name's length, its sum, and the magic again */

/* ---- which files SQLite may open ---- */

/* SQLite needs its file systems as globals. Set once, then only read. */
static sqlite3_vfs *system_vfs;
static sqlite3_vfs read_vfs, write_vfs;

static int open_ours(const char *name, sqlite3_file *file, int flags, int *out)
{
	if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUBJOURNAL))
		return system_vfs->xOpen(system_vfs, name, file, flags, out);
	file->pMethods = NULL;
	return SQLITE_CANTOPEN;
}

static int open_to_write(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	return open_ours(name, file, flags, out);
}

/* SQLite would open a log for writing even to read it. */
static int open_to_read(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	if (flags & SQLITE_OPEN_WAL && !access(name, F_OK))
		flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
	return open_ours(name, file, flags, out);
}

static void make_vfs(void)
{
	system_vfs = sqlite3_vfs_find(NULL);
	if (!system_vfs)
		return;
	read_vfs = write_vfs = *system_vfs;
	read_vfs.zName = "ioflush-read";
	read_vfs.xOpen = open_to_read;
	write_vfs.zName = "ioflush-write";
	write_vfs.xOpen = open_to_write;
	if (sqlite3_vfs_register(&read_vfs, 0) || sqlite3_vfs_register(&write_vfs, 0))
		system_vfs = NULL;
}

/* ---- what a connection may do ---- */

/* The last argument is the view or trigger that asks; NULL: a statement of ours does. */
static int authorize_write(void *ctx, int action, const char *a, const char *b, const char *db, const char *asks)
{
	(void)ctx, (void)a, (void)b, (void)db;
	if (asks)
		return SQLITE_DENY;
	switch (action) {
	case SQLITE_RECURSIVE:
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
	case SQLITE_CREATE_TRIGGER:
	case SQLITE_CREATE_TEMP_TRIGGER:
	case SQLITE_CREATE_TEMP_VIEW:
	case SQLITE_CREATE_VTABLE:
		return SQLITE_DENY;
	}
	return SQLITE_OK;
}

static int authorize_read(void *ctx, int action, const char *a, const char *b, const char *db, const char *asks)
{
	(void)ctx, (void)a, (void)b, (void)db;
	if (asks)
		return SQLITE_DENY;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_READ:
	case SQLITE_FUNCTION:
	case SQLITE_PRAGMA:
	case SQLITE_TRANSACTION:
		return SQLITE_OK;
	}
	return SQLITE_DENY;
}

static int look(void *ctx)
{
	struct db_guard *g = ctx;
	uint64_t now = g->rows + (uint64_t)sqlite3_total_changes64(g->db);

	g->idle = now == g->seen ? g->idle + 1 : 0;
	g->seen = now;
	if (g->idle <= IDLE_LOOKS && (!g->until || clock_ns() <= g->until))
		return 0;
	g->idle = 0;
	return 1;
}

/* Called before anything is read. */
static int harden(sqlite3 *db, enum db_mode mode, struct db_guard *g)
{
	static const int no[] = {SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_TRIGGER,
				 SQLITE_DBCONFIG_TRUSTED_SCHEMA};
	size_t i;

	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_MS);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_TEXT);
	sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, MAX_SQL);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
	sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
	sqlite3_hard_heap_limit64(MAX_HEAP);
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (sqlite3_db_config(db, no[i], 0, NULL))
			return -1;
	if (sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL))
		return -1;
	*g = (struct db_guard){.db = db, .until = g->until};
	sqlite3_progress_handler(db, LOOK_STEPS, look, g);
	if (sqlite3_set_authorizer(db, mode == DB_WRITE ? authorize_write : authorize_read, NULL))
		return -1;
	return sqlite3_exec(db, "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON", NULL,
			    NULL, NULL);
}

int db_open_one(sqlite3 **out, const char *name, int flags, enum db_mode mode, struct db_guard *g, const char *path,
		struct error *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	sqlite3 *db = NULL;

	*out = NULL;
	pthread_once(&once, make_vfs);
	if (!system_vfs)
		return error_set(e, "%s: opening: SQLite has no file system", path);
	if (sqlite3_open_v2(name, &db, flags | SQLITE_OPEN_NOMUTEX,
			    mode == DB_WRITE ? write_vfs.zName : read_vfs.zName) != SQLITE_OK ||
	    harden(db, mode, g)) {
		db_error(db, path, "opening", e);
		sqlite3_close(db);
		return -1;
	}
	*out = db;
	return 0;
}

/* ---- what lies beside it ---- */

/*
 * A file beside the database must be a plain file: opening another kind may block forever. If SQLite would write to it,
 * it must have no second name: an attacker may want that file to be written.
 */
static int check_plain(const char *file, const char *path, bool written, struct error *e)
{
	struct stat st;

	if (lstat(file, &st))
		return errno == ENOENT ? 0 : error_errno(e, "%s: opening: %s", path, file);
	if (!S_ISREG(st.st_mode))
		return error_set(e, "%s: opening: %s is no plain file: remove it", path, file);
	if (st.st_nlink == 1 || !written)
		return 0;
	return error_set(e, "%s: opening: %s has another name too, and SQLite would write to it: remove it", path, file);
}

int db_not_ours(const char *path, uint32_t id, struct error *e)
{
	return error_set(e, "%s: a SQLite database, but not of ioflush (application_id 0x%" PRIx32 ", not 0x%x)", path,
			 id, STORE_APPLICATION_ID);
}

static uint32_t number_at(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/*
 * Reads the first bytes of the file, before SQLite reads it, by SQLite's own descriptor: closing another one would end
 * this process's locks on the file. *size: its size. 0, or -1: it cannot be read, or is shorter.
 */
static int read_head(sqlite3 *db, unsigned char *head, int len, sqlite3_int64 *size)
{
	sqlite3_file *file = NULL;

	*size = 0;
	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) || !file->pMethods ||
	    file->pMethods->xFileSize(file, size))
		return -1;
	return file->pMethods->xRead(file, head, len, 0) ? -1 : 0;
}

/*
 * Whether SQLite may roll back an existing journal: into a file of ours, or into one that the unfinished transaction
 * began (before: the pages that the file had then). Any other file is left alone.
 */
static int check_kind(sqlite3 *db, const char *path, uint32_t before, struct error *e)
{
	unsigned char head[FILE_ID_AT + 4];
	sqlite3_int64 size;
	int rc = read_head(db, head, sizeof(head), &size);
	uint32_t id;

	if (!size)
		return 0;
	if (rc || memcmp(head, FILE_MAGIC, sizeof(FILE_MAGIC)))
		return error_set(e, "%s: opening: not a database, or its first page is damaged", path);
	id = number_at(head + FILE_ID_AT);
	if (id == STORE_APPLICATION_ID || (!id && !before && size <= FILE_BEGUN))
		return 0;
	return db_not_ours(path, id, e);
}

/* Checks the first and last bytes of a journal of this size. */
static int check_journal_ends(sqlite3 *db, const char *file, const char *path, const unsigned char *head,
			      const unsigned char *end, struct error *e)
{
	if (!memcmp(end + JOURNAL_END - 8, JOURNAL_MAGIC, 8))
		return error_set(e,
				 "%s: opening: %s names another file, which rolling it back would remove; no ioflush makes "
				 "such a journal, so nothing was done: move it away to have the database without it",
				 path, file);
	return check_kind(db, path, number_at(head + JOURNAL_BEFORE), e);
}

static int check_journal(sqlite3 *db, const char *file, const char *path, struct error *e)
{
	unsigned char head[JOURNAL_BEFORE + 4], end[JOURNAL_END];
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), rc;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : error_errno(e, "%s: opening: %s", path, file);
	if (fstat(fd, &st))
		rc = error_errno(e, "%s: opening: %s", path, file);
	else if (st.st_size < (off_t)sizeof(head))
		rc = 0; /* nothing is in it */
	else if (pread(fd, head, sizeof(head), 0) != sizeof(head) ||
		 pread(fd, end, sizeof(end), st.st_size - JOURNAL_END) != sizeof(end))
		rc = error_errno(e, "%s: opening: %s", path, file);
	else
		rc = check_journal_ends(db, file, path, head, end, e);
	close(fd);
	return rc;
}

static int check_beside(sqlite3 *db, const char *path, enum db_mode mode, struct error *e)
{
	const char *file = sqlite3_db_filename(db, "main"), *journal = sqlite3_filename_journal(file),
		   *log = sqlite3_filename_wal(file);
	char *shm = sqlite3_mprintf("%s-shm", file);
	bool writes = mode == DB_WRITE;
	int rc;

	if (!shm)
		return error_set(e, "%s: out of memory", path);
	rc = check_plain(shm, path, true, e);
	sqlite3_free(shm);
	if (rc || check_plain(log, path, writes, e) || check_plain(journal, path, writes, e))
		return -1;
	return writes ? check_journal(db, journal, path, e) : 0;
}

static bool has_content(const char *file)
{
	struct stat st;

	return !stat(file, &st) && st.st_size;
}

/* ---- opening ---- */

/* Reads the schema; only after that we can set the size of the cache. Returns SQLite's extended result code. */
static int first_read(sqlite3 *db)
{
	if (sqlite3_exec(db, "SELECT 1 FROM main.sqlite_master LIMIT 1; PRAGMA cache_size = -" CACHE_KIB, NULL, NULL,
			 NULL))
		return sqlite3_extended_errcode(db);
	return SQLITE_OK;
}

/* SQLite's name for a file that nobody changes: no locks, no log. NULL: out of memory. */
static char *immutable_uri(const char *path)
{
	sqlite3_str *uri = sqlite3_str_new(NULL);
	const char *p;

	sqlite3_str_appendall(uri, path[0] == '/' ? "file:" : "file:./");
	for (p = path; *p; p++) {
		if (strchr("%?#", *p))
			sqlite3_str_appendf(uri, "%%%02x", (unsigned char)*p);
		else
			sqlite3_str_appendchar(uri, 1, *p);
	}
	sqlite3_str_appendall(uri, "?immutable=1");
	return sqlite3_str_finish(uri);
}

/*
 * Whether a database is in log mode but has no log: then no process writes to it, as a writer has a log. SQLite would
 * make a log even to read.
 */
static bool lies_still(sqlite3 *db)
{
	const char *file = sqlite3_db_filename(db, "main");
	unsigned char head[FILE_READ_BY + 1];
	sqlite3_int64 size;

	return !read_head(db, head, sizeof(head), &size) && head[FILE_READ_BY] == READ_BY_LOG &&
	       access(sqlite3_filename_wal(file), F_OK) && access(sqlite3_filename_journal(file), F_OK);
}

/* The same for an empty log, when we may not do what SQLite would do to it. */
static bool is_out_of_reach(sqlite3 *db, int code)
{
	const char *file = sqlite3_db_filename(db, "main");

	return (code == SQLITE_CANTOPEN || code == SQLITE_READONLY_CANTINIT || code == SQLITE_READONLY_DIRECTORY ||
		code == SQLITE_READONLY_RECOVERY) &&
	       !has_content(sqlite3_filename_wal(file)) && !has_content(sqlite3_filename_journal(file));
}

/* Replaces the connection in *db by a new one to the same path. */
static int open_immutable(sqlite3 **db, const char *path, struct db_guard *g, struct error *e)
{
	char *uri = immutable_uri(path);
	struct stat was;
	int rc;

	sqlite3_close(*db);
	*db = NULL;
	if (!uri)
		return error_set(e, "%s: out of memory", path);
	rc = stat(path, &was) ? error_errno(e, "%s", path) : 0;
	if (!rc)
		rc = db_open_one(db, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, DB_READ, g, path, e);
	sqlite3_free(uri);
	if (rc)
		return -1;
	g->alone = true;
	g->was = was;
	return 0;
}

bool db_changed(const struct db_guard *g)
{
	const char *file = g->alone ? sqlite3_db_filename(g->db, "main") : NULL;
	const struct stat *was = &g->was;
	struct stat now;

	return file && (stat(file, &now) || now.st_dev != was->st_dev || now.st_ino != was->st_ino ||
			now.st_size != was->st_size || now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
			now.st_mtim.tv_nsec != was->st_mtim.tv_nsec);
}

int db_open(sqlite3 **out, const char *path, enum db_mode mode, struct db_guard *g, struct error *e)
{
	char *name =
		sqlite3_mprintf("%s%s", path[0] == '/' ? "" : "./", path); /* ":memory:" and "file:..." are files, too */
	sqlite3 *db = NULL;
	int code, rc;

	*out = NULL;
	if (!name)
		return error_set(e, "%s: out of memory", path);
	rc = db_open_one(&db, name, mode == DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, mode, g, path, e);
	sqlite3_free(name);
	if (rc)
		return -1;
	if (mode == DB_WRITE && sqlite3_db_readonly(db, "main") == 1) { /* SQLite silently falls back to reading */
		error_set(e, "%s: opening: no permission to write", path);
		goto fail;
	}
	if (check_beside(db, path, mode, e))
		goto fail;
	if (mode == DB_READ && lies_still(db) && open_immutable(&db, path, g, e))
		return -1;
	code = first_read(db);
	if (mode == DB_READ && !g->alone && is_out_of_reach(db, code)) {
		if (open_immutable(&db, path, g, e))
			return -1;
		code = first_read(db);
	}
	if (code == SQLITE_OK) {
		*out = db;
		return 0;
	}
	if (code == SQLITE_CANTOPEN && has_content(sqlite3_filename_wal(sqlite3_db_filename(db, "main"))))
		db_error_log(path, "opening", e);
	else
		db_error(db, path, "opening", e);
fail:
	sqlite3_close(db);
	return -1;
}

bool db_file(sqlite3 *db, struct file_id *id)
{
	const char *path = sqlite3_db_filename(db, "main");
	struct stat st;
	int moved = 1;

	*id = (struct file_id){0};
	if (!path || stat(path, &st) || sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) || moved)
		return false;
	*id = file_id_of(&st);
	return true;
}
