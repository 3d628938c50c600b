/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events that begin and end iopts, domains and areas. In a complete trace an object that ends has no mapping or access
 * left. In any other trace, what is left is dropped and counted.
 */
#include "analyzer/model/impl.h"
#include "base/grow.h"

/* ---- leftovers: objects that end with mappings or accesses, in a trace that is not complete ---- */

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

/* Ends an area, with whatever it still has; also its iopt_pages, if this was the last area. */
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

/* Drops the mappings of a domain in all areas of its iopt; in a complete trace there are none. */
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

/* Clears the area marks of policies that forget them when no domain is left. */
static void clear_idle(struct model *m, const struct iopt *iopt)
{
	const struct areamap_span *s;

	if (iopt->pub.domains || !m->clear_when_idle)
		return;
	for (s = areamap_from(&iopt->areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(&iopt->areas, s->hi + 1) : NULL)
		s->v.area->pub.marks &= ~m->clear_when_idle;
}

/* A fill of the area ended well: d maps all of it. What is no RAM may be revoked, and is not mapped then. */
static void check_filled(struct model *m, const struct area *a, const struct domain *d)
{
	count(m, HEALTH_not_filled, a->pages->mmio ? 0 : area_unmapped(a, d));
}

/* ---- domains ---- */

/* One cut; whether later ones of the event may follow. */
static bool cut_at(struct model *m, struct iopt *iopt, uint64_t cut)
{
	struct area *a = area_at(&m->objects, iopt, cut);

	if (!a || cut == a->pub.iova || cut == a->pub.last)
		return true;
	if (a->filling || a->unfilling || a->accesses || (cut + 1 - a->pub.iova + a->page_offset) % PAGE_SIZE_BYTES)
		return false;
	check(m, area_split(&m->objects, a, cut) ? 0 : -1);
	return true;
}

/* The locks that a cut takes are held as long as a domain joins or leaves: it is made after that. */
static void make_cuts(struct model *m, struct iopt *iopt)
{
	if (iopt->changing)
		return;
	for (size_t i = 0; i < iopt->nwaiting; i++) {
		const struct waiting_cut *c = &iopt->waiting[i];

		for (uint64_t k = 0; k < c->n && cut_at(m, iopt, c->iova[k]); k++)
			;
	}
	iopt->nwaiting = 0;
}

/* The domain ends, and the cuts that waited for it are made. */
static void end_change(struct model *m, struct domain *d)
{
	struct iopt *iopt = d->iopt;
	uint64_t id = iopt->pub.id;

	end_domain(m, d);
	iopt = iopt_find(&m->objects, id);
	if (iopt)
		make_cuts(m, iopt);
}

void model_on_cut(struct model *m, const struct event *ev)
{
	struct iopt *iopt = iopt_find(&m->objects, ev->cut.iopt);
	struct waiting_cut *c;

	if (!iopt)
		return;
	if (!grow_within(iopt->budget, iopt->waiting, iopt->nwaiting, iopt->waiting_cap, 2u)) {
		m->failed = true;
		return;
	}
	operations_touch(m, iopt, true);
	c = &iopt->waiting[iopt->nwaiting++];
	c->n = ev->cut.num_iovas > 1 ? 2 : 1;
	c->iova[0] = ev->cut.iova0;
	c->iova[1] = ev->cut.iova1;
	make_cuts(m, iopt);
}

void model_on_domain_add(struct model *m, const struct event *ev)
{
	const struct event_domain_add *f = &ev->domain_add;
	bool unknown = !event_has(ev, domain_add, coherent);
	struct domain *d = domain_find(&m->objects, f->domain);
	struct iopt *iopt;

	if (d) {
		count(m, HEALTH_domains_readded, 1);
		domain_leaves(d);
		end_change(m, d);
	}
	older_forget(&m->older, OLDER_DOMAIN, f->domain);
	older_forget(&m->older, OLDER_STRANGER, f->domain); /* the id belonged to another domain */
	count(m, HEALTH_unknown_coherency, unknown);
	iopt = iopt_get(&m->objects, f->iopt);
	d = iopt ? domain_new(&m->objects, iopt, f->domain, unknown || !f->coherent) : NULL;
	if (!d) {
		m->failed = true;
		return;
	}
	d->unknown = unknown;
	iopt->pub.noncoherent += d->pub.noncoherent;
	operations_touch(m, iopt, false);
	operations_begin(m, EV_domain_add, d->pub.id, iopt, NULL);
}

/* The live domain that the event names. NULL: it is unknown; counted, and taken as older than the recording. */
static struct domain *known_domain(struct model *m, uint64_t id)
{
	struct domain *d = domain_find(&m->objects, id);

	if (!d) {
		count(m, HEALTH_unknown_domain, 1);
		midlife_domain(m, id);
	}
	return d;
}

/* The same for an event that also names the domain's iopt. */
static struct domain *known_domain_of(struct model *m, uint64_t id, uint64_t iopt)
{
	struct domain *d = known_domain(m, id);

	if (!d)
		midlife_domain_of(m, iopt);
	return d;
}

static void check_join(struct model *m, const struct domain *d)
{
	struct areamap *areas = &d->iopt->areas;
	const struct areamap_span *s;

	for (s = areamap_from(areas, 0); s; s = s->hi < UINT64_MAX ? areamap_from(areas, s->hi + 1) : NULL)
		if (!s->v.area->filling && !s->v.area->unfilling)
			check_filled(m, s->v.area, d);
}

void model_on_domain_add_end(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_add_end.domain, ev->domain_add_end.iopt);

	if (ev->domain_add_end.rc)
		older_forget(&m->older, OLDER_DOMAIN, ev->domain_add_end.domain);
	if (ev->domain_add_end.rc)
		count_failure(m, HEALTH_failed_joins, ev->domain_add_end.rc);
	if (!d)
		return;
	check_owner(m, d->iopt->pub.id, ev->domain_add_end.iopt);
	operations_end(m, EV_domain_add, d->pub.id, ev->domain_add_end.rc);
	if (!ev->domain_add_end.rc) {
		if (!d->joining)
			return; /* said twice */
		check_join(m, d);
		check(m, domain_joined(d));
		if (d->pub.noncoherent)
			iopt_storage_prefer(d->iopt, d);
		make_cuts(m, d->iopt);
		return;
	}
	d->iopt->pub.failed_coherent += !d->pub.noncoherent;
	if (d->joining)
		iopt_storage_drop(d->iopt, d);
	else
		domain_leaves(d); /* its removal, and another domain_add, were lost */
	clear_idle(m, d->iopt);
	end_change(m, d);
}

void model_on_domain_remove(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_remove.domain, ev->domain_remove.iopt);

	if (!d)
		return;
	check_owner(m, d->iopt->pub.id, ev->domain_remove.iopt);
	count(m, HEALTH_removed_unjoined, d->joining);
	operations_touch(m, d->iopt, false);
	operations_begin(m, EV_domain_remove, d->pub.id, d->iopt, NULL);
	domain_leaves(d);
	d->removal = m->frames.now;
}

void model_on_domain_remove_end(struct model *m, const struct event *ev)
{
	struct domain *d = known_domain_of(m, ev->domain_remove_end.domain, ev->domain_remove_end.iopt);

	older_forget(&m->older, OLDER_DOMAIN, ev->domain_remove_end.domain);
	if (!d)
		return;
	check_owner(m, d->iopt->pub.id, ev->domain_remove_end.iopt);
	operations_end(m, EV_domain_remove, d->pub.id, false);
	domain_leaves(d); /* nothing left to do unless domain_remove was lost */
	clear_idle(m, d->iopt);
	end_change(m, d);
}

/* ---- areas ---- */

/* B1 or B2: tells the policies that a fill begins; remembers the event wherever a policy set its bit. */
static void begin_fill(struct model *m, struct area *a, const struct domain *d)
{
	const struct ioflush_fill fill = area_filled(a, d);
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

void model_on_area_fill(struct model *m, const struct event *ev)
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
	operations_touch_area(m, a, false);
	operations_begin(m, EV_area_fill, f->area, iopt, pages);
	if (iopt->pub.domains)
		begin_fill(m, a, NULL);
}

static void end_area_and_iopt(struct model *m, struct area *a)
{
	struct iopt *iopt = a->iopt;

	end_area(m, a);
	iopt_put(&m->objects, iopt);
}

void model_on_area_fill_end(struct model *m, const struct event *ev)
{
	const struct event_area_fill_end *f = &ev->area_fill_end;
	const struct older_fill *fill = older_fill_end(&m->older, ev->tid);
	struct area *a = area_by_id(&m->objects, f->area);

	if (f->rc)
		count_failure(m, HEALTH_failed_fills, f->rc);
	if (a)
		operations_end(m, EV_area_fill, f->area, f->rc);
	else
		midlife_area_alone(m, f->area);
	if (f->rc)
		older_forget(&m->older, OLDER_AREA, f->area);
	if (!a)
		return;
	if (a->filling && !f->rc) {
		midlife_fill_proves(m, a->iopt, fill);
		for (size_t i = 0; i < a->iopt->pub.domains; i++)
			check_filled(m, a, a->iopt->domain[i]);
		for (size_t i = 0; i < a->nlinks; i++) /* those that are leaving, or have not quite joined */
			if (a->link[i].domain->joining || a->link[i].domain->leaving)
				check_filled(m, a, a->link[i].domain);
	}
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

void model_on_area_unfill(struct model *m, const struct event *ev)
{
	const struct event_area_unfill *f = &ev->area_unfill;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);

	if (!a) {
		midlife_area(m, f->area, f->pages, f->iopt);
		return;
	}
	check_area(m, a, f->pages, f->iova, f->last);
	operations_touch_area(m, a, false);
	count(m, HEALTH_unfilled_held, a->accesses > 0);
	operations_begin(m, EV_area_unfill, f->area, a->iopt, a->pages);
	area_storage_set(&m->objects, a, NULL);
	a->unfilling = true;
	a->fill = m->frames.now;
}

void model_on_area_unfill_end(struct model *m, const struct event *ev)
{
	const struct event_area_unfill_end *f = &ev->area_unfill_end;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);

	if (a) {
		check_area(m, a, f->pages, f->iova, f->last);
		operations_end(m, EV_area_unfill, f->area, false);
		end_area_and_iopt(m, a);
	} else {
		midlife_area(m, f->area, f->pages, f->iopt);
	}
	older_forget(&m->older, OLDER_AREA, f->area);
}

void model_on_area_add_domain(struct model *m, const struct event *ev)
{
	const struct event_area_add_domain *f = &ev->area_add_domain;
	struct area *a = area_of(&m->objects, f->area, f->iopt, f->iova);
	struct domain *d = known_domain_of(m, f->domain, f->iopt);

	if (!a)
		midlife_area(m, f->area, f->pages, f->iopt);
	if (!a || !d)
		return;
	check_area(m, a, f->pages, f->iova, f->last);
	count(m, HEALTH_mismatched, a->iopt != d->iopt);
	operations_touch_area(m, a, false);
	a->pages->tainted |= !a->iopt->proven;
	a->fill = m->frames.now;
	operations_begin_add(m, a, d);
	begin_fill(m, a, d);
}

void model_on_area_add_domain_end(struct model *m, const struct event *ev)
{
	const struct event_area_add_domain_end *f = &ev->area_add_domain_end;
	struct area *a = area_by_id(&m->objects, f->area);
	struct domain *d = known_domain(m, f->domain);

	if (!a) {
		midlife_area_alone(m, f->area);
		return;
	}
	if (d)
		operations_end_add(m, f->area, f->domain, f->rc);
	a->pub.req = 0;
	a->fill = (struct origin){0};
	/* storage in a domain of another iopt could outlive that domain */
	if (d && d->iopt == a->iopt && !f->rc && !a->iopt->pub.domains)
		area_storage_set(&m->objects, a, d);
}
