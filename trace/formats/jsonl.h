/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON Lines, the canonical text form of a trace: a header line, then one event a line (semantics, section 3). The
 * reader is opened through source_open() (trace/source.h, jsonl_open()); here is the writer and what only this format
 * knows.
 *
 * What is written is canonical: the same events give the same bytes, and reading them back gives the same events. Two
 * things cannot be said in JSON and are changed when written: a byte of a string that is no UTF-8 becomes the four
 * characters \xNN, and a header field that is unknown is left out.
 *
 * The header tells how many events follow, so that a file that is cut between two lines does not pass for whole. The
 * writer knows that at the end of the capture: where it writes a file, not only behind what is there (>>), it goes back
 * and fills it in. Into a pipe it tells it only if the source knew it beforehand, as a database does.
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
 * Writes what is still held back, closes and frees. With keep false the output is given up: a regular file is removed,
 * so that a part never looks whole. 0, or -1 and the error (then the file is removed too). NULL is fine.
 */
int jsonl_writer_close(struct jsonl_writer *w, bool keep, struct error *e);

#endif
