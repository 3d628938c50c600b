/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The name of a recorder's instance in tracefs, from which those of its probes are made. */
#ifndef IOFLUSH_DAEMON_CONFIG_INSTANCE_H
#define IOFLUSH_DAEMON_CONFIG_INSTANCE_H

#include <stdbool.h>

#define INSTANCE_MAX 48 /* so that the names made from it fit what the kernel takes */

/* Whether an instance can have the name: letters, digits, '_' and '-', a letter or '_' first. */
bool instance_valid(const char *name);

#endif
