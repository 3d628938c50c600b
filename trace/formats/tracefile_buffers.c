/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of buffers of a trace.dat and their CPUs; see tracefile_parts.h. It is filled in any order, from options
 * and tables. At the end, each CPU gets its statistics, and it is checked that no byte belongs to two CPUs.
 */
#include "trace/formats/tracefile_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/number.h"

#define MAX_CPUS 65536u
#define MAX_BUFFERS 4096u

int tracefile_set_string(const struct cursor *c, char **to, const char *from, size_t len)
{
	char *copy = budget_alloc(c->budget, len + 1);

	if (!copy)
		return cursor_no_memory(c);
	memcpy(copy, from, len);
	budget_free(c->budget, *to, *to ? strlen(*to) + 1 : 0);
	*to = copy;
	return 0;
}

struct tracefile_buffer *tracefile_add_buffer(struct tracefile *tf, struct cursor *c, const char *name)
{
	struct tracefile_buffer *b;

	if (tf->buffers >= MAX_BUFFERS) {
		cursor_error(c, "more than 4096 buffers; the file is damaged");
		return NULL;
	}
	if (!grow_within(tf->budget, tf->buffer, tf->buffers, tf->buffers_cap, 4u)) {
		cursor_no_memory(c);
		return NULL;
	}
	b = &tf->buffer[tf->buffers];
	*b = (struct tracefile_buffer){0};
	if (tracefile_set_string(c, &b->name, name, strlen(name)))
		return NULL;
	tf->buffers++;
	return b;
}

/* The buffer with a name, added if it is new: options may name buffers in any order. NULL and the error. */
struct tracefile_buffer *tracefile_buffer_named(struct tracefile *tf, struct cursor *c, const char *name)
{
	uint32_t i;

	for (i = 0; i < tf->buffers; i++)
		if (!strcmp(tf->buffer[i].name, name))
			return &tf->buffer[i];
	return tracefile_add_buffer(tf, c, name);
}

void tracefile_free_string(struct tracefile *tf, char *text)
{
	budget_free(tf->budget, text, text ? strlen(text) + 1 : 0);
}

void tracefile_clear_buffer(struct tracefile *tf, struct tracefile_buffer *b)
{
	tracefile_free_string(tf, b->name);
	tracefile_free_string(tf, b->clock);
	budget_free(tf->budget, b->cpu, b->cpus_cap * sizeof(*b->cpu));
	budget_free(tf->budget, b->stat, b->stats_cap * sizeof(*b->stat));
}

int tracefile_add_stat(struct cursor *c, struct tracefile_buffer *b, uint64_t cpu, uint64_t lost)
{
	if (cpu >= MAX_CPUS)
		return cursor_error(c, "statistics of a CPU above 65535; the file is damaged");
	if (!grow_within(c->budget, b->stat, b->stats, b->stats_cap, 4u))
		return cursor_no_memory(c);
	b->stat[b->stats++] = (struct tracefile_stat){.cpu = (uint32_t)cpu, .lost = lost};
	return 0;
}

int tracefile_add_cpu(struct cursor *c, struct tracefile_buffer *b, uint32_t cpu, uint64_t offset, uint64_t size)
{
	if (cpu >= MAX_CPUS || offset > INT64_MAX || size > INT64_MAX - offset)
		return cursor_error(c, "a CPU that cannot be; the file is damaged");
	if (!grow_within(c->budget, b->cpu, b->cpus, b->cpus_cap, 4u))
		return cursor_no_memory(c);
	b->cpu[b->cpus++] = (struct tracefile_cpu){.cpu = cpu, .offset = offset, .size = size};
	return 0;
}

/* Call it before adding n CPUs to the buffer, each described by this many bytes. */
int tracefile_begin_cpus(struct cursor *c, struct tracefile_buffer *b, uint64_t n, uint64_t bytes_each)
{
	uint64_t left = c->end - cursor_offset(c);

	if (n > MAX_CPUS || n * bytes_each > left)
		return cursor_error(c, "more CPUs than there is room for; the file is damaged");
	b->cpus = 0;
	return 0;
}

static int stat_order(const void *a, const void *b)
{
	const struct tracefile_stat *x = a, *y = b;

	return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

static int no_memory(const struct tracefile *tf, const char *what, struct error *e)
{
	return error_set(e, "%s: %s: %s", tf->path, what, budget_failure(tf->budget));
}

/* qsort(), within the budget. 0, or -1: no memory for it. */
static int sort(struct budget *budget, void *array, size_t n, size_t size, int (*order)(const void *a, const void *b))
{
	if (!budget_take(budget, n * size))
		return -1;
	if (n)
		qsort(array, n, size, order);
	budget_give(budget, n * size);
	return 0;
}

/* Sorts the statistics of a buffer by CPU, each once. 0, or -1: no memory for it. */
static int sort_stats(struct budget *budget, struct tracefile_buffer *b)
{
	uint32_t i, n = 0;

	if (sort(budget, b->stat, b->stats, sizeof(*b->stat), stat_order))
		return -1;
	for (i = 0; i < b->stats; i++) {
		if (n && b->stat[n - 1].cpu == b->stat[i].cpu)
			b->stat[n - 1].lost = number_sum(b->stat[n - 1].lost, b->stat[i].lost);
		else
			b->stat[n++] = b->stat[i];
	}
	b->stats = n;
	return 0;
}

/*
 * Gives each CPU of a buffer its statistics. A CPU that lost all of its records is not in the table of version 7, but
 * below the file's number of CPUs.
 */
static int settle_stats(struct tracefile *tf, struct tracefile_buffer *b, struct error *e)
{
	uint32_t i, count = b->cpu_count ? b->cpu_count : tf->cpu_count;

	if (sort_stats(tf->budget, b))
		return no_memory(tf, "statistics of CPUs", e);
	for (i = 0; i < b->cpus; i++) {
		const struct tracefile_stat key = {.cpu = b->cpu[i].cpu};
		struct tracefile_stat *s = NULL;

		if (b->stats)
			s = bsearch(&key, b->stat, b->stats, sizeof(key), stat_order);
		if (!s || s->taken)
			continue;
		s->taken = true;
		b->cpu[i].stat_lost = s->lost;
	}
	for (i = 0; i < b->stats; i++) {
		if (b->stat[i].taken)
			continue;
		if (b->stat[i].cpu >= count)
			return error_set(e, "%s: statistics of CPU %u, which is not there; the file is damaged",
					 tf->path, b->stat[i].cpu);
		if (!grow_within(tf->budget, b->cpu, b->cpus, b->cpus_cap, 4u))
			return no_memory(tf, "statistics of CPUs", e);
		b->cpu[b->cpus++] = (struct tracefile_cpu){.cpu = b->stat[i].cpu, .stat_lost = b->stat[i].lost};
	}
	return 0;
}

/* Whether there are any records. */
static bool has_records(const struct tracefile *tf)
{
	uint32_t i, k;

	for (i = 0; i < tf->buffers; i++)
		for (k = 0; k < tf->buffer[i].cpus; k++)
			if (tf->buffer[i].cpu[k].size)
				return true;
	return false;
}

static int run_order(const void *a, const void *b)
{
	const struct tracefile_cpu *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sorts the runs of all CPUs by offset, and checks that none begins before the previous one ends. */
static int compare_runs(const struct tracefile *tf, struct tracefile_cpu *run, struct error *e)
{
	uint32_t i, k;
	size_t n = 0, j;

	for (i = 0; i < tf->buffers; i++)
		for (k = 0; k < tf->buffer[i].cpus; k++)
			if (tf->buffer[i].cpu[k].size)
				run[n++] = tf->buffer[i].cpu[k];
	if (sort(tf->budget, run, n, sizeof(*run), run_order))
		return no_memory(tf, "tables of CPUs", e);
	for (j = 1; j < n; j++)
		if (run[j].offset - run[j - 1].offset < run[j - 1].size)
			return error_set(e,
					 "%s: CPU %u: its records at offset %" PRIu64
					 " lie among those of CPU %u at %" PRIu64 "; the file is damaged",
					 tf->path, run[j].cpu, run[j].offset, run[j - 1].cpu, run[j - 1].offset);
	return 0;
}

static int check_runs(struct tracefile *tf, struct error *e)
{
	struct tracefile_cpu *run;
	size_t size = 0;
	uint32_t i;
	int ret;

	for (i = 0; i < tf->buffers; i++)
		size += tf->buffer[i].cpus * sizeof(*run);
	run = budget_alloc(tf->budget, size);
	if (!run)
		return no_memory(tf, "tables of CPUs", e);
	ret = compare_runs(tf, run, e);
	budget_free(tf->budget, run, size);
	return ret;
}

/* Drops buffers without records if others have some (any). One is always left. */
static void drop_empty_buffers(struct tracefile *tf, bool any)
{
	uint32_t i, k, kept = 0;

	for (i = 0; i < tf->buffers; i++) {
		struct tracefile_buffer *b = &tf->buffer[i];
		bool used = false;

		for (k = 0; k < b->cpus; k++)
			used |= b->cpu[k].size || b->cpu[k].stat_lost;
		if (used || (!any && !kept))
			tf->buffer[kept++] = *b;
		else
			tracefile_clear_buffer(tf, b);
	}
	tf->buffers = kept;
}

int tracefile_settle_buffers(struct tracefile *tf, struct error *e)
{
	bool any = has_records(tf);
	uint32_t i;

	if (tf->has_text && !any)
		return error_set(e,
				 "%s: holds the text of a latency trace, not records; store that text in a file of its own "
				 "(trace-cmd report) and give that",
				 tf->path);
	for (i = 0; i < tf->buffers; i++)
		if (settle_stats(tf, &tf->buffer[i], e))
			return -1;
	if (check_runs(tf, e))
		return -1;
	drop_empty_buffers(tf, any);
	return 0;
}
