/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the queue to committed rows, against the speed limit: bare inserts by one prepared statement into the same table, in
 * transactions of the same size. Both write the same rows to a database made the same way, with a write-ahead log and
 * synchronous NORMAL, and all of it is in the database file at the end; runs alternate, medians count.
 *
 * usage: writer DIR [EVENTS [RUNS]]; prints "writer ROWS/S bare ROWS/S ratio R"
 */
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/record/writer.h"
#include "trace/store/open.h"
#include "trace/store/store.h"

#define CHUNK 512u
#define BATCH 8192u
#define MOST_RUNS 31

static const struct capture meta = {
	.source = "bench", .format = "live", .host = "h", .kernel = "k", .clock = "mono", .probes = ""};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_event(struct event *ev, uint64_t i)
{
	memset(ev, 0, sizeof(*ev));
	ev->t = 1000000 + i * 700;
	ev->cpu = (uint32_t)(i & 1);
	ev->tid = 4242;
	ev->kind = EV_map;
	ev->map.domain = 0xff11000000000100ull;
	ev->map.iova = i << 12;
	ev->map.paddr = (i * 7919 & 0xffffff) << 12;
	ev->map.size = 4096;
	ev->map.prot = 3;
}

static void remove_db(const char *path)
{
	static const char *const suffix[] = {"", "-wal", "-shm"};
	char name[4200];
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
		unlink(name);
	}
}

/* Seconds, or -1: it failed, and said why. */
static double run_writer(char *path, uint64_t events)
{
	struct intern *strings = intern_new();
	struct writer_stats s;
	struct config c = {.db = path, .queue_events = 65536, .batch_rows = BATCH, .batch_time = 500};
	struct event ev[CHUNK];
	struct error e = {""};
	struct writer *w;
	double start = now();
	uint64_t i, k;

	w = strings ? writer_new(&c, &meta, strings, &e) : NULL;
	for (i = 0; w && i < events; i += k) {
		for (k = 0; k < CHUNK && i + k < events; k++)
			make_event(&ev[k], i + k);
		while (writer_stats(w, &s), s.queued + k > c.queue_events)
			poll(NULL, 0, 1);
		writer_put(w, ev, k);
	}
	if (!w || writer_close(w, &e)) {
		fprintf(stderr, "writer: %s\n", e.text);
		return -1;
	}
	intern_free(strings);
	return now() - start;
}

static int bare_inserts(sqlite3 *db, uint64_t events)
{
	sqlite3_stmt *stmt;
	struct event ev;
	uint64_t i;
	int f;

	if (sqlite3_exec(db, "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; INSERT INTO task VALUES (1, 4242, NULL)",
			 NULL, NULL, NULL) ||
	    sqlite3_prepare_v2(db,
			       "INSERT INTO event (capture, id, t, cpu, task, kind, f0, f1, f2, f3, f4) VALUES (?1, ?2, ?3, "
			       "?4, ?5, 11, ?6, ?7, ?8, ?9, ?10)",
			       -1, &stmt, NULL))
		return -1;
	for (i = 0; i < events; i++) {
		make_event(&ev, i);
		sqlite3_bind_int64(stmt, 1, 1);
		sqlite3_bind_int64(stmt, 2, (int64_t)i + 1);
		sqlite3_bind_int64(stmt, 3, (int64_t)ev.t);
		sqlite3_bind_int64(stmt, 4, ev.cpu);
		sqlite3_bind_int64(stmt, 5, 1);
		for (f = 0; f < 5; f++)
			sqlite3_bind_int64(stmt, 6 + f, (int64_t)ev.f[f]);
		if (sqlite3_step(stmt) != SQLITE_DONE || sqlite3_reset(stmt))
			return -1;
		if (i % BATCH == BATCH - 1 && sqlite3_exec(db, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL))
			return -1;
	}
	sqlite3_finalize(stmt);
	return sqlite3_exec(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
}

static double run_bare(const char *path, uint64_t events)
{
	struct db_guard guard = {0};
	struct error e = {""};
	double start = now();
	sqlite3 *db = NULL;
	struct store *s;
	int rc = store_open(&s, path, STORE_WAL, &e);

	if (!rc) {
		store_close(s);
		rc = db_open(&db, path, DB_WRITE, &guard, &e);
	}
	if (rc) {
		fprintf(stderr, "writer: %s\n", e.text);
		return -1;
	}
	if (bare_inserts(db, events)) {
		fprintf(stderr, "writer: %s\n", sqlite3_errmsg(db));
		return -1;
	}
	sqlite3_close(db);
	return now() - start;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	int runs = argc > 3 ? atoi(argv[3]) : 5, i;
	double writer[MOST_RUNS], bare[MOST_RUNS], w, b;
	char path[4096];

	if (argc < 2 || runs < 1 || runs > MOST_RUNS || !events) {
		fprintf(stderr, "usage: writer DIR [EVENTS [RUNS]]\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/bench-writer.db", argv[1]);
	for (i = 0; i < runs; i++) {
		remove_db(path);
		writer[i] = run_writer(path, events);
		remove_db(path);
		bare[i] = run_bare(path, events);
		remove_db(path);
		if (writer[i] < 0 || bare[i] < 0)
			return 1;
	}
	qsort(writer, (size_t)runs, sizeof(writer[0]), by_value);
	qsort(bare, (size_t)runs, sizeof(bare[0]), by_value);
	w = (double)events / writer[runs / 2];
	b = (double)events / bare[runs / 2];
	printf("writer %.0f bare %.0f ratio %.3f\n", w, b, w / b);
	return 0;
}
