/*
 * Privilege separation; see priv.h. What was armed, the formats among it, the child inherits with the fork; over the
 * socket (SOCK_SEQPACKET: one message, one packet) go only requests of two numbers and answers of three with a
 * descriptor, a list of CPUs, a count or an error text behind them.
 *
 * The parent believes nothing: a packet of any other size, kind or CPU number is answered with EPROTO and nothing else
 * happens. Whatever the child asks for, it can get no more than the buffers and statistics of our own instance, how much
 * our probes missed, the command names, and recording on or off. Nor does the parent ever wait for it: a child that does
 * not take its answers is ended, and with it the service, which systemd starts again.
 *
 * Lifetimes: the parent outlives the child and takes the probes away; when the child closes its end or dies in any way,
 * the parent sees it by SIGCHLD. When the parent dies, the kernel sends the child SIGTERM, so that it still ends its
 * capture in order; what stays armed then is removed by the next start.
 */
#include "daemon/probes/priv.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config/exit.h"

#define MAX_CPUS 8192u
#define DISARM_MS 15000 /* a recorder whose privileged process is gone closes its capture first, and then the buffers */
#define SIGNALED 128	/* exit status of a child that a signal ended: this and its number, as shells say it */

enum priv_kind { PRIV_BUFFER = 1, PRIV_STATS, PRIV_CMDLINES, PRIV_CPUS, PRIV_TRACE, PRIV_MISSED, PRIV_UNCHANGED };

struct request {
	uint32_t kind; /* enum priv_kind */
	uint32_t arg;  /* CPU, or 0 and 1 for PRIV_TRACE */
};

struct answer {
	int32_t errnum; /* 0, or why not */
	uint32_t has_fd;
	uint32_t n; /* of cpu[] that are valid */
	union {
		char text[sizeof(struct error)]; /* with errnum */
		uint32_t cpu[MAX_CPUS];
	};
};

#define ANSWER_HEAD offsetof(struct answer, text)

struct priv {
	int fd;
	struct priv_armed armed;
	struct answer answer; /* the last one */
};

/* Who the child becomes. */
struct identity {
	bool drop;
	uid_t uid;
	gid_t gid;
	gid_t group[1]; /* beside that: of the API's socket, which a member may give away */
	int groups;
};

/* --- packets */

static ssize_t send_packet(int sock, const void *data, size_t len, int fd, int flags)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	return n;
}

/* How many bytes, 0: the other end is closed, or -1. *fd: a descriptor that came with it, or -1. */
static ssize_t receive_packet(int sock, void *data, size_t size, int *fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (!(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = EPROTO;
	return -1;
}

/* --- the parent */

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
	case PRIV_CPUS:
	case PRIV_MISSED:
	case PRIV_UNCHANGED:
		return q->arg == 0;
	default:
		return false;
	}
}

/* Fills p->answer. A descriptor to send, or -1. */
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

/* An answer that cannot be sent leaves the child waiting, or it is not one that we know. Its end comes as a SIGCHLD. */
static void end_child(const struct parent *p, int errnum)
{
	log_error("the recording process does not take its answers (%s): it is ended", strerror(errnum));
	if (kill(p->child, SIGKILL))
		log_error("ending the recording process: %s", strerror(errno));
}

/* One request. false: there will be no more, since the child has closed its end or is ended. */
static bool serve(struct parent *p)
{
	bool goes_on = true;
	struct request q = {0};
	size_t answer_len;
	ssize_t len;
	int fd = -1;

	/* no place for descriptors: the kernel drops what nobody asked for. MSG_TRUNC: the length as it was sent */
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
	if (send_packet(p->sock, &p->answer, answer_len, fd, MSG_DONTWAIT) < 0) {
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

/* The child's exit status if it has ended, else -1. What a terminal sent, the child has got from it already. */
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
	/* It may be gone already: setting SIGCHLD's default action has forgotten one that came before. */
	int status = reap(p);

	while (status < 0) {
		if (poll(fds, 2, -1) < 0) {
			if (errno != EINTR)
				log_error("privileged process: poll: %s", strerror(errno));
			continue;
		}
		if (fds[0].revents)
			status = on_signal(p);
		/* No more requests are no end: the probes go when the child has closed the buffers too, with its own end. */
		if (fds[1].revents && !serve(p))
			fds[1].fd = -1;
	}
	return status;
}

/* Signals that are ignored would never reach a signalfd. */
static void receive_signals(const sigset_t *set)
{
	static const int kinds[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct sigaction sa = {.sa_handler = SIG_DFL};
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sigismember(set, kinds[i]))
			sigaction(kinds[i], &sa, NULL);
}

static void run_parent(struct tracer *t, int sock, int signals, pid_t child) __attribute__((noreturn));

static void run_parent(struct tracer *t, int sock, int signals, pid_t child)
{
	struct parent p = {.t = t, .sock = sock, .signals = signals, .child = child};
	int status;

	status = parent_loop(&p);
	tracer_close(t);
	_exit(status);
}

/* --- the child */

static int find_user(const struct config *c, struct identity *id, struct error *e)
{
	struct passwd *pw;

	memset(id, 0, sizeof(*id));
	id->groups = config_listen_group(c, id->group, e);
	if (id->groups < 0)
		return -1;
	if (!*c->user)
		return 0;
	errno = 0;
	pw = getpwnam(c->user);
	if (!pw)
		return error_set(e, "user: \"%s\": %s", c->user, errno ? strerror(errno) : "there is no such user");
	id->drop = geteuid() != pw->pw_uid;
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	if (geteuid())
		return error_set(e, "user: \"%s\": only root can become another user: start as root, or do not set user",
				 c->user);
	return 0;
}

/* For good: no saved ids, no groups but the socket's, no capabilities, nothing to be gained by exec. */
static int drop_privileges(const struct identity *id, struct error *e)
{
	uid_t r, ef, s;
	gid_t rg, eg, sg, had[1] = {0};

	if (setgroups((size_t)id->groups, id->group) || setresgid(id->gid, id->gid, id->gid) ||
	    setresuid(id->uid, id->uid, id->uid))
		return error_errno(e, "becoming user %u", (unsigned)id->uid);
	if (getresuid(&r, &ef, &s) || getresgid(&rg, &eg, &sg) || r != id->uid || ef != id->uid || s != id->uid ||
	    rg != id->gid || eg != id->gid || sg != id->gid || getgroups(1, had) != id->groups ||
	    (id->groups && had[0] != id->group[0]))
		return error_set(e, "becoming user %u: the ids are not what was asked for", (unsigned)id->uid);
	if (id->uid && (!setuid(0) || !seteuid(0)))
		return error_set(e, "becoming user %u: root can be had back", (unsigned)id->uid);
	return 0;
}

/* Told early and in words: what SQLite would say is only "unable to open database file". */
static int check_database_place(const struct config *c, struct error *e)
{
	char *copy = strdup(c->db), *dir = copy ? dirname(copy) : NULL;
	const char *who = *c->user ? c->user : "who started ioflushd";
	int ret = 0;

	if (!dir)
		ret = error_set(e, "out of memory");
	else if (eaccess(dir, W_OK | X_OK))
		ret = error_errno(e, "db: %s: user %s cannot write in %s (give it that folder, or choose another db)",
				  c->db, who, dir);
	else if (eaccess(c->db, R_OK | W_OK) && errno != ENOENT)
		ret = error_errno(e, "db: user %s cannot write %s (give it that file, or choose another db)", who, c->db);
	free(copy);
	return ret;
}

static int become_child(const struct config *c, const struct identity *id, pid_t parent, struct error *e)
{
	if (id->drop && drop_privileges(id, e))
		return -1;
	if (*c->user && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_errno(e, "PR_SET_NO_NEW_PRIVS");
	/* After the change of user, which would clear it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM))
		return error_errno(e, "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		return error_set(e, "the privileged process is gone");
	return check_database_place(c, e);
}

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

static struct tracer_options tracer_options(const struct config *c)
{
	return (struct tracer_options){
		.tracefs = c->tracefs,
		.instance = c->instance,
		.buffer_size = c->buffer_size,
		.overwrite = c->overwrite,
		.rung = c->rung,
	};
}

/* Clean, then arm. -1: nothing is left armed, and *status is set. */
static int arm(struct tracer *t, const struct config *c, int *status, struct error *e)
{
	const struct tracer_options o = tracer_options(c);
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
	struct tracer_options o = tracer_options(c);
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

/* Signals are held; the child goes on with the mask old. */
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
		receive_signals(&mine);
		run_parent(t, pair[1], signals, child);
	}
	close(pair[1]);
	close(signals);
	p->fd = pair[0];
	tracer_forget(t);
	if (become_child(c, id, parent, e)) {
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
	if (find_user(c, &id, e))
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

	for (i = 0; i < a->nevents; i++) {
		if (a->event) {
			free(a->event[i].name);
			free(a->event[i].system);
			free(a->event[i].line);
			free(a->event[i].lost);
			free(a->event[i].refused);
		}
		if (a->format)
			free(a->format[i]);
	}
	free(a->event);
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
	if (send_packet(p->fd, &q, sizeof(q), -1, 0) < 0)
		return -1;
	n = receive_packet(p->fd, &p->answer, sizeof(p->answer), &fd);
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
