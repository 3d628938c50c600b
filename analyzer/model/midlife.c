/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is older than the recording (semantics, section 9): events that name what no event introduced. It is remembered, so
 * that each counts once, and what it leaves open is: an iopt whose domains are not all known, pages and frames that
 * something unknown may hold.
 */
#include "analyzer/model/impl.h"

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
void midlife_domain(struct model *m, uint64_t id)
{
	struct older_stranger s;

	if (!meet(m, OLDER_DOMAIN, id))
		return;
	s = older_named(&m->older, id);
	m->totals.health[HEALTH_foreign_maps] -= s.events;
	count(m, HEALTH_midlife_map_pages, s.pages);
}

/* The iopt has, or had until now, a domain that is not known. */
void midlife_domain_of(struct model *m, uint64_t id)
{
	struct iopt *iopt = iopt_find(&m->objects, id);

	meet(m, OLDER_IOPT, id);
	if (!iopt)
		return;
	iopt->older = true;
	iopt->proven = false;
}

/* An event names an area that is not there, and its pages and iopt. */
void midlife_area(struct model *m, uint64_t id, uint64_t pages, uint64_t iopt)
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
void midlife_area_alone(struct model *m, uint64_t id)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_AREA, id);
}

/* A domain of iommufd in whose iopt there is no area. */
void midlife_range(struct model *m, const struct domain *d)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_IOPT, d->iopt->pub.id);
}

/* A map that the model ignores: what it maps is pinned all the same. */
void midlife_ignored_map(struct model *m, const struct event_map *f)
{
	check(m, frames_taint(&m->frames, f->paddr >> PAGE_SHIFT, (f->paddr + f->size - 1) >> PAGE_SHIFT, true));
}

/* A map or unmap (of no pages) of a domain that is not there: whether it is known to be one of iommufd. */
bool midlife_stranger(struct model *m, uint64_t domain, uint64_t pages)
{
	if (older_has(&m->older, OLDER_DOMAIN, domain)) {
		count(m, HEALTH_midlife_map_pages, pages);
		return true;
	}
	count(m, HEALTH_foreign_maps, 1);
	check(m, older_stranger(&m->older, domain, pages));
	return false;
}

void midlife_map(struct model *m, const struct event *ev)
{
	const struct event_map *f = &ev->map;
	uint64_t pages = ((f->iova & (PAGE_SIZE_BYTES - 1)) + f->size + PAGE_SIZE_BYTES - 1) >> PAGE_SHIFT;
	bool filling = older_fill_map(&m->older, ev->tid, f->domain, f->iova, f->size);

	if (midlife_stranger(m, f->domain, pages) || filling)
		midlife_ignored_map(m, f);
}

/*
 * The end of a fill that went well. An unknown domain into which the thread mapped all of the range is one of the iopt;
 * less than all may be the DMA API's, from an interrupt. With none at all the iopt has no domain that is not known. The
 * order of its array is known too, unless an unknown one left it, so that another took its place, beside two or more.
 */
void midlife_fill_proves(struct model *m, struct iopt *iopt, const struct older_fill *f)
{
	if (!f || f->iopt != iopt->pub.id)
		return;
	for (unsigned i = 0; i < f->n; i++) {
		if (f->domain[i].bytes != f->last - f->iova + 1 || domain_find(&m->objects, f->domain[i].id))
			continue;
		midlife_domain(m, f->domain[i].id);
		midlife_domain_of(m, iopt->pub.id);
	}
	if (f->n || (iopt->older && iopt->pub.domains > 1))
		return;
	iopt->older = false;
	iopt->proven = true;
}
