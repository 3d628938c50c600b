/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * area-flag: a bit in the area, as vfio type1 has it in the vfio_dma. It says that the area was mapped non-coherently; the
 * fill that sets it flushes, and unmaps through the area flush before they unpin. It falls when the iopt's last domain
 * goes. What an in-kernel access lets go is not flushed, for no area is at hand there.
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
	.origin = "15 May 2024; vfio type1, patch 4/5",
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.clear_area_when_idle = true,
	.fill = fill,
	.map = map,
	.unpin = unpin,
};
