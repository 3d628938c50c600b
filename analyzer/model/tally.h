/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Losses by cause, and what failed by its error. The tables are small and fixed: what finds no room goes into the last
 * entry, so the sums are always right.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_TALLY_H
#define IOFLUSH_ANALYZER_MODEL_TALLY_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_ROOM 16
#define TALLY_OTHERS UINT32_MAX /* as a cause: several */

/* An event as one side of a finding. seq is its number in the capture, from 1; 0: none. */
struct origin {
	uint64_t seq, t;
	uint32_t cpu, tid, comm;
	uint8_t kind;
};

struct loss {
	uint32_t cause;		  /* strings id; 0: the trace does not say */
	uint64_t records;	  /* as far as counted */
	uint64_t places, unknown; /* lost events; those that do not say how many records */
};

struct losses {
	struct loss loss[TALLY_ROOM];
	size_t n;
};

/* What failed with one error: area_fill_end, domain_add_end, map_failed. */
struct failure {
	uint8_t kind;
	int64_t rc; /* 0: not known, or several */
	uint64_t n;
	struct origin first;
};

struct failures {
	struct failure failure[TALLY_ROOM];
	size_t n;
};

void tally_loss(struct losses *to, const struct loss *l);
void tally_failure(struct failures *to, const struct failure *f);

#endif
