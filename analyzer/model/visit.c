/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists what exists at a time. Nothing here changes the model. */
#include <inttypes.h>

#include "analyzer/model/impl.h"

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

/* How many of these indexes of an iopt_pages lie in frames that a non-coherent domain maps. */
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

/* An area as it is now; a page counts once, however many domains map it. 0, or -1: no memory. */
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

/* The areas of an iopt, in order of iova; their totals are added to the iopt. */
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
