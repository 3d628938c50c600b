/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From gaps to findings; see findings.h. A gap is a span of frames. The history of frames is a span map by PFN: which
 * events pinned, exposed and hid them last. It cuts the gap into pieces of one history each; each piece is counted in
 * the finding with its key.
 *
 * The history holds pinned frames only (a release removes them), so it is as large as the live state. It relies on the
 * order in which the model tells: the gap of an exposure comes before exposed(), that of a release before released(),
 * and hidden() before the gaps of the same unmap.
 */
#include "analyzer/findings/findings.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(elt) ((elt)->lost_entry = true)
#include <uthash.h>

#include "base/grow.h"

struct history {
	struct origin pinned, exposed, hidden;
};
#define SPANMAP history_map
#define SPANMAP_VALUE struct history
#define SPANMAP_SAME(a, b)                                                             \
	((a)->pinned.seq == (b)->pinned.seq && (a)->exposed.seq == (b)->exposed.seq && \
	 (a)->hidden.seq == (b)->hidden.seq)
#define SPANMAP_EMPTY(v) (!(v)->pinned.seq && !(v)->exposed.seq && !(v)->hidden.seq)
#include "analyzer/model/spanmap.h"

/* The serials of the iopt_pages in a finding, each once. */
#define SPANMAP serial_set
#define SPANMAP_VALUE bool
#define SPANMAP_SAME(a, b) (*(a) == *(b))
#define SPANMAP_EMPTY(v) (!*(v))
#include "analyzer/model/spanmap.h"

/* All members have one size, so the hash reads no padding. */
struct finding_key {
	uint64_t capture, kind, reason, hook, iopt, domain, device, event_kind, within_kind, setup_kind;
};

struct entry {
	struct finding g;
	struct finding_key key;
	uint64_t domain_serial;
	struct serial_set pages;
	bool lost_entry; /* no memory to enter it in the hash */
	UT_hash_handle hh;
};

#define ENTRY_MEMORY (sizeof(struct entry) + BUDGET_HASHED)

struct findings {
	struct budget *budget;
	const struct ioflush_policy *policy;
	struct model_observer obs;
	const struct intern *from; /* of the current capture's events */
	struct intern *strings;	   /* our own, which outlive the source */
	uint64_t capture;
	bool ticks;
	struct history_map history;
	struct entry *hash;
	struct entry **list; /* owns them */
	size_t n, cap;
	bool oom;
};

const char *const finding_roles[] = {
	[REASON_PINNED] = "pinned", [REASON_PRE_PIN] = "bit-set", [REASON_POST_PIN] = "bit-set",
	[REASON_HIDDEN] = "hidden", [REASON_EXPOSED] = "exposed",
};

/* The frames' history */

static void set_pinned(void *ctx, uint64_t lo, uint64_t hi, struct history *v)
{
	(void)lo, (void)hi;
	memset(v, 0, sizeof(*v));
	v->pinned = *(const struct origin *)ctx;
}

static void set_exposed(void *ctx, uint64_t lo, uint64_t hi, struct history *v)
{
	(void)lo, (void)hi;
	v->exposed = *(const struct origin *)ctx;
}

static void set_hidden(void *ctx, uint64_t lo, uint64_t hi, struct history *v)
{
	(void)lo, (void)hi;
	v->hidden = *(const struct origin *)ctx;
}

static void set_released(void *ctx, uint64_t lo, uint64_t hi, struct history *v)
{
	(void)ctx, (void)lo, (void)hi;
	memset(v, 0, sizeof(*v));
}

static void remember(struct findings *f, uint64_t lo, uint64_t hi, history_map_fn fn, const struct origin *ev)
{
	struct origin o = *ev;

	if (!f->oom && history_map_update(&f->history, lo, hi, fn, &o))
		f->oom = true;
}

static void on_pinned(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	remember(ctx, lo, hi, set_pinned, ev);
}

static void on_exposed(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	remember(ctx, lo, hi, set_exposed, ev);
}

static void on_hidden(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	remember(ctx, lo, hi, set_hidden, ev);
}

static void on_released(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	remember(ctx, lo, hi, set_released, ev);
}

/* Ranges */

static bool touches(const struct finding_range *r, uint64_t lo, uint64_t hi)
{
	return (lo <= r->hi || lo - 1 == r->hi) && (r->lo <= hi || r->lo - 1 == hi);
}

static void ranges_add(struct finding_ranges *x, uint64_t lo, uint64_t hi)
{
	unsigned kept = 0;
	bool merged = false;

	if (!x->n || lo < x->lo)
		x->lo = lo;
	if (!x->n || hi > x->hi)
		x->hi = hi;
	for (unsigned i = 0; i < x->n; i++) {
		if (touches(&x->r[i], lo, hi)) {
			lo = x->r[i].lo < lo ? x->r[i].lo : lo;
			hi = x->r[i].hi > hi ? x->r[i].hi : hi;
			merged = true;
		} else {
			x->r[kept++] = x->r[i];
		}
	}
	if (merged || kept < FINDING_RANGES)
		x->r[kept++] = (struct finding_range){lo, hi};
	else
		x->more++;
	x->n = kept;
}

static int range_order(const void *a, const void *b)
{
	const struct finding_range *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Findings */

/* A piece of a gap: frames of one history. */
struct piece {
	const struct gap_span *gap;
	uint64_t lo, hi; /* PFNs */
	struct history h;
	struct origin mark;
	bool mark_in_area;
	enum finding_reason reason;
	const struct origin *setup;
};

/* The fill that set the policy's bit, if the bit is set and that was before the current fill. */
static void piece_mark(struct piece *p, uint64_t bit)
{
	const struct gap_span *g = p->gap;

	if (g->pages && g->pages->marks & bit && g->pages_mark.seq != g->fill.seq) {
		p->mark = g->pages_mark;
	} else if (g->area && g->area->marks & bit && g->area_mark.seq != g->fill.seq) {
		p->mark = g->area_mark;
		p->mark_in_area = true;
	}
}

static void piece_setup(struct piece *p)
{
	switch (p->gap->kind) {
	case GAP_LEAK:
		if (!p->mark.seq) {
			p->reason = REASON_PINNED;
			p->setup = &p->h.pinned;
			return;
		}
		p->reason = p->h.pinned.seq > p->mark.seq ? REASON_PRE_PIN : REASON_POST_PIN;
		p->setup = &p->mark;
		return;
	case GAP_REEXPOSE:
		p->reason = REASON_HIDDEN;
		p->setup = &p->h.hidden;
		return;
	default:
		p->reason = REASON_EXPOSED;
		p->setup = &p->h.exposed;
	}
}

static struct finding_key piece_key(const struct findings *f, const struct piece *p)
{
	const struct gap_span *g = p->gap;

	return (struct finding_key){
		.capture = f->capture,
		.kind = g->kind,
		.reason = p->reason,
		.hook = g->hook,
		.iopt = g->iopt_serial,
		.domain = g->device ? 0 : g->domain_serial,
		.device = g->device,
		.event_kind = g->event.kind,
		.within_kind = g->fill.seq ? g->fill.kind : EV_NONE,
		.setup_kind = p->setup->kind,
	};
}

/* Our id for a string of the capture. */
static uint32_t keep_string(struct findings *f, uint32_t id)
{
	const char *text = id && f->from ? intern_get(f->from, id) : NULL;
	uint32_t ours = text ? intern_add(f->strings, text, strlen(text)) : 0;

	if (ours == UINT32_MAX) {
		f->oom = true;
		return 0;
	}
	return ours;
}

static struct origin keep_origin(struct findings *f, const struct origin *o)
{
	struct origin kept = *o;

	kept.comm = keep_string(f, o->comm);
	return kept;
}

static void fill_entry(struct findings *f, struct entry *e, const struct piece *p)
{
	const struct gap_span *g = p->gap;

	e->domain_serial = g->domain_serial;
	e->g = (struct finding){
		.kind = g->kind,
		.reason = p->reason,
		.hook = g->hook,
		.filling = g->filling,
		.capture = f->capture,
		.ticks = f->ticks,
		.iopt = g->iopt ? g->iopt->id : 0,
		.domain = g->domain ? g->domain->id : 0,
		.pages = g->pages ? g->pages->id : 0,
		.area = g->area ? g->area->id : 0,
		.device = keep_string(f, g->device),
		.mark_in_area = p->mark_in_area,
		.event = keep_origin(f, &g->event),
		.within = keep_origin(f, &g->fill),
		.setup = keep_origin(f, p->setup),
		.mark = keep_origin(f, &p->mark),
		.pinned = keep_origin(f, &p->h.pinned),
		.exposed = keep_origin(f, &p->h.exposed),
		.hidden = keep_origin(f, &p->h.hidden),
		.lost = g->lost,
	};
}

static struct entry *new_entry(struct findings *f, const struct finding_key *key, const struct piece *p)
{
	struct entry *e;

	if (!grow_within(f->budget, f->list, f->n, f->cap, 16u))
		return NULL;
	e = budget_alloc(f->budget, ENTRY_MEMORY);
	if (!e)
		return NULL;
	e->pages.budget = f->budget;
	e->key = *key;
	fill_entry(f, e, p);
	HASH_ADD(hh, f->hash, key, sizeof(e->key), e);
	if (e->lost_entry) {
		budget_free(f->budget, e, ENTRY_MEMORY);
		return NULL;
	}
	f->list[f->n++] = e;
	return e;
}

/* The iovas of a piece, in whole pages; the last one may end the address space. */
static void add_iovas(struct finding *g, const struct piece *p)
{
	uint64_t lo = (p->gap->iova & ~(PAGE_SIZE_BYTES - 1)) + ((p->lo - p->gap->pfn) << PAGE_SHIFT);

	ranges_add(&g->iova, lo, lo + ((p->hi - p->lo + 1) << PAGE_SHIFT) - 1);
}

static void set_member(void *ctx, uint64_t lo, uint64_t hi, bool *member)
{
	(void)ctx, (void)lo, (void)hi;
	*member = true;
}

/* Counts the iopt_pages of a gap, except that of the first occurrence. */
static void count_pages(struct findings *f, struct entry *e, uint64_t serial)
{
	if (!serial || serial_set_at(&e->pages, serial))
		return;
	if (serial_set_from(&e->pages, 0))
		e->g.more_pages++;
	if (serial_set_update(&e->pages, serial, serial, set_member, NULL))
		f->oom = true;
}

static void count_piece(struct findings *f, struct piece *p)
{
	struct finding_key key;
	struct entry *e;
	size_t before = f->n;

	piece_mark(p, f->policy->bit);
	piece_setup(p);
	key = piece_key(f, p);
	HASH_FIND(hh, f->hash, &key, sizeof(key), e);
	if (!e)
		e = new_entry(f, &key, p);
	if (!e) {
		f->oom = true;
		return;
	}
	if (e->domain_serial != p->gap->domain_serial)
		e->g.more_domains = true;
	count_pages(f, e, p->gap->pages_serial);
	if (f->n != before || e->g.last_seq != p->gap->event.seq)
		e->g.events++;
	e->g.last_seq = p->gap->event.seq;
	e->g.last_t = p->gap->event.t;
	e->g.spans++;
	e->g.npages += p->hi - p->lo + 1;
	if (p->gap->was_here)
		e->g.stale_pages += p->hi - p->lo + 1;
	if (p->gap->unordered)
		e->g.unordered_pages += p->hi - p->lo + 1;
	if (p->gap->if_new)
		e->g.new_pages += p->hi - p->lo + 1;
	ranges_add(&e->g.pfn, p->lo, p->hi);
	add_iovas(&e->g, p);
}

static void on_gap(void *ctx, const struct gap_span *g)
{
	struct findings *f = ctx;
	uint64_t at = g->pfn, last = g->pfn + g->npages - 1;

	while (g->policies & f->policy->bit && !f->oom) {
		const struct history_map_span *s = history_map_from(&f->history, at);
		struct piece p = {.gap = g, .lo = at, .hi = last};

		if (s && s->lo <= at) {
			p.h = s->v;
			p.hi = s->hi < last ? s->hi : last;
		} else if (s && s->lo <= last) {
			p.hi = s->lo - 1;
		}
		count_piece(f, &p);
		if (p.hi == last)
			return;
		at = p.hi + 1;
	}
}

struct findings *findings_new(const struct ioflush_policy *policy, struct budget *budget)
{
	struct findings *f = budget_alloc(budget, sizeof(*f));

	if (!f)
		return NULL;
	f->budget = f->history.budget = budget;
	f->strings = intern_new_within(budget);
	if (!f->strings) {
		budget_free(budget, f, sizeof(*f));
		return NULL;
	}
	f->policy = policy;
	f->obs = (struct model_observer){
		.ctx = f,
		.pinned = on_pinned,
		.released = on_released,
		.exposed = on_exposed,
		.hidden = on_hidden,
		.gap = on_gap,
	};
	return f;
}

void findings_free(struct findings *f)
{
	if (!f)
		return;
	HASH_CLEAR(hh, f->hash);
	for (size_t i = 0; i < f->n; i++) {
		serial_set_clear(&f->list[i]->pages);
		budget_free(f->budget, f->list[i], ENTRY_MEMORY);
	}
	budget_free(f->budget, f->list, f->cap * sizeof(struct entry *));
	history_map_clear(&f->history);
	intern_free(f->strings);
	budget_free(f->budget, f, sizeof(*f));
}

void findings_begin(struct findings *f, uint64_t capture, const struct intern *strings, bool ticks)
{
	history_map_clear(&f->history);
	f->capture = capture;
	f->ticks = ticks;
	f->from = strings;
}

void findings_end(struct findings *f, const struct model_totals *t)
{
	for (size_t i = 0; i < f->n; i++) {
		struct finding *g = &f->list[i]->g;

		if (g->capture == f->capture)
			g->uncertain = t->midlife.seq;
	}
}

uint32_t findings_string(struct findings *f, uint32_t id)
{
	return keep_string(f, id);
}

const struct model_observer *findings_observer(const struct findings *f)
{
	return &f->obs;
}

int findings_check(const struct findings *f, struct error *e)
{
	return f->oom ? error_set(e, "findings: %s", budget_failure(f->budget)) : 0;
}

static int finding_order(const void *a, const void *b)
{
	const struct finding *x = &(*(struct entry *const *)a)->g, *y = &(*(struct entry *const *)b)->g;

	if (gap_is_error[x->kind] != gap_is_error[y->kind])
		return gap_is_error[x->kind] ? -1 : 1;
	if (x->capture != y->capture)
		return x->capture < y->capture ? -1 : 1;
	if (x->event.seq != y->event.seq)
		return x->event.seq < y->event.seq ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->pfn.lo > y->pfn.lo) - (x->pfn.lo < y->pfn.lo);
}

void findings_sort(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		qsort(f->list[i]->g.pfn.r, f->list[i]->g.pfn.n, sizeof(struct finding_range), range_order);
		qsort(f->list[i]->g.iova.r, f->list[i]->g.iova.n, sizeof(struct finding_range), range_order);
	}
	if (f->n)
		qsort(f->list, f->n, sizeof(struct entry *), finding_order);
}

size_t findings_count(const struct findings *f)
{
	return f->n;
}

const struct finding *findings_get(const struct findings *f, size_t i)
{
	return &f->list[i]->g;
}

const struct intern *findings_strings(const struct findings *f)
{
	return f->strings;
}
