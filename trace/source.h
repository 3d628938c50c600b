/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source gives captures, and a capture gives events in time order. Code behind a source does not know whether it is a
 * trace.dat, ftrace text, JSON Lines, a database or a generator. The format is detected from content, never from a
 * name.
 *
 *	source_open -> { source_capture -> { source_read }... }... -> source_close
 *
 * After source_read() returned -1 the capture gives nothing more. What was read before is valid; the caller fails, or,
 * if parts are allowed, reports it as a part. source_capture() then goes on with the next capture if it can be found;
 * otherwise it gives a capture whose first read returns the error. After source_capture() returned -1 there is nothing
 * more.
 */
#ifndef IOFLUSH_TRACE_SOURCE_H
#define IOFLUSH_TRACE_SOURCE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/file_id.h"
#include "base/intern.h"
#include "trace/capture.h"
#include "trace/dropped.h"
#include "trace/event.h"

struct source;

struct source_ops {
	int (*capture)(struct source *s, struct capture *c, struct error *e);
	ssize_t (*read)(struct source *s, struct event *ev, size_t max, struct error *e);
	double (*progress)(struct source *s); /* share read, 0 to 1; -1: unknown; may be called from another thread */
	void (*close)(struct source *s);      /* frees s */
	void (*dropped)(struct source *s, struct dropped *d); /* may be NULL: nothing is dropped */
	bool goes_on;					      /* after a failed capture the next one can be read */
};

#define SOURCE_MEMORY (256u << 20)    /* most memory for reading a file; ioflush(1) names it */
void source_budget(struct budget *b); /* makes one of that size */

/* What every source begins with. */
struct source {
	const struct source_ops *ops;
	struct intern *strings; /* owned by the source; the table of the ids in its events */
	char *path;		/* owned */
	struct file_id file;	/* the file at path when it was opened */
	struct budget budget;	/* SOURCE_MEMORY: for everything that the file can make large */
};

/* Begins the next capture, skipping the rest of the current one. 1, 0: no more, or -1. */
int source_capture(struct source *s, struct capture *c, struct error *e);

/* Up to max events of the current capture. Returns how many, 0: it ended, or -1. */
ssize_t source_read(struct source *s, struct event *ev, size_t max, struct error *e);

/* What was dropped of the current capture so far; from its end until the next begins: of all of it. */
void source_dropped(struct source *s, struct dropped *d);

double source_progress(struct source *s);
void source_close(struct source *s); /* NULL is fine */

#define SOURCE_HEAD 4096 /* bytes that tell the formats apart */

/*
 * Openers of the formats. Each takes the path and, for standard input and files alike, an open descriptor at the start,
 * which it owns from then on; for a pipe, head has the bytes already read.
 */
struct source_input {
	const char *path;
	int fd;
	const void *head; /* copied by the opener if it needs it */
	size_t head_len;  /* SOURCE_HEAD at most */
};

/* For openers: fills what every source begins with. 0, or -1 and the error; call source_free() in either case. */
int source_init(struct source *s, const struct source_ops *ops, const char *path, struct error *e);
void source_free(struct source *s); /* what source_init() made, and s; the rest that the budget gave is freed before */

/*
 * For openers that read from the start: the bytes read already go to buf, which has room for SOURCE_HEAD, *len of them; the
 * file's size if it has one.
 */
void source_take_head(const struct source_input *in, void *buf, size_t *len, uint64_t *size);
/* The progress of a source that has read so much of size bytes. */
double source_share(uint64_t done, uint64_t size);

#endif
