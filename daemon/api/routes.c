/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See routes.h: the table of all paths, their methods, and which takes a body. */
#include "daemon/api/routes.h"

#include <string.h>

#include "daemon/api/call.h"

struct route {
	const char *method, *path; /* {} stands for an id */
	bool takes_body;
	int (*handle)(struct call *c);
};

static const struct route routes[] = {
	{"GET", "/healthz", false, api_get_health},
	{"GET", "/metrics", false, api_get_metrics},
	{"GET", "/v1/status", false, api_get_status},
	{"GET", "/v1/captures", false, api_get_captures},
	{"GET", "/v1/captures/{}", false, api_get_capture},
	{"GET", "/v1/events", false, api_get_events},
	{"GET", "/v1/domains", false, api_get_domains},
	{"GET", "/v1/iopts", false, api_get_iopts},
	{"GET", "/v1/policies", false, api_get_policies},
	{"GET", "/v1/replays", false, api_get_replays},
	{"POST", "/v1/replays", true, api_post_replay},
	{"GET", "/v1/replays/{}", false, api_get_replay},
	{"DELETE", "/v1/replays/{}", false, api_delete_replay},
	{"GET", "/v1/replays/{}/gaps", false, api_get_gaps},
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* Whether the path is the route's; its id goes to id (of size bytes). */
static bool path_matches(const char *pattern, const char *path, char *id, size_t size)
{
	const char *hole = strstr(pattern, "{}");
	size_t before, len;

	if (!hole)
		return !strcmp(pattern, path);
	before = (size_t)(hole - pattern);
	if (strncmp(pattern, path, before))
		return false;
	len = strspn(path + before, "0123456789abcdefABCDEFxX");
	if (!len || len >= size || strcmp(path + before + len, hole + 2))
		return false;
	memcpy(id, path + before, len);
	id[len] = '\0';
	return true;
}

static const char *allowed(const char *path)
{
	bool get = false, post = false, del = false;
	char id[ID_MAX];

	for (size_t i = 0; i < ROUTES; i++) {
		if (!path_matches(routes[i].path, path, id, sizeof(id)))
			continue;
		get |= !strcmp(routes[i].method, "GET");
		post |= !strcmp(routes[i].method, "POST");
		del |= !strcmp(routes[i].method, "DELETE");
	}
	if (post)
		return "GET, HEAD, POST";
	if (del)
		return "GET, HEAD, DELETE";
	return get ? "GET, HEAD" : NULL;
}

/* The route of a request, or NULL; the id of its path goes to id (of size bytes). */
static const struct route *find_route(const char *method, const char *path, char *id, size_t size)
{
	for (size_t i = 0; i < ROUTES; i++) {
		if (!strcmp(routes[i].method, method) && path_matches(routes[i].path, path, id, size))
			return &routes[i];
	}
	return NULL;
}

bool api_takes_body(const char *method, const char *path)
{
	char id[ID_MAX];
	const struct route *r = find_route(method, path, id, sizeof(id));

	return r && r->takes_body;
}

int routes_dispatch(struct call *c)
{
	const char *method = !strcmp(c->q->method, "HEAD") ? "GET" : c->q->method, *allow;
	const struct route *r = find_route(method, c->q->path, c->id, sizeof(c->id));

	if (r)
		return call_parse_query(c) ? -1 : r->handle(c);
	allow = allowed(c->q->path);
	if (!allow)
		return call_fail(c, 404, "not-found", NULL, "there is nothing at this path");
	call_fail(c, 405, "method-not-allowed", NULL, "this path takes %s", allow);
	c->error.allow = allow;
	return -1;
}
