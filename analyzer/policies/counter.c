/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counter: flush at fills and before unpins while the iopt has a non-coherent domain. When the count falls to 0, the
 * pages are not flushed; whatever still pins them then may unpin them later without a flush.
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
