/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush explain: the life of one page, event by event, with its pin count, non-coherent mappings, and each policy's
 * clean bit, flushes and gaps.
 *
 * The page is a PFN, or what DOMAIN:ADDR translated to over the trace: then the trace is read twice, first to find the
 * PFNs. Events are given to the model one at a time, so that the state printed is the state after that event. Lost
 * records are shown where they lie. A page that never appears is an answer, not an error: "never seen", exit status 0.
 *
 * JSON, stable (members may be added), printed as it is found:
 *	{"domain", "iova": if asked for, "pfns": ["0x.."], "policies": [NAME],
 *	 "events": [{"capture": N, "event", "name", "t", "cpu", "tid", "comm", "fields": {...},
 *		"pfn", "pin": N, "nc": N, "ever": bool, "changes": ["pinned", "exposed", "hidden", "released"],
 *		"clean": [NAME], "flushed": {HOOK: [NAME]}, "gaps": {KIND: [NAME]}}
 *		or, for lost records, without "pfn" and what follows it],
 *	 "touched": N, "pfns_not_shown": N, "midlife": {"event", "name", "t"} or null: of the first
 *	 capture that began so, "partial": sentence or null}
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/findings/wording.h"
#include "analyzer/replay/replay.h"
#include "base/number.h"
#include "base/text.h"

#define MAX_FRAMES 64 /* that an iova's history is told of */

enum change { CHANGE_PINNED, CHANGE_EXPOSED, CHANGE_HIDDEN, CHANGE_RELEASED, CHANGES };

static const char *const change_names[CHANGES] = {"pinned", "exposed", "hidden", "released"};

/* A frame that is watched, and what the event under way did to it. */
struct watch {
	uint64_t pfn;
	bool touched;
	unsigned changes;		     /* bits of enum change */
	uint64_t flushed[HOOKS], gaps[GAPS]; /* bits of policies */
};

struct explain {
	const struct command *cmd;
	const char *path;
	struct policy_set set, no_policies;
	struct error *error;
	struct replay replay;
	struct model_observer obs;
	struct budget memory;
	bool json, by_iova, by_pfn;
	uint64_t domain, iova;
	struct watch watch[MAX_FRAMES]; /* by pfn */
	size_t n;
	uint64_t not_shown; /* translations to frames beyond MAX_FRAMES */
	const struct intern *strings;
	uint64_t capture, seq;	/* of the event under way */
	uint64_t touched;	/* rows printed */
	uint64_t lost;		/* places since the last row */
	bool ever_lost;		/* at any place */
	struct midlife midlife; /* of the first capture that has it */
	char older[TEXT_MAX];	/* what that shows */
	bool first;		/* JSON: no element yet */
	char partial[TEXT_MAX];
};

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

/* Text */

/* The names of policies, the short way: "-", "all", "all but x, y" or "x, y". */
static void names_text(const struct explain *x, uint64_t mask, char *buf, size_t len)
{
	uint64_t all = x->set.n ? UINT64_MAX >> (64 - x->set.n) : 0;
	bool invert = mask != all && __builtin_popcountll(mask) * 2 > (int)x->set.n && x->set.n > 3;
	size_t at;

	mask &= all;
	if (!mask || mask == all) {
		snprintf(buf, len, "%s", mask ? "all" : "-");
		return;
	}
	at = (size_t)snprintf(buf, len, "%s", invert ? "all but " : "");
	if (invert)
		mask ^= all;
	for (size_t i = 0; i < x->set.n && at < len; i++) {
		if (!(mask >> i & 1))
			continue;
		at += (size_t)snprintf(buf + at, len - at, "%s%s", x->set.policy[i]->ops->name,
				       mask >> i & ~1ull ? ", " : "");
	}
}

static struct origin origin_of(const struct explain *x, const struct event *ev)
{
	return (struct origin){
		.seq = x->seq, .t = ev->t, .cpu = ev->cpu, .tid = ev->tid, .comm = ev->comm, .kind = ev->kind};
}

static void print_event(const struct explain *x, const struct event *ev)
{
	struct origin o = origin_of(x, ev);
	char buf[TEXT_MAX], label[32];
	size_t n;

	text_origin(buf, sizeof(buf), &o, x->strings);
	n = strcspn(buf, " ");
	snprintf(label, sizeof(label), "%.*s", (int)n, buf);
	n += strspn(buf + n, " ");
	memmove(buf, buf + n, strlen(buf + n) + 1);
	n = strlen(buf);
	snprintf(buf + n, sizeof(buf) - n, " ");
	n = strlen(buf);
	text_fields(buf + n, sizeof(buf) - n, ev, x->strings);
	text_item(stdout, label, buf);
}

static void print_state(const struct explain *x, const struct watch *w, const struct model_frame *f)
{
	char buf[TEXT_MAX], names[TEXT_MAX / 2], changes[64] = "";
	size_t at = 0;

	for (int i = 0; i < CHANGES; i++)
		if (w->changes & 1u << i)
			at += (size_t)snprintf(changes + at, sizeof(changes) - at, "%s%s", at ? ", " : "; ",
					       change_names[i]);
	names_text(x, f->clean, names, sizeof(names));
	snprintf(buf, sizeof(buf), "pfn 0x%" PRIx64 ": pin %" PRIu32 ", non-coherent mappings %" PRIu32 ", ever %s%s",
		 w->pfn, f->pin, f->nc, f->ever ? "yes" : "no", changes);
	text_item(stdout, "", buf);
	if (f->pin) {
		snprintf(buf, sizeof(buf), "clean: %s", names);
		text_item(stdout, "", buf);
	}
}

static void print_row(const struct explain *x, const struct watch *w, const struct model_frame *f)
{
	char buf[TEXT_MAX], names[TEXT_MAX / 2];

	for (int h = 0; h < HOOKS; h++) {
		if (!w->flushed[h])
			continue;
		names_text(x, w->flushed[h], names, sizeof(names));
		snprintf(buf, sizeof(buf), "flushed at %s: %s", hook_names[h], names);
		text_item(stdout, "", buf);
	}
	for (int k = 0; k < GAPS; k++) {
		if (!w->gaps[k])
			continue;
		names_text(x, w->gaps[k], names, sizeof(names));
		snprintf(buf, sizeof(buf), "GAP %s (%s): %s", gap_names[k], gap_is_error[k] ? "error" : "warning", names);
		text_item(stdout, "", buf);
	}
	print_state(x, w, f);
}

static void print_lost(struct explain *x)
{
	if (x->lost)
		printf("  ---       records were lost here, in %s place%s\n", text_thousands(x->lost), text_s(x->lost));
	x->lost = 0;
}

/* JSON */

static void put_names(struct json *into, const char *key, const struct explain *x, uint64_t mask)
{
	struct json *list = json_put_array(into, key);

	for (size_t i = 0; i < x->set.n; i++)
		if (mask >> i & 1)
			json_put_text(list, NULL, x->set.policy[i]->ops->name);
}

static void put_masks(struct json *into, const char *key, const struct explain *x, const uint64_t *mask,
		      const char *const *name, int n)
{
	struct json *obj = json_put_object(into, key);

	for (int i = 0; i < n; i++)
		if (mask[i])
			put_names(obj, name[i], x, mask[i]);
}

static struct json *event_json(const struct explain *x, const struct event *ev)
{
	struct json *obj = json_new_object();
	struct origin o = origin_of(x, ev);

	json_put_origin(obj, &o, x->strings);
	json_put_u64(obj, "capture", x->capture);
	json_put_fields(obj, "fields", ev, x->strings);
	return obj;
}

static struct json *row_json(const struct explain *x, const struct event *ev, const struct watch *w,
			     const struct model_frame *f)
{
	struct json *obj = event_json(x, ev), *changes;

	json_put_hex(obj, "pfn", w->pfn);
	json_put_u64(obj, "pin", f->pin);
	json_put_u64(obj, "nc", f->nc);
	json_put_bool(obj, "ever", f->ever);
	changes = json_put_array(obj, "changes");
	for (int i = 0; i < CHANGES; i++)
		if (w->changes & 1u << i)
			json_put_text(changes, NULL, change_names[i]);
	put_names(obj, "clean", x, f->clean);
	put_masks(obj, "flushed", x, w->flushed, hook_names, HOOKS);
	put_masks(obj, "gaps", x, w->gaps, gap_names, GAPS);
	return obj;
}

static int no_memory(struct explain *x)
{
	return error_set(x->error, "out of memory while printing");
}

static int add_element(struct explain *x, struct json *obj)
{
	printf(x->first ? "\n" : ",\n");
	x->first = false;
	return json_print(stdout, obj) ? no_memory(x) : 0;
}

/* Members without the brackets around them, and what follows. Takes doc. */
static int print_members(struct explain *x, struct json *doc, const char *end)
{
	char *text = json_format(doc, JSON_LINE);

	json_free(doc);
	if (!text)
		return no_memory(x);
	printf("%.*s%s", (int)strlen(text) - 2, text + 1, end);
	free(text);
	return 0;
}

static int begin_json(struct explain *x)
{
	struct json *pfns = json_new_array(), *policies = json_new_object();

	for (size_t i = 0; i < x->n; i++)
		json_put_hex(pfns, NULL, x->watch[i].pfn);
	put_names(policies, "policies", x, UINT64_MAX);
	printf("{");
	if (x->by_iova)
		printf("\"domain\": \"0x%" PRIx64 "\", \"iova\": \"0x%" PRIx64 "\",\n", x->domain, x->iova);
	printf("\"pfns\": ");
	if (json_print(stdout, pfns)) {
		json_free(policies);
		return no_memory(x);
	}
	printf(",");
	x->first = true;
	return print_members(x, policies, ",\n\"events\": [");
}

static int end_json(struct explain *x)
{
	struct json *doc = json_new_object();

	json_put_u64(doc, "touched", x->touched);
	json_put_u64(doc, "pfns_not_shown", x->not_shown);
	json_put_midlife(doc, "midlife", &x->midlife);
	json_put_text(doc, "partial", x->partial[0] ? x->partial : NULL);
	printf("],\n");
	return print_members(x, doc, "}\n");
}

/* Both passes */

/* Rows for what the event did to the watched frames. */
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
			err = add_element(x, row_json(x, ev, w, &f));
		} else {
			if (!shown) {
				print_lost(x);
				print_event(x, ev);
			}
			print_row(x, w, &f);
		}
		shown = true;
		*w = (struct watch){.pfn = w->pfn};
	}
	return err;
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
			if (x->json && add_element(x, event_json(x, ev)))
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

static int life_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	struct explain *x = ctx;

	const struct model_totals *t = model_totals(m);

	(void)s, (void)c;
	if (t->midlife.seq && !x->midlife.seq) {
		x->midlife = t->midlife;
		text_midlife(x->older, sizeof(x->older), &t->midlife, t->health);
	}
	if (!x->json)
		print_lost(x);
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

/* The first pass for an iova: the frames that it translates to. Only a map of that domain can change it. */
static int find_batch(void *ctx, const struct event *ev, size_t n, struct model *m, struct error *e)
{
	struct explain *x = ctx;

	for (const struct event *end = ev + n; ev < end; ev++) {
		uint64_t pfn;

		if (model_events(m, ev, 1, e))
			return -1;
		x->ever_lost |= ev->kind == EV_lost;
		if (ev->kind != EV_map || ev->map.domain != x->domain || x->iova < ev->map.iova ||
		    x->iova - ev->map.iova >= ev->map.size)
			continue;
		pfn = model_translate(m, x->domain, x->iova);
		if (pfn != IOFLUSH_PFN_UNKNOWN)
			watch_add(x, pfn);
	}
	return 0;
}

/* Where no page is found there is no second pass to say that the trace breaks off. */
static int find_end(void *ctx, struct source *s, const struct capture *c, struct model *m, const char *partial)
{
	(void)s, (void)c, (void)m;
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

/* What a page that was not found may still be in. */
static const char *doubt(const struct explain *x)
{
	return x->partial[0]  ? " in the part that is there" :
	       x->ever_lost   ? " in what was recorded; records were lost" :
	       x->midlife.seq ? " in what was recorded, from mid-life on" :
				"";
}

static void print_text_end(const struct explain *x)
{
	bool doubtful = doubt(x)[0];

	if (x->partial[0])
		printf("PARTIAL: %s\n", x->partial);
	if (x->midlife.seq)
		printf("MID-LIFE: no gap is certain: %s\n", x->older);
	if (x->not_shown)
		printf("%s translation%s to more frames not shown: the first %d are\n", text_thousands(x->not_shown),
		       text_s(x->not_shown), MAX_FRAMES);
	if (x->by_iova && !x->n)
		printf("SUMMARY: domain 0x%" PRIx64 " %s iova 0x%" PRIx64 "%s\n", x->domain,
		       doubtful ? "did not map" : "never mapped", x->iova, doubt(x));
	else if (!x->touched)
		printf("SUMMARY: pfn 0x%" PRIx64 " was %s seen%s\n", x->watch[0].pfn, doubtful ? "not" : "never",
		       doubt(x));
	else if (x->n == 1)
		printf("SUMMARY: pfn 0x%" PRIx64 " was touched by %s event%s\n", x->watch[0].pfn,
		       text_thousands(x->touched), text_s(x->touched));
	else
		printf("SUMMARY: %zu frames were touched %s time%s\n", x->n, text_thousands(x->touched),
		       text_s(x->touched));
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
	x->replay.set = &x->set;
	x->replay.obs = &x->obs;
	x->replay.progress = "explain";
	x->replay.begin = life_begin;
	x->replay.batch = life_batch;
	x->replay.end = life_end;
	if (x->json && begin_json(x))
		return -1;
	if (x->n && replay_run(&x->replay, x->path, x->error))
		return -1;
	if (x->json)
		return end_json(x);
	print_text_end(x);
	return 0;
}

/* Options */

static int take_iova(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	const char *colon = strchr(text, ':');
	struct explain *x = options;
	char domain[32];

	(void)o;
	if (!colon || (size_t)(colon - text) >= sizeof(domain))
		return cli_usage_error(cmd, "--iova: DOMAIN:ADDR, not \"%s\"", text);
	snprintf(domain, sizeof(domain), "%.*s", (int)(colon - text), text);
	if (parse_u64(domain, 0, UINT64_MAX, &x->domain) || parse_u64(colon + 1, 0, UINT64_MAX, &x->iova))
		return cli_usage_error(cmd, "--iova: DOMAIN:ADDR, both decimal or 0x hex, not \"%s\"", text);
	x->by_iova = true;
	return STATUS_OK;
}

static int take_pfn(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct explain *x = options;
	uint64_t pfn;

	(void)o;
	if (parse_u64(text, 0, UINT64_MAX >> PAGE_SHIFT, &pfn))
		return cli_usage_error(cmd, "--pfn: a page frame number, decimal or 0x hex, not \"%s\"", text);
	x->n = 0;
	watch_add(x, pfn);
	x->by_pfn = true;
	return STATUS_OK;
}

#define CLI_OPTIONS struct explain

static const struct cli_option options[] = {
	{"pfn", 0, "N", "the page frame number", .take = take_pfn},
	{"iova", 0, "DOMAIN:ADDR",
	 "the pages that ADDR of a domain (its id) translated to over the trace;\n"
	 "needs a file, since it is read twice",
	 .take = take_iova},
	{"policy", 0, "A[,B]...", "policies, or all (default)", TAKE(cli_take_policy, set)},
	{"plugin", 0, "SPEC", "a policy of a shared object, PATH[:key=value]...", TAKE(cli_take_plugin, set)},
	{"format", 0, "F", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	{"capture", 0, "N", "only this capture of a database", TAKE(cli_take_capture, replay.capture)},
	{"memory", 0, "SIZE", CLI_MEMORY_HELP, TAKE(cli_take_memory, memory)},
	{"allow-partial", 0, NULL, "a trace that breaks off: show what there is",
	 TAKE(cli_take_flag, replay.allow_partial)},
	CLI_HELP(0, "this text"),
	{0},
};

/* Whether the trace at path can be read only once. What is not there gets its message from the reading. */
static bool read_once(const char *path)
{
	struct stat st;

	return !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static int take_operands(struct explain *x, int argc, char **argv)
{
	if (argc - optind != 1)
		return cli_usage_error(x->cmd, "one TRACE, not %d", argc - optind);
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
	.summary = "the life of one page, event by event",
	.synopsis = "TRACE --pfn N | --iova DOMAIN:ADDR [OPTION]...",
	.about = "Shows each event that touched the page and its state after it: pin count, non-coherent mappings,\n"
		 "whether it ever had one since it was pinned, which policies hold it clean, flushed it, or have a gap.\n",
	.options = options,
	.column = 22,
	.notes = "Exit status: 0 done, also for a page that was never seen; 1 input or system error; 2 usage.\n",
	.run = explain_main,
};
