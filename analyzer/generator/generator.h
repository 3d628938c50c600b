/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generated traces: a small simulation of iommufd, read like any other source. The same options give the same events on
 * any machine (own random numbers, integers only). The live state does not grow with the number of events.
 */
#ifndef IOFLUSH_ANALYZER_GENERATOR_GENERATOR_H
#define IOFLUSH_ANALYZER_GENERATOR_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/source.h"

enum generate_shape {
	GENERATE_VMBOOT, /* VMs boot one after another: gigabytes in large runs, then small windows that come and go */
	GENERATE_CHURN,	 /* many small maps, unmaps, copies, attaches and detaches */
	GENERATE_MIXED,	 /* everything iommufd does: failures, accesses, cuts, offsets, sharing, unknown coherency */
	GENERATE_SHAPES
};

extern const char *const generate_shape_names[GENERATE_SHAPES]; /* "vmboot", "churn", "mixed" */

/* Shares are in thousandths. generate_defaults() fills all of it in. */
struct generate_options {
	uint64_t seed;
	uint64_t events; /* at least this many; then everything is unmapped and removed */
	enum generate_shape shape;
	bool no_teardown;      /* stop without unmapping */
	uint32_t live;	       /* most live areas, 1 to GENERATE_MAX_LIVE (vmboot: windows beside the RAM) */
	uint32_t iopts;	       /* 1 to 64; vmboot: 1 */
	uint32_t domains;      /* most in one iopt, 1 to 16 */
	uint32_t accesses;     /* most in-kernel accesses held at one time, 0 to 64 */
	uint32_t run_order;    /* physical runs of up to 2^run_order pages, 0 to 18 */
	uint64_t area_pages;   /* most pages in an area, 1 to 2^24 */
	uint64_t memory_pages; /* user memory under the iopt_pages, 1 to 2^28; little memory: much sharing */
	uint32_t fail;	       /* share of fills and attaches that fail */
	uint32_t coherent;     /* share of coherent domains */
	uint32_t unknown;      /* share of domains whose coherency is unknown */
	uint32_t offset;       /* share of areas that start inside a page */
	uint32_t share;	       /* share of new iopt_pages over memory that has one already */
	bool cuts;
};

#define GENERATE_VM_RAMS 3 /* vmboot: areas of RAM, beside the windows */
#define GENERATE_MAX_LIVE 1000000u
#define GENERATE_MAX_EVENTS (1ull << 40)

/* The defaults of a shape, for a seed and a number of events. */
void generate_defaults(struct generate_options *o, enum generate_shape shape, uint64_t seed, uint64_t events);

/*
 * Opens a source of one capture, format "generated". 0, or -1 and the error: an option out of range, or no memory.
 * Events of an operation come in the kernel's order, and nothing occurs that "a complete trace never shows". Unpin
 * events are those of the kernel: one for each page that the model derives as unpinned with a known PFN, and one for
 * each page that was pinned but never mapped (held only by accesses, or by a failed fill).
 */
int generate_open(struct source **out, const struct generate_options *o, struct error *e);

#endif
