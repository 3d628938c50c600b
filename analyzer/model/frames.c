/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of frames; see frames.h. */
#include "analyzer/model/frames.h"

void frames_init(struct frames *f, struct ioflush_policy *const *policies, size_t n, const struct model_observer *obs,
		 struct budget *budget)
{
	static const struct model_observer nobody;

	f->n = n;
	f->map.budget = budget;
	f->obs = obs ? obs : &nobody;
	for (size_t i = 0; i < n; i++) {
		const struct ioflush_policy_ops *ops = policies[i]->ops;
		const hook_fn fn[HOOKS] = {ops->map, ops->unmap, ops->unpin, ops->access};

		f->all |= policies[i]->bit;
		for (int h = 0; h < HOOKS; h++) {
			struct hook_list *l = &f->hook[h];

			if (!fn[h])
				continue;
			l->entry[l->n].fn = fn[h];
			l->entry[l->n++].policy = policies[i];
		}
	}
}

void frames_break(struct frames *f)
{
	f->open = f->open_unknown = 0;
}

/* Counts a flush of n pages by the policies in mask; key is the first PFN, or the first index of unknown frames. */
static void count_flush(struct frames *f, enum hook hook, uint64_t mask, uint64_t key, uint64_t n, bool unknown)
{
	uint64_t *open = unknown ? &f->open_unknown : &f->open;

	for (uint64_t left = mask; left; left &= left - 1) {
		int i = __builtin_ctzll(left);

		f->counts[i].flush[hook] += n;
		f->counts[i].ranges += !(*open >> i & 1) || f->next[i] != key;
		f->next[i] = key + n;
	}
	/* a policy that skips these pages may still continue its range: its next page decides */
	*open |= mask;
	if (unknown)
		f->open &= ~mask;
	else
		f->open_unknown &= ~mask;
}

/* Asks the policies of a hook about the step's span. Returns the bits of those that flush. */
static uint64_t ask(const struct hook_list *l, const struct ioflush_span *span)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->entry[i].fn(l->entry[i].policy, span))
			mask |= l->entry[i].policy->bit;
	}
	return mask;
}

/* Calls the hook for frames lo to hi in one state, counts flushes, sets clean bits unless a device may dirty again. */
static void flush(struct step *s, enum hook hook, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct frames *f = s->frames;
	uint64_t mask;

	if (!f->hook[hook].n)
		return;
	s->span.index = s->index + (lo - s->pfn);
	s->span.npages = hi - lo + 1;
	s->span.pfn = lo;
	s->span.clean = v->bits & FRAME_CLEAN;
	s->span.pin = v->pin;
	s->span.nc = v->nc;
	s->span.ever = v->bits & FRAME_EVER;
	mask = ask(&f->hook[hook], &s->span);
	if (!mask)
		return;
	count_flush(f, hook, mask, lo, hi - lo + 1, false);
	if (!v->nc)
		v->bits |= mask;
	if (f->obs->flushed)
		f->obs->flushed(f->obs->ctx, lo, hi, hook, mask, &f->now);
}

/* Counts a gap of frames lo to hi, all in state v, for the policies in mask, and tells the observer. */
static void gap(const struct step *s, enum gap_kind kind, enum hook hook, uint64_t mask, uint64_t lo, uint64_t hi,
		const struct frame *v)
{
	bool unordered = s->area->pages->overlapped || s->area->iopt->overlapped;
	struct frames *f = s->frames;
	struct gap_span g;

	if (!mask)
		return;
	for (uint64_t left = mask; left; left &= left - 1) {
		struct policy_counts *c = &f->counts[__builtin_ctzll(left)];

		c->gaps[kind] += hi - lo + 1;
		if (!v->tainted)
			c->if_new[kind] += hi - lo + 1;
		if (unordered)
			c->unordered[kind] += hi - lo + 1;
		if (kind == GAP_LEAK && s->was_here)
			c->stale_leak += hi - lo + 1;
	}
	if (!f->obs->gap)
		return;
	g = (struct gap_span){
		.kind = kind,
		.policies = mask,
		.pfn = lo,
		.npages = hi - lo + 1,
		.index = s->index + (lo - s->pfn),
		.iopt = &s->area->iopt->pub,
		.domain = s->domain ? &s->domain->pub : NULL,
		.area = &s->area->pub,
		.pages = &s->area->pages->pub,
		.iopt_serial = s->area->iopt->serial,
		.domain_serial = s->domain ? s->domain->serial : 0,
		.pages_serial = s->area->pages->serial,
		.device = s->device,
		.hook = hook,
		.filling = s->filling,
		.was_here = kind == GAP_LEAK && s->was_here,
		.unordered = unordered,
		.if_new = !v->tainted,
		.lost = f->lost,
		.event = f->now,
		.fill = s->area->fill.seq || !s->domain ? s->area->fill : s->domain->removal,
		.area_mark = s->area->mark,
		.pages_mark = s->area->pages->mark,
	};
	g.iova = area_index_iova(s->area, g.index);
	f->obs->gap(f->obs->ctx, &g);
}

static void touched(const struct frames *f, uint64_t lo, uint64_t hi)
{
	if (f->obs->touched)
		f->obs->touched(f->obs->ctx, lo, hi, &f->now);
}

/* nc rises or falls by one. Returns whether that exposed or hid the frames. */
static bool expose(struct frames *f, uint64_t lo, uint64_t hi, struct frame *v)
{
	v->bits |= FRAME_EVER;
	if (v->nc++)
		return false;
	f->exposed += hi - lo + 1;
	if (f->exposed > f->peak_exposed)
		f->peak_exposed = f->exposed;
	if (f->obs->exposed)
		f->obs->exposed(f->obs->ctx, lo, hi, &f->now);
	return true;
}

static bool hide(struct frames *f, uint64_t lo, uint64_t hi, struct frame *v)
{
	if (--v->nc)
		return false;
	f->exposed -= hi - lo + 1;
	if (f->obs->hidden)
		f->obs->hidden(f->obs->ctx, lo, hi, &f->now);
	return true;
}

static void pin(struct frames *f, uint64_t lo, uint64_t hi, struct frame *v)
{
	if (v->pin++)
		return;
	v->bits = 0;
	v->tainted = v->suspect;
	if (f->obs->pinned)
		f->obs->pinned(f->obs->ctx, lo, hi, &f->now);
}

static void unpin(struct frames *f, uint64_t lo, uint64_t hi, struct frame *v)
{
	if (--v->pin)
		return;
	v->bits = 0;
	v->tainted = 0;
	if (f->obs->released)
		f->obs->released(f->obs->ctx, lo, hi, &f->now);
}

static void map_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct step *s = ctx;
	uint64_t dirty;

	if (s->pin)
		pin(s->frames, lo, hi, v);
	v->tainted |= s->tainted;
	if (s->ask)
		flush(s, HOOK_MAP, lo, hi, v);
	if (s->domain->pub.noncoherent) {
		dirty = v->nc ? 0 : s->frames->all & ~v->bits;
		gap(s, v->bits & FRAME_EVER ? GAP_REEXPOSE : GAP_LEAK, HOOK_MAP, dirty, lo, hi, v);
		expose(s->frames, lo, hi, v);
	}
	touched(s->frames, lo, hi);
}

static void unmap_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct step *s = ctx;
	bool hidden = s->domain->pub.noncoherent && hide(s->frames, lo, hi, v);

	v->tainted |= s->tainted;
	if (hidden)
		v->bits &= ~FRAME_CLEAN;
	flush(s, HOOK_UNMAP, lo, hi, v);
	if (hidden && s->span.held)
		gap(s, GAP_ACCESS, HOOK_UNMAP, s->frames->all & ~v->bits, lo, hi, v);
	touched(s->frames, lo, hi);
}

static void unpin_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct step *s = ctx;

	v->tainted |= s->tainted;
	flush(s, HOOK_UNPIN, lo, hi, v);
	if (v->pin == 1 && !v->nc && v->bits & FRAME_EVER)
		gap(s, GAP_RELEASE, HOOK_UNPIN, s->frames->all & ~v->bits, lo, hi, v);
	unpin(s->frames, lo, hi, v);
	touched(s->frames, lo, hi);
}

static void access_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct step *s = ctx;

	v->tainted |= s->tainted;
	flush(s, HOOK_ACCESS, lo, hi, v);
	if (!v->nc && v->bits & FRAME_EVER)
		gap(s, GAP_ACCESS, HOOK_ACCESS, s->frames->all & ~v->bits, lo, hi, v);
	touched(s->frames, lo, hi);
}

static void drop_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	struct step *s = ctx;

	if (s->domain && s->domain->pub.noncoherent)
		hide(s->frames, lo, hi, v);
	if (s->pin)
		unpin(s->frames, lo, hi, v);
	touched(s->frames, lo, hi);
}

static void taint_span(void *ctx, uint64_t lo, uint64_t hi, struct frame *v)
{
	const bool *still = ctx;

	(void)lo, (void)hi;
	v->suspect |= *still;
	v->tainted |= v->pin > 0;
}

int frames_taint(struct frames *f, uint64_t lo, uint64_t hi, bool still)
{
	return framemap_update(&f->map, lo, hi, taint_span, &still);
}

int frames_map(struct step *s, uint64_t lo, uint64_t hi)
{
	return framemap_update(&s->frames->map, lo, hi, map_span, s);
}

int frames_unmap(struct step *s, uint64_t lo, uint64_t hi)
{
	return framemap_update(&s->frames->map, lo, hi, unmap_span, s);
}

int frames_unpin(struct step *s, uint64_t lo, uint64_t hi)
{
	return framemap_update(&s->frames->map, lo, hi, unpin_span, s);
}

int frames_access(struct step *s, uint64_t lo, uint64_t hi)
{
	return framemap_update(&s->frames->map, lo, hi, access_span, s);
}

int frames_drop(struct step *s, uint64_t lo, uint64_t hi, bool unmap, bool unpin_too)
{
	s->pin = unpin_too;
	if (!unmap)
		s->domain = NULL;
	return framemap_update(&s->frames->map, lo, hi, drop_span, s);
}

void frames_unpin_unknown(struct step *s, uint64_t index, uint64_t npages)
{
	struct frames *f = s->frames;
	uint64_t mask;

	s->span.index = index;
	s->span.npages = npages;
	s->span.pfn = IOFLUSH_PFN_UNKNOWN;
	s->span.clean = s->span.pin = s->span.nc = 0;
	s->span.ever = false;
	mask = ask(&f->hook[HOOK_UNPIN], &s->span);
	if (mask)
		count_flush(f, HOOK_UNPIN, mask, index, npages, true);
}
