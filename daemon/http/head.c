/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See head.h. One pass over the lines; nothing is copied or kept. */
#include "daemon/http/head.h"

#include <string.h>
#include <strings.h>

struct headers {
	bool http_1_0;
	unsigned host, length, transfer;
	bool bad_length;
	uint64_t body;
	bool expect, bad_expect;
};

static int bad(struct http_head *out, int status, const char *code, const char *message)
{
	out->code = code;
	out->message = message;
	return status;
}

static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!s[i] ||
		    !strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", s[i]))
			return false;
	}
	return len > 0;
}

/* Printable, or a tab; bytes beyond ASCII are allowed. */
static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool known_method(const char *s, size_t len)
{
	/* not CONNECT: what follows it is for another server, and evhttp never closes its connection */
	static const char *const known[] = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i]) == len && !strncmp(known[i], s, len))
			return true;
	}
	return false;
}

/* Visible ASCII without '#', which for evhttp ends the path. */
static bool is_target(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#')
			return false;
	}
	return true;
}

/* For evhttp "//" begins the name of a server, and the path comes only after that. */
static int check_target(const char *s, size_t len, struct http_head *out)
{
	const char *query = memchr(s, '?', len);

	if (s[0] != '/' || (len > 1 && s[1] == '/'))
		return bad(out, 400, "bad-target", "the request's target must be a path that begins with one '/'");
	if (!is_target(s, len))
		return bad(out, 400, "bad-target",
			   "in the request's target '#' and what is not visible ASCII must be percent-encoded");
	out->path = s;
	out->path_len = query ? (size_t)(query - s) : len;
	return 0;
}

/* "GET /path HTTP/1.1": three words. */
static int check_request_line(const char *s, size_t len, struct headers *h, struct http_head *out)
{
	const char *target = memchr(s, ' ', len), *version;
	size_t rest;

	if (!target || !is_token(s, (size_t)(target - s)))
		return bad(out, 400, "bad-request", "the request line is not well-formed");
	target++;
	rest = len - (size_t)(target - s);
	version = memchr(target, ' ', rest);
	if (!version || version == target)
		return bad(out, 400, "bad-request", "the request line is not well-formed");
	version++;
	rest -= (size_t)(version - target);
	if (rest != 8 || (strncmp(version, "HTTP/1.1", 8) && strncmp(version, "HTTP/1.0", 8)))
		return bad(out, rest == 8 && !strncmp(version, "HTTP/", 5) ? 505 : 400, "bad-version",
			   "HTTP/1.0 and HTTP/1.1 are spoken here");
	h->http_1_0 = version[7] == '0';
	out->method = s;
	out->method_len = (size_t)(target - s) - 1;
	if (!known_method(s, out->method_len))
		return bad(out, 405, "method-not-allowed", "there is no such method");
	return check_target(target, (size_t)(version - target) - 1, out);
}

static bool is_name(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && !strncasecmp(s, name, len);
}

static void take_length(struct headers *h, const char *v, size_t len)
{
	uint64_t n = 0;

	h->length++;
	if (!len || len > 18)
		h->bad_length = true;
	for (size_t i = 0; i < len && !h->bad_length; i++) {
		if (v[i] < '0' || v[i] > '9')
			h->bad_length = true;
		n = n * 10 + (uint64_t)(v[i] - '0');
	}
	h->body = n;
}

static int check_header(const char *s, size_t len, struct headers *h, struct http_head *out)
{
	const char *colon = memchr(s, ':', len), *v;
	size_t name, n;

	if (!colon || !is_token(s, (size_t)(colon - s)) || !is_text(s, len))
		return bad(out, 400, "bad-header", "a header is not well-formed");
	name = (size_t)(colon - s);
	v = colon + 1;
	n = len - name - 1;
	while (n && *v == ' ') {
		v++;
		n--;
	}
	if (n && *v == '\t')
		return bad(out, 400, "bad-header", "a header has a tab before its value");
	while (n && (v[n - 1] == ' ' || v[n - 1] == '\t'))
		n--;
	if (is_name(s, name, "Host"))
		h->host++;
	else if (is_name(s, name, "Content-Length"))
		take_length(h, v, n);
	else if (is_name(s, name, "Transfer-Encoding"))
		h->transfer++;
	else if (is_name(s, name, "Expect")) {
		h->expect = true;
		h->bad_expect |= !is_name(v, n, "100-continue");
	}
	return 0;
}

static int judge(const struct headers *h, uint64_t max_body, struct http_head *out)
{
	if (h->host > 1)
		return bad(out, 400, "bad-header", "more than one Host header");
	if (h->transfer)
		return bad(out, 411, "length-required", "send the body with a Content-Length");
	if (h->length > 1 || h->bad_length)
		return bad(out, 400, "bad-header", "the Content-Length is not one whole number");
	if (h->bad_expect && !h->http_1_0)
		return bad(out, 417, "bad-expectation", "only 100-continue can be expected");
	out->body = h->body;
	out->expect_continue = h->expect && h->body && !h->http_1_0;
	if (h->body > max_body)
		return bad(out, 413, "body-too-large", "the body is larger than http-max-body");
	return 0;
}

int http_head_check(const char *text, size_t len, uint64_t max_body, struct http_head *out)
{
	const char *line = text, *end = text + len, *nl;
	struct headers h = {0};
	int status = 0;
	bool first = true;

	*out = (struct http_head){0};
	for (; line < end; line = nl + 1, first = false) {
		size_t n;

		nl = memchr(line, '\n', (size_t)(end - line));
		if (!nl || nl == line || nl[-1] != '\r')
			return bad(out, 400, "bad-request", "lines must end with CR and LF");
		n = (size_t)(nl - line) - 1;
		if (!n && !first)
			return judge(&h, max_body, out);
		status = first ? check_request_line(line, n, &h, out) : check_header(line, n, &h, out);
		if (status)
			return status;
	}
	return bad(out, 400, "bad-request", "the request has no end");
}
