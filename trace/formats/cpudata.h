/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of one CPU in a trace.dat, sub-buffer by sub-buffer, stored plainly or in compressed chunks. The content of
 * a sub-buffer is not known here (subbuf.h reads it).
 *
 * They are read through a window of a few sub-buffers, or of one unpacked chunk, so memory does not depend on the size
 * of the file: all CPUs of a buffer together take a few megabytes of the file's budget, given back at the end of the
 * CPU.
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

	uint64_t pos, end; /* the unread part of the file: offsets */
	uint64_t chunks;   /* compressed ones left */
	uint8_t *buf;	   /* owned: sub-buffers */
	size_t cap;	   /* of buf */
	size_t len, next;  /* bytes in buf; of the sub-buffer after this one */
	uint64_t offset;   /* in the file, of buf or of the chunk it came from */
};

/*
 * Goes to the first sub-buffer, of size bytes, of the CPU with this index in a buffer; also to read it again. 0, or -1
 * and the error.
 */
int cpudata_begin(struct cpudata *d, const struct tracefile *tf, const struct tracefile_buffer *b, uint32_t index,
		  uint32_t size, struct error *e);

/* The next sub-buffer, valid until the next call. 1, 0: there are no more, or -1 and the error. */
int cpudata_next(struct cpudata *d, const uint8_t **subbuf, struct error *e);

/* Sets an error with the place of the last sub-buffer given. Always -1. */
int cpudata_error(const struct cpudata *d, const char *what, struct error *e);

/* Frees what d owns, but not d, which may begin again. */
void cpudata_free(struct cpudata *d);

#endif
