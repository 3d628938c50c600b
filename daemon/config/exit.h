/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit statuses of ioflushd: 0 stopped, or --check found no problem; 1 a run-time error; 2 a usage or configuration
 * error; 10 to 16 this host cannot be recorded.
 */
#ifndef IOFLUSH_DAEMON_CONFIG_EXIT_H
#define IOFLUSH_DAEMON_CONFIG_EXIT_H

enum { DAEMON_EXIT_OK = 0, DAEMON_EXIT_ERROR = 1, DAEMON_EXIT_USAGE = 2 };

/* Why this host cannot be recorded; the error has a sentence. */
enum tracer_host {
	TRACER_HOST_OK = 0,
	TRACER_HOST_NO_TRACEFS = 10, /* not mounted, or missing */
	TRACER_HOST_NO_PRIVILEGE = 11,
	TRACER_HOST_LOCKDOWN = 12,
	TRACER_HOST_NO_PROBES = 13,  /* the kernel has no dynamic_events, or takes no probe */
	TRACER_HOST_NO_IOMMUFD = 14, /* no iommufd in the kernel: nothing to record */
	TRACER_HOST_INCOMPLETE = 15, /* needed events are unavailable */
	TRACER_HOST_IN_USE = 16,     /* another process holds the instance */
};

#endif
