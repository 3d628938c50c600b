/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages between the privileged process and the recording one; see priv.h. The socket (SOCK_SEQPACKET: one
 * message, one packet) carries only requests of two numbers, and answers of three numbers with a descriptor, a list of
 * CPUs, a count or an error text.
 */
#ifndef IOFLUSH_DAEMON_PROBES_PACKETS_H
#define IOFLUSH_DAEMON_PROBES_PACKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define MAX_CPUS 8192u

enum priv_kind {
	PRIV_BUFFER = 1,
	PRIV_STATS,
	PRIV_CMDLINES,
	PRIV_CPUS,
	PRIV_TRACE,
	PRIV_MISSED,
	PRIV_UNCHANGED,
	PRIV_SYMBOLS
};

struct request {
	uint32_t kind; /* enum priv_kind */
	uint32_t arg;  /* CPU, or 0 and 1 for PRIV_TRACE */
};

struct answer {
	int32_t errnum; /* 0, or why it failed */
	uint32_t has_fd;
	uint32_t n; /* how many of cpu[] are valid */
	union {
		char text[sizeof(struct error)]; /* with errnum */
		uint32_t cpu[MAX_CPUS];
	};
};

#define ANSWER_HEAD offsetof(struct answer, text)

ssize_t packet_send(int sock, const void *data, size_t len, int fd, int flags);
/* The number of bytes, 0: the other end is closed, or -1. *fd: a descriptor that came with it, or -1. */
ssize_t packet_receive(int sock, void *data, size_t size, int *fd);

#endif
