/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ioflush gaps prints, and its two output formats. */
#ifndef IOFLUSH_ANALYZER_COMMANDS_GAPS_H
#define IOFLUSH_ANALYZER_COMMANDS_GAPS_H

#include "analyzer/commands/cli.h"
#include "analyzer/findings/findings.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/judge.h"

struct gaps {
	const struct command *cmd;
	const char *path;
	const char *policy;
	struct policy_set set;
	struct findings *findings;
	struct error *error;
	unsigned kinds; /* bits of enum gap_kind to show */
	size_t limit;	/* SIZE_MAX: none; 0: not given */
	bool json;
	bool many_captures;
	struct budget memory;
	struct replay replay;
	uint64_t captures, events;
	uint64_t health[HEALTH_COUNT];
	struct midlife midlife; /* of the first capture that has it */
	bool midlife_ticks;
	struct worst worst;   /* of the captures */
	struct losses losses; /* with findings_strings() */
	uint64_t lacking;     /* events that every policy needs, but some capture has no probe for */
	char partial[TEXT_MAX];
};

#define MAX_CAUSES 64 /* more than the possible combinations */

/* Findings that differ only in their objects. */
struct cause {
	enum gap_kind kind;
	enum finding_reason reason;
	uint8_t event, within; /* kinds; EV_NONE: none */
	size_t findings;
	uint64_t pages;
};

/* Totals of all findings, shown or not. */
struct summary {
	size_t findings, shown, errors, warnings, uncertain;
	uint64_t pages[GAPS], new_pages[GAPS], unordered[GAPS], stale;
	struct cause cause[MAX_CAUSES]; /* in the order of the findings */
	size_t causes;
};

void gaps_print_text(const struct gaps *a, const struct summary *s);
int gaps_print_json(const struct gaps *a, const struct summary *s); /* 0, or -1: out of memory */

#endif
