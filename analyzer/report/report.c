/*
 * The report of a replay. All arithmetic is on integers, so the same trace gives the same bytes; sums and products
 * that would wrap stay at the largest value. In JSON, cycles stay at the largest of 63 bits, which stands for "that or
 * more", and cost.saturated says that some do.
 *
 * The text is one wide table, cut into groups of columns: groups share a line as long as it has at most LINE columns.
 */
#include "analyzer/report/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/findings/wording.h"
#include "analyzer/report/lacking.h"
#include "base/json.h"
#include "base/text.h"

#define LINE 100
#define LABEL 9		/* column where a header's or health line's text begins */
#define CELL 32		/* bytes of a cell */
#define PAGES_WIDTH 13	/* widest exact number of pages: 9,999,999,999 */
#define CYCLES_WIDTH 17 /* and of cycles */

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint64_t report_flushed(const struct policy_counts *c)
{
	uint64_t n = 0;

	for (int i = 0; i < HOOKS; i++)
		n = add(n, c->flush[i]);
	return n;
}

static uint64_t cycles_of(const struct report *r, const struct policy_counts *c)
{
	return multiply(report_flushed(c), r->cycles_per_page);
}

bool report_lost(const struct report *r)
{
	return r->totals.health[HEALTH_lost_records] || r->totals.health[HEALTH_lost_unknown];
}

bool report_midlife(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].midlife.seq)
			return true;
	}
	return false;
}

static bool any_partial(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].partial)
			return true;
	}
	return r->nleft_out;
}

/* The counts of ideal, if it is among the policies. */
static const struct policy_counts *ideal_counts(const struct report *r)
{
	for (size_t i = 0; i < r->set->n; i++) {
		if (!strcmp(r->set->policy[i]->ops->name, "ideal"))
			return &r->counts[i];
	}
	return NULL;
}

/* Gathering ------------------------------------------------------------------------------------------------------ */

int report_init(struct report *r, const struct policy_set *set, struct error *e)
{
	*r = (struct report){.set = set, .cycles_per_page = REPORT_CYCLES_PER_PAGE, .cpu_mhz = REPORT_CPU_MHZ};
	r->counts = calloc(set->n ? set->n : 1, sizeof(*r->counts));
	return r->counts ? 0 : error_set(e, "out of memory");
}

/* Room for one more in an array that doubles. 0, or -1: no memory. */
static int grow(struct budget *budget, void *array, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? 2 * *cap : 4;
	void **p = array, *grown;

	if (n < *cap)
		return 0;
	grown = budget_resize(budget, *p, *cap * size, want * size);
	if (!grown)
		return -1;
	*p = grown;
	*cap = want;
	return 0;
}

/* A copy that free_text() gives back; *failed: there was no memory for it. */
static char *keep_text(struct report *r, const char *text, bool *failed)
{
	size_t size = strlen(text) + 1;
	char *copy = budget_resize(r->budget, NULL, 0, size);

	*failed |= !copy;
	return copy ? memcpy(copy, text, size) : NULL;
}

static void free_text(struct report *r, char *text)
{
	budget_free(r->budget, text, text ? strlen(text) + 1 : 0);
}

static void capture_clear(struct report *r, struct report_capture *c)
{
	free_text(r, c->source);
	free_text(r, c->format);
	free_text(r, c->host);
	free_text(r, c->kernel);
	free_text(r, c->clock);
	free_text(r, c->state);
	free_text(r, c->note);
	free_text(r, c->partial);
}

void report_clear(struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		capture_clear(r, &r->capture[i]);
	budget_free(r->budget, r->capture, r->captures_cap * sizeof(*r->capture));
	free(r->counts);
	for (size_t i = 0; i < r->nleft_out; i++)
		free_text(r, r->left_out[i]);
	budget_free(r->budget, r->left_out, r->left_out_cap * sizeof(char *));
	*r = (struct report){0};
}

int report_leave_out(struct report *r, const char *what, struct error *e)
{
	bool failed = grow(r->budget, &r->left_out, r->nleft_out, &r->left_out_cap, sizeof(char *));
	char *text = failed ? NULL : keep_text(r, what, &failed);

	if (failed)
		return error_set(e, "%s: %s", what, budget_failure(r->budget));
	r->left_out[r->nleft_out++] = text;
	return 0;
}

/* The next capture of the report, without its counts. 0 or -1. */
static int capture_copy(struct report *r, const struct capture *c, const struct model_totals *t, const char *partial,
			struct error *e)
{
	bool failed = grow(r->budget, &r->capture, r->n, &r->captures_cap, sizeof(*r->capture));
	struct report_capture copy = {
		.id = c->id,
		.events = t->events,
		.first_t = t->first_t,
		.last_t = t->last_t,
		.midlife = t->midlife,
		.lacking = lacking_kinds(c->probes, t),
	};

	memcpy(copy.health, t->health, sizeof(copy.health));
	copy.source = keep_text(r, c->source, &failed);
	copy.format = keep_text(r, c->format, &failed);
	copy.host = keep_text(r, c->host, &failed);
	copy.kernel = keep_text(r, c->kernel, &failed);
	copy.clock = keep_text(r, c->clock, &failed);
	copy.state = keep_text(r, partial ? "partial" : c->state, &failed);
	copy.note = keep_text(r, c->note, &failed);
	copy.partial = partial ? keep_text(r, partial, &failed) : NULL;
	if (failed) {
		capture_clear(r, &copy);
		return error_set(e, "%s: capture %" PRIu64 ": %s", c->source, c->id, budget_failure(r->budget));
	}
	r->capture[r->n++] = copy;
	return 0;
}

static void add_totals(struct model_totals *sum, const struct model_totals *t)
{
	bool first = !sum->events;

	if (t->events && (first || t->first_t < sum->first_t))
		sum->first_t = t->first_t;
	if (t->events && (first || t->last_t > sum->last_t))
		sum->last_t = t->last_t;
	sum->events = add(sum->events, t->events);
	for (int i = 0; i < EV_KINDS; i++)
		sum->by_kind[i] = add(sum->by_kind[i], t->by_kind[i]);
	sum->mapped_pages = add(sum->mapped_pages, t->mapped_pages);
	sum->unpinned_pages = add(sum->unpinned_pages, t->unpinned_pages);
	if (t->peak_exposed > sum->peak_exposed)
		sum->peak_exposed = t->peak_exposed;
	sum->derived_unpins = add(sum->derived_unpins, t->derived_unpins);
	sum->kernel_unpins = add(sum->kernel_unpins, t->kernel_unpins);
	sum->missing_in_kernel = add(sum->missing_in_kernel, t->missing_in_kernel);
	sum->not_derived = add(sum->not_derived, t->not_derived);
	for (int i = 0; i < HEALTH_COUNT; i++)
		sum->health[i] = add(sum->health[i], t->health[i]);
}

static void add_counts(struct policy_counts *sum, const struct policy_counts *c)
{
	for (int i = 0; i < HOOKS; i++)
		sum->flush[i] = add(sum->flush[i], c->flush[i]);
	sum->ranges = add(sum->ranges, c->ranges);
	for (int i = 0; i < GAPS; i++)
		sum->gaps[i] = add(sum->gaps[i], c->gaps[i]);
	for (int i = 0; i < GAPS; i++) {
		sum->uncertain[i] = add(sum->uncertain[i], c->uncertain[i]);
		sum->if_new[i] = add(sum->if_new[i], c->if_new[i]);
	}
}

static void add_dropped(struct report *r, const struct dropped *d)
{
	struct dropped *sum = &r->dropped;

	if (!d) {
		r->dropped_unknown = true;
		return;
	}
	sum->failed_maps = add(sum->failed_maps, d->failed_maps);
	sum->failed_accesses = add(sum->failed_accesses, d->failed_accesses);
	sum->empty_unmaps = add(sum->empty_unmaps, d->empty_unmaps);
	sum->other = add(sum->other, d->other);
	sum->unnamed = add(sum->unnamed, d->unnamed);
	sum->doubtful_names = add(sum->doubtful_names, d->doubtful_names);
	sum->moved = add(sum->moved, d->moved);
}

int report_add(struct report *r, const struct capture *c, const struct model *m, const char *partial,
	       const struct dropped *dropped, struct error *e)
{
	if (capture_copy(r, c, model_totals(m), partial, e))
		return -1;
	add_totals(&r->totals, model_totals(m));
	add_dropped(r, dropped);
	for (size_t i = 0; i < r->set->n; i++)
		add_counts(&r->counts[i], model_counts(m, i));
	return 0;
}

/* Text: lines ---------------------------------------------------------------------------------------------------- */

/* Prints label, then text from column LABEL on, broken between words at LINE. Takes text, which may be NULL. */
static void print_wrapped(FILE *out, const char *label, size_t indent, char *text)
{
	size_t column = (size_t)fprintf(out, "%-*s", (int)indent, label);
	char *save = NULL;
	bool first = true;

	/* text from a trace must not steer the terminal */
	for (char *p = text; p && *p; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	if (text)
		text_printable(text);
	for (char *word = text ? strtok_r(text, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
		size_t len = strlen(word);

		if (!first && column + 1 + len > LINE) {
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

static void say(FILE *out, const char *label, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say(FILE *out, const char *label, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	print_wrapped(out, label, LABEL, text);
}

static void print_capture(const struct report_capture *c, FILE *out)
{
	bool database = !strcmp(c->format, "database");
	uint64_t span = time_span(c->first_t, c->last_t);
	char number[32] = "";

	if (database)
		snprintf(number, sizeof(number), " capture %" PRIu64, c->id);
	say(out, "trace", "%s%s (%s%s%s)", strcmp(c->source, "-") ? c->source : "standard input", number, c->format,
	    c->state[0] ? ", " : "", c->state);
	say(out, "", "host %s, kernel %s, clock %s", c->host[0] ? c->host : "unknown",
	    c->kernel[0] ? c->kernel : "unknown", c->clock[0] ? c->clock : "unknown");
	if (c->events)
		say(out, "", "%s event%s in %s.%06u s, from %" PRIu64 ".%06u to %" PRIu64 ".%06u",
		    text_thousands(c->events), text_s(c->events), text_thousands(span / 1000000000),
		    (unsigned)(span / 1000 % 1000000), c->first_t / 1000000000, (unsigned)(c->first_t / 1000 % 1000000),
		    c->last_t / 1000000000, (unsigned)(c->last_t / 1000 % 1000000));
	else
		say(out, "", "no events");
	if (c->partial)
		say(out, "", "PARTIAL, it ends after %s event%s: %s", text_thousands(c->events), text_s(c->events),
		    c->partial);
	else if (c->note[0])
		say(out, "", "note: %s", c->note);
}

static void print_header(const struct report *r, FILE *out)
{
	const struct model_totals *t = &r->totals;

	for (size_t i = 0; i < r->n; i++)
		print_capture(&r->capture[i], out);
	if (r->n > 1)
		say(out, "sum", "%zu captures, %s event%s; what follows is the sum over all", r->n,
		    text_thousands(t->events), text_s(t->events));
	say(out, "pages", "%s mapped (once a domain), %s unpinned, at most %s exposed at one time",
	    text_thousands(t->mapped_pages), text_thousands(t->unpinned_pages), text_thousands(t->peak_exposed));
	say(out, "cost", "%s cycles a page; ms at %" PRIu64 " MHz%s", text_thousands(r->cycles_per_page), r->cpu_mhz,
	    r->cpu_mhz_given ? "" : ", the CPU of the published figures (see --cpu-mhz)");
}

/* Text: the table ------------------------------------------------------------------------------------------------ */

/* n exactly if that has at most width columns, else shortened to "1234.5 T". */
static void number_cell(char *cell, uint64_t n, size_t width)
{
	static const char unit[] = "kMGTPE";
	uint64_t divisor = 1;
	int i = -1;

	snprintf(cell, CELL, "%s", text_thousands(n));
	if (strlen(cell) <= width)
		return;
	while (n / divisor >= 10000) {
		divisor *= 1000;
		i++;
	}
	snprintf(cell, CELL, "%" PRIu64 ".%u %c", n / divisor, (unsigned)(n % divisor / (divisor / 10)), unit[i]);
}

static void pages_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	number_cell(cell, report_flushed(&r->counts[i]), PAGES_WIDTH);
}

static void bytes_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	snprintf(cell, CELL, "%s", text_bytes(multiply(report_flushed(&r->counts[i]), PAGE_SIZE_BYTES)));
}

static void cycles_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	number_cell(cell, cycles_of(r, &r->counts[i]), CYCLES_WIDTH);
}

static void ms_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	uint64_t us = cycles_of(r, &r->counts[i]) / r->cpu_mhz;

	(void)which;
	number_cell(cell, us / 1000, PAGES_WIDTH);
	if (us / 1000 < 1000000)
		snprintf(cell, CELL, "%s.%03u", text_thousands(us / 1000), (unsigned)(us % 1000));
}

/* pages as a multiple of base in hundredths, rounded; UINT64_MAX: too large to say */
static uint64_t ratio_hundredths(uint64_t pages, uint64_t base)
{
	unsigned __int128 q = ((unsigned __int128)pages * 100 + base / 2) / base;

	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

static void ratio_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	const struct policy_counts *ideal = ideal_counts(r);
	uint64_t base = ideal ? report_flushed(ideal) : 0;
	uint64_t q;

	(void)which;
	snprintf(cell, CELL, "-");
	if (!base)
		return;
	q = ratio_hundredths(report_flushed(&r->counts[i]), base);
	if (q < 1000000)
		snprintf(cell, CELL, "%" PRIu64 ".%02ux", q / 100, (unsigned)(q % 100));
	else
		snprintf(cell, CELL, ">9999x");
}

static void hook_cell(const struct report *r, size_t i, unsigned hook, char *cell)
{
	number_cell(cell, r->counts[i].flush[hook], PAGES_WIDTH);
}

static void ranges_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	number_cell(cell, r->counts[i].ranges, PAGES_WIDTH);
}

static void gap_cell(const struct report *r, size_t i, unsigned gap, char *cell)
{
	number_cell(cell, r->counts[i].gaps[gap], PAGES_WIDTH);
}

struct column {
	const char *title;
	void (*cell)(const struct report *r, size_t policy, unsigned which, char *cell);
	unsigned which;
};

struct column_group {
	const char *title;
	struct column column[6]; /* ends with a NULL title */
};

static const struct column_group groups[] = {
	{"flushed",
	 {{"pages", pages_cell, 0},
	  {"bytes", bytes_cell, 0},
	  {"est. cycles", cycles_cell, 0},
	  {"est. ms", ms_cell, 0},
	  {"vs ideal", ratio_cell, 0}}},
	{"pages flushed at",
	 {{"map", hook_cell, HOOK_MAP},
	  {"unmap", hook_cell, HOOK_UNMAP},
	  {"unpin", hook_cell, HOOK_UNPIN},
	  {"access", hook_cell, HOOK_ACCESS},
	  {"ranges", ranges_cell, 0}}},
	{"gaps, in pages",
	 {{"leak", gap_cell, GAP_LEAK},
	  {"reexpose", gap_cell, GAP_REEXPOSE},
	  {"release", gap_cell, GAP_RELEASE},
	  {"access", gap_cell, GAP_ACCESS}}},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static size_t column_width(const struct report *r, const struct column *c)
{
	size_t width = strlen(c->title);
	char cell[CELL];

	for (size_t i = 0; i < r->set->n; i++) {
		c->cell(r, i, c->which, cell);
		if (strlen(cell) > width)
			width = strlen(cell);
	}
	return width;
}

static size_t group_width(const struct report *r, const struct column_group *g)
{
	size_t width = 0;

	for (const struct column *c = g->column; c->title; c++)
		width += 2 + column_width(r, c);
	return width;
}

static size_t name_width(const struct report *r)
{
	size_t width = strlen("policy");

	for (size_t i = 0; i < r->set->n; i++) {
		if (strlen(r->set->policy[i]->ops->name) > width)
			width = strlen(r->set->policy[i]->ops->name);
	}
	return width;
}

/* "  --- title ---" over a group's columns, so that it is seen what belongs together. */
static void print_group_title(const struct report *r, const struct column_group *g, FILE *out)
{
	size_t width = group_width(r, g) - 2;
	size_t dashes = width > strlen(g->title) + 2 ? width - strlen(g->title) - 2 : 0;

	fputs("  ", out);
	for (size_t i = 0; i < dashes / 2; i++)
		fputc('-', out);
	fprintf(out, " %s ", g->title);
	for (size_t i = 0; i < dashes - dashes / 2; i++)
		fputc('-', out);
}

static void print_cells(const struct report *r, size_t policy, const struct column_group *g, FILE *out)
{
	char cell[CELL];

	for (const struct column *c = g->column; c->title; c++) {
		c->cell(r, policy, c->which, cell);
		fprintf(out, "  %*s", (int)column_width(r, c), cell);
	}
}

/* The groups first to end, end not included, beside each other. */
static void print_groups(const struct report *r, size_t first, size_t end, FILE *out)
{
	int name = (int)name_width(r);

	fprintf(out, "\n%*s", name, "");
	for (size_t g = first; g < end; g++)
		print_group_title(r, &groups[g], out);
	fprintf(out, "\n%-*s", name, "policy");
	for (size_t g = first; g < end; g++) {
		for (const struct column *c = groups[g].column; c->title; c++)
			fprintf(out, "  %*s", (int)column_width(r, c), c->title);
	}
	fputc('\n', out);
	for (size_t i = 0; i < r->set->n; i++) {
		fprintf(out, "%-*s", name, r->set->policy[i]->ops->name);
		for (size_t g = first; g < end; g++)
			print_cells(r, i, &groups[g], out);
		fputc('\n', out);
	}
}

static void print_table(const struct report *r, FILE *out)
{
	for (size_t first = 0, end; first < GROUPS; first = end) {
		size_t width = name_width(r) + group_width(r, &groups[first]);

		for (end = first + 1; end < GROUPS && width + group_width(r, &groups[end]) <= LINE; end++)
			width += group_width(r, &groups[end]);
		print_groups(r, first, end, out);
	}
}

bool report_unjudged(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (lacking_needed(r->capture[i].lacking))
			return true;
	return false;
}

/* Text: health and verdicts -------------------------------------------------------------------------------------- */

static const char *severity_name(char severity)
{
	return severity == 'e' ? "error" : severity == 'w' ? "warning" : "note";
}

static void print_verify(const struct report *r, FILE *out)
{
	const struct model_totals *t = &r->totals;
	bool midlife = report_midlife(r);

	if (!t->by_kind[EV_unpin])
		say(out, "verify", "%s unpin%s derived; the trace has no unpin events, so they cannot be verified",
		    text_thousands(t->derived_unpins), text_s(t->derived_unpins));
	else if (midlife)
		say(out, "verify",
		    "%s unpin%s derived; of them %s missing in the kernel's own unpin events, which is right where "
		    "something older than the recording pins the page, too; %s of the kernel's %s not derived: pinned "
		    "before the recording began, or held only by accesses",
		    text_thousands(t->derived_unpins), text_s(t->derived_unpins), text_thousands(t->missing_in_kernel),
		    text_thousands(t->not_derived), text_thousands(t->kernel_unpins));
	else if (t->missing_in_kernel)
		say(out, "verify",
		    "%s unpin%s derived, %s of them missing in the kernel's own unpin events: the trace or the model "
		    "is wrong; %s of the kernel's %s not derived",
		    text_thousands(t->derived_unpins), text_s(t->derived_unpins), text_thousands(t->missing_in_kernel),
		    text_thousands(t->not_derived), text_thousands(t->kernel_unpins));
	else if (t->not_derived)
		say(out, "verify",
		    "%s unpin%s derived, the kernel's own unpin events confirm all of them; %s of the kernel's %s not "
		    "derived (pages that only accesses held have no known PFN)",
		    text_thousands(t->derived_unpins), text_s(t->derived_unpins), text_thousands(t->not_derived),
		    text_thousands(t->kernel_unpins));
	else
		say(out, "verify", "%s unpin%s derived, the kernel's own unpin events confirm all of them",
		    text_thousands(t->derived_unpins), text_s(t->derived_unpins));
}

/* Records that are no events, and rightly so: information. */
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
		say(out, "", "note: left out: %s", text);
	if (d->moved)
		say(out, "", "note: %s", text_moved(text, sizeof(text), d->moved));
}

/* What a beginning in mid-life means for the gaps of a capture, and what to do. */
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
		text_midlife(what, sizeof(what), &c->midlife, c->health);
		say(out, "midlife",
		    "the recording%s began in mid-life: %s. What those had pinned, exposed or flushed before is not in "
		    "the trace, so no gap%s is certain. One that would be a gap if its memory had been new to iommufd "
		    "is counted as such, \"if new\". To be certain, start recording before the first device is "
		    "attached.",
		    which, what, r->n > 1 ? " of it" : "");
	}
}

static void print_health(const struct report *r, FILE *out)
{
	bool lost = report_lost(r);
	char counted[LACKING_TEXT];

	fputc('\n', out);
	if (!lost)
		say(out, "health", "no records lost");
	for (int i = 0; i < HEALTH_COUNT; i++) {
		const struct health_desc *d = &health_table[i];

		if (!r->totals.health[i])
			continue;
		text_counted(counted, sizeof(counted), r->totals.health[i], d->doc);
		say(out, lost ? "health" : "", "%s: %s%s%s", severity_name(d->severity), counted,
		    d->advice[0] ? "; " : "", d->advice);
		lost = false;
	}
	print_dropped(r, out);
	for (size_t i = 0; i < r->n; i++) {
		if (r->capture[i].partial)
			say(out, "", "error: partial input: %s, capture %" PRIu64, r->capture[i].source,
			    r->capture[i].id);
		lacking_text(lacking_needed(r->capture[i].lacking), counted);
		if (counted[0])
			say(out, "",
			    "error: no probe of %s, capture %" PRIu64
			    ", gave %s: what is mapped where and why is not known; "
			    "record with probes that do (ioflushd --check says which this kernel takes)",
			    r->capture[i].source, r->capture[i].id, counted);
	}
	for (size_t i = 0; i < r->nleft_out; i++)
		say(out, "", "error: %s", r->left_out[i]);
	print_verify(r, out);
}

/* The first event that the policy needs and a capture has no probe for, or NULL. */
static const char *missing_event(const struct report *r, unsigned needs)
{
	uint64_t lacking = 0;

	for (size_t i = 0; i < r->n; i++)
		lacking |= r->capture[i].lacking;
	for (size_t i = 0; i < NEEDS; i++) {
		if (!(needs & need_table[i].need))
			continue;
		for (const enum event_kind *k = need_table[i].kind; *k != EV_NONE; k++) {
			if (lacking & 1ull << *k)
				return event_table[*k].name;
		}
	}
	return NULL;
}

/* Text that grows; a failure to grow shows as a NULL text. */
struct text {
	char *s;
};

static void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *fmt, ...)
{
	char *more = NULL, *joined = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&more, fmt, ap) < 0)
		more = NULL;
	va_end(ap);
	if (more && asprintf(&joined, "%s%s", t->s ? t->s : "", more) < 0)
		joined = NULL;
	free(more);
	free(t->s);
	t->s = joined;
}

/* Those that a beginning in mid-life makes uncertain, by kind: "uncertain: 12 leak (8 if new), 3 access (none if new)" */
static void add_uncertain(const struct policy_counts *c, struct text *t)
{
	const char *before = "; uncertain:";

	for (int i = 0; i < GAPS; i++) {
		if (!c->uncertain[i])
			continue;
		text_add(t, "%s %s %s", before, text_thousands(c->uncertain[i]), gap_names[i]);
		text_add(t, " (%s if new)", c->if_new[i] ? text_thousands(c->if_new[i]) : "none");
		before = ",";
	}
}

/* Errors first, as what they are; warnings after them. Short: most verdicts should be one line. */
static void add_gaps(const struct report *r, const struct policy_counts *c, struct text *t)
{
	uint64_t gap[GAPS];

	for (int i = 0; i < GAPS; i++)
		gap[i] = c->gaps[i] - c->uncertain[i];
	if (gap[GAP_LEAK])
		text_add(t, "leaks %s page%s%s", text_thousands(gap[GAP_LEAK]), text_s(gap[GAP_LEAK]),
			 gap[GAP_RELEASE] ? ", " : "");
	if (gap[GAP_RELEASE])
		text_add(t, "releases %s unflushed", text_thousands(gap[GAP_RELEASE]));
	if (gap[GAP_LEAK] || gap[GAP_RELEASE])
		text_add(t, ": not safe");
	else
		text_add(t, "no %s%s", report_midlife(r) ? "certain " : "",
			 gap[GAP_REEXPOSE] || gap[GAP_ACCESS] ? "error" : "gap");
	if (gap[GAP_REEXPOSE] || gap[GAP_ACCESS])
		text_add(t, "; warning:");
	if (gap[GAP_REEXPOSE])
		text_add(t, " %s re-exposed%s", text_thousands(gap[GAP_REEXPOSE]), gap[GAP_ACCESS] ? "," : "");
	if (gap[GAP_ACCESS])
		text_add(t, " %s read stale in the kernel", text_thousands(gap[GAP_ACCESS]));
	add_uncertain(c, t);
}

static void add_cost(const struct report *r, size_t i, struct text *t)
{
	const struct policy_counts *ideal = ideal_counts(r);
	uint64_t pages = report_flushed(&r->counts[i]);
	char ratio[CELL];

	if (!pages)
		text_add(t, "; flushes nothing");
	else if (!ideal)
		text_add(t, "; flushes %s page%s", text_thousands(pages), text_s(pages));
	else if (&r->counts[i] == ideal)
		text_add(t, "; the lower bound");
	else if (!report_flushed(ideal))
		text_add(t, "; flushes %s page%s where ideal flushes none", text_thousands(pages), text_s(pages));
	else {
		ratio_cell(r, i, 0, ratio);
		text_add(t, "; flushes %s ideal", ratio);
	}
}

/*
 * Whether something but a loss makes the trace or the model wrong: any warning. Unknown coherency too: a domain that is
 * taken as non-coherent adds gaps and flushes, and such a flush may hide the gap of another.
 */
static bool is_broken(const struct report *r)
{
	for (int i = 0; i < HEALTH_COUNT; i++) {
		if (health_table[i].severity == 'w' && r->totals.health[i])
			return true;
	}
	/* without the kernel's own unpins all are missing, and none is known to be wrong */
	return r->totals.by_kind[EV_unpin] && r->totals.missing_in_kernel;
}

static void add_doubts(const struct report *r, const struct ioflush_policy_ops *ops, struct text *t)
{
	const char *missing = missing_event(r, ops->needs);

	if (!r->totals.peak_exposed)
		text_add(t, "; nothing was exposed to a non-coherent domain");
	if (missing)
		text_add(t, "; says nothing: no probe gave the %s events that it needs", missing);
	if (any_partial(r))
		text_add(t, "; only as far as the partial input goes");
	if (report_lost(r))
		text_add(t, "; not proof: records were lost%s", is_broken(r) ? ", and see health" : "");
	else if (is_broken(r))
		text_add(t, "; not proof: see health");
}

static void print_verdicts(const struct report *r, FILE *out)
{
	int name = (int)name_width(r) + 1;
	char label[64];

	fputs("\nverdicts\n", out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct ioflush_policy_ops *ops = r->set->policy[i]->ops;
		struct text t = {0};

		if (report_unjudged(r)) {
			text_add(&t, "cannot be judged: events that every policy needs were not recorded, see health");
		} else {
			add_gaps(r, &r->counts[i], &t);
			add_cost(r, i, &t);
			add_doubts(r, ops, &t);
		}
		snprintf(label, sizeof(label), "%s:", ops->name);
		print_wrapped(out, label, (size_t)name + 1, t.s);
	}
}

void report_text(const struct report *r, FILE *out)
{
	print_header(r, out);
	print_table(r, out);
	print_midlife(r, out);
	print_health(r, out);
	print_verdicts(r, out);
}

/* JSON and CSV --------------------------------------------------------------------------------------------------- */

/* null for "" */
static void put_known(struct json *into, const char *key, const char *text)
{
	json_put_text(into, key, text && text[0] ? text : NULL);
}

static void put_gaps(struct json *into, const char *key, const uint64_t *pages)
{
	struct json *gaps = json_put_object(into, key);

	for (int i = 0; i < GAPS; i++)
		json_put_u64(gaps, gap_names[i], pages[i]);
}

static bool is_saturated(const struct report *r, const struct policy_counts *c)
{
	return cycles_of(r, c) >= INT64_MAX;
}

static void put_policy(struct json *into, const char *name, const struct report *r, const struct policy_counts *c)
{
	struct json *policy = json_put_object(into, name);
	char key[64];

	json_put_u64(policy, "flush_pages", report_flushed(c));
	for (int i = 0; i < HOOKS; i++) {
		snprintf(key, sizeof(key), "flush_%s_pages", hook_names[i]);
		json_put_u64(policy, key, c->flush[i]);
	}
	json_put_u64(policy, "flush_ranges", c->ranges);
	json_put_u64(policy, "cycles", is_saturated(r, c) ? INT64_MAX : cycles_of(r, c));
	put_gaps(policy, "gaps", c->gaps);
	put_gaps(policy, "uncertain", c->uncertain);
	put_gaps(policy, "if_new", c->if_new);
}

static void put_cost(struct json *into, const struct report *r)
{
	struct json *cost = json_put_object(into, "cost");
	bool saturated = false;

	for (size_t i = 0; i < r->set->n; i++)
		saturated |= is_saturated(r, &r->counts[i]);
	json_put_u64(cost, "cycles_per_page", r->cycles_per_page);
	json_put_u64(cost, "cpu_mhz", r->cpu_mhz);
	json_put_bool(cost, "saturated", saturated);
}

static void put_verify(struct json *into, const struct report *r)
{
	struct json *verify = json_put_object(into, "verify");

	json_put_u64(verify, "derived_unpins", r->totals.derived_unpins);
	json_put_u64(verify, "kernel_unpins", r->totals.kernel_unpins);
	json_put_u64(verify, "derived_unpins_missing_in_kernel", r->totals.missing_in_kernel);
	json_put_u64(verify, "kernel_unpins_not_derived", r->totals.not_derived);
}

static void put_dropped(struct json *into, const char *key, const struct report *r, uint64_t n)
{
	if (r->dropped_unknown)
		json_put_null(into, key);
	else
		json_put_u64(into, key, n);
}

/* The first capture that is partial speaks for all, or else the first left out; each has its own in "trace". */
static void put_health(struct json *into, const struct report *r)
{
	struct json *health = json_put_health(into, "health", r->totals.health);
	const char *partial = r->nleft_out ? r->left_out[0] : NULL;

	put_dropped(health, "failed_maps", r, r->dropped.failed_maps);
	put_dropped(health, "failed_accesses", r, r->dropped.failed_accesses);
	put_dropped(health, "empty_unmaps", r, r->dropped.empty_unmaps);
	put_dropped(health, "other_records", r, r->dropped.other);
	put_dropped(health, "unnamed", r, r->dropped.unnamed);
	put_dropped(health, "doubtful_names", r, r->dropped.doubtful_names);
	put_dropped(health, "moved_events", r, r->dropped.moved);
	for (size_t i = r->n; i-- > 0;)
		partial = r->capture[i].partial ? r->capture[i].partial : partial;
	put_known(health, "partial", partial);
}

static void put_capture(struct json *into, const struct report_capture *c)
{
	struct json *capture = json_put_object(into, NULL);

	json_put_text(capture, "source", c->source);
	json_put_u64(capture, "capture", c->id);
	json_put_text(capture, "format", c->format);
	put_known(capture, "host", c->host);
	put_known(capture, "kernel", c->kernel);
	put_known(capture, "clock", c->clock);
	put_known(capture, "state", c->state);
	put_known(capture, "note", c->note);
	json_put_u64(capture, "events", c->events);
	json_put_u64(capture, "first_t", c->first_t);
	json_put_u64(capture, "last_t", c->last_t);
	put_known(capture, "partial", c->partial);
	lacking_put(capture, "lacking", lacking_needed(c->lacking));
	json_put_midlife(capture, "midlife", &c->midlife);
}

static void put_trace(struct json *into, const struct report *r)
{
	struct json *trace = json_put_object(into, "trace"), *captures;

	json_put_u64(trace, "events", r->totals.events);
	json_put_u64(trace, "mapped_pages", r->totals.mapped_pages);
	json_put_u64(trace, "unpinned_pages", r->totals.unpinned_pages);
	json_put_u64(trace, "peak_exposed_pages", r->totals.peak_exposed);
	captures = json_put_array(trace, "captures");
	for (size_t i = 0; i < r->n; i++)
		put_capture(captures, &r->capture[i]);
}

int report_json(const struct report *r, FILE *out, struct error *e)
{
	struct json *report = json_new_object(), *policies = json_put_object(report, "policies");
	int ret = 0;

	for (size_t i = 0; i < r->set->n; i++)
		put_policy(policies, r->set->policy[i]->ops->name, r, &r->counts[i]);
	put_cost(report, r);
	put_verify(report, r);
	put_health(report, r);
	put_trace(report, r);
	/* what cannot be written shows when the stream is flushed */
	if (json_write(out, report, 1))
		ret = error_set(e, "out of memory");
	else
		fputc('\n', out);
	json_free(report);
	return ret;
}

void report_csv(const struct report *r, FILE *out)
{
	const uint64_t *health = r->totals.health;

	fputs("policy,flush_pages", out);
	for (int i = 0; i < HOOKS; i++)
		fprintf(out, ",flush_%s_pages", hook_names[i]);
	fputs(",flush_ranges,cycles", out);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",%s", gap_names[i]);
	fputs(",lost_records,lost_unknown,partial", out);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",uncertain_%s", gap_names[i]);
	for (int i = 0; i < GAPS; i++)
		fprintf(out, ",if_new_%s", gap_names[i]);
	fputc('\n', out);
	for (size_t i = 0; i < r->set->n; i++) {
		const struct policy_counts *c = &r->counts[i];

		fprintf(out, "%s,%" PRIu64, r->set->policy[i]->ops->name, report_flushed(c));
		for (int k = 0; k < HOOKS; k++)
			fprintf(out, ",%" PRIu64, c->flush[k]);
		fprintf(out, ",%" PRIu64 ",%" PRIu64, c->ranges, cycles_of(r, c));
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->gaps[k]);
		fprintf(out, ",%" PRIu64 ",%" PRIu64 ",%d", health[HEALTH_lost_records], health[HEALTH_lost_unknown],
			any_partial(r));
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->uncertain[k]);
		for (int k = 0; k < GAPS; k++)
			fprintf(out, ",%" PRIu64, c->if_new[k]);
		fputc('\n', out);
	}
}
