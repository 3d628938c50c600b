/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the listening socket: TCP, or a Unix socket that has its owner, group and mode before anybody can use it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/config/config.h"
#include "daemon/http/impl.h"

#define BACKLOG 64

/* Removes a socket that no process listens on. 0; -1: one does, or it is not a socket. */
static int clear_stale(const char *path, const struct sockaddr_un *sun, struct error *e)
{
	struct stat st;
	int fd, ret, errnum;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : error_errno(e, "listen=unix:%s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(e, "listen=unix:%s: something that is no socket is there", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(e, "listen=unix:%s", path);
	ret = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	errnum = errno;
	close(fd);
	if (!ret || errnum == EAGAIN)
		return error_set(e, "listen=unix:%s: another process listens there", path);
	if (errnum != ECONNREFUSED) {
		errno = errnum;
		return error_errno(e, "listen=unix:%s", path);
	}
	return unlink(path) ? error_errno(e, "listen=unix:%s: removing a stale socket", path) : 0;
}

/* Sets the group, then the mode that lets others use it. Neither follows a link that was put there. */
static int give_socket(const char *path, const struct config *c, struct error *e)
{
	gid_t group;
	int has = config_listen_group(c, &group, e);

	if (has < 0)
		return -1;
	if (has && lchown(path, (uid_t)-1, group))
		return error_errno(e, "listen-group=%s: giving %s to it (who is not root must be a member)",
				   c->listen_group, path);
	if (fchmodat(AT_FDCWD, path, 0660, AT_SYMLINK_NOFOLLOW))
		return error_errno(e, "listen=unix:%s: its mode", path);
	return 0;
}

int http_listen_unix(struct http *h, const struct config *c, struct error *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *path = c->listen + 5;
	struct stat st;

	if (!path[0] || strlen(path) >= sizeof(sun.sun_path))
		return error_set(e, "listen=unix:%s: a path of 1 to %zu bytes is needed", path, sizeof(sun.sun_path) - 1);
	strcpy(sun.sun_path, path);
	if (clear_stale(path, &sun, e))
		return -1;
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* bind() makes the file with the mode of the descriptor: for nobody else until it has its group */
	if (h->fd < 0 || fchmod(h->fd, 0600) || bind(h->fd, (struct sockaddr *)&sun, sizeof(sun)))
		return error_errno(e, "listen=unix:%s", path);
	if (give_socket(path, c, e)) {
		unlink(path);
		return -1;
	}
	if (listen(h->fd, BACKLOG) || lstat(path, &st))
		return error_errno(e, "listen=unix:%s", path);
	h->unix_path = strdup(path);
	h->unix_dev = st.st_dev;
	h->unix_ino = st.st_ino;
	return h->unix_path ? 0 : error_set(e, "out of memory");
}

int http_listen_tcp(struct http *h, const char *text, struct error *e)
{
	struct sockaddr_storage ss;
	bool loopback;
	socklen_t len;
	int on = 1;

	if (config_address(text, &ss, &loopback))
		return error_set(e, "listen=%s: not unix:PATH, IPV4:PORT or [IPV6]:PORT", text);
	if (!loopback && !h->token[0])
		return error_set(e, "listen=%s: an address that others can reach needs a token: set token-file", text);
	len = ss.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	snprintf(h->address, sizeof(h->address), "%.*s", (int)(strrchr(text, ':') - text), text);
	h->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->fd < 0 || setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(h->fd, (struct sockaddr *)&ss, len) || listen(h->fd, BACKLOG))
		return error_errno(e, "listen=%s", text);
	return 0;
}
