/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tally.h. */
#include "analyzer/model/tally.h"

#include "base/number.h"

void tally_loss(struct losses *to, const struct loss *l)
{
	size_t i = 0;

	while (i < to->n && to->loss[i].cause != l->cause)
		i++;
	if (i == TALLY_ROOM) {
		i--;
		to->loss[i].cause = TALLY_OTHERS;
	} else if (i == to->n) {
		to->loss[to->n++] = (struct loss){.cause = l->cause};
	}
	to->loss[i].records = number_sum(to->loss[i].records, l->records);
	to->loss[i].places = number_sum(to->loss[i].places, l->places);
	to->loss[i].unknown = number_sum(to->loss[i].unknown, l->unknown);
}

void tally_failure(struct failures *to, const struct failure *f)
{
	size_t i = 0;

	while (i < to->n && (to->failure[i].kind != f->kind || to->failure[i].rc != f->rc))
		i++;
	if (i == TALLY_ROOM) {
		i--;
		to->failure[i].rc = 0;
	} else if (i == to->n) {
		to->failure[to->n++] = (struct failure){.kind = f->kind, .rc = f->rc, .first = f->first};
	}
	to->failure[i].n = number_sum(to->failure[i].n, f->n);
}
