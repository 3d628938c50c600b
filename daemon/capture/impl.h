/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of capture share; see ring.h. Each owns a part of struct cpu and of struct ring:
 *
 *	ring.c		the drain, and CPUs that come and go
 *	pages.c		pages: read from the kernel, queued
 *	merge.c		records: taken out of the pages, merged across CPUs, decoded
 *	losses.c	losses for which there is no lost event yet
 *	stats.c		losses, and reads by others, according to the kernel's statistics
 *	formats.c	formats of events, and the names of threads
 */
#ifndef IOFLUSH_DAEMON_CAPTURE_IMPL_H
#define IOFLUSH_DAEMON_CAPTURE_IMPL_H

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <event-parse.h>

#include "daemon/capture/ring.h"
#include "trace/decoder/decoder.h"
#include "trace/decoder/subbuf.h"

#define NS_PER_S 1000000000ull
#define BATCH 256	/* events given to the sink at once */
#define TID_SLOTS 1024u /* power of two */

/* A time, if there is one. */
struct moment {
	uint64_t t;
	bool known;
};

/* --- losses.c */

/* Causes of loss. LOST_FLAG is LOST_RING when a page reports it: it lies right before that page's first record. */
enum loss_cause {
	LOST_FLAG,
#define RING_LOSS(ID, id, ...) LOST_##ID,
#define WRITER_LOSS(...)
#include "schema/losses.def"
	LOSS_CAUSES
};

/* Losses of one CPU and cause for which there is no lost event yet. */
struct loss {
	uint64_t count;	     /* records */
	uint64_t places;     /* where an unknown number of records was lost */
	struct moment since; /* t of the last record before the first of these losses */
};

/* --- pages.c */

struct page {
	struct page *next;
	int64_t lost; /* records lost before it, or SUBBUF_LOST_UNKNOWN */
	size_t fill;  /* bytes read so far */
	uint8_t data[];
};

/* How far a CPU is read. */
struct reading {
	struct page *filling; /* the page that is only partly read */
	uint64_t bound;	      /* no unread record is older */
	bool empty;	      /* was read empty in this drain */
	size_t pages;	      /* read in this drain */
	unsigned zeros;	      /* empty reads in a row */
	bool ends;	      /* end of file is an end; see ring_cpu_add() */
	bool tell_gone;
	unsigned scraps;      /* pages in a row, in this drain, with little in them */
	bool caught_up;	      /* its writer goes on writing: enough for this drain, though it is not empty */
	uint64_t roomy_until; /* until then its pages are read with room for the count; 0: they are not */
};

/* --- merge.c */

/* The queue of a CPU's pages. */
struct queue {
	struct page *head, *tail;
	bool loaded; /* sb is that of head */
	struct subbuf sb;
	struct tep_record rec; /* the next one, while in the heap */
	bool in_heap;
};

/* --- stats.c */

/* What the statistics reported about reading. */
struct told {
	bool open;	     /* not compared with our count yet */
	bool uncounted;	     /* some of the pages could not be counted */
	uint64_t pages;	     /* pages read by then */
	uint64_t records;    /* records in them, if nobody else read */
	struct moment since; /* t of the last record given out before that */
};

struct stats {
	int fd;	     /* -1: none */
	uint64_t at; /* when they were last read */
	struct moment since;
	bool fresh;		   /* all queued pages were read before them */
	uint64_t dropped;	   /* counted so far: losses that only the statistics report */
	uint64_t flagged, settled; /* of overrun: reported by pages; added from the statistics */
	uint64_t overrun;	   /* last seen */
	uint64_t ahead;		   /* of settled: what a later page will report again */
	uint64_t unknown;	   /* pages that reported a loss without a count since it was last settled */
	struct page *unknown_page; /* the last of them, while it is queued */

	uint64_t taken, done; /* pages that were queued; that were consumed */
	uint64_t records;     /* in the latter */
	bool uncounted;	      /* a page that is not in the statistics yet could not be counted */
	struct told told;
};

/* --- formats.c */

/* Formats, as text and in libtraceevent. */
struct names {
	struct tep_handle *tep;
	struct format *formats;
	int fd;		  /* of saved_cmdlines; -1: none */
	int symbols;	  /* of the kernel's functions; -1: none */
	uint64_t read_at; /* when that was read; 0: never */
	unsigned comms;	  /* that tep knows */
	bool has_pid;
	uint32_t pid_offset;
	uint32_t known_tid[TID_SLOTS];
};

/* --- the whole */

struct cpu {
	uint32_t number;
	int fd;		    /* -1: none */
	struct moment last; /* t of the last record given out */
	struct reading read;
	struct queue queue;
	struct stats stats;
	struct loss loss[LOSS_CAUSES];
	bool has_loss;
};

struct ring {
	struct ring_options opt;
	struct intern *strings;
	struct subbuf_format fmt; /* size 0: not known yet */
	struct decoder *decoder;
	struct names names;
	struct cpu **cpu;
	size_t cpus;
	uint64_t now; /* when this drain began */

	struct {
		struct page *free;
		size_t pages, limit; /* of all that there are */
	} pool;			     /* of pages; see pages.c */

	struct {
		struct cpu **cpu;
		size_t n;
	} heap;		   /* CPUs by the time of their next record */
	uint64_t forced_t; /* up to here records went out early, because memory was full; 0: never */
	uint64_t unpaired; /* of the decoder's, counted so far */

	struct {
		uint64_t t; /* of the last record or loss that was given out */
		struct event ev[BATCH];
		size_t n;
	} out; /* events on their way to the sink */

	struct {
		uint32_t cause[LOSS_CAUSES]; /* strings ids */
		struct cpu nowhere;	     /* no CPU: its losses are those of the probes */
		struct cpu others;	     /* the same, for what other processes changed */
		bool knows_missed;	     /* from here on it counts */
		uint64_t missed;	     /* counted so far */
	} losses;

	struct {
		unsigned told;
		uint64_t told_at;
	} damage; /* how much of it is in the log */

	struct ring_stats stats; /* the draining thread's own */
	pthread_mutex_t lock;
	struct ring_stats published;
};

/* --- ring.c */

/* Logs damage, but not every time. */
void ring_complain(struct ring *r, const struct cpu *c, const char *what);
/* Whether a record with that time is damage. */
bool ring_in_future(const struct ring *r, uint64_t t);

/* --- losses.c */

int losses_init(struct ring *r);
void loss_add(struct ring *r, struct cpu *c, enum loss_cause cause, uint64_t count);
/* The same for a place where an unknown number was lost. */
void loss_unknown(struct ring *r, struct cpu *c, enum loss_cause cause);
/* Gives lost events for the CPU's losses up to t: all, or all but those that the next page reports. */
void losses_give(struct ring *r, struct cpu *c, uint64_t t, enum loss_cause first);
void losses_give_all(struct ring *r, uint64_t t, enum loss_cause first);

/* --- pages.c */

/* Sets the limit of pages; call it when the number of CPUs, or the size of pages, has changed. */
void pages_limit(struct ring *r);
void pages_free(struct page *p);
void page_release(struct ring *r, struct page *p);
/* Reads one page. 1: a page was read; 0: there is none now, or never again; or -1. */
int pages_read(struct ring *r, struct cpu *c, struct error *e);
/* Reads all CPUs empty, or until the one furthest behind has read max_pages. The number of pages read, or -1. */
long pages_read_all(struct ring *r, size_t max_pages, struct error *e);
/* Queues a partly read page as it is: the rest will not come. */
void pages_take_rest(struct ring *r, struct cpu *c);
/* Returns an unused page to the pool. */
void pages_give_back(struct ring *r);

/* --- merge.c */

/* Gives out records up to and including limit. Stops early when wanted pages are free; 0: does not. */
void merge_until(struct ring *r, uint64_t limit, size_t wanted);
/* The limit of this drain. */
uint64_t merge_limit(const struct ring *r);
/* Memory is full: gives out records until a page is free, if necessary before their time. */
void merge_for_page(struct ring *r);
/* Puts a page into its CPU's queue. */
void merge_queue(struct ring *r, struct cpu *c, struct page *p);

/* --- stats.c */

/* Books the lost count of a page, once, when it is read. */
void stats_book_flag(struct cpu *c, struct page *p, int64_t lost, uint64_t now);
/* Compares our count of records with that of the statistics, once all pages of that time are counted. */
void stats_check_read(struct ring *r, struct cpu *c);
/* Settles each CPU if it is time, or if it was read empty and a page waits for its count. 0 or -1. */
int stats_settle(struct ring *r, struct error *e);
/* Counts the statistics at the end of a CPU: what no page has reported by now, none will. */
void stats_settle_last(struct ring *r, struct cpu *c);
/* Losses that the statistics report from now on come after the last record given out. */
void stats_begin(struct cpu *c);
/* A CPU that comes back may have a new buffer, whose counters begin at 0. */
void stats_rebase(struct cpu *c);

/* --- formats.c */

int names_init(struct ring *r);
void names_free(struct ring *r);
/* A record of a thread that was not seen recently. */
void names_meet(struct ring *r, uint32_t tid);

/* --- small, or called for every record */

static inline void batch_flush(struct ring *r)
{
	if (r->out.n)
		r->opt.sink.events(r->opt.sink.ctx, r->out.ev, r->out.n);
	r->out.n = 0;
}

/* Makes room for n events at the end of the batch. */
static inline struct event *batch_room(struct ring *r, size_t n)
{
	if (r->out.n + n > BATCH)
		batch_flush(r);
	return &r->out.ev[r->out.n];
}

static inline void names_look(struct ring *r, const struct tep_record *rec)
{
	uint32_t tid;

	if (rec->size < 0 || (size_t)rec->size < r->names.pid_offset + sizeof(tid))
		return;
	memcpy(&tid, (const char *)rec->data + r->names.pid_offset, sizeof(tid));
	if (r->names.known_tid[tid & (TID_SLOTS - 1)] != tid)
		names_meet(r, tid);
}

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#endif
