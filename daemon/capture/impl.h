/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of capture share; see ring.h. Each has its part of a CPU, and of the ring:
 *
 *	ring.c		the drain, and CPUs that come and go
 *	pages.c		pages: read from the kernel, queued
 *	merge.c		records: taken out of the pages, merged across CPUs, decoded
 *	losses.c	what is lost that no event tells of yet
 *	stats.c		what the kernel's statistics tell of losses, and of readers that are not we
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

/* What records are lost to. LOST_FLAG is LOST_RING, told by a page: it stands right before that page's first record. */
enum loss_cause {
	LOST_FLAG,
#define RING_LOSS(ID, id, ...) LOST_##ID,
#define WRITER_LOSS(...)
#include "schema/losses.def"
	LOSS_CAUSES
};

/* Losses of one CPU and cause that no lost event tells of yet. */
struct loss {
	uint64_t count;	     /* records */
	uint64_t places;     /* where records were lost, nobody knows how many */
	struct moment since; /* t of the last record before the first of them */
};

/* --- pages.c */

struct page {
	struct page *next;
	int64_t lost; /* before it, or SUBBUF_LOST_UNKNOWN */
	size_t fill;  /* bytes read so far */
	uint8_t data[];
};

/* How far a CPU is read. */
struct reading {
	struct page *filling; /* not all of it was read yet */
	uint64_t bound;	      /* no unread record is older */
	bool empty;	      /* was read empty in this drain */
	size_t pages;	      /* read in this drain */
	unsigned zeros;	      /* reads in a row that gave nothing */
	bool ends;	      /* end of file is an end; see ring_cpu_add() */
	bool tell_gone;
	unsigned scraps;      /* pages in a row, in this drain, with little in them */
	bool caught_up;	      /* with a writer that writes on: enough for this drain, though it was not read empty */
	uint64_t roomy_until; /* its pages are read so that there is room for the count; 0: they are not */
};

/* --- merge.c */

/* Pages of a CPU that wait. */
struct queue {
	struct page *head, *tail;
	bool loaded; /* sb is that of head */
	struct subbuf sb;
	struct tep_record rec; /* the next one, while in the heap */
	bool in_heap;
};

/* --- stats.c */

/* What the statistics told of reading. */
struct told {
	bool open;	     /* not held against our count yet */
	bool uncounted;	     /* of the pages some could not be counted */
	uint64_t pages;	     /* that were read by then */
	uint64_t records;    /* that were in them, if nobody else read */
	struct moment since; /* t of the last record given out before that */
};

struct stats {
	int fd;	     /* -1: none */
	uint64_t at; /* when they were last read */
	struct moment since;
	bool fresh;		   /* all pages that wait were read before them */
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

/* --- formats.c */

/* Formats, and what libtraceevent made of them. */
struct names {
	struct tep_handle *tep;
	struct format *formats;
	int fd;		  /* of saved_cmdlines; -1: none */
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
	uint64_t forced_t; /* up to here records went out before their time, for want of memory; 0: never */
	uint64_t unpaired; /* of the decoder's, counted so far */

	struct {
		uint64_t t; /* of the last record, or loss, that was given out */
		struct event ev[BATCH];
		size_t n;
	} out; /* events on their way to the sink */

	struct {
		uint32_t cause[LOSS_CAUSES]; /* strings ids */
		struct cpu nowhere;	     /* no CPU: its losses are those of the probes */
		struct cpu others;	     /* the same, for what others changed */
		bool knows_missed;	     /* from here on it counts */
		uint64_t missed;	     /* told so far */
	} losses;

	struct {
		unsigned told;
		uint64_t told_at;
	} damage; /* as far as it is in the log */

	struct ring_stats stats; /* the draining thread's own */
	pthread_mutex_t lock;
	struct ring_stats published;
};

/* --- ring.c */

/* Damage is logged, but not as often as it happens. */
void ring_complain(struct ring *r, const struct cpu *c, const char *what);
/* Whether a record of that time is damage. */
bool ring_in_future(const struct ring *r, uint64_t t);

/* --- losses.c */

int losses_init(struct ring *r);
void loss_add(struct ring *r, struct cpu *c, enum loss_cause cause, uint64_t count);
/* The same for a place where it is not known how many were lost. */
void loss_unknown(struct ring *r, struct cpu *c, enum loss_cause cause);
/* Lost events for what the CPU lost up to t, all or all but what the next page tells. */
void losses_give(struct ring *r, struct cpu *c, uint64_t t, enum loss_cause first);
void losses_give_all(struct ring *r, uint64_t t, enum loss_cause first);

/* --- pages.c */

/* How many pages there may be; to be called when the number of CPUs, or the size of pages, has changed. */
void pages_limit(struct ring *r);
void pages_free(struct page *p);
void page_release(struct ring *r, struct page *p);
/* Reads on. 1: a page was read, 0: there is none now, or no more ever, or -1. */
int pages_read(struct ring *r, struct cpu *c, struct error *e);
/* Reads all CPUs empty, or until the one that is furthest behind has had max_pages. Pages read, or -1. */
long pages_read_all(struct ring *r, size_t max_pages, struct error *e);
/* A page that is read in part will not be read on: takes it as it is. */
void pages_take_rest(struct ring *r, struct cpu *c);
/* An unused page must not be held back from the others. */
void pages_give_back(struct ring *r);

/* --- merge.c */

/* Gives out records up to and including limit, and stops early once wanted pages are free (0: does not). */
void merge_until(struct ring *r, uint64_t limit, size_t wanted);
/* Up to where records go out in this drain. */
uint64_t merge_limit(const struct ring *r);
/* Memory is used up: gives out records until a page is free, at last before their time. */
void merge_for_page(struct ring *r);
/* A page of a CPU comes to its queue. */
void merge_queue(struct ring *r, struct cpu *c, struct page *p);

/* --- stats.c */

/* How the lost count of a page is booked, once when it is read. */
void stats_book_flag(struct cpu *c, struct page *p, int64_t lost, uint64_t now);
/* Holds our count of records against what the statistics told, once all pages of then are counted. */
void stats_check_read(struct ring *r, struct cpu *c);
/* Settles each CPU if it is time to, or if it was read empty and a page waits for its count. 0 or -1. */
int stats_settle(struct ring *r, struct error *e);
/* What a CPU's statistics say at its end; what no page told by now none will tell. */
void stats_settle_last(struct ring *r, struct cpu *c);
/* What the statistics tell from now on was lost after the last record given out. */
void stats_begin(struct cpu *c);
/* A CPU that comes back may have a new buffer, whose counters begin anew. */
void stats_rebase(struct cpu *c);

/* --- formats.c */

int names_init(struct ring *r);
void names_free(struct ring *r);
/* A record of a thread that was not seen lately. */
void names_meet(struct ring *r, uint32_t tid);

/* --- what is small, or called for every record */

static inline void batch_flush(struct ring *r)
{
	if (r->out.n)
		r->opt.sink.events(r->opt.sink.ctx, r->out.ev, r->out.n);
	r->out.n = 0;
}

/* Room for n events at the end of the batch. */
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
