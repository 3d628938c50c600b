/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records that probes missed: a kprobe was hit where it may not run, or a return probe had no room for one more call
 * (its maxactive). The kernel counts them in kprobe_profile of tracefs, one line per kprobe event; they never reach a
 * ring buffer. These lines name no group, but have the order of kprobe_events, which does.
 *
 * fprobe events, uprobe events and tracepoints have no such count: uprobe_profile has only hits (checked up to 6.18),
 * and the misses of an fprobe are shown nowhere.
 */
#ifndef IOFLUSH_DAEMON_PROBES_MISSED_H
#define IOFLUSH_DAEMON_PROBES_MISSED_H

#include <stdint.h>

/* Takes both files as text. *missed: the sum over the events of a group. 0, or -1: the two do not match. */
int missed_sum(const char *kprobe_events, const char *kprobe_profile, const char *group, uint64_t *sum);

#endif
