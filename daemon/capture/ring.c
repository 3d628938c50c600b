/*
 * Capture; see ring.h.
 *
 * Vocabulary: a page is one sub-buffer as read() gives it. Each CPU has a queue of pages, the first of which is being
 * taken apart: its next record is in rec, and all CPUs that have one are in a heap by its time. A drain has three steps:
 *
 *  1. Pages are read, always from the CPU that is furthest behind, until all CPUs are empty or that one has had its
 *     share. So what is not read yet on any CPU is never much older than what waits, and little has to wait.
 *  2. Losses that only the statistics tell are settled.
 *  3. Records up to the limit are merged, decoded into a batch of events, and given to the sink. The limit is the start
 *     of the drain less the merge window, and, where a CPU still has unread pages, the time of the last page read there.
 *
 * A CPU whose records come as fast as they are read would be read record by record, each in a page of its own. So one
 * whose pages are nearly empty has had its share; what it still has is read, and merged, in the next drain.
 *
 * Invariants:
 *  - what was given to the sink never goes back in time: out_t is its last time, and a record before it is lost;
 *  - pages exist at most page_limit at once, and one for each CPU that is being filled; they are never freed, but kept.
 *    When they are all in use, records go out before their time rather than being dropped: first the merge window is
 *    given up, then the order against unread pages. forced_t remembers how far; a record that is late for that reason
 *    counts as lost to "merge memory";
 *  - nothing is allocated, and no system call made, per record.
 *
 * Loss in the kernel's buffer is told twice. With overwriting off, dropped records are in the statistics alone. With
 * overwriting on, each is in the statistics' "overrun" and, exactly once, in the missed count of the next page swapped
 * out; but a full page has no room for the count, and only says that there was a loss. Such a page gets its count from
 * the statistics: overrun less all that pages have told. That is right only when no loss waits to be told by a later
 * page, hence when the buffer was empty before and after the statistics were read. Until a CPU loses nothing any more,
 * its pages are then read in a way that leaves room for the count (see read_page()).
 *
 * The buffer is ours alone. The statistics also tell how many records were read from it: more than our pages had were read
 * by somebody else; fewer, and it was emptied. Neither may pass as a recording without loss.
 */
#include "daemon/capture/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <event-parse.h>

#include "base/log.h"
#include "trace/decoder/cmdlines.h"
#include "trace/decoder/decoder.h"
#include "trace/decoder/subbuf.h"

#define NS_PER_S 1000000000ull
#define BATCH 256 /* events given to the sink at once */
#define MAX_CPUS 65536u
#define MAX_FORMAT 65536u
#define MAX_CMDLINES (4u << 20) /* of saved_cmdlines, which has 128 lines unless somebody wanted more */
#define MAX_COMMS 16384u	/* commands kept in libtraceevent, which cannot forget one */
#define MAX_NAMES (1u << 20)	/* strings, which are kept to the end, beyond which no command's name is added */
#define TID_SLOTS 1024u		/* power of two */
#define STATS_EVERY NS_PER_S
#define CMDLINES_EVERY NS_PER_S
#define FUTURE (10 * NS_PER_S)	   /* a record this much after now is damage */
#define WARNINGS 10		   /* log lines about damage; from then on one a second, for debugging */
#define ROOMY_TIME (10 * NS_PER_S) /* without loss, after which a CPU is read in whole pages again */
#define FINISH_PAGES 65536	   /* of a CPU, at most, in the last reading */
#define SCRAPS 2		   /* pages with little in them after which a drain stops reading a CPU */
#define ENDED 2 /* reads in a row that give nothing: the kernel gives one when it races with a writer */
#define BIT(i) (1u << (i))
#define LOST_FIELD(name) (offsetof(struct event_lost, name) / sizeof(uint64_t))

/* What records are lost to. LOST_FLAG is LOST_RING, told by a page: it stands right before that page's first record. */
enum loss_cause { LOST_FLAG, LOST_RING, LOST_DECODER, LOST_LATE, LOST_MERGE, LOST_PROBE, LOSS_CAUSES };

static const char *const cause_names[LOSS_CAUSES] = {
	[LOST_FLAG] = "ring buffer", [LOST_RING] = "ring buffer",   [LOST_DECODER] = "decoder",
	[LOST_LATE] = "late",	     [LOST_MERGE] = "merge memory", [LOST_PROBE] = "probe",
};

/* Losses of one CPU and cause that no lost event tells of yet. */
struct loss {
	uint64_t count;	 /* records */
	uint64_t places; /* where records were lost, nobody knows how many */
	uint64_t since;	 /* t of the last record before the first of them */
	bool has_since;
};

/* What the statistics told of reading. */
struct told {
	bool open;	  /* not held against our count yet */
	bool uncounted;	  /* of the pages some could not be counted */
	uint64_t pages;	  /* that were read by then */
	uint64_t records; /* that were in them, if nobody else read */
	uint64_t since;	  /* t of the last record given out before that */
	bool has_since;
};

struct page {
	struct page *next;
	int64_t lost; /* before it, or SUBBUF_LOST_UNKNOWN */
	size_t fill;  /* bytes read so far */
	uint8_t data[];
};

struct cpu {
	uint32_t number;
	int fd, stats_fd;     /* -1: none */
	struct page *filling; /* not all of it was read yet */
	struct page *head, *tail;
	bool loaded; /* sb is that of head */
	struct subbuf sb;
	struct tep_record rec; /* the next one, while in the heap */
	bool in_heap;

	uint64_t last_t; /* of the last record given out */
	bool has_last;
	uint64_t bound; /* no unread record is older */
	bool empty;	/* was read empty in this drain */
	size_t pages;	/* read in this drain */
	unsigned zeros; /* reads in a row that gave nothing */
	bool ends;	/* end of file is an end; see ring_cpu_add() */
	bool tell_gone;
	unsigned scraps;      /* pages in a row, in this drain, with little in them */
	bool caught_up;	      /* with a writer that writes on: enough for this drain, though it was not read empty */
	uint64_t roomy_until; /* its pages are read so that there is room for the count; 0: they are not */

	struct loss loss[LOSS_CAUSES];
	bool has_loss;

	uint64_t stats_at; /* when the statistics were last read */
	uint64_t stats_since;
	bool has_stats_since;
	bool stats_fresh;	   /* all pages that wait were read before the statistics */
	uint64_t dropped;	   /* told so far: what only statistics know */
	uint64_t flagged, settled; /* of overrun: told by pages, added from the statistics */
	uint64_t overrun;	   /* last seen */
	uint64_t ahead;		   /* of settled: what a later page will tell again */
	uint64_t unknown;	   /* pages that told of a loss without a count, since it was last settled */
	struct page *unknown_page; /* the last of them, while it waits */

	uint64_t taken, done; /* pages that were queued, and taken apart */
	uint64_t records;     /* in the latter */
	bool uncounted;	      /* a page that is not told of yet could not be counted */
	struct told told;
};

struct format {
	struct format *next;
	char *system, *text; /* NUL-terminated, without what tells how to print it */
	size_t name_len;     /* of "name: NAME", with which text begins */
};

struct ring {
	struct ring_options opt;
	struct intern *strings;
	struct subbuf_format fmt; /* size 0: not known yet */
	struct tep_handle *tep;
	struct format *formats;
	struct decoder *decoder;
	uint64_t unpaired;	     /* of the decoder's, counted so far */
	uint32_t cause[LOSS_CAUSES]; /* strings ids */

	struct cpu nowhere; /* no CPU: its losses are those of the probes */
	struct cpu others;  /* the same, for what others changed */
	bool knows_missed;  /* from here on it counts */
	uint64_t missed;    /* told so far */
	struct cpu **cpu;
	size_t cpus;
	struct cpu **heap;
	size_t heap_len;

	struct page *free;
	size_t pages, page_limit;

	uint64_t now; /* when this drain began */
	uint64_t out_t;
	uint64_t forced_t; /* 0: never */
	struct event batch[BATCH];
	size_t batched;

	int cmdlines_fd;
	uint64_t cmdlines_at; /* 0: never */
	unsigned comms;
	bool has_pid;
	uint32_t pid_offset;
	uint32_t known_tid[TID_SLOTS];

	unsigned warnings;
	uint64_t warned_at;

	struct ring_stats stats; /* the draining thread's own */
	pthread_mutex_t lock;
	struct ring_stats published;
};

static uint64_t clock_now(const struct ring *r)
{
	struct timespec ts;

	if (r->opt.now)
		return r->opt.now(r->opt.now_ctx);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Damage is logged, but not as often as it happens. */
static void complain(struct ring *r, const struct cpu *c, const char *what)
{
	if (r->warnings < WARNINGS) {
		r->warnings++;
		log_warning("CPU %u: %s%s", c->number, what,
			    r->warnings == WARNINGS ? " (more of this only at level debug, once a second)" : "");
		return;
	}
	if (r->now - r->warned_at < NS_PER_S)
		return;
	r->warned_at = r->now;
	log_debug("CPU %u: %s", c->number, what);
}

/* --- pages */

static size_t memory_limit(const struct ring *r)
{
	size_t n = r->fmt.size ? (size_t)(r->opt.merge_bytes / r->fmt.size) : 0;

	return n < r->cpus + 1 ? r->cpus + 1 : n;
}

static void release_page(struct ring *r, struct page *p)
{
	p->next = r->free;
	r->free = p;
}

static void free_pages(struct page *p)
{
	struct page *next;

	for (; p; p = next) {
		next = p->next;
		free(p);
	}
}

/* --- losses */

static uint64_t *loss_counter(struct ring_stats *s, enum loss_cause cause)
{
	switch (cause) {
	case LOST_DECODER:
		return &s->lost_decoder;
	case LOST_LATE:
		return &s->lost_late;
	case LOST_MERGE:
		return &s->lost_merge;
	case LOST_PROBE:
		return &s->lost_probe;
	default:
		return &s->lost_ring;
	}
}

static void loss_add(struct ring *r, struct cpu *c, enum loss_cause cause, uint64_t count)
{
	struct loss *l = &c->loss[cause];

	if (!l->count && !l->places) {
		l->since = c->last_t;
		l->has_since = c->has_last;
	}
	l->count += count;
	*loss_counter(&r->stats, cause) += count;
	c->has_loss = true;
}

/* The same for a place where it is not known how many were lost. */
static void loss_unknown(struct ring *r, struct cpu *c, enum loss_cause cause)
{
	loss_add(r, c, cause, 0);
	c->loss[cause].places++;
	r->stats.lost_unknown++;
}

static void flush_batch(struct ring *r)
{
	if (r->batched)
		r->opt.sink.events(r->opt.sink.ctx, r->batch, r->batched);
	r->batched = 0;
}

/* Room for n events at the end of the batch. */
static struct event *batch_room(struct ring *r, size_t n)
{
	if (r->batched + n > BATCH)
		flush_batch(r);
	return &r->batch[r->batched];
}

static void give_lost(struct ring *r, const struct cpu *c, enum loss_cause cause, uint64_t count)
{
	const struct loss *l = &c->loss[cause];
	struct event *ev = batch_room(r, 1);

	memset(ev, 0, sizeof(*ev));
	ev->kind = EV_lost;
	ev->t = r->out_t;
	ev->cpu = c->number;
	ev->tid = EVENT_NO_TID;
	ev->lost.count = count;
	ev->lost.cause = r->cause[cause];
	ev->lost.since = l->has_since ? l->since : 0;
	if (!count)
		ev->missing |= BIT(LOST_FIELD(count));
	if (!l->has_since)
		ev->missing |= BIT(LOST_FIELD(since));
	decoder_lost(r->decoder, ev);
	r->batched++;
}

/* Lost events for what the CPU lost up to t, all or all but what the next page tells. */
static void give_losses(struct ring *r, struct cpu *c, uint64_t t, enum loss_cause first)
{
	enum loss_cause cause;

	if (t > r->out_t)
		r->out_t = t;
	for (cause = first; cause < LOSS_CAUSES; cause++) {
		struct loss *l = &c->loss[cause];

		if (l->count)
			give_lost(r, c, cause, l->count);
		if (l->places)
			give_lost(r, c, cause, 0);
		*l = (struct loss){0};
	}
	c->has_loss = c->loss[LOST_FLAG].count || c->loss[LOST_FLAG].places;
}

static void give_all_losses(struct ring *r, uint64_t t, enum loss_cause first)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->has_loss)
			give_losses(r, r->cpu[i], t, first);
	if (r->nowhere.has_loss)
		give_losses(r, &r->nowhere, t, first);
	if (r->others.has_loss)
		give_losses(r, &r->others, t, first);
}

/* --- commands */

static void forget_tids(struct ring *r)
{
	memset(r->known_tid, 0xff, sizeof(r->known_tid));
	decoder_reset_formats(r->decoder);
}

/* A handle with all the formats. NULL and the error. */
static struct tep_handle *make_tep(const struct ring *r, struct error *e)
{
	struct tep_handle *tep = tep_alloc();
	const struct format *f;

	if (!tep) {
		error_set(e, "out of memory");
		return NULL;
	}
	tep_set_loglevel(TEP_LOG_NONE); /* errors are ours to tell */
	tep_set_file_bigendian(tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_local_bigendian(tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(tep, (int)sizeof(long));
	tep_set_page_size(tep, (int)sysconf(_SC_PAGESIZE));
	for (f = r->formats; f; f = f->next)
		if (tep_parse_event(tep, f->text, strlen(f->text), f->system) != TEP_ERRNO__SUCCESS) {
			error_set(e, "the format of %s/%.*s cannot be parsed", f->system, (int)f->name_len - 6,
				  f->text + 6);
			tep_free(tep);
			return NULL;
		}
	return tep;
}

static int rebuild_tep(struct ring *r, struct error *e)
{
	struct tep_handle *tep = make_tep(r, e);
	struct tep_event *first;
	struct tep_format_field *pid;

	if (!tep)
		return -1;
	tep_free(r->tep);
	r->tep = tep;
	r->comms = 0;
	first = tep_get_first_event(tep);
	pid = first ? tep_find_common_field(first, "common_pid") : NULL;
	r->has_pid = pid && pid->offset >= 0 && pid->offset <= 64 && pid->size == 4;
	r->pid_offset = r->has_pid ? (uint32_t)pid->offset : 0;
	forget_tids(r);
	return 0;
}

/* Reads the table anew. What cannot be read stays unknown. */
static void read_cmdlines(struct ring *r)
{
	size_t cap = 16384, len = 0;
	char *text = malloc(cap), *grown;
	const char *eol;
	struct error ignored = {""};
	ssize_t n = -1;

	r->cmdlines_at = r->now;
	while (text) {
		n = pread(r->cmdlines_fd, text + len, cap - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (len < cap)
			continue;
		if (cap >= MAX_CMDLINES)
			break;
		cap *= 2;
		grown = realloc(text, cap);
		if (!grown)
			break;
		text = grown;
	}
	if (text && n >= 0 && (r->comms < MAX_COMMS || !rebuild_tep(r, &ignored))) {
		eol = memrchr(text, '\n', len);
		/* a line that is none names nobody */
		cmdlines_register(r->tep, text, eol ? (size_t)(eol - text) : 0, &r->comms);
		forget_tids(r);
	}
	free(text);
}

/* A record of a thread that was not seen lately. */
static void meet_tid(struct ring *r, uint32_t tid)
{
	bool known = tid > INT32_MAX || tep_is_pid_registered(r->tep, (int)tid);

	if (!known && (!r->cmdlines_at || r->now - r->cmdlines_at >= CMDLINES_EVERY)) {
		read_cmdlines(r);
		known = true; /* or will never be; asked for again when the table is reread */
	}
	if (known)
		r->known_tid[tid & (TID_SLOTS - 1)] = tid;
}

static inline void look_at_tid(struct ring *r, const struct tep_record *rec)
{
	uint32_t tid;

	if (rec->size < 0 || (size_t)rec->size < r->pid_offset + sizeof(tid))
		return;
	memcpy(&tid, (const char *)rec->data + r->pid_offset, sizeof(tid));
	if (r->known_tid[tid & (TID_SLOTS - 1)] != tid)
		meet_tid(r, tid);
}

/* --- merging */

static bool heap_before(const struct cpu *a, const struct cpu *b)
{
	if (a->rec.ts != b->rec.ts)
		return a->rec.ts < b->rec.ts;
	return a->number < b->number;
}

static void heap_down(struct ring *r)
{
	struct cpu *c = r->heap[0];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->heap_len) {
		if (child + 1 < r->heap_len && heap_before(r->heap[child + 1], r->heap[child]))
			child++;
		if (!heap_before(r->heap[child], c))
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = c;
}

static void heap_add(struct ring *r, struct cpu *c)
{
	size_t i = r->heap_len++, up;

	for (; i; i = up) {
		up = (i - 1) / 2;
		if (!heap_before(c, r->heap[up]))
			break;
		r->heap[i] = r->heap[up];
	}
	r->heap[i] = c;
	c->in_heap = true;
}

static void heap_pop(struct ring *r)
{
	r->heap[0]->in_heap = false;
	r->heap[0] = r->heap[--r->heap_len];
	if (r->heap_len)
		heap_down(r);
}

/* What the first page tells of losses before it. Not when it is loaded: its count may still come. */
static void take_flag(struct ring *r, struct cpu *c)
{
	struct page *p = c->head;

	if (p->lost > 0)
		loss_add(r, c, LOST_FLAG, (uint64_t)p->lost);
	else
		loss_unknown(r, c, LOST_FLAG);
	p->lost = 0;
	if (p == c->unknown_page)
		c->unknown_page = NULL;
}

/* Holds our count of records against what the statistics told, once all pages of then are counted. */
static void check_told(struct ring *r, struct cpu *c)
{
	uint64_t told = c->told.records, ours = c->records;
	struct loss *l = &c->loss[LOST_RING];
	bool first = !l->count && !l->places;
	char what[128] = "its buffer was emptied by somebody else; what was in it is lost";

	if (!c->told.open || c->done != c->told.pages)
		return;
	c->told.open = false;
	c->records = told;
	if (c->told.uncounted || told == ours)
		return;
	if (told > ours) {
		snprintf(what, sizeof(what), "%" PRIu64 " records were read by another process, and are lost",
			 told - ours);
		loss_add(r, c, LOST_RING, told - ours);
	} else {
		loss_unknown(r, c, LOST_RING);
	}
	complain(r, c, what);
	if (first) {
		l->since = c->told.since;
		l->has_since = c->told.has_since;
	}
}

static void drop_head(struct ring *r, struct cpu *c)
{
	struct page *p = c->head;

	if (p->lost)
		take_flag(r, c);
	c->head = p->next;
	if (!c->head)
		c->tail = NULL;
	c->loaded = false;
	release_page(r, p);
	c->done++;
	check_told(r, c);
}

/* Begins the CPU's first page. It was looked at when it was read, so it is sound as far as its header goes. */
static void load_head(const struct ring *r, struct cpu *c)
{
	struct error ignored;

	ignored.text[0] = '\0';
	if (subbuf_load(&c->sb, &r->fmt, c->head->data, &ignored))
		c->sb.end = c->sb.pos;
	c->loaded = true;
}

static bool in_future(const struct ring *r, uint64_t t)
{
	return t > r->now && t - r->now > FUTURE;
}

/* The CPU's next record into rec; false: it has none. */
static bool next_record(struct ring *r, struct cpu *c)
{
	struct error why;
	int ret;

	why.text[0] = '\0';
	while (c->head) {
		if (!c->loaded)
			load_head(r, c);
		ret = subbuf_next(&c->sb, &c->rec, &why);
		if (ret > 0) {
			r->stats.records++;
			c->records++;
			if (!in_future(r, c->rec.ts))
				return true;
			loss_add(r, c, LOST_DECODER, 1);
			complain(r, c, "a record's time lies in the future; is the trace clock \"mono\"?");
			continue;
		}
		if (ret < 0) {
			*(c->told.open ? &c->told.uncounted : &c->uncounted) = true;
			loss_unknown(r, c, LOST_DECODER);
			complain(r, c, why.text);
			why.text[0] = '\0';
		}
		drop_head(r, c);
	}
	return false;
}

/* Calls that could not be paired since the last record; the decoder tells of them by events of its own. */
static uint64_t take_unpaired(struct ring *r)
{
	uint64_t all = decoder_stats(r->decoder)->unpaired, since = all - r->unpaired;

	r->unpaired = all;
	return since;
}

/* Decodes the record of a CPU. Its events go to the batch. */
static void give_record(struct ring *r, struct cpu *c)
{
	struct error why;
	int n;

	if (c->head->lost)
		take_flag(r, c);
	if (c->rec.ts < r->out_t) {
		loss_add(r, c, c->rec.ts <= r->forced_t ? LOST_MERGE : LOST_LATE, 1);
		return;
	}
	if (c->has_loss)
		give_losses(r, c, c->rec.ts, LOST_FLAG);
	if (r->cmdlines_fd >= 0 && r->has_pid)
		look_at_tid(r, &c->rec);
	why.text[0] = '\0'; /* all 1 KiB of it zeroed would cost more than the record */
	n = decoder_record(r->decoder, r->tep, &c->rec, batch_room(r, DECODER_MAX_EVENTS), &why);
	if (n < 0) {
		loss_add(r, c, LOST_DECODER, 1 + take_unpaired(r)); /* their event went with it */
		complain(r, c, why.text);
	} else {
		r->batched += (size_t)n;
		r->stats.events += (uint64_t)n;
		r->stats.lost_decoder += take_unpaired(r);
		if (n)
			r->stats.last_t = c->rec.ts;
	}
	r->out_t = c->rec.ts;
	c->last_t = c->rec.ts;
	c->has_last = true;
}

/* The CPU whose record comes after that of the first, or NULL. */
static const struct cpu *heap_second(const struct ring *r)
{
	if (r->heap_len < 2)
		return NULL;
	if (r->heap_len > 2 && heap_before(r->heap[2], r->heap[1]))
		return r->heap[2];
	return r->heap[1];
}

/* Gives out records up to and including limit, and stops early once wanted pages are free (0: does not). */
static void merge(struct ring *r, uint64_t limit, size_t wanted)
{
	while (r->heap_len && r->heap[0]->rec.ts <= limit && !(wanted && r->free)) {
		struct cpu *c = r->heap[0];
		const struct cpu *second = heap_second(r);
		const struct page *head = c->head;
		bool more;

		/* Mostly one CPU has many records before the next one's turn comes. */
		do {
			give_record(r, c);
			more = next_record(r, c);
		} while (more && c->rec.ts <= limit && !(second && heap_before(second, c)) &&
			 !(wanted && c->head != head));
		if (more)
			heap_down(r);
		else
			heap_pop(r);
	}
}

/* Up to where every record is known, whatever the window: no unread one is older. */
static uint64_t read_limit(const struct ring *r)
{
	uint64_t limit = r->now;
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		const struct cpu *c = r->cpu[i];

		if (c->fd >= 0 && !c->empty && c->bound < limit)
			limit = c->bound;
	}
	return limit;
}

static uint64_t merge_limit(const struct ring *r)
{
	uint64_t read = read_limit(r), window = r->opt.merge_window_ns;
	uint64_t limit = r->now > window ? r->now - window : 0;

	return read < limit ? read : limit;
}

/* --- reading */

/* A free page; when memory is used up, records go out for it, at last before their time. NULL: out of memory. */
static struct page *get_page(struct ring *r, struct error *e)
{
	struct page *p;

	if (!r->free && r->pages >= r->page_limit)
		merge(r, merge_limit(r), 1);
	if (!r->free && r->pages >= r->page_limit && r->heap_len) {
		merge(r, read_limit(r), 1);
		if (!r->free)
			merge(r, UINT64_MAX, 1);
		r->forced_t = r->out_t;
	}
	p = r->free;
	if (p) {
		r->free = p->next;
	} else {
		p = malloc(sizeof(*p) + r->fmt.size);
		if (!p) {
			error_set(e, "out of memory for ring buffer pages; lower merge_bytes");
			return NULL;
		}
		r->pages++;
	}
	p->next = NULL;
	p->fill = 0;
	p->lost = 0;
	return p;
}

/* How the lost count of a page is booked, once when it is read. */
static void book_flag(struct cpu *c, struct page *p, int64_t lost, uint64_t now)
{
	uint64_t told = lost > 0 ? (uint64_t)lost : 0;

	if (told > c->ahead)
		told = c->ahead;
	c->ahead -= told;
	c->flagged += told; /* the statistics told it: settled moves to flagged */
	c->settled -= told;
	lost -= (int64_t)told;
	p->lost = lost;
	if (lost > 0) {
		c->flagged += (uint64_t)lost;
		c->roomy_until = c->roomy_until ? now + ROOMY_TIME : 0;
	} else if (lost) {
		c->unknown++;
		c->unknown_page = p;
		c->roomy_until = now + ROOMY_TIME;
	} else if (c->roomy_until < now) {
		c->roomy_until = 0;
	}
}

/* The page is complete: looks at its header, and queues it. */
static void take_page(struct ring *r, struct cpu *c, struct page *p)
{
	struct error why;
	struct subbuf sb;

	why.text[0] = '\0';
	c->filling = NULL;
	c->pages++;
	r->stats.pages++;
	if (p->fill < r->fmt.size)
		memset(p->data + p->fill, 0, r->fmt.size - p->fill);
	if (p->fill < r->fmt.data || subbuf_load(&sb, &r->fmt, p->data, &why) || sb.end > p->fill) {
		c->uncounted = true;
		loss_unknown(r, c, LOST_DECODER);
		complain(r, c, why.text[0] ? why.text : "a sub-buffer that is cut off");
		release_page(r, p);
		return;
	}
	if (sb.ts > c->bound && !in_future(r, sb.ts))
		c->bound = sb.ts;
	book_flag(c, p, sb.lost, r->now);
	c->taken++;
	c->scraps = sb.end - sb.pos < r->fmt.size / 2 ? c->scraps + 1 : 0;
	c->caught_up = c->scraps >= SCRAPS;
	if (c->tail)
		c->tail->next = p;
	else
		c->head = p;
	c->tail = p;
	if (!c->in_heap && next_record(r, c))
		heap_add(r, c);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void settle_last(struct ring *r, struct cpu *c);

static void end_cpu(struct ring *r, struct cpu *c)
{
	if (c->filling && c->filling->fill)
		take_page(r, c, c->filling);
	settle_last(r, c);
	close_fd(&c->fd);
	close_fd(&c->stats_fd);
	c->empty = true;
}

/*
 * Reads into the page. The kernel hands over a whole sub-buffer where it can, and then there may be no room left for the
 * number of lost records. Asked for less than a whole one it copies records up to that size, and the count fits behind
 * them; what is left of the sub-buffer comes with the next read.
 */
static ssize_t read_page(const struct ring *r, const struct cpu *c, struct page *p)
{
	size_t want = r->fmt.size - p->fill, tail = r->fmt.commit_size;
	struct iovec iov[2] = {
		{p->data + p->fill, want - tail},
		{p->data + r->fmt.size - tail, tail},
	};

	if (c->roomy_until && !p->fill)
		return readv(c->fd, iov, 2);
	return read(c->fd, p->data + p->fill, want);
}

/* Reads on. 1: a page was read, 0: there is none now, or no more ever, or -1. */
static int read_cpu(struct ring *r, struct cpu *c, struct error *e)
{
	struct page *p = c->filling;
	ssize_t n;

	if (!p) {
		p = c->filling = get_page(r, e);
		if (!p)
			return -1;
	}
	while (p->fill < r->fmt.size) {
		n = read_page(r, c, p);
		if (n > 0) {
			p->fill += (size_t)n;
			c->zeros = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->zeros = 0;
			c->empty = true;
			return 0;
		}
		if (!n && ++c->zeros < ENDED)
			continue;
		if (!n && !c->ends) {
			c->zeros = 0;
			c->empty = true;
			return 0;
		}
		if (n < 0 && errno != ENODEV)
			log_error("CPU %u: reading its buffer: %s", c->number, strerror(errno));
		c->tell_gone = true;
		end_cpu(r, c);
		return 0;
	}
	take_page(r, c, p);
	return 1;
}

/* The CPU that is furthest behind of those that have more, or NULL. */
static struct cpu *next_to_read(const struct ring *r)
{
	struct cpu *best = NULL;
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		if (c->fd >= 0 && !c->empty && !c->caught_up && (!best || c->bound < best->bound))
			best = c;
	}
	return best;
}

/* An unused page must not be held back from the others. */
static void give_back_filling(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		if (!c->filling || c->filling->fill)
			continue;
		release_page(r, c->filling);
		c->filling = NULL;
	}
}

/* Reads all CPUs empty, or until the one that is furthest behind has had max_pages. Pages read, or -1. */
static long read_all(struct ring *r, size_t max_pages, struct error *e)
{
	struct cpu *c;
	long pages = 0;
	int ret = 0;

	while ((c = next_to_read(r)) && c->pages < max_pages) {
		ret = read_cpu(r, c, e);
		if (ret < 0)
			break;
		pages += ret;
	}
	give_back_filling(r);
	return ret < 0 ? -1 : pages;
}

/* --- statistics */

struct cpu_stats {
	uint64_t overrun, dropped;
	uint64_t read, pages; /* records that were read, in these pages of ours */
	bool has_read;
};

static int stats_number(const char *text, const char *key, uint64_t *out)
{
	const char *p = strstr(text, key);
	char *end;

	if (!p)
		return -1;
	p += strlen(key);
	errno = 0;
	*out = strtoull(p, &end, 10);
	return end == p || errno ? -1 : 0;
}

static int read_stats(struct cpu *c, struct cpu_stats *s)
{
	uint64_t commit = 0, dropped = 0;
	char text[1024];
	ssize_t n;

	do
		n = pread(c->stats_fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		log_warning("CPU %u: reading its statistics: %s; what it loses may not be counted from now on",
			    c->number, strerror(errno));
		close_fd(&c->stats_fd);
		return -1;
	}
	text[n] = '\0';
	/* Older kernels have no "dropped events"; "commit overrun" contains the other name, so the newline matters. */
	if (stats_number(text, "\noverrun: ", &s->overrun)) {
		log_warning("CPU %u: its statistics are not as expected; what it loses may not be counted", c->number);
		close_fd(&c->stats_fd);
		return -1;
	}
	stats_number(text, "\ncommit overrun: ", &commit);
	stats_number(text, "\ndropped events: ", &dropped);
	s->dropped = commit + dropped;
	/* of a page that is not read whole nobody knows yet how much is counted */
	s->has_read = !(c->filling && c->filling->fill) && !stats_number(text, "\nread events: ", &s->read);
	s->pages = c->taken;
	return 0;
}

/* Losses of the ring buffer that happened since the statistics were last read; nobody knows where between. */
static void add_interval(struct ring *r, struct cpu *c, uint64_t count)
{
	struct loss *l = &c->loss[LOST_RING];
	bool first = !l->count && !l->places;

	loss_add(r, c, LOST_RING, count);
	if (first) {
		l->since = c->stats_since;
		l->has_since = c->has_stats_since;
	}
}

/* Counters that went back: somebody emptied the buffer. */
static void check_reset(struct ring *r, struct cpu *c, const struct cpu_stats *s)
{
	if (s->dropped >= c->dropped && s->overrun >= c->overrun)
		return;
	log_warning("CPU %u: its buffer was emptied by somebody else; what was in it is lost", c->number);
	loss_unknown(r, c, LOST_RING);
	c->dropped = c->flagged = c->settled = c->ahead = c->unknown = 0;
	c->unknown_page = NULL;
	c->uncounted = true;
}

/* What overrun has beyond all that pages told. */
static void settle_overrun(struct ring *r, struct cpu *c, uint64_t overrun)
{
	uint64_t rest = overrun > c->flagged + c->settled ? overrun - c->flagged - c->settled : 0;

	if (rest && c->unknown == 1 && c->unknown_page)
		c->unknown_page->lost = rest <= INT64_MAX ? (int64_t)rest : INT64_MAX;
	else if (rest)
		add_interval(r, c, rest);
	c->settled += rest;
	c->unknown = 0;
	c->unknown_page = NULL;
}

/* What the statistics tell from now on was lost after the last record given out. */
static void stats_begin(struct cpu *c)
{
	c->stats_since = c->last_t;
	c->has_stats_since = c->has_last;
}

static void take_told(struct ring *r, struct cpu *c, const struct cpu_stats *s)
{
	struct told *t = &c->told;

	if (!s->has_read)
		return;
	if (!t->open)
		*t = (struct told){.open = true, .since = c->stats_since, .has_since = c->has_stats_since};
	t->pages = s->pages;
	t->records = s->read;
	t->uncounted |= c->uncounted;
	c->uncounted = false;
	check_told(r, c);
}

/* Books what the statistics tell. whole: no overrun waits to be told by a page that is not read yet. */
static void book_stats(struct ring *r, struct cpu *c, const struct cpu_stats *s, bool whole)
{
	check_reset(r, c, s);
	if (s->dropped > c->dropped)
		add_interval(r, c, s->dropped - c->dropped);
	c->dropped = s->dropped;
	c->overrun = s->overrun;
	if (whole)
		settle_overrun(r, c, s->overrun);
	take_told(r, c, s);
	c->stats_at = r->now;
	c->stats_fresh = whole;
	stats_begin(c);
}

/* Settles a CPU if it is time to, or if it was read empty and a page waits for its count. 0 or -1. */
static int settle_cpu(struct ring *r, struct cpu *c, struct error *e)
{
	struct cpu_stats s;
	bool whole = c->empty;
	int ret;

	if (c->stats_fd < 0 || (!(c->empty && c->unknown_page) && r->now - c->stats_at < STATS_EVERY))
		return 0;
	if (read_stats(c, &s))
		return 0;
	if (whole && c->fd >= 0 && s.overrun > c->flagged + c->settled) {
		ret = read_cpu(r, c, e);
		if (ret < 0)
			return -1;
		whole = !ret;
		if (c->stats_fd < 0) /* it ended, and was settled */
			return 0;
	}
	book_stats(r, c, &s, whole);
	return 0;
}

static int settle(struct ring *r, struct error *e)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < r->cpus && !ret; i++)
		ret = settle_cpu(r, r->cpu[i], e);
	give_back_filling(r);
	return ret;
}

/* What a CPU's statistics say at its end; what no page told by now none will tell. */
static void settle_last(struct ring *r, struct cpu *c)
{
	struct cpu_stats s;

	if (c->stats_fd < 0 || read_stats(c, &s))
		return;
	if (!c->unknown && s.overrun > c->flagged + c->settled)
		c->ahead += s.overrun - c->flagged - c->settled;
	book_stats(r, c, &s, true);
}

/* --- drains */

static void publish(struct ring *r)
{
	const struct decoder_stats *d = decoder_stats(r->decoder);

	r->stats.other = d->other + d->state + d->unneeded + d->failed_map + d->failed_access + d->empty_unmap;
	r->stats.unnamed = d->unnamed;
	r->stats.doubtful_names = d->doubtful_names;
	pthread_mutex_lock(&r->lock);
	r->published = r->stats;
	pthread_mutex_unlock(&r->lock);
}

static void begin_drain(struct ring *r)
{
	size_t i;

	r->now = clock_now(r);
	r->stats.drains++;
	for (i = 0; i < r->cpus; i++) {
		r->cpu[i]->empty = false;
		r->cpu[i]->caught_up = false;
		r->cpu[i]->scraps = 0;
		r->cpu[i]->pages = 0;
	}
}

static void end_drain(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++) {
		if (r->cpu[i]->stats_fresh)
			stats_begin(r->cpu[i]);
		r->cpu[i]->stats_fresh = false;
	}
}

static int take_gone(struct ring *r)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->tell_gone) {
			r->cpu[i]->tell_gone = false;
			return (int)r->cpu[i]->number;
		}
	return -1;
}

static int check_ready(const struct ring *r, struct error *e)
{
	return r->fmt.size ? 0 : error_set(e, "the format of ring buffer pages is not known: give header_page first");
}

long ring_drain(struct ring *r, size_t max_pages, int *gone, struct error *e)
{
	uint64_t limit;
	long pages;

	if (gone)
		*gone = -1;
	if (check_ready(r, e))
		return -1;
	begin_drain(r);
	pages = read_all(r, max_pages, e);
	if (pages >= 0 && settle(r, e))
		pages = -1;
	limit = merge_limit(r);
	/* Losses without a place come first: whoever looks at a record after them must know. */
	give_all_losses(r, r->heap_len && r->heap[0]->rec.ts < limit ? r->heap[0]->rec.ts : limit, LOST_RING);
	merge(r, limit, 0);
	give_all_losses(r, limit, LOST_RING);
	flush_batch(r);
	end_drain(r);
	if (gone)
		*gone = take_gone(r);
	publish(r);
	return pages;
}

void ring_dropped(const struct ring *r, struct dropped *out)
{
	decoder_dropped(r->decoder, out);
}

int ring_finish(struct ring *r, struct error *e)
{
	size_t i;
	int ret = 0;

	if (check_ready(r, e))
		return -1;
	begin_drain(r);
	if (read_all(r, FINISH_PAGES, e) < 0)
		ret = -1;
	for (i = 0; i < r->cpus; i++) {
		struct cpu *c = r->cpu[i];

		settle_last(r, c);
		if (c->filling && c->filling->fill)
			take_page(r, c, c->filling);
	}
	merge(r, UINT64_MAX, 0);
	if (r->stats.changed)
		loss_unknown(r, &r->others, LOST_RING);
	give_all_losses(r, r->now, LOST_FLAG);
	while (decoder_finish(r->decoder, batch_room(r, 1)) > 0) {
		r->batched++;
		r->stats.events++;
	}
	flush_batch(r);
	publish(r);
	return ret;
}

void ring_stats(const struct ring *r, struct ring_stats *out)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&r->lock;

	pthread_mutex_lock(lock);
	*out = r->published;
	pthread_mutex_unlock(lock);
}

/* --- CPUs */

static struct cpu *find_cpu(const struct ring *r, unsigned number)
{
	size_t i;

	for (i = 0; i < r->cpus; i++)
		if (r->cpu[i]->number == number)
			return r->cpu[i];
	return NULL;
}

static struct cpu *new_cpu(struct ring *r, unsigned number)
{
	struct cpu **cpu = realloc(r->cpu, (r->cpus + 1) * sizeof(*cpu)), **heap, *c;

	if (!cpu)
		return NULL;
	r->cpu = cpu;
	heap = realloc(r->heap, (r->cpus + 1) * sizeof(*heap));
	if (!heap)
		return NULL;
	r->heap = heap;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->number = number;
	c->rec.cpu = (int)number;
	c->fd = c->stats_fd = -1;
	r->cpu[r->cpus++] = c;
	r->page_limit = memory_limit(r);
	return c;
}

/* A CPU that comes back may have a new buffer, whose counters begin anew. */
static void rebase_stats(struct cpu *c)
{
	struct cpu_stats s;

	if (c->stats_fd < 0 || read_stats(c, &s))
		return;
	if (s.dropped < c->dropped || s.overrun < c->overrun)
		c->dropped = c->overrun = c->flagged = c->settled = c->ahead = 0;
}

int ring_cpu_add(struct ring *r, unsigned cpu, int fd, int stats_fd, struct error *e)
{
	struct cpu *c = find_cpu(r, cpu);
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))) {
		error_errno(e, "CPU %u: its buffer", cpu);
		goto fail;
	}
	if (c && c->fd >= 0) {
		error_set(e, "CPU %u: is there already", cpu);
		goto fail;
	}
	if (!c && (cpu >= MAX_CPUS || !(c = new_cpu(r, cpu)))) {
		error_set(e, "CPU %u: %s", cpu, cpu >= MAX_CPUS ? "no machine has that many" : "out of memory");
		goto fail;
	}
	c->fd = fd;
	c->stats_fd = stats_fd;
	c->zeros = 0;
	/*
	 * A pipe ends. A file of tracefs does not: once any duplicate of its descriptor was closed (passing it from one
	 * process to another is enough, and so is fork and exec), an empty buffer is an end of file in place of EAGAIN.
	 */
	c->ends = fstat(fd, &st) || !S_ISREG(st.st_mode);
	c->roomy_until = 0;
	c->unknown = 0;
	c->unknown_page = NULL;
	c->tell_gone = false;
	c->uncounted = c->taken > 0;
	rebase_stats(c);
	return 0;
fail:
	close_fd(&fd);
	close_fd(&stats_fd);
	return -1;
}

/* --- formats */

int ring_header_page(struct ring *r, const char *text, size_t len, struct error *e)
{
	struct subbuf_format fmt = {0};

	if (subbuf_format(&fmt, text, len, 0, tep_is_bigendian(), e))
		return -1;
	if (r->fmt.size && r->fmt.size != fmt.size)
		return error_set(e, "header_page: sub-buffers of %u bytes, but they had %u", fmt.size, r->fmt.size);
	r->fmt = fmt;
	r->page_limit = memory_limit(r);
	return 0;
}

static void free_format(struct format *f)
{
	if (!f)
		return;
	free(f->system);
	free(f->text);
	free(f);
}

/* What tells how to print an event is left out: nobody prints it, and it is by far the hardest part to parse. */
static struct format *make_format(const char *system, const char *text, size_t len, struct error *e)
{
	static const char no_print[] = "\nprint fmt: \"\"\n";
	const char *print = memmem(text, len, "\nprint fmt:", 11), *eol = memchr(text, '\n', len);
	size_t keep = print ? (size_t)(print - text) : len;
	struct format *f;

	if (len > MAX_FORMAT || len < 7 || memcmp(text, "name: ", 6) || !eol || memchr(text, '\0', len)) {
		error_set(e, "system %s: not the format of an event: no line \"name: NAME\" at its start", system);
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		goto fail;
	f->name_len = (size_t)(eol - text);
	f->system = strdup(system);
	f->text = malloc(keep + sizeof(no_print));
	if (!f->system || !f->text)
		goto fail;
	memcpy(f->text, text, keep);
	memcpy(f->text + keep, no_print, sizeof(no_print));
	return f;
fail:
	free_format(f);
	error_set(e, "out of memory");
	return NULL;
}

static bool same_event(const struct format *a, const struct format *b)
{
	return a->name_len == b->name_len && !memcmp(a->text, b->text, a->name_len) && !strcmp(a->system, b->system);
}

/* Removes an earlier format of the same event and returns it. */
static struct format *take_format(struct ring *r, const struct format *like)
{
	struct format **at, *old;

	for (at = &r->formats; *at; at = &(*at)->next)
		if (same_event(*at, like)) {
			old = *at;
			*at = old->next;
			return old;
		}
	return NULL;
}

int ring_format(struct ring *r, const char *system, const char *text, size_t len, struct error *e)
{
	struct format *f = make_format(system, text, len, e), *old;

	if (!f)
		return -1;
	old = take_format(r, f);
	f->next = r->formats;
	r->formats = f;
	if (!rebuild_tep(r, e)) {
		free_format(old);
		return 0;
	}
	r->formats = f->next;
	free_format(f);
	if (old) {
		old->next = r->formats;
		r->formats = old;
	}
	return -1;
}

void ring_missed(struct ring *r, uint64_t total)
{
	if (r->knows_missed && total > r->missed)
		loss_add(r, &r->nowhere, LOST_PROBE, total - r->missed);
	r->knows_missed = true;
	r->missed = total;
	/* what will be missed is missed after what is out by now */
	r->nowhere.last_t = r->out_t;
	r->nowhere.has_last = r->stats.events > 0;
}

void ring_watched(struct ring *r, bool changed)
{
	if (changed != r->stats.changed)
		loss_unknown(r, &r->others, LOST_RING);
	else if (changed)
		return; /* since when is known */
	r->stats.changed = changed;
	r->others.last_t = r->out_t;
	r->others.has_last = r->stats.events > 0;
}

void ring_cmdlines(struct ring *r, int fd)
{
	close_fd(&r->cmdlines_fd);
	r->cmdlines_fd = fd;
	r->cmdlines_at = 0;
	forget_tids(r);
}

/* --- lifetime */

struct ring *ring_new(const struct ring_options *o, struct intern *strings, struct error *e)
{
	struct ring *r = calloc(1, sizeof(*r));
	enum loss_cause cause;

	if (!r)
		goto fail;
	r->opt = *o;
	r->strings = strings;
	r->cmdlines_fd = -1;
	r->nowhere.number = r->others.number = EVENT_NO_CPU;
	pthread_mutex_init(&r->lock, NULL);
	r->decoder = decoder_new(strings, NULL);
	r->tep = tep_alloc();
	if (!r->decoder || !r->tep)
		goto fail;
	decoder_limit_names(r->decoder, MAX_NAMES);
	if (o->tracepoints)
		decoder_take_tracepoints(r->decoder);
	forget_tids(r);
	for (cause = LOST_FLAG; cause < LOSS_CAUSES; cause++) {
		r->cause[cause] = intern_add(strings, cause_names[cause], strlen(cause_names[cause]));
		if (r->cause[cause] == UINT32_MAX)
			goto fail;
	}
	return r;
fail:
	ring_free(r);
	error_set(e, "out of memory");
	return NULL;
}

void ring_free(struct ring *r)
{
	struct format *f, *next;
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->cpus; i++) {
		close_fd(&r->cpu[i]->fd);
		close_fd(&r->cpu[i]->stats_fd);
		free(r->cpu[i]->filling);
		free_pages(r->cpu[i]->head);
		free(r->cpu[i]);
	}
	free(r->cpu);
	free(r->heap);
	free_pages(r->free);
	for (f = r->formats; f; f = next) {
		next = f->next;
		free_format(f);
	}
	close_fd(&r->cmdlines_fd);
	decoder_free(r->decoder);
	if (r->tep)
		tep_free(r->tep);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
