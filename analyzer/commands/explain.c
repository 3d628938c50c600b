/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush explain: the life of one page, event by event, with its pin count, non-coherent mappings, and each policy's
 * clean bit, flushes and gaps.
 *
 * The page is a PFN, or all that DOMAIN:ADDR translated to during the trace; for the latter the trace is read twice,
 * first to find the PFNs. Events go to the model one at a time, so that the state printed is the state after that
 * event. Lost records are shown at their place. A page that never appears is an answer, "never seen", and not an error.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/explain.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "base/number.h"
#include "base/text.h"

const char *const explain_changes[CHANGES] = {"pinned", "exposed", "hidden", "released"};

/* What the model tells */

/* The first watched frame at lo or above. */
static size_t watch_from(const struct explain *x, uint64_t lo)
{
	size_t a = 0, b = x->n;

	while (a < b) {
		size_t mid = (a + b) / 2;

		if (x->watch[mid].pfn < lo)
			a = mid + 1;
		else
			b = mid;
	}
	return a;
}

static void note_change(struct explain *x, uint64_t lo, uint64_t hi, enum change change)
{
	for (size_t i = watch_from(x, lo); i < x->n && x->watch[i].pfn <= hi; i++)
		x->watch[i].changes |= 1u << change;
}

static void on_pinned(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	note_change(ctx, lo, hi, CHANGE_PINNED);
}

static void on_exposed(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	note_change(ctx, lo, hi, CHANGE_EXPOSED);
}

static void on_hidden(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	note_change(ctx, lo, hi, CHANGE_HIDDEN);
}

static void on_released(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	(void)ev;
	note_change(ctx, lo, hi, CHANGE_RELEASED);
}

static void on_touched(void *ctx, uint64_t lo, uint64_t hi, const struct origin *ev)
{
	struct explain *x = ctx;

	(void)ev;
	x->hex_seen |= x->has_hex && lo <= x->hex && x->hex <= hi;
	for (size_t i = watch_from(x, lo); i < x->n && x->watch[i].pfn <= hi; i++)
		x->watch[i].touched = true;
}

static void on_flushed(void *ctx, uint64_t lo, uint64_t hi, enum hook hook, uint64_t policies, const struct origin *ev)
{
	struct explain *x = ctx;

	(void)ev;
	for (size_t i = watch_from(x, lo); i < x->n && x->watch[i].pfn <= hi; i++)
		x->watch[i].flushed[hook] |= policies;
}

static void on_gap(void *ctx, const struct gap_span *g)
{
	struct explain *x = ctx;

	for (size_t i = watch_from(x, g->pfn); i < x->n && x->watch[i].pfn - g->pfn < g->npages; i++)
		x->watch[i].gaps[g->kind] |= g->policies;
}

/* Both passes */

/* Whether a range of the domain has the iova that was asked for. */
static bool covers(const struct explain *x, uint64_t domain, uint64_t iova, uint64_t size)
{
	return x->by_iova && (x->any_domain || domain == x->domain) && x->iova >= iova && x->iova - iova < size;
}

/* A map or unmap of the iova that did nothing to a frame of the model. */
static int show_outside(struct explain *x, const struct event *ev)
{
	bool map = ev->kind == EV_map && covers(x, ev->map.domain, ev->map.iova, ev->map.size);

	if (x->not_shown) /* it may be of a frame that is not watched */
		return 0;
	if (!map && !(ev->kind == EV_unmap && covers(x, ev->unmap.domain, ev->unmap.iova, ev->unmap.size)))
		return 0;
	x->outside += map;
	if (x->json)
		return explain_add_element(x, explain_outside_json(x, ev));
	explain_print_outside(x, ev);
	return 0;
}

/* Prints rows for what the event did to the watched frames. */
static int show_event(struct explain *x, const struct event *ev, const struct model *m)
{
	bool shown = false;
	int err = 0;

	for (size_t i = 0; i < x->n && !err; i++) {
		struct watch *w = &x->watch[i];
		struct model_frame f;

		if (!w->touched)
			continue;
		f = model_frame(m, w->pfn);
		x->touched++;
		if (x->json) {
			err = explain_add_element(x, explain_row_json(x, ev, w, &f));
		} else {
			if (!shown) {
				explain_print_lost(x);
				explain_print_event(x, ev);
			}
			explain_print_row(x, w, &f);
		}
		shown = true;
		*w = (struct watch){.pfn = w->pfn};
	}
	return err || shown ? err : show_outside(x, ev);
}

static int life_batch(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e)
{
	struct explain *x = ctx;

	for (const struct event *end = ev + n; ev < end; ev++) {
		x->seq++;
		if (model_events(m, ev, 1, e))
			return -1;
		if (ev->kind == EV_lost) {
			x->lost++;
			x->ever_lost = true;
			if (x->json && explain_add_element(x, explain_event_json(x, ev)))
				return -1;
		}
		if (show_event(x, ev, m))
			return -1;
	}
	return 0;
}

static int life_begin(void *ctx, struct source *s, const struct capture *c, struct model *m)
{
	struct explain *x = ctx;

	(void)m;
	x->strings = s->strings;
	x->capture = c->id;
	x->seq = 0;
	x->lost = 0;
	if (!x->json)
		printf("%s, capture %" PRIu64 ":\n", x->path, c->id);
	return 0;
}

static void note_partial(struct explain *x, const char *partial)
{
	if (!partial)
		return;
	snprintf(x->partial, sizeof(x->partial), "%s", partial);
	text_printable(x->partial);
}

static void note_verdict(struct explain *x, struct source *s, const struct capture *c, const struct model_totals *t,
			 const char *partial)
{
	struct dropped dropped;
	struct judgement j;

	source_dropped(s, &dropped);
	j = judge(c, t, &dropped, partial);
	worst_add(&x->worst, &j, t);
}

static int life_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct explain *x = ctx;

	const struct model_totals *t = model_totals(m);

	note_verdict(x, s, c, t, partial);
	if (t->midlife.seq && !x->midlife.seq) {
		x->midlife = t->midlife;
		text_midlife(x->older, sizeof(x->older), &t->midlife, t->health);
	}
	if (!x->json)
		explain_print_lost(x);
	note_partial(x, partial);
	return 0;
}

static void watch_add(struct explain *x, uint64_t pfn)
{
	size_t at = watch_from(x, pfn);

	if (at < x->n && x->watch[at].pfn == pfn)
		return;
	if (x->n == MAX_FRAMES) {
		x->not_shown++;
		return;
	}
	memmove(x->watch + at + 1, x->watch + at, (x->n - at) * sizeof(x->watch[0]));
	x->watch[at] = (struct watch){.pfn = pfn};
	x->n++;
}

/*
 * The first pass for an iova: collects the frames it translates to. Only a map can change these. What the model does not
 * follow is where its map says.
 */
static int find_batch(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e)
{
	struct explain *x = ctx;

	for (const struct event *end = ev + n; ev < end; ev++) {
		uint64_t pfn;

		if (model_events(m, ev, 1, e))
			return -1;
		x->ever_lost |= ev->kind == EV_lost;
		if (ev->kind != EV_map || !covers(x, ev->map.domain, ev->map.iova, ev->map.size))
			continue;
		pfn = model_translate(m, ev->map.domain, x->iova);
		if (pfn == IOFLUSH_PFN_UNKNOWN)
			pfn = (ev->map.paddr + (x->iova - ev->map.iova)) >> PAGE_SHIFT;
		watch_add(x, pfn);
	}
	return 0;
}

/* If no page is found, there is no second pass that would report a trace that breaks off. */
static int find_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	note_verdict(ctx, s, c, model_totals(m), partial);
	note_partial(ctx, partial);
	return 0;
}

static int find_frames(struct explain *x)
{
	struct replay r = x->replay;

	r.set = &x->no_policies;
	r.progress = "explain, finding the page";
	r.batch = find_batch;
	r.end = find_end;
	return replay_run(&r, x->path, x->error);
}

/* Where a page that was not found may still be. */
static const char *doubt(const struct explain *x)
{
	return x->partial[0]  ? " in the part that is there" :
	       x->ever_lost   ? " in the recording; records were lost" :
	       x->midlife.seq ? " in the recording, which began in mid-life" :
				"";
}

/* The domain that was asked for. */
static const char *which_domain(const struct explain *x, char *buf, size_t len)
{
	if (x->any_domain)
		return "a domain";
	snprintf(buf, len, "domain 0x%" PRIx64, x->domain);
	return buf;
}

static void print_summary(const struct explain *x)
{
	bool doubtful = doubt(x)[0];
	char domain[32];

	if (x->by_iova && !x->n && x->any_domain)
		printf("no domain %s iova 0x%" PRIx64 "%s", doubtful ? "was seen to map" : "ever mapped", x->iova,
		       doubt(x));
	else if (x->by_iova && !x->n)
		printf("domain 0x%" PRIx64 " %s iova 0x%" PRIx64 "%s", x->domain,
		       doubtful ? "did not map" : "never mapped", x->iova, doubt(x));
	else if (!x->touched && x->outside)
		printf("%s mapped iova 0x%" PRIx64 " %s time%s, outside of the model",
		       which_domain(x, domain, sizeof(domain)), x->iova, text_thousands(x->outside), text_s(x->outside));
	else if (!x->touched)
		printf("pfn 0x%" PRIx64 " was %s seen%s", x->watch[0].pfn, doubtful ? "not" : "never", doubt(x));
	else if (x->n == 1)
		printf("pfn 0x%" PRIx64 " was touched by %s event%s", x->watch[0].pfn, text_thousands(x->touched),
		       text_s(x->touched));
	else
		printf("%zu frames were touched %s time%s", x->n, text_thousands(x->touched), text_s(x->touched));
	if (x->touched && x->outside)
		printf("; %s map%s outside of the model", text_thousands(x->outside), text_s(x->outside));
	if (!x->touched && x->hex_seen)
		printf("; pfn 0x%" PRIx64 " was: --pfn takes decimal digits, or hex with 0x", x->hex);
}

static void print_text_end(const struct explain *x)
{
	char text[WORST_DOUBT];

	if (x->partial[0])
		printf("PARTIAL: %s\n", x->partial);
	if (x->midlife.seq)
		printf("MID-LIFE: no gap is certain: %s\n", x->older);
	if (x->not_shown)
		printf("%s translation%s to more frames not shown: the first %d are\n", text_thousands(x->not_shown),
		       text_s(x->not_shown), MAX_FRAMES);
	printf("SUMMARY: ");
	print_summary(x);
	worst_doubt_text(&x->worst, text);
	if (text[0])
		printf("; %s", text);
	putchar('\n');
}

static int run(struct explain *x)
{
	x->obs = (struct model_observer){
		.ctx = x,
		.pinned = on_pinned,
		.released = on_released,
		.exposed = on_exposed,
		.hidden = on_hidden,
		.touched = on_touched,
		.flushed = on_flushed,
		.gap = on_gap,
	};
	x->replay.memory = &x->memory;
	x->replay.ctx = x;
	if (x->by_iova && find_frames(x))
		return -1;
	if (x->n)
		x->worst = (struct worst){0}; /* the same captures come again */
	x->replay.set = &x->set;
	x->replay.obs = &x->obs;
	x->replay.progress = "explain";
	x->replay.begin = life_begin;
	x->replay.batch = life_batch;
	x->replay.end = life_end;
	if (x->json && explain_begin_json(x))
		return -1;
	if (x->n && replay_run(&x->replay, x->path, x->error))
		return -1;
	if (x->json)
		return explain_end_json(x);
	print_text_end(x);
	return 0;
}

/* Options */

static int take_iova(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	const char *colon = strchr(text, ':');
	struct explain *x = options;
	char domain[32] = "0";

	(void)o;
	x->any_domain = !colon;
	if (colon && (size_t)(colon - text) < sizeof(domain))
		snprintf(domain, sizeof(domain), "%.*s", (int)(colon - text), text);
	else if (colon)
		domain[0] = '\0';
	if (parse_u64(domain, 0, UINT64_MAX, &x->domain) || parse_u64(colon ? colon + 1 : text, 0, UINT64_MAX, &x->iova))
		return cli_usage_error(cmd, "--iova '%s': it takes ADDR or DOMAIN:ADDR, both decimal or 0x hex", text);
	x->by_iova = true;
	return STATUS_OK;
}

/* Digits with a letter can only be hex; without one they are decimal, and perhaps meant as hex. */
static int take_pfn(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	const uint64_t max = UINT64_MAX >> PAGE_SHIFT;
	struct explain *x = options;
	char hex[32];
	bool decimal;
	uint64_t pfn;

	(void)o;
	snprintf(hex, sizeof(hex), "0x%.28s", text);
	decimal = !parse_u64(text, 0, max, &pfn);
	if (!decimal && (!strpbrk(text, "abcdefABCDEF") || strlen(text) > 28 || parse_u64(hex, 0, max, &pfn)))
		return cli_usage_error(cmd, "--pfn '%s': it takes a page frame number, decimal or hex", text);
	x->has_hex = decimal && !parse_u64(hex, 0, max, &x->hex) && x->hex != pfn;
	x->n = 0;
	watch_add(x, pfn);
	x->by_pfn = true;
	return STATUS_OK;
}

#define CLI_OPTIONS struct explain

static const struct cli_option options[] = {
	{"pfn", 0, "N", "the page frame number: decimal; hex if it begins with 0x or has a letter", .take = take_pfn},
	{"iova", 0, "[DOMAIN:]ADDR",
	 "all pages that ADDR of a domain (its id), or of any domain, was mapped to in\n"
	 "the trace, which must be a file, because it is read twice",
	 .take = take_iova},
	{"policy", 0, "A[,B]...", "policies, separated by commas, or all (default)", TAKE(cli_take_policy, set)},
	{"plugin", 0, "SPEC", "add the policy of a shared object, PATH[:key=value]...", TAKE(cli_take_plugin, set)},
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"capture", 0, "N", CLI_CAPTURE_HELP, TAKE(cli_take_capture, replay.capture)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	{"allow-partial", 0, NULL, CLI_PARTIAL_HELP, TAKE(cli_take_flag, replay.allow_partial)},
	CLI_HELP,
	{0},
};

/* Whether the trace at path can be read only once. A missing file is reported later, by the reader. */
static bool read_once(const char *path)
{
	struct stat st;

	return !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static int take_operands(struct explain *x, int argc, char **argv)
{
	if (argc - optind != 1)
		return cli_usage_error(x->cmd, argc == optind ? "no trace given" : "more than one trace given");
	if (x->by_pfn == x->by_iova)
		return cli_usage_error(x->cmd, "which page: give one of --pfn and --iova");
	x->path = argv[optind];
	if (x->by_iova && read_once(x->path))
		return cli_usage_error(x->cmd, "--iova reads the trace twice, which %s cannot be: give a file, or --pfn",
				       strcmp(x->path, "-") ? x->path : "standard input");
	if (!x->set.n && policy_set_add(&x->set, "all", x->error)) {
		cli_message(x->cmd, "%s", x->error->text);
		return STATUS_ERROR;
	}
	return STATUS_OK;
}

static int explain_main(const struct command *cmd, int argc, char **argv)
{
	struct error e = {0};
	struct explain *x = calloc(1, sizeof(*x));
	int status;

	if (!x) {
		cli_message(cmd, "out of memory");
		return STATUS_ERROR;
	}
	x->cmd = cmd;
	x->error = &e;
	cli_default_memory(&x->memory);
	status = cli_options(cmd, argc, argv, x);
	if (status >= 0)
		goto out;
	status = take_operands(x, argc, argv);
	if (status)
		goto out;
	if (run(x)) {
		cli_flush(cmd);
		cli_message(cmd, "%s", e.text);
		status = STATUS_ERROR;
		goto out;
	}
	status = cli_flush(cmd);
out:
	policy_set_clear(&x->set);
	free(x);
	return status;
}

const struct command cmd_explain = {
	.name = "explain",
	.summary = "show the life of one page, event by event",
	.synopsis = "TRACE --pfn N | --iova [DOMAIN:]ADDR [OPTION]...",
	.about = "Shows each event that touched the page, with the state of the page after it: pin count,\n"
		 "non-coherent mappings and whether it had any since it was pinned, and which policies hold it\n"
		 "clean, flushed it, or have a gap.\n",
	.options = options,
	.column = 22,
	.notes = "Exit status: 0 done, even if no event touched the page; 1 input or system error; 2 usage.\n",
	.run = explain_main,
};
