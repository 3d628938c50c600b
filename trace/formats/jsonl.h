/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON Lines, the canonical text form of a trace: a header line, then one event per line (semantics.md, section 3).
 * source_open() opens the reader (trace/source.h, jsonl_open()); here are the writer and what only this format knows.
 *
 * The output is canonical: the same events give the same bytes, and reading them gives the same events. JSON cannot
 * express two things, which are changed: a byte of a string that is not UTF-8 becomes the four characters \xNN, and an
 * unknown header field is left out.
 *
 * The header tells how many events follow, so that a file cut between two lines does not look complete. The writer
 * knows the number only at the end of the capture. In a file (not opened with >>) it goes back and fills it in. In a
 * pipe the number is there only if the source knew it in advance, as a database does.
 */
#ifndef IOFLUSH_TRACE_FORMATS_JSONL_H
#define IOFLUSH_TRACE_FORMATS_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "trace/event.h"
#include "trace/source.h"

struct jsonl_writer;

/* Opens path for writing, truncating it ("-": standard output). 0, or -1 and the error. */
int jsonl_writer_open(struct jsonl_writer **out, const char *path, struct error *e);

/* Writes the header line of a capture. */
int jsonl_write_capture(struct jsonl_writer *w, const struct capture *c, struct error *e);

/* Writes n events, whose strings are in the given table. */
int jsonl_write_events(struct jsonl_writer *w, const struct event *ev, size_t n, const struct intern *strings,
		       struct error *e);

/*
 * Writes the rest, closes and frees. With keep false the output is discarded: a regular file is removed, so that a part
 * never looks complete. 0, or -1 and the error (then the file is removed, too). NULL is allowed.
 */
int jsonl_writer_close(struct jsonl_writer *w, bool keep, struct error *e);

#endif
