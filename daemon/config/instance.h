/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name of a recorder's instance in tracefs. The names of its probe groups are made from it. */
#ifndef IOFLUSH_DAEMON_CONFIG_INSTANCE_H
#define IOFLUSH_DAEMON_CONFIG_INSTANCE_H

#include <stdbool.h>

#define INSTANCE_MAX 48 /* the names made from it must fit the kernel's limits */

/* Whether an instance can have this name: letters, digits, '_' and '-', beginning with a letter or '_'. */
bool instance_valid(const char *name);

#endif
