/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From raw records to events; see decoder.h.
 *
 * Some probes only make sense together. Their state is kept per thread: the coherency from hwpt_alloc, for the domain
 * that this thread adds before hwpt_alloc_end; and an attach, held back until the next tracepoint of the thread names
 * the device. A held attach comes out with the thread's next record at the latest, and with its time, to keep the
 * order. detach, and an attach without a tracepoint, get the last device of their idev.
 */
#include "trace/decoder/impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/losses.h"

#define STRUCT_PAGE_SIZE 64 /* x86-64; the probe that gives page and vmemmap exists only there */

/* --- lifetime */

struct decoder *decoder_new(struct intern *strings, const char *group)
{
	struct decoder *d = calloc(1, sizeof(*d));
	unsigned kind, i;

	if (!d)
		return NULL;
	d->strings = strings;
	d->group = strdup(group ? group : "ioflush");
	d->cause = intern_add(strings, loss_table[LOSS_DECODER].name, strlen(loss_table[LOSS_DECODER].name));
	if (!d->group || d->cause == UINT32_MAX) {
		free(d->group);
		free(d);
		return NULL;
	}
	for (kind = 1; kind < RAW_KINDS; kind++)
		d->required[kind] = raw_fields_required(kind);
	calls_pair_all(d, PAIR_MAYBE);
	for (kind = 1; kind < EV_KINDS; kind++)
		for (i = 0; i < event_table[kind].nfields; i++)
			if (event_table[kind].field[i].type != FIELD_INT)
				d->may_miss[kind] |= BIT(i);
	decoder_reset_formats(d);
	return d;
}

void decoder_within(struct decoder *d, struct budget *budget)
{
	d->budget = budget;
}

void decoder_take_tracepoints(struct decoder *d)
{
	d->tracepoints = true;
}

void decoder_limit_names(struct decoder *d, uint32_t most)
{
	d->most_names = most;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	threads_free(d);
	decoder_reset_formats(d);
	free(d->group);
	free(d);
}

const struct decoder_stats *decoder_stats(const struct decoder *d)
{
	return &d->stats;
}

void decoder_dropped(const struct decoder *d, struct dropped *out)
{
	*out = (struct dropped){
		.failed_maps = d->stats.failed_map,
		.failed_accesses = d->stats.failed_access,
		.empty_unmaps = d->stats.empty_unmap,
		.other = d->stats.other,
		.unnamed = d->stats.unnamed,
		.doubtful_names = d->stats.doubtful_names,
		.moved = d->stats.moved,
		.no_rc = d->stats.no_rc,
		.no_rc_kinds = d->stats.no_rc_kinds,
	};
}

/* --- from raw records to events */

/* The only place where events leave: none is older than those before it. */
static void give_out(struct decoder *d, struct event *ev, unsigned n)
{
	for (; n; ev++, n--) {
		if (ev->t < d->out_t) {
			ev->t = d->out_t;
			d->stats.moved++;
		}
		d->out_t = ev->t;
	}
}

/* Makes an event from all fields that the record has. */
static void event_init(const struct decoder *d, struct event *ev, const struct raw_record *r)
{
	ev->t = r->t;
	ev->cpu = r->cpu;
	ev->tid = r->tid;
	ev->comm = r->comm;
	ev->kind = (uint8_t)r->kind;
	ev->reserved = 0;
	ev->missing = d->may_miss[r->kind] & ~r->present;
	memcpy(ev->f, r->v, sizeof(ev->f));
}

static void set_field(struct event *ev, unsigned field, uint64_t value)
{
	ev->f[field] = value;
	ev->missing &= ~BIT(field);
}

static void make_attach(struct decoder *d, struct event *ev, const struct raw_record *r, uint64_t t, uint32_t device)
{
	event_init(d, ev, r);
	ev->t = t;
	if (!device && r->present & BIT(X_IDEV))
		device = device_of(d, r->v[X_IDEV]);
	if (device && !event_has(ev, attach, device))
		set_field(ev, FIELD(attach, device), device);
}

static void drop_attach(struct decoder *d, struct thread *th)
{
	th->has_attach = false;
	d->attaches--;
	thread_drop_if_idle(d, th);
}

/* Gives out the attach that the thread holds back, before its next record. Returns how many; held: its record. */
static int flush_attach(struct decoder *d, uint32_t id, uint64_t t, struct event *out, struct raw_record *held)
{
	struct thread *th = thread_find(d, id);

	if (!th || !th->has_attach)
		return 0;
	*held = th->attach;
	make_attach(d, out, &th->attach, t, 0);
	drop_attach(d, th);
	return 1;
}

static int hold_attach(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th = thread_get(d, thread_id(r->tid, r->cpu), e);

	if (!th)
		return -1;
	th->attach = *r;
	th->has_attach = true;
	d->attaches++;
	return 0;
}

static int on_attach_device(struct decoder *d, const struct raw_record *r, struct event *out, struct error *e)
{
	struct thread *th = d->attaches ? thread_find(d, thread_id(r->tid, r->cpu)) : NULL;
	const struct raw_record *a;

	d->stats.state++;
	if (!th || !th->has_attach)
		return 0;
	a = &th->attach;
	if (a->present & BIT(X_IDEV) && device_remember(d, a->v[X_IDEV], (uint32_t)r->v[X_DEVICE], e))
		return -1;
	make_attach(d, out, a, r->t, (uint32_t)r->v[X_DEVICE]);
	drop_attach(d, th);
	return 1;
}

static int on_hwpt_alloc(struct decoder *d, const struct raw_record *r, struct error *e)
{
	struct thread *th = thread_get(d, thread_id(r->tid, r->cpu), e);

	d->stats.state++;
	if (!th)
		return -1;
	/* the probe reads one byte, a bool of the kernel */
	th->has_coherent = r->v[X_COHERENT] <= 1;
	th->coherent = r->v[X_COHERENT];
	if (!th->has_coherent) { /* that of an earlier one would not be this domain's */
		thread_drop_if_idle(d, th);
		return error_set(e, "hwpt_alloc: coherent: %" PRIu64 ": must be 0 or 1", r->v[X_COHERENT]);
	}
	d->waits = true;
	return 0;
}

static void on_hwpt_alloc_end(struct decoder *d, const struct raw_record *r)
{
	struct thread *th = thread_find(d, thread_id(r->tid, r->cpu));

	d->stats.state++;
	if (!th)
		return;
	th->has_coherent = false;
	thread_drop_if_idle(d, th);
}

static void finish_domain_add(struct decoder *d, struct event *ev)
{
	struct thread *th;

	if (event_has(ev, domain_add, coherent))
		return;
	th = thread_find(d, thread_id(ev->tid, ev->cpu));
	if (th && th->has_coherent)
		set_field(ev, FIELD(domain_add, coherent), th->coherent);
}

static int finish_unpin(struct decoder *d, struct event *ev, const struct raw_record *r, struct error *e)
{
	uint64_t page = r->v[X_PAGE], vmemmap = r->v[X_VMEMMAP];
	uint32_t caller = 0;

	if (r->present & BIT(X_CALLER) && !event_has(ev, unpin, caller))
		caller = caller_of(d, r->v[X_CALLER], e);
	if (caller == UINT32_MAX)
		return -1;
	if (caller)
		set_field(ev, FIELD(unpin, caller), caller);
	if (r->present & EVENT_BIT(unpin, pfn))
		return 0;
	if (page < vmemmap || (page - vmemmap) % STRUCT_PAGE_SIZE)
		return error_set(e, "unpin: page: 0x%" PRIx64 ": no struct page of the vmemmap at 0x%" PRIx64, page,
				 vmemmap);
	set_field(ev, FIELD(unpin, pfn), (page - vmemmap) / STRUCT_PAGE_SIZE);
	return 0;
}

/* A probe without type information gives the return code as unsigned 32 bits. */
static void fix_rc(int64_t *rc)
{
	if (*rc >= 0xfffff001ll && *rc <= 0xffffffffll)
		*rc -= 1ll << 32;
}

/* The fields of a map, and why it failed. One of nothing fails as well, and tells nothing. */
static int make_map_failed(struct decoder *d, const struct raw_record *r, struct event *ev)
{
	if (!ev->map.size) {
		d->stats.failed_map++;
		return 0;
	}
	ev->kind = EV_map_failed;
	ev->map_failed.rc = (int64_t)r->v[X_RC];
	fix_rc(&ev->map_failed.rc);
	return 1;
}

/* Where a kind has its return code, or -1. */
static int rc_field(unsigned kind)
{
	switch (kind) {
	case EV_domain_add_end:
		return FIELD(domain_add_end, rc);
	case EV_area_fill_end:
		return FIELD(area_fill_end, rc);
	case EV_area_add_domain_end:
		return FIELD(area_add_domain_end, rc);
	case EV_map:
	case EV_access_add:
		return X_RC;
	default:
		return -1;
	}
}

/* Without a return code nobody knows whether the call failed. */
static void check_rc(struct decoder *d, const struct raw_record *r)
{
	int field = rc_field(r->kind);

	if (field < 0 || r->present & BIT(field))
		return;
	d->stats.no_rc++;
	d->stats.no_rc_kinds |= KIND_BIT(r->kind);
}

/* The event of a record that has one: 1, 0: it is dropped, or -1. */
static int make_event(struct decoder *d, const struct raw_record *r, struct event *ev, struct error *e)
{
	event_init(d, ev, r);
	check_rc(d, r);
	switch (r->kind) {
	case EV_domain_add:
		finish_domain_add(d, ev);
		break;
	case EV_domain_add_end:
		fix_rc(&ev->domain_add_end.rc);
		break;
	case EV_area_fill_end:
		fix_rc(&ev->area_fill_end.rc);
		break;
	case EV_area_add_domain_end:
		fix_rc(&ev->area_add_domain_end.rc);
		break;
	case EV_rw_access_end:
		fix_rc(&ev->rw_access_end.rc);
		break;
	case EV_map:
		if (r->v[X_RC])
			return make_map_failed(d, r, ev);
		break;
	case EV_access_add:
		d->stats.failed_access += r->v[X_RC] != 0;
		if (r->v[X_RC])
			return 0;
		break;
	case EV_unmap:
		if (r->present & (BIT(X_UNMAPPED) | BIT(X_UNMAPPED_SIZE)))
			set_field(ev, FIELD(unmap, size), r->v[X_UNMAPPED] | r->v[X_UNMAPPED_SIZE]);
		d->stats.empty_unmap += !ev->unmap.size;
		if (!ev->unmap.size)
			return 0;
		break;
	case EV_cut:
		/* With only one iova the probe reads beyond the kernel's array. */
		if (ev->cut.num_iovas == 1) {
			ev->missing |= EVENT_BIT(cut, iova1);
			ev->cut.iova1 = 0;
		}
		break;
	case EV_unpin:
		/* The kernel does call it with nothing to unpin: when a batch begins with a run that was used up. */
		if (!ev->unpin.npages) {
			d->stats.unneeded++;
			return 0;
		}
		if (finish_unpin(d, ev, r, e))
			return -1;
		break;
	case EV_attach:
		/* A probe that names the device itself does not wait for a tracepoint. */
		if (!event_has(ev, attach, device))
			return hold_attach(d, r, e);
		break;
	case EV_detach:
		if (!event_has(ev, detach, device) && r->present & BIT(X_IDEV)) {
			uint32_t device = device_of(d, r->v[X_IDEV]);

			if (device)
				set_field(ev, FIELD(detach, device), device);
		}
		break;
	default:
		break;
	}
	return 1;
}

/* --- records in order */

/* Makes the events of the record itself, after those that were held back. */
static int feed(struct decoder *d, const struct raw_record *r, struct event *out, struct error *e)
{
	switch (r->kind) {
	case RAW_hwpt_alloc:
		return on_hwpt_alloc(d, r, e);
	case RAW_hwpt_alloc_end:
		on_hwpt_alloc_end(d, r);
		return 0;
	case RAW_area_unfill_domain:
	case RAW_area_unmap_domain:
		d->stats.unneeded++;
		return 0;
	case RAW_map_entry:
	case RAW_unmap_entry:
	case RAW_access_add_entry:
		d->stats.state++;
		return 0;
	case RAW_attach_device_to_domain:
		return on_attach_device(d, r, out, e);
	default:
		return make_event(d, r, out, e);
	}
}

int decoder_feed(struct decoder *d, const struct raw_record *r, struct event out[DECODER_MAX_EVENTS], struct error *e)
{
	struct raw_record held, paired;
	bool whole = true;
	int n = 0, flushed, own, i;

	d->stats.records++;
	if (r->kind == RAW_OTHER || r->kind == EV_lost || r->kind >= RAW_KINDS) {
		d->stats.other++;
		return 0;
	}
	if ((r->present & d->required[r->kind]) != d->required[r->kind] || r->kind == EV_detach) {
		const char *lacking = raw_field_lacking(r->kind, r->present);

		if (lacking)
			return error_set(e, "%s: %s: the probe has no such field", raw_kind_name(r->kind), lacking);
	}
	d->last_t = r->t;
	if (d->attaches && r->kind != RAW_attach_device_to_domain)
		n = flush_attach(d, thread_id(r->tid, r->cpu), r->t, out, &held);
	flushed = n;
	if (d->pair[raw_table[r->kind].entry]) {
		paired = *r;
		r = &paired;
		n += call_end(d, &paired, out + n, &whole);
	}
	own = whole ? feed(d, r, out + n, e) : 0;
	for (i = 0; own >= 0 && i < n + own; i++)
		if (event_check(&out[i], e))
			own = -1;
	if (own >= 0 && d->pair[r->kind] && call_enter(d, r, e))
		own = -1;
	if (own < 0) {
		if (flushed && !event_check(&out[0], NULL)) /* the failed record does not affect it */
			hold_attach(d, &held, e);
		return -1;
	}
	n += own;
	d->stats.events += (uint64_t)n;
	give_out(d, out, (unsigned)n);
	return n;
}

void decoder_lost(struct decoder *d, struct event *lost)
{
	struct thread *th, *next;

	give_out(d, lost, 1);
	d->after_loss = true;
	if (!d->waits)
		return;
	d->waits = false;
	HASH_ITER(hh, d->threads, th, next) {
		th->has_coherent = false;
		th->calls = 0;
		th->covered = 0;
		thread_drop_if_idle(d, th);
	}
}

int decoder_finish(struct decoder *d, struct event *out)
{
	struct thread *th, *next;
	struct raw_record held;

	HASH_ITER(hh, d->threads, th, next) {
		if (!th->has_attach) {
			thread_drop(d, th);
			continue;
		}
		d->stats.events++;
		flush_attach(d, th->id, d->last_t, out, &held);
		give_out(d, out, 1);
		return 1;
	}
	return 0;
}
