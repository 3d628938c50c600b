/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/probes/identity.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int identity_find(const struct config *c, struct identity *id, struct error *e)
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

/* For good: no saved ids, no groups but the socket's, no capabilities, no new privileges by exec. */
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

/* Reported early and precisely: SQLite would only say "unable to open database file". */
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

int identity_become(const struct config *c, const struct identity *id, pid_t parent, struct error *e)
{
	if (id->drop && drop_privileges(id, e))
		return -1;
	if (*c->user && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_errno(e, "PR_SET_NO_NEW_PRIVS");
	/* After the change of user, which would clear this. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM))
		return error_errno(e, "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		return error_set(e, "the privileged process is gone");
	return check_database_place(c, e);
}
