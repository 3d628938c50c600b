/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request in progress: its parameters, errors, JSON values, and late answers. A handler reads its call and sets an
 * answer (0), sets an error (-1), or says that the answer comes later (CALL_LATER), as call_ask() does.
 */
#ifndef IOFLUSH_DAEMON_API_CALL_H
#define IOFLUSH_DAEMON_API_CALL_H

#include "base/json.h"
#include "base/number.h"
#include "daemon/api/api.h"
#include "daemon/api/db.h"
#include "daemon/api/jobs.h"
#include "daemon/api/query.h"

#define CALL_LATER 1
#define PARAMS_MAX 16
#define ID_MAX 40	     /* bytes of an id in a path, and a 0 byte; a longer one is no id */
#define POLICY_LIST_MAX 1024 /* bytes of a list of policies, and a 0 byte; more is an error */
#define RATE_SAMPLES 11	     /* a second apart: a rate over ten seconds */
#define STATUS_SLOTS 600

struct param {
	char *name, *value; /* decoded */
	bool used;
};

struct call_error {
	int status;
	const char *code;      /* lives on */
	char *message, *field; /* malloc'ed; field NULL: of none */
	int retry_after;
	const char *allow;
};

struct call {
	struct api *api;
	const struct api_request *q;
	char id[ID_MAX]; /* of the path, where it has one */
	struct param param[PARAMS_MAX];
	size_t params;
	api_done_fn done;
	void *done_ctx;
	/* the answer: */
	int status;	   /* 200 unless set */
	struct json *json; /* or */
	char *text;	   /* malloc'ed */
	size_t text_len;
	const char *type;     /* of text; NULL: JSON */
	const char *location; /* lives as long as the api */
	struct call_error error;
};

struct rate_sample {
	uint64_t ms, records, events, rows;
};

/* State between calls. */
struct api {
	struct api_live live;
	char *db_path, *policies, *program;
	uint64_t started_ms;
	struct api_db *db;
	struct queries *queries;
	struct jobs *jobs;
	struct json *policies_known;	 /* the list from ioflush; NULL: not known yet */
	uint64_t requests[STATUS_SLOTS]; /* answers by status */
	struct rate_sample sample[RATE_SAMPLES];
	size_t samples;		    /* ever taken */
	uint64_t drains, drains_ms; /* when the number of drains was last seen to change */
};

/* Sets the error, returns -1. field may be NULL; it and the message are copied, whatever their length. */
int call_fail(struct call *c, int status, const char *code, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
int call_no_memory(struct call *c);

/* Text of a client for a message: in quotes, at most 60 bytes, "..." behind it if it is longer. */
struct call_quoted {
	char text[68];
};
struct call_quoted call_quote(const char *text, size_t len);

/* A parameter of the query by name, "" counted as absent; NULL: not given. */
const char *call_param(struct call *c, const char *name);
/* A number as parameter, decimal or 0x...; absent: *out is unchanged, *given false. given may be NULL. 0 or -1. */
int call_param_u64(struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *out, bool *given);
/* Call it after reading all parameters: -1 if there is an unknown one. */
int call_params_end(struct call *c);

/*
 * Asks ioflush. make() gets the call (a copy that is kept) and the text, and sets an answer or an error. args as for
 * queries_ask(). CALL_LATER, 0 (answered at once) or -1.
 */
int call_ask(struct call *c, const char *const args[], uint64_t version, uint64_t wait_ms,
	     int (*make)(struct call *c, const char *text, size_t len));

/* Opens the database if necessary. 0, or -1 and the error in e, which call_db_fail() turns into an answer. */
int call_database(struct call *c, struct error *e);
int call_db_fail(struct call *c, const struct error *e); /* -1 */

/* The replay in the path; NULL and the error: there is none. */
struct job *call_job(struct call *c);

/* Checks a policy with parameters in a field of the client: its form, and that it exists. 0 or -1. */
int call_check_policy(struct call *c, const char *field, const char *s, size_t len);

/* The frame of a call, for api_handle(): its query to parameters; what the handler left to a response. */
int call_parse_query(struct call *c);
void call_clear_params(struct call *c);
void call_respond(struct call *c, int result, struct api_response *r);

#endif
