/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ioflush explain knows while it reads a trace, and its two output formats. */
#ifndef IOFLUSH_ANALYZER_COMMANDS_EXPLAIN_H
#define IOFLUSH_ANALYZER_COMMANDS_EXPLAIN_H

#include "analyzer/commands/cli.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/judge.h"
#include "base/json.h"

#define MAX_FRAMES 64 /* of one iova; more are only counted */

enum change { CHANGE_PINNED, CHANGE_EXPOSED, CHANGE_HIDDEN, CHANGE_RELEASED, CHANGES };

/* A watched frame, and what the current event did to it. */
struct watch {
	uint64_t pfn;
	bool touched;
	unsigned changes;		     /* bits of enum change */
	uint64_t flushed[HOOKS], gaps[GAPS]; /* bits of policies */
};

struct explain {
	const struct command *cmd;
	const char *path;
	struct policy_set set, no_policies;
	struct error *error;
	struct replay replay;
	struct model_observer obs;
	struct budget memory;
	bool json, by_iova, by_pfn;
	bool any_domain; /* the iova of every domain */
	uint64_t domain, iova;
	bool has_hex, hex_seen; /* the pfn was decimal: its digits as hex, and whether an event touched that */
	uint64_t hex;
	struct watch watch[MAX_FRAMES]; /* by pfn */
	size_t n;
	uint64_t not_shown; /* translations to frames beyond MAX_FRAMES */
	const struct intern *strings;
	uint64_t capture, seq;	/* of the current event */
	uint64_t touched;	/* rows printed */
	uint64_t outside;	/* maps of the iova that the model does not follow, and were printed all the same */
	struct worst worst;	/* of the captures */
	uint64_t lost;		/* losses since the last row */
	bool ever_lost;		/* at any place in the trace */
	struct midlife midlife; /* of the first capture that has it */
	char older[TEXT_MAX];	/* text_midlife() of that */
	bool first;		/* JSON: no element yet */
	char partial[TEXT_MAX];
};

extern const char *const explain_changes[CHANGES];

static inline struct origin explain_origin(const struct explain *x, const struct event *ev)
{
	return (struct origin){
		.seq = x->seq, .t = ev->t, .cpu = ev->cpu, .tid = ev->tid, .comm = ev->comm, .kind = ev->kind};
}

/* --- explain_text.c */

void explain_print_event(const struct explain *x, const struct event *ev);
void explain_print_outside(struct explain *x, const struct event *ev);
void explain_print_row(const struct explain *x, const struct watch *w, const struct model_frame *f);
void explain_print_lost(struct explain *x);

/* --- explain_json.c: an element may be NULL, no memory then; 0, or -1 and the error */

struct json *explain_event_json(const struct explain *x, const struct event *ev);
struct json *explain_outside_json(const struct explain *x, const struct event *ev);
struct json *explain_row_json(const struct explain *x, const struct event *ev, const struct watch *w,
			      const struct model_frame *f);
int explain_add_element(struct explain *x, struct json *obj);
int explain_begin_json(struct explain *x);
int explain_end_json(struct explain *x);

#endif
