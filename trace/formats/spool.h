/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A descriptor that can seek, for input that may be a pipe. */
#ifndef IOFLUSH_TRACE_FORMATS_SPOOL_H
#define IOFLUSH_TRACE_FORMATS_SPOOL_H

#include "base/error.h"
#include "trace/source.h"

/*
 * A descriptor whose byte 0 is the trace's, in place of in->fd, which is closed if another is needed: for a pipe, and for
 * standard input that was read from before.
 */
int spool_seekable(const struct source_input *in, struct error *e);

#endif
