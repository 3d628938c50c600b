/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer for the HTTP server's connections: the real server and API, on a Unix socket and on TCP, with clients that do
 * what the input says: requests whole, in pieces and several at once, of all methods, good and bad ones, pauses, and
 * closes of half a connection, of all of it and by a reset. Some questions are answered at once, some by a process, and
 * some of those later than an idle connection may last.
 *
 * What a client sent is read by daemon/http/head.h alone, and says how many answers may come: one a request, one for what is
 * malformed or not all there, and nothing behind that. More, HTML, a malformed answer, a request without its answer, a
 * connection that ends without a word or not at all, or a broken invariant of the server (http_strict()) ends the
 * program.
 *
 * Run by "make fuzz" with libFuzzer, and by "make check" with tests/fuzz_main.c.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "daemon/http/head.h"
#include "daemon/http/server.h"
#include "tests/api_fixture.h"

#define CLIENTS 4 /* at once; the last one is on TCP */
#define SENT_MAX 32768
#define OPS_MAX 64
#define TIMEOUT_MS 40	  /* http-timeout of a hasty server */
#define SLOW_MS 70	  /* a program that is slow */
#define PATIENCE_MS 30000 /* with which what must come is waited for */
#define PAUSES_MAX 1	  /* long ones in an input */
#define PROCESSES_MAX 2	  /* questions to a process in an input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct client {
	int fd;		 /* -1: none */
	bool hasty;	 /* the server is */
	bool half;	 /* closed by us for writing */
	bool ended;	 /* by the server */
	bool said_close; /* the server will end it */
	const char *rest;
	char sent[SENT_MAX];
	size_t nsent;
	char *got;
	size_t ngot, cap;
	/* of what it got: */
	size_t read;	/* bytes looked at */
	size_t answers; /* not counting 100 */
	size_t continues;
	size_t owed; /* a body that may follow the answer to HEAD, if it is an error */
};

/* One listens on a Unix socket, one on TCP; and the same with a short http-timeout. */
struct server {
	struct api *api;
	struct http *http;
	char listen[128];
	struct sockaddr_un un;
	struct sockaddr_in in;
};

struct setup {
	struct fixture f;
	char slow[1100];
	struct server server[2][2]; /* hasty, TCP */
};

/* What is read out of the bytes that a client sent. */
struct expected {
	size_t certain; /* requests that are all there, or malformed */
	size_t most;	/* with one that is not all there: it may be answered with 408 or 431 */
	size_t continues;
	uint64_t heads; /* bit: that request is a HEAD */
};

static struct setup setup;

static void must(bool ok, const char *what, const struct client *c)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_http: %s\n", what);
	if (c)
		fprintf(stderr, "--- sent:\n%.*s\n--- got, %zu bytes:\n%.*s\n---\n", (int)c->nsent, c->sent, c->ngot,
			(int)(c->ngot < 2000 ? c->ngot : 2000), c->got ? c->got : "");
	abort();
}

/* ---- the server, started once ---- */

static void remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

static void stop_servers(void)
{
	for (int i = 0; i < 4; i++) {
		http_free(setup.server[i / 2][i % 2].http);
		api_free(setup.server[i / 2][i % 2].api);
	}
	remove_all(setup.f.dir);
}

/* What ioflush printed the first time; for an odd time of a state later than an idle connection of a hasty server lasts. */
static void make_program(void)
{
	FILE *f;

	snprintf(setup.slow, sizeof(setup.slow), "%s/slow", setup.f.dir);
	f = fopen(setup.slow, "w");
	must(f, "a program", NULL);
	fprintf(f,
		"#!/bin/sh\n"
		"out='%s/'$1\n"
		"[ -e $out ] || { '%s' \"$@\" >$out.$$ && mv $out.$$ $out; } || exit\n"
		"[ $1 = state ] && case $8 in *[13579]) sleep 0.%03d ;; esac\n"
		"exec cat $out\n",
		setup.f.dir, setup.f.program, SLOW_MS);
	must(!fclose(f) && !chmod(setup.slow, 0755), "a program", NULL);
	setup.f.config.replay_program = setup.slow;
}

static void use_unix(struct server *s, const char *name)
{
	size_t len = strlen(setup.f.dir);

	must(len + strlen(name) < sizeof(s->un.sun_path), "TMPDIR is too long for a socket", NULL);
	s->un.sun_family = AF_UNIX;
	memcpy(s->un.sun_path, setup.f.dir, len);
	strcpy(s->un.sun_path + len, name);
	strcpy(s->listen, "unix:");
	strcpy(s->listen + 5, s->un.sun_path);
}

/* At a port that is free now: the kernel is asked for one first. */
static void use_tcp(struct server *s)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(s->in);

	s->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	must(fd >= 0 && !bind(fd, (struct sockaddr *)&s->in, len) && !getsockname(fd, (struct sockaddr *)&s->in, &len),
	     "a port", NULL);
	close(fd);
	snprintf(s->listen, sizeof(s->listen), "127.0.0.1:%u", ntohs(s->in.sin_port));
}

static void start_server(bool hasty, bool tcp)
{
	struct server *s = &setup.server[hasty][tcp];
	struct config config = setup.f.config;
	struct error e = {""};

	if (tcp)
		use_tcp(s);
	else
		use_unix(s, hasty ? "/hasty" : "/patient");
	config.listen = s->listen;
	config.http_timeout = hasty ? TIMEOUT_MS : 2 * PATIENCE_MS;
	s->api = api_new(&config, &setup.f.live, &e);
	s->http = s->api ? http_new(&config, s->api, &e) : NULL;
	must(s->http, e.text, NULL);
	http_strict(s->http);
	must(!http_start(s->http, &e), e.text, NULL);
}

static void start_servers(void)
{
	struct error e = {""};

	signal(SIGPIPE, SIG_IGN);
	log_init(LOG_L_ERROR, false);
	must(!fixture_make(&setup.f, &e) && !fixture_large_capture(&setup.f, &e), e.text, NULL);
	make_program();
	for (int i = 0; i < 4; i++)
		start_server(i / 2, i % 2);
	atexit(stop_servers);
}

/* ---- what was sent, and what came ---- */

static size_t head_end(const char *s, size_t len)
{
	const char *end = memmem(s, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - s) + 4 : 0;
}

/* As schema/openapi.yaml has it. */
static bool body_is_known(const struct http_head *h)
{
	return h->method_len == 4 && !memcmp(h->method, "POST", 4) && h->path_len == 11 &&
	       !memcmp(h->path, "/v1/replays", 11);
}

static struct expected expect(const struct client *c)
{
	const struct config *config = &setup.f.config;
	struct expected x = {0};
	const char *s = c->sent;
	size_t left = c->nsent;

	while (left) {
		size_t n = head_end(s, left);
		struct http_head h;

		x.most++;
		if (!n && left <= config->http_max_headers)
			break;
		if (!n || n > config->http_max_headers || http_head_check(s, n, config->http_max_body, &h) ||
		    (h.body && !body_is_known(&h))) {
			x.certain++;
			break;
		}
		x.continues += h.expect_continue;
		if (left - n < h.body)
			break;
		if (h.method_len == 4 && !memcmp(h.method, "HEAD", 4) && x.certain < 64)
			x.heads |= 1ull << x.certain;
		x.certain++;
		s += n + h.body;
		left -= n + h.body;
	}
	return x;
}

static bool has_line(const char *head, size_t n, const char *line)
{
	return memmem(head, n, line, strlen(line));
}

static size_t content_length(const char *head, size_t n)
{
	const char *line = memmem(head, n, "\r\nContent-Length: ", 18);

	return line ? strtoul(line + 18, NULL, 10) : 0;
}

/* Looks at the next answer, or 100. Whether it is all there. */
static bool read_answer(struct client *c, const struct expected *x)
{
	const char *s = c->got + c->read;
	size_t left = c->ngot - c->read, n, body;
	bool json;

	if (c->owed && left && s[0] == '{') {
		if (left < c->owed)
			return false;
		c->read += c->owed;
		c->owed = 0;
		return read_answer(c, x);
	}
	n = head_end(s, left);
	if (!n)
		return false;
	must(!strncmp(s, "HTTP/1.", 7) && (s[7] == '0' || s[7] == '1') && s[8] == ' ', "no status line", c);
	if (!strncmp(s + 8, " 100 ", 5)) {
		c->read += n;
		c->continues++;
		return true;
	}
	json = has_line(s, n, "\r\nContent-Type: application/json\r\n");
	must(json || has_line(s, n, "\r\nContent-Type: text/plain; version=0.0.4") || !strncmp(s + 8, " 204 ", 5),
	     "an answer of an unknown type", c);
	body = content_length(s, n);
	c->owed = 0;
	if (c->answers < 64 && x->heads >> c->answers & 1) {
		c->owed = body;
		body = 0;
	}
	if (left - n < body)
		return false;
	if (json && body) {
		struct json *value = json_read(s + n, body, NULL);

		must(value, "an answer that is not JSON", c);
		json_free(value);
	}
	c->read += n + body;
	c->answers++;
	c->said_close |= has_line(s, n, "\r\nConnection: close\r\n") ||
			 (s[7] == '0' && !has_line(s, n, "\r\nConnection: keep-alive\r\n"));
	return true;
}

static void look(struct client *c)
{
	struct expected x = expect(c);

	while (c->ngot > c->read && read_answer(c, &x))
		;
	if (c->answers == 1 && !x.most) /* beyond the limit of connections: said before anything is asked */
		x.most = memmem(c->got, c->ngot, "\"too-many-connections\"", 22) ? 1 : 0;
	must(c->answers <= x.most, "more answers than requests", c);
	must(c->continues <= x.continues, "more 100s than were waited for", c);
}

/* Whether something comes. libFuzzer's timer interrupts. */
static bool comes(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		n = poll(&p, 1, PATIENCE_MS);
	} while (n < 0 && errno == EINTR);
	return n == 1;
}

/* Takes what is there. wait: until there is something. */
static void receive(struct client *c, bool wait)
{
	ssize_t n = 1;

	if (wait)
		must(comes(c->fd), "nothing comes, and no end", c);
	while (n > 0) {
		if (c->cap - c->ngot < 65536) {
			c->cap = 2 * c->cap + 65536;
			c->got = realloc(c->got, c->cap + 1);
			must(c->got, "out of memory", NULL);
		}
		n = recv(c->fd, c->got + c->ngot, c->cap - c->ngot, MSG_DONTWAIT);
		c->ngot += n > 0 ? (size_t)n : 0;
		c->got[c->ngot] = '\0';
	}
	c->ended |= !n || (n < 0 && errno != EAGAIN && errno != EINTR);
	look(c);
	must(!c->ended || c->said_close || c->half || c->hasty, "a connection that ends without a word", c);
}

/* ---- clients ---- */

static void open_client(struct client *c, bool hasty, bool tcp)
{
	const struct server *s = &setup.server[hasty][tcp];
	const void *to = tcp ? (const void *)&s->in : (const void *)&s->un;
	socklen_t len = tcp ? sizeof(s->in) : sizeof(s->un);
	int ret;

	*c = (struct client){.fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .hasty = hasty};
	must(c->fd >= 0, strerror(errno), NULL);
	do {
		ret = connect(c->fd, to, len);
	} while (ret && errno == EINTR);
	must(!ret || errno == EISCONN, strerror(errno), NULL);
}

static void close_client(struct client *c, bool reset)
{
	const struct linger l = {.l_onoff = 1};

	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(c->fd);
	free(c->got);
	*c = (struct client){.fd = -1};
}

/* What has come, or the end, came before. */
static void half_close(struct client *c)
{
	receive(c, false);
	shutdown(c->fd, SHUT_WR);
	c->half = true;
}

/* As much as the socket takes. */
static void send_bytes(struct client *c, const char *s, size_t n)
{
	ssize_t sent;

	if (c->half || n > SENT_MAX - c->nsent)
		return;
	sent = send(c->fd, s, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN)
		receive(c, false); /* to see why */
	if (sent <= 0)
		return;
	memcpy(c->sent + c->nsent, s, (size_t)sent);
	c->nsent += (size_t)sent;
}

/* Whether the server has answered all, or said that it ends the connection. A hasty one may end it because it is idle. */
static bool was_answered(const struct client *c)
{
	return c->answers >= expect(c).certain || c->said_close || c->hasty;
}

/* Until the next answer is there, if one is due; or the end. */
static void await(struct client *c)
{
	size_t before = c->answers;

	if (expect(c).certain <= c->answers)
		return;
	while (!c->ended && c->answers == before)
		receive(c, true);
	must(c->answers > before || was_answered(c), "a request without an answer", c);
}

/* All that comes until the server, too, ends the connection. */
static void finish_client(struct client *c)
{
	while (!c->ended)
		receive(c, true);
	must(was_answered(c), "a request without an answer", c);
	close_client(c, true); /* it would stay for a minute in the kernel's table */
}

/* ---- the input ---- */

#define HOST "Host: localhost\r\n"
#define SECOND "GET /healthz HTTP/1.1\r\n" HOST "\r\n" /* 42 bytes */
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X512 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32 X32

/* By number in the inputs of tests/data/fuzz_http: append. */
static const char *const texts[] = {
	"GET /healthz HTTP/1.1\r\n" HOST "\r\n",
	"HEAD /v1/status HTTP/1.1\r\n" HOST "\r\n",
	"POST /v1/replays HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n[]",
	"POST /v1/replays HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
	"[]",
	"DELETE /v1/replays/0x1 HTTP/1.1\r\n" HOST "\r\n",
	"PUT /v1/status HTTP/1.1\r\n" HOST "\r\n",
	"PATCH /v1/status HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
	"OPTIONS /v1/status HTTP/1.1\r\n" HOST "\r\n",
	"TRACE /v1/status HTTP/1.1\r\n" HOST "\r\n",
	"CONNECT /v1/status HTTP/1.1\r\n" HOST "\r\n",
	"HEAD /healthz HTTP/1.1\r\n" HOST "Content-Length: 42\r\n\r\n" SECOND,
	"TRACE /healthz HTTP/1.1\r\n" HOST "Content-Length: 42\r\n\r\n" SECOND,
	"GET /healthz HTTP/1.1\r\n" HOST "Content-Length: 42\r\n\r\n" SECOND,
	"POST /v1/replays HTTP/1.1\r\n" HOST "Content-Length: 42\r\n\r\n" SECOND,
	"HEAD /v1/domains HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
	"POST /v1/replays HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
	"GET //localhost:99999/healthz HTTP/1.1\r\n" HOST "\r\n",
	"GET /healthz# HTTP/1.1\r\n" HOST "\r\n",
	"GET /healthz HTTP/1.0\r\n" HOST "\r\n",
	"GET /healthz HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n",
	"GET /healthz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
	SECOND SECOND,
	SECOND "GARBAGE\r\n\r\n",
	"HEAD /nothing HTTP/1.1\r\n" HOST "\r\n" SECOND,
	"GET /v1/events?limit=1000&capture=4 HTTP/1.1\r\n" HOST "\r\n", /* more than a socket holds */
	"GET /v1/events?capture=all HTTP/1.1\r\n" HOST "\r\n",
	"GET /v1/captures/1 HTTP/1.1\r\n" HOST "\r\n",
	"GET /metrics HTTP/1.1\r\n" HOST "\r\n",
	"GET /v1/domains HTTP/1.1\r\n" HOST "\r\n",
	"GET /v1/replays/0x1/gaps?policy=none HTTP/1.1\r\n" HOST "\r\n",
	"GET /healthz HTTP/1.1\r\nA: " X512 X512 X512 X512 "\r\n\r\n",
	"POST /v1/replays HTTP/1.1\r\n" HOST "Content-Length: 5000\r\n\r\n",
	"POST /v1/replays HTTP/1.1\r\n" HOST "Expect:\t100-continue\r\nContent-Length: 2\r\n\r\n[]",
	"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET /healthz HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
	"GET /%00 HTTP/1.1\r\n" HOST "\r\n",
	"GARBAGE\r\n\r\n",
	"GET / HTTP/1.1\n\n\r\n\r\n",
	"\r\n",
	"\r\n\r\n",
};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

struct input {
	const uint8_t *data;
	size_t len, at;
	unsigned pauses, processes;
};

static unsigned next(struct input *in)
{
	return in->at < in->len ? in->data[in->at++] : 0;
}

static void pause_ms(unsigned ms)
{
	const struct timespec ts = {.tv_nsec = 1000000l * ms};

	nanosleep(&ts, NULL);
}

/*
 * A question that no answer is kept of: a process makes it. Bit 0: later than an idle connection may last. Bit 1: it is the
 * body of another request, and no question.
 */
static void ask_process(struct client *c, struct input *in)
{
	static unsigned long long at = 2000000000;
	unsigned how = next(in);
	char text[128], head[128];

	if (in->processes++ >= PROCESSES_MAX)
		return;
	at += 2;
	snprintf(text, sizeof(text), "GET /v1/%s?at=%llu HTTP/1.1\r\n" HOST "\r\n", at % 4 ? "domains" : "iopts",
		 at + how % 2);
	snprintf(head, sizeof(head), "HEAD /healthz HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", strlen(text));
	if (how & 2)
		send_bytes(c, head, strlen(head));
	send_bytes(c, text, strlen(text));
}

/* What a byte says, by its upper bits: see act(); the lower ones say to whom. What takes time is rare. */
static const char ops[] = "TTTTTTTTTTTTTTTTBBBBBBRRRRRRSSSSWWWWYYYYAAAAAAAAGGGGGHHHCCCXXXLQ";
_Static_assert(sizeof(ops) - 1 == 256 / CLIENTS, "one for each value");

static void act(struct client *c, char op, struct input *in)
{
	const char *text;
	size_t n;

	switch (op) {
	case 'T':
		text = texts[next(in) % TEXTS];
		send_bytes(c, text, strlen(text));
		break;
	case 'S': /* byte by byte */
		for (text = texts[next(in) % TEXTS]; *text; text++)
			send_bytes(c, text, 1);
		break;
	case 'B': /* the beginning; 'R' sends the rest */
		text = texts[next(in) % TEXTS];
		n = next(in) % strlen(text);
		send_bytes(c, text, n);
		c->rest = text + n;
		break;
	case 'R':
		if (c->rest)
			send_bytes(c, c->rest, strlen(c->rest));
		c->rest = NULL;
		break;
	case 'W':
		n = next(in) % 32;
		n = n < in->len - in->at ? n : in->len - in->at;
		send_bytes(c, (const char *)in->data + in->at, n);
		in->at += n;
		break;
	case 'Q':
		ask_process(c, in);
		break;
	case 'Y':
		pause_ms(next(in) % 4);
		break;
	case 'L': /* longer than an idle connection lasts */
		if (c->hasty && in->pauses++ < PAUSES_MAX)
			pause_ms(TIMEOUT_MS + 25);
		break;
	case 'A':
		await(c);
		break;
	case 'G':
		receive(c, false);
		break;
	case 'H':
		half_close(c);
		break;
	case 'C':
	case 'X':
		close_client(c, op == 'X');
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct client client[CLIENTS];
	struct input in = {.data = data, .len = len};
	bool hasty;

	if (!setup.f.dir[0])
		start_servers();
	hasty = next(&in) % 4 == 1;
	for (int i = 0; i < CLIENTS; i++)
		client[i].fd = -1;
	for (int n = 0; in.at < len && n < OPS_MAX; n++) {
		unsigned op = next(&in);
		struct client *c = &client[op % CLIENTS];

		if (c->fd < 0)
			open_client(c, hasty, op % CLIENTS == CLIENTS - 1);
		act(c, ops[op / CLIENTS], &in);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (client[i].fd >= 0)
			half_close(&client[i]);
	for (int i = 0; i < CLIENTS; i++)
		if (client[i].fd >= 0)
			finish_client(&client[i]);
	return 0;
}
