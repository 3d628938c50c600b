/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privilege separation. ioflushd starts with the right to trace, forks, and the child drops to the configured user. The
 * parent keeps only the tracer: it arms, opens buffers on request, hands over descriptors, and removes everything when
 * the child is gone. They talk over a socket pair in small fixed messages; the parent trusts none of them.
 */
#ifndef IOFLUSH_DAEMON_PROBES_PRIV_H
#define IOFLUSH_DAEMON_PROBES_PRIV_H

#include <signal.h>

#include "daemon/config/config.h"
#include "daemon/probes/tracer.h"

struct priv; /* the child's end */

/* What the child needs to know about the armed events. Text is malloc'ed. */
struct priv_armed {
	struct armed_event *event;
	char **format; /* of each event with alt >= 0, else NULL */
	size_t *format_len;
	size_t nevents;
	char *header_page;
	size_t header_page_len;
};

/*
 * Blocks the signals that stop or reload, and returns the old mask: to be killed while probes are armed would leave
 * them behind. Restore old when nothing is armed any more.
 */
void priv_hold_signals(sigset_t *old);

/*
 * Arms (in this process), then forks. Returns in the child with *out set, its user changed. In the parent it serves until
 * the child is gone, forwards SIGTERM/SIGINT/SIGHUP to it, removes everything, and exits with the child's status.
 * 0 in the child; -1: nothing was started, and the exit status is in *status.
 */
int priv_start(struct priv **out, const struct config *c, int *status, struct error *e);

/* Removes what a recorder, killed with its privileged process, left armed. 0, or an exit status and the error. */
int priv_disarm(const struct config *c, unsigned *removed, struct error *e);

int priv_armed(struct priv *p, struct priv_armed *a, struct error *e);
void priv_armed_free(struct priv_armed *a);
int priv_open_buffer(struct priv *p, unsigned cpu); /* a descriptor or -1 with errno */
int priv_open_stats(struct priv *p, unsigned cpu);
int priv_open_cmdlines(struct priv *p);
int priv_open_symbols(struct priv *p);
int priv_missed(struct priv *p, uint64_t *missed); /* as tracer_missed() */
unsigned *priv_cpus(struct priv *p, size_t *n, struct error *e);
int priv_unchanged(struct priv *p, struct error *e); /* as tracer_unchanged(); 1: it cannot be asked */
int priv_trace_on(struct priv *p, bool on, struct error *e);
void priv_close(struct priv *p); /* the parent then cleans up and exits */

#endif
