/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of the HTTP server: which of them evhttp may read, when, and how each ends.
 *
 * By itself, evhttp answers errors with HTML, closes where 408 and 431 are due, takes what is left in its buffer as the
 * next request, and does not limit connections. So it may never begin a request by itself: the low watermark of each
 * bufferevent is out of reach, and arriving data only calls on_input(). When a request is complete, within the limits,
 * and such that evhttp reads it as head.h does, give_request() cuts off what follows it and lets evhttp read. Otherwise
 * the connection is taken away from evhttp: the error is written here, then the connection is closed.
 *
 *	READING --all there--> READY --evhttp reads it--> WAITING --the API answers--> REPLYING --sent--> READING ...
 *	   \                                                                         /
 *	    \--a limit is passed, or it is malformed--> CLOSING <--it is the last one--/
 *	                                                  \--sent, and the client has seen it--> gone
 *
 * One request gets one answer. That follows from these rules; a connection that breaks one is BROKEN and closed:
 *
 *	evhttp calls conn_on_request() only while give_request() runs, once, and leaves nothing unread;
 *	when give_request() ends it has done so: evhttp waits for no more, and answers nothing by itself;
 *	when an answer was sent there is still nothing to read: from WAITING to READING nothing is taken from the socket.
 *
 * While a request waits, nothing is sent either, so only the sweep and the end of the server can end its connection,
 * which cancels the question to the API. Data that a client sends right behind a request is thrown away, and the answer
 * is the last one. Data that arrives while a last answer is being sent is thrown away, too: if it stayed unread, TCP
 * would reset the connection and the client would lose the answer.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/http/head.h"
#include "daemon/http/impl.h"

#define LINGER_MS 1000	      /* after the last answer, for the client to read it */
#define OUT_OF_REACH SIZE_MAX /* the watermark: evhttp reads only when told to */

/* ---- answers ---- */

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} all[] = {
		{200, "OK"},
		{202, "Accepted"},
		{204, "No Content"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{417, "Expectation Failed"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].status == status)
			return all[i].text;
	}
	return "Status";
}

static void conn_close(struct conn *c)
{
	evhttp_connection_free(c->evcon); /* calls on_closed(), which frees c */
}

/* Closes the connection, but later, in on_turn(): the caller is evhttp, which still uses it. */
static void broken(struct conn *c, const char *what)
{
	log_error("HTTP: %s: this is a fault of ioflushd; the connection is closed", what);
	if (c->http->strict)
		abort();
	c->state = BROKEN;
	event_active(c->turn, EV_TIMEOUT, 0);
}

static void closing_read(struct bufferevent *bev, void *ctx)
{
	struct evbuffer *in = bufferevent_get_input(bev);

	(void)ctx;
	evbuffer_drain(in, evbuffer_get_length(in));
}

/* All was sent: ends our side and waits for the client to hang up, so that what it still sends causes no reset. */
static void closing_flushed(struct bufferevent *bev, void *ctx)
{
	struct conn *c = ctx;

	if (evbuffer_get_length(bufferevent_get_output(bev)) || c->flushed)
		return;
	c->flushed = true;
	c->since = clock_ms();
	if (c->hung_up)
		conn_close(c);
	else
		shutdown(bufferevent_getfd(bev), SHUT_WR);
}

/* A client that sends no more may still read. */
static void closing_event(struct bufferevent *bev, short what, void *ctx)
{
	struct conn *c = ctx;

	(void)bev;
	c->hung_up |= what & BEV_EVENT_EOF;
	if (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT) || (c->hung_up && c->flushed))
		conn_close(c);
}

/* Takes the connection away from evhttp, and closes it when all output was sent. */
static void conn_leave(struct conn *c)
{
	c->state = CLOSING;
	c->since = clock_ms();
	bufferevent_setcb(c->bev, closing_read, closing_flushed, closing_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Answers with an error and closes. */
static void conn_fail(struct conn *c, int status, const char *code, const char *message)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	struct api_response r;

	api_error(&r, status, code, message, NULL);
	api_count(c->http->api, status);
	evbuffer_add_printf(out,
			    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
			    "%sConnection: close\r\n\r\n",
			    status, reason(status), r.content_type, r.body_len,
			    status == 503 ? "Retry-After: 1\r\n" :
			    status == 405 ? "Allow: GET, HEAD, POST, DELETE\r\n" :
					    "");
	evbuffer_add(out, r.body, r.body_len);
	free(r.body);
	conn_leave(c);
}

/* ---- connections ---- */

static void conn_reading(struct conn *c)
{
	c->state = READING;
	c->since = clock_ms();
	c->begun = false;
	c->searched = c->need = 0;
}

/* Whether the API takes a body for this request. */
static bool takes_body(const struct http_head *head)
{
	char *method = strndup(head->method, head->method_len), *raw = strndup(head->path, head->path_len);
	char *path = raw ? evhttp_uridecode(raw, 0, NULL) : NULL;
	bool takes = method && path && api_takes_body(method, path);

	free(method);
	free(raw);
	free(path);
	return takes;
}

/*
 * The client waits for "100 Continue" before it sends the body. Sent without evhttp's callback, which would take it as
 * the end of the last answer.
 */
static void send_continue(struct conn *c)
{
	bufferevent_data_cb read;
	bufferevent_event_cb event;
	void *evcon;

	bufferevent_getcb(c->bev, &read, NULL, &event, &evcon);
	bufferevent_setcb(c->bev, read, NULL, event, evcon);
	bufferevent_enable(c->bev, EV_WRITE);
	evbuffer_add_printf(bufferevent_get_output(c->bev), "HTTP/1.1 100 Continue\r\n\r\n");
}

/* The head is complete: what follows it? */
static void take_head(struct conn *c, size_t len)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	const char *text = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
	struct http_head head;
	int status;

	if (!text) {
		conn_fail(c, 500, "no-memory", "out of memory");
		return;
	}
	status = http_head_check(text, len, c->http->max_body, &head);
	if (head.body && !takes_body(&head)) {
		conn_fail(c, 400, "unexpected-body", "what is asked for takes no body");
		return;
	}
	if (status) {
		conn_fail(c, status, head.code, head.message);
		return;
	}
	c->need = len + (size_t)head.body;
	if (head.expect_continue && evbuffer_get_length(in) < c->need)
		send_continue(c);
}

static void look_for_head(struct conn *c, struct evbuffer *in, size_t len)
{
	uint64_t max = c->http->max_headers;
	struct evbuffer_ptr at;

	evbuffer_ptr_set(in, &at, c->searched, EVBUFFER_PTR_SET);
	at = evbuffer_search(in, "\r\n\r\n", 4, &at);
	if (at.pos >= 0 && (size_t)at.pos + 4 <= max)
		take_head(c, (size_t)at.pos + 4);
	else if (at.pos >= 0 || len > max)
		conn_fail(c, 431, "headers-too-large", "the request's head is larger than http-max-headers");
	else
		c->searched = len > 3 ? len - 3 : 0;
}

/* Bytes came. */
static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;
	size_t len = evbuffer_get_length(in);

	if (!info->n_added || c->state != READING)
		return;
	if (!c->begun) {
		c->begun = true;
		c->since = clock_ms();
	}
	if (!c->need)
		look_for_head(c, in, len);
	if (c->state != READING || !c->need || len < c->need)
		return;
	c->state = READY;
	event_active(c->turn, EV_TIMEOUT, 0);
}

static void conn_free(struct conn *c)
{
	struct http *h = c->http;
	struct conn **p;

	for (p = &h->conns; *p && *p != c; p = &(*p)->next)
		;
	if (*p)
		*p = c->next;
	h->nconns--;
	if (h->giving == c)
		h->giving = NULL;
	if (c->state == WAITING)
		api_cancel(h->api, c);
	evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->watch);
	bufferevent_decref(c->bev);
	event_free(c->turn);
	free(c);
	http_accept_more(h);
}

/* evhttp reports the end of the connection. */
static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	conn_free(arg);
}

/*
 * Runs in the loop right after the connection was accepted, before anything is read: evhttp has set its callbacks,
 * whose argument is its own connection. That is needed to close it, and to learn when it ends.
 */
static void adopt(struct conn *c)
{
	void *evcon = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	if (!evcon) { /* evhttp had no memory and closed it */
		conn_free(c);
		return;
	}
	c->evcon = evcon;
	evhttp_connection_set_closecb(c->evcon, on_closed, c);
	if (c->refused)
		conn_fail(c, 503, "too-many-connections", "too many connections at once");
}

/* Leaves the first n bytes in a connection's input. 0, or -1: out of memory. */
static int cut_input(struct evbuffer *in, size_t n)
{
	struct evbuffer *kept = evbuffer_new();
	int ret = -1;

	if (kept && evbuffer_remove_buffer(in, kept, n) == (int)n && !evbuffer_drain(in, evbuffer_get_length(in)))
		ret = evbuffer_prepend_buffer(in, kept);
	if (kept)
		evbuffer_free(kept);
	return ret;
}

/* Lets evhttp read one request, all that its input has: it calls conn_on_request(). */
static void give_request(struct conn *c)
{
	struct http *h = c->http;
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->close = evbuffer_get_length(in) > c->need;
	if (c->close && cut_input(in, c->need)) {
		conn_fail(c, 500, "no-memory", "out of memory");
		return;
	}
	h->giving = c;
	bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
	if (h->giving != c) /* conn_on_request() has it, or the connection is gone */
		return;
	h->giving = NULL;
	broken(c, "evhttp did not take a request");
}

/* Called from the loop itself, not from a callback of evhttp: here a connection may end. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd, (void)what;
	if (!c->evcon)
		adopt(c);
	else if (c->state == READY)
		give_request(c);
	else if (c->state == BROKEN)
		conn_close(c);
}

/* Makes the bufferevent for a connection that evhttp is about to accept. */
struct bufferevent *conn_on_accept(struct event_base *base, void *arg)
{
	struct http *h = arg;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct conn *c = calloc(1, sizeof(*c));

	if (!bev || !c)
		goto fail;
	c->http = h;
	c->bev = bev;
	c->refused = h->nconns >= h->max_connections;
	c->turn = event_new(base, -1, 0, on_turn, c);
	c->watch = evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
	if (!c->turn || !c->watch)
		goto fail;
	bufferevent_incref(bev);
	bufferevent_setwatermark(bev, EV_READ, OUT_OF_REACH, 0);
	conn_reading(c);
	if (!h->nconns++)
		http_timer(h->sweep, SWEEP_MIN_MS);
	c->next = h->conns;
	h->conns = c;
	if (h->nconns >= h->max_connections + REFUSED_MAX)
		evconnlistener_disable(h->listener);
	event_active(c->turn, EV_TIMEOUT, 0);
	return bev;
fail:
	/* out of memory: evhttp makes its own, which conn_on_request() does not know and closes */
	if (c && c->turn)
		event_free(c->turn);
	free(c);
	if (bev)
		bufferevent_free(bev);
	return NULL;
}

/* At the end of the server: a connection accepted at the last moment is not evhttp's yet. */
void conn_end(struct conn *c)
{
	if (c->evcon)
		conn_close(c);
	else
		conn_free(c);
}

/* All events are off while a request waits, so this asks whether the client is still there. */
static bool client_is_gone(const struct conn *c)
{
	struct pollfd p = {.fd = bufferevent_getfd(c->bev)};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

void conn_sweep(struct conn *c, uint64_t now)
{
	uint64_t age = now - c->since, timeout = c->http->timeout_ms;

	if (!c->evcon)
		return;
	if (c->state == CLOSING && age > (c->flushed ? LINGER_MS : timeout))
		conn_close(c);
	else if (c->state == READING && age > timeout && c->begun)
		conn_fail(c, 408, "too-slow", "the request took longer than http-timeout to arrive");
	else if (c->state == READING && age > timeout)
		conn_close(c);
	else if (c->state == REPLYING && age > timeout)
		conn_close(c);
	else if (c->state == WAITING && client_is_gone(c))
		conn_close(c);
}

/* ---- requests ---- */

static const char *method_name(struct evhttp_request *req)
{
	switch (evhttp_request_get_command(req)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_TRACE:
		return "TRACE";
	default:
		return "?";
	}
}

/* After that evhttp closes the connection, or waits for the next request. */
static void on_sent(struct evhttp_request *req, void *arg)
{
	struct conn *c = arg;

	(void)req;
	if (evbuffer_get_length(bufferevent_get_input(c->bev)))
		broken(c, "something was read while an answer was sent"); /* evhttp would read it as a request */
	else
		conn_reading(c);
}

static void free_body(const void *data, size_t len, void *extra)
{
	(void)data, (void)len;
	free(extra);
}

/* Sends an answer; takes its body. */
static void send_answer(struct conn *c, struct evhttp_request *req, struct api_response *r)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	struct evbuffer *body = evbuffer_new();
	char number[24];

	evhttp_add_header(out, "Cache-Control", "no-store");
	evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
	if (r->status != 204) {
		snprintf(number, sizeof(number), "%zu", r->body_len);
		evhttp_add_header(out, "Content-Type", r->content_type);
		evhttp_add_header(out, "Content-Length", number);
	}
	if (r->location)
		evhttp_add_header(out, "Location", r->location);
	if (r->allow)
		evhttp_add_header(out, "Allow", r->allow);
	if (r->status == 401)
		evhttp_add_header(out, "WWW-Authenticate", "Bearer realm=\"ioflushd\"");
	if (r->retry_after) {
		snprintf(number, sizeof(number), "%d", r->retry_after);
		evhttp_add_header(out, "Retry-After", number);
	}
	if (c->close) {
		evhttp_remove_header(evhttp_request_get_input_headers(req), "Connection"); /* "keep-alive": no */
		evhttp_add_header(out, "Connection", "close");
	}
	if (body && !head && r->status != 204 && !evbuffer_add_reference(body, r->body, r->body_len, free_body, r->body))
		r->body = NULL;
	free(r->body);
	r->body = NULL;
	api_count(c->http->api, r->status);
	c->state = REPLYING;
	c->since = clock_ms();
	evhttp_request_set_on_complete_cb(req, on_sent, c);
	evhttp_send_reply(req, r->status, reason(r->status), body);
	bufferevent_disable(c->bev, EV_READ); /* evhttp reads while it sends, to see the end */
	if (c->close)
		conn_leave(c);
	if (body)
		evbuffer_free(body);
}

void conn_answer_error(struct conn *c, struct evhttp_request *req, int status, const char *code, const char *message)
{
	struct api_response r;

	api_error(&r, status, code, message, NULL);
	send_answer(c, req, &r);
}

static void on_answer(void *ctx, struct api_response *r)
{
	struct conn *c = ctx;

	send_answer(c, c->req, r);
}

/* Hands a request to the API. */
static void ask_api(struct conn *c, const char *path, const char *query)
{
	struct http *h = c->http;
	struct evbuffer *in = evhttp_request_get_input_buffer(c->req);
	struct api_request q = {
		.method = method_name(c->req), .path = path, .query = query, .body_len = evbuffer_get_length(in)};
	struct api_response r;

	if (q.body_len)
		q.body = (const char *)evbuffer_pullup(in, -1);
	if (q.body_len && !q.body) {
		conn_answer_error(c, c->req, 500, "no-memory", "out of memory");
		return;
	}
	if (api_handle(h->api, &q, &r, on_answer, c))
		on_answer(c, &r);
	http_timer(h->tick, 0);
}

static struct conn *conn_of(struct http *h, const struct evhttp_connection *evcon)
{
	struct conn *c;

	for (c = h->conns; c && c->evcon != evcon; c = c->next)
		;
	return c;
}

void conn_on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct conn *c = conn_of(h, evhttp_request_get_connection(req));
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *raw = uri ? evhttp_uri_get_path(uri) : NULL;
	char *path = NULL;
	size_t len = 0;

	if (!c) { /* see conn_on_accept() */
		log_error("HTTP: out of memory: a connection is closed");
		evhttp_connection_free(evhttp_request_get_connection(req));
		return;
	}
	if (h->giving != c) {
		broken(c, "evhttp began a request by itself");
		return;
	}
	h->giving = NULL;
	if (evbuffer_get_length(bufferevent_get_input(c->bev))) {
		broken(c, "evhttp left a part of a request");
		return;
	}
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	c->state = WAITING;
	c->req = req;
	path = raw ? evhttp_uridecode(raw, 0, &len) : NULL;
	if (!path || strlen(path) != len)
		conn_answer_error(c, req, 400, "bad-target", "the path is not well-formed");
	else if (http_admit(c, req))
		ask_api(c, path, evhttp_uri_get_query(uri));
	free(path);
}
