/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Callers: a probe records where a function returns to, an event has the name of the function that is there. To find it is
 * slow, so it is kept. Only some addresses are: a function has few callers, and a damaged file may have any number.
 */
#include "trace/decoder/impl.h"

#include <string.h>

#include "trace/caller.h"

void decoder_name_callers(struct decoder *d, bool (*name)(void *ctx, uint64_t address, char out[SYMBOL_MAX]), void *ctx,
			  bool live)
{
	d->callers = (struct callers){.name = name, .ctx = ctx, .live = live};
}

/* An address without a name is asked for at its 1st and, live, at its 4th, 16th, ... record. */
static bool is_due(const struct callers *c, uint64_t misses)
{
	return misses == 1 || (c->live && !(misses & (misses - 1)) && !(__builtin_ctzll(misses) & 1));
}

uint32_t caller_of(struct decoder *d, uint64_t address, struct error *e)
{
	struct callers *c = &d->callers;
	char name[SYMBOL_MAX];
	struct caller *at;
	unsigned i;

	if (!c->name)
		return 0;
	for (i = 0; i < c->n && c->at[i].address != address; i++)
		;
	if (i == CALLERS)
		return 0;
	at = &c->at[i];
	if (i == c->n) {
		*at = (struct caller){.address = address};
		c->n++;
	}
	if (at->name || !is_due(c, ++at->misses) || !c->name(c->ctx, address, name) ||
	    !caller_is_known(name, strlen(name)))
		return at->name;
	at->name = intern_add(d->strings, name, strlen(name));
	if (at->name != UINT32_MAX)
		return at->name;
	at->name = 0;
	error_set(e, "caller: %s", intern_failure(d->strings));
	return UINT32_MAX;
}
