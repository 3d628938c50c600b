/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lock.h. The bytes are those of SQLite's file format: they do not change. */
#include "trace/store/lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* In -shm: the writer, checkpointer and recoverer of the log hold one byte each; readers hold later ones. */
#define SHM_WRITE 120
#define SHM_RECOVER 122

#define LINE 256

struct lock {
	bool writes;
	int pid; /* -1: the lock belongs to an open file, not to a process */
	unsigned major, minor;
	uint64_t ino, from, to;
};

static bool parse(const char *line, struct lock *l)
{
	char kind[16], mode[16], to[32];

	/* "7: POSIX  ADVISORY  READ 1234 fe:00:5678 120 120"; who only waits has an arrow behind the number */
	if (sscanf(line, "%*d: %15s %*15s %15s %d %x:%x:%" SCNu64 " %" SCNu64 " %31s", kind, mode, &l->pid, &l->major,
		   &l->minor, &l->ino, &l->from, to) != 8 ||
	    (strcmp(kind, "POSIX") && strcmp(kind, "OFDLCK")))
		return false;
	if (sscanf(to, "%" SCNu64, &l->to) != 1)
		l->to = UINT64_MAX; /* EOF */
	l->writes = !strcmp(mode, "WRITE");
	return true;
}

static bool is_on(const struct lock *l, const struct stat *st)
{
	return l->ino == st->st_ino && l->major == major(st->st_dev) && l->minor == minor(st->st_dev);
}

/* Readers of a log block nobody; without a log they block a writer. */
static bool is_in_the_way(const struct lock *l, bool shm, bool has_shm)
{
	if (shm)
		return l->from <= SHM_RECOVER && l->to >= SHM_WRITE;
	return l->writes || !has_shm;
}

static void describe(const struct lock *l, const char *file, bool shm, char *text, size_t size)
{
	const char *name = strrchr(file, '/');
	char path[64], comm[32] = "", who[64] = "";
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", l->pid);
	f = l->pid > 0 ? fopen(path, "re") : NULL;
	if (f && fgets(comm, sizeof(comm), f) && !stat(path, &st)) {
		comm[strcspn(comm, "\n")] = '\0';
		snprintf(who, sizeof(who), " (%s, user %u)", comm, (unsigned)st.st_uid);
	}
	if (f)
		fclose(f);
	if (l->pid > 0)
		snprintf(path, sizeof(path), "process %d", l->pid);
	else
		snprintf(path, sizeof(path), "a process that the kernel does not name");
	snprintf(text, size, "%s%s holds a %s lock on %s%s", path, who, l->writes ? "write" : "read",
		 name ? name + 1 : file, shm ? "-shm" : "");
}

bool db_lock_holder(const char *file, char *text, size_t size)
{
	char shm_name[4096], line[LINE];
	struct stat db, shm;
	bool has_shm, found = false;
	struct lock l;
	FILE *f;

	if (snprintf(shm_name, sizeof(shm_name), "%s-shm", file) >= (int)sizeof(shm_name) || stat(file, &db))
		return false;
	has_shm = !stat(shm_name, &shm);
	f = fopen("/proc/locks", "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		bool on_shm;

		if (!parse(line, &l) || l.pid == getpid())
			continue;
		on_shm = has_shm && is_on(&l, &shm);
		found = (on_shm || is_on(&l, &db)) && is_in_the_way(&l, on_shm, has_shm);
		if (found)
			describe(&l, file, on_shm, text, size);
	}
	fclose(f);
	return found;
}
