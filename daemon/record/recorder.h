/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who records which capture. Whoever records into a database holds a lock (flock) on its file for as long as it lives;
 * the kernel drops it with the process, however that ends. So what says "recording" while nobody holds the lock was left
 * by a recorder that died; numbers of processes, which are used again and may be hidden, say nothing. The table recorder
 * names the process of each capture of a live host, for messages, and how old events of any boot are.
 *
 * flock() and the POSIX locks that SQLite takes on the same file do not see each other. But a process that closes any
 * descriptor of a file loses all its POSIX locks on it: so the lock's descriptor is closed only when SQLite is done with
 * that file, or when another process holds the lock and this one is about to close the database. (The API's connection,
 * which only reads, may have a file that was moved away open for a moment longer.)
 *
 * All calls with a store but recorder_lock() belong into a transaction of it.
 */
#ifndef IOFLUSH_DAEMON_RECORD_RECORDER_H
#define IOFLUSH_DAEMON_RECORD_RECORDER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "trace/store/store.h"

struct recorder {
	int64_t pid, started; /* started: in clock ticks since boot, so that a pid used again is another process */
	char boot[40];	      /* "": unknown */
};

struct recorder_lock {
	int fd; /* -1: not held */
	struct file_id file;
};

/*
 * Takes the lock on the file of an open database; held already: nothing to do. One that is held on another file, from
 * which this database's was moved away, is given up. 0, or -1 and the error: another process is recording into it.
 */
int recorder_lock(struct recorder_lock *l, struct store *s, struct error *e);
void recorder_unlock(struct recorder_lock *l);

void recorder_self(struct recorder *r);

/* Wall clock less CLOCK_MONOTONIC, in nanoseconds. */
int64_t recorder_wall(void);

/* Nanoseconds that the machine has slept since boot, while CLOCK_MONOTONIC stood still. */
int64_t recorder_slept(void);

/* Names this process as the recorder of a capture. */
int recorder_add(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* Whether the recorder of a capture is this process. 1, 0, or -1 and the error. */
int recorder_is_self(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* The wall clock was set: events of the capture are so old now. */
int recorder_set_wall(struct store *s, uint64_t capture, int64_t wall, struct error *e);

/* From t on the machine has slept so long: events before it are older than their trace clock says. */
int recorder_add_sleep(struct store *s, uint64_t capture, uint64_t t, int64_t slept, struct error *e);

/*
 * With the lock held: closes as "cut-off" what other recorders left "recording". own: a capture of this process to leave
 * alone; others of this process are closed, too. How many were closed, or -1.
 */
int recorder_close_dead(struct store *s, uint64_t own, struct error *e);

#endif
