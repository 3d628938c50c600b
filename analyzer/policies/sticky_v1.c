/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sticky-v1: one bit in the iopt_pages says "flushed for a non-coherent domain". The fill that sets it flushes, later
 * fills do not; with the bit set, every page is flushed before it is unpinned. The bit covers the whole iopt_pages, but
 * fills are partial and pages are unpinned in between, so it promises flushes that never happened.
 */
#include "analyzer/policies/policies.h"

static void fill(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	bool req = f->iopt->noncoherent > 0 && !ioflush_get(self, f->pages->marks);

	ioflush_set(self, &f->area->req, req);
	if (req)
		ioflush_set(self, &f->pages->marks, true);
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->area->req);
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->pages->marks);
}

const struct ioflush_policy_ops policy_sticky_v1 = {
	.name = "sticky-v1",
	.summary = "a bit in the iopt_pages: the first non-coherent fill sets it and flushes; while it is set, every unpin flushes",
	.origin = "7 May 2024, patch 5/5 as posted",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.fill = fill,
	.map = map,
	.unpin = unpin,
};
