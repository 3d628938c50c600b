/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which user and groups the recording process changes to; see priv.h. */
#ifndef IOFLUSH_DAEMON_PROBES_IDENTITY_H
#define IOFLUSH_DAEMON_PROBES_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "daemon/config/config.h"

struct identity {
	bool drop;
	uid_t uid;
	gid_t gid;
	gid_t group[1]; /* extra group: of the API's socket; a process can only give its file to a group it is in */
	int groups;
};

/* The identity that the configuration names. 0 or -1. */
int identity_find(const struct config *c, struct identity *id, struct error *e);
/* In the child: changes to it for good, and asks to be ended with the parent. 0 or -1. */
int identity_become(const struct config *c, const struct identity *id, pid_t parent, struct error *e);

#endif
