/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bound on memory; see budget.h. */
#include "base/budget.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"

void budget_init(struct budget *b, uint64_t limit, const char *may)
{
	char size[SIZE_TEXT];

	*b = (struct budget){.limit = limit};
	snprintf(b->refusal, sizeof(b->refusal), "more than the %s of memory that %s", size_text(size, limit), may);
}

/* What malloc() takes for a block: the size plus one word, in steps of 16 bytes. */
static uint64_t cost(uint64_t size)
{
	return (size + 8 + 15) & ~15ull;
}

bool budget_take(struct budget *b, uint64_t size)
{
	if (!b)
		return true;
	if (size > b->limit || cost(size) > b->limit - b->used) {
		b->over = true;
		return false;
	}
	b->used += cost(size);
	return true;
}

void budget_give(struct budget *b, uint64_t size)
{
	if (b)
		b->used -= cost(size);
}

void *budget_alloc(struct budget *b, size_t size)
{
	void *p;

	if (!budget_take(b, size))
		return NULL;
	p = calloc(1, size);
	if (!p)
		budget_give(b, size);
	return p;
}

void *budget_resize(struct budget *b, void *p, size_t old, size_t size)
{
	void *grown;

	if (old)
		budget_give(b, old); /* not counted: both blocks exist while realloc() copies */
	if (!budget_take(b, size)) {
		if (old)
			budget_take(b, old);
		return NULL;
	}
	grown = realloc(p, size);
	if (grown)
		return grown;
	budget_give(b, size);
	if (old)
		budget_take(b, old);
	return NULL;
}

void budget_free(struct budget *b, void *p, size_t size)
{
	if (p)
		budget_give(b, size);
	free(p);
}

const char *budget_failure(const struct budget *b)
{
	return b && b->over ? b->refusal : "out of memory";
}
