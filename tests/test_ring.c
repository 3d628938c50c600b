/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture from ring buffer pages: recorded pages of a real kernel, fed through pipes and files, whole, cut off and
 * damaged; and, if this machine allows it, live ones from user-space probes on live_events, event for event and, with
 * tiny buffers, loss for loss.
 */
#undef _FORTIFY_SOURCE /* read() is replaced below */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "daemon/capture/ring.h"
#include "trace/formats/open.h"
#include "trace/source.h"

#define PAGE 4096
#define MAX_EVENTS 65536
#define MAX_DATA (64 * PAGE)
#define ALL 1000 /* pages a drain */
#define BIT(i) (1u << (i))

static struct ring *ring;
static struct intern *strings;
static struct error error;
static struct event *events; /* that the sink got, without losses */
static size_t nevents;
static struct event losses[1024];
static size_t nlosses, loss_at[1024]; /* index of the event that follows */
static uint64_t last_t, now_ns;
static uint8_t data[MAX_DATA];

/* --- read() as the kernel might answer: first what the script says, then what there is */

static int script_fd = -1, script_errno; /* 0: read gives 0 bytes */
static unsigned script_times;

ssize_t scripted_read(int fd, void *buf, size_t n) __asm__("read");
ssize_t scripted_read(int fd, void *buf, size_t n)
{
	if (fd == script_fd && script_times) {
		script_times--;
		errno = script_errno;
		return script_errno ? -1 : 0;
	}
	return syscall(SYS_read, fd, buf, n);
}

static void script(int fd, int err, unsigned times)
{
	script_fd = fd;
	script_errno = err;
	script_times = times;
}

/* --- around the ring */

static void sink(void *ctx, const struct event *ev, size_t n)
{
	size_t i;

	(void)ctx;
	for (i = 0; i < n; i++) {
		assert_true(ev[i].t >= last_t);
		last_t = ev[i].t;
		assert_int_equal(event_check(&ev[i], &error), 0);
		if (ev[i].kind == EV_lost && nlosses < 1024) {
			loss_at[nlosses] = nevents;
			losses[nlosses++] = ev[i];
		} else if (ev[i].kind != EV_lost) {
			assert_true(nevents < MAX_EVENTS);
			events[nevents++] = ev[i];
		}
	}
}

static uint64_t test_now(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static const char *data_path(const char *name)
{
	static char path[4096];
	const char *dir = getenv("IOFLUSH_TEST_DATA");

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "tests/data", name);
	return path;
}

static size_t read_path(const char *path, void *buf, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	while ((n = syscall(SYS_read, fd, (char *)buf + len, max - len)) > 0)
		len += (size_t)n;
	assert_true(n == 0);
	close(fd);
	return len;
}

static void give_formats(const char *system, const char *dir)
{
	static char text[16384];
	char path[4096];
	DIR *d = opendir(dir);
	struct dirent *ent;
	struct stat st;
	size_t len;

	assert_non_null(d);
	while ((ent = readdir(d))) {
		/* Recorded ones are files of the event's name, those of the kernel folders with a file "format". */
		snprintf(path, sizeof(path), "%s/%s/format", dir, ent->d_name);
		if (stat(path, &st))
			snprintf(path, sizeof(path), "%s/%s", dir, ent->d_name);
		if (ent->d_name[0] == '.' || stat(path, &st) || !S_ISREG(st.st_mode) ||
		    !strcmp(ent->d_name, "enable") || !strcmp(ent->d_name, "filter"))
			continue;
		len = read_path(path, text, sizeof(text));
		if (ring_format(ring, system, text, len, &error))
			fail_msg("%s: %s", path, error.text);
	}
	closedir(d);
}

static void new_ring(uint64_t window_ns, uint64_t bytes, uint64_t (*now)(void *))
{
	const struct ring_options o = {
		.merge_window_ns = window_ns, .merge_bytes = bytes, .sink = {NULL, sink}, .now = now};
	char text[4096];
	size_t len;

	ring_free(ring);
	intern_free(strings);
	nevents = nlosses = 0;
	last_t = 0;
	error.text[0] = '\0';
	strings = intern_new();
	ring = ring_new(&o, strings, &error);
	assert_non_null(ring);
	len = read_path(data_path("ring/header_page"), text, sizeof(text));
	assert_int_equal(ring_header_page(ring, text, len, &error), 0);
}

/* A ring for the recordings, at a time long after them. */
static void recorded_ring(uint64_t bytes)
{
	new_ring(1000000, bytes, test_now);
	give_formats("ioflush", data_path("ring/formats"));
	now_ns = 10000ull * 1000000000;
}

/* A file with these bytes, from its start. */
static int file_of(const void *buf, size_t len)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf, len), len);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int pipe_of(const void *buf, size_t len, int *end)
{
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_int_equal(write(fd[1], buf, len), len);
	*end = fd[1];
	return fd[0];
}

static size_t load(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "ring/%s", name);
	return read_path(data_path(path), data, sizeof(data));
}

/* A CPU with recorded pages, through a pipe that ends, and recorded statistics. */
static void add_recorded(unsigned cpu, const char *name, const char *stats)
{
	size_t len = load(name);
	char path[256];
	int fd, end, sfd = -1;

	if (stats) {
		snprintf(path, sizeof(path), "ring/%s", stats);
		sfd = open(data_path(path), O_RDONLY | O_CLOEXEC);
		assert_true(sfd >= 0);
	}
	fd = pipe_of(data, len, &end);
	close(end);
	assert_int_equal(ring_cpu_add(ring, cpu, fd, sfd, &error), 0);
}

static void add_bytes(unsigned cpu, const void *buf, size_t len)
{
	int end, fd = pipe_of(buf, len, &end);

	close(end);
	assert_int_equal(ring_cpu_add(ring, cpu, fd, -1, &error), 0);
}

static void drain(void)
{
	if (ring_drain(ring, ALL, NULL, &error) < 0)
		fail_msg("%s", error.text);
}

static void finish(void)
{
	if (ring_finish(ring, &error))
		fail_msg("%s", error.text);
}

static struct ring_stats stats(void)
{
	struct ring_stats s;

	ring_stats(ring, &s);
	return s;
}

static uint64_t lost_sum(void)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < nlosses; i++)
		sum += losses[i].lost.count;
	return sum;
}

#define COUNT_MISSING BIT(0)
#define SINCE_MISSING BIT(2)

static void check_loss(size_t i, unsigned cpu, int64_t count, const char *cause)
{
	assert_true(i < nlosses);
	assert_int_equal(losses[i].cpu, cpu);
	assert_int_equal(losses[i].tid, EVENT_NO_TID);
	assert_int_equal(losses[i].missing & COUNT_MISSING, count < 0 ? COUNT_MISSING : 0);
	assert_int_equal(losses[i].lost.count, count < 0 ? 0 : count);
	assert_string_equal(intern_get(strings, (uint32_t)losses[i].lost.cause), cause);
}

/* --- against traces */

static struct event *want;
static size_t nwant;
static struct intern *want_strings;
static struct source *want_source;

static void read_want(const char *path)
{
	struct capture c;
	ssize_t n;

	source_close(want_source);
	want_source = NULL;
	nwant = 0;
	if (source_open(&want_source, path, &error) || source_capture(want_source, &c, &error) != 1)
		fail_msg("%s", error.text);
	want_strings = want_source->strings;
	while ((n = source_read(want_source, want + nwant, MAX_EVENTS - nwant, &error)) > 0)
		nwant += (size_t)n;
	if (n < 0)
		fail_msg("%s", error.text);
}

/* What nothing can play is not expected. */
static void drop_lost(void)
{
	size_t i, n = 0;

	for (i = 0; i < nwant; i++)
		if (want[i].kind != EV_lost)
			want[n++] = want[i];
	nwant = n;
}

static void same_fields(const struct event *a, const struct event *b, size_t at)
{
	const struct event_desc *d = &event_table[b->kind];
	unsigned i;

	if (a->kind != b->kind)
		fail_msg("event %zu is a %s, not a %s", at, event_table[a->kind].name, d->name);
	if (a->missing != b->missing)
		fail_msg("event %zu, %s: missing: %x, not %x", at, d->name, a->missing, b->missing);
	for (i = 0; i < d->nfields; i++) {
		if (d->field[i].type == FIELD_STR) {
			if (a->f[i] || b->f[i])
				assert_string_equal(intern_get(strings, (uint32_t)a->f[i]),
						    intern_get(want_strings, (uint32_t)b->f[i]));
		} else if (a->f[i] != b->f[i]) {
			fail_msg("event %zu, %s: %s: %" PRIx64 ", not %" PRIx64, at, d->name, d->field[i].name, a->f[i],
				 b->f[i]);
		}
	}
}

static void check_want(void)
{
	size_t i;

	for (i = 0; i < nevents && i < nwant; i++)
		same_fields(&events[i], &want[i], i);
	assert_int_equal(nevents, nwant);
}

/* The number of a flood's event. */
static uint64_t sequence(const struct event *ev)
{
	if (ev->kind == EV_map)
		return ev->map.iova >> 12 << 1;
	assert_int_equal(ev->kind, EV_unmap);
	return (ev->unmap.iova >> 12 << 1) + 1;
}

/* --- recorded pages */

static void check_normal(void)
{
	struct ring_stats s = stats();

	read_want(data_path("cases/generated-11.jsonl"));
	check_want();
	assert_int_equal(nlosses, 0);
	assert_int_equal(s.records, 332);
	assert_int_equal(s.events, 318);
	assert_int_equal(s.other, 14);
	assert_int_equal(s.pages, 6);
	assert_int_equal(s.last_t, events[317].t);
}

static void test_two_cpus(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "normal/cpu0.raw", "normal/cpu0.stats");
	add_recorded(1, "normal/cpu1.raw", "normal/cpu1.stats");
	drain();
	check_normal();
	finish();
	check_normal();
}

static void test_whatever_order(void **state)
{
	size_t n = 0;
	int gone, gones = 0;

	(void)state;
	recorded_ring(1 << 20);
	add_recorded(1, "normal/cpu1.raw", NULL);
	add_recorded(0, "normal/cpu0.raw", NULL);
	do {
		assert_true(ring_drain(ring, 1, &gone, &error) >= 0);
		gones += gone >= 0;
	} while (++n < 20);
	assert_int_equal(gones, 2);
	check_normal();
}

/* Each CPU's pages as they come, the other's later: the window is what keeps the order. */
static void test_one_cpu_behind(void **state)
{
	int end;

	(void)state;
	recorded_ring(1 << 20);
	new_ring(1000000000, 1 << 20, test_now);
	give_formats("ioflush", data_path("ring/formats"));
	assert_int_equal(ring_cpu_add(ring, 0, pipe_of(data, 0, &end), -1, &error), 0);
	add_recorded(1, "normal/cpu1.raw", NULL);
	now_ns = 4715600000000; /* just after the recording */
	drain();
	assert_int_equal(nevents, 0);
	assert_int_equal(write(end, data, load("normal/cpu0.raw")), 3 * PAGE);
	close(end);
	drain();
	assert_int_equal(nevents, 0);
	now_ns += 500000000;
	drain();
	assert_in_range(nevents, 0, 317);
	now_ns += 1000000000;
	drain();
	check_normal();
}

static void test_time_extensions(void **state)
{
	size_t i;

	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "gaps/cpu0.raw", "gaps/cpu0.stats");
	drain();
	read_want(data_path("ring/gaps/trace"));
	check_want();
	assert_int_equal(nevents, 26);
	for (i = 0; i < nevents; i++) {
		assert_int_equal((events[i].t + 500) / 1000, want[i].t / 1000); /* the text is in microseconds, rounded */
		assert_int_equal(events[i].tid, want[i].tid);
		assert_int_equal(events[i].cpu, 0);
	}
	read_want(data_path("cases/hotplug.jsonl"));
	check_want();
	assert_int_equal(nlosses, 0);
}

static void test_dropped(void **state)
{
	size_t i;

	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "dropped/cpu0.raw", "dropped/cpu0.stats");
	drain();
	finish();
	assert_int_equal(nevents, 234);
	for (i = 0; i < nevents; i++)
		assert_int_equal(sequence(&events[i]), i);
	assert_int_equal(nlosses, 1);
	check_loss(0, 0, 766, "ring buffer");
	assert_int_equal(losses[0].missing, SINCE_MISSING); /* they were counted since nobody knows when */
	assert_int_equal(loss_at[0], 0);
	assert_int_equal(stats().lost_ring, 766);
}

/* What the probes missed is lost on no CPU, once, and known before the records that came later. */
static void test_missed(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	now_ns = 1000000000; /* before the recording */
	ring_missed(ring, 0);
	drain();
	assert_int_equal(nlosses, 0);
	ring_missed(ring, 3);
	drain();
	ring_missed(ring, 3);
	drain();
	assert_int_equal(nlosses, 1);
	check_loss(0, EVENT_NO_CPU, 3, "probe");
	assert_int_equal(losses[0].missing, SINCE_MISSING);
	add_recorded(0, "dropped/cpu0.raw", "dropped/cpu0.stats");
	now_ns = 10000ull * 1000000000;
	drain();
	ring_missed(ring, 8);
	drain();
	check_loss(nlosses - 1, EVENT_NO_CPU, 5, "probe");
	assert_int_equal(losses[nlosses - 1].missing, SINCE_MISSING); /* from before the first record, maybe */
	now_ns += 5ull * 1000000000;
	ring_missed(ring, 2); /* a module came anew */
	ring_missed(ring, 3);
	finish();
	assert_int_equal(stats().lost_probe, 9);
	check_loss(nlosses - 1, EVENT_NO_CPU, 1, "probe");
	assert_int_equal(losses[nlosses - 1].missing, 0);
	assert_true(losses[nlosses - 1].lost.since >= stats().last_t);
	assert_true(losses[nlosses - 1].lost.since <= 10000ull * 1000000000);
}

static void check_overwritten(void)
{
	size_t i;

	assert_int_equal(nevents, 220);
	for (i = 0; i < nevents; i++)
		assert_int_equal(sequence(&events[i]), 780 + i);
	assert_int_equal(nlosses, 1);
	check_loss(0, 0, 780, "ring buffer");
	assert_int_equal(loss_at[0], 0);
	assert_int_equal(losses[0].t, events[0].t);
	assert_int_equal(losses[0].missing, SINCE_MISSING);
	assert_int_equal(stats().lost_ring, 780);
	assert_int_equal(stats().lost_unknown, 0);
}

static void test_overwritten(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "overwritten/cpu0.raw", "overwritten/cpu0.stats");
	drain();
	finish();
	check_overwritten();
}

/* The first page with a time extension of no time before its first record: what libtraceevent's kbuffer stumbles over. */
static void test_loss_before_extension(void **state)
{
	size_t len = load("overwritten/cpu0.raw");
	uint64_t commit;
	uint32_t used;

	(void)state;
	recorded_ring(1 << 20);
	memcpy(&commit, data + 8, 8);
	used = commit & 0x7ffffff;
	assert_true(used + 8 + 8 <= PAGE - 16);
	memmove(data + 16 + 8, data + 16, used + 8); /* the stored count, too */
	memcpy(data + 16, (const uint32_t[]){30, 0}, 8);
	commit += 8;
	memcpy(data + 8, &commit, 8);
	add_bytes(0, data, len);
	drain();
	check_overwritten();
}

/* Between two pages, the loss has a beginning. */
static void test_loss_since(void **state)
{
	size_t len = load("overwritten/cpu0.raw");
	uint64_t commit, lost = 5;

	(void)state;
	recorded_ring(1 << 20);
	memcpy(&commit, data + PAGE + 8, 8);
	memcpy(data + PAGE + 16 + commit, &lost, 8);
	commit |= 3ull << 30;
	memcpy(data + PAGE + 8, &commit, 8);
	add_bytes(0, data, len);
	drain();
	assert_int_equal(nlosses, 2);
	check_loss(0, 0, 780, "ring buffer");
	check_loss(1, 0, 5, "ring buffer");
	assert_int_equal(losses[1].missing, 0);
	assert_int_equal(losses[1].lost.since, events[loss_at[1] - 1].t);
	assert_int_equal(losses[1].t, events[loss_at[1]].t);
}

static void test_overwritten_full(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "overwritten-full/cpu0.raw", NULL);
	drain();
	assert_int_equal(nevents, 184);
	assert_int_equal(nlosses, 1);
	check_loss(0, 0, -1, "ring buffer");
	assert_int_equal(stats().lost_unknown, 1);

	recorded_ring(1 << 20);
	add_recorded(0, "overwritten-full/cpu0.raw", "overwritten-full/cpu0.stats");
	drain();
	finish();
	assert_int_equal(nevents, 184);
	assert_int_equal(nlosses, 1);
	check_loss(0, 0, 816, "ring buffer");
	assert_int_equal(loss_at[0], 0);
	assert_int_equal(stats().lost_unknown, 0);
}

static void test_overwritten_gaps(void **state)
{
	size_t i;

	(void)state;
	recorded_ring(1 << 20);
	add_recorded(1, "overwritten-gaps/cpu1.raw", "overwritten-gaps/cpu1.stats");
	drain();
	assert_int_equal(nevents, 160);
	assert_int_equal(nlosses, 1);
	check_loss(0, 1, 60, "ring buffer");
	for (i = 1; i < nevents; i++)
		assert_in_range(events[i].t - events[i - 1].t, 140000000, 200000000);
}

/* All of CPU 0's pages, of 167 records, and statistics that tell that so many were read. */
static void read_told(unsigned read, bool damaged)
{
	char text[128];
	size_t len = load("normal/cpu0.raw");
	int end, fd;

	recorded_ring(1 << 20);
	if (damaged)
		memset(data + 8, 0xff, 3); /* how much the page holds */
	fd = pipe_of(data, len, &end);
	close(end);
	snprintf(text, sizeof(text), "entries: 0\noverrun: 0\ncommit overrun: 0\ndropped events: 0\nread events: %u\n",
		 read);
	assert_int_equal(ring_cpu_add(ring, 0, fd, file_of(text, strlen(text)), &error), 0);
	drain();
	finish();
}

/* The kernel counts what is read from a buffer: what others have read is lost to the record, what they emptied as a place. */
static void test_read_by_others(void **state)
{
	(void)state;
	read_told(167, false);
	assert_int_equal(nlosses, 0);
	read_told(167 + 5, false);
	assert_int_equal(nlosses, 1);
	check_loss(0, 0, 5, "ring buffer");
	assert_int_equal(stats().lost_ring, 5);
	assert_int_equal(stats().lost_unknown, 0);
	read_told(160, false);
	assert_int_equal(nlosses, 1);
	assert_int_equal(losses[0].missing & COUNT_MISSING, COUNT_MISSING);
	assert_int_equal(stats().lost_unknown, 1);
	/* a page that cannot be counted: nobody can say that records are missing beside it */
	read_told(167, true);
	assert_true(stats().records < 167);
	assert_int_equal(stats().lost_unknown, 1);
	assert_int_equal(lost_sum(), 0);
}

/* That recording was turned off and on again, or not again, is known at two times each: no more is known of the loss. */
static void test_changed(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	ring_watched(ring, false);
	add_recorded(0, "dropped/cpu0.raw", NULL);
	drain();
	assert_int_equal(nlosses, 0);
	ring_watched(ring, false);
	ring_watched(ring, true);
	ring_watched(ring, true);
	drain();
	assert_int_equal(nlosses, 1);
	assert_int_equal(losses[0].cpu, EVENT_NO_CPU);
	assert_int_equal(losses[0].missing, COUNT_MISSING);
	assert_int_equal(losses[0].lost.since, events[nevents - 1].t);
	assert_true(stats().changed);
	now_ns += 5000000;
	ring_watched(ring, false);
	ring_watched(ring, true);
	ring_watched(ring, true);
	finish();
	assert_int_equal(nlosses, 2);
	assert_int_equal(stats().lost_unknown, 4);
}

static void put_stats(int fd, unsigned commit, unsigned dropped)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "entries: 0\noverrun: 0\ncommit overrun: %u\nbytes: 0\ndropped events: %u\n", commit, dropped);

	assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
}

/* Statistics that grow while the buffer is read: each drop is told once, and begins where it was last known to be well. */
static void test_statistics_once(void **state)
{
	int end, fd, sfd = file_of("", 0), keep;
	size_t n;

	(void)state;
	recorded_ring(1 << 20);
	load("dropped/cpu0.raw");
	fd = pipe_of(data, PAGE, &end);
	keep = dup(sfd);
	put_stats(keep, 0, 0);
	assert_int_equal(ring_cpu_add(ring, 3, fd, sfd, &error), 0);
	drain();
	n = nevents;
	assert_int_equal(nlosses, 0);
	put_stats(keep, 2, 40);
	drain();
	assert_int_equal(nlosses, 0); /* they were read less than a second ago */
	now_ns += 1000000000;
	assert_int_equal(write(end, data + PAGE, PAGE), PAGE);
	drain();
	drain();
	assert_int_equal(nlosses, 1);
	check_loss(0, 3, 42, "ring buffer");
	assert_int_equal(losses[0].missing, 0);
	assert_int_equal(loss_at[0], n);
	assert_int_equal(losses[0].lost.since, events[n - 1].t);
	finish();
	assert_int_equal(nlosses, 1);
	close(end);
	close(keep);
}

/* --- damage */

static void test_truncated(void **state)
{
	size_t len = load("normal/cpu0.raw"), cut;
	static const size_t cuts[] = {1, 15, 16, 17, 100, 4000, PAGE + 9, 2 * PAGE + 100};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		recorded_ring(1 << 20);
		cut = cuts[i];
		load("normal/cpu0.raw");
		add_bytes(0, data, cut);
		drain();
		assert_int_equal(stats().pages, cut / PAGE + 1);
		assert_int_equal(nlosses, 1);
		check_loss(0, 0, -1, "decoder");
		assert_int_equal(stats().lost_unknown, 1);
		assert_int_equal(nevents > 0, cut > PAGE);
	}
	/* What was cut off was not in use. */
	recorded_ring(1 << 20);
	load("normal/cpu0.raw");
	add_bytes(0, data, len - 100);
	drain();
	assert_int_equal(nlosses, 0);
	assert_int_equal(stats().records, 167);
}

static void test_zeros_and_garbage(void **state)
{
	static uint8_t zeros[PAGE], ones[PAGE];
	size_t len = load("normal/cpu0.raw"), i;

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (i = 0; i < 2; i++) {
		recorded_ring(1 << 20);
		load("normal/cpu0.raw");
		memmove(data + 2 * PAGE, data + PAGE, len - PAGE);
		memcpy(data + PAGE, i ? ones : zeros, PAGE);
		add_bytes(0, data, len + PAGE);
		drain();
		assert_int_equal(stats().records, 167);
		assert_int_equal(nlosses, i);
		if (i)
			check_loss(0, 0, -1, "decoder");
	}
}

/* A page from the future must not make all that follows it late. */
static void test_future(void **state)
{
	size_t len = load("normal/cpu0.raw");
	uint64_t t = now_ns + 3600ull * 1000000000;

	(void)state;
	recorded_ring(1 << 20);
	memcpy(data, &t, 8);
	add_bytes(0, data, len);
	drain();
	finish();
	assert_int_equal(stats().records, 167);
	assert_true(nlosses > 0);
	assert_int_equal(lost_sum() + stats().events + stats().other, 167);
	assert_int_equal(stats().lost_late, 0);
	assert_int_equal(lost_sum(), stats().lost_decoder);
}

/* A bare end that a loss explains gives no event: it is among the others, so that the sum is that of the records. */
static void test_covered_ends(void **state)
{
	static const char bare_unmap[] = "name: unmap\nID: 2337\nformat:\n"
					 "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
					 "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
					 "\tfield:u64 unmapped;\toffset:16;\tsize:8;\tsigned:0;\n";

	(void)state;
	recorded_ring(1 << 20);
	assert_int_equal(ring_format(ring, "ioflush", bare_unmap, strlen(bare_unmap), &error), 0);
	add_recorded(0, "overwritten/cpu0.raw", NULL);
	drain();
	finish();
	assert_int_equal(stats().records, 220);
	assert_int_equal(stats().lost_decoder, 109); /* each an event */
	assert_int_equal(stats().events, 110 + 109);
	assert_int_equal(stats().other, 1);
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

static void test_flips(void **state)
{
	static const char *const names[] = {"normal/cpu0.raw", "overwritten/cpu0.raw", "gaps/cpu0.raw"};
	struct ring_stats s;
	unsigned i, k;
	size_t len;

	(void)state;
	for (i = 0; i < 300; i++) {
		recorded_ring(2 * PAGE);
		for (unsigned cpu = 0; cpu < 2; cpu++) {
			len = load(names[random_below(3)]);
			for (k = random_below(20); k; k--)
				data[random_below(2) ? random_below((uint32_t)len) :
						       random_below((uint32_t)len / PAGE) * PAGE + random_below(24)] ^=
					(uint8_t)(1u << random_below(8));
			add_bytes(cpu, data, len - random_below(3));
		}
		now_ns = 4760ull * 1000000000 + random_below(1000000000);
		drain();
		finish();
		s = stats();
		assert_int_equal(s.events, nevents);
		assert_true(s.records >= s.other + s.lost_decoder + s.lost_late + s.lost_merge);
	}
}

static void test_undecodable(void **state)
{
	static const char unmap_only[] = "name: unmap\nID: 2337\nformat:\n"
					 "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
					 "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
					 "\tfield:u64 domain;\toffset:16;\tsize:8;\tsigned:0;\n";
	struct ring_stats s;

	(void)state;
	recorded_ring(1 << 20);
	assert_int_equal(ring_format(ring, "ioflush", unmap_only, strlen(unmap_only), &error), 0);
	add_recorded(0, "overwritten/cpu0.raw", NULL);
	drain();
	s = stats();
	assert_int_equal(s.records, 220);
	assert_int_equal(s.events, 110);
	assert_int_equal(s.lost_decoder, 110);
	assert_int_equal(lost_sum(), 780 + 110);
	check_loss(1, 0, 1, "decoder");
}

static void test_formats(void **state)
{
	(void)state;
	recorded_ring(1 << 20);
	assert_int_equal(ring_format(ring, "ioflush", "nonsense", 8, &error), -1);
	assert_non_null(strstr(error.text, "not the format of an event"));
	error.text[0] = '\0';
	assert_int_equal(ring_format(ring, "ioflush", "name: map\nformat:\n\tfield", 24, &error), -1);
	assert_non_null(strstr(error.text, "ioflush/map cannot be parsed"));
	error.text[0] = '\0';
	give_formats("ioflush", data_path("ring/formats")); /* the same again */
	add_recorded(0, "normal/cpu0.raw", NULL);
	add_recorded(1, "normal/cpu1.raw", NULL);
	drain();
	check_normal();
	assert_int_equal(ring_header_page(ring, "field: u64 timestamp;", 21, &error), -1);
}

static void test_no_header_page(void **state)
{
	const struct ring_options o = {.sink = {NULL, sink}, .now = test_now};

	(void)state;
	ring_free(ring);
	error.text[0] = '\0';
	ring = ring_new(&o, strings, &error);
	assert_non_null(ring);
	assert_int_equal(ring_drain(ring, 1, NULL, &error), -1);
	assert_non_null(strstr(error.text, "header_page"));
}

/* --- time and memory */

static void test_late(void **state)
{
	struct ring_stats s;

	(void)state;
	recorded_ring(1 << 20);
	add_recorded(0, "normal/cpu0.raw", NULL);
	drain();
	assert_int_equal(stats().records, 167);
	add_recorded(1, "normal/cpu1.raw", NULL);
	drain();
	s = stats();
	assert_int_equal(s.records, 332);
	assert_true(s.lost_late > 100);
	assert_int_equal(s.lost_late + s.events + s.other, 332);
	assert_int_equal(lost_sum(), s.lost_late);
	check_loss(0, 1, (int64_t)losses[0].lost.count, "late");
	assert_int_equal(s.lost_merge, 0);
}

/* Everything lies within the window, so records must go before their time; order is kept where it can be. */
static void test_memory_bound(void **state)
{
	(void)state;
	new_ring(UINT64_MAX, 3 * PAGE, test_now);
	give_formats("ioflush", data_path("ring/formats"));
	add_recorded(0, "normal/cpu0.raw", NULL);
	add_recorded(1, "normal/cpu1.raw", NULL);
	drain();
	assert_in_range(nevents, 1, 317);
	finish();
	check_normal();
}

static void test_memory_loss(void **state)
{
	int end;

	(void)state;
	new_ring(UINT64_MAX, 2 * PAGE, test_now);
	give_formats("ioflush", data_path("ring/formats"));
	assert_int_equal(ring_cpu_add(ring, 0, pipe_of(data, 0, &end), -1, &error), 0);
	add_recorded(1, "normal/cpu1.raw", NULL);
	drain();
	assert_true(nevents > 0);
	assert_int_equal(write(end, data, load("normal/cpu0.raw")), 3 * PAGE);
	close(end);
	finish();
	assert_true(stats().lost_merge > 0);
	assert_int_equal(stats().lost_late, 0);
	assert_int_equal(stats().lost_merge + stats().events + stats().other, 332);
	assert_int_equal(lost_sum(), stats().lost_merge);
	check_loss(0, 0, (int64_t)losses[0].lost.count, "merge memory");
}

/* --- descriptors */

static void test_page_in_pieces(void **state)
{
	size_t len = load("normal/cpu0.raw"), at, n;
	int end, fd = pipe_of(data, 0, &end);

	(void)state;
	recorded_ring(1 << 20);
	assert_int_equal(ring_cpu_add(ring, 0, fd, -1, &error), 0);
	for (at = 0; at < len; at += n) {
		n = len - at < 1000 ? len - at : 1000;
		assert_int_equal(write(end, data + at, n), n);
		drain();
		assert_int_equal(stats().pages, (at + n) / PAGE);
	}
	close(end);
	assert_int_equal(stats().records, 167);
	assert_int_equal(nlosses, 0);
}

static void test_errors_of_read(void **state)
{
	int gone, fd, end;

	(void)state;
	recorded_ring(1 << 20);
	load("normal/cpu0.raw");
	fd = pipe_of(data, 3 * PAGE, &end);
	assert_int_equal(ring_cpu_add(ring, 7, fd, -1, &error), 0);
	script(fd, EINTR, 3);
	assert_int_equal(ring_drain(ring, 1, &gone, &error), 1);
	script(fd, EAGAIN, 1);
	assert_int_equal(ring_drain(ring, 1, &gone, &error), 0);
	script(fd, 0, 1); /* the kernel, when a writer was just about to */
	assert_int_equal(ring_drain(ring, 1, &gone, &error), 1);
	assert_int_equal(gone, -1);
	script(fd, ENODEV, 1);
	assert_int_equal(ring_drain(ring, 1, &gone, &error), 0);
	assert_int_equal(gone, 7);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(ring_drain(ring, 1, &gone, &error), 0);
	assert_int_equal(gone, -1);
	/* It comes back, with what it has now. */
	add_bytes(7, data + 2 * PAGE, PAGE);
	assert_int_equal(ring_drain(ring, ALL, &gone, &error), 1);
	assert_int_equal(gone, 7);
	assert_int_equal(stats().records, 167);
	assert_int_equal(nlosses, 0);
	close(end);
	script(-1, 0, 0);
}

/* A file of tracefs gives nothing, rather than EAGAIN, once a duplicate of its descriptor was closed: that is no end. */
static void test_files_do_not_end(void **state)
{
	size_t len = load("normal/cpu0.raw");
	int fd = file_of(data, PAGE), gone;

	(void)state;
	recorded_ring(1 << 20);
	load("normal/cpu0.raw");
	assert_int_equal(ring_cpu_add(ring, 0, fd, -1, &error), 0);
	assert_int_equal(ring_drain(ring, ALL, &gone, &error), 1);
	assert_int_equal(gone, -1);
	assert_int_equal(ring_drain(ring, ALL, &gone, &error), 0);
	assert_int_equal(gone, -1);
	assert_int_equal(pwrite(fd, data + PAGE, len - PAGE, PAGE), len - PAGE);
	assert_int_equal(ring_drain(ring, ALL, &gone, &error), 2);
	assert_int_equal(gone, -1);
	assert_int_equal(stats().records, 167);
}

static void test_cpus(void **state)
{
	int fd, end;

	(void)state;
	recorded_ring(1 << 20);
	assert_int_equal(ring_cpu_add(ring, 0, pipe_of(data, 0, &end), -1, &error), 0);
	fd = file_of("", 0);
	assert_int_equal(ring_cpu_add(ring, 0, fd, -1, &error), -1);
	assert_non_null(strstr(error.text, "CPU 0: is there already"));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	error.text[0] = '\0';
	assert_int_equal(ring_cpu_add(ring, 1, -1, -1, &error), -1);
	/* What was read before a CPU went is still given out. */
	now_ns = 4715500000000;
	assert_int_equal(write(end, data, load("normal/cpu0.raw")), 3 * PAGE);
	drain();
	assert_true(nevents < 140);
	close(end);
	drain();
	finish();
	assert_int_equal(stats().records, 167);
	assert_int_equal(nlosses, 0);
}

static void test_commands(void **state)
{
	char text[128];
	size_t i;
	int len;

	(void)state;
	recorded_ring(1 << 20);
	read_want(data_path("ring/gaps/trace"));
	/* a name, and lines that a thread's name may have made */
	len = snprintf(text, sizeof(text), "1 initialization\n%u a name\n%u x\nrubbish\n%u", want[0].tid, want[0].tid,
		       want[0].tid);
	ring_cmdlines(ring, file_of(text, (size_t)len));
	add_recorded(0, "gaps/cpu0.raw", NULL);
	drain();
	assert_int_equal(nevents, 26);
	for (i = 0; i < nevents; i++)
		assert_string_equal(intern_get(strings, events[i].comm), "a name");
	assert_int_equal(stats().doubtful_names, 0); /* its name is known */
}

/* Another thread's name may have made all that the table says of this one. */
static void test_forged_command(void **state)
{
	char text[128];
	size_t i;
	int len;

	(void)state;
	recorded_ring(1 << 20);
	read_want(data_path("ring/gaps/trace"));
	len = snprintf(text, sizeof(text), "1 a\n%u x\n", want[0].tid);
	ring_cmdlines(ring, file_of(text, (size_t)len));
	add_recorded(0, "gaps/cpu0.raw", NULL);
	drain();
	assert_int_equal(nevents, 26);
	for (i = 0; i < nevents; i++)
		assert_int_equal(events[i].comm, 0);
	assert_true(stats().doubtful_names >= 26);
}

/* --- live */

#define TRACEFS "/sys/kernel/tracing"
#define LIVE_CPUS 64

static char live_program[PATH_MAX], group[64], instance[256];
static bool instance_made, live;

static int put(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	int err = errno;

	if (fd >= 0)
		close(fd);
	errno = err;
	return n < 0 ? -1 : 0;
}

static int put_instance(const char *file, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	return put(path, text, 0);
}

/* Calls fn for each line that live_events prints; how many lines it was 0 for. */
static int each_line(const char *const argv[], int (*fn)(char *line))
{
	char *line = NULL;
	size_t cap = 0;
	int fd[2], status, good = 0;
	FILE *f;
	pid_t pid;

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fd[1], 1);
		execv(live_program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fd[1]);
	f = fdopen(fd[0], "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		good += !fn(line);
	}
	free(line);
	fclose(f);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status) ? good : -1;
}

static int arm_line(char *line)
{
	return put(TRACEFS "/dynamic_events", line, O_APPEND);
}

static int disarm_line(char *line)
{
	char *space = strchr(line, ' ');

	if (space)
		*space = '\0';
	line[0] = '-';
	return put(TRACEFS "/dynamic_events", line, O_APPEND);
}

static void enable(const char *value)
{
	char file[256];

	snprintf(file, sizeof(file), "events/%s/enable", group);
	put_instance(file, value);
}

static int live_teardown(void **state)
{
	const char *const argv[] = {"live_events", "--probes", group, NULL};

	(void)state;
	ring_free(ring); /* its descriptors keep the instance */
	ring = NULL;
	if (instance_made) {
		put_instance("tracing_on", "0");
		enable("0");
		if (rmdir(instance))
			print_message("# %s: %s\n", instance, strerror(errno));
		each_line(argv, disarm_line);
	}
	instance_made = false;
	return 0;
}

/* Why there is nothing live on this machine, or NULL: it is armed. */
static const char *arm(void)
{
	const char *const argv[] = {"live_events", "--probes", group, NULL};
	const char *given = getenv("LIVE_EVENTS");
	ssize_t len = readlink("/proc/self/exe", live_program, sizeof(live_program) - 32);

	if (len > 0) {
		live_program[len] = '\0';
		strcpy(strrchr(live_program, '/') + 1, "live_events");
	}
	if (given)
		snprintf(live_program, sizeof(live_program), "%s", given);
	if (access(live_program, X_OK))
		return "the program live_events is not built";
	if (geteuid())
		return "only root may trace";
	if (access(TRACEFS "/dynamic_events", W_OK))
		return "no tracefs with dynamic events at " TRACEFS;
	snprintf(group, sizeof(group), "ioflush_test_ring_%d", (int)getpid());
	snprintf(instance, sizeof(instance), TRACEFS "/instances/%s", group);
	if (mkdir(instance, 0700))
		return "tracefs makes no instance";
	instance_made = true;
	if (each_line(argv, arm_line) < 20)
		return "the kernel takes no user-space probes";
	if (put_instance("trace_clock", "mono"))
		return "the kernel has no trace clock \"mono\"";
	assert_int_equal(put_instance("tracing_on", "0"), 0);
	enable("1");
	return NULL;
}

static int live_setup(void **state)
{
	const char *why = arm();

	live = !why;
	if (why) {
		print_message("# live tests are skipped: %s\n", why);
		live_teardown(state);
	}
	return 0;
}

static int open_cpu_file(unsigned cpu, const char *file)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/per_cpu/cpu%u/%s", instance, cpu, file);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* A fresh buffer of this size, and a ring on it. */
static void live_start(const char *kib, const char *overwrite, uint64_t bytes)
{
	char path[512];
	unsigned cpu;
	int fd;

	ring_free(ring);
	ring = NULL;
	assert_int_equal(put_instance("tracing_on", "0"), 0);
	assert_int_equal(put_instance("options/overwrite", overwrite), 0);
	assert_int_equal(put_instance("buffer_size_kb", kib), 0);
	snprintf(path, sizeof(path), "%s/trace", instance);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC); /* empties it */
	assert_true(fd >= 0);
	close(fd);
	new_ring(20000000, bytes, NULL);
	snprintf(path, sizeof(path), "%s/events/%s", instance, group);
	give_formats("ioflush", path);
	for (cpu = 0; cpu < LIVE_CPUS; cpu++) {
		fd = open_cpu_file(cpu, "trace_pipe_raw");
		if (fd >= 0)
			assert_int_equal(ring_cpu_add(ring, cpu, fd, open_cpu_file(cpu, "stats"), &error), 0);
	}
	assert_int_equal(put_instance("tracing_on", "1"), 0);
}

/* Runs live_events, draining meanwhile every so many microseconds, and then the rest. */
static void live_run(const char *const argv[], unsigned pause_us)
{
	int status, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		dup2(null, 1);
		execv(live_program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(null);
	while (!waitpid(pid, &status, WNOHANG)) {
		drain();
		usleep(pause_us);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(put_instance("tracing_on", "0"), 0);
	drain();
	finish();
}

static void play_case(const char *path)
{
	const char *const argv[] = {"live_events", "--threads", "2", "--play", path, NULL};

	live_start("4096", "0", 1 << 24);
	live_run(argv, 20000);
	read_want(path);
	drop_lost();
	if (nlosses)
		fail_msg("%s: %" PRIu64 " records lost", path, lost_sum());
	check_want();
}

static void test_live_cases(void **state)
{
	char dir[4096], path[8192];
	struct dirent *ent;
	DIR *d;
	unsigned n = 0;

	(void)state;
	if (!live)
		skip();
	snprintf(dir, sizeof(dir), "%s", data_path("cases"));
	d = opendir(dir);
	assert_non_null(d);
	while ((ent = readdir(d))) {
		if (!strstr(ent->d_name, ".jsonl"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, ent->d_name);
		play_case(path);
		n++;
	}
	closedir(d);
	assert_in_range(n, 20, 100);
}

/* Strings and commands come from user memory and from the kernel's table. */
static void test_live_strings(void **state)
{
	static const char text[] = "{\"ioflush_trace\":1,\"page_size\":4096}\n"
				   "{\"t\":1,\"cpu\":0,\"tid\":1,\"e\":\"attach\",\"hwpt\":\"0x10\",\"domain\":\"0x20\","
				   "\"device\":\"0000:00:02.0\"}\n"
				   "{\"t\":2,\"cpu\":0,\"tid\":1,\"e\":\"detach\",\"hwpt\":\"0x10\",\"domain\":\"0x20\","
				   "\"device\":\"a device of a longer name than the one before it\"}\n";
	char path[64];
	int fd;
	const char *const argv[] = {"live_events", "--play", path, NULL};

	(void)state;
	if (!live)
		skip();
	fd = file_of(text, strlen(text));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	live_start("64", "0", 1 << 20);
	ring_cmdlines(ring, open(TRACEFS "/saved_cmdlines", O_RDONLY | O_CLOEXEC));
	live_run(argv, 20000);
	read_want(path);
	check_want();
	assert_string_equal(intern_get(strings, events[0].comm), "live_events");
	close(fd);
}

/* Eight KiB a CPU, read now and then: what comes and what is told to be lost is what was sent, to the record. */
static void flood(const char *const argv[], const char *overwrite, uint64_t sent, unsigned pause_us)
{
	struct ring_stats s;

	live_start("8", overwrite, 1 << 20);
	live_run(argv, pause_us);
	s = stats();
	print_message("# overwrite %s, drain every %u us: sent %" PRIu64 ", events %" PRIu64 ", lost %" PRIu64
		      " in %zu places, %" PRIu64 " of unknown count\n",
		      overwrite, pause_us, sent, s.events, s.lost_ring, nlosses, s.lost_unknown);
	assert_int_equal(s.events, nevents);
	if (pause_us >= 100000)
		assert_true(s.lost_ring > 0);
	assert_int_equal(s.lost_late + s.lost_merge + s.lost_decoder, 0);
	assert_int_equal(lost_sum(), s.lost_ring);
	assert_int_equal(s.events + s.lost_ring, sent);
}

static void test_live_flood(void **state)
{
	const char *const argv[] = {"live_events", "--cpu", "0", "--flood", "30000", NULL};
	static const unsigned pauses[] = {5000, 20000, 100000};
	size_t i;

	(void)state;
	if (!live)
		skip();
	for (i = 0; i < 3; i++) {
		flood(argv, "0", 30000, pauses[i]);
		flood(argv, "1", 30000, pauses[i]);
	}
}

/* Records that fill pages to the last byte: no page has room to tell how many were lost. */
static void test_live_flood_full_pages(void **state)
{
	char path[4096];
	const char *const argv[] = {"live_events", "--cpu", "0", "--repeat", "30000", "--play", path, NULL};
	static const unsigned pauses[] = {5000, 20000, 100000};
	size_t i;

	(void)state;
	if (!live)
		skip();
	snprintf(path, sizeof(path), "%s", data_path("ring/map.jsonl"));
	for (i = 0; i < 3; i++) {
		flood(argv, "0", 30000, pauses[i]);
		flood(argv, "1", 30000, pauses[i]);
	}
}

static int setup(void **state)
{
	(void)state;
	events = calloc(MAX_EVENTS, sizeof(*events));
	want = calloc(MAX_EVENTS, sizeof(*want));
	log_init(LOG_L_ERROR, false);
	return events && want ? live_setup(state) : -1;
}

static int teardown(void **state)
{
	live_teardown(state);
	intern_free(strings);
	source_close(want_source);
	free(events);
	free(want);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_cpus),
		cmocka_unit_test(test_whatever_order),
		cmocka_unit_test(test_one_cpu_behind),
		cmocka_unit_test(test_time_extensions),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_missed),
		cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_loss_before_extension),
		cmocka_unit_test(test_loss_since),
		cmocka_unit_test(test_overwritten_full),
		cmocka_unit_test(test_overwritten_gaps),
		cmocka_unit_test(test_statistics_once),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_zeros_and_garbage),
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_covered_ends),
		cmocka_unit_test(test_undecodable),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_no_header_page),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_memory_bound),
		cmocka_unit_test(test_memory_loss),
		cmocka_unit_test(test_page_in_pieces),
		cmocka_unit_test(test_errors_of_read),
		cmocka_unit_test(test_files_do_not_end),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_forged_command),
		cmocka_unit_test(test_live_cases),
		cmocka_unit_test(test_live_strings),
		cmocka_unit_test(test_live_flood),
		cmocka_unit_test(test_live_flood_full_pages),
		cmocka_unit_test(test_read_by_others),
		cmocka_unit_test(test_changed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
