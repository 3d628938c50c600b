/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read of an instance while it records: buffers, statistics, formats. Nothing here changes anything. */
#include "daemon/probes/impl.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "daemon/probes/missed.h"

const char *name_in_system(const struct tracer *t, const struct armed_event *a)
{
	return strcmp(a->system, t->group) ? strchr(a->line, ':') + 1 : a->name;
}

static int open_per_cpu(const struct tracer *t, unsigned cpu, const char *name)
{
	char path[PATH_MAX];

	if (path_print(path, "%s/per_cpu/cpu%u/%s", t->dir, cpu, name))
		return -1;
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

int tracer_open_buffer(const struct tracer *t, unsigned cpu)
{
	return open_per_cpu(t, cpu, "trace_pipe_raw");
}

int tracer_open_stats(const struct tracer *t, unsigned cpu)
{
	return open_per_cpu(t, cpu, "stats");
}

/* All instances share the host's one table. */
int tracer_open_cmdlines(const struct tracer *t)
{
	char path[PATH_MAX];

	if (path_print(path, "%s/saved_cmdlines", t->opt.tracefs))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Whether the symbols at the start of kallsyms have addresses: those of the CPUs' own data begin at 0, one by one. */
static bool shows_addresses(int fd)
{
	char head[4097], *line, *save = NULL;
	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);

	head[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(head, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strtoull(line, NULL, 16))
			return true;
	return false;
}

int tracer_open_symbols(const struct tracer *t)
{
	char path[PATH_MAX];
	int fd;

	if (path_print(path, "%s/proc/kallsyms", t->opt.root))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && shows_addresses(fd))
		return fd;
	if (fd >= 0)
		close(fd);
	if (path_print(path, "%s/available_filter_functions_addrs", t->opt.tracefs))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* 0, or -1 with errno; EAGAIN: probes changed between reading the two files, so that they do not match. */
static int read_missed(const struct tracer *t, uint64_t *missed)
{
	char *events = tracefs_read(t, "kprobe_events", NULL), *profile = NULL;
	int ret = -1;

	if (events)
		profile = tracefs_read(t, "kprobe_profile", NULL);
	if (profile) {
		errno = EAGAIN;
		ret = missed_sum(events, profile, t->group, missed);
	}
	free(profile);
	free(events);
	return ret;
}

int tracer_missed(const struct tracer *t, uint64_t *missed)
{
	int tries = 3, ret;

	do
		ret = read_missed(t, missed);
	while (ret && errno == EAGAIN && --tries);
	return ret;
}

/* Whether the CPU is in a list such as "0-3,6"; a list that cannot be read contains all. */
static bool in_cpu_list(const char *list, unsigned cpu)
{
	unsigned long from, to;
	const char *p = list;
	char *end;

	if (!list)
		return true;
	while (isdigit((unsigned char)*p)) {
		from = to = strtoul(p, &end, 10);
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (cpu >= from && cpu <= to)
			return true;
		p = *end == ',' ? end + 1 : "";
	}
	return false;
}

static int compare_cpus(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static unsigned *list_cpus(DIR *dir, const char *online, size_t *n)
{
	unsigned *cpus = calloc(1, sizeof(*cpus)), *more, cpu;
	struct dirent *d;
	char rest;

	*n = 0;
	while (cpus && (d = readdir(dir))) {
		if (sscanf(d->d_name, "cpu%u%c", &cpu, &rest) != 1 || !in_cpu_list(online, cpu))
			continue;
		more = grow(cpus, *n);
		if (!more) {
			free(cpus);
			return NULL;
		}
		*more = cpu;
		++*n;
	}
	if (cpus)
		qsort(cpus, *n, sizeof(*cpus), compare_cpus);
	return cpus;
}

unsigned *tracer_cpus(const struct tracer *t, size_t *n, struct error *e)
{
	char path[PATH_MAX], *online = NULL;
	unsigned *cpus;
	DIR *dir;

	if (path_print(path, "%s/sys/devices/system/cpu/online", t->opt.root))
		return NULL;
	/* There is a directory for each possible CPU; the buffers of those never online cannot be read. */
	online = file_read(path, NULL);
	dir = path_print(path, "%s/per_cpu", t->dir) ? NULL : opendir(path);
	if (!dir) {
		error_errno(e, "%s/per_cpu", t->dir);
		free(online);
		return NULL;
	}
	cpus = list_cpus(dir, online, n);
	if (!cpus)
		error_set(e, "out of memory");
	closedir(dir);
	free(online);
	return cpus;
}

char *tracer_header_page(const struct tracer *t, size_t *len, struct error *e)
{
	char *text = tracefs_read(t, "events/header_page", len);

	if (!text)
		error_errno(e, "%s/events/header_page", t->opt.tracefs);
	return text;
}

char *tracer_format(const struct tracer *t, size_t event, size_t *len, struct error *e)
{
	const struct armed_event *a = event < t->nevents ? &t->event[event] : NULL;
	char path[PATH_MAX], *text;

	if (!a || a->alt < 0) {
		error_set(e, "event %zu is not armed", event);
		return NULL;
	}
	if (path_print(path, "events/%s/%s/format", a->system, name_in_system(t, a)))
		return NULL;
	text = tracefs_read(t, path, len);
	if (!text)
		error_errno(e, "%s/%s", t->opt.tracefs, path);
	return text;
}
