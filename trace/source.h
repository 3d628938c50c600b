/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source yields captures, and each capture yields events in time order. What follows a source does not know whether
 * it is a trace.dat, ftrace text, JSON Lines, a database or a generator. The format is detected from content, never
 * from a name.
 *
 *	source_open -> { source_capture -> { source_read }... }... -> source_close
 *
 * After -1 from source_read() the capture gives nothing more: what was read before stands, and the caller either fails
 * or, when it was told that a part will do, reports the part as a part. source_capture() then goes on with the next
 * capture if that can be found; if it cannot, what is there instead is a capture whose first read tells the error. After
 * -1 from source_capture() there is nothing more at all.
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
#include "trace/event.h"

/* Records of a capture that no event was made of, by why, and names that the events lack. */
struct dropped {
	uint64_t failed_maps;	  /* map calls that failed */
	uint64_t failed_accesses; /* access_add calls that failed */
	uint64_t empty_unmaps;	  /* unmap calls that unmapped nothing */
	uint64_t other;		  /* of other events than ours */
	uint64_t unnamed;	  /* records whose command has a name for which there was no room */
	uint64_t doubtful_names;  /* records whose command's name may be forged, see cmdlines.h */
	uint64_t moved; /* no record, but events that got a later time than their own, to keep the order (decoder.h) */
};

struct source;

struct source_ops {
	int (*capture)(struct source *s, struct capture *c, struct error *e);
	ssize_t (*read)(struct source *s, struct event *ev, size_t max, struct error *e);
	double (*progress)(struct source *s); /* share read, 0 to 1, or -1 when unknown; may be called from another thread */
	void (*close)(struct source *s);      /* frees s */
	void (*dropped)(struct source *s, struct dropped *d); /* may be NULL: nothing is dropped */
	bool goes_on;					      /* after a capture that failed the next one can be read */
};

#define SOURCE_MEMORY (256u << 20)    /* that reading a file may take; ioflush(1) says so */
void source_budget(struct budget *b); /* makes one of that size */

/* What every source begins with. */
struct source {
	const struct source_ops *ops;
	struct intern *strings; /* owned by the source; ids in its events are of this table */
	char *path;		/* owned */
	struct file_id file;	/* that lay at path when it was opened */
	struct budget budget;	/* SOURCE_MEMORY: all that the file can make large is taken from it */
};

/* Begins the next capture, skipping what is left of the present one. 1, 0: no more, or -1. */
int source_capture(struct source *s, struct capture *c, struct error *e);

/* Up to max events of the present capture. How many, 0: it ended, or -1. */
ssize_t source_read(struct source *s, struct event *ev, size_t max, struct error *e);

/* What was dropped of the present capture so far; at its end, and until the next begins: of all of it. */
void source_dropped(struct source *s, struct dropped *d);

double source_progress(struct source *s);
void source_close(struct source *s); /* NULL is fine */

/*
 * Openers of the formats. Each takes the path and, for standard input and files alike, an open descriptor that it
 * owns from then on, positioned at the start; for a pipe, head holds the bytes already read from it.
 */
struct source_input {
	const char *path;
	int fd;
	const void *head; /* copied by the opener if it needs it */
	size_t head_len;
};

/* For openers: fills what every source begins with. 0, or -1 and the error; source_free() is due in either case. */
int source_init(struct source *s, const struct source_ops *ops, const char *path, struct error *e);
void source_free(struct source *s); /* what source_init() made, and s; the rest that the budget gave is freed before */

/* For openers that read from the start: the bytes read already go to buf, *len of them; the file's size if it has one. */
void source_take_head(const struct source_input *in, void *buf, size_t *len, uint64_t *size);
/* The progress of a source that has read so much of size bytes. */
double source_share(uint64_t done, uint64_t size);

#endif
