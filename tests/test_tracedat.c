/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source for trace.dat: recordings against tables of their content, and small files made here for what the
 * recordings lack: version 6, several buffers, losses, the other byte order, and every kind of damage.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zstd.h>

#include "trace/formats/open.h"
#include "trace/formats/tracefile.h"
#include "trace/source.h"

#define MAX_EVENTS 131072

static struct event events[MAX_EVENTS];
static struct error error;
static struct source *source;
static struct capture capture;

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

#define assert_error(what)                                                  \
	do {                                                                \
		if (!strstr(error.text, what))                              \
			fail_msg("\"%s\" has no \"%s\"", error.text, what); \
	} while (0)

static size_t read_all(size_t batch)
{
	size_t n = 0;
	ssize_t got;

	while ((got = source_read(source, events + n, batch < MAX_EVENTS - n ? batch : MAX_EVENTS - n, &error)) > 0)
		n += (size_t)got;
	assert_true(got < 0 ? error.text[0] : !error.text[0]);
	return n;
}

static const char *str(uint64_t id)
{
	return intern_get(source->strings, (uint32_t)id);
}

/* --- recordings. The counts were made with awk from what trace-cmd report prints. */

struct count {
	enum event_kind kind;
	size_t n;
};

static size_t check_recording(const char *name, const struct count *want)
{
	size_t have[EV_KINDS] = {0}, total, n, i;

	error.text[0] = '\0';
	assert_int_equal(source_open(&source, data_path(name), &error), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_string_equal(capture.format, "trace.dat");
	assert_string_equal(capture.kernel, "6.12.117");
	assert_string_equal(capture.host, "(none)");
	assert_string_equal(capture.clock, "mono");
	assert_string_equal(capture.state, "complete");
	total = n = read_all(1000);
	assert_string_equal(error.text, "");
	for (i = 0; i < n; i++) {
		have[events[i].kind]++;
		assert_true(!i || events[i].t >= events[i - 1].t);
	}
	for (; want->n; want++) {
		if (have[want->kind] != want->n)
			fail_msg("%s: %s: %zu, not %zu", name, event_table[want->kind].name, have[want->kind], want->n);
		n -= want->n;
	}
	assert_int_equal(n, 0);
	assert_true(source_progress(source) == 1);
	assert_int_equal(source_capture(source, &capture, &error), 0);
	return total;
}

static void test_selftest(void **state)
{
	static const struct count want[] = {{EV_domain_add, 252},
					    {EV_domain_add_end, 252},
					    {EV_domain_remove, 251},
					    {EV_domain_remove_end, 251},
					    {EV_area_fill, 9630},
					    {EV_area_fill_end, 9630},
					    {EV_area_unfill, 9637},
					    {EV_area_unfill_end, 9637},
					    {EV_area_add_domain, 35},
					    {EV_area_add_domain_end, 35},
					    {EV_map, 13800},
					    {EV_unmap, 864},
					    {EV_cut, 34},
					    {EV_access_add, 256},
					    {EV_access_remove, 256},
					    {EV_unpin, 20574},
					    {EV_attach, 579},
					    {EV_detach, 570},
					    {0, 0}};
	size_t i, n, named = 0;

	(void)state;
	n = check_recording("selftest.dat", want);
	for (i = 0; i < n; i++)
		named += events[i].kind == EV_attach && events[i].attach.device;
	assert_int_equal(named, 579);
	assert_true(events[0].t == 7667914951);
	assert_int_equal(events[0].tid, 92);
	assert_string_equal(str(events[0].comm), "iommufd_st");
	assert_true(events[0].area_fill.area == 0xff11000006bdc3c0);
	assert_true(events[0].area_fill.uptr == 0x7efe64a00000);
}

static void test_churn(void **state)
{
	static const struct count want[] = {{EV_domain_add, 82},
					    {EV_domain_add_end, 82},
					    {EV_domain_remove, 82},
					    {EV_domain_remove_end, 82},
					    {EV_area_fill, 371},
					    {EV_area_fill_end, 371},
					    {EV_area_unfill, 371},
					    {EV_area_unfill_end, 371},
					    {EV_area_add_domain, 3306},
					    {EV_area_add_domain_end, 3306},
					    {EV_map, 3576},
					    {EV_unmap, 3546},
					    {EV_unpin, 3172},
					    {EV_attach, 187},
					    {EV_detach, 187},
					    {0, 0}};

	(void)state;
	check_recording("churn.dat", want);
}

static void test_vmboot(void **state)
{
	static const struct count want[] = {{EV_domain_add, 1},	     {EV_domain_add_end, 1},
					    {EV_domain_remove, 1},   {EV_domain_remove_end, 1},
					    {EV_area_fill, 27},	     {EV_area_fill_end, 27},
					    {EV_area_unfill, 24},    {EV_area_unfill_end, 24},
					    {EV_area_add_domain, 3}, {EV_area_add_domain_end, 3},
					    {EV_map, 195},	     {EV_unmap, 24},
					    {EV_unpin, 195},	     {EV_attach, 1},
					    {EV_detach, 1},	     {0, 0}};

	(void)state;
	check_recording("vmboot-nonsnoop.dat", want);
}

/* --- files made here */

struct out {
	uint8_t *data;
	size_t len, cap;
	bool big;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (o->len + len > o->cap) {
		o->cap = 2 * (o->len + len);
		o->data = realloc(o->data, o->cap);
		assert_non_null(o->data);
	}
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void set_number(struct out *o, size_t at, uint64_t v, unsigned size)
{
	unsigned i;

	for (i = 0; i < size; i++)
		o->data[at + i] = (uint8_t)(v >> 8 * (o->big ? size - 1 - i : i));
}

static void put_number(struct out *o, uint64_t v, unsigned size)
{
	put(o, "\0\0\0\0\0\0\0", size);
	set_number(o, o->len - size, v, size);
}

static void put_text(struct out *o, const char *text, unsigned size_bytes)
{
	put_number(o, strlen(text), size_bytes);
	put(o, text, strlen(text));
}

static void align(struct out *o, size_t to)
{
	while (o->len % to)
		put(o, "", 1);
}

#define PAGE 4096u
#define UNPIN_ID 77
static const char header_page[] = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
				  "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
				  "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
				  "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
static const char unpin_format[] = "name: unpin\nID: 77\nformat:\n"
				   "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
				   "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
				   "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
				   "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
				   "\tfield:u64 pfn;\toffset:8;\tsize:8;\tsigned:0;\n"
				   "\tfield:u64 npages;\toffset:16;\tsize:8;\tsigned:0;\n\n"
				   "print fmt: \"%Lu\", REC->pfn\n";

/* The metadata of a version 6 file up to the options, with one CPU. */
static void begin_file(struct out *o, bool big, const char *format)
{
	*o = (struct out){.big = big};
	put(o, "\x17\x08\x44tracing6", 12);
	put_number(o, big, 1);
	put_number(o, 8, 1);
	put_number(o, PAGE, 4);
	put(o, "header_page", 12);
	put_text(o, header_page, 8);
	put(o, "header_event", 13);
	put_text(o, "x", 8);
	put_number(o, 0, 4); /* ftrace formats */
	put_number(o, 1, 4);
	put(o, "ioflush", 8);
	put_number(o, 1, 4);
	put_text(o, format, 8);
	put_text(o, "0 symbol\n", 4);
	put_text(o, "", 4);
	put_text(o, "5 five\n6 a name with blanks\n", 8);
	put_number(o, 1, 4);
}

static void put_option(struct out *o, unsigned id, const void *data, size_t len)
{
	put_number(o, id, 2);
	put_number(o, len, 4);
	put(o, data, len);
}

/* "flyrecord" and where the only CPU's data is, to be set later. Where that is said. */
static size_t put_table(struct out *o)
{
	put(o, "flyrecord", 10);
	put_number(o, 0, 8);
	put_number(o, 0, 8);
	return o->len - 16;
}

/* Begins a sub-buffer. Where it is. */
static size_t begin_page(struct out *o, uint64_t ts)
{
	size_t at;

	align(o, PAGE);
	at = o->len;
	put_number(o, ts, 8);
	put_number(o, 0, 8);
	return at;
}

/* An event of the ring buffer with a time delta and the data of an unpin. */
static void put_unpin(struct out *o, uint32_t delta, uint64_t pfn)
{
	put_number(o, o->big ? 6u << 27 | delta : delta << 5 | 6, 4);
	put_number(o, UNPIN_ID, 2);
	put_number(o, 0, 2);
	put_number(o, 5, 4);
	put_number(o, pfn, 8);
	put_number(o, 1, 8);
}

static void put_extend(struct out *o, unsigned type, uint64_t delta)
{
	uint32_t low = delta & ((1u << 27) - 1);

	put_number(o, o->big ? type << 27 | low : low << 5 | type, 4);
	put_number(o, delta >> 27, 4);
}

/* Ends a sub-buffer: flags go into its commit word, and the count of lost records behind the last one. */
static void end_page(struct out *o, size_t at, uint32_t flags, uint64_t lost)
{
	set_number(o, at + 8, (o->len - at - 16) | flags, 8);
	if (lost)
		put_number(o, lost, 8);
	align(o, PAGE);
}

static void end_table(struct out *o, size_t table, size_t first_page)
{
	set_number(o, table, first_page, 8);
	set_number(o, table + 8, o->len - first_page, 8);
}

/* Opens bytes as a file. 0 or -1 as the source says; frees o. */
static int open_bytes(struct out *o, size_t len)
{
	FILE *f = tmpfile();
	struct source_input in = {.path = "made"};
	int ret;

	assert_non_null(f);
	assert_int_equal(fwrite(o->data, 1, len, f), len);
	assert_int_equal(fflush(f), 0);
	in.fd = dup(fileno(f));
	fclose(f);
	lseek(in.fd, 0, SEEK_SET);
	source_close(source);
	source = NULL;
	error.text[0] = '\0';
	ret = tracedat_open(&source, &in, &error);
	assert_true(ret ? error.text[0] && !source : !error.text[0]);
	return ret;
}

/* The events of the first capture. */
static size_t open_and_read(struct out *o)
{
	size_t n = 0;

	if (open_bytes(o, o->len)) {
		fail_msg("%s", error.text);
		goto out;
	}
	assert_int_equal(source_capture(source, &capture, &error), 1);
	n = read_all(MAX_EVENTS);
out:
	free(o->data);
	return n;
}

static void check_unpin(const struct event *ev, uint64_t t, uint64_t pfn)
{
	assert_int_equal(ev->kind, EV_unpin);
	assert_true(ev->t == t);
	assert_int_equal(ev->tid, 5);
	assert_string_equal(str(ev->comm), "five");
	assert_int_equal(ev->unpin.pfn, pfn);
}

/* flags of the only sub-buffer's commit word, the count behind it, and whether it begins with a time extension. */
static void small_file(struct out *o, bool big, uint32_t flags, uint64_t lost, bool extend)
{
	size_t table, page, first;

	begin_file(o, big, unpin_format);
	table = put_table(o);
	first = begin_page(o, 1000);
	put_unpin(o, 0, 1);
	put_unpin(o, 5, 2);
	end_page(o, first, 0, 0);
	page = begin_page(o, 2000);
	if (extend)
		put_extend(o, 30, 1ull << 30);
	put_unpin(o, 1, 3);
	end_page(o, page, flags, lost);
	end_table(o, table, first);
}

static void test_version_6(void **state)
{
	struct out o;
	int big;

	(void)state;
	for (big = 0; big < 2; big++) {
		small_file(&o, big, 0, 0, true);
		assert_int_equal(open_and_read(&o), 3);
		assert_string_equal(error.text, "");
		check_unpin(&events[0], 1000, 1);
		check_unpin(&events[1], 1005, 2);
		check_unpin(&events[2], 2001 + (1ull << 30), 3);
	}
}

static void check_lost(const struct event *ev, uint64_t t, uint64_t count, uint64_t since, const char *cause)
{
	assert_int_equal(ev->kind, EV_lost);
	assert_true(ev->t == t);
	assert_int_equal(ev->cpu, 0);
	assert_int_equal(ev->tid, EVENT_NO_TID);
	assert_int_equal(ev->lost.count, count);
	assert_int_equal(ev->lost.since, since);
	assert_int_equal(ev->missing, (count ? 0 : 1) | (since ? 0 : 4));
	assert_string_equal(str(ev->lost.cause), cause);
}

/* The flags of the commit word, with a time extension behind it too, which hides them from libtraceevent. */
static void test_lost_flags(void **state)
{
	struct out o;
	int extend, big;

	(void)state;
	for (extend = 0; extend < 2; extend++)
		for (big = 0; big < 2; big++) {
			uint64_t t = 2001 + (extend ? 1ull << 30 : 0);

			small_file(&o, big, 3u << 30, 42, extend);
			assert_int_equal(open_and_read(&o), 4);
			check_lost(&events[2], t, 42, 1005, "ring buffer");
			check_unpin(&events[3], t, 3);
			small_file(&o, big, 1u << 31, 0, extend);
			assert_int_equal(open_and_read(&o), 4);
			check_lost(&events[2], t, 0, 1005, "ring buffer");
		}
}

#define STATS(overrun, commit, dropped)                                                      \
	"CPU: 0\nentries: 3\noverrun: " overrun "\ncommit overrun: " commit "\nbytes: 100\n" \
	"dropped events: " dropped "\nread events: 0\n"

static size_t read_with_stats(const char *stats, uint32_t flags, uint64_t lost)
{
	size_t table, first, page;
	struct out o;

	begin_file(&o, false, unpin_format);
	put(&o, "options  ", 10);
	put_option(&o, 2, stats, strlen(stats) + 1);
	put_number(&o, 0, 2);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	end_page(&o, first, 0, 0);
	page = begin_page(&o, 2000);
	put_unpin(&o, 0, 2);
	end_page(&o, page, flags, lost);
	end_table(&o, table, first);
	return open_and_read(&o);
}

/* What the statistics count is told once: at the start, less what the sub-buffers tell themselves. */
static void test_lost_in_statistics(void **state)
{
	(void)state;
	assert_int_equal(read_with_stats(STATS("0", "0", "0"), 0, 0), 2);
	assert_int_equal(read_with_stats(STATS("5", "1", "10"), 0, 0), 3);
	check_lost(&events[0], 1000, 16, 0, "CPU statistics");
	check_unpin(&events[1], 1000, 1);
	assert_int_equal(read_with_stats(STATS("5", "1", "10"), 3u << 30, 16), 3);
	check_lost(&events[1], 2000, 16, 1000, "ring buffer");
	assert_int_equal(read_with_stats(STATS("5", "1", "10"), 3u << 30, 6), 4);
	check_lost(&events[0], 1000, 10, 0, "CPU statistics");
	check_lost(&events[2], 2000, 6, 1000, "ring buffer");
	/* Where the place is known and the number not, it is not told twice. */
	assert_int_equal(read_with_stats(STATS("5", "1", "10"), 1u << 31, 0), 3);
	check_lost(&events[1], 2000, 0, 1000, "ring buffer");
}

/* Reads of one event at a time give the same. */
static void test_small_reads(void **state)
{
	struct out o;

	(void)state;
	small_file(&o, false, 3u << 30, 42, false);
	assert_int_equal(open_bytes(&o, o.len), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(1), 4);
	check_unpin(&events[0], 1000, 1);
	check_lost(&events[2], 2001, 42, 1005, "ring buffer");
	free(o.data);
}

static void test_metadata(void **state)
{
	size_t table, first;
	struct out o;

	(void)state;
	begin_file(&o, false, unpin_format);
	put(&o, "options  ", 10);
	put_option(&o, 4, "local [mono_raw] boot\n", 23);
	put_option(&o, 5, "Linux box 7.1.0-rc1 x86_64", 27);
	put_option(&o, 99, "?", 1); /* one that nobody knows yet */
	put_number(&o, 0, 2);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 1);
	assert_string_equal(capture.clock, "mono_raw");
	assert_string_equal(capture.host, "box");
	assert_string_equal(capture.kernel, "7.1.0-rc1");
	assert_string_equal(capture.source, "made");
	assert_string_equal(capture.probes, "ioflush:unpin");
}

/* A recorded instance is a capture of its own; an empty top buffer beside it is none. */
static void test_instances(void **state)
{
	size_t table, first, option, inner;
	struct out o;
	int full;

	(void)state;
	for (full = 0; full < 2; full++) {
		begin_file(&o, false, unpin_format);
		put(&o, "options  ", 10);
		put_option(&o, 3, "\0\0\0\0\0\0\0\0inner", 14);
		option = o.len - 14;
		put_number(&o, 0, 2);
		table = put_table(&o);
		first = begin_page(&o, 1000);
		if (full) {
			put_unpin(&o, 0, 1);
			end_page(&o, first, 0, 0);
			end_table(&o, table, first);
		}
		set_number(&o, option, o.len, 8);
		inner = put_table(&o);
		first = begin_page(&o, 500);
		put_unpin(&o, 0, 2);
		end_page(&o, first, 0, 0);
		end_table(&o, inner, first);
		assert_int_equal(open_and_read(&o), 1);
		check_unpin(&events[0], full ? 1000 : 500, full ? 1 : 2);
		assert_string_equal(capture.source, full ? "made" : "made:inner");
		assert_int_equal(capture.id, 1);
		assert_int_equal(source_capture(source, &capture, &error), full);
		if (!full)
			continue;
		assert_string_equal(capture.source, "made:inner");
		assert_int_equal(capture.id, 2);
		assert_int_equal(read_all(MAX_EVENTS), 1);
		check_unpin(&events[0], 500, 2);
		assert_int_equal(source_capture(source, &capture, &error), 0);
	}
}

static void test_from_a_pipe(void **state)
{
	struct source_input in = {.path = "-"};
	struct out o;
	int fds[2], status;
	pid_t pid;

	(void)state;
	small_file(&o, false, 0, 0, false);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid)
		_exit(write(fds[1], o.data + 100, o.len - 100) != (ssize_t)(o.len - 100));
	close(fds[1]);
	in.fd = fds[0];
	in.head = o.data;
	in.head_len = 100;
	assert_int_equal(tracedat_open(&source, &in, &error), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(MAX_EVENTS), 3);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(o.data);
}

/* Standard input may stand behind something else. */
static void test_from_the_middle(void **state)
{
	struct source_input in = {.path = "-"};
	FILE *f = tmpfile();
	struct out o;

	(void)state;
	small_file(&o, false, 0, 0, false);
	assert_non_null(f);
	assert_int_equal(fwrite("junk", 1, 4, f), 4);
	assert_int_equal(fwrite(o.data, 1, o.len, f), o.len);
	assert_int_equal(fflush(f), 0);
	in.fd = dup(fileno(f));
	fclose(f);
	assert_int_equal(lseek(in.fd, 4, SEEK_SET), 4);
	assert_int_equal(tracedat_open(&source, &in, &error), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(MAX_EVENTS), 3);
	free(o.data);
}

/* --- damage */

/* Wherever a file is cut, it does not look whole; what is read before the cut is a prefix of the whole. */
static void check_cuts(struct out *o, const struct event *whole, size_t whole_n, size_t parts)
{
	size_t i, n, k;

	for (i = 0; i < parts; i++) {
		size_t len = o->len * i / parts;

		if (open_bytes(o, len)) {
			assert_error("made");
			continue;
		}
		assert_int_equal(source_capture(source, &capture, &error), 1);
		n = read_all(MAX_EVENTS);
		if (!error.text[0])
			fail_msg("cut at %zu of %zu: no error", len, o->len);
		assert_error("made: ");
		assert_error("offset");
		assert_true(n < whole_n);
		for (k = 0; k < n; k++)
			assert_true(events[k].kind == whole[k].kind && events[k].t == whole[k].t);
	}
}

static void test_truncated_version_6(void **state)
{
	struct event whole[3];
	struct out o;

	(void)state;
	small_file(&o, false, 0, 0, false);
	assert_int_equal(open_bytes(&o, o.len), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(3), 3);
	memcpy(whole, events, sizeof(whole));
	check_cuts(&o, whole, 3, o.len / 37);
	free(o.data);
}

static void load(struct out *o, const char *name)
{
	FILE *f = fopen(data_path(name), "r");
	char buf[65536];
	size_t n;

	*o = (struct out){.big = false};
	assert_non_null(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		put(o, buf, n);
	fclose(f);
}

static void test_truncated_version_7(void **state)
{
	struct out o;

	(void)state;
	load(&o, "vmboot-nonsnoop.dat");
	check_cuts(&o, events, 1, 50); /* its options are at the end: nothing comes before */
	free(o.data);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Flipped bits: an error or events, in time order, and no end without end. */
static void check_flips(struct out *o, unsigned rounds, size_t hot, uint32_t seed)
{
	uint8_t *good = malloc(o->len);
	unsigned i, k;

	assert_non_null(good);
	memcpy(good, o->data, o->len);
	for (i = 0; i < rounds; i++) {
		size_t limit = i % 2 ? hot : o->len;

		memcpy(o->data, good, o->len);
		for (k = 0; k <= i % 4; k++)
			o->data[next_random(&seed) % limit] ^= (uint8_t)(1u << next_random(&seed) % 8);
		if (open_bytes(o, o->len))
			continue;
		while (source_capture(source, &capture, &error) > 0) {
			size_t n = read_all(MAX_EVENTS), j;

			for (j = 1; j < n; j++)
				assert_true(events[j].t >= events[j - 1].t);
			if (error.text[0])
				break;
		}
	}
	free(good);
}

static void test_flipped_bits(void **state)
{
	struct out o;

	(void)state;
	small_file(&o, false, 3u << 30, 42, true);
	check_flips(&o, 2000, 1500, 1);
	free(o.data);
	load(&o, "churn.dat");
	check_flips(&o, 60, 4000, 2);
	free(o.data);
}

static void test_damaged_pages(void **state)
{
	size_t table, first;
	struct out o;

	(void)state;
	/* Time that goes back. */
	begin_file(&o, false, unpin_format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	put_extend(&o, 31, 900);
	put_unpin(&o, 0, 2);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 1);
	assert_error("made: CPU 0: sub-buffer at offset ");
	assert_error("its time 900 lies before");

	/* More committed than there is room for. */
	begin_file(&o, false, unpin_format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	end_page(&o, first, 0, 0);
	set_number(&o, first + 8, 4081, 8);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 0);
	assert_error("says that it holds 4081 bytes");

	/* A record that is longer than what is committed. */
	begin_file(&o, false, unpin_format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	put_number(&o, 0, 4); /* its length is in the next word */
	put_number(&o, 0xfffffffc, 4);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 1);
	assert_error("goes past the 52 bytes in use");

	/* An event that cannot be: with the place and the field. */
	begin_file(&o, false, unpin_format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1ull << 63);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 0);
	assert_error("record at byte 16: unpin: pfn");
}

static int open_damaged(void (*damage)(struct out *o))
{
	struct out o;
	int ret;

	small_file(&o, false, 0, 0, false);
	damage(&o);
	ret = open_bytes(&o, o.len);
	free(o.data);
	return ret;
}

static void set_version(struct out *o)
{
	o->data[10] = '8';
}

static void set_page_size(struct out *o)
{
	set_number(o, 14, 0, 4);
}

static void set_long_size(struct out *o)
{
	o->data[13] = 3;
}

static void set_header_size(struct out *o)
{
	set_number(o, 18 + 12, UINT64_MAX, 8);
}

/* The bytes of a text in the file are replaced. */
static void replace(struct out *o, const char *from, const char *to)
{
	uint8_t *p = memmem(o->data, o->len, from, strlen(from));

	assert_non_null(p);
	memcpy(p, to, strlen(to));
}

/* A thread whose name has a newline in it names no other, and makes no file unreadable. */
static void test_forged_names(void **state)
{
	static const char names[] = "5 five\n6 a name with blanks\n";
	struct dropped d;
	struct out o;

	(void)state;
	small_file(&o, false, 0, 0, false);
	replace(&o, names, "1 a\n5 x\n6 a name with blank\n");
	assert_int_equal(open_and_read(&o), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(events[i].comm, 0);
	source_dropped(source, &d);
	assert_int_equal(d.doubtful_names, 3);
	small_file(&o, false, 0, 0, false);
	replace(&o, names, "5 a\nfoo\n6 a name with blank\n");
	assert_int_equal(open_and_read(&o), 3);
	assert_string_equal(str(events[0].comm), "a");
	source_dropped(source, &d);
	assert_int_equal(d.doubtful_names, 0);
	small_file(&o, false, 0, 0, false);
	replace(&o, names, "not a pid and a name here..\n");
	assert_int_equal(open_bytes(&o, o.len), -1);
	assert_error("a line that is not a pid and a name");
	free(o.data);
}

static void break_format(struct out *o)
{
	replace(o, "field:u64 pfn;", "field:u64 [fn;");
}

static void break_commit(struct out *o)
{
	replace(o, "commit;\toffset:8", "commit;\toffset:9");
}

static void make_latency(struct out *o)
{
	replace(o, "flyrecord", "latency  ");
}

static void rename_all(struct out *o)
{
	replace(o, "name: unpin", "name: other");
}

static void test_damaged_metadata(void **state)
{
	(void)state;
	assert_int_equal(open_damaged(set_version), -1);
	assert_error("version 8");
	assert_int_equal(open_damaged(set_page_size), -1);
	assert_error("page size");
	assert_int_equal(open_damaged(set_long_size), -1);
	assert_error("a long is neither 4 nor 8 bytes");
	assert_int_equal(open_damaged(set_header_size), -1);
	assert_error("header_page at offset");
	assert_int_equal(open_damaged(break_format), -1);
	assert_error("the format of ioflush/unpin is damaged");
	assert_int_equal(open_damaged(make_latency), -1);
	assert_error("latency");
	assert_int_equal(open_damaged(break_commit), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(1), 0);
	assert_error("header_page: commit at 9");
}

/* What a file without any event of ours has instead is named. */
static void test_other_events(void **state)
{
	struct dropped d;

	(void)state;
	assert_int_equal(open_damaged(rename_all), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_string_equal(capture.probes, "");
	assert_int_equal(read_all(1), 0);
	assert_string_equal(error.text, "");
	source_dropped(source, &d);
	assert_int_equal(d.other, 3);
	assert_int_equal(d.tracepoints, 0);
	assert_string_equal(d.other_event[0].name, "ioflush:other");
	assert_int_equal(d.other_event[0].n, 3);
	assert_int_equal(d.other_event[0].probe, strstr(unpin_format, "__probe_") != NULL);
	assert_int_equal(d.other_event[1].n, 0);
}

/* A probe of our group without a field that its event needs. */
static void test_probe_lacks_field(void **state)
{
	char format[sizeof(unpin_format)];
	size_t table, first;
	struct out o;

	(void)state;
	memcpy(format, unpin_format, sizeof(format));
	memcpy(strstr(format, "pfn;"), "abc;", 4);
	begin_file(&o, false, format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_and_read(&o), 0);
	assert_error("probe ioflush/unpin: pfn");
}

/* --- what libtraceevent must not see */

/* Opens a file whose format has one more field, declared so. */
static int open_declared(const char *declaration)
{
	char format[4096];
	size_t table, first;
	struct out o;
	int ret;

	snprintf(format, sizeof(format), "%.*s\tfield:%s;\toffset:24;\tsize:8;\tsigned:0;\n%s",
		 (int)(strstr(unpin_format, "\nprint") - unpin_format), unpin_format, declaration,
		 strstr(unpin_format, "\nprint"));
	begin_file(&o, false, format);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	ret = open_bytes(&o, o.len);
	free(o.data);
	return ret;
}

static void test_declarations(void **state)
{
	static const char *const good[] = {"u64 a",	"unsigned long long a", "char *a", "char a[16]",
					   "char a[]",	"__data_loc char[] a",	"u8 * a",  "const struct x **a",
					   "u8 a[N M]", "unsigned int[4] a",	"int *",   "u8 *[4] a"};
	static const char *const bad[] = {
		"",    "a",	"a[4]",	   "[4] a",   "* a",	 "u8 a[4",   "u8 a]",	     "u8 a[4][4]", "u8 a[[4]]",
		"u8;", "u8 a:", "u8 a.b",  "u8 a(b)", "u8 a\tb", "[]",	     "u8 a[-1]",     "u8 a \x80",  " ",
		"*",   "**",	"u8 a[*]", "a]b[",    "u8 (a)",	 "a b\"c\"", "field:u8 a;;", "u8 'a'",	   "u8 a#"};
	char words[600] = "u8";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (open_declared(good[i]))
			fail_msg("\"%s\": %s", good[i], error.text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!open_declared(bad[i]))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_error("the format of ioflush/unpin is damaged");
	}
	/* libtraceevent takes the square of their number */
	while (strlen(words) < 500)
		strcat(words, " a");
	assert_int_equal(open_declared(words), -1);
	assert_error("the format of ioflush/unpin is damaged");
}

/* Words and signs of formats in any order: refused or read, and nothing is lost of memory. */
static void test_mixed_up_formats(void **state)
{
	static const char *const part[] = {"name: ",   "unpin",	   "ID: ",    "77",	    "format:", "\n",
					   "\tfield:", "u64 ",	   "pfn",     "[",	    "]",       ";",
					   "\t",       "offset:",  "size:",   "signed:",    "8",       "0",
					   " ",	       "*",	   "char ",   "print fmt:", "\"",      "__data_loc ",
					   ":",	       "99999999", "common_", "REC->pfn",   "(",       "\n\n",
					   "-1",       "0x"};
	char format[4096];
	uint32_t seed = 7;
	unsigned round, i;

	(void)state;
	for (round = 0; round < 4000; round++) {
		size_t len = strlen(unpin_format), table, first;
		struct out o;

		memcpy(format, unpin_format, len + 1);
		for (i = 0; i <= round % 3; i++) {
			const char *word = part[next_random(&seed) % (sizeof(part) / sizeof(part[0]))];
			size_t at = 12 + next_random(&seed) % (len - 12), cut = next_random(&seed) % 12;

			cut = cut < len - at ? cut : len - at;
			memmove(format + at + strlen(word), format + at + cut, len - at - cut + 1);
			memcpy(format + at, word, strlen(word));
			len = strlen(format);
		}
		begin_file(&o, false, format);
		table = put_table(&o);
		first = begin_page(&o, 1000);
		put_unpin(&o, 0, 1);
		end_page(&o, first, 0, 0);
		end_table(&o, table, first);
		if (!open_bytes(&o, o.len) && source_capture(source, &capture, &error) > 0)
			read_all(MAX_EVENTS);
		free(o.data);
	}
}

/* --- what a file may cost */

/* All that the present capture takes of the budget is given back at its end, and all else when the file is closed. */
static void test_budget_is_given_back(void **state)
{
	uint64_t opened, within;

	(void)state;
	error.text[0] = '\0';
	assert_int_equal(source_open(&source, data_path("churn.dat"), &error), 0);
	opened = source->budget.used;
	assert_int_equal(source_capture(source, &capture, &error), 1);
	within = source->budget.used;
	assert_true(within > opened + 10000);
	read_all(1000);
	assert_true(source->budget.used < within + 100000); /* not more for more records; there are strings */
	assert_int_equal(source_capture(source, &capture, &error), 0);
	assert_true(source->budget.used < opened + 10000);
	assert_true(source->budget.limit == SOURCE_MEMORY);
}

/* Over the limit it is said what could not be had, where, and what was read before stands. */
static void test_budget_is_kept(void **state)
{
	const char *refusal = "more than the 256 MiB of memory that reading a file may take";
	size_t n;

	(void)state;
	error.text[0] = '\0';
	assert_int_equal(source_open(&source, data_path("churn.dat"), &error), 0);
	source->budget.limit = source->budget.used + 2000;
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(1000), 0);
	assert_error("churn.dat: ");
	assert_error(refusal);
	source_close(source);
	source = NULL;
	error.text[0] = '\0';
	assert_int_equal(source_open(&source, data_path("churn.dat"), &error), 0);
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(source_read(source, events, 1, &error), 1);
	source->budget.limit = source->budget.used + 5000; /* enough for small things, and no chunk more */
	n = 1 + read_all(1000);
	assert_error("CPU ");
	assert_error(refusal);
	assert_true(n > 100);
}

/* The records of two CPUs in one place, in one buffer or in two. */
static void test_overlapping_runs(void **state)
{
	size_t table, first, option, inner;
	struct out o;
	int shift;

	(void)state;
	for (shift = -1; shift <= 1; shift++) {
		begin_file(&o, false, unpin_format);
		put(&o, "options  ", 10);
		put_option(&o, 3, "\0\0\0\0\0\0\0\0inner", 14);
		option = o.len - 14;
		put_number(&o, 0, 2);
		table = put_table(&o);
		set_number(&o, option, o.len, 8);
		inner = put_table(&o);
		first = begin_page(&o, 1000);
		put_unpin(&o, 0, 1);
		end_page(&o, first, 0, 0);
		end_table(&o, table, first);
		put(&o, "\0", 1);
		align(&o, PAGE);
		set_number(&o, inner, first + PAGE + (size_t)shift, 8);
		set_number(&o, inner + 8, 16, 8);
		if (open_bytes(&o, o.len)) {
			assert_int_equal(shift, -1);
			assert_error("made: CPU 0: its records at offset ");
			assert_error("lie among those of CPU 0 at ");
		} else {
			assert_int_not_equal(shift, -1);
		}
		free(o.data);
	}
}

/* What is packed has the size that the file says, and is nothing else. */
static void test_unpacking(void **state)
{
	static const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
	const size_t size = sizeof(text);
	struct tracefile tf = {.compression = (char[]){"zstd"}};
	uint8_t packed[128];
	char *out = malloc(size);
	size_t len = ZSTD_compress(packed, sizeof(packed), text, size, 1);

	(void)state;
	assert_false(ZSTD_isError(len));
	error.text[0] = '\0';
	assert_int_equal(tracefile_unpack(&tf, out, size, packed, len, &error), 0);
	assert_memory_equal(out, text, size);
	assert_int_equal(tracefile_unpack(&tf, out, size - 1, packed, len, &error), -1);
	assert_error("cannot be decompressed (");
	error.text[0] = '\0';
	assert_int_equal(tracefile_unpack(&tf, out, size, packed, len - 1, &error), -1);
	assert_error("cannot be decompressed (");
	error.text[0] = '\0';
	out = realloc(out, size + 1);
	assert_int_equal(tracefile_unpack(&tf, out, size + 1, packed, len, &error), -1);
	assert_string_equal(error.text, "decompressed to 33 bytes in place of 34; the file is damaged");
	error.text[0] = '\0';
	tf.compression = (char[]){"a-compression-of-a-long-name"};
	assert_int_equal(tracefile_unpack(&tf, out, size, packed, len, &error), -1);
	assert_error(
		"compressed with \"a-compression-of\", which ioflush cannot read; trace-cmd convert --compression none");
	free(out);
}

/* Statistics of a CPU that is not there, in a file of one CPU. */
static void test_statistics_of_others(void **state)
{
	static const char stats[] = "CPU: 1\noverrun: 7\n";
	size_t table, first;
	struct out o;

	(void)state;
	begin_file(&o, false, unpin_format);
	put(&o, "options  ", 10);
	put_option(&o, 2, stats, sizeof(stats));
	put_number(&o, 0, 2);
	table = put_table(&o);
	first = begin_page(&o, 1000);
	put_unpin(&o, 0, 1);
	end_page(&o, first, 0, 0);
	end_table(&o, table, first);
	assert_int_equal(open_bytes(&o, o.len), -1);
	assert_error("made: statistics of CPU 1, which is not there; the file is damaged");
	free(o.data);
}

/* Files that came out of fuzzing and of thinking what may go wrong. */
static void open_fault(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "../faults/%s", name);
	source_close(source);
	source = NULL;
	error.text[0] = '\0';
	source_open(&source, data_path(path), &error);
}

static void test_faults(void **state)
{
	struct dropped d;

	(void)state;
	open_fault("tep-leak.bin");
	assert_error("the format of ioflush/unpin is damaged");
	open_fault("zbomb64.dat");
	assert_error("CPU 1: its records at offset 937 lie among those of CPU 0 at 937; the file is damaged");
	/* an attach is held back while a loss is told */
	open_fault("attach-lost.dat");
	assert_int_equal(source_capture(source, &capture, &error), 1);
	assert_int_equal(read_all(MAX_EVENTS), 2);
	assert_int_equal(events[0].kind, EV_lost);
	assert_int_equal(events[1].kind, EV_attach);
	assert_true(events[1].t == events[0].t);
	source_dropped(source, &d);
	assert_int_equal(d.moved, 1);
	assert_int_equal(d.other, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_selftest, teardown),
		cmocka_unit_test_teardown(test_churn, teardown),
		cmocka_unit_test_teardown(test_vmboot, teardown),
		cmocka_unit_test_teardown(test_version_6, teardown),
		cmocka_unit_test_teardown(test_forged_names, teardown),
		cmocka_unit_test_teardown(test_lost_flags, teardown),
		cmocka_unit_test_teardown(test_lost_in_statistics, teardown),
		cmocka_unit_test_teardown(test_small_reads, teardown),
		cmocka_unit_test_teardown(test_metadata, teardown),
		cmocka_unit_test_teardown(test_instances, teardown),
		cmocka_unit_test_teardown(test_from_a_pipe, teardown),
		cmocka_unit_test_teardown(test_from_the_middle, teardown),
		cmocka_unit_test_teardown(test_truncated_version_6, teardown),
		cmocka_unit_test_teardown(test_truncated_version_7, teardown),
		cmocka_unit_test_teardown(test_flipped_bits, teardown),
		cmocka_unit_test_teardown(test_damaged_pages, teardown),
		cmocka_unit_test_teardown(test_damaged_metadata, teardown),
		cmocka_unit_test_teardown(test_other_events, teardown),
		cmocka_unit_test_teardown(test_probe_lacks_field, teardown),
		cmocka_unit_test_teardown(test_declarations, teardown),
		cmocka_unit_test_teardown(test_mixed_up_formats, teardown),
		cmocka_unit_test_teardown(test_budget_is_given_back, teardown),
		cmocka_unit_test_teardown(test_budget_is_kept, teardown),
		cmocka_unit_test_teardown(test_overlapping_runs, teardown),
		cmocka_unit_test_teardown(test_unpacking, teardown),
		cmocka_unit_test_teardown(test_statistics_of_others, teardown),
		cmocka_unit_test_teardown(test_faults, teardown),
	};

	return cmocka_run_group_tests_name("tracedat", tests, NULL, NULL);
}
