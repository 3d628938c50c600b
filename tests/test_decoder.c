/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoder: what probe records mean together, and how fields are read out of libtraceevent records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trace/decoder/decoder.h"

struct fixture {
	struct intern *strings;
	struct decoder *d;
	struct tep_handle *tep;
	struct error e;
	struct event ev[DECODER_MAX_EVENTS];
	uint64_t t;
	uint32_t cpu;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->cpu = 1;
	f->strings = intern_new();
	f->d = decoder_new(f->strings, NULL);
	f->tep = tep_alloc();
	assert_non_null(f->d);
	tep_set_loglevel(TEP_LOG_NONE);
	tep_set_local_bigendian(f->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_file_bigendian(f->tep, tep_is_bigendian() ? TEP_BIG_ENDIAN : TEP_LITTLE_ENDIAN);
	tep_set_long_size(f->tep, 8);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tep_free(f->tep);
	decoder_free(f->d);
	intern_free(f->strings);
	free(f);
	return 0;
}

static void put(struct raw_record *r, const char *field, uint64_t value)
{
	int i = raw_field_by_name(r->kind, field, strlen(field), -1);

	assert_true(i >= 0);
	r->v[i] = value;
	r->present |= (uint16_t)(1u << i);
}

/* Feeds a record of tid whose fields are name, value pairs that end with NULL. How many events come out. */
static int feed(struct fixture *f, uint32_t tid, const char *name, ...)
{
	struct raw_record r = {.t = ++f->t, .tid = tid, .cpu = f->cpu};
	const char *field;
	va_list ap;

	r.kind = (uint16_t)raw_kind_by_name(name, strlen(name));
	assert_int_not_equal(r.kind, RAW_OTHER);
	va_start(ap, name);
	while ((field = va_arg(ap, const char *)))
		put(&r, field, va_arg(ap, uint64_t));
	va_end(ap);
	f->e.text[0] = '\0';
	return decoder_feed(f->d, &r, f->ev, &f->e);
}

#define U(x) ((uint64_t)(x))

/* Records are lost at a time. When the lost event says that it was. */
static uint64_t lose(struct fixture *f, uint64_t t)
{
	struct event lost = {.kind = EV_lost, .t = t, .cpu = f->cpu, .tid = EVENT_NO_TID};

	decoder_lost(f->d, &lost);
	return lost.t;
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(raw_kind_by_name("map", 3), EV_map);
	assert_int_equal(raw_kind_by_name("hwpt_alloc", 10), RAW_hwpt_alloc);
	assert_int_equal(raw_kind_by_name("hwpt_alloc_end", 14), RAW_hwpt_alloc_end);
	assert_int_equal(raw_kind_by_name("sched_switch", 12), RAW_OTHER);
	assert_int_equal(raw_kind_by_name("lost", 4), RAW_OTHER);
	assert_string_equal(raw_kind_name(RAW_attach_device_to_domain), "attach_device_to_domain");
	assert_int_equal(raw_field_by_name(EV_map, "no_such", 7, -1), -1);
	assert_string_equal(raw_field_lacking(EV_map, 0), "domain");
	assert_string_equal(raw_field_lacking(EV_detach, 0), "idev");
}

static void test_coherent_from_hwpt_alloc(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "hwpt_alloc", "coherent", U(1), NULL), 0);
	assert_int_equal(feed(f, 2, "domain_add", "iopt", U(16), "domain", U(32), NULL), 1);
	assert_int_equal(f->ev[0].missing, 4); /* another thread's */
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(16), "domain", U(48), NULL), 1);
	assert_int_equal(f->ev[0].missing, 0);
	assert_int_equal(f->ev[0].domain_add.coherent, 1);
	assert_int_equal(feed(f, 1, "hwpt_alloc_end", NULL), 0);
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(16), "domain", U(64), NULL), 1);
	assert_int_equal(f->ev[0].missing, 4);
	assert_int_equal(f->ev[0].domain_add.coherent, 0);
	/* a probe that tells it itself */
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(1), "domain", U(2), "coherent", U(1), NULL), 1);
	assert_int_equal(f->ev[0].domain_add.coherent, 1);
	assert_int_equal(decoder_stats(f->d)->state, 2);
}

/* The probes read one byte, a bool of the kernel: another value is damage, and says nothing of the domain. */
static void test_coherent_is_a_bool(void **state)
{
	static const uint64_t bad[] = {2, 254, 255, 256, UINT64_MAX};
	struct fixture *f = *state;
	char want[96];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(feed(f, 1, "hwpt_alloc", "coherent", U(1), NULL), 0);
		assert_int_equal(feed(f, 1, "hwpt_alloc", "coherent", U(bad[i]), NULL), -1);
		snprintf(want, sizeof(want), "hwpt_alloc: coherent: %" PRIu64 ": must be 0 or 1", bad[i]);
		assert_string_equal(f->e.text, want);
		assert_int_equal(feed(f, 1, "domain_add", "iopt", U(16), "domain", U(48), NULL), 1);
		assert_false(event_has(&f->ev[0], domain_add, coherent));
		assert_int_equal(feed(f, 1, "domain_add", "iopt", U(1), "domain", U(2), "coherent", U(bad[i]), NULL), -1);
		snprintf(want, sizeof(want), "domain_add: coherent: %" PRIu64 ": is 0, 1 or unknown", bad[i]);
		assert_string_equal(f->e.text, want);
	}
}

static void test_loss_forgets_coherency(void **state)
{
	struct fixture *f = *state;

	feed(f, 1, "hwpt_alloc", "coherent", U(1), NULL);
	lose(f, f->t);
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(16), "domain", U(48), NULL), 1);
	assert_int_equal(f->ev[0].missing, 4);
}

static void test_dropped_are_counted(void **state)
{
	struct fixture *f = *state;
	const struct decoder_stats *st = decoder_stats(f->d);

	assert_int_equal(
		feed(f, 1, "map", "domain", U(1), "iova", U(0), "paddr", U(0), "size", U(0), "rc", U(-12), NULL), 0);
	assert_int_equal(
		feed(f, 1, "map", "domain", U(1), "iova", U(0), "paddr", U(0), "size", U(4096), "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].missing, 1u << 4); /* prot */
	assert_int_equal(feed(f, 1, "access_add", "area", U(1), "pages", U(2), "iopt", U(3), "iova", U(0), "first",
			      U(0), "last", U(0), "rc", U(-1), NULL),
			 0);
	assert_int_equal(feed(f, 1, "unmap", "domain", U(1), "iova", U(0), "size", U(8192), "unmapped", U(0), NULL), 0);
	assert_int_equal(feed(f, 1, "area_unfill_domain", NULL), 0);
	assert_int_equal(feed(f, 1, "area_unmap_domain", NULL), 0);
	assert_int_equal(st->failed_map, 1);
	assert_int_equal(st->failed_access, 1);
	assert_int_equal(st->empty_unmap, 1);
	assert_int_equal(st->unneeded, 2);
	assert_int_equal(st->records, 6);
	assert_int_equal(st->events, 1);
}

static void test_sizes_and_pfns(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "unmap", "domain", U(1), "iova", U(0), "size", U(8192), "unmapped", U(4096), NULL),
			 1);
	assert_int_equal(f->ev[0].unmap.size, 4096);
	assert_int_equal(feed(f, 1, "unmap", "domain", U(1), "iova", U(0), "size", U(8192), NULL), 1);
	assert_int_equal(f->ev[0].unmap.size, 8192);
	assert_int_equal(feed(f, 1, "unpin", "page", U(0xffea000000000000 + 640), "npages", U(3), "vmemmap",
			      U(0xffea000000000000), NULL),
			 1);
	assert_int_equal(f->ev[0].unpin.pfn, 10);
	assert_int_equal(f->ev[0].unpin.npages, 3);
	assert_int_equal(feed(f, 1, "unpin", "pfn", U(77), "npages", U(1), NULL), 1);
	assert_int_equal(f->ev[0].unpin.pfn, 77);
	assert_int_equal(feed(f, 1, "unpin", "page", U(64), "npages", U(0), "vmemmap", U(128), NULL), 0);
	assert_int_equal(decoder_stats(f->d)->unneeded, 1);
	assert_int_equal(feed(f, 1, "unpin", "page", U(64), "npages", U(1), "vmemmap", U(128), NULL), -1);
	assert_non_null(strstr(f->e.text, "unpin: page"));
	assert_int_equal(feed(f, 1, "unpin", "page", U(64), "npages", U(1), NULL), -1);
	assert_non_null(strstr(f->e.text, "pfn"));
}

static void test_return_codes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), "rc", U(0xfffffff4), NULL), 1);
	assert_int_equal(f->ev[0].area_fill_end.rc, -12);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), "rc", U(-12), NULL), 1);
	assert_int_equal(f->ev[0].area_fill_end.rc, -12);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), NULL), 1);
	assert_int_equal(f->ev[0].area_fill_end.rc, 0);
	assert_int_equal(f->ev[0].missing, 0);
}

static void test_cut_of_one(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "cut", "iopt", U(1), "num_iovas", U(1), "iova0", U(4095), "iova1", U(0xdead), NULL),
			 1);
	assert_int_equal(f->ev[0].missing, 1u << 3);
	assert_int_equal(f->ev[0].cut.iova1, 0);
	assert_int_equal(feed(f, 1, "cut", "iopt", U(1), "num_iovas", U(2), "iova0", U(4095), "iova1", U(8191), NULL), 1);
	assert_int_equal(f->ev[0].cut.iova1, 8191);
}

/* --- calls whose end lacks what their entry has */

static void enter_map(struct fixture *f, uint32_t tid, uint64_t domain, uint64_t iova)
{
	assert_int_equal(feed(f, tid, "map_entry", "domain", domain, "iova", iova, "paddr", U(0x1000), "size", U(4096),
			      "prot", U(3), NULL),
			 0);
}

static void test_ends_get_what_their_entry_has(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(7), "domain", U(8), NULL), 1);
	assert_int_equal(feed(f, 1, "area_add_domain", "area", U(5), "domain", U(8), "pages", U(6), "iopt", U(7),
			      "iova", U(0), "last", U(4095), NULL),
			 1);
	enter_map(f, 1, 8, 0);
	enter_map(f, 2, 9, 0x2000); /* another thread's own */
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].kind, EV_map);
	assert_int_equal(f->ev[0].map.domain, 8);
	assert_int_equal(f->ev[0].map.prot, 3);
	assert_int_equal(f->ev[0].missing, 0);
	assert_int_equal(f->ev[0].t, f->t); /* when it returned */
	assert_int_equal(feed(f, 1, "area_add_domain_end", "rc", U(-12), NULL), 1);
	assert_int_equal(f->ev[0].area_add_domain_end.area, 5);
	assert_int_equal(f->ev[0].area_add_domain_end.domain, 8);
	assert_int_equal(f->ev[0].area_add_domain_end.rc, -12);
	assert_int_equal(feed(f, 1, "domain_add_end", "rc", U(-12), NULL), 1);
	assert_int_equal(f->ev[0].domain_add_end.iopt, 7);
	assert_int_equal(f->ev[0].domain_add_end.domain, 8);
	assert_int_equal(feed(f, 2, "map", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].map.domain, 9);
	assert_int_equal(feed(f, 1, "domain_remove", "iopt", U(7), "domain", U(8), NULL), 1);
	assert_int_equal(feed(f, 1, "domain_remove_end", NULL), 1);
	assert_int_equal(f->ev[0].domain_remove_end.domain, 8);
	assert_int_equal(decoder_stats(f->d)->unpaired, 0);
}

static void test_paired_kinds(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "unmap_entry", "domain", U(1), "iova", U(0), "size", U(8192), NULL), 0);
	assert_int_equal(feed(f, 1, "unmap", "unmapped", U(4096), NULL), 1);
	assert_int_equal(f->ev[0].unmap.domain, 1);
	assert_int_equal(f->ev[0].unmap.size, 4096);
	assert_int_equal(feed(f, 1, "access_add_entry", "area", U(1), "pages", U(2), "iopt", U(3), "iova", U(4096),
			      "first", U(5), "last", U(6), NULL),
			 0);
	assert_int_equal(feed(f, 1, "access_add", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].access_add.iova, 4096);
	assert_int_equal(f->ev[0].access_add.last, 6);
	enter_map(f, 1, 1, 0);
	assert_int_equal(feed(f, 1, "map", "rc", U(-12), NULL), 1);
	assert_int_equal(f->ev[0].kind, EV_map_failed);
	assert_int_equal(f->ev[0].map_failed.domain, 1);
	assert_int_equal(f->ev[0].map_failed.rc, -12);
	assert_int_equal(feed(f, 1, "area_unfill", "area", U(1), "pages", U(2), "iopt", U(3), "iova", U(4096), "last",
			      U(8191), NULL),
			 1);
	assert_int_equal(feed(f, 1, "area_unfill_end", NULL), 1);
	assert_int_equal(f->ev[0].area_unfill_end.pages, 2);
	assert_int_equal(f->ev[0].area_unfill_end.last, 8191);
	assert_int_equal(feed(f, 1, "area_fill", "area", U(1), "pages", U(2), "iopt", U(3), "iova", U(0), "last",
			      U(4095), "first", U(0), "last_index", U(0), "page_offset", U(0), NULL),
			 1);
	assert_int_equal(feed(f, 1, "area_fill_end", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].area_fill_end.area, 1);
}

static void assert_lost(const struct fixture *f, const struct event *ev, uint64_t count)
{
	assert_int_equal(ev->kind, EV_lost);
	assert_int_equal(ev->lost.count, count);
	assert_int_equal(ev->t, f->t);
	assert_int_equal(ev->missing, 1u << 2); /* since */
	assert_string_equal(intern_get(f->strings, (uint32_t)ev->lost.cause), "decoder");
}

static void test_unpaired_ends_are_lost(void **state)
{
	struct fixture *f = *state;

	/* The call began before the recording. */
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_lost(f, &f->ev[0], 1);
	/* The return of the inner call is missing: the next return is not taken for it. */
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(7), "domain", U(8), NULL), 1);
	enter_map(f, 1, 8, 0);
	assert_int_equal(feed(f, 1, "domain_add_end", "rc", U(0), NULL), 2);
	assert_lost(f, &f->ev[0], 1);
	assert_int_equal(f->ev[1].domain_add_end.domain, 8);
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_lost(f, &f->ev[0], 1);
	/* After a loss nobody knows whose return it is. */
	enter_map(f, 1, 8, 0);
	lose(f, f->t);
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 0); /* that loss was counted */
	assert_int_equal(feed(f, 2, "map", "rc", U(0), NULL), 0); /* this thread's entry may be among it, too */
	assert_int_equal(feed(f, 1, "area_fill_end", "rc", U(0), NULL), 0);
	assert_int_equal(decoder_stats(f->d)->covered, 3);
	/* The second of a kind entered after the loss. */
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_lost(f, &f->ev[0], 1);
	enter_map(f, 1, 8, 0);
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].kind, EV_map);
	lose(f, f->t);
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 0);
	assert_int_equal(decoder_stats(f->d)->unpaired, 4);
}

/* Whether a call failed is not known without its return code. */
static void test_return_codes_that_lack(void **state)
{
	struct fixture *f = *state;
	struct dropped d;

	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), "rc", U(0), NULL), 1);
	assert_int_equal(feed(f, 1, "domain_remove_end", "iopt", U(1), "domain", U(2), NULL), 1); /* has none */
	decoder_dropped(f->d, &d);
	assert_int_equal(d.no_rc, 0);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), NULL), 1);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), NULL), 1);
	assert_int_equal(feed(f, 1, "map", "domain", U(1), "iova", U(0), "paddr", U(0), "size", U(4096), NULL), 1);
	decoder_dropped(f->d, &d);
	assert_int_equal(d.no_rc, 3);
	assert_int_equal(d.no_rc_kinds, 1ull << EV_area_fill_end | 1ull << EV_map);
}

/* Idle tasks all have the tid 0: what interrupts them calls on each CPU by itself. */
static void test_idle_tasks_are_told_apart(void **state)
{
	struct fixture *f = *state;

	enter_map(f, 0, 8, 0);
	f->cpu = 2;
	enter_map(f, 0, 9, 0x2000);
	f->cpu = 1;
	assert_int_equal(feed(f, 0, "map", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].map.domain, 8);
	assert_int_equal(f->ev[0].tid, 0);
	f->cpu = 2;
	assert_int_equal(feed(f, 0, "map", "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].map.domain, 9);
}

static void test_calls_are_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 9; i++)
		enter_map(f, 1, 100 + i, 4096 * i);
	for (i = 0; i < 8; i++) {
		assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
		assert_int_equal(f->ev[0].map.domain, 108 - i);
	}
	assert_int_equal(feed(f, 1, "map", "rc", U(0), NULL), 1);
	assert_lost(f, &f->ev[0], 1);
}

/* Where ends are complete, an end that was never recorded is nobody's loss. */
static void test_complete_ends_are_not_paired(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(7), "domain", U(8), NULL), 1);
	assert_int_equal(feed(f, 1, "area_add_domain", "area", U(5), "domain", U(8), "pages", U(6), "iopt", U(7),
			      "iova", U(0), "last", U(4095), NULL),
			 1);
	assert_int_equal(feed(f, 1, "domain_add_end", "iopt", U(7), "domain", U(8), "rc", U(0), NULL), 1);
	assert_int_equal(f->ev[0].kind, EV_domain_add_end);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), "rc", U(0), NULL), 1);
	assert_int_equal(decoder_stats(f->d)->unpaired, 0);
}

static const char *device_name(struct fixture *f, const struct event *ev)
{
	uint64_t id = ev->kind == EV_attach ? ev->attach.device : ev->detach.device;

	return intern_get(f->strings, (uint32_t)id);
}

static void test_attach_gets_its_device(void **state)
{
	struct fixture *f = *state;
	uint64_t nic = intern_add(f->strings, "0000:00:02.0", 12);

	assert_int_equal(feed(f, 1, "attach", "hwpt", U(5), "idev", U(6), "domain", U(7), NULL), 0);
	assert_int_equal(feed(f, 2, "area_fill_end", "area", U(1), NULL), 1); /* another thread: nothing to do with it */
	assert_int_equal(feed(f, 1, "attach_device_to_domain", "device", nic, NULL), 1);
	assert_int_equal(f->ev[0].kind, EV_attach);
	assert_int_equal(f->ev[0].t, f->t);
	assert_int_equal(f->ev[0].attach.hwpt, 5);
	assert_int_equal(f->ev[0].attach.domain, 7);
	assert_string_equal(device_name(f, &f->ev[0]), "0000:00:02.0");
	/* A second tracepoint says nothing new. */
	assert_int_equal(feed(f, 1, "attach_device_to_domain", "device", nic, NULL), 0);
	assert_int_equal(feed(f, 1, "detach", "idev", U(6), NULL), 1);
	assert_string_equal(device_name(f, &f->ev[0]), "0000:00:02.0");
	assert_int_equal(f->ev[0].missing, 3);
	/* Without the tracepoint, at the thread's next record and before it, with the device that is known. */
	assert_int_equal(feed(f, 1, "attach", "hwpt", U(8), "idev", U(6), NULL), 0);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), NULL), 2);
	assert_int_equal(f->ev[0].kind, EV_attach);
	assert_int_equal(f->ev[0].t, f->t);
	assert_int_equal(f->ev[0].attach.hwpt, 8);
	assert_string_equal(device_name(f, &f->ev[0]), "0000:00:02.0");
	assert_int_equal(f->ev[1].kind, EV_area_fill_end);
}

static void test_attach_held_back_at_the_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "attach", "hwpt", U(5), "idev", U(6), "domain", U(7), NULL), 0);
	assert_int_equal(feed(f, 1, "attach", "hwpt", U(9), "idev", U(6), "domain", U(7), NULL), 1);
	assert_int_equal(f->ev[0].attach.hwpt, 5);
	assert_int_equal(f->ev[0].missing, 1u << 2);
	assert_int_equal(decoder_finish(f->d, f->ev), 1);
	assert_int_equal(f->ev[0].attach.hwpt, 9);
	assert_int_equal(f->ev[0].t, f->t);
	assert_int_equal(decoder_finish(f->d, f->ev), 0);
}

/* A record that cannot be read is as if it had not been: what was held back before it still comes out. */
static void test_attach_before_a_bad_record(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "attach", "hwpt", U(5), "idev", U(6), "domain", U(7), NULL), 0);
	assert_int_equal(feed(f, 1, "unpin", "page", U(9), "vmemmap", U(8), "npages", U(1), NULL), -1);
	assert_int_equal(feed(f, 1, "map", "domain", U(1), "iova", U(0), "paddr", U(0), "size", U(0), NULL), -1);
	assert_int_equal(feed(f, 1, "area_fill_end", "area", U(1), NULL), 2);
	assert_int_equal(f->ev[0].kind, EV_attach);
	assert_int_equal(f->ev[0].attach.hwpt, 5);
	assert_int_equal(f->ev[0].t, f->t);
	assert_int_equal(decoder_finish(f->d, f->ev), 0);
}

static void test_attach_names_its_device(void **state)
{
	struct fixture *f = *state;
	uint64_t nic = intern_add(f->strings, "nic", 3);

	assert_int_equal(feed(f, 1, "attach", "hwpt", U(5), "device", nic, NULL), 1);
	assert_string_equal(device_name(f, &f->ev[0]), "nic");
	assert_int_equal(feed(f, 1, "detach", "hwpt", U(5), "device", nic, NULL), 1);
	assert_string_equal(device_name(f, &f->ev[0]), "nic");
	assert_int_equal(feed(f, 1, "detach", NULL), -1);
}

static void test_impossible_events(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, 1, "map", "domain", U(1), "iova", U(0), "paddr", U(0), "size", U(0), NULL), -1);
	assert_non_null(strstr(f->e.text, "map: size"));
	assert_int_equal(feed(f, 1, "map", "domain", U(1), "iova", U(0), "size", U(4096), NULL), -1);
	assert_non_null(strstr(f->e.text, "map: paddr"));
}

/* Tables stay bounded: what the oldest threads said is forgotten, which makes it unknown. */
static void test_many_threads(void **state)
{
	struct fixture *f = *state;
	uint32_t tid;

	for (tid = 1; tid <= 70000; tid++)
		assert_int_equal(feed(f, tid, "hwpt_alloc", "coherent", U(1), NULL), 0);
	assert_int_equal(feed(f, 1, "domain_add", "iopt", U(1), "domain", U(2), NULL), 1);
	assert_int_equal(f->ev[0].missing, 4);
	assert_int_equal(feed(f, 70000, "domain_add", "iopt", U(1), "domain", U(3), NULL), 1);
	assert_int_equal(f->ev[0].domain_add.coherent, 1);
}

/* --- libtraceevent records */

#define COMMON                                                                          \
	"format:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n" \
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"          \
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"  \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
#define PRINT "\nprint fmt: \"\"\n"

static void add_format(struct fixture *f, const char *system, const char *text)
{
	assert_int_equal(tep_parse_event(f->tep, text, strlen(text), system), 0);
}

static int record(struct fixture *f, const void *data, int size)
{
	struct tep_record rec = {.ts = ++f->t, .cpu = 3, .data = (void *)(uintptr_t)data, .size = size};

	f->e.text[0] = '\0';
	return decoder_record(f->d, f->tep, &rec, f->ev, &f->e);
}

#define FILL_END                                                                                                     \
	"name: area_fill_end\nID: 300\n" COMMON "\tfield:unsigned long __probe_ip;\toffset:8;\tsize:8;\tsigned:0;\n" \
	"\tfield:u64 area;\toffset:16;\tsize:8;\tsigned:0;\n"                                                        \
	"\tfield:int rc;\toffset:24;\tsize:4;\tsigned:1;\n" PRINT

static void test_record(void **state)
{
	struct fixture *f = *state;
	uint8_t data[28] = {0x2c, 1, 0, 0, 42, 0, 0, 0};
	uint64_t area = 0xff11000006985000;
	int32_t rc = -12;

	add_format(f, "ioflush", FILL_END);
	tep_register_comm(f->tep, "qemu", 42);
	memcpy(data + 16, &area, 8);
	memcpy(data + 24, &rc, 4);
	assert_int_equal(record(f, data, 28), 1);
	assert_int_equal(f->ev[0].kind, EV_area_fill_end);
	assert_int_equal(f->ev[0].t, 1);
	assert_int_equal(f->ev[0].cpu, 3);
	assert_int_equal(f->ev[0].tid, 42);
	assert_string_equal(intern_get(f->strings, f->ev[0].comm), "qemu");
	assert_true(f->ev[0].area_fill_end.area == area);
	assert_int_equal(f->ev[0].area_fill_end.rc, -12);
	/* Shorter than the format says, and shorter than any record. */
	assert_int_equal(record(f, data, 24), -1);
	assert_non_null(strstr(f->e.text, "area_fill_end: a record of 24 bytes"));
	assert_int_equal(record(f, data, 4), -1);
	/* One for whose name there is no room, and one whose name is there. */
	decoder_limit_names(f->d, intern_count(f->strings));
	tep_register_comm(f->tep, "another", 44);
	tep_register_comm(f->tep, "qemu", 45);
	data[4] = 44;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(record(f, data, 28), 1);
		assert_int_equal(f->ev[0].comm, 0);
		assert_int_equal(decoder_stats(f->d)->unnamed, i + 1);
	}
	data[4] = 45;
	assert_int_equal(record(f, data, 28), 1);
	assert_string_equal(intern_get(f->strings, f->ev[0].comm), "qemu");
	assert_int_equal(decoder_stats(f->d)->unnamed, 2);
	/* A thread without a name, and an id without a format. */
	data[4] = 43;
	assert_int_equal(record(f, data, 28), 1);
	assert_int_equal(f->ev[0].comm, 0);
	data[0] = 0x2d;
	assert_int_equal(record(f, data, 28), 0);
	assert_int_equal(decoder_stats(f->d)->other, 1);
}

/* A big-endian file with 32-bit fields. */
static void test_record_swapped(void **state)
{
	struct fixture *f = *state;
	uint8_t data[16] = {0, 0, 0, 0, 0, 0, 0, 42, 0x80, 1, 2, 3, 0xff, 0xf4};
	bool big = tep_is_bigendian();

	memcpy(data, big ? "\x2c\x01" : "\x01\x2c", 2);
	if (big)
		memcpy(data + 4, "\x2a\0\0\0\x03\x02\x01\x80\xf4\xff", 10);
	tep_set_file_bigendian(f->tep, big ? TEP_LITTLE_ENDIAN : TEP_BIG_ENDIAN);
	add_format(f, "ioflush",
		   "name: area_fill_end\nID: 300\n" COMMON "\tfield:u32 area;\toffset:8;\tsize:4;\tsigned:0;\n"
		   "\tfield:s16 rc;\toffset:12;\tsize:2;\tsigned:1;\n" PRINT);
	assert_int_equal(record(f, data, 16), 1);
	assert_int_equal(f->ev[0].tid, 42);
	assert_true(f->ev[0].area_fill_end.area == 0x80010203);
	assert_int_equal(f->ev[0].area_fill_end.rc, -12);
}

static void test_record_string(void **state)
{
	struct fixture *f = *state;
	uint8_t attach[32] = {0x90, 1, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6};
	uint8_t point[32] = {0x91, 1, 0, 0, 7, 0, 0, 0};
	uint32_t loc = 5u << 16 | 12;

	add_format(f, "ioflush",
		   "name: attach\nID: 400\n" COMMON "\tfield:u64 hwpt;\toffset:8;\tsize:8;\tsigned:0;\n"
		   "\tfield:u64 idev;\toffset:16;\tsize:8;\tsigned:0;\n"
		   "\tfield:u64 domain;\toffset:24;\tsize:8;\tsigned:0;\n" PRINT);
	add_format(f, "iommu",
		   "name: attach_device_to_domain\nID: 401\n" COMMON
		   "\tfield:__data_loc char[] device;\toffset:8;\tsize:4;\tsigned:0;\n" PRINT);
	memcpy(point + 8, &loc, 4);
	memcpy(point + 12, "mock0", 5); /* without its NUL */
	assert_int_equal(record(f, attach, 32), 0);
	assert_int_equal(record(f, point, 20), 1);
	assert_string_equal(device_name(f, &f->ev[0]), "mock0");
	/* A string that goes past its record. */
	loc = 9u << 16 | 12;
	memcpy(point + 8, &loc, 4);
	assert_int_equal(record(f, point, 20), -1);
	assert_non_null(strstr(f->e.text, "device"));
}

/* The tracepoint iommu:map has no domain: not ours. A probe of our group that lacks it is an error. */
static void test_lacking_fields(void **state)
{
	struct fixture *f = *state;
	uint8_t data[32] = {0xf4, 1, 0, 0, 7, 0, 0, 0};
	static const char fields[] = "\tfield:u64 iova;\toffset:8;\tsize:8;\tsigned:0;\n"
				     "\tfield:u64 paddr;\toffset:16;\tsize:8;\tsigned:0;\n"
				     "\tfield:size_t size;\toffset:24;\tsize:8;\tsigned:0;\n" PRINT;
	char text[2048];

	snprintf(text, sizeof(text), "name: map\nID: 500\n" COMMON "%s", fields);
	add_format(f, "iommu", text);
	snprintf(text, sizeof(text), "name: map\nID: 501\n" COMMON "%s", fields);
	add_format(f, "ioflush", text);
	assert_int_equal(record(f, data, 32), 0);
	assert_int_equal(decoder_stats(f->d)->other, 1);
	data[0] = 0xf5;
	assert_int_equal(record(f, data, 32), -1);
	assert_non_null(strstr(f->e.text, "ioflush/map: domain"));
}

/* Tracepoints that stand in for the probes: no domain, and how much was really unmapped under another name. */
static void test_tracepoints(void **state)
{
	struct fixture *f = *state;
	uint8_t map[32] = {0xf4, 1, 0, 0, 7, 0, 0, 0}, unmap[32] = {0xf5, 1, 0, 0, 7, 0, 0, 0};

	map[9] = 0x10;	 /* iova 0x1000 */
	map[17] = 0x20;	 /* paddr 0x2000 */
	map[25] = 0x30;	 /* size 0x3000 */
	unmap[9] = 0x10; /* iova 0x1000 */
	unmap[17] = 0x30;
	unmap[25] = 0x20; /* unmapped_size 0x2000 */
	add_format(f, "iommu",
		   "name: map\nID: 500\n" COMMON "\tfield:u64 iova;\toffset:8;\tsize:8;\tsigned:0;\n"
		   "\tfield:u64 paddr;\toffset:16;\tsize:8;\tsigned:0;\n"
		   "\tfield:size_t size;\toffset:24;\tsize:8;\tsigned:0;\n" PRINT);
	add_format(f, "iommu",
		   "name: unmap\nID: 501\n" COMMON "\tfield:u64 iova;\toffset:8;\tsize:8;\tsigned:0;\n"
		   "\tfield:size_t size;\toffset:16;\tsize:8;\tsigned:0;\n"
		   "\tfield:size_t unmapped_size;\toffset:24;\tsize:8;\tsigned:0;\n" PRINT);
	assert_int_equal(record(f, map, 32), 0); /* beside the probes they would repeat them */
	decoder_reset_formats(f->d);
	decoder_take_tracepoints(f->d);
	assert_int_equal(record(f, map, 32), 1);
	assert_int_equal(f->ev[0].kind, EV_map);
	assert_int_equal(f->ev[0].map.domain, 0);
	assert_int_equal(f->ev[0].map.paddr, 0x2000);
	assert_int_equal(record(f, unmap, 32), 1);
	assert_int_equal(f->ev[0].unmap.domain, 0);
	assert_int_equal(f->ev[0].unmap.size, 0x2000);
}

/* Formats of bare ends make the decoder pair, and those of complete ones do not. */
static void test_formats_that_pair(void **state)
{
	struct fixture *f = *state;
	uint8_t entry[16] = {0xf4, 1, 0, 0, 7, 0, 0, 0, 0x11}, end[8] = {0xf5, 1, 0, 0, 7, 0, 0, 0};

	add_format(f, "ioflush",
		   "name: domain_remove\nID: 500\n" COMMON "\tfield:u32 iopt;\toffset:8;\tsize:4;\tsigned:0;\n"
		   "\tfield:u32 domain;\toffset:12;\tsize:4;\tsigned:0;\n" PRINT);
	add_format(f, "ioflush", "name: domain_remove_end\nID: 501\n" COMMON PRINT);
	assert_int_equal(record(f, end, 8), 1);
	assert_int_equal(f->ev[0].kind, EV_lost);
	assert_int_equal(record(f, entry, 16), 1);
	assert_int_equal(record(f, end, 8), 1);
	assert_int_equal(f->ev[0].kind, EV_domain_remove_end);
	assert_int_equal(f->ev[0].domain_remove_end.iopt, 0x11);
}

/* What is held back comes out behind a loss that was told meanwhile, with its time, and is counted. */
static void test_order_of_time(void **state)
{
	struct fixture *f = *state;
	const struct decoder_stats *st = decoder_stats(f->d);

	assert_int_equal(feed(f, 1, "attach", "hwpt", U(1), "idev", U(2), "domain", U(3), NULL), 0);
	assert_int_equal(feed(f, 2, "attach", "hwpt", U(1), "idev", U(2), "domain", U(3), NULL), 0);
	assert_true(lose(f, 100) == 100);
	/* one by a record of its thread, if that is older than the loss, and one at the end */
	assert_int_equal(feed(f, 1, "unpin", "pfn", U(1), "npages", U(1), NULL), 2);
	assert_true(f->ev[0].t == 100 && f->ev[1].t == 100);
	assert_int_equal(st->moved, 2);
	assert_true(lose(f, 50) == 100);
	assert_int_equal(st->moved, 3);
	assert_int_equal(decoder_finish(f->d, f->ev), 1);
	assert_int_equal(f->ev[0].kind, EV_attach);
	assert_true(f->ev[0].t == 100);
	assert_int_equal(st->moved, 4);
	assert_int_equal(decoder_finish(f->d, f->ev), 0);
}

/* The bound holds for what is kept, and an end of the memory is no end of what was held back before it. */
static void test_memory_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct decoder *d = decoder_new(f->strings, NULL);
	struct raw_record r = {.kind = EV_attach, .cpu = 1};
	struct error e = {""};
	struct budget b;
	unsigned held = 0, i;

	budget_init(&b, 100000, "a test may take");
	decoder_within(d, &b);
	put(&r, "hwpt", 1);
	put(&r, "idev", 2);
	put(&r, "domain", 3);
	for (i = 1; i < 1000; i++) {
		r.tid = i;
		r.t = i;
		if (decoder_feed(d, &r, f->ev, &e) < 0)
			break;
		held++;
	}
	assert_in_range(held, 50, 200);
	assert_string_equal(e.text, "more than the 100000 bytes of memory that a test may take");
	for (i = 0; decoder_finish(d, f->ev) > 0; i++)
		assert_int_equal(f->ev[0].kind, EV_attach);
	assert_int_equal(i, held);
	decoder_free(d);
	assert_int_equal(b.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		WITH_FIXTURE(test_coherent_from_hwpt_alloc),
		WITH_FIXTURE(test_coherent_is_a_bool),
		WITH_FIXTURE(test_loss_forgets_coherency),
		WITH_FIXTURE(test_dropped_are_counted),
		WITH_FIXTURE(test_sizes_and_pfns),
		WITH_FIXTURE(test_return_codes),
		WITH_FIXTURE(test_cut_of_one),
		WITH_FIXTURE(test_ends_get_what_their_entry_has),
		WITH_FIXTURE(test_paired_kinds),
		WITH_FIXTURE(test_unpaired_ends_are_lost),
		WITH_FIXTURE(test_return_codes_that_lack),
		WITH_FIXTURE(test_idle_tasks_are_told_apart),
		WITH_FIXTURE(test_calls_are_bounded),
		WITH_FIXTURE(test_complete_ends_are_not_paired),
		WITH_FIXTURE(test_attach_gets_its_device),
		WITH_FIXTURE(test_attach_held_back_at_the_end),
		WITH_FIXTURE(test_attach_before_a_bad_record),
		WITH_FIXTURE(test_attach_names_its_device),
		WITH_FIXTURE(test_impossible_events),
		WITH_FIXTURE(test_many_threads),
		WITH_FIXTURE(test_record),
		WITH_FIXTURE(test_record_swapped),
		WITH_FIXTURE(test_record_string),
		WITH_FIXTURE(test_lacking_fields),
		WITH_FIXTURE(test_tracepoints),
		WITH_FIXTURE(test_formats_that_pair),
		cmocka_unit_test_setup_teardown(test_order_of_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
