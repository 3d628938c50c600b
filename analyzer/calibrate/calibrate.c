/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures page flushes as the kernel's clflush_cache_range() does them: a full fence, one instruction per cache line,
 * a full fence. Before each one the page is brought into the cache, dirty (written) or clean (flushed, then read). The
 * time stamp counter is read between fences, so that nothing else is counted; the cost of an empty measurement is
 * subtracted. The median of many samples is the result: interrupts and other guests change only the maximum.
 */
#include "analyzer/calibrate/calibrate.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "base/clock.h"
#include "trace/event.h"

#define RATE_NS 50000000 /* how long the TSC's rate is measured */
#define RATE_TRIES 16	 /* readings of both clocks; the tightest is used */

const char *const flush_instruction_names[FLUSH_INSTRUCTIONS] = {"clflush", "clflushopt", "clwb"};
const char *const line_state_names[LINE_STATES] = {"dirty", "clean"};

bool calibrate_noisy(const struct calibrate_figures *f)
{
	return (f->q3 - f->q1) * 4 > f->median;
}

uint64_t calibrate_cycles_per_page(const struct calibrate_result *r)
{
	uint64_t median = r->pages[r->use][LINES_DIRTY].median;

	return median ? median : 1;
}

uint64_t calibrate_mhz(const struct calibrate_result *r)
{
	uint64_t mhz = (r->tsc_khz + 500) / 1000;

	return mhz ? mhz : 1;
}

#if defined(__x86_64__) || defined(__i386__)

static void detect(struct calibrate_result *r, bool *usable)
{
	unsigned a, b, c, d, brand[12] = {0};

	*usable = false;
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return;
	r->hypervisor = c >> 31 & 1;
	r->line_bytes = (b >> 8 & 0xff) * 8;
	r->present[FLUSH_CLFLUSH] = d >> 19 & 1;
	/* TSC, and SSE2 for mfence and lfence */
	*usable = r->present[FLUSH_CLFLUSH] && r->line_bytes && d >> 4 & 1 && d >> 26 & 1;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		r->present[FLUSH_CLFLUSHOPT] = b >> 23 & 1;
		r->present[FLUSH_CLWB] = b >> 24 & 1;
	}
	if (__get_cpuid(0x80000007, &a, &b, &c, &d))
		r->tsc_invariant = d >> 8 & 1;
	for (unsigned i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3]))
			return;
	memcpy(r->model, brand, sizeof(brand));
	for (char *p = r->model; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	for (size_t n = strlen(r->model); n && r->model[n - 1] == ' '; n--)
		r->model[n - 1] = '\0';
}

/* lfence before: all earlier instructions are done; after: nothing later begins. */
static inline uint64_t ticks(void)
{
	uint32_t lo, hi;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void full_fence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

static void flush_page(char *page, unsigned line, enum flush_instruction ins)
{
	char *end = page + PAGE_SIZE_BYTES;

	switch (ins) {
	case FLUSH_CLFLUSH:
		for (; page < end; page += line)
			__asm__ volatile("clflush %0" : "+m"(*page));
		break;
	case FLUSH_CLFLUSHOPT:
		for (; page < end; page += line)
			__asm__ volatile("clflushopt %0" : "+m"(*page));
		break;
	case FLUSH_CLWB:
		for (; page < end; page += line)
			__asm__ volatile("clwb %0" : "+m"(*page));
		break;
	case FLUSH_INSTRUCTIONS:
		break;
	}
}

static void prepare_page(char *page, unsigned line, enum line_state state)
{
	volatile char *p = page;

	if (state == LINES_DIRTY) {
		memset(page, 0x5a, PAGE_SIZE_BYTES);
	} else {
		flush_page(page, line, FLUSH_CLFLUSH);
		full_fence();
		for (size_t i = 0; i < PAGE_SIZE_BYTES; i += line)
			(void)p[i];
	}
	full_fence();
}

/* One sample; FLUSH_INSTRUCTIONS flushes nothing: the cost of measuring. */
static uint64_t time_flush(char *page, unsigned line, enum flush_instruction ins)
{
	uint64_t start = ticks();

	full_fence();
	flush_page(page, line, ins);
	full_fence();
	return ticks() - start;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t less(uint64_t v, uint64_t overhead)
{
	return v > overhead ? v - overhead : 0;
}

static struct calibrate_figures summarise(uint64_t *sample, size_t n, uint64_t overhead)
{
	qsort(sample, n, sizeof(*sample), compare);
	return (struct calibrate_figures){
		.min = less(sample[0], overhead),
		.q1 = less(sample[n / 4], overhead),
		.median = less(sample[n / 2], overhead),
		.q3 = less(sample[n - 1 - n / 4], overhead),
		.max = less(sample[n - 1], overhead),
	};
}

static struct calibrate_figures measure(const struct calibrate_result *r, char *buffer, uint64_t *sample,
					enum flush_instruction ins, enum line_state state)
{
	char *page;

	for (size_t i = 0; i < r->samples; i++) {
		page = buffer + i % CALIBRATE_PAGES * PAGE_SIZE_BYTES;
		prepare_page(page, r->line_bytes, state);
		sample[i] = time_flush(page, r->line_bytes, ins);
	}
	return summarise(sample, r->samples, r->overhead);
}

static int64_t raw_ns(void)
{
	return (int64_t)clock_of(CLOCK_MONOTONIC_RAW);
}

/* Both clocks at one moment: the reading of the clock that took the fewest ticks, and the middle of these. */
static void both_clocks(uint64_t *tsc, int64_t *ns)
{
	uint64_t before, after, best = UINT64_MAX;
	int64_t now;

	for (unsigned i = 0; i < RATE_TRIES; i++) {
		before = ticks();
		now = raw_ns();
		after = ticks();
		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = before + best / 2;
		*ns = now;
	}
}

static uint64_t measure_khz(void)
{
	uint64_t tsc0 = 0, tsc1 = 0;
	int64_t ns0 = 0, ns1 = 0;

	both_clocks(&tsc0, &ns0);
	while (raw_ns() - ns0 < RATE_NS)
		;
	both_clocks(&tsc1, &ns1);
	return ns1 > ns0 ? (tsc1 - tsc0) * 1000000 / (uint64_t)(ns1 - ns0) : 0;
}

static void measure_all(struct calibrate_result *r, char *buffer, uint64_t *sample)
{
	r->tsc_khz = measure_khz();
	r->overhead = 0;
	r->overhead = measure(r, buffer, sample, FLUSH_INSTRUCTIONS, LINES_DIRTY).median;
	for (unsigned ins = 0; ins < FLUSH_INSTRUCTIONS; ins++) {
		if (!r->present[ins])
			continue;
		for (unsigned state = 0; state < LINE_STATES; state++)
			r->pages[ins][state] = measure(r, buffer, sample, ins, state);
	}
	r->use = r->present[FLUSH_CLFLUSHOPT] ? FLUSH_CLFLUSHOPT : FLUSH_CLFLUSH;
}

/* Moves this thread to one CPU; *was: where it could run, to be restored. */
static int pin(int cpu, cpu_set_t *was, int *on, struct error *e)
{
	cpu_set_t set;

	*on = cpu < 0 ? sched_getcpu() : cpu;
	if (*on < 0 || sched_getaffinity(0, sizeof(*was), was))
		return error_errno(e, "cannot tell which CPU this is");
	if (*on >= CPU_SETSIZE)
		return error_set(e, "cpu %d: at most %d can be chosen", *on, CPU_SETSIZE - 1);
	CPU_ZERO(&set);
	CPU_SET(*on, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return error_errno(e, "cannot run on cpu %d (not there, offline, or not allowed here)", *on);
	return 0;
}

int calibrate_run(struct calibrate_result *out, const struct calibrate_options *o, struct error *e)
{
	uint64_t *sample = NULL;
	char *buffer = NULL;
	bool usable;
	cpu_set_t was;
	int ret = -1;

	*out = (struct calibrate_result){.samples = (uint64_t)o->rounds * CALIBRATE_PAGES};
	if (o->rounds < 1 || o->rounds > CALIBRATE_MAX_ROUNDS)
		return error_set(e, "rounds is %u, it must be 1 to %d", o->rounds, CALIBRATE_MAX_ROUNDS);
	if (pin(o->cpu, &was, &out->cpu, e))
		return -1;
	detect(out, &usable);
	if (!usable) {
		error_set(e, "this CPU has no clflush, or no time stamp counter: nothing to measure");
		goto out;
	}
	sample = calloc(out->samples, sizeof(*sample));
	buffer = aligned_alloc(PAGE_SIZE_BYTES, CALIBRATE_PAGES * PAGE_SIZE_BYTES);
	if (!sample || !buffer) {
		error_set(e, "out of memory for %llu samples; ask for fewer rounds", (unsigned long long)out->samples);
		goto out;
	}
	memset(buffer, 0, CALIBRATE_PAGES * PAGE_SIZE_BYTES);
	measure_all(out, buffer, sample);
	ret = 0;
out:
	free(buffer);
	free(sample);
	sched_setaffinity(0, sizeof(was), &was);
	return ret;
}

#else

int calibrate_run(struct calibrate_result *out, const struct calibrate_options *o, struct error *e)
{
	(void)o;
	memset(out, 0, sizeof(*out));
	return error_set(e, "this measures x86 instructions (clflush, clflushopt, clwb), and this CPU is no x86; give the "
			    "values that you know to ioflush replay: --cycles-per-page N --cpu-mhz N");
}

#endif
