/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * span: keeps no state. A fill for a non-coherent domain flushes, except for pages that the kernel reads back from a
 * non-coherent storage domain: those are exposed already. Every unmap from a non-coherent domain flushes.
 */
#include "analyzer/policies/policies.h"

bool span_map(const struct ioflush_span *s, enum ioflush_storage rule)
{
	return ioflush_noncoherent(s->iopt, s->domain) && s->source[rule] != IOFLUSH_SOURCE_NONCOHERENT;
}

bool span_unmap(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return s->domain->noncoherent;
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return span_map(s, IOFLUSH_STORAGE_FIRST);
}

const struct ioflush_policy_ops policy_span = {
	.name = "span",
	.summary = "flush every non-coherent fill, except pages read back from a non-coherent storage domain; flush at every non-coherent unmap",
	.origin = "17 May 2024 (and 14 May), read as: the storage domain that the kernel reads from decides",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_SOURCE | IOFLUSH_NEEDS_COHERENT,
	.map = map,
	.unmap = span_unmap,
};
