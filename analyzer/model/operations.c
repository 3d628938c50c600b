/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of threads, their balance and their overlaps; see operations.h. */
#include "analyzer/model/impl.h"

#define THREAD_MEMORY (sizeof(struct thread) + BUDGET_HASHED)

/* The thread's entry, or NULL. */
static struct thread *thread_find(struct operations *o, uint32_t tid)
{
	uint64_t key = tid;
	struct thread *t;

	if (o->recent && o->recent->tid == key)
		return o->recent;
	HASH_FIND(hh, o->threads, &key, sizeof(key), t);
	if (t)
		o->recent = t;
	return t;
}

/* The operation that the thread of this event is in, or NULL. */
static struct thread *current(struct model *m)
{
	struct thread *t = thread_find(&m->operations, m->now->tid);

	return t && t->kind ? t : NULL;
}

static struct thread *thread_get(struct model *m)
{
	struct operations *o = &m->operations;
	struct thread *t = thread_find(o, m->now->tid);

	if (t)
		return t;
	t = budget_alloc(o->budget, THREAD_MEMORY);
	if (!t)
		goto fail;
	t->tid = m->now->tid;
	t->tally.budget = o->budget;
	HASH_ADD(hh, o->threads, tid, sizeof(t->tid), t);
	if (t->hh.tbl)
		return o->recent = t;
	budget_free(o->budget, t, THREAD_MEMORY);
fail:
	m->failed = true;
	return NULL;
}

void operations_clear(struct operations *o)
{
	struct thread *t, *next;

	HASH_ITER(hh, o->threads, t, next) {
		HASH_DEL(o->threads, t);
		tallymap_clear(&t->tally);
		budget_free(o->budget, t, THREAD_MEMORY);
	}
}

/* Whether it is mapping one into a domain that joins. */
static bool adds(const struct thread *t)
{
	return t->nested || t->kind == EV_area_add_domain;
}

/* Whether it is mapping an area. */
static bool maps(const struct thread *t)
{
	return t->kind == EV_area_fill || adds(t);
}

static bool of_domain(const struct thread *t)
{
	return t->kind == EV_domain_add || t->kind == EV_domain_remove;
}

/* The objects of an operation, as long as they are the same ones. */
static struct iopt *iopt_of(const struct model *m, const struct thread *t)
{
	struct iopt *iopt = t->iopt_serial ? iopt_find(&m->objects, t->iopt) : NULL;

	return iopt && iopt->serial == t->iopt_serial ? iopt : NULL;
}

static struct pages *pages_of(const struct model *m, const struct thread *t)
{
	struct pages *p = t->pages_serial ? pages_find(&m->objects, t->pages) : NULL;

	return p && p->serial == t->pages_serial ? p : NULL;
}

/* ---- overlaps ---- */

static void pages_begin(struct thread *t, struct pages *p)
{
	t->pages = p->pub.id;
	t->pages_serial = p->serial;
	p->operations++;
}

/* p: the thread's, or NULL. */
static void pages_left(struct thread *t, struct pages *p)
{
	t->pages_serial = 0;
	if (p)
		p->operations--;
}

static void pages_ended(struct thread *t, struct pages *p, const struct iopt *iopt)
{
	pages_left(t, p);
	if (p && iopt)
		p->overlapped |= iopt->overlapped;
}

static bool overlaps(const struct model *m, const struct iopt *iopt, const struct pages *p, bool whole_iopt, bool *by_iopt)
{
	const struct thread *own = thread_find((struct operations *)&m->operations, m->now->tid);
	bool in = own && own->kind && own->kind != EV_access_remove;
	bool own_iopt = in && own->iopt_serial == iopt->serial;
	bool own_pages = in && p && own->pages_serial == p->serial;

	*by_iopt = iopt->domain_operations > (own_iopt && of_domain(own)) ||
		   (whole_iopt && iopt->area_operations > (own_iopt && !of_domain(own)));
	return *by_iopt || (p && p->operations > own_pages);
}

/* An event that takes locks of the iopt, and of the pages if there is one, while operations of others hold or want them. */
static void overlap(struct model *m, struct iopt *iopt, struct pages *p, bool whole_iopt, bool begins)
{
	bool by_iopt, any = overlaps(m, iopt, p, whole_iopt, &by_iopt);

	if (begins && by_iopt)
		iopt->overlapped = true;
	if (p)
		p->overlapped |= any || (begins && iopt->overlapped);
	count(m, HEALTH_overlaps, any);
}

void operations_access(struct model *m, struct area *a)
{
	overlap(m, a->iopt, a->pages, false, false);
}

/* ---- begin and end ---- */

static void add_rest(void *ctx, uint64_t lo, uint64_t hi, struct balance *v)
{
	(void)lo, (void)hi;
	v->diff += *(const int64_t *)ctx;
}

/* What an operation leaves unbalanced goes into the balance of the whole trace. */
static void settle_rest(struct model *m, struct thread *t)
{
	const struct tallymap_span *s;

	if (!tallymap_from(&t->tally, 0))
		return; /* as it should be; its memory is for the thread's next one */
	for (s = tallymap_from(&t->tally, 0); s; s = tallymap_from(&t->tally, s->hi + 1)) {
		int64_t diff = s->v.diff;

		check(m, balancemap_update(&m->balance, s->lo, s->hi, add_rest, &diff));
	}
	tallymap_clear(&t->tally);
}

/* The thread is in no operation any more. */
static void leave(struct model *m, struct thread *t, struct iopt *iopt, struct pages *p)
{
	if (t->kind == EV_access_remove) {
		m->operations.waiting--;
	} else {
		pages_ended(t, p, iopt);
		if (iopt && of_domain(t) && !--iopt->domain_operations)
			iopt->overlapped = false;
		else if (iopt && !of_domain(t))
			iopt->area_operations--;
		if (iopt)
			iopt->adding -= adds(t);
	}
	settle_rest(m, t);
	t->kind = EV_NONE;
	t->nested = false;
	t->in_part = t->unordered = false;
	t->unknown = t->undone = 0;
	t->early = (struct origin){0};
}

static void forget(struct model *m, struct thread *t)
{
	leave(m, t, iopt_of(m, t), pages_of(m, t));
}

/* Released indexes less unpinned ones in each direction. */
static void tally_sum(const struct thread *t, uint64_t *fewer, uint64_t *more)
{
	const struct tallymap_span *s;

	*fewer = *more = 0;
	for (s = tallymap_from(&t->tally, 0); s; s = tallymap_from(&t->tally, s->hi + 1)) {
		uint64_t n = s->hi - s->lo + 1;

		if (s->v.diff > 0)
			*fewer += n * (uint64_t)s->v.diff;
		else
			*more += n * (uint64_t)-s->v.diff;
	}
}

static void tell(struct model *m, const struct thread *t, enum health what, uint64_t pages, uint64_t lo, uint64_t hi,
		 uint64_t domain)
{
	const struct violation v = {
		.what = t->unordered ? HEALTH_unpinned_unordered : what,
		.pages = pages,
		.lo = lo,
		.hi = hi,
		.domain = domain,
		.begin = t->begin,
		.unpin = t->early,
		.event = m->frames.now,
	};

	if (m->frames.obs->violation && pages)
		m->frames.obs->violation(m->frames.obs->ctx, &v);
}

static void tell_unbalanced(struct model *m, const struct thread *t, bool failed, uint64_t many, uint64_t few)
{
	const struct tallymap_span *s;

	for (s = tallymap_from(&t->tally, 0); s; s = tallymap_from(&t->tally, s->hi + 1)) {
		uint64_t n = s->hi - s->lo + 1;

		if (s->v.diff > 0)
			tell(m, t, HEALTH_unpinned_too_few, n * (uint64_t)s->v.diff, s->lo, s->hi, 0);
		else if (many && !failed)
			tell(m, t, HEALTH_unpinned_too_many, n * (uint64_t)-s->v.diff, s->lo, s->hi, 0);
	}
	tell(m, t, HEALTH_unpinned_too_few, few, IOFLUSH_PFN_UNKNOWN, IOFLUSH_PFN_UNKNOWN, 0);
}

/* An operation is at its end: what it released and what the kernel unpinned must be the same. */
static void settle(struct model *m, struct thread *t, bool failed)
{
	uint64_t fewer, more, many = 0, few = 0;
	struct iopt *iopt = iopt_of(m, t);
	struct pages *p = pages_of(m, t);

	t->unordered |= (iopt && iopt->overlapped) || (p && p->overlapped);
	tally_sum(t, &fewer, &more);
	if (!failed && more > t->unknown)
		many = more - t->unknown;
	if (!failed && more < t->unknown)
		few = t->unknown - more;
	if (t->unordered) {
		m->operations.unordered += many + fewer + few;
	} else {
		m->operations.too_many += many;
		m->operations.too_few += fewer + few;
	}
	if (m->watched && (fewer || many || few))
		tell_unbalanced(m, t, failed, many, few);
	leave(m, t, iopt, p);
}

static void rw_over(struct model *m, struct thread *t)
{
	m->operations.reading -= t->rw;
	t->rw = false;
}

/* What the thread was in has no end. NULL: no memory. */
static struct thread *thread_begins(struct model *m)
{
	struct thread *t = thread_get(m);

	if (!t)
		return NULL;
	count(m, HEALTH_begins_without_end, !!t->kind + t->rw);
	if (t->kind)
		forget(m, t);
	rw_over(m, t);
	return t;
}

void operations_begin(struct model *m, enum event_kind kind, uint64_t object, struct iopt *iopt, struct pages *p)
{
	struct thread *t = thread_begins(m);

	if (!t)
		return;
	count(m, HEALTH_not_excluded, (kind == EV_area_fill || kind == EV_area_unfill) && iopt->adding);
	overlap(m, iopt, p, kind == EV_domain_add || kind == EV_domain_remove, kind != EV_access_remove);
	t->kind = (uint8_t)kind;
	t->object = object;
	t->iopt = iopt->pub.id;
	t->iopt_serial = iopt->serial;
	t->pages_serial = 0;
	t->begin = m->frames.now;
	if (kind == EV_access_remove) {
		m->operations.waiting++;
		return;
	}
	if (p)
		pages_begin(t, p);
	if (of_domain(t))
		iopt->domain_operations++;
	else
		iopt->area_operations++;
	iopt->adding += kind == EV_area_add_domain;
}

void operations_begin_add(struct model *m, struct area *a, const struct domain *d)
{
	struct thread *t = current(m);
	struct iopt *iopt;

	if (!t || t->kind != EV_domain_add || t->object != d->pub.id) {
		operations_begin(m, EV_area_add_domain, a->pub.id, a->iopt, a->pages);
		t = current(m);
		if (t)
			t->domain = d->pub.id;
		return;
	}
	count(m, HEALTH_begins_without_end, t->nested);
	iopt = iopt_of(m, t);
	if (iopt)
		iopt->adding += !t->nested;
	pages_left(t, pages_of(m, t));
	overlap(m, a->iopt, a->pages, false, true);
	t->nested = true;
	t->area = a->pub.id;
	t->domain = d->pub.id;
	pages_begin(t, a->pages);
}

void operations_end(struct model *m, enum event_kind kind, uint64_t object, bool failed)
{
	struct thread *t = current(m);

	if (!t || t->kind != kind || t->object != object) {
		count(m, HEALTH_ends_without_begin, 1);
		return;
	}
	count(m, HEALTH_begins_without_end, t->nested);
	count(m, HEALTH_joined_in_part, t->in_part && !failed);
	count(m, HEALTH_fill_undone, failed ? 0 : t->undone);
	settle(m, t, failed);
}

void operations_end_add(struct model *m, uint64_t area, uint64_t domain, bool failed)
{
	struct thread *t = current(m);
	struct iopt *iopt;

	if (!t || !t->nested || t->area != area || t->domain != domain) {
		operations_end(m, EV_area_add_domain, area, failed);
		return;
	}
	iopt = iopt_of(m, t);
	pages_ended(t, pages_of(m, t), iopt);
	if (iopt)
		iopt->adding--;
	t->nested = false;
	t->in_part |= failed;
}

bool operations_fills(struct model *m, const struct area *a, const struct domain *d)
{
	const struct thread *t = current(m);

	if (!t || !a->pub.id)
		return false;
	if (t->kind == EV_area_fill)
		return t->object == a->pub.id;
	if (t->kind == EV_area_add_domain)
		return t->object == a->pub.id && t->domain == d->pub.id;
	return t->nested && t->area == a->pub.id && t->domain == d->pub.id;
}

bool operations_unmaps(struct model *m, const struct area *a, const struct domain *d)
{
	const struct thread *t = current(m);

	if (!t)
		return false;
	if (of_domain(t))
		return t->object == d->pub.id;
	if (t->kind == EV_area_add_domain)
		return t->domain == d->pub.id;
	if (t->iopt_serial != a->iopt->serial || t->pages_serial != a->pages->serial)
		return false;
	return t->kind == EV_area_fill ? a->filling : t->kind == EV_area_unfill && a->unfilling;
}

struct area *operations_filling(struct model *m)
{
	const struct thread *t = current(m);

	return t && t->kind == EV_area_fill ? area_by_id(&m->objects, t->object) : NULL;
}

void operations_undone(struct model *m)
{
	struct thread *t = current(m);

	if (t && (maps(t) || t->kind == EV_domain_add))
		t->undone++;
}

static void touch(struct model *m, struct sharing *s, bool racing, enum health counter)
{
	if (!s->touched)
		s->tid = m->now->tid;
	s->touched = true;
	s->by_many |= s->tid != m->now->tid;
	s->racing |= racing;
	if (!s->by_many || !s->racing || s->counted)
		return;
	s->counted = true;
	count(m, counter, 1);
}

void operations_touch(struct model *m, struct iopt *iopt, bool racing)
{
	touch(m, &iopt->sharing, racing, HEALTH_shared_cuts);
}

void operations_touch_area(struct model *m, struct area *a, bool racing)
{
	operations_touch(m, a->iopt, false);
	touch(m, &a->pages->sharing, racing, HEALTH_shared_accesses);
}

/* ---- what is released and what is unpinned ---- */

struct balancing {
	struct model *m;
	struct thread *t;
	uint64_t domain;
	bool unordered;
};

static void release_span(void *ctx, uint64_t lo, uint64_t hi, struct tally *v)
{
	const struct balancing *b = ctx;

	if (v->diff++ >= 0)
		return;
	*(b->unordered ? &b->m->operations.unordered : &b->m->operations.too_early) += hi - lo + 1;
	if (b->m->watched)
		tell(b->m, b->t, HEALTH_unpinned_early, hi - lo + 1, lo, hi, b->domain);
}

bool operations_released(struct model *m, uint64_t pfn, uint64_t npages, const struct area *a, const struct domain *d)
{
	struct balancing b = {m, current(m), d ? d->pub.id : 0, a->pages->overlapped || a->iopt->overlapped};

	if (!b.t)
		return false;
	b.t->unordered |= b.unordered;
	if (pfn == IOFLUSH_PFN_UNKNOWN)
		b.t->unknown += npages;
	else
		check(m, tallymap_update(&b.t->tally, pfn, pfn + npages - 1, release_span, &b));
	return true;
}

/* The kernel let go of what nothing known held: if it is still pinned, something else pinned it too. */
static void taint(struct model *m, uint64_t lo, uint64_t hi, int64_t diff)
{
	const struct balancemap_span *s = balancemap_from(&m->balance, lo);
	uint64_t end;

	for (;; lo = end + 1, s = balancemap_from(&m->balance, lo)) {
		bool here = s && s->lo <= lo;

		end = here ? s->hi : s && s->lo <= hi ? s->lo - 1 : hi;
		end = end < hi ? end : hi;
		if (diff + (here ? s->v.diff : 0) < 0)
			check(m, frames_taint(&m->frames, lo, end, false));
		if (end == hi)
			break;
	}
}

static void unpin_span(void *ctx, uint64_t lo, uint64_t hi, struct tally *v)
{
	struct model *m = ctx;

	if (--v->diff < 0 || balancemap_from(&m->balance, lo))
		taint(m, lo, hi, v->diff);
}

/* Whether all that an access_remove released has been unpinned. */
static bool balanced(const struct thread *t)
{
	uint64_t fewer, more;

	tally_sum(t, &fewer, &more);
	return !fewer && more >= t->unknown;
}

bool operations_unpinned(struct model *m, uint64_t pfn, uint64_t npages)
{
	struct thread *t = current(m);

	if (t && t->kind == EV_access_remove && balanced(t)) {
		settle(m, t, false);
		t = NULL;
	}
	if (!t)
		return false;
	t->early = m->frames.now;
	check(m, tallymap_update(&t->tally, pfn, pfn + npages - 1, unpin_span, m));
	return true;
}

void operations_rw(struct model *m, uint64_t pages)
{
	struct thread *t = thread_begins(m);

	if (!t)
		return;
	m->operations.reading++;
	t->rw = true;
	t->rw_pages = pages;
}

void operations_rw_end(struct model *m, uint64_t pages)
{
	struct thread *t = thread_find(&m->operations, m->now->tid);

	if (t && t->rw && t->rw_pages == pages)
		rw_over(m, t);
	else
		count(m, HEALTH_ends_without_begin, pages_find(&m->objects, pages) != NULL);
}

bool operations_in_rw(struct model *m)
{
	const struct thread *t = m->operations.reading ? thread_find(&m->operations, m->now->tid) : NULL;

	return t && t->rw;
}

/* ---- threads go on ---- */

void operations_odd_unmap(struct model *m, uint64_t pages)
{
	const struct event_unmap *f = &m->now->unmap;
	struct thread *t = thread_get(m);

	if (!t)
		return;
	t->odd.domain = f->domain;
	t->odd.iova = f->iova;
	t->odd.last = f->iova + f->size - 1;
	t->odd.pages = pages;
	m->operations.waiting++;
}

/* __iommu_map() undoes what it had entered before it fails: that was an unmap of pages that no map had entered. */
static bool explained(const struct thread *t, const struct event *ev)
{
	const struct event_map_failed *f = &ev->map_failed;

	return ev->kind == EV_map_failed && maps(t) && f->domain == t->odd.domain && f->iova == t->odd.iova &&
	       t->odd.last <= f->iova + f->size - 1;
}

void operations_next(struct model *m, const struct event *ev)
{
	struct thread *t = m->operations.waiting ? thread_find(&m->operations, ev->tid) : NULL;

	if (!t || ev->kind == EV_lost)
		return;
	if (t->kind == EV_access_remove && ev->kind != EV_unpin)
		settle(m, t, false);
	if (!t->odd.pages)
		return;
	if (!explained(t, ev))
		count(m, HEALTH_not_mapped, t->odd.pages);
	t->odd.pages = 0;
	m->operations.waiting--;
}

/* The trace ends in it: what it has still to unpin is not known. */
static void leave_open(struct model *m, const struct thread *t)
{
	const struct tallymap_span *s;

	count(m, HEALTH_operations_open, 1);
	for (s = tallymap_from(&t->tally, 0); s; s = tallymap_from(&t->tally, s->hi + 1))
		if (s->v.diff > 0)
			m->totals.pending_unpins += (s->hi - s->lo + 1) * (uint64_t)s->v.diff;
}

void operations_finish(struct model *m)
{
	const struct operations *o = &m->operations;
	struct thread *t, *next;

	HASH_ITER(hh, o->threads, t, next) {
		if (t->kind == EV_access_remove && balanced(t))
			settle(m, t, false);
		else if (t->kind)
			leave_open(m, t);
		count(m, HEALTH_not_mapped, t->odd.pages);
		t->odd.pages = 0;
	}
	if (!m->totals.kernel_unpins)
		return;
	count(m, HEALTH_unpinned_early, o->too_early);
	count(m, HEALTH_unpinned_too_many, o->too_many);
	count(m, HEALTH_unpinned_too_few, o->too_few);
	count(m, HEALTH_unpinned_unordered, o->unordered);
}
