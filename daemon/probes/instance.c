/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns the instance, and how everything is removed; see tracer.h.
 *
 * Invariants:
 * - Probes and instance change only while this process holds the lock on the instance's directory (t->lock); anything that
 *   exists without a lock holder is a leftover.
 * - dynamic_events is only opened for appending, and only lines "-:OUR_GROUP/name" remove anything from it.
 * - Order of removal: recording off, events off, probes, instance (its directory is what is locked), lock.
 */
#include "daemon/probes/impl.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUSY_MS 3000 /* default of how long an instance may stay busy after its readers end */
#define STEP_MS 20

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* --- whose the instance is */

char *group_of(const char *instance)
{
	char *group = strdup(instance), *p;

	for (p = group; p && *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	return group;
}

/* Refuses another instance with the same group: its probes could not be distinguished from ours. */
static int check_group_unique(const struct tracer *t, struct error *e)
{
	char path[PATH_MAX], *group;
	struct dirent *d;
	int ret = 0;
	DIR *dir;

	if (path_print(path, "%s/instances", t->opt.tracefs))
		return error_errno(e, "%s", t->opt.tracefs);
	dir = opendir(path);
	if (!dir)
		return error_errno(e, "%s", path);
	while (!ret && (d = readdir(dir))) {
		group = group_of(d->d_name);
		if (!group)
			ret = error_set(e, "out of memory");
		else if (strcmp(d->d_name, t->opt.instance) && !strcmp(group, t->group))
			ret = error_set(e,
					"the instance %s/%s would have the same probe group as ours, %s: choose another "
					"--instance",
					path, d->d_name, t->group);
		free(group);
	}
	closedir(dir);
	return ret;
}

/* Locks the present directory. 1: done, 0: try again, or -1: another process has it (EWOULDBLOCK), or errno. */
static int lock_once(struct tracer *t, bool *made)
{
	struct stat ours, now;
	int fd, saved;

	*made = !mkdir(t->dir, 0750);
	if (!*made && errno != EEXIST)
		return -1;
	fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	/* The locked directory may have been removed, and made anew by another process. */
	if (!fstat(fd, &ours) && !stat(t->dir, &now) && ours.st_ino == now.st_ino && ours.st_dev == now.st_dev) {
		t->lock = fd;
		return 1;
	}
	close(fd);
	return 0;
}

void instance_unlock(struct tracer *t)
{
	if (t->lock >= 0)
		close(t->lock);
	t->lock = -1;
}

int instance_lock(struct tracer *t, unsigned wait_ms, bool *made, enum tracer_host *host, struct error *e)
{
	unsigned waited = 0;
	int got;

	for (;;) {
		got = lock_once(t, made);
		if (got > 0 && !check_group_unique(t, e))
			return 0;
		if (got > 0) {
			/* We may not remove the group's probes. */
			if (*made)
				rmdir(t->dir);
			*made = false;
			instance_unlock(t);
			return -1;
		}
		if (got < 0 && errno != EWOULDBLOCK && no_privilege(errno))
			return host_no_privilege(t, t->dir, errno, host, e);
		if (got < 0 && errno != EWOULDBLOCK)
			return error_errno(e, "instance %s", t->dir);
		if (waited >= wait_ms && got < 0) {
			error_set(e, "another ioflushd uses the instance %s: end it, or choose another --instance",
				  t->opt.instance);
			return host_set(host, TRACER_HOST_IN_USE);
		}
		sleep_ms(STEP_MS);
		waited += STEP_MS;
	}
}

/* --- taking away */

/*
 * The folder of our group's events, which exists while the group has probes. dynamic_events is no substitute: its
 * reader skips a line if another process removes a probe between two reads.
 */
static DIR *open_group(const struct tracer *t)
{
	char path[PATH_MAX];

	return path_print(path, "%s/events/%s", t->opt.tracefs, t->group) ? NULL : opendir(path);
}

/* The next event in it, or NULL. Besides the events' folders there are files. */
static const char *next_of_group(DIR *dir)
{
	struct dirent *d;

	while ((d = readdir(dir)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "enable") && strcmp(d->d_name, "filter"))
			return d->d_name;
	return NULL;
}

int group_remove_probe(const struct tracer *t, const char *name, unsigned *removed, struct error *e)
{
	char line[2 * NAME_MAX + 8];

	snprintf(line, sizeof(line), "-:%s/%s\n", t->group, name);
	if (!tracefs_write(t, "dynamic_events", line, O_APPEND)) {
		++*removed;
		return 0;
	}
	if (errno == ENOENT) /* an event with several probes, removed with the first */
		return 0;
	if (errno == EBUSY)
		return error_set(e,
				 "the probe %s/%s cannot be removed: it is in use outside of our instance (enabled in the "
				 "main buffer, by perf or in another instance): disable it there",
				 t->group, name);
	return error_errno(e, "removing the probe %s/%s", t->group, name);
}

/* The group's events, separated by blanks (no name has one); malloc'ed. "": there are none. NULL and the error. */
static char *list_group(const struct tracer *t, struct error *e)
{
	DIR *dir = open_group(t);
	const char *name;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!dir && errno != ENOENT) {
		error_errno(e, "%s/events/%s", t->opt.tracefs, t->group);
		return NULL;
	}
	out = open_memstream(&text, &len);
	while (out && dir && (name = next_of_group(dir)))
		fprintf(out, "%s ", name);
	if (dir)
		closedir(dir);
	if (out && !fclose(out))
		return text;
	free(text);
	error_set(e, "out of memory");
	return NULL;
}

/* Lists again until nothing more can be removed: removals by others may hide a name from one listing. */
int group_remove_probes(const struct tracer *t, unsigned *removed, struct error *e)
{
	unsigned before;
	char *all, *name, *rest;
	int ret = 0;

	do {
		all = list_group(t, e);
		if (!all)
			return -1;
		before = *removed;
		for (name = strtok_r(all, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
			if (group_remove_probe(t, name, removed, e))
				ret = -1;
		free(all);
	} while (!ret && *removed > before);
	return ret;
}

bool group_has_probes(const struct tracer *t)
{
	DIR *dir = open_group(t);
	bool found = dir && next_of_group(dir);

	if (dir)
		closedir(dir);
	return found;
}

void instance_quiesce(const struct tracer *t)
{
	char path[PATH_MAX];

	instance_write(t, "tracing_on", "0");
	if (!path_print(path, "%s/events/%s/enable", t->dir, t->group))
		file_write(path, "0", 0);
}

/* An instance is busy while one of its files is open; a reader that is ending gets some time. */
static int remove_instance(const struct tracer *t, struct error *e)
{
	unsigned most = t->opt.busy_ms ? t->opt.busy_ms : BUSY_MS, waited;

	for (waited = 0; rmdir(t->dir); waited += STEP_MS) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || waited >= most)
			return error_errno(e, "removing the instance %s%s", t->dir,
					   errno == EBUSY ? ", which some process reads" : "");
		sleep_ms(STEP_MS);
	}
	return 0;
}

int instance_take_away(struct tracer *t, unsigned *removed, struct error *e)
{
	int ret;

	instance_quiesce(t);
	ret = group_remove_probes(t, removed, e);
	if (remove_instance(t, e))
		ret = -1;
	return ret;
}

static int clean_one(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e)
{
	bool made;
	int ret;

	if (access(t->dir, F_OK) && !group_has_probes(t))
		return 0;
	if (t->lock >= 0)
		return error_set(e, "instance %s is in use by this process", t->opt.instance);
	if (instance_lock(t, 0, &made, host, e))
		return -1;
	*found += !made;
	ret = instance_take_away(t, found, e);
	instance_unlock(t);
	return ret;
}

int tracer_clean(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e)
{
	struct error ignored = {{0}};
	enum tracer_host whose;
	struct tracer try;

	*found = 0;
	*host = TRACER_HOST_OK;
	if (clean_one(t, found, host, e))
		return -1;
	/* Leftovers of a killed --check; one that is running is left alone. */
	if (tracer_init(&try, &t->opt, "-try", e))
		return -1;
	clean_one(&try, found, &whose, &ignored);
	tracer_forget(&try);
	return 0;
}
