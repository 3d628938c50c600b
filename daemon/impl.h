/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole recording process, shared by:
 *
 *	daemon.c	its life
 *	options.c	options, and their reload
 *	cpus.c		CPUs that come and go
 */
#ifndef IOFLUSH_DAEMON_IMPL_H
#define IOFLUSH_DAEMON_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "daemon/api/api.h"
#include "daemon/capture/loop.h"
#include "daemon/capture/ring.h"
#include "daemon/config/config.h"
#include "daemon/http/server.h"
#include "daemon/ledger.h"
#include "daemon/notify.h"
#include "daemon/probes/priv.h"
#include "daemon/record/writer.h"

struct ioflushd {
	int argc;
	char **argv;
	struct config config;
	struct notify notify;
	struct priv *priv;
	struct priv_armed armed;
	struct intern *strings;
	struct ring *ring;
	_Atomic uint64_t kinds[EV_KINDS]; /* events given to the writer, for the metrics */
	struct writer *writer;
	struct api *api;
	struct http *http;
	_Atomic uint64_t drain_interval; /* of config, for the HTTP thread */
	struct loop *loop;
	struct {
		struct cpu *cpu;
		size_t n;
	} cpus;
	struct health health;
	bool counts_missed;	       /* some probe is a kprobe, and the kernel counts what it misses */
	uint64_t watch_at;	       /* seconds: when the next check is due */
	bool changed;		       /* another process changed how the kernel records */
	uint64_t alive_at, status_at;  /* seconds: when due */
	uint64_t drains, events, lost; /* at the last watchdog message / status line */
	struct error failed;	       /* why recording did not begin, or ended without being told to */
};

/* --- options.c */

/* 0; 1: nothing more to do (--help and the like); -1. */
int options_read(struct config *c, int argc, char **argv, struct error *e);
void options_open_log(const struct config *c);
void options_reload(void *ctx); /* the loop calls it, with the struct ioflushd */

/* --- cpus.c */

/* Opens the buffers of CPUs that are there and not open. first: at the start, where a failure is an error. */
int cpus_update(struct ioflushd *d, bool first, struct error *e);
void cpus_gone(struct ioflushd *d, unsigned number);

#endif
