/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP server as good and bad clients meet it: raw sockets, so that exactly the intended bytes are sent. No test
 * asserts how long anything takes; time limits only bound how long a failure takes to show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "daemon/http/head.h"
#include "daemon/http/server.h"
#include "tests/api_fixture.h"

#define PATIENCE_MS 20000
#define TOKEN "0123456789abcdefghijk"

struct test {
	struct fixture f;
	struct api *api;
	struct http *http;
	char listen[64];
	uint16_t port;		   /* of TCP */
	char slow[1100], go[1100]; /* see use_slow_program() */
};

static void start(struct test *t)
{
	struct error e = {""};

	t->api = api_new(&t->f.config, &t->f.live, &e);
	t->http = t->api ? http_new(&t->f.config, t->api, &e) : NULL;
	if (!t->http)
		fail_msg("%s", e.text);
	http_strict(t->http);
	if (http_start(t->http, &e))
		fail_msg("%s", e.text);
}

static void stop(struct test *t)
{
	http_free(t->http);
	api_free(t->api);
	t->http = NULL;
	t->api = NULL;
}

static int set_up(void **state)
{
	struct test *t = calloc(1, sizeof(*t));
	struct error e = {""};

	*state = t;
	log_init(LOG_L_ERROR, false);
	if (!t || fixture_make(&t->f, &e)) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	struct test *t = *state;

	stop(t);
	unlink(t->slow);
	unlink(t->go);
	fixture_remove(&t->f);
	free(t);
	return 0;
}

/* On TCP at a port that is free now: the kernel is asked for one first. */
static void use_tcp(struct test *t, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, len) || getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	t->port = ntohs(in.sin_port);
	snprintf(t->listen, sizeof(t->listen), "%s:%u", address, t->port);
	t->f.config.listen = t->listen;
}

/* The program finds no gaps before let_go(), and all else at once. */
static void use_slow_program(struct test *t)
{
	FILE *f;

	snprintf(t->slow, sizeof(t->slow), "%s/slow", t->f.dir);
	snprintf(t->go, sizeof(t->go), "%s/go", t->f.dir);
	f = fopen(t->slow, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n[ \"$1\" != gaps ] || until [ -e '%s' ]; do sleep 0.02; done\nexec '%s' \"$@\"\n", t->go,
		t->f.program);
	assert_int_equal(fclose(f) || chmod(t->slow, 0755), 0);
	snprintf(t->f.program, sizeof(t->f.program), "%s", t->slow);
}

static void let_go(const struct test *t)
{
	FILE *f = fopen(t->go, "w");

	assert_non_null(f);
	fclose(f);
}

static int dial(struct test *t)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(t->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(t->port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->f.config.listen + 5);
	assert_true(fd >= 0);
	if (t->port)
		assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	else
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	size_t len = strlen(text);

	/* a server that has hung up is what some tests are about */
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1;
}

/* All that comes until the server hangs up, malloc'ed. */
static char *take_all(int fd)
{
	size_t n = 0, cap = 1 << 16;
	char *buf = malloc(cap + 1);
	ssize_t got = 1;

	assert_non_null(buf);
	while (got > 0) {
		assert_true(readable(fd));
		if (n == cap) {
			cap *= 2;
			buf = realloc(buf, cap + 1);
			assert_non_null(buf);
		}
		got = recv(fd, buf + n, cap - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	buf[n] = '\0';
	return buf;
}

/* One whole response, malloc'ed; the connection stays. */
static char *take_one(int fd, bool head)
{
	char *buf = calloc(1, 1 << 20), *end, *length;
	size_t n = 0, want = SIZE_MAX;

	assert_non_null(buf);
	while (n < want) {
		ssize_t got;

		assert_true(readable(fd));
		got = recv(fd, buf + n, want == SIZE_MAX ? 1 : want - n, 0); /* not a byte of what follows */
		assert_true(got > 0);
		n += (size_t)got;
		buf[n] = '\0';
		end = want == SIZE_MAX ? strstr(buf, "\r\n\r\n") : NULL;
		if (!end)
			continue;
		length = strstr(buf, "Content-Length: ");
		want = (size_t)(end - buf) + 4 + (length && !head ? strtoul(length + 16, NULL, 10) : 0);
	}
	return buf;
}

static int status_of(const char *response)
{
	return strncmp(response, "HTTP/1.", 7) ? -1 : atoi(response + 9);
}

/* Sends a request on a connection of its own, and wants this status; errors must be JSON. */
static void expect(struct test *t, int status, const char *request)
{
	int fd = dial(t);
	char *r;

	put(fd, request);
	r = take_one(fd, !strncmp(request, "HEAD", 4));
	if (status_of(r) != status)
		fail_msg("%d expected: %s\n%s", status, request, r);
	if (status >= 400)
		assert_non_null(strstr(r, "{\"error\":{\"code\":"));
	free(r);
	close(fd);
}

/* Each has this header, once. */
static unsigned answers_in(const char *s)
{
	unsigned n = 0;

	for (; (s = strstr(s, "\r\nContent-Length: ")); s++)
		n++;
	return n;
}

/* Sends this, and wants this status, once, in JSON, and then the end. */
static void expect_only(struct test *t, int status, const char *request)
{
	int fd = dial(t);
	char *r;

	put(fd, request);
	r = take_all(fd);
	if (status_of(r) != status || answers_in(r) != 1 || !strstr(r, "{\"error\":{\"code\":"))
		fail_msg("%d expected, once: %s\n%s", status, request, r);
	free(r);
	close(fd);
}

#define END "Host: localhost\r\nConnection: close\r\n\r\n"

static void test_requests(void **state)
{
	struct test *t = *state;

	start(t);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
	expect(t, 200, "GET /healthz HTTP/1.0\r\n\r\n");
	expect(t, 200, "GET /v1/events?capture=1&limit=2 HTTP/1.1\r\n" END);
	expect(t, 200, "HEAD /v1/status HTTP/1.1\r\n" END);
	expect(t, 404, "GET /nothing HTTP/1.1\r\n" END);
	expect(t, 404, "GET /../../etc/passwd HTTP/1.1\r\n" END);
	expect(t, 404, "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" END);
	expect(t, 400, "GET /v1/status%00x HTTP/1.1\r\n" END);
	expect(t, 405, "PUT /v1/status HTTP/1.1\r\n" END);
	expect(t, 405, "OPTIONS /v1/status HTTP/1.1\r\n" END);
	expect(t, 405, "NONSENSE /v1/status HTTP/1.1\r\n" END);
	expect(t, 400, "POST /v1/replays HTTP/1.1\r\nContent-Length: 1\r\n" END "{");
	expect(t, 202, "POST /v1/replays HTTP/1.1\r\nContent-Length: 13\r\n" END "{\"capture\":1}");
	expect(t, 202, "POST /v1/%72eplays HTTP/1.1\r\nContent-Length: 13\r\n" END "{\"capture\":1}");
	expect(t, 200, "GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n" END);
	expect(t, 200, "HEAD /healthz HTTP/1.1\r\nContent-Length: 0\r\n" END);
}

#define SECOND "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" /* 36 bytes */

/* What evhttp would read as a second request, unseen: a body where it reads none, and what follows CONNECT. */
static void test_smuggling(void **state)
{
	static const char *const bodies[] = {"HEAD /healthz",	  "TRACE /healthz",	   "GET /healthz",
					     "DELETE /healthz",	  "PUT /healthz",	   "PATCH /healthz",
					     "OPTIONS /healthz",  "POST /healthz",	   "HEAD /v1/replays",
					     "POST /v1/replays/", "DELETE /v1/replays/0x1"};
	struct test *t = *state;
	char s[256];

	start(t);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		snprintf(s, sizeof(s), "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n" SECOND, bodies[i]);
		expect_only(t, 400, s);
		snprintf(s, sizeof(s), "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" SECOND, bodies[i]);
		expect_only(t, 400, s);
	}
	expect_only(t, 405, "CONNECT /healthz HTTP/1.1\r\nHost: x\r\n\r\n" SECOND);
	expect_only(t, 404, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n" SECOND);
	expect_only(t, 404, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" SECOND);
}

/* What evhttp answers by itself, in HTML, or takes for another path. */
static void test_targets(void **state)
{
	static const struct {
		int status;
		const char *request;
	} bad[] = {
		{400, "GET // HTTP/1.1\r\n" END},
		{400, "GET //x/healthz HTTP/1.1\r\n" END},
		{400, "GET //x:99999/healthz HTTP/1.1\r\n" END},
		{400, "GET //%zz/healthz HTTP/1.1\r\n" END},
		{400, "GET //[::1/healthz HTTP/1.1\r\n" END},
		{400, "GET ///healthz HTTP/1.1\r\n" END},
		{400, "GET /healthz# HTTP/1.1\r\n" END},
		{400, "GET /healthz?#x HTTP/1.1\r\n" END},
		{400, "GET /\x01 HTTP/1.1\r\n" END},
		{400, "GET /\t HTTP/1.1\r\n" END},
		{400, "GET /\x7f HTTP/1.1\r\n" END},
		{400, "GET /\xc3\xa9 HTTP/1.1\r\n" END},
		{400, "GET /healthz\r HTTP/1.1\r\n" END},
		{400, "GET /healthz  HTTP/1.1\r\n" END},
		{400, "GET /healthz HTTP/1.1 \r\n" END},
		{400, "OPTIONS * HTTP/1.1\r\n" END},
		{400, "GET mailto:x HTTP/1.1\r\n" END},
		{405, "CONNECT /healthz HTTP/1.1\r\n" END},
		{405, "CONNECT localhost:80 HTTP/1.1\r\n" END},
		{405, "get /healthz HTTP/1.1\r\n" END},
		{505, "GET /healthz HTTP/1.9\r\n" END},
		{400, "POST /v1/replays HTTP/1.1\r\nExpect:\t100-continue\r\nContent-Length: 2\r\n" END "[]"},
		{400, "POST /v1/replays HTTP/1.1\r\nExpect: \t100-continue\r\nContent-Length: 2\r\n" END "[]"},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length:\t2\r\n" END "[]"},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length:\r\n" END "[]"},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n" END "[]"},
		{411, "POST /v1/replays HTTP/1.1\r\nTransfer-Encoding: x\r\nContent-Length: 2\r\n" END "[]"},
		{417, "GET /healthz HTTP/1.1\r\nExpect:\r\n" END},
	};
	struct test *t = *state;

	start(t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_only(t, bad[i].status, bad[i].request);
	expect(t, 404, "GET /a//b:%2f%zz\"<>[]{|}^`\\ HTTP/1.1\r\n" END);
	expect(t, 200, "GET /healthz HTTP/1.1\r\nHost: %%%:::\xff\r\nConnection: close\r\n\r\n");
	expect(t, 400, "POST /v1/replays HTTP/1.0\r\nExpect: wonders\r\nContent-Length: 2\r\n" END "[]");
}

static void test_malformed(void **state)
{
	static const struct {
		int status;
		const char *request;
	} bad[] = {
		{400, "GET\r\n\r\n"},
		{400, "GET /healthz\r\n\r\n"},
		{400, " GET /healthz HTTP/1.1\r\n" END},
		{400, "GET  /healthz HTTP/1.1\r\n" END},
		{400, "GET http://localhost/healthz HTTP/1.1\r\n" END},
		{400, "GET healthz HTTP/1.1\r\n" END},
		{505, "GET /healthz HTTP/2.0\r\n" END},
		{400, "GET /healthz HTTP/1.1\nHost: x\r\n\r\n"},
		{400, "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n"},
		{400, "GET /healthz HTTP/1.1\r\nnonsense\r\n\r\n"},
		{400, "GET /healthz HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"},
		{400, "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" END},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length: -1\r\n" END},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length: 1x\r\n" END},
		{400, "POST /v1/replays HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" END},
		{411, "POST /v1/replays HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n"},
		{417, "POST /v1/replays HTTP/1.1\r\nExpect: wonders\r\nContent-Length: 1\r\n" END},
		{400, "\r\n\r\n"},
		{400, "\x16\x03\x01\x02\r\n\r\n"},
	};
	struct test *t = *state;

	start(t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(t, bad[i].status, bad[i].request);
}

static void test_head_checker(void **state)
{
	static const char fine[] =
		"POST /v1/replays?a=b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\ncontent-length:  12 \r\n\r\n";
	struct http_head h;
	char cut[sizeof(fine)];

	(void)state;
	assert_int_equal(http_head_check(fine, sizeof(fine) - 1, 12, &h), 0);
	assert_int_equal(h.body, 12);
	assert_true(h.expect_continue);
	assert_int_equal(http_head_check(fine, sizeof(fine) - 1, 11, &h), 413);
	/* no part of it passes for a head; a copy each, so that reading beyond shows */
	for (size_t n = 0; n < sizeof(fine) - 1; n++) {
		memcpy(cut, fine, n);
		assert_true(http_head_check(cut, n, 12, &h) >= 400);
	}
}

/* Keep-alive: several requests one after the other, a byte at a time too; HEAD has no body in between. */
static void test_keep_alive(void **state)
{
	static const char slow[] = "GET /v1/captures/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct test *t = *state;
	int fd;
	char *r;

	start(t);
	fd = dial(t);
	for (int i = 0; i < 3; i++) {
		put(fd, "HEAD /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
		r = take_one(fd, true);
		assert_int_equal(status_of(r), 200);
		free(r);
		put(fd, "POST /v1/replays HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]");
		r = take_one(fd, false);
		assert_int_equal(status_of(r), 400);
		free(r);
		for (size_t k = 0; k < sizeof(slow) - 1; k++)
			put(fd, (char[]){slow[k], '\0'});
		r = take_one(fd, false);
		assert_int_equal(status_of(r), 200);
		assert_non_null(strstr(r, "\"events\":26"));
		free(r);
	}
	close(fd);
	/* what comes behind a request is not taken, and the client sees that */
	fd = dial(t);
	put(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	r = take_all(fd);
	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "Connection: close"));
	assert_null(strstr(r + 1, "HTTP/1.1"));
	free(r);
	close(fd);
	/* a client that asks before it sends its body, each time */
	fd = dial(t);
	for (int i = 0; i < 3; i++) {
		put(fd, "POST /v1/replays HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nHost: x\r\n\r\n");
		r = take_one(fd, false);
		assert_int_equal(status_of(r), 100);
		free(r);
		put(fd, "[]");
		r = take_one(fd, false);
		assert_int_equal(status_of(r), 400);
		free(r);
	}
	close(fd);
}

static char *repeated(const char *before, const char *unit, size_t times, const char *after)
{
	char *s = malloc(strlen(before) + times * strlen(unit) + strlen(after) + 1), *p = s;

	assert_non_null(s);
	p = stpcpy(p, before);
	while (times--)
		p = stpcpy(p, unit);
	strcpy(p, after);
	return s;
}

static void test_limits(void **state)
{
	struct test *t = *state;
	char *s;

	start(t);
	s = repeated("GET /healthz HTTP/1.1\r\nA: ", "x", 3000, "\r\n" END); /* http_max_headers is 2048 */
	expect(t, 431, s);
	free(s);
	s = repeated("GET /healthz HTTP/1.1\r\n", "A: b\r\n", 100000, ""); /* never ends */
	expect(t, 431, s);
	free(s);
	s = repeated("GET /", "x", 3000, "");
	expect(t, 431, s);
	free(s);
	s = repeated("POST /v1/replays HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", "x", 5000, ""); /* 4096 */
	expect(t, 413, s);
	free(s);
	expect(t, 413, "POST /v1/replays HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n");
	s = repeated("POST /v1/replays HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n", "x", 4096, "");
	expect(t, 400, s); /* as large as it may be: it is looked at */
	free(s);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
}

/* Slow clients are told so, idle ones are let go, and neither is in the way of others. */
static void test_slow(void **state)
{
	struct test *t = *state;
	int slow, body, idle, used;
	char *r;

	t->f.config.http_timeout = 300;
	start(t);
	slow = dial(t);
	body = dial(t);
	idle = dial(t);
	used = dial(t);
	put(slow, "GET /healthz HTT");
	put(body, "POST /v1/replays HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{");
	put(used, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	r = take_one(used, false);
	assert_int_equal(status_of(r), 200);
	free(r);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
	r = take_all(slow);
	assert_int_equal(status_of(r), 408);
	free(r);
	r = take_all(body);
	assert_int_equal(status_of(r), 408);
	free(r);
	r = take_all(idle);
	assert_string_equal(r, "");
	free(r);
	r = take_all(used);
	assert_string_equal(r, "");
	free(r);
	close(slow);
	close(body);
	close(idle);
	close(used);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
}

/* Clients that ask for much and read nothing: they are let go, and others are served meanwhile. */
static void test_deaf(void **state)
{
	static const char request[] = "GET /v1/events?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n";
	struct test *t = *state;
	struct timespec ts = {.tv_nsec = 50000000};
	size_t whole, len;
	struct error e = {""};
	int fd[8], reader;
	char *r;

	if (fixture_large_capture(&t->f, &e))
		fail_msg("%s", e.text);
	t->f.config.http_timeout = 500;
	start(t);
	reader = dial(t);
	put(reader, request);
	r = take_one(reader, false);
	whole = strlen(r);
	free(r);
	close(reader);
	for (int i = 0; i < 8; i++) {
		fd[i] = dial(t);
		put(fd[i], request);
	}
	for (int i = 0; i < 30; i++) {
		expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
		nanosleep(&ts, NULL);
	}
	for (int i = 0; i < 8; i++) {
		r = take_all(fd[i]); /* ends, and before all of it came */
		len = strlen(r);
		free(r);
		assert_true(len < whole);
		close(fd[i]);
	}
}

/* What comes while an answer is sent is no answer's part and passes no limit: it is the next request, or refused. */
static void test_ahead(void **state)
{
	static const char request[] = "GET /v1/events?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n";
	static const struct {
		int status;
		const char *second;
	} ahead[] = {
		{200, "GET /healthz HTTP/1.1\r\n" END},
		{400, "GET http://x/ HTTP/1.1\r\n" END},
		{400, "GET /healthz HTTP/1.1\nHost: x\n\n\r\n\r\n"},
		{411, "POST /v1/replays HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "0\r\n\r\n"},
	};
	struct test *t = *state;
	struct error e = {""};
	int fd;
	char *r;

	if (fixture_large_capture(&t->f, &e))
		fail_msg("%s", e.text);
	start(t);
	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		char first;

		fd = dial(t);
		put(fd, request);
		assert_true(readable(fd)); /* some of the answer is there; all of it is more than the socket takes */
		put(fd, ahead[i].second);
		assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
		r = take_one(fd, false);
		assert_int_equal(status_of(r), 200);
		free(r);
		r = take_all(fd);
		assert_int_equal(status_of(r), ahead[i].status);
		assert_int_equal(answers_in(r), 1);
		assert_null(strcasestr(r, "<html"));
		free(r);
		close(fd);
	}
}

/* The last answer is not lost, though the client sends on and on: a socket that is closed unread takes it back on TCP. */
static void test_last_answer(void **state)
{
	static const char request[] = "GET /v1/events?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\nGET ";
	const struct timespec ts = {.tv_nsec = 20000000};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct test *t = *state;
	struct error e = {""};
	int fd, small = 4096;
	char more[1024], *r;

	if (fixture_large_capture(&t->f, &e))
		fail_msg("%s", e.text);
	use_tcp(t, "127.0.0.1");
	start(t);
	in.sin_port = htons(t->port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	memset(more, 'x', sizeof(more) - 1);
	more[sizeof(more) - 1] = '\0';
	put(fd, request);
	assert_true(readable(fd));
	for (int i = 0; i < 20; i++) {
		put(fd, more);
		nanosleep(&ts, NULL);
	}
	r = take_one(fd, false);
	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "Connection: close"));
	free(r);
	close(fd);
}

/* A client that sends no more still gets its answers. */
static void test_half_close(void **state)
{
	static const struct {
		int status;
		const char *request;
	} half[] = {
		{200, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"},
		{200, "GET /v1/domains?capture=1 HTTP/1.1\r\nHost: x\r\n\r\n"},
		{400, "POST /v1/replays HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]"},
		{400, "GARBAGE\r\n\r\n"},
	};
	struct test *t = *state;
	char *r;

	start(t);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof(half) / sizeof(half[0]); i++) {
			int fd = dial(t);

			put(fd, half[i].request);
			shutdown(fd, SHUT_WR);
			r = take_all(fd);
			assert_int_equal(status_of(r), half[i].status);
			assert_int_equal(answers_in(r), 1);
			free(r);
			close(fd);
		}
	}
}

/* A hundred at a time are fine. */
static void test_hundred(void **state)
{
	struct test *t = *state;
	int fd[100];

	start(t);
	for (int i = 0; i < 100; i++)
		fd[i] = dial(t);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++)
			put(fd[i], i % 2 ? "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" :
					   "GET /v1/events?capture=1 HTTP/1.1\r\nHost: x\r\n\r\n");
		for (int i = 0; i < 100; i++) {
			char *r = take_one(fd[i], false);

			assert_int_equal(status_of(r), 200);
			free(r);
		}
	}
	for (int i = 0; i < 100; i++)
		close(fd[i]);
}

/* One more than may be is told so; when one goes, another may come. */
static void test_too_many(void **state)
{
	struct test *t = *state;
	int fd[4];
	char *r;

	t->f.config.http_max_connections = 4;
	start(t);
	for (int i = 0; i < 4; i++) {
		fd[i] = dial(t);
		put(fd[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
		r = take_one(fd[i], false);
		assert_int_equal(status_of(r), 200);
		free(r);
	}
	for (int i = 0; i < 100; i++)
		expect(t, 503, "GET /healthz HTTP/1.1\r\n" END);
	close(fd[0]);
	for (int i = 0;; i++) {
		const struct timespec ts = {.tv_nsec = 20000000};
		int status;

		fd[0] = dial(t);
		put(fd[0], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
		r = take_one(fd[0], false);
		status = status_of(r);
		free(r);
		if (status == 200)
			break;
		close(fd[0]);
		assert_true(i < 1000);
		nanosleep(&ts, NULL);
	}
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

/* Clients that hang up at any point, while an answer is being found out too. */
static void test_hang_up(void **state)
{
	static const char request[] = "GET /v1/domains HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct test *t = *state;
	char part[sizeof(request)];

	start(t);
	for (size_t n = 0; n < sizeof(request); n++) {
		const struct linger reset = {.l_onoff = 1};
		int fd = dial(t);

		snprintf(part, sizeof(part), "%.*s", (int)n, request);
		put(fd, part);
		if (n % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
}

/* The path of a new replay's gaps. */
static void gaps_path(struct test *t, char path[64])
{
	int fd = dial(t);
	char *r, *location;

	put(fd, "POST /v1/replays HTTP/1.1\r\nContent-Length: 13\r\n" END "{\"capture\":1}");
	r = take_all(fd);
	location = strstr(r, "Location: ");
	assert_non_null(location);
	snprintf(path, 64, "%.*s/gaps?policy=none", (int)strcspn(location + 10, "\r"), location + 10);
	free(r);
	close(fd);
}

#define MANY 60

/*
 * A question that its connection does not live to see answered. The smuggled one has a body of a HEAD request as its
 * request, and its connection counted as idle.
 */
static void test_late_for_nobody(void **state)
{
	const struct timespec ts = {.tv_nsec = 300000000};
	struct test *t = *state;
	char path[64], second[160], request[512];
	int fd[MANY], wrong = 0;
	char *r;

	use_slow_program(t);
	t->f.config.http_timeout = 200;
	start(t);
	gaps_path(t, path);
	snprintf(second, sizeof(second), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	snprintf(request, sizeof(request), "HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(second), second);
	for (int i = 0; i < MANY; i++) {
		fd[i] = dial(t);
		put(fd[i], request);
	}
	for (int i = 0; i < MANY; i++) {
		r = take_all(fd[i]);
		wrong += status_of(r) != 400 || answers_in(r) != 1;
		free(r);
		close(fd[i]);
	}
	for (int i = 0; i < MANY; i++) {
		fd[i] = dial(t);
		put(fd[i], second);
	}
	for (int i = 0; i < MANY; i += 2)
		close(fd[i]);
	nanosleep(&ts, NULL); /* those that hung up are likely to have been seen by then */
	let_go(t);
	for (int i = 1; i < MANY; i += 2) {
		r = take_one(fd[i], false);
		wrong += status_of(r) != 200;
		free(r);
		close(fd[i]);
	}
	assert_int_equal(wrong, 0);
}

/* Clients that hung up while they waited are in nobody's way: as many as may wait at once go, and others may come. */
static void test_waiting_gone(void **state)
{
	const struct timespec ts = {.tv_nsec = 50000000};
	struct test *t = *state;
	char path[64], request[160];
	int fd[64], status = 503;
	char *r;

	use_slow_program(t);
	t->f.config.http_timeout = 200;
	start(t);
	expect(t, 200, "GET /v1/policies HTTP/1.1\r\n" END); /* that nobody else waits for them */
	gaps_path(t, path);
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	for (int i = 0; i < 64; i++) {
		fd[i] = dial(t);
		put(fd[i], request);
	}
	for (int i = 0; i < 64; i++)
		close(fd[i]);
	for (int i = 0; i < 100 && status == 503; i++) { /* what nobody gives up is late after twice that time */
		fd[0] = dial(t);
		put(fd[0], "GET /v1/domains HTTP/1.1\r\n" END);
		r = take_one(fd[0], false);
		status = status_of(r);
		free(r);
		close(fd[0]);
		nanosleep(&ts, NULL);
	}
	assert_int_equal(status, 200);
}

/* The server ends while clients wait for an answer, or are in the middle of a request. */
static void test_stop(void **state)
{
	struct test *t = *state;
	char path[64], request[160];
	int waiting, half, idle;
	char *r;

	use_slow_program(t);
	start(t);
	gaps_path(t, path);
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	waiting = dial(t);
	half = dial(t);
	idle = dial(t);
	put(waiting, request);
	put(half, "GET /v1/dom");
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
	stop(t);
	r = take_all(waiting); /* is told so */
	assert_int_equal(status_of(r), 503);
	assert_non_null(strstr(r, "\"stopping\""));
	free(r);
	close(waiting);
	close(half);
	close(idle);
	assert_int_equal(access(t->f.config.listen + 5, F_OK), -1); /* its socket is gone */
}

/* What takes long is answered later, and others are served meanwhile, in whatever order they end. */
static void test_late(void **state)
{
	struct test *t = *state;
	int fd[10];
	char *r;

	if (access(t->f.program, X_OK))
		skip();
	start(t);
	for (int i = 0; i < 10; i++) {
		char request[128];

		fd[i] = dial(t);
		snprintf(request, sizeof(request), "GET /v1/%s?capture=%d HTTP/1.1\r\nHost: x\r\n\r\n",
			 i % 2 ? "iopts" : "domains", i % 3 + 1);
		put(fd[i], request);
	}
	expect(t, 200, "GET /v1/status HTTP/1.1\r\n" END);
	for (int i = 9; i >= 0; i--) {
		r = take_one(fd[i], false);
		assert_int_equal(status_of(r), 200);
		free(r);
		close(fd[i]);
	}
}

static void test_host(void **state)
{
	struct test *t = *state;
	char s[256];

	use_tcp(t, "127.0.0.1");
	start(t);
	snprintf(s, sizeof(s), "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", t->port);
	expect(t, 200, s);
	expect(t, 200, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	expect(t, 200, "GET /healthz HTTP/1.1\r\nHost: LOCALHOST:80\r\n\r\n");
	expect(t, 200, "GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost: localhost:80.evil.example\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1x\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n");
	expect(t, 421, "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n");
	expect(t, 400, "GET /healthz HTTP/1.1\r\n\r\n");
	expect(t, 403, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n");
	expect(t, 403, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n");
	expect(t, 403, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n");
	expect(t, 200, "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1\r\n\r\n");
}

/* How many lines a file has that have this in them. */
static unsigned lines_with(const char *path, const char *what)
{
	char line[4096];
	unsigned n = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, what) != NULL;
	fclose(f);
	return n;
}

#define CLIENTS 20

/*
 * No file can be opened any more: who connects waits for one, the log says so once, and the server does not spin. Client
 * and server share the limit here, so that the clients' sockets are there before it is reached.
 */
static void test_no_files(void **state)
{
	const struct timespec ts = {.tv_sec = 1};
	struct test *t = *state;
	int fd[CLIENTS], filler[256], fillers = 0, saved = dup(STDERR_FILENO), log;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct rlimit before, low;
	char path[1100];
	char *r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	start(t);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->f.config.listen + 5);
	snprintf(path, sizeof(path), "%s/log", t->f.dir);
	log = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(saved >= 0 && log >= 0 && dup2(log, STDERR_FILENO) == STDERR_FILENO);
	for (int i = 0; i < CLIENTS; i++)
		assert_true((fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
	low = (struct rlimit){.rlim_cur = (rlim_t)fd[CLIENTS - 1] + 4, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &low);
	while (fillers < 256 && (filler[fillers] = dup(log)) >= 0)
		fillers++;
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(connect(fd[i], (struct sockaddr *)&un, sizeof(un)), 0);
		put(fd[i], "GET /healthz HTTP/1.1\r\n" END);
	}
	nanosleep(&ts, NULL);
	setrlimit(RLIMIT_NOFILE, &before);
	while (fillers--)
		close(filler[fillers]);
	for (int i = 0; i < CLIENTS; i++) {
		r = take_all(fd[i]);
		assert_int_equal(status_of(r), 200);
		free(r);
		close(fd[i]);
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(log);
	assert_int_equal(lines_with(path, "a connection cannot be accepted: Too many open files"), 1);
	assert_int_equal(lines_with(path, ""), 1);
	unlink(path);
}

static void write_token(struct test *t, char path[1100], const char *text)
{
	FILE *f;

	snprintf(path, 1100, "%s/token", t->f.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
	t->f.config.token_file = path;
}

static void test_token(void **state)
{
	struct test *t = *state;
	char path[1100];

	write_token(t, path, TOKEN "\nmore\n");
	use_tcp(t, "0.0.0.0");
	start(t);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\n" END);
	expect(t, 401, "GET /healthz HTTP/1.1\r\n" END);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer \r\n" END);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdefghijX\r\n" END);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer " TOKEN "x\r\n" END);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdefghij\r\n" END);
	expect(t, 401, "GET /v1/status HTTP/1.1\r\nAuthorization: Basic " TOKEN "\r\n" END);
	expect(t, 200, "GET /v1/status HTTP/1.1\r\nAuthorization: Bearer " TOKEN "\r\n" END);
	expect(t, 200, "GET /v1/status HTTP/1.1\r\nAuthorization: bearer " TOKEN "\r\n" END);
	/* the address that the client connected to is a name, too */
	expect(t, 200, "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " TOKEN "\r\n\r\n");
	expect(t, 421, "GET /v1/status HTTP/1.1\r\nHost: 10.1.2.3\r\nAuthorization: Bearer " TOKEN "\r\n\r\n");
}

static void no_server(struct test *t, const char *listen, const char *why)
{
	struct error e = {""};
	struct api *api = api_new(&t->f.config, &t->f.live, &e);
	char copy[1200];

	snprintf(copy, sizeof(copy), "%s", listen);
	t->f.config.listen = copy;
	assert_non_null(api);
	assert_null(http_new(&t->f.config, api, &e));
	if (!strstr(e.text, why))
		fail_msg("'%s' is not in '%s'", why, e.text);
	api_free(api);
}

/* Each connection is a file: the limit of files is raised to what they need, or nothing is started. */
static void test_file_limit(void **state)
{
	struct test *t = *state;
	struct rlimit r;
	pid_t pid = fork(); /* a limit that was lowered stays */
	int status;

	if (!pid) {
		r = (struct rlimit){.rlim_cur = 200, .rlim_max = 2000};
		setrlimit(RLIMIT_NOFILE, &r);
		t->f.config.http_max_connections = 5000;
		no_server(t, t->f.listen, "http-max-connections=5000");
		t->f.config.http_max_connections = 1000;
		t->f.config.listen = t->f.listen;
		start(t);
		expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
		stop(t);
		getrlimit(RLIMIT_NOFILE, &r);
		_exit(r.rlim_cur > 1000 ? 42 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void test_listen(void **state)
{
	struct test *t = *state;
	char path[1100], listen[1200], plain[1100];
	struct stat st;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	FILE *f;
	int fd;

	no_server(t, "0.0.0.0:1", "needs a token");
	no_server(t, "[::]:1", "needs a token");
	no_server(t, "192.0.2.1:1", "needs a token");
	no_server(t, "nonsense", "not unix:PATH");
	no_server(t, "127.0.0.1:99999", "not unix:PATH");
	no_server(t, "127.0.0.1:", "not unix:PATH");
	no_server(t, "unix:", "a path of 1 to");
	no_server(t, "unix:/nonexistent/x", "No such file");
	write_token(t, path, "short\n");
	no_server(t, "127.0.0.1:1", "16 to");
	write_token(t, path, "0123456789 0123456789\n");
	no_server(t, "127.0.0.1:1", "not visible");
	t->f.config.token_file = (char *)"/nonexistent";
	no_server(t, "127.0.0.1:1", "No such file");
	t->f.config.token_file = (char *)"";

	/* a file that is no socket stays */
	snprintf(plain, sizeof(plain), "%s/plain", t->f.dir);
	f = fopen(plain, "w");
	assert_non_null(f);
	fclose(f);
	snprintf(listen, sizeof(listen), "unix:%s", plain);
	no_server(t, listen, "no socket");
	assert_int_equal(unlink(plain), 0);

	/* a socket that nobody listens on is removed, and the new one is not for everybody */
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->f.listen + 5);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	t->f.config.listen = t->f.listen;
	start(t);
	assert_int_equal(stat(un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);

	/* one that somebody listens on stays */
	no_server(t, t->f.listen, "another process listens");
	t->f.config.listen = t->f.listen;
	expect(t, 200, "GET /healthz HTTP/1.1\r\n" END);
	stop(t);

	t->f.config.listen = (char *)"none";
	start(t);
	stop(t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_checker),
		T(test_requests),
		T(test_smuggling),
		T(test_targets),
		T(test_malformed),
		T(test_keep_alive),
		T(test_limits),
		T(test_slow),
		T(test_deaf),
		T(test_ahead),
		T(test_last_answer),
		T(test_half_close),
		T(test_hundred),
		T(test_too_many),
		T(test_hang_up),
		T(test_late_for_nobody),
		T(test_waiting_gone),
		T(test_stop),
		T(test_late),
		T(test_host),
		T(test_no_files),
		T(test_file_limit),
		T(test_token),
		T(test_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
