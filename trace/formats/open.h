/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens a trace of any form; also the openers of foreign file formats; see source.h. */
#ifndef IOFLUSH_TRACE_FORMATS_OPEN_H
#define IOFLUSH_TRACE_FORMATS_OPEN_H

#include "base/error.h"
#include "trace/source.h"

/* Opens path ("-": standard input) by its content. 0, or -1 and the error. */
int source_open(struct source **out, const char *path, struct error *e);

int tracedat_open(struct source **out, const struct source_input *in, struct error *e);
int ftext_open(struct source **out, const struct source_input *in, struct error *e);
int jsonl_open(struct source **out, const struct source_input *in, struct error *e);

#endif
