/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The database as the API reads it: a connection of its own, read-only, to the file that is recorded into, wherever that
 * lies now; another file that comes to lie at its path is left alone. Each question is bounded in the rows that it looks
 * at, and each statement in time.
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
	uint64_t unknown;	/* rows that do not know how many */
	bool more;		/* there are more rows than were looked at so far: ask again */
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
	uint64_t after; /* id: go on after it, in the order asked for */
	bool has_after;
	size_t limit;
};

struct api_db *api_db_new(const char *path); /* NULL: out of memory */
void api_db_free(struct api_db *db);

/*
 * Ready to be asked. recorded: the file that is recorded into; not known: the one that was opened first, or the first that
 * is there. 0; -1 and the error: it is not there, not one of ours, another one, or busy.
 */
int api_db_ready(struct api_db *db, const struct file_id *recorded, struct error *e);

/* The file that is open, for who opens it by name. */
void api_db_file(const struct api_db *db, char text[FILE_ID_TEXT]);

/* A capture by number, or 0: the newest; its texts last until the next is read. 1, 0: there is none, or -1. */
int api_db_capture(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e);
/* The capture before the one given (0: the newest). 1, 0, -1. */
int api_db_capture_before(struct api_db *db, uint64_t id, struct capture_row *out, struct error *e);

/* *rows: of lost events that may still be looked at, so that an answer about many captures is bounded as a whole. */
#define API_DB_LOSS_ROWS 8192
int api_db_losses(struct api_db *db, const struct capture_row *c, size_t *rows, struct api_losses *out, struct error *e);

/*
 * Calls fn for each event that the filter lets through, until it is full or enough rows were looked at. *next: the id
 * to go on after; *more: whether there may be more now. 0, -1, or what fn returned.
 */
int api_db_events(struct api_db *db, const struct api_filter *f, int (*fn)(void *ctx, const struct api_event *ev),
		  void *ctx, uint64_t *next, bool *more, struct error *e);

#endif
