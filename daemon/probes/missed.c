/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See missed.h. */
#include "daemon/probes/missed.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME 128

struct probe {
	char group[MAX_NAME], name[MAX_NAME];
};

/* A line of kprobe_events, "r16:GROUP/NAME SYMBOL ...". */
static bool take_event(const char *line, struct probe *p)
{
	return sscanf(line, "%*[^: \n]:%127[^/ \n]/%127[^ \n]", p->group, p->name) == 2;
}

/* A line of kprobe_profile, "  NAME  HITS  MISSED". */
static bool take_profile(const char *line, const char *name, uint64_t *missed)
{
	unsigned long long hits, misses;
	char got[MAX_NAME];

	if (sscanf(line, " %127[^ \n] %llu %llu", got, &hits, &misses) != 3 || strcmp(got, name))
		return false;
	*missed = misses;
	return true;
}

static const char *next_line(const char *p)
{
	const char *eol = strchr(p, '\n');

	return eol ? eol + 1 : p + strlen(p);
}

int missed_sum(const char *kprobe_events, const char *kprobe_profile, const char *group, uint64_t *sum)
{
	uint64_t missed;
	struct probe p;

	*sum = 0;
	for (; *kprobe_events && *kprobe_profile;
	     kprobe_events = next_line(kprobe_events), kprobe_profile = next_line(kprobe_profile)) {
		if (!take_event(kprobe_events, &p) || !take_profile(kprobe_profile, p.name, &missed))
			return -1;
		if (!strcmp(p.group, group))
			*sum += missed;
	}
	return *kprobe_events || *kprobe_profile ? -1 : 0;
}
