/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The privileged process, once the child is there; see priv.h. */
#ifndef IOFLUSH_DAEMON_PROBES_PARENT_H
#define IOFLUSH_DAEMON_PROBES_PARENT_H

#include <signal.h>
#include <sys/types.h>

#include "daemon/probes/tracer.h"

/* Ignored signals would never reach a signalfd. */
void parent_receive_signals(const sigset_t *set);

/* Serves the child over sock until it is gone, removes everything, and exits with the child's status. */
void parent_run(struct tracer *t, int sock, int signals, pid_t child) __attribute__((noreturn));

#endif
