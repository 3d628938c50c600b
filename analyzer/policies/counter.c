/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counter: flush while the iopt counts a non-coherent domain, at fills and before unpins. The count falling to zero does
 * not mean that the pages were flushed: whatever else still holds them lets them go unflushed later.
 */
#include "analyzer/policies/policies.h"

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return ioflush_noncoherent(s->iopt, s->domain);
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return s->iopt->noncoherent > 0;
}

const struct ioflush_policy_ops policy_counter = {
	.name = "counter",
	.summary = "flush fills and unpins while the iopt has a non-coherent domain",
	.origin = "21 May 2024, what a bare counter would do",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.map = map,
	.unpin = unpin,
};
