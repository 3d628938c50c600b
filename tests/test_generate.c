/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generated traces are what they claim: the same for the same seed, valid, bounded, and right about unpins. The checker
 * here shares nothing with the generator: it has areas and domains in plain arrays and a hash table entry for each
 * mapped page, and fails at the first event that no kernel would give.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uthash.h>

#include "analyzer/generator/generator.h"
#include "trace/formats/jsonl.h"
#include "trace/formats/open.h"
#include "trace/source.h"

#define MAX 512 /* areas, domains, holds that the checker can follow */

struct area {
	uint64_t id; /* 0: a half of a cut, not named yet */
	uint64_t pages, iopt, iova, last, first, last_index, offset, npages, uptr;
	bool filling, leaving;
};

struct domain {
	uint64_t id, iopt;
	bool joining, leaving;
};

struct hold {
	uint64_t area_iova, iopt, pages, first, last;
};

struct mapping {
	struct {
		uint64_t domain, iova; /* of the page's first byte in its area */
	} key;
	uint64_t pages, idx;
	UT_hash_handle hh;
};

/* A pinned page: what holds it, and where it lies if that is known. */
struct pin {
	struct {
		uint64_t pages, idx;
	} key;
	uint64_t maps, holds, pfn;
	bool known;
	UT_hash_handle hh;
};

struct balance {
	uint64_t pfn;
	int64_t derived, kernel;
	UT_hash_handle hh;
};

/* What was seen, to prove that a shape has it all. */
struct seen {
	uint64_t kind[EV_KINDS];
	uint64_t fill_failed, attach_failed, attach_refused, cut_made, cut_refused, cut_nothing, offset, unknown;
	uint64_t nested, held_over_detach, blind_hold, most_areas, max_area_pages, id_reused;
};

struct checker {
	uint64_t n, t;
	struct area area[MAX];
	struct domain domain[MAX];
	struct hold hold[MAX];
	size_t nareas, ndomains, nholds;
	struct mapping *mappings;
	struct pin *pins;
	struct balance *balances;
	struct event_unmap undone; /* by a map that is about to fail; size 0: none */
	struct area *now;	   /* being filled or destroyed, or mapped into a joining domain */
	uint64_t last_freed;
	uint64_t blind_unpins; /* of pages whose frame no map ever told */
	struct seen seen;
};

#define CHECK(c, cond)                                                    \
	do {                                                              \
		if (!(cond))                                              \
			fail_msg("event %" PRIu64 ": %s", (c)->n, #cond); \
	} while (0)

/* --- the checker --- */

static uint64_t page_iova(const struct area *a, uint64_t idx)
{
	return idx == a->first ? a->iova : a->iova - a->offset + (idx - a->first) * PAGE_SIZE_BYTES;
}

static uint64_t iova_index(const struct area *a, uint64_t iova)
{
	return a->first + (iova - a->iova + a->offset) / PAGE_SIZE_BYTES;
}

static struct domain *domain_find(struct checker *c, uint64_t id)
{
	for (size_t i = 0; i < c->ndomains; i++)
		if (c->domain[i].id == id)
			return &c->domain[i];
	return NULL;
}

static struct area *area_find(struct checker *c, uint64_t iopt, uint64_t iova)
{
	for (size_t i = 0; i < c->nareas; i++)
		if (c->area[i].iopt == iopt && c->area[i].iova <= iova && c->area[i].last >= iova)
			return &c->area[i];
	return NULL;
}

/* The area of an event, which must be all that the event says; a half of a cut gets its name. */
static struct area *area_named(struct checker *c, const struct event_area_unfill *ev, bool has_last)
{
	struct area *a = area_find(c, ev->iopt, ev->iova);

	CHECK(c, a && a->iova == ev->iova && a->pages == ev->pages);
	CHECK(c, !has_last || a->last == ev->last);
	for (size_t i = 0; !a->id && i < c->nareas; i++)
		CHECK(c, c->area[i].id != ev->area);
	if (!a->id)
		a->id = ev->area;
	CHECK(c, a->id == ev->area);
	return a;
}

static struct mapping *mapping_find(struct checker *c, uint64_t domain, uint64_t iova)
{
	struct mapping *m, probe = {.key = {domain, iova}};

	HASH_FIND(hh, c->mappings, &probe.key, sizeof(probe.key), m);
	return m;
}

static struct pin *pin_get(struct checker *c, uint64_t pages, uint64_t idx)
{
	struct pin *p, probe = {.key = {pages, idx}};

	HASH_FIND(hh, c->pins, &probe.key, sizeof(probe.key), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	assert_non_null(p);
	p->key = probe.key;
	HASH_ADD(hh, c->pins, key, sizeof(p->key), p);
	return p;
}

static struct balance *balance_get(struct checker *c, uint64_t pfn)
{
	struct balance *b;

	HASH_FIND(hh, c->balances, &pfn, sizeof(pfn), b);
	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	assert_non_null(b);
	b->pfn = pfn;
	HASH_ADD(hh, c->balances, pfn, sizeof(b->pfn), b);
	return b;
}

static void pin_put(struct checker *c, struct pin *p)
{
	if (p->maps || p->holds)
		return;
	if (p->known)
		balance_get(c, p->pfn)->derived++;
	else
		c->blind_unpins++;
	HASH_DEL(c->pins, p);
	free(p);
}

static bool pages_live(const struct checker *c, uint64_t pages)
{
	for (size_t i = 0; i < c->nareas; i++)
		if (c->area[i].pages == pages)
			return true;
	return false;
}

/* How many pages of the area the domain maps. */
static uint64_t mapped(struct checker *c, const struct area *a, uint64_t domain)
{
	uint64_t n = 0;

	for (uint64_t idx = a->first; idx <= a->last_index; idx++)
		n += mapping_find(c, domain, page_iova(a, idx)) != NULL;
	return n;
}

static uint64_t npages(const struct area *a)
{
	return a->last_index - a->first + 1;
}

static void on_area_fill(struct checker *c, const struct event_area_fill *ev)
{
	struct area *a = &c->area[c->nareas];

	CHECK(c, !c->now && c->nareas < MAX);
	for (size_t i = 0; i < c->nareas; i++) {
		CHECK(c, c->area[i].id != ev->area);
		CHECK(c, c->area[i].iopt != ev->iopt || c->area[i].last < ev->iova || c->area[i].iova > ev->last);
		CHECK(c, c->area[i].pages != ev->pages ||
				 (c->area[i].npages == ev->npages && c->area[i].uptr == ev->uptr));
	}
	CHECK(c, ev->page_offset < PAGE_SIZE_BYTES && ev->last_index < ev->npages);
	*a = (struct area){.id = ev->area,
			   .pages = ev->pages,
			   .iopt = ev->iopt,
			   .iova = ev->iova,
			   .last = ev->last,
			   .first = ev->first,
			   .last_index = ev->last_index,
			   .offset = ev->page_offset,
			   .npages = ev->npages,
			   .uptr = ev->uptr,
			   .filling = true};
	CHECK(c, iova_index(a, a->last) == a->last_index);
	c->now = a;
	c->nareas++;
	c->seen.offset += ev->page_offset != 0;
	c->seen.id_reused += ev->area == c->last_freed;
	if (c->nareas > c->seen.most_areas)
		c->seen.most_areas = c->nareas;
	if (npages(a) > c->seen.max_area_pages)
		c->seen.max_area_pages = npages(a);
}

static void area_drop(struct checker *c, struct area *a)
{
	uint64_t pages = a->pages;

	c->last_freed = a->id;
	*a = c->area[--c->nareas];
	c->now = NULL;
	for (size_t i = 0; i < c->nholds; i++)
		CHECK(c, c->hold[i].pages != pages || pages_live(c, pages));
}

static void on_area_fill_end(struct checker *c, const struct event_area_fill_end *ev)
{
	struct area *a = c->now;

	CHECK(c, a && a->filling && a->id == ev->area);
	for (size_t i = 0; i < c->ndomains; i++)
		if (c->domain[i].iopt == a->iopt)
			CHECK(c, mapped(c, a, c->domain[i].id) == (ev->rc ? 0 : npages(a)));
	a->filling = false;
	c->now = NULL;
	c->seen.fill_failed += ev->rc != 0;
	if (ev->rc)
		area_drop(c, a);
}

static void on_area_unfill(struct checker *c, const struct event_area_unfill *ev)
{
	struct area *a = area_named(c, ev, true);

	CHECK(c, !c->now);
	for (size_t i = 0; i < c->nholds; i++)
		CHECK(c, c->hold[i].iopt != a->iopt || c->hold[i].area_iova != a->iova);
	a->leaving = true;
	c->now = a;
}

static void on_area_unfill_end(struct checker *c, const struct event_area_unfill *ev)
{
	struct area *a = area_named(c, ev, true);

	CHECK(c, a == c->now && a->leaving);
	for (size_t i = 0; i < c->ndomains; i++)
		CHECK(c, !mapped(c, a, c->domain[i].id));
	area_drop(c, a);
}

static void on_domain_add(struct checker *c, const struct event *ev)
{
	CHECK(c, !c->now && c->ndomains < MAX && !domain_find(c, ev->domain_add.domain));
	for (size_t i = 0; i < c->ndomains; i++)
		CHECK(c, !c->domain[i].joining && !c->domain[i].leaving);
	c->domain[c->ndomains++] =
		(struct domain){.id = ev->domain_add.domain, .iopt = ev->domain_add.iopt, .joining = true};
	c->seen.unknown += ev->missing != 0;
}

static void domain_check(struct checker *c, const struct domain *d, bool all)
{
	for (size_t i = 0; i < c->nareas; i++)
		CHECK(c, mapped(c, &c->area[i], d->id) == (all && c->area[i].iopt == d->iopt ? npages(&c->area[i]) : 0));
}

static void on_domain_add_end(struct checker *c, const struct event_domain_add_end *ev)
{
	struct domain *d = domain_find(c, ev->domain);

	CHECK(c, d && d->joining && d->iopt == ev->iopt && !c->now);
	domain_check(c, d, !ev->rc);
	d->joining = false;
	c->seen.attach_failed += ev->rc == -12 || ev->rc == -14;
	c->seen.attach_refused += ev->rc == -98;
	if (ev->rc)
		*d = c->domain[--c->ndomains];
}

static void on_domain_remove(struct checker *c, const struct event_domain_remove *ev)
{
	struct domain *d = domain_find(c, ev->domain);

	CHECK(c, d && !d->joining && d->iopt == ev->iopt && !c->now);
	d->leaving = true;
	for (size_t i = 0; i < c->nholds; i++)
		c->seen.held_over_detach += c->hold[i].iopt == d->iopt;
}

static void on_domain_remove_end(struct checker *c, const struct event_domain_remove_end *ev)
{
	struct domain *d = domain_find(c, ev->domain);

	CHECK(c, d && d->leaving && d->iopt == ev->iopt);
	domain_check(c, d, false);
	*d = c->domain[--c->ndomains];
}

static void on_area_add_domain(struct checker *c, const struct event_area_add_domain *ev)
{
	struct event_area_unfill as = {
		.area = ev->area, .pages = ev->pages, .iopt = ev->iopt, .iova = ev->iova, .last = ev->last};
	struct domain *d = domain_find(c, ev->domain);

	CHECK(c, !c->now && d && d->joining && d->iopt == ev->iopt);
	c->now = area_named(c, &as, true);
}

static void on_area_add_domain_end(struct checker *c, const struct event_area_add_domain_end *ev)
{
	CHECK(c, c->now && c->now->id == ev->area);
	CHECK(c, mapped(c, c->now, ev->domain) == (ev->rc ? 0 : npages(c->now)));
	c->now = NULL;
}

static void on_map(struct checker *c, const struct event_map *ev)
{
	struct domain *d = domain_find(c, ev->domain);
	struct area *a = c->now;
	uint64_t last = ev->iova + ev->size - 1, pfn = ev->paddr / PAGE_SIZE_BYTES, at;
	struct mapping *m;
	struct pin *p;

	CHECK(c, d && a && d->iopt == a->iopt && (a->filling || d->joining));
	CHECK(c, a->iova <= ev->iova && last <= a->last);
	CHECK(c, ev->paddr % PAGE_SIZE_BYTES == (ev->iova - a->iova + a->offset) % PAGE_SIZE_BYTES);
	for (uint64_t idx = iova_index(a, ev->iova); idx <= iova_index(a, last); idx++, pfn++) {
		at = page_iova(a, idx);
		CHECK(c, at >= ev->iova && !mapping_find(c, d->id, at));
		m = calloc(1, sizeof(*m));
		assert_non_null(m);
		m->key.domain = d->id;
		m->key.iova = at;
		m->pages = a->pages;
		m->idx = idx;
		HASH_ADD(hh, c->mappings, key, sizeof(m->key), m);
		p = pin_get(c, a->pages, idx);
		CHECK(c, !p->known || p->pfn == pfn);
		p->known = true;
		p->pfn = pfn;
		p->maps++;
	}
}

static void on_unmap(struct checker *c, const struct event_unmap *ev)
{
	struct domain *d = domain_find(c, ev->domain);
	uint64_t last = ev->iova + ev->size - 1;
	struct area *a = d ? area_find(c, d->iopt, ev->iova) : NULL;
	struct mapping *m;
	struct pin *p;

	CHECK(c, a && last <= a->last);
	CHECK(c, ev->iova == page_iova(a, iova_index(a, ev->iova)));
	CHECK(c, last == a->last || last + 1 == page_iova(a, iova_index(a, last) + 1));
	CHECK(c, d->joining || d->leaving || a == c->now);
	if (!mapping_find(c, d->id, page_iova(a, iova_index(a, ev->iova)))) {
		c->undone = *ev;
		return;
	}
	for (uint64_t idx = iova_index(a, ev->iova); idx <= iova_index(a, last); idx++) {
		m = mapping_find(c, d->id, page_iova(a, idx));
		CHECK(c, m && m->pages == a->pages && m->idx == idx);
		HASH_DEL(c->mappings, m);
		free(m);
		p = pin_get(c, a->pages, idx);
		p->maps--;
		pin_put(c, p);
	}
}

/* Into a fill or a join, and nothing of it is mapped. */
static void on_map_failed(struct checker *c, const struct event_map_failed *ev)
{
	struct domain *d = domain_find(c, ev->domain);
	struct area *a = d ? area_find(c, d->iopt, ev->iova) : NULL;

	CHECK(c, a && a == c->now && ev->iova + ev->size - 1 <= a->last && ev->rc < 0);
	CHECK(c, !mapping_find(c, d->id, page_iova(a, iova_index(a, ev->iova))));
	CHECK(c, !c->undone.size ||
			 (c->undone.domain == ev->domain && c->undone.iova == ev->iova && c->undone.size < ev->size));
	c->undone.size = 0;
}

/* A cut as the semantics have it. */
static void on_cut(struct checker *c, const struct event *ev)
{
	uint64_t iova[2] = {ev->cut.iova0, ev->cut.iova1}, offset;
	struct area *a, *right;
	bool refused;

	CHECK(c, !c->now && ev->cut.num_iovas >= 1 && ev->cut.num_iovas <= 2);
	CHECK(c, (ev->missing != 0) == (ev->cut.num_iovas == 1));
	for (uint64_t i = 0; i < ev->cut.num_iovas; i++) {
		a = area_find(c, ev->cut.iopt, iova[i]);
		if (!a || iova[i] == a->iova || iova[i] == a->last) {
			c->seen.cut_nothing++;
			continue;
		}
		offset = iova[i] + 1 - a->iova + a->offset;
		refused = offset % PAGE_SIZE_BYTES;
		for (size_t j = 0; j < c->nholds; j++)
			refused |= c->hold[j].iopt == a->iopt && c->hold[j].area_iova == a->iova;
		if (refused) {
			c->seen.cut_refused++;
			return;
		}
		CHECK(c, c->nareas < MAX);
		right = &c->area[c->nareas++];
		*right = *a;
		right->iova = iova[i] + 1;
		right->first = a->first + offset / PAGE_SIZE_BYTES;
		right->offset = 0;
		a->last = iova[i];
		a->last_index = right->first - 1;
		a->id = right->id = 0;
		c->seen.cut_made++;
	}
}

static void on_access(struct checker *c, const struct event_access_add *ev, bool add)
{
	struct event_area_unfill as = {.area = ev->area, .pages = ev->pages, .iopt = ev->iopt, .iova = ev->iova};
	struct area *a = area_named(c, &as, false);
	struct hold h = {a->iova, a->iopt, a->pages, ev->first, ev->last};
	struct pin *p;
	size_t i;

	CHECK(c, !c->now && ev->first >= a->first && ev->first <= ev->last && ev->last <= a->last_index);
	for (i = 0; i < c->nholds && memcmp(&c->hold[i], &h, sizeof(h)); i++)
		;
	CHECK(c, add || i < c->nholds);
	c->seen.nested += add && i < c->nholds;
	if (add)
		c->hold[c->nholds++] = h;
	else
		c->hold[i] = c->hold[--c->nholds];
	CHECK(c, c->nholds < MAX);
	for (uint64_t idx = ev->first; idx <= ev->last; idx++) {
		p = pin_get(c, a->pages, idx);
		c->seen.blind_hold += add && !p->known;
		CHECK(c, add || p->holds);
		p->holds += add ? 1 : -1ull;
		pin_put(c, p);
	}
}

static void on_unpin(struct checker *c, const struct event_unpin *ev)
{
	for (uint64_t i = 0; i < ev->npages; i++)
		balance_get(c, ev->pfn + i)->kernel++;
}

static void check_event(struct checker *c, const struct event *ev, const struct intern *strings)
{
	struct error e = {0};

	c->n++;
	if (event_check(ev, &e))
		fail_msg("event %" PRIu64 ": %s", c->n, e.text);
	CHECK(c, ev->t > c->t && ev->kind < EV_KINDS && intern_get(strings, ev->comm));
	c->t = ev->t;
	c->seen.kind[ev->kind]++;
	CHECK(c, !c->undone.size || ev->kind == EV_map_failed);
	switch ((enum event_kind)ev->kind) {
	case EV_domain_add:
		on_domain_add(c, ev);
		break;
	case EV_domain_add_end:
		on_domain_add_end(c, &ev->domain_add_end);
		break;
	case EV_domain_remove:
		on_domain_remove(c, &ev->domain_remove);
		break;
	case EV_domain_remove_end:
		on_domain_remove_end(c, &ev->domain_remove_end);
		break;
	case EV_area_fill:
		on_area_fill(c, &ev->area_fill);
		break;
	case EV_area_fill_end:
		on_area_fill_end(c, &ev->area_fill_end);
		break;
	case EV_area_unfill:
		on_area_unfill(c, &ev->area_unfill);
		break;
	case EV_area_unfill_end:
		on_area_unfill_end(c, &ev->area_unfill);
		break;
	case EV_area_add_domain:
		on_area_add_domain(c, &ev->area_add_domain);
		break;
	case EV_area_add_domain_end:
		on_area_add_domain_end(c, &ev->area_add_domain_end);
		break;
	case EV_map:
		on_map(c, &ev->map);
		break;
	case EV_map_failed:
		on_map_failed(c, &ev->map_failed);
		break;
	case EV_unmap:
		on_unmap(c, &ev->unmap);
		break;
	case EV_cut:
		on_cut(c, ev);
		break;
	case EV_access_add:
	case EV_access_remove:
		on_access(c, &ev->access_add, ev->kind == EV_access_add);
		break;
	case EV_unpin:
		on_unpin(c, &ev->unpin);
		break;
	case EV_attach:
	case EV_detach:
		CHECK(c, !c->now && intern_get(strings, (uint32_t)ev->attach.device));
		break;
	case EV_NONE:
	case EV_lost:
	case EV_rw_access:
	case EV_rw_access_end:
	case EV_KINDS:
		fail_msg("event %" PRIu64 ": kind %u", c->n, ev->kind);
	}
}

/*
 * Each derived unpin is the kernel's. The kernel's others are those of pages that only accesses held, and, where fills
 * fail, of pages that a fill had pinned but not mapped yet.
 */
static void check_end(struct checker *c, bool torn_down, bool fills_fail)
{
	struct balance *b, *next_b;
	struct mapping *m, *next_m;
	struct pin *p, *next_p;
	uint64_t more = 0;

	if (torn_down)
		CHECK(c, !c->nareas && !c->ndomains && !c->nholds && !c->mappings && !c->pins);
	HASH_ITER(hh, c->balances, b, next_b) {
		CHECK(c, b->derived <= b->kernel);
		more += (uint64_t)(b->kernel - b->derived);
		HASH_DEL(c->balances, b);
		free(b);
	}
	CHECK(c, fills_fail ? more >= c->blind_unpins : more == c->blind_unpins);
	HASH_ITER(hh, c->mappings, m, next_m) {
		HASH_DEL(c->mappings, m);
		free(m);
	}
	HASH_ITER(hh, c->pins, p, next_p) {
		HASH_DEL(c->pins, p);
		free(p);
	}
}

/* --- the tests --- */

static struct source *open_source(const struct generate_options *o)
{
	struct error e = {0};
	struct source *s;
	struct capture c;

	if (generate_open(&s, o, &e))
		fail_msg("%s", e.text);
	assert_int_equal(s->ops->capture(s, &c, &e), 1);
	assert_string_equal(c.format, "generated");
	assert_string_equal(c.state, "complete");
	return s;
}

static uint64_t mix(uint64_t hash, uint64_t v)
{
	return (hash ^ v) * 0x100000001b3 + (hash >> 47);
}

/* Every field of every event, and its strings. */
static uint64_t hash_trace(const struct generate_options *o, size_t batch)
{
	struct source *s = open_source(o);
	uint64_t hash = 0xcbf29ce484222325;
	struct event ev[97];
	struct error e = {0};
	ssize_t n;

	while ((n = s->ops->read(s, ev, batch, &e)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			uint16_t missing = ev[i].missing; /* the caller of an unpin came later */

			hash = mix(mix(mix(hash, ev[i].t), ev[i].cpu), ev[i].tid);
			if (ev[i].kind == EV_unpin)
				missing &= (uint16_t)~EVENT_BIT(unpin, caller);
			hash = mix(mix(mix(hash, ev[i].comm), missing), ev[i].kind);
			for (unsigned f = 0; f < EVENT_MAX_FIELDS; f++)
				hash = mix(hash, ev[i].f[f]);
		}
	assert_int_equal(n, 0);
	for (uint32_t i = 1; i <= intern_count(s->strings); i++)
		for (const char *p = intern_get(s->strings, i); *p; p++)
			hash = mix(hash, (unsigned char)*p);
	s->ops->close(s);
	return hash;
}

static struct seen check_trace(const struct generate_options *o)
{
	struct checker *c = calloc(1, sizeof(*c));
	struct source *s = open_source(o);
	struct error e = {0};
	struct event ev[64];
	struct seen seen;
	ssize_t n;

	assert_non_null(c);
	while ((n = s->ops->read(s, ev, 64, &e)) > 0)
		for (ssize_t i = 0; i < n; i++)
			check_event(c, &ev[i], s->strings);
	if (n < 0)
		fail_msg("%s", e.text);
	assert_true(c->n >= o->events);
	check_end(c, !o->no_teardown, o->fail);
	s->ops->close(s);
	seen = c->seen;
	free(c);
	return seen;
}

/* The hashes are fixed: the bytes are the same on every machine and from one version to the next. */
static void test_same_seed_same_trace(void **state)
{
	static const uint64_t expected[GENERATE_SHAPES] = {0x8fce5431a85b0d06, 0x7a88a97da037e504, 0xf967f89e5bbf4822};
	struct generate_options o;
	uint64_t hash;

	(void)state;
	for (unsigned shape = 0; shape < GENERATE_SHAPES; shape++) {
		generate_defaults(&o, shape, 42, 20000);
		hash = hash_trace(&o, 97);
		assert_int_equal(hash, hash_trace(&o, 97));
		assert_int_equal(hash, hash_trace(&o, 1));
		if (hash != expected[shape])
			fail_msg("%s: 0x%" PRIx64, generate_shape_names[shape], hash);
		o.seed++;
		assert_int_not_equal(hash, hash_trace(&o, 97));
	}
}

static void test_shapes_are_valid(void **state)
{
	struct generate_options o;
	struct seen seen;

	(void)state;
	for (unsigned shape = 0; shape < GENERATE_SHAPES; shape++)
		for (uint64_t seed = 1; seed <= 3; seed++) {
			generate_defaults(&o, shape, seed, 20000);
			if (shape == GENERATE_VMBOOT)
				o.memory_pages = 8192;
			seen = check_trace(&o);
			assert_true(seen.most_areas <= o.live + (shape == GENERATE_VMBOOT ? 3 : 0));
			assert_true(seen.most_areas >= o.live / 2);
			assert_true(seen.id_reused > 0);
		}
}

static void test_mixed_has_everything(void **state)
{
	struct generate_options o;
	struct seen seen;

	(void)state;
	generate_defaults(&o, GENERATE_MIXED, 7, 60000);
	seen = check_trace(&o);
	for (unsigned kind = 1; kind < EV_KINDS; kind++)
		if (event_table[kind].name && kind != EV_lost && kind != EV_rw_access && kind != EV_rw_access_end &&
		    !seen.kind[kind])
			fail_msg("no %s", event_table[kind].name);
	assert_true(seen.fill_failed && seen.attach_failed && seen.attach_refused);
	assert_true(seen.cut_made && seen.cut_refused && seen.cut_nothing);
	assert_true(seen.offset && seen.unknown);
	assert_true(seen.nested && seen.held_over_detach && seen.blind_hold);
}

/* Options at their edges, many seeds: little of everything, much of one thing. */
static void test_stress_is_valid(void **state)
{
	struct generate_options o;
	struct seen seen;

	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		generate_defaults(&o, seed % GENERATE_SHAPES, seed, 600);
		o.live = 1 + seed % 11;
		o.domains = 1 + seed % 5;
		o.area_pages = 1 + seed % 17;
		o.memory_pages = 1 + seed * 7 % 60;
		o.run_order = seed % 4;
		o.fail = seed % 2 * (seed % 400);
		o.offset = seed % 3 * 400;
		o.share = seed % 4 * 300;
		o.no_teardown = seed % 7 == 0;
		if (o.shape != GENERATE_VMBOOT) {
			o.iopts = 1 + seed % 3;
			o.accesses = seed % 9;
			o.cuts = seed % 2;
		}
		seen = check_trace(&o);
		if (o.shape != GENERATE_VMBOOT)
			assert_true(seen.max_area_pages <= o.area_pages);
	}
}

static void test_runs_can_be_huge(void **state)
{
	struct generate_options o;
	struct source *s;
	struct error e = {0};
	struct event ev[64];
	uint64_t largest = 0;
	ssize_t n;

	(void)state;
	generate_defaults(&o, GENERATE_VMBOOT, 1, 3000);
	s = open_source(&o);
	while ((n = s->ops->read(s, ev, 64, &e)) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (ev[i].kind == EV_map && ev[i].map.size > largest)
				largest = ev[i].map.size;
	assert_true(largest >= 256ull << 20);
	s->ops->close(s);
}

static void test_bad_options(void **state)
{
	struct generate_options o;
	struct error e = {0};
	struct source *s;

	(void)state;
	generate_defaults(&o, GENERATE_MIXED, 1, 0);
	assert_int_equal(generate_open(&s, &o, &e), -1);
	assert_null(s);
	assert_string_equal(e.text, "generate: events is 0, it must be 1 to 1099511627776");
	generate_defaults(&o, GENERATE_VMBOOT, 1, 1);
	o.iopts = 2;
	e.text[0] = '\0';
	assert_int_equal(generate_open(&s, &o, &e), -1);
	assert_non_null(strstr(e.text, "iopts"));
}

/* What is written as JSON Lines and read back is the same trace. */
static void test_through_json_lines(void **state)
{
	char path[] = "/tmp/ioflush-generate-XXXXXX";
	int fd = mkstemp(path);
	struct generate_options o;
	struct jsonl_writer *w;
	struct event a[50], b[50];
	struct source *s, *back;
	struct capture c = {0};
	struct error e = {0};
	ssize_t n, m;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	generate_defaults(&o, GENERATE_MIXED, 3, 3000);
	assert_int_equal(generate_open(&s, &o, &e), 0);
	assert_int_equal(source_capture(s, &c, &e), 1);
	assert_int_equal(jsonl_writer_open(&w, path, &e), 0);
	assert_int_equal(jsonl_write_capture(w, &c, &e), 0);
	while ((n = source_read(s, a, 50, &e)) > 0)
		assert_int_equal(jsonl_write_events(w, a, (size_t)n, s->strings, &e), 0);
	assert_int_equal(jsonl_writer_close(w, true, &e), 0);
	source_close(s);

	s = open_source(&o);
	assert_int_equal(source_open(&back, path, &e), 0);
	assert_int_equal(source_capture(back, &c, &e), 1);
	do {
		n = source_read(s, a, 50, &e);
		m = source_read(back, b, 50, &e);
		assert_int_equal(n, m);
		for (ssize_t i = 0; i < n; i++) {
			assert_int_equal(a[i].t, b[i].t);
			assert_int_equal(a[i].kind, b[i].kind);
			assert_int_equal(a[i].missing, b[i].missing);
			assert_string_equal(intern_get(s->strings, a[i].comm), intern_get(back->strings, b[i].comm));
			if (a[i].kind != EV_attach && a[i].kind != EV_detach)
				assert_memory_equal(a[i].f, b[i].f, sizeof(a[i].f));
		}
	} while (n > 0);
	source_close(back);
	source_close(s);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed_same_trace), cmocka_unit_test(test_shapes_are_valid),
		cmocka_unit_test(test_mixed_has_everything), cmocka_unit_test(test_stress_is_valid),
		cmocka_unit_test(test_runs_can_be_huge),     cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_through_json_lines),
	};

	return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
