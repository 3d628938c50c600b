/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON Lines, the source: lines, the captures that headers begin, and the events between; see jsonl.h. jsonl_line.h
 * reads the content of a line.
 *
 * Memory comes from the budget: one buffer for the longest line, the interned strings, and the texts of the current
 * header. The members of a line are in the buffer until the next line.
 */
#include "trace/formats/jsonl.h"
#include "trace/formats/jsonl_line.h"
#include "trace/formats/open.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1
#define MAX_LINE (1u << 20)
#define READ_SIZE (256u * 1024)
#define MAX_TEXT 65536u /* bytes of a text of the header */

struct jsonl_source {
	struct source source;
	int fd;
	char *buf;
	size_t cap, pos, end; /* unread: buf[pos] to buf[end - 1] */
	bool eof;
	uint64_t line;	     /* number of the line last taken, from 1 */
	bool last_unended;   /* it had no newline: the input ends there */
	bool header_pending; /* that line is a header, for the next source_capture() */
	bool failed;
	struct error error; /* to be given by the next read */
	struct line parsed;
	struct intern *texts; /* of the header */
	uint64_t captures, last_t;
	bool gave_up;		   /* the capture that stands for what cannot be found was given */
	struct dropped dropped;	   /* of the capture, as are these */
	uint64_t events, expected; /* so far, and as its header says */
	bool expects;
	uint64_t size, done; /* bytes; size 0: unknown */
};

static struct jsonl_source *jsonl(struct source *s)
{
	return (struct jsonl_source *)s;
}

/* Reports what is wrong with the current line. Returns -1. */
static int __attribute__((format(printf, 3, 4)))
refuse(const struct jsonl_source *s, struct error *e, const char *fmt, ...)
{
	struct error why;
	va_list args;

	va_start(args, fmt);
	vsnprintf(why.text, sizeof(why.text), fmt, args);
	va_end(args);
	return error_set(e, "%s:%" PRIu64 ": %s", s->source.path, s->line, why.text);
}

/* ---- lines ---- */

/* Makes room at the end of the buffer and reads. 1: it read something, 0: the end, -1. */
static int fill(struct jsonl_source *s, struct error *e)
{
	ssize_t n;

	if (s->pos) {
		memmove(s->buf, s->buf + s->pos, s->end - s->pos);
		s->end -= s->pos;
		s->pos = 0;
	}
	do
		n = read(s->fd, s->buf + s->end, s->cap - s->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(e, "%s:%" PRIu64 ": reading", s->source.path, s->line + 1);
	s->end += (size_t)n;
	__atomic_fetch_add(&s->done, (uint64_t)n, __ATOMIC_RELAXED);
	return n > 0;
}

static bool is_blank(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

/* The next line, without its newline, in the buffer until the next call. 1, 0: no more, or -1. */
static int next_line_raw(struct jsonl_source *s, char **line, size_t *len, struct error *e)
{
	size_t searched = 0;
	char *nl;
	int rc;

	for (;;) {
		nl = memchr(s->buf + s->pos + searched, '\n', s->end - s->pos - searched);
		if (nl)
			break;
		searched = s->end - s->pos;
		if (searched > MAX_LINE)
			goto too_long;
		if (s->eof)
			break;
		rc = fill(s, e);
		if (rc < 0)
			return -1;
		s->eof = !rc;
	}
	if (!nl && s->pos == s->end)
		return 0;
	*line = s->buf + s->pos;
	*len = nl ? (size_t)(nl - *line) : s->end - s->pos;
	if (*len > MAX_LINE)
		goto too_long;
	s->pos += *len + (nl ? 1 : 0);
	if (!s->line++ && *len >= 3 && !memcmp(*line, "\xef\xbb\xbf", 3)) { /* a byte order mark */
		*line += 3;
		*len -= 3;
	}
	s->last_unended = !nl;
	return 1;
too_long:
	return error_set(e, "%s:%" PRIu64 ": over %u bytes without a newline: not JSON Lines of a trace",
			 s->source.path, s->line + 1, MAX_LINE);
}

static int next_line(struct jsonl_source *s, char **line, size_t *len, struct error *e)
{
	int rc;

	do
		rc = next_line_raw(s, line, len, e);
	while (rc > 0 && is_blank(*line, *len));
	return rc;
}

/* Parses a line into s->parsed. 1: an event, 0: a header, or -1. */
static int parse_line(struct jsonl_source *s, char *text, size_t len, struct error *e)
{
	struct line *l = &s->parsed;

	if (!line_parse(l, text, len))
		return !line_find(l, "ioflush_trace");
	if (memchr(text, '\0', len))
		return refuse(s, e, "a NUL byte: not text");
	if (s->last_unended)
		return refuse(s, e, "the input ends in the middle of this line: %s", l->wrong);
	return error_set(e, "%s:%" PRIu64 ":%td: %s", s->source.path, s->line, l->at - text + 1, l->wrong);
}

/* Checks that the event is possible, and not earlier than the one before. */
static int accept_event(struct jsonl_source *s, const struct event *ev, struct error *e)
{
	struct error why;

	why.text[0] = '\0';
	if (event_check(ev, &why))
		return refuse(s, e, "%s", why.text);
	if (ev->t < s->last_t)
		return refuse(s, e,
			      "%s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64 "; sort the lines by t",
			      event_table[ev->kind].name, ev->t, s->last_t);
	s->last_t = ev->t;
	s->events++;
	return 0;
}

/* ---- the source ---- */

/* Checks the number of events in the header, which shows that a file was cut between two lines. */
static int end_of_capture(const struct jsonl_source *s, struct error *e)
{
	if (!s->expects || s->events == s->expected)
		return 0;
	return refuse(s, e,
		      "the capture ends after %" PRIu64 " of the %" PRIu64
		      " events that its header says; it is truncated or was edited",
		      s->events, s->expected);
}

/* One event. 1, 0: the capture ended, or -1. */
static int read_event(struct jsonl_source *s, struct event *ev, struct error *e)
{
	struct error why;
	size_t len = 0;
	char *line = NULL;
	int rc;

	why.text[0] = '\0';
	do {
		rc = next_line(s, &line, &len, e);
		if (rc <= 0)
			return rc ? rc : end_of_capture(s, e);
		rc = parse_line(s, line, len, e);
		if (rc < 0)
			return -1;
		if (!rc) {
			s->header_pending = true;
			return end_of_capture(s, e);
		}
		rc = line_event(&s->parsed, ev, s->source.strings, &s->dropped, &why);
		if (rc < 0)
			return refuse(s, e, "%s", why.text);
	} while (!rc);
	return accept_event(s, ev, e) ? -1 : 1;
}

static ssize_t jsonl_read(struct source *src, struct event *ev, size_t max, struct error *e)
{
	struct jsonl_source *s = jsonl(src);
	size_t n = 0;
	int rc = 1;

	if (!s->failed && s->header_pending)
		return 0;
	while (n < max && !s->failed) {
		rc = read_event(s, &ev[n], &s->error);
		if (rc < 0)
			s->failed = true;
		if (rc <= 0)
			break;
		n++;
	}
	if (n || !s->failed)
		return (ssize_t)n;
	return error_set(e, "%s", s->error.text);
}

/* A text of the header, "" if absent or null. NULL and the error if it is not a string. */
static const char *header_text(struct jsonl_source *s, const char *key, struct error *e)
{
	const struct member *m = line_find(&s->parsed, key);
	const char *text;
	uint32_t id;

	if (!m || m->type == VALUE_NULL)
		return "";
	if (m->type != VALUE_STRING) {
		refuse(s, e, "header: %s: is not a string", key);
		return NULL;
	}
	if (m->text_len > MAX_TEXT) {
		refuse(s, e, "header: %s: is longer than %u bytes", key, MAX_TEXT);
		return NULL;
	}
	id = intern_add(s->texts, m->text, m->text_len);
	if (id == UINT32_MAX) {
		refuse(s, e, "header: %s: %s", key, intern_failure(s->texts));
		return NULL;
	}
	text = intern_get(s->texts, id);
	return text ? text : "";
}

/* How many events follow, if the header says so. */
static int header_events(struct jsonl_source *s, uint64_t *out, struct error *e)
{
	const struct member *m = line_find(&s->parsed, "events");

	*out = 0;
	s->expects = m;
	if (!m)
		return 0;
	if (m->type == VALUE_NULL)
		return refuse(s, e, "header: events: is null: the writer has not finished this capture");
	if (m->type != VALUE_NUMBER || m->negative)
		return refuse(s, e, "header: events: is not a count");
	*out = m->number;
	return 0;
}

static int check_header(struct jsonl_source *s, struct error *e)
{
	const struct line *l = &s->parsed;
	const struct member *version = line_find(l, "ioflush_trace"), *page_size = line_find(l, "page_size");
	unsigned i, k;

	for (i = 0; i < l->n; i++)
		for (k = 0; k < i; k++)
			if (l->member[i].key_len == l->member[k].key_len &&
			    !memcmp(l->member[i].key, l->member[k].key, l->member[i].key_len))
				return refuse(s, e, "header: %s: is there twice",
					      error_quote(l->member[i].key, l->member[i].key_len).text);
	if (version->type != VALUE_NUMBER)
		return refuse(s, e, "header: ioflush_trace: is not a whole number");
	if (version->number != VERSION)
		return refuse(s, e, "header: ioflush_trace: version %" PRId64 "; this ioflush reads version %d",
			      (int64_t)version->number, VERSION);
	if (!page_size || page_size->type != VALUE_NUMBER)
		return refuse(s, e, "header: page_size: missing, or not a whole number");
	if (page_size->number != PAGE_SIZE_BYTES)
		return refuse(s, e, "header: page_size: %" PRId64 "; ioflush knows pages of %llu bytes only",
			      (int64_t)page_size->number, PAGE_SIZE_BYTES);
	return 0;
}

static int read_header(struct jsonl_source *s, struct capture *c, struct error *e)
{
	static const char *const states[] = {"complete", "partial", "recording", "cut-off"};
	static const char *const keys[CAPTURE_TEXTS] = {"source", NULL,	    "host",  "kernel",
							"clock",  "probes", "state", "note"};
	const char *text;
	size_t i;

	if (check_header(s, e))
		return -1;
	intern_free(s->texts); /* those of the capture before */
	s->texts = intern_new_within(&s->source.budget);
	if (!s->texts)
		return refuse(s, e, "header: %s", budget_failure(&s->source.budget));
	capture_init(c, s->captures + 1, s->source.path, "jsonl");
	for (i = 0; i < CAPTURE_TEXTS; i++) {
		text = keys[i] ? header_text(s, keys[i], e) : "";
		if (!text)
			return -1;
		if (text[0])
			*capture_text(c, (unsigned)i) = text;
	}
	if (header_events(s, &c->events, e))
		return -1;
	s->expected = c->events;
	s->events = 0;
	memset(&s->dropped, 0, sizeof(s->dropped));
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(c->state, states[i])) {
			s->captures++;
			return 1;
		}
	return refuse(s, e, "header: state: is none of complete, partial, recording, cut-off");
}

/*
 * The next capture cannot be found. Earlier captures are valid, so an extra capture stands for the rest, and its first
 * read gives the error; without earlier captures the error comes at once.
 */
static int capture_lost(struct jsonl_source *s, struct capture *c, struct error *e)
{
	s->failed = true;
	if (!s->captures || s->gave_up)
		return error_set(e, "%s", s->error.text);
	s->gave_up = true;
	memset(&s->dropped, 0, sizeof(s->dropped));
	capture_init(c, ++s->captures, s->source.path, "jsonl");
	return 1;
}

static int jsonl_capture(struct source *src, struct capture *c, struct error *e)
{
	struct jsonl_source *s = jsonl(src);
	struct event skipped;
	size_t len = 0;
	char *line = NULL;
	int rc = 0;

	while (s->captures && !s->header_pending && !s->failed) {
		rc = read_event(s, &skipped, &s->error);
		if (rc < 0)
			s->failed = true;
		if (rc <= 0)
			break;
	}
	if (!s->captures && !s->failed) {
		rc = next_line(s, &line, &len, &s->error);
		if (rc > 0)
			rc = parse_line(s, line, len, &s->error);
		else if (!rc)
			rc = error_set(&s->error, "%s: is empty", s->source.path);
		if (rc > 0)
			rc = refuse(s, &s->error,
				    "no header; the first line must be {\"ioflush_trace\":1,\"page_size\":4096,...}");
		s->header_pending = !rc;
		s->failed = rc < 0;
	}
	if (s->failed)
		return capture_lost(s, c, e);
	if (!s->header_pending)
		return 0;
	rc = read_header(s, c, &s->error);
	s->header_pending = false;
	s->last_t = 0;
	return rc < 0 ? capture_lost(s, c, e) : 1;
}

static void jsonl_dropped(struct source *src, struct dropped *d)
{
	*d = jsonl(src)->dropped;
}

static double jsonl_progress(struct source *src)
{
	struct jsonl_source *s = jsonl(src);

	return source_share(__atomic_load_n(&s->done, __ATOMIC_RELAXED), s->size);
}

static void jsonl_close(struct source *src)
{
	struct jsonl_source *s = jsonl(src);

	intern_free(s->texts);
	budget_free(&s->source.budget, s->buf, s->cap);
	close(s->fd);
	source_free(src);
}

static const struct source_ops jsonl_ops = {
	.capture = jsonl_capture,
	.read = jsonl_read,
	.progress = jsonl_progress,
	.close = jsonl_close,
	.dropped = jsonl_dropped,
};

int jsonl_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct jsonl_source *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s) {
		close(in->fd);
		return error_set(e, "%s: out of memory", in->path);
	}
	s->fd = in->fd;
	s->cap = MAX_LINE + READ_SIZE + in->head_len;
	if (source_init(&s->source, &jsonl_ops, in->path, e)) {
		jsonl_close(&s->source);
		return -1;
	}
	s->buf = budget_alloc(&s->source.budget, s->cap);
	if (!s->buf) {
		jsonl_close(&s->source);
		return error_set(e, "%s: out of memory", in->path);
	}
	source_take_head(in, s->buf, &s->end, &s->size);
	*out = &s->source;
	return 0;
}
