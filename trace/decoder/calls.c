/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls: ends that get missing fields from their entry.
 *
 * Kernels before 6.9 give no arguments at return, so the end of a call lacks what its entry has. It gets that from the
 * records of the same thread, last in, first out, as calls nest. map, unmap and access_add are events at their return,
 * so their entries are records of their own, map_entry and so on. An end without its entry becomes a lost event, and so
 * does an entry whose end is missing, as a later end shows. Where every end is complete nothing is paired.
 *
 * At a loss all calls are forgotten, for nobody knows which of their ends were lost. So after one, each call of a thread may
 * have an end without its entry. The loss has counted that entry, or one that made it doubtful: it is not counted again.
 */
#include "trace/decoder/impl.h"

#include <string.h>

void calls_pair_all(struct decoder *d, enum pairing how)
{
	unsigned kind;

	for (kind = 1; kind < RAW_KINDS; kind++)
		if (raw_table[kind].entry)
			d->pair[raw_table[kind].entry] = (uint8_t)how;
}

int call_enter(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th;
	struct call *call;

	/* uthash frees a table with its last entry. One entry stays, so that this does not happen with every call. */
	if (!d->threads && !thread_get(d, NO_TID, e))
		return -1;
	th = thread_get(d, thread_id(r->tid, r->cpu), e);
	if (!th)
		return -1;
	if (th->calls == MAX_CALLS) { /* the outermost call is forgotten; its end will lack its entry */
		memmove(th->call, th->call + 1, (MAX_CALLS - 1) * sizeof(th->call[0]));
		th->calls--;
	}
	d->waits = true;
	call = &th->call[th->calls++];
	call->kind = r->kind;
	call->present = r->present & (BIT(CALL_FIELDS) - 1);
	memcpy(call->v, r->v, sizeof(call->v));
	return 0;
}

/* Leaves the innermost call of the kind and all within it. Returns how many ends are missing; -1: no such call. */
static int leave_call(const struct decoder *d, struct thread *th, uint16_t kind, struct call *out)
{
	int i, j, within = 0;

	for (i = th->calls - 1; i >= 0 && th->call[i].kind != kind; i--)
		;
	if (i < 0)
		return -1;
	for (j = i + 1; j < th->calls; j++)
		within += d->pair[th->call[j].kind] == PAIR_YES;
	*out = th->call[i];
	th->calls = (uint8_t)i;
	return within;
}

static void make_lost(struct decoder *d, struct event *ev, const struct raw_record *r, unsigned n)
{
	event_lost(ev, r->t, r->cpu, d->cause, n, NULL);
	ev->tid = r->tid;
	ev->comm = r->comm;
	d->stats.unpaired += n;
}

/* Whether the loss before this end explains that it has no entry. Once for each thread and kind: a call is not in itself. */
static bool is_covered(struct decoder *d, const struct raw_record *r)
{
	struct thread *th = d->after_loss ? thread_get(d, thread_id(r->tid, r->cpu), NULL) : NULL;

	if (!th || th->covered & KIND_BIT(r->kind))
		return false;
	th->covered |= KIND_BIT(r->kind);
	d->waits = true;
	d->stats.covered++;
	return true;
}

int call_end(struct decoder *d, struct raw_record *r, struct event *out, bool *whole)
{
	/* it has all that it needs, or none: raw_field_lacking() has checked that */
	bool bare = !(r->present & d->required[r->kind]);
	uint16_t entry = raw_table[r->kind].entry;
	struct thread *th = thread_find(d, thread_id(r->tid, r->cpu));
	struct call call;
	int within = -1;
	unsigned i;

	if (bare)
		d->pair[entry] = PAIR_YES;
	if (th) {
		within = leave_call(d, th, entry, &call);
		thread_drop_if_idle(d, th);
	}
	*whole = within >= 0 || !bare;
	for (i = 0; within >= 0 && bare && i < CALL_FIELDS; i++)
		if (call.present & d->may_miss[r->kind] & BIT(i)) { /* all except the return code */
			r->v[i] = call.v[i];
			r->present |= BIT(i);
		}
	if (*whole && within <= 0)
		return 0;
	if (!*whole && is_covered(d, r))
		return 0;
	make_lost(d, out, r, within > 0 ? (unsigned)within : 1);
	return 1;
}
