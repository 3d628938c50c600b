/*
 * Probe sets: data files that say, for each event, the alternatives by which it can be got, best first, and what is lost
 * with each. Plain form: lines of tracefs dynamic_events (as in probes/6.12.txt), the group in them replaced by ours; the
 * name says the event. Alternatives: several lines of one name, best first. Directives, before the lines they speak of:
 *
 *	# comment
 *	@needs NAME...		the events without which a capture makes no sense
 *	@lost TEXT		what is lost with the next line's alternative
 *	@tracepoint SYS:EVENT	an alternative that enables an existing tracepoint (its name: the last @event)
 *	@event NAME		the event that @tracepoint lines after it give
 */
#ifndef IOFLUSHD_PROBESET_H
#define IOFLUSHD_PROBESET_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct probe_alt {
	char *line;	      /* for dynamic_events, its group still the file's; or NULL: a tracepoint */
	char *system, *event; /* the tracepoint */
	char *lost;	      /* what is lost with this alternative; NULL: nothing */
	unsigned file_line;
};

struct probe_event {
	char *name;
	bool needed;
	struct probe_alt *alt;
	size_t nalts;
};

struct probe_set {
	char *path;
	struct probe_event *event;
	size_t nevents;
};

/* 0, or -1 and the error with its line; s is empty then. */
int probe_set_read(struct probe_set *s, const char *path, struct error *e);
void probe_set_free(struct probe_set *s);

/* Whether any alternative needs something in the kernel: all but uprobes do. */
bool probe_set_needs_kernel(const struct probe_set *s);
bool probe_line_is_uprobe(const char *line);

/* The line with its group and event name replaced: "f:ioflush/map ..." -> "f:GROUP/map ...". malloc'ed, or NULL. */
char *probe_line_in_group(const char *line, const char *group);

#endif
