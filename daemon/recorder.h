/*
 * Who records which capture: the table recorder names the process of each capture of a live host, so that the next one
 * can tell a capture that is still being recorded from one whose recorder died, and how old events of any boot are.
 *
 * All calls but recorder_self() belong into a transaction of the store.
 */
#ifndef IOFLUSHD_RECORDER_H
#define IOFLUSHD_RECORDER_H

#include <stdint.h>

#include "error.h"
#include "store.h"

struct recorder {
	int64_t pid, started; /* started: in clock ticks since boot, so that a reused pid is another process */
	char boot[40];	      /* "": unknown */
};

void recorder_self(struct recorder *r);

/* Wall clock less CLOCK_MONOTONIC, in nanoseconds. */
int64_t recorder_wall(void);

/* Names this process as the recorder of a capture. */
int recorder_add(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* Whether the recorder of a capture is this process. 1, 0, or -1 and the error. */
int recorder_is_self(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* The wall clock was set: events of the capture are so old now. */
int recorder_set_wall(struct store *s, uint64_t capture, int64_t wall, struct error *e);

/*
 * Closes as "cut-off" what processes left "recording" that are gone. own: a capture of this process to leave alone; others
 * of this process are closed, too. One of another process that lives is an error. How many were closed, or -1.
 */
int recorder_close_dead(struct store *s, const struct recorder *self, uint64_t own, struct error *e);

#endif
