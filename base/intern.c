/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interned strings; see intern.h.
 *
 * Texts lie in blocks that never move, each after its length. A table of fixed size points to chunks of pointers, which
 * lead from an id to its text. A hash table with open addressing leads from a text to its id; only the thread that
 * interns uses it, so it may be rebuilt while other threads read texts.
 */
#include "base/intern.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BITS 12
#define CHUNK_SIZE (1u << CHUNK_BITS)
#define CHUNKS 1040u /* slightly more than four million: a full database may still get causes of loss */
#define MAX_STRINGS (CHUNKS * CHUNK_SIZE - 1)
#define BLOCK_SIZE 65536u
#define FIRST_SLOTS 256u

struct block {
	struct block *next;
	size_t size;
	char data[];
};

struct intern {
	struct budget *budget;
	const char **chunk[CHUNKS]; /* text of id: chunk[id >> CHUNK_BITS][id & (CHUNK_SIZE - 1)] */
	uint32_t count;
	uint32_t *slot;	 /* ids; 0: free */
	uint32_t slots;	 /* power of two, at most half of them used */
	uint32_t recent; /* the id given last, or 0: the same text often comes again */
	struct block *blocks;
	size_t room; /* bytes left in the first block */
	char *fill;
};

struct intern *intern_new_within(struct budget *b)
{
	struct intern *s = budget_alloc(b, sizeof(*s));

	if (!s)
		return NULL;
	s->budget = b;
	s->slots = FIRST_SLOTS;
	s->slot = budget_alloc(b, s->slots * sizeof(*s->slot));
	if (!s->slot) {
		budget_free(b, s, sizeof(*s));
		return NULL;
	}
	return s;
}

struct intern *intern_new(void)
{
	return intern_new_within(NULL);
}

void intern_free(struct intern *s)
{
	struct block *b, *next;
	size_t i;

	if (!s)
		return;
	for (b = s->blocks; b; b = next) {
		next = b->next;
		budget_free(s->budget, b, sizeof(*b) + b->size);
	}
	for (i = 0; i < CHUNKS; i++)
		budget_free(s->budget, s->chunk[i], CHUNK_SIZE * sizeof(*s->chunk[i]));
	budget_free(s->budget, s->slot, s->slots * sizeof(*s->slot));
	budget_free(s->budget, s, sizeof(*s));
}

static uint32_t hash_text(const char *text, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static size_t text_len(const char *text)
{
	size_t len;

	memcpy(&len, text - sizeof(len), sizeof(len));
	return len;
}

static bool is_text(const struct intern *s, uint32_t id, const char *text, size_t len)
{
	const char *have = intern_get(s, id);

	return have && text_len(have) == len && !memcmp(have, text, len);
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t find_slot(const struct intern *s, const char *text, size_t len)
{
	uint32_t i = hash_text(text, len) & (s->slots - 1);

	while (s->slot[i] && !is_text(s, s->slot[i], text, len))
		i = (i + 1) & (s->slots - 1);
	return i;
}

static bool grow(struct intern *s)
{
	uint32_t *old = s->slot, id;
	const char *text;

	s->slot = budget_alloc(s->budget, (size_t)s->slots * 2 * sizeof(*s->slot));
	if (!s->slot) {
		s->slot = old;
		return false;
	}
	budget_free(s->budget, old, s->slots * sizeof(*old));
	s->slots *= 2;
	for (id = 1; id <= s->count; id++) {
		text = intern_get(s, id);
		s->slot[find_slot(s, text, text_len(text))] = id;
	}
	return true;
}

/* A copy of the text that never moves, after its length. NULL: no memory. */
static const char *keep(struct intern *s, const char *text, size_t len)
{
	size_t need = (sizeof(len) + len + 1 + sizeof(len) - 1) & ~(sizeof(len) - 1);
	size_t size = need > BLOCK_SIZE ? need : BLOCK_SIZE;
	struct block *b;
	char *p;

	if (need > s->room) {
		b = budget_resize(s->budget, NULL, 0, sizeof(*b) + size);
		if (!b)
			return NULL;
		b->size = size;
		b->next = s->blocks;
		s->blocks = b;
		s->room = size;
		s->fill = b->data;
	}
	p = s->fill;
	s->fill += need;
	s->room -= need;
	memcpy(p, &len, sizeof(len));
	p += sizeof(len);
	memcpy(p, text, len);
	p[len] = '\0';
	return p;
}

uint32_t intern_add(struct intern *s, const char *text, size_t len)
{
	uint32_t id, chunk, i;
	const char *kept;

	if (!len)
		return 0;
	if (is_text(s, s->recent, text, len))
		return s->recent;
	i = find_slot(s, text, len);
	if (s->slot[i])
		return s->recent = s->slot[i];
	if (len > UINT32_MAX || s->count == MAX_STRINGS)
		return UINT32_MAX;
	if (s->count >= s->slots / 2) {
		if (!grow(s))
			return UINT32_MAX;
		i = find_slot(s, text, len);
	}
	id = s->count + 1;
	chunk = id >> CHUNK_BITS;
	if (!s->chunk[chunk]) {
		s->chunk[chunk] = budget_alloc(s->budget, CHUNK_SIZE * sizeof(*s->chunk[chunk]));
		if (!s->chunk[chunk])
			return UINT32_MAX;
	}
	kept = keep(s, text, len);
	if (!kept)
		return UINT32_MAX;
	s->chunk[chunk][id & (CHUNK_SIZE - 1)] = kept;
	s->slot[i] = id;
	s->count = id;
	return s->recent = id;
}

const char *intern_keep(struct intern *s, const char *text)
{
	uint32_t id = text ? intern_add(s, text, strlen(text)) : 0;

	if (id == UINT32_MAX)
		return NULL;
	return id ? intern_get(s, id) : "";
}

uint32_t intern_find(const struct intern *s, const char *text, size_t len)
{
	return len ? s->slot[find_slot(s, text, len)] : 0;
}

const char *intern_failure(const struct intern *s)
{
	return s->count == MAX_STRINGS ? "over four million different strings" : budget_failure(s->budget);
}

const char *intern_get(const struct intern *s, uint32_t id)
{
	const char *const *chunk = id <= MAX_STRINGS ? s->chunk[id >> CHUNK_BITS] : NULL;

	return chunk ? chunk[id & (CHUNK_SIZE - 1)] : NULL;
}

uint32_t intern_count(const struct intern *s)
{
	return s->count;
}
