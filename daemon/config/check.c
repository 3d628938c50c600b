/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks values of options that depend on each other; see config.h. Each value alone is checked where it is read. */
#include "daemon/config/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/number.h"

bool instance_valid(const char *name)
{
	/* the groups that the kernel gives probes without one: whatever is in them is others' */
	static const char *const taken[] = {"kprobes", "uprobes", "fprobes", "eprobes", "tracepoints", "synthetic"};
	size_t i;

	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (!strcmp(name, taken[i]))
			return false;
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (i = 0; name[i]; i++)
		if (i >= INSTANCE_MAX || (!isalnum((unsigned char)name[i]) && !strchr("_-", name[i])))
			return false;
	return true;
}

static int in_range(const char *key, uint64_t value, uint64_t min, uint64_t max, struct error *e)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(e, "%s: %llu is out of range: %llu to %llu", key, (unsigned long long)value,
			 (unsigned long long)min, (unsigned long long)max);
}

int config_address(const char *listen, struct sockaddr_storage *ss, bool *loopback)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	const char *colon = strrchr(listen, ':');
	char host[64];
	uint64_t port;
	size_t len;

	memset(ss, 0, sizeof(*ss));
	if (!colon || colon[1 + strspn(colon + 1, "0123456789")] || parse_u64(colon + 1, 0, 65535, &port))
		return -1;
	len = (size_t)(colon - listen);
	if (len >= 2 && listen[0] == '[' && colon[-1] == ']') {
		snprintf(host, sizeof(host), "%.*s", (int)len - 2, listen + 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
			return -1;
		*loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return 0;
	}
	snprintf(host, sizeof(host), "%.*s", (int)len, listen);
	in4->sin_family = AF_INET;
	in4->sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &in4->sin_addr) != 1)
		return -1;
	*loopback = ntohl(in4->sin_addr.s_addr) >> 24 == 127;
	return 0;
}

static int check_listen(const struct config *c, struct error *e)
{
	struct sockaddr_storage address;
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
	if (config_address(c->listen, &address, &loopback))
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
