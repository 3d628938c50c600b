/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to systemd: ready, reloading, stopping, alive, and one line of status. Without systemd (no NOTIFY_SOCKET)
 * they do nothing.
 */
#ifndef IOFLUSH_DAEMON_NOTIFY_H
#define IOFLUSH_DAEMON_NOTIFY_H

#include <stdint.h>

struct notify {
	uint64_t watchdog_us; /* how often a sign of life is due; 0: no watchdog */
};

/* In the process that systemd started, before it forks: the watchdog is addressed to that process id. */
void notify_init(struct notify *n);

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_alive(void);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
