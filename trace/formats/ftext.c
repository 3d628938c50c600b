/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source for ftrace text: the tracefs files trace and trace_pipe, and what trace-cmd report prints of a trace.dat.
 *
 *	          churn-80      [001] .....     6.109168: attach_device_to_domain: IOMMU: device=0000:00:02.0
 *	COMM-PID [(TGID)] [CPU] [FLAGS] TIME: NAME: [(PLACE)] FIELD=VALUE...
 *
 * ftext_line.c splits a line. Lines of other events are counted and left out. A line that is not ftrace text is an
 * error, and so is a last line without an end: it may have been cut anywhere. So is a line of ours that does not have all
 * that it should: one with a place, or of a name that other lines of ours have.
 *
 * The kernel writes "##### CPU 1 buffer started ####" before the first record of a CPU, if that is not the first of the text, and
 * only if any CPU's records were overwritten. So older records of this CPU may be gone. The header counts them all; only where
 * there is no header the line is a loss, of unknown size.
 */
#include "trace/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "trace/decoder/decoder.h"
#include "trace/formats/ftext_line.h"
#include "trace/formats/open.h"
#include "trace/formats/spill.h"
#include "trace/losses.h"

#define LINE_MAX_BYTES 65536u
#define BUFFER_BYTES (512u << 10)
_Static_assert(BUFFER_BYTES >= SOURCE_HEAD, "the bytes read already fit");
#define COMM_SLOTS 256u /* power of two */
#define COMM_MAX 32u
#define CPU_TIMES 1024u	    /* CPUs whose last time is kept, for what a loss lies behind */
#define LOSSES SPILL_LOSSES /* reported before the next event */

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
	uint64_t lost;		    /* records that were lost since */
	bool lost_unknown;	    /* among those, an unknown number */
	uint64_t more;		    /* lines beyond what their headers say */
	bool header;		    /* there was such a header */
	uint32_t cause;
	uint64_t cpu_t[CPU_TIMES]; /* 0: no record yet */

	uint64_t probed;	      /* kinds (bit k) of which a line had the place of a probe, or its address */
	uint64_t bare, whole;	      /* kinds of ends without the fields of their entry, and with them */
	uint64_t left_out[RAW_KINDS]; /* the first line of one of our names that was left out; 0: none */
	uint64_t tracepoints;	      /* lines of iommu:map and iommu:unmap */
	struct other_names others;

	struct comm_slot comm[COMM_SLOTS];
	struct spill spill;
	uint64_t size; /* of a file, else 0 */
	_Atomic uint64_t bytes_done;
};

static int line_error(struct ftext *ft, const char *what)
{
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s", ft->source.path, ft->line, what);
}

static int field_error(struct ftext *ft, unsigned kind, int field, const char *p, const char *end, const char *what)
{
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s: %s: \"%s\": %s", ft->source.path, ft->line,
			 raw_kind_name(kind), raw_field_name(kind, field), error_quote(p, (size_t)(end - p)).text, what);
}

static int find_comm(struct ftext *ft, const struct ftext_columns *col, uint32_t *id)
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

static void make_lost(struct ftext *ft, struct event *ev, uint32_t cpu, uint64_t count)
{
	const uint64_t *since = cpu < CPU_TIMES && ft->cpu_t[cpu] ? &ft->cpu_t[cpu] : NULL;

	event_lost(ev, ft->last_t, cpu, ft->cause, count, since);
	decoder_lost(ft->decoder, ev);
}

/* Gives out the losses so far, with the time of the event that follows them. */
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
		/* too many losses without an event between them: add them up */
		i = LOSSES - 1;
		ft->loss[i].count = count && ft->loss[i].count ? number_sum(ft->loss[i].count, count) : 0;
		ft->loss[i].cpu = EVENT_NO_CPU;
		return;
	}
	ft->loss[ft->losses].cpu = cpu;
	ft->loss[ft->losses].count = count;
	ft->losses++;
}

/*
 * At the end, or before another header: checks that all entries of the header were there. Records that the kernel lost
 * while the file was read count as there; they become lost events. More lines than that come if recording goes on while the
 * text is read: the end then lacks what other CPUs had, so they are counted.
 */
static int check_entries(struct ftext *ft)
{
	if (ft->header && ft->entries > ft->expected)
		ft->more += ft->entries - ft->expected;
	if (number_sum(ft->entries, ft->lost) >= ft->expected || ft->lost_unknown)
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
	p = ftext_decimal(p + sizeof(entries) - 1, end, INT64_MAX, &in_buffer);
	if (!p || p == end || *p != '/' || !ftext_decimal(p + 1, end, INT64_MAX, &written) || in_buffer > written)
		return line_error(ft, "entries-in-buffer/entries-written: not two numbers, the first at most the second");
	if (check_entries(ft))
		return -1;
	ft->expected = in_buffer;
	ft->entries = ft->lost = 0;
	ft->header = true;
	ft->lost_unknown = false;
	if (written > in_buffer)
		add_loss(ft, EVENT_NO_CPU, written - in_buffer);
	return 0;
}

/* A line without an event. 0, or -1: neither ftrace nor trace-cmd prints such a line. */
static int other_line(struct ftext *ft, const char *p, const char *end)
{
	const char *text = ftext_skip_blanks(p, end);
	uint64_t count;
	uint32_t cpu;

	if (text == end)
		return 0;
	if (*p == '#') {
		if (!ftext_buffer_started(p, end, &cpu))
			return parse_header(ft, p, end);
		if (!ft->header)
			add_loss(ft, cpu, 0);
		return 0;
	}
	if (ftext_loss(text, end, &cpu, &count)) {
		add_loss(ft, cpu, count);
		ft->lost = number_sum(ft->lost, count);
		ft->lost_unknown |= !count;
		return 0;
	}
	if (ftext_begins(p, end, "cpus=") || ftext_begins(p, end, "version = ") || ftext_begins(text, end, "=> "))
		return 0;
	if (ftext_begins(p, end, "CPU ") && memmem(p, (size_t)(end - p), " is empty", 9))
		return 0;
	return line_error(ft, "not a line of ftrace text (COMM-PID [CPU] TIME: EVENT: FIELD=VALUE ...)");
}

/* --- lines */

static int check_time(struct ftext *ft, const struct ftext_columns *col)
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

/* Refuses a probe of ours that lacks a field, or has one that is not a number. */
static int refuse_fields(struct ftext *ft, unsigned kind, const struct ftext_bad *bad, const char *lacking)
{
	if (bad->why)
		return field_error(ft, kind, bad->field, bad->p, bad->end, bad->why);
	return error_set(&ft->failure, "%s:%" PRIu64 ": %s: %s: missing; the probe lacks it, or the line is damaged",
			 ft->source.path, ft->line, raw_kind_name(kind), lacking);
}

static int ours_error(struct ftext *ft, const char *name, size_t len)
{
	return error_set(&ft->failure,
			 "%s:%" PRIu64
			 ": a probe on %s, in columns that are not known (COMM-PID [CPU] TIME: EVENT: (PLACE) "
			 "FIELD=VALUE ...)",
			 ft->source.path, ft->line, error_quote(name, len).text);
}

/* Counts a line of an event that is not ours. */
static void count_other(struct ftext *ft, const struct ftext_columns *col, bool probe, const char *function, size_t len)
{
	const char *name = col->group_len ? col->group : col->name;

	other_names_count(&ft->others, name, (size_t)(col->name + col->name_len - name), probe, function, len);
}

/* A line of a name that we do not know. 0, or -1: it is certainly of a probe of ours, but is no event. */
static int decode_other(struct ftext *ft, const struct ftext_columns *col, const char *end)
{
	const char *p = ftext_skip_blanks(col->name_len ? col->args : col->name, end), *function;
	size_t len = 0;
	bool probe;

	if (!col->name_len) /* the place may be anywhere */
		for (p = memchr(p, '(', (size_t)(end - p)); p; p = memchr(p + 1, '(', (size_t)(end - p - 1))) {
			function = ftext_function(p, end, &len);
			if (function && is_our_function(function, len) && (function[len] == '+' || function[-1] == ' '))
				return ours_error(ft, function, len);
		}
	if (!col->name_len)
		return 0;
	function = ftext_function(p, end, &len);
	/* trace-cmd shows the place as an address, or as a field */
	probe = ftext_begins(p, end, "__probe_") || (function && ftext_is_address(function, len));
	if (function && is_our_function(function, len))
		count_other(ft, col, true, function, len);
	else
		count_other(ft, col, probe, "", 0);
	return 0;
}

/*
 * Whether a line that has a name of ours, but not all fields, is one of the tracepoints of the IOMMU core; or of anybody's. 1: it
 * is left out, or -1.
 */
static int leave_out(struct ftext *ft, const struct ftext_columns *col, const char *p, const char *end,
		     struct raw_record *raw, const struct ftext_bad *bad, const char *lacking)
{
	bool failed = ftext_begins(p, end, "[FAILED TO PARSE]"), iommu;

	iommu = ftext_begins(p, end, "IOMMU:") || (col->group_len == 5 && !memcmp(col->group, "iommu", 5));
	if (failed && raw->kind == EV_map) /* all that these tracepoints have */
		iommu |= raw->present == (EVENT_BIT(map, iova) | EVENT_BIT(map, paddr) | EVENT_BIT(map, size));
	if (failed && raw->kind == EV_unmap)
		iommu |= (raw->present | EVENT_BIT(unmap, iova) | EVENT_BIT(unmap, size)) == raw->present;
	if (iommu && (raw->kind == EV_map || raw->kind == EV_unmap)) {
		ft->tracepoints++;
		other_names_count(&ft->others, raw->kind == EV_map ? "iommu:map" : "iommu:unmap",
				  raw->kind == EV_map ? 9 : 11, false, "", 0);
	} else {
		if (failed || ft->probed & 1ull << raw->kind)
			return refuse_fields(ft, raw->kind, bad, lacking);
		if (!ft->left_out[raw->kind])
			ft->left_out[raw->kind] = ft->line;
		count_other(ft, col, false, "", 0);
	}
	raw->kind = RAW_OTHER;
	return 1;
}

/* All lines of one probe have the same fields, so a line that has fewer than another is damaged. */
static int check_alike(struct ftext *ft, const struct raw_record *raw, bool probe)
{
	uint64_t bit = 1ull << raw->kind;

	if (!probe)
		return 0;
	if (ft->left_out[raw->kind])
		return error_set(&ft->failure,
				 "%s:%" PRIu64 ": %s: a probe, while line %" PRIu64
				 " of this name has neither a place nor all fields: that one is damaged, or an event of "
				 "another group, which must be filtered out",
				 ft->source.path, ft->line, raw_kind_name(raw->kind), ft->left_out[raw->kind]);
	if (raw_is_bare_end(raw->kind, raw->present))
		ft->bare |= bit;
	else
		ft->whole |= bit;
	if (ft->bare & ft->whole & bit)
		return error_set(&ft->failure,
				 "%s:%" PRIu64 ": %s: other lines of it have other fields; the line is damaged",
				 ft->source.path, ft->line, raw_kind_name(raw->kind));
	ft->probed |= bit;
	return 0;
}

/* Puts the event of a line of ours into out. Returns how many, or -1. */
static int decode(struct ftext *ft, const struct ftext_columns *col, const char *end, struct event *out)
{
	struct raw_record raw = {.t = col->t, .cpu = col->cpu, .tid = col->tid};
	struct ftext_bad bad = {.why = NULL};
	const char *lacking, *wrong, *args = ftext_skip_blanks(col->args, end), *p = args;
	struct error why;
	bool probe;
	int n;

	raw.kind = (uint16_t)raw_kind_by_name(col->name, col->name_len);
	if (raw.kind == RAW_OTHER)
		return decode_other(ft, col, end) ? -1 : decoder_feed(ft->decoder, &raw, out, NULL);
	probe = p < end && *p == '(';
	if (probe) {
		p = memchr(p, ')', (size_t)(end - p));
		if (!p)
			return line_error(ft, "the place of the probe, in parentheses, has no end");
		p++;
	} else if (p < end &&
		   (*p == '_' || *p == '[')) { /* some tools print the address as a field, or first [FAILED TO PARSE] */
		probe = memmem(p, (size_t)(end - p), "__probe_", 8);
	}
	wrong = ftext_fields(ft->source.strings, p, end, &raw, &bad);
	if (wrong)
		return line_error(ft, wrong);
	if (find_comm(ft, col, &raw.comm))
		return -1;
	lacking = raw_field_lacking(raw.kind, raw.present);
	if ((lacking || bad.why) && probe)
		return refuse_fields(ft, raw.kind, &bad, lacking);
	if ((lacking ? leave_out(ft, col, args, end, &raw, &bad, lacking) : check_alike(ft, &raw, probe)) < 0)
		return -1;
	why.text[0] = '\0';
	n = decoder_feed(ft->decoder, &raw, out, &why);
	if (n < 0)
		return line_error(ft, why.text);
	return n;
}

/* The events of one line. Returns how many, or -1 and the failure. */
static int parse_line(struct ftext *ft, const char *p, const char *end, struct event out[SPILL_EVENTS])
{
	struct ftext_columns col;
	int n, made;

	if (end > p && end[-1] == '\r')
		end--;
	if (p < end && *p == '#')
		return other_line(ft, p, end);
	if (ftext_columns(p, end, &col))
		return other_line(ft, p, end);
	if (check_time(ft, &col))
		return -1;
	ft->entries++;
	n = ft->losses ? flush_losses(ft, out) : 0;
	made = decode(ft, &col, end, out + n);
	if (col.cpu < CPU_TIMES)
		ft->cpu_t[col.cpu] = col.t;
	if (made < 0 && n) {
		ft->failed = true; /* reported after the losses before it */
		return n;
	}
	return made < 0 ? -1 : n + made;
}

/* Reads more, behind what is not used yet. 0 or -1. */
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

/* The next line, without its end. 1, 0: there are no more, or -1 and the failure. */
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
		return line_error(ft, "the line has more than 65536 bytes; this is not ftrace text");
	if (memchr(start, '\0', eol ? (size_t)(eol - start) : have))
		return line_error(ft, "a NUL byte; the file is damaged or no text");
	if (!eol)
		return line_error(ft, "the last line has no end: the text was cut off here");
	*line = start;
	*end = eol;
	ft->pos += (size_t)(eol - start) + 1;
	return 1;
}

/* The events of the next lines. Returns how many, 0: the end, or failed. */
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

/* Finds the first line of an event, which tells the kind of clock. Only what fits into the buffer is looked at. */
static bool has_ticks(struct ftext *ft)
{
	struct ftext_columns col;
	const char *line, *eol, *end;
	size_t at = 0;

	for (;;) {
		line = ft->buf + at;
		end = ft->buf + ft->len;
		eol = memchr(line, '\n', (size_t)(end - line));
		if (eol) {
			if (*line != '#' && !ftext_columns(line, eol, &col))
				return col.ticks;
			at = (size_t)(eol + 1 - ft->buf);
		} else if (ft->eof || ft->len == BUFFER_BYTES) {
			return false;
		} else if (fill(ft)) {
			ft->failed = true;
			return false;
		}
	}
}

static int ftext_capture(struct source *s, struct capture *c, struct error *e)
{
	struct ftext *ft = (struct ftext *)s;

	(void)e;
	if (ft->begun) /* even if it failed: there is only one */
		return 0;
	ft->begun = true;
	capture_init(c, 1, s->path, "ftrace-text");
	c->clock = has_ticks(ft) ? "ticks" : "";
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
	const struct ftext *ft = (const struct ftext *)s;

	decoder_dropped(ft->decoder, d);
	d->tracepoints = ft->tracepoints;
	d->more_entries = ft->more;
	other_names_dropped(&ft->others, d);
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
	source_take_head(in, ft->buf, &ft->len, &ft->size);
	*out = &ft->source;
	return 0;
no_memory:
	error_set(e, "out of memory");
fail:
	ftext_close(&ft->source);
	return -1;
}
