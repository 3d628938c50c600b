/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The handlers of the paths. A handler is in the file with the name of its path. */
#ifndef IOFLUSH_DAEMON_API_ROUTES_H
#define IOFLUSH_DAEMON_API_ROUTES_H

struct call;

/* Finds and calls the handler of a call. Returns what the handler returns, or -1 and the error. */
int routes_dispatch(struct call *c);

int api_get_status(struct call *c);
int api_get_health(struct call *c);
int api_get_metrics(struct call *c);
int api_get_captures(struct call *c);
int api_get_capture(struct call *c);
int api_get_events(struct call *c);
int api_get_domains(struct call *c);
int api_get_iopts(struct call *c);
int api_get_policies(struct call *c);
int api_get_replays(struct call *c);
int api_post_replay(struct call *c);
int api_get_replay(struct call *c);
int api_delete_replay(struct call *c);
int api_get_gaps(struct call *c);

#endif
