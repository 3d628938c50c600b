/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * area-flag: one bit in the area, like the one of vfio type1 in vfio_dma: the area was mapped non-coherently. The fill
 * that sets it flushes; with the bit set, unmaps through the area flush before they unpin. The bit is cleared when the
 * iopt loses its last domain. (type1 itself pins the pages of mediated devices separately.) Pages that an in-kernel access releases are not flushed: no area is known there.
 */
#include "analyzer/policies/policies.h"

static void fill(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	bool req;

	if (!f->domain) {
		ioflush_set(self, &f->area->marks, f->iopt->noncoherent > 0);
		return;
	}
	req = f->domain->noncoherent && !ioflush_get(self, f->area->marks);
	ioflush_set(self, &f->area->req, req);
	if (req)
		ioflush_set(self, &f->area->marks, true);
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->domain ? s->area->req : s->area->marks);
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return !s->by_access && ioflush_get(self, s->area->marks);
}

const struct ioflush_policy_ops policy_area_flag = {
	.name = "area-flag",
	.summary = "a bit in the area: the first non-coherent fill sets it and flushes; while it is set, unpins through the area flush",
	.origin = "15 May 2024; the scheme of vfio type1 (patch 4/5), moved to iommufd",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.clear_area_when_idle = true,
	.fill = fill,
	.map = map,
	.unpin = unpin,
};
