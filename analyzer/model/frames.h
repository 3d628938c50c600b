/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames: how often each is pinned and exposed, what the policies flush, and where they are wrong (semantics.md,
 * sections 4 to 7). This is the heart of the audit, and the only place that counts flushes and gaps.
 *
 * A step is one thing that happens to a range of frames within one event, such as a map. It is applied span by span:
 * the span map hands over maximal runs of frames in one state, and every policy is asked once for each run.
 *
 * Invariants: nc is never above the number of mappings of the frame, so pin 0 means nc 0. A frame without an entry has
 * pin 0. An entry with pin 0 has no bit but "suspect". Bit i of clean belongs to policy i.
 */
#ifndef IOFLUSH_ANALYZER_MODEL_FRAMES_H
#define IOFLUSH_ANALYZER_MODEL_FRAMES_H

#include "analyzer/model/model.h"
#include "analyzer/model/objects.h"

struct frame {
	uint32_t pin;
	uint32_t nc : 30;
	uint32_t tainted : 1; /* since pin rose from 0: touched through what may be older than the recording */
	uint32_t suspect : 1; /* events showed that an older iopt_pages pins it; kept while pin is 0 */
	uint64_t bits;	      /* clean bits, and FRAME_EVER */
};
#define FRAME_EVER (1ull << 63)
#define FRAME_CLEAN (FRAME_EVER - 1)

#define SPANMAP framemap
#define SPANMAP_VALUE struct frame
#define SPANMAP_SAME(a, b)                                                                                             \
	((a)->pin == (b)->pin && (a)->nc == (b)->nc && (a)->tainted == (b)->tainted && (a)->suspect == (b)->suspect && \
	 (a)->bits == (b)->bits)
#define SPANMAP_EMPTY(v) (!(v)->pin && !(v)->suspect)
#include "analyzer/model/spanmap.h"

typedef bool (*hook_fn)(struct ioflush_policy *self, const struct ioflush_span *s);

/* The policies that act at one hook. */
struct hook_list {
	struct {
		hook_fn fn;
		struct ioflush_policy *policy;
	} entry[MODEL_MAX_POLICIES];
	size_t n;
};

struct frames {
	struct framemap map;
	struct hook_list hook[HOOKS];
	uint64_t all; /* the bits of all policies */
	size_t n;
	struct policy_counts counts[MODEL_MAX_POLICIES];
	uint64_t exposed, peak_exposed;	  /* frames with nc > 0 */
	uint64_t lost;			  /* lost events so far */
	const struct model_observer *obs; /* never NULL */
	struct origin now;		  /* the event under way; kept up only if someone observes */

	/* ranges flushed together: policies with one open, and the PFN (index, for unknown frames) that continues it */
	uint64_t open, open_unknown;
	uint64_t next[MODEL_MAX_POLICIES];
};

/* What all pages of a step have in common. */
struct step {
	struct frames *frames;
	struct area *area;
	const struct domain *domain; /* NULL: an access */
	uint32_t device;
	uint64_t index; /* of the page in frame pfn */
	uint64_t pfn;
	bool pin;		  /* map: pins the frame */
	bool ask;		  /* map: the policies are asked */
	bool filling;		  /* map: a fill of all domains */
	bool was_here;		  /* map: the frame was at this place before it was unpinned */
	bool tainted;		  /* through an iopt_pages or iopt that may be older than the recording */
	struct ioflush_span span; /* what policies are told; frames.c fills in the fields of the frame and the place */
};

/* Memory for frames comes from the budget, which may be NULL. */
void frames_init(struct frames *f, struct ioflush_policy *const *policies, size_t n, const struct model_observer *obs,
		 struct budget *budget);

/* Call it before each event, and between its unmaps and unpins: flushes before and after do not make one range. */
void frames_break(struct frames *f);

/* Each applies one step to the frames lo to hi (inclusive). 0, or -1: no memory. */
int frames_map(struct step *s, uint64_t lo, uint64_t hi);			   /* [pin], H1 or H2, exposure, nc */
int frames_unmap(struct step *s, uint64_t lo, uint64_t hi);			   /* nc, H3, access */
int frames_unpin(struct step *s, uint64_t lo, uint64_t hi);			   /* H4, release, pin */
int frames_access(struct step *s, uint64_t lo, uint64_t hi);			   /* H5, access */
int frames_drop(struct step *s, uint64_t lo, uint64_t hi, bool unmap, bool unpin); /* no hook, no audit */

/* Events show that an object older than the recording also pins these frames, or (not still) did until now. 0 or -1. */
int frames_taint(struct frames *f, uint64_t lo, uint64_t hi, bool still);

/* H4 for npages of unknown frames from index on: counts the flush; there is nothing to audit. */
void frames_unpin_unknown(struct step *s, uint64_t index, uint64_t npages);

#endif
