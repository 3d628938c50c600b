/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The logging module; see log.h. Each line is one write(), so lines of different threads do not mix. A message of
 * several lines becomes several entries, and unprintable characters become '?', so that no outside text can forge an
 * entry.
 *
 * Level and form are the daemon's only mutable globals: log_init() sets them, at the start and at a reload. Each is one
 * atomic word, so any thread may log meanwhile.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int log_max = LOG_L_INFO;
static atomic_bool log_journal;

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{"error", LOG_L_ERROR}, {"warning", LOG_L_WARNING}, {"notice", LOG_L_NOTICE},
	{"info", LOG_L_INFO},	{"debug", LOG_L_DEBUG},
};

#define LEVELS (sizeof(levels) / sizeof(levels[0]))

void log_init(enum log_level max, bool journal)
{
	log_max = max;
	log_journal = journal;
}

int log_level_parse(const char *name, enum log_level *out)
{
	size_t i;

	for (i = 0; i < LEVELS; i++)
		if (!strcmp(levels[i].name, name)) {
			*out = levels[i].level;
			return 0;
		}
	return -1;
}

static const char *level_name(enum log_level level)
{
	size_t i;

	for (i = 0; i < LEVELS; i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "?";
}

/* The prefix of each line: "<4>" for the journal, else the time and the level. */
static void make_prefix(char *buf, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	char when[32];

	if (log_journal) {
		snprintf(buf, size, "<%d>", (int)level);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	if (!localtime_r(&now.tv_sec, &tm) || !strftime(when, sizeof(when), "%F %T", &tm))
		strcpy(when, "?");
	snprintf(buf, size, "%s.%03ld ioflushd: %s: ", when, now.tv_nsec / 1000000, level_name(level));
}

static void put_line(const char *prefix, const char *line, size_t len)
{
	char out[2304];
	size_t n, i;

	n = (size_t)snprintf(out, sizeof(out) - 1, "%s%.*s", prefix, (int)len, line);
	if (n > sizeof(out) - 2)
		n = sizeof(out) - 2;
	for (i = 0; i < n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	out[n++] = '\n';
	/* If this fails, it cannot be reported anywhere. */
	while (write(STDERR_FILENO, out, n) < 0 && errno == EINTR)
		;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char text[2048], prefix[64];
	const char *line, *end;
	int saved = errno;
	va_list ap;

	if ((int)level > log_max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_prefix(prefix, sizeof(prefix), level);
	for (line = text;; line = end + 1) {
		end = strchrnul(line, '\n');
		if (end > line || line == text)
			put_line(prefix, line, (size_t)(end - line));
		if (!*end)
			break;
	}
	errno = saved;
}
