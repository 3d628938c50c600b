/*
 * Everything that touches tracefs; see tracer.h. Plain file operations throughout: what the files say is simple, and
 * the errno of a refused write is wanted as it is.
 *
 * Invariants:
 * - dynamic_events is only ever opened for appending, and only lines "-:OUR_GROUP/name" take anything away from it.
 * - Events are enabled in our instance only, never in the main buffer.
 * - Probes and instance are changed only while this process holds the lock on the instance's directory (t->lock); what
 *   is left without a lock holder is left over.
 * - The order of taking away is: recording off, events off, probes, instance (its name being what is locked), lock.
 *
 * tracer_try() is arming for real in an instance and a group of its own, NAME-try and GROUP_try, which are taken away
 * before it returns: that a line was taken says little before its event was enabled too.
 */
#include "daemon/probes/tracer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/config/instance.h"
#include "daemon/probes/layout.h"
#include "daemon/probes/missed.h"

#define MAX_TEXT (16u << 20) /* of any file read whole */
#define MAX_REFUSED 16384    /* of what is kept of the kernel's words for one event */
#define BUSY_MS 3000	     /* how long an instance may stay busy behind its readers, unless said otherwise */
#define TRY_MS 10000	     /* how long another --check may take */
#define STEP_MS 20

/* --- small things */

static int path_print(char out[PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int path_print(char out[PATH_MAX], const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, PATH_MAX, fmt, ap);
	va_end(ap);
	if (n >= 0 && n < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* One write, as tracefs wants it. Never truncates: that would clear dynamic_events. 0, or -1 with errno. */
static int write_file(const char *path, const char *text, int flags)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), saved;
	ssize_t n;

	if (fd < 0)
		return -1;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	saved = n < 0 ? errno : EIO;
	close(fd);
	errno = saved;
	return n == (ssize_t)len ? 0 : -1;
}

/* The whole file, NUL-terminated; malloc'ed. NULL with errno. */
static char *read_file(const char *path, size_t *len)
{
	size_t size = 0, n = 0;
	char *text = NULL, *grown;
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;
	ssize_t got;

	if (fd < 0)
		return NULL;
	for (;;) {
		if (n + 4096 > size) {
			size = size ? size * 2 : 16384;
			grown = size > MAX_TEXT ? NULL : realloc(text, size);
			if (!grown)
				goto fail;
			text = grown;
		}
		got = read(fd, text + n, size - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto fail;
		if (!got)
			break;
		n += (size_t)got;
	}
	close(fd);
	text[n] = 0;
	if (len)
		*len = n;
	return text;
fail:
	saved = errno;
	close(fd);
	free(text);
	errno = saved ? saved : ENOMEM;
	return NULL;
}

static int write_tracefs(const struct tracer *t, const char *name, const char *text, int flags)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->opt.tracefs, name) ? -1 : write_file(path, text, flags);
}

static char *read_tracefs(const struct tracer *t, const char *name, size_t *len)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->opt.tracefs, name) ? NULL : read_file(path, len);
}

static int write_instance(const struct tracer *t, const char *name, const char *text)
{
	char path[PATH_MAX];

	return path_print(path, "%s/%s", t->dir, name) ? -1 : write_file(path, text, 0);
}

static bool exists_in_tracefs(const struct tracer *t, const char *name)
{
	char path[PATH_MAX];

	return !path_print(path, "%s/%s", t->opt.tracefs, name) && !access(path, F_OK);
}

static bool no_privilege(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == EROFS;
}

/* --- names */

/* The group of an instance; malloc'ed. */
static char *group_of(const char *instance)
{
	char *group = strdup(instance), *p;

	for (p = group; p && *p; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	return group;
}

/* Copies the options and makes the names; suffix: "" or that of a try. */
static int tracer_init(struct tracer *t, const struct tracer_options *o, const char *suffix, struct error *e)
{
	char *instance = NULL, *dir = NULL;

	memset(t, 0, sizeof(*t));
	t->lock = -1;
	t->opt = *o;
	if (asprintf(&instance, "%s%s", o->instance, suffix) < 0)
		instance = NULL;
	t->opt.instance = instance;
	t->opt.tracefs = strdup(o->tracefs);
	t->opt.root = strdup(o->root ? o->root : "");
	t->opt.rung = strdup(o->rung ? o->rung : "auto");
	t->group = instance ? group_of(instance) : NULL;
	if (asprintf(&dir, "%s/instances/%s", o->tracefs, instance ? instance : "") < 0)
		dir = NULL;
	t->dir = dir;
	if (instance && t->opt.tracefs && t->opt.root && t->opt.rung && t->group && dir)
		return 0;
	tracer_forget(t);
	return error_set(e, "out of memory");
}

/* --- what kind of host this is */

/* The lockdown mode if there is one, else NULL; malloc'ed. */
static char *lockdown_mode(const struct tracer *t)
{
	char path[PATH_MAX], *text, *mode = NULL;

	if (path_print(path, "%s/sys/kernel/security/lockdown", t->opt.root))
		return NULL;
	text = read_file(path, NULL);
	if (!text)
		return NULL;
	if (strstr(text, "[integrity]"))
		mode = strdup("integrity");
	else if (strstr(text, "[confidentiality]"))
		mode = strdup("confidentiality");
	free(text);
	return mode;
}

static bool has_symbol(const char *path, const char *symbol, bool otherwise)
{
	char *line = NULL, *name, *end;
	FILE *f = fopen(path, "re");
	bool found = false;
	size_t size = 0;

	if (!f)
		return otherwise;
	while (!found && getline(&line, &size, f) > 0) {
		name = strchr(line, ' '); /* "address type name [module]" */
		name = name ? strchr(name + 1, ' ') : NULL;
		if (!name++)
			continue;
		end = name + strcspn(name, " \t\n");
		found = (size_t)(end - name) == strlen(symbol) && !memcmp(name, symbol, strlen(symbol));
	}
	free(line);
	fclose(f);
	return found;
}

/* A service may not see /dev/iommu, so the kernel's symbols are asked too; where they cannot be read, the benefit of doubt. */
static bool has_iommufd(const struct tracer *t)
{
	char path[PATH_MAX];

	if (!path_print(path, "%s/dev/iommu", t->opt.root) && !access(path, F_OK))
		return true;
	return path_print(path, "%s/proc/kallsyms", t->opt.root) || has_symbol(path, "iopt_table_add_domain", true);
}

static bool has_kprobes(const struct tracer *t)
{
	return exists_in_tracefs(t, "kprobe_events");
}

static bool has_fprobes(const struct tracer *t)
{
	char *readme = read_tracefs(t, "README", NULL);
	bool found = !readme || strstr(readme, "<func-name>[%return]");

	free(readme);
	return found;
}

static int set_host(enum tracer_host *host, enum tracer_host value)
{
	*host = value;
	return -1;
}

static int host_lockdown(const char *mode, enum tracer_host *host, struct error *e)
{
	error_set(e,
		  "the kernel is locked down (%s) and refuses this: boot without lockdown= or turn Secure Boot off to "
		  "record on this host",
		  mode);
	return set_host(host, TRACER_HOST_LOCKDOWN);
}

static int host_no_privilege(const struct tracer *t, const char *what, int errnum, enum tracer_host *host,
			     struct error *e)
{
	char *mode = errnum == EPERM ? lockdown_mode(t) : NULL;

	if (mode) {
		host_lockdown(mode, host, e);
		free(mode);
		return -1;
	}
	if (errnum == EROFS)
		error_set(e,
			  "%s: tracefs is mounted read-only here: remount it for writing (in a service: no "
			  "ProtectKernelTunables=)",
			  what);
	else
		error_set(e, "%s: %s: recording needs root, and root of the host where this is a container", what,
			  strerror(errnum));
	return set_host(host, TRACER_HOST_NO_PRIVILEGE);
}

static int check_mounted(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	struct statfs fs;

	if (statfs(t->opt.tracefs, &fs)) {
		if (no_privilege(errno))
			return host_no_privilege(t, t->opt.tracefs, errno, host, e);
		error_set(e, "no tracefs at %s: %s: the kernel needs CONFIG_FTRACE; say another place with --tracefs",
			  t->opt.tracefs, strerror(errno));
		return set_host(host, TRACER_HOST_NO_TRACEFS);
	}
	if (fs.f_type == TRACEFS_MAGIC)
		return 0;
	error_set(e, "tracefs is not mounted at %s: mount -t tracefs nodev %s", t->opt.tracefs, t->opt.tracefs);
	return set_host(host, TRACER_HOST_NO_TRACEFS);
}

static int check_dynamic_events(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	char path[PATH_MAX];
	int fd;

	if (path_print(path, "%s/dynamic_events", t->opt.tracefs))
		return error_errno(e, "%s", t->opt.tracefs);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT) {
		error_set(e,
			  "%s is not there: this kernel takes no probes (it needs CONFIG_KPROBE_EVENTS and "
			  "CONFIG_FPROBE_EVENTS)",
			  path);
		return set_host(host, TRACER_HOST_NO_PROBES);
	}
	if (no_privilege(errno))
		return host_no_privilege(t, path, errno, host, e);
	return error_errno(e, "%s", path);
}

int tracer_open(struct tracer *t, const struct tracer_options *o, enum tracer_host *host, struct error *e)
{
	*host = TRACER_HOST_OK;
	memset(t, 0, sizeof(*t));
	t->lock = -1;
	if (!instance_valid(o->instance))
		return error_set(e, "instance \"%s\": no instance can have this name", o->instance);
	if (tracer_init(t, o, "", e))
		return -1;
	if (!check_mounted(t, host, e) && !check_dynamic_events(t, host, e))
		return 0;
	tracer_forget(t);
	return -1;
}

/* --- whose the instance is */

/* Another instance whose group would be ours: its probes could not be told from ours. */
static int check_group_unique(const struct tracer *t, struct error *e)
{
	char path[PATH_MAX], *group;
	struct dirent *d;
	int ret = 0;
	DIR *dir;

	if (path_print(path, "%s/instances", t->opt.tracefs))
		return error_errno(e, "%s", t->opt.tracefs);
	dir = opendir(path);
	if (!dir)
		return error_errno(e, "%s", path);
	while (!ret && (d = readdir(dir))) {
		group = group_of(d->d_name);
		if (!group)
			ret = error_set(e, "out of memory");
		else if (strcmp(d->d_name, t->opt.instance) && !strcmp(group, t->group))
			ret = error_set(e,
					"the instance %s/%s would have the same probe group as ours, %s: choose another "
					"--instance",
					path, d->d_name, t->group);
		free(group);
	}
	closedir(dir);
	return ret;
}

/* The directory as it is now, locked: 1, 0: look again, or -1: someone has it (EWOULDBLOCK) or errno. */
static int lock_once(struct tracer *t, bool *made)
{
	struct stat ours, now;
	int fd, saved;

	*made = !mkdir(t->dir, 0750);
	if (!*made && errno != EEXIST)
		return -1;
	fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	/* What was locked may have been removed, and made anew by another process. */
	if (!fstat(fd, &ours) && !stat(t->dir, &now) && ours.st_ino == now.st_ino && ours.st_dev == now.st_dev) {
		t->lock = fd;
		return 1;
	}
	close(fd);
	return 0;
}

static void unlock(struct tracer *t)
{
	if (t->lock >= 0)
		close(t->lock);
	t->lock = -1;
}

/* 0: ours, made if it was not there (*made); -1: not ours, and not made. */
static int lock_instance(struct tracer *t, unsigned wait_ms, bool *made, enum tracer_host *host, struct error *e)
{
	unsigned waited = 0;
	int got;

	for (;;) {
		got = lock_once(t, made);
		if (got > 0 && !check_group_unique(t, e))
			return 0;
		if (got > 0) {
			/* The group's probes are not ours to remove. */
			if (*made)
				rmdir(t->dir);
			*made = false;
			unlock(t);
			return -1;
		}
		if (got < 0 && errno != EWOULDBLOCK && no_privilege(errno))
			return host_no_privilege(t, t->dir, errno, host, e);
		if (got < 0 && errno != EWOULDBLOCK)
			return error_errno(e, "instance %s", t->dir);
		if (waited >= wait_ms && got < 0) {
			error_set(e, "another ioflushd uses the instance %s: end it, or choose another --instance",
				  t->opt.instance);
			return set_host(host, TRACER_HOST_IN_USE);
		}
		sleep_ms(STEP_MS);
		waited += STEP_MS;
	}
}

/* --- taking away */

/*
 * The folder of our group's events: there as long as the group has probes. Not the text of dynamic_events, in which a line
 * is passed over when somebody else removes a probe of theirs between two reads.
 */
static DIR *open_group(const struct tracer *t)
{
	char path[PATH_MAX];

	return path_print(path, "%s/events/%s", t->opt.tracefs, t->group) ? NULL : opendir(path);
}

/* The next event in it, or NULL. Beside the events' folders there are files. */
static const char *next_of_group(DIR *dir)
{
	struct dirent *d;

	while ((d = readdir(dir)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "enable") && strcmp(d->d_name, "filter"))
			return d->d_name;
	return NULL;
}

static int remove_probe(const struct tracer *t, const char *name, unsigned *removed, struct error *e)
{
	char line[2 * NAME_MAX + 8];

	snprintf(line, sizeof(line), "-:%s/%s\n", t->group, name);
	if (!write_tracefs(t, "dynamic_events", line, O_APPEND)) {
		++*removed;
		return 0;
	}
	if (errno == ENOENT) /* an event of several probes, gone with the first */
		return 0;
	if (errno == EBUSY)
		return error_set(e,
				 "the probe %s/%s cannot be removed: it is in use outside of our instance (enabled in the "
				 "main buffer, by perf or in another instance): disable it there",
				 t->group, name);
	return error_errno(e, "removing the probe %s/%s", t->group, name);
}

/* The group's events, separated by blanks, which no name has; malloc'ed. "": there are none. NULL and the error. */
static char *list_group(const struct tracer *t, struct error *e)
{
	DIR *dir = open_group(t);
	const char *name;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!dir && errno != ENOENT) {
		error_errno(e, "%s/events/%s", t->opt.tracefs, t->group);
		return NULL;
	}
	out = open_memstream(&text, &len);
	while (out && dir && (name = next_of_group(dir)))
		fprintf(out, "%s ", name);
	if (dir)
		closedir(dir);
	if (out && !fclose(out))
		return text;
	free(text);
	error_set(e, "out of memory");
	return NULL;
}

/* Listed again until nothing more could be removed: another's removals may hide a name from one listing. */
static int remove_probes(const struct tracer *t, unsigned *removed, struct error *e)
{
	unsigned before;
	char *all, *name, *rest;
	int ret = 0;

	do {
		all = list_group(t, e);
		if (!all)
			return -1;
		before = *removed;
		for (name = strtok_r(all, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
			if (remove_probe(t, name, removed, e))
				ret = -1;
		free(all);
	} while (!ret && *removed > before);
	return ret;
}

static bool has_probes(const struct tracer *t)
{
	DIR *dir = open_group(t);
	bool found = dir && next_of_group(dir);

	if (dir)
		closedir(dir);
	return found;
}

/* Recording and our events off. The tracepoints in the instance go with it. */
static void quiesce(const struct tracer *t)
{
	char path[PATH_MAX];

	write_instance(t, "tracing_on", "0");
	if (!path_print(path, "%s/events/%s/enable", t->dir, t->group))
		write_file(path, "0", 0);
}

/* An instance is busy while somebody has one of its files open; a reader that is ending is given time. */
static int remove_instance(const struct tracer *t, struct error *e)
{
	unsigned most = t->opt.busy_ms ? t->opt.busy_ms : BUSY_MS, waited;

	for (waited = 0; rmdir(t->dir); waited += STEP_MS) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || waited >= most)
			return error_errno(e, "removing the instance %s%s", t->dir,
					   errno == EBUSY ? ", which some process reads" : "");
		sleep_ms(STEP_MS);
	}
	return 0;
}

/* All of it, the lock held. Goes on after failures, so that as little as possible stays. */
static int take_away(struct tracer *t, unsigned *removed, struct error *e)
{
	int ret;

	quiesce(t);
	ret = remove_probes(t, removed, e);
	if (remove_instance(t, e))
		ret = -1;
	return ret;
}

static int clean_one(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e)
{
	bool made;
	int ret;

	if (access(t->dir, F_OK) && !has_probes(t))
		return 0;
	if (t->lock >= 0)
		return error_set(e, "instance %s is in use by this process", t->opt.instance);
	if (lock_instance(t, 0, &made, host, e))
		return -1;
	*found += !made;
	ret = take_away(t, found, e);
	unlock(t);
	return ret;
}

int tracer_clean(struct tracer *t, unsigned *found, enum tracer_host *host, struct error *e)
{
	struct error ignored = {{0}};
	enum tracer_host whose;
	struct tracer try;

	*found = 0;
	*host = TRACER_HOST_OK;
	if (clean_one(t, found, host, e))
		return -1;
	/* What a killed --check left; one that is under way is left alone. */
	if (tracer_init(&try, &t->opt, "-try", e))
		return -1;
	clean_one(&try, found, &whose, &ignored);
	tracer_forget(&try);
	return 0;
}

/* --- the kernel's own words */

/* Whether two command lines are the same but for their blanks. */
static bool same_command(const char *a, const char *a_end, const char *b)
{
	for (;;) {
		while (a < a_end && isblank((unsigned char)*a))
			a++;
		while (isblank((unsigned char)*b))
			b++;
		if (a == a_end || !*b)
			return a == a_end && !*b;
		while (a < a_end && *b && !isblank((unsigned char)*a) && *a == *b)
			a++, b++;
		if ((a < a_end && !isblank((unsigned char)*a)) || (*b && !isblank((unsigned char)*b)))
			return false;
	}
}

/*
 * The last entry of error_log about this line, or NULL. An entry is
 *	[ 3519.027963] trace_uprobe: error: Invalid register name
 *	  Command: p:group/name /path:0x1129 zz=%qq
 *	                                        ^
 */
static const char *find_entry(const char *log, const char *line)
{
	static const char mark[] = "\n  Command: ";
	const char *entry = NULL, *p, *command, *start;

	for (p = log; (p = strstr(p, mark)); p = command) {
		command = p + sizeof(mark) - 1;
		if (!same_command(command, strchrnul(command, '\n'), line))
			continue;
		for (start = p; start > log && start[-1] != '\n'; start--)
			;
		entry = start;
	}
	return entry;
}

/* "Invalid register name, at "zz=%qq"" from an entry; malloc'ed. */
static char *entry_words(const char *entry)
{
	static const char error_mark[] = ": error: ", command_mark[] = "  Command: ";
	const char *end = strchrnul(entry, '\n'), *words = strstr(entry, error_mark), *command, *caret, *at;
	size_t column;
	char *out;

	if (!words || words > end)
		return NULL;
	words += sizeof(error_mark) - 1;
	command = *end ? end + 1 : end;
	caret = strchrnul(command, '\n');
	at = "";
	if (*caret && !strncmp(command, command_mark, sizeof(command_mark) - 1)) {
		column = strspn(caret + 1, " ");
		if (caret[1 + column] == '^' && command + column < caret)
			at = command + column;
	}
	if (asprintf(&out, "%.*s%s%.*s%s", (int)(end - words), words, *at ? ", at \"" : "", (int)strcspn(at, " \n"), at,
		     *at ? "\"" : "") < 0)
		return NULL;
	return out;
}

/* What stands for a refusal that the kernel gave no words for. */
static char *errno_words(const struct tracer *t, const char *line, int errnum)
{
	const char *more = "";
	char *out;

	if (errnum == EINVAL && strchr("ft", line[0]) && !has_fprobes(t))
		more = ": this kernel has no fprobe events (CONFIG_FPROBE_EVENTS)";
	else if (errnum == EINVAL && strchr("pr", line[0]) && !probe_line_is_uprobe(line) && !has_kprobes(t))
		more = ": this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)";
	else if (errnum == EEXIST)
		more = ": a probe of this name is there already";
	if (asprintf(&out, "%s%s", strerror(errnum), more) < 0)
		return NULL;
	return out;
}

/* --- arming */

/* Notes one refusal: "set:line: words" in a line of its own. words may be NULL. */
static int note_refusal(struct armed_event *a, const struct probe_set *set, const struct probe_alt *alt,
			const char *words, struct error *e)
{
	char *text;

	if (a->refused && strlen(a->refused) > MAX_REFUSED)
		return 0;
	if (asprintf(&text, "%s%s%s:%u: %s", a->refused ? a->refused : "", a->refused ? "\n" : "", set->path,
		     alt->file_line, words ? words : "out of memory") < 0)
		return error_set(e, "out of memory");
	free(a->refused);
	a->refused = text;
	return 0;
}

/* 1: armed, 0: refused and the words are set, -1. */
static int arm_line(struct tracer *t, const char *name, const char *line, char **words, struct error *e)
{
	char path[PATH_MAX], command[8192], *before = read_tracefs(t, "error_log", NULL), *after = NULL;
	const char *old = before ? find_entry(before, line) : NULL, *now;
	unsigned removed = 0;
	int ret = 0, errnum;

	snprintf(command, sizeof(command), "%s\n", line);
	if (write_tracefs(t, "dynamic_events", command, O_APPEND)) {
		errnum = errno;
		after = read_tracefs(t, "error_log", NULL);
		now = after ? find_entry(after, line) : NULL;
		/* The first line of an entry has its time, so an older one about the same line can be told. */
		if (now && !(old && !strncmp(old, now, strcspn(now, "\n"))))
			*words = entry_words(now);
		if (!*words)
			*words = errno_words(t, line, errnum);
		goto out;
	}
	if (path_print(path, "%s/events/%s/%s/enable", t->dir, t->group, name) || write_file(path, "1", 0)) {
		errnum = errno;
		if (asprintf(words, "taken, but it cannot be enabled: %s", strerror(errnum)) < 0)
			*words = NULL;
		ret = remove_probe(t, name, &removed, e);
		goto out;
	}
	ret = 1;
out:
	free(before);
	free(after);
	return ret;
}

static int arm_tracepoint(const struct tracer *t, const struct probe_alt *alt, char **words)
{
	char path[PATH_MAX];

	if (!path_print(path, "%s/events/%s/%s/enable", t->dir, alt->system, alt->event) && !write_file(path, "1", 0))
		return 1;
	if (errno == ENOENT)
		*words = strdup("this kernel has no such tracepoint");
	else
		*words = strdup(strerror(errno));
	return 0;
}

/* Where the kernel's structs are laid out, and what was found so far. */
struct arming {
	struct tracer *t;
	const struct probe_set *set;
	struct layout *layout;
};

/* A line of the set as it is armed, in our group and with offsets; malloc'ed. NULL: *words say why it cannot be. */
static char *finish_line(struct arming *m, const char *text, const char **offsets, char **words)
{
	struct error why = {{0}};
	char *line = probe_line_in_group(text, m->t->group), *done = NULL;

	if (line)
		done = layout_resolve(m->layout, line, offsets, &why);
	if (!done)
		*words = strdup(line ? why.text : "out of memory");
	free(line);
	return done;
}

/* The entry of an alternative that needs one: an armed event of its own. 1, 0: refused and the words are set, or -1. */
static int arm_entry(struct arming *m, const struct probe_alt *alt, char **words, struct error *e)
{
	struct armed_event *a = &m->t->event[m->t->nevents];
	const char *offsets = NULL;
	char *line = finish_line(m, alt->entry, &offsets, words), *name = probe_line_event(alt->entry);
	int ret = line && name ? arm_line(m->t, name, line, words, e) : 0;

	if (ret <= 0) {
		free(line);
		free(name);
		return ret;
	}
	*a = (struct armed_event){.name = name, .line = line, .offsets = offsets, .system = strdup(m->t->group)};
	m->t->nevents++;
	return a->system ? 1 : error_set(e, "out of memory");
}

/* Its event was refused after all. */
static int disarm_entry(struct arming *m, struct error *e)
{
	struct armed_event *a = &m->t->event[--m->t->nevents];
	unsigned removed = 0;
	int ret = 0;
	char path[PATH_MAX];

	if (!path_print(path, "%s/events/%s/%s/enable", m->t->dir, m->t->group, a->name))
		write_file(path, "0", 0);
	ret = remove_probe(m->t, a->name, &removed, e);
	free(a->name);
	free(a->line);
	free(a->system);
	memset(a, 0, sizeof(*a));
	return ret;
}

/* One alternative that is a probe line, and its entry: 1, 0: refused and the words are set, or -1. */
static int arm_probe(struct arming *m, struct armed_event *a, const struct probe_alt *alt, char **words, struct error *e)
{
	const char *offsets = NULL;
	char *line = finish_line(m, alt->line, &offsets, words);
	int ret = line && alt->entry ? arm_entry(m, alt, words, e) : 1;

	if (!line || ret <= 0) {
		free(line);
		return line ? ret : 0;
	}
	ret = arm_line(m->t, a->name, line, words, e);
	if (ret <= 0) {
		free(line);
		return alt->entry && disarm_entry(m, e) ? -1 : ret;
	}
	a->line = line;
	a->offsets = offsets;
	a->system = strdup(m->t->group);
	return a->system ? 1 : error_set(e, "out of memory");
}

static int arm_tracepoint_alt(struct arming *m, struct armed_event *a, const struct probe_alt *alt, char **words,
			      struct error *e)
{
	if (!arm_tracepoint(m->t, alt, words))
		return 0;
	a->system = strdup(alt->system);
	if (asprintf(&a->line, "%s:%s", alt->system, alt->event) < 0)
		a->line = NULL;
	return a->system && a->line ? 1 : error_set(e, "out of memory");
}

/* One alternative: 1: armed, 0: refused and noted, or -1. */
static int arm_alt(struct arming *m, struct armed_event *a, const struct probe_alt *alt, struct error *e)
{
	char *words = NULL;
	int ret;

	ret = alt->line ? arm_probe(m, a, alt, &words, e) : arm_tracepoint_alt(m, a, alt, &words, e);
	if (!ret)
		ret = note_refusal(a, m->set, alt, words, e);
	if (ret > 0) {
		a->lost = alt->lost ? strdup(alt->lost) : NULL;
		if (alt->lost && !a->lost)
			ret = error_set(e, "out of memory");
	}
	free(words);
	return ret;
}

static int arm_event(struct arming *m, const struct probe_event *ev, struct armed_event *a, struct error *e)
{
	size_t i, tried = 0;
	int got;

	a->name = strdup(ev->name);
	if (!a->name)
		return error_set(e, "out of memory");
	for (i = 0; i < ev->nalts; i++) {
		if (!probe_alt_in_rung(&ev->alt[i], m->t->opt.rung))
			continue;
		tried++;
		got = arm_alt(m, a, &ev->alt[i], e);
		if (got < 0)
			return -1;
		if (got) {
			a->alt = (int)i;
			return 0;
		}
	}
	if (!tried && asprintf(&a->refused, "the rung %s has no probe for it", m->t->opt.rung) < 0) {
		a->refused = NULL;
		return error_set(e, "out of memory");
	}
	return 0;
}

static int arm_events(struct tracer *t, const struct probe_set *set, struct error *e)
{
	struct arming m = {.t = t, .set = set, .layout = layout_new(t->opt.root, set)};
	int ret = -1;
	size_t i;

	/* as many entries as events, at most */
	t->event = calloc(set->nevents ? 2 * set->nevents : 1, sizeof(*t->event));
	if (!m.layout || !t->event) {
		error_set(e, "out of memory");
		goto out;
	}
	t->nevents = set->nevents;
	for (i = 0; i < set->nevents; i++)
		t->event[i].alt = -1;
	for (i = 0; i < set->nevents; i++)
		if (arm_event(&m, &set->event[i], &t->event[i], e))
			goto out;
	ret = 0;
out:
	layout_free(m.layout);
	return ret;
}

static int configure(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	char kib[32];
	const char *const settings[][2] = {
		{"tracing_on", "0"},
		{"trace_clock", "mono"},
		{"options/overwrite", t->opt.overwrite ? "1" : "0"},
		{"buffer_size_kb", kib},
	};
	size_t i;

	snprintf(kib, sizeof(kib), "%llu", (unsigned long long)(t->opt.buffer_size + 1023) / 1024);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (!write_instance(t, settings[i][0], settings[i][1]))
			continue;
		if (no_privilege(errno))
			return host_no_privilege(t, t->dir, errno, host, e);
		return error_errno(e, "%s/%s: \"%s\" was not taken", t->dir, settings[i][0], settings[i][1]);
	}
	return 0;
}

/* --- what the outcome means */

struct outcome {
	bool has_lines; /* the set has probe lines, not only tracepoints */
	size_t probes;	/* armed by a probe line */
	size_t uprobes; /* of these, by one that needs nothing of the kernel's */
	size_t armed;
	char missing[512];   /* names of needed events that are not armed */
	const char *refused; /* the first refusal of these, or of all */
};

static void add_missing(struct outcome *o, const char *name)
{
	size_t n = strlen(o->missing);

	snprintf(o->missing + n, sizeof(o->missing) - n, "%s%s", n ? ", " : "", name);
}

static void sum_up(const struct tracer *t, const struct probe_set *set, struct outcome *o)
{
	size_t i, j;

	memset(o, 0, sizeof(*o));
	for (i = 0; i < set->nevents && i < t->nevents; i++) {
		const struct armed_event *a = &t->event[i];
		const struct probe_event *ev = &set->event[i];

		for (j = 0; j < ev->nalts; j++)
			o->has_lines |= ev->alt[j].line && probe_alt_in_rung(&ev->alt[j], t->opt.rung);
		if (a->alt < 0 && ev->needed) {
			add_missing(o, ev->name);
			if (a->refused && (!o->refused || !strchr(o->missing, ',')))
				o->refused = a->refused;
		}
		if (a->alt < 0) {
			o->refused = o->refused ? o->refused : a->refused;
			continue;
		}
		o->armed++;
		o->probes += ev->alt[a->alt].line != NULL;
		o->uprobes += ev->alt[a->alt].line && probe_line_is_uprobe(ev->alt[a->alt].line);
	}
}

/* No probe at all was taken: the most general reason is the one to say. */
static int judge_none(const struct tracer *t, const struct probe_set *set, const struct outcome *o,
		      enum tracer_host *host, struct error *e)
{
	char *mode = lockdown_mode(t);

	if (mode) {
		host_lockdown(mode, host, e);
		free(mode);
		return -1;
	}
	if (probe_set_needs_kernel(set) && !has_kprobes(t) && !has_fprobes(t)) {
		error_set(e,
			  "this kernel has neither kprobe nor fprobe events (CONFIG_KPROBE_EVENTS, "
			  "CONFIG_FPROBE_EVENTS), so it takes none of the probes of %s",
			  set->path);
		return set_host(host, TRACER_HOST_NO_PROBES);
	}
	if (probe_set_needs_kernel(set) && !has_iommufd(t))
		return 0;
	error_set(e, "the kernel takes none of the probes of %s; the first: %.*s", set->path,
		  (int)strcspn(o->refused ? o->refused : "?", "\n"), o->refused ? o->refused : "?");
	return set_host(host, TRACER_HOST_NO_PROBES);
}

static int judge(const struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	struct outcome o;

	sum_up(t, set, &o);
	if (((o.has_lines && !o.probes) || !o.armed) && judge_none(t, set, &o, host, e))
		return -1;
	if (!o.uprobes && probe_set_needs_kernel(set) && !has_iommufd(t)) {
		error_set(e, "there is no iommufd in this kernel, so there is nothing to record: load the module (modprobe "
			     "iommufd), or run a kernel that has it (CONFIG_IOMMUFD)");
		return set_host(host, TRACER_HOST_NO_IOMMUFD);
	}
	if (!o.missing[0])
		return 0;
	*host = TRACER_HOST_INCOMPLETE;
	if (strcmp(t->opt.rung, "auto")) {
		error_set(e, "no policy can be judged by a capture of the rung %s: it lacks %s", t->opt.rung, o.missing);
		return 0;
	}
	return error_set(e, "a capture would make no sense: %s cannot be had; the first refusal: %.*s", o.missing,
			 (int)strcspn(o.refused ? o.refused : "?", "\n"), o.refused ? o.refused : "?");
}

/*
 * Returns that are paired with their entries must know where records were lost, or they would be paired with another
 * call's. Only a buffer that overwrites says so at the place; one that does not, tells in its statistics alone.
 */
static int mark_losses(const struct tracer *t, const struct probe_set *set, struct error *e)
{
	if (t->nevents == set->nevents || t->opt.overwrite)
		return 0;
	log_notice("returns are paired with their entries: the ring buffers overwrite the oldest records when full, "
		   "whatever the option overwrite says");
	return write_instance(t, "options/overwrite", "1") ? error_errno(e, "%s/options/overwrite", t->dir) : 0;
}

static char *read_instance(const struct tracer *t, const char *name)
{
	char path[PATH_MAX], *text;

	if (path_print(path, "%s/%s", t->dir, name))
		return NULL;
	text = read_file(path, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text;
}

/* Where an event is below the instance's folder "events"; a tracepoint stands in for one of another name. */
static const char *name_in_system(const struct tracer *t, const struct armed_event *a)
{
	return strcmp(a->system, t->group) ? strchr(a->line, ':') + 1 : a->name;
}

static int remember_setting(struct tracer *t, const char *name, struct error *e)
{
	struct tracer_setting *s = &t->setting[t->nsettings];

	s->text = read_instance(t, name);
	if (!s->text) /* not every kernel has all of them */
		return errno == ENOENT ? 0 : error_errno(e, "%s/%s", t->dir, name);
	s->name = strdup(name);
	t->nsettings++;
	return s->name ? 0 : error_set(e, "out of memory");
}

/* All that decides whether an event gets into the buffer, and as what, as it is now. */
static int remember_settings(struct tracer *t, struct error *e)
{
	static const char *const names[] = {"trace_clock", "buffer_size_kb", "tracing_cpumask", "set_event_pid",
					    "set_event_notrace_pid"};
	static const char *const of_event[] = {"enable", "filter"};
	char path[PATH_MAX];
	size_t i, j;

	t->setting = calloc(sizeof(names) / sizeof(names[0]) + 2 * t->nevents, sizeof(*t->setting));
	if (!t->setting)
		return error_set(e, "out of memory");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (remember_setting(t, names[i], e))
			return -1;
	for (i = 0; i < t->nevents; i++)
		for (j = 0; j < 2 && t->event[i].alt >= 0; j++) {
			const struct armed_event *a = &t->event[i];

			if (path_print(path, "events/%s/%s/%s", a->system, name_in_system(t, a), of_event[j]))
				return error_errno(e, "%s", a->name);
			if (remember_setting(t, path, e))
				return -1;
		}
	return 0;
}

int tracer_arm(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	*host = TRACER_HOST_OK;
	if (t->event || t->lock >= 0)
		return error_set(e, "the tracer is armed already");
	if (lock_instance(t, 0, &t->instance_made, host, e))
		return -1;
	if (!t->instance_made || has_probes(t))
		return error_set(e, "the instance %s or probes of the group %s are left over and were not removed",
				 t->opt.instance, t->group);
	if (configure(t, host, e) || arm_events(t, set, e) || mark_losses(t, set, e) || remember_settings(t, e))
		return -1;
	return judge(t, set, host, e);
}

/* The events of a try as they would be armed for real. */
static int adopt_events(struct tracer *t, struct tracer *try, struct error *e)
{
	size_t i;

	for (i = 0; i < try->nevents; i++) {
		struct armed_event *a = &try->event[i];
		char *line;

		if (a->alt < 0 || strcmp(a->system, try->group))
			continue;
		line = probe_line_in_group(a->line, t->group);
		free(a->line);
		free(a->system);
		a->line = line;
		a->system = strdup(t->group);
		if (!a->line || !a->system)
			return error_set(e, "out of memory");
	}
	t->event = try->event;
	t->nevents = try->nevents;
	try->event = NULL;
	try->nevents = 0;
	return 0;
}

int tracer_try(struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	struct error trouble = {{0}};
	struct tracer try;
	unsigned removed = 0;
	int ret = -1;

	*host = TRACER_HOST_OK;
	if (t->event)
		return error_set(e, "the tracer is armed already");
	if (tracer_init(&try, &t->opt, "-try", e))
		return -1;
	try.opt.buffer_size = 4096;
	if (lock_instance(&try, TRY_MS, &try.instance_made, host, e))
		goto out;
	if (!try.instance_made) { /* of a try that was killed; nobody holds its lock */
		quiesce(&try);
		try.instance_made = true;
	}
	if (remove_probes(&try, &removed, e))
		goto out;
	if (configure(&try, host, e) || arm_events(&try, set, e))
		goto out;
	ret = judge(&try, set, host, e);
	if (adopt_events(t, &try, e))
		ret = -1;
out:
	if (try.lock >= 0 && try.instance_made && take_away(&try, &removed, &trouble))
		ret = error_set(e, "%s", trouble.text);
	tracer_forget(&try);
	return ret;
}

/* --- while armed */

static int trace_on(struct tracer *t, const char *value, struct error *e)
{
	return write_instance(t, "tracing_on", value) ? error_errno(e, "%s/tracing_on", t->dir) : 0;
}

int tracer_start(struct tracer *t, struct error *e)
{
	t->on = true;
	return trace_on(t, "1", e);
}

int tracer_stop(struct tracer *t, struct error *e)
{
	t->on = false;
	return trace_on(t, "0", e);
}

static int check_setting(const struct tracer *t, const char *name, const char *want, struct error *e)
{
	char *text = read_instance(t, name);
	int ret = 0;

	if (!text && errno != ENOENT)
		return 1;
	if (!text)
		ret = error_set(e, "%s/%s is gone", t->dir, name);
	else if (strcmp(text, want) && strcmp(text, "X")) /* sizes differ where a CPU came that had never been there */
		ret = error_set(e, "%s/%s is \"%s\", not \"%s\"", t->dir, name, text, want);
	free(text);
	return ret;
}

int tracer_unchanged(const struct tracer *t, struct error *e)
{
	int ret = check_setting(t, "tracing_on", t->on ? "1" : "0", e);
	size_t i;

	for (i = 0; i < t->nsettings && !ret; i++)
		ret = check_setting(t, t->setting[i].name, t->setting[i].text, e);
	return ret;
}

static int open_per_cpu(const struct tracer *t, unsigned cpu, const char *name)
{
	char path[PATH_MAX];

	if (path_print(path, "%s/per_cpu/cpu%u/%s", t->dir, cpu, name))
		return -1;
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

int tracer_open_buffer(const struct tracer *t, unsigned cpu)
{
	return open_per_cpu(t, cpu, "trace_pipe_raw");
}

int tracer_open_stats(const struct tracer *t, unsigned cpu)
{
	return open_per_cpu(t, cpu, "stats");
}

/* Instances share the one table of the host. */
int tracer_open_cmdlines(const struct tracer *t)
{
	char path[PATH_MAX];

	if (path_print(path, "%s/saved_cmdlines", t->opt.tracefs))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* 0, or -1 with errno; EAGAIN: probes of others came or went between the two files, so that they do not fit. */
static int read_missed(const struct tracer *t, uint64_t *missed)
{
	char *events = read_tracefs(t, "kprobe_events", NULL), *profile = NULL;
	int ret = -1;

	if (events)
		profile = read_tracefs(t, "kprobe_profile", NULL);
	if (profile) {
		errno = EAGAIN;
		ret = missed_sum(events, profile, t->group, missed);
	}
	free(profile);
	free(events);
	return ret;
}

int tracer_missed(const struct tracer *t, uint64_t *missed)
{
	int tries = 3, ret;

	do
		ret = read_missed(t, missed);
	while (ret && errno == EAGAIN && --tries);
	return ret;
}

/* Whether the CPU is in a list such as "0-3,6"; a list that cannot be read holds all. */
static bool in_cpu_list(const char *list, unsigned cpu)
{
	unsigned long from, to;
	const char *p = list;
	char *end;

	if (!list)
		return true;
	while (isdigit((unsigned char)*p)) {
		from = to = strtoul(p, &end, 10);
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (cpu >= from && cpu <= to)
			return true;
		p = *end == ',' ? end + 1 : "";
	}
	return false;
}

static int compare_cpus(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static unsigned *list_cpus(DIR *dir, const char *online, size_t *n)
{
	unsigned *cpus = calloc(1, sizeof(*cpus)), *grown, cpu;
	struct dirent *d;
	char rest;

	*n = 0;
	while (cpus && (d = readdir(dir))) {
		if (sscanf(d->d_name, "cpu%u%c", &cpu, &rest) != 1 || !in_cpu_list(online, cpu))
			continue;
		grown = realloc(cpus, (*n + 1) * sizeof(*cpus));
		if (!grown)
			free(cpus);
		cpus = grown;
		if (cpus)
			cpus[(*n)++] = cpu;
	}
	if (cpus)
		qsort(cpus, *n, sizeof(*cpus), compare_cpus);
	return cpus;
}

unsigned *tracer_cpus(const struct tracer *t, size_t *n, struct error *e)
{
	char path[PATH_MAX], *online = NULL;
	unsigned *cpus;
	DIR *dir;

	if (path_print(path, "%s/sys/devices/system/cpu/online", t->opt.root))
		return NULL;
	/* There is a directory for each CPU that could ever be; the buffers of those never online cannot be read. */
	online = read_file(path, NULL);
	dir = path_print(path, "%s/per_cpu", t->dir) ? NULL : opendir(path);
	if (!dir) {
		error_errno(e, "%s/per_cpu", t->dir);
		free(online);
		return NULL;
	}
	cpus = list_cpus(dir, online, n);
	if (!cpus)
		error_set(e, "out of memory");
	closedir(dir);
	free(online);
	return cpus;
}

char *tracer_header_page(const struct tracer *t, size_t *len, struct error *e)
{
	char *text = read_tracefs(t, "events/header_page", len);

	if (!text)
		error_errno(e, "%s/events/header_page", t->opt.tracefs);
	return text;
}

char *tracer_format(const struct tracer *t, size_t event, size_t *len, struct error *e)
{
	const struct armed_event *a = event < t->nevents ? &t->event[event] : NULL;
	char path[PATH_MAX], *text;

	if (!a || a->alt < 0) {
		error_set(e, "event %zu is not armed", event);
		return NULL;
	}
	if (path_print(path, "events/%s/%s/format", a->system, name_in_system(t, a)))
		return NULL;
	text = read_tracefs(t, path, len);
	if (!text)
		error_errno(e, "%s/%s", t->opt.tracefs, path);
	return text;
}

/* --- the end */

void tracer_forget(struct tracer *t)
{
	size_t i;

	unlock(t);
	for (i = 0; i < t->nevents; i++) {
		free(t->event[i].name);
		free(t->event[i].system);
		free(t->event[i].line);
		free(t->event[i].lost);
		free(t->event[i].refused);
	}
	free(t->event);
	for (i = 0; i < t->nsettings; i++) {
		free(t->setting[i].name);
		free(t->setting[i].text);
	}
	free(t->setting);
	free(t->group);
	free(t->dir);
	free((void *)(uintptr_t)t->opt.instance);
	free((void *)(uintptr_t)t->opt.tracefs);
	free((void *)(uintptr_t)t->opt.root);
	free((void *)(uintptr_t)t->opt.rung);
	memset(t, 0, sizeof(*t));
	t->lock = -1;
}

void tracer_close(struct tracer *t)
{
	struct error e = {{0}};
	unsigned removed = 0;

	/* A zeroed struct has the lock 0, but nothing made. */
	if (t->instance_made && t->lock >= 0 && take_away(t, &removed, &e))
		log_warning("%s", e.text);
	if (t->dir)
		tracer_forget(t);
}
