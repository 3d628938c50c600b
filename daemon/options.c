/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options: read at the start, and again at SIGHUP. Some take effect at once (reloads()); a change of any other is
 * logged, and needs a restart.
 */
#include "daemon/impl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#ifndef IOFLUSH_PKGDATADIR
#define IOFLUSH_PKGDATADIR "/usr/share/ioflush"
#endif
#ifndef IOFLUSH_BINDIR
#define IOFLUSH_BINDIR "/usr/bin"
#endif

static int set_path(char **option, struct error *e, const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return error_errno(e, "options");
	free(*option);
	*option = path;
	return 0;
}

/* In a build tree IOFLUSH_DATA is the folder that holds probes/. */
static int resolve_probes(struct config *c, struct error *e)
{
	const char *data = getenv("IOFLUSH_DATA");

	if (strcmp(c->probes, "auto"))
		return 0;
	return set_path(&c->probes, e, data && *data ? data : IOFLUSH_PKGDATADIR, "probes/auto.probes");
}

/* ioflush is beside this program (in a build tree, and some installations), or where make install puts it. */
static int resolve_replay_program(struct config *c, struct error *e)
{
	char self[PATH_MAX], *slash;
	ssize_t len;

	if (*c->replay_program)
		return 0;
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			if (set_path(&c->replay_program, e, self, "ioflush"))
				return -1;
			if (!access(c->replay_program, X_OK))
				return 0;
		}
	}
	return set_path(&c->replay_program, e, IOFLUSH_BINDIR, "ioflush");
}

int options_read(struct config *c, int argc, char **argv, struct error *e)
{
	int rc = config_defaults(c, e);

	if (!rc)
		rc = config_args(c, argc, argv, e);
	if (!rc)
		rc = config_check(c, e);
	if (!rc)
		rc = resolve_probes(c, e);
	if (!rc)
		rc = resolve_replay_program(c, e);
	return rc;
}

void options_open_log(const struct config *c)
{
	enum log_level level = LOG_L_INFO;

	log_level_parse(c->log_level, &level);
	log_init(level, !c->foreground && getenv("JOURNAL_STREAM"));
}

/* --- reload */

static bool reloads(const char *key)
{
	static const char *const live[] = {"log_level",	 "drain_interval", "batch_rows", "batch_time",
					   "durability", "retain_age",	   "retain_size"};

	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (!strcmp(key, live[i]))
			return true;
	return false;
}

static bool differs_str(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool differs_u64(uint64_t a, uint64_t b)
{
	return a != b;
}

#define differs_STR differs_str
#define differs_U64 differs_u64
#define differs_MS differs_u64
#define differs_BOOL differs_u64

/* The key as users write it, with dashes. */
static void say_change(const char *key)
{
	char name[CONFIG_NAME_MAX];

	config_name(key, name);
	if (reloads(key))
		log_notice("reload: %s has changed", name);
	else
		log_warning("reload: %s has changed; it takes effect when ioflushd is restarted", name);
}

/* Logs what changed, and which changes need a restart. */
static void say_changes(const struct config *old, const struct config *new)
{
	unsigned changes = 0;

#define OPTION(type, key, def, ph, doc)           \
	if (differs_##type(old->key, new->key)) { \
		changes++;                        \
		say_change(#key);                 \
	}
#include "schema/options.def"
#undef OPTION
	if (!changes)
		log_notice("reload: no option has changed");
}

static void swap_texts(char **a, char **b)
{
	char *text = *a;

	*a = *b;
	*b = text;
}

/* Moves the options that may change at once from one to the other; texts, too. */
static void take_live(struct config *to, struct config *from)
{
	swap_texts(&to->log_level, &from->log_level);
	swap_texts(&to->durability, &from->durability);
	to->drain_interval = from->drain_interval;
	to->batch_rows = from->batch_rows;
	to->batch_time = from->batch_time;
	to->retain_age = from->retain_age;
	to->retain_size = from->retain_size;
}

void options_reload(void *ctx)
{
	struct ioflushd *d = ctx;
	struct config new = {0};
	struct error e = {0};

	notify_reloading();
	if (options_read(&new, d->argc, d->argv, &e)) {
		log_error("reload: %s; all options stay as they were", e.text);
	} else {
		say_changes(&d->config, &new);
		take_live(&d->config, &new);
		atomic_store(&d->drain_interval, d->config.drain_interval);
		options_open_log(&d->config);
		writer_reload(d->writer, &d->config);
		if (loop_set_interval(d->loop, d->config.drain_interval, &e))
			log_error("reload: %s", e.text);
	}
	config_free(&new);
	notify_ready();
}
