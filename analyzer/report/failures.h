/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What failed in the kernel, by error, in words and in JSON. */
#ifndef IOFLUSH_ANALYZER_REPORT_FAILURES_H
#define IOFLUSH_ANALYZER_REPORT_FAILURES_H

#include <stdio.h>

#include "analyzer/model/tally.h"
#include "base/intern.h"
#include "base/json.h"

/* "3 fills failed: ENOMEM (-12); first: event #7, area_fill_end at 1.000007000". Cut to len. */
void failure_text(char *buf, size_t len, const struct failure *f);

/* [{"event": NAME, "error": "ENOMEM" or null, "rc": N or null: not known, "count": N, "first": origin}] */
void failures_put(struct json *into, const char *key, const struct failures *failures, const struct intern *strings);

/* Prints a line for each. */
void failures_print(FILE *out, const struct failures *failures);

#endif
