/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which events a policy needs, and which a capture cannot have, because its probes are known and none gives them. Without some of these no policy
 * can be judged: what is mapped where, and why, is not known then, and every policy would look flawless.
 */
#ifndef IOFLUSH_ANALYZER_REPORT_LACKING_H
#define IOFLUSH_ANALYZER_REPORT_LACKING_H

#include <stddef.h>
#include <stdint.h>

#include "analyzer/model/model.h"
#include "base/json.h"
#include "trace/event.h"

#define LACKING_TEXT 512 /* enough for lacking_text() */

/* Bit k: no event of kind k came, and no probe is for it. probes: the capture's lines; "" (not known) lacks nothing. */
uint64_t lacking_kinds(const char *probes, const struct model_totals *t);

/* Of these, the ones that no policy can be judged without. */
uint64_t lacking_needed(uint64_t lacking);

/* What a policy can need (enum ioflush_needs), and which events that means. */
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
