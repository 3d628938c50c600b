/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Probe sets: data files with, for each event, the alternatives that can give it, best first, and what is lost with
 * each. Plain form: lines of tracefs dynamic_events (as in probes/6.12.txt); the name is the event, the group is
 * replaced by ours. Several lines with one name are alternatives. Directives come before the lines that they apply to:
 *
 *	# comment
 *	@needs NAME...		the events without which a capture makes no sense
 *	@rung NAME...		the rungs of the ladder that the alternatives from here on belong to; the option rung forces one
 *	@only NAME...		the same, and they are used only where their rung is forced
 *	@lost TEXT		what is lost with the next line's alternative
 *	@entry LINE		a second probe of the next line's alternative: its entry is EVENT_entry, and the next line, a
 *				return without what the entry has, is paired with it
 *	@layout STRUCT MEMBER=OFFSET...	offsets for kernels that do not tell them; see below
 *	@tracepoint SYS:EVENT	an alternative that enables an existing tracepoint (its name: the last @event)
 *	@event NAME		the event that @tracepoint lines after it give
 *
 * Instead of an offset, a line may name a member of a kernel struct, as in "+{iopt_area.node.last}(%di)": the offset
 * comes from the running kernel's BTF, else from @layout (layout.h).
 */
#ifndef IOFLUSH_DAEMON_PROBES_PROBESET_H
#define IOFLUSH_DAEMON_PROBES_PROBESET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct probe_alt {
	char *line;	      /* for dynamic_events, still with the file's group; NULL: a tracepoint */
	char *entry;	      /* the line of its entry; NULL: it needs none */
	char *rungs;	      /* names, each between blanks; NULL: none */
	bool forced;	      /* used only where its rung is forced */
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

/* The offset of a member, if the kernel does not tell it. */
struct probe_member {
	char *name; /* "iopt_area.node.start" */
	unsigned offset;
};

struct probe_set {
	char *path;
	struct probe_event *event;
	size_t nevents;
	struct probe_member *member;
	size_t nmembers;
};

/* 0, or -1 and the error with its line; then s is empty. */
int probe_set_read(struct probe_set *s, const char *path, struct error *e);
void probe_set_free(struct probe_set *s);

/* Whether any alternative needs something in the kernel: all do, except uprobes. */
bool probe_set_needs_kernel(const struct probe_set *s);
bool probe_line_is_uprobe(const char *line);

/* Whether the alternative may be used: rung "auto" allows all but the forced ones. */
bool probe_alt_in_rung(const struct probe_alt *a, const char *rung);

/* 0, or -1 and an error that lists the rungs: no alternative of the set is in this one. */
int probe_set_check_rung(const struct probe_set *s, const char *rung, struct error *e);

/* The name of the event that a line defines; malloc'ed, or NULL. */
char *probe_line_event(const char *line);

/*
 * The first {STRUCT.MEMBER} of a line: true, and where it stands (braces included) and how long it is. false: there is none,
 * or *len is 1: a brace that names no member.
 */
bool probe_line_member(const char *line, const char **at, size_t *len);

/* The line with its group and event name replaced: "f:ioflush/map ..." -> "f:GROUP/map ...". malloc'ed, or NULL. */
char *probe_line_in_group(const char *line, const char *group);

#endif
