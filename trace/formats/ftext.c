/*
 * The source for ftrace text: the tracefs files trace and trace_pipe, and what trace-cmd report prints of a trace.dat.
 *
 *	          churn-80      [001] .....     6.109168: attach_device_to_domain: IOMMU: device=0000:00:02.0
 *	COMM-PID [(TGID)] [CPU] [FLAGS] TIME: NAME: [(PLACE)] FIELD=VALUE...
 *
 * A line goes once from left to right, with no allocation and no copy. A command name may hold blanks, '-' and '[', so the
 * line hangs on the first "[CPU]" that a time follows and a "-PID" precedes. Lines of other events are counted and left
 * out; a line that is no ftrace text at all is an error, and so is one that does not end: it may have been cut anywhere.
 */
#include "trace/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace/decoder/decoder.h"
#include "trace/formats/open.h"
#include "trace/formats/spill.h"
#include "trace/losses.h"

#define LINE_MAX_BYTES 65536u
#define BUFFER_BYTES (512u << 10)
#define COMM_SLOTS 256u /* power of two */
#define COMM_MAX 32u
#define CPU_TIMES 1024u	    /* CPUs whose last time is kept, for what a loss lies behind */
#define LOSSES SPILL_LOSSES /* told before the next event */

struct comm_slot {
	uint32_t tid, id;
	uint8_t len; /* 0: free */
	char comm[COMM_MAX];
};

struct ftext {
	struct source source;
	int fd;
	char *buf;
	size_t pos, len; /* of what is read and not yet used */
	bool eof;
	uint64_t line;
	bool begun;
	bool failed;
	struct error failure;
	struct decoder *decoder;
	bool finished;

	bool has_t;
	uint64_t last_t;
	struct {
		uint32_t cpu;
		uint64_t count; /* 0: not known */
	} loss[LOSSES];
	unsigned losses;
	uint64_t entries, expected; /* lines of events since the header that says how many there are; 0: none does */
	bool lost_unknown;	    /* among those, nobody knows how many */
	uint32_t cause;
	uint64_t cpu_t[CPU_TIMES]; /* 0: no record yet */

	struct comm_slot comm[COMM_SLOTS];
	struct spill spill;
	uint64_t size; /* of a file, else 0 */
	_Atomic uint64_t bytes_done;
};

/* Where the fixed columns of a line end. */
struct columns {
	const char *comm;
	size_t comm_len;
	uint32_t tid, cpu;
	uint64_t t;
	const char *name;
	size_t name_len;
	const char *args;
};

static bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

static const char *skip_word(const char *p, const char *end)
{
	while (p < end && *p != ' ')
		p++;
	return p;
}

static int line_error(struct ftext *ft, const char *what)
{
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s", ft->source.path, ft->line, what);
}

/* A decimal number: what follows it, or NULL: there is none, or it is above max. */
static const char *parse_decimal(const char *p, const char *end, uint64_t max, uint64_t *out)
{
	const char *start = p;
	uint64_t v = 0;

	for (; p < end && is_digit(*p); p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (v > (max - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*out = v;
	return p == start ? NULL : p;
}

/* --- the fixed columns */

/* "6.109168:" or, with clocks that do not count nanoseconds, "6109168:". What follows it, or NULL. */
static const char *parse_time(const char *p, const char *end, uint64_t *t)
{
	uint64_t sec, frac = 0, scale = 1000000000;
	const char *q;

	q = parse_decimal(p, end, UINT64_MAX, &sec);
	if (!q || q == end)
		return NULL;
	if (*q == ':') {
		*t = sec;
		return q + 1;
	}
	if (*q++ != '.')
		return NULL;
	for (p = q; q < end && is_digit(*q) && q - p < 9; q++) {
		frac = frac * 10 + (unsigned)(*q - '0');
		scale /= 10;
	}
	if (q == p || q == end || *q != ':' || sec > INT64_MAX / 1000000000 - 1)
		return NULL;
	*t = sec * 1000000000 + frac * scale;
	return q + 1;
}

/* "[001] ..... 6.109168:" from the '[' on. What follows it, or NULL: something else. */
static const char *parse_cpu_and_time(const char *p, const char *end, struct columns *col)
{
	uint64_t cpu;
	const char *q;

	p = parse_decimal(p + 1, end, 65535, &cpu);
	if (!p || p + 1 >= end || p[0] != ']' || p[1] != ' ')
		return NULL;
	col->cpu = (uint32_t)cpu;
	p = skip_blanks(p + 1, end);
	q = parse_time(p, end, &col->t);
	if (q)
		return q;
	return parse_time(skip_blanks(skip_word(p, end), end), end, &col->t);
}

/* "COMM-PID" and perhaps "(TGID)", from the start of the line to the '[' of the CPU. 0 or -1. */
static int parse_task(const char *line, const char *bracket, struct columns *col)
{
	const char *end = bracket, *p;
	uint64_t tid;

	while (end > line && end[-1] == ' ')
		end--;
	if (end == bracket)
		return -1;
	if (end > line && end[-1] == ')') {
		while (end > line && *end != '(')
			end--;
		while (end > line && end[-1] == ' ')
			end--;
	}
	for (p = end; p > line && is_digit(p[-1]); p--)
		;
	if (p == end || p == line || p[-1] != '-' || !parse_decimal(p, end, INT32_MAX, &tid))
		return -1;
	col->tid = (uint32_t)tid;
	end = p - 1;
	p = skip_blanks(line, end);
	col->comm = p;
	col->comm_len = (size_t)(end - p);
	return 0;
}

/* Splits a line. 0, or -1: it is no line of an event. */
static int parse_columns(const char *line, const char *end, struct columns *col)
{
	const char *p, *bracket = line;

	for (;; bracket++) {
		bracket = memchr(bracket, '[', (size_t)(end - bracket));
		if (!bracket)
			return -1;
		p = parse_cpu_and_time(bracket, end, col);
		if (p && !parse_task(line, bracket, col))
			break;
	}
	p = skip_blanks(p, end);
	col->name = p;
	while (p < end && *p != ':' && *p != ' ')
		p++;
	/* "name:" is an event; the function tracers print other things here. */
	col->name_len = p < end && *p == ':' ? (size_t)(p - col->name) : 0;
	col->args = p < end ? p + 1 : end;
	return 0;
}

/* --- fields */

static int field_error(struct ftext *ft, unsigned kind, int field, const char *p, const char *end, const char *what)
{
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s: %s: \"%s\": %s", ft->source.path, ft->line,
			 raw_kind_name(kind), raw_field_name(kind, field), error_quote(p, (size_t)(end - p)).text, what);
}

/* The value of a hex digit plus one; 0: it is none. */
static const uint8_t hex_digit[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,	['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/*
 * A value "12", "-12" or "0x1f" at *at, which moves on to what follows it: a blank or the line's end. NULL: fine, else
 * what is wrong with it.
 */
static const char *parse_value(const char **at, const char *end, uint64_t *out)
{
	const char *p = *at, *start;
	bool hex = end - p > 2 && p[0] == '0' && (p[1] | 0x20) == 'x';
	bool negative = p < end && *p == '-';
	bool above = false;
	unsigned digit;
	uint64_t v = 0;

	if (hex) {
		p += 2;
		for (start = p; p < end && (digit = hex_digit[(uint8_t)*p]); p++) {
			above |= v >> 60 != 0;
			v = v << 4 | (digit - 1);
		}
	} else {
		p += negative;
		for (start = p; p < end && is_digit(*p); p++) {
			above |= __builtin_mul_overflow(v, 10u, &v);
			above |= __builtin_add_overflow(v, (unsigned)(*p - '0'), &v);
		}
		above |= negative && v > (uint64_t)INT64_MAX + 1;
	}
	*at = p;
	*out = 0;
	if (p == start || (p < end && *p != ' '))
		return "is not a number";
	if (above)
		return "is above 64 bits";
	*out = negative ? 0 - v : v;
	return NULL;
}

static int parse_string(struct ftext *ft, const char *p, const char *end, uint64_t *out)
{
	uint32_t id;

	if (end - p >= 2 && *p == '"' && end[-1] == '"') {
		p++;
		end--;
	}
	if (end - p > EVENT_MAX_STRING)
		return line_error(ft, "a string of more than 255 bytes; the line is damaged");
	id = intern_add(ft->source.strings, p, (size_t)(end - p));
	if (id == UINT32_MAX)
		return line_error(ft, intern_failure(ft->source.strings));
	*out = id;
	return 0;
}

/* A value that could not be read: remembered, since it matters only if the record is one of ours. */
struct bad_value {
	int field;
	const char *p, *end, *why;
};

/* Whether "NAME=" of that field is at *at, which moves on to the '='. */
static bool is_field(unsigned kind, int field, const char **at, const char *end)
{
	const char *name = raw_field_name(kind, field), *p = *at;

	if (!name)
		return false;
	for (; *name && p < end && *p == *name; p++)
		name++;
	if (*name || p == end || *p != '=')
		return false;
	*at = p;
	return true;
}

/* All "NAME=VALUE" of a line that the kind has. 0 or -1. */
static int parse_fields(struct ftext *ft, const char *p, const char *end, struct raw_record *raw, struct bad_value *bad)
{
	const char *name, *value, *wrong;
	int field, hint = 0;

	for (; (p = skip_blanks(p, end)) < end; p = skip_word(p, end)) {
		name = p;
		field = hint;
		if (!is_field(raw->kind, hint, &p, end)) { /* fields mostly come in the table's order */
			while (p < end && *p != '=' && *p != ' ')
				p++;
			if (p == end || *p == ' ')
				continue;
			field = raw_field_by_name(raw->kind, name, (size_t)(p - name), RAW_EXTRA);
		}
		value = p + 1;
		if (field < 0 || raw->present & 1u << field)
			continue;
		hint = field + 1;
		p = value;
		if (raw_field_is_string(raw->kind, field)) {
			if (parse_string(ft, value, skip_word(p, end), &raw->v[field]))
				return -1;
			raw->present |= (uint16_t)((raw->v[field] != 0) << field);
			continue;
		}
		wrong = parse_value(&p, end, &raw->v[field]);
		if (!wrong)
			raw->present |= (uint16_t)(1u << field);
		else if (!bad->why)
			*bad = (struct bad_value){field, value, skip_word(value, end), wrong};
	}
	return 0;
}

static int find_comm(struct ftext *ft, const struct columns *col, uint32_t *id)
{
	struct comm_slot *slot = &ft->comm[col->tid & (COMM_SLOTS - 1)];

	*id = slot->id;
	if (slot->tid == col->tid && slot->len == col->comm_len && slot->len && !memcmp(slot->comm, col->comm, slot->len))
		return 0;
	*id = 0;
	if (col->comm_len > EVENT_MAX_STRING)
		return line_error(ft, "a command name of more than 255 bytes; the line is damaged");
	if (col->comm_len != 5 || memcmp(col->comm, "<...>", 5))
		*id = intern_add(ft->source.strings, col->comm, col->comm_len);
	if (*id == UINT32_MAX)
		return line_error(ft, intern_failure(ft->source.strings));
	if (col->comm_len > COMM_MAX)
		return 0;
	slot->tid = col->tid;
	slot->id = *id;
	slot->len = (uint8_t)col->comm_len;
	memcpy(slot->comm, col->comm, col->comm_len);
	return 0;
}

/* --- losses */

static bool begins(const char *p, const char *end, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(end - p) >= n && !memcmp(p, with, n);
}

static void make_lost(struct ftext *ft, struct event *ev, uint32_t cpu, uint64_t count)
{
	uint64_t since = cpu < CPU_TIMES ? ft->cpu_t[cpu] : 0;

	memset(ev, 0, sizeof(*ev));
	ev->kind = EV_lost;
	ev->t = ft->last_t;
	ev->cpu = cpu;
	ev->tid = EVENT_NO_TID;
	ev->lost.count = count;
	ev->lost.cause = ft->cause;
	ev->lost.since = since;
	if (!count)
		ev->missing |= EVENT_BIT(lost, count);
	if (!since)
		ev->missing |= EVENT_BIT(lost, since);
	decoder_lost(ft->decoder, ev);
}

/* The losses told so far come out with the time of the event that follows them. */
static int flush_losses(struct ftext *ft, struct event *out)
{
	unsigned i;

	for (i = 0; i < ft->losses; i++)
		make_lost(ft, &out[i], ft->loss[i].cpu, ft->loss[i].count);
	ft->losses = 0;
	return (int)i;
}

static void add_loss(struct ftext *ft, uint32_t cpu, uint64_t count)
{
	unsigned i;

	if (ft->losses == LOSSES) {
		/* More losses than a person wants to read, and no event between them: add up. */
		i = LOSSES - 1;
		ft->loss[i].count = count && ft->loss[i].count ? ft->loss[i].count + count : 0;
		ft->loss[i].cpu = EVENT_NO_CPU;
		return;
	}
	ft->loss[ft->losses].cpu = cpu;
	ft->loss[ft->losses].count = count;
	ft->losses++;
}

/* "CPU:1 [LOST 123 EVENTS]", "[LOST EVENTS]", "[EVENTS DROPPED]", "[123 EVENTS DROPPED]". Whether the line is one. */
static bool parse_loss(struct ftext *ft, const char *p, const char *end)
{
	uint64_t cpu, count = 0;
	bool lost;

	if (!begins(p, end, "CPU:"))
		return false;
	p = parse_decimal(p + 4, end, 65535, &cpu);
	p = p ? skip_blanks(p, end) : end;
	if (p == end || *p++ != '[')
		return false;
	lost = begins(p, end, "LOST ");
	p += lost ? 5 : 0;
	if (p < end && is_digit(*p)) {
		p = parse_decimal(p, end, INT64_MAX, &count);
		if (!p || p == end || *p++ != ' ')
			return false;
	}
	if (!begins(p, end, lost ? "EVENTS]" : "EVENTS DROPPED]"))
		return false;
	add_loss(ft, (uint32_t)cpu, count);
	ft->entries += count;
	ft->lost_unknown |= !count;
	return true;
}

/*
 * At the end, or before a further header: whether all entries that the header speaks of were there. What the kernel lost
 * while the file was read counts as there; it is told as lost.
 */
static int check_entries(struct ftext *ft)
{
	if (ft->entries >= ft->expected || ft->lost_unknown)
		return 0;
	return error_set(&ft->failure,
			 "%s:%" PRIu64 ": the header says %" PRIu64 " entries, %" PRIu64
			 " are there: the text is cut off, filtered or of one CPU only (without its line "
			 "\"# entries-in-buffer\" it is taken as it is)",
			 ft->source.path, ft->line, ft->expected, ft->entries);
}

/* "# entries-in-buffer/entries-written: 354/1354   #P:2" */
static int parse_header(struct ftext *ft, const char *p, const char *end)
{
	static const char entries[] = "entries-in-buffer/entries-written: ";
	uint64_t in_buffer, written;

	p = memmem(p, (size_t)(end - p), entries, sizeof(entries) - 1);
	if (!p)
		return 0;
	p = parse_decimal(p + sizeof(entries) - 1, end, INT64_MAX, &in_buffer);
	if (!p || p == end || *p != '/' || !parse_decimal(p + 1, end, INT64_MAX, &written))
		return line_error(ft, "entries-in-buffer/entries-written: not two numbers");
	if (check_entries(ft))
		return -1;
	ft->expected = in_buffer;
	ft->entries = 0;
	ft->lost_unknown = false;
	if (written > in_buffer)
		add_loss(ft, EVENT_NO_CPU, written - in_buffer);
	return 0;
}

/* A line that is no event's: 0, or -1: nothing that ftrace or trace-cmd prints. */
static int other_line(struct ftext *ft, const char *p, const char *end)
{
	const char *text = skip_blanks(p, end);

	if (text == end)
		return 0;
	if (*p == '#')
		return parse_header(ft, p, end);
	if (parse_loss(ft, text, end))
		return 0;
	if (begins(p, end, "cpus=") || begins(p, end, "version = ") || begins(text, end, "=> "))
		return 0;
	if (begins(p, end, "CPU ") && memmem(p, (size_t)(end - p), " is empty", 9))
		return 0;
	return line_error(ft, "is no line of ftrace text (COMM-PID [CPU] TIME: EVENT: FIELD=VALUE ...)");
}

/* --- lines */

static int check_time(struct ftext *ft, const struct columns *col)
{
	if (ft->has_t && col->t < ft->last_t)
		return error_set(&ft->failure,
				 "%s:%" PRIu64 ": time %" PRIu64 " ns lies before that of an earlier line, %" PRIu64
				 " ns; the lines must be in order of time",
				 ft->source.path, ft->line, col->t, ft->last_t);
	ft->has_t = true;
	ft->last_t = col->t;
	return 0;
}

/* A probe of ours that lacks a field, or has one that is no number. */
static int refuse_fields(struct ftext *ft, unsigned kind, const struct bad_value *bad, const char *lacking)
{
	if (bad->why)
		return field_error(ft, kind, bad->field, bad->p, bad->end, bad->why);
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s: %s: is not there; the probe lacks it, or the line is damaged",
			 ft->source.path, ft->line, raw_kind_name(kind), lacking);
}

/* The event of a line of ours, to out. How many, or -1. */
static int decode(struct ftext *ft, const struct columns *col, const char *end, struct event *out)
{
	struct raw_record raw = {.t = col->t, .cpu = col->cpu, .tid = col->tid};
	struct bad_value bad = {.why = NULL};
	const char *lacking, *p = skip_blanks(col->args, end);
	struct error why;
	bool probe = p < end && *p == '(';
	int n;

	raw.kind = (uint16_t)raw_kind_by_name(col->name, col->name_len);
	if (raw.kind == RAW_OTHER)
		return decoder_feed(ft->decoder, &raw, out, NULL);
	if (probe) {
		p = memchr(p, ')', (size_t)(end - p));
		if (!p)
			return line_error(ft, "the place of the probe, in parentheses, has no end");
		p++;
	}
	if (parse_fields(ft, p, end, &raw, &bad) || find_comm(ft, col, &raw.comm))
		return -1;
	lacking = raw_field_lacking(raw.kind, raw.present);
	/* Only probes print their place. Without it this is somebody's tracepoint, such as iommu's map. */
	if ((lacking || bad.why) && probe)
		return refuse_fields(ft, raw.kind, &bad, lacking);
	if (lacking)
		raw.kind = RAW_OTHER;
	why.text[0] = '\0';
	n = decoder_feed(ft->decoder, &raw, out, &why);
	if (n < 0)
		return line_error(ft, why.text);
	return n;
}

/* The events of one line: how many, or -1 and the failure. */
static int parse_line(struct ftext *ft, const char *p, const char *end, struct event out[SPILL_EVENTS])
{
	struct columns col;
	int n, made;

	if (end > p && end[-1] == '\r')
		end--;
	if (p < end && *p == '#')
		return other_line(ft, p, end);
	if (parse_columns(p, end, &col))
		return other_line(ft, p, end);
	if (check_time(ft, &col))
		return -1;
	ft->entries++;
	n = ft->losses ? flush_losses(ft, out) : 0;
	made = decode(ft, &col, end, out + n);
	if (col.cpu < CPU_TIMES)
		ft->cpu_t[col.cpu] = col.t;
	if (made < 0 && n) {
		ft->failed = true; /* told after the losses before it */
		return n;
	}
	return made < 0 ? -1 : n + made;
}

/* Reads on, behind what is not used yet. 0 or -1. */
static int fill(struct ftext *ft)
{
	ssize_t n;

	memmove(ft->buf, ft->buf + ft->pos, ft->len - ft->pos);
	ft->len -= ft->pos;
	ft->pos = 0;
	do
		n = read(ft->fd, ft->buf + ft->len, BUFFER_BYTES - ft->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(&ft->failure, "%s:%" PRIu64 ": reading", ft->source.path, ft->line + 1);
	ft->eof = !n;
	ft->len += (size_t)n;
	atomic_fetch_add_explicit(&ft->bytes_done, (uint64_t)n, memory_order_relaxed);
	return 0;
}

/* The next line, without its end. 1, 0: there is no more, or -1 and the failure. */
static int next_line(struct ftext *ft, const char **line, const char **end)
{
	const char *start, *eol;
	size_t have;

	for (;;) {
		start = ft->buf + ft->pos;
		have = ft->len - ft->pos;
		eol = memchr(start, '\n', have);
		if (eol || have > LINE_MAX_BYTES || ft->eof)
			break;
		if (fill(ft))
			return -1;
	}
	if (!eol && !have)
		return 0;
	ft->line++;
	if ((eol ? (size_t)(eol - start) : have) > LINE_MAX_BYTES)
		return line_error(ft, "the line has more than 65536 bytes; this is no ftrace text");
	if (memchr(start, '\0', eol ? (size_t)(eol - start) : have))
		return line_error(ft, "a NUL byte; the file is damaged or no text");
	if (!eol)
		return line_error(ft, "the last line has no end: the text was cut off here");
	*line = start;
	*end = eol;
	ft->pos += (size_t)(eol - start) + 1;
	return 1;
}

/* Events of the lines to come: how many, 0: the end, or failed. */
static int step(struct source *s, struct event out[SPILL_EVENTS])
{
	struct ftext *ft = (struct ftext *)s;
	const char *line = NULL, *end = NULL;
	int ret, n = 0;

	while (!n && !ft->failed && !ft->finished) {
		ret = next_line(ft, &line, &end);
		if (ret > 0) {
			n = parse_line(ft, line, end, out);
			ft->failed |= n < 0;
		} else {
			ft->failed = ret < 0;
			ft->finished = !ret;
		}
	}
	if (n > 0)
		return n;
	if (ft->losses && !ft->failed)
		return flush_losses(ft, out);
	n = decoder_finish(ft->decoder, out);
	if (!n && !ft->failed)
		ft->failed = check_entries(ft);
	return n;
}

/* --- the source */

static int ftext_capture(struct source *s, struct capture *c, struct error *e)
{
	struct ftext *ft = (struct ftext *)s;

	(void)e;
	if (ft->begun) /* whatever was wrong with it: there is but one */
		return 0;
	ft->begun = true;
	*c = (struct capture){
		.id = 1,
		.source = s->path,
		.format = "ftrace-text",
		.host = "",
		.kernel = "",
		.clock = "",
		.probes = "",
		.state = "complete",
		.note = "",
	};
	return 1;
}

static ssize_t ftext_read(struct source *s, struct event *ev, size_t max, struct error *e)
{
	struct ftext *ft = (struct ftext *)s;
	size_t n = spill_read(&ft->spill, ev, max, step, s);

	if (!n && ft->failed)
		return error_set(e, "%s", ft->failure.text);
	return (ssize_t)n;
}

static void ftext_dropped(struct source *s, struct dropped *d)
{
	decoder_dropped(((struct ftext *)s)->decoder, d);
}

static double ftext_progress(struct source *s)
{
	struct ftext *ft = (struct ftext *)s;

	return source_share(atomic_load_explicit(&ft->bytes_done, memory_order_relaxed), ft->size);
}

static void ftext_close(struct source *s)
{
	struct ftext *ft = (struct ftext *)s;

	decoder_free(ft->decoder);
	budget_free(&s->budget, ft->buf, BUFFER_BYTES);
	close(ft->fd);
	source_free(s);
}

static const struct source_ops ftext_ops = {
	.capture = ftext_capture,
	.read = ftext_read,
	.progress = ftext_progress,
	.close = ftext_close,
	.dropped = ftext_dropped,
};

int ftext_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct ftext *ft = calloc(1, sizeof(*ft));

	*out = NULL;
	if (!ft) {
		close(in->fd);
		return error_set(e, "out of memory");
	}
	ft->fd = in->fd;
	if (source_init(&ft->source, &ftext_ops, in->path, e))
		goto fail;
	ft->buf = budget_alloc(&ft->source.budget, BUFFER_BYTES);
	ft->decoder = decoder_new(ft->source.strings, NULL);
	if (!ft->buf || !ft->decoder)
		goto no_memory;
	decoder_within(ft->decoder, &ft->source.budget);
	ft->cause = intern_add(ft->source.strings, loss_table[LOSS_RING].name, strlen(loss_table[LOSS_RING].name));
	if (ft->cause == UINT32_MAX)
		goto no_memory;
	if (source_take_head(in, ft->buf, BUFFER_BYTES, &ft->len, &ft->size, e))
		goto fail;
	*out = &ft->source;
	return 0;
no_memory:
	error_set(e, "out of memory");
fail:
	ftext_close(&ft->source);
	return -1;
}
