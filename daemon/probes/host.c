/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether this host can record, and why not: checked before arming, and judged again from what was armed. Of several
 * reasons the most general one is reported.
 */
#include "daemon/probes/impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* --- what the host has */

/* The lockdown mode, or NULL if there is none; malloc'ed. */
static char *lockdown_mode(const struct tracer *t)
{
	char path[PATH_MAX], *text, *mode = NULL;

	if (path_print(path, "%s/sys/kernel/security/lockdown", t->opt.root))
		return NULL;
	text = file_read(path, NULL);
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

/* A service may not see /dev/iommu, so the kernel's symbols are read, too; if that fails, iommufd is assumed. */
static bool has_iommufd(const struct tracer *t)
{
	char path[PATH_MAX];

	if (!path_print(path, "%s/dev/iommu", t->opt.root) && !access(path, F_OK))
		return true;
	return path_print(path, "%s/proc/kallsyms", t->opt.root) || has_symbol(path, "iopt_table_add_domain", true);
}

bool host_has_kprobes(const struct tracer *t)
{
	return tracefs_has(t, "kprobe_events");
}

bool host_has_fprobes(const struct tracer *t)
{
	char *readme = tracefs_read(t, "README", NULL);
	bool found = !readme || strstr(readme, "<func-name>[%return]");

	free(readme);
	return found;
}

/* --- what it lacks */

int host_set(enum tracer_host *host, enum tracer_host value)
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
	return host_set(host, TRACER_HOST_LOCKDOWN);
}

int host_no_privilege(const struct tracer *t, const char *what, int errnum, enum tracer_host *host, struct error *e)
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
	return host_set(host, TRACER_HOST_NO_PRIVILEGE);
}

static int check_mounted(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	struct statfs fs;

	if (statfs(t->opt.tracefs, &fs)) {
		if (no_privilege(errno))
			return host_no_privilege(t, t->opt.tracefs, errno, host, e);
		error_set(e, "no tracefs at %s: %s: the kernel needs CONFIG_FTRACE; say another place with --tracefs",
			  t->opt.tracefs, strerror(errno));
		return host_set(host, TRACER_HOST_NO_TRACEFS);
	}
	if (fs.f_type == TRACEFS_MAGIC)
		return 0;
	error_set(e, "tracefs is not mounted at %s: mount -t tracefs nodev %s", t->opt.tracefs, t->opt.tracefs);
	return host_set(host, TRACER_HOST_NO_TRACEFS);
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
		return host_set(host, TRACER_HOST_NO_PROBES);
	}
	if (no_privilege(errno))
		return host_no_privilege(t, path, errno, host, e);
	return error_errno(e, "%s", path);
}

int host_check(const struct tracer *t, enum tracer_host *host, struct error *e)
{
	return check_mounted(t, host, e) || check_dynamic_events(t, host, e) ? -1 : 0;
}

/* --- what the outcome means */

struct outcome {
	bool has_lines; /* the set has probe lines, not only tracepoints */
	size_t probes;	/* armed by a probe line */
	size_t uprobes; /* of these, those that need nothing in the kernel */
	size_t armed;
	char missing[512];   /* names of needed events that are not armed */
	const char *refused; /* the first refusal of those, or of all */
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

/* No probe was taken: reports the most general reason. */
static int judge_none(const struct tracer *t, const struct probe_set *set, const struct outcome *o,
		      enum tracer_host *host, struct error *e)
{
	char *mode = lockdown_mode(t);

	if (mode) {
		host_lockdown(mode, host, e);
		free(mode);
		return -1;
	}
	if (probe_set_needs_kernel(set) && !host_has_kprobes(t) && !host_has_fprobes(t)) {
		error_set(e,
			  "this kernel has neither kprobe nor fprobe events (CONFIG_KPROBE_EVENTS, "
			  "CONFIG_FPROBE_EVENTS), so it takes none of the probes of %s",
			  set->path);
		return host_set(host, TRACER_HOST_NO_PROBES);
	}
	if (probe_set_needs_kernel(set) && !has_iommufd(t))
		return 0;
	error_set(e, "the kernel takes none of the probes of %s; the first: %.*s", set->path,
		  (int)strcspn(o->refused ? o->refused : "?", "\n"), o->refused ? o->refused : "?");
	return host_set(host, TRACER_HOST_NO_PROBES);
}

int host_judge(const struct tracer *t, const struct probe_set *set, enum tracer_host *host, struct error *e)
{
	struct outcome o;

	sum_up(t, set, &o);
	if (((o.has_lines && !o.probes) || !o.armed) && judge_none(t, set, &o, host, e))
		return -1;
	if (!o.uprobes && probe_set_needs_kernel(set) && !has_iommufd(t)) {
		error_set(e, "there is no iommufd in this kernel, so there is nothing to record: load the module (modprobe "
			     "iommufd), or run a kernel that has it (CONFIG_IOMMUFD)");
		return host_set(host, TRACER_HOST_NO_IOMMUFD);
	}
	if (!o.missing[0])
		return 0;
	*host = TRACER_HOST_INCOMPLETE;
	if (strcmp(t->opt.rung, "auto")) {
		error_set(e, "no policy can be judged by a capture of the rung %s: it lacks %s", t->opt.rung, o.missing);
		return 0;
	}
	return error_set(e, "a capture would make no sense: %s is unavailable; the first refusal: %.*s", o.missing,
			 (int)strcspn(o.refused ? o.refused : "?", "\n"), o.refused ? o.refused : "?");
}
