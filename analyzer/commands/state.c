/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioflush state: what exists at a time. No policy runs: only the model is fed, up to the time asked for. */
#include <getopt.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/policies/set.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/state.h"
#include "base/number.h"

struct options {
	struct budget memory;
	uint64_t capture, at;
	bool until, json, areas, allow_partial;
	struct file_id file;
};

struct gathering {
	const struct options *o;
	struct state *state;
	struct error *e;
};

static int end_capture(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct gathering *g = ctx;

	return state_add(g->state, c, m, s->strings, g->o->areas, partial, g->e);
}

static int gather(struct options *o, const char *path, struct state *state, struct error *e)
{
	/* does nothing, but the model keeps devices only if there is an observer */
	static const struct model_observer watch;
	const struct policy_set none = {0};
	struct gathering g = {.o = o, .state = state, .e = e};
	const struct replay replay = {
		.set = &none,
		.obs = &watch,
		.memory = &o->memory,
		.allow_partial = o->allow_partial,
		.capture = o->capture,
		.until = o->until,
		.to = o->at,
		.file = o->file,
		.progress = path,
		.end = end_capture,
		.ctx = &g,
	};

	return replay_run(&replay, path, e);
}

static int run_options(const struct command *cmd, struct options *o, const char *path)
{
	struct state state = {.budget = &o->memory};
	struct error e = {0};
	int err = gather(o, path, &state, &e), status;

	if (!err && o->json)
		err = state_json(&state, stdout, &e);
	else if (!err)
		state_text(&state, stdout);
	status = cli_end(cmd, err, &e);
	state_clear(&state);
	return status;
}

static int take_at(const struct command *cmd, const struct cli_option *opt, const char *text, void *options)
{
	struct options *o = options;

	(void)opt;
	if (parse_u64(text, 0, UINT64_MAX, &o->at))
		return cli_usage_error(cmd, "--at '%s': it takes a time in nanoseconds", text);
	o->until = true;
	return STATUS_OK;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"capture", 0, "N", CLI_CAPTURE_HELP, TAKE(cli_take_capture, capture)},
	{"at", 0, "T", "show the state at this time (ns of the trace clock; default: the end)", .take = take_at},
	{"areas", 0, NULL, "list the areas, too", TAKE(cli_take_flag, areas)},
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"allow-partial", 0, NULL, CLI_PARTIAL_HELP, TAKE(cli_take_flag, allow_partial)},
	{"inode", 0, "D:I", CLI_INODE_HELP, TAKE(cli_take_inode, file)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {0};
	int status;

	cli_default_memory(&o.memory);
	status = cli_options(cmd, argc, argv, &o);
	if (status >= 0)
		return status;
	if (argc - optind != 1)
		return cli_usage_error(cmd, argc == optind ? "no trace given" : "more than one trace given");
	return run_options(cmd, &o, argv[optind]);
}

const struct command cmd_state = {
	.name = "state",
	.summary = "show what exists at a time: iopts, domains, areas, mapped and exposed pages",
	.synopsis = "TRACE [OPTION]...",
	.about = "Shows what exists at the end of each capture, or at a given time: the iopts and their domains; for\n"
		 "each domain whether it is coherent, its device, and how many pages are mapped and exposed.\n",
	.options = options,
	.column = 19,
	.run = run,
};
