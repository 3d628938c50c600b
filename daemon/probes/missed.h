/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records that probes missed: a kprobe that was hit where it may not run, a return probe that had no room to remember one
 * more call (its maxactive). The kernel counts them in kprobe_profile of tracefs, one line a kprobe event; nothing of them
 * reaches a ring buffer. The lines there name no group, but come in the order of kprobe_events, which does.
 *
 * fprobe events, uprobe events and tracepoints have no such count: uprobe_profile has hits only (up to 6.18, as far as was
 * looked), and what an fprobe misses is not shown anywhere.
 */
#ifndef IOFLUSH_DAEMON_PROBES_MISSED_H
#define IOFLUSH_DAEMON_PROBES_MISSED_H

#include <stdint.h>

/* Both as text. The sum of the events in a group; 0, or -1: the two do not fit together. */
int missed_sum(const char *kprobe_events, const char *kprobe_profile, const char *group, uint64_t *sum);

#endif
