/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays: each is an ioflush process with limits, for a capture and some policies. A few run at once, as many may
 * wait, and the last 64 are kept with their results.
 */
#ifndef IOFLUSH_DAEMON_API_JOBS_H
#define IOFLUSH_DAEMON_API_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/child.h"
#include "base/file_id.h"

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED };

struct job {
	struct job *next; /* newer */
	char id[24], location[48];
	enum job_state state;
	uint64_t capture, to;
	bool until;
	char file[FILE_ID_TEXT]; /* the database */
	char *policies;
	uint64_t cycles, mhz; /* 0: 0: the default of ioflush */
	bool has_cycles;
	int64_t created, started, ended; /* seconds since 1970; 0: not yet */
	struct child *child;
	double progress;
	char *result;  /* JSON that ioflush printed; NULL: none */
	char *failure; /* NULL: it did not fail */
};

struct jobs;

/* Texts are copied. NULL: out of memory. */
struct jobs *jobs_new(const char *program, const char *db_path, uint64_t max, const struct child_limits *limits);
void jobs_free(struct jobs *r); /* ends those that run; NULL is fine */
bool jobs_tick(struct jobs *r); /* whether any runs or waits */
void jobs_count(const struct jobs *r, unsigned *running, unsigned *waiting);
uint64_t jobs_max(const struct jobs *r); /* how many may run at once; as many again may wait */

struct job *jobs_first(const struct jobs *r); /* the oldest; then by next */
struct job *jobs_find(const struct jobs *r, const char *id);

/* Takes a malloc'ed job with its request filled in, and gives it an id. Removes an ended job if there are too many. */
void jobs_add(struct jobs *r, struct job *j);
void jobs_remove(struct jobs *r, struct job *j); /* ends it if it runs */

#endif
