/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Losses by cause, in words and in JSON, each with what to do about it. */
#ifndef IOFLUSH_ANALYZER_REPORT_LOSSES_H
#define IOFLUSH_ANALYZER_REPORT_LOSSES_H

#include <stdio.h>

#include "analyzer/model/tally.h"
#include "base/intern.h"
#include "base/json.h"

/* "5 records in 1 place: retention; advice: ...": for a line with the label "lost". Cut to len. */
void loss_text(char *buf, size_t len, const struct loss *l, const struct intern *strings);

/* [{"cause": name or null, "count": N, "places": N, "unknown_places": N, "advice": sentence}] */
void losses_put(struct json *into, const char *key, const struct losses *losses, const struct intern *strings);

/* Prints a line for each. */
void losses_print(FILE *out, const struct losses *losses, const struct intern *strings);

#endif
