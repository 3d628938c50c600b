/*
 * ioflush generate: a made-up trace (generator.h) as JSON Lines or, when the name of the output ends in ".db", into an
 * ioflush database. The output is whole or it is not there.
 */
#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/generator/generator.h"
#include "analyzer/replay/progress.h"
#include "base/text.h"
#include "trace/formats/jsonl.h"
#include "trace/source.h"
#include "trace/store/store.h"

#define BATCH_EVENTS 512

/* The options that are one number: where it goes, and its range. Ranges that depend on others generate_open() checks. */
struct number {
	const char *name;
	size_t offset;
	bool wide; /* uint64_t, else uint32_t */
	uint64_t min, max;
};

#define WIDE(name, field, min, max)                                            \
	{                                                                      \
		name, offsetof(struct generate_options, field), true, min, max \
	}
#define NARROW(name, field, min, max)                                           \
	{                                                                       \
		name, offsetof(struct generate_options, field), false, min, max \
	}

static const struct number numbers[] = {
	WIDE("seed", seed, 0, UINT64_MAX),
	WIDE("events", events, 1, GENERATE_MAX_EVENTS),
	NARROW("live", live, 1, GENERATE_MAX_LIVE),
	NARROW("iopts", iopts, 1, 64),
	NARROW("domains", domains, 1, 16),
	NARROW("accesses", accesses, 0, 64),
	NARROW("run-order", run_order, 0, 18),
	WIDE("area-pages", area_pages, 1, 1 << 24),
	WIDE("memory-pages", memory_pages, 1, 1 << 28),
	NARROW("fail", fail, 0, 999),
	NARROW("coherent", coherent, 0, 1000),
	NARROW("unknown", unknown, 0, 1000),
	NARROW("offset", offset, 0, 1000),
	NARROW("share", share, 0, 1000),
};

#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

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

/* ok: all went well, keep what was written; else nothing of it stays. */
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
	if (ret) {
		cli_message(cmd, "%s", e.text);
		return STATUS_ERROR;
	}
	if (!strcmp(path, "-"))
		return cli_flush(cmd);
	printf("%s: %s events%s\n", path, text_thousands(out.events), is_database(path) ? ", added as a capture" : "");
	return cli_flush(cmd);
}

static int set_number(const struct command *cmd, struct generate_options *o, const struct number *num, const char *text)
{
	char *field = (char *)o + num->offset;
	uint64_t v;

	if (parse_u64(text, num->min, num->max, &v))
		return cli_usage_error(cmd, "--%s %s: it takes a whole number, %llu to %llu", num->name, text,
				       (unsigned long long)num->min, (unsigned long long)num->max);
	if (num->wide)
		*(uint64_t *)(void *)field = v;
	else
		*(uint32_t *)(void *)field = (uint32_t)v;
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

/* What the command line says, before the shape is known, which gives the defaults. */
struct arguments {
	const char *number[NUMBERS], *shape, *output;
	bool no_teardown;
};

static int apply(const struct command *cmd, const struct arguments *a)
{
	enum generate_shape shape = GENERATE_MIXED;
	struct generate_options o;
	int ret = a->shape ? find_shape(cmd, a->shape, &shape) : STATUS_OK;

	if (ret)
		return ret;
	generate_defaults(&o, shape, 1, 10000);
	o.no_teardown = a->no_teardown;
	for (size_t i = 0; i < NUMBERS; i++) {
		ret = a->number[i] ? set_number(cmd, &o, &numbers[i], a->number[i]) : STATUS_OK;
		if (ret)
			return ret;
	}
	if (shape == GENERATE_VMBOOT && o.iopts != 1)
		return cli_usage_error(cmd, "--iopts: the shape vmboot has one iopt");
	return generate(cmd, &o, a->output);
}

enum { OPT_SHAPE = 1000, OPT_NO_TEARDOWN, OPT_NUMBER };

static void long_options(struct option *options)
{
	static const struct option others[] = {
		{"shape", required_argument, NULL, OPT_SHAPE},
		{"output", required_argument, NULL, 'o'},
		{"no-teardown", no_argument, NULL, OPT_NO_TEARDOWN},
		{"help", no_argument, NULL, 'h'},
		{0},
	};

	for (size_t i = 0; i < NUMBERS; i++)
		options[i] = (struct option){numbers[i].name, required_argument, NULL, OPT_NUMBER + (int)i};
	memcpy(options + NUMBERS, others, sizeof(others));
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct option options[NUMBERS + 5];
	struct arguments a = {0};
	int c;

	long_options(options);
	while ((c = getopt_long(argc, argv, ":o:h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_help(cmd);
		else if (c == 'o')
			a.output = optarg;
		else if (c == OPT_SHAPE)
			a.shape = optarg;
		else if (c == OPT_NO_TEARDOWN)
			a.no_teardown = true;
		else if (c >= OPT_NUMBER)
			a.number[c - OPT_NUMBER] = optarg;
		else
			return cli_bad_option(cmd, c, argv);
	}
	if (optind < argc)
		return cli_usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	if (!a.output)
		return cli_usage_error(cmd, "no output given: -o FILE says where to ('-': standard output)");
	return apply(cmd, &a);
}

const struct command cmd_generate = {
	.name = "generate",
	.summary = "make a valid trace of any size",
	.usage = "[--seed S] [--events N] [--shape vmboot|churn|mixed] [OPTION]... -o FILE\n"
		 "\n"
		 "Makes a trace as the kernel would have given it; the same options give the same bytes. Shapes:\n"
		 "  vmboot   VMs boot one after the other: gigabytes in large runs, then small windows come and go\n"
		 "  churn    many small maps, unmaps, copies, attaches and detaches\n"
		 "  mixed    everything: failures, accesses, cuts, offsets, shared memory, unknown coherency\n"
		 "\n"
		 "  -o, --output FILE  '-': standard output; *.db: a database, to which a capture is added;\n"
		 "                     else JSON Lines\n"
		 "  --seed S           another seed, another trace (default 1)\n"
		 "  --events N         at least N events, then all is unmapped and removed (default 10000)\n"
		 "  --shape SHAPE      default mixed\n"
		 "  --no-teardown      stop without unmapping and removing what is there\n"
		 "  --live N           most live areas; what is alive does not grow with --events (default\n"
		 "                     vmboot 24 beside the RAM, churn 64, mixed 48)\n"
		 "  -h, --help         this help\n"
		 "\n"
		 "To stress one thing (defaults depend on the shape; shares are in thousandths):\n"
		 "  --iopts N          page tables, to 64      --run-order N      runs to 2^N pages, to 18\n"
		 "  --domains N        in one iopt, to 16      --area-pages N     most pages of an area\n"
		 "  --accesses N       held at once, to 64     --memory-pages N   user memory (vmboot: the RAM)\n"
		 "  --fail N           fills that fail         --offset N         areas that start inside a page\n"
		 "  --coherent N       coherent domains        --share N          memory under two pages objects\n"
		 "  --unknown N        unknown coherency\n",
	.run = run,
};
