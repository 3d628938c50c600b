/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of a report, in groups of columns; groups share a line while it has at most REPORT_LINE columns. */
#include <inttypes.h>
#include <string.h>

#include "analyzer/report/impl.h"
#include "base/text.h"

#define PAGES_WIDTH 13	/* widest exact number of pages: 9,999,999,999 */
#define CYCLES_WIDTH 17 /* and of cycles */

/* n exactly if that has at most width columns, else shortened to "1234.5 T". */
static void number_cell(char *cell, uint64_t n, size_t width)
{
	static const char unit[] = "kMGTPE";
	uint64_t divisor = 1;
	int i = -1;

	snprintf(cell, REPORT_CELL, "%s", text_thousands(n));
	if (strlen(cell) <= width)
		return;
	while (n / divisor >= 10000) {
		divisor *= 1000;
		i++;
	}
	snprintf(cell, REPORT_CELL, "%" PRIu64 ".%u %c", n / divisor, (unsigned)(n % divisor / (divisor / 10)), unit[i]);
}

static void pages_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	number_cell(cell, report_flushed(&r->counts[i]), PAGES_WIDTH);
}

static void bytes_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	snprintf(cell, REPORT_CELL, "%s", text_bytes(report_multiply(report_flushed(&r->counts[i]), PAGE_SIZE_BYTES)));
}

static void cycles_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	number_cell(cell, report_cycles(r, &r->counts[i]), CYCLES_WIDTH);
}

/* What a page costs is known to three digits at best, and so is the time. */
static void ms_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	uint64_t us = report_cycles(r, &r->counts[i]) / r->cpu_mhz, unit = 1;
	unsigned decimals;

	(void)which;
	if (!us) {
		snprintf(cell, REPORT_CELL, "%s", report_cycles(r, &r->counts[i]) ? "<0.001" : "0");
		return;
	}
	while (us / unit >= 1000)
		unit *= 10;
	us = us / unit * unit + (us % unit * 2 >= unit && unit > 1 ? unit : 0);
	decimals = us >= 100000 ? 0 : us >= 10000 ? 1 : us >= 1000 ? 2 : 3;
	number_cell(cell, us / 1000, PAGES_WIDTH);
	if (decimals)
		snprintf(cell, REPORT_CELL, "%" PRIu64 ".%0*u", us / 1000, (int)decimals,
			 (unsigned)(us % 1000 /
				    (decimals == 1 ? 100 :
				     decimals == 2 ? 10 :
						     1)));
}

/* pages as a multiple of base in hundredths, rounded; UINT64_MAX: too large to say */
static uint64_t ratio_hundredths(uint64_t pages, uint64_t base)
{
	unsigned __int128 q = ((unsigned __int128)pages * 100 + base / 2) / base;

	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

void report_ratio(const struct report *r, size_t i, char *cell)
{
	const struct policy_counts *ideal = report_ideal(r);
	uint64_t base = ideal ? report_flushed(ideal) : 0;
	uint64_t q;

	snprintf(cell, REPORT_CELL, "-");
	if (!base || !report_judged(r) || !report_is_safe(&r->counts[i]))
		return;
	if (report_flushed(&r->counts[i]) < base)
		return;
	q = ratio_hundredths(report_flushed(&r->counts[i]), base);
	if (q < 1000000)
		snprintf(cell, REPORT_CELL, "%" PRIu64 ".%02ux", q / 100, (unsigned)(q % 100));
	else
		snprintf(cell, REPORT_CELL, ">9999x");
}

static void ratio_cell(const struct report *r, size_t i, unsigned which, char *cell)
{
	(void)which;
	report_ratio(r, i, cell);
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

/* If policies cannot be judged, 0 is no answer. */
static void gap_cell(const struct report *r, size_t i, unsigned gap, char *cell)
{
	uint64_t pages = r->counts[i].gaps[gap];

	if (pages || report_judged(r))
		number_cell(cell, pages, PAGES_WIDTH);
	else
		snprintf(cell, REPORT_CELL, "?");
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
	char cell[REPORT_CELL];

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

size_t report_name_width(const struct report *r)
{
	size_t width = strlen("policy");

	for (size_t i = 0; i < r->set->n; i++) {
		if (strlen(r->set->policy[i]->ops->name) > width)
			width = strlen(r->set->policy[i]->ops->name);
	}
	return width;
}

/* " --- title ---" over the columns of a group. */
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
	char cell[REPORT_CELL];

	for (const struct column *c = g->column; c->title; c++) {
		c->cell(r, policy, c->which, cell);
		fprintf(out, "  %*s", (int)column_width(r, c), cell);
	}
}

/* Prints the groups first to end - 1 beside each other. */
static void print_groups(const struct report *r, size_t first, size_t end, FILE *out)
{
	int name = (int)report_name_width(r);

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

void report_table(const struct report *r, FILE *out)
{
	for (size_t first = 0, end; first < GROUPS; first = end) {
		size_t width = report_name_width(r) + group_width(r, &groups[first]);

		for (end = first + 1; end < GROUPS && width + group_width(r, &groups[end]) <= REPORT_LINE; end++)
			width += group_width(r, &groups[end]);
		print_groups(r, first, end, out);
	}
}
