/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The naive model. Read it beside semantics.md: the objects, then the ten policies (section 7), the audit (section 6),
 * and one function for each event (section 5).
 *
 * Tables: mapping (area, domain, idx), page (pages, idx) and frame (pfn). A page entry exists exactly while the index
 * is pinned, except for the short time between its last unmap and its H4. Areas, domains, iopt_pages and iopts are
 * short lists. A serial names an object for ever, so a reused kernel pointer never meets the old object's pages.
 */
#include "tests/naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/number.h"

const char *const naive_kind_names[NAIVE_KINDS] = {"map", "unmap", "unpin", "access"};
const char *const naive_gap_names[NAIVE_GAPS] = {"leak", "reexpose", "release", "access"};
const char *const naive_health_names[NAIVE_HEALTH_COUNT] = {
#define HEALTH(name, unit, severity, doc, advice) #name,
#include "schema/health.def"
#undef HEALTH
};

#define IOMMU_MMIO 0x10 /* of prot */

enum state { JOINING, JOINED, LEAVING };
enum rule { FIRST, PREFER, RULES };
enum source { USER, ACCESS, COHERENT, NONCOHERENT };

struct domain {
	uint64_t id, serial;
	struct iopt *iopt;
	bool noncoherent;
	enum state state;
	uint64_t mappings;
	struct mmio *mmio; /* pages of its iovas that are no RAM */
	struct domain *prev, *next;
};

struct mmio {
	uint64_t page; /* iova / 4096 */
	UT_hash_handle hh;
};

/* A cut that waits until no domain joins or leaves the iopt. */
struct waiting {
	struct event_cut cut;
	bool has_iova1;
	struct waiting *prev, *next;
};

/* Whether one of several threads had an access, or made a cut, here. */
struct sharing {
	bool touched, by_many, racing, counted;
	uint32_t tid; /* of the first */
};

struct iopt {
	struct sharing sharing;
	uint64_t id;
	uint64_t cnt;
	struct domain **domains; /* the kernel's array */
	size_t ndomains;
	uint64_t undone; /* coherent domains whose join failed */
	bool older, proven;
	bool overlapped;
	struct waiting *waiting;
	struct iopt *prev, *next;
};

/* Accesses to the indexes first to last. */
struct access {
	uint64_t first, last, users;
	struct access *prev, *next;
};

struct pages {
	uint64_t id, serial;
	uint64_t areas;
	bool S[NAIVE_POLICIES];
	bool tainted, overlapped;
	bool mmio; /* it is no RAM */
	struct sharing sharing;
	struct access *accesses;
	struct was *was;
	struct pages *prev, *next;
};

/* The frame that an index had when it was unpinned last. */
struct was {
	uint64_t idx, pfn;
	UT_hash_handle hh;
};

struct hooked {
	uint64_t idx;
	UT_hash_handle hh;
};

struct area {
	bool has_id; /* not: a half of a cut, or its pointer went to another area */
	uint64_t id, serial;
	struct iopt *iopt;
	struct pages *pages;
	uint64_t iova, last, first, last_index, page_offset;
	bool filling, unfilling, unsure; /* unsure: in a fill whose end tells whether the iopt is known */
	struct hooked *hooked;		 /* indexes that had H1 in this fill */
	struct domain *storage[RULES];
	uint64_t since[RULES]; /* when it got a storage domain */
	uint64_t accesses, mappings;
	bool F[NAIVE_POLICIES], req[NAIVE_POLICIES];
	struct area *prev, *next;
};

struct mapping_key {
	uint64_t area, domain, idx; /* serials */
};

struct mapping {
	struct mapping_key key;
	struct area *area;
	struct domain *domain;
	struct page *page;
	UT_hash_handle hh;
};

struct page_key {
	uint64_t pages, idx; /* serial */
};

struct page {
	struct page_key key;
	struct pages *pages;
	struct frame *frame; /* NULL: the PFN is unknown */
	uint64_t mappings, held;
	size_t unmapped; /* which of this event's unmapped mappings was its last */
	UT_hash_handle hh;
};

struct frame {
	uint64_t pfn;
	uint64_t pin, nc;
	bool ever;
	bool tainted; /* since pin last rose from 0 */
	bool suspect; /* for good */
	bool clean[NAIVE_POLICIES];
	int64_t unpins; /* derived, less the kernel's; those of an operation when it is over */
	UT_hash_handle hh;
};

/* The page that a policy flushed last in this event, by hook kind. */
struct flushed {
	bool any;
	const struct frame *frame;
	struct page_key key;
};

/* What events named without having introduced it: an id of some kind. */
enum older { OLDER_DOMAIN, OLDER_AREA, OLDER_PAGES, OLDER_IOPT };

struct older_id {
	enum older kind;
	uint64_t id;
	struct older_id *prev, *next;
};

/* What was mapped into an unknown domain: at all (thread is false), or by a thread in the fill that it is in. */
struct stranger {
	uint64_t domain;
	bool thread;
	uint32_t tid;
	uint64_t events, pages, bytes;
	struct stranger *prev, *next;
};

struct fill {
	uint32_t tid;
	uint64_t iopt, iova, last;
	struct fill *prev, *next;
};

/* What one operation released and the kernel unpinned of a frame. */
struct tally {
	uint64_t pfn;
	uint64_t released, unpinned, early;
	UT_hash_handle hh;
};

/* What a thread is doing: from the event that begins it to its end. */
struct op {
	uint32_t tid;
	uint8_t kind;	 /* the event that began it */
	uint64_t object; /* its area or domain */
	uint64_t iopt;	 /* its id, */
	bool in_iopt;	 /* as long as that is the same one */
	uint64_t pages;	 /* serial of the area's, of the nested one's, or 0 */
	bool nested;	 /* within domain_add: an area_add_domain */
	uint64_t nested_area, nested_domain;
	bool in_part;	  /* an area_add_domain within it failed */
	bool unordered;	  /* it overlaps another one */
	uint64_t unknown; /* released indexes whose PFN is unknown */
	uint64_t undone;  /* unmaps and failed maps in it */
	struct tally *tally;
	struct op *prev, *next;
};

/* Unmapped pages that nothing had mapped, until the thread's next event explains them. */
struct odd {
	uint32_t tid;
	uint64_t domain, iova, last, pages;
	struct odd *prev, *next;
};

/* A thread between rw_access and rw_access_end of an iopt_pages. */
struct reading {
	uint32_t tid;
	uint64_t pages; /* id */
	struct reading *prev, *next;
};

struct naive {
	const struct intern *strings;
	uint64_t events;
	struct op *ops;
	struct reading *readings;
	struct odd *odd;
	uint32_t tid;					  /* of the event under way */
	uint64_t too_early, too_many, too_few, unordered; /* unordered: any of these where operations overlapped */
	struct older_id *older;
	struct stranger *strangers;
	struct fill *fills;
	struct domain *domains;
	struct iopt *iopts;
	struct pages *pages;
	struct area *areas;
	struct mapping *mapping;
	struct page *page;
	struct frame *frame;
	uint64_t serial, clock, exposed, lost;
	struct flushed flushed[NAIVE_POLICIES][NAIVE_KINDS];
	struct naive_counts counts[NAIVE_POLICIES];
	struct naive_totals totals;
};

static void *xzalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		fputs("naive: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

/* ---- The policies: each one function, one case a column of the table. ---- */

enum hook { B1, B2, B3, H1, H2, H3, H4, H5 };

/* Where a policy is asked. B1, B2 and B3 have no page. */
struct at {
	enum hook hook;
	struct iopt *iopt;
	struct domain *domain; /* B2, H2, H3 */
	struct area *area;
	struct pages *pages;
	const struct frame *frame; /* NULL: unknown (H4) */
	bool held;		   /* an access holds idx */
	bool by_access;		   /* H4 */
	enum source source[RULES]; /* H1, H2 */
	unsigned p;		   /* which policy: index of its bits */
};

static bool none(struct at *at)
{
	(void)at;
	return false;
}

static bool always(struct at *at)
{
	return at->hook == H1 || at->hook == H2 || at->hook == H4;
}

/* The count as the patch was posted: 32 bits, and it falls at every join that fails. */
static bool posted_count(const struct iopt *iopt)
{
	return (uint32_t)(iopt->cnt - iopt->undone) != 0;
}

static bool sticky_v1(struct at *at)
{
	bool *S = &at->pages->S[at->p], *req = &at->area->req[at->p];

	switch (at->hook) {
	case B1:
	case B2:
		*req = posted_count(at->iopt) && !*S;
		*S |= *req && at->hook == B2;
		return false;
	case B3:
	case H1:
	case H2:
		*S |= *req;
		return at->hook != B3 && *req;
	case H4:
		return *S;
	default:
		return false;
	}
}

static bool sticky_always(struct at *at)
{
	bool *S = &at->pages->S[at->p];

	switch (at->hook) {
	case B1:
		if (at->iopt->cnt > 0)
			*S = true;
		return false;
	case H1:
		return at->iopt->cnt > 0;
	case B2:
		if (at->domain->noncoherent)
			*S = true;
		return false;
	case H2:
		return at->domain->noncoherent;
	case H4:
		return *S;
	default:
		return false;
	}
}

static bool sticky_max(struct at *at)
{
	bool *S = &at->pages->S[at->p];

	switch (at->hook) {
	case B1:
		if (at->iopt->cnt > 0)
			*S = true;
		return false;
	case B2:
		if (at->domain->noncoherent)
			*S = true;
		return false;
	case H1:
	case H2:
	case H3:
		return *S;
	default:
		return false;
	}
}

static bool span_by(struct at *at, enum rule rule)
{
	switch (at->hook) {
	case H1:
		return at->iopt->cnt > 0 && at->source[rule] != NONCOHERENT;
	case H2:
		return at->domain->noncoherent && at->source[rule] != NONCOHERENT;
	case H3:
		return at->domain->noncoherent;
	default:
		return false;
	}
}

static bool span(struct at *at)
{
	return span_by(at, FIRST);
}

static bool span_prefer_noncoherent(struct at *at)
{
	return span_by(at, PREFER);
}

static bool counter(struct at *at)
{
	switch (at->hook) {
	case H1:
	case H4:
		return at->area->iopt->cnt > 0;
	case H2:
		return at->domain->noncoherent;
	default:
		return false;
	}
}

static bool area_flag(struct at *at)
{
	bool *F = &at->area->F[at->p], *req = &at->area->req[at->p];

	switch (at->hook) {
	case B1:
		*F = at->iopt->cnt > 0;
		return false;
	case H1:
		return *F;
	case B2:
		*req = at->domain->noncoherent && !*F;
		if (*req)
			*F = true;
		return false;
	case H2:
		return *req;
	case H4:
		return !at->by_access && *F;
	default:
		return false;
	}
}

static bool ideal(struct at *at)
{
	const struct frame *f = at->frame;
	bool dirty = f && f->nc == 0 && !f->clean[at->p];

	switch (at->hook) {
	case H1:
		return at->iopt->cnt > 0 && dirty;
	case H2:
		return at->domain->noncoherent && dirty;
	case H3:
		return at->domain->noncoherent && at->held && dirty;
	case H4:
		return dirty && f->pin == 1 && f->ever;
	case H5:
		return dirty && f->ever;
	default:
		return false;
	}
}

#define AREA_FLAG 8 /* whose F falls when an iopt has no domain left */

static const struct {
	const char *name;
	bool (*flush)(struct at *at);
} policies[NAIVE_POLICIES] = {
	{"none", none},
	{"always", always},
	{"sticky-v1", sticky_v1},
	{"sticky-always", sticky_always},
	{"sticky-max", sticky_max},
	{"span", span},
	{"span-prefer-noncoherent", span_prefer_noncoherent},
	{"counter", counter},
	[AREA_FLAG] = {"area-flag", area_flag},
	{"ideal", ideal},
};

static enum naive_kind kind_of(enum hook hook)
{
	switch (hook) {
	case H3:
		return NAIVE_UNMAP;
	case H4:
		return NAIVE_UNPIN;
	case H5:
		return NAIVE_ACCESS;
	default:
		return NAIVE_MAP;
	}
}

static void count_flush(struct naive *n, unsigned p, enum naive_kind kind, const struct page *page)
{
	struct flushed *prev = &n->flushed[p][kind];
	bool follows = prev->any;

	if (page->frame)
		follows = follows && prev->frame && prev->frame->pfn == page->frame->pfn - 1;
	else
		follows = follows && !prev->frame && prev->key.pages == page->key.pages &&
			  prev->key.idx == page->key.idx - 1;
	n->counts[p].flush[kind]++;
	if (!follows)
		n->counts[p].ranges++;
	prev->any = true;
	prev->frame = page->frame;
	prev->key = page->key;
}

static void ask_all(struct naive *n, struct at *at, struct page *page)
{
	for (unsigned p = 0; p < NAIVE_POLICIES; p++) {
		at->p = p;
		if (!policies[p].flush(at))
			continue;
		count_flush(n, p, kind_of(at->hook), page);
		if (page->frame && page->frame->nc == 0)
			page->frame->clean[p] = true;
	}
}

static void begin_fill(struct naive *n, enum hook hook, struct area *area, struct domain *domain)
{
	struct at at = {.hook = hook, .iopt = area->iopt, .domain = domain, .area = area, .pages = area->pages};

	(void)n;
	for (at.p = 0; at.p < NAIVE_POLICIES; at.p++)
		policies[at.p].flush(&at);
}

static void at_page(struct naive *n, enum hook hook, struct area *area, struct domain *domain, struct page *page,
		    const enum source *source, bool by_access)
{
	struct at at = {.hook = hook, .iopt = area->iopt, .domain = domain, .area = area, .pages = page->pages};

	at.frame = page->frame;
	at.held = page->held > 0;
	at.by_access = by_access;
	for (int r = 0; source && r < RULES; r++)
		at.source[r] = source[r];
	ask_all(n, &at, page);
}

/* ---- The audit. ---- */

static void count_gap(struct naive *n, unsigned p, const struct area *a, const struct page *page, enum naive_gap gap)
{
	struct was *was;

	n->counts[p].gaps[gap]++;
	if (!page->frame->tainted)
		n->counts[p].if_new[gap]++;
	if (a->pages->overlapped || a->iopt->overlapped)
		n->counts[p].unordered[gap]++;
	HASH_FIND(hh, page->pages->was, &page->key.idx, sizeof(page->key.idx), was);
	if (gap == NAIVE_LEAK && was && was->pfn == page->frame->pfn)
		n->counts[p].stale_leak++;
}

static void audit_exposure(struct naive *n, const struct area *a, const struct page *page)
{
	for (unsigned p = 0; p < NAIVE_POLICIES; p++) {
		if (!page->frame->clean[p])
			count_gap(n, p, a, page, page->frame->ever ? NAIVE_REEXPOSE : NAIVE_LEAK);
	}
}

/* Release and access have the same condition. */
static void audit_stale(struct naive *n, const struct area *a, const struct page *page, enum naive_gap gap)
{
	const struct frame *f = page->frame;

	for (unsigned p = 0; p < NAIVE_POLICIES; p++) {
		if (f->ever && f->nc == 0 && !f->clean[p])
			count_gap(n, p, a, page, gap);
	}
}

static void was_set(const struct page *page)
{
	struct was *w;

	HASH_FIND(hh, page->pages->was, &page->key.idx, sizeof(page->key.idx), w);
	if (!w) {
		w = xzalloc(sizeof(*w));
		w->idx = page->key.idx;
		HASH_ADD(hh, page->pages->was, idx, sizeof(w->idx), w);
	}
	w->pfn = page->frame->pfn;
}

static void was_clear(struct pages *g)
{
	struct was *w, *tmp;

	HASH_ITER(hh, g->was, w, tmp) {
		HASH_DELETE(hh, g->was, w);
		free(w);
	}
}

static void accesses_clear(struct pages *g)
{
	struct access *x, *tmp;

	DL_FOREACH_SAFE(g->accesses, x, tmp) {
		DL_DELETE(g->accesses, x);
		free(x);
	}
}

static void set_unclean(struct frame *f)
{
	memset(f->clean, 0, sizeof(f->clean));
}

/* ---- Finding and making objects. ---- */

static struct domain *domain_find(struct naive *n, uint64_t id)
{
	struct domain *d;

	DL_SEARCH_SCALAR(n->domains, d, id, id);
	return d;
}

static struct iopt *iopt_find(struct naive *n, uint64_t id)
{
	struct iopt *i;

	DL_SEARCH_SCALAR(n->iopts, i, id, id);
	return i;
}

static struct pages *pages_find(struct naive *n, uint64_t id)
{
	struct pages *g;

	DL_SEARCH_SCALAR(n->pages, g, id, id);
	return g;
}

/* ---- What is older than the recording. ---- */

static struct older_id *older_find(struct naive *n, enum older kind, uint64_t id)
{
	struct older_id *o;

	DL_FOREACH(n->older, o) {
		if (o->kind == kind && o->id == id)
			return o;
	}
	return NULL;
}

static void older_forget(struct naive *n, enum older kind, uint64_t id)
{
	struct older_id *o = older_find(n, kind, id);

	if (!o)
		return;
	DL_DELETE(n->older, o);
	free(o);
}

static struct stranger *stranger_find(struct naive *n, uint64_t domain, bool thread, uint32_t tid)
{
	struct stranger *s;

	DL_FOREACH(n->strangers, s) {
		if (s->domain == domain && s->thread == thread && s->tid == tid)
			return s;
	}
	return NULL;
}

static struct stranger *stranger_get(struct naive *n, uint64_t domain, bool thread, uint32_t tid)
{
	struct stranger *s = stranger_find(n, domain, thread, tid);

	if (s)
		return s;
	s = xzalloc(sizeof(*s));
	s->domain = domain;
	s->thread = thread;
	s->tid = tid;
	DL_APPEND(n->strangers, s);
	return s;
}

static void stranger_forget(struct naive *n, struct stranger *s)
{
	DL_DELETE(n->strangers, s);
	free(s);
}

/* Whether it is met for the first time. */
static bool meet(struct naive *n, enum older kind, uint64_t id)
{
	static const enum naive_health counter[] = {NAIVE_midlife_domains, NAIVE_midlife_areas, NAIVE_midlife_pages,
						    NAIVE_midlife_iopts};
	struct older_id *o;

	if (older_find(n, kind, id))
		return false;
	o = xzalloc(sizeof(*o));
	o->kind = kind;
	o->id = id;
	DL_APPEND(n->older, o);
	if (n->lost) {
		n->totals.health[NAIVE_unknown_after_loss]++;
		return true;
	}
	n->totals.health[counter[kind]]++;
	if (!n->totals.midlife)
		n->totals.midlife = n->events;
	return true;
}

static bool iopt_empty(const struct naive *n, const struct iopt *iopt)
{
	const struct domain *d;
	const struct area *a;

	DL_FOREACH(n->domains, d) {
		if (d->iopt == iopt)
			return false;
	}
	DL_FOREACH(n->areas, a) {
		if (a->iopt == iopt)
			return false;
	}
	return true;
}

/* The iopt has, or had until now, a domain that is not known. */
static void meet_domain_of(struct naive *n, uint64_t id)
{
	struct iopt *iopt = iopt_find(n, id);

	meet(n, OLDER_IOPT, id);
	if (iopt && !iopt_empty(n, iopt)) {
		iopt->older = true;
		iopt->proven = false;
	}
}

static void meet_domain(struct naive *n, uint64_t id)
{
	struct stranger *s;

	if (!meet(n, OLDER_DOMAIN, id))
		return;
	s = stranger_find(n, id, false, 0);
	if (!s)
		return;
	n->totals.health[NAIVE_foreign_maps] -= s->events;
	n->totals.health[NAIVE_midlife_map_pages] += s->pages;
	s->events = s->pages = 0;
}

static void meet_owner(struct naive *n, uint64_t pages, uint64_t iopt)
{
	struct pages *g = pages_find(n, pages);

	meet(n, OLDER_PAGES, pages);
	if (g)
		g->tainted = true;
	meet(n, OLDER_IOPT, iopt);
}

/* Whether the domain is known to be one of iommufd. */
static bool meet_stranger(struct naive *n, uint64_t domain, uint64_t pages)
{
	struct stranger *s;

	if (older_find(n, OLDER_DOMAIN, domain)) {
		n->totals.health[NAIVE_midlife_map_pages] += pages;
		return true;
	}
	n->totals.health[NAIVE_foreign_maps]++;
	s = stranger_get(n, domain, false, 0);
	s->events++;
	s->pages += pages;
	return false;
}

static struct fill *fill_find(struct naive *n, uint32_t tid)
{
	struct fill *f;

	DL_SEARCH_SCALAR(n->fills, f, tid, tid);
	return f;
}

/* The thread's fill is over: what it mapped into unknown domains is forgotten. */
static void fill_forget(struct naive *n, struct fill *f)
{
	struct stranger *s, *tmp;

	DL_FOREACH_SAFE(n->strangers, s, tmp) {
		if (s->thread && s->tid == f->tid)
			stranger_forget(n, s);
	}
	DL_DELETE(n->fills, f);
	free(f);
}

static void fill_begin(struct naive *n, uint32_t tid, uint64_t iopt, uint64_t iova, uint64_t last)
{
	struct fill *f = fill_find(n, tid);

	if (f)
		fill_forget(n, f);
	f = xzalloc(sizeof(*f));
	*f = (struct fill){.tid = tid, .iopt = iopt, .iova = iova, .last = last};
	DL_APPEND(n->fills, f);
}

/* What a fill that went well shows of the domains of its iopt. */
static void fill_proves(struct naive *n, struct iopt *iopt, struct fill *f)
{
	struct stranger *s;
	bool any = false;

	if (!f || f->iopt != iopt->id)
		return;
	DL_FOREACH(n->strangers, s) {
		if (!s->thread || s->tid != f->tid)
			continue;
		any = true;
		if (s->bytes != f->last - f->iova + 1 || domain_find(n, s->domain))
			continue;
		meet_domain(n, s->domain);
		meet_domain_of(n, iopt->id);
	}
	if (any || (iopt->older && iopt->ndomains > 1))
		return;
	iopt->older = false;
	iopt->proven = true;
}

static struct domain *domain_or_count(struct naive *n, uint64_t id)
{
	struct domain *d = domain_find(n, id);

	if (!d) {
		n->totals.health[NAIVE_unknown_domain]++;
		meet_domain(n, id);
	}
	return d;
}

static struct domain *domain_of_iopt(struct naive *n, uint64_t id, uint64_t iopt)
{
	struct domain *d = domain_or_count(n, id);

	if (!d)
		meet_domain_of(n, iopt);
	return d;
}

/* Whether cnt > 0 is known to be right, and the rest that matters. */
static bool iopt_known(const struct iopt *iopt, bool filling)
{
	return iopt->proven || (filling && !iopt->older && iopt->cnt > 0);
}

/* What a step through the area touches may differ for what happened before the recording. */
static bool tainted(const struct naive *n, const struct area *a)
{
	const struct area *b;

	DL_FOREACH(n->areas, b) {
		if (b->pages == a->pages && b->unsure)
			return true;
	}
	return !iopt_known(a->iopt, a->filling) || a->pages->tainted;
}

static struct iopt *iopt_get(struct naive *n, uint64_t id)
{
	struct iopt *i;

	DL_SEARCH_SCALAR(n->iopts, i, id, id);
	if (!i) {
		i = xzalloc(sizeof(*i));
		i->id = id;
		DL_APPEND(n->iopts, i);
	}
	return i;
}

static struct pages *pages_get(struct naive *n, uint64_t id)
{
	struct pages *g;

	DL_SEARCH_SCALAR(n->pages, g, id, id);
	if (!g) {
		g = xzalloc(sizeof(*g));
		g->id = id;
		g->serial = ++n->serial;
		DL_APPEND(n->pages, g);
	}
	return g;
}

static struct area *area_by_id(struct naive *n, uint64_t id)
{
	struct area *a;

	DL_FOREACH(n->areas, a) {
		if (a->has_id && a->id == id)
			return a;
	}
	return NULL;
}

static struct area *area_containing(struct naive *n, uint64_t iopt, uint64_t iova)
{
	struct area *a;

	DL_FOREACH(n->areas, a) {
		if (a->iopt->id == iopt && a->iova <= iova && iova <= a->last)
			return a;
	}
	return NULL;
}

static void area_take_id(struct naive *n, struct area *a, uint64_t id)
{
	struct area *old = area_by_id(n, id);

	if (old)
		old->has_id = false;
	a->has_id = true;
	a->id = id;
}

/* The area that an event names: by its pointer, or by iova when the pointer is new or stale. */
static struct area *area_find(struct naive *n, uint64_t id, uint64_t pages, uint64_t iopt, uint64_t iova)
{
	struct area *a = area_by_id(n, id);

	if (a && a->iopt->id == iopt && a->iova == iova)
		return a;
	a = area_containing(n, iopt, iova);
	if (a && a->iova == iova)
		area_take_id(n, a, id);
	if (!a) {
		n->totals.health[NAIVE_unknown_area]++;
		meet(n, OLDER_AREA, id);
		meet_owner(n, pages, iopt);
	}
	return a;
}

static struct area *area_or_count(struct naive *n, uint64_t id)
{
	struct area *a = area_by_id(n, id);

	if (!a) {
		n->totals.health[NAIVE_unknown_area]++;
		meet(n, OLDER_AREA, id);
	}
	return a;
}

static uint64_t area_index(const struct area *a, uint64_t iova)
{
	return a->first + (iova - a->iova + a->page_offset) / PAGE_SIZE_BYTES;
}

static struct page *page_find(struct naive *n, const struct pages *g, uint64_t idx)
{
	struct page_key key = {g->serial, idx};
	struct page *page;

	HASH_FIND(hh, n->page, &key, sizeof(key), page);
	return page;
}

static struct page *page_get(struct naive *n, struct pages *g, uint64_t idx)
{
	struct page *page = page_find(n, g, idx);

	if (!page) {
		page = xzalloc(sizeof(*page));
		page->key = (struct page_key){g->serial, idx};
		page->pages = g;
		HASH_ADD(hh, n->page, key, sizeof(page->key), page);
	}
	return page;
}

static bool page_pinned(const struct page *page)
{
	return page->mappings > 0 || page->held > 0;
}

static void page_forget(struct naive *n, struct page *page)
{
	HASH_DELETE(hh, n->page, page);
	free(page);
}

static struct frame *frame_get(struct naive *n, uint64_t pfn)
{
	struct frame *f;

	HASH_FIND(hh, n->frame, &pfn, sizeof(pfn), f);
	if (!f) {
		f = xzalloc(sizeof(*f));
		f->pfn = pfn;
		HASH_ADD(hh, n->frame, pfn, sizeof(f->pfn), f);
	}
	return f;
}

static struct mapping *mapping_find(struct naive *n, const struct area *a, const struct domain *d, uint64_t idx)
{
	struct mapping_key key = {a->serial, d->serial, idx};
	struct mapping *m;

	HASH_FIND(hh, n->mapping, &key, sizeof(key), m);
	return m;
}

static void mapping_enter(struct naive *n, struct area *a, struct domain *d, uint64_t idx, struct page *page)
{
	struct mapping *m = xzalloc(sizeof(*m));

	m->key = (struct mapping_key){a->serial, d->serial, idx};
	m->area = a;
	m->domain = d;
	m->page = page;
	HASH_ADD(hh, n->mapping, key, sizeof(m->key), m);
	a->mappings++;
	d->mappings++;
	page->mappings++;
}

static void mapping_forget(struct naive *n, struct mapping *m)
{
	HASH_DELETE(hh, n->mapping, m);
	m->area->mappings--;
	m->domain->mappings--;
	m->page->mappings--;
	free(m);
}

/* ---- Exposure and pins of a frame. ---- */

static void nc_up(struct naive *n, struct frame *f)
{
	if (f->nc++ == 0)
		n->exposed++;
	if (n->exposed > n->totals.peak_exposed)
		n->totals.peak_exposed = n->exposed;
}

static void nc_down(struct naive *n, struct frame *f)
{
	if (--f->nc == 0)
		n->exposed--;
}

static void pin_up(struct frame *f)
{
	if (++f->pin == 1) {
		f->ever = false;
		f->tainted = f->suspect;
		set_unclean(f);
	}
}

/* ---- Storage domains and where a fill's pages come from. ---- */

static struct domain *storage_choice(const struct iopt *iopt, enum rule rule)
{
	if (rule == PREFER) {
		for (size_t i = 0; i < iopt->ndomains; i++) {
			if (iopt->domains[i]->noncoherent)
				return iopt->domains[i];
		}
	}
	return iopt->ndomains ? iopt->domains[0] : NULL;
}

static void storage_set(struct naive *n, struct area *a, enum rule rule, struct domain *d)
{
	if (d && !a->storage[rule])
		a->since[rule] = ++n->clock;
	a->storage[rule] = d;
}

/* The storage domain goes: to what is left in the array, or to none at all. */
static void storage_leave(struct naive *n, const struct domain *d, bool to_none)
{
	struct area *a;

	DL_FOREACH(n->areas, a) {
		for (int r = 0; r < RULES; r++) {
			if (a->storage[r] == d)
				storage_set(n, a, r, to_none ? NULL : storage_choice(a->iopt, r));
		}
		if (!a->storage[FIRST] || !a->storage[PREFER])
			a->storage[PREFER] = a->storage[FIRST];
	}
}

static enum source page_source(struct naive *n, const struct page *page, uint64_t idx, enum rule rule)
{
	struct area *a, *best = NULL;

	if (page->held > 0)
		return ACCESS;
	DL_FOREACH(n->areas, a) {
		if (a->pages != page->pages || !a->storage[rule] || idx < a->first || idx > a->last_index)
			continue;
		if (!best || a->first < best->first || (a->first == best->first && a->since[rule] < best->since[rule]))
			best = a;
	}
	if (!best)
		return USER;
	return best->storage[rule]->noncoherent ? NONCOHERENT : COHERENT;
}

/* ---- Dropping what a complete trace would have ended: no hook, no audit. ---- */

static void drop_pin(struct naive *n, struct page *page)
{
	if (page_pinned(page))
		return;
	if (page->frame)
		page->frame->pin--;
	page_forget(n, page);
}

/* Mappings through the area, or of the domain (the other is NULL). */
static void drop_mappings(struct naive *n, const struct area *a, const struct domain *d)
{
	struct mapping *m, *tmp;

	if ((a && a->mappings == 0) || (d && d->mappings == 0))
		return;
	HASH_ITER(hh, n->mapping, m, tmp) {
		struct page *page = m->page;

		if ((a && m->area != a) || (d && m->domain != d))
			continue;
		if (m->domain->noncoherent)
			nc_down(n, page->frame);
		mapping_forget(n, m);
		drop_pin(n, page);
		n->totals.health[NAIVE_mappings_dropped]++;
	}
}

static void pages_end(struct naive *n, struct pages *g)
{
	struct page *page, *tmp;

	HASH_ITER(hh, n->page, page, tmp) {
		if (page->pages != g)
			continue;
		page->held = 0;
		drop_pin(n, page);
		n->totals.health[NAIVE_accesses_dropped]++;
	}
	DL_DELETE(n->pages, g);
	was_clear(g);
	accesses_clear(g);
	free(g);
}

static void hooked_clear(struct area *a)
{
	struct hooked *h, *tmp;

	HASH_ITER(hh, a->hooked, h, tmp) {
		HASH_DELETE(hh, a->hooked, h);
		free(h);
	}
}

static void area_end(struct naive *n, struct area *a)
{
	struct pages *g = a->pages;

	if (a->unsure)
		g->tainted = true;
	drop_mappings(n, a, NULL);
	hooked_clear(a);
	DL_DELETE(n->areas, a);
	free(a);
	if (--g->areas == 0)
		pages_end(n, g);
}

static void domain_leave(struct naive *n, struct domain *d)
{
	struct iopt *iopt = d->iopt;

	for (size_t i = 0; i < iopt->ndomains; i++) {
		if (iopt->domains[i] == d)
			iopt->domains[i] = iopt->domains[--iopt->ndomains];
	}
	storage_leave(n, d, false);
	d->state = LEAVING;
}

static void mmio_clear(struct domain *d)
{
	struct mmio *m, *tmp;

	HASH_ITER(hh, d->mmio, m, tmp) {
		HASH_DELETE(hh, d->mmio, m);
		free(m);
	}
}

static void domain_end(struct naive *n, struct domain *d)
{
	drop_mappings(n, NULL, d);
	mmio_clear(d);
	if (d->noncoherent)
		d->iopt->cnt--;
	DL_DELETE(n->domains, d);
	free(d);
}

static void waiting_clear(struct iopt *iopt)
{
	struct waiting *w, *tmp;

	DL_FOREACH_SAFE(iopt->waiting, w, tmp) {
		DL_DELETE(iopt->waiting, w);
		free(w);
	}
}

/* If nothing is in it any more, what was known of it is not known of the next one with its id. */
static void iopt_put(struct naive *n, struct iopt *iopt)
{
	struct op *o;

	if (!iopt_empty(n, iopt))
		return;
	iopt->older = iopt->proven = iopt->overlapped = false;
	iopt->sharing = (struct sharing){0};
	iopt->undone = 0;
	waiting_clear(iopt);
	DL_FOREACH(n->ops, o) {
		if (o->iopt == iopt->id)
			o->in_iopt = false;
	}
}

static void clear_idle_flags(struct naive *n, const struct iopt *iopt)
{
	struct area *a;

	if (iopt->ndomains)
		return;
	DL_FOREACH(n->areas, a) {
		if (a->iopt == iopt)
			a->F[AREA_FLAG] = false;
	}
}

static void cuts(struct naive *n, const struct event_cut *e, bool has_iova1);

/* ---- Operations of threads (section 10). ---- */

static bool of_domain(const struct op *o)
{
	return o->kind == EV_domain_add || o->kind == EV_domain_remove;
}

static struct op *op_find(struct naive *n, uint32_t tid)
{
	struct op *o;

	DL_SEARCH_SCALAR(n->ops, o, tid, tid);
	return o;
}

static struct tally *op_tally(struct op *o, uint64_t pfn)
{
	struct tally *t;

	HASH_FIND(hh, o->tally, &pfn, sizeof(pfn), t);
	if (!t) {
		t = xzalloc(sizeof(*t));
		t->pfn = pfn;
		HASH_ADD(hh, o->tally, pfn, sizeof(t->pfn), t);
	}
	return t;
}

/* It is over; whatever it left open is not judged. */
static void op_forget(struct naive *n, struct op *o)
{
	struct iopt *iopt = o->in_iopt ? iopt_find(n, o->iopt) : NULL;
	struct tally *t, *tmp;
	struct area *a;
	struct op *other;
	bool open = false;

	HASH_ITER(hh, o->tally, t, tmp) {
		frame_get(n, t->pfn)->unpins += (int64_t)(t->released - t->unpinned);
		HASH_DELETE(hh, o->tally, t);
		free(t);
	}
	if (iopt && iopt->overlapped && o->pages) {
		DL_FOREACH(n->areas, a) {
			if (a->pages->serial == o->pages)
				a->pages->overlapped = true;
		}
	}
	DL_DELETE(n->ops, o);
	DL_FOREACH(n->ops, other)
		open |= other->in_iopt && other->iopt == o->iopt && of_domain(other);
	if (iopt && !open)
		iopt->overlapped = false;
	free(o);
}

/* What it released and what the kernel unpinned must be the same, frame by frame. */
static void op_settle(struct naive *n, struct op *o, bool failed)
{
	struct iopt *iopt = o->in_iopt ? iopt_find(n, o->iopt) : NULL;
	uint64_t more = 0, many = 0, few = 0;
	struct tally *t, *tmp;
	struct area *a;

	o->unordered |= iopt && iopt->overlapped;
	DL_FOREACH(n->areas, a)
		o->unordered |= o->pages && a->pages->serial == o->pages && a->pages->overlapped;

	HASH_ITER(hh, o->tally, t, tmp) {
		if (t->released > t->unpinned)
			few += t->released - t->unpinned;
		else
			more += t->unpinned - t->released;
	}
	if (!failed && more > o->unknown)
		many = more - o->unknown;
	if (!failed && more < o->unknown)
		few += o->unknown - more;
	if (o->unordered) {
		n->unordered += many + few;
	} else {
		n->too_many += many;
		n->too_few += few;
	}
	op_forget(n, o);
}

/* A page's index is no longer pinned: f is NULL if its frame is unknown. */
static void op_released(struct naive *n, const struct area *a, const struct frame *f)
{
	bool unordered = a->pages->overlapped || a->iopt->overlapped;
	struct op *o = op_find(n, n->tid);
	struct tally *t;

	if (!o)
		return;
	o->unordered |= unordered;
	if (!f) {
		o->unknown++;
		return;
	}
	t = op_tally(o, f->pfn);
	t->released++;
	if (t->early) {
		t->early--;
		*(unordered ? &n->unordered : &n->too_early) += 1;
	}
}

/* Whether all that access_remove released has been unpinned. */
static bool op_balanced(const struct op *o)
{
	uint64_t more = 0;
	struct tally *t, *tmp;

	HASH_ITER(hh, o->tally, t, tmp) {
		if (t->released > t->unpinned)
			return false;
		more += t->unpinned - t->released;
	}
	return more >= o->unknown;
}

/* What is left over of the frame in the operation, if there is one. */
static int64_t op_unpinned(struct naive *n, uint64_t pfn)
{
	struct op *o = op_find(n, n->tid);
	struct tally *t;

	if (!o)
		return 0;
	t = op_tally(o, pfn);
	if (++t->unpinned > t->released)
		t->early++;
	return (int64_t)(t->released - t->unpinned);
}

/*
 * An event of a kind that takes locks of an iopt and perhaps a pages while other threads are between the entry and the
 * return of operations that take them, too.
 */
static void op_overlap(struct naive *n, uint64_t iopt_id, struct pages *g, bool whole_iopt, bool begins)
{
	struct iopt *iopt = iopt_find(n, iopt_id);
	bool hit = false, by_iopt = false;
	struct op *o;

	DL_FOREACH(n->ops, o) {
		if (o->tid == n->tid || o->kind == EV_access_remove)
			continue;
		if (o->in_iopt && o->iopt == iopt_id && (of_domain(o) || whole_iopt))
			by_iopt = true;
		if (g && o->pages == g->serial)
			hit = true;
	}
	if (begins && by_iopt)
		iopt->overlapped = true;
	if (g && (hit || by_iopt || (begins && iopt->overlapped)))
		g->overlapped = true;
	n->totals.health[NAIVE_overlaps] += hit || by_iopt;
}

static struct reading *reading_find(struct naive *n, uint32_t tid)
{
	struct reading *r;

	DL_SEARCH_SCALAR(n->readings, r, tid, tid);
	return r;
}

static void reading_forget(struct naive *n, struct reading *r)
{
	DL_DELETE(n->readings, r);
	free(r);
}

/* The thread begins something: what it was in has no end. */
static void thread_begins(struct naive *n)
{
	struct op *o = op_find(n, n->tid);
	struct reading *r = reading_find(n, n->tid);

	n->totals.health[NAIVE_begins_without_end] += !!o + !!r;
	if (o)
		op_forget(n, o);
	if (r)
		reading_forget(n, r);
}

static void op_begin(struct naive *n, uint8_t kind, uint64_t object, uint64_t iopt, struct pages *g)
{
	struct op *o;

	thread_begins(n);
	o = xzalloc(sizeof(*o));
	*o = (struct op){.tid = n->tid, .kind = kind, .object = object, .iopt = iopt, .in_iopt = true};
	o->pages = g && kind != EV_access_remove ? g->serial : 0;
	op_overlap(n, iopt, g, of_domain(o), kind != EV_access_remove);
	DL_APPEND(n->ops, o);
}

/* An area is mapped into a domain: in the domain_add of the thread, or by itself. */
static void op_begin_add(struct naive *n, struct area *a, uint64_t domain)
{
	struct op *o = op_find(n, n->tid);

	if (!o || o->kind != EV_domain_add || o->object != domain) {
		op_begin(n, EV_area_add_domain, a->id, a->iopt->id, a->pages);
		op_find(n, n->tid)->nested_domain = domain;
		return;
	}
	n->totals.health[NAIVE_begins_without_end] += o->nested;
	op_overlap(n, a->iopt->id, a->pages, false, true);
	o->nested = true;
	o->nested_area = a->id;
	o->nested_domain = domain;
	o->pages = a->pages->serial;
}

/* The end of what began with an event of kind, of an object that is known. */
static void op_end(struct naive *n, uint8_t kind, uint64_t object, bool failed)
{
	struct op *o = op_find(n, n->tid);

	if (!o || o->kind != kind || o->object != object) {
		n->totals.health[NAIVE_ends_without_begin]++;
		return;
	}
	n->totals.health[NAIVE_begins_without_end] += o->nested;
	n->totals.health[NAIVE_joined_in_part] += o->in_part && !failed;
	n->totals.health[NAIVE_fill_undone] += failed ? 0 : o->undone;
	op_settle(n, o, failed);
}

static void op_end_add(struct naive *n, uint64_t area, uint64_t domain, bool failed)
{
	struct op *o = op_find(n, n->tid);
	struct iopt *iopt;
	struct area *a;

	if (!o || !o->nested || o->nested_area != area || o->nested_domain != domain) {
		op_end(n, EV_area_add_domain, area, failed);
		return;
	}
	iopt = o->in_iopt ? iopt_find(n, o->iopt) : NULL;
	DL_FOREACH(n->areas, a) {
		if (iopt && iopt->overlapped && a->pages->serial == o->pages)
			a->pages->overlapped = true;
	}
	o->in_part |= failed;
	o->nested = false;
	o->pages = 0;
}

/* Whether the thread is filling the area, or mapping it into the domain that joins. */
static bool op_fills(struct naive *n, const struct area *a, const struct domain *d)
{
	struct op *o = op_find(n, n->tid);

	if (!o)
		return false;
	if (o->kind == EV_area_fill)
		return a->has_id && o->object == a->id;
	if (o->kind == EV_area_add_domain)
		return a->has_id && o->object == a->id && o->nested_domain == d->id;
	return o->nested && a->has_id && o->nested_area == a->id && o->nested_domain == d->id;
}

/* Whether the thread may unmap the area from the domain. */
static bool op_unmaps(struct naive *n, const struct area *a, const struct domain *d)
{
	struct op *o = op_find(n, n->tid);

	if (!o)
		return false;
	if (of_domain(o))
		return o->object == d->id;
	if (o->kind == EV_area_add_domain)
		return o->nested_domain == d->id;
	if (!o->in_iopt || o->iopt != a->iopt->id || o->pages != a->pages->serial)
		return false;
	return o->kind == EV_area_fill ? a->filling : o->kind == EV_area_unfill && a->unfilling;
}

/* The thread undoes what it mapped. */
static void op_undoes(struct naive *n)
{
	struct op *o = op_find(n, n->tid);

	if (o && (o->kind == EV_area_fill || o->kind == EV_area_add_domain || o->kind == EV_domain_add))
		o->undone++;
}

/* Whether another thread has the iopt locked. */
static bool locked(struct naive *n, uint64_t iopt)
{
	struct op *o;

	DL_FOREACH(n->ops, o) {
		if (o->tid != n->tid && o->in_iopt && o->iopt == iopt && (o->nested || o->kind == EV_area_add_domain))
			return true;
	}
	return false;
}

/* Whether the thread is mapping an area. */
static bool op_maps(struct naive *n, uint32_t tid)
{
	struct op *o = op_find(n, tid);

	return o && (o->kind == EV_area_fill || o->kind == EV_area_add_domain || o->nested);
}

/* Before each event of a thread: what the one before left open. */
static void thread_goes_on(struct naive *n, const struct event *ev)
{
	struct op *o = op_find(n, ev->tid);
	const struct event_map_failed *f = &ev->map_failed;
	struct odd *odd, *tmp;

	if (o && o->kind == EV_access_remove && ev->kind != EV_unpin)
		op_settle(n, o, false);
	DL_FOREACH_SAFE(n->odd, odd, tmp) {
		if (odd->tid != ev->tid)
			continue;
		if (ev->kind != EV_map_failed || !op_maps(n, ev->tid) || f->domain != odd->domain ||
		    odd->iova != f->iova || odd->last > f->iova + f->size - 1)
			n->totals.health[NAIVE_not_mapped] += odd->pages;
		DL_DELETE(n->odd, odd);
		free(odd);
	}
}

/* ---- The events. ---- */

/* The thread does something here that takes effect in its own time (racing: a cut, or an access). */
static void touch(struct naive *n, struct sharing *s, bool racing, enum naive_health counter)
{
	if (!s->touched)
		s->tid = n->tid;
	s->touched = true;
	s->by_many |= s->tid != n->tid;
	s->racing |= racing;
	n->totals.health[counter] += s->by_many && s->racing && !s->counted;
	s->counted |= s->by_many && s->racing;
}

static void touch_iopt(struct naive *n, struct iopt *iopt, bool cut)
{
	touch(n, &iopt->sharing, cut, NAIVE_shared_cuts);
}

static void touch_area(struct naive *n, struct area *a, bool access)
{
	touch_iopt(n, a->iopt, false);
	touch(n, &a->pages->sharing, access, NAIVE_shared_accesses);
}

/* The event says which iopt_pages and range its area has. */
static void area_is(struct naive *n, const struct area *a, uint64_t pages, uint64_t iova, uint64_t last)
{
	n->totals.health[NAIVE_mismatched] += a->pages->id != pages || a->iova != iova || a->last != last;
}

static void access_enter(struct pages *g, uint64_t first, uint64_t last)
{
	struct access *x;

	DL_FOREACH(g->accesses, x) {
		if (x->first == first && x->last == last) {
			x->users++;
			return;
		}
	}
	x = xzalloc(sizeof(*x));
	*x = (struct access){first, last, 1, NULL, NULL};
	DL_APPEND(g->accesses, x);
}

/* Whether there was one. */
static bool access_leave(struct pages *g, uint64_t first, uint64_t last)
{
	struct access *x;

	DL_FOREACH(g->accesses, x) {
		if (x->first != first || x->last != last)
			continue;
		if (!--x->users) {
			DL_DELETE(g->accesses, x);
			free(x);
		}
		return true;
	}
	return false;
}

static void owner(struct naive *n, uint64_t is, uint64_t named)
{
	n->totals.health[NAIVE_mismatched] += is != named;
}

/* A fill of the area ended well: in this domain, too, all its pages are mapped. */
static void filled(struct naive *n, const struct area *a, const struct domain *d)
{
	for (uint64_t idx = a->first; !a->pages->mmio && idx <= a->last_index; idx++)
		n->totals.health[NAIVE_not_filled] += !mapping_find(n, a, d, idx);
}

/* Cuts that waited are made when no domain joins or leaves the iopt any more. */
static void cuts_made(struct naive *n, struct iopt *iopt)
{
	struct waiting *w, *tmp;
	struct domain *d;

	DL_FOREACH(n->domains, d) {
		if (d->iopt == iopt && d->state != JOINED)
			return;
	}
	DL_FOREACH_SAFE(iopt->waiting, w, tmp) {
		cuts(n, &w->cut, w->has_iova1);
		DL_DELETE(iopt->waiting, w);
		free(w);
	}
}

static void on_domain_add(struct naive *n, const struct event *ev)
{
	struct domain *d = domain_find(n, ev->domain_add.domain);
	bool unknown = ev->missing & 1 << 2;
	struct stranger *s = stranger_find(n, ev->domain_add.domain, false, 0);

	if (s)
		stranger_forget(n, s);
	older_forget(n, OLDER_DOMAIN, ev->domain_add.domain);
	if (d) {
		struct iopt *iopt = d->iopt;

		n->totals.health[NAIVE_domains_readded]++;
		domain_leave(n, d);
		domain_end(n, d);
		iopt_put(n, iopt);
		cuts_made(n, iopt);
	}
	d = xzalloc(sizeof(*d));
	d->id = ev->domain_add.domain;
	d->serial = ++n->serial;
	d->iopt = iopt_get(n, ev->domain_add.iopt);
	d->noncoherent = unknown || !ev->domain_add.coherent;
	d->state = JOINING;
	DL_APPEND(n->domains, d);
	if (unknown)
		n->totals.health[NAIVE_unknown_coherency]++;
	if (d->noncoherent)
		d->iopt->cnt++;
	touch_iopt(n, d->iopt, false);
	op_begin(n, EV_domain_add, d->id, d->iopt->id, NULL);
}

static void domain_joined(struct naive *n, struct domain *d)
{
	struct iopt *iopt = d->iopt;
	struct area *a;

	d->state = JOINED;
	iopt->domains = realloc(iopt->domains, (iopt->ndomains + 1) * sizeof(struct domain *));
	if (!iopt->domains)
		exit(1);
	iopt->domains[iopt->ndomains++] = d;
	if (!d->noncoherent)
		return;
	DL_FOREACH(n->areas, a) {
		if (a->iopt == iopt && a->storage[PREFER] && !a->storage[PREFER]->noncoherent)
			a->storage[PREFER] = d;
	}
}

static void on_domain_add_end(struct naive *n, const struct event *ev)
{
	struct domain *d = domain_of_iopt(n, ev->domain_add_end.domain, ev->domain_add_end.iopt);
	struct iopt *iopt;
	struct area *a;

	if (ev->domain_add_end.rc != 0)
		older_forget(n, OLDER_DOMAIN, ev->domain_add_end.domain);
	n->totals.health[NAIVE_failed_joins] += ev->domain_add_end.rc != 0;
	if (!d)
		return;
	owner(n, d->iopt->id, ev->domain_add_end.iopt);
	op_end(n, EV_domain_add, d->id, ev->domain_add_end.rc != 0);
	iopt = d->iopt;
	if (ev->domain_add_end.rc != 0) {
		iopt->undone += !d->noncoherent;
		storage_leave(n, d, true);
		domain_leave(n, d);
		domain_end(n, d);
		clear_idle_flags(n, iopt);
		iopt_put(n, iopt);
	} else if (d->state == JOINING) {
		DL_FOREACH(n->areas, a) {
			if (a->iopt == iopt && !a->filling && !a->unfilling)
				filled(n, a, d);
		}
		domain_joined(n, d);
	}
	cuts_made(n, iopt);
}

static void on_domain_remove(struct naive *n, const struct event *ev)
{
	struct domain *d = domain_of_iopt(n, ev->domain_remove.domain, ev->domain_remove.iopt);

	if (!d)
		return;
	owner(n, d->iopt->id, ev->domain_remove.iopt);
	n->totals.health[NAIVE_removed_unjoined] += d->state == JOINING;
	touch_iopt(n, d->iopt, false);
	op_begin(n, EV_domain_remove, d->id, d->iopt->id, NULL);
	domain_leave(n, d);
}

static void on_domain_remove_end(struct naive *n, const struct event *ev)
{
	struct domain *d = domain_of_iopt(n, ev->domain_remove_end.domain, ev->domain_remove_end.iopt);
	struct iopt *iopt;

	older_forget(n, OLDER_DOMAIN, ev->domain_remove_end.domain);
	if (!d)
		return;
	owner(n, d->iopt->id, ev->domain_remove_end.iopt);
	op_end(n, EV_domain_remove, d->id, false);
	iopt = d->iopt;
	domain_leave(n, d);
	domain_end(n, d);
	clear_idle_flags(n, iopt);
	iopt_put(n, iopt);
	cuts_made(n, iopt);
}

static void on_area_fill(struct naive *n, const struct event *ev)
{
	const struct event_area_fill *e = &ev->area_fill;
	struct area *a, *tmp;

	DL_FOREACH_SAFE(n->areas, a, tmp) {
		if (a->iopt->id == e->iopt && a->iova <= e->last && e->iova <= a->last) {
			n->totals.health[NAIVE_areas_overlapped]++;
			area_end(n, a);
		}
	}
	a = xzalloc(sizeof(*a));
	a->serial = ++n->serial;
	a->iopt = iopt_get(n, e->iopt);
	a->pages = pages_get(n, e->pages);
	a->pages->areas++;
	a->iova = e->iova;
	a->last = e->last;
	a->first = e->first;
	a->last_index = e->last_index;
	a->page_offset = e->page_offset;
	a->filling = true;
	area_take_id(n, a, e->area);
	DL_APPEND(n->areas, a);
	older_forget(n, OLDER_AREA, e->area);
	fill_begin(n, ev->tid, e->iopt, e->iova, e->last);
	a->unsure = !iopt_known(a->iopt, true);
	if (older_find(n, OLDER_PAGES, e->pages))
		a->pages->tainted = true;
	touch_area(n, a, false);
	n->totals.health[NAIVE_not_excluded] += locked(n, a->iopt->id);
	op_begin(n, EV_area_fill, a->id, a->iopt->id, a->pages);
	if (a->iopt->ndomains > 0)
		begin_fill(n, B1, a, NULL);
}

static void on_area_fill_end(struct naive *n, const struct event *ev)
{
	struct area *a = area_or_count(n, ev->area_fill_end.area);
	struct fill *f = fill_find(n, ev->tid);
	bool failed = ev->area_fill_end.rc != 0;
	struct iopt *iopt;
	struct domain *d;

	n->totals.health[NAIVE_failed_fills] += failed;
	if (a)
		op_end(n, EV_area_fill, a->id, failed);
	if (failed)
		older_forget(n, OLDER_AREA, ev->area_fill_end.area);
	if (a && a->filling && !failed) {
		fill_proves(n, a->iopt, f);
		DL_FOREACH(n->domains, d) {
			bool any = false;

			for (uint64_t idx = a->first; d->iopt == a->iopt && idx <= a->last_index; idx++)
				any |= mapping_find(n, a, d, idx) != NULL;
			if (any || (d->iopt == a->iopt && d->state == JOINED))
				filled(n, a, d);
		}
	}
	if (a && !a->iopt->proven)
		a->pages->tainted = true;
	if (a)
		a->unsure = false;
	if (f)
		fill_forget(n, f);
	if (!a)
		return;
	if (failed) {
		iopt = a->iopt;
		area_end(n, a);
		iopt_put(n, iopt);
		return;
	}
	a->filling = false;
	memset(a->req, 0, sizeof(a->req));
	for (int r = 0; r < RULES && !a->unfilling; r++)
		storage_set(n, a, r, storage_choice(a->iopt, r));
}

static void on_area_unfill(struct naive *n, const struct event *ev)
{
	const struct event_area_unfill *e = &ev->area_unfill;
	struct area *a = area_find(n, e->area, e->pages, e->iopt, e->iova);

	if (!a)
		return;
	area_is(n, a, e->pages, e->iova, e->last);
	touch_area(n, a, false);
	n->totals.health[NAIVE_unfilled_held] += a->accesses > 0;
	n->totals.health[NAIVE_not_excluded] += locked(n, a->iopt->id);
	op_begin(n, EV_area_unfill, e->area, a->iopt->id, a->pages);
	a->unfilling = true;
	for (int r = 0; r < RULES; r++)
		storage_set(n, a, r, NULL);
}

static void on_area_unfill_end(struct naive *n, const struct event *ev)
{
	const struct event_area_unfill_end *e = &ev->area_unfill_end;
	struct area *a = area_find(n, e->area, e->pages, e->iopt, e->iova);

	struct iopt *iopt = a ? a->iopt : NULL;

	if (a) {
		area_is(n, a, e->pages, e->iova, e->last);
		op_end(n, EV_area_unfill, e->area, false);
		area_end(n, a);
		iopt_put(n, iopt);
	}
	older_forget(n, OLDER_AREA, e->area);
}

static void on_area_add_domain(struct naive *n, const struct event *ev)
{
	const struct event_area_add_domain *e = &ev->area_add_domain;
	struct area *a = area_find(n, e->area, e->pages, e->iopt, e->iova);
	struct domain *d = domain_of_iopt(n, e->domain, e->iopt);

	if (!a || !d)
		return;
	area_is(n, a, e->pages, e->iova, e->last);
	n->totals.health[NAIVE_mismatched] += a->iopt != d->iopt;
	touch_area(n, a, false);
	a->pages->tainted |= !a->iopt->proven;
	op_begin_add(n, a, d->id);
	begin_fill(n, B2, a, d);
}

static void on_area_add_domain_end(struct naive *n, const struct event *ev)
{
	struct area *a = area_or_count(n, ev->area_add_domain_end.area);
	struct domain *d = domain_or_count(n, ev->area_add_domain_end.domain);

	if (a && d)
		op_end_add(n, a->id, d->id, ev->area_add_domain_end.rc != 0);
	if (a)
		memset(a->req, 0, sizeof(a->req));
	if (!a || !d)
		return;
	if (ev->area_add_domain_end.rc != 0 || a->unfilling || a->iopt != d->iopt || a->iopt->ndomains > 0)
		return;
	for (int r = 0; r < RULES; r++)
		storage_set(n, a, r, d);
}

static void map_hook(struct naive *n, struct area *a, struct domain *d, uint64_t idx, struct page *page)
{
	enum source source[RULES] = {page_source(n, page, idx, FIRST), page_source(n, page, idx, PREFER)};
	struct hooked *h;

	if (d->state == JOINING) {
		at_page(n, H2, a, d, page, source, false);
		return;
	}
	if (!a->filling)
		return;
	HASH_FIND(hh, a->hooked, &idx, sizeof(idx), h);
	if (h)
		return;
	h = xzalloc(sizeof(*h));
	h->idx = idx;
	HASH_ADD(hh, a->hooked, idx, sizeof(h->idx), h);
	at_page(n, H1, a, NULL, page, source, false);
}

static void map_page(struct naive *n, struct area *a, struct domain *d, uint64_t idx, uint64_t pfn)
{
	struct page *page;
	struct frame *f;

	if (mapping_find(n, a, d, idx)) {
		n->totals.health[NAIVE_mapped_twice]++;
		return;
	}
	page = page_get(n, a->pages, idx);
	if (!page->frame) {
		page->frame = frame_get(n, pfn);
		pin_up(page->frame);
	} else if (page->frame->pfn != pfn) {
		n->totals.health[NAIVE_pfn_changed]++;
	}
	f = page->frame;
	f->tainted |= tainted(n, a);
	map_hook(n, a, d, idx, page);
	mapping_enter(n, a, d, idx, page);
	n->totals.mapped_pages++;
	if (d->noncoherent) {
		if (f->nc == 0)
			audit_exposure(n, a, page);
		nc_up(n, f);
		f->ever = true;
	}
}

/* What it maps is pinned through something that the model does not see. */
static void ignored_map(struct naive *n, const struct event_map *e)
{
	for (uint64_t at = e->paddr / PAGE_SIZE_BYTES; at <= (e->paddr + e->size - 1) / PAGE_SIZE_BYTES; at++) {
		struct frame *f = frame_get(n, at);

		f->tainted = f->suspect = true;
	}
}

/* What its indexes have pinned shows that it is RAM, too. */
static void set_mmio(struct naive *n, struct pages *g)
{
	struct page *page, *tmp;

	if (g->mmio)
		return;
	g->mmio = true;
	HASH_ITER(hh, n->page, page, tmp)
		n->totals.health[NAIVE_mmio_mixed] += page->pages == g;
}

/* The area that the thread fills, if that iova is in it. */
static struct area *fill_area(struct naive *n, uint64_t iova)
{
	struct op *o = op_find(n, n->tid);
	struct area *a = o && o->kind == EV_area_fill ? area_by_id(n, o->object) : NULL;

	return a && a->iova <= iova && iova <= a->last ? a : NULL;
}

/* Pages that are no RAM: known, so that their unmap is, and nothing else. */
static void map_mmio(struct naive *n, struct domain *d, const struct event_map *e)
{
	uint64_t page = e->iova / PAGE_SIZE_BYTES, last = (e->iova + e->size - 1) / PAGE_SIZE_BYTES;
	struct area *a;
	struct mmio *m;

	for (; page <= last; page++) {
		n->totals.health[NAIVE_mmio_pages]++;
		HASH_FIND(hh, d->mmio, &page, sizeof(page), m);
		if (m)
			continue;
		m = xzalloc(sizeof(*m));
		m->page = page;
		HASH_ADD(hh, d->mmio, page, sizeof(m->page), m);
	}
	a = area_containing(n, d->iopt->id, e->iova);
	if (a)
		set_mmio(n, a->pages);
}

/* Whether there was any. */
static bool unmap_mmio(struct domain *d, uint64_t iova, uint64_t last)
{
	struct mmio *m, *tmp;
	bool any = false;

	HASH_ITER(hh, d->mmio, m, tmp) {
		if (m->page < iova / PAGE_SIZE_BYTES || m->page > last / PAGE_SIZE_BYTES)
			continue;
		any = true;
		HASH_DELETE(hh, d->mmio, m);
		free(m);
	}
	return any;
}

static void on_map_failed(struct naive *n, const struct event *ev)
{
	struct domain *d = domain_find(n, ev->map_failed.domain);
	struct area *a = d ? area_containing(n, d->iopt->id, ev->map_failed.iova) : NULL;

	n->totals.health[NAIVE_failed_maps]++;
	if (a)
		op_undoes(n);
	if (a && (d->state == JOINING || a->filling))
		begin_fill(n, B3, a, d);
}

static void on_map(struct naive *n, const struct event *ev)
{
	const struct event_map *e = &ev->map;
	struct domain *d = domain_find(n, e->domain);
	bool mmio = !(ev->missing & 1 << 4) && (e->prot & IOMMU_MMIO);
	struct area *a;
	uint64_t idx0, idx_last;

	if (d && mmio) {
		map_mmio(n, d, e);
		return;
	}
	if (!d) {
		struct fill *f = fill_find(n, ev->tid);
		bool filling = f && f->iova <= e->iova && e->iova <= f->last;

		if (filling)
			stranger_get(n, e->domain, true, ev->tid)->bytes += mmio ? 0 : e->size;
		if (mmio) {
			n->totals.health[NAIVE_foreign_maps]++;
			a = fill_area(n, e->iova);
			if (a)
				set_mmio(n, a->pages);
			return;
		}
		if (meet_stranger(n, e->domain,
				  (e->iova % PAGE_SIZE_BYTES + e->size + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES) ||
		    filling)
			ignored_map(n, e);
		return;
	}
	a = area_containing(n, d->iopt->id, e->iova);
	if (!a) {
		n->totals.health[NAIVE_unknown_area]++;
		meet(n, OLDER_IOPT, d->iopt->id);
		ignored_map(n, e);
		return;
	}
	n->totals.health[NAIVE_outside_operation] += !op_fills(n, a, d);
	idx0 = area_index(a, e->iova);
	n->totals.health[NAIVE_out_of_order] += (d->state == JOINING || a->filling) && idx0 > a->first &&
						!mapping_find(n, a, d, idx0 - 1);
	idx_last = area_index(a, e->iova + e->size - 1);
	if (idx_last > a->last_index) {
		n->totals.health[NAIVE_beyond_area] += idx_last - a->last_index;
		idx_last = a->last_index;
	}
	if (a->pages->mmio)
		n->totals.health[NAIVE_mmio_mixed] += idx_last - idx0 + 1;
	for (uint64_t idx = idx0; idx <= idx_last; idx++)
		map_page(n, a, d, idx, e->paddr / PAGE_SIZE_BYTES + (idx - idx0));
}

/* H4 and what follows, for an index that nothing holds any more. */
static void unpin_page(struct naive *n, struct area *a, struct page *page, bool by_access)
{
	struct frame *f = page->frame;

	at_page(n, H4, a, NULL, page, NULL, by_access);
	n->totals.unpinned_pages++;
	if (f) {
		f->tainted |= tainted(n, a);
		if (f->pin == 1)
			audit_stale(n, a, page, NAIVE_RELEASE);
		f->pin--;
		f->unpins += !op_find(n, n->tid);
		n->totals.derived_unpins++;
		if (!a->unfilling || a->pages->areas > 1) /* else the pages is about to end */
			was_set(page);
	}
	op_released(n, a, f);
	page_forget(n, page);
}

/* What one unmap took out, in order: what is no longer pinned is settled after all of it. */
struct unmapped {
	struct area *area;
	struct page *page;
};

struct unmapped_list {
	struct unmapped *e;
	size_t count, size;
};

static void unmapped_add(struct unmapped_list *list, struct area *a, struct page *page)
{
	if (list->count == list->size) {
		list->size = list->size ? 2 * list->size : 64;
		list->e = realloc(list->e, list->size * sizeof(*list->e));
		if (!list->e)
			exit(1);
	}
	page->unmapped = list->count;
	list->e[list->count++] = (struct unmapped){a, page};
}

static void unmap_page(struct naive *n, struct mapping *m, struct unmapped_list *list)
{
	struct area *a = m->area;
	struct domain *d = m->domain;
	struct page *page = m->page;
	struct frame *f = page->frame;

	mapping_forget(n, m);
	f->tainted |= tainted(n, a);
	unmapped_add(list, a, page);
	if (d->noncoherent) {
		nc_down(n, f);
		if (f->nc == 0)
			set_unclean(f);
	}
	at_page(n, H3, a, d, page, NULL, false);
	if (d->noncoherent && f->nc == 0 && page->held > 0)
		audit_stale(n, a, page, NAIVE_ACCESS_GAP);
}

/* The area with the lowest iova that reaches into [from, last] of the iopt, or NULL. */
static struct area *next_area(struct naive *n, const struct iopt *iopt, uint64_t from, uint64_t last)
{
	struct area *a, *best = NULL;

	DL_FOREACH(n->areas, a) {
		if (a->iopt == iopt && a->last >= from && a->iova <= last && (!best || a->iova < best->iova))
			best = a;
	}
	return best;
}

static void on_unmap(struct naive *n, const struct event *ev)
{
	const struct event_unmap *e = &ev->unmap;
	struct domain *d = domain_find(n, e->domain);
	uint64_t from = e->iova, last = e->iova + e->size - 1;
	struct unmapped_list list = {0};
	uint64_t odd = 0, beside = e->size;
	bool any = false, outside = false, mmio;
	struct area *a;

	if (!d) {
		meet_stranger(n, e->domain, 0);
		return;
	}
	mmio = unmap_mmio(d, from, last);
	while ((a = next_area(n, d->iopt, from, last))) {
		uint64_t lo = from > a->iova ? from : a->iova, hi = last < a->last ? last : a->last;

		any = true;
		touch_area(n, a, false);
		outside |= !a->pages->mmio && !op_unmaps(n, a, d);
		beside -= hi - lo + 1;
		for (uint64_t idx = area_index(a, lo); idx <= area_index(a, hi); idx++) {
			struct mapping *m = mapping_find(n, a, d, idx);

			if (m)
				unmap_page(n, m, &list);
			else
				odd += !a->pages->mmio;
		}
		if (hi == last)
			break;
		from = hi + 1;
	}
	if (!any && !mmio) {
		n->totals.health[NAIVE_unknown_area]++;
		meet(n, OLDER_IOPT, d->iopt->id);
	}
	if (any)
		n->totals.health[NAIVE_beyond_area] += (beside + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES;
	if (odd) {
		struct odd *o = xzalloc(sizeof(*o));

		*o = (struct odd){.tid = ev->tid, .domain = e->domain, .iova = e->iova, .last = last, .pages = odd};
		DL_APPEND(n->odd, o);
	}
	n->totals.health[NAIVE_outside_operation] += outside;
	if (any)
		op_undoes(n);
	for (size_t i = 0; i < list.count; i++) {
		if (list.e[i].page->unmapped != i)
			list.e[i].page = NULL; /* also taken out through a later area: that one counts */
	}
	for (size_t i = 0; i < list.count; i++) {
		if (list.e[i].page && !page_pinned(list.e[i].page))
			unpin_page(n, list.e[i].area, list.e[i].page, false);
	}
	free(list.e);
}

/* A half of a cut: [iova, last] of old. A new area, with the old one's indexes, storage and bit, and no fill. */
static struct area *cut_half(struct naive *n, const struct area *old, uint64_t iova, uint64_t last)
{
	struct area *a = xzalloc(sizeof(*a));

	a->serial = ++n->serial;
	a->iopt = old->iopt;
	a->pages = old->pages;
	a->iova = iova;
	a->last = last;
	a->first = old->first;
	a->last_index = old->last_index;
	a->page_offset = old->page_offset;
	memcpy(a->F, old->F, sizeof(a->F));
	for (int r = 0; r < RULES; r++)
		storage_set(n, a, r, old->storage[r]);
	a->pages->areas++;
	DL_APPEND(n->areas, a);
	return a;
}

static void cut_mappings(struct naive *n, struct area *old, struct area *left, struct area *right)
{
	struct mapping *m, *tmp;

	HASH_ITER(hh, n->mapping, m, tmp) {
		struct area *a = m->key.idx < right->first ? left : right;
		struct domain *d = m->domain;
		struct page *page = m->page;
		uint64_t idx = m->key.idx;

		if (m->area != old)
			continue;
		mapping_forget(n, m);
		mapping_enter(n, a, d, idx, page);
	}
}

/* Whether the cut was made or skipped; false: refused. */
static bool cut_one(struct naive *n, uint64_t iopt, uint64_t iova)
{
	struct area *a = area_containing(n, iopt, iova), *left, *right;

	if (!a || iova == a->iova || iova == a->last)
		return true;
	if (a->filling || a->unfilling)
		return false;
	if (a->accesses > 0 || (iova + 1 - a->iova + a->page_offset) % PAGE_SIZE_BYTES != 0)
		return false;
	left = cut_half(n, a, a->iova, iova);
	right = cut_half(n, a, iova + 1, a->last);
	left->last_index = area_index(a, iova);
	right->first = left->last_index + 1;
	right->page_offset = 0;
	cut_mappings(n, a, left, right);
	area_end(n, a);
	return true;
}

static void cuts(struct naive *n, const struct event_cut *e, bool has_iova1)
{
	if (e->num_iovas >= 1 && !cut_one(n, e->iopt, e->iova0))
		return;
	if (e->num_iovas >= 2 && has_iova1)
		cut_one(n, e->iopt, e->iova1);
}

static void on_cut(struct naive *n, const struct event *ev)
{
	struct iopt *iopt = iopt_find(n, ev->cut.iopt);
	struct waiting *w;

	if (!iopt || iopt_empty(n, iopt))
		return;
	w = xzalloc(sizeof(*w));
	touch_iopt(n, iopt, true);
	w->cut = ev->cut;
	w->has_iova1 = !(ev->missing & 1 << 3);
	DL_APPEND(iopt->waiting, w);
	cuts_made(n, iopt);
}

static void on_access_add(struct naive *n, const struct event *ev)
{
	const struct event_access_add *e = &ev->access_add;
	struct area *a = area_find(n, e->area, e->pages, e->iopt, e->iova);

	if (!a)
		return;
	area_is(n, a, e->pages, e->iova, a->last);
	touch_area(n, a, true);
	access_enter(a->pages, e->first, e->last);
	op_overlap(n, a->iopt->id, a->pages, false, false);
	a->accesses++;
	for (uint64_t idx = e->first; idx <= e->last; idx++) {
		struct page *page = page_get(n, a->pages, idx);

		n->totals.health[NAIVE_beyond_area] += idx < a->first || idx > a->last_index;
		if (page->frame) {
			page->frame->tainted |= tainted(n, a);
			at_page(n, H5, a, NULL, page, NULL, false);
			audit_stale(n, a, page, NAIVE_ACCESS_GAP);
		}
		page->held++;
	}
}

static void on_access_remove(struct naive *n, const struct event *ev)
{
	const struct event_access_remove *e = &ev->access_remove;
	struct area *a = area_find(n, e->area, e->pages, e->iopt, e->iova);

	if (!a)
		return;
	area_is(n, a, e->pages, e->iova, a->last);
	touch_area(n, a, true);
	if (!access_leave(a->pages, e->first, e->last) || !a->accesses)
		n->totals.health[NAIVE_access_mismatch]++;
	op_begin(n, EV_access_remove, e->area, a->iopt->id, a->pages);
	if (a->accesses > 0)
		a->accesses--;
	for (uint64_t idx = e->first; idx <= e->last; idx++) {
		struct page *page = page_find(n, a->pages, idx);

		if (!page || page->held == 0) {
			n->totals.health[NAIVE_access_not_held]++;
			continue;
		}
		page->held--;
		if (!page_pinned(page))
			unpin_page(n, a, page, true);
	}
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* "NAME" or "NAME [MODULE]". */
static bool is_iommufd(const char *caller)
{
	const char *module = strstr(caller, " [");

	if (module)
		return !strcmp(module, " [iommufd]");
	return begins(caller, "iommufd_") || begins(caller, "iopt_") || begins(caller, "__iopt_") ||
	       begins(caller, "pfn_reader_") || begins(caller, "batch_");
}

static void on_rw_access(struct naive *n, const struct event *ev)
{
	struct reading *r = xzalloc(sizeof(*r));

	thread_begins(n);
	r->tid = ev->tid;
	r->pages = ev->rw_access.pages;
	DL_APPEND(n->readings, r);
}

static void on_rw_access_end(struct naive *n, const struct event *ev)
{
	struct reading *r = reading_find(n, ev->tid);
	uint64_t pages = ev->rw_access_end.pages;

	if (r && r->pages == pages)
		reading_forget(n, r);
	else
		n->totals.health[NAIVE_ends_without_begin] += !!pages_find(n, pages);
}

static void on_unpin(struct naive *n, const struct event *ev)
{
	const char *caller = intern_get(n->strings, (uint32_t)ev->unpin.caller);
	struct op *o = op_find(n, n->tid);

	if (caller && !is_iommufd(caller)) {
		n->totals.health[NAIVE_foreign_unpins] += ev->unpin.npages;
		return;
	}
	if (reading_find(n, n->tid)) {
		n->totals.health[NAIVE_rw_unpins] += ev->unpin.npages;
		return;
	}
	if (o && o->kind == EV_access_remove && op_balanced(o))
		op_settle(n, o, false);
	for (uint64_t k = 0; k < ev->unpin.npages; k++) {
		struct frame *f = frame_get(n, ev->unpin.pfn + k);

		f->unpins -= !op_find(n, n->tid);
		if (f->unpins + op_unpinned(n, f->pfn) < 0)
			f->tainted = true; /* something else held it, too */
	}
	if (!caller && !op_find(n, n->tid))
		n->totals.health[NAIVE_unattributed_unpins] += ev->unpin.npages;
	n->totals.kernel_unpins += ev->unpin.npages;
}

static void on_lost(struct naive *n, const struct event *ev)
{
	n->lost++;
	if (ev->missing & 1 << 0)
		n->totals.health[NAIVE_lost_unknown]++;
	else
		n->totals.health[NAIVE_lost_records] = number_sum(n->totals.health[NAIVE_lost_records], ev->lost.count);
}

void naive_event(struct naive *n, const struct event *ev)
{
	static void (*const on[EV_KINDS])(struct naive * n, const struct event *ev) = {
		[EV_domain_add] = on_domain_add,
		[EV_domain_add_end] = on_domain_add_end,
		[EV_domain_remove] = on_domain_remove,
		[EV_domain_remove_end] = on_domain_remove_end,
		[EV_area_fill] = on_area_fill,
		[EV_area_fill_end] = on_area_fill_end,
		[EV_area_unfill] = on_area_unfill,
		[EV_area_unfill_end] = on_area_unfill_end,
		[EV_area_add_domain] = on_area_add_domain,
		[EV_area_add_domain_end] = on_area_add_domain_end,
		[EV_map] = on_map,
		[EV_map_failed] = on_map_failed,
		[EV_unmap] = on_unmap,
		[EV_cut] = on_cut,
		[EV_access_add] = on_access_add,
		[EV_access_remove] = on_access_remove,
		[EV_unpin] = on_unpin,
		[EV_rw_access] = on_rw_access,
		[EV_rw_access_end] = on_rw_access_end,
		[EV_lost] = on_lost,
	};

	n->events++;
	n->tid = ev->tid;
	if (ev->kind != EV_lost)
		thread_goes_on(n, ev);
	memset(n->flushed, 0, sizeof(n->flushed));
	if (ev->kind < EV_KINDS && on[ev->kind])
		on[ev->kind](n, ev);
}

void naive_finish(struct naive *n)
{
	struct frame *f, *tmp;
	struct op *o, *otmp;
	struct odd *odd;

	DL_FOREACH_SAFE(n->ops, o, otmp) {
		if (o->kind == EV_access_remove && op_balanced(o))
			op_settle(n, o, false);
	}
	DL_FOREACH(n->ops, o) {
		struct tally *t, *ttmp;

		n->totals.health[NAIVE_operations_open]++;
		HASH_ITER(hh, o->tally, t, ttmp)
			n->totals.pending_unpins += t->released > t->unpinned ? t->released - t->unpinned : 0;
	}
	n->totals.missing_in_kernel = 0;
	n->totals.not_derived = 0;
	HASH_ITER(hh, n->frame, f, tmp) {
		if (f->unpins > 0)
			n->totals.missing_in_kernel += f->unpins;
		else
			n->totals.not_derived += -f->unpins;
	}
	DL_FOREACH(n->odd, odd)
		n->totals.health[NAIVE_not_mapped] += odd->pages;
	if (n->totals.kernel_unpins) {
		n->totals.health[NAIVE_unpinned_early] = n->too_early;
		n->totals.health[NAIVE_unpinned_too_many] = n->too_many;
		n->totals.health[NAIVE_unpinned_too_few] = n->too_few;
		n->totals.health[NAIVE_unpinned_unordered] = n->unordered;
	}
	for (unsigned p = 0; p < NAIVE_POLICIES; p++) {
		for (int g = 0; g < NAIVE_GAPS; g++) {
			n->counts[p].uncertain[g] = n->totals.midlife ? n->counts[p].gaps[g] : 0;
			n->counts[p].if_new[g] = n->totals.midlife ? n->counts[p].if_new[g] : 0;
		}
	}
}

struct naive *naive_new(const struct intern *strings)
{
	struct naive *n = xzalloc(sizeof(*n));

	n->strings = strings;
	for (unsigned p = 0; p < NAIVE_POLICIES; p++)
		n->counts[p].name = policies[p].name;
	return n;
}

void naive_free(struct naive *n)
{
	struct mapping *m, *mtmp;
	struct page *page, *ptmp;
	struct frame *f, *ftmp;
	struct domain *d, *dtmp;
	struct pages *g, *gtmp;
	struct iopt *i, *itmp;
	struct area *a, *atmp;
	struct older_id *o, *otmp;
	struct stranger *x, *xtmp;
	struct fill *fill, *filltmp;
	struct op *op, *optmp;
	struct odd *odd, *oddtmp;
	struct reading *r, *rtmp;

	if (!n)
		return;
	DL_FOREACH_SAFE(n->ops, op, optmp)
		op_forget(n, op);
	HASH_ITER(hh, n->mapping, m, mtmp) {
		HASH_DELETE(hh, n->mapping, m);
		free(m);
	}
	HASH_ITER(hh, n->page, page, ptmp)
		page_forget(n, page);
	HASH_ITER(hh, n->frame, f, ftmp) {
		HASH_DELETE(hh, n->frame, f);
		free(f);
	}
	DL_FOREACH_SAFE(n->older, o, otmp)
		free(o);
	DL_FOREACH_SAFE(n->strangers, x, xtmp)
		free(x);
	DL_FOREACH_SAFE(n->fills, fill, filltmp)
		free(fill);
	DL_FOREACH_SAFE(n->odd, odd, oddtmp)
		free(odd);
	DL_FOREACH_SAFE(n->readings, r, rtmp)
		free(r);
	DL_FOREACH_SAFE(n->areas, a, atmp) {
		hooked_clear(a);
		free(a);
	}
	DL_FOREACH_SAFE(n->domains, d, dtmp) {
		mmio_clear(d);
		free(d);
	}
	DL_FOREACH_SAFE(n->pages, g, gtmp) {
		was_clear(g);
		accesses_clear(g);
		free(g);
	}
	DL_FOREACH_SAFE(n->iopts, i, itmp) {
		waiting_clear(i);
		free(i->domains);
		free(i);
	}
	free(n);
}

const struct naive_counts *naive_counts(const struct naive *n, unsigned i)
{
	return &n->counts[i];
}

const struct naive_totals *naive_totals(const struct naive *n)
{
	return &n->totals;
}
