/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions that the ioflush program answers: what exists at a time, findings, the list of policies. Each is a command
 * line; who asks what is being found out already waits for the same answer, and answers are kept for a while. At most a
 * few programs run at once, and nobody waits forever.
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
	int exit_status; /* without an answer: of the program, or -1 */
	const char *why; /* why there is none */
	bool late;	 /* it is still being found out: ask again later */
};

/* The answer is valid during the call. */
typedef void (*query_fn)(void *ctx, void *arg, const struct query_answer *answer);

struct queries;

/* program: path, copied. NULL: out of memory. */
struct queries *queries_new(const char *program, const struct child_limits *limits);

/*
 * Asks. args: after the program's name, ending with NULL. version: of what is asked about; an answer given for another
 * version counts only while it is younger than the time it took. Calls fn at once or from queries_tick(); ctx tells
 * who asked, for queries_cancel(). -1: too many questions at once, or args, fn is not called.
 */
int queries_ask(struct queries *q, const char *const args[], uint64_t version, uint64_t wait_ms, query_fn fn, void *ctx,
		void *arg);
/* Forgets who asked. The arg of each that waited is given to drop(). */
void queries_cancel(struct queries *q, void *ctx, void (*drop)(void *arg));
void queries_free(struct queries *q, void (*drop)(void *arg)); /* the same of all */
bool queries_tick(struct queries *q);			       /* whether any is running */

#endif
