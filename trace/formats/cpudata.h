/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of one CPU in a trace.dat, one sub-buffer after the other, whether they lie in the file as they are or in
 * compressed chunks. What is in a sub-buffer is not known here (subbuf.h reads it).
 *
 * They come through a window of a few sub-buffers, or one unpacked chunk, so memory does not depend on the size of the
 * file: all CPUs of a buffer together have a few megabytes. It is of the file's budget, and given back at the CPU's end.
 *
 * Errors name the CPU and the place: the offset in the file of the sub-buffer, or of the chunk that holds it.
 */
#ifndef IOFLUSH_TRACE_FORMATS_CPUDATA_H
#define IOFLUSH_TRACE_FORMATS_CPUDATA_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/formats/tracefile.h"

/* Begins as zeros. */
struct cpudata {
	const struct tracefile *file;
	const struct tracefile_buffer *buffer;
	const struct tracefile_cpu *cpu;
	uint32_t size; /* of a sub-buffer, in bytes */

	uint64_t pos, end; /* what is still to be read of the file: offsets */
	uint64_t chunks;   /* compressed ones left */
	uint8_t *buf;	   /* owned: sub-buffers */
	size_t cap;	   /* of buf */
	size_t len, next;  /* bytes in buf; of the sub-buffer after this one */
	uint64_t offset;   /* in the file, of buf or of the chunk it came from */
};

/*
 * To the first sub-buffer, of size bytes, of the CPU with this index in a buffer; from wherever d is, so also to read
 * once more. 0, or -1 and the error.
 */
int cpudata_begin(struct cpudata *d, const struct tracefile *tf, const struct tracefile_buffer *b, uint32_t index,
		  uint32_t size, struct error *e);

/* The next sub-buffer, valid until the next call. 1, 0: there is no more, or -1 and the error. */
int cpudata_next(struct cpudata *d, const uint8_t **subbuf, struct error *e);

/* Sets an error in the sub-buffer last given, with its place. Always -1. */
int cpudata_error(const struct cpudata *d, const char *what, struct error *e);

/* Frees what it owns, not d, which may begin again. */
void cpudata_free(struct cpudata *d);

#endif
