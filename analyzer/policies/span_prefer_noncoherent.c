/* SPDX-License-Identifier: GPL-2.0-or-later */
/* span-prefer-noncoherent: span, but an area takes a non-coherent domain as its storage whenever there is one. */
#include "analyzer/policies/policies.h"

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return span_map(s, IOFLUSH_STORAGE_PREFER_NONCOHERENT);
}

const struct ioflush_policy_ops policy_span_prefer_noncoherent = {
	.name = "span-prefer-noncoherent",
	.summary = "as span, and an area's storage domain is a non-coherent one if there is any",
	.origin = "10 May 2024",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_SOURCE | IOFLUSH_NEEDS_COHERENT,
	.map = map,
	.unmap = span_unmap,
};
