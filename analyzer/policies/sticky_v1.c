/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sticky-v1: one bit in the pages says "flushed for a non-coherent domain"; the fill that sets it flushes, later fills do
 * not, and with the bit set every page is flushed before it is unpinned. The bit speaks for the whole pages although
 * fills are partial and pages are unpinned in between, so it promises what was never done.
 *
 * As posted, the fill of a new area sets the bit when its first batch was read, so one that cannot pin anything leaves it
 * alone; the fill of a joining domain sets it at once, whatever comes of it. The count of non-coherent domains falls at
 * every join that fails, also at that of a coherent one.
 */
#include <stdio.h>
#include <string.h>

#include "analyzer/policies/policies.h"

static const struct ioflush_param params[] = {
	{"unwind", "the count of non-coherent domains after a failed join: posted (falls always) or mended", "posted"},
	{NULL, NULL, NULL},
};

static const bool posted = true, mended = false;

static int init(struct ioflush_policy *self, const char *const *values, char *err, size_t err_len)
{
	if (!strcmp(values[0], "posted"))
		self->data = (void *)&posted;
	else if (!strcmp(values[0], "mended"))
		self->data = (void *)&mended;
	else
		snprintf(err, err_len, "unwind '%.32s' is none of posted, mended", values[0]);
	return self->data ? 0 : -1;
}

/* The kernel's counter has 32 bits, and nothing keeps it from going below 0. */
static bool counted(const struct ioflush_policy *self, const struct ioflush_iopt *iopt)
{
	return iopt->noncoherent - (self->data == &posted ? iopt->failed_coherent : 0);
}

static void fill(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	bool req = counted(self, f->iopt) && !ioflush_get(self, f->pages->marks);

	ioflush_set(self, &f->area->req, req);
	if (req && f->domain)
		ioflush_set(self, &f->pages->marks, true);
}

static void map_failed(struct ioflush_policy *self, const struct ioflush_fill *f)
{
	if (ioflush_get(self, f->area->req))
		ioflush_set(self, &f->pages->marks, true);
}

static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	bool req = ioflush_get(self, s->area->req);

	if (req)
		ioflush_set(self, &s->pages->marks, true);
	return req;
}

static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	return ioflush_get(self, s->pages->marks);
}

const struct ioflush_policy_ops policy_sticky_v1 = {
	.name = "sticky-v1",
	.summary = "a bit in the iopt_pages: the first non-coherent fill sets it and flushes; while it is set, every unpin flushes",
	.origin = "7 May 2024, patch 5/5 as posted",
	.params = params,
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.init = init,
	.fill = fill,
	.map_failed = map_failed,
	.map = map,
	.unpin = unpin,
};
