/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A report as text of 100 columns: what was read, the table (table.c), what makes the numbers doubtful, and verdicts
 * (verdict.c).
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/findings/wording.h"
#include "analyzer/report/failures.h"
#include "analyzer/report/impl.h"
#include "analyzer/report/lacking.h"
#include "analyzer/report/losses.h"
#include "base/text.h"

#define LABEL 9 /* column where a header's or health line's text begins */

void report_wrapped(FILE *out, const char *label, size_t indent, char *text)
{
	size_t column = (size_t)fprintf(out, "%-*s", (int)indent, label);
	char *save = NULL;
	bool first = true;

	/* text from a trace must not control the terminal */
	for (char *p = text; p && *p; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	if (text)
		text_printable(text);
	for (char *word = text ? strtok_r(text, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
		size_t len = strlen(word);

		if (!first && column + 1 + len > REPORT_LINE) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		column += (size_t)fprintf(out, "%s%s", first ? "" : " ", word);
		first = false;
	}
	fputc('\n', out);
	free(text);
}

void report_say(FILE *out, const char *label, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	report_wrapped(out, label, LABEL, text);
}

static void print_capture(const struct report_capture *c, FILE *out)
{
	bool database = !strcmp(c->c.format, "database");
	uint64_t span = time_span(c->first_t, c->last_t);
	char number[32] = "";

	if (database)
		snprintf(number, sizeof(number), " capture %" PRIu64, c->c.id);
	report_say(out, "trace", "%s%s (%s%s%s)", strcmp(c->c.source, "-") ? c->c.source : "standard input", number,
		   c->c.format, c->c.state[0] ? ", " : "", c->c.state);
	report_say(out, "", "host %s, kernel %s, clock %s", c->c.host[0] ? c->c.host : "unknown",
		   c->c.kernel[0] ? c->c.kernel : "unknown", c->c.clock[0] ? c->c.clock : "unknown");
	if (c->events && capture_in_ticks(&c->c))
		report_say(out, "",
			   "%s event%s in %s ticks, from %" PRIu64 " to %" PRIu64 " (this clock does not count seconds)",
			   text_thousands(c->events), text_s(c->events), text_thousands(span), c->first_t, c->last_t);
	else if (c->events)
		report_say(out, "", "%s event%s in %s.%06u s, from %" PRIu64 ".%06u to %" PRIu64 ".%06u",
			   text_thousands(c->events), text_s(c->events), text_thousands(span / 1000000000),
			   (unsigned)(span / 1000 % 1000000), c->first_t / 1000000000,
			   (unsigned)(c->first_t / 1000 % 1000000), c->last_t / 1000000000,
			   (unsigned)(c->last_t / 1000 % 1000000));
	else
		report_say(out, "", "no events");
	if (c->partial)
		report_say(out, "", "PARTIAL, it ends after %s event%s: %s", text_thousands(c->events),
			   text_s(c->events), c->partial);
	else if (c->c.note[0])
		report_say(out, "", "note: %s", c->c.note);
}

static void print_header(const struct report *r, FILE *out)
{
	const struct model_totals *t = &r->totals;

	for (size_t i = 0; i < r->n; i++)
		print_capture(&r->capture[i], out);
	if (r->n > 1)
		report_say(out, "sum", "%zu captures, %s event%s; what follows is the sum over all", r->n,
			   text_thousands(t->events), text_s(t->events));
	report_say(out, "pages", "%s page mappings, counted once per domain; %s unpinned, at most %s exposed at one time",
		   text_thousands(t->mapped_pages), text_thousands(t->unpinned_pages), text_thousands(t->peak_exposed));
	report_say(out, "cost", "%s cycles a page; ms at %" PRIu64 " MHz%s", text_thousands(r->cycles_per_page),
		   r->cpu_mhz, r->cpu_mhz_given ? "" : ": of another CPU; ioflush calibrate measures yours");
}

/* ---- health ---- */

static const char *severity_name(char severity)
{
	return severity == 'e' ? "error" : severity == 'w' ? "warning" : "note";
}

/* What the kernel's own unpins say of those derived. */
static void print_unpins(const struct report *r, FILE *out)
{
	const struct model_totals *t = &r->totals;

	if (!t->kernel_unpins && t->derived_unpins)
		report_say(out, "", "%s unpin%s derived; the trace has no unpin events%s, so they cannot be verified",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins),
			   t->by_kind[EV_unpin] ? " by iommufd" : "");
	else if (!t->kernel_unpins)
		report_say(out, "", "no unpins derived, none recorded%s", t->by_kind[EV_unpin] ? " by iommufd" : "");
	else if (!t->derived_unpins)
		report_say(out, "", "no unpins derived; the kernel made %s", text_thousands(t->kernel_unpins));
	else if (report_midlife(r))
		report_say(out, "",
			   "%s unpin%s derived, %s of them missing in the kernel's own unpin events: perhaps older objects pin "
			   "the pages still; %s of the kernel's %s not derived: pinned before the recording began, or held only "
			   "by accesses",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins),
			   text_thousands(t->missing_in_kernel), text_thousands(t->not_derived),
			   text_thousands(t->kernel_unpins));
	else if (t->pending_unpins)
		report_say(out, "",
			   "%s unpin%s derived: %s missing in the kernel's own unpin events, %s pending in operations under way at "
			   "the end; %s of the kernel's %s not derived",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins),
			   text_thousands(t->missing_in_kernel), text_thousands(t->pending_unpins),
			   text_thousands(t->not_derived), text_thousands(t->kernel_unpins));
	else if (t->missing_in_kernel)
		report_say(out, "",
			   "%s unpin%s derived, %s of them missing in the kernel's own unpin events; %s of the kernel's %s not "
			   "derived",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins),
			   text_thousands(t->missing_in_kernel), text_thousands(t->not_derived),
			   text_thousands(t->kernel_unpins));
	else if (t->not_derived)
		report_say(out, "",
			   "%s unpin%s derived, the kernel's own unpin events confirm all of them; %s of the kernel's %s not "
			   "derived (%s)",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins), text_thousands(t->not_derived),
			   text_thousands(t->kernel_unpins),
			   t->by_kind[EV_rw_access] ?
				   "held only by accesses, or by a fill or join that failed" :
				   "held only by accesses, by one read or write, or by a fill or join that failed");
	else
		report_say(out, "", "%s unpin%s derived, the kernel's own unpin events confirm all of them",
			   text_thousands(t->derived_unpins), text_s(t->derived_unpins));
}

static void print_verify(const struct report *r, FILE *out)
{
	char text[WORST_TEXT];

	worst_text(&r->worst, text);
	report_say(out, "verify", "%s", text);
	print_unpins(r, out);
}

/* Losses by cause, and what failed. */
static void print_tallies(const struct report *r, FILE *out)
{
	const struct model_totals *t = &r->totals;
	char text[TEXT_MAX];
	bool ticks = false;

	for (size_t i = 0; i < r->n; i++) /* which capture failed first is not kept: beside ticks, all are plain numbers */
		ticks |= capture_in_ticks(&r->capture[i].c);
	text_use_ticks(ticks);
	for (size_t i = 0; i < t->losses.n; i++) {
		loss_text(text, sizeof(text), &t->losses.loss[i], r->texts);
		report_say(out, "", "lost: %s", text);
	}
	for (size_t i = 0; i < t->failures.n; i++) {
		failure_text(text, sizeof(text), &t->failures.failure[i]);
		report_say(out, "", "note: %s", text);
	}
}

/* Records that are not events, as expected: information. */
static void print_dropped(const struct report *r, FILE *out)
{
	const struct dropped *d = &r->dropped;
	const struct {
		uint64_t n;
		const char *what;
	} part[] = {
		{d->failed_maps, "maps that failed"},
		{d->failed_accesses, "accesses that failed"},
		{d->empty_unmaps, "unmaps of nothing"},
		{d->other, "records of other events"},
		{d->unnamed, "names for which there was no room"},
		{d->doubtful_names, "names that may be forged"},
	};
	char text[256] = "", counted[64];
	size_t at = 0;

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		if (!part[i].n)
			continue;
		text_counted(counted, sizeof(counted), part[i].n, part[i].what);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? ", " : "", counted);
	}
	if (at)
		report_say(out, "", "note: left out: %s", text);
	if (d->moved)
		report_say(out, "", "note: %s", text_moved(text, sizeof(text), d->moved));
}

/* What it means for the gaps of a capture that it began in mid-life, and what to do. */
static void print_midlife(const struct report *r, FILE *out)
{
	char what[TEXT_MAX], which[48] = "";

	if (report_midlife(r))
		fputc('\n', out);
	for (size_t i = 0; i < r->n; i++) {
		const struct report_capture *c = &r->capture[i];

		if (!c->midlife.seq)
			continue;
		if (r->n > 1)
			snprintf(which, sizeof(which), " of capture %zu here", i + 1);
		text_use_ticks(capture_in_ticks(&c->c));
		text_midlife(what, sizeof(what), &c->midlife, c->health);
		report_say(out, "midlife",
			   "the recording%s began in mid-life: %s. The trace does not say what these pinned, exposed or flushed "
			   "before, so no gap%s is certain. \"if new\" counts those that are gaps if their memory was new to "
			   "iommufd. To be certain, start recording before the first device is attached.",
			   which, what, r->n > 1 ? " of it" : "");
	}
}

static bool is_failed(int health)
{
	return health == HEALTH_failed_maps || health == HEALTH_failed_fills || health == HEALTH_failed_joins;
}

static void print_health(const struct report *r, FILE *out)
{
	bool lost = report_lost(r);
	char counted[LACKING_TEXT];

	fputc('\n', out);
	if (!lost)
		report_say(out, "health", "no records lost");
	for (int i = 0; i < HEALTH_COUNT; i++) {
		const struct health_desc *d = &health_table[i];

		/* those that failed are listed with their errors */
		if (!r->totals.health[i] || is_failed(i))
			continue;
		text_counted(counted, sizeof(counted), r->totals.health[i], d->doc);
		report_say(out, lost ? "health" : "", "%s: %s%s%s", severity_name(d->severity), counted,
			   d->advice[0] ? "; " : "", d->advice);
		lost = false;
	}
	print_tallies(r, out);
	print_dropped(r, out);
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].partial)
			report_say(out, "", "error: partial input: %s, capture %" PRIu64, r->capture[i].c.source,
				   r->capture[i].c.id);
		if (r->capture[i].idle)
			report_say(out, "",
				   "note: capture %zu here is idle: it has no event of iommufd, and says nothing", i + 1);
		lacking_text(lacking_needed(r->capture[i].lacking), counted);
		if (counted[0])
			report_say(out, "",
				   "error: no probe of %s, capture %" PRIu64
				   ", gave %s: what is mapped where and why is not known; "
				   "record with probes that do (ioflushd --check says which this kernel takes)",
				   r->capture[i].c.source, r->capture[i].c.id, counted);
	}
	for (size_t i = 0; i < r->nleft_out; i++)
		report_say(out, "", "error: %s", r->left_out[i]);
	print_verify(r, out);
}

void report_text(const struct report *r, FILE *out)
{
	print_header(r, out);
	report_table(r, out);
	print_midlife(r, out);
	print_health(r, out);
	report_verdicts(r, out);
}
