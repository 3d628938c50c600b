/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only the files of a report share; report.h is for others. */
#ifndef IOFLUSH_ANALYZER_REPORT_IMPL_H
#define IOFLUSH_ANALYZER_REPORT_IMPL_H

#include "analyzer/report/report.h"

#define REPORT_LINE 100 /* columns of the text */
#define REPORT_CELL 32	/* bytes of a cell of the table */

/* ---- gather.c: what follows from the counts. A product that would wrap is UINT64_MAX ---- */

uint64_t report_multiply(uint64_t a, uint64_t b);
uint64_t report_cycles(const struct report *r, const struct policy_counts *c);

/* Whether some capture is not whole, or was left out. */
bool report_partial(const struct report *r);

/* Whether a policy has no leak and no release gap. */
bool report_is_safe(const struct policy_counts *c);

/* The counts of ideal, if it is among the policies. */
const struct policy_counts *report_ideal(const struct report *r);

/* ---- text.c: lines ---- */

/* Prints label, then text from column indent on, broken between words at REPORT_LINE. Frees text, which may be NULL. */
void report_wrapped(FILE *out, const char *label, size_t indent, char *text);

/* The same for a line of the header or of the health. */
void report_say(FILE *out, const char *label, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- table.c ---- */

size_t report_name_width(const struct report *r);
void report_ratio(const struct report *r, size_t policy,
		  char *cell); /* "1.10x" of what ideal flushes; "-": unsafe, less than that, or unknown */
void report_table(const struct report *r, FILE *out);

/* ---- verdict.c ---- */

void report_verdicts(const struct report *r, FILE *out);

#endif
