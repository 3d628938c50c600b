/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events that name an object that no event introduced: it is older than the recording (semantics.md, section 9). Each
 * such object is counted once. What it leaves open is remembered: an iopt may have more domains than are known, and an
 * unknown object may pin an iopt_pages or a frame.
 */
#include "analyzer/model/impl.h"

/* An event names an object that no event introduced: older than the recording, unless its introduction may be lost. */
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

/* So far the events of the domain were counted as foreign. */
void midlife_domain(struct model *m, uint64_t id)
{
	struct older_stranger s;

	if (!meet(m, OLDER_DOMAIN, id))
		return;
	s = older_named(&m->older, id);
	m->totals.health[HEALTH_foreign_maps] -= s.events;
	count(m, HEALTH_midlife_map_pages, s.pages);
}

/* The iopt has, or had until now, an unknown domain. */
void midlife_domain_of(struct model *m, uint64_t id)
{
	struct iopt *iopt = iopt_find(&m->objects, id);

	meet(m, OLDER_IOPT, id);
	if (!iopt)
		return;
	iopt->older = true;
	iopt->proven = false;
}

/* An event names an unknown area, its iopt_pages and its iopt. */
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

/* The same for an event that names only the area. */
void midlife_area_alone(struct model *m, uint64_t id)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_AREA, id);
}

/* An iommufd domain maps or unmaps a range without a known area. */
void midlife_range(struct model *m, const struct domain *d)
{
	count(m, HEALTH_unknown_area, 1);
	meet(m, OLDER_IOPT, d->iopt->pub.id);
}

/* A map that the model ignores: the frames are pinned all the same. */
void midlife_ignored_map(struct model *m, const struct event_map *f)
{
	check(m, frames_taint(&m->frames, f->paddr >> PAGE_SHIFT, (f->paddr + f->size - 1) >> PAGE_SHIFT, true));
}

/* A map, or an unmap (pages 0), of an unknown domain. Returns whether it is known to be an iommufd domain. */
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

void midlife_map(struct model *m, const struct event *ev, bool mmio)
{
	const struct event_map *f = &ev->map;
	uint64_t pages = ((f->iova & (PAGE_SIZE_BYTES - 1)) + f->size + PAGE_SIZE_BYTES - 1) >> PAGE_SHIFT;
	bool filling = older_fill_map(&m->older, ev->tid, f->domain, f->iova, mmio ? 0 : f->size);

	if (mmio) { /* no RAM: nobody pins it, and it tells nothing of who maps it */
		count(m, HEALTH_foreign_maps, 1);
		return;
	}
	if (midlife_stranger(m, f->domain, pages) || filling)
		midlife_ignored_map(m, f);
}

/*
 * A fill ended well. An unknown domain into which the thread mapped the whole range belongs to the iopt; if it mapped
 * less, the map may be one of the DMA API, in an interrupt. If there is no such domain, all domains of the iopt are
 * known. So is the order of its array, unless an unknown domain left it (another took its slot) and two or more remain.
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
