/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the API share: a database with three captures made from a case, live numbers that are made up, and a
 * configuration that points at them.
 *
 *	1	hotplug.jsonl, complete
 *	2	its first events, and what was lost; cut off: one iopt with one domain is there
 *	3	the same, still recording
 */
#ifndef IOFLUSH_TESTS_API_FIXTURE_H
#define IOFLUSH_TESTS_API_FIXTURE_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api/api.h"
#include "daemon/capture/ring.h"
#include "daemon/config/config.h"
#include "daemon/probes/priv.h"
#include "daemon/record/writer.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/store.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIXTURE_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIXTURE_ASAN
#endif
#endif

#define FIXTURE_EVENTS 64
#define FIXTURE_FIRST 8 /* events of the case that captures 2 and 3 have */

struct fixture {
	char dir[1024];
	char db[1040];
	char listen[1056];
	char program[PATH_MAX];
	struct config config;
	struct priv_armed armed;
	struct armed_event probe[3];
	struct ring_stats ring;
	struct writer_stats writer;
	uint64_t kinds[EV_KINDS];
	struct api_live live;
};

static inline void fixture_ring(void *ctx, struct ring_stats *out)
{
	*out = ((struct fixture *)ctx)->ring;
}

static inline void fixture_writer(void *ctx, struct writer_stats *out)
{
	*out = ((struct fixture *)ctx)->writer;
}

static inline void fixture_kinds(void *ctx, uint64_t by_kind[EV_KINDS])
{
	memcpy(by_kind, ((struct fixture *)ctx)->kinds, sizeof(((struct fixture *)ctx)->kinds));
}

static inline uint64_t fixture_interval(void *ctx)
{
	return ((struct fixture *)ctx)->config.drain_interval;
}

static inline uint32_t fixture_string(struct intern *s, const char *text)
{
	return intern_add(s, text, strlen(text));
}

/* One capture: n events, and with extra a device before them and losses behind. */
static inline int fixture_capture(struct store *st, struct intern *strings, const struct event *ev, size_t n,
				  bool extra, const char *state, struct error *e)
{
	const struct capture c = {.source = "live",
				  .format = "live",
				  .host = "h\xc3\xa9",
				  .kernel = "6.12",
				  .clock = "mono",
				  .probes = "f:ioflush/map iommu_map\nf:ioflush/unmap iommu_unmap"};
	struct event more[3];
	uint64_t id;

	memset(more, 0, sizeof(more));
	more[0] = (struct event){
		.t = ev[0].t, .cpu = 1, .tid = 7, .comm = fixture_string(strings, "qemu"), .kind = EV_attach};
	more[0].attach.hwpt = 0xffff000000000001ull;
	more[0].attach.domain = 0xff11000000000100ull;
	more[0].attach.device = fixture_string(strings, "0000:00:02.0");
	more[1] = (struct event){.t = ev[n - 1].t + 1, .cpu = 0, .tid = EVENT_NO_TID, .kind = EV_lost, .missing = 4};
	more[1].lost.count = 12;
	more[1].lost.cause = fixture_string(strings, "ring buffer");
	more[2] = more[1];
	more[2].missing = 5;
	more[2].lost.count = 0;
	if (store_begin(st, e) || store_capture_begin(st, &c, &id, e) ||
	    (extra && store_append(st, more, 1, strings, e)) || store_append(st, ev, n, strings, e) ||
	    (extra && store_append(st, more + 1, 2, strings, e)) ||
	    (strcmp(state, "recording") && store_capture_end(st, state, state[1] == 'u' ? "the recorder died" : "", e)))
		return -1;
	return store_commit(st, e);
}

static inline int fixture_database(const char *path, struct error *e)
{
	const char *data = getenv("IOFLUSH_TEST_DATA");
	struct event ev[FIXTURE_EVENTS];
	char file[PATH_MAX];
	struct source *src = NULL;
	struct store *st = NULL;
	struct capture c;
	ssize_t n = 0;
	int ret = -1;

	snprintf(file, sizeof(file), "%s/cases/hotplug.jsonl", data ? data : "tests/data");
	if (source_open(&src, file, e) || source_capture(src, &c, e) <= 0)
		goto out;
	n = source_read(src, ev, FIXTURE_EVENTS, e);
	if (n <= FIXTURE_FIRST || store_open(&st, path, STORE_WAL, e))
		goto out;
	if (!fixture_capture(st, src->strings, ev, (size_t)n, false, "complete", e) &&
	    !fixture_capture(st, src->strings, ev, FIXTURE_FIRST, true, "cut-off", e) &&
	    !fixture_capture(st, src->strings, ev, FIXTURE_FIRST, true, "recording", e))
		ret = 0;
out:
	store_close(st);
	source_close(src);
	return ret;
}

/* A capture whose events, as JSON, are more than a socket's buffers hold. 0, or -1 and the error. */
static inline int fixture_large_capture(const struct fixture *f, struct error *e)
{
	const struct capture c = {.source = "", .format = "live", .host = "", .kernel = "", .clock = "mono", .probes = ""};
	struct intern *strings = intern_new();
	struct store *st = NULL;
	struct event ev;
	uint64_t id;
	int ret = -1;

	memset(&ev, 0, sizeof(ev));
	ev.kind = EV_area_fill;
	ev.area_fill = (struct event_area_fill){.area = 0xff11000000000000ull,
						.pages = 0xff11000000000100ull,
						.iopt = 0xff11000000000200ull,
						.iova = 0x1000000000ull,
						.last = 0x1000000fffull,
						.uptr = 0x7f0000000000ull,
						.npages = 1};
	if (!strings || store_open(&st, f->db, STORE_WAL, e) || store_begin(st, e) || store_capture_begin(st, &c, &id, e))
		goto out;
	for (int i = 0; i < 1000; i++) {
		ev.t = (uint64_t)i;
		if (store_append(st, &ev, 1, strings, e))
			goto out;
	}
	if (!store_capture_end(st, "complete", "", e))
		ret = store_commit(st, e);
out:
	store_close(st);
	intern_free(strings);
	return ret;
}

static inline void fixture_numbers(struct fixture *f)
{
	f->probe[0] = (struct armed_event){.name = (char *)"map", .alt = 0, .line = (char *)"f:ioflushd/map iommu_map"};
	f->probe[1] = (struct armed_event){.name = (char *)"unmap",
					   .alt = 1,
					   .line = (char *)"p:ioflushd/unmap iommu_unmap",
					   .lost = (char *)"the size",
					   .refused = (char *)"f:...: Invalid argument"};
	f->probe[2] = (struct armed_event){.name = (char *)"unpin", .alt = -1, .refused = (char *)"No such file"};
	f->armed = (struct priv_armed){.event = f->probe, .nevents = 3};
	f->ring = (struct ring_stats){.pages = 10,
				      .records = 1000,
				      .events = 900,
				      .other = 90,
				      .lost_ring = 7,
				      .unnamed = 11,
				      .doubtful_names = 2,
				      .lost_decoder = 1,
				      .lost_late = 2,
				      .lost_unknown = 1,
				      .last_t = 99,
				      .drains = 5};
	f->writer = (struct writer_stats){.queued = 3,
					  .queue_max = 70,
					  .rows = 890,
					  .batches = 4,
					  .commits = 4,
					  .lost_queue = 5,
					  .unnamed = 12,
					  .batch_ns_sum = 4000000,
					  .commit_ns_sum = 2000000,
					  .commit_ns_max = 1500000,
					  .db_bytes = 123456,
					  .capture = 3};
	f->kinds[EV_map] = 500;
	f->kinds[EV_unmap] = 400;
	f->live = (struct api_live){.ctx = f,
				    .capture = fixture_ring,
				    .writer = fixture_writer,
				    .armed = &f->armed,
				    .kinds = fixture_kinds,
				    .drain_interval = fixture_interval};
}

/* A folder of its own with the database. 0, or -1 and the error. */
static inline int fixture_make(struct fixture *f, struct error *e)
{
	const char *tmp = getenv("TMPDIR"), *program = getenv("IOFLUSH");

	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir) - 32, "%s/ioflush-api.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->dir))
		return error_errno(e, "%s", f->dir);
	snprintf(f->db, sizeof(f->db), "%s/live.db", f->dir);
	snprintf(f->listen, sizeof(f->listen), "unix:%s/api.sock", f->dir);
	snprintf(f->program, sizeof(f->program), "%s", program ? program : "build/ioflush");
	fixture_numbers(f);
	f->config = (struct config){
		.db = f->db,
		.listen = f->listen,
		.token_file = (char *)"",
		.policies = (char *)"all",
		.replay_program = f->program,
		.drain_interval = 100,
		.http_max_body = 4096,
		.http_max_headers = 2048,
		.http_max_connections = 128,
		.http_timeout = 10000,
		.replay_max = 2,
		.replay_timeout = 60000,
		.replay_memory = 4ull << 30,
	};
#ifdef FIXTURE_ASAN
	f->config.replay_memory = 1ull << 62; /* address space is what that sanitizer is generous with */
#endif
	return fixture_database(f->db, e);
}

static inline void fixture_remove(const struct fixture *f)
{
	static const char *const names[] = {"", "-wal", "-shm"};
	char path[1100];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", f->db, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/token", f->dir);
	unlink(path);
	rmdir(f->dir);
}

#endif
