/*
 * What the files of the API share: a call under way, its errors, its parameters, JSON values. Each handler looks at its
 * call and either sets an answer (0), sets an error (-1), or says that the answer comes later (CALL_LATER), given to
 * whom call_later() names.
 */
#ifndef IOFLUSH_DAEMON_API_IMPL_H
#define IOFLUSH_DAEMON_API_IMPL_H

#include <jansson.h>

#include "base/jsontext.h"
#include "base/number.h"
#include "daemon/api/api.h"
#include "daemon/api/db.h"
#include "daemon/api/query.h"
#include "daemon/api/replays.h"

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
	int status;   /* 200 unless set */
	json_t *json; /* or */
	char *text;   /* malloc'ed */
	size_t text_len;
	const char *type;     /* of text; NULL: JSON */
	const char *location; /* lives as long as the api */
	struct call_error error;
};

struct rate_sample {
	uint64_t ms, records, events, rows;
};

struct api {
	struct api_live live;
	char *db_path, *policies, *program;
	uint64_t replay_timeout;
	uint64_t started_ms;
	struct api_db *db;
	struct queries *queries;
	struct replays *replays;
	json_t *policy_names;		 /* array, once they are known */
	uint64_t requests[STATUS_SLOTS]; /* answers by status */
	struct rate_sample sample[RATE_SAMPLES];
	size_t samples;		    /* ever taken */
	uint64_t drains, drains_ms; /* when the number of drains changed last, as far as was looked */
};

/* Sets the error, returns -1. field may be NULL; it and the message are copied, whatever their length. */
int call_fail(struct call *c, int status, const char *code, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
int call_no_memory(struct call *c);

/* What a client sent, for a message: in quotes, at most 60 bytes of it; where it is longer, "..." follows. */
struct call_quoted {
	char text[68];
};
struct call_quoted call_quote(const char *text, size_t len);

/* A parameter of the query by name, "" counted as absent; NULL: not given. */
const char *call_param(struct call *c, const char *name);
/* Parameters that are numbers, decimal or 0x...; absent: *out stays and *given is false. given may be NULL. 0 or -1. */
int call_param_u64(struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *out, bool *given);
/* After all were looked at: -1 if there is one that nobody knows. */
int call_params_end(struct call *c);

/*
 * Asks ioflush for the call; the answer's make() gets the call (a copy that lives on) and the text, and sets an answer or
 * an error. args as for queries_ask(). CALL_LATER, 0 (answered at once) or -1.
 */
int call_ask(struct call *c, const char *const args[], uint64_t version, uint64_t wait_ms,
	     int (*make)(struct call *c, const char *text, size_t len));

/* The database, ready to be asked. 0, or -1 and the error. */
int call_database(struct call *c, struct error *e);

/* Handlers. */
int api_get_status(struct call *c);
int api_get_health(struct call *c);
int api_get_metrics(struct call *c);
int api_get_captures(struct call *c);
int api_get_capture(struct call *c);
int api_get_events(struct call *c);
int api_get_domains(struct call *c);
int api_get_iopts(struct call *c);
int api_get_policies(struct call *c);
int api_get_replays(struct call *c);
int api_post_replay(struct call *c);
int api_get_replay(struct call *c);
int api_delete_replay(struct call *c);
int api_get_gaps(struct call *c);

/* What was lost by cause, as the live counters say it; the same names everywhere. */
struct api_loss {
	const char *cause;
	uint64_t records;
};
#define API_LOSSES 8
void api_losses(const struct ring_stats *r, const struct writer_stats *w, struct api_loss out[API_LOSSES]);

/* The live counters, zeros where nobody gives them. */
void api_live_stats(const struct api *a, struct ring_stats *r, struct writer_stats *w);
void api_sample(struct api *a, const struct ring_stats *r, const struct writer_stats *w);

/* Why recording does not work now, one a cause; how many. */
#define API_CAUSES 4
size_t api_health_causes(struct api *a, const struct ring_stats *r, const struct writer_stats *w,
			 char cause[API_CAUSES][320]);

/* The names of policies, as far as they are known. true: name is one, or nobody knows yet. */
bool api_policy_known(const struct api *a, const char *name, size_t len);

#endif
