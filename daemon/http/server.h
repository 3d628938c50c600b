/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP server: evhttp on a Unix socket or a TCP address, with its own thread and event base, so that clients cannot
 * slow the capture. Transport only: limits, token, Host header, JSON errors. The answers come from api.h.
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
