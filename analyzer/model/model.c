/*
 * Events to pins, mappings and hooks (semantics, sections 4 and 5); see model.h.
 *
 * objects.h says what an id names, frames.h what happens to a frame; this file is between: it turns one event into runs
 * of page indexes, and those, through what is known of each index, into runs of frames. Everything is done by runs: an
 * event costs as many steps as there are runs that differ in state, whatever their length.
 *
 * Invariants, for every pages and index: maps is the number of (area, domain) whose link set holds it; the frame's pin
 * counts it once if maps or held is not 0 and the frame is known; nc counts its maps in non-coherent domains.
 */
#include "analyzer/model/model.h"

#include <inttypes.h>
#include <string.h>

#include "analyzer/model/frames.h"
#include "analyzer/model/objects.h"
#include "analyzer/model/older.h"

const char *const hook_names[HOOKS] = {"map", "unmap", "unpin", "access"};
const char *const gap_names[GAPS] = {"leak", "reexpose", "release", "access"};
const bool gap_is_error[GAPS] = {[GAP_LEAK] = true, [GAP_RELEASE] = true};

const struct health_desc health_table[HEALTH_COUNT] = {
#define HEALTH(n, u, s, d, a) {.name = #n, .unit = u, .severity = s, .doc = d, .advice = a},
#include "schema/health.def"
#undef HEALTH
};

/* Derived unpins less the kernel's own, by frame. */
struct balance {
	int64_t diff;
};
#define SPANMAP balancemap
#define SPANMAP_VALUE struct balance
#define SPANMAP_SAME(a, b) ((a)->diff == (b)->diff)
#define SPANMAP_EMPTY(v) (!(v)->diff)
#include "analyzer/model/spanmap.h"

/* Indexes that an event unpinned, to be let go after all its pages. */
struct dying {
	struct area *area;
	const struct domain *domain; /* NULL: by access */
	uint64_t lo, hi, pfn;	     /* pfn of lo, or IOFLUSH_PFN_UNKNOWN */
};

struct model {
	struct budget *budget;
	struct objects objects;
	struct frames frames;
	struct balancemap balance;
	struct older older;
	const struct event *now;
	struct ioflush_policy *const *policies;
	size_t n;
	uint64_t clear_when_idle; /* bits of the policies that ask for it */
	bool needs_source, watched;
	bool failed; /* no memory */
	struct dying *dying;
	size_t ndying, dying_cap;
	struct model_totals totals;
};

/* What the span callbacks of one event need. */
struct run {
	struct model *m;
	struct step step;
	struct pages *pages;
	uint64_t lo, pfn; /* map: the first index of the run and its frame */
	bool hook;	  /* map: area or domain is filling */
};

static void count(struct model *m, enum health h, uint64_t n)
{
	m->totals.health[h] += n;
}

/* Keeps the first failure; everything after it is void. */
static void check(struct model *m, int err)
{
	if (err)
		m->failed = true;
}

/*
 * Whether all that a policy may ask of the iopt is known in a step through an area (NULL: of a fill that begins). Before
 * the proof it is in a fill beside a known non-coherent domain, whatever older one may be there, too: cnt is not 0.
 */
static bool iopt_known(const struct iopt *iopt, const struct area *a)
{
	return iopt->proven || (!iopt->older && iopt->pub.noncoherent && (!a || a->filling));
}

static void run_init(struct run *r, struct model *m, struct area *a, const struct domain *d)
{
	const struct device *dev = d && m->watched ? device_find(&m->objects, d->pub.id) : NULL;

	memset(r, 0, sizeof(*r));
	r->m = m;
	r->pages = a->pages;
	r->step.frames = &m->frames;
	r->step.area = a;
	r->step.domain = d;
	r->step.tainted = !iopt_known(a->iopt, a) || a->pages->tainted || a->pages->unsure;
	r->step.span.iopt = &a->iopt->pub;
	r->step.span.area = &a->pub;
	r->step.span.pages = &a->pages->pub;
	r->step.device = dev ? dev->name : 0;
}

/* The step's place: index lo of the pages is frame pfn. */
static void run_at(struct run *r, uint64_t lo, uint64_t pfn)
{
	r->step.index = lo;
	r->step.pfn = pfn;
}

/* ---- letting go ---- */

static void verify_unpin(struct model *m, uint64_t pfn, uint64_t npages, int64_t by);

static void dying_add(struct run *r, uint64_t lo, uint64_t hi, uint64_t pfn)
{
	struct model *m = r->m;
	struct dying *d;

	if (m->ndying == m->dying_cap) {
		size_t cap = m->dying_cap ? 2 * m->dying_cap : 64;

		d = budget_resize(m->budget, m->dying, m->dying_cap * sizeof(*d), cap * sizeof(*d));
		if (!d) {
			m->failed = true;
			return;
		}
		m->dying = d;
		m->dying_cap = cap;
	}
	m->dying[m->ndying++] = (struct dying){r->step.area, r->step.domain, lo, hi, pfn};
}

/* H4 and the release of all indexes that the event unpinned. */
static void dying_release(struct model *m)
{
	frames_break(&m->frames);
	for (size_t i = 0; i < m->ndying; i++) {
		const struct dying *d = &m->dying[i];
		uint64_t n = d->hi - d->lo + 1;
		struct run r;

		run_init(&r, m, d->area, d->domain);
		r.step.span.by_access = !d->domain;
		m->totals.unpinned_pages += n;
		if (d->pfn == IOFLUSH_PFN_UNKNOWN) {
			frames_unpin_unknown(&r.step, d->lo, n);
			continue;
		}
		run_at(&r, d->lo, d->pfn);
		check(m, frames_unpin(&r.step, d->pfn, d->pfn + n - 1));
		m->totals.derived_unpins += n;
		verify_unpin(m, d->pfn, n, 1);
	}
	m->ndying = 0;
}

/* ---- what is older than the recording (semantics, section 9) ---- */

/* An event names what no event introduced: older than the recording, unless the introduction may have been lost. */
static bool meet(struct model *m, enum older_kind kind, uint64_t id)
{
	static const enum health counter[] = {
		[OLDER_DOMAIN] = HEALTH_midlife_domains,
		[OLDER_AREA] = HEALTH_midlife_areas,
		[OLDER_PAGES] = HEALTH_midlife_pages,
		[OLDER_IOPT] = HEALTH_midlife_iopts,
	};
	int met = older_add(&m->older, kind, id);

	check(m, met < 0 ? -1 : 0);
	if (met <= 0)
		return false;
	if (m->frames.lost) {
		count(m, HEALTH_unknown_after_loss, 1);
		return true;
	}
	count(m, counter[kind], 1);
	if (!m->totals.midlife.seq)
		m->totals.midlife = (struct midlife){.seq = m->totals.events, .t = m->now->t, .kind = m->now->kind};
	return true;
}

/* What the domain did so far was counted as foreign. */
static void meet_domain(struct model *m, uint64_t id)
{
	struct older_stranger s;

	if (!meet(m, OLDER_DOMAIN, id))
		return;
	s = older_named(&m->older, id);
	m->totals.health[HEALTH_foreign_maps] -= s.events;
	count(m, HEALTH_midlife_map_pages, s.pages);
}

/* The iopt has, or had until now, a domain that is not known. */
static void meet_domain_of(struct model *m, uint64_t id)
{
	struct iopt *iopt = iopt_find(&m->objects, id);

	meet(m, OLDER_IOPT, id);
	if (!iopt)
		return;
	iopt->older = true;
	iopt->proven = false;
}

/* An event names an area that is not there, and its pages and iopt. */
static void meet_area(struct model *m, uint64_t id, uint64_t pages, uint64_t iopt)
{
	struct pages *p = pages_find(&m->objects, pages);

	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_AREA, id);
	meet(m, OLDER_PAGES, pages);
	if (p)
		p->tainted = true;
	meet(m, OLDER_IOPT, iopt);
}

/* The same of an event that names nothing but the area. */
static void meet_area_alone(struct model *m, uint64_t id)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_AREA, id);
}

/* A domain of iommufd in whose iopt there is no area. */
static void meet_unknown_range(struct model *m, const struct domain *d)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_IOPT, d->iopt->pub.id);
}

/* A map that the model ignores: what it maps is pinned all the same. */
static void ignored_map(struct model *m, const struct event_map *f)
{
	check(m, frames_taint(&m->frames, f->paddr >> PAGE_SHIFT, (f->paddr + f->size - 1) >> PAGE_SHIFT, true));
}

/* A map or unmap (of no pages) of a domain that is not there: whether it is known to be one of iommufd. */
static bool meet_stranger(struct model *m, uint64_t domain, uint64_t pages)
{
	if (older_has(&m->older, OLDER_DOMAIN, domain)) {
		count(m, HEALTH_midlife_map_pages, pages);
		return true;
	}
	count(m, HEALTH_foreign_maps, 1);
	check(m, older_stranger(&m->older, domain, pages));
	return false;
}

static void map_unknown_domain(struct model *m, const struct event *ev)
{
	const struct event_map *f = &ev->map;
	uint64_t pages = ((f->iova & (PAGE_SIZE_BYTES - 1)) + f->size + PAGE_SIZE_BYTES - 1) >> PAGE_SHIFT;
	bool filling = older_fill_map(&m->older, ev->tid, f->domain, f->iova, f->size);

	if (meet_stranger(m, f->domain, pages) || filling)
		ignored_map(m, f);
}

/*
 * The end of a fill that went well. An unknown domain into which the thread mapped all of the range is one of the iopt;
 * less than all may be the DMA API's, from an interrupt. With none at all the iopt has no domain that is not known. The
 * order of its array is known too, unless an unknown one left it, so that another took its place, beside two or more.
 */
static void fill_proves(struct model *m, struct iopt *iopt, const struct older_fill *f)
{
	if (!f || f->iopt != iopt->pub.id)
		return;
	for (unsigned i = 0; i < f->n; i++) {
		if (f->domain[i].bytes != f->last - f->iova + 1 || domain_find(&m->objects, f->domain[i].id))
			continue;
		meet_domain(m, f->domain[i].id);
		meet_domain_of(m, iopt->pub.id);
	}
	if (f->n || (iopt->older && iopt->pub.domains > 1))
		return;
	iopt->older = false;
	iopt->proven = true;
}

/* ---- leftovers: what ends with mappings or accesses in a trace that is not whole ---- */

static void drop_map_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = v->delta + lo;

	v->maps--;
	run_at(r, lo, pfn);
	check(r->m, frames_drop(&r->step, pfn, pfn + (hi - lo), true, !v->maps && !v->held));
	count(r->m, HEALTH_mappings_dropped, hi - lo + 1);
}

static void drop_link(struct model *m, struct area *a, struct link *l)
{
	const struct idxset_span *s;
	struct run r;

	for (s = idxset_from(&l->set, 0); s; s = idxset_from(&l->set, s->hi + 1)) {
		run_init(&r, m, a, l->domain);
		check(m, idxmap_update(&a->pages->idx, s->lo, s->hi, drop_map_idx, &r));
	}
	area_link_drop(a, l);
}

/* Ends an area, and its pages if it was the last, with whatever is still there. */
static void end_area(struct model *m, struct area *a)
{
	struct pages *p = a->pages;
	const struct idxmap_span *s;
	struct run r;

	while (a->nlinks)
		drop_link(m, a, a->link);
	if (p->nareas == 1) {
		for (s = idxmap_from(&p->idx, 0); s; s = idxmap_from(&p->idx, s->hi + 1)) {
			run_init(&r, m, a, NULL);
			count(m, HEALTH_accesses_dropped, s->hi - s->lo + 1);
			run_at(&r, s->lo, s->v.delta + s->lo);
			if (s->v.known)
				check(m, frames_drop(&r.step, s->v.delta + s->lo, s->v.delta + s->hi, false, true));
		}
	}
	area_end(&m->objects, a);
	if (!p->nareas)
		pages_end(&m->objects, p);
}

/* The mappings of a domain in all areas of its iopt: none are left in a whole trace. */
static void drop_mappings(struct model *m, struct domain *d)
{
	const struct areamap_span *s;
	struct areamap *areas = &d->iopt->areas;

	for (s = areamap_from(areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(areas, s->hi + 1) : NULL) {
		struct link *l = area_link(s->v.area, d);

		if (l)
			drop_link(m, s->v.area, l);
	}
}

static void end_domain(struct model *m, struct domain *d)
{
	drop_mappings(m, d);
	d->iopt->pub.noncoherent -= d->pub.noncoherent;
	domain_end(&m->objects, d);
}

/* Area marks of those policies that forget them when no domain is left. */
static void clear_idle(struct model *m, const struct iopt *iopt)
{
	const struct areamap_span *s;

	if (iopt->pub.domains || !m->clear_when_idle)
		return;
	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL)
		s->v.area->pub.marks &= ~m->clear_when_idle;
}

/* ---- domains ---- */

static void on_domain_add(struct model *m, const struct event *ev)
{
	const struct event_domain_add *f = &ev->domain_add;
	bool unknown = !event_has(ev, domain_add, coherent);
	struct domain *d = domain_find(&m->objects, f->domain);
	struct iopt *iopt;

	if (d) {
		count(m, HEALTH_domains_readded, 1);
		domain_leaves(d);
		end_domain(m, d);
	}
	older_forget(&m->older, OLDER_DOMAIN, f->domain);
	older_forget(&m->older, OLDER_STRANGER, f->domain); /* another domain had the id */
	count(m, HEALTH_unknown_coherency, unknown);
	iopt = iopt_get(&m->objects, f->iopt);
	d = iopt ? domain_new(&m->objects, iopt, f->domain, unknown || !f->coherent) : NULL;
	if (!d) {
		m->failed = true;
		return;
	}
	d->unknown = unknown;
	iopt->pub.noncoherent += d->pub.noncoherent;
}

/* The live domain that the event names, or NULL: counted, and older than the recording. */
static struct domain *known_domain(struct model *m, uint64_t id)
{
	struct domain *d = domain_find(&m->objects, id);

	if (!d) {
		count(m, HEALTH_unknown_domain, 1);
		meet_domain(m, id);
	}
	return d;
}

/* The same for an event that names the domain's iopt. */
static struct domain *known_domain_of(struct model *m, uint64_t id, uint64_t iopt)
{
	struct domain *d = known_domain(m, id);

	if (!d)
		meet_domain_of(m, iopt);
	return d;
}

static void on_domain_add_end(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_add_end.domain, ev->domain_add_end.iopt);

	if (ev->domain_add_end.rc)
		older_forget(&m->older, OLDER_DOMAIN, ev->domain_add_end.domain);
	if (!d)
		return;
	if (!ev->domain_add_end.rc) {
		if (!d->joining)
			return; /* said twice */
		check(m, domain_joined(d));
		if (d->pub.noncoherent)
			iopt_storage_prefer(d->iopt, d);
		return;
	}
	if (d->joining)
		iopt_storage_drop(d->iopt, d);
	else
		domain_leaves(d); /* its removal and another domain_add were lost */
	clear_idle(m, d->iopt);
	end_domain(m, d);
}

static void on_domain_remove(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_remove.domain, ev->domain_remove.iopt);

	if (!d)
		return;
	domain_leaves(d);
	d->removal = m->frames.now;
}

static void on_domain_remove_end(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_remove_end.domain, ev->domain_remove_end.iopt);

	older_forget(&m->older, OLDER_DOMAIN, ev->domain_remove_end.domain);
	if (!d)
		return;
	domain_leaves(d); /* nothing left to do unless domain_remove was lost */
	clear_idle(m, d->iopt);
	end_domain(m, d);
}

/* ---- areas ---- */

/* B1 or B2: tells the policies that a fill begins, and remembers it where one of them took note. */
static void begin_fill(struct model *m, struct area *a, const struct domain *d)
{
	const struct ioflush_fill fill = {&a->iopt->pub, d ? &d->pub : NULL, &a->pub, &a->pages->pub};
	uint64_t area_marks = a->pub.marks, pages_marks = a->pages->pub.marks;

	for (size_t i = 0; i < m->n; i++) {
		if (m->policies[i]->ops->fill)
			m->policies[i]->ops->fill(m->policies[i], &fill);
	}
	if (a->pub.marks & ~area_marks)
		a->mark = m->frames.now;
	if (a->pages->pub.marks & ~pages_marks)
		a->pages->mark = m->frames.now;
}

static void drop_overlapped(struct model *m, struct iopt *iopt, uint64_t iova, uint64_t last)
{
	const struct areamap_span *s;

	while ((s = areamap_from(&iopt->areas, iova)) && s->lo <= last) {
		count(m, HEALTH_areas_overlapped, 1);
		end_area(m, s->v.area);
	}
}

static void on_area_fill(struct model *m, const struct event *ev)
{
	const struct event_area_fill *f = &ev->area_fill;
	struct iopt *iopt = iopt_get(&m->objects, f->iopt);
	struct pages *pages;
	struct area *a = NULL;

	if (iopt)
		drop_overlapped(m, iopt, f->iova, f->last);
	pages = pages_get(&m->objects, f->pages);
	if (iopt && pages)
		a = area_new(&m->objects, iopt, pages, f);
	if (!a) {
		m->failed = true;
		return;
	}
	older_forget(&m->older, OLDER_AREA, f->area);
	check(m, older_fill(&m->older, ev->tid, f->iopt, f->iova, f->last));
	pages->tainted |= older_has(&m->older, OLDER_PAGES, f->pages);
	a->unsure = !iopt_known(iopt, NULL);
	pages->unsure += a->unsure;
	a->fill = m->frames.now;
	if (iopt->pub.domains)
		begin_fill(m, a, NULL);
}

static void end_area_and_iopt(struct model *m, struct area *a)
{
	struct iopt *iopt = a->iopt;

	end_area(m, a);
	iopt_put(&m->objects, iopt);
}

static void on_area_fill_end(struct model *m, const struct event *ev)
{
	const struct event_area_fill_end *f = &ev->area_fill_end;
	const struct older_fill *fill = older_fill_end(&m->older, ev->tid);
	struct area *a = area_by_id(&m->objects, f->area);

	if (!a)
		meet_area_alone(m, f->area);
	if (f->rc)
		older_forget(&m->older, OLDER_AREA, f->area);
	if (!a)
		return;
	if (a->filling && !f->rc)
		fill_proves(m, a->iopt, fill);
	a->pages->tainted |= !a->iopt->proven;
	area_sure(a, a->iopt->proven);
	a->filling = false;
	a->pub.req = 0;
	a->fill = (struct origin){0};
	idxset_clear(&a->hooked);
	if (f->rc)
		end_area_and_iopt(m, a);
	else
		area_storage_choose(&m->objects, a);
}

static void on_area_unfill(struct model *m, const struct event *ev)
{
	const struct event_area_unfill *f = &ev->area_unfill;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);

	if (!a) {
		meet_area(m, f->area, f->pages, f->iopt);
		return;
	}
	area_storage_set(&m->objects, a, NULL);
	a->unfilling = true;
	a->fill = m->frames.now;
}

static void on_area_unfill_end(struct model *m, const struct event *ev)
{
	const struct event_area_unfill_end *f = &ev->area_unfill_end;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);

	if (a)
		end_area_and_iopt(m, a);
	else
		meet_area(m, f->area, f->pages, f->iopt);
	older_forget(&m->older, OLDER_AREA, f->area);
}

static void on_area_add_domain(struct model *m, const struct event *ev)
{
	const struct event_area_add_domain *f = &ev->area_add_domain;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct domain *d = known_domain_of(m, f->domain, f->iopt);

	if (!a)
		meet_area(m, f->area, f->pages, f->iopt);
	if (!a || !d)
		return;
	a->pages->tainted |= !a->iopt->proven;
	a->fill = m->frames.now;
	begin_fill(m, a, d);
}

static void on_area_add_domain_end(struct model *m, const struct event *ev)
{
	const struct event_area_add_domain_end *f = &ev->area_add_domain_end;
	struct area *a = area_by_id(&m->objects, f->area);
	struct domain *d = known_domain(m, f->domain);

	if (!a) {
		meet_area_alone(m, f->area);
		return;
	}
	a->pub.req = 0;
	a->fill = (struct origin){0};
	/* a domain of another iopt would outlive its use here */
	if (d && d->iopt == a->iopt && !f->rc && !a->iopt->pub.domains)
		area_storage_set(&m->objects, a, d);
}

/* One cut; whether later ones of the event may follow. */
static bool cut_at(struct model *m, struct iopt *iopt, uint64_t cut)
{
	struct area *a = area_at(&m->objects, iopt, cut);

	if (!a || cut == a->pub.iova || cut == a->pub.last)
		return true;
	if (a->accesses || (cut + 1 - a->pub.iova + a->page_offset) % PAGE_SIZE_BYTES)
		return false;
	check(m, area_split(&m->objects, a, cut) ? 0 : -1);
	return true;
}

static void on_cut(struct model *m, const struct event *ev)
{
	struct iopt *iopt = iopt_find(&m->objects, ev->cut.iopt);

	if (!iopt)
		return;
	if (cut_at(m, iopt, ev->cut.iova0) && ev->cut.num_iovas > 1)
		cut_at(m, iopt, ev->cut.iova1);
}

/* ---- map ---- */

/* H1 belongs to the first mapping of an index in its fill: how far from lo the answer is the same, and whether due. */
static uint64_t map_due(const struct run *r, uint64_t lo, uint64_t hi, bool *due)
{
	const struct idxset_span *s;

	*due = r->hook;
	if (!r->hook || !r->step.filling)
		return hi;
	s = idxset_from(&r->step.area->hooked, lo);
	if (!s || s->lo > hi)
		return hi;
	if (s->lo > lo)
		return s->lo - 1;
	*due = false;
	return s->hi < hi ? s->hi : hi;
}

static enum ioflush_source storage_source(const struct domain *d)
{
	return d->pub.noncoherent ? IOFLUSH_SOURCE_NONCOHERENT : IOFLUSH_SOURCE_COHERENT;
}

/* Where the page numbers of a fill come from, for the policies that ask: how far from lo the answer is the same. */
static uint64_t map_source(struct run *r, const struct idx *v, uint64_t lo, uint64_t hi)
{
	enum ioflush_source *source = r->step.span.source;
	const struct area *a;
	uint64_t last = hi;

	if (!r->m->needs_source)
		return hi;
	if (v->held) {
		source[0] = source[1] = IOFLUSH_SOURCE_ACCESS;
		return hi;
	}
	check(r->m, objects_source(r->pages, lo, &a, &last));
	for (int i = 0; i < IOFLUSH_STORAGE_RULES; i++)
		source[i] = a ? storage_source(a->storage[i]) : IOFLUSH_SOURCE_USER;
	return last < hi ? last : hi;
}

/* Indexes that enter a domain and are in one state. */
static void map_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = r->pfn + (lo - r->lo), at, end;

	r->step.pin = !v->known;
	r->step.span.held = v->held;
	if (v->known) {
		if (pfn != v->delta + lo)
			count(r->m, HEALTH_pfn_changed, hi - lo + 1);
		pfn = v->delta + lo;
	}
	run_at(r, lo, pfn);
	for (at = lo;; at = end + 1) {
		end = map_due(r, at, hi, &r->step.ask);
		if (r->step.ask)
			end = map_source(r, v, at, end);
		check(r->m, frames_map(&r->step, pfn + (at - lo), pfn + (end - lo)));
		if (end == hi)
			break;
	}
	v->known = 1;
	v->delta = pfn - lo;
	v->maps++;
}

/* Indexes first to last, whose first is in frame pfn, enter domain d through area a. */
static void map_indexes(struct model *m, struct area *a, struct domain *d, uint64_t first, uint64_t last, uint64_t pfn)
{
	struct link *l = area_link_get(a, d);
	struct run r;
	uint64_t at, end;

	if (!l) {
		m->failed = true;
		return;
	}
	run_init(&r, m, a, d);
	r.lo = first;
	r.pfn = pfn;
	r.hook = d->joining || a->filling;
	r.step.filling = !d->joining && a->filling;
	r.step.span.domain = d->joining ? &d->pub : NULL;
	for (at = first;; at = end + 1) {
		const struct idxset_span *s = idxset_from(&l->set, at);

		if (s && s->lo <= at) {
			end = s->hi < last ? s->hi : last;
			count(m, HEALTH_mapped_twice, end - at + 1);
		} else {
			end = s && s->lo <= last ? s->lo - 1 : last;
			check(m, idxmap_update(&a->pages->idx, at, end, map_idx, &r));
			m->totals.mapped_pages += end - at + 1;
			if (r.step.filling)
				check(m, idxset_add(&a->hooked, at, end));
		}
		if (end == last)
			break;
	}
	check(m, idxset_add(&l->set, first, last));
}

static void on_map(struct model *m, const struct event *ev)
{
	const struct event_map *f = &ev->map;
	struct domain *d = domain_find(&m->objects, f->domain);
	struct area *a = d ? area_at(&m->objects, d->iopt, f->iova) : NULL;
	uint64_t first, last;

	if (!d) {
		map_unknown_domain(m, ev);
		return;
	}
	if (!a) {
		meet_unknown_range(m, d);
		ignored_map(m, f);
		return;
	}
	first = area_index(a, f->iova);
	last = area_index(a, f->iova + f->size - 1);
	if (last > a->last_index) {
		count(m, HEALTH_beyond_area, last - a->last_index);
		last = a->last_index;
	}
	map_indexes(m, a, d, first, last, f->paddr >> PAGE_SHIFT);
}

/* ---- unmap ---- */

static void unmap_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = v->delta + lo;

	v->maps--;
	r->step.span.held = v->held;
	run_at(r, lo, pfn);
	check(r->m, frames_unmap(&r->step, pfn, pfn + (hi - lo)));
	if (!v->maps && !v->held)
		dying_add(r, lo, hi, pfn);
}

/* What d maps of indexes first to last through a leaves it. */
static void unmap_indexes(struct model *m, struct area *a, struct domain *d, uint64_t first, uint64_t last)
{
	struct link *l = area_link(a, d);
	const struct idxset_span *s;
	struct run r;

	if (!l)
		return;
	run_init(&r, m, a, d);
	r.step.span.domain = &d->pub;
	for (s = idxset_from(&l->set, first); s && s->lo <= last; s = idxset_from(&l->set, s->hi + 1))
		check(m, idxmap_update(&a->pages->idx, s->lo > first ? s->lo : first, s->hi < last ? s->hi : last,
				       unmap_idx, &r));
	check(m, idxset_del(&l->set, first, last));
	if (!idxset_from(&l->set, 0))
		area_link_drop(a, l);
}

static void on_unmap(struct model *m, const struct event *ev)
{
	const struct event_unmap *f = &ev->unmap;
	struct domain *d = domain_find(&m->objects, f->domain);
	uint64_t end = f->iova + f->size - 1, areas = 0;
	const struct areamap_span *s;

	if (!d) {
		meet_stranger(m, f->domain, 0);
		return;
	}
	for (s = areamap_from(&d->iopt->areas, f->iova); s && s->lo <= end; areas++) {
		struct area *a = s->v.area;
		uint64_t hi = s->hi;

		unmap_indexes(m, a, d, area_index(a, f->iova > a->pub.iova ? f->iova : a->pub.iova),
			      area_index(a, end < hi ? end : hi));
		s = hi < UINT64_MAX ? areamap_from(&d->iopt->areas, hi + 1) : NULL;
	}
	if (!areas)
		meet_unknown_range(m, d);
	dying_release(m);
}

/* ---- accesses ---- */

static void access_add_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;
	uint64_t pfn = v->delta + lo;

	r->step.span.held = v->held;
	run_at(r, lo, pfn);
	if (v->known)
		check(r->m, frames_access(&r->step, pfn, pfn + (hi - lo)));
	v->held++;
}

static void on_access_add(struct model *m, const struct event *ev)
{
	const struct event_access_add *f = &ev->access_add;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct run r;

	if (!a) {
		meet_area(m, f->area, f->pages, f->iopt);
		return;
	}
	a->accesses++;
	run_init(&r, m, a, NULL);
	check(m, idxmap_update(&a->pages->idx, f->first, f->last, access_add_idx, &r));
}

static void access_remove_idx(void *ctx, uint64_t lo, uint64_t hi, struct idx *v)
{
	struct run *r = ctx;

	if (!v->held) {
		count(r->m, HEALTH_access_not_held, hi - lo + 1);
		return;
	}
	v->held--;
	if (!v->maps && !v->held)
		dying_add(r, lo, hi, v->known ? v->delta + lo : IOFLUSH_PFN_UNKNOWN);
}

static void on_access_remove(struct model *m, const struct event *ev)
{
	const struct event_access_remove *f = &ev->access_remove;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct run r;

	if (!a) {
		meet_area(m, f->area, f->pages, f->iopt);
		return;
	}
	a->accesses -= a->accesses > 0;
	run_init(&r, m, a, NULL);
	check(m, idxmap_update(&a->pages->idx, f->first, f->last, access_remove_idx, &r));
	dying_release(m);
}

/* ---- verification, devices, losses ---- */

struct unpin {
	struct model *m;
	int64_t by;
};

static void balance_span(void *ctx, uint64_t lo, uint64_t hi, struct balance *v)
{
	const struct unpin *u = ctx;

	v->diff += u->by;
	/* the kernel let go of what nothing known held: if it is still pinned, something else pinned it too */
	if (u->by < 0 && v->diff < 0)
		check(u->m, frames_taint(&u->m->frames, lo, hi, false));
}

static void verify_unpin(struct model *m, uint64_t pfn, uint64_t npages, int64_t by)
{
	struct unpin u = {m, by};

	check(m, balancemap_update(&m->balance, pfn, pfn + npages - 1, balance_span, &u));
}

static void on_unpin(struct model *m, const struct event *ev)
{
	m->totals.kernel_unpins += ev->unpin.npages;
	verify_unpin(m, ev->unpin.pfn, ev->unpin.npages, -1);
}

static void on_attach(struct model *m, const struct event *ev)
{
	const struct event_attach *f = &ev->attach;
	struct device *dev;

	if (!m->watched || !event_has(ev, attach, domain) || !f->device)
		return;
	dev = device_get(&m->objects, f->domain);
	if (dev)
		dev->name = f->device;
	else
		m->failed = true;
}

static void on_detach(struct model *m, const struct event *ev)
{
	(void)m; /* informative: the domain_remove that may follow is what counts */
	(void)ev;
}

static void on_lost(struct model *m, const struct event *ev)
{
	m->frames.lost++;
	if (!event_has(ev, lost, count))
		count(m, HEALTH_lost_unknown, 1);
	else
		count(m, HEALTH_lost_records, ev->lost.count);
}

/* ---- the model as a whole ---- */

static void (*const handlers[EV_KINDS])(struct model *, const struct event *) = {
#define EVENT(num, name, fields, doc) [num] = on_##name,
#include "schema/events.def"
#undef EVENT
};

struct model *model_new(struct ioflush_policy *const *policies, size_t n, const struct model_observer *obs,
			struct budget *budget)
{
	struct model *m = budget_alloc(budget, sizeof(*m));

	if (!m)
		return NULL;
	m->budget = m->objects.budget = m->balance.budget = m->older.budget = budget;
	m->policies = policies;
	m->n = n;
	m->watched = obs;
	frames_init(&m->frames, policies, n, obs, budget);
	for (size_t i = 0; i < n; i++) {
		m->needs_source |= policies[i]->ops->needs & IOFLUSH_NEEDS_SOURCE;
		if (policies[i]->ops->clear_area_when_idle)
			m->clear_when_idle |= policies[i]->bit;
	}
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	objects_clear(&m->objects);
	framemap_clear(&m->frames.map);
	balancemap_clear(&m->balance);
	older_clear(&m->older);
	budget_free(m->budget, m->dying, m->dying_cap * sizeof(*m->dying));
	budget_free(m->budget, m, sizeof(*m));
}

int model_events(struct model *m, const struct event *ev, size_t n, struct error *e)
{
	for (size_t i = 0; i < n; i++, ev++) {
		if (!m->totals.events++)
			m->totals.first_t = ev->t;
		else if (ev->t < m->totals.last_t)
			return error_set(e,
					 "event %" PRIu64 ": t: %" PRIu64
					 ": earlier than the event before it, at %" PRIu64,
					 m->totals.events, ev->t, m->totals.last_t);
		m->totals.last_t = ev->t;
		m->totals.by_kind[ev->kind]++;
		m->now = ev;
		if (m->watched)
			m->frames.now = (struct origin){.seq = m->totals.events,
							.t = ev->t,
							.cpu = ev->cpu,
							.tid = ev->tid,
							.comm = ev->comm,
							.kind = ev->kind};
		frames_break(&m->frames);
		handlers[ev->kind](m, ev);
		/* who observes takes from the same budget */
		if (m->failed || (m->budget && m->budget->over))
			return error_set(e, "event %" PRIu64 " (%s, t=%" PRIu64 "): %s", m->totals.events,
					 event_table[ev->kind].name, ev->t, budget_failure(m->budget));
	}
	return 0;
}

/* In a recording that began in mid-life no gap is certain; in any other all are. */
static void settle_uncertain(struct model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct policy_counts *c = &m->frames.counts[i];

		for (int k = 0; k < GAPS; k++) {
			c->uncertain[k] = m->totals.midlife.seq ? c->gaps[k] : 0;
			c->if_new[k] = m->totals.midlife.seq ? c->if_new[k] : 0;
		}
	}
}

int model_finish(struct model *m, struct error *e)
{
	const struct balancemap_span *s;

	(void)e;
	for (s = balancemap_from(&m->balance, 0); s; s = balancemap_from(&m->balance, s->hi + 1)) {
		uint64_t pages = s->hi - s->lo + 1;

		if (s->v.diff > 0)
			m->totals.missing_in_kernel += pages * (uint64_t)s->v.diff;
		else
			m->totals.not_derived += pages * (uint64_t)-s->v.diff;
	}
	m->totals.peak_exposed = m->frames.peak_exposed;
	settle_uncertain(m);
	return 0;
}

const struct policy_counts *model_counts(const struct model *m, size_t policy)
{
	return &m->frames.counts[policy];
}

const struct model_totals *model_totals(const struct model *m)
{
	return &m->totals;
}

struct model_frame model_frame(const struct model *m, uint64_t pfn)
{
	const struct framemap_span *s = framemap_at(&m->frames.map, pfn);

	if (!s)
		return (struct model_frame){0};
	return (struct model_frame){s->v.pin, s->v.nc, s->v.bits & FRAME_EVER, s->v.bits & FRAME_CLEAN};
}

uint64_t model_translate(const struct model *m, uint64_t domain, uint64_t iova)
{
	const struct domain *d = domain_find(&m->objects, domain);
	const struct areamap_span *s = d ? areamap_at(&d->iopt->areas, iova) : NULL;
	struct link *l = s ? area_link(s->v.area, d) : NULL;
	uint64_t idx = s ? area_index(s->v.area, iova) : 0;

	if (!l || !idxset_at(&l->set, idx))
		return IOFLUSH_PFN_UNKNOWN;
	return idx + idxmap_at(&s->v.area->pages->idx, idx)->v.delta;
}

/* ---- what exists ---- */

/* Of the indexes of a pages, how many are in frames that a non-coherent domain maps. */
static uint64_t exposed_pages(const struct model *m, const struct pages *p, const struct idxset *set)
{
	const struct idxset_span *s;
	const struct idxmap_span *i;
	const struct framemap_span *f;
	uint64_t n = 0;

	for (s = idxset_from(set, 0); s; s = idxset_from(set, s->hi + 1)) {
		for (i = idxmap_from(&p->idx, s->lo); i && i->lo <= s->hi; i = idxmap_from(&p->idx, i->hi + 1)) {
			uint64_t lo = (i->lo > s->lo ? i->lo : s->lo) + i->v.delta;
			uint64_t hi = (i->hi < s->hi ? i->hi : s->hi) + i->v.delta;

			for (f = framemap_from(&m->frames.map, lo); f && f->lo <= hi;
			     f = framemap_from(&m->frames.map, f->hi + 1)) {
				if (f->v.nc)
					n += (f->hi < hi ? f->hi : hi) - (f->lo > lo ? f->lo : lo) + 1;
			}
		}
	}
	return n;
}

static uint64_t set_pages(const struct idxset *set)
{
	const struct idxset_span *s;
	uint64_t n = 0;

	for (s = idxset_from(set, 0); s; s = idxset_from(set, s->hi + 1))
		n += s->hi - s->lo + 1;
	return n;
}

/* An area as it is now, a page counted once however many domains map it. 0, or -1: no memory. */
static int area_state(const struct model *m, const struct area *a, struct model_area *out)
{
	const struct idxset_span *s;
	const struct idxmap_span *i;
	struct idxset mapped = {.budget = m->budget};
	int err = 0;

	*out = (struct model_area){
		.id = a->pub.id,
		.iopt = a->iopt->pub.id,
		.pages = a->pages->pub.id,
		.iova = a->pub.iova,
		.last = a->pub.last,
		.first = a->first,
		.last_index = a->last_index,
		.filling = a->filling,
		.storage = a->storage[0] ? a->storage[0]->pub.id : 0,
		.has_storage = a->storage[0],
	};
	for (size_t l = 0; l < a->nlinks && !err; l++) {
		const struct idxset *set = &a->link[l].set;

		for (s = idxset_from(set, 0); s && !err; s = idxset_from(set, s->hi + 1))
			err = idxset_add(&mapped, s->lo, s->hi);
	}
	out->mapped = set_pages(&mapped);
	out->exposed = exposed_pages(m, a->pages, &mapped);
	for (i = idxmap_from(&a->pages->idx, a->first); i && i->lo <= a->last_index;
	     i = idxmap_from(&a->pages->idx, i->hi + 1)) {
		if (i->v.held)
			out->held += (i->hi < a->last_index ? i->hi : a->last_index) -
				     (i->lo > a->first ? i->lo : a->first) + 1;
	}
	idxset_clear(&mapped);
	return err;
}

/* The areas of an iopt, in order of iova; what they come to is added to the iopt. */
static int visit_areas(const struct model *m, const struct iopt *iopt, struct model_iopt *sum,
		       const struct model_visitor *v)
{
	const struct areamap_span *s;
	struct model_area a;

	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL) {
		if (area_state(m, s->v.area, &a))
			return -1;
		sum->areas++;
		sum->mapped += a.mapped;
		sum->exposed += a.exposed;
		sum->held += a.held;
		if (v->area)
			v->area(v->ctx, &a);
	}
	return 0;
}

static void visit_domain(const struct model *m, const struct domain *d, const struct model_visitor *v)
{
	const struct areamap *areas = &d->iopt->areas;
	struct model_domain out = {
		.id = d->pub.id,
		.iopt = d->iopt->pub.id,
		.coherent = d->unknown ? -1 : !d->pub.noncoherent,
		.joining = d->joining,
	};
	const struct device *dev = device_find(&m->objects, d->pub.id);
	const struct areamap_span *s;

	out.device = dev ? dev->name : 0;
	for (s = areamap_from(areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(areas, s->hi + 1) : NULL) {
		const struct link *l = area_link(s->v.area, d);

		if (!l)
			continue;
		out.areas++;
		out.mapped += set_pages(&l->set);
		out.exposed += exposed_pages(m, s->v.area->pages, &l->set);
	}
	v->domain(v->ctx, &out);
}

int model_visit(const struct model *m, const struct model_visitor *v, struct error *e)
{
	const struct iopt *iopt;
	const struct domain *d;

	for (iopt = m->objects.iopts; iopt; iopt = iopt->hh.next) {
		struct model_iopt sum = {
			.id = iopt->pub.id,
			.domains = iopt->live,
			.noncoherent = iopt->pub.noncoherent,
		};

		if (visit_areas(m, iopt, &sum, v))
			return error_set(e, "after event %" PRIu64 ": %s", m->totals.events, budget_failure(m->budget));
		if (v->iopt)
			v->iopt(v->ctx, &sum);
	}
	for (d = v->domain ? m->objects.domains : NULL; d; d = d->hh.next)
		visit_domain(m, d, v);
	return 0;
}

void model_unpin_differences(const struct model *m, int (*fn)(void *ctx, uint64_t lo, uint64_t hi, int64_t diff),
			     void *ctx)
{
	const struct balancemap_span *s;

	for (s = balancemap_from(&m->balance, 0); s; s = balancemap_from(&m->balance, s->hi + 1)) {
		if (!fn(ctx, s->lo, s->hi, s->v.diff))
			break;
	}
}
