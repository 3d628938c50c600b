/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings as text; see gaps.h. */
#include "analyzer/commands/gaps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/findings/wording.h"
#include "analyzer/report/lacking.h"
#include "analyzer/report/losses.h"
#include "base/text.h"

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

/* Both sides: the event that violates, the one that set it up, and the rest of the frames' history. */
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
		 "the recording began in mid-life: of %s page%s, %s %s in gaps for sure if their memory was new to iommufd "
		 "then; an older object may have flushed a page, or pin or expose it still",
		 text_thousands(g->npages), text_s(g->npages), fresh, g->new_pages == 1 ? "is" : "are");
	text_item(stdout, "uncertain", buf);
}

static void print_finding(const struct gaps *a, const struct finding *g, size_t number)
{
	char buf[TEXT_MAX], when[32];

	text_use_ticks(g->ticks);
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
	if (g->stale_pages && g->stale_pages < g->npages) {
		snprintf(buf, sizeof(buf), "%s of the pages %s at the same place before: older data of that place",
			 text_thousands(g->stale_pages), g->stale_pages == 1 ? "was" : "were");
		text_item(stdout, "stale", buf);
	}
	if (g->unordered_pages) {
		snprintf(buf, sizeof(buf),
			 "at %s of the pages operations of threads overlapped: the kernel's order may be another, and "
			 "then there may be no gap",
			 text_thousands(g->unordered_pages));
		text_item(stdout, "order", buf);
	}
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
		printf("No probe gave what every policy needs:\n");
		text_item(stdout, "lacking", buf);
	}
	if (a->midlife.seq) {
		text_use_ticks(a->midlife_ticks);
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
	losses_print(stdout, &a->losses, findings_strings(a->findings));
}

/* The causes, if there are fewer of them than findings. */
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
	char doubt[WORST_DOUBT];
	uint64_t unordered = 0;

	printf("SUMMARY: %s: %s finding%s (%s error%s, %s warning%s); pages:", a->policy, text_thousands(s->findings),
	       text_s(s->findings), text_thousands(s->errors), text_s(s->errors), text_thousands(s->warnings),
	       text_s(s->warnings));
	for (int k = 0; k < GAPS; k++)
		printf("%s %s %s", k ? "," : "", gap_names[k], text_thousands(s->pages[k]));
	if (s->stale)
		printf("; %s of the leaked pages stale", text_thousands(s->stale));
	for (int k = 0; k < GAPS; k++)
		unordered += s->unordered[k];
	if (unordered)
		printf("; %s of the pages where operations overlapped", text_thousands(unordered));
	if (s->uncertain)
		printf("; %s uncertain", text_thousands(s->uncertain));
	if (s->shown < s->findings)
		printf("; %s not shown", text_thousands(s->findings - s->shown));
	if (a->partial[0])
		printf("; PARTIAL");
	worst_doubt_text(&a->worst, doubt);
	if (doubt[0])
		printf("; %s", doubt);
	putchar('\n');
}

void gaps_print_text(const struct gaps *a, const struct summary *s)
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
