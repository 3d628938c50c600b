/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks values of options that depend on each other; see config.h. Each value alone is checked where it is read. */
#include "daemon/config/config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/number.h"
#include "daemon/config/instance.h"

static int in_range(const char *key, uint64_t value, uint64_t min, uint64_t max, struct error *e)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(e, "%s: %llu is out of range: %llu to %llu", key, (unsigned long long)value,
			 (unsigned long long)min, (unsigned long long)max);
}

/* ADDR:PORT or [ADDR6]:PORT, numbers only. 0, or -1; *loopback: whether the address is a loopback one. */
static int parse_address(const char *listen, bool *loopback)
{
	char host[64];
	struct in_addr in;
	struct in6_addr in6;
	const char *colon = strrchr(listen, ':');
	uint64_t port;
	size_t len;

	if (!colon || colon[1 + strspn(colon + 1, "0123456789")] || parse_u64(colon + 1, 0, 65535, &port))
		return -1;
	len = (size_t)(colon - listen);
	if (len >= 2 && listen[0] == '[' && colon[-1] == ']') {
		snprintf(host, sizeof(host), "%.*s", (int)len - 2, listen + 1);
		if (inet_pton(AF_INET6, host, &in6) != 1)
			return -1;
		*loopback = IN6_IS_ADDR_LOOPBACK(&in6);
		return 0;
	}
	snprintf(host, sizeof(host), "%.*s", (int)len, listen);
	if (inet_pton(AF_INET, host, &in) != 1)
		return -1;
	*loopback = ntohl(in.s_addr) >> 24 == 127;
	return 0;
}

static int check_listen(const struct config *c, struct error *e)
{
	struct sockaddr_un un;
	bool loopback;

	if (!strcmp(c->listen, "none"))
		return 0;
	if (!strncmp(c->listen, "unix:", 5)) {
		if (c->listen[5] != '/')
			return error_set(e, "listen: \"%s\": the path of a socket begins with /", c->listen);
		if (strlen(c->listen + 5) >= sizeof(un.sun_path))
			return error_set(e, "listen: the path of a socket has at most %zu bytes",
					 sizeof(un.sun_path) - 1);
		return 0;
	}
	if (parse_address(c->listen, &loopback))
		return error_set(e, "listen: \"%s\": unix:PATH, ADDR:PORT, [ADDR6]:PORT (numbers) or none is wanted",
				 c->listen);
	if (!loopback && !*c->token_file)
		return error_set(
			e, "listen: \"%s\" is not a loopback address: set token-file, so that not everybody may ask",
			c->listen);
	return 0;
}

static int check_ranges(const struct config *c, struct error *e)
{
	const uint64_t kib = 1024, gib = kib << 20, day = 86400000;

	return in_range("buffer-size", c->buffer_size, 4 * kib, 4 * gib, e) ||
			       in_range("drain-interval", c->drain_interval, 1, 10000, e) ||
			       in_range("merge-window", c->merge_window, 0, 10000, e) ||
			       in_range("merge-bytes", c->merge_bytes, 64 * kib, 16 * gib, e) ||
			       in_range("queue-events", c->queue_events, 64, 1 << 26, e) ||
			       in_range("batch-rows", c->batch_rows, 1, 1 << 24, e) ||
			       in_range("batch-time", c->batch_time, 1, 3600000, e) ||
			       in_range("retain-age", c->retain_age, 0, 36500 * day, e) ||
			       in_range("http-max-body", c->http_max_body, 256, gib, e) ||
			       in_range("http-max-headers", c->http_max_headers, 256, gib, e) ||
			       in_range("http-max-connections", c->http_max_connections, 1, 65536, e) ||
			       in_range("http-timeout", c->http_timeout, 10, 3600000, e) ||
			       in_range("replay-max", c->replay_max, 0, 1024, e) ||
			       in_range("replay-timeout", c->replay_timeout, 10, 30 * day, e) ||
			       in_range("replay-memory", c->replay_memory, 16 * kib * kib, 1024 * gib, e) ?
		       -1 :
		       0;
}

int config_check(const struct config *c, struct error *e)
{
	enum log_level level;

	if (c->check && c->disarm)
		return error_set(e, "--check and --disarm: only one at a time");
	if (!*c->db)
		return error_set(e, "db: name a file to record into");
	if (!*c->probes)
		return error_set(e, "probes: name a file, or auto");
	if (!instance_valid(c->instance))
		return error_set(
			e, "instance: \"%s\": 1 to %d letters, digits, '_' and '-' are wanted, a letter or '_' first",
			c->instance, INSTANCE_MAX);
	if (c->tracefs[0] != '/')
		return error_set(e, "tracefs: \"%s\": a path that begins with / is wanted", c->tracefs);
	if (log_level_parse(c->log_level, &level))
		return error_set(e, "log-level: \"%s\": error, warning, notice, info or debug is wanted", c->log_level);
	if (!*c->policies)
		return error_set(e, "policies: name some, or all");
	if (strcmp(c->durability, "interval") && strcmp(c->durability, "commit"))
		return error_set(e, "durability: \"%s\": interval or commit is wanted", c->durability);
	return check_listen(c, e) || check_ranges(c, e) ? -1 : 0;
}
