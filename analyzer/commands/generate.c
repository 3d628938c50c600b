/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush generate: a made-up trace (generator.h) as JSON Lines or, if the name of the output ends in ".db", into an
 * ioflush database. The output is complete or not there at all.
 */
#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/generator/generator.h"
#include "analyzer/replay/progress.h"
#include "base/number.h"
#include "base/text.h"
#include "trace/formats/jsonl.h"
#include "trace/source.h"
#include "trace/store/store.h"

#define BATCH_EVENTS 512

/* The command line, as it is before the shape is known, which gives the defaults. */
struct arguments {
	const char *shape, *output;
	bool no_teardown;
	const char *number[32]; /* by row of the table of options */
};

/* Where the events go: one of the two. */
struct output {
	const char *path;
	struct jsonl_writer *jsonl;
	struct store *store;
	uint64_t capture, events;
};

static bool is_database(const char *path)
{
	size_t len = strlen(path);

	return len > 3 && !strcmp(path + len - 3, ".db");
}

static int output_open(struct output *out, const struct capture *c, struct error *e)
{
	if (!is_database(out->path))
		return jsonl_writer_open(&out->jsonl, out->path, e) || jsonl_write_capture(out->jsonl, c, e) ? -1 : 0;
	if (store_open(&out->store, out->path, 0, e) || store_begin(out->store, e))
		return -1;
	return store_capture_begin(out->store, c, &out->capture, e);
}

static int output_events(struct output *out, const struct event *ev, size_t n, const struct intern *s, struct error *e)
{
	out->events += n;
	if (out->store)
		return store_append(out->store, ev, n, s, e);
	return jsonl_write_events(out->jsonl, ev, n, s, e);
}

/* ok: keep what was written; otherwise remove all of it. */
static int output_close(struct output *out, bool ok, struct error *e)
{
	int ret = ok ? 0 : -1;

	if (out->store) {
		if (ok)
			ret = store_capture_end(out->store, "complete", "", e) || store_commit(out->store, e) ? -1 : 0;
		store_discard(out->store); /* rolls back what is not committed */
	}
	if (out->jsonl && jsonl_writer_close(out->jsonl, ok, e))
		ret = -1;
	return ret;
}

static int copy_events(struct source *s, struct output *out, struct progress *p, struct error *e)
{
	struct event batch[BATCH_EVENTS];
	ssize_t n;

	while ((n = source_read(s, batch, BATCH_EVENTS, e)) > 0) {
		if (output_events(out, batch, (size_t)n, s->strings, e))
			return -1;
		if (progress_due(p, (uint64_t)n))
			progress_show(p, source_progress(s));
	}
	return (int)n;
}

static int generate(const struct command *cmd, const struct generate_options *o, const char *path)
{
	struct output out = {.path = path};
	struct source *s = NULL;
	struct progress p;
	struct capture c = {0};
	struct error e = {0};
	int ret = -1;

	progress_begin(&p, "generate");
	if (generate_open(&s, o, &e) || source_capture(s, &c, &e) < 0)
		goto out;
	ret = output_open(&out, &c, &e);
	if (!ret)
		ret = copy_events(s, &out, &p, &e);
	ret = output_close(&out, !ret, &e);
out:
	progress_end(&p);
	source_close(s);
	if (!ret && strcmp(path, "-"))
		printf("%s: %s events%s\n", path, text_thousands(out.events),
		       is_database(path) ? ", added as a capture" : "");
	return cli_end(cmd, ret, &e);
}

/* A number's offset in struct generate_options, and its range. generate_open() checks ranges that depend on others. */
#define WIDE(field, min, max) take_wide, offsetof(struct generate_options, field), NULL, min, max /* uint64_t */
#define NARROW(field, from, to) \
	.take = take_narrow, .offset = offsetof(struct generate_options, field), .min = from, .max = to

#define CLI_OPTIONS struct arguments

static cli_take take_wide, take_narrow;

static const struct cli_option options[] = {
	{"output", 'o', "FILE",
	 "the file to write: *.db: a database, to which a capture is added; else\n"
	 "JSON Lines; '-' is standard output",
	 TAKE(cli_take_text, output)},
	{"seed", 0, "S", "seed of the random numbers (default 1)", WIDE(seed, 0, UINT64_MAX)},
	{"events", 0, "N", "at least N events, then everything is unmapped and removed (default 10000)",
	 WIDE(events, 1, GENERATE_MAX_EVENTS)},
	{"shape", 0, "SHAPE", "one of the shapes above (default mixed)", TAKE(cli_take_text, shape),
	 .choices = "vmboot churn mixed"},
	{"no-teardown", 0, NULL, "stop without unmapping and removing what exists", TAKE(cli_take_flag, no_teardown)},
	{"live", 0, "N",
	 "most areas that exist at one time; does not grow with --events (default:\n"
	 "vmboot 24 besides the RAM, churn 64, mixed 48)",
	 NARROW(live, 1, GENERATE_MAX_LIVE)},
	CLI_HELP,
	{.help = "To stress one thing (defaults depend on the shape; shares are in thousandths):"},
	{"iopts", 0, "N", "iopts, 1 to 64", NARROW(iopts, 1, 64)},
	{"run-order", 0, "N", "runs of up to 2^N pages, N to 18", NARROW(run_order, 0, 18)},
	{"domains", 0, "N", "in one iopt, 1 to 16", NARROW(domains, 1, 16)},
	{"area-pages", 0, "N", "most pages of an area", WIDE(area_pages, 1, 1 << 24)},
	{"accesses", 0, "N", "held at once, to 64", NARROW(accesses, 0, 64)},
	{"memory-pages", 0, "N", "user memory (vmboot: RAM)", WIDE(memory_pages, 1, 1 << 28)},
	{"fail", 0, "N", "fills that fail", NARROW(fail, 0, 999)},
	{"offset", 0, "N", "areas that start inside a page", NARROW(offset, 0, 1000)},
	{"coherent", 0, "N", "coherent domains", NARROW(coherent, 0, 1000)},
	{"share", 0, "N", "iopt_pages over memory that has one", NARROW(share, 0, 1000)},
	{"unknown", 0, "N", "unknown coherency", NARROW(unknown, 0, 1000)},
	{0},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]) - 1)

_Static_assert(OPTIONS <= sizeof(((struct arguments *)0)->number) / sizeof(char *), "a text for each number");

/* Only kept here: the value is checked when the defaults are known. */
static int take_wide(const struct command *cmd, const struct cli_option *o, const char *text, void *arguments)
{
	(void)cmd;
	((struct arguments *)arguments)->number[o - options] = text;
	return STATUS_OK;
}

static int take_narrow(const struct command *cmd, const struct cli_option *o, const char *text, void *arguments)
{
	return take_wide(cmd, o, text, arguments);
}

static int set_number(const struct command *cmd, struct generate_options *g, const struct cli_option *o, const char *text)
{
	uint64_t v;

	if (parse_u64(text, o->min, o->max, &v))
		return cli_usage_error(cmd, "--%s '%s': it takes a whole number from %llu to %llu", o->name, text,
				       (unsigned long long)o->min, (unsigned long long)o->max);
	if (o->take == take_wide)
		*(uint64_t *)cli_place(o, g) = v;
	else
		*(uint32_t *)cli_place(o, g) = (uint32_t)v;
	return STATUS_OK;
}

static int find_shape(const struct command *cmd, const char *name, enum generate_shape *shape)
{
	for (unsigned i = 0; i < GENERATE_SHAPES; i++)
		if (!strcmp(name, generate_shape_names[i])) {
			*shape = (enum generate_shape)i;
			return STATUS_OK;
		}
	return cli_usage_error(cmd, "unknown shape '%s'; known shapes: vmboot, churn, mixed", name);
}

static int apply(const struct command *cmd, const struct arguments *a)
{
	enum generate_shape shape = GENERATE_MIXED;
	struct generate_options g;
	int ret = a->shape ? find_shape(cmd, a->shape, &shape) : STATUS_OK;

	if (ret)
		return ret;
	generate_defaults(&g, shape, 1, 10000);
	g.no_teardown = a->no_teardown;
	for (size_t i = 0; i < OPTIONS; i++) {
		ret = a->number[i] ? set_number(cmd, &g, &options[i], a->number[i]) : STATUS_OK;
		if (ret)
			return ret;
	}
	if (shape == GENERATE_VMBOOT && g.iopts != 1)
		return cli_usage_error(cmd, "--iopts: the shape vmboot has one iopt");
	return generate(cmd, &g, a->output);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct arguments a = {0};
	int status = cli_options(cmd, argc, argv, &a);

	if (status >= 0)
		return status;
	if (optind < argc)
		return cli_usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	if (!a.output)
		return cli_usage_error(cmd, "no output given: -o FILE says where to ('-': standard output)");
	return apply(cmd, &a);
}

const struct command cmd_generate = {
	.name = "generate",
	.summary = "make a valid trace of any size",
	.synopsis = "[--seed S] [--events N] [--shape vmboot|churn|mixed] [OPTION]... -o FILE",
	.about = "Makes a trace that the kernel could have given. The same options give the same bytes. Shapes:\n"
		 "  vmboot   VMs boot one after the other: gigabytes in large runs, then small maps and unmaps\n"
		 "  churn    many small maps, unmaps, copies, attaches and detaches\n"
		 "  mixed    everything: failures, accesses, cuts, offsets, shared memory, unknown coherency\n",
	.options = options,
	.column = 21,
	.run = run,
};
