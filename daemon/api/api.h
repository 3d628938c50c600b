/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the HTTP API answers: requests in, JSON (or metrics text) out. Knows neither sockets nor the event loop. Reads
 * the database by its own read-only connection, with a limit on rows per request. schema/openapi.yaml describes it.
 */
#ifndef IOFLUSH_DAEMON_API_API_H
#define IOFLUSH_DAEMON_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct config;
struct priv_armed;
struct ring_stats;
struct writer_stats;

struct api_request {
	const char *method; /* "GET", "POST", "DELETE", ... */
	const char *path;   /* decoded, without the query */
	const char *query;  /* after '?', not decoded; or NULL */
	const char *body;
	size_t body_len;
};

struct api_response {
	int status;
	const char *content_type;
	char *body; /* malloc'ed */
	size_t body_len;
	const char *location; /* for 202, or NULL; lives as long as the api */
	int retry_after;      /* seconds, for 429 and 503; 0: none */
	const char *allow;    /* for 405: the methods that the path takes, or NULL; static */
};

/* The live state: the daemon supplies these functions; the HTTP thread calls them, so they must be quick. */
struct api_live {
	void *ctx;
	void (*capture)(void *ctx, struct ring_stats *out);
	void (*writer)(void *ctx, struct writer_stats *out);
	const struct priv_armed *armed;		     /* the probes in use; does not change */
	void (*kinds)(void *ctx, uint64_t *by_kind); /* events recorded: EV_KINDS numbers; NULL: not counted */
	uint64_t (*drain_interval)(void *ctx);	     /* the option as it is now, in milliseconds */
};

struct api;

/* Takes copies of what it needs of c and live. */
struct api *api_new(const struct config *c, const struct api_live *live, struct error *e);
void api_free(struct api *a); /* ends replays that are running */

/* A late answer: as api_handle() would have filled it in. The callee frees the body. */
typedef void (*api_done_fn)(void *ctx, struct api_response *r);

/*
 * Answers in *r and returns true; the body is always set, and the caller frees it; errors are
 * {"error":{"code","message","field"}}. Or returns false: a process was started for the answer, and a later api_tick()
 * calls done(ctx, ...) once, unless api_cancel(a, ctx) comes first. ctx identifies the request.
 */
bool api_handle(struct api *a, const struct api_request *q, struct api_response *r, api_done_fn done, void *ctx);
void api_cancel(struct api *a, void *ctx);

/* Whether a request with this method and path takes a body. No other request does. */
bool api_takes_body(const char *method, const char *path);

/*
 * Called on the HTTP thread: collects and limits running processes, and gives late answers. Returns after how many
 * milliseconds to call it again; after an api_handle() call it at once.
 */
unsigned api_tick(struct api *a);

/* For HTTP errors that the transport finds itself (413, 431, 408, ...). */
void api_error(struct api_response *r, int status, const char *code, const char *message, const char *field);

/* Counts one sent answer in the metrics. */
void api_count(struct api *a, int status);

#endif
