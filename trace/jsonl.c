/*
 * JSON Lines; see jsonl.h.
 *
 * Reading: a line becomes a short list of members, and the list an event by the event table. There are two ways to the
 * list. Lines of the plain form that the writer makes (a flat object; strings without escapes, ASCII; whole numbers
 * below 10^18; null) are cut up in place. Anything else, every error included, is jansson's: it has the last word on
 * what JSON is, and the plain way never accepts what jansson would refuse. Duplicate keys are found by both.
 *
 * Memory is bounded: one buffer of a line's greatest length, and the interned strings.
 */
#include "jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
#define MAX_LINE (1u << 20)
#define READ_SIZE (256u * 1024)
#define MAX_MEMBERS 32 /* t, cpu, tid, comm, e, rc and the fields of the widest event are fewer */

enum value_type { VALUE_NULL, VALUE_NUMBER, VALUE_STRING, VALUE_OTHER };

struct member {
	const char *key, *text; /* not terminated */
	size_t key_len, text_len;
	uint64_t number; /* two's complement if negative */
	enum value_type type;
	bool negative;
};

struct line {
	struct member member[MAX_MEMBERS];
	unsigned n;
	json_t *json; /* owns the texts when jansson read the line */
};

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
	struct strings *texts; /* of the headers */
	uint64_t captures, last_t, failed_calls;
	uint64_t events, expected; /* of the capture: so far, and as its header says (0: it does not) */
	uint64_t size, done;	   /* bytes; size 0: unknown */
};

static struct jsonl_source *jsonl(struct source *s)
{
	return (struct jsonl_source *)s;
}

/* ---- lines ---- */

/* Makes room for more at the end of the buffer, then reads. 1: something came, 0: the end, -1. */
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
	s->line++;
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

/* ---- from a line to members ---- */

/* The end of a plain string that starts at p, behind its opening quote; NULL: not plain. */
static const char *plain_string(const char *p, const char *end)
{
	for (; p < end; p++) {
		if (*p == '"')
			return p;
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x80 || *p == '\\')
			return NULL;
	}
	return NULL;
}

static const char *plain_number(const char *p, const char *end, struct member *m)
{
	const char *start;

	m->negative = *p == '-';
	p += m->negative;
	m->number = 0;
	for (start = p; p < end && *p >= '0' && *p <= '9'; p++)
		m->number = m->number * 10 + (uint64_t)(*p - '0');
	if (p == start || p - start > 18 || (*start == '0' && (p - start > 1 || m->negative)))
		return NULL;
	if (m->negative)
		m->number = -m->number;
	m->type = VALUE_NUMBER;
	return p;
}

/* One value; where it ends, or NULL: not plain. */
static const char *plain_value(const char *p, const char *end, struct member *m)
{
	if (p == end)
		return NULL;
	if (*p == '"') {
		m->text = p + 1;
		p = plain_string(p + 1, end);
		if (!p)
			return NULL;
		m->text_len = (size_t)(p - m->text);
		m->type = VALUE_STRING;
		return p + 1;
	}
	if (end - p >= 4 && !memcmp(p, "null", 4)) {
		m->type = VALUE_NULL;
		return p + 4;
	}
	return plain_number(p, end, m);
}

static const char *skip_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* Cuts a plain line up. False: not plain, jansson must see it. */
static bool plain_line(struct line *l, const char *p, size_t len)
{
	const char *end = p + len;
	struct member *m;

	l->n = 0;
	p = skip_blank(p, end);
	if (p == end || *p++ != '{')
		return false;
	for (;;) {
		if (l->n == MAX_MEMBERS)
			return false;
		m = &l->member[l->n++];
		p = skip_blank(p, end);
		if (p == end || *p++ != '"')
			return false;
		m->key = p;
		p = plain_string(p, end);
		if (!p)
			return false;
		m->key_len = (size_t)(p - m->key);
		p = skip_blank(p + 1, end);
		if (p == end || *p++ != ':')
			return false;
		p = plain_value(skip_blank(p, end), end, m);
		if (!p)
			return false;
		p = skip_blank(p, end);
		if (p == end || (*p != ',' && *p != '}'))
			return false;
		if (*p++ == '}')
			break;
	}
	return skip_blank(p, end) == end;
}

/* Text of jansson's with what is no printable ASCII made harmless: it may quote the input. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}

/* The line as an object, or NULL and the error. */
static json_t *load_line(struct jsonl_source *s, const char *text, size_t len, struct error *e)
{
	json_error_t je;
	json_t *json;

	if (memchr(text, '\0', len)) {
		error_set(e, "%s:%" PRIu64 ": a NUL byte: not text", s->source.path, s->line);
		return NULL;
	}
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (json && json_is_object(json))
		return json;
	if (json) {
		json_decref(json);
		error_set(e, "%s:%" PRIu64 ": not a JSON object", s->source.path, s->line);
		return NULL;
	}
	make_printable(je.text);
	if (s->last_unended)
		error_set(e, "%s:%" PRIu64 ": the input ends in the middle of this line: %s", s->source.path, s->line,
			  je.text);
	else if (json_error_code(&je) == json_error_numeric_overflow)
		error_set(e, "%s:%" PRIu64 ":%d: %s; numbers above 2^63 - 1 are written \"0x...\"", s->source.path,
			  s->line, je.column, je.text);
	else
		error_set(e, "%s:%" PRIu64 ":%d: not JSON: %s", s->source.path, s->line, je.column, je.text);
	return NULL;
}

static void member_from_json(struct member *m, const char *key, const json_t *value)
{
	m->key = key;
	m->key_len = strlen(key);
	m->type = VALUE_OTHER;
	if (json_is_null(value)) {
		m->type = VALUE_NULL;
	} else if (json_is_integer(value)) {
		m->type = VALUE_NUMBER;
		m->negative = json_integer_value(value) < 0;
		m->number = (uint64_t)json_integer_value(value);
	} else if (json_is_string(value)) {
		m->type = VALUE_STRING;
		m->text = json_string_value(value);
		m->text_len = json_string_length(value);
	}
}

static void line_clear(struct line *l)
{
	json_decref(l->json);
	l->json = NULL;
	l->n = 0;
}

/* A name from the input for a message: short, and harmless on a terminal. */
struct quoted {
	char text[44];
};

static struct quoted quote(const char *text, size_t len)
{
	struct quoted q;

	snprintf(q.text, sizeof(q.text), "%.*s", (int)(len > 40 ? 40 : len), text);
	make_printable(q.text);
	return q;
}

/* Makes s->parsed of a line. 1: an event, 0: a header (then s->parsed.json is set), or -1. */
static int parse_line(struct jsonl_source *s, const char *text, size_t len, struct error *e)
{
	static const char mark[] = "ioflush_trace";
	struct line *l = &s->parsed;
	const char *key;
	json_t *value;
	unsigned i;

	line_clear(l);
	if (plain_line(l, text, len)) {
		for (i = 0; i < l->n; i++)
			if (l->member[i].key_len == sizeof(mark) - 1 && !memcmp(l->member[i].key, mark, sizeof(mark) - 1))
				break;
		if (i == l->n)
			return 1;
	}
	l->n = 0;
	l->json = load_line(s, text, len, e);
	if (!l->json)
		return -1;
	if (json_object_get(l->json, mark))
		return 0;
	json_object_foreach(l->json, key, value) {
		if (l->n == MAX_MEMBERS)
			return error_set(e, "%s:%" PRIu64 ": over %d members: not an event", s->source.path, s->line,
					 MAX_MEMBERS);
		member_from_json(&l->member[l->n++], key, value);
	}
	return 1;
}

/* ---- from members to an event ---- */

static bool key_is(const struct member *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->key_len; i++)
		if (name[i] != m->key[i]) /* differs at the NUL at the latest */
			return false;
	return !name[i];
}

static bool hex_text(const char *p, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (len < 3 || len > 18 || p[0] != '0' || p[1] != 'x')
		return false;
	for (i = 2; i < len; i++) {
		unsigned c = (unsigned char)p[i], low = c | 0x20;

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (low >= 'a' && low <= 'f')
			v = v << 4 | (low - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/* The number of a member: bare or "0x...". NULL, or what is wrong with it. */
static const char *number(const struct member *m, bool is_signed, uint64_t *out)
{
	switch (m->type) {
	case VALUE_NUMBER:
		if (m->negative && !is_signed)
			return "is negative";
		*out = m->number;
		return NULL;
	case VALUE_STRING:
		return hex_text(m->text, m->text_len, out) ? NULL : "is neither a number nor \"0x\" and 1 to 16 digits";
	case VALUE_NULL:
		return "is null, but must be known";
	default:
		return "is not a whole number";
	}
}

static int refuse(const struct jsonl_source *s, const char *event, const char *field, const char *why, struct error *e)
{
	return error_set(e, "%s:%" PRIu64 ": %s: %s: %s", s->source.path, s->line, event, field, why);
}

static const char *intern(struct jsonl_source *s, const struct member *m, uint32_t *out)
{
	*out = 0;
	if (m->type == VALUE_NULL)
		return NULL;
	if (m->type != VALUE_STRING)
		return "is not a string";
	*out = strings_intern(s->source.strings, m->text, m->text_len);
	return *out == UINT32_MAX ? "cannot be kept: out of memory or over four million strings" : NULL;
}

static const char *small_number(const struct member *m, uint32_t *out)
{
	uint64_t v = 0;
	const char *why = number(m, false, &v);

	if (!why && v >= UINT32_MAX)
		why = "is above 2^32 - 2";
	*out = (uint32_t)v;
	return why;
}

/* Field i of the event. NULL, or what is wrong. */
static const char *set_field(struct jsonl_source *s, struct event *ev, unsigned i, const struct member *m)
{
	const struct field_desc *d = &event_table[ev->kind].field[i];
	const char *why;
	uint32_t id;

	if (d->type == FIELD_STR) {
		why = intern(s, m, &id);
		ev->f[i] = id;
		if (!id)
			ev->missing |= 1u << i;
		return why;
	}
	if (m->type == VALUE_NULL && d->optional) {
		ev->missing |= 1u << i;
		return NULL;
	}
	return number(m, d->type == FIELD_INT, &ev->f[i]);
}

/* What every event may have beside its fields: which bit of "seen", and the value set. 0: none of them. */
enum {
	SEEN_T = 1 << 16,
	SEEN_CPU = 1 << 17,
	SEEN_TID = 1 << 18,
	SEEN_COMM = 1 << 19,
	SEEN_E = 1 << 20,
	SEEN_RC = 1 << 21
};

static uint32_t set_common(struct jsonl_source *s, struct event *ev, const struct member *m, const char **why)
{
	if (key_is(m, "t")) {
		*why = number(m, false, &ev->t);
		return SEEN_T;
	}
	if (key_is(m, "e"))
		return SEEN_E;
	if (key_is(m, "cpu")) {
		if (m->type != VALUE_NULL || ev->kind != EV_lost)
			*why = small_number(m, &ev->cpu);
		return SEEN_CPU;
	}
	if (key_is(m, "tid")) {
		if (m->type != VALUE_NULL || ev->kind != EV_lost)
			*why = small_number(m, &ev->tid);
		return SEEN_TID;
	}
	if (key_is(m, "comm")) {
		*why = intern(s, m, &ev->comm);
		return SEEN_COMM;
	}
	return 0;
}

/* Which event the line is. */
static int find_kind(const struct jsonl_source *s, struct event *ev, struct error *e)
{
	const struct line *l = &s->parsed;
	const struct member *m;
	unsigned i;

	for (i = 0; i < l->n; i++)
		if (l->member[i].key_len == 1 && l->member[i].key[0] == 'e')
			break;
	if (i == l->n)
		return error_set(e, "%s:%" PRIu64 ": no \"e\": which event is it?", s->source.path, s->line);
	m = &l->member[i];
	if (m->type != VALUE_STRING)
		return error_set(e, "%s:%" PRIu64 ": \"e\" is not a string", s->source.path, s->line);
	ev->kind = event_kind_by_name(m->text, m->text_len);
	if (!ev->kind)
		return error_set(e, "%s:%" PRIu64 ": \"%s\" is no event", s->source.path, s->line,
				 quote(m->text, m->text_len).text);
	return 0;
}

static int check_absent(const struct jsonl_source *s, struct event *ev, uint32_t seen, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	if (!(seen & SEEN_T))
		return refuse(s, d->name, "t", "missing", e);
	if (!(seen & SEEN_CPU) && ev->kind != EV_lost)
		return refuse(s, d->name, "cpu", "missing", e);
	if (!(seen & SEEN_TID) && ev->kind != EV_lost)
		return refuse(s, d->name, "tid", "missing", e);
	for (i = 0; i < d->nfields; i++) {
		if (seen & 1u << i || d->field[i].type == FIELD_INT)
			continue;
		if (d->field[i].type == FIELD_FLAG)
			return refuse(s, d->name, d->field[i].name, "missing; null when it is unknown", e);
		if (!d->field[i].optional)
			return refuse(s, d->name, d->field[i].name, "missing", e);
		ev->missing |= 1u << i;
	}
	return 0;
}

static bool may_have_rc(unsigned kind)
{
	return kind == EV_map || kind == EV_unmap || kind == EV_access_add;
}

/* Makes an event of s->parsed. 1, 0: a call that failed, which is no event, or -1. */
static int build_event(struct jsonl_source *s, struct event *ev, struct error *e)
{
	const struct event_desc *d;
	uint32_t seen = 0, bit;
	unsigned i, k, next = 0;
	uint64_t rc = 0;

	memset(ev, 0, sizeof(*ev));
	ev->cpu = EVENT_NO_CPU;
	ev->tid = EVENT_NO_TID;
	if (find_kind(s, ev, e))
		return -1;
	d = &event_table[ev->kind];
	for (i = 0; i < s->parsed.n; i++) {
		const struct member *m = &s->parsed.member[i];
		const char *why = NULL;

		for (k = next; k < d->nfields && !key_is(m, d->field[k].name); k++)
			;
		if (k == d->nfields) /* out of the table's order, or none of its fields */
			for (k = 0; k < next && !key_is(m, d->field[k].name); k++)
				;
		if (k < d->nfields && key_is(m, d->field[k].name)) {
			bit = 1u << k;
			next = k + 1;
		} else if (may_have_rc(ev->kind) && key_is(m, "rc")) {
			bit = SEEN_RC;
			why = number(m, true, &rc);
		} else {
			bit = set_common(s, ev, m, &why);
		}
		if (!bit || seen & bit)
			return refuse(s, d->name, quote(m->key, m->key_len).text,
				      bit ? "is there twice" : "no field of this event", e);
		seen |= bit;
		if (bit < SEEN_T)
			why = set_field(s, ev, k, m);
		if (why)
			return refuse(s, d->name, quote(m->key, m->key_len).text, why, e);
	}
	if (check_absent(s, ev, seen, e))
		return -1;
	if (rc)
		s->failed_calls++;
	return !rc;
}

/* The event must be possible, and not earlier than the one before. */
static int accept_event(struct jsonl_source *s, const struct event *ev, struct error *e)
{
	struct error why = {""};

	if (event_check(ev, &why))
		return error_set(e, "%s:%" PRIu64 ": %s", s->source.path, s->line, why.text);
	if (ev->t < s->last_t)
		return error_set(e,
				 "%s:%" PRIu64 ": %s: t: %" PRIu64 ": earlier than the event before it, at %" PRIu64
				 "; sort the lines by t",
				 s->source.path, s->line, event_table[ev->kind].name, ev->t, s->last_t);
	s->last_t = ev->t;
	s->events++;
	return 0;
}

/* ---- the source ---- */

/* A header may say how many events follow it, so that a file cut between two lines does not look whole. */
static int end_of_capture(const struct jsonl_source *s, struct error *e)
{
	if (!s->expected || s->events == s->expected)
		return 0;
	return error_set(e,
			 "%s:%" PRIu64 ": the capture ends after %" PRIu64 " of the %" PRIu64
			 " events that its header says; it is truncated or was edited",
			 s->source.path, s->line, s->events, s->expected);
}

/* One event. 1, 0: the capture ended, or -1. */
static int read_event(struct jsonl_source *s, struct event *ev, struct error *e)
{
	size_t len = 0;
	char *line = NULL;
	int rc;

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
		rc = build_event(s, ev, e);
		if (rc < 0)
			return -1;
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

/* A text of the header, "" if absent or null. NULL and the error if it is no string. */
static const char *header_text(struct jsonl_source *s, const char *key, struct error *e)
{
	const json_t *v = json_object_get(s->parsed.json, key);
	const char *text;
	uint32_t id;

	if (!v || json_is_null(v))
		return "";
	if (!json_is_string(v)) {
		error_set(e, "%s:%" PRIu64 ": header: %s: is not a string", s->source.path, s->line, key);
		return NULL;
	}
	id = strings_intern(s->texts, json_string_value(v), json_string_length(v));
	if (id == UINT32_MAX) {
		error_set(e, "%s:%" PRIu64 ": header: %s: out of memory", s->source.path, s->line, key);
		return NULL;
	}
	text = strings_get(s->texts, id);
	return text ? text : "";
}

/* How many events follow, if the header says so. */
static int header_events(struct jsonl_source *s, uint64_t *out, struct error *e)
{
	const json_t *v = json_object_get(s->parsed.json, "events");

	*out = 0;
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return error_set(e, "%s:%" PRIu64 ": header: events: is not a count", s->source.path, s->line);
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int check_header(struct jsonl_source *s, struct error *e)
{
	const json_t *version = json_object_get(s->parsed.json, "ioflush_trace");
	const json_t *page_size = json_object_get(s->parsed.json, "page_size");

	if (!json_is_integer(version))
		return error_set(e, "%s:%" PRIu64 ": header: ioflush_trace: is not a whole number", s->source.path,
				 s->line);
	if (json_integer_value(version) != VERSION)
		return error_set(e,
				 "%s:%" PRIu64 ": header: ioflush_trace: version %" JSON_INTEGER_FORMAT
				 "; this ioflush reads version %d",
				 s->source.path, s->line, json_integer_value(version), VERSION);
	if (!json_is_integer(page_size))
		return error_set(e, "%s:%" PRIu64 ": header: page_size: missing, or not a whole number", s->source.path,
				 s->line);
	if (json_integer_value(page_size) != (json_int_t)PAGE_SIZE_BYTES)
		return error_set(e,
				 "%s:%" PRIu64 ": header: page_size: %" JSON_INTEGER_FORMAT
				 "; ioflush knows pages of %llu bytes only",
				 s->source.path, s->line, json_integer_value(page_size), PAGE_SIZE_BYTES);
	return 0;
}

static int read_header(struct jsonl_source *s, struct capture *c, struct error *e)
{
	static const char *const states[] = {"complete", "partial", "recording", "cut-off"};
	size_t i;

	if (check_header(s, e))
		return -1;
	memset(c, 0, sizeof(*c));
	c->id = ++s->captures;
	c->format = "jsonl";
	c->source = header_text(s, "source", e);
	c->host = header_text(s, "host", e);
	c->kernel = header_text(s, "kernel", e);
	c->clock = header_text(s, "clock", e);
	c->probes = header_text(s, "probes", e);
	c->state = header_text(s, "state", e);
	c->note = header_text(s, "note", e);
	if (!c->source || !c->host || !c->kernel || !c->clock || !c->probes || !c->state || !c->note ||
	    header_events(s, &c->events, e))
		return -1;
	s->expected = c->events;
	s->events = 0;
	if (!c->source[0])
		c->source = s->source.path;
	if (!c->state[0])
		c->state = states[0];
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(c->state, states[i]))
			return 1;
	return error_set(e, "%s:%" PRIu64 ": header: state: is none of complete, partial, recording, cut-off",
			 s->source.path, s->line);
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
			rc = error_set(&s->error,
				       "%s:%" PRIu64 ": no header; the first line must be "
				       "{\"ioflush_trace\":1,\"page_size\":4096,...}",
				       s->source.path, s->line);
		s->header_pending = !rc;
		s->failed = rc < 0;
	}
	if (s->failed)
		return error_set(e, "%s", s->error.text);
	if (!s->header_pending)
		return 0;
	rc = read_header(s, c, &s->error);
	s->header_pending = false;
	s->last_t = 0;
	line_clear(&s->parsed);
	if (rc < 0) {
		s->failed = true;
		return error_set(e, "%s", s->error.text);
	}
	return 1;
}

static double jsonl_progress(struct source *src)
{
	struct jsonl_source *s = jsonl(src);
	uint64_t done = __atomic_load_n(&s->done, __ATOMIC_RELAXED);

	if (!s->size)
		return -1;
	return done < s->size ? (double)done / (double)s->size : 1;
}

static void jsonl_close(struct source *src)
{
	struct jsonl_source *s = jsonl(src);

	line_clear(&s->parsed);
	strings_free(s->texts);
	strings_free(s->source.strings);
	free(s->source.path);
	free(s->buf);
	close(s->fd);
	free(s);
}

static const struct source_ops jsonl_ops = {
	.capture = jsonl_capture,
	.read = jsonl_read,
	.progress = jsonl_progress,
	.close = jsonl_close,
};

int jsonl_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct jsonl_source *s = calloc(1, sizeof(*s));
	struct stat st;

	*out = NULL;
	if (!s) {
		close(in->fd);
		return error_set(e, "%s: out of memory", in->path);
	}
	s->source.ops = &jsonl_ops;
	s->fd = in->fd;
	s->cap = MAX_LINE + READ_SIZE + in->head_len;
	s->source.path = strdup(in->path);
	s->source.strings = strings_new();
	s->texts = strings_new();
	s->buf = malloc(s->cap);
	if (!s->source.path || !s->source.strings || !s->texts || !s->buf) {
		jsonl_close(&s->source);
		return error_set(e, "%s: out of memory", in->path);
	}
	if (in->head_len)
		memcpy(s->buf, in->head, in->head_len);
	s->end = in->head_len;
	if (!fstat(in->fd, &st) && S_ISREG(st.st_mode))
		s->size = (uint64_t)st.st_size;
	*out = &s->source;
	return 0;
}

uint64_t jsonl_failed_calls(const struct source *s)
{
	return ((const struct jsonl_source *)s)->failed_calls;
}

/* ---- the writer ---- */

#define WRITE_SIZE (256u * 1024)
#define MAX_NUMBER 24 /* bytes of the longest number with quotes */

struct jsonl_writer {
	char *path;
	int fd;
	bool regular; /* a file that may be removed again */
	bool failed;
	size_t len;
	char buf[WRITE_SIZE];
};

int jsonl_writer_open(struct jsonl_writer **out, const char *path, struct error *e)
{
	struct jsonl_writer *w = calloc(1, sizeof(*w));
	bool is_stdout = !strcmp(path, "-");
	struct stat st, link;

	*out = NULL;
	if (!w)
		return error_set(e, "%s: out of memory", path);
	w->path = strdup(is_stdout ? "standard output" : path);
	if (!w->path) {
		free(w);
		return error_set(e, "%s: out of memory", path);
	}
	w->fd = is_stdout ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) :
			    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (w->fd < 0) {
		error_errno(e, "%s: opening for writing", w->path);
		free(w->path);
		free(w);
		return -1;
	}
	/* the name itself, too, must be the file: /dev/stdout is a link that must stay */
	w->regular = !is_stdout && !fstat(w->fd, &st) && S_ISREG(st.st_mode) && !lstat(path, &link) &&
		     S_ISREG(link.st_mode);
	*out = w;
	return 0;
}

static int flush(struct jsonl_writer *w, struct error *e)
{
	size_t done = 0;
	ssize_t n;

	if (w->failed)
		return error_set(e, "%s: an earlier write failed", w->path);
	while (done < w->len) {
		n = write(w->fd, w->buf + done, w->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			w->failed = true;
			return error_errno(e, "%s: writing", w->path);
		}
		done += (size_t)n;
	}
	w->len = 0;
	return 0;
}

/* Makes room for need bytes, at most WRITE_SIZE. */
static inline int reserve(struct jsonl_writer *w, size_t need, struct error *e)
{
	return WRITE_SIZE - w->len >= need ? 0 : flush(w, e);
}

static inline char *put_text(char *p, const char *text, size_t len)
{
	memcpy(p, text, len);
	return p + len;
}

static char *put_dec(char *p, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return put_text(p, digits + n, sizeof(digits) - n);
}

static char *put_hex(char *p, uint64_t v)
{
	static const char hex[] = "0123456789abcdef";
	int shift = v ? (63 - __builtin_clzll(v)) & ~3 : 0;

	p = put_text(p, "\"0x", 3);
	for (; shift >= 0; shift -= 4)
		*p++ = hex[v >> shift & 15];
	*p++ = '"';
	return p;
}

/* Decimal where a JSON reader with signed 64-bit numbers reads it exactly, else hex. */
static char *put_number(char *p, uint64_t v)
{
	return v <= INT64_MAX ? put_dec(p, v) : put_hex(p, v);
}

static char *put_signed(char *p, uint64_t v)
{
	if (v > INT64_MAX) {
		*p++ = '-';
		v = -v;
	}
	return put_dec(p, v);
}

/* Length of the UTF-8 sequence at p, 0: not one (overlong, surrogate, above U+10FFFF, cut short). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	size_t i;

	if (len > left)
		return 0;
	for (i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* One character of a string, or a byte that is none; at most 6 bytes. How many were taken. */
static size_t put_char(char **out, const unsigned char *c, size_t left)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = utf8_len(c, left);
	char *p = *out;

	if (!len) {
		p = put_text(p, "\\\\x", 3);
		*p++ = hex[*c >> 4];
		*p++ = hex[*c & 15];
		len = 1;
	} else if (*c == '"' || *c == '\\') {
		*p++ = '\\';
		*p++ = (char)*c;
	} else if (*c == '\n') {
		p = put_text(p, "\\n", 2);
	} else if (*c == '\t') {
		p = put_text(p, "\\t", 2);
	} else if (*c < 0x20 || *c == 0x7f) {
		p = put_text(p, "\\u00", 4);
		*p++ = hex[*c >> 4];
		*p++ = hex[*c & 15];
	} else {
		p = put_text(p, (const char *)c, len);
	}
	*out = p;
	return len;
}

static int write_text(struct jsonl_writer *w, const char *text, struct error *e)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t left = strlen(text), n;
	char *p;

	if (reserve(w, 8, e))
		return -1;
	w->buf[w->len++] = '"';
	for (; left; c += n, left -= n) {
		if (reserve(w, 8, e))
			return -1;
		p = w->buf + w->len;
		n = put_char(&p, c, left);
		w->len = (size_t)(p - w->buf);
	}
	if (reserve(w, 8, e))
		return -1;
	w->buf[w->len++] = '"';
	return 0;
}

static int write_raw(struct jsonl_writer *w, const char *text, size_t len, struct error *e)
{
	if (reserve(w, len, e))
		return -1;
	w->len = (size_t)(put_text(w->buf + w->len, text, len) - w->buf);
	return 0;
}

static int write_header_text(struct jsonl_writer *w, const char *key, const char *value, bool always, struct error *e)
{
	if (!always && (!value || !value[0]))
		return 0;
	if (write_raw(w, ",\"", 2, e) || write_raw(w, key, strlen(key), e) || write_raw(w, "\":", 2, e))
		return -1;
	return write_text(w, value ? value : "", e);
}

int jsonl_write_capture(struct jsonl_writer *w, const struct capture *c, struct error *e)
{
	static const char start[] = "{\"ioflush_trace\":1,\"page_size\":4096";
	char events[40];
	int n = c->events ? snprintf(events, sizeof(events), ",\"events\":%" PRIu64, c->events) : 0;
	bool complete = !c->state || !strcmp(c->state, "complete");

	if (write_raw(w, start, sizeof(start) - 1, e) || write_header_text(w, "host", c->host, true, e) ||
	    write_header_text(w, "clock", c->clock, true, e) || write_header_text(w, "kernel", c->kernel, false, e) ||
	    write_header_text(w, "probes", c->probes, false, e) || write_header_text(w, "source", c->source, false, e) ||
	    write_header_text(w, "state", complete ? "" : c->state, false, e) ||
	    write_header_text(w, "note", c->note, false, e) || write_raw(w, events, (size_t)n, e))
		return -1;
	return write_raw(w, "}\n", 2, e);
}

/* One value of a field that is known and no string. */
static char *put_field(char *p, enum field_type type, uint64_t v)
{
	switch (type) {
	case FIELD_ID:
	case FIELD_HEX:
		return put_hex(p, v);
	case FIELD_INT:
		return put_signed(p, v);
	default:
		return put_number(p, v);
	}
}

static int write_string_field(struct jsonl_writer *w, const char *key, uint64_t id, const struct strings *strings,
			      struct error *e)
{
	const char *text = id <= UINT32_MAX ? strings_get(strings, (uint32_t)id) : NULL;

	if (!text)
		return error_set(e, "%s: writing: %s: string %" PRIu64 " is not in the table", w->path, key, id);
	if (write_raw(w, ",\"", 2, e) || write_raw(w, key, strlen(key), e) || write_raw(w, "\":", 2, e))
		return -1;
	return write_text(w, text, e);
}

static int write_fields(struct jsonl_writer *w, const struct event *ev, const struct strings *strings, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;
	char *p;

	for (i = 0; i < d->nfields; i++) {
		const struct field_desc *f = &d->field[i];
		bool unknown = ev->missing & 1u << i;
		size_t len;

		if (unknown && f->type != FIELD_FLAG)
			continue;
		if (f->type == FIELD_STR) {
			if (write_string_field(w, f->name, ev->f[i], strings, e))
				return -1;
			continue;
		}
		len = strlen(f->name);
		if (reserve(w, len + 4 + MAX_NUMBER, e))
			return -1;
		p = put_text(w->buf + w->len, ",\"", 2);
		p = put_text(p, f->name, len);
		p = put_text(p, "\":", 2);
		p = unknown ? put_text(p, "null", 4) : put_field(p, f->type, ev->f[i]);
		w->len = (size_t)(p - w->buf);
	}
	return 0;
}

static int write_event(struct jsonl_writer *w, const struct event *ev, const struct strings *strings, struct error *e)
{
	const char *name = event_table[ev->kind].name;
	char *p;

	if (reserve(w, 128, e))
		return -1;
	p = put_text(w->buf + w->len, "{\"t\":", 5);
	p = put_number(p, ev->t);
	if (ev->cpu != EVENT_NO_CPU) {
		p = put_text(p, ",\"cpu\":", 7);
		p = put_dec(p, ev->cpu);
	}
	if (ev->tid != EVENT_NO_TID) {
		p = put_text(p, ",\"tid\":", 7);
		p = put_dec(p, ev->tid);
	}
	w->len = (size_t)(p - w->buf);
	if (ev->comm && write_string_field(w, "comm", ev->comm, strings, e))
		return -1;
	if (reserve(w, 64, e))
		return -1;
	p = put_text(w->buf + w->len, ",\"e\":\"", 6);
	p = put_text(p, name, strlen(name));
	*p++ = '"';
	w->len = (size_t)(p - w->buf);
	if (write_fields(w, ev, strings, e))
		return -1;
	return write_raw(w, "}\n", 2, e);
}

int jsonl_write_events(struct jsonl_writer *w, const struct event *ev, size_t n, const struct strings *strings,
		       struct error *e)
{
	struct error why = {""};
	size_t i;

	for (i = 0; i < n; i++) {
		if (event_check(&ev[i], &why))
			return error_set(e, "%s: writing: %s", w->path, why.text);
		if (write_event(w, &ev[i], strings, e))
			return -1;
	}
	return 0;
}

int jsonl_writer_close(struct jsonl_writer *w, bool keep, struct error *e)
{
	int rc = 0;

	if (!w)
		return 0;
	if (keep)
		rc = flush(w, e);
	if (close(w->fd) && !rc && keep)
		rc = error_errno(e, "%s: closing", w->path);
	if ((rc || !keep) && w->regular)
		unlink(w->path);
	free(w->path);
	free(w);
	return rc;
}
