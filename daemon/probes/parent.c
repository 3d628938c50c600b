/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged process, once the child is there; see priv.h.
 *
 * It trusts nothing: a packet with any other size, kind or CPU number is answered with EPROTO, and has no other effect.
 * The child can get only the buffers and statistics of our own instance, how much our probes missed, the command names,
 * and recording on or off. The parent never waits for the child: a child that does not read its answers is ended, and
 * with it the service, which systemd starts again.
 */
#include "daemon/probes/parent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/probes/packets.h"

#define SIGNALED 128 /* exit status of a child that a signal ended: this plus the signal's number, as in shells */

struct parent {
	struct tracer *t;
	int sock, signals;
	pid_t child;
	struct answer answer;
};

static void answer_text(struct answer *a, int errnum, const char *text)
{
	a->errnum = errnum ? errnum : EIO;
	snprintf(a->text, sizeof(a->text), "%s", text);
}

static void answer_cpus(struct parent *p)
{
	struct error e = {{0}};
	size_t n = 0, i;
	unsigned *cpus;

	errno = 0;
	cpus = tracer_cpus(p->t, &n, &e);
	if (!cpus) {
		answer_text(&p->answer, errno, e.text);
		return;
	}
	p->answer.n = n > MAX_CPUS ? MAX_CPUS : (uint32_t)n;
	for (i = 0; i < p->answer.n; i++)
		p->answer.cpu[i] = cpus[i];
	free(cpus);
}

static void answer_trace(struct parent *p, bool on)
{
	struct error e = {{0}};

	errno = 0;
	if (on ? tracer_start(p->t, &e) : tracer_stop(p->t, &e))
		answer_text(&p->answer, errno, e.text);
}

/* A number, in two halves. */
static void answer_missed(struct parent *p)
{
	uint64_t missed = 0;

	errno = 0;
	if (tracer_missed(p->t, &missed)) {
		answer_text(&p->answer, errno, strerror(errno));
		return;
	}
	p->answer.n = 2;
	p->answer.cpu[0] = (uint32_t)missed;
	p->answer.cpu[1] = (uint32_t)(missed >> 32);
}

static void answer_unchanged(struct parent *p)
{
	struct error e = {{0}};
	int rc = tracer_unchanged(p->t, &e);

	if (rc)
		answer_text(&p->answer, rc < 0 ? ECANCELED : errno, e.text);
}

static bool request_valid(const struct request *q, ssize_t len)
{
	if (len != (ssize_t)sizeof(*q))
		return false;
	switch (q->kind) {
	case PRIV_BUFFER:
	case PRIV_STATS:
		return q->arg < MAX_CPUS;
	case PRIV_TRACE:
		return q->arg <= 1;
	case PRIV_CMDLINES:
	case PRIV_SYMBOLS:
	case PRIV_CPUS:
	case PRIV_MISSED:
	case PRIV_UNCHANGED:
		return q->arg == 0;
	default:
		return false;
	}
}

/* Fills p->answer. Returns a descriptor to send, or -1. */
static int serve_request(struct parent *p, const struct request *q)
{
	int fd = -1;

	switch (q->kind) {
	case PRIV_BUFFER:
		fd = tracer_open_buffer(p->t, q->arg);
		break;
	case PRIV_STATS:
		fd = tracer_open_stats(p->t, q->arg);
		break;
	case PRIV_CMDLINES:
		fd = tracer_open_cmdlines(p->t);
		break;
	case PRIV_SYMBOLS:
		fd = tracer_open_symbols(p->t);
		break;
	case PRIV_CPUS:
		answer_cpus(p);
		return -1;
	case PRIV_TRACE:
		answer_trace(p, q->arg);
		return -1;
	case PRIV_MISSED:
		answer_missed(p);
		return -1;
	case PRIV_UNCHANGED:
		answer_unchanged(p);
		return -1;
	}
	if (fd < 0)
		answer_text(&p->answer, errno, strerror(errno));
	p->answer.has_fd = fd >= 0;
	return fd;
}

/* If an answer cannot be sent, the child does not read, or is not ours. Ends it; SIGCHLD follows. */
static void end_child(const struct parent *p, int errnum)
{
	log_error("the recording process does not take its answers (%s): it is ended", strerror(errnum));
	if (kill(p->child, SIGKILL))
		log_error("ending the recording process: %s", strerror(errno));
}

/* Serves one request. false: there will be no more; the child has closed its end or was ended. */
static bool serve(struct parent *p)
{
	bool goes_on = true;
	struct request q = {0};
	size_t answer_len;
	ssize_t len;
	int fd = -1;

	/* no room for descriptors: the kernel drops them. MSG_TRUNC: returns the length that was sent */
	do
		len = recv(p->sock, &q, sizeof(q), MSG_TRUNC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (!len || (len < 0 && errno == ECONNRESET))
		return false;
	if (len < 0 && errno == EAGAIN)
		return true;
	memset(&p->answer, 0, sizeof(p->answer));
	if (request_valid(&q, len))
		fd = serve_request(p, &q);
	else
		answer_text(&p->answer, EPROTO, "not a request that is known");
	answer_len = ANSWER_HEAD + p->answer.n * sizeof(p->answer.cpu[0]);
	if (p->answer.errnum)
		answer_len = ANSWER_HEAD + strlen(p->answer.text) + 1;
	if (packet_send(p->sock, &p->answer, answer_len, fd, MSG_DONTWAIT) < 0) {
		if (errno != EPIPE && errno != ECONNRESET)
			end_child(p, errno);
		goes_on = false;
	}
	if (fd >= 0)
		close(fd);
	return goes_on;
}

/* The child's exit status once it is gone, else -1. */
static int reap(struct parent *p)
{
	int status;

	if (waitpid(p->child, &status, WNOHANG) != p->child)
		return -1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_error("the recording process was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return SIGNALED + WTERMSIG(status);
}

/* The child's exit status if it has ended, else -1. A signal from the terminal reached the child, too. */
static int on_signal(struct parent *p)
{
	struct signalfd_siginfo si;

	if (read(p->signals, &si, sizeof(si)) != sizeof(si))
		return -1;
	if (si.ssi_signo == SIGCHLD)
		return reap(p);
	if (si.ssi_code != SI_KERNEL && kill(p->child, (int)si.ssi_signo))
		log_error("forwarding signal %u: %s", si.ssi_signo, strerror(errno));
	return -1;
}

static int parent_loop(struct parent *p)
{
	struct pollfd fds[2] = {{.fd = p->signals, .events = POLLIN}, {.fd = p->sock, .events = POLLIN}};
	/* It may be gone already: setting the default action of SIGCHLD dropped a pending one. */
	int status = reap(p);

	while (status < 0) {
		if (poll(fds, 2, -1) < 0) {
			if (errno != EINTR)
				log_error("privileged process: poll: %s", strerror(errno));
			continue;
		}
		if (fds[0].revents)
			status = on_signal(p);
		/*
		 * no more requests, but the child goes on: probes are removed when it, with its open buffers, is gone
		 */
		if (fds[1].revents && !serve(p))
			fds[1].fd = -1;
	}
	return status;
}

void parent_receive_signals(const sigset_t *set)
{
	static const int kinds[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct sigaction sa = {.sa_handler = SIG_DFL};
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sigismember(set, kinds[i]))
			sigaction(kinds[i], &sa, NULL);
}

void parent_run(struct tracer *t, int sock, int signals, pid_t child)
{
	struct parent p = {.t = t, .sock = sock, .signals = signals, .child = child};
	int status;

	status = parent_loop(&p);
	tracer_close(t);
	_exit(status);
}
