/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The causes of lost events, from schema/losses.def. Sources that read files use some of the recorder's. */
#ifndef IOFLUSH_TRACE_LOSSES_H
#define IOFLUSH_TRACE_LOSSES_H

enum record_loss {
#define RING_LOSS(ID, id, ...) LOSS_##ID,
#define WRITER_LOSS(ID, id, ...) LOSS_##ID,
#include "schema/losses.def"
	LOSSES
};

struct loss_desc {
	const char *name;	   /* the lost event's cause */
	const char *text, *advice; /* for the log */
};

extern const struct loss_desc loss_table[LOSSES];

#endif
