/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sticky-max: the first fill for a non-coherent domain sets a bit in the iopt_pages; from then on every map and unmap
 * flushes, whatever the domain. The simplest safe policy, and the one that flushes most.
 */
#include "analyzer/policies/policies.h"

static void fill(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	if (ioflush_noncoherent(f->iopt, f->domain))
		ioflush_set(self, &f->pages->marks, true);
}

static bool marked(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->pages->marks);
}

const struct ioflush_policy_ops policy_sticky_max = {
	.name = "sticky-max",
	.summary = "a bit in the iopt_pages makes every map and unmap flush",
	.origin = "21 May 2024, \"overflush on every map and unmap\"",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.fill = fill,
	.map = marked,
	.unmap = marked,
};
