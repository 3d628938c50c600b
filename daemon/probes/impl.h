/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the tracer share; see tracer.h.
 *
 *	tracer.c	a tracer's life, and the settings of its instance
 *	tracefs.c	file operations
 *	host.c		whether this host can record, and why not
 *	instance.c	whose the instance is; taking away
 *	arm.c		arming, alternative after alternative
 *	buffers.c	what is read while it records
 */
#ifndef IOFLUSH_DAEMON_PROBES_IMPL_H
#define IOFLUSH_DAEMON_PROBES_IMPL_H

#include <limits.h>

#include "daemon/probes/tracer.h"

/* --- tracefs.c; all give -1 or NULL with errno */

int path_print(char out[PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One write(), as tracefs needs it. Never truncates: that would clear dynamic_events. */
int file_write(const char *path, const char *text, int flags);
/* The whole file, NUL-terminated; malloc'ed. */
char *file_read(const char *path, size_t *len);
int tracefs_write(const struct tracer *t, const char *name, const char *text, int flags);
char *tracefs_read(const struct tracer *t, const char *name, size_t *len);
bool tracefs_has(const struct tracer *t, const char *name);
int instance_write(const struct tracer *t, const char *name, const char *text);
char *instance_read(const struct tracer *t, const char *name); /* its first line */
bool no_privilege(int errnum);

/* --- host.c */

/* Checks that there is a tracefs that takes probes. */
int host_check(const struct tracer *t, enum tracer_host *host, struct error *e);
bool host_has_kprobes(const struct tracer *t);
bool host_has_fprobes(const struct tracer *t);
/* -1, with *host. */
int host_set(enum tracer_host *host, enum tracer_host value);
int host_no_privilege(const struct tracer *t, const char *what, int errnum, enum tracer_host *host, struct error *e);
/* Judges which events of the set are armed. */
int host_judge(const struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e);

/* --- instance.c */

/* The group of an instance; malloc'ed. */
char *group_of(const char *instance);
/* 0: ours, made if it was not there (*made); -1: not ours, and not made. */
int instance_lock(struct tracer *t, unsigned wait_ms, bool *made, enum tracer_host *host, struct error *e);
void instance_unlock(struct tracer *t);
/* Turns recording and our events off. The tracepoints in the instance end with it. */
void instance_quiesce(const struct tracer *t);
/* Removes everything; the lock must be held. Goes on after failures, so that as little as possible stays. */
int instance_take_away(struct tracer *t, unsigned *removed, struct error *e);
bool group_has_probes(const struct tracer *t);
int group_remove_probe(const struct tracer *t, const char *name, unsigned *removed, struct error *e);
int group_remove_probes(const struct tracer *t, unsigned *removed, struct error *e);

/* --- arm.c */

/* Arms all that it can; t->event has the result for each. */
int arm_events(struct tracer *t, const struct probe_set *set, struct error *e);

/* --- buffers.c */

/* The path of an event below the instance's folder "events"; a tracepoint may have another name than its event. */
const char *name_in_system(const struct tracer *t, const struct armed_event *a);

/* --- tracer.c */

/* Copies the options and makes the names; suffix: "", or that of a try. */
int tracer_init(struct tracer *t, const struct tracer_options *o, const char *suffix, struct error *e);

#endif
