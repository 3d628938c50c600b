/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See notify.h. The recording process is a child of the one that systemd started; the unit has NotifyAccess=all, so
 * that systemd listens to it.
 */
#include "daemon/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"

static void tell(const char *state)
{
	int rc = sd_notify(0, state);

	if (rc < 0)
		log_debug("systemd was not told %s: %s", state, strerror(-rc));
}

void notify_init(struct notify *n)
{
	if (sd_watchdog_enabled(0, &n->watchdog_us) <= 0)
		n->watchdog_us = 0;
}

void notify_ready(void)
{
	tell("READY=1");
}

void notify_reloading(void)
{
	char state[64];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_ns() / 1000);
	tell(state);
}

void notify_stopping(void)
{
	tell("STOPPING=1");
}

void notify_alive(void)
{
	tell("WATCHDOG=1");
}

void notify_status(const char *fmt, ...)
{
	char state[512] = "STATUS=";
	size_t at = strlen(state);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(state + at, sizeof(state) - at, fmt, ap);
	va_end(ap);
	tell(state);
}
