/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may ask: checks the client's name for the server, the web page that sends the request, and the token. */
#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "daemon/http/impl.h"

/* Whether host ("name", "name:port", "[v6]:port") is a name of this server. */
static bool host_allowed(const struct conn *c, const char *host)
{
	const char *names[] = {"localhost", "127.0.0.1", "[::1]", c->http->address, NULL};
	char local[INET6_ADDRSTRLEN + 2] = "";
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');
	size_t n = !end ? strlen(host) : host[0] == '[' ? (size_t)(end - host) + 1 : (size_t)(end - host);

	if (host[n] && (host[n] != ':' || strspn(host + n + 1, "0123456789") != strlen(host + n + 1)))
		return false;
	for (int i = 0; names[i]; i++) {
		if (names[i][0] && strlen(names[i]) == n && !strncasecmp(names[i], host, n))
			return true;
	}
	/* for a wildcard address: the one the client connected to. DNS rebinding needs a name, not an address. */
	if (getsockname(bufferevent_getfd(c->bev), (struct sockaddr *)&ss, &len))
		return false;
	if (ss.ss_family == AF_INET) {
		inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, local, sizeof(local));
	} else if (ss.ss_family == AF_INET6) {
		local[0] = '[';
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&ss)->sin6_addr, local + 1, INET6_ADDRSTRLEN);
		strcat(local, "]");
	}
	return local[0] && strlen(local) == n && !strncasecmp(local, host, n);
}

/* Takes the same time for all tokens: compares all of both buffers. */
static bool token_ok(const char *want, const char *header)
{
	char a[TOKEN_MAX] = "", b[TOKEN_MAX] = "";
	volatile unsigned char differ = 0;

	if (!header || strncasecmp(header, "Bearer ", 7))
		return false;
	header += 7 + strspn(header + 7, " ");
	if (strlen(header) >= sizeof(b))
		return false;
	snprintf(a, sizeof(a), "%s", want);
	snprintf(b, sizeof(b), "%s", header);
	for (size_t i = 0; i < sizeof(a); i++)
		differ = (unsigned char)(differ | (a[i] ^ b[i]));
	return !differ;
}

/* If a page of another site made a browser send this, one of these headers says so. */
static bool from_a_page(struct evkeyvalq *in, const char *host)
{
	const char *origin = evhttp_find_header(in, "Origin"), *site = evhttp_find_header(in, "Sec-Fetch-Site");

	if (site && strcmp(site, "same-origin") && strcmp(site, "none"))
		return true;
	return origin && (!host || strncmp(origin, "http://", 7) || strcasecmp(origin + 7, host));
}

bool http_admit(struct conn *c, struct evhttp_request *req)
{
	struct evkeyvalq *in = evhttp_request_get_input_headers(req);
	const char *host = evhttp_find_header(in, "Host");

	if (!c->http->unix_path && !host)
		conn_answer_error(c, req, 400, "no-host", "a Host header is needed");
	else if (!c->http->unix_path && !host_allowed(c, host))
		conn_answer_error(c, req, 421, "wrong-host", "this server does not go by the name in the Host header");
	else if (from_a_page(in, host))
		conn_answer_error(c, req, 403, "wrong-origin", "pages of other sites may not ask");
	else if (c->http->token[0] && !token_ok(c->http->token, evhttp_find_header(in, "Authorization")))
		conn_answer_error(c, req, 401, "no-token", "the token is missing or wrong: Authorization: Bearer TOKEN");
	else
		return true;
	return false;
}

/* The first line of the token file: at least 16 visible characters. */
int http_read_token(struct http *h, const char *path, struct error *e)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	size_t n;

	if (!f)
		return error_errno(e, "token-file: %s", path);
	if (!fgets(h->token, sizeof(h->token), f))
		h->token[0] = '\0';
	if (!fstat(fileno(f), &st) && st.st_mode & 0004)
		log_warning("%s: everybody can read the token", path);
	fclose(f);
	n = strcspn(h->token, "\r\n");
	if (n < 16 || n == sizeof(h->token) - 1)
		return error_set(e, "token-file: %s: its first line must be a token of 16 to %zu characters", path,
				 sizeof(h->token) - 2);
	h->token[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (h->token[i] <= ' ' || h->token[i] > '~')
			return error_set(e, "token-file: %s: the token has a character that is not visible ASCII", path);
	}
	return 0;
}
