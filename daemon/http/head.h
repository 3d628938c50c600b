/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of an HTTP request, checked before evhttp reads any of it. Strict where evhttp is lax (line ends, folded and
 * doubled headers, chunked bodies), so that it is always clear where a request ends. Strict also about everything that
 * evhttp would answer by itself or read in another way than we do (authorities and fragments in the target, CONNECT,
 * tabs before a value), so that every error gets an answer of ours.
 */
#ifndef IOFLUSH_DAEMON_HTTP_HEAD_H
#define IOFLUSH_DAEMON_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_head {
	const char *method, *path; /* in the text; path: of the target, without the query, not decoded */
	size_t method_len, path_len;
	uint64_t body;	      /* bytes that follow; also valid with status 413 */
	bool expect_continue; /* the client waits for "100 Continue" before it sends them */
	/* of an error: */
	const char *code, *message;
};

/* text: the whole head with its empty line. 0: accepted; else the status to answer with. */
int http_head_check(const char *text, size_t len, uint64_t max_body, struct http_head *out);

#endif
