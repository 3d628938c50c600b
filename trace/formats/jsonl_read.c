/*
 * JSON Lines, the reader; see jsonl.h.
 *
 * A line becomes a short list of members, and the list an event by the event table. There are two ways to the list.
 * Lines of the plain form that the writer makes (a flat object; strings without escapes, ASCII; whole numbers below
 * 10^18; null) are cut up in place. Anything else, every error included, is jansson's: it has the last word on what JSON
 * is, and the plain way never accepts what jansson would refuse. Duplicate keys are found by both.
 *
 * Memory is the budget's: one buffer of a line's greatest length, what jansson makes of a line, the interned strings,
 * and the texts of the present header.
 */
#include "trace/formats/jsonl.h"
#include "trace/formats/open.h"

#include <errno.h>
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
#define MAX_TEXT 65536u /* bytes of a text of the header */
#define MAX_MEMBERS 32	/* t, cpu, tid, comm, e, rc and the fields of the widest event are fewer */

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
	json_t *json;	 /* owns the texts when jansson read the line */
	uint64_t memory; /* that it may take */
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
	if (!s->line++ && *len >= 3 && !memcmp(*line, "\xef\xbb\xbf", 3)) { /* the mark of UTF-8, which some put */
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

/* "key": value, and the blanks around it; where it ends, or NULL: not plain. */
static inline const char *plain_member(const char *p, const char *end, struct member *m)
{
	p = skip_blank(p, end);
	if (p == end || *p++ != '"')
		return NULL;
	m->key = p;
	p = plain_string(p, end);
	if (!p)
		return NULL;
	m->key_len = (size_t)(p - m->key);
	p = skip_blank(p + 1, end);
	if (p == end || *p++ != ':')
		return NULL;
	p = plain_value(skip_blank(p, end), end, m);
	return p ? skip_blank(p, end) : NULL;
}

/* Cuts a plain line up. False: not plain, jansson must see it. */
static bool plain_line(struct line *l, const char *p, size_t len)
{
	const char *end = p + len;

	l->n = 0;
	p = skip_blank(p, end);
	if (p == end || *p++ != '{')
		return false;
	for (;;) {
		if (l->n == MAX_MEMBERS)
			return false;
		p = plain_member(p, end, &l->member[l->n++]);
		if (!p)
			return false;
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

/*
 * What jansson may take for a line: an array or object and its first table, a string or number with its place in one,
 * each at most as many bytes as are counted here for what it begins with or follows.
 */
static uint64_t json_memory(const char *text, size_t len)
{
	uint64_t n = 4 * (uint64_t)len; /* the text, and a buffer of it that doubles */
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] == '[' || text[i] == '{')
			n += 512;
		else if (text[i] == ',' || text[i] == '"')
			n += 128;
	}
	return n;
}

/* The line as an object, or NULL and the error. */
static json_t *load_line(struct jsonl_source *s, const char *text, size_t len, struct error *e)
{
	json_error_t je;
	json_t *json;

	s->parsed.memory = json_memory(text, len);
	if (!budget_take(&s->source.budget, s->parsed.memory)) {
		s->parsed.memory = 0;
		error_set(e, "%s:%" PRIu64 ": %s", s->source.path, s->line, budget_failure(&s->source.budget));
		return NULL;
	}
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

static void line_clear(struct jsonl_source *s)
{
	struct line *l = &s->parsed;

	json_decref(l->json);
	if (l->memory)
		budget_give(&s->source.budget, l->memory);
	l->json = NULL;
	l->memory = 0;
	l->n = 0;
}

static bool key_is(const struct member *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->key_len; i++)
		if (name[i] != m->key[i]) /* differs at the NUL at the latest */
			return false;
	return !name[i];
}

static const struct member *find_member(const struct line *l, const char *name)
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		if (key_is(&l->member[i], name))
			return &l->member[i];
	return NULL;
}

/* Makes s->parsed of a line. 1: an event, 0: a header (then s->parsed.json is set), or -1. */
static int parse_line(struct jsonl_source *s, const char *text, size_t len, struct error *e)
{
	static const char mark[] = "ioflush_trace";
	struct line *l = &s->parsed;
	const char *key;
	json_t *value;

	line_clear(s);
	if (plain_line(l, text, len) && !find_member(l, mark))
		return 1;
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
	if (m->text_len > EVENT_MAX_STRING)
		return "is longer than 255 bytes";
	*out = intern_add(s->source.strings, m->text, m->text_len);
	return *out == UINT32_MAX ? intern_failure(s->source.strings) : NULL;
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
	const struct member *m = find_member(&s->parsed, "e");

	if (!m)
		return error_set(e, "%s:%" PRIu64 ": no \"e\": which event is it?", s->source.path, s->line);
	if (m->type != VALUE_STRING)
		return error_set(e, "%s:%" PRIu64 ": \"e\" is not a string", s->source.path, s->line);
	ev->kind = event_kind_by_name(m->text, m->text_len);
	if (!ev->kind)
		return error_set(e, "%s:%" PRIu64 ": \"%s\" is no event", s->source.path, s->line,
				 error_quote(m->text, m->text_len).text);
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

/* Which field a member is, mostly the one after the last, which next says; nfields: none. */
static unsigned find_field(const struct event_desc *d, const struct member *m, unsigned next)
{
	unsigned k;

	for (k = next; k < d->nfields; k++)
		if (key_is(m, d->field[k].name))
			return k;
	for (k = 0; k < next; k++) /* out of the table's order */
		if (key_is(m, d->field[k].name))
			return k;
	return d->nfields;
}

/* Puts a member into the event; seen: the bits of those before, next: the field that is likely. 0 or -1. */
static int set_member(struct jsonl_source *s, struct event *ev, const struct member *m, uint32_t *seen, unsigned *next,
		      uint64_t *rc, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned k = find_field(d, m, *next);
	const char *why = NULL;
	uint32_t bit;

	if (k < d->nfields) {
		bit = 1u << k;
		*next = k + 1;
	} else if (may_have_rc(ev->kind) && key_is(m, "rc")) {
		bit = SEEN_RC;
		why = number(m, true, rc);
	} else {
		bit = set_common(s, ev, m, &why);
	}
	if (!bit)
		why = "no field of this event";
	else if (*seen & bit)
		why = "is there twice";
	else if (bit < SEEN_T)
		why = set_field(s, ev, k, m);
	*seen |= bit;
	return why ? refuse(s, d->name, error_quote(m->key, m->key_len).text, why, e) : 0;
}

/* The call failed: semantics, section 3. */
static void count_failed(struct jsonl_source *s, unsigned kind)
{
	s->dropped.failed_maps += kind == EV_map;
	s->dropped.failed_accesses += kind == EV_access_add;
	s->dropped.empty_unmaps += kind == EV_unmap;
}

/* Makes an event of s->parsed. 1, 0: a call that failed, which is no event, or -1. */
static int build_event(struct jsonl_source *s, struct event *ev, struct error *e)
{
	unsigned i, next = 0;
	uint32_t seen = 0;
	uint64_t rc = 0;

	memset(ev, 0, sizeof(*ev));
	ev->cpu = EVENT_NO_CPU;
	ev->tid = EVENT_NO_TID;
	if (find_kind(s, ev, e))
		return -1;
	for (i = 0; i < s->parsed.n; i++)
		if (set_member(s, ev, &s->parsed.member[i], &seen, &next, &rc, e))
			return -1;
	if (check_absent(s, ev, seen, e))
		return -1;
	if (rc)
		count_failed(s, ev->kind);
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
	if (!s->expects || s->events == s->expected)
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
	if (json_string_length(v) > MAX_TEXT) {
		error_set(e, "%s:%" PRIu64 ": header: %s: is longer than %u bytes", s->source.path, s->line, key,
			  MAX_TEXT);
		return NULL;
	}
	id = intern_add(s->texts, json_string_value(v), json_string_length(v));
	if (id == UINT32_MAX) {
		error_set(e, "%s:%" PRIu64 ": header: %s: %s", s->source.path, s->line, key, intern_failure(s->texts));
		return NULL;
	}
	text = intern_get(s->texts, id);
	return text ? text : "";
}

/* How many events follow, if the header says so. */
static int header_events(struct jsonl_source *s, uint64_t *out, struct error *e)
{
	const json_t *v = json_object_get(s->parsed.json, "events");

	*out = 0;
	s->expects = v;
	if (!v)
		return 0;
	if (json_is_null(v))
		return error_set(e, "%s:%" PRIu64 ": header: events: is null: the writer has not finished this capture",
				 s->source.path, s->line);
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
	intern_free(s->texts); /* those of the capture before */
	s->texts = intern_new_within(&s->source.budget);
	if (!s->texts)
		return error_set(e, "%s:%" PRIu64 ": header: %s", s->source.path, s->line,
				 budget_failure(&s->source.budget));
	memset(c, 0, sizeof(*c));
	c->id = s->captures + 1;
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
	memset(&s->dropped, 0, sizeof(s->dropped));
	if (!c->source[0])
		c->source = s->source.path;
	if (!c->state[0])
		c->state = states[0];
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(c->state, states[i])) {
			s->captures++;
			return 1;
		}
	return error_set(e, "%s:%" PRIu64 ": header: state: is none of complete, partial, recording, cut-off",
			 s->source.path, s->line);
}

/*
 * The next capture cannot be found. What came before it stands, so this is told by the first read of a capture that
 * stands for the rest; if there was none before, at once.
 */
static int capture_lost(struct jsonl_source *s, struct capture *c, struct error *e)
{
	s->failed = true;
	if (!s->captures || s->gave_up)
		return error_set(e, "%s", s->error.text);
	s->gave_up = true;
	memset(&s->dropped, 0, sizeof(s->dropped));
	*c = (struct capture){
		.id = ++s->captures,
		.source = s->source.path,
		.format = "jsonl",
		.host = "",
		.kernel = "",
		.clock = "",
		.probes = "",
		.state = "complete",
		.note = "",
	};
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
			rc = error_set(&s->error,
				       "%s:%" PRIu64 ": no header; the first line must be "
				       "{\"ioflush_trace\":1,\"page_size\":4096,...}",
				       s->source.path, s->line);
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
	line_clear(s);
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

	line_clear(s);
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
	if (source_take_head(in, s->buf, s->cap, &s->end, &s->size, e)) {
		jsonl_close(&s->source);
		return -1;
	}
	*out = &s->source;
	return 0;
}
