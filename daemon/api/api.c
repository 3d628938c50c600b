/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See api.h: the API as a whole. Each path is answered in the file of its name; routes.c has the table of paths, call.c
 * what a handler works with.
 *
 * Everything runs on one thread and nothing waits: questions to the database are bounded, and longer work is a process
 * (query.h, jobs.h) whose end api_tick() sees.
 */
#include "daemon/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/clock.h"
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"
#include "daemon/config/config.h"

#define TICK_BUSY_MS 20
#define TICK_IDLE_MS 1000
#define QUERY_MEMORY (1ull << 30)
#define QUERY_TIMEOUT_MS 120000
#define QUERY_OUTPUT (4ull << 20)

/* A child has no other folder than we have, but be sure. The file need not be there yet. malloc'ed; NULL: out of memory. */
static char *absolute_path(const char *path)
{
	char *whole = realpath(path, NULL), *folder = whole ? NULL : realpath(".", NULL);

	if (!whole && (path[0] == '/' || !folder))
		whole = strdup(path);
	else if (!whole && asprintf(&whole, "%s/%s", folder, path) < 0)
		whole = NULL;
	free(folder);
	return whole;
}

static void ignore_answer(void *ctx, struct api_response *r)
{
	(void)ctx;
	free(r->body);
}

struct api *api_new(const struct config *config, const struct api_live *live, struct error *e)
{
	const struct api_request policies = {.method = "GET", .path = "/v1/policies"};
	struct child_limits limits = {.memory = QUERY_MEMORY, .timeout_ms = QUERY_TIMEOUT_MS, .output = QUERY_OUTPUT};
	struct api *a = calloc(1, sizeof(*a));
	struct api_response r;

	if (!a) {
		error_set(e, "out of memory");
		return NULL;
	}
	if (config->policies && strlen(config->policies) >= POLICY_LIST_MAX) {
		error_set(e, "policies: longer than %d bytes", POLICY_LIST_MAX - 1);
		goto fail;
	}
	a->live = *live;
	a->started_ms = a->drains_ms = clock_ms();
	a->db_path = absolute_path(config->db);
	a->policies = strdup(config->policies && config->policies[0] ? config->policies : "all");
	a->program = strdup(config->replay_program);
	if (config->replay_memory)
		limits.memory = config->replay_memory;
	if (a->db_path && a->policies && a->program) {
		a->db = api_db_new(a->db_path);
		a->queries = queries_new(a->program, &limits);
		limits.timeout_ms = config->replay_timeout;
		a->jobs = jobs_new(a->program, a->db_path, config->replay_max, &limits);
	}
	if (!a->db || !a->queries || !a->jobs) {
		error_set(e, "out of memory");
		goto fail;
	}
	/* asks in advance for the names of the policies, to check requests */
	if (api_handle(a, &policies, &r, ignore_answer, NULL))
		free(r.body);
	return a;
fail:
	api_free(a);
	return NULL;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	queries_free(a->queries, free);
	jobs_free(a->jobs);
	api_db_free(a->db);
	json_free(a->policies_known);
	free(a->db_path);
	free(a->policies);
	free(a->program);
	free(a);
}

bool api_handle(struct api *a, const struct api_request *q, struct api_response *r, api_done_fn done, void *ctx)
{
	struct call c = {.api = a, .q = q, .done = done, .done_ctx = ctx};
	int result = routes_dispatch(&c);

	call_clear_params(&c);
	if (result == CALL_LATER)
		return false;
	call_respond(&c, result, r);
	return true;
}

void api_cancel(struct api *a, void *ctx)
{
	queries_cancel(a->queries, ctx, free);
}

unsigned api_tick(struct api *a)
{
	bool busy = queries_tick(a->queries);
	struct ring_stats ring;
	struct writer_stats writer;

	busy |= jobs_tick(a->jobs);
	live_stats(a, &ring, &writer);
	live_sample(a, &ring, &writer);
	return busy ? TICK_BUSY_MS : TICK_IDLE_MS;
}

void api_count(struct api *a, int status)
{
	a->requests[status > 0 && status < STATUS_SLOTS ? status : 0]++;
}
