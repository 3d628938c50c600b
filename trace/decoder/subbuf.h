/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One sub-buffer of the kernel's ring buffer (also called "page", though it may be larger): a header with the time of
 * the first record and the number of committed bytes; then records, each a 32-bit word (5 bits type, 27 bits time since
 * the previous record) and its data.
 *
 * The bytes may come from a damaged file: nothing outside the sub-buffer is read, and anything unreadable is an error.
 * The loss flags are read from the commit word itself: libtraceevent's kbuffer forgets them if a sub-buffer begins with
 * a time extension.
 */
#ifndef IOFLUSH_TRACE_DECODER_SUBBUF_H
#define IOFLUSH_TRACE_DECODER_SUBBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event-parse.h>

#include "base/error.h"

#define SUBBUF_LOST_UNKNOWN (-1) /* an unknown number of records was lost */

/* As in the kernel's events/header_page. */
struct subbuf_format {
	uint32_t size;	      /* of the sub-buffer with its header, in bytes */
	uint32_t commit;      /* offset of the commit word */
	uint32_t commit_size; /* 4 or 8 */
	uint32_t data;	      /* offset of the first record */
	bool bigendian;
};

struct subbuf {
	const struct subbuf_format *fmt;
	const uint8_t *page;
	uint32_t pos, end; /* of the next record, of the committed bytes */
	uint64_t ts;	   /* of the last record */
	int64_t lost;	   /* records lost before this sub-buffer, or SUBBUF_LOST_UNKNOWN */
};

/*
 * Reads the format from the text of events/header_page (len bytes, not NUL-terminated). size: of a sub-buffer; 0: as in
 * the text. 0, or -1 and the error.
 */
int subbuf_format(struct subbuf_format *f, const char *text, size_t len, uint32_t size, bool bigendian, struct error *e);

/* Begins the sub-buffer at page, f->size bytes that belong to the caller. 0, or -1 and the error. */
int subbuf_load(struct subbuf *sb, const struct subbuf_format *f, const void *page, struct error *e);

/*
 * The next record: sets ts, data (points into the page), size, record_size and offset (in the sub-buffer). 1, 0: there
 * are no more, or -1 and the error.
 */
int subbuf_next(struct subbuf *sb, struct tep_record *rec, struct error *e);

#endif
