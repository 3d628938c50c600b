/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of an HTTP request, looked at before evhttp sees any of it: strict about what evhttp is lax in (line ends,
 * folded and doubled headers, chunked bodies), so that where a request ends is never in doubt; and strict about all that
 * evhttp would answer by itself or read otherwise than we do (authorities and fragments in the target, CONNECT, tabs
 * before a value), so that every error has an answer of ours.
 */
#ifndef IOFLUSH_DAEMON_HTTP_HEAD_H
#define IOFLUSH_DAEMON_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
	const char *method, *path; /* in the text; path: of the target, without the query, not decoded */
	size_t method_len, path_len;
	uint64_t body;	      /* bytes that follow; known with status 413, too */
	bool expect_continue; /* the client waits for a word before it sends them */
	/* of an error: */
	const char *code, *message;
};

/* text: all of the head, its empty line included. 0: fine; else the status to answer with. */
int http_head_check(const char *text, size_t len, uint64_t max_body, struct http_head *out);

#endif
