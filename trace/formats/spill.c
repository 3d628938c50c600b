/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads events from steps that make several; see spill.h. */
#include "trace/formats/spill.h"

size_t spill_read(struct spill *sp, struct event *ev, size_t max,
		  int (*step)(struct source *s, struct event out[SPILL_EVENTS]), struct source *s)
{
	bool direct;
	size_t n = 0;
	int got;

	while (n < max) {
		if (sp->pos < sp->n) {
			ev[n++] = sp->ev[sp->pos++];
			continue;
		}
		direct = max - n >= SPILL_EVENTS;
		got = step(s, direct ? ev + n : sp->ev);
		if (got <= 0)
			break;
		sp->n = direct ? 0 : (unsigned)got;
		sp->pos = 0;
		n += direct ? (unsigned)got : 0;
	}
	return n;
}
