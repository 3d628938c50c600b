/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions that the ioflush program answers: what exists at a time, findings, the list of policies. Each is a command
 * line. Clients with the same question share one answer, and answers are kept for a while. At most a few programs run
 * at once, and no client waits forever.
 */
#ifndef IOFLUSH_DAEMON_API_QUERY_H
#define IOFLUSH_DAEMON_API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/child.h"

#define QUERY_MAX_ARGS 20

struct query_answer {
	const char *text; /* what the program printed; NULL: there is no answer */
	size_t len;
	int exit_status; /* if there is no answer: of the program, or -1 */
	const char *why; /* why there is none */
	bool late;	 /* the program is still running: ask again later */
};

/* The answer is valid during the call. */
typedef void (*query_fn)(void *ctx, void *arg, const struct query_answer *answer);

struct queries;

/* program: path, copied. NULL: out of memory. */
struct queries *queries_new(const char *program, const struct child_limits *limits);

/*
 * Asks. args: after the program's name, ending with NULL. version: of the data; an answer for another version is used
 * only while it is younger than the time it took. Calls fn at once or from queries_tick(); ctx identifies the client
 * for queries_cancel(). -1: too many questions at once, or too many args; fn is not called.
 */
int queries_ask(struct queries *q, const char *const args[], uint64_t version, uint64_t wait_ms, query_fn fn, void *ctx,
		void *arg);
/* Forgets a client. Passes the arg of each of its questions to drop(). */
void queries_cancel(struct queries *q, void *ctx, void (*drop)(void *arg));
void queries_free(struct queries *q, void (*drop)(void *arg)); /* the same of all */
bool queries_tick(struct queries *q);			       /* whether any is running */

#endif
