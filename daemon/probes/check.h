/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioflushd --check: what recording would get on this host. Leaves nothing changed. */
#ifndef IOFLUSH_DAEMON_PROBES_CHECK_H
#define IOFLUSH_DAEMON_PROBES_CHECK_H

#include <stdio.h>

#include "base/error.h"
#include "daemon/config/config.h"

/* Prints the findings to out. Returns the exit status; unless it is 0, e says why in one sentence. */
int check_host(const struct config *c, FILE *out, struct error *e);

#endif
