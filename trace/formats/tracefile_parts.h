/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files that read a trace.dat's container share; see tracefile.h. tracefile.c knows the order of the parts;
 * the others read the parts: formats and names (tracefile_formats.c), options (tracefile_options.c), and the table of
 * buffers that these fill (tracefile_buffers.c). Functions return 0, or -1 and the error, unless they say otherwise.
 */
#ifndef IOFLUSH_TRACE_FORMATS_TRACEFILE_PARTS_H
#define IOFLUSH_TRACE_FORMATS_TRACEFILE_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/formats/cursor.h"
#include "trace/formats/tracefile.h"

enum { SECTION_OPTIONS = 0, SECTION_HEADER = 16, SECTION_FORMATS = 18, SECTION_SYMBOLS = 19, SECTION_CMDLINES = 21 };
enum { SECTION_COMPRESSED = 1 };

struct cursor tracefile_at(const struct tracefile *tf, uint64_t offset, const char *what, struct error *e);

/* ---- formats and names ---- */

int tracefile_read_header_page(struct tracefile *tf, struct cursor *c);
int tracefile_skip_ftrace_formats(struct tracefile *tf, struct cursor *c); /* function traces, prints: nobody wants them */
int tracefile_read_formats(struct tracefile *tf, struct cursor *c);
int tracefile_read_cmdlines(struct tracefile *tf, struct cursor *c);

/* ---- options ---- */

/* What options tell besides what goes to the file. */
struct tracefile_options {
	uint32_t stats_of; /* index of the buffer whose statistics come next */
	uint32_t last;	   /* index of the previous instance, 0: none */
	uint64_t section[SECTION_CMDLINES + 1];
	uint64_t next; /* version 7: the next section of options, 0: none */
};

/* Options up to DONE. */
int tracefile_read_options(struct tracefile *tf, struct cursor *c, struct tracefile_options *st);

/* ---- buffers ---- */

/* Adds a buffer with a name. NULL and the error. */
struct tracefile_buffer *tracefile_add_buffer(struct tracefile *tf, struct cursor *c, const char *name);

/* The buffer with a name, added if it is new: options may name buffers in any order. NULL and the error. */
struct tracefile_buffer *tracefile_buffer_named(struct tracefile *tf, struct cursor *c, const char *name);
void tracefile_clear_buffer(struct tracefile *tf, struct tracefile_buffer *b);

/* Call it before adding n CPUs to the buffer, each described by this many bytes. */
int tracefile_begin_cpus(struct cursor *c, struct tracefile_buffer *b, uint64_t n, uint64_t bytes_each);
int tracefile_add_cpu(struct cursor *c, struct tracefile_buffer *b, uint32_t cpu, uint64_t offset, uint64_t size);
int tracefile_add_stat(struct cursor *c, struct tracefile_buffer *b, uint64_t cpu, uint64_t lost);

/* At the end: gives CPUs their statistics, and checks for impossible values. */
int tracefile_settle_buffers(struct tracefile *tf, struct error *e);

/* Allocates texts within the budget. */
int tracefile_set_string(const struct cursor *c, char **to, const char *from, size_t len);
void tracefile_free_string(struct tracefile *tf, char *text);

#endif
