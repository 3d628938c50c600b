/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Span maps: ordered maps from ranges of 64-bit keys to small values, for everything that is counted by page. A run of
 * a million pages with one value is one span and costs one step.
 *
 * Vocabulary: a span is [lo, hi], both inclusive. Keys without a span have the empty value, all zero bytes. Invariants:
 * spans are sorted, never overlap, never hold an empty value, and neighbours that touch differ in value (so a map has
 * one form for one content, and the same trace gives the same spans).
 *
 * Spans lie in leaves: arrays of at most SPANMAP_LEAF spans, found through a sorted directory of the leaves' lowest
 * keys. An update walks the range once, splitting at its ends and merging as it goes. The leaf used last is tried
 * first, since events come in runs. A map of one leaf, which most are, has no directory, and its leaf starts small.
 *
 * This file is a template. Define, then include; it undefines them again:
 *	SPANMAP			name of the type and prefix of the functions
 *	SPANMAP_VALUE		type of the values
 *	SPANMAP_SAME(a, b)	whether *a and *b are equal
 *	SPANMAP_EMPTY(v)	whether *v is the empty value
 *
 * It defines, for SPANMAP foo:
 *	struct foo			zero-initialised is an empty map; set budget after that to bound its memory
 *	struct foo_span			{ lo, hi, v }
 *	foo_update(m, lo, hi, fn, ctx)	calls fn(ctx, lo, hi, &v) for each maximal span in the range, in order, spans of
 *					keys without a value included; fn may change v. 0, or -1: no memory (the map
 *					is of no more use). fn must not touch the same map, nor move it.
 *	foo_from(m, key)		first span with hi >= key, or NULL; to iterate, go on from hi + 1
 *	foo_at(m, key)			the span that holds key, or NULL
 *	foo_clear(m)			frees all; the map is empty then
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/budget.h"

#ifndef SPANMAP_LEAF
#define SPANMAP_LEAF 128
#define SPANMAP_LEAF_MIN 2
#define SPANMAP_CAT2(a, b) a##b
#define SPANMAP_CAT(a, b) SPANMAP_CAT2(a, b)
#endif

#define SM(n) SPANMAP_CAT(SPANMAP, n)

struct SM(_span) {
	uint64_t lo, hi;
	SPANMAP_VALUE v;
};

struct SM(_leaf) {
	uint32_t n, cap;
	struct SM(_span) s[];
};

struct SM(_dirent) {
	uint64_t low; /* where the first span of the leaf begins; of an empty sole leaf: anything */
	struct SM(_leaf) * leaf;
};

struct SPANMAP {
	struct SM(_dirent) only;  /* the directory while there is one leaf at most */
	struct SM(_dirent) * big; /* else */
	size_t nleaf, cap;	  /* cap 0: only is in use */
	size_t finger;		  /* leaf used last */
	struct budget *budget;	  /* of leaves and directory; NULL: no bound */
};

struct SM(_pos) {
	size_t l;
	uint32_t i;
};

typedef void (*SM(_fn))(void *ctx, uint64_t lo, uint64_t hi, SPANMAP_VALUE *v);

static inline struct SM(_dirent) * SM(_dir)(const struct SPANMAP *m)
{
	return m->cap ? m->big : (struct SM(_dirent) *)&m->only;
}

/* The leaf that key belongs to. */
static inline size_t SM(_leaf_of)(const struct SPANMAP *m, uint64_t key)
{
	const struct SM(_dirent) *d = SM(_dir)(m);
	size_t lo = 0, hi = m->nleaf, f = m->finger;

	if (f < m->nleaf && d[f].low <= key && (f + 1 == m->nleaf || key < d[f + 1].low))
		return f;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (d[mid].low <= key)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* The first span with hi >= key. The position may be one past the end of its leaf; SM(_get) corrects that. */
static inline struct SM(_pos) SM(_find)(const struct SPANMAP *m, uint64_t key)
{
	struct SM(_pos) p = {0, 0};
	const struct SM(_leaf) * f;
	uint32_t lo = 0, hi;

	if (!m->nleaf)
		return p;
	p.l = SM(_leaf_of)(m, key);
	f = SM(_dir)(m)[p.l].leaf;
	hi = f->n;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (f->s[mid].hi < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	p.i = lo;
	return p;
}

/* The span at a position, or NULL at the end. */
static inline struct SM(_span) * SM(_get)(const struct SPANMAP *m, struct SM(_pos) * p)
{
	struct SM(_dirent) *d = SM(_dir)(m);

	if (p->l < m->nleaf && p->i >= d[p->l].leaf->n) {
		p->l++;
		p->i = 0;
	}
	return p->l < m->nleaf ? &d[p->l].leaf->s[p->i] : NULL;
}

static inline struct SM(_span) * SM(_prev)(const struct SPANMAP *m, const struct SM(_pos) * p)
{
	struct SM(_dirent) *d = SM(_dir)(m);

	if (p->i)
		return &d[p->l].leaf->s[p->i - 1];
	if (!p->l || !d[p->l - 1].leaf->n) /* a sole leaf may be empty */
		return NULL;
	return &d[p->l - 1].leaf->s[d[p->l - 1].leaf->n - 1];
}

static inline size_t SM(_leaf_size)(uint32_t cap)
{
	return sizeof(struct SM(_leaf)) + cap * sizeof(struct SM(_span));
}

static inline struct SM(_leaf) * SM(_leaf_resize)(struct budget *b, struct SM(_leaf) * f, uint32_t cap)
{
	struct SM(_leaf) *n = budget_resize(b, f, f ? SM(_leaf_size)(f->cap) : 0, SM(_leaf_size)(cap));

	if (n) {
		n->n = f ? n->n : 0;
		n->cap = cap;
	}
	return n;
}

static inline void SM(_leaf_free)(struct SPANMAP *m, struct SM(_leaf) * f)
{
	budget_free(m->budget, f, SM(_leaf_size)(f->cap));
}

/* Enters a leaf in the directory at l. */
static inline int SM(_dir_insert)(struct SPANMAP *m, size_t l, struct SM(_leaf) * leaf, uint64_t low)
{
	struct SM(_dirent) * d;

	if (m->nleaf && m->nleaf >= m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 4;

		d = budget_resize(m->budget, m->cap ? m->big : NULL, m->cap * sizeof(*d), cap * sizeof(*d));
		if (!d)
			return -1;
		if (!m->cap)
			d[0] = m->only;
		m->big = d;
		m->cap = cap;
	}
	d = SM(_dir)(m);
	memmove(d + l + 1, d + l, (m->nleaf - l) * sizeof(*d));
	d[l].low = low;
	d[l].leaf = leaf;
	m->nleaf++;
	return 0;
}

/* Makes room in the full leaf at p: grows it, or splits it and adjusts p. A leaf that fills at its end stays full. */
static inline int SM(_make_room)(struct SPANMAP *m, struct SM(_pos) * p)
{
	struct SM(_dirent) *d = SM(_dir)(m) + p->l;
	struct SM(_leaf) *f = d->leaf, *right;
	uint32_t at;

	if (f->cap < SPANMAP_LEAF) {
		f = SM(_leaf_resize)(m->budget, f, f->cap * 4 < SPANMAP_LEAF ? f->cap * 4 : SPANMAP_LEAF);
		if (!f)
			return -1;
		d->leaf = f;
		return 0;
	}
	right = SM(_leaf_resize)(m->budget, NULL, SPANMAP_LEAF);
	if (!right)
		return -1;
	at = p->i == f->n ? f->n - 1 : f->n / 2;
	right->n = f->n - at;
	memcpy(right->s, f->s + at, right->n * sizeof(f->s[0]));
	if (SM(_dir_insert)(m, p->l + 1, right, right->s[0].lo)) {
		SM(_leaf_free)(m, right);
		return -1;
	}
	f->n = at;
	if (p->i > at) {
		p->l++;
		p->i -= at;
	}
	return 0;
}

/* Inserts a span at p, which then names it. */
static inline int SM(_insert)(struct SPANMAP *m, struct SM(_pos) * p, const struct SM(_span) * s)
{
	struct SM(_dirent) * d;
	struct SM(_leaf) * f;

	if (!m->nleaf) {
		f = SM(_leaf_resize)(m->budget, NULL, SPANMAP_LEAF_MIN);
		if (!f)
			return -1;
		SM(_dir_insert)(m, 0, f, s->lo); /* the first needs no memory */
		p->l = p->i = 0;
	}
	if (p->l == m->nleaf) { /* past the end: append to the last leaf */
		p->l--;
		p->i = SM(_dir)(m)[p->l].leaf->n;
	}
	f = SM(_dir)(m)[p->l].leaf;
	if (f->n == f->cap && SM(_make_room)(m, p))
		return -1;
	d = SM(_dir)(m) + p->l;
	f = d->leaf;
	memmove(f->s + p->i + 1, f->s + p->i, (f->n - p->i) * sizeof(f->s[0]));
	f->s[p->i] = *s;
	f->n++;
	d->low = f->s[0].lo;
	return 0;
}

/* Removes the span at p, which then names the next one. */
static inline void SM(_erase)(struct SPANMAP *m, struct SM(_pos) * p)
{
	struct SM(_dirent) *d = SM(_dir)(m);
	struct SM(_leaf) *f = d[p->l].leaf;

	f->n--;
	memmove(f->s + p->i, f->s + p->i + 1, (f->n - p->i) * sizeof(f->s[0]));
	if (f->n)
		d[p->l].low = f->s[0].lo;
	if (f->n || m->nleaf == 1) /* the last leaf stays, empty: maps often fill and empty in turns */
		return;
	SM(_leaf_free)(m, f);
	m->nleaf--;
	memmove(d + p->l, d + p->l + 1, (m->nleaf - p->l) * sizeof(*d));
}

/* Cuts the span at p so that it ends before key; p then names the part from key on. */
static inline int SM(_split)(struct SPANMAP *m, struct SM(_pos) * p, uint64_t key)
{
	struct SM(_span) *s = SM(_get)(m, p), right = *s;

	right.lo = key;
	s->hi = key - 1;
	p->i++;
	return SM(_insert)(m, p, &right);
}

/* Joins the span at p to the one before it if they touch and are the same. */
static inline bool SM(_join)(struct SPANMAP *m, struct SM(_pos) * p)
{
	struct SM(_span) *s = SM(_get)(m, p), *prev = s ? SM(_prev)(m, p) : NULL;

	if (!prev || prev->hi + 1 != s->lo || !SPANMAP_SAME(&prev->v, &s->v))
		return false;
	prev->hi = s->hi;
	SM(_erase)(m, p);
	return true;
}

/* One step of an update, over keys without a span: from at to end. */
static inline int SM(_update_gap)(struct SPANMAP *m, struct SM(_pos) * p, uint64_t at, uint64_t end, SM(_fn) fn, void *ctx)
{
	struct SM(_span) s = {.lo = at, .hi = end}, *prev;

	fn(ctx, at, end, &s.v);
	if (SPANMAP_EMPTY(&s.v))
		return 0;
	prev = SM(_prev)(m, p);
	if (prev && prev->hi + 1 == at && SPANMAP_SAME(&prev->v, &s.v)) {
		prev->hi = end;
		return 0;
	}
	if (SM(_insert)(m, p, &s))
		return -1;
	p->i++;
	return 0;
}

/* One step of an update, over the span at p, which begins at or before at and is cut to end at hi or earlier. */
static inline int SM(_update_span)(struct SPANMAP *m, struct SM(_pos) * p, uint64_t at, uint64_t hi, SM(_fn) fn, void *ctx)
{
	struct SM(_span) *s = SM(_get)(m, p);

	if (s->lo < at && SM(_split)(m, p, at))
		return -1;
	s = SM(_get)(m, p);
	if (s->hi > hi) {
		struct SM(_pos) rest = *p;

		if (SM(_split)(m, &rest, hi + 1))
			return -1;
		/* the leaf at p may have been split: the span is the one before the rest */
		s = SM(_prev)(m, &rest);
		if (rest.i) {
			*p = rest;
			p->i--;
		} else {
			p->l = rest.l - 1;
			p->i = SM(_dir)(m)[p->l].leaf->n - 1;
		}
	}
	fn(ctx, s->lo, s->hi, &s->v);
	if (SPANMAP_EMPTY(&s->v))
		SM(_erase)(m, p);
	else if (!SM(_join)(m, p))
		p->i++;
	return 0;
}

static inline int SM(_update)(struct SPANMAP *m, uint64_t lo, uint64_t hi, SM(_fn) fn, void *ctx)
{
	struct SM(_pos) p = SM(_find)(m, lo);
	uint64_t at = lo, end;
	int err;

	for (;;) {
		struct SM(_span) *s = SM(_get)(m, &p);

		if (s && s->lo <= at) {
			end = s->hi < hi ? s->hi : hi;
			err = SM(_update_span)(m, &p, at, hi, fn, ctx);
		} else {
			end = s && s->lo <= hi ? s->lo - 1 : hi;
			err = SM(_update_gap)(m, &p, at, end, fn, ctx);
		}
		if (err)
			return -1;
		if (end == hi)
			break;
		at = end + 1;
	}
	SM(_join)(m, &p);
	m->finger = p.l < m->nleaf ? p.l : 0;
	return 0;
}

static inline const struct SM(_span) * SM(_from)(const struct SPANMAP *m, uint64_t key)
{
	struct SM(_pos) p = SM(_find)(m, key);

	return SM(_get)(m, &p);
}

static inline const struct SM(_span) * SM(_at)(const struct SPANMAP *m, uint64_t key)
{
	const struct SM(_span) *s = SM(_from)(m, key);

	return s && s->lo <= key ? s : NULL;
}

static inline void SM(_clear)(struct SPANMAP *m)
{
	struct SM(_dirent) *d = SM(_dir)(m);
	struct budget *budget = m->budget;

	for (size_t l = 0; l < m->nleaf; l++)
		SM(_leaf_free)(m, d[l].leaf);
	if (m->cap)
		budget_free(budget, m->big, m->cap * sizeof(*d));
	memset(m, 0, sizeof(*m));
	m->budget = budget;
}

#undef SM
#undef SPANMAP
#undef SPANMAP_VALUE
#undef SPANMAP_SAME
#undef SPANMAP_EMPTY
