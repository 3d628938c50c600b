/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush gaps: where one policy is wrong, as findings one can act on.
 *
 * JSON, stable (members may be added). Ids, addresses and PFNs are "0x..." strings; lo and hi are inclusive; an origin
 * is {"event", "name", "t", "cpu", "tid", "comm"} or null, "event" being its number in the capture, from 1:
 *
 *	{"findings": [{
 *		"kind": "leak|reexpose|release|access", "severity": "error|warning", "what": sentence, "capture": N,
 *		"pages": N, "spans": N, "events": N,		occurrences, as pages, as spans, as violating events
 *		"pfn": {"lo", "hi", "ranges": [{"lo", "hi"}], "more_spans": N}, "iova": the same, in bytes,
 *		"iopt", "domain", "more_domains": bool, "device", "pages_id", "more_pages": N,
 *		"area",						of the first occurrence; N others
 *		"event": origin, "within": origin,		that violates; the fill, unfill or removal around it
 *		"setup": origin and "role": "pinned|bit-set|hidden|exposed",
 *		"history": {"bit_set": origin, "bit_of": "pages|area" or null, "pinned", "exposed", "hidden": origins},
 *		"last": {"event", "t"},
 *		"missing": {"hook": "map|unmap|unpin|access", "where": sentence}, "why": sentence,
 *		"lost_before": N,				lost events before it
 *		"uncertain": bool, "if_new_pages": N		the recording began in mid-life; of the pages, those that
 *								are gaps if their memory was new to iommufd
 *	}], "summary": {"trace", "policy", "findings": N, "shown": N, "not_shown": N, "errors": N, "warnings": N,
 *		"pages": {"leak", "reexpose", "release", "access"},
 *		"uncertain": N, "if_new_pages": {"leak", ...},	uncertain findings; of the pages, as above
 *		"causes": [{"kind", "event": NAME, "within": NAME or null, "cause": words, "findings": N, "pages": N}],
 *		"health": {NAME: N}, "lacking": [NAME]: events that every policy needs and no probe gave,
 *		"midlife": {"event", "name", "t"} or null: of the first capture that began so,
 *		"partial": sentence or null}}
 *
 * errors and warnings count findings. Exit status: 0 with or without findings; replay --fail-on is for scripts.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/findings.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/lacking.h"
#include "base/number.h"
#include "base/text.h"

#define TEXT_LIMIT 20

struct gaps {
	const struct command *cmd;
	const char *path;
	const char *policy;
	struct policy_set set;
	struct findings *findings;
	struct error *error;
	unsigned kinds; /* bits of enum gap_kind to show */
	size_t limit;	/* SIZE_MAX: none; 0: not given */
	bool json;
	bool many_captures;
	struct budget memory;
	struct replay replay;
	uint64_t captures, events;
	uint64_t health[HEALTH_COUNT];
	struct midlife midlife; /* of the first capture that has it */
	uint64_t lacking;	/* events that a capture has no probe for, and no policy can be judged without */
	char partial[TEXT_MAX];
};

#define MAX_CAUSES 64 /* more than there are combinations that can happen */

/* Findings that are alike in all but the objects. */
struct cause {
	enum gap_kind kind;
	enum finding_reason reason;
	uint8_t event, within; /* kinds; EV_NONE: none */
	size_t findings;
	uint64_t pages;
};

/* What the findings come to, shown or not. */
struct summary {
	size_t findings, shown, errors, warnings, uncertain;
	uint64_t pages[GAPS], new_pages[GAPS];
	struct cause cause[MAX_CAUSES]; /* in the order of the findings */
	size_t causes;
};

static int on_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct gaps *a = ctx;

	(void)m;
	findings_begin(a->findings, c->id, s->strings);
	return 0;
}

static int on_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	const struct model_totals *t = model_totals(m);
	struct gaps *a = ctx;

	(void)s;
	a->lacking |= lacking_needed(lacking_kinds(c->probes, t));
	for (int i = 0; i < HEALTH_COUNT; i++)
		a->health[i] += t->health[i];
	a->events += t->events;
	if (!a->midlife.seq)
		a->midlife = t->midlife;
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
		s.uncertain += g->uncertain;
		if (g->uncertain)
			s.new_pages[g->kind] += g->new_pages;
		count_cause(&s, g);
		if (a->kinds & 1u << g->kind && s.shown < a->limit)
			s.shown++;
	}
	return s;
}

/* Text */

static void ranges_text(char *buf, size_t len, const struct finding_ranges *x)
{
	size_t at = 0;

	for (unsigned i = 0; i < x->n && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? ", " : "", text_range(x->r[i].lo, x->r[i].hi));
	if (x->more && at < len)
		snprintf(buf + at, len - at, " and %s more span%s, in all 0x%" PRIx64 " to 0x%" PRIx64,
			 text_thousands(x->more), text_s(x->more), x->lo, x->hi);
}

static void print_objects(const struct gaps *a, const struct finding *g)
{
	char buf[TEXT_MAX], device[128], domain[64] = "none", others[64] = "";

	text_string(device, sizeof(device), findings_strings(a->findings), g->device, "unknown");
	if (g->domain)
		snprintf(domain, sizeof(domain), "0x%" PRIx64 "%s", g->domain, g->more_domains ? " and others" : "");
	if (g->more_pages)
		snprintf(others, sizeof(others), " and %s other%s", text_thousands(g->more_pages), text_s(g->more_pages));
	snprintf(buf, sizeof(buf), "iopt 0x%" PRIx64 ", domain %s, device %s, pages 0x%" PRIx64 "%s, area 0x%" PRIx64,
		 g->iopt, domain, device, g->pages, others, g->area);
	text_item(stdout, "objects", buf);
}

static void print_origin(const struct gaps *a, const char *label, const struct origin *o, const char *note)
{
	char buf[TEXT_MAX];
	size_t n;

	text_origin(buf, sizeof(buf), o, findings_strings(a->findings));
	n = strlen(buf);
	snprintf(buf + n, sizeof(buf) - n, "%s", note);
	text_item(stdout, label, buf);
}

/* Both sides: what violates, what set it up, and what else is known of the frames. */
static void print_sides(const struct gaps *a, const struct finding *g)
{
	char note[64] = "";

	if (g->within.seq)
		snprintf(note, sizeof(note), ", in %s #%" PRIu64, event_table[g->within.kind].name, g->within.seq);
	print_origin(a, "event", &g->event, note);
	snprintf(note, sizeof(note), " (%s%s)", finding_roles[g->reason],
		 !g->setup.seq		      ? "" :
		 g->setup.seq == g->event.seq ? ", the same event" :
		 g->setup.seq != g->mark.seq  ? "" :
		 g->mark_in_area	      ? ", in the area" :
						", in the pages");
	print_origin(a, "set up", &g->setup, note);
	if (g->setup.seq != g->pinned.seq)
		print_origin(a, "pinned", &g->pinned, "");
	if (g->exposed.seq && g->setup.seq != g->exposed.seq)
		print_origin(a, "exposed", &g->exposed, "");
	if (g->hidden.seq && g->setup.seq != g->hidden.seq)
		print_origin(a, "hidden", &g->hidden, "");
}

static void print_uncertain(const struct finding *g)
{
	char buf[TEXT_MAX], fresh[32];

	snprintf(fresh, sizeof(fresh), "%s", g->new_pages ? text_thousands(g->new_pages) : "none");
	snprintf(buf, sizeof(buf),
		 "the recording began in mid-life: of %s page%s, %s %s sure to be in gaps if their memory was new to "
		 "iommufd then; what is older may have flushed a page that was not, or pin or expose it still",
		 text_thousands(g->npages), text_s(g->npages), fresh, g->new_pages == 1 ? "is" : "are");
	text_item(stdout, "uncertain", buf);
}

static void print_finding(const struct gaps *a, const struct finding *g, size_t number)
{
	char buf[TEXT_MAX], when[32];

	printf("%zu. %s (%s%s): %s page%s in %s span%s, by %s event%s\n", number, gap_names[g->kind],
	       g->uncertain ? "uncertain " : "", gap_is_error[g->kind] ? "error" : "warning", text_thousands(g->npages),
	       text_s(g->npages), text_thousands(g->spans), text_s(g->spans), text_thousands(g->events),
	       text_s(g->events));
	text_item(stdout, "what", finding_what(g));
	if (a->many_captures) {
		snprintf(buf, sizeof(buf), "%" PRIu64, g->capture);
		text_item(stdout, "capture", buf);
	}
	ranges_text(buf, sizeof(buf), &g->pfn);
	text_item(stdout, "pfn", buf);
	ranges_text(buf, sizeof(buf), &g->iova);
	text_item(stdout, "iova", buf);
	print_objects(a, g);
	print_sides(a, g);
	if (g->events > 1) {
		text_time(when, sizeof(when), g->last_t);
		snprintf(buf, sizeof(buf), "#%" PRIu64 "  %s", g->last_seq, when);
		text_item(stdout, "last", buf);
	}
	finding_missing(g, buf, sizeof(buf));
	text_item(stdout, "missing", buf);
	finding_why(g, a->policy, buf, sizeof(buf));
	text_item(stdout, "why", buf);
	if (g->uncertain)
		print_uncertain(g);
	if (g->lost) {
		snprintf(buf, sizeof(buf), "records were lost before it, in %s place%s: it may be an artefact",
			 text_thousands(g->lost), text_s(g->lost));
		text_item(stdout, "lost", buf);
	}
	putchar('\n');
}

static void print_notes(const struct gaps *a)
{
	char buf[TEXT_MAX];
	int any = 0;

	if (a->partial[0])
		printf("PARTIAL: the trace ends early, after %s event%s: %s\n", text_thousands(a->events),
		       text_s(a->events), a->partial);
	if (a->lacking) {
		lacking_text(a->lacking, buf);
		printf("The policy cannot be judged, for no probe gave what every policy needs:\n");
		text_item(stdout, "lacking", buf);
	}
	if (a->midlife.seq) {
		text_midlife(buf, sizeof(buf), &a->midlife, a->health);
		printf("Began in mid-life:\n");
		text_item(stdout, "midlife", buf);
	}
	for (int i = 0; i < HEALTH_COUNT; i++) {
		if (!a->health[i] || health_table[i].severity == 'i')
			continue;
		if (!any++)
			printf("What is wrong with the trace (findings may be artefacts, others may be missing):\n");
		text_health(stdout, (enum health)i, a->health[i]);
	}
}

/* What many findings have in common, if they are more than their causes. */
static void print_causes(const struct summary *s)
{
	char buf[TEXT_MAX];

	if (s->findings <= s->causes)
		return;
	printf("By cause:\n");
	for (const struct cause *c = s->cause; c < s->cause + s->causes; c++) {
		snprintf(buf, sizeof(buf), "%s finding%s, %s page%s: %s%s%s; %s", text_thousands(c->findings),
			 text_s(c->findings), text_thousands(c->pages), text_s(c->pages), event_table[c->event].name,
			 c->within ? " in " : "", c->within ? event_table[c->within].name : "",
			 finding_reason_text(c->reason));
		text_item(stdout, gap_names[c->kind], buf);
	}
}

static void print_summary(const struct gaps *a, const struct summary *s)
{
	printf("SUMMARY: %s: %s finding%s (%s error%s, %s warning%s); pages:", a->policy, text_thousands(s->findings),
	       text_s(s->findings), text_thousands(s->errors), text_s(s->errors), text_thousands(s->warnings),
	       text_s(s->warnings));
	for (int k = 0; k < GAPS; k++)
		printf("%s %s %s", k ? "," : "", gap_names[k], text_thousands(s->pages[k]));
	if (s->uncertain)
		printf("; %s uncertain", text_thousands(s->uncertain));
	if (s->shown < s->findings)
		printf("; %s not shown", text_thousands(s->findings - s->shown));
	if (a->partial[0])
		printf("; PARTIAL");
	if (a->lacking)
		printf("; CANNOT BE JUDGED");
	putchar('\n');
}

static void print_text(const struct gaps *a, const struct summary *s)
{
	size_t shown = 0;

	for (size_t i = 0; i < s->findings && shown < s->shown; i++) {
		const struct finding *g = findings_get(a->findings, i);

		if (a->kinds & 1u << g->kind)
			print_finding(a, g, ++shown);
	}
	print_causes(s);
	print_notes(a);
	print_summary(a, s);
}

/* JSON */

static void put_range(struct json *obj, uint64_t lo, uint64_t hi)
{
	json_put_hex(obj, "lo", lo);
	json_put_hex(obj, "hi", hi);
}

static void put_ranges(struct json *finding, const char *key, const struct finding_ranges *x)
{
	struct json *obj = json_put_object(finding, key), *list;

	put_range(obj, x->lo, x->hi);
	list = json_put_array(obj, "ranges");
	for (unsigned i = 0; i < x->n; i++)
		put_range(json_put_object(list, NULL), x->r[i].lo, x->r[i].hi);
	json_put_u64(obj, "more_spans", x->more);
}

static void put_objects(struct json *obj, const struct gaps *a, const struct finding *g)
{
	char device[128];

	text_string(device, sizeof(device), findings_strings(a->findings), g->device, "");
	json_put_hex(obj, "iopt", g->iopt);
	if (g->domain)
		json_put_hex(obj, "domain", g->domain);
	else
		json_put_null(obj, "domain");
	json_put_bool(obj, "more_domains", g->more_domains);
	json_put_text(obj, "device", g->device ? device : NULL);
	json_put_hex(obj, "pages_id", g->pages);
	json_put_u64(obj, "more_pages", g->more_pages);
	json_put_hex(obj, "area", g->area);
}

/* An origin, for more to be put in; null if o has no event. */
static struct json *put_side(struct json *obj, const char *key, const struct gaps *a, const struct origin *o)
{
	struct json *side;

	if (!o->seq) {
		json_put_null(obj, key);
		return NULL;
	}
	side = json_put_object(obj, key);
	json_put_origin(side, o, findings_strings(a->findings));
	return side;
}

static void put_sides(struct json *obj, const struct gaps *a, const struct finding *g)
{
	struct json *setup, *history;

	put_side(obj, "event", a, &g->event);
	put_side(obj, "within", a, &g->within);
	setup = put_side(obj, "setup", a, &g->setup);
	json_put_text(setup, "role", finding_roles[g->reason]);
	history = json_put_object(obj, "history");
	put_side(history, "bit_set", a, &g->mark);
	json_put_text(history, "bit_of", !g->mark.seq ? NULL : g->mark_in_area ? "area" : "pages");
	put_side(history, "pinned", a, &g->pinned);
	put_side(history, "exposed", a, &g->exposed);
	put_side(history, "hidden", a, &g->hidden);
}

static struct json *finding_json(const struct gaps *a, const struct finding *g)
{
	struct json *obj = json_new_object(), *last, *missing;
	char buf[TEXT_MAX];

	json_put_text(obj, "kind", gap_names[g->kind]);
	json_put_text(obj, "severity", gap_is_error[g->kind] ? "error" : "warning");
	json_put_text(obj, "what", finding_what(g));
	json_put_u64(obj, "capture", g->capture);
	json_put_u64(obj, "pages", g->npages);
	json_put_u64(obj, "spans", g->spans);
	json_put_u64(obj, "events", g->events);
	put_ranges(obj, "pfn", &g->pfn);
	put_ranges(obj, "iova", &g->iova);
	put_objects(obj, a, g);
	put_sides(obj, a, g);
	last = json_put_object(obj, "last");
	json_put_u64(last, "event", g->last_seq);
	json_put_u64(last, "t", g->last_t);
	missing = json_put_object(obj, "missing");
	finding_missing(g, buf, sizeof(buf));
	json_put_text(missing, "hook", hook_names[g->hook]);
	json_put_text(missing, "where", buf);
	finding_why(g, a->policy, buf, sizeof(buf));
	json_put_text(obj, "why", buf);
	json_put_u64(obj, "lost_before", g->lost);
	json_put_bool(obj, "uncertain", g->uncertain);
	json_put_u64(obj, "if_new_pages", g->uncertain ? g->new_pages : 0);
	return obj;
}

static void put_causes(struct json *summary, const struct summary *s)
{
	struct json *list = json_put_array(summary, "causes"), *obj;

	for (const struct cause *c = s->cause; c < s->cause + s->causes; c++) {
		obj = json_put_object(list, NULL);
		json_put_text(obj, "kind", gap_names[c->kind]);
		json_put_text(obj, "event", event_table[c->event].name);
		json_put_text(obj, "within", c->within ? event_table[c->within].name : NULL);
		json_put_text(obj, "cause", finding_reason_text(c->reason));
		json_put_u64(obj, "findings", c->findings);
		json_put_u64(obj, "pages", c->pages);
	}
}

static void put_pages(struct json *summary, const char *key, const uint64_t *pages)
{
	struct json *obj = json_put_object(summary, key);

	for (int k = 0; k < GAPS; k++)
		json_put_u64(obj, gap_names[k], pages[k]);
}

static struct json *summary_json(const struct gaps *a, const struct summary *s)
{
	struct json *obj = json_new_object();

	json_put_text(obj, "trace", a->path);
	json_put_text(obj, "policy", a->policy);
	json_put_u64(obj, "findings", s->findings);
	json_put_u64(obj, "shown", s->shown);
	json_put_u64(obj, "not_shown", s->findings - s->shown);
	json_put_u64(obj, "errors", s->errors);
	json_put_u64(obj, "warnings", s->warnings);
	put_pages(obj, "pages", s->pages);
	json_put_u64(obj, "uncertain", s->uncertain);
	put_pages(obj, "if_new_pages", s->new_pages);
	put_causes(obj, s);
	json_put_health(obj, "health", a->health);
	lacking_put(obj, "lacking", a->lacking);
	json_put_midlife(obj, "midlife", &a->midlife);
	json_put_text(obj, "partial", a->partial[0] ? a->partial : NULL);
	return obj;
}

/* One finding in memory at a time: there can be many. */
static int print_json(const struct gaps *a, const struct summary *s)
{
	size_t shown = 0;
	int err = 0;

	printf("{\"findings\": [");
	for (size_t i = 0; i < s->findings && shown < s->shown && !err; i++) {
		const struct finding *g = findings_get(a->findings, i);

		if (!(a->kinds & 1u << g->kind))
			continue;
		printf(shown++ ? ",\n" : "\n");
		err = json_print(stdout, finding_json(a, g));
	}
	printf("],\n\"summary\": ");
	if (!err)
		err = json_print(stdout, summary_json(a, s));
	printf("}\n");
	return err ? error_set(a->error, "out of memory while printing") : 0;
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
			return cli_usage_error(cmd, "--kind: no gap \"%.*s\"; there are %s", (int)n, list,
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
		return cli_usage_error(cmd, "--limit: a number of findings (0: all), not \"%s\"", text);
	*(size_t *)cli_place(o, options) = limit ? (size_t)limit : SIZE_MAX;
	return STATUS_OK;
}

static int take_to(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct gaps *a = options;

	(void)o;
	if (parse_u64(text, 0, UINT64_MAX, &a->replay.to))
		return cli_usage_error(cmd, "--to: a time in nanoseconds, not \"%s\"", text);
	a->replay.until = true;
	return STATUS_OK;
}

#define CLI_OPTIONS struct gaps

static const struct cli_option options[] = {
	{"policy", 0, "P", "the policy, NAME[:key=value]...; see ioflush policies", TAKE(cli_take_policy, set)},
	{"plugin", 0, "SPEC", "a policy of a shared object, PATH[:key=value]..., in place of --policy",
	 TAKE(cli_take_plugin, set)},
	{"kind", 0, "K[,K]...", "show only these gaps: leak, reexpose, release, access", .take = take_kinds,
	 .choices = "leak reexpose release access"},
	{"limit", 0, "N", "show at most N findings, 0: all (default: 20 in text, all in JSON)", TAKE(take_limit, limit)},
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"capture", 0, "N", "only this capture of a database", TAKE(cli_take_capture, replay.capture)},
	{"to", 0, "T", "only events up to this time, in ns of the trace clock", .take = take_to},
	{"inode", 0, "D:I", "refuse TRACE unless it is this file: device and inode, as stat(1) %d:%i has them",
	 TAKE(cli_take_inode, replay.file)},
	{"allow-partial", 0, NULL, "a trace that breaks off: report what there is, as a part",
	 TAKE(cli_take_flag, replay.allow_partial)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	CLI_HELP(0, "this text"),
	{0},
};

static int take_operands(struct gaps *a, int argc, char **argv)
{
	if (argc - optind != 1)
		return cli_usage_error(a->cmd, "one TRACE, not %d", argc - optind);
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
		return print_json(a, &s);
	print_text(a, &s);
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
	if (run(&a)) {
		cli_message(cmd, "%s", e.text);
		status = STATUS_ERROR;
		goto out;
	}
	status = cli_flush(cmd);
out:
	findings_free(a.findings);
	policy_set_clear(&a.set);
	return status;
}

const struct command cmd_gaps = {
	.name = "gaps",
	.summary = "where a policy is wrong: findings with both of their sides",
	.synopsis = "TRACE --policy P [OPTION]...",
	.about = "Groups the gaps of one policy so that one cause is one finding, errors first. A cause is a way to\n"
		 "be wrong in one operation, for one device (or domain) of one iopt, whatever pages it hits.\n"
		 "TRACE: trace.dat, ftrace text, JSON Lines, an ioflush database, or - for standard input.\n",
	.options = options,
	.column = 20,
	.notes = "The SUMMARY line counts all findings, shown or not.\n"
		 "Exit status: 0 done, with findings or without; 1 input or system error; 2 usage.\n",
	.run = gaps_main,
};
