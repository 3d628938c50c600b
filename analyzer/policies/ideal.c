/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ideal: knows the state of each frame, and flushes only where a gap would open otherwise. No kernel can know so much: its
 * state is that of an iopt_pages, and one frame can lie under several. As long as no fill or join fails it is the lower
 * bound: no policy without gaps can flush less. A fill that fails before it reaches a non-coherent domain needs no flush.
 */
#include "analyzer/policies/policies.h"

static bool dirty(const struct ioflush_policy *self, const struct ioflush_span *s)
{
	return !s->nc && !ioflush_get(self, s->clean);
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_noncoherent(s->iopt, s->domain) && dirty(self, s);
}

static bool unmap(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return s->domain->noncoherent && s->held && dirty(self, s);
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return s->pin == 1 && s->ever && dirty(self, s);
}

static bool access(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return s->ever && dirty(self, s);
}

const struct ioflush_policy_ops policy_ideal = {
	.name = "ideal",
	.summary = "flush only where a gap would follow otherwise, with full knowledge of every frame",
	.origin = "lower bound with no gap of any kind, if no fill fails",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_ACCESS | IOFLUSH_NEEDS_COHERENT,
	.map = map,
	.unmap = unmap,
	.unpin = unpin,
	.access = access,
};
