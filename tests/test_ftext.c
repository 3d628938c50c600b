/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source for ftrace text: recordings against tables of what they hold, every form of line, and bad input. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "trace/formats/open.h"
#include "trace/source.h"

#define MAX_EVENTS 65536

static struct event events[MAX_EVENTS];
static struct error error;
static struct source *source;

static int teardown(void **state)
{
	(void)state;
	source_close(source);
	source = NULL;
	return 0;
}

static const char *data_path(const char *name)
{
	static char path[4096];
	const char *dir = getenv("IOFLUSH_TEST_DATA");

	snprintf(path, sizeof(path), "%s/traces/%s", dir ? dir : "tests/data", name);
	return path;
}

/* Opens a descriptor of which head was already read. */
static void open_fd(int fd, const char *path, const void *head, size_t head_len)
{
	struct source_input in = {.path = path, .fd = fd, .head = head, .head_len = head_len};
	struct capture c;

	source_close(source);
	error.text[0] = '\0';
	assert_int_equal(ftext_open(&source, &in, &error), 0);
	assert_int_equal(source_capture(source, &c, &error), 1);
	assert_string_equal(c.format, "ftrace-text");
	assert_string_equal(c.state, "complete");
	assert_string_equal(c.source, path);
}

/* All events, by reads of at most batch. The number, or what came before the error, which error then has. */
static size_t read_all(size_t batch)
{
	size_t n = 0;
	ssize_t got;

	while ((got = source_read(source, events + n, batch < MAX_EVENTS - n ? batch : MAX_EVENTS - n, &error)) > 0)
		n += (size_t)got;
	assert_true(got < 0 ? error.text[0] : !error.text[0]);
	return n;
}

static size_t parse_bytes(const char *text, size_t len)
{
	FILE *f = tmpfile();
	int fd;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fflush(f), 0);
	fd = dup(fileno(f));
	fclose(f);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	open_fd(fd, "text", NULL, 0);
	return read_all(MAX_EVENTS);
}

static size_t parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

#define assert_error(what)                                                  \
	do {                                                                \
		if (!strstr(error.text, what))                              \
			fail_msg("\"%s\" has no \"%s\"", error.text, what); \
	} while (0)

static const char *str(uint64_t id)
{
	return intern_get(source->strings, (uint32_t)id);
}

/* --- recordings. The counts were made with awk from the text, less what section 3 of the semantics drops. */

struct count {
	enum event_kind kind;
	size_t n;
};

static void check_counts(size_t n, const struct count *want)
{
	size_t have[EV_KINDS] = {0}, i;

	for (i = 0; i < n; i++)
		have[events[i].kind]++;
	for (; want->n; want++) {
		if (have[want->kind] != want->n)
			fail_msg("%s: %zu, not %zu", event_table[want->kind].name, have[want->kind], want->n);
		n -= want->n;
	}
	assert_int_equal(n, 0);
}

static void test_tracefs_recording(void **state)
{
	static const struct count want[] = {{EV_domain_add, 7},
					    {EV_domain_add_end, 7},
					    {EV_domain_remove, 7},
					    {EV_domain_remove_end, 7},
					    {EV_area_fill, 27},
					    {EV_area_fill_end, 27},
					    {EV_area_unfill, 27},
					    {EV_area_unfill_end, 27},
					    {EV_area_add_domain, 17},
					    {EV_area_add_domain_end, 17},
					    {EV_map, 31},
					    {EV_unmap, 31},
					    {EV_unpin, 32},
					    {EV_attach, 10},
					    {EV_detach, 10},
					    {0, 0}};
	struct capture c;
	size_t n;

	(void)state;
	error.text[0] = '\0';
	assert_int_equal(source_open(&source, data_path("churn-small.trace"), &error), 0);
	assert_int_equal(source_capture(source, &c, &error), 1);
	n = read_all(MAX_EVENTS);
	assert_string_equal(error.text, "");
	check_counts(n, want);
	assert_true(source_progress(source) == 1);
	assert_int_equal(events[0].kind, EV_area_fill);
	assert_true(events[0].t == 6253869000);
	assert_int_equal(events[0].tid, 80);
	assert_int_equal(events[0].cpu, 1);
	assert_string_equal(str(events[0].comm), "churn");
	assert_true(events[0].area_fill.uptr == 0x7f1e04600000);
	assert_int_equal(events[0].area_fill.last, 17825791);
	assert_int_equal(events[2].kind, EV_attach);
	assert_string_equal(str(events[2].attach.device), "0000:00:02.0");
	assert_true(events[2].t == 6255940000);
	assert_int_equal(events[3].kind, EV_domain_add);
	assert_int_equal(events[3].domain_add.coherent, 0);
	assert_int_equal(events[3].missing, 0);
	assert_int_equal(source_capture(source, &c, &error), 0);
}

/* The same events come out of a trace.dat and of the report of it, up to the report's microseconds. */
static void same_as_dat(const char *text, const char *dat, uint64_t unit)
{
	static struct event dat_events[MAX_EVENTS];
	struct source *s;
	struct capture c;
	size_t n = 0, i;
	ssize_t got;

	error.text[0] = '\0';
	assert_int_equal(source_open(&s, data_path(dat), &error), 0);
	assert_int_equal(source_capture(s, &c, &error), 1);
	while ((got = source_read(s, dat_events + n, MAX_EVENTS - n, &error)) > 0)
		n += (size_t)got;
	assert_int_equal(got, 0);
	assert_int_equal(source_open(&source, data_path(text), &error), 0);
	assert_int_equal(source_capture(source, &c, &error), 1);
	assert_int_equal(read_all(MAX_EVENTS), n);
	for (i = 0; i < n; i++) {
		struct event a = dat_events[i], b = events[i];
		const struct event_desc *d = &event_table[a.kind];
		unsigned k;

		assert_true((a.t + unit / 2) / unit * unit == b.t);
		assert_string_equal(intern_get(s->strings, a.comm), str(b.comm));
		a.t = b.t;
		a.comm = b.comm;
		assert_int_equal(a.kind, b.kind);
		for (k = 0; k < d->nfields; k++)
			if (d->field[k].type == FIELD_STR && a.f[k]) {
				assert_string_equal(intern_get(s->strings, (uint32_t)a.f[k]), str(b.f[k]));
				a.f[k] = b.f[k];
			}
		assert_memory_equal(&a, &b, offsetof(struct event, f) + d->nfields * sizeof(uint64_t));
	}
	source_close(s);
}

static void test_report_is_like_its_dat(void **state)
{
	(void)state;
	same_as_dat("vmboot-nonsnoop.report.txt", "vmboot-nonsnoop.dat", 1000);
}

/* --- forms of lines */

#define UNMAP ": unmap: (a+0x1/0x2 <- b) domain=0x10 iova=4096 size=8192 unmapped=4096\n"

static void test_columns(void **state)
{
	static const struct {
		const char *line;
		uint32_t cpu, tid;
		uint64_t t;
		const char *comm;
	} forms[] = {
		{" churn-80 [001] ..... 6.109168" UNMAP, 1, 80, 6109168000, "churn"},
		{" churn-80 [001] 6.109168" UNMAP, 1, 80, 6109168000, "churn"},
		{" churn-80 [001] 6.109168123" UNMAP, 1, 80, 6109168123, "churn"},
		{" churn-80 [001] d..2. 6.5" UNMAP, 1, 80, 6500000000, "churn"},
		{" churn-80      (     80) [127] d..2. 6.5" UNMAP, 127, 80, 6500000000, "churn"},
		{" churn-81 (-------) [000] ..... 0.000000" UNMAP, 0, 81, 0, "churn"},
		{" my [1] prog-3-80 [001] ..... 6.5" UNMAP, 1, 80, 6500000000, "my [1] prog-3"},
		{" kworker/u8:2-ev-12 [001] ..... 6.5" UNMAP, 1, 12, 6500000000, "kworker/u8:2-ev"},
		{" a-1 [1] b-99 [002] ..... 6.5" UNMAP, 2, 99, 6500000000, "a-1 [1] b"},
		{" <...>-80 [001] ..... 6.5" UNMAP, 1, 80, 6500000000, NULL},
		{" <idle>-0 [001] ..... 6.5" UNMAP, 1, 0, 6500000000, "<idle>"},
		{" churn-80 [001] ..... 77123" UNMAP, 1, 80, 77123, "churn"}, /* a clock without a unit */
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		size_t n = parse(forms[i].line);

		if (n != 1)
			fail_msg("%s: %zu events, %s", forms[i].line, n, error.text);
		assert_int_equal(events[0].kind, EV_unmap);
		assert_int_equal(events[0].cpu, forms[i].cpu);
		assert_int_equal(events[0].tid, forms[i].tid);
		assert_true(events[0].t == forms[i].t);
		if (forms[i].comm)
			assert_string_equal(str(events[0].comm), forms[i].comm);
		else
			assert_int_equal(events[0].comm, 0);
		assert_int_equal(events[0].unmap.size, 4096);
	}
}

#define L(t) " churn-80 [001] ..... " t ": "

static void test_values(void **state)
{
	(void)state;
	assert_int_equal(parse(L("1.5") "area_fill_end:        (x) area=0xFF rc=-12\r\n" /* padded, CR LF */
			       L("1.5") "area_unfill_end: (x) last=0xffffffffffffffff iova=0 iopt=3 pages=2 area=1\n" L(
				       "1.5") "unpin: (x) pfn=12 npages=1\n"),
			 3);
	assert_int_equal(events[0].area_fill_end.rc, -12);
	assert_int_equal(events[0].area_fill_end.area, 0xff);
	assert_true(events[1].area_unfill_end.last == UINT64_MAX);
	assert_int_equal(events[2].unpin.pfn, 12);
}

static void test_other_lines(void **state)
{
	(void)state;
	assert_int_equal(
		parse("# tracer: nop\n#\ncpus=2\nversion = 6\nCPU 3 is empty\n\n" L("1.5") "sched_switch: prev_comm=x prev_pid=1\n" L(
			"1.5") "map: IOMMU: iova=0x1000 - 0x2000 paddr=0x3000 size=4096\n" /* the tracepoint */
		      L("1.6") "vfs_read <-ksys_read\n"
			       " => some_function\n" L("1.7") "unpin: (x) pfn=12 npages=1\n"),
		1);
	assert_string_equal(error.text, "");
	assert_true(events[0].t == 1700000000);
}

static void check_lost(const struct event *ev, uint32_t cpu, uint64_t count, uint64_t t, uint64_t since)
{
	assert_int_equal(ev->kind, EV_lost);
	assert_int_equal(ev->cpu, cpu);
	assert_int_equal(ev->tid, EVENT_NO_TID);
	assert_true(ev->t == t);
	assert_true(ev->lost.count == count);
	assert_true(ev->lost.since == since);
	assert_int_equal(ev->missing, (count ? 0 : 1) | (since ? 0 : 4));
	assert_string_equal(str(ev->lost.cause), "ring buffer");
}

static void test_losses(void **state)
{
	(void)state;
	assert_int_equal(
		parse("# entries-in-buffer/entries-written: 4/104   #P:2\n" L(
			"1.5") "unpin: (x) pfn=12 npages=1\n"
			       "CPU:1 [LOST 123 EVENTS]\n" L(
				       "1.6") "unpin: (x) pfn=12 npages=1\n"
					      "CPU:0 [LOST EVENTS]\nCPU:1 [EVENTS DROPPED]\n" L(
						      "1.7") "sched_switch: x=1\n" /* an event that is left out gives the time as well */
		      L("1.8") "unpin: (x) pfn=12 npages=1\n"
			       "CPU:1 [7 EVENTS DROPPED]\n"),
		8);
	check_lost(&events[0], EVENT_NO_CPU, 100, 1500000000, 0);
	assert_int_equal(events[1].kind, EV_unpin);
	check_lost(&events[2], 1, 123, 1600000000, 1500000000);
	check_lost(&events[4], 0, 0, 1700000000, 0);
	check_lost(&events[5], 1, 0, 1700000000, 1600000000);
	assert_int_equal(events[6].kind, EV_unpin);
	check_lost(&events[7], 1, 7, 1800000000, 1800000000);
	assert_int_equal(parse("# entries-in-buffer/entries-written: 0/0   #P:2\n"), 0);
	assert_string_equal(error.text, "");
}

/* The header says how many entries follow: lines of any event, and what was lost while they were read. */
static void test_entries(void **state)
{
#define ENTRIES(n) "# entries-in-buffer/entries-written: " #n "/" #n "   #P:2\n"
	static const char lines[] = L("1.5") "unpin: (x) pfn=12 npages=1\n" L("1.6") "sched_switch: x=1\n";
	static const char attach[] = ENTRIES(2) L("1.5") "attach: (x) hwpt=0x1 idev=0x2 domain=0x3\n";
	char text[1000];

	(void)state;
	snprintf(text, sizeof(text), ENTRIES(2) "%s", lines);
	assert_int_equal(parse(text), 1);
	assert_string_equal(error.text, "");
	snprintf(text, sizeof(text), ENTRIES(3) "%s", lines);
	assert_int_equal(parse(text), 1);
	assert_error("text:3: the header says 3 entries, 2 are there: the text is cut off, filtered");
	assert_int_equal(source_read(source, events, 1, &error), -1);
	snprintf(text, sizeof(text), ENTRIES(3) "%sCPU:1 [LOST 1 EVENTS]\n", lines);
	assert_int_equal(parse(text), 2);
	assert_string_equal(error.text, "");
	snprintf(text, sizeof(text), ENTRIES(3) "%s" ENTRIES(0), lines);
	assert_int_equal(parse(text), 1);
	assert_error("text:4: the header says 3 entries");
	assert_int_equal(parse(attach), 1); /* what was held back comes first */
	assert_int_equal(events[0].kind, EV_attach);
	assert_error("text:2: the header says 2 entries, 1 are there");
#undef ENTRIES
}

static void test_dropped(void **state)
{
	struct dropped d;

	(void)state;
	assert_int_equal(
		parse(L("1.5") "map: (x) domain=1 iova=0 paddr=0 size=0 rc=-12\n" L("1.6") "unmap: (x) domain=1 iova=0 unmapped=0\n" L(
			"1.7") "sched_switch: x=1\n" L("1.8") "sched_switch: x=1\n"),
		0);
	assert_string_equal(error.text, "");
	source_dropped(source, &d);
	assert_int_equal(d.failed_maps, 1);
	assert_int_equal(d.failed_accesses, 0);
	assert_int_equal(d.empty_unmaps, 1);
	assert_int_equal(d.other, 2);
	assert_int_equal(d.tracepoints, 0);
	assert_string_equal(d.other_event[0].name, "sched_switch");
	assert_int_equal(d.other_event[0].n, 2);
	assert_int_equal(d.other_event[1].n, 0);
}

static const char *fault_path(const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "../faults/%s", name);
	return data_path(path);
}

static size_t read_fault(const char *name, struct dropped *d)
{
	struct capture c;
	size_t n;

	source_close(source);
	error.text[0] = '\0';
	assert_int_equal(source_open(&source, fault_path(name), &error), 0);
	assert_int_equal(source_capture(source, &c, &error), 1);
	n = read_all(MAX_EVENTS);
	assert_string_equal(error.text, "");
	source_dropped(source, d);
	return n;
}

/* What a text without any event of ours has instead is named: probes on our functions first, then by number. */
static void test_other_events(void **state)
{
	struct dropped d;
	char text[8000];
	size_t at = 0;

	(void)state;
	assert_int_equal(read_fault("01-foreign-text.txt", &d), 0);
	assert_int_equal(d.other, 2);
	assert_string_equal(d.other_event[0].name, "sched_switch");
	assert_string_equal(d.other_event[1].name, "sched_wakeup");
	assert_int_equal(d.other_event[1].n, 1);
	assert_int_equal(read_fault("04-tracepoint-only.txt", &d), 0);
	assert_int_equal(d.other, 2);
	assert_int_equal(d.tracepoints, 2);
	assert_int_equal(
		parse(L("1.5") "sched_switch: x=1\n" L("1.5") "sched_switch: x=1\n" L("1.6") "mymap: (batch_to_domain+0x18b/0x270 <- iommu_map) domain=1\n" L("1.7") "x:fill: (iopt_area_fill_domains+0x4/0x320) area=1\n" L(
			"1.8") "anon: (ffffffff81422754 <- ffffffff8141d7d1) a=1\n" L("1.8") "vfs: (vfs_read+0x4/0x320) a=1\n" L("1.9") "by: (iopt_map_pages+0x1/0x2 <- pin_user_pages) a=1\n"),
		0);
	assert_string_equal(error.text, "");
	source_dropped(source, &d);
	assert_int_equal(d.other, 7);
	assert_string_equal(d.other_event[0].name, "mymap");
	assert_string_equal(d.other_event[0].function, "iommu_map");
	assert_string_equal(d.other_event[1].name, "x:fill");
	assert_string_equal(d.other_event[1].function, "iopt_area_fill_domains");
	assert_string_equal(d.other_event[2].name, "sched_switch");
	assert_int_equal(d.other_event[2].n, 2);
	assert_string_equal(d.other_event[3].function, "");
	assert_string_equal(d.other_event[3].name, "anon");
	assert_true(d.other_event[3].probe);
	assert_false(d.other_event[4].probe);
	assert_string_equal(d.other_event[4].function, "");
	for (int i = 0; i < 40; i++)
		at += (size_t)sprintf(text + at, L("1.5") "e%d: a=1\n", i);
	assert_int_equal(parse(text), 0);
	source_dropped(source, &d);
	assert_int_equal(d.other, 40);
	assert_int_equal(d.other_event[OTHER_EVENTS - 1].n, 1);
}

/* Some tools print the group of an event, or the difference to the time of the line before. */
static void test_other_columns(void **state)
{
	static struct event plain[100];
	struct dropped d;
	size_t n;

	(void)state;
	n = read_fault("02-plain.txt", &d);
	assert_int_equal(n, 22);
	memcpy(plain, events, n * sizeof(plain[0]));
	assert_int_equal(read_fault("02-ts-diff.txt", &d), n);
	assert_memory_equal(plain, events, n * sizeof(plain[0]));
	assert_int_equal(d.other, 0);
	assert_int_equal(
		parse(L("1.5") "ioflush:unpin: (x) pfn=12 npages=1\n" L("1.6") "(+-1) unpin: (x) pfn=13 npages=1\n"), 2);
	assert_int_equal(events[0].unpin.pfn, 12);
	assert_int_equal(parse(L("1.5") "iommu:map: iova=0x1000 paddr=0x3000 size=4096\n"), 0);
	source_dropped(source, &d);
	assert_int_equal(d.tracepoints, 1);
}

/* Fields as some tools print them: the address of the probe among them, perhaps after a remark. */
static void test_raw_fields(void **state)
{
	struct dropped d;

	(void)state;
	assert_int_equal(
		parse(L("1.5") "unpin:  __probe_ip=18446744072 pfn=12 npages=1\n" L("1.6") "unpin: [FAILED TO PARSE] __probe_ip=18446744072 pfn=0xd npages=1\n" L(
			"1.7") "map: [FAILED TO PARSE] iova=0x1000 paddr=0x2000 size=4096\n"), /* the tracepoint */
		2);
	assert_string_equal(error.text, "");
	assert_int_equal(events[1].unpin.pfn, 13);
	source_dropped(source, &d);
	assert_int_equal(d.other, 1);
	assert_int_equal(d.tracepoints, 1);
}

/* A CPU whose records began later than others: older ones were overwritten, unless the header has counted these. */
static void test_buffer_started(void **state)
{
#define STARTED "##### CPU 1 buffer started ####\n"
	static const char lines[] =
		" a-1 [000] ..... 1.5: unpin: (x) pfn=12 npages=1\n" STARTED L("1.6") "unpin: (x) pfn=12 npages=1\n";
	char text[1000];

	(void)state;
	assert_int_equal(parse(lines), 3);
	check_lost(&events[1], 1, 0, 1600000000, 0);
	snprintf(text, sizeof(text), "# entries-in-buffer/entries-written: 2/2   #P:2\n%s", lines);
	assert_int_equal(parse(text), 2);
	snprintf(text, sizeof(text), "# entries-in-buffer/entries-written: 2/7   #P:2\n%s", lines);
	assert_int_equal(parse(text), 3);
	check_lost(&events[0], EVENT_NO_CPU, 5, 1500000000, 0);
#undef STARTED
}

/* A lost pair of entry and return counts as the kernel counted it, not once more for the end that is left alone. */
static void test_loss_counted_once(void **state)
{
	struct dropped d;

	(void)state;
	assert_int_equal(read_fault("21-loss-counted-twice.txt", &d), 2);
	assert_int_equal(events[0].kind, EV_map);
	assert_int_equal(events[1].kind, EV_lost);
	assert_int_equal(events[1].lost.count, 2);
}

/* Times without decimals are ticks of a clock without a unit. */
static void test_clock(void **state)
{
	static const struct {
		const char *text, *clock;
	} clocks[] = {
		{"# tracer: nop\n" L("1.5") "sched_switch: x=1\n", ""},
		{"# tracer: nop\ncpus=2\n" L("77") "sched_switch: x=1\n", "ticks"},
		{"# tracer: nop\n", ""},
	};
	struct source_input in = {.path = "-", .fd = -1};
	struct capture c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		source_close(source);
		in.fd = open("/dev/null", O_RDONLY);
		in.head = clocks[i].text;
		in.head_len = strlen(clocks[i].text);
		assert_int_equal(ftext_open(&source, &in, &error), 0);
		assert_int_equal(source_capture(source, &c, &error), 1);
		assert_string_equal(c.clock, clocks[i].clock);
		assert_int_equal(capture_in_ticks(&c), i == 1);
	}
}

static void test_long_strings(void **state)
{
	char name[257], text[1000];

	(void)state;
	memset(name, 'x', 256);
	name[256] = '\0';
	snprintf(text, sizeof(text), "%s-80 [001] ..... 1.6: unpin: (x) pfn=12 npages=1\n", name + 1);
	assert_int_equal(parse(text), 1);
	snprintf(text, sizeof(text), "%s-80 [001] ..... 1.6: unpin: (x) pfn=12 npages=1\n", name);
	assert_int_equal(parse(text), 0);
	assert_error("text:1: a command name of more than 255 bytes");
	snprintf(text, sizeof(text), L("1.5") "attach_device_to_domain: IOMMU: device=%s\n", name);
	assert_int_equal(parse(text), 0);
	assert_error("text:1: a string of more than 255 bytes");
}

/* The same whatever the size of a read, and whether the bytes come through a pipe with some read ahead. */
static void test_small_reads_and_pipes(void **state)
{
	static struct event want[MAX_EVENTS];
	char head[1000];
	size_t n;
	int fds[2], status;
	pid_t pid;
	FILE *f;

	(void)state;
	f = fopen(data_path("churn-small.trace"), "r");
	assert_non_null(f);
	open_fd(dup(fileno(f)), "a", NULL, 0);
	n = read_all(MAX_EVENTS);
	memcpy(want, events, n * sizeof(want[0]));
	rewind(f);
	open_fd(dup(fileno(f)), "a", NULL, 0);
	assert_int_equal(read_all(1), n);
	assert_memory_equal(events, want, n * sizeof(want[0]));
	fclose(f);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execlp("cat", "cat", data_path("churn-small.trace"), (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], head, sizeof(head)), sizeof(head));
	open_fd(fds[0], "-", head, sizeof(head));
	assert_int_equal(read_all(100), n);
	assert_memory_equal(events, want, n * sizeof(want[0]));
	assert_true(source_progress(source) < 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- bad input: what came before stands, then an error with the line */

#define GOOD L("1.5") "unpin: (x) pfn=12 npages=1\n"

static void test_bad_lines(void **state)
{
	static const struct {
		const char *text;
		size_t before;
		const char *error;
	} bad[] = {
		{GOOD "hello\n", 1, "text:2: not a line of ftrace text"},
		{GOOD L("1.4") "unpin: (x) pfn=12 npages=1\n", 1, "text:2: time 1400000000 ns lies before"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=99999999999999999999\n", 1,
		 "text:2: unpin: npages: \"99999999999999999999\": is above 64 bits"},
		{GOOD L("1.6") "unpin: (x) pfn=0x10000000000000000 npages=1\n", 1, "unpin: pfn"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=-9223372036854775809\n", 1, "unpin: npages"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=1x\n", 1, "npages: \"1x\": is not a number"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=1\x1b[31m\xff\n", 1, "npages: \"1?[31m?\": is not a number"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=\n", 1, "npages: \"\": is not a number"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=0x\n", 1, "npages"},
		{GOOD L("1.6") "unpin: (x) pfn=12\n", 1, "text:2: unpin: npages: missing"},
		{GOOD L("1.6") "unpin: (x pfn=12 npages=1\n", 1, "text:2: the place of the probe"},
		{GOOD L("1.6") "unpin: (x) pfn=0xffffffffffffffff npages=1\n", 1, "text:2: unpin: pfn"},
		{GOOD L("1.6") "map: (x) domain=1 iova=0 paddr=0 size=9223372036854775808 rc=0\n", 1, "text:2: map: size"},
		{GOOD " churn-99999999999 [001] ..... 1.6: unpin: (x) pfn=12 npages=1\n", 1, "text:2: not a line"},
		{GOOD " churn-80 [99999] ..... 1.6: unpin: (x) pfn=12 npages=1\n", 1, "text:2: not a line"},
		{GOOD " churn-80 [001] ..... 99999999999999999.6: unpin: (x) pfn=12 npages=1\n", 1, "text:2: not a line"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npag", 1, "text:2: the last line has no end"},
		{GOOD L("1.6") "unpin: (x) pfn=12 npages=1", 1, "text:2: the last line has no end"},
		{GOOD "CPU:1 [LOST 0 EVENTS]\n", 1, "text:2: not a line"},
		{GOOD "CPU:1 [0 EVENTS DROPPED]\n", 1, "text:2: not a line"},
		{"# entries-in-buffer/entries-written: 10/x\n", 0, "text:1: entries-in-buffer"},
		{"# entries-in-buffer/entries-written: 10/9\n", 0, "written: not two numbers, the first"},
		{GOOD L("1.6") "unpin: npages=1\n", 1, "text:2: unpin: pfn: missing"}, /* as GOOD shows, it is of a probe */
		{L("1.4") "unpin: npages=1\n" GOOD, 0, "text:2: unpin: a probe, while line 1 of this name has neither"},
		{GOOD L("1.6") "unpin: __probe_ip=18446744072 npages=1\n", 1, "text:2: unpin: pfn: missing"},
		{L("1.6") "unpin: [FAILED TO PARSE] npages=1\n", 0, "text:1: unpin: pfn: missing"},
		{L("1.6") "map: [FAILED TO PARSE] __probe_ip=1 iova=1 paddr=1 size=1\n", 0,
		 "text:1: map: domain: missing"},
		{L("1.6") "area_fill_end: (x) area=1 rc=0\n" L("1.6") "area_fill_end: (x) rc=0\n", 1,
		 "text:2: area_fill_end: other lines of it have other fields"},
		{L("1.6") "{x} area_fill_end: (iopt_map_pages+0x1c1/0x270 <- iopt_area_fill_domains) area=0xff30 rc=0\n",
		 0, "text:1: a probe on iopt_area_fill_domains, in columns"},
		{GOOD L("1.6") "hwpt_alloc: (x) ioas=1 idev=2 coherent=2\n", 1,
		 "text:2: hwpt_alloc: coherent: 2: must be"},
		{"CPU:1 [LOST 5 EVENTS]\n" L("1.6") "unpin: (x) pfn=0xffffffffffffffff npages=1\n", 1, "text:2: unpin"},
	};
	struct event ev;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n = parse(bad[i].text);

		if (n != bad[i].before)
			fail_msg("%s: %zu events", bad[i].text, n);
		assert_error(bad[i].error);
		assert_int_equal(source_read(source, &ev, 1, &error), -1); /* and nothing more */
	}
}

static void test_nul_and_long_lines(void **state)
{
	static char text[1000000];
	static const char good[] = GOOD;

	(void)state;
	memcpy(text, good, sizeof(good) - 1);
	memset(text + sizeof(good) - 1, 'x', sizeof(text) - sizeof(good) + 1);
	assert_int_equal(parse_bytes(text, sizeof(text)), 1);
	assert_error("text:2: the line has more than 65536 bytes");
	text[sizeof(good) + 5] = '\0';
	text[sizeof(good) + 10] = '\n';
	assert_int_equal(parse_bytes(text, sizeof(text)), 1);
	assert_error("text:2: a NUL byte");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_tracefs_recording, teardown),
		cmocka_unit_test_teardown(test_report_is_like_its_dat, teardown),
		cmocka_unit_test_teardown(test_columns, teardown),
		cmocka_unit_test_teardown(test_values, teardown),
		cmocka_unit_test_teardown(test_other_lines, teardown),
		cmocka_unit_test_teardown(test_losses, teardown),
		cmocka_unit_test_teardown(test_entries, teardown),
		cmocka_unit_test_teardown(test_dropped, teardown),
		cmocka_unit_test_teardown(test_other_events, teardown),
		cmocka_unit_test_teardown(test_other_columns, teardown),
		cmocka_unit_test_teardown(test_raw_fields, teardown),
		cmocka_unit_test_teardown(test_buffer_started, teardown),
		cmocka_unit_test_teardown(test_loss_counted_once, teardown),
		cmocka_unit_test_teardown(test_clock, teardown),
		cmocka_unit_test_teardown(test_long_strings, teardown),
		cmocka_unit_test_teardown(test_small_reads_and_pipes, teardown),
		cmocka_unit_test_teardown(test_bad_lines, teardown),
		cmocka_unit_test_teardown(test_nul_and_long_lines, teardown),
	};

	return cmocka_run_group_tests_name("ftext", tests, NULL, NULL);
}
