/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush verify: does a trace fit the model? Two questions, for each capture:
 *
 * - Invariants: the health counters that a complete trace never shows. Each error or warning that is not 0 is broken.
 * - Unpins: the pages that the model says were unpinned, against the kernel's own unpin events, by PFN and count.
 *   missing: derived more often than the kernel did. Violated: the model (or the trace) is wrong.
 *   not derived: the kernel did more often. Information: pages that only accesses pinned have no known PFN.
 *
 * If a capture began in mid-life, the counters of older objects are not broken, and unpins may differ either way: an
 * object older than the recording may also pin a page, or may have pinned it before.
 *
 * Result of a capture: PASS, FAIL, or "cannot verify" if the model derives unpins but the trace has no unpin event, or
 * if some are missing and the capture began in mid-life, or if no probe gave events that the model needs.
 *
 * JSON, stable (members may be added): {"captures": [{"trace", "capture": N, "result": "pass|fail|cannot-verify",
 *	"partial": sentence or null, "midlife": {"event", "name", "t"} or null, "events": N, "health": {NAME: N},
 *	"broken": [NAME],
 *	"unpins": {"derived", "confirmed", "missing_in_kernel", "kernel", "not_derived": N,
 *		"differences": [{"lo", "hi": PFN, "derived_less_kernel": N}], "more_differences": N}}],
 *	"result": the worst of all: fail, then cannot-verify, then pass}
 *
 * Exit status: 0 if all hold or cannot be verified; 1 if any fails, or on an input or system error; 2 usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "analyzer/report/lacking.h"
#include "base/text.h"

#define DIFFERENCES 10	     /* shown */
#define CAPTURE_MEMORY 32768 /* most that the JSON of one capture takes */

enum result { RESULT_PASS, RESULT_CANNOT, RESULT_FAIL };

struct difference {
	uint64_t lo, hi;
	int64_t diff;
};

struct differences {
	struct difference d[DIFFERENCES];
	size_t n;
	uint64_t more;
};

struct verify {
	const struct command *cmd;
	struct policy_set set; /* none: the model alone */
	struct error *error;
	struct budget memory;
	struct replay replay;
	const char *path;
	bool json;
	struct json *captures; /* NULL: print text */
	enum result worst;
};

static const char *const result_names[] = {"pass", "cannot-verify", "fail"};

/* Counters that may be above 0 if the trace began in mid-life. */
static bool is_explained(const struct model_totals *t, int i)
{
	switch (i) {
	case HEALTH_unknown_area:
	case HEALTH_unknown_domain:
	case HEALTH_midlife_iopts:
	case HEALTH_midlife_domains:
	case HEALTH_midlife_areas:
	case HEALTH_midlife_pages:
	case HEALTH_midlife_map_pages:
		return t->midlife.seq;
	default:
		return false;
	}
}

static bool is_broken(const struct model_totals *t, int i)
{
	return t->health[i] && health_table[i].severity != 'i' && !is_explained(t, i);
}

static enum result judge(const struct capture *c, const struct model_totals *t)
{
	if (lacking_needed(lacking_kinds(c->probes, t)))
		return RESULT_CANNOT;
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (is_broken(t, i))
			return RESULT_FAIL;
	if (!t->by_kind[EV_unpin])
		return t->derived_unpins ? RESULT_CANNOT : RESULT_PASS;
	if (!t->missing_in_kernel)
		return RESULT_PASS;
	return t->midlife.seq ? RESULT_CANNOT : RESULT_FAIL;
}

static const char *result_text(const struct capture *c, const struct model_totals *t, enum result result)
{
	if (lacking_needed(lacking_kinds(c->probes, t)))
		return "cannot verify: no probe gave what the model needs";
	switch (result) {
	case RESULT_PASS:
		return t->midlife.seq ? "PASS, as far as a recording that began in mid-life can" : "PASS";
	case RESULT_CANNOT:
		return t->by_kind[EV_unpin] ? "cannot verify: the recording began in mid-life" :
					      "cannot verify: no unpin events";
	default:
		return "FAIL";
	}
}

static int add_difference(void *ctx, uint64_t lo, uint64_t hi, int64_t diff)
{
	struct differences *x = ctx;

	if (x->n < DIFFERENCES)
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
	if (!model_totals(m)->by_kind[EV_unpin])
		return;
	model_unpin_differences(m, add_difference, x);
	qsort(x->d, x->n, sizeof(x->d[0]), difference_order);
}

/* Text */

static void print_invariants(const struct model_totals *t)
{
	char buf[TEXT_MAX];
	unsigned broken = 0;

	for (int i = 0; i < HEALTH_COUNT; i++)
		broken += is_broken(t, i);
	printf("  invariants: %s\n", broken ? "broken" : "all hold");
	if (t->midlife.seq) {
		text_midlife(buf, sizeof(buf), &t->midlife, t->health);
		text_item(stdout, "midlife", buf);
	}
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (t->health[i])
			text_health(stdout, (enum health)i, t->health[i]);
}

static void print_unpins(const struct model_totals *t, const struct differences *x)
{
	if (!t->by_kind[EV_unpin]) {
		printf("  unpins: %s page%s derived, none recorded%s\n", text_thousands(t->derived_unpins),
		       text_s(t->derived_unpins),
		       t->derived_unpins ? "; record unpin too (unpin_user_page_range_dirty_lock)" : "");
		return;
	}
	printf("  unpins: %s page%s derived, %s confirmed, %s missing in the kernel, %s not derived\n",
	       text_thousands(t->derived_unpins), text_s(t->derived_unpins),
	       text_thousands(t->derived_unpins - t->missing_in_kernel), text_thousands(t->missing_in_kernel),
	       text_thousands(t->not_derived));
	for (size_t i = 0; i < x->n; i++) {
		const struct difference *d = &x->d[i];

		printf("  %-9s pfn %s: %s by %s\n", d->diff > 0 ? "missing" : "info", text_range(d->lo, d->hi),
		       d->diff > 0 ? "derived more often than the kernel unpinned," : "unpinned more often than derived,",
		       text_thousands((uint64_t)llabs(d->diff)));
	}
	if (x->more)
		printf("            %s more range%s differ%s\n", text_thousands(x->more), text_s(x->more),
		       x->more == 1 ? "s" : "");
	if (t->midlife.seq && (t->missing_in_kernel || t->not_derived))
		printf("            the recording began in mid-life: an object older than the recording may also pin a page\n"
		       "            (missing), or have pinned it before (info)\n");
	if (t->missing_in_kernel && (t->health[HEALTH_lost_records] || t->health[HEALTH_lost_unknown]))
		printf("            records were lost, which can explain it\n");
}

static void print_partial(const char *partial)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%s", partial);
	text_printable(text);
	printf("  PARTIAL: %s\n", text);
}

static void print_capture(const struct verify *v, const struct capture *c, const struct model *m, const char *partial,
			  enum result result)
{
	const struct model_totals *t = model_totals(m);
	struct differences x;

	find_differences(m, &x);
	printf("%s, capture %" PRIu64 ": %s event%s\n", v->path, c->id, text_thousands(t->events), text_s(t->events));
	if (partial)
		print_partial(partial);
	print_invariants(t);
	print_unpins(t, &x);
	printf("  %s%s\n", result_text(c, t, result), partial ? " (of the part that is there)" : "");
}

/* JSON */

static void put_unpins(struct json *into, const struct model *m)
{
	const struct model_totals *t = model_totals(m);
	struct json *obj = json_put_object(into, "unpins"), *list, *one;
	struct differences x;

	find_differences(m, &x);
	json_put_u64(obj, "derived", t->derived_unpins);
	json_put_u64(obj, "confirmed", t->derived_unpins - t->missing_in_kernel);
	json_put_u64(obj, "missing_in_kernel", t->missing_in_kernel);
	json_put_u64(obj, "kernel", t->kernel_unpins);
	json_put_u64(obj, "not_derived", t->not_derived);
	list = json_put_array(obj, "differences");
	for (size_t i = 0; i < x.n; i++) {
		one = json_put_object(list, NULL);
		json_put_hex(one, "lo", x.d[i].lo);
		json_put_hex(one, "hi", x.d[i].hi);
		json_put_i64(one, "derived_less_kernel", x.d[i].diff);
	}
	json_put_u64(obj, "more_differences", x.more);
}

static void put_capture(const struct verify *v, const struct capture *c, const struct model *m, const char *partial,
			enum result result)
{
	const struct model_totals *t = model_totals(m);
	struct json *obj = json_put_object(v->captures, NULL), *broken;

	json_put_text(obj, "trace", v->path);
	json_put_u64(obj, "capture", c->id);
	json_put_text(obj, "result", result_names[result]);
	json_put_text(obj, "partial", partial);
	json_put_midlife(obj, "midlife", &t->midlife);
	json_put_u64(obj, "events", t->events);
	json_put_health(obj, "health", t->health);
	broken = json_put_array(obj, "broken");
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (is_broken(t, i))
			json_put_text(broken, NULL, health_table[i].name);
	put_unpins(obj, m);
}

static int on_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct verify *v = ctx;
	enum result result = judge(c, model_totals(m));

	(void)s;
	if (result > v->worst)
		v->worst = result;
	if (!v->json)
		print_capture(v, c, m, partial, result);
	else if (budget_take(&v->memory, CAPTURE_MEMORY))
		put_capture(v, c, m, partial, result);
	else
		return error_set(v->error, "%s: capture %" PRIu64 ": %s", v->path, c->id, budget_failure(&v->memory));
	return 0;
}

static int run(struct verify *v, char *const *paths)
{
	v->replay.set = &v->set;
	v->replay.memory = &v->memory;
	v->replay.progress = "verify";
	v->replay.end = on_end;
	v->replay.ctx = v;
	v->captures = json_new_array();
	for (; *paths; paths++) {
		v->path = *paths;
		if (replay_run(&v->replay, v->path, v->error))
			return -1;
	}
	return 0;
}

static int print_json(struct verify *v)
{
	struct json *doc = json_new_object();

	json_put(doc, "captures", v->captures);
	v->captures = NULL;
	json_put_text(doc, "result", result_names[v->worst]);
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
	policy_set_clear(&v.set);
	status = cli_flush(cmd);
	if (err) {
		cli_message(cmd, "%s", e.text);
		return STATUS_ERROR;
	}
	return status == STATUS_OK && v.worst == RESULT_FAIL ? STATUS_ERROR : status;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "check a trace against the model's invariants and the kernel's unpins",
	.synopsis = "TRACE... [OPTION]...",
	.about = "For each capture the result is PASS, FAIL, or that it cannot be verified. A capture fails if a\n"
		 "health counter that is a warning or an error is not 0, or if the kernel's own unpin events do not\n"
		 "confirm all pages that the model derived as unpinned. Pages that the kernel unpinned and the\n"
		 "model did not derive are only information: pages that only accesses held have no known PFN. A\n"
		 "recording that began in mid-life does not fail because of what is older than the recording.\n",
	.options = options,
	.column = 20,
	.notes = "Exit status: 0 no capture fails (one that cannot be verified does not fail); 1 a capture fails, or\n"
		 "an input or system error; 2 usage.\n",
	.run = verify_main,
};
