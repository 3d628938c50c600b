/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database for the API: a read-only connection of its own, to the file that is recorded into, wherever that is now.
 * If another file appears at its path, that is left alone. Each question is bounded in rows, and each statement in
 * time.
 */
#ifndef IOFLUSH_DAEMON_API_DB_H
#define IOFLUSH_DAEMON_API_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file_id.h"
#include "trace/event.h"
#include "trace/store/rows.h"

#define API_DB_CAUSES 12

struct api_db;

/* What a capture lost, as its lost events say. */
struct api_losses {
	uint64_t rows, records; /* records: as far as counted */
	uint64_t unknown;	/* rows with an unknown count */
	bool more;		/* more rows than were read so far: ask again */
	size_t causes;
	struct {
		char name[64];
		uint64_t records;
	} cause[API_DB_CAUSES];
};

struct api_event {
	struct event_row row;
	struct event ev;    /* without its texts: */
	const char *comm;   /* NULL: unknown; valid during the call */
	const char *string; /* of the kind's text field; NULL: unknown */
};

struct api_filter {
	uint64_t capture; /* 0: all */
	uint64_t kinds;	  /* bits by kind; 0: all */
	bool has_domain, has_iopt, has_from, has_to;
	uint64_t domain, iopt, from, to;
	bool descending;
	uint64_t after; /* an id: continue after it, in the requested order */
	bool has_after;
	size_t limit;
};

struct api_db *api_db_new(const char *path); /* NULL: out of memory */
void api_db_free(struct api_db *db);

/*
 * Opens it if necessary. recorded: the file that is recorded into; unknown: the one opened first, or the first to
 * exist. 0; -1 and the error: it is missing, not ours, another file, or busy.
 */
int api_db_ready(struct api_db *db, const struct file_id *recorded, struct error *e);

/* The open file, for a process that opens it by name. */
void api_db_file(const struct api_db *db, char text[FILE_ID_TEXT]);

/* A capture by number, or 0: the newest; its texts last until the next is read. 1, 0: there is none, or -1. */
int api_db_capture(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e);
/* The capture before the one given (0: the newest). 1, 0, -1. */
int api_db_capture_before(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e);

/* *rows: how many lost events may still be read, so that an answer about many captures is bounded. */
#define API_DB_LOSS_ROWS 8192
int api_db_losses(struct api_db *db, const struct capture_row *c, size_t *rows, struct api_losses *out, struct error *e);

/*
 * Calls fn for each event that passes the filter, until the page is full or enough rows were read. *next: the id to
 * continue after; *more: whether there may be more now. 0, -1, or what fn returned.
 */
int api_db_events(struct api_db *db, const struct api_filter *f, int (*fn)(void *ctx, const struct api_event *ev),
		  void *ctx, uint64_t *next, bool *more, struct error *e);

#endif
