/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the server share: the server and its connections. connection.c alone changes the state of a
 * connection; admission.c says who may ask; listen.c makes the socket; server.c ties them together.
 */
#ifndef IOFLUSH_DAEMON_HTTP_IMPL_H
#define IOFLUSH_DAEMON_HTTP_IMPL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "daemon/http/server.h"

#ifdef IOFLUSH_TRACE_EVENT_H
#error "struct event is libevent's here, not that of a trace"
#endif

#define TOKEN_MAX 256
#define REFUSED_MAX 32 /* connections beyond the limit that get an error; further ones wait in the kernel's queue */
#define SWEEP_MIN_MS 20

enum conn_state { READING, READY, WAITING, REPLYING, CLOSING, BROKEN };

struct conn {
	struct conn *next;
	struct http *http;
	struct bufferevent *bev;	 /* a reference of our own: it may outlive evcon */
	struct evhttp_connection *evcon; /* NULL: just accepted */
	struct evbuffer_cb_entry *watch;
	struct event *turn; /* on_turn() */
	enum conn_state state;
	struct evhttp_request *req; /* WAITING: the question to the API, which knows it by the conn */
	bool refused;		    /* beyond the limit of connections */
	bool close;		    /* after the answer */
	bool flushed;		    /* CLOSING: all is sent */
	bool hung_up;		    /* CLOSING: the client sends no more */
	size_t searched;	    /* READING: the head does not end before here */
	size_t need;		    /* length of the request; 0: not known yet */
	uint64_t since;		    /* ms: start of the state; READING: of the first byte, or of being idle */
	bool begun;		    /* READING: a part of a request is there */
};

struct http {
	struct api *api;
	uint64_t max_body, max_headers, max_connections, timeout_ms;
	char token[TOKEN_MAX]; /* "" : none */
	char *unix_path;       /* or NULL: TCP */
	dev_t unix_dev;
	ino_t unix_ino;
	char address[INET6_ADDRSTRLEN + 2]; /* as in a Host header */
	int fd;				    /* listening, until the listener owns it; -1 */
	struct event_base *base;
	struct evhttp *evhttp;
	struct evconnlistener *listener;
	struct event *tick, *sweep, *stop;
	struct event *retry;	 /* pending: accepting failed; until then it is not tried again */
	uint64_t accept_said_ms; /* when the failure to accept was logged; 0: never */
	int stop_fd;
	struct conn *conns;
	size_t nconns;
	struct conn *giving; /* the one whose request is given to evhttp now; NULL: none, or it was taken */
	pthread_t thread;
	bool started, strict;
};

/* connection.c */
struct bufferevent *conn_on_accept(struct event_base *base, void *arg); /* of the evhttp that is to be given it */
void conn_on_request(struct evhttp_request *req, void *arg);		/* evhttp has read one */
void conn_sweep(struct conn *c, uint64_t now);				/* ends it if its time is over */
void conn_end(struct conn *c);						/* now; frees it */
/* Answers a waiting request. */
void conn_answer_error(struct conn *c, struct evhttp_request *req, int status, const char *code, const char *message);

/* admission.c: whether the client may ask at all; if not, this has answered with the error. */
bool http_admit(struct conn *c, struct evhttp_request *req);
int http_read_token(struct http *h, const char *path, struct error *e);

/* listen.c: makes the socket. 0 or -1. */
int http_listen_unix(struct http *h, const struct config *c, struct error *e);
int http_listen_tcp(struct http *h, const char *text, struct error *e);

/* server.c */
void http_timer(struct event *ev, uint64_t ms);
void http_accept_more(struct http *h); /* unless there are too many connections, or accepting one failed a moment ago */

#endif
