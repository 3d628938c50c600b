/*
 * ioflush calibrate: what flushing a page costs here (calibrate.h), as a table and as the option values to use, with
 * what may be wrong with the figures said beside them.
 */
#include <getopt.h>
#include <jansson.h>
#include <string.h>

#include "analyzer/calibrate/calibrate.h"
#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
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

static json_t *figures_json(const struct calibrate_figures *f)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "min", (json_int_t)f->min, "q1", (json_int_t)f->q1, "median",
			 (json_int_t)f->median, "q3", (json_int_t)f->q3, "max", (json_int_t)f->max, "noisy",
			 (int)calibrate_noisy(f));
}

/* {instruction: {"dirty": figures, "clean": figures}, or null} */
static json_t *instructions_json(const struct calibrate_result *r)
{
	json_t *all = json_object(), *one;

	for (unsigned i = 0; i < FLUSH_INSTRUCTIONS; i++) {
		one = r->present[i] ? json_pack("{s:o, s:o}", line_state_names[LINES_DIRTY],
						figures_json(&r->pages[i][LINES_DIRTY]), line_state_names[LINES_CLEAN],
						figures_json(&r->pages[i][LINES_CLEAN])) :
				      json_null();
		json_object_set_new(all, flush_instruction_names[i], one);
	}
	return all;
}

static json_t *notes_json(const struct calibrate_result *r)
{
	struct notes n = notes(r);
	json_t *all = json_array();

	for (size_t i = 0; i < n.n; i++)
		json_array_append_new(all, json_string(n.text[i]));
	return all;
}

static json_t *cpu_json(const struct calibrate_result *r)
{
	return json_pack("{s:i, s:s, s:i, s:b, s:b}", "number", r->cpu, "model", r->model, "line_bytes",
			 (int)r->line_bytes, "hypervisor", (int)r->hypervisor, "tsc_invariant", (int)r->tsc_invariant);
}

static json_t *use_json(const struct calibrate_result *r)
{
	return json_pack("{s:s, s:I, s:I}", "instruction", flush_instruction_names[r->use], "cycles_per_page",
			 (json_int_t)calibrate_cycles_per_page(r), "cpu_mhz", (json_int_t)calibrate_mhz(r));
}

static int print_json(const struct calibrate_result *r)
{
	json_t *root = json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "cpu", cpu_json(r), "tsc_khz",
				 (json_int_t)r->tsc_khz, "samples", (json_int_t)r->samples, "overhead_ticks",
				 (json_int_t)r->overhead, "page_ticks", instructions_json(r), "use", use_json(r),
				 "notes", notes_json(r));
	int ret = root ? json_dumpf(root, stdout, JSON_INDENT(1)) : -1;

	putchar('\n');
	json_decref(root);
	return ret;
}

static int calibrate(const struct command *cmd, const struct calibrate_options *o, bool json)
{
	struct calibrate_result r;
	struct error e = {0};

	if (calibrate_run(&r, o, &e)) {
		cli_message(cmd, "%s", e.text);
		return STATUS_ERROR;
	}
	if (!json)
		print_text(&r);
	else if (print_json(&r)) {
		cli_message(cmd, "out of memory, or standard output cannot be written to");
		return STATUS_ERROR;
	}
	return cli_flush(cmd);
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
		return cli_usage_error(cmd, "--cpu %s: it takes the number of a CPU", text);
	o->calibrate.cpu = (int)v;
	return STATUS_OK;
}

static int take_rounds(const struct command *cmd, const struct cli_option *opt, const char *text, void *options)
{
	struct options *o = options;
	uint64_t v;

	(void)opt;
	if (parse_u64(text, 1, CALIBRATE_MAX_ROUNDS, &v))
		return cli_usage_error(cmd, "--rounds %s: it takes a whole number, 1 to %d", text, CALIBRATE_MAX_ROUNDS);
	o->calibrate.rounds = (uint32_t)v;
	return STATUS_OK;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"cpu", 0, "N", "measure on CPU N (default: the one that it runs on)", .take = take_cpu},
	{"rounds", 0, "N", "rounds of 64 pages for each figure (default 200)", .take = take_rounds},
	{"format", 0, "text|json", "text (default) or JSON", TAKE(cli_take_format, json), .choices = "text json"},
	CLI_HELP('h', "this help"),
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
	.about = "Measures what flushing the cache of a 4 KiB page costs on this CPU, with each instruction that it has,\n"
		 "for lines that were written and lines that were only read, and prints the values of --cycles-per-page\n"
		 "and --cpu-mhz for ioflush replay. Cycles are ticks of the time stamp counter. The machine should be\n"
		 "idle meanwhile: about a second.\n",
	.options = options,
	.column = 22,
	.run = run,
};
