/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged part: all that needs tracefs. It arms probes in a group and an instance of its own, opens the buffers,
 * and takes everything away again; it never decodes. tracer_* functions run in the privileged process only (parent.c), or
 * directly for --check.
 */
#ifndef IOFLUSH_DAEMON_PROBES_TRACER_H
#define IOFLUSH_DAEMON_PROBES_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/config/exit.h"
#include "daemon/probes/probeset.h"

struct tracer_options {
	const char *tracefs;  /* mount point */
	const char *instance; /* name of the instance; the group is made from it */
	uint64_t buffer_size; /* bytes a CPU */
	bool overwrite;
	const char *rung; /* the rung that all alternatives must be of; NULL: "auto", any */
	unsigned busy_ms; /* how long an instance may stay busy behind its readers; 0: three seconds */
	const char *root; /* for tests: what /proc, /sys (but tracefs) and /dev are looked up below; NULL: "" */
};

struct tracer_options tracer_options_of(const struct config *c);

/*
 * What became of one event of the set. Behind those of the set come the entries (EVENT_entry) of alternatives that have
 * one: events of their own, as far as arming and decoding go.
 */
struct armed_event {
	char *name;
	char *system;	     /* of the alternative in use: our group, or that of a tracepoint; NULL: none */
	int alt;	     /* index of the alternative in use, or -1: none was accepted */
	char *line;	     /* the alternative in use, as armed; of a tracepoint "system:event" */
	char *lost;	     /* what is lost with it, or NULL */
	const char *offsets; /* where the offsets of struct members in the line are from; NULL: it had none to be found */
	char *refused; /* why the ones before it (or all) were refused: the kernel's own words, one a line; or NULL */
};

void armed_events_free(struct armed_event *event, size_t n);

/* A file of the instance, and what it held when all was armed. */
struct tracer_setting {
	char *name, *text;
};

struct tracer {
	struct tracer_options opt; /* its texts are the tracer's own */
	char *group;
	char *dir; /* of the instance */
	struct armed_event *event;
	size_t nevents;
	struct tracer_setting *setting;
	size_t nsettings;
	bool instance_made, on;
	int lock; /* the instance's directory, locked while it is ours; -1: not ours */
};

/*
 * Looks whether this host can trace at all; changes nothing. 0, or -1: *host and the error say why not. The error of a
 * host that merely lacks something to record comes from tracer_arm() and tracer_try(), which know the set.
 */
int tracer_open(struct tracer *t, const struct tracer_options *o, enum tracer_host *host, struct error *e);

/*
 * Whose an instance is: the one that holds a lock (flock) on the instance's directory. The lock lives in the kernel with
 * the instance, needs no file elsewhere, is seen from every mount of the tracefs, and ends with its process, however that
 * ends. tracer_clean() and tracer_arm() fail while another process holds it.
 */

/* Removes leftovers of this group and instance, and only those, from an earlier run. 0 or -1; *found: how many things. */
int tracer_clean(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e);

/*
 * Makes the instance (clock mono, sizes, off), arms each event by the first alternative taken, enables them. 0 with *host
 * TRACER_HOST_INCOMPLETE and the error: needed events are unavailable by the rung that was asked for; it records without.
 */
int tracer_arm(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e);

/* Tries each alternative in turn without leaving anything behind; fills t->event as arm would. */
int tracer_try(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e);

int tracer_start(struct tracer *t, struct error *e); /* tracing_on = 1 */
int tracer_stop(struct tracer *t, struct error *e);

/* Whether the instance records as it was armed and started: 0, -1 and the error says what others have changed, or 1 with
 * errno: it cannot be seen. */
int tracer_unchanged(const struct tracer *t, struct error *e);

/* Opens a CPU's buffer / statistics. A descriptor, or -1 with errno. */
int tracer_open_buffer(const struct tracer *t, unsigned cpu); /* per_cpu/cpuN/trace_pipe_raw, O_NONBLOCK */
int tracer_open_stats(const struct tracer *t, unsigned cpu);  /* per_cpu/cpuN/stats; reread with pread from 0 */
int tracer_open_cmdlines(const struct tracer *t);	      /* saved_cmdlines; reread with pread from 0 */
/* Records that our kprobes missed since they were armed, see missed.h. 0, or -1 with errno (ENOENT: no kprobes here). */
int tracer_missed(const struct tracer *t, uint64_t *missed);
/* The CPUs that the instance has now, ascending. malloc'ed; count in *n; NULL: error. */
unsigned *tracer_cpus(const struct tracer *t, size_t *n, struct error *e);

/* header_page and the formats of all armed events, as tep_parse_format() takes them. malloc'ed; NULL: error. */
char *tracer_header_page(const struct tracer *t, size_t *len, struct error *e);
char *tracer_format(const struct tracer *t, size_t event, size_t *len, struct error *e);

/* Takes away everything that was armed or made. Safe to call twice. What cannot be taken away is logged. */
void tracer_close(struct tracer *t);

/* Frees the memory and closes the lock, and takes nothing away: for a child that inherited the tracer. */
void tracer_forget(struct tracer *t);

#endif
