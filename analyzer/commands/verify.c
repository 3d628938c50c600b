/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush verify: does a trace fit the model? Three questions, for each capture:
 *
 * - Invariants: the health counters that a complete trace never shows. Each error or warning that is not 0 is broken.
 * - Operations: what a thread releases from one begin event to its end, against what the kernel unpins in it (semantics,
 *   section 10): too early, too many, too few. Each is shown with the events that prove it.
 * - Unpins: the pages that the model says were unpinned, against the kernel's own unpin events, by PFN and count, over the
 *   whole capture. missing: derived more often than the kernel did. not derived: the kernel did more often. This is
 *   information: pages that only accesses pinned have no known PFN. Left out is what others than iommufd unpinned, and what
 *   was pinned for one read or write only; it is counted in the health (foreign_unpins, rw_unpins).
 *
 * Result of a capture: PASS, FAIL, or INCOMPLETE (analyzer/report/judge.h), with the reasons.
 *
 * JSON, stable (members may be added): {"captures": [{"trace", "capture": N, "result": "pass|incomplete|fail",
 *	"reasons": [sentence], "state": "complete|partial|recording|cut-off", "partial": sentence or null,
 *	"midlife": {"event", "name", "t"} or null, "events": N, "health": {NAME: N}, "broken": [NAME],
 *	"losses": [{"cause": name or null, "count", "places", "unknown_places": N, "advice": sentence}],
 *	"failures": [{"event": NAME, "error": NAME or null, "rc": N or null, "count": N, "first": origin}],
 *	"operations": [{"kind": NAME of the counter, "pages": N, "lo", "hi": PFN or null, "domain": id or null,
 *		"begin", "unpin", "event": origin}], "more_operations": N,
 *	"unpins": {"derived", "confirmed", "missing_in_kernel", "kernel", "not_derived", "pending": N,
 *		"differences": [{"lo", "hi": PFN, "derived_less_kernel": N}], "more_differences": N}}],
 *	"unread": [{"trace", "capture": N or null, "error": sentence}],
 *	"result": the worst of all: fail, then incomplete (also what could not be read), then pass}
 *
 * What cannot be read is said, and the rest is judged. Exit status: 0 PASS, 4 FAIL, 6 INCOMPLETE, of several captures the
 * worst; 1 an input or system error, also if only some could not be read; 2 usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/failures.h"
#include "analyzer/report/judge.h"
#include "analyzer/report/losses.h"
#include "base/text.h"

#define SHOWN 10	     /* of differences, and of operations */
#define CAPTURE_MEMORY 65536 /* most that the JSON of one capture takes */
#define UNREAD_MEMORY 8192   /* and that of what could not be read */

struct difference {
	uint64_t lo, hi;
	int64_t diff;
};

struct differences {
	struct difference d[SHOWN];
	size_t n;
	uint64_t more;
};

struct verify {
	const struct command *cmd;
	struct policy_set set; /* none: the model alone */
	struct error *error;
	struct budget memory;
	struct model_observer obs;
	struct replay replay;
	const char *path;
	bool json;
	struct json *captures, *unread;
	enum verdict worst;
	bool failed;			   /* something could not be read */
	bool full;			   /* there is no memory for the results: the end */
	struct violation violation[SHOWN]; /* of the present capture */
	size_t nviolations;
	uint64_t more_violations;
};

/* What is looked at of a capture at its end. */
struct looked {
	const struct capture *c;
	const struct model *m;
	const struct model_totals *t;
	const struct intern *strings;
	const char *partial;
	struct judgement j;
};

static int on_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct verify *v = ctx;

	(void)s, (void)c, (void)m;
	v->nviolations = 0;
	v->more_violations = 0;
	return 0;
}

static void on_violation(void *ctx, const struct violation *x)
{
	struct verify *v = ctx;

	if (v->nviolations < SHOWN)
		v->violation[v->nviolations++] = *x;
	else
		v->more_violations++;
}

static int add_difference(void *ctx, uint64_t lo, uint64_t hi, int64_t diff)
{
	struct differences *x = ctx;

	if (x->n < SHOWN)
		x->d[x->n++] = (struct difference){lo, hi, diff};
	else
		x->more++;
	return 1;
}

/* Missing ones first: only these are a failure. */
static int difference_order(const void *a, const void *b)
{
	const struct difference *x = a, *y = b;

	if ((x->diff > 0) != (y->diff > 0))
		return x->diff > 0 ? -1 : 1;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

static void find_differences(const struct model *m, struct differences *x)
{
	*x = (struct differences){0};
	if (!model_totals(m)->kernel_unpins)
		return;
	model_unpin_differences(m, add_difference, x);
	qsort(x->d, x->n, sizeof(x->d[0]), difference_order);
}

/* Text */

static void print_invariants(const struct looked *l)
{
	const struct model_totals *t = l->t;
	char buf[TEXT_MAX];
	unsigned broken = 0, odd = 0;

	for (int i = 0; i < HEALTH_COUNT; i++)
		if (judge_is_broken(&l->j, t, i))
			broken++;
		else
			odd += t->health[i] && health_table[i].severity != 'i';
	printf("  invariants: %s\n", broken ? "broken" :
				     odd    ? "not all hold; the last line says why that may be" :
					      "all hold");
	if (t->midlife.seq) {
		text_midlife(buf, sizeof(buf), &t->midlife, t->health);
		text_item(stdout, "midlife", buf);
	}
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (t->health[i])
			text_health(stdout, (enum health)i, t->health[i]);
	losses_print(stdout, &t->losses, l->strings);
	failures_print(stdout, &t->failures);
}

static const char *violation_text(const struct violation *x, char *buf, size_t len)
{
	const char *s = text_s(x->pages);

	switch (x->what) {
	case HEALTH_unpinned_early:
		snprintf(buf, len, "%s page%s unpinned while domain 0x%" PRIx64 " still mapped %s",
			 text_thousands(x->pages), s, x->domain, x->pages == 1 ? "it" : "them");
		break;
	case HEALTH_unpinned_too_many:
		snprintf(buf, len, "%s more page%s unpinned than released", text_thousands(x->pages), s);
		break;
	case HEALTH_unpinned_too_few:
		snprintf(buf, len, "%s page%s released and not unpinned", text_thousands(x->pages), s);
		break;
	default:
		snprintf(buf, len, "%s page%s unpinned or released in an order that is not known",
			 text_thousands(x->pages), s);
		break;
	}
	return buf;
}

static void print_side(const struct looked *l, const char *label, const struct origin *o)
{
	char buf[TEXT_MAX];

	if (!o->seq)
		return;
	text_origin(buf, sizeof(buf), o, l->strings);
	printf("            %-8s%s\n", label, buf);
}

static void print_operations(const struct verify *v, const struct looked *l)
{
	char buf[TEXT_MAX];

	if (!l->t->kernel_unpins)
		return;
	for (size_t i = 0; i < v->nviolations; i++) {
		const struct violation *x = &v->violation[i];

		if (x->lo == IOFLUSH_PFN_UNKNOWN)
			printf("  operation pfn unknown: %s\n", violation_text(x, buf, sizeof(buf)));
		else
			printf("  operation pfn %s: %s\n", text_range(x->lo, x->hi), violation_text(x, buf, sizeof(buf)));
		print_side(l, "within", &x->begin);
		print_side(l, "unpin", &x->unpin);
		print_side(l, x->what == HEALTH_unpinned_early ? "release" : "end", &x->event);
	}
	if (v->more_violations)
		printf("            %s more\n", text_thousands(v->more_violations));
}

static void print_unpins(const struct looked *l)
{
	const struct model_totals *t = l->t;
	struct differences x;

	if (!t->kernel_unpins) {
		printf("  unpins: %s page%s derived, none %srecorded%s\n", text_thousands(t->derived_unpins),
		       text_s(t->derived_unpins), t->by_kind[EV_unpin] ? "by iommufd " : "",
		       t->unpinned_pages && !t->by_kind[EV_unpin] ?
			       "; record unpin too (unpin_user_page_range_dirty_lock)" :
			       "");
		return;
	}
	find_differences(l->m, &x);
	printf("  unpins: %s page%s derived, %s confirmed, %s missing in the kernel, %s not derived",
	       text_thousands(t->derived_unpins), text_s(t->derived_unpins),
	       text_thousands(t->derived_unpins - t->missing_in_kernel - t->pending_unpins),
	       text_thousands(t->missing_in_kernel), text_thousands(t->not_derived));
	if (t->pending_unpins)
		printf(", %s pending in operations under way at the end", text_thousands(t->pending_unpins));
	putchar('\n');
	for (size_t i = 0; i < x.n; i++) {
		const struct difference *d = &x.d[i];

		uint64_t n = (uint64_t)llabs(d->diff);

		printf("  %-9s pfn %s: %s unpin%s %s than derived%s\n", d->diff > 0 ? "missing" : "info",
		       text_range(d->lo, d->hi), text_thousands(n), text_s(n), d->diff > 0 ? "fewer" : "more",
		       d->lo == d->hi ? "" : ", of each page");
	}
	if (x.more)
		printf("            %s more range%s differ%s\n", text_thousands(x.more), text_s(x.more),
		       x.more == 1 ? "s" : "");
	if (t->not_derived && !t->by_kind[EV_rw_access])
		printf("            perhaps held only by accesses, by one read or write (no rw_access event was recorded), or\n"
		       "            by a fill or join that failed\n");
	if (t->midlife.seq && (t->missing_in_kernel || t->not_derived))
		printf("            mid-life: an object older than the recording may pin a page still (missing), or have pinned\n"
		       "            it before (info)\n");
}

static void print_result(const struct looked *l)
{
	char reasons[JUDGE_TEXT];

	judge_text(&l->j, l->t, reasons);
	printf("  %s%s%s\n", verdict_names[l->j.verdict], reasons[0] ? ": " : "", reasons);
}

static void print_partial(const char *partial)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%s", partial);
	text_printable(text);
	printf("  PARTIAL: %s\n", text);
}

static void print_capture(const struct verify *v, const struct looked *l)
{
	printf("%s, capture %" PRIu64 ": %s event%s\n", v->path, l->c->id, text_thousands(l->t->events),
	       text_s(l->t->events));
	if (l->partial)
		print_partial(l->partial);
	print_invariants(l);
	print_operations(v, l);
	print_unpins(l);
	print_result(l);
}

/* JSON */

static void put_unpins(struct json *into, const struct model *m)
{
	const struct model_totals *t = model_totals(m);
	struct json *obj = json_put_object(into, "unpins"), *list, *one;
	struct differences x;

	find_differences(m, &x);
	json_put_u64(obj, "derived", t->derived_unpins);
	json_put_u64(obj, "confirmed", t->derived_unpins - t->missing_in_kernel - t->pending_unpins);
	json_put_u64(obj, "missing_in_kernel", t->missing_in_kernel);
	json_put_u64(obj, "kernel", t->kernel_unpins);
	json_put_u64(obj, "not_derived", t->not_derived);
	json_put_u64(obj, "pending", t->pending_unpins);
	list = json_put_array(obj, "differences");
	for (size_t i = 0; i < x.n; i++) {
		one = json_put_object(list, NULL);
		json_put_hex(one, "lo", x.d[i].lo);
		json_put_hex(one, "hi", x.d[i].hi);
		json_put_i64(one, "derived_less_kernel", x.d[i].diff);
	}
	json_put_u64(obj, "more_differences", x.more);
}

static void put_pfn(struct json *into, const char *key, uint64_t pfn)
{
	if (pfn == IOFLUSH_PFN_UNKNOWN)
		json_put_null(into, key);
	else
		json_put_hex(into, key, pfn);
}

static void put_side(struct json *into, const char *key, const struct looked *l, const struct origin *o)
{
	if (o->seq)
		json_put_origin(json_put_object(into, key), o, l->strings);
	else
		json_put_null(into, key);
}

static void put_operations(struct json *into, const struct verify *v, const struct looked *l)
{
	struct json *list = json_put_array(into, "operations"), *one;

	for (size_t i = 0; l->t->kernel_unpins && i < v->nviolations; i++) {
		const struct violation *x = &v->violation[i];

		one = json_put_object(list, NULL);
		json_put_text(one, "kind", health_table[x->what].name);
		json_put_u64(one, "pages", x->pages);
		put_pfn(one, "lo", x->lo);
		put_pfn(one, "hi", x->hi);
		if (x->domain)
			json_put_hex(one, "domain", x->domain);
		else
			json_put_null(one, "domain");
		put_side(one, "begin", l, &x->begin);
		put_side(one, "unpin", l, &x->unpin);
		put_side(one, "event", l, &x->event);
	}
	json_put_u64(into, "more_operations", l->t->kernel_unpins ? v->more_violations : 0);
}

static void put_capture(const struct verify *v, const struct looked *l)
{
	struct json *obj = json_put_object(v->captures, NULL), *broken;
	char reasons[JUDGE_TEXT];

	json_put_text(obj, "trace", v->path);
	json_put_u64(obj, "capture", l->c->id);
	json_put_text(obj, "result", verdict_json_names[l->j.verdict]);
	judge_text(&l->j, l->t, reasons);
	judge_put_reasons(obj, "reasons", reasons);
	json_put_text(obj, "state", l->c->state);
	json_put_text(obj, "partial", l->partial);
	json_put_midlife(obj, "midlife", &l->t->midlife);
	json_put_u64(obj, "events", l->t->events);
	json_put_health(obj, "health", l->t->health);
	broken = json_put_array(obj, "broken");
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (judge_is_broken(&l->j, l->t, i))
			json_put_text(broken, NULL, health_table[i].name);
	losses_put(obj, "losses", &l->t->losses, l->strings);
	failures_put(obj, "failures", &l->t->failures, l->strings);
	put_operations(obj, v, l);
	put_unpins(obj, l->m);
}

static int no_room(struct verify *v, uint64_t capture)
{
	v->full = true;
	return error_set(v->error, "%s: capture %" PRIu64 ": %s", v->path, capture, budget_failure(&v->memory));
}

static int on_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct verify *v = ctx;
	struct looked l = {c, m, model_totals(m), s->strings, partial, {0}};
	struct dropped dropped;

	source_dropped(s, &dropped);
	l.j = judge(c, l.t, &dropped, partial);
	if (l.j.verdict > v->worst)
		v->worst = l.j.verdict;
	if (!v->json)
		print_capture(v, &l);
	else if (budget_take(&v->memory, CAPTURE_MEMORY))
		put_capture(v, &l);
	else
		return no_room(v, c->id);
	return 0;
}

/* What cannot be read is said at once, and the rest is judged. capture: 0: a whole trace. */
static void say_unread(struct verify *v, uint64_t capture, const char *why)
{
	struct json *one;

	v->failed = true;
	if (v->worst < VERDICT_INCOMPLETE)
		v->worst = VERDICT_INCOMPLETE;
	fflush(stdout);
	cli_message(v->cmd, "%s", why);
	if (!v->json)
		return;
	if (!budget_take(&v->memory, UNREAD_MEMORY)) {
		no_room(v, capture);
		return;
	}
	one = json_put_object(v->unread, NULL);
	json_put_text(one, "trace", v->path);
	json_put_known(one, "capture", capture, capture);
	json_put_text(one, "error", why);
}

static void leave_out(void *ctx, const struct source *s, const struct capture *c, const struct error *why)
{
	(void)s;
	say_unread(ctx, c->id, why->text);
}

static int run(struct verify *v, char *const *paths)
{
	v->replay.set = &v->set;
	v->replay.memory = &v->memory;
	v->replay.progress = "verify";
	v->obs = (struct model_observer){.ctx = v, .violation = on_violation};
	v->replay.obs = &v->obs;
	v->replay.begin = on_begin;
	v->replay.end = on_end;
	v->replay.left_out = leave_out;
	v->replay.ctx = v;
	v->captures = json_new_array();
	v->unread = json_new_array();
	for (; *paths && !v->full; paths++) {
		struct error why = {0};

		v->path = *paths;
		if (replay_run(&v->replay, v->path, &why) && !v->full)
			say_unread(v, 0, why.text);
	}
	return v->full ? -1 : 0;
}

static int print_json(struct verify *v)
{
	struct json *doc = json_new_object();

	json_put(doc, "captures", v->captures);
	json_put(doc, "unread", v->unread);
	v->captures = v->unread = NULL;
	json_put_text(doc, "result", verdict_json_names[v->worst]);
	return json_print(stdout, doc, 2) ? error_set(v->error, "out of memory while printing") : 0;
}

#define CLI_OPTIONS struct verify

static const struct cli_option options[] = {
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"allow-partial", 0, NULL, CLI_PARTIAL_HELP, TAKE(cli_take_flag, replay.allow_partial)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	CLI_HELP,
	{0},
};

static int verify_main(const struct command *cmd, int argc, char **argv)
{
	static const int statuses[VERDICTS] = {STATUS_OK, STATUS_INCOMPLETE, STATUS_FAIL};
	struct error e = {0};
	struct verify v = {.cmd = cmd, .error = &e};
	int status, err;

	cli_default_memory(&v.memory);
	status = cli_options(cmd, argc, argv, &v);
	if (status >= 0)
		return status;
	if (optind == argc)
		return cli_usage_error(cmd, "no trace given");
	status = cli_traces(cmd, argv + optind, (size_t)(argc - optind));
	if (status)
		return status;
	err = run(&v, argv + optind);
	if (!err && v.json)
		err = print_json(&v);
	json_free(v.captures);
	json_free(v.unread);
	policy_set_clear(&v.set);
	status = cli_flush(cmd);
	if (err) {
		cli_message(cmd, "%s", e.text);
		return STATUS_ERROR;
	}
	return status != STATUS_OK ? status : v.failed ? STATUS_ERROR : statuses[v.worst];
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "check a trace against the model's invariants and the kernel's unpins",
	.synopsis = "TRACE... [OPTION]...",
	.about = "Says PASS, FAIL or INCOMPLETE for each capture, and why. FAIL: something that a complete trace of a\n"
		 "correct kernel does not show. INCOMPLETE: it cannot be told, for records were lost, the recording\n"
		 "began in mid-life, events are missing, or there is nothing to judge.\n",
	.options = options,
	.column = 20,
	.notes = "Exit status: 0 PASS; 4 FAIL; 6 INCOMPLETE; of several captures the worst (FAIL, INCOMPLETE, PASS);\n"
		 "1 an input or system error, also of one trace or capture of several; 2 usage.\n",
	.run = verify_main,
};
