/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See child.h. The child closes all descriptors but its three, so that it holds no socket and no ring buffer of ours.
 * It dies with the thread that started it (PR_SET_PDEATHSIG). Between fork and exec only functions are called that are
 * safe after fork in a program with threads.
 */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define NICE 10
#define TAIL 2048	/* bytes at the end of standard error that are read */
#define GRACE_SLACK_S 2 /* processor time beyond the timeout after which the kernel ends it */
#define EXEC_FAILED 127
#define ERRORS_MAX (1 << 20) /* standard error shares the limit of file sizes; this much is always allowed */

struct child {
	pid_t pid; /* 0: ended */
	int out, err;
	uint64_t deadline, output_max;
	bool timed_out;
	int status;		 /* of waitpid() */
	char failure[TAIL + 64]; /* room for a whole last line */
};

/* A file without a name; in memory if the folder for temporary files cannot be written. */
static int unnamed_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && dir[0] == '/' ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("ioflush", MFD_CLOEXEC);
}

static void limit(int what, uint64_t value)
{
	const struct rlimit r = {.rlim_cur = value, .rlim_max = value};

	setrlimit(what, &r);
}

/*
 * In the child: if memory is short, the kernel shall kill it before the recorder. A process that changed its user is
 * not dumpable, and its files in /proc belong to root; exec would make it dumpable anyway.
 */
static void be_first_to_go(void)
{
	static const char most[] = "1000";
	ssize_t n;
	int fd;

	prctl(PR_SET_DUMPABLE, 1);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, most, sizeof(most) - 1);
		(void)n; /* if this fails it is killed like any other process */
		close(fd);
	}
	prctl(PR_SET_DUMPABLE, 0);
}

/* In the child. */
static _Noreturn void become(char *const argv[], char *const env[], const struct child_limits *l, pid_t parent, int in,
			     int out, int err)
{
	static const char failed[] = "cannot be run\n";
	const int caught[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXEC_FAILED);
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		signal(caught[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0); /* signals of our terminal are not for it */
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(EXEC_FAILED);
	close_range(3, ~0u, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, l->timeout_ms / 1000 + GRACE_SLACK_S);
	/* one byte more than allowed, to detect output that was cut off */
	limit(RLIMIT_FSIZE, (l->output > ERRORS_MAX ? l->output : ERRORS_MAX) + 1);
	limit(RLIMIT_AS, l->memory);
	setpriority(PRIO_PROCESS, 0, NICE);
	be_first_to_go();
	execve(argv[0], argv, env);
	if (write(2, failed, sizeof(failed) - 1) < 0)
		_exit(EXEC_FAILED);
	_exit(EXEC_FAILED);
}

struct child *child_start(char *const argv[], const struct child_limits *limits, struct error *e)
{
	char *const env[] = {(char[]){"LC_ALL=C"}, (char[]){"IOFLUSH_PROGRESS=lines"}, NULL};
	struct child *c = calloc(1, sizeof(*c));
	pid_t parent = getpid();
	int in = -1;

	if (!c) {
		error_set(e, "out of memory");
		return NULL;
	}
	c->out = unnamed_file();
	c->err = unnamed_file();
	in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (c->out < 0 || c->err < 0 || in < 0) {
		error_errno(e, "cannot make a temporary file for %s", argv[0]);
		goto fail;
	}
	c->deadline = clock_ms() + limits->timeout_ms;
	c->output_max = limits->output;
	c->pid = fork();
	if (!c->pid)
		become(argv, env, limits, parent, in, c->out, c->err);
	if (c->pid < 0) {
		c->pid = 0;
		error_errno(e, "cannot start %s", argv[0]);
		goto fail;
	}
	close(in);
	return c;
fail:
	if (in >= 0)
		close(in);
	child_free(c);
	return NULL;
}

/* Reads the end of standard error and adds a 0 byte. Returns its length. */
static size_t read_tail(const struct child *c, char buf[TAIL + 1])
{
	struct stat st;
	off_t from;
	ssize_t n;

	buf[0] = '\0';
	if (fstat(c->err, &st) || st.st_size <= 0)
		return 0;
	from = st.st_size > TAIL ? st.st_size - TAIL : 0;
	n = pread(c->err, buf, TAIL, from);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* The last line of standard error that is not about progress; modifies buf. "": there is none. */
static const char *last_words(char *buf)
{
	const char *found = "";
	char *save = NULL;

	for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "progress ", 9) && strncmp(line, "try '", 5))
			found = line;
	}
	return found;
}

static void explain(struct child *c)
{
	char tail[TAIL + 1];
	const char *said;
	struct stat st;

	read_tail(c, tail);
	said = last_words(tail);
	if (c->timed_out)
		snprintf(c->failure, sizeof(c->failure), "it took too long and was ended");
	else if (WIFSIGNALED(c->status) && WTERMSIG(c->status) == SIGXFSZ)
		snprintf(c->failure, sizeof(c->failure), "its output is too large");
	else if (WIFSIGNALED(c->status))
		snprintf(c->failure, sizeof(c->failure), "it was ended by signal %d%s%s", WTERMSIG(c->status),
			 said[0] ? ": " : "", said);
	else if (WEXITSTATUS(c->status))
		snprintf(c->failure, sizeof(c->failure), "%s%s (exit status %d)", said,
			 said[0] ? "" : "it failed without a word", WEXITSTATUS(c->status));
	else if (fstat(c->out, &st) || (uint64_t)st.st_size > c->output_max)
		snprintf(c->failure, sizeof(c->failure), "its output is too large");
}

bool child_poll(struct child *c)
{
	pid_t got;

	if (!c->pid)
		return true;
	got = waitpid(c->pid, &c->status, WNOHANG);
	if (!got) {
		if (clock_ms() < c->deadline)
			return false;
		c->timed_out = true;
		kill(c->pid, SIGKILL);
		got = waitpid(c->pid, &c->status, 0); /* it was killed: this returns soon */
	}
	if (got < 0)
		c->status = EXEC_FAILED << 8; /* its status was collected elsewhere */
	c->pid = 0;
	explain(c);
	return true;
}

const char *child_failure(const struct child *c)
{
	return c->failure[0] ? c->failure : NULL;
}

int child_status(const struct child *c)
{
	return WIFEXITED(c->status) ? WEXITSTATUS(c->status) : -1;
}

char *child_output(const struct child *c, size_t *len)
{
	struct stat st;
	size_t n = 0;
	ssize_t got;
	char *buf;

	if (fstat(c->out, &st) || st.st_size < 0 || (uint64_t)st.st_size > c->output_max)
		return NULL;
	buf = malloc((size_t)st.st_size + 1);
	while (buf && n < (size_t)st.st_size) {
		got = pread(c->out, buf + n, (size_t)st.st_size - n, (off_t)n);
		if (got <= 0) {
			free(buf);
			return NULL;
		}
		n += (size_t)got;
	}
	if (buf)
		buf[n] = '\0';
	*len = n;
	return buf;
}

double child_progress(const struct child *c)
{
	char tail[TAIL + 1], *end;
	double share = -1, d;

	read_tail(c, tail);
	for (const char *p = tail; (p = strstr(p, "progress ")); p++) {
		d = strtod(p + 9, &end);
		if (end != p + 9 && d >= 0 && d <= 1)
			share = d;
	}
	return share;
}

void child_free(struct child *c)
{
	if (!c)
		return;
	if (c->pid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	if (c->out >= 0)
		close(c->out);
	if (c->err >= 0)
		close(c->err);
	free(c);
}
