/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sticky-always: flush every fill for a non-coherent domain. Such a fill sets a bit in the iopt_pages; once it is set,
 * every unpin flushes. The bit only adds flushes, so it cannot be wrong about pages that are pinned later.
 */
#include "analyzer/policies/policies.h"

static void fill(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	if (ioflush_noncoherent(f->iopt, f->domain))
		ioflush_set(self, &f->pages->marks, true);
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return ioflush_noncoherent(s->iopt, s->domain);
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->pages->marks);
}

const struct ioflush_policy_ops policy_sticky_always = {
	.name = "sticky-always",
	.summary = "flush every non-coherent fill; a bit in the iopt_pages makes every unpin flush",
	.origin = "16 May 2024 summary; 21 May \"one bit\"",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.fill = fill,
	.map = map,
	.unpin = unpin,
};
