/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush export: any trace as JSON Lines. A regular file is written beside its target and renamed once it is on the
 * disk. So a failed export leaves the old file or none, never half of a file that looks complete. Anything else (a
 * pipe, a device) is written directly, like standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/progress.h"
#include "base/number.h"
#include "trace/formats/jsonl.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/store.h"

#define BATCH_EVENTS 1024

struct export
{
	struct source *source;
	struct jsonl_writer *writer;
	struct progress progress;
	struct event *batch;
	uint64_t capture; /* only this one; 0: all */
	uint64_t found;
	uint64_t moved; /* events that got a later time (struct dropped) */
};

static int export_events(struct export *x, struct error *e)
{
	ssize_t n;

	while ((n = source_read(x->source, x->batch, BATCH_EVENTS, e)) > 0) {
		if (jsonl_write_events(x->writer, x->batch, (size_t)n, x->source->strings, e))
			return -1;
		if (progress_due(&x->progress, (uint64_t)n))
			progress_show(&x->progress, source_progress(x->source));
	}
	return n < 0 ? -1 : 0;
}

static int export_captures(struct export *x, struct error *e)
{
	struct capture c = {0};
	struct dropped dropped;
	int ret;

	while ((ret = source_capture(x->source, &c, e)) > 0) {
		if (x->capture && c.id != x->capture)
			continue;
		if (jsonl_write_capture(x->writer, &c, e) || export_events(x, e))
			return -1;
		source_dropped(x->source, &dropped);
		x->moved += dropped.moved;
		x->found++;
	}
	if (ret || x->found)
		return ret;
	if (x->capture)
		return error_set(e, "%s: it has no capture %llu", x->source->path, (unsigned long long)x->capture);
	return error_set(e, "%s: it has no capture", x->source->path);
}

/* Writes an open source to a file. The writer removes what it could not finish. */
static int export_to(struct export *x, const char *path, struct error *e)
{
	int ret;

	if (jsonl_writer_open(&x->writer, path, e))
		return -1;
	ret = export_captures(x, e);
	if (jsonl_writer_close(x->writer, !ret, e))
		ret = -1;
	x->writer = NULL;
	return ret;
}

/* The path with its links resolved; the path itself if there is no such file. The caller frees it. */
static char *real_target(const char *path, struct error *e)
{
	char *target = realpath(path, NULL);

	if (!target)
		target = strdup(path);
	if (!target)
		error_set(e, "out of memory");
	return target;
}

/* Makes a new empty file beside target, as private as the database. The caller frees its name. */
static char *make_beside(const char *target, struct error *e)
{
	mode_t mask = umask(0);
	char *name = NULL;
	int fd;

	umask(mask);
	if (asprintf(&name, "%s.XXXXXX", target) < 0) {
		error_set(e, "out of memory");
		return NULL;
	}
	fd = mkstemp(name);
	if (fd < 0) {
		error_errno(e, "cannot create %s", target);
		free(name);
		return NULL;
	}
	/* a file system without modes is no reason to fail */
	(void)fchmod(fd, STORE_MODE & ~mask);
	close(fd);
	return name;
}

/* Waits until a file, or the names in a folder, are on the disk. what is for the message. */
static int sync_path(const char *path, int flags, const char *what, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags), ret = 0;

	if (fd < 0 && flags & O_DIRECTORY && errno == EACCES) { /* it may be written, but not listed */
		sync();
		return 0;
	}
	if (fd < 0)
		return error_errno(e, "cannot open %s, to %s", path, what);
	/* a file system that cannot do it for a folder says EINVAL */
	if (fsync(fd) && errno != EINVAL)
		ret = error_errno(e, "cannot %s %s", what, path);
	close(fd);
	return ret;
}

static int sync_folder(const char *target, struct error *e)
{
	char *copy = strdup(target);
	int ret = copy ? sync_path(dirname(copy), O_DIRECTORY, "sync the folder", e) : error_set(e, "out of memory");

	free(copy);
	return ret;
}

/*
 * Renames the new file once it is on the disk, so a machine that stops leaves the old file or the new one. 1: it was
 * renamed, but the name may not be on the disk.
 */
static int put_in_place(const char *name, const char *target, struct error *e)
{
	if (sync_path(name, 0, "sync", e))
		return -1;
	if (rename(name, target))
		return error_errno(e, "cannot rename %s to %s", name, target);
	return sync_folder(target, e) ? 1 : 0;
}

static int export_beside(struct export *x, const char *path, struct error *e)
{
	char *target = real_target(path, e);
	char *name = target ? make_beside(target, e) : NULL;
	int ret = -1;

	if (!name)
		goto out;
	ret = export_to(x, name, e);
	if (!ret)
		ret = put_in_place(name, target, e);
	/* the writer has removed it, unless it is complete and could not be renamed */
	if (ret < 0)
		unlink(name);
out:
	free(name);
	free(target);
	return ret;
}

/* Whether the source is the regular file at path: the export would replace it by its own copy. */
static bool is_source(const struct export *x, const char *path)
{
	struct file_id there;
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;
	there = file_id_of(&st);
	return same_file(&x->source->file, &there);
}

static int export_path(struct export *x, const char *path, struct error *e)
{
	struct stat st;

	if (strcmp(path, "-") && is_source(x, path))
		return error_set(e, "%s: cannot be exported into itself; give another -o", path);

	if (!strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return export_to(x, path, e);
	return export_beside(x, path, e);
}

static int run_export(const struct command *cmd, const char *from, const char *to, uint64_t capture)
{
	struct export x = {.capture = capture};
	struct error e = {0};
	int err = -1, status;
	char text[128];

	progress_begin(&x.progress, from);
	x.batch = malloc(BATCH_EVENTS * sizeof(*x.batch));
	if (!x.batch)
		error_set(&e, "out of memory");
	else if (!source_open(&x.source, from, &e) && !export_path(&x, to, &e))
		err = 0;
	progress_end(&x.progress);
	status = cli_end(cmd, err, &e);
	if (!status && x.moved)
		cli_message(cmd, "%s: %s", from, text_moved(text, sizeof(text), x.moved));
	source_close(x.source);
	free(x.batch);
	return status;
}

struct options {
	const char *to;
	uint64_t capture;
};

static int take_capture(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	if (parse_u64(text, 1, UINT64_MAX, cli_place(o, options)))
		return cli_usage_error(cmd, "--capture '%s': it takes the number of a capture", text);
	return STATUS_OK;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"output", 'o', "FILE", "the file to write; '-' is standard output (default)", TAKE(cli_take_text, to)},
	{"capture", 0, "N", CLI_CAPTURE_HELP, TAKE(take_capture, capture)},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {.to = "-"};
	int status = cli_options(cmd, argc, argv, &o);

	if (status >= 0)
		return status;
	if (argc - optind != 1)
		return cli_usage_error(cmd, argc == optind ? "no trace given" : "more than one trace given");
	return run_export(cmd, argv[optind], o.to, o.capture);
}

const struct command cmd_export = {
	.name = "export",
	.summary = "write a trace as JSON Lines",
	.synopsis = "TRACE [-o FILE] [--capture N]",
	.about = "Writes a trace, usually a database, as JSON Lines, the canonical text form: for each capture one\n"
		 "header line, and one line for each event.\n",
	.options = options,
	.column = 21,
	.run = run,
};
