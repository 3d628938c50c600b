/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush import: traces of any form into a database; each capture of each source becomes one capture. A source is one
 * transaction: all of it is stored or nothing. A new database file that got nothing is removed again. So what is in a
 * database is complete, or says that it is a part.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/progress.h"
#include "base/text.h"
#include "trace/formats/open.h"
#include "trace/source.h"
#include "trace/store/store.h"

#define BATCH_EVENTS 1024

struct options {
	const char *db;
	bool allow_partial;
};

/* A stored capture, to be reported once the transaction is committed. */
struct imported {
	uint64_t id, events, moved;
	bool partial;
};

struct import {
	const struct command *cmd;
	struct store *store;
	struct source *source;
	struct progress progress;
	struct event *batch;
	bool allow_partial;
	struct imported *done; /* of this source */
	size_t ndone;
	struct error broken; /* why the input broke off, with allow_partial */
};

static int remember(struct import *im, uint64_t id, uint64_t events, bool partial, struct error *e)
{
	struct imported *done = realloc(im->done, (im->ndone + 1) * sizeof(*done));
	struct dropped dropped;

	if (!done)
		return error_set(e, "out of memory");
	source_dropped(im->source, &dropped);
	done[im->ndone++] = (struct imported){.id = id, .events = events, .moved = dropped.moved, .partial = partial};
	im->done = done;
	return 0;
}

/* The events of the current capture. im->broken.text: the input broke off, which is allowed. */
static int import_events(struct import *im, uint64_t *events, struct error *e)
{
	struct source *s = im->source;
	ssize_t n;

	*events = 0;
	while ((n = source_read(s, im->batch, BATCH_EVENTS, &im->broken)) > 0) {
		if (store_append(im->store, im->batch, (size_t)n, s->strings, e))
			return -1;
		*events += (uint64_t)n;
		if (progress_due(&im->progress, (uint64_t)n))
			progress_show(&im->progress, source_progress(s));
	}
	if (n < 0 && !im->allow_partial)
		return error_set(e, "%s; --allow-partial stores what is there, marked as a part", im->broken.text);
	return 0;
}

/* The state of the copy: a part stays a part; a capture still being recorded is cut off where it is now. */
static int end_capture(struct import *im, const struct capture *c, struct error *e)
{
	struct dropped dropped;

	source_dropped(im->source, &dropped);
	if (store_capture_dropped(im->store, &dropped, e))
		return -1;
	if (im->broken.text[0])
		return store_capture_end(im->store, "partial", im->broken.text, e);
	if (!strcmp(c->state, "recording"))
		return store_capture_end(im->store, "cut-off", "imported while it was being recorded", e);
	if (!strcmp(c->state, "partial") || !strcmp(c->state, "cut-off"))
		return store_capture_end(im->store, c->state, c->note, e);
	return store_capture_end(im->store, "complete", c->note, e);
}

static int import_captures(struct import *im, struct error *e)
{
	struct capture c = {0};
	uint64_t id, events;
	int ret;

	while ((ret = source_capture(im->source, &c, e)) > 0) {
		if (store_capture_begin(im->store, &c, &id, e) || import_events(im, &events, e) ||
		    end_capture(im, &c, e) ||
		    remember(im, id, events, im->broken.text[0] || !strcmp(c.state, "partial"), e))
			return -1;
		/* a source that failed gives nothing more */
		if (im->broken.text[0])
			return 0;
	}
	if (!ret && !im->ndone)
		return error_set(e, "%s: it has no capture", im->source->path);
	return ret;
}

static void tell(const struct import *im, const char *path)
{
	char text[128];

	for (size_t i = 0; i < im->ndone; i++) {
		printf("capture %llu: %s event%s from %s%s\n", (unsigned long long)im->done[i].id,
		       text_thousands(im->done[i].events), text_s(im->done[i].events), path,
		       im->done[i].partial ? ", PARTIAL" : "");
		if (im->done[i].moved)
			printf("  %s\n", text_moved(text, sizeof(text), im->done[i].moved));
	}
	if (im->broken.text[0])
		cli_message(im->cmd, "stored as a part: %s", im->broken.text);
}

/* One source, one transaction. */
static int import_source(struct import *im, const char *path, struct error *e)
{
	int ret = -1;

	im->ndone = 0;
	im->broken.text[0] = '\0';
	if (strcmp(path, "-") && store_is_file(im->store, path))
		return error_set(e, "%s: cannot be imported into itself", path);
	progress_begin(&im->progress, path);
	if (source_open(&im->source, path, e) || store_begin(im->store, e))
		goto out;
	ret = import_captures(im, e);
	if (ret)
		store_rollback(im->store);
	else
		ret = store_commit(im->store, e);
out:
	progress_end(&im->progress);
	source_close(im->source);
	im->source = NULL;
	if (!ret)
		tell(im, path);
	return ret;
}

static int run_import(const struct command *cmd, const struct options *o, char **paths, size_t n)
{
	struct import im = {.cmd = cmd, .allow_partial = o->allow_partial};
	struct error e = {0};
	size_t i = 0;
	int ret;

	im.batch = malloc(BATCH_EVENTS * sizeof(*im.batch));
	ret = im.batch ? store_open(&im.store, o->db, 0, &e) : error_set(&e, "out of memory");
	for (; i < n && !ret; i++)
		ret = import_source(&im, paths[i], &e);
	if (ret)
		cli_message(cmd, "%s", e.text);
	if (ret && i > 1)
		cli_message(cmd, "%s holds the %zu source%s before it, and nothing of this one", o->db, i - 1,
			    i > 2 ? "s" : "");
	store_discard(im.store);
	free(im.batch);
	free(im.done);
	return ret ? STATUS_ERROR : cli_flush(cmd);
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"output", 'o', "DB", "the database", TAKE(cli_take_text, db)},
	{"allow-partial", 0, NULL, "accept an incomplete or damaged trace: store what can be read, marked as partial",
	 TAKE(cli_take_flag, allow_partial)},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {0};
	int status = cli_options(cmd, argc, argv, &o);

	if (status >= 0)
		return status;
	if (!o.db)
		return cli_usage_error(cmd, "no database given: -o DB says where to");
	if (optind == argc)
		return cli_usage_error(cmd, "no trace given");
	if (cli_traces(cmd, argv + optind, (size_t)(argc - optind)))
		return STATUS_USAGE;
	return run_import(cmd, &o, argv + optind, (size_t)(argc - optind));
}

const struct command cmd_import = {
	.name = "import",
	.summary = "store traces in a database",
	.synopsis = "TRACE... -o DB [--allow-partial]",
	.about = "Stores the captures of traces of any form in an ioflush database. If the database does not exist, it\n"
		 "is made. Each trace is stored completely or, on an error, not at all.\n",
	.options = options,
	.column = 20,
	.run = run,
};
