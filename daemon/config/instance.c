/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of instances; see instance.h. */
#include "daemon/config/instance.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

bool instance_valid(const char *name)
{
	/* the kernel's groups for probes without a group: they are not ours */
	static const char *const taken[] = {"kprobes", "uprobes", "fprobes", "eprobes", "tracepoints", "synthetic"};
	size_t i;

	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (!strcmp(name, taken[i]))
			return false;
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (i = 0; name[i]; i++)
		if (i >= INSTANCE_MAX || (!isalnum((unsigned char)name[i]) && !strchr("_-", name[i])))
			return false;
	return true;
}
