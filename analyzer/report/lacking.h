/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which events a policy needs, and which a capture cannot have: its probes are known, and none gives them. Without some
 * events no policy can be judged: it is then unknown what is mapped where, and every policy would look flawless.
 */
#ifndef IOFLUSH_ANALYZER_REPORT_LACKING_H
#define IOFLUSH_ANALYZER_REPORT_LACKING_H

#include <stddef.h>
#include <stdint.h>

#include "analyzer/model/model.h"
#include "base/json.h"
#include "trace/event.h"

#define LACKING_TEXT 512 /* enough for lacking_text() */

/* Bit k: no event of kind k came, and no probe gives it. probes: the capture's lines; "" (unknown) lacks nothing. */
uint64_t lacking_kinds(const char *probes, const struct model_totals *t);

/* Those of them that every policy needs. */
uint64_t lacking_needed(uint64_t lacking);

/* What a policy can need (enum ioflush_needs), and the events that this means. */
struct need {
	unsigned need;
	const char *name;	 /* in JSON */
	const char *text;	 /* the same for people */
	enum event_kind kind[6]; /* ends with EV_NONE */
};

#define NEEDS 4
extern const struct need need_table[NEEDS];

/* Their names, separated by commas; as an array of JSON. */
void lacking_text(uint64_t kinds, char out[LACKING_TEXT]);
void lacking_put(struct json *into, const char *key, uint64_t kinds);

#endif
