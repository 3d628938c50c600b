/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Probe sets; see probeset.h. A set is checked completely when it is read: every name is known to the decoder, every
 * directive applies to something, and no line does more than define a probe (remove one, say). Events keep the order in
 * which the file first names them, alternatives the order of their lines. Behind the name nothing is parsed: the kernel
 * does that.
 */
#include "daemon/probes/probeset.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "trace/decoder/decoder.h"

#define MAX_LINE 4000 /* the kernel takes 4094 bytes; our group may be longer than the file's */
#define MAX_ALTS 64

/* --- lines of dynamic_events */

/* The parts of "p12:group/name rest". */
struct probe_line {
	int head;	  /* length of "p12:" */
	const char *name; /* behind the group */
	int name_len;
	const char *rest; /* what is behind the name, without blanks */
};

/* 0, or -1: not such a line. */
static int split_line(const char *line, struct probe_line *l)
{
	const char *p = line, *end, *slash;

	if (!*p || !strchr("fpret", *p))
		return -1;
	for (p++; isdigit((unsigned char)*p); p++)
		;
	if (*p++ != ':')
		return -1;
	l->head = (int)(p - line);
	end = p + strcspn(p, " \t");
	slash = memchr(p, '/', (size_t)(end - p));
	if (!slash)
		slash = memchr(p, '.', (size_t)(end - p));
	l->name = slash ? slash + 1 : p;
	l->name_len = (int)(end - l->name);
	l->rest = end + strspn(end, " \t");
	return l->name_len > 0 && *l->rest ? 0 : -1;
}

char *probe_line_in_group(const char *line, const char *group)
{
	struct probe_line l;
	char *out;

	if (split_line(line, &l))
		return NULL;
	if (asprintf(&out, "%.*s%s/%.*s %s", l.head, line, group, l.name_len, l.name, l.rest) < 0)
		return NULL;
	return out;
}

char *probe_line_event(const char *line)
{
	struct probe_line l;

	return split_line(line, &l) ? NULL : strndup(l.name, (size_t)l.name_len);
}

bool probe_line_member(const char *line, const char **at, size_t *len)
{
	const char *p = line + strcspn(line, "{}");
	size_t n = *p == '{' ? strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") : 0;
	const char *dot = n ? memchr(p + 1, '.', n) : NULL;

	*at = p;
	*len = *p ? 1 : 0;
	if (!dot || dot == p + 1 || p[n] == '.' || p[n + 1] != '}')
		return false;
	*len = n + 2;
	return true;
}

bool probe_line_is_uprobe(const char *line)
{
	struct probe_line l;

	return strchr("pr", line[0]) && !split_line(line, &l) && l.rest[0] == '/';
}

bool probe_alt_in_rung(const struct probe_alt *a, const char *rung)
{
	size_t len = strlen(rung);
	const char *p;

	if (!strcmp(rung, "auto"))
		return !a->forced;
	for (p = a->rungs ? strstr(a->rungs, rung) : NULL; p && *p; p = strstr(p + 1, rung))
		if (len && p > a->rungs && p[-1] == ' ' && p[len] == ' ')
			return true;
	return false;
}

/* All rungs that the set names, in its order. */
static void list_rungs(const struct probe_set *s, char *out, size_t size)
{
	char have[512] = " ", name[80];
	const char *p;
	size_t i, j, len;

	for (i = 0; i < s->nevents; i++)
		for (j = 0; j < s->event[i].nalts; j++)
			for (p = s->event[i].alt[j].rungs; p && *(p += strspn(p, " ")); p += len) {
				len = strcspn(p, " ");
				snprintf(name, sizeof(name), " %.*s ", (int)len, p);
				if (!strstr(have, name) && strlen(have) + len + 2 < sizeof(have))
					strcat(have, name + 1);
			}
	have[strlen(have) - 1] = '\0';
	snprintf(out, size, "%s", have[0] ? have + 1 : "none");
}

int probe_set_check_rung(const struct probe_set *s, const char *rung, struct error *e)
{
	char rungs[512];
	size_t i, j;

	for (i = 0; i < s->nevents; i++)
		for (j = 0; j < s->event[i].nalts; j++)
			if (probe_alt_in_rung(&s->event[i].alt[j], rung))
				return 0;
	list_rungs(s, rungs, sizeof(rungs));
	return error_set(e, "rung: no probe of %s is of rung \"%s\"; it has: %s", s->path, rung, rungs);
}

bool probe_set_needs_kernel(const struct probe_set *s)
{
	size_t i, j;

	for (i = 0; i < s->nevents; i++)
		for (j = 0; j < s->event[i].nalts; j++)
			if (!s->event[i].alt[j].line || !probe_line_is_uprobe(s->event[i].alt[j].line))
				return true;
	return false;
}

/* --- reading */

struct reader {
	struct probe_set *set;
	const char *path;
	unsigned line;
	char *lost, *entry;  /* of the next alternative */
	char *rungs;	     /* of those from here on, each between blanks */
	bool forced;	     /* the rungs are those of @only */
	char event[64];	     /* of @tracepoint lines; "": none yet */
	char *needs;	     /* names, each followed by a blank */
	unsigned needs_line; /* of the last @needs */
	struct error *e;
};

#define FAIL(r, ...) read_error(r, __VA_ARGS__)

static int read_error(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int read_error(struct reader *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(r->e, "%s:%u: %s", r->path, r->line, text);
}

static struct probe_event *find_event(const struct probe_set *s, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < s->nevents; i++)
		if (strlen(s->event[i].name) == len && !memcmp(s->event[i].name, name, len))
			return &s->event[i];
	return NULL;
}

static struct probe_event *get_event(struct reader *r, const char *name, size_t len)
{
	struct probe_event *ev = find_event(r->set, name, len);

	if (ev)
		return ev;
	ev = grow(r->set->event, r->set->nevents);
	if (ev)
		ev->name = strndup(name, len);
	if (!ev || !ev->name) {
		FAIL(r, "out of memory");
		return NULL;
	}
	r->set->nevents++;
	return ev;
}

/* Adds an alternative to the event, with the @lost before it. */
static struct probe_alt *add_alt(struct reader *r, const char *name, size_t len)
{
	struct probe_event *ev = get_event(r, name, len);
	struct probe_alt *alt;

	if (!ev)
		return NULL;
	if (ev->nalts >= MAX_ALTS) {
		FAIL(r, "%s has more than %d alternatives", ev->name, MAX_ALTS);
		return NULL;
	}
	alt = grow(ev->alt, ev->nalts);
	if (!alt) {
		FAIL(r, "out of memory");
		return NULL;
	}
	ev->nalts++;
	alt->file_line = r->line;
	alt->lost = r->lost;
	alt->entry = r->entry;
	alt->forced = r->forced;
	r->lost = r->entry = NULL;
	if (!r->rungs || (alt->rungs = strdup(r->rungs)))
		return alt;
	FAIL(r, "out of memory");
	return NULL;
}

static int check_name(struct reader *r, const char *name, size_t len)
{
	if (len < sizeof(r->event) && raw_kind_by_name(name, len) != RAW_OTHER)
		return 0;
	return FAIL(r, "no event is called \"%.*s\": the name of a probe says which event it gives", (int)len, name);
}

/* A probe line whose name is known. */
static int check_probe(struct reader *r, const char *text, struct probe_line *l)
{
	const char *p = text, *at;
	size_t len;

	if (split_line(text, l))
		return FAIL(r,
			    "\"%.40s\": a line is a probe as dynamic_events takes it (f:, p:, r:, e: or t:, then GROUP/EVENT "
			    "and what to probe), an @directive or a # comment",
			    text);
	for (; probe_line_member(p, &at, &len); p = at + len)
		;
	if (len)
		return FAIL(r, "%.20s: {STRUCT.MEMBER} is wanted", at);
	return check_name(r, l->name, (size_t)l->name_len);
}

/* The @entry before a line must be the one of that line. */
static int check_entry(struct reader *r, const struct probe_line *l)
{
	char want[80], *have;
	int ret = 0;

	if (!r->entry)
		return 0;
	have = probe_line_event(r->entry);
	snprintf(want, sizeof(want), "%.*s_entry", l->name_len, l->name);
	if (!have)
		return FAIL(r, "out of memory");
	if (strcmp(have, want))
		ret = FAIL(r, "the @entry before this line is \"%s\"; that of %.*s would be called %s", have,
			   l->name_len, l->name, want);
	free(have);
	return ret;
}

static int read_probe(struct reader *r, const char *text)
{
	struct probe_line l;
	struct probe_alt *alt;

	if (check_probe(r, text, &l) || check_entry(r, &l))
		return -1;
	alt = add_alt(r, l.name, (size_t)l.name_len);
	if (!alt)
		return -1;
	alt->line = strdup(text);
	return alt->line ? 0 : FAIL(r, "out of memory");
}

static bool is_word(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return len > 0 && len < 64;
}

static int read_tracepoint(struct reader *r, const char *arg)
{
	const char *colon = strchr(arg, ':');
	struct probe_alt *alt;

	if (!r->event[0])
		return FAIL(r, "@tracepoint needs an @event before it that says which event it gives");
	if (!colon || !is_word(arg, (size_t)(colon - arg)) || !is_word(colon + 1, strlen(colon + 1)))
		return FAIL(r, "@tracepoint %.60s: SYSTEM:EVENT is wanted", arg);
	alt = add_alt(r, r->event, strlen(r->event));
	if (!alt)
		return -1;
	alt->system = strndup(arg, (size_t)(colon - arg));
	alt->event = strdup(colon + 1);
	return alt->system && alt->event ? 0 : FAIL(r, "out of memory");
}

static int read_event(struct reader *r, const char *arg)
{
	if (check_name(r, arg, strlen(arg)))
		return -1;
	snprintf(r->event, sizeof(r->event), "%s", arg);
	return 0;
}

static int read_entry(struct reader *r, const char *arg)
{
	struct probe_line l;

	if (r->entry)
		return FAIL(r, "the @entry before this line speaks of no alternative");
	if (check_probe(r, arg, &l))
		return -1;
	r->entry = strdup(arg);
	return r->entry ? 0 : FAIL(r, "out of memory");
}

static int read_rung(struct reader *r, const char *arg)
{
	const char *p;
	size_t len;

	for (p = arg; *p; p += len, p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		if (!is_word(p, len) || (len == 4 && !memcmp(p, "auto", 4)))
			return FAIL(r, "rung %.*s: names of letters, digits and '_' are wanted, and \"auto\" is taken",
				    (int)len, p);
	}
	free(r->rungs);
	r->rungs = NULL;
	r->forced = false;
	if (!*arg)
		return FAIL(r, "name the rungs that the lines after it belong to");
	if (asprintf(&r->rungs, " %s ", arg) < 0) {
		r->rungs = NULL;
		return FAIL(r, "out of memory");
	}
	for (len = 0; r->rungs[len]; len++)
		if (r->rungs[len] == '\t')
			r->rungs[len] = ' ';
	return 0;
}

static int read_only(struct reader *r, const char *arg)
{
	if (read_rung(r, arg))
		return -1;
	r->forced = true;
	return 0;
}

static int add_member(struct reader *r, const char *of, size_t of_len, const char *name, size_t len, unsigned offset)
{
	struct probe_member *member = grow(r->set->member, r->set->nmembers);
	char *full;

	if (!member || asprintf(&full, "%.*s.%.*s", (int)of_len, of, (int)len, name) < 0)
		return FAIL(r, "out of memory");
	*member = (struct probe_member){full, offset};
	r->set->nmembers++;
	return 0;
}

static int read_layout(struct reader *r, const char *arg)
{
	size_t of_len = strcspn(arg, " \t"), len;
	const char *p = arg + of_len, *equals;
	unsigned long offset;
	char *end;

	if (!is_word(arg, of_len) || !*p)
		return FAIL(r, "@layout %.60s: STRUCT MEMBER=OFFSET... is wanted", arg);
	for (p += strspn(p, " \t"); *p; p += len, p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		equals = memchr(p, '=', len);
		offset = equals && isdigit((unsigned char)equals[1]) ? strtoul(equals + 1, &end, 10) : ULONG_MAX;
		if (!equals || equals == p || offset > 1u << 20 || end != p + len)
			return FAIL(r, "@layout: %.*s: MEMBER=OFFSET is wanted, in bytes", (int)len, p);
		if (add_member(r, arg, of_len, p, (size_t)(equals - p), (unsigned)offset))
			return -1;
	}
	return 0;
}

/* Several @lost lines make one text. */
static int read_lost(struct reader *r, const char *arg)
{
	char *text;

	if (!*arg)
		return FAIL(r, "@lost: say what is lost");
	if (asprintf(&text, "%s%s%s", r->lost ? r->lost : "", r->lost ? " " : "", arg) < 0)
		return FAIL(r, "out of memory");
	free(r->lost);
	r->lost = text;
	return 0;
}

/* Names are checked at the end: their lines may follow. */
static int read_needs(struct reader *r, const char *arg)
{
	const char *p = arg;
	size_t len;
	char *text;

	if (!*arg)
		return FAIL(r, "@needs: name the events");
	for (; *p; p += len, p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		if (check_name(r, p, len))
			return -1;
	}
	if (asprintf(&text, "%s%s ", r->needs ? r->needs : "", arg) < 0)
		return FAIL(r, "out of memory");
	free(r->needs);
	r->needs = text;
	r->needs_line = r->line;
	return 0;
}

static int read_directive(struct reader *r, char *text)
{
	static const struct {
		const char *name;
		int (*read)(struct reader *r, const char *arg);
	} directives[] = {{"@needs", read_needs}, {"@rung", read_rung},
			  {"@only", read_only},	  {"@lost", read_lost},
			  {"@entry", read_entry}, {"@layout", read_layout},
			  {"@event", read_event}, {"@tracepoint", read_tracepoint}};
	size_t len = strcspn(text, " \t"), i;
	const char *arg = text + len + strspn(text + len, " \t");

	if (r->lost && strncmp(text, "@tracepoint", len) && strncmp(text, "@lost", len) && strncmp(text, "@entry", len))
		return FAIL(r, "the @lost before this line speaks of no alternative");
	if (r->entry && strncmp(text, "@lost", len) && strncmp(text, "@entry", len))
		return FAIL(r, "the @entry before this line speaks of no alternative");
	for (i = 0; i < sizeof(directives) / sizeof(directives[0]); i++)
		if (strlen(directives[i].name) == len && !memcmp(text, directives[i].name, len))
			return directives[i].read(r, arg);
	return FAIL(r,
		    "unknown directive %.*s: @needs, @rung, @only, @lost, @entry, @layout, @event and @tracepoint are known",
		    (int)len, text);
}

static int read_line(struct reader *r, char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	/* For the kernel, too, '#' begins a comment. In directives it is text. */
	if (*text != '@')
		text[strcspn(text, "#")] = 0;
	for (len = strlen(text); len && strchr(" \t\r\n", text[len - 1]); len--)
		;
	text[len] = 0;
	if (!len)
		return 0;
	return *text == '@' ? read_directive(r, text) : read_probe(r, text);
}

static int apply_needs(struct reader *r)
{
	const char *p = r->needs ? r->needs : "";
	struct probe_event *ev;
	size_t len;

	r->line = r->needs_line;
	for (p += strspn(p, " \t"); *p; p += len, p += strspn(p, " \t")) {
		len = strcspn(p, " \t");
		ev = find_event(r->set, p, len);
		if (!ev)
			return FAIL(r, "@needs %.*s: no line of the set gives this event", (int)len, p);
		ev->needed = true;
	}
	return 0;
}

static int read_lines(struct reader *r, FILE *f)
{
	char line[MAX_LINE + 2];

	while (fgets(line, sizeof(line), f)) {
		r->line++;
		if (strlen(line) > MAX_LINE)
			return FAIL(r, "the line is longer than %d bytes", MAX_LINE);
		if (!strchr(line, '\n') && !feof(f))
			return FAIL(r, "a NUL byte; the file is damaged or no text");
		if (read_line(r, line))
			return -1;
	}
	if (ferror(f))
		return error_errno(r->e, "%s", r->path);
	if (r->lost || r->entry)
		return FAIL(r, "the last %s speaks of no alternative", r->lost ? "@lost" : "@entry");
	if (!r->set->nevents)
		return error_set(r->e, "%s: the set has no probes", r->path);
	return apply_needs(r);
}

int probe_set_read(struct probe_set *s, const char *path, struct error *e)
{
	struct reader r = {.set = s, .path = path, .e = e};
	FILE *f;
	int ret;

	memset(s, 0, sizeof(*s));
	f = fopen(path, "re");
	if (!f)
		return error_errno(e, "probe set %s", path);
	s->path = strdup(path);
	ret = s->path ? read_lines(&r, f) : error_set(e, "out of memory");
	fclose(f);
	free(r.lost);
	free(r.entry);
	free(r.rungs);
	free(r.needs);
	if (ret)
		probe_set_free(s);
	return ret;
}

void probe_set_free(struct probe_set *s)
{
	size_t i, j;

	for (i = 0; i < s->nevents; i++) {
		for (j = 0; j < s->event[i].nalts; j++) {
			struct probe_alt *a = &s->event[i].alt[j];

			free(a->line);
			free(a->entry);
			free(a->rungs);
			free(a->system);
			free(a->event);
			free(a->lost);
		}
		free(s->event[i].alt);
		free(s->event[i].name);
	}
	for (i = 0; i < s->nmembers; i++)
		free(s->member[i].name);
	free(s->member);
	free(s->event);
	free(s->path);
	memset(s, 0, sizeof(*s));
}
