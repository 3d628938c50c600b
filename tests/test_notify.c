/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd is told, word for word, at a socket of our own in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/notify.h"

struct fixture {
	int fd;
	char got[1024];
};

static int setup(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct fixture *f = calloc(1, sizeof(*f));
	socklen_t len;
	char name[sizeof(a.sun_path)];

	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  (size_t)sprintf(a.sun_path + 1, "ioflush-notify-%d", (int)getpid()));
	snprintf(name, sizeof(name), "@%.60s", a.sun_path + 1);
	*state = f;
	f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return f->fd < 0 || bind(f->fd, (struct sockaddr *)&a, len) || setenv("NOTIFY_SOCKET", name, 1) ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	free(f);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

/* The next message; "" if there is none. */
static const char *told(struct fixture *f)
{
	ssize_t n = recv(f->fd, f->got, sizeof(f->got) - 1, 0);

	f->got[n > 0 ? n : 0] = '\0';
	return f->got;
}

static void test_told(void **state)
{
	struct fixture *f = *state;

	notify_ready();
	assert_string_equal(told(f), "READY=1");
	notify_alive();
	assert_string_equal(told(f), "WATCHDOG=1");
	notify_stopping();
	assert_string_equal(told(f), "STOPPING=1");
	assert_string_equal(told(f), "");
}

/* systemd takes a reload that has no time, or one of before it asked, for none. */
static void test_reloading(void **state)
{
	static const char head[] = "RELOADING=1\nMONOTONIC_USEC=";
	struct fixture *f = *state;
	uint64_t before = clock_ns() / 1000, at;
	char *end;

	notify_reloading();
	told(f);
	assert_memory_equal(f->got, head, sizeof(head) - 1);
	at = strtoull(f->got + sizeof(head) - 1, &end, 10);
	assert_string_equal(end, "");
	assert_in_range(at, before, clock_ns() / 1000);
}

static void test_status(void **state)
{
	struct fixture *f = *state;
	char text[1001];

	notify_status("Capture %d: %s", 3, "1 event");
	assert_string_equal(told(f), "STATUS=Capture 3: 1 event");
	memset(text, 'x', 1000);
	text[1000] = '\0';
	notify_status("%s", text);
	assert_int_equal(strlen(told(f)), 511);
	assert_memory_equal(f->got, "STATUS=xxx", 10);
}

static uint64_t watchdog(const char *usec, pid_t pid)
{
	struct notify n = {.watchdog_us = 77};
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	unsetenv("WATCHDOG_USEC");
	if (usec)
		setenv("WATCHDOG_USEC", usec, 1);
	setenv("WATCHDOG_PID", text, 1);
	notify_init(&n);
	return n.watchdog_us;
}

static void test_watchdog(void **state)
{
	(void)state;
	assert_int_equal(watchdog("30000000", getpid()), 30000000);
	assert_int_equal(watchdog(NULL, getpid()), 0);
	assert_int_equal(watchdog("30000000", getppid()), 0); /* meant for another */
	assert_int_equal(watchdog("soon", getpid()), 0);
}

/* Without systemd nobody is told, and nothing happens. */
static void test_nobody(void **state)
{
	struct fixture *f = *state;

	unsetenv("NOTIFY_SOCKET");
	notify_ready();
	notify_reloading();
	notify_status("%s", "");
	assert_string_equal(told(f), "");
	setenv("NOTIFY_SOCKET", "@ioflush-nobody-is-there", 1);
	notify_ready();
	assert_string_equal(told(f), "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_told), T(test_reloading), T(test_status), T(test_watchdog), T(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
