/*
 * ioflush state: what exists at a time. No policy runs: the model alone is fed, up to the time asked for.
 */
#include <getopt.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/policies/set.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/state.h"

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
	/* an observer that observes nothing: devices are kept only for one that does */
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
	int status = STATUS_ERROR, err;

	err = gather(o, path, &state, &e);
	if (!err && o->json)
		err = state_json(&state, stdout, &e);
	else if (!err)
		state_text(&state, stdout);
	if (err)
		cli_message(cmd, "%s", e.text);
	else
		status = cli_flush(cmd);
	state_clear(&state);
	return status;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	static const struct option options[] = {
		{"capture", required_argument, NULL, 'c'},
		{"at", required_argument, NULL, 't'},
		{"areas", no_argument, NULL, 'a'},
		{"format", required_argument, NULL, 'f'},
		{"allow-partial", no_argument, NULL, 'p'},
		{"inode", required_argument, NULL, 'i'},
		{"memory", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {0};
	int c;

	cli_default_memory(&o.memory);
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			if (cli_capture(cmd, optarg, &o.capture))
				return STATUS_USAGE;
			break;
		case 't':
			if (parse_u64(optarg, 0, UINT64_MAX, &o.at))
				return cli_usage_error(cmd, "--at: a time in nanoseconds, not '%s'", optarg);
			o.until = true;
			break;
		case 'a':
			o.areas = true;
			break;
		case 'f':
			if (cli_format(cmd, optarg, &o.json))
				return STATUS_USAGE;
			break;
		case 'p':
			o.allow_partial = true;
			break;
		case 'i':
			if (cli_inode(cmd, optarg, &o.file))
				return STATUS_USAGE;
			break;
		case 'm':
			if (cli_memory(cmd, optarg, &o.memory))
				return STATUS_USAGE;
			break;
		case 'h':
			return cli_help(cmd);
		default:
			return cli_bad_option(cmd, c, argv);
		}
	}
	if (argc - optind != 1)
		return cli_usage_error(cmd, "one TRACE, not %d", argc - optind);
	return run_options(cmd, &o, argv[optind]);
}

const struct command cmd_state = {
	.name = "state",
	.summary = "what exists at a time: iopts, domains, areas, mapped and exposed pages",
	.usage = "TRACE [OPTION]...\n"
		 "\n"
		 "Says what exists at the end of each capture, or at a time: the iopts with their domains, whether\n"
		 "each domain is coherent, its device, and how many pages are mapped and exposed.\n"
		 "\n"
		 "  --capture N     only this capture of a database\n"
		 "  --at T          at this time (ns of the trace clock): after the last event up to it\n"
		 "  --areas         list the areas too\n"
		 "  --format F      text (default) or json\n"
		 "  --allow-partial take input that breaks off as far as it can be read, and say so\n"
		 "  --inode D:I     refuse TRACE unless it is this file: device and inode, as stat(1) %d:%i has them\n"
		 "  --memory SIZE   what the model may take (" CLI_MEMORY_DEFAULT ")\n"
		 "  -h, --help      this help\n",
	.run = run,
};
