/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sentences of a finding: what happens, why it is a gap, which flush is missing; see findings.h. */
#include <inttypes.h>
#include <stdio.h>

#include "analyzer/findings/findings.h"
#include "analyzer/findings/wording.h"
#include "base/text.h"

const char *finding_reason_text(enum finding_reason r)
{
	switch (r) {
	case REASON_PINNED:
		return "no flush since they were pinned";
	case REASON_PRE_PIN:
		return "the policy's bit was set before they were pinned";
	case REASON_POST_PIN:
		return "the policy's bit was set after they were pinned, without a flush of them";
	case REASON_HIDDEN:
		return "no flush since they were hidden";
	default:
		return "no flush since a device could write them";
	}
}

const char *finding_what(const struct finding *g)
{
	switch (g->kind) {
	case GAP_LEAK:
		if (g->stale_pages == g->npages)
			return "a non-coherent device can read stale memory, older data of the same place: the same frames, "
			       "pinned again and exposed without a flush";
		if (g->stale_pages)
			return "a non-coherent device can read what memory held before, some of it perhaps another "
			       "owner's data: first exposed without a flush";
		return "a non-coherent device can read what memory held before, perhaps another owner's data: first "
		       "exposed without a flush";
	case GAP_REEXPOSE:
		return "exposed to a non-coherent device again, without a flush since it was last exposed";
	case GAP_RELEASE:
		return "goes back to its owner with stale cache lines: no flush since a device could write it";
	default:
		return "an in-kernel access reads it through stale cache lines: no flush since a device could write it";
	}
}

/* The calls that lead to batch_unpin(), by the operation that unpins. */
static const char *unpin_path(const struct finding *g)
{
	if (g->event.kind == EV_access_remove)
		return "iopt_area_remove_access() -> iopt_pages_unfill_xarray()";
	switch (g->within.seq ? g->within.kind : EV_NONE) {
	case EV_NONE: /* no operation on the area: its domain leaves, or did not join */
		return "iopt_area_unfill_domain(), from iopt_table_remove_domain() or the error path of iopt_fill_domain()";
	case EV_domain_remove:
		return "iopt_table_remove_domain() -> iopt_unfill_domain() -> iopt_area_unfill_domain()";
	case EV_area_fill:
		return "the error path of iopt_area_fill_domains()";
	case EV_area_add_domain:
		return "the error path of iopt_area_fill_domain()";
	case EV_domain_add:
		return "the error path of iopt_fill_domain()";
	default:
		return "iopt_area_unfill_domains()";
	}
}

void finding_missing(const struct finding *g, char *buf, size_t len)
{
	if (g->kind == GAP_RELEASE)
		snprintf(buf, len, "flush at unpin, before unpin_user_page_range_dirty_lock() in batch_unpin(); path: %s",
			 unpin_path(g));
	else if (g->kind == GAP_ACCESS && g->event.kind == EV_unmap)
		snprintf(buf, len,
			 "flush at unmap, after iommu_unmap() of the last non-coherent mapping "
			 "(iopt_area_unmap_domain_range()), as an access holds the pages");
	else if (g->kind == GAP_ACCESS)
		snprintf(buf, len, "flush at access, before iopt_area_add_access() returns the pages");
	else if (g->filling)
		snprintf(buf, len,
			 "flush at map, before iommu_map(); path: iopt_area_fill_domains() -> batch_to_domain()");
	else
		snprintf(buf, len,
			 "flush at map, before iommu_map(); path: iopt_table_add_domain() -> "
			 "iopt_fill_domain() -> iopt_area_fill_domain() -> batch_to_domain()");
}

/* "the map at 1.000000000 (event 3)" */
static const char *the_event(char *buf, size_t len, const struct origin *o)
{
	char when[32];

	text_time(when, sizeof(when), o->t);
	if (o->seq)
		snprintf(buf, len, "the %s at %s (event %" PRIu64 ")", event_table[o->kind].name, when, o->seq);
	else
		snprintf(buf, len, "an event not in the trace");
	return buf;
}

struct phrases {
	char event[128], mark[128], pinned[128], exposed[128], hidden[128];
};

static void why_leak(const struct finding *g, const struct phrases *t, const char *policy, char *buf, size_t len)
{
	const char *object = g->mark_in_area ? "area" : "pages";
	uint64_t id = g->mark_in_area ? g->area : g->pages;

	if (g->reason == REASON_PINNED && g->pinned.seq == g->event.seq)
		snprintf(buf, len, "%s pinned these frames and exposed them, and policy %s did not flush them in between",
			 t->event, policy);
	else if (g->reason == REASON_PINNED)
		snprintf(buf, len,
			 "%s pinned these frames; policy %s did not flush them then, nor before %s exposed them",
			 t->pinned, policy, t->event);
	else if (g->reason == REASON_PRE_PIN)
		snprintf(buf, len,
			 "%s's bit in %s 0x%" PRIx64 " was set by %s; these frames were pinned after it, by %s, so no "
			 "flush made for that bit covers them, and %s exposed them without one",
			 policy, object, id, t->mark, g->pinned.seq == g->event.seq ? "the same event" : t->pinned,
			 t->event);
	else
		snprintf(buf, len,
			 "%s's bit in %s 0x%" PRIx64 " was set by %s, which did not flush these frames, pinned since %s "
			 "(it failed before it reached them, or covered others), and %s exposed them without a flush",
			 policy, object, id, t->mark, t->pinned, t->event);
}

static void why_reexpose(const struct finding *g, const struct phrases *t, const char *policy, char *buf, size_t len)
{
	int n = snprintf(buf, len,
			 "these frames were exposed by %s and hidden by %s; policy %s has not flushed them since, and "
			 "%s exposed them again",
			 t->exposed, t->hidden, policy, t->event);

	if (g->mark.seq && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, "; its bit in %s 0x%" PRIx64 " was set by %s",
			 g->mark_in_area ? "area" : "pages", g->mark_in_area ? g->area : g->pages, t->mark);
}

void finding_why(const struct finding *g, const char *policy, char *buf, size_t len)
{
	struct phrases t;

	the_event(t.event, sizeof(t.event), &g->event);
	the_event(t.mark, sizeof(t.mark), &g->mark);
	the_event(t.pinned, sizeof(t.pinned), &g->pinned);
	the_event(t.exposed, sizeof(t.exposed), &g->exposed);
	the_event(t.hidden, sizeof(t.hidden), &g->hidden);
	if (g->kind == GAP_LEAK)
		why_leak(g, &t, policy, buf, len);
	else if (g->kind == GAP_REEXPOSE)
		why_reexpose(g, &t, policy, buf, len);
	else if (g->hidden.seq == g->event.seq)
		snprintf(buf, len,
			 "a device could write these frames from %s on, until %s took away the last non-coherent mapping; "
			 "policy %s did not flush them %s",
			 t.exposed, t.event, policy,
			 g->kind == GAP_RELEASE ? "before it unpinned them" : "for the access that holds them");
	else
		snprintf(buf, len,
			 "a device could write these frames from %s until %s; policy %s has not flushed them since, and %s %s",
			 t.exposed, t.hidden, policy, t.event,
			 g->kind == GAP_RELEASE ? "lets them go" : "gives them to an access");
}
