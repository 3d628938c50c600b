/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged part: all that needs tracefs. It arms probes in its own group and instance, opens the buffers, and
 * removes everything again; it never decodes. tracer_* functions run only in the privileged process (parent.c), or
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
	unsigned busy_ms; /* how long an instance may stay busy after its readers end; 0: three seconds */
	const char *root; /* for tests: what /proc, /sys (but tracefs) and /dev are looked up below; NULL: "" */
};

struct tracer_options tracer_options_of(const struct config *c);

/*
 * The result for one event of the set. Behind those come the entries (EVENT_entry) of alternatives that have one: for
 * arming and decoding they are separate events.
 */
struct armed_event {
	char *name;
	char *system;	     /* of the alternative in use: our group, or the tracepoint's; NULL: none */
	int alt;	     /* index of the alternative in use, or -1: none was accepted */
	char *line;	     /* the alternative in use, as armed; of a tracepoint "system:event" */
	char *lost;	     /* what is lost with it, or NULL */
	const char *offsets; /* where the offsets of struct members in the line come from; NULL: the line has none */
	char *refused; /* why those before it (or all) were refused: the kernel's own words, one a line; or NULL */
};

void armed_events_free(struct armed_event *event, size_t n);

/* A file of the instance, and its content after arming. */
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
 * Checks whether this host can trace at all; changes nothing. 0, or -1: *host and the error say why not. A host that
 * only lacks something to record is reported by tracer_arm() and tracer_try(), which know the set.
 */
int tracer_open(struct tracer *t, const struct tracer_options *o, enum tracer_host *host, struct error *e);

/*
 * An instance belongs to the process that holds a lock (flock) on its directory. The lock is in the kernel with the
 * instance, needs no other file, is seen from every mount of tracefs, and ends with its process, however that ends.
 * tracer_clean() and tracer_arm() fail while another process holds it.
 */

/* Removes the leftovers of an earlier run in this group and instance. 0 or -1; *found: how many there were. */
int tracer_clean(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e);

/*
 * Makes the instance (clock mono, sizes, off), arms each event by its first accepted alternative, enables it. 0 with
 * *host TRACER_HOST_INCOMPLETE and the error: with the forced rung, needed events are unavailable; it records without.
 */
int tracer_arm(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e);

/* Tries each alternative in turn without leaving anything behind; fills t->event as arm would. */
int tracer_try(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e);

int tracer_start(struct tracer *t, struct error *e); /* tracing_on = 1 */
int tracer_stop(struct tracer *t, struct error *e);

/* 0: the instance records as armed and started; -1: the error says what others changed; 1 and errno: unknown. */
int tracer_unchanged(const struct tracer *t, struct error *e);

/* Opens a CPU's buffer / statistics. A descriptor, or -1 with errno. */
int tracer_open_buffer(const struct tracer *t, unsigned cpu); /* per_cpu/cpuN/trace_pipe_raw, O_NONBLOCK */
int tracer_open_stats(const struct tracer *t, unsigned cpu);  /* per_cpu/cpuN/stats; reread with pread from 0 */
int tracer_open_cmdlines(const struct tracer *t);	      /* saved_cmdlines; reread with pread from 0 */
/*
 * The kernel's functions and their addresses; reread with pread from 0. kallsyms, or, where that shows no addresses (no
 * CAP_SYSLOG), those that can be traced, which tracefs shows from 6.5 on.
 */
int tracer_open_symbols(const struct tracer *t);
/* Records that our kprobes missed since arming, see missed.h. 0, or -1 with errno (ENOENT: there are no kprobes). */
int tracer_missed(const struct tracer *t, uint64_t *missed);
/* The CPUs that the instance has now, ascending. malloc'ed; count in *n; NULL: error. */
unsigned *tracer_cpus(const struct tracer *t, size_t *n, struct error *e);

/* header_page and the formats of all armed events, as tep_parse_format() takes them. malloc'ed; NULL: error. */
char *tracer_header_page(const struct tracer *t, size_t *len, struct error *e);
char *tracer_format(const struct tracer *t, size_t event, size_t *len, struct error *e);

/* Removes everything that was armed or made, and logs what it cannot remove. Safe to call twice. */
void tracer_close(struct tracer *t);

/* Frees the memory and closes the lock, but removes nothing: for a child that inherited the tracer. */
void tracer_forget(struct tracer *t);

#endif
