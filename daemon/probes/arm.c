/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arming: tries the alternatives of each event in turn, until the kernel takes one and its event can be enabled. Keeps
 * the kernel's own words for each refusal. Events are enabled only in our instance, never in the main buffer.
 */
#include "daemon/probes/impl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/probes/layout.h"

#define MAX_REFUSED 16384 /* bytes of the kernel's words kept for one event */

/* --- the kernel's own words */

/* Whether two command lines differ at most in blanks. */
static bool same_command(const char *a, const char *a_end, const char *b)
{
	for (;;) {
		while (a < a_end && isblank((unsigned char)*a))
			a++;
		while (isblank((unsigned char)*b))
			b++;
		if (a == a_end || !*b)
			return a == a_end && !*b;
		while (a < a_end && *b && !isblank((unsigned char)*a) && *a == *b)
			a++, b++;
		if ((a < a_end && !isblank((unsigned char)*a)) || (*b && !isblank((unsigned char)*b)))
			return false;
	}
}

/*
 * The last entry of error_log about this line, or NULL. An entry is
 *	[ 3519.027963] trace_uprobe: error: Invalid register name
 *	  Command: p:group/name /path:0x1129 zz=%qq
 *	                                        ^
 */
static const char *find_entry(const char *log, const char *line)
{
	static const char mark[] = "\n  Command: ";
	const char *entry = NULL, *p, *command, *start;

	for (p = log; (p = strstr(p, mark)); p = command) {
		command = p + sizeof(mark) - 1;
		if (!same_command(command, strchrnul(command, '\n'), line))
			continue;
		for (start = p; start > log && start[-1] != '\n'; start--)
			;
		entry = start;
	}
	return entry;
}

/* "Invalid register name, at "zz=%qq"" from an entry; malloc'ed. */
static char *entry_words(const char *entry)
{
	static const char error_mark[] = ": error: ", command_mark[] = "  Command: ";
	const char *end = strchrnul(entry, '\n'), *words = strstr(entry, error_mark), *command, *caret, *at;
	size_t column;
	char *out;

	if (!words || words > end)
		return NULL;
	words += sizeof(error_mark) - 1;
	command = *end ? end + 1 : end;
	caret = strchrnul(command, '\n');
	at = "";
	if (*caret && !strncmp(command, command_mark, sizeof(command_mark) - 1)) {
		column = strspn(caret + 1, " ");
		if (caret[1 + column] == '^' && command + column < caret)
			at = command + column;
	}
	if (asprintf(&out, "%.*s%s%.*s%s", (int)(end - words), words, *at ? ", at \"" : "", (int)strcspn(at, " \n"), at,
		     *at ? "\"" : "") < 0)
		return NULL;
	return out;
}

/* The words for a refusal that the kernel did not explain. */
static char *errno_words(const struct tracer *t, const char *line, int errnum)
{
	const char *more = "";
	char *out;

	if (errnum == EINVAL && strchr("ft", line[0]) && !host_has_fprobes(t))
		more = ": this kernel has no fprobe events (CONFIG_FPROBE_EVENTS)";
	else if (errnum == EINVAL && strchr("pr", line[0]) && !probe_line_is_uprobe(line) && !host_has_kprobes(t))
		more = ": this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)";
	else if (errnum == EEXIST)
		more = ": a probe of this name is there already";
	if (asprintf(&out, "%s%s", strerror(errnum), more) < 0)
		return NULL;
	return out;
}

/* --- arming */

/* Adds one refusal: a line "set:line: words". words may be NULL. */
static int note_refusal(struct armed_event *a, const struct probe_set *set, const struct probe_alt *alt,
			const char *words, struct error *e)
{
	char *text;

	if (a->refused && strlen(a->refused) > MAX_REFUSED)
		return 0;
	if (asprintf(&text, "%s%s%s:%u: %s", a->refused ? a->refused : "", a->refused ? "\n" : "", set->path,
		     alt->file_line, words ? words : "out of memory") < 0)
		return error_set(e, "out of memory");
	free(a->refused);
	a->refused = text;
	return 0;
}

/* on: "1" or "0". 0, or -1 with errno. */
static int enable(const struct tracer *t, const char *system, const char *name, const char *on)
{
	char path[PATH_MAX];

	return path_print(path, "%s/events/%s/%s/enable", t->dir, system, name) ? -1 : file_write(path, on, 0);
}

/* 1: armed, 0: refused and the words are set, -1. */
static int arm_line(struct tracer *t, const char *name, const char *line, char **words, struct error *e)
{
	char command[8192], *before = tracefs_read(t, "error_log", NULL), *after = NULL;
	const char *old = before ? find_entry(before, line) : NULL, *now;
	unsigned removed = 0;
	int ret = 0, errnum;

	snprintf(command, sizeof(command), "%s\n", line);
	if (tracefs_write(t, "dynamic_events", command, O_APPEND)) {
		errnum = errno;
		after = tracefs_read(t, "error_log", NULL);
		now = after ? find_entry(after, line) : NULL;
		/* An entry begins with its time, which distinguishes it from an older one about the same line. */
		if (now && !(old && !strncmp(old, now, strcspn(now, "\n"))))
			*words = entry_words(now);
		if (!*words)
			*words = errno_words(t, line, errnum);
		goto out;
	}
	if (enable(t, t->group, name, "1")) {
		errnum = errno;
		if (asprintf(words, "taken, but it cannot be enabled: %s", strerror(errnum)) < 0)
			*words = NULL;
		ret = group_remove_probe(t, name, &removed, e);
		goto out;
	}
	ret = 1;
out:
	free(before);
	free(after);
	return ret;
}

static int arm_tracepoint(const struct tracer *t, const struct probe_alt *alt, char **words)
{
	if (!enable(t, alt->system, alt->event, "1"))
		return 1;
	if (errno == ENOENT)
		*words = strdup("this kernel has no such tracepoint");
	else
		*words = strdup(strerror(errno));
	return 0;
}

/* The layout of the kernel's structs, and what was found so far. */
struct arming {
	struct tracer *t;
	const struct probe_set *set;
	struct layout *layout;
};

/* A line of the set as it is armed, in our group and with offsets; malloc'ed. NULL: *words say why not. */
static char *finish_line(struct arming *m, const char *text, const char **offsets, char **words)
{
	struct error why = {{0}};
	char *line = probe_line_in_group(text, m->t->group), *done = NULL;

	if (line)
		done = layout_resolve(m->layout, line, offsets, &why);
	if (!done)
		*words = strdup(line ? why.text : "out of memory");
	free(line);
	return done;
}

/* The entry of an alternative that needs one: an armed event of its own. 1, 0: refused and the words are set, or -1. */
static int arm_entry(struct arming *m, const struct probe_alt *alt, char **words, struct error *e)
{
	struct armed_event *a = &m->t->event[m->t->nevents];
	const char *offsets = NULL;
	char *line = finish_line(m, alt->entry, &offsets, words), *name = probe_line_event(alt->entry);
	int ret = line && name ? arm_line(m->t, name, line, words, e) : 0;

	if (ret <= 0) {
		free(line);
		free(name);
		return ret;
	}
	*a = (struct armed_event){.name = name, .line = line, .offsets = offsets, .system = strdup(m->t->group)};
	m->t->nevents++;
	return a->system ? 1 : error_set(e, "out of memory");
}

/* Takes the entry away: its event was refused. */
static int disarm_entry(struct arming *m, struct error *e)
{
	struct armed_event *a = &m->t->event[--m->t->nevents];
	unsigned removed = 0;
	int ret;

	enable(m->t, m->t->group, a->name, "0");
	ret = group_remove_probe(m->t, a->name, &removed, e);
	free(a->name);
	free(a->line);
	free(a->system);
	memset(a, 0, sizeof(*a));
	return ret;
}

/* One alternative that is a probe line, and its entry. 1: armed, 0: refused and the words are set, or -1. */
static int arm_probe(struct arming *m, struct armed_event *a, const struct probe_alt *alt, char **words, struct error *e)
{
	const char *offsets = NULL;
	char *line = finish_line(m, alt->line, &offsets, words);
	int ret = line && alt->entry ? arm_entry(m, alt, words, e) : 1;

	if (!line || ret <= 0) {
		free(line);
		return line ? ret : 0;
	}
	ret = arm_line(m->t, a->name, line, words, e);
	if (ret <= 0) {
		free(line);
		return alt->entry && disarm_entry(m, e) ? -1 : ret;
	}
	a->line = line;
	a->offsets = offsets;
	a->system = strdup(m->t->group);
	return a->system ? 1 : error_set(e, "out of memory");
}

static int arm_tracepoint_alt(struct arming *m, struct armed_event *a, const struct probe_alt *alt, char **words,
			      struct error *e)
{
	if (!arm_tracepoint(m->t, alt, words))
		return 0;
	a->system = strdup(alt->system);
	if (asprintf(&a->line, "%s:%s", alt->system, alt->event) < 0)
		a->line = NULL;
	return a->system && a->line ? 1 : error_set(e, "out of memory");
}

/* One alternative. 1: armed, 0: refused and noted, or -1. */
static int arm_alt(struct arming *m, struct armed_event *a, const struct probe_alt *alt, struct error *e)
{
	char *words = NULL;
	int ret;

	ret = alt->line ? arm_probe(m, a, alt, &words, e) : arm_tracepoint_alt(m, a, alt, &words, e);
	if (!ret)
		ret = note_refusal(a, m->set, alt, words, e);
	if (ret > 0) {
		a->lost = alt->lost ? strdup(alt->lost) : NULL;
		if (alt->lost && !a->lost)
			ret = error_set(e, "out of memory");
	}
	free(words);
	return ret;
}

static int arm_event(struct arming *m, const struct probe_event *ev, struct armed_event *a, struct error *e)
{
	size_t i, tried = 0;
	int got;

	a->name = strdup(ev->name);
	if (!a->name)
		return error_set(e, "out of memory");
	for (i = 0; i < ev->nalts; i++) {
		if (!probe_alt_in_rung(&ev->alt[i], m->t->opt.rung))
			continue;
		tried++;
		got = arm_alt(m, a, &ev->alt[i], e);
		if (got < 0)
			return -1;
		if (got) {
			a->alt = (int)i;
			return 0;
		}
	}
	if (!tried && asprintf(&a->refused, "the rung %s has no probe for it", m->t->opt.rung) < 0) {
		a->refused = NULL;
		return error_set(e, "out of memory");
	}
	return 0;
}

int arm_events(struct tracer *t, const struct probe_set *set, struct error *e)
{
	struct arming m = {.t = t, .set = set, .layout = layout_new(t->opt.root, set)};
	int ret = -1;
	size_t i;

	/* at most as many entries as events */
	t->event = calloc(set->nevents ? 2 * set->nevents : 1, sizeof(*t->event));
	if (!m.layout || !t->event) {
		error_set(e, "out of memory");
		goto out;
	}
	t->nevents = set->nevents;
	for (i = 0; i < set->nevents; i++)
		t->event[i].alt = -1;
	for (i = 0; i < set->nevents; i++)
		if (arm_event(&m, &set->event[i], &t->event[i], e))
			goto out;
	ret = 0;
out:
	layout_free(m.layout);
	return ret;
}
