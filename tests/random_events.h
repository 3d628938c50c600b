/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random possible events of all kinds (event_check() accepts them), extremes included. The same seed gives the same
 * events.
 */
#ifndef IOFLUSH_TESTS_RANDOM_EVENTS_H
#define IOFLUSH_TESTS_RANDOM_EVENTS_H

#include <stdio.h>
#include <string.h>

#include "trace/event.h"

static inline uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* A number with extremes and all lengths. */
static inline uint64_t random_number(uint64_t *seed)
{
	static const uint64_t extreme[] = {
		0,	   1,	       4095,	       4096,	   (1ull << 52) - 1, 1ull << 56,
		INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX, UINT32_MAX,	     1000000000000000000ull,
	};
	uint64_t r = random_next(seed);

	if (r % 4 == 0)
		return extreme[random_next(seed) % (sizeof(extreme) / sizeof(extreme[0]))];
	return random_next(seed) >> (r >> 8) % 64;
}

static inline uint32_t random_string(uint64_t *seed, struct intern *strings)
{
	static const char *const odd[] = {
		"qemu-system-x86",
		"a\"b\\c/",
		"tab\tnewline\nbell\a\x7f",
		"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		"0x10",
		" ",
	};
	uint64_t r = random_next(seed);
	char text[32];

	if (r % 3 == 0)
		return intern_add(strings, odd[r / 3 % 6], strlen(odd[r / 3 % 6]));
	snprintf(text, sizeof(text), "0000:%02x:%02x.0", (unsigned)(r >> 8) % 8, (unsigned)(r >> 16) % 8);
	return intern_add(strings, text, strlen(text));
}

static inline void random_range(uint64_t *seed, uint64_t *lo, uint64_t *hi, uint64_t limit)
{
	uint64_t a = random_number(seed), b = random_number(seed);

	if (limit) {
		a %= limit;
		b %= limit;
	}
	*lo = a < b ? a : b;
	*hi = a < b ? b : a;
}

static inline void random_run(uint64_t *seed, uint64_t *start, uint64_t *size, uint64_t limit)
{
	uint64_t last;

	do {
		random_range(seed, start, &last, limit);
		*size = last - *start + 1;
	} while (!*size || *size > 1ull << 56);
}

/* What can be mapped: multiples of 512. */
static inline void random_map(uint64_t *seed, uint64_t *iova, uint64_t *paddr, uint64_t *size)
{
	random_run(seed, paddr, size, 1ull << 47);
	*paddr <<= 9;
	*size <<= 9;
	do
		*iova = random_number(seed) & ~511ull;
	while (*iova + (*size - 1) < *iova);
}

/* Makes the fields that depend on each other fit. */
static inline void random_fit(uint64_t *seed, struct event *ev)
{
	uint64_t size;

	switch ((enum event_kind)ev->kind) {
	case EV_area_fill: {
		struct event_area_fill *a = &ev->area_fill;
		uint64_t more;

		a->page_offset %= 4096;
		do {
			random_range(seed, &a->iova, &a->last, 0);
			more = (uint64_t)(((unsigned __int128)(a->last - a->iova) + a->page_offset) >> 12);
			a->first = random_number(seed) % (1ull << 52);
			a->last_index = a->first + more;
		} while (a->last_index >= 1ull << 52);
		if (event_has(ev, area_fill, npages))
			a->npages = (1ull << 52) - random_number(seed) % ((1ull << 52) - a->last_index);
		break;
	}
	case EV_area_unfill:
		random_range(seed, &ev->area_unfill.iova, &ev->area_unfill.last, 0);
		break;
	case EV_area_unfill_end:
		random_range(seed, &ev->area_unfill_end.iova, &ev->area_unfill_end.last, 0);
		break;
	case EV_area_add_domain:
		random_range(seed, &ev->area_add_domain.iova, &ev->area_add_domain.last, 0);
		break;
	case EV_map:
		random_map(seed, &ev->map.iova, &ev->map.paddr, &ev->map.size);
		break;
	case EV_map_failed:
		random_run(seed, &ev->map_failed.paddr, &ev->map_failed.size, 1ull << 56);
		do
			ev->map_failed.iova = random_number(seed);
		while (ev->map_failed.iova + (ev->map_failed.size - 1) < ev->map_failed.iova);
		break;
	case EV_unmap:
		random_map(seed, &ev->unmap.iova, &size, &ev->unmap.size);
		break;
	case EV_cut:
		ev->cut.num_iovas = ev->missing ? 1 : 1 + random_next(seed) % 2;
		break;
	case EV_access_add:
		random_range(seed, &ev->access_add.first, &ev->access_add.last, 1ull << 52);
		break;
	case EV_access_remove:
		random_range(seed, &ev->access_remove.first, &ev->access_remove.last, 1ull << 52);
		break;
	case EV_rw_access:
		random_run(seed, &ev->rw_access.start, &ev->rw_access.length, 0);
		break;
	case EV_unpin:
		random_run(seed, &ev->unpin.pfn, &size, 1ull << 52);
		ev->unpin.npages = size;
		break;
	case EV_lost:
		ev->lost.count += !(ev->missing & 1) && !ev->lost.count;
		break;
	default:
		break;
	}
}

/* An event of kind (0: any) at *t or a little later. */
static inline struct event random_event(uint64_t *seed, struct intern *strings, unsigned kind, uint64_t *t)
{
	const struct event_desc *d;
	struct event ev;
	unsigned i;

	memset(&ev, 0, sizeof(ev));
	ev.kind = kind ? (uint8_t)kind : (uint8_t)(1 + random_next(seed) % (EV_KINDS - 1));
	d = &event_table[ev.kind];
	*t += random_next(seed) % 3 ? random_next(seed) % 5000 : 0;
	ev.t = *t;
	ev.cpu = (uint32_t)(random_next(seed) % 300);
	ev.tid = (uint32_t)(random_next(seed) % 9 ? random_next(seed) % 40 : UINT32_MAX - 1);
	if (ev.kind == EV_lost && random_next(seed) % 2)
		ev.cpu = EVENT_NO_CPU;
	if (ev.kind == EV_lost && random_next(seed) % 2)
		ev.tid = EVENT_NO_TID;
	if (random_next(seed) % 3)
		ev.comm = random_string(seed, strings);
	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].optional && random_next(seed) % 3 == 0)
			ev.missing |= 1u << i;
		else if (d->field[i].type == FIELD_STR)
			ev.f[i] = random_string(seed, strings);
		else if (d->field[i].type == FIELD_FLAG)
			ev.f[i] = random_next(seed) % 2;
		else
			ev.f[i] = random_number(seed);
	}
	if (ev.kind == EV_unpin && ev.unpin.caller) /* what names no function is read as unknown */
		ev.unpin.caller = intern_add(strings, "batch_unpin [iommufd]", 21);
	random_fit(seed, &ev);
	return ev;
}

static inline bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Whether two events, each with its table of strings, say the same. */
static inline bool same_event(const struct event *a, const struct intern *sa, const struct event *b,
			      const struct intern *sb)
{
	const struct event_desc *d = &event_table[a->kind];
	unsigned i;

	if (a->kind != b->kind || a->t != b->t || a->cpu != b->cpu || a->tid != b->tid || a->missing != b->missing ||
	    !same_text(intern_get(sa, a->comm), intern_get(sb, b->comm)))
		return false;
	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].type == FIELD_STR) {
			if (!same_text(intern_get(sa, (uint32_t)a->f[i]), intern_get(sb, (uint32_t)b->f[i])))
				return false;
		} else if (a->f[i] != b->f[i]) {
			return false;
		}
	}
	return true;
}

#endif
