/*
 * See server.h. The only file that knows evhttp.
 *
 * It knows libevent's base, timers and listener, too, and is not written on top of loop.h, the capture's own loop: evhttp
 * wants a struct event_base, and gives and takes bufferevents that belong to one, so loop.h would have to hand out what it
 * is there to hide. Its timers would be all that was gained, for a second kind of loop that has no buffers to drain,
 * and takes no signals. The two share nothing but the library: a base and a thread each.
 *
 * evhttp by itself answers errors with HTML, closes where 408 and 431 are due, takes what is left in its buffer for the
 * next request, and has no limit on connections. So it never begins a request by itself: the low watermark of each
 * connection's bufferevent is out of reach, and what arrives is only watched (on_input). When a request is all there,
 * within the limits, and such that evhttp reads it as head.h does, give_request() cuts off what follows it and lets
 * evhttp read. Where that is not so, the connection is taken away from evhttp: the answer is written here, then the
 * connection is closed.
 *
 *	READING --all there--> READY --evhttp reads it--> WAITING --the API answers--> REPLYING --sent--> READING ...
 *	   \                                                                         /
 *	    \--a limit is passed, or it is malformed--> CLOSING <--it is the last one--/
 *	                                                  \--sent, and the client has seen it--> gone
 *
 * One request, one answer. It holds because of these, and a connection that breaks one is BROKEN and closed:
 *
 *	evhttp calls on_request() only while give_request() runs, once, and leaves nothing unread;
 *	when give_request() ends it has done so: evhttp waits for no more, and answers nothing by itself;
 *	when an answer was sent there is still nothing to read: from WAITING to READING nothing is taken from the socket.
 *
 * While a request waits nothing is sent either, so only the sweep and the end of the server end its connection; what it
 * asked the API is cancelled with it. What a client sends together with a request, behind it, is thrown away, and the
 * answer is the last one. So is what a client sends while a last answer is on its way: with something unread TCP would
 * take the answer back.
 */
#include "daemon/http/server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/child.h"
#include "base/log.h"
#include "daemon/http/head.h"

#define TOKEN_MAX 256
#define BACKLOG 64
#define REFUSED_MAX 32	   /* connections beyond the limit that are told so; then the kernel's queue holds the others */
#define LINGER_MS 1000	   /* after the last answer was sent, for the client to take it */
#define RETRY_MS 250	   /* after a connection could not be accepted */
#define SAY_AGAIN_MS 60000 /* that it could not */
#define SPARE_FILES 128	   /* open files beyond those of connections: the database, programs that answer */
#define SWEEP_MIN_MS 20
#define SWEEP_MAX_MS 1000
#define OUT_OF_REACH SIZE_MAX /* the watermark: evhttp reads when it is told to */

enum conn_state { READING, READY, WAITING, REPLYING, CLOSING, BROKEN };

struct conn {
	struct conn *next;
	struct http *http;
	struct bufferevent *bev;	 /* a reference of our own: it may outlive evcon */
	struct evhttp_connection *evcon; /* NULL: just accepted */
	struct evbuffer_cb_entry *watch;
	struct event *turn; /* on_turn() */
	enum conn_state state;
	struct evhttp_request *req; /* WAITING: what the API is asked; the API knows the question by the conn */
	bool refused;		    /* beyond the limit of connections */
	bool close;		    /* after the answer */
	bool flushed;		    /* CLOSING: all was sent */
	bool hung_up;		    /* CLOSING: the client sends no more */
	size_t searched;	    /* READING: no end of the head before there */
	size_t need;		    /* length of the request, 0: not known yet */
	uint64_t since;		    /* ms: of the state; READING: when the first byte came, or when it became idle */
	bool begun;		    /* READING: some of a request is there */
};

struct http {
	struct api *api;
	uint64_t max_body, max_headers, max_connections, timeout_ms;
	char token[TOKEN_MAX]; /* "" : none */
	char *unix_path;       /* or NULL: TCP */
	dev_t unix_dev;
	ino_t unix_ino;
	char address[INET6_ADDRSTRLEN + 2]; /* as a Host header has it */
	int fd;				    /* listening, until the listener owns it; -1 */
	struct event_base *base;
	struct evhttp *evhttp;
	struct evconnlistener *listener;
	struct event *tick, *sweep, *stop;
	struct event *retry;	 /* pending: accepting failed a moment ago, and is not tried before */
	uint64_t accept_said_ms; /* when the log was told that accepting failed; 0: never */
	int stop_fd;
	struct conn *conns;
	size_t nconns;
	struct conn *giving; /* whose request evhttp is given now; NULL: none, or it has taken it */
	pthread_t thread;
	bool started, strict;
};

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

static void set_timer(struct event *ev, uint64_t ms)
{
	const struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(ev, &tv);
}

static void conn_close(struct conn *c)
{
	evhttp_connection_free(c->evcon); /* calls on_closed(), which frees c */
}

/* Closes the connection, but in on_turn(): this is called from within evhttp, which goes on with it. */
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

/* All was sent: says so to the client, and waits for it to hang up, so that what it still sends does not undo it. */
static void closing_flushed(struct bufferevent *bev, void *ctx)
{
	struct conn *c = ctx;

	if (evbuffer_get_length(bufferevent_get_output(bev)) || c->flushed)
		return;
	c->flushed = true;
	c->since = child_now_ms();
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

/* Takes the connection away from evhttp, and closes it when what is to be sent was sent. */
static void conn_leave(struct conn *c)
{
	c->state = CLOSING;
	c->since = child_now_ms();
	bufferevent_setcb(c->bev, closing_read, closing_flushed, closing_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Answers with an error, and closes. */
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
	c->since = child_now_ms();
	c->begun = false;
	c->searched = c->need = 0;
}

/* Whether the API knows a body for what the head asks. */
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
 * The client waits for a word before it sends the body. Without evhttp's callback, which would take what was sent for the
 * end of the last answer.
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

/* The head is all there: what follows it? */
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
		c->since = child_now_ms();
	}
	if (!c->need)
		look_for_head(c, in, len);
	if (c->state != READING || !c->need || len < c->need)
		return;
	c->state = READY;
	event_active(c->turn, EV_TIMEOUT, 0);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd, (void)what;
	event_base_loopbreak(h->base);
}

/* Unless there are too many connections, or accepting one failed a moment ago. */
static void accept_more(struct http *h)
{
	if (h->listener && h->nconns < h->max_connections + REFUSED_MAX && !evtimer_pending(h->retry, NULL))
		evconnlistener_enable(h->listener);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	accept_more(arg);
}

static int find_http(const struct event_base *base, const struct event *ev, void *found)
{
	(void)base;
	if (event_get_callback(ev) != on_stop)
		return 0;
	*(struct http **)found = event_get_callback_arg(ev);
	return 1;
}

/*
 * Whoever waits stays in the kernel's queue. Said once: it would fail again at once, and until a file is closed. evhttp
 * has made itself the argument of what the listener calls; ours is found by an event that is always there.
 */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	int errnum = errno;
	struct http *h = NULL;
	uint64_t now = child_now_ms();

	(void)arg;
	evconnlistener_disable(listener);
	if (event_base_foreach_event(evconnlistener_get_base(listener), find_http, &h) != 1)
		return;
	set_timer(h->retry, RETRY_MS);
	if (h->accept_said_ms && now - h->accept_said_ms < SAY_AGAIN_MS)
		return;
	h->accept_said_ms = now;
	log_error("HTTP: a connection cannot be accepted: %s; %zu are open, and others wait until one ends",
		  strerror(errnum), h->nconns);
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
	accept_more(h);
}

/* evhttp says that the connection ends. */
static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	conn_free(arg);
}

/*
 * In the loop right after the connection was accepted, before anything is read from it: evhttp has set its callbacks,
 * whose argument is its connection, which is needed to close it and to hear that it ends.
 */
static void adopt(struct conn *c)
{
	void *evcon = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	if (!evcon) { /* it had no memory, and has closed it */
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

/* Lets evhttp read one request, which is all that is there: it calls on_request(). */
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
	if (h->giving != c) /* on_request() has it, or the connection is gone */
		return;
	h->giving = NULL;
	broken(c, "evhttp did not take a request");
}

/* In the loop, called by nobody's callback: here a connection may end. */
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

/* Makes the bufferevent of a connection that evhttp is about to accept. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
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
		set_timer(h->sweep, SWEEP_MIN_MS);
	c->next = h->conns;
	h->conns = c;
	if (h->nconns >= h->max_connections + REFUSED_MAX)
		evconnlistener_disable(h->listener);
	event_active(c->turn, EV_TIMEOUT, 0);
	return bev;
fail:
	/* out of memory: evhttp makes one of its own, which on_request() knows nothing of and closes */
	if (c && c->turn)
		event_free(c->turn);
	free(c);
	if (bev)
		bufferevent_free(bev);
	return NULL;
}

/* All events are off then: whether the client is still there is to be asked for. */
static bool client_is_gone(const struct conn *c)
{
	struct pollfd p = {.fd = bufferevent_getfd(c->bev)};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static void sweep_conn(struct conn *c, uint64_t now)
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

/* Looks for connections whose time is over. Runs only while there are any. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	uint64_t now = child_now_ms(), next = h->timeout_ms / 8;
	struct conn *c, *following;

	(void)fd, (void)what;
	for (c = h->conns; c; c = following) {
		following = c->next;
		sweep_conn(c, now);
	}
	if (next < SWEEP_MIN_MS)
		next = SWEEP_MIN_MS;
	if (h->nconns)
		set_timer(h->sweep, next < SWEEP_MAX_MS ? next : SWEEP_MAX_MS);
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

/* Then evhttp closes the connection, or waits for the next request. */
static void on_sent(struct evhttp_request *req, void *arg)
{
	struct conn *c = arg;

	(void)req;
	if (evbuffer_get_length(bufferevent_get_input(c->bev)))
		broken(c, "something was read while an answer was sent"); /* evhttp would take it for a request */
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
	c->since = child_now_ms();
	evhttp_request_set_on_complete_cb(req, on_sent, c);
	evhttp_send_reply(req, r->status, reason(r->status), body);
	bufferevent_disable(c->bev, EV_READ); /* evhttp reads while it sends, to see the end */
	if (c->close)
		conn_leave(c);
	if (body)
		evbuffer_free(body);
}

static void send_error(struct conn *c, struct evhttp_request *req, int status, const char *code, const char *message)
{
	struct api_response r;

	api_error(&r, status, code, message, NULL);
	send_answer(c, req, &r);
}

/* Whether host ("name", "name:port", "[v6]:port") is one of the names that this server goes by. */
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
	/* with a wildcard address: the one that the client connected to. An address is no name that can be rebound. */
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

/* In constant time for tokens of one length: always all of both buffers. */
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

/* A page of another site that made a browser send this says so in one of these headers. */
static bool from_a_page(struct evkeyvalq *in, const char *host)
{
	const char *origin = evhttp_find_header(in, "Origin"), *site = evhttp_find_header(in, "Sec-Fetch-Site");

	if (site && strcmp(site, "same-origin") && strcmp(site, "none"))
		return true;
	return origin && (!host || strncmp(origin, "http://", 7) || strcasecmp(origin + 7, host));
}

/* Whether the client may ask at all; if not, it was told so. */
static bool admit(struct conn *c, struct evhttp_request *req)
{
	struct evkeyvalq *in = evhttp_request_get_input_headers(req);
	const char *host = evhttp_find_header(in, "Host");

	if (!c->http->unix_path && !host)
		send_error(c, req, 400, "no-host", "a Host header is needed");
	else if (!c->http->unix_path && !host_allowed(c, host))
		send_error(c, req, 421, "wrong-host", "this server does not go by the name in the Host header");
	else if (from_a_page(in, host))
		send_error(c, req, 403, "wrong-origin", "pages of other sites may not ask");
	else if (c->http->token[0] && !token_ok(c->http->token, evhttp_find_header(in, "Authorization")))
		send_error(c, req, 401, "no-token", "the token is missing or wrong: Authorization: Bearer TOKEN");
	else
		return true;
	return false;
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
		send_error(c, c->req, 500, "no-memory", "out of memory");
		return;
	}
	if (api_handle(h->api, &q, &r, on_answer, c))
		on_answer(c, &r);
	set_timer(h->tick, 0);
}

static struct conn *conn_of(struct http *h, const struct evhttp_connection *evcon)
{
	struct conn *c;

	for (c = h->conns; c && c->evcon != evcon; c = c->next)
		;
	return c;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct conn *c = conn_of(h, evhttp_request_get_connection(req));
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *raw = uri ? evhttp_uri_get_path(uri) : NULL;
	char *path = NULL;
	size_t len = 0;

	if (!c) { /* see on_accept() */
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
		send_error(c, req, 400, "bad-target", "the path is not well-formed");
	else if (admit(c, req))
		ask_api(c, path, evhttp_uri_get_query(uri));
	free(path);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd, (void)what;
	set_timer(h->tick, api_tick(h->api));
}

/* ---- where it listens ---- */

/* Removes a socket that nobody listens on any more. 0; -1: somebody does, or it is no socket. */
static int clear_stale(const char *path, const struct sockaddr_un *sun, struct error *e)
{
	struct stat st;
	int fd, ret, errnum;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : error_errno(e, "listen=unix:%s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(e, "listen=unix:%s: something that is no socket is there", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(e, "listen=unix:%s", path);
	ret = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	errnum = errno;
	close(fd);
	if (!ret || errnum == EAGAIN)
		return error_set(e, "listen=unix:%s: another process listens there", path);
	if (errnum != ECONNREFUSED) {
		errno = errnum;
		return error_errno(e, "listen=unix:%s", path);
	}
	return unlink(path) ? error_errno(e, "listen=unix:%s: removing a stale socket", path) : 0;
}

/* Before others may use it at all: its group, then its mode. Neither follows a link that was put there. */
static int give_socket(const char *path, const struct config *c, struct error *e)
{
	gid_t group;
	int has = config_listen_group(c, &group, e);

	if (has < 0)
		return -1;
	if (has && lchown(path, (uid_t)-1, group))
		return error_errno(e, "listen-group=%s: giving %s to it (who is not root must be a member)",
				   c->listen_group, path);
	if (fchmodat(AT_FDCWD, path, 0660, AT_SYMLINK_NOFOLLOW))
		return error_errno(e, "listen=unix:%s: its mode", path);
	return 0;
}

static int listen_unix(struct http *h, const struct config *c, struct error *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *path = c->listen + 5;
	struct stat st;

	if (!path[0] || strlen(path) >= sizeof(sun.sun_path))
		return error_set(e, "listen=unix:%s: a path of 1 to %zu bytes is needed", path, sizeof(sun.sun_path) - 1);
	strcpy(sun.sun_path, path);
	if (clear_stale(path, &sun, e))
		return -1;
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* the mode of the descriptor is what bind() makes the file with: for nobody else until it has its group */
	if (h->fd < 0 || fchmod(h->fd, 0600) || bind(h->fd, (struct sockaddr *)&sun, sizeof(sun)))
		return error_errno(e, "listen=unix:%s", path);
	if (give_socket(path, c, e)) {
		unlink(path);
		return -1;
	}
	if (listen(h->fd, BACKLOG) || lstat(path, &st))
		return error_errno(e, "listen=unix:%s", path);
	h->unix_path = strdup(path);
	h->unix_dev = st.st_dev;
	h->unix_ino = st.st_ino;
	return h->unix_path ? 0 : error_set(e, "out of memory");
}

/* "127.0.0.1:80", "[::1]:80", "localhost:80". */
static int parse_address(const char *text, struct sockaddr_storage *ss, socklen_t *len, bool *loopback)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN + 2];
	unsigned long port;
	char *end;

	memset(ss, 0, sizeof(*ss));
	if (!n || n >= sizeof(host) || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return -1;
	port = strtoul(colon + 1, &end, 10);
	if (port > 65535)
		return -1;
	snprintf(host, sizeof(host), "%.*s", (int)n, text);
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		*len = sizeof(*in6);
		*loopback = inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 ? 0 : -1;
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons((uint16_t)port);
	*len = sizeof(*in4);
	if (inet_pton(AF_INET, host, &in4->sin_addr) != 1)
		return -1;
	*loopback = ntohl(in4->sin_addr.s_addr) >> 24 == 127;
	return 0;
}

static int listen_tcp(struct http *h, const char *text, struct error *e)
{
	struct sockaddr_storage ss;
	bool loopback = false;
	socklen_t len;
	int on = 1;

	if (parse_address(text, &ss, &len, &loopback))
		return error_set(e, "listen=%s: not unix:PATH, IPV4:PORT or [IPV6]:PORT", text);
	if (!loopback && !h->token[0])
		return error_set(e, "listen=%s: an address that others can reach needs a token: set token-file", text);
	snprintf(h->address, sizeof(h->address), "%.*s", (int)(strrchr(text, ':') - text), text);
	h->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->fd < 0 || setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(h->fd, (struct sockaddr *)&ss, len) || listen(h->fd, BACKLOG))
		return error_errno(e, "listen=%s", text);
	return 0;
}

/* The first line of the token file: at least 16 visible characters. */
static int read_token(struct http *h, const char *path, struct error *e)
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

/* ---- the server ---- */

static size_t count_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* Each connection is an open file. Their limit is raised to what all need together, where it may be. */
static int need_files(const struct http *h, struct error *e)
{
	rlim_t need = count_open_files() + h->max_connections + REFUSED_MAX + SPARE_FILES;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return error_errno(e, "the limit of open files");
	if (r.rlim_cur >= need)
		return 0;
	if (r.rlim_max < need)
		return error_set(
			e,
			"http-max-connections=%llu: with %llu open files for all else this needs more than may be "
			"open at once, which is %llu: lower it, or raise that limit (LimitNOFILE= of the service)",
			(unsigned long long)h->max_connections, (unsigned long long)(need - h->max_connections),
			(unsigned long long)r.rlim_max);
	r.rlim_cur = need;
	if (!setrlimit(RLIMIT_NOFILE, &r))
		return 0;
	return error_errno(e, "raising the limit of open files to %llu", (unsigned long long)need);
}

static int make_loop(struct http *h, struct error *e)
{
	h->base = event_base_new();
	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->evhttp = h->base ? evhttp_new(h->base) : NULL;
	if (!h->evhttp || h->stop_fd < 0)
		return error_set(e, "cannot make an event loop for HTTP");
	h->listener = evconnlistener_new(h->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, h->fd);
	h->tick = evtimer_new(h->base, on_tick, h);
	h->sweep = evtimer_new(h->base, on_sweep, h);
	h->retry = evtimer_new(h->base, on_retry, h);
	h->stop = event_new(h->base, h->stop_fd, EV_READ, on_stop, h);
	if (!h->listener || !h->tick || !h->sweep || !h->retry || !h->stop)
		return error_set(e, "cannot make an event loop for HTTP");
	h->fd = -1;
	/* what comes here is within the limits; these are the last resort */
	evhttp_set_max_headers_size(h->evhttp, (ev_ssize_t)h->max_headers + 1);
	evhttp_set_max_body_size(h->evhttp, (ev_ssize_t)h->max_body + 1);
	evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
						      EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS |
						      EVHTTP_REQ_TRACE);
	evhttp_set_bevcb(h->evhttp, on_accept, h);
	evhttp_set_gencb(h->evhttp, on_request, h);
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	if (!evhttp_bind_listener(h->evhttp, h->listener) || event_add(h->stop, NULL))
		return error_set(e, "cannot make an event loop for HTTP");
	set_timer(h->tick, 0);
	return 0;
}

struct http *http_new(const struct config *c, struct api *api, struct error *e)
{
	struct http *h = calloc(1, sizeof(*h));
	int err = 0;

	if (!h) {
		error_set(e, "out of memory");
		return NULL;
	}
	h->api = api;
	h->fd = h->stop_fd = -1;
	h->max_body = c->http_max_body;
	h->max_headers = c->http_max_headers;
	h->max_connections = c->http_max_connections;
	h->timeout_ms = c->http_timeout;
	if (!c->listen || !c->listen[0] || !strcmp(c->listen, "none"))
		return h;
	if (c->token_file && c->token_file[0])
		err = read_token(h, c->token_file, e);
	if (!err)
		err = need_files(h, e);
	if (!err)
		err = !strncmp(c->listen, "unix:", 5) ? listen_unix(h, c, e) : listen_tcp(h, c->listen, e);
	if (!err)
		err = make_loop(h, e);
	if (!err)
		return h;
	http_free(h);
	return NULL;
}

void http_strict(struct http *h)
{
	h->strict = true;
}

/* Those who wait are told that it is over, as far as one write goes. */
static void end_waiting(struct http *h)
{
	for (struct conn *c = h->conns; c; c = c->next) {
		if (c->state != WAITING)
			continue;
		api_cancel(h->api, c);
		send_error(c, c->req, 503, "stopping", "the service is stopping");
	}
	evconnlistener_disable(h->listener);
	event_del(h->tick);
	event_base_loop(h->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void *serve(void *arg)
{
	struct http *h = arg;

	event_base_dispatch(h->base);
	end_waiting(h);
	return NULL;
}

int http_start(struct http *h, struct error *e)
{
	sigset_t all, before;
	int errnum;

	if (!h->base)
		return 0;
	/* signals are for the other threads */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errnum = pthread_create(&h->thread, NULL, serve, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errnum)
		return error_set(e, "cannot start the HTTP thread: %s", strerror(errnum));
	h->started = true;
	return 0;
}

static void free_loop(struct http *h)
{
	struct conn *c;

	if (h->listener && !h->evhttp)
		evconnlistener_free(h->listener);
	h->listener = NULL; /* belongs to evhttp */
	while ((c = h->conns)) {
		if (c->evcon)
			conn_close(c);
		else /* accepted in the last moment */
			conn_free(c);
	}
	if (h->evhttp)
		evhttp_free(h->evhttp);
	if (h->tick)
		event_free(h->tick);
	if (h->sweep)
		event_free(h->sweep);
	if (h->retry)
		event_free(h->retry);
	if (h->stop)
		event_free(h->stop);
	if (h->base)
		event_base_free(h->base);
}

void http_free(struct http *h)
{
	const uint64_t one = 1;
	struct stat st;

	if (!h)
		return;
	if (h->started) {
		if (write(h->stop_fd, &one, sizeof(one)) < 0)
			log_error("cannot stop the HTTP thread");
		pthread_join(h->thread, NULL);
	}
	free_loop(h);
	if (h->fd >= 0)
		close(h->fd);
	if (h->stop_fd >= 0)
		close(h->stop_fd);
	if (h->unix_path && !lstat(h->unix_path, &st) && st.st_dev == h->unix_dev && st.st_ino == h->unix_ino)
		unlink(h->unix_path);
	free(h->unix_path);
	free(h);
}
