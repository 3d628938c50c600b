/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See server.h: the server as a whole. connection.c has the life of a connection.
 *
 * It uses libevent's base, timers and listener directly, not loop.h, the loop of the capture: evhttp needs a struct
 * event_base and bufferevents of that base, so loop.h would have to expose what it hides. All that would be shared are
 * timers; this loop drains no buffers and takes no signals. Each of the two has its own base and thread.
 */
#include "daemon/http/server.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/config/config.h"
#include "daemon/http/impl.h"

#define RETRY_MS 250	   /* pause after a connection could not be accepted */
#define SAY_AGAIN_MS 60000 /* how often that is logged */
#define SPARE_FILES 128	   /* open files besides connections: the database, programs that answer */
#define SWEEP_MAX_MS 1000

void http_timer(struct event *ev, uint64_t ms)
{
	const struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(ev, &tv);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd, (void)what;
	event_base_loopbreak(h->base);
}

void http_accept_more(struct http *h)
{
	if (h->listener && h->nconns < h->max_connections + REFUSED_MAX && !evtimer_pending(h->retry, NULL))
		evconnlistener_enable(h->listener);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	http_accept_more(arg);
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
 * Waiting clients stay in the kernel's queue. Logged once and retried later: it would fail again at once, until a file
 * is closed. The listener's callback has evhttp as its argument; our own is found through an event that always exists.
 */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	int errnum = errno;
	struct http *h = NULL;
	uint64_t now = clock_ms();

	(void)arg;
	evconnlistener_disable(listener);
	if (event_base_foreach_event(evconnlistener_get_base(listener), find_http, &h) != 1)
		return;
	http_timer(h->retry, RETRY_MS);
	if (h->accept_said_ms && now - h->accept_said_ms < SAY_AGAIN_MS)
		return;
	h->accept_said_ms = now;
	log_error("HTTP: a connection cannot be accepted: %s; %zu are open, and others wait until one ends",
		  strerror(errnum), h->nconns);
}

/* Looks for connections whose time is over. Runs only while there are connections. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	uint64_t now = clock_ms(), next = h->timeout_ms / 8;
	struct conn *c, *following;

	(void)fd, (void)what;
	for (c = h->conns; c; c = following) {
		following = c->next;
		conn_sweep(c, now);
	}
	if (next < SWEEP_MIN_MS)
		next = SWEEP_MIN_MS;
	if (h->nconns)
		http_timer(h->sweep, next < SWEEP_MAX_MS ? next : SWEEP_MAX_MS);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd, (void)what;
	http_timer(h->tick, api_tick(h->api));
}

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

/* Each connection is an open file. Raises the limit of open files to what is needed, if allowed. */
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
	/* requests that get here are within the limits; these are a second check */
	evhttp_set_max_headers_size(h->evhttp, (ev_ssize_t)h->max_headers + 1);
	evhttp_set_max_body_size(h->evhttp, (ev_ssize_t)h->max_body + 1);
	evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
						      EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS |
						      EVHTTP_REQ_TRACE);
	evhttp_set_bevcb(h->evhttp, conn_on_accept, h);
	evhttp_set_gencb(h->evhttp, conn_on_request, h);
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	if (!evhttp_bind_listener(h->evhttp, h->listener) || event_add(h->stop, NULL))
		return error_set(e, "cannot make an event loop for HTTP");
	http_timer(h->tick, 0);
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
		err = http_read_token(h, c->token_file, e);
	if (!err)
		err = need_files(h, e);
	if (!err)
		err = !strncmp(c->listen, "unix:", 5) ? http_listen_unix(h, c, e) : http_listen_tcp(h, c->listen, e);
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

/* Waiting clients get an error, as much as one write takes. */
static void end_waiting(struct http *h)
{
	for (struct conn *c = h->conns; c; c = c->next) {
		if (c->state != WAITING)
			continue;
		api_cancel(h->api, c);
		conn_answer_error(c, c->req, 503, "stopping", "the service is stopping");
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
	if (h->listener && !h->evhttp)
		evconnlistener_free(h->listener);
	h->listener = NULL; /* belongs to evhttp */
	while (h->conns)
		conn_end(h->conns);
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
