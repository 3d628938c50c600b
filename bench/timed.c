/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a command with its output thrown away and prints what it took: "SECONDS PEAK_KIB", wall time and the peak of its
 * resident memory. One command a process, so the peak is that command's alone.
 *
 * Exit status: 0, or 1 when the command could not be run or failed (its own messages come through on standard error).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run(char **argv)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0)
		execvp(argv[0], argv);
	fprintf(stderr, "timed: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	double start;
	int status;
	pid_t pid;

	if (argc < 2) {
		fputs("usage: timed COMMAND [ARGUMENT...]\n", stderr);
		return 2;
	}
	start = now();
	pid = fork();
	if (pid < 0) {
		perror("timed: fork");
		return 1;
	}
	if (!pid)
		run(argv + 1);
	if (wait4(pid, &status, 0, &usage) < 0) {
		perror("timed: wait4");
		return 1;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "timed: %s failed\n", argv[1]);
		return 1;
	}
	printf("%.6f %ld\n", now() - start, usage.ru_maxrss);
	return 0;
}
