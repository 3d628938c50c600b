/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush calibrate: what flushing a page costs here (calibrate.h), as a table and as the option values to use, with
 * warnings about what may be wrong with the figures.
 */
#include <getopt.h>

#include "analyzer/calibrate/calibrate.h"
#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "base/json.h"
#include "base/number.h"
#include "base/text.h"

#define DEFAULT_ROUNDS 200

/* What a reader should know about the figures. */
struct notes {
	const char *text[4];
	size_t n;
};

static bool any_noisy(const struct calibrate_result *r)
{
	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++)
		for (unsigned s = 0; s < LINE_STATES; s++)
			if (r->present[i] && calibrate_noisy(&r->pages[i][s]))
				return true;
	return false;
}

static struct notes notes(const struct calibrate_result *r)
{
	struct notes n = {.n = 0};

	if (r->hypervisor)
		n.text[n.n++] = "this is a virtual machine: other guests share the caches and memory, and the time stamp "
				"counter may be scaled; bare metal can differ";
	if (!r->tsc_invariant)
		n.text[n.n++] =
			"the CPU does not say that its time stamp counter runs at one rate; milliseconds may be off";
	if (any_noisy(r))
		n.text[n.n++] =
			"noisy: the middle half of the samples spreads over more than a quarter of the median where "
			"marked; repeat on an idle machine, or with more --rounds";
	return n;
}

static void print_row(const char *ins, const char *state, const struct calibrate_figures *f)
{
	printf("%-10s  %-5s  %9s  %9s  %9s  %9s  %11s%s\n", ins, state, text_thousands(f->min), text_thousands(f->q1),
	       text_thousands(f->median), text_thousands(f->q3), text_thousands(f->max),
	       calibrate_noisy(f) ? "  noisy" : "");
}

static void print_text(const struct calibrate_result *r)
{
	struct notes n = notes(r);

	printf("cpu %d: %s, cache lines of %u bytes, time stamp counter (TSC) at %llu.%03llu MHz\n", r->cpu,
	       r->model[0] ? r->model : "unknown model", r->line_bytes, (unsigned long long)r->tsc_khz / 1000,
	       (unsigned long long)r->tsc_khz % 1000);
	printf("TSC ticks to flush a 4 KiB page, %s samples each:\n\n", text_thousands(r->samples));
	printf("%-10s  %-5s  %9s  %9s  %9s  %9s  %11s\n", "", "lines", "min", "quarter", "median", "3/4", "max");
	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++) {
		if (!r->present[i])
			printf("%-10s  not on this CPU\n", flush_instruction_names[i]);
		for (unsigned s = 0; r->present[i] && s < LINE_STATES; s++)
			print_row(flush_instruction_names[i], line_state_names[s], &r->pages[i][s]);
	}
	putchar('\n');
	for (size_t i = 0; i < n.n; i++)
		printf("note: %s\n", n.text[i]);
	printf("For ioflush replay (cycles are TSC ticks; %s of dirty lines, as the kernel would):\n",
	       flush_instruction_names[r->use]);
	printf("  --cycles-per-page %llu --cpu-mhz %llu\n", (unsigned long long)calibrate_cycles_per_page(r),
	       (unsigned long long)calibrate_mhz(r));
}

static void put_figures(struct json *into, const char *key, const struct calibrate_figures *f)
{
	struct json *obj = json_put_object(into, key);

	json_put_u64(obj, "min", f->min);
	json_put_u64(obj, "q1", f->q1);
	json_put_u64(obj, "median", f->median);
	json_put_u64(obj, "q3", f->q3);
	json_put_u64(obj, "max", f->max);
	json_put_bool(obj, "noisy", calibrate_noisy(f));
}

/* {instruction: {"dirty": figures, "clean": figures}, or null} */
static void put_instructions(struct json *into, const struct calibrate_result *r)
{
	struct json *all = json_put_object(into, "page_ticks"), *one;

	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++) {
		if (!r->present[i]) {
			json_put_null(all, flush_instruction_names[i]);
			continue;
		}
		one = json_put_object(all, flush_instruction_names[i]);
		put_figures(one, line_state_names[LINES_DIRTY], &r->pages[i][LINES_DIRTY]);
		put_figures(one, line_state_names[LINES_CLEAN], &r->pages[i][LINES_CLEAN]);
	}
}

static void put_notes(struct json *into, const struct calibrate_result *r)
{
	struct json *all = json_put_array(into, "notes");
	struct notes n = notes(r);

	for (size_t i = 0; i < n.n; i++)
		json_put_text(all, NULL, n.text[i]);
}

static void put_cpu(struct json *into, const struct calibrate_result *r)
{
	struct json *obj = json_put_object(into, "cpu");

	json_put_i64(obj, "number", r->cpu);
	json_put_text(obj, "model", r->model);
	json_put_u64(obj, "line_bytes", r->line_bytes);
	json_put_bool(obj, "hypervisor", r->hypervisor);
	json_put_bool(obj, "tsc_invariant", r->tsc_invariant);
}

static void put_use(struct json *into, const struct calibrate_result *r)
{
	struct json *obj = json_put_object(into, "use");

	json_put_text(obj, "instruction", flush_instruction_names[r->use]);
	json_put_u64(obj, "cycles_per_page", calibrate_cycles_per_page(r));
	json_put_u64(obj, "cpu_mhz", calibrate_mhz(r));
}

static int print_json(const struct calibrate_result *r)
{
	struct json *root = json_new_object();

	put_cpu(root, r);
	json_put_u64(root, "tsc_khz", r->tsc_khz);
	json_put_u64(root, "samples", r->samples);
	json_put_u64(root, "overhead_ticks", r->overhead);
	put_instructions(root, r);
	put_use(root, r);
	put_notes(root, r);
	return json_print(stdout, root, 1);
}

static int calibrate(const struct command *cmd, const struct calibrate_options *o, bool json)
{
	struct calibrate_result r;
	struct error e = {0};
	int err = calibrate_run(&r, o, &e);

	if (!err && !json)
		print_text(&r);
	else if (!err && print_json(&r))
		err = error_set(&e, "out of memory");
	return cli_end(cmd, err, &e);
}

struct options {
	struct calibrate_options calibrate;
	bool json;
};

static int take_cpu(const struct command *cmd, const struct cli_option *opt, const char *text, void *options)
{
	struct options *o = options;
	uint64_t v;

	(void)opt;
	if (parse_u64(text, 0, INT32_MAX, &v))
		return cli_usage_error(cmd, "--cpu '%s': it takes the number of a CPU", text);
	o->calibrate.cpu = (int)v;
	return STATUS_OK;
}

static int take_rounds(const struct command *cmd, const struct cli_option *opt, const char *text, void *options)
{
	struct options *o = options;
	uint64_t v;

	(void)opt;
	if (parse_u64(text, 1, CALIBRATE_MAX_ROUNDS, &v))
		return cli_usage_error(cmd, "--rounds '%s': it takes a whole number from 1 to %d", text,
				       CALIBRATE_MAX_ROUNDS);
	o->calibrate.rounds = (uint32_t)v;
	return STATUS_OK;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"cpu", 0, "N", "measure on CPU N (default: the CPU that it runs on)", .take = take_cpu},
	{"rounds", 0, "N", "rounds of 64 pages for each figure (default 200)", .take = take_rounds},
	{"format", 0, "text|json", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {.calibrate = {.cpu = -1, .rounds = DEFAULT_ROUNDS}};
	int status = cli_options(cmd, argc, argv, &o);

	if (status >= 0)
		return status;
	if (optind < argc)
		return cli_usage_error(cmd, "unexpected argument '%s'", argv[optind]);
	return calibrate(cmd, &o.calibrate, o.json);
}

const struct command cmd_calibrate = {
	.name = "calibrate",
	.summary = "measure what flushing a page costs on this CPU",
	.synopsis = "[--cpu N] [--rounds N] [--format text|json]",
	.about = "Measures what flushing the cache of a 4 KiB page costs on this CPU, with each instruction that it\n"
		 "has, for lines that were written and lines that were only read. Prints the values for\n"
		 "--cycles-per-page and --cpu-mhz of ioflush replay. Cycles are ticks of the time stamp counter. The\n"
		 "machine should be idle while this runs, which takes about a second.\n",
	.options = options,
	.column = 22,
	.run = run,
};
