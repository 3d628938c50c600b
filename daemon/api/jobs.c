/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See jobs.h. A replay starts in jobs_tick(), never at once: the client gets its number first. */
#include "daemon/api/jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/json.h"

#define KEPT 64

struct jobs {
	char *program, *db_path;
	uint64_t max;
	struct child_limits limits;
	struct job *jobs; /* oldest first */
	size_t n;
	uint64_t next_id;
	unsigned running, waiting;
};

struct jobs *jobs_new(const char *program, const char *db_path, uint64_t max, const struct child_limits *limits)
{
	struct jobs *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->program = strdup(program);
	r->db_path = strdup(db_path);
	r->max = max;
	r->limits = *limits;
	/* ids of an earlier run of the daemon are not reused */
	r->next_id = (uint64_t)time(NULL) << 20;
	if (r->program && r->db_path)
		return r;
	jobs_free(r);
	return NULL;
}

static void job_free(struct jobs *r, struct job *j)
{
	if (j->state == JOB_RUNNING)
		r->running--;
	if (j->state == JOB_QUEUED)
		r->waiting--;
	child_free(j->child);
	free(j->result);
	free(j->policies);
	free(j->failure);
	free(j);
}

void jobs_free(struct jobs *r)
{
	struct job *j;

	if (!r)
		return;
	while ((j = r->jobs)) {
		r->jobs = j->next;
		job_free(r, j);
	}
	free(r->program);
	free(r->db_path);
	free(r);
}

void jobs_count(const struct jobs *r, unsigned *running, unsigned *waiting)
{
	*running = r->running;
	*waiting = r->waiting;
}

struct job *jobs_first(const struct jobs *r)
{
	return r->jobs;
}

uint64_t jobs_max(const struct jobs *r)
{
	return r->max;
}

struct job *jobs_find(const struct jobs *r, const char *id)
{
	struct job *j;

	for (j = r->jobs; j && strcmp(j->id, id); j = j->next)
		;
	return j;
}

void jobs_remove(struct jobs *r, struct job *j)
{
	struct job **p;

	for (p = &r->jobs; *p != j; p = &(*p)->next)
		;
	*p = j->next;
	r->n--;
	job_free(r, j);
}

/* Removes the oldest ended job. There is one, as far fewer jobs run or wait than are kept. */
static void make_room(struct jobs *r)
{
	struct job *next;

	for (struct job *j = r->jobs; j && r->n >= KEPT; j = next) {
		next = j->next;
		if (j->state == JOB_DONE || j->state == JOB_FAILED)
			jobs_remove(r, j);
	}
}

void jobs_add(struct jobs *r, struct job *j)
{
	struct job **end;

	make_room(r);
	snprintf(j->id, sizeof(j->id), "0x%" PRIx64, ++r->next_id);
	snprintf(j->location, sizeof(j->location), "/v1/replays/%s", j->id);
	j->created = time(NULL);
	for (end = &r->jobs; *end; end = &(*end)->next)
		;
	*end = j;
	r->n++;
	r->waiting++;
}

/* ---- running ---- */

static void job_fail(struct job *j, const char *why)
{
	j->state = JOB_FAILED;
	j->failure = strdup(why);
	j->ended = time(NULL);
}

static void start(struct jobs *r, struct job *j)
{
	char capture[24], to[24], cycles[24], mhz[24];
	const char *args[24];
	struct error e = {""};
	size_t n = 0;

	args[n++] = r->program;
	args[n++] = "replay";
	args[n++] = "--format=json";
	args[n++] = "--allow-partial";
	args[n++] = "--capture";
	args[n++] = capture;
	args[n++] = "--policy";
	args[n++] = j->policies;
	if (j->until) {
		args[n++] = "--to";
		args[n++] = to;
	}
	if (j->has_cycles) {
		args[n++] = "--cycles-per-page";
		args[n++] = cycles;
	}
	if (j->mhz) {
		args[n++] = "--cpu-mhz";
		args[n++] = mhz;
	}
	args[n++] = "--inode";
	args[n++] = j->file;
	args[n++] = "--";
	args[n++] = r->db_path;
	args[n] = NULL;
	snprintf(capture, sizeof(capture), "%" PRIu64, j->capture);
	snprintf(to, sizeof(to), "%" PRIu64, j->to);
	snprintf(cycles, sizeof(cycles), "%" PRIu64, j->cycles);
	snprintf(mhz, sizeof(mhz), "%" PRIu64, j->mhz);
	r->waiting--;
	j->started = time(NULL);
	j->child = child_start((char *const *)args, &r->limits, &e);
	if (!j->child) {
		job_fail(j, e.text);
		return;
	}
	j->state = JOB_RUNNING;
	r->running++;
}

static void take_result(struct job *j)
{
	char *text;
	size_t len;

	if (child_failure(j->child)) {
		job_fail(j, child_failure(j->child));
		return;
	}
	text = child_output(j->child, &len);
	j->result = text ? json_compact(text, len, NULL) : NULL;
	free(text);
	if (!j->result) {
		job_fail(j, "what 'ioflush replay' printed is not understood");
		return;
	}
	j->state = JOB_DONE;
	j->progress = 1;
	j->ended = time(NULL);
}

bool jobs_tick(struct jobs *r)
{
	for (struct job *j = r->jobs; j; j = j->next) {
		if (j->state == JOB_RUNNING && child_poll(j->child)) {
			r->running--;
			take_result(j);
			child_free(j->child);
			j->child = NULL;
		}
		if (j->state == JOB_QUEUED && r->running < r->max)
			start(r, j);
	}
	return r->running || r->waiting;
}
