/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source for trace.dat, the file of trace-cmd. tracefile.h reads the container, cpudata.h the sub-buffers of each
 * CPU, subbuf.h the records in one. Here records become events in time order.
 *
 * Each buffer of the file (the top one and the recorded instances) is one capture. A heap merges its CPUs by time.
 *
 * Damage ends the capture with an error at the record where it is met. As CPUs are merged by time, everything before
 * that is complete for all CPUs.
 */
#include "trace/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event-parse.h>

#include "base/number.h"
#include "trace/decoder/decoder.h"
#include "trace/decoder/subbuf.h"
#include "trace/formats/cpudata.h"
#include "trace/formats/open.h"
#include "trace/formats/spill.h"
#include "trace/formats/spool.h"
#include "trace/formats/tracefile.h"
#include "trace/losses.h"

/* One CPU of the current capture while it is read. */
struct cpu_reader {
	struct cpudata data;
	struct subbuf sb;
	bool loaded;
	int64_t lost;	    /* records lost before the next one */
	uint64_t lost_stat; /* lost according to the statistics, place unknown */
	bool has_last;
	uint64_t last_t;
	struct tep_record rec;
};

struct tracedat {
	struct source source;
	struct tracefile *file;
	char *label, *probes;

	/* the current capture */
	uint32_t next_buffer, captures;
	struct subbuf_format fmt;
	struct decoder *decoder;
	struct cpu_reader *reader;
	uint32_t readers;
	struct cpu_reader **heap; /* by time of the next record */
	uint32_t heap_len;
	struct spill spill;
	uint32_t cause; /* strings ids */
	uint32_t cause_stats;
	uint64_t last_t;
	bool stats_pending; /* losses known only from the statistics must be reported */
	bool failed;
	struct error failure; /* returned after the events before it */
	_Atomic uint64_t bytes_done;
	uint64_t bytes_total;
};

/* --- one CPU's records */

/* The next sub-buffer of a CPU. 1, 0: there are no more, or -1. */
static int next_subbuf(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	struct error why = {""};
	uint64_t before = r->data.pos;
	const uint8_t *subbuf = NULL;
	int ret;

	ret = cpudata_next(&r->data, &subbuf, e);
	if (ret <= 0)
		return ret;
	if (r->data.pos != before)
		atomic_fetch_add_explicit(&td->bytes_done, r->data.pos - before, memory_order_relaxed);
	return subbuf_load(&r->sb, &td->fmt, subbuf, &why) ? cpudata_error(&r->data, why.text, e) : 1;
}

/* Adds what is lost before the sub-buffer; with one unknown number the sum is unknown. */
static void add_lost(struct cpu_reader *r)
{
	if (r->sb.lost > 0 && r->lost >= 0)
		r->lost = r->lost > INT64_MAX - r->sb.lost ? INT64_MAX : r->lost + r->sb.lost;
	else if (r->sb.lost)
		r->lost = r->sb.lost;
}

static int record_error(const struct cpu_reader *r, const char *what, struct error *e)
{
	struct error why = {""};

	error_set(&why, "record at byte %llu: %s", r->rec.offset, what);
	return cpudata_error(&r->data, why.text, e);
}

static int time_error(const struct cpu_reader *r, uint64_t before, struct error *e)
{
	char what[160];

	snprintf(what, sizeof(what),
		 "its time %llu lies before that of the record before it, %" PRIu64 "; the file is damaged", r->rec.ts,
		 before);
	return record_error(r, what, e);
}

/* The next record of a CPU, into r->rec. 1, 0: there are no more, or -1. */
static int next_record(struct tracedat *td, struct cpu_reader *r, struct error *e)
{
	struct error why;
	uint64_t before = r->rec.ts;
	bool first = !r->has_last;
	int ret;

	why.text[0] = '\0'; /* to zero all of its 1 KiB would cost more than the record */
	for (;;) {
		if (!r->loaded) {
			ret = next_subbuf(td, r, e);
			if (ret <= 0)
				return ret;
			r->loaded = true;
			add_lost(r);
		}
		ret = subbuf_next(&r->sb, &r->rec, &why);
		if (ret < 0)
			return cpudata_error(&r->data, why.text, e);
		if (ret)
			break;
		r->loaded = false;
	}
	r->rec.cpu = (int)r->data.cpu->cpu;
	r->has_last = true;
	return !first && r->rec.ts < before ? time_error(r, before, e) : 1;
}

static int begin_cpu(struct tracedat *td, struct cpu_reader *r, const struct tracefile_buffer *b, struct error *e)
{
	r->loaded = false;
	return cpudata_begin(&r->data, td->file, b, (uint32_t)(r - td->reader), td->fmt.size, e);
}

/*
 * Losses in the CPU's statistics beyond those in the sub-buffers. With overwriting off these are all, and their place
 * is unknown: they are reported at the start, so that no finding seems to have no loss before it. If sub-buffers have
 * losses without a number, the rest belongs to these and is not reported twice.
 */
static int settle_stats(struct tracedat *td, struct cpu_reader *r, const struct tracefile_buffer *b, struct error *e)
{
	uint64_t known = 0, places = 0, done = atomic_load(&td->bytes_done), counted = r->data.cpu->stat_lost;
	struct error ignored = {""}; /* damage is met again, and reported, after the records before it */

	if (!counted)
		return 0;
	while (next_subbuf(td, r, &ignored) > 0) {
		known = number_sum(known, r->sb.lost > 0 ? (uint64_t)r->sb.lost : 0);
		places += r->sb.lost < 0;
	}
	atomic_store(&td->bytes_done, done);
	if (known < counted && !places) {
		r->lost_stat = counted - known;
		td->stats_pending = true;
	}
	return begin_cpu(td, r, b, e);
}

/* --- merging */

static bool heap_before(const struct cpu_reader *a, const struct cpu_reader *b)
{
	if (a->rec.ts != b->rec.ts)
		return a->rec.ts < b->rec.ts;
	return a->data.cpu->cpu < b->data.cpu->cpu;
}

static void heap_sift(struct tracedat *td, uint32_t i)
{
	struct cpu_reader *r = td->heap[i];
	uint32_t child;

	while ((child = 2 * i + 1) < td->heap_len) {
		if (child + 1 < td->heap_len && heap_before(td->heap[child + 1], td->heap[child]))
			child++;
		if (!heap_before(td->heap[child], r))
			break;
		td->heap[i] = td->heap[child];
		i = child;
	}
	td->heap[i] = r;
}

static void make_lost(struct tracedat *td, struct event *ev, const struct cpu_reader *r, uint64_t t, int64_t count,
		      uint32_t cause)
{
	event_lost(ev, t, r->data.cpu->cpu, cause, count > 0 ? (uint64_t)count : 0, r->last_t ? &r->last_t : NULL);
	decoder_lost(td->decoder, ev);
}

/* Losses with no record after them, then what the decoder held back. Returns how many events, 0: none are left. */
static int drain(struct tracedat *td, struct event *out)
{
	uint32_t i;

	for (i = 0; i < td->readers; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (!r->lost)
			continue;
		make_lost(td, out, r, td->last_t, r->lost, td->cause);
		r->lost = 0;
		return 1;
	}
	return decoder_finish(td->decoder, out);
}

/* Losses known only from the statistics come first. */
static int drain_stats(struct tracedat *td, struct event *out)
{
	uint32_t i;

	for (i = 0; i < td->readers; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (!r->lost_stat)
			continue;
		make_lost(td, out, r, td->heap_len ? td->heap[0]->rec.ts : 0, (int64_t)r->lost_stat, td->cause_stats);
		r->lost_stat = 0;
		return 1;
	}
	return 0;
}

/* The events of the next record of all CPUs. Returns how many, 0: the capture ended (or failed). */
static int step(struct tracedat *td, struct event out[SPILL_EVENTS])
{
	struct error why;
	struct cpu_reader *r;
	int n = 0, made;

	why.text[0] = '\0';
	while (!n && td->heap_len) {
		r = td->heap[0];
		td->last_t = r->rec.ts;
		if (r->lost) {
			make_lost(td, &out[n++], r, r->rec.ts, r->lost, td->cause);
			r->lost = 0;
		}
		made = decoder_record(td->decoder, td->file->tep, &r->rec, out + n, &why);
		if (made < 0) {
			td->failed = true;
			record_error(r, why.text, &td->failure);
			return n;
		}
		n += made;
		r->last_t = r->rec.ts;
		made = next_record(td, r, &td->failure);
		if (made < 0) {
			td->failed = true;
			return n;
		}
		if (!made)
			td->heap[0] = td->heap[--td->heap_len];
		if (td->heap_len)
			heap_sift(td, 0);
	}
	return n ? n : drain(td, out);
}

/* --- captures */

static void end_capture(struct tracedat *td)
{
	uint32_t i;

	for (i = 0; td->reader && i < td->readers; i++)
		cpudata_free(&td->reader[i].data);
	budget_free(&td->source.budget, td->reader, td->readers * sizeof(*td->reader));
	budget_free(&td->source.budget, td->heap, td->readers * sizeof(struct cpu_reader *));
	decoder_free(td->decoder);
	td->reader = NULL;
	td->heap = NULL;
	td->decoder = NULL;
	td->readers = td->heap_len = 0;
	td->spill.n = td->spill.pos = 0;
	td->last_t = 0;
	td->stats_pending = false;
}

static int begin_readers(struct tracedat *td, const struct tracefile_buffer *b, struct error *e)
{
	uint32_t i;
	int ret;

	td->readers = b->cpus;
	td->reader = budget_alloc(&td->source.budget, b->cpus * sizeof(*td->reader));
	td->heap = budget_alloc(&td->source.budget, b->cpus * sizeof(struct cpu_reader *));
	if (!td->reader || !td->heap)
		return error_set(e, "%s: %u CPUs: %s", td->source.path, b->cpus, budget_failure(&td->source.budget));
	for (i = 0; i < b->cpus; i++) {
		struct cpu_reader *r = &td->reader[i];

		if (begin_cpu(td, r, b, e) || settle_stats(td, r, b, e))
			return -1;
		ret = next_record(td, r, e);
		if (ret < 0)
			return -1;
		if (ret)
			td->heap[td->heap_len++] = r;
	}
	for (i = td->heap_len / 2; i-- > 0;)
		heap_sift(td, i);
	return 0;
}

static bool name_caller(void *ctx, uint64_t address, char out[SYMBOL_MAX])
{
	return tracefile_symbol(ctx, address, out);
}

static int begin_capture(struct tracedat *td, const struct tracefile_buffer *b, struct error *e)
{
	const struct tracefile *tf = td->file;
	struct error why = {""};

	if (subbuf_format(&td->fmt, tf->header_page, tf->header_page_len, b->page_size, tf->bigendian, &why))
		return error_set(e, "%s: %s; the file is damaged", td->source.path, why.text);
	td->decoder = decoder_new(td->source.strings, NULL);
	if (!td->decoder)
		return error_set(e, "%s: %s", td->source.path, budget_failure(&td->source.budget));
	decoder_within(td->decoder, &td->source.budget);
	decoder_name_callers(td->decoder, name_caller, td->file, false);
	return begin_readers(td, b, e);
}

/* The name of a capture: the path, and the instance if it is one. */
static int set_label(struct tracedat *td, const struct tracefile_buffer *b, struct error *e)
{
	free(td->label);
	if (asprintf(&td->label, b->name[0] ? "%s:%s" : "%s", td->source.path, b->name) >= 0)
		return 0;
	td->label = NULL;
	return error_set(e, "out of memory");
}

static int tracedat_capture(struct source *s, struct capture *c, struct error *e)
{
	struct tracedat *td = (struct tracedat *)s;
	const struct tracefile *tf = td->file;
	const struct tracefile_buffer *b;

	end_capture(td);
	if (td->next_buffer == tf->buffers)
		return 0;
	td->failed = false; /* the failure of one buffer does not affect another */
	td->failure.text[0] = '\0';
	b = &tf->buffer[td->next_buffer++];
	if (set_label(td, b, e))
		return -1;
	/* Damage at the very start is returned by the first read, like any damage that ends a capture. */
	if (begin_capture(td, b, &td->failure))
		td->failed = true;
	capture_init(c, ++td->captures, td->label, "trace.dat");
	c->host = tf->host ? tf->host : "";
	c->kernel = tf->kernel ? tf->kernel : "";
	c->clock = b->clock && b->clock[0] ? b->clock : tf->clock ? tf->clock : "";
	c->probes = td->probes;
	return 1;
}

static int more(struct source *s, struct event out[SPILL_EVENTS])
{
	struct tracedat *td = (struct tracedat *)s;
	int n = 0;

	if (!td->decoder)
		return 0;
	if (td->failed) /* held-back events came before the damage */
		return decoder_finish(td->decoder, out);
	if (td->stats_pending) {
		n = drain_stats(td, out);
		td->stats_pending = n;
	}
	return n ? n : step(td, out);
}

static ssize_t tracedat_read(struct source *s, struct event *ev, size_t max, struct error *e)
{
	struct tracedat *td = (struct tracedat *)s;
	size_t n = spill_read(&td->spill, ev, max, more, s);

	if (!n && td->failed)
		return error_set(e, "%s", td->failure.text);
	return (ssize_t)n;
}

struct naming {
	const struct tracefile *file;
	struct dropped *dropped;
};

static void name_other(void *ctx, uint32_t id, uint64_t n)
{
	const struct naming *x = ctx;

	tracefile_name_other(x->file, id, n, x->dropped);
}

static void tracedat_dropped(struct source *s, struct dropped *d)
{
	const struct tracedat *td = (const struct tracedat *)s;
	struct naming naming = {td->file, d};

	if (!td->decoder)
		return;
	decoder_dropped(td->decoder, d);
	decoder_others(td->decoder, name_other, &naming);
}

static double tracedat_progress(struct source *s)
{
	struct tracedat *td = (struct tracedat *)s;

	if (!td->bytes_total)
		return -1;
	return (double)atomic_load_explicit(&td->bytes_done, memory_order_relaxed) / (double)td->bytes_total;
}

static void tracedat_close(struct source *s)
{
	struct tracedat *td = (struct tracedat *)s;

	end_capture(td);
	tracefile_close(td->file);
	free(td->label);
	free(td->probes);
	source_free(s);
}

static const struct source_ops tracedat_ops = {
	.capture = tracedat_capture,
	.read = tracedat_read,
	.progress = tracedat_progress,
	.close = tracedat_close,
	.dropped = tracedat_dropped,
};

/* --- opening */

static bool is_wanted(const char *name, size_t len)
{
	return raw_kind_by_name(name, len) != RAW_OTHER;
}

/* Makes what the source has besides the file. 0, or -1 and the error. */
static int set_up(struct tracedat *td, const char *path, struct error *e)
{
	if (source_init(&td->source, &tracedat_ops, path, e))
		return -1;
	td->cause = intern_add(td->source.strings, loss_table[LOSS_RING].name, strlen(loss_table[LOSS_RING].name));
	td->cause_stats = intern_add(td->source.strings, "CPU statistics", 14);
	if (td->cause == UINT32_MAX || td->cause_stats == UINT32_MAX)
		return error_set(e, "out of memory");
	return 0;
}

/* Our events for which the file has formats: "SYSTEM:NAME" lines. 0, or -1 and the error. */
static int list_probes(struct tracedat *td, struct error *e)
{
	struct tep_handle *tep = td->file->tep;
	const struct tep_event *event;
	size_t len = 0;
	FILE *out = open_memstream(&td->probes, &len);
	bool failed = !out;
	int i;

	for (i = 0; out && i < tep_get_events_count(tep); i++) {
		event = tep_get_event(tep, i);
		if (event && event->system && decoder_reads(event))
			fprintf(out, "%s%s:%s", ftell(out) ? "\n" : "", event->system, event->name);
	}
	if (out) {
		failed = ferror(out);
		failed |= fclose(out) != 0;
	}
	return failed ? error_set(e, "out of memory") : 0;
}

static uint64_t count_bytes(const struct tracefile *tf)
{
	uint64_t bytes = 0;
	uint32_t i, k;

	for (i = 0; i < tf->buffers; i++)
		for (k = 0; k < tf->buffer[i].cpus; k++)
			bytes += tf->buffer[i].cpu[k].size;
	return bytes;
}

int tracedat_open(struct source **out, const struct source_input *in, struct error *e)
{
	struct tracedat *td = calloc(1, sizeof(*td));
	int fd = in->fd;

	*out = NULL;
	if (!td) {
		error_set(e, "out of memory");
		goto fail;
	}
	if (set_up(td, in->path, e))
		goto fail;
	fd = spool_seekable(in, e);
	if (fd < 0 || tracefile_open(&td->file, fd, td->source.path, &td->source.budget, is_wanted, e)) {
		fd = -1;
		goto fail;
	}
	fd = -1; /* the file owns it */
	if (list_probes(td, e))
		goto fail;
	td->bytes_total = count_bytes(td->file);
	*out = &td->source;
	return 0;
fail:
	if (fd >= 0)
		close(fd);
	if (td)
		tracedat_close(&td->source);
	return -1;
}
