/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush replay: runs the traces through all the policies in one pass, and prints the report. All options are read
 * before any trace. Gaps and losses are judged after the report is printed, so that a failing check always comes with
 * its evidence.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/policies/set.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/report.h"
#include "base/number.h"
#include "base/text.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV };

/* Lists or specs of policies, as given. */
struct specs {
	const char *spec[MODEL_MAX_POLICIES];
	size_t n;
};

struct options {
	struct specs policies, plugins; /* no policies: all */
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

/* One word of --fail-on. Severities are thresholds: warning means warnings and errors. */
static int add_fail_on(const struct command *cmd, const struct cli_option *o, bool *fail_on, const char *word)
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
		return cli_usage_error(cmd, "unknown --fail-on '%s'; known values: %s", word, cli_choices(o));
	return STATUS_OK;
}

static int take_fail_on(const struct command *cmd, const struct cli_option *o, const char *list, void *options)
{
	char *copy = strdup(list);
	int status = STATUS_OK;
	char *next;

	if (!copy)
		return cli_usage_error(cmd, "out of memory");
	for (char *word = copy; word && !status; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = '\0';
		status = add_fail_on(cmd, o, cli_place(o, options), word);
	}
	free(copy);
	return status;
}

static int take_format(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	int choice = cli_choice(o, text);

	if (choice < 0)
		return cli_usage_error(cmd, "unknown --format '%s'; known formats: %s", text, cli_choices(o));
	*(enum format *)cli_place(o, options) = (enum format)choice;
	return STATUS_OK;
}

static int take_number(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	if (parse_u64(text, o->min, o->max, cli_place(o, options)))
		return cli_usage_error(cmd, "--%s '%s': it takes a whole number from %llu to %llu", o->name, text,
				       (unsigned long long)o->min, (unsigned long long)o->max);
	return STATUS_OK;
}

static int take_mhz(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	((struct options *)options)->cpu_mhz_given = true;
	return take_number(cmd, o, text, options);
}

static int take_to(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	((struct options *)options)->until = true;
	return take_number(cmd, o, text, options);
}

/* Policies are made after all options are read. */
static int take_spec(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct specs *specs = cli_place(o, options);

	if (specs->n == MODEL_MAX_POLICIES)
		return cli_usage_error(cmd, "more than %d policies at once", MODEL_MAX_POLICIES);
	specs->spec[specs->n++] = text;
	return STATUS_OK;
}

/* The policies in the order of their options, built-in ones before plugins. */
static int make_set(struct policy_set *set, const struct options *o, struct error *e)
{
	if (!o->policies.n && policy_set_add(set, "all", e))
		return -1;
	for (size_t i = 0; i < o->policies.n; i++) {
		if (policy_set_add(set, o->policies.spec[i], e))
			return -1;
	}
	for (size_t i = 0; i < o->plugins.n; i++) {
		if (policy_set_add_plugin(set, o->plugins.spec[i], e))
			return -1;
	}
	return 0;
}

struct gathering {
	struct report *report;
	struct error first;    /* why the first capture was left out */
	struct error left_out; /* why a capture that was left out could not be reported */
	bool failed;	       /* a capture could not be added to the report: the end */
	bool until;
	struct error *e;
};

static int end_capture(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct gathering *g = ctx;
	struct dropped dropped;

	source_dropped(s, &dropped);
	/* with --to the reader thread is ahead by a random number of events, so the counts would vary */
	g->failed = report_add(g->report, c, m, s->strings, partial, g->until && partial ? NULL : &dropped, g->e);
	return g->failed ? -1 : 0;
}

/* A capture that cannot be read completely is left out; the others are still reported. */
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
		struct error why = {0};

		replay.progress = paths[i];
		if (replay_run(&replay, paths[i], &why)) {
			if (gathering.failed)
				return -1;
			if (n == 1)
				return error_set(e, "%s", why.text);
			report_leave_out(report, why.text, &gathering.left_out);
			error_set(&gathering.first, "%s", why.text);
		}
		if (gathering.left_out.text[0])
			return error_set(e, "%s", gathering.left_out.text);
	}
	/* nothing to report: the first reason is the error */
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

/* Whether a policy's gaps of a kind fail the check. Uncertain gaps fail it only on request, but get a message. */
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
 * The exit status from left-out captures, --fail-on and --fail-on-loss, with messages on standard error. The first of: an
 * error, a gap, no gap but no PASS of verify either, a loss.
 */
static int judge_report(const struct command *cmd, const struct options *o, const struct report *report)
{
	bool gap = false, unjudged = asks_for_gaps(o) && !report_judged(report);
	bool lost = o->fail_on_loss && report_lost(report);
	bool doubt = asks_for_gaps(o) && report->worst.policies != VERDICT_PASS;
	bool none = worst_none_judged(&report->worst); /* what looks like a gap is none then */
	char text[WORST_TEXT];

	for (size_t i = 0; i < report->nleft_out; i++)
		cli_message(cmd, "%s", report->left_out[i]);
	for (size_t i = 0; i < report->set->n; i++) {
		const char *policy = report->set->policy[i]->ops->name;

		for (int kind = 0; kind < GAPS && !none; kind++)
			if (o->fail_on[kind] && judge_gap(cmd, o, policy, &report->counts[i], kind))
				gap = true;
	}
	if (unjudged) {
		worst_cannot_text(&report->worst, text);
		cli_message(cmd, "--fail-on: no policy can be judged: %s", text);
	} else if (doubt && !gap) {
		worst_text(&report->worst, text);
		cli_message(cmd, "--fail-on: no such gap, but that is not proof: verify says %s", text);
	}
	if (lost)
		cli_message(cmd, "--fail-on-loss: records were lost");
	return report->nleft_out ? STATUS_ERROR :
	       gap		 ? STATUS_GAP :
	       unjudged || doubt ? STATUS_INCOMPLETE :
	       lost		 ? STATUS_LOSS :
				   STATUS_OK;
}

/* After the options: makes the policies, replays the traces, prints and judges the report. */
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
		status = judge_report(cmd, o, &report);
	goto out;
error:
	cli_message(cmd, "%s", e.text);
	for (size_t i = 1; !report.n && i < report.nleft_out; i++) /* e is about the first */
		cli_message(cmd, "%s", report.left_out[i]);
out:
	report_clear(&report);
	policy_set_clear(&set);
	return status;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"policy", 0, "LIST",
	 "policies, separated by commas, each NAME[:KEY=VALUE]..., or all (default);\n"
	 "'ioflush policies' lists them",
	 TAKE(take_spec, policies)},
	{"plugin", 0, "PATH[:KEY=VALUE]...", "add the policy of a shared object", TAKE(take_spec, plugins)},
	{"format", 0, "FORMAT", "text (default), json or csv", TAKE(take_format, format), .choices = "text json csv"},
	{"cycles-per-page", 0, "N", "cycles to flush 4 KiB (default 588; 'ioflush calibrate' measures it)",
	 TAKE(take_number, cycles_per_page), .min = 0, .max = REPORT_MAX_CYCLES},
	{"cpu-mhz", 0, "N", "clock of the CPU, for milliseconds (default 4494, where 588 was measured)",
	 TAKE(take_mhz, cpu_mhz), .min = 1, .max = REPORT_MAX_MHZ},
	{"fail-on", 0, "WHAT",
	 "exit with status 3 if a policy has a gap of this kind: error (leak, release),\n"
	 "warning (any gap), or kinds: leak,reexpose,release,access; with 6 if there is\n"
	 "none, but verify does not say PASS",
	 TAKE(take_fail_on, fail_on), .choices = "error warning leak reexpose release access"},
	{"fail-on-uncertain", 0, NULL,
	 "with --fail-on: uncertain gaps count, too (those of a recording that began\n"
	 "in mid-life)",
	 TAKE(cli_take_flag, fail_on_uncertain)},
	{"fail-on-loss", 0, NULL, "exit with status 5 if a trace says that records were lost",
	 TAKE(cli_take_flag, fail_on_loss)},
	{"allow-partial", 0, NULL, CLI_PARTIAL_HELP, TAKE(cli_take_flag, allow_partial)},
	{"capture", 0, "N", CLI_CAPTURE_HELP, TAKE(take_number, capture), .min = 1, .max = UINT64_MAX},
	{"to", 0, "T", "only events up to this time (ns of the trace clock)", TAKE(take_to, to), .min = 0,
	 .max = UINT64_MAX},
	{"inode", 0, "DEV:INO", CLI_INODE_HELP, TAKE(cli_take_inode, file)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {.cycles_per_page = REPORT_CYCLES_PER_PAGE, .cpu_mhz = REPORT_CPU_MHZ};
	int status;

	cli_default_memory(&o.memory);
	status = cli_options(cmd, argc, argv, &o);
	if (status >= 0)
		return status;
	if (optind == argc)
		return cli_usage_error(cmd, "no trace given");
	if (cli_traces(cmd, argv + optind, (size_t)(argc - optind)))
		return STATUS_USAGE;
	return run_options(cmd, &o, argv + optind, (size_t)(argc - optind));
}

const struct command cmd_replay = {
	.name = "replay",
	.summary = "replay traces under every flush policy and report cost and gaps",
	.synopsis = "[OPTION]... TRACE...",
	.about = "Replays the traces through all the policies in one pass. Reports what each one flushes, what that\n"
		 "costs, and which gaps it leaves.\n",
	.options = options,
	.column = 23,
	.notes = "Exit status: 0 done; 1 an input or system error; 2 usage; of --fail-on and --fail-on-loss the first\n"
		 "of: 3 a gap, 6 no gap but no PASS of verify either, 5 a loss.\n",
	.run = run,
};
