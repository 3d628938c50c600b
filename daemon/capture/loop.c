/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See loop.h. Every watched buffer is a one-shot read event. When it fires, a drain is scheduled, and the buffer stays
 * unwatched until that drain ends; then all are watched again. So libevent never reports a buffer that will be read
 * anyway. Invariant outside of callbacks: a watch is pending, or a drain is scheduled, or poll reported POLLERR for it
 * (an offline CPU) and only the timer serves it.
 */
#include "daemon/capture/loop.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

struct watch {
	struct watch *next;
	struct loop *loop;
	struct event *ev;
	unsigned number;
	int fd;	   /* ours: a duplicate */
	bool idle; /* fired, waits for the end of the drain */
};

struct loop {
	struct loop_ops ops;
	struct event_base *base;
	struct event *timer, *soon, *second, *term, *intr, *hup, *reload;
	uint64_t interval_ms;
	struct watch *watches;
	uint64_t drained_us; /* when the last drain was over */
	bool scheduled;	     /* "soon" is pending */
	bool stopping;
};

static uint64_t now_us(void)
{
	return clock_ns() / 1000;
}

static void schedule(struct loop *l, uint64_t us)
{
	struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

	if (event_add(l->soon, &tv))
		log_error("libevent: cannot schedule a drain; the timer drains");
	else
		l->scheduled = true;
}

static void watch_again(struct loop *l)
{
	for (struct watch *w = l->watches; w; w = w->next) {
		if (!w->idle)
			continue;
		w->idle = false;
		if (event_add(w->ev, NULL))
			log_warning("libevent: cannot watch the buffer of CPU %u; the timer drains it", w->number);
	}
}

static void drain(struct loop *l)
{
	bool more = l->ops.drain(l->ops.ctx);

	l->drained_us = now_us();
	if (more)
		schedule(l, 0);
	else
		watch_again(l);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct loop *l = w->loop;
	uint64_t rest = now_us() - l->drained_us;

	(void)fd;
	(void)what;
	w->idle = true;
	if (!l->scheduled)
		schedule(l, rest < LOOP_MIN_INTERVAL_US ? LOOP_MIN_INTERVAL_US - rest : 0);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->scheduled = false;
	drain(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	if (!l->scheduled)
		drain(l);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->ops.tick(l->ops.ctx);
}

static void on_stop(evutil_socket_t signal, short what, void *arg)
{
	struct loop *l = arg;

	(void)what;
	if (l->stopping) /* systemd and the parent may both send the signal */
		return;
	l->stopping = true;
	l->ops.stop(l->ops.ctx, signal);
}

/* libevent calls once per signal that arrived; one reload serves them all. */
static void on_hangup(evutil_socket_t signal, short what, void *arg)
{
	const struct timeval now = {0, 0};
	struct loop *l = arg;

	(void)signal;
	(void)what;
	if (event_add(l->reload, &now))
		log_error("libevent: cannot reload");
}

static void on_reload(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->ops.reload(l->ops.ctx);
}

static void on_message(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warning("libevent: %s", text);
	else
		log_debug("libevent: %s", text);
}

static int set_timer(struct event *ev, uint64_t ms, struct error *e)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	return event_add(ev, &tv) ? error_set(e, "libevent: cannot set a timer of %llu ms", (unsigned long long)ms) : 0;
}

static int make_events(struct loop *l, uint64_t drain_interval_ms, struct error *e)
{
	l->timer = event_new(l->base, -1, EV_PERSIST, on_timer, l);
	l->soon = evtimer_new(l->base, on_soon, l);
	l->second = event_new(l->base, -1, EV_PERSIST, on_second, l);
	l->term = evsignal_new(l->base, SIGTERM, on_stop, l);
	l->intr = evsignal_new(l->base, SIGINT, on_stop, l);
	l->hup = evsignal_new(l->base, SIGHUP, on_hangup, l);
	l->reload = evtimer_new(l->base, on_reload, l);
	if (!l->timer || !l->soon || !l->second || !l->term || !l->intr || !l->hup || !l->reload)
		return error_set(e, "libevent: out of memory");
	if (evsignal_add(l->term, NULL) || evsignal_add(l->intr, NULL) || evsignal_add(l->hup, NULL))
		return error_errno(e, "libevent: cannot take signals");
	if (set_timer(l->second, 1000, e))
		return -1;
	return loop_set_interval(l, drain_interval_ms, e);
}

struct loop *loop_new(const struct loop_ops *ops, uint64_t drain_interval_ms, struct error *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l) {
		error_errno(e, "event loop");
		return NULL;
	}
	l->ops = *ops;
	event_set_log_callback(on_message);
	l->base = event_base_new();
	if (!l->base) {
		error_errno(e, "libevent: no event base");
		goto fail;
	}
	if (make_events(l, drain_interval_ms, e))
		goto fail;
	return l;
fail:
	loop_free(l);
	return NULL;
}

static void watch_free(struct watch *w)
{
	if (w->ev)
		event_free(w->ev); /* before its descriptor goes */
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (struct watch *w = l->watches, *next; w; w = next) {
		next = w->next;
		watch_free(w);
	}
	free_event(l->timer);
	free_event(l->soon);
	free_event(l->second);
	free_event(l->term);
	free_event(l->intr);
	free_event(l->hup);
	free_event(l->reload);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

int loop_watch(struct loop *l, unsigned number, int fd, struct error *e)
{
	struct watch *w = calloc(1, sizeof(*w));

	loop_unwatch(l, number);
	if (!w)
		return error_errno(e, "watching CPU %u", number);
	w->loop = l;
	w->number = number;
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0) {
		error_errno(e, "watching CPU %u", number);
		goto fail;
	}
	w->ev = event_new(l->base, w->fd, EV_READ, on_readable, w);
	if (!w->ev || event_add(w->ev, NULL)) {
		error_errno(e, "libevent: cannot watch the buffer of CPU %u", number);
		goto fail;
	}
	w->next = l->watches;
	l->watches = w;
	return 0;
fail:
	watch_free(w);
	return -1;
}

void loop_unwatch(struct loop *l, unsigned number)
{
	for (struct watch **at = &l->watches; *at; at = &(*at)->next) {
		struct watch *w = *at;

		if (w->number != number)
			continue;
		*at = w->next;
		watch_free(w);
		return;
	}
}

int loop_set_interval(struct loop *l, uint64_t drain_interval_ms, struct error *e)
{
	if (drain_interval_ms == l->interval_ms)
		return 0; /* setting it again would restart it; done often, it would never fire */
	l->interval_ms = drain_interval_ms;
	return set_timer(l->timer, drain_interval_ms, e);
}

int loop_run(struct loop *l, struct error *e)
{
	if (event_base_dispatch(l->base) < 0)
		return error_errno(e, "libevent: the event loop failed");
	return 0;
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}
