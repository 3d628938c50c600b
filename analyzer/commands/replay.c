/*
 * ioflush replay: the traces through all the policies in one pass, and the report. What the options ask is gathered in
 * struct options before anything is read; gaps and losses are judged after the report was printed, so that a failing
 * check always comes with its evidence.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/policies/set.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/report.h"
#include "base/text.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV };

struct options {
	const char *policy[MODEL_MAX_POLICIES]; /* lists, as given; none: all */
	const char *plugin[MODEL_MAX_POLICIES]; /* specs, as given */
	size_t npolicy, nplugin;
	enum format format;
	uint64_t cycles_per_page, cpu_mhz;
	bool cpu_mhz_given;
	bool fail_on[GAPS];
	bool fail_on_loss, fail_on_uncertain, allow_partial;
	uint64_t capture, to;
	bool until;
	struct file_id file;
	struct budget memory;
};

enum {
	OPT_POLICY = 256,
	OPT_PLUGIN,
	OPT_FORMAT,
	OPT_CYCLES,
	OPT_MHZ,
	OPT_FAIL,
	OPT_LOSS,
	OPT_UNCERTAIN,
	OPT_PARTIAL,
	OPT_CAPTURE,
	OPT_TO,
	OPT_INODE,
	OPT_MEMORY
};

static const struct option long_options[] = {
	{"policy", required_argument, NULL, OPT_POLICY},
	{"plugin", required_argument, NULL, OPT_PLUGIN},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"cycles-per-page", required_argument, NULL, OPT_CYCLES},
	{"cpu-mhz", required_argument, NULL, OPT_MHZ},
	{"fail-on", required_argument, NULL, OPT_FAIL},
	{"fail-on-loss", no_argument, NULL, OPT_LOSS},
	{"fail-on-uncertain", no_argument, NULL, OPT_UNCERTAIN},
	{"allow-partial", no_argument, NULL, OPT_PARTIAL},
	{"capture", required_argument, NULL, OPT_CAPTURE},
	{"to", required_argument, NULL, OPT_TO},
	{"inode", required_argument, NULL, OPT_INODE},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* One word of --fail-on. Severities are thresholds: warning means warnings and errors. */
static int add_fail_on(bool *fail_on, const char *word, struct error *e)
{
	bool warning = !strcmp(word, "warning");
	bool known = warning || !strcmp(word, "error");

	for (int i = 0; i < GAPS; i++) {
		if (warning || (known && gap_is_error[i]))
			fail_on[i] = true;
		if (!strcmp(word, gap_names[i]))
			fail_on[i] = known = true;
	}
	if (!known)
		return error_set(e, "unknown --fail-on '%s'; known: error, warning, %s, %s, %s, %s", word,
				 gap_names[GAP_LEAK], gap_names[GAP_REEXPOSE], gap_names[GAP_RELEASE],
				 gap_names[GAP_ACCESS]);
	return 0;
}

static int parse_fail_on(bool *fail_on, const char *list, struct error *e)
{
	char *copy = strdup(list);
	char *next;
	int ret = 0;

	if (!copy)
		return error_set(e, "out of memory");
	for (char *word = copy; word && !ret; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = '\0';
		ret = add_fail_on(fail_on, word, e);
	}
	free(copy);
	return ret;
}

static int parse_format(enum format *format, const char *text, struct error *e)
{
	if (!strcmp(text, "text"))
		*format = FORMAT_TEXT;
	else if (!strcmp(text, "json"))
		*format = FORMAT_JSON;
	else if (!strcmp(text, "csv"))
		*format = FORMAT_CSV;
	else
		return error_set(e, "unknown --format '%s'; known formats: text, json, csv", text);
	return 0;
}

static int parse_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out, struct error *e)
{
	if (parse_u64(text, min, max, out))
		return error_set(e, "%s '%s' is not a whole number from %llu to %llu", option, text,
				 (unsigned long long)min, (unsigned long long)max);
	return 0;
}

static int add_spec(const char **spec, size_t *n, struct error *e)
{
	if (*n == MODEL_MAX_POLICIES)
		return error_set(e, "more than %d policies at once", MODEL_MAX_POLICIES);
	spec[(*n)++] = optarg;
	return 0;
}

/* One option; c is what getopt_long() gave and is none of 'h', '?' and ':'. */
static int take_option(struct options *o, int c, struct error *e)
{
	switch (c) {
	case OPT_POLICY:
		return add_spec(o->policy, &o->npolicy, e);
	case OPT_PLUGIN:
		return add_spec(o->plugin, &o->nplugin, e);
	case OPT_FORMAT:
		return parse_format(&o->format, optarg, e);
	case OPT_CYCLES:
		return parse_number("--cycles-per-page", optarg, 0, REPORT_MAX_CYCLES, &o->cycles_per_page, e);
	case OPT_MHZ:
		o->cpu_mhz_given = true;
		return parse_number("--cpu-mhz", optarg, 1, REPORT_MAX_MHZ, &o->cpu_mhz, e);
	case OPT_FAIL:
		return parse_fail_on(o->fail_on, optarg, e);
	case OPT_LOSS:
		o->fail_on_loss = true;
		return 0;
	case OPT_UNCERTAIN:
		o->fail_on_uncertain = true;
		return 0;
	case OPT_PARTIAL:
		o->allow_partial = true;
		return 0;
	case OPT_TO:
		o->until = true;
		return parse_number("--to", optarg, 0, UINT64_MAX, &o->to, e);
	default: /* OPT_CAPTURE */
		return parse_number("--capture", optarg, 1, UINT64_MAX, &o->capture, e);
	}
}

/* The policies in the order of their options, built-in ones before plugins. */
static int make_set(struct policy_set *set, const struct options *o, struct error *e)
{
	if (!o->npolicy && policy_set_add(set, "all", e))
		return -1;
	for (size_t i = 0; i < o->npolicy; i++) {
		if (policy_set_add(set, o->policy[i], e))
			return -1;
	}
	for (size_t i = 0; i < o->nplugin; i++) {
		if (policy_set_add_plugin(set, o->plugin[i], e))
			return -1;
	}
	return 0;
}

struct gathering {
	struct report *report;
	struct error first;    /* why the first capture that is left out is */
	struct error left_out; /* why that cannot even be said */
	bool until;
	struct error *e;
};

static int end_capture(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct gathering *g = ctx;
	struct dropped dropped;

	source_dropped(s, &dropped);
	/* where events are left out, the source was read beyond them, and how far is chance */
	return report_add(g->report, c, m, partial, g->until && partial ? NULL : &dropped, g->e);
}

/* What cannot be read whole does not keep the other captures from being reported on. */
static void leave_out(void *ctx, const struct source *s, const struct capture *c, const struct error *why)
{
	struct gathering *g = ctx;
	struct error what = {0};

	(void)s;
	error_set(&what, "capture %" PRIu64 " is left out: %s", c->id, why->text);
	error_set(&g->first, "%s", why->text);
	report_leave_out(g->report, what.text, &g->left_out);
}

static int replay_traces(struct options *o, const struct policy_set *set, struct report *report, char **paths, size_t n,
			 struct error *e)
{
	struct gathering gathering = {.report = report, .until = o->until, .e = e};
	struct replay replay = {
		.set = set,
		.memory = &o->memory,
		.allow_partial = o->allow_partial,
		.capture = o->capture,
		.until = o->until,
		.to = o->to,
		.file = o->file,
		.left_out = leave_out,
		.end = end_capture,
		.ctx = &gathering,
	};

	for (size_t i = 0; i < n; i++) {
		replay.progress = paths[i];
		if (replay_run(&replay, paths[i], e))
			return -1;
		if (gathering.left_out.text[0])
			return error_set(e, "%s", gathering.left_out.text);
	}
	/* nothing to report on: it is the error */
	return report->n ? 0 : error_set(e, "%s", gathering.first.text);
}

static int print_report(const struct report *report, enum format format, struct error *e)
{
	if (format == FORMAT_JSON)
		return report_json(report, stdout, e);
	if (format == FORMAT_CSV)
		report_csv(report, stdout);
	else
		report_text(report, stdout);
	return 0;
}

/* Whether a policy's gaps of a kind fail the check. Those that are uncertain do only if asked, but are said. */
static bool judge_gap(const struct command *cmd, const struct options *o, const char *policy,
		      const struct policy_counts *c, int kind)
{
	uint64_t certain = c->gaps[kind] - c->uncertain[kind], uncertain = c->uncertain[kind];

	if (certain)
		cli_message(cmd, "--fail-on: %s has %s gaps of %s page%s", policy, gap_names[kind],
			    text_thousands(certain), text_s(certain));
	if (uncertain)
		cli_message(cmd, "--fail-on: %s has uncertain %s gaps of %s page%s: a recording began in mid-life%s",
			    policy, gap_names[kind], text_thousands(uncertain), text_s(uncertain),
			    o->fail_on_uncertain ? "" : "; not counted without --fail-on-uncertain");
	return certain || (uncertain && o->fail_on_uncertain);
}

static bool asks_for_gaps(const struct options *o)
{
	for (int kind = 0; kind < GAPS; kind++)
		if (o->fail_on[kind])
			return true;
	return false;
}

/*
 * What captures that are left out, --fail-on and --fail-on-loss make of the report, said on standard error. An error
 * counts before a gap, and that before a loss.
 */
static int judge(const struct command *cmd, const struct options *o, const struct report *report)
{
	int status = STATUS_OK;

	for (size_t i = 0; i < report->nleft_out; i++) {
		cli_message(cmd, "%s", report->left_out[i]);
		status = STATUS_ERROR;
	}
	if (asks_for_gaps(o) && report_unjudged(report)) {
		cli_message(cmd,
			    "--fail-on: no policy can be judged: events that all need were not recorded, see health");
		status = STATUS_ERROR;
	}
	for (size_t i = 0; i < report->set->n; i++) {
		const char *policy = report->set->policy[i]->ops->name;

		for (int kind = 0; kind < GAPS; kind++) {
			if (o->fail_on[kind] && judge_gap(cmd, o, policy, &report->counts[i], kind))
				status = status ? status : STATUS_GAP;
		}
	}
	if (o->fail_on_loss && report_lost(report)) {
		cli_message(cmd, "--fail-on-loss: records were lost");
		status = status ? status : STATUS_LOSS;
	}
	return status;
}

/* All but the options: the policies are made, the traces replayed, the report printed and judged. */
static int run_options(const struct command *cmd, struct options *o, char **paths, size_t n)
{
	struct policy_set set = {0};
	struct report report = {0};
	struct error e = {0};
	int status;

	if (make_set(&set, o, &e)) {
		status = cli_usage_error(cmd, "%s", e.text);
		goto out;
	}
	status = STATUS_ERROR;
	if (report_init(&report, &set, &e))
		goto error;
	report.budget = &o->memory;
	report.cycles_per_page = o->cycles_per_page;
	report.cpu_mhz = o->cpu_mhz;
	report.cpu_mhz_given = o->cpu_mhz_given;
	if (replay_traces(o, &set, &report, paths, n, &e) || print_report(&report, o->format, &e))
		goto error;
	status = cli_flush(cmd);
	if (status == STATUS_OK)
		status = judge(cmd, o, &report);
	goto out;
error:
	cli_message(cmd, "%s", e.text);
out:
	report_clear(&report);
	policy_set_clear(&set);
	return status;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {.cycles_per_page = REPORT_CYCLES_PER_PAGE, .cpu_mhz = REPORT_CPU_MHZ};
	struct error e = {0};
	int c;

	cli_default_memory(&o.memory);
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (c == 'h')
			return cli_help(cmd);
		if (c == '?' || c == ':')
			return cli_bad_option(cmd, c, argv);
		if (c == OPT_INODE && cli_inode(cmd, optarg, &o.file))
			return STATUS_USAGE;
		if (c == OPT_MEMORY && cli_memory(cmd, optarg, &o.memory))
			return STATUS_USAGE;
		if (c != OPT_INODE && c != OPT_MEMORY && take_option(&o, c, &e))
			return cli_usage_error(cmd, "%s", e.text);
	}
	if (optind == argc)
		return cli_usage_error(cmd, "no trace given");
	if (cli_traces(cmd, argv + optind, (size_t)(argc - optind)))
		return STATUS_USAGE;
	return run_options(cmd, &o, argv + optind, (size_t)(argc - optind));
}

const struct command cmd_replay = {
	.name = "replay",
	.summary = "replay traces under every flush policy and report cost and gaps",
	.usage = "[OPTION]... TRACE...\n"
		 "\n"
		 "Replays the traces through all the policies in one pass and reports what each one flushes, what\n"
		 "that costs and which pages it leaves exposed.\n"
		 "\n"
		 "  --policy LIST        policies, comma-separated, each NAME[:KEY=VALUE]..., or all (default);\n"
		 "                       'ioflush policies' lists them\n"
		 "  --plugin PATH[:KEY=VALUE]...\n"
		 "                       add the policy of a shared object\n"
		 "  --format FORMAT      text (default), json or csv\n"
		 "  --cycles-per-page N  what flushing 4 KiB costs (default 588; 'ioflush calibrate' measures it)\n"
		 "  --cpu-mhz N          the CPU's clock, for milliseconds (default 4494, where 588 was measured)\n"
		 "  --fail-on WHAT       exit with status 3 if a policy has such a gap: error (leak, release),\n"
		 "                       warning (any gap), or kinds: leak,reexpose,release,access\n"
		 "  --fail-on-uncertain  with --fail-on: gaps count too that are uncertain because the recording\n"
		 "                       began in mid-life\n"
		 "  --fail-on-loss       exit with status 5 if the trace says that records were lost\n"
		 "  --allow-partial      report on input that breaks off, as far as it goes, and say so\n"
		 "  --capture N          only this capture of a database\n"
		 "  --to T               only events up to this time (ns of the trace clock); the report says so\n"
		 "  --inode DEV:INO      refuse a trace unless it is this file: device and inode, as stat(1) %d:%i has\n"
		 "                       them; for a program that runs ioflush on a file that it has open\n"
		 "  --memory SIZE        what the model may take (" CLI_MEMORY_DEFAULT ")\n"
		 "  -h, --help           this help\n",
	.run = run,
};
