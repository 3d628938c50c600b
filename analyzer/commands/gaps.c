/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush gaps: where one policy is wrong, as findings to act on; gaps_text.c and gaps_json.c print them. Errors and
 * warnings count findings.
 */
#include <getopt.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/gaps.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/findings.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/lacking.h"
#include "base/number.h"
#include "base/text.h"

#define TEXT_LIMIT 20

static int on_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct gaps *a = ctx;

	(void)m;
	findings_begin(a->findings, c->id, s->strings, capture_in_ticks(c));
	return 0;
}

static int on_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	const struct model_totals *t = model_totals(m);
	struct dropped dropped;
	struct judgement j;
	struct gaps *a = ctx;

	source_dropped(s, &dropped);
	j = judge(c, t, &dropped, partial);
	worst_add(&a->worst, &j, t);
	for (size_t i = 0; i < t->losses.n; i++) {
		struct loss l = t->losses.loss[i];

		if (l.cause != TALLY_OTHERS)
			l.cause = findings_string(a->findings, l.cause);
		tally_loss(&a->losses, &l);
	}
	a->lacking |= lacking_needed(lacking_kinds(c->probes, t));
	for (int i = 0; i < HEALTH_COUNT; i++)
		a->health[i] = number_sum(a->health[i], t->health[i]);
	a->events += t->events;
	if (!a->midlife.seq) {
		a->midlife = t->midlife;
		a->midlife_ticks = capture_in_ticks(c);
	}
	findings_end(a->findings, t);
	if (a->captures++)
		a->many_captures = true;
	if (partial) {
		snprintf(a->partial, sizeof(a->partial), "%s", partial);
		text_printable(a->partial);
	}
	return findings_check(a->findings, a->error);
}

static void count_cause(struct summary *s, const struct finding *g)
{
	uint8_t within = g->within.seq ? g->within.kind : EV_NONE;
	struct cause *c = s->cause, *end = c + s->causes;

	while (c < end &&
	       (c->kind != g->kind || c->reason != g->reason || c->event != g->event.kind || c->within != within))
		c++;
	if (c == end) {
		if (s->causes == MAX_CAUSES)
			return;
		*c = (struct cause){.kind = g->kind, .reason = g->reason, .event = g->event.kind, .within = within};
		s->causes++;
	}
	c->findings++;
	c->pages += g->npages;
}

static struct summary summarize(const struct gaps *a)
{
	struct summary s = {.findings = findings_count(a->findings)};

	for (size_t i = 0; i < s.findings; i++) {
		const struct finding *g = findings_get(a->findings, i);

		*(gap_is_error[g->kind] ? &s.errors : &s.warnings) += 1;
		s.pages[g->kind] += g->npages;
		s.unordered[g->kind] += g->unordered_pages;
		s.stale += g->stale_pages;
		s.uncertain += g->uncertain;
		if (g->uncertain)
			s.new_pages[g->kind] += g->new_pages;
		count_cause(&s, g);
		if (a->kinds & 1u << g->kind && s.shown < a->limit)
			s.shown++;
	}
	return s;
}

/* Options */

static int take_kinds(const struct command *cmd, const struct cli_option *o, const char *list, void *options)
{
	struct gaps *a = options;

	a->kinds = 0;
	for (;;) {
		size_t n = strcspn(list, ",");
		int k = 0;

		while (k < GAPS && (strlen(gap_names[k]) != n || strncmp(gap_names[k], list, n)))
			k++;
		if (k == GAPS)
			return cli_usage_error(cmd, "unknown --kind '%.*s'; known kinds: %s", (int)n, list,
					       cli_choices(o));
		a->kinds |= 1u << k;
		if (!list[n])
			return STATUS_OK;
		list += n + 1;
	}
}

/* 0 means no limit. */
static int take_limit(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	uint64_t limit;

	if (parse_u64(text, 0, SIZE_MAX - 1, &limit))
		return cli_usage_error(cmd, "--limit '%s': it takes a number of findings (0: all)", text);
	*(size_t *)cli_place(o, options) = limit ? (size_t)limit : SIZE_MAX;
	return STATUS_OK;
}

static int take_to(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct gaps *a = options;

	(void)o;
	if (parse_u64(text, 0, UINT64_MAX, &a->replay.to))
		return cli_usage_error(cmd, "--to '%s': it takes a time in nanoseconds", text);
	a->replay.until = true;
	return STATUS_OK;
}

#define CLI_OPTIONS struct gaps

static const struct cli_option options[] = {
	{"policy", 0, "P", "the policy, NAME[:key=value]...; see ioflush policies", TAKE(cli_take_policy, set)},
	{"plugin", 0, "SPEC", "the policy of a shared object, PATH[:key=value]..., in place of --policy",
	 TAKE(cli_take_plugin, set)},
	{"kind", 0, "K[,K]...", "show only these gaps: leak, reexpose, release, access", .take = take_kinds,
	 .choices = "leak reexpose release access"},
	{"limit", 0, "N", "show at most N findings, 0: all (default: 20 in text, all in JSON)", TAKE(take_limit, limit)},
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"capture", 0, "N", CLI_CAPTURE_HELP, TAKE(cli_take_capture, replay.capture)},
	{"to", 0, "T", "only events up to this time (ns of the trace clock)", .take = take_to},
	{"inode", 0, "D:I", CLI_INODE_HELP, TAKE(cli_take_inode, replay.file)},
	{"allow-partial", 0, NULL, CLI_PARTIAL_HELP, TAKE(cli_take_flag, replay.allow_partial)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	CLI_HELP,
	{0},
};

static int take_operands(struct gaps *a, int argc, char **argv)
{
	if (argc - optind != 1)
		return cli_usage_error(a->cmd, argc == optind ? "no trace given" : "more than one trace given");
	if (a->set.n != 1)
		return cli_usage_error(a->cmd, "one policy (--policy or --plugin), not %zu: findings are of one policy",
				       a->set.n);
	a->path = argv[optind];
	a->policy = a->set.policy[0]->ops->name;
	if (!a->limit)
		a->limit = a->json ? SIZE_MAX : TEXT_LIMIT;
	return STATUS_OK;
}

static int run(struct gaps *a)
{
	struct summary s;

	a->findings = findings_new(a->set.policy[0], &a->memory);
	if (!a->findings)
		return error_set(a->error, "findings: %s", budget_failure(&a->memory));
	a->replay.set = &a->set;
	a->replay.memory = &a->memory;
	a->replay.obs = findings_observer(a->findings);
	a->replay.progress = "gaps";
	a->replay.begin = on_begin;
	a->replay.end = on_end;
	a->replay.ctx = a;
	if (replay_run(&a->replay, a->path, a->error))
		return -1;
	findings_sort(a->findings);
	s = summarize(a);
	if (a->json)
		return gaps_print_json(a, &s);
	gaps_print_text(a, &s);
	return 0;
}

static int gaps_main(const struct command *cmd, int argc, char **argv)
{
	struct error e = {0};
	struct gaps a = {.cmd = cmd, .error = &e, .kinds = (1u << GAPS) - 1};
	int status;

	cli_default_memory(&a.memory);
	status = cli_options(cmd, argc, argv, &a);
	if (status >= 0)
		goto out;
	status = take_operands(&a, argc, argv);
	if (status)
		goto out;
	status = cli_end(cmd, run(&a), &e);
out:
	findings_free(a.findings);
	policy_set_clear(&a.set);
	return status;
}

const struct command cmd_gaps = {
	.name = "gaps",
	.summary = "show where a policy is wrong: one finding for each cause",
	.synopsis = "TRACE --policy P [OPTION]...",
	.about = "Groups the gaps of one policy into findings: one finding for each cause, errors first. A cause is\n"
		 "one way to be wrong, in one operation, for one device (or domain) of one iopt, whatever pages it\n"
		 "hits.\n"
		 "TRACE: trace.dat, ftrace text, JSON Lines, an ioflush database, or - for standard input.\n",
	.options = options,
	.column = 20,
	.notes = "The SUMMARY line counts all findings, shown or not.\n"
		 "Exit status: 0 done, with findings or without; 1 input or system error; 2 usage.\n",
	.run = gaps_main,
};
