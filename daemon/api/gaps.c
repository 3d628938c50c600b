/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/replays/ID/gaps: the findings of a replay under one policy, made on request. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define WAIT_MS 10000
#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

/* The output of ioflush, which is JSON already. */
static int make_gaps(struct call *c, const char *text, size_t len)
{
	c->text = malloc(len + 1);
	if (!c->text)
		return call_no_memory(c);
	memcpy(c->text, text, len + 1);
	c->text_len = len;
	return 0;
}

static int check_kinds(struct call *c, const char *kinds)
{
	static const char *const known[] = {"leak", "reexpose", "release", "access"};
	size_t i;

	for (const char *s = kinds;; s++) {
		size_t len = strcspn(s, ",");

		for (i = 0; i < 4 && (strlen(known[i]) != len || strncmp(known[i], s, len)); i++)
			;
		if (i == 4)
			return call_fail(c, 400, "bad-parameter", "kind",
					 "'kind' is leak, reexpose, release, access, or some of them with commas");
		s += len;
		if (!*s)
			return 0;
	}
}

static int check_one_policy(struct call *c, const char *policy)
{
	if (!policy)
		return call_fail(c, 400, "bad-parameter", "policy", "'policy' is needed: findings are of one policy");
	if (!strcmp(policy, "all") || strchr(policy, ','))
		return call_fail(c, 400, "bad-parameter", "policy", "findings are of one policy");
	if (call_check_policy(c, "policy", policy, strlen(policy))) {
		c->error.status = 400;
		return -1;
	}
	return 0;
}

int api_get_gaps(struct call *c)
{
	const char *policy = call_param(c, "policy"), *kind = call_param(c, "kind");
	char capture[24], to[24], limit_text[24];
	uint64_t limit = LIMIT_DEFAULT, version = 0;
	struct capture_row row;
	struct error e = {""};
	const struct job *j;

	if (call_param_u64(c, "limit", 1, LIMIT_MAX, &limit, NULL) || call_params_end(c))
		return -1;
	j = call_job(c);
	if (!j || check_one_policy(c, policy) || (kind && check_kinds(c, kind)))
		return -1;
	if (!call_database(c, &e) && api_db_capture(c->api->db, j->capture, &row, &e) > 0)
		version = row.last_event;
	snprintf(capture, sizeof(capture), "%" PRIu64, j->capture);
	snprintf(to, sizeof(to), "%" PRIu64, j->until ? j->to : UINT64_MAX);
	snprintf(limit_text, sizeof(limit_text), "%" PRIu64, limit);
	{
		const char *const args[] = {"gaps",
					    "--format=json",
					    "--allow-partial",
					    "--capture",
					    capture,
					    "--to",
					    to,
					    "--limit",
					    limit_text,
					    "--policy",
					    policy,
					    "--kind",
					    kind ? kind : "leak,reexpose,release,access",
					    "--inode",
					    j->file,
					    "--",
					    c->api->db_path,
					    NULL};

		return call_ask(c, args, version, WAIT_MS, make_gaps);
	}
}
