/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP server: evhttp on a Unix socket or a TCP address, on a thread and an event base of its own, so that no client
 * costs the capture anything. Transport only: limits, token, Host header, JSON errors. What is answered is api.h's.
 */
#ifndef IOFLUSH_DAEMON_HTTP_SERVER_H
#define IOFLUSH_DAEMON_HTTP_SERVER_H

#include "base/error.h"

struct api;
struct config;
struct http;

struct http *http_new(const struct config *c, struct api *api, struct error *e); /* binds; NULL and the error */
int http_start(struct http *h, struct error *e);				 /* starts the thread */
void http_free(struct http *h);							 /* stops it; NULL is fine */
void http_strict(struct http *h); /* for tests, before http_start(): a broken invariant ends the program */

#endif
