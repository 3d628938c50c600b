/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privilege separation; see priv.h. The child inherits the list of armed events and their formats with the fork; it
 * asks the parent for everything else (packets.h, parent.c).
 *
 * Lifetimes: the parent outlives the child and removes the probes; SIGCHLD tells it that the child ended. When the
 * parent dies, the kernel sends the child SIGTERM, so that it still ends its capture in order; the next start removes
 * what is still armed.
 */
#include "daemon/probes/priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config/exit.h"
#include "daemon/probes/identity.h"
#include "daemon/probes/packets.h"
#include "daemon/probes/parent.h"

#define DISARM_MS 15000 /* a recorder whose privileged process is gone closes its capture first, and then the buffers */

struct priv {
	int fd;
	struct priv_armed armed;
	struct answer answer; /* the last one */
};

/* --- start */

/* All that the child will want to know, read before the fork; the events change hands. */
static int read_armed(struct priv_armed *a, struct tracer *t, struct error *e)
{
	size_t i;

	a->format = calloc(t->nevents ? t->nevents : 1, sizeof(*a->format));
	a->format_len = calloc(t->nevents ? t->nevents : 1, sizeof(*a->format_len));
	if (!a->format || !a->format_len)
		return error_set(e, "out of memory");
	a->nevents = t->nevents;
	a->header_page = tracer_header_page(t, &a->header_page_len, e);
	if (!a->header_page)
		return -1;
	for (i = 0; i < t->nevents; i++) {
		if (t->event[i].alt < 0)
			continue;
		a->format[i] = tracer_format(t, i, &a->format_len[i], e);
		if (!a->format[i])
			return -1;
	}
	a->event = t->event;
	t->event = NULL;
	t->nevents = 0;
	return 0;
}

/* Clean, then arm. -1: nothing is left armed, and *status is set. */
static int arm(struct tracer *t, const struct config *c, int *status, struct error *e)
{
	const struct tracer_options o = tracer_options_of(c);
	enum tracer_host host = TRACER_HOST_OK;
	struct probe_set set;
	unsigned found;
	int ret = -1;

	*status = DAEMON_EXIT_USAGE;
	if (probe_set_read(&set, c->probes, e))
		return -1;
	if (probe_set_check_rung(&set, c->rung, e))
		goto out;
	*status = DAEMON_EXIT_ERROR;
	if (tracer_open(t, &o, &host, e))
		goto out;
	if (tracer_clean(t, &found, &host, e))
		goto out;
	if (found)
		log_notice("removed %u leftovers of an earlier run (probes, and the instance %s)", found, c->instance);
	ret = tracer_arm(t, &set, &host, e);
	if (!ret && host) {
		log_warning("%s", e->text);
		e->text[0] = '\0';
	}
out:
	if (ret && host)
		*status = host;
	if (ret)
		tracer_close(t);
	probe_set_free(&set);
	return ret;
}

static void own_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
}

int priv_disarm(const struct config *c, unsigned *removed, struct error *e)
{
	struct tracer_options o = tracer_options_of(c);
	enum tracer_host host;
	struct tracer t;
	int ret;

	*removed = 0;
	o.busy_ms = DISARM_MS;
	if (tracer_open(&t, &o, &host, e))
		return host ? (int)host : DAEMON_EXIT_ERROR;
	ret = tracer_clean(&t, removed, &host, e);
	tracer_close(&t);
	if (!ret)
		return DAEMON_EXIT_OK;
	return host ? (int)host : DAEMON_EXIT_ERROR;
}

void priv_hold_signals(sigset_t *old)
{
	sigset_t mine;

	own_signals(&mine);
	sigprocmask(SIG_BLOCK, &mine, old);
}

static bool stop_is_pending(void)
{
	sigset_t pending;

	return !sigpending(&pending) && (sigismember(&pending, SIGTERM) > 0 || sigismember(&pending, SIGINT) > 0);
}

/* Call it with signals blocked; the child continues with the mask old. */
static int fork_child(struct priv *p, const struct config *c, const struct identity *id, struct tracer *t,
		      const sigset_t *old, struct error *e)
{
	pid_t parent = getpid(), child;
	int pair[2], signals;
	sigset_t mine;

	own_signals(&mine);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return error_errno(e, "socketpair");
	signals = signalfd(-1, &mine, SFD_CLOEXEC);
	if (signals < 0)
		goto fail;
	child = fork();
	if (child < 0) {
		error_errno(e, "fork");
		close(signals);
		goto fail;
	}
	if (child) {
		close(pair[0]);
		parent_receive_signals(&mine);
		parent_run(t, pair[1], signals, child);
	}
	close(pair[1]);
	close(signals);
	p->fd = pair[0];
	tracer_forget(t);
	if (identity_become(c, id, parent, e)) {
		log_error("%s", e->text);
		_exit(DAEMON_EXIT_ERROR);
	}
	sigprocmask(SIG_SETMASK, old, NULL);
	return 0;
fail:
	error_errno(e, "starting the recording process");
	close(pair[0]);
	close(pair[1]);
	return -1;
}

int priv_start(struct priv **out, const struct config *c, int *status, struct error *e)
{
	struct priv *p = calloc(1, sizeof(*p));
	struct identity id;
	struct tracer t;
	sigset_t old;

	*status = DAEMON_EXIT_ERROR;
	if (!p)
		return error_set(e, "out of memory");
	p->fd = -1;
	priv_hold_signals(&old);
	*status = DAEMON_EXIT_USAGE;
	if (identity_find(c, &id, e))
		goto fail;
	if (arm(&t, c, status, e))
		goto fail;
	*status = DAEMON_EXIT_ERROR;
	if (stop_is_pending())
		error_set(e, "told to stop before recording began");
	if (e->text[0] || read_armed(&p->armed, &t, e) || fork_child(p, c, &id, &t, &old, e)) {
		tracer_close(&t);
		goto fail;
	}
	*out = p;
	*status = DAEMON_EXIT_OK;
	return 0;
fail:
	priv_close(p);
	sigprocmask(SIG_SETMASK, &old, NULL); /* a signal that waited ends the process now, with nothing left behind */
	return -1;
}

/* --- what the child calls */

int priv_armed(struct priv *p, struct priv_armed *a, struct error *e)
{
	if (!p->armed.header_page)
		return error_set(e, "what was armed has been asked for before");
	*a = p->armed;
	memset(&p->armed, 0, sizeof(p->armed));
	return 0;
}

void priv_armed_free(struct priv_armed *a)
{
	size_t i;

	armed_events_free(a->event, a->nevents);
	for (i = 0; a->format && i < a->nevents; i++)
		free(a->format[i]);
	free(a->format);
	free(a->format_len);
	free(a->header_page);
	memset(a, 0, sizeof(*a));
}

/* One question and its answer, in p->answer. A descriptor that came with it, 0 without, or -1 with errno. */
static int ask(struct priv *p, uint32_t kind, uint32_t arg)
{
	struct request q = {kind, arg};
	ssize_t n;
	int fd;

	memset(&p->answer, 0, ANSWER_HEAD + 1);
	if (packet_send(p->fd, &q, sizeof(q), -1, 0) < 0)
		return -1;
	n = packet_receive(p->fd, &p->answer, sizeof(p->answer), &fd);
	if (n >= (ssize_t)ANSWER_HEAD && !p->answer.errnum && p->answer.has_fd == (fd >= 0) &&
	    (size_t)n == ANSWER_HEAD + p->answer.n * sizeof(p->answer.cpu[0]))
		return fd >= 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	if (n >= (ssize_t)ANSWER_HEAD && p->answer.errnum)
		errno = p->answer.errnum;
	else if (n >= 0)
		errno = n ? EPROTO : ECONNRESET;
	return -1;
}

static int ask_descriptor(struct priv *p, uint32_t kind, uint32_t arg)
{
	int fd = ask(p, kind, arg);

	if (fd >= 0 && !p->answer.has_fd) {
		errno = EPROTO;
		return -1;
	}
	return fd;
}

int priv_open_buffer(struct priv *p, unsigned cpu)
{
	return ask_descriptor(p, PRIV_BUFFER, cpu);
}

int priv_open_stats(struct priv *p, unsigned cpu)
{
	return ask_descriptor(p, PRIV_STATS, cpu);
}

int priv_open_cmdlines(struct priv *p)
{
	return ask_descriptor(p, PRIV_CMDLINES, 0);
}

int priv_open_symbols(struct priv *p)
{
	return ask_descriptor(p, PRIV_SYMBOLS, 0);
}

int priv_missed(struct priv *p, uint64_t *missed)
{
	if (ask(p, PRIV_MISSED, 0) < 0)
		return -1;
	if (p->answer.n != 2) {
		errno = EPROTO;
		return -1;
	}
	*missed = p->answer.cpu[0] | (uint64_t)p->answer.cpu[1] << 32;
	return 0;
}

int priv_unchanged(struct priv *p, struct error *e)
{
	if (ask(p, PRIV_UNCHANGED, 0) >= 0)
		return 0;
	return p->answer.errnum == ECANCELED ? error_set(e, "%s", p->answer.text) : 1;
}

/* What the parent said, or the errno of the failed talk. */
static int ask_error(struct priv *p, const char *what, struct error *e)
{
	if (p->answer.errnum)
		return error_set(e, "%s: %s", what, p->answer.text);
	return error_errno(e, "%s: the privileged process does not answer", what);
}

unsigned *priv_cpus(struct priv *p, size_t *n, struct error *e)
{
	unsigned *cpus;
	size_t i;

	*n = 0;
	if (ask(p, PRIV_CPUS, 0) < 0) {
		ask_error(p, "list of CPUs", e);
		return NULL;
	}
	cpus = calloc(p->answer.n + 1, sizeof(*cpus));
	if (!cpus) {
		error_set(e, "out of memory");
		return NULL;
	}
	for (i = 0; i < p->answer.n; i++)
		cpus[i] = p->answer.cpu[i];
	*n = p->answer.n;
	return cpus;
}

int priv_trace_on(struct priv *p, bool on, struct error *e)
{
	return ask(p, PRIV_TRACE, on) < 0 ? ask_error(p, on ? "starting to record" : "ending to record", e) : 0;
}

void priv_close(struct priv *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	priv_armed_free(&p->armed);
	free(p);
}
