/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One hash table for all of it, keyed by kind and id; see older.h. */
#include "analyzer/model/older.h"

struct older_key {
	uint64_t kind, id;
};

/* Ids are kernel pointers with most bits alike: one multiplication spreads them well enough. */
#define HASH_FUNCTION(key, len, hv) ((hv) = key_hash((const struct older_key *)(key)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

static unsigned key_hash(const struct older_key *k)
{
	return (unsigned)(((k->id << 3 | k->id >> 61) ^ k->kind) * 0x9e3779b97f4a7c15ull >> 32);
}

struct older_entry {
	struct older_key key;
	union {
		struct older_stranger stranger;
		struct older_fill fill;
	};
	UT_hash_handle hh;
};

#define ENTRY_MEMORY (sizeof(struct older_entry) + BUDGET_HASHED)

static struct older_entry *find(const struct older *o, enum older_kind kind, uint64_t id)
{
	const struct older_key key = {kind, id};
	struct older_entry *e;

	HASH_FIND(hh, o->hash, &key, sizeof(key), e);
	return e;
}

/* Made if need be; NULL: no memory. */
static struct older_entry *get(struct older *o, enum older_kind kind, uint64_t id)
{
	struct older_entry *e = find(o, kind, id);

	if (e)
		return e;
	e = budget_alloc(o->budget, ENTRY_MEMORY);
	if (!e)
		return NULL;
	e->key = (struct older_key){kind, id};
	HASH_ADD(hh, o->hash, key, sizeof(e->key), e);
	if (!e->hh.tbl) {
		budget_free(o->budget, e, ENTRY_MEMORY);
		return NULL;
	}
	return e;
}

void older_forget(struct older *o, enum older_kind kind, uint64_t id)
{
	struct older_entry *e = o->hash ? find(o, kind, id) : NULL;

	if (!e)
		return;
	HASH_DEL(o->hash, e);
	budget_free(o->budget, e, ENTRY_MEMORY);
}

void older_clear(struct older *o)
{
	struct older_entry *e, *next;

	HASH_ITER(hh, o->hash, e, next) {
		HASH_DEL(o->hash, e);
		budget_free(o->budget, e, ENTRY_MEMORY);
	}
}

bool older_has(const struct older *o, enum older_kind kind, uint64_t id)
{
	return o->hash && find(o, kind, id);
}

int older_add(struct older *o, enum older_kind kind, uint64_t id)
{
	if (find(o, kind, id))
		return 0;
	return get(o, kind, id) ? 1 : -1;
}

int older_fill(struct older *o, uint32_t tid, uint64_t iopt, uint64_t iova, uint64_t last)
{
	struct older_entry *e = get(o, OLDER_THREAD, tid);

	if (!e)
		return -1;
	e->fill.iopt = iopt;
	e->fill.iova = iova;
	e->fill.last = last;
	e->fill.running = true;
	e->fill.n = 0;
	return 0;
}

bool older_fill_map(struct older *o, uint32_t tid, uint64_t domain, uint64_t iova, uint64_t size)
{
	struct older_entry *e = find(o, OLDER_THREAD, tid);
	struct older_fill *f = e ? &e->fill : NULL;
	unsigned i = 0;

	if (!f || !f->running || iova < f->iova || iova > f->last)
		return false;
	while (i < f->n && f->domain[i].id != domain)
		i++;
	if (i == OLDER_FILL_DOMAINS)
		return true;
	if (i == f->n) {
		f->domain[f->n].id = domain;
		f->domain[f->n++].bytes = 0;
	}
	f->domain[i].bytes += size;
	return true;
}

const struct older_fill *older_fill_end(struct older *o, uint32_t tid)
{
	struct older_entry *e = find(o, OLDER_THREAD, tid);

	if (!e || !e->fill.running)
		return NULL;
	e->fill.running = false;
	return &e->fill;
}

int older_stranger(struct older *o, uint64_t domain, uint64_t pages)
{
	struct older_entry *e = get(o, OLDER_STRANGER, domain);

	if (!e)
		return -1;
	e->stranger.events++;
	e->stranger.pages += pages;
	return 0;
}

struct older_stranger older_named(struct older *o, uint64_t domain)
{
	struct older_entry *e = find(o, OLDER_STRANGER, domain);
	struct older_stranger s = {0};

	if (!e)
		return s;
	s = e->stranger;
	older_forget(o, OLDER_STRANGER, domain);
	return s;
}
