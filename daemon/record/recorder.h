/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who records which capture. A recorder holds a lock (flock) on its database file for its whole life; the kernel drops
 * it with the process, however that ends. So a capture in state "recording" whose database nobody has locked was left
 * by a recorder that died. Process ids prove nothing: they are reused and may be hidden. The table recorder names the
 * process of each capture of a live host, for messages, and gives the age of events of any boot.
 *
 * flock() and SQLite's POSIX locks on the same file do not see each other. But a process that closes any descriptor of
 * a file loses all its POSIX locks on it. So the lock's descriptor is closed only when SQLite is done with that file,
 * or when another process holds the lock and this one is about to close the database. (The API's read-only connection
 * may keep a file that was moved away open for a moment longer.)
 *
 * All calls with a store, except recorder_lock(), must be in a transaction of it.
 */
#ifndef IOFLUSH_DAEMON_RECORD_RECORDER_H
#define IOFLUSH_DAEMON_RECORD_RECORDER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "trace/store/store.h"

struct recorder {
	int64_t pid, started; /* started: in clock ticks since boot, so that a reused pid is another process */
	char boot[40];	      /* "": unknown */
};

struct recorder_lock {
	int fd; /* -1: not held */
	struct file_id file;
};

/*
 * Takes the lock on the file of an open database, unless held already. A lock held on another file, the old one of this
 * database, is given up. 0, or -1 and the error: another process is recording into it.
 */
int recorder_lock(struct recorder_lock *l, struct store *s, struct error *e);
void recorder_unlock(struct recorder_lock *l);

void recorder_self(struct recorder *r);

/* Wall clock minus CLOCK_MONOTONIC, in nanoseconds. */
int64_t recorder_wall(void);

/* Nanoseconds that the machine slept since boot; CLOCK_MONOTONIC does not count them. */
int64_t recorder_slept(void);

/* Names this process as the recorder of a capture. */
int recorder_add(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* Whether this process is the recorder of a capture. 1, 0, or -1 and the error. */
int recorder_is_self(struct store *s, const struct recorder *self, uint64_t capture, struct error *e);

/* The wall clock was set: stores its new difference for the capture. */
int recorder_set_wall(struct store *s, uint64_t capture, int64_t wall, struct error *e);

/* By time t the machine has slept so long: events before t are older than their trace clock says. */
int recorder_add_sleep(struct store *s, uint64_t capture, uint64_t t, int64_t slept, struct error *e);

/*
 * With the lock held: closes as "cut-off" what other recorders left "recording", and captures of this process other
 * than own. Returns how many were closed, or -1.
 */
int recorder_close_dead(struct store *s, uint64_t own, struct error *e);

#endif
