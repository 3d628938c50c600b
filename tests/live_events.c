/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes iommufd's events without iommufd: a program whose functions carry the names and arguments of the events, so that
 * user-space probes on them fill a real ring buffer with real records.
 *
 *	live_events [--paired] --probes GROUP >> /sys/kernel/tracing/dynamic_events
 *	live_events [--threads N | --cpu N] [--repeat N] [--rate N] --play FILE
 *	live_events [--cpu N] --flood N
 *
 * --probes prints the probe lines for this very binary; with --paired, as kernels before 6.9 would have them: returns that
 * lack what their entry has. --play calls the functions as a trace says, in its order; with
 * --threads, each event in another thread than the one before, and the threads on different CPUs. --flood maps and unmaps
 * in turn, N times in all, as fast as it can: the page number of iova counts up, so what is missing can be seen. Both print
 * "sent N": the events that a complete recording has.
 *
 * Probes cannot leave out a field, so a domain's coherency is told as the kernel does it: by hwpt_alloc around the
 * domain_add, or not at all.
 *
 * Exit status: 0, 1 on an error, 2 on a usage error, 77 where the registers of function arguments are not known.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trace/formats/open.h"
#include "trace/source.h"

#define ARGS 6 /* that are passed in registers */
#define MAX_THREADS 64
#define FLOOD_DOMAIN 0xf100d000u /* and the CPU in bits 16 on */
#define EXIT_SKIP 77

#if defined(__x86_64__)
#define REGISTERS "%di", "%si", "%dx", "%cx", "%r8", "%r9"
#elif defined(__aarch64__)
#define REGISTERS "%x0", "%x1", "%x2", "%x3", "%x4", "%x5"
#else
#define REGISTERS
#endif

static const char *const registers[] = {REGISTERS};

/* Neither inlined, nor merged with its likes, nor called with fewer arguments: a probe sits on it. */
#if defined(__clang__)
#define PROBED __attribute__((noinline, used))
#else
#define PROBED __attribute__((noipa, used))
#endif

/*
 * One function an event, with its fields as arguments, a string as a pointer; where there are more fields than registers,
 * the first argument points to all of them. They return what the kernel's do: how much was unmapped, else that all went
 * well. External, so that no compiler thinks it knows all the callers.
 */
#define FUNCTION(num, name)                                                                                   \
	uint64_t name(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);                            \
	PROBED uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)          \
	{                                                                                                     \
		__asm__ volatile("" : : "i"(num), "r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory"); \
		return (num) == EV_unmap ? c : 0;                                                             \
	}

#define EVENT(num, name, fields, doc) FUNCTION(num, name)
#include "schema/events.def"
#undef EVENT
FUNCTION(101, hwpt_alloc)
FUNCTION(102, hwpt_alloc_end)

typedef uint64_t (*probed)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static const probed functions[EV_KINDS] = {
#define EVENT(num, name, fields, doc) [num] = name,
#include "schema/events.def"
#undef EVENT
};

/* --- probe lines */

/* The offset in the file of what is mapped at the address. 0 or -1. */
static int file_offset(uintptr_t address, uint64_t *out)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t start, end, offset;
	char line[PATH_MAX + 128];
	int ret = -1;

	while (ret && maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) != 3)
			continue;
		if (address < start || address >= end)
			continue;
		*out = address - start + offset;
		ret = 0;
	}
	if (maps)
		fclose(maps);
	return ret;
}

/* "p:GROUP/name /path:0xoffset"; kind: "p" or "r", suffix: of the name */
static int print_place(const char *kind, const char *group, const char *name, const char *suffix, probed fn,
		       const char *path)
{
	uint64_t offset;

	if (file_offset((uintptr_t)fn, &offset)) {
		fprintf(stderr, "live_events: %s: not found in /proc/self/maps\n", name);
		return -1;
	}
	printf("%s:%s/%s%s %s:0x%" PRIx64, kind, group, name, suffix, path, offset);
	return 0;
}

static int print_probe(const char *group, const char *name, probed fn, const char *path)
{
	return print_place("p", group, name, "", fn, path);
}

static bool by_pointer(const struct event_desc *d)
{
	return d->nfields > ARGS;
}

static void print_field(const struct event_desc *d, unsigned i)
{
	const struct field_desc *f = &d->field[i];
	const char *type = f->type == FIELD_INT ? "s64" : "x64";

	if (by_pointer(d))
		printf(" %s=+%zu(%s):%s", f->name, i * sizeof(uint64_t), registers[0], type);
	else if (f->type == FIELD_STR)
		printf(" %s=+0(%s):string", f->name, registers[i]);
	else
		printf(" %s=%s:%s", f->name, registers[i], type);
}

static bool is_end(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, "_end");
}

static void print_fields(const struct event_desc *d)
{
	unsigned i;

	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type != FIELD_FLAG) /* told by hwpt_alloc */
			print_field(d, i);
	putchar('\n');
}

/* The end of a call has its return code and nothing else. 1: it is one, 0: it is not, or -1. */
static int print_paired(const char *group, unsigned kind, const char *path)
{
	const struct event_desc *d = &event_table[kind];
	unsigned i;

	if (is_end(d->name)) {
		if (print_probe(group, d->name, functions[kind], path))
			return -1;
		for (i = 0; i < d->nfields; i++)
			if (d->field[i].type == FIELD_INT)
				print_field(d, i);
		putchar('\n');
		return 1;
	}
	if (kind != EV_map && kind != EV_unmap && kind != EV_access_add)
		return 0;
	if (print_place("p", group, d->name, "_entry", functions[kind], path))
		return -1;
	print_fields(d);
	if (print_place("r", group, d->name, "", functions[kind], path))
		return -1;
	printf(" %s=$retval:x64\n", kind == EV_unmap ? "unmapped" : "rc");
	return 1;
}

static int print_event(const char *group, unsigned kind, const char *path, bool paired)
{
	const struct event_desc *d = &event_table[kind];
	int ret = paired ? print_paired(group, kind, path) : 0;

	if (ret)
		return ret < 0 ? -1 : 0;
	if (print_probe(group, d->name, functions[kind], path))
		return -1;
	print_fields(d);
	return 0;
}

static int print_probes(const char *group, bool paired)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	unsigned kind;

	if (len < 0) {
		fprintf(stderr, "live_events: /proc/self/exe: %s\n", strerror(errno));
		return 1;
	}
	path[len] = '\0';
	for (kind = 1; kind < EV_KINDS; kind++)
		if (kind != EV_lost && print_event(group, kind, path, paired))
			return 1;
	if (print_probe(group, "hwpt_alloc", hwpt_alloc, path))
		return 1;
	printf(" coherent=%s:u64\n", registers[0]);
	if (print_probe(group, "hwpt_alloc_end", hwpt_alloc_end, path))
		return 1;
	printf(" ioas=%s:x64\n", registers[0]);
	return 0;
}

/* --- playing */

struct trace {
	struct source *source;
	struct event *event;
	size_t n;
	uint64_t skipped; /* lost events: nothing can make them */
};

struct player {
	const struct trace *trace;
	uint64_t repeat, rate;
	unsigned threads;
	atomic_uint_fast64_t next; /* whose turn it is */
};

struct thread {
	struct player *player;
	pthread_t id;
	unsigned number;
	int cpu;
	bool failed;
};

/* Whether probes can say the event: they give every field. */
static bool playable(const struct event *ev)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	for (i = 0; i < d->nfields; i++) {
		if (!(ev->missing & 1u << i) || d->field[i].type == FIELD_FLAG)
			continue;
		if (ev->kind == EV_cut && ev->cut.num_iovas == 1)
			continue; /* iova1: there is none */
		if (ev->kind == EV_unpin && d->field[i].type == FIELD_STR)
			continue; /* the caller: an empty name says as much */
		return false;
	}
	return true;
}

static int keep_event(struct trace *t, const struct event *ev, const char *path)
{
	if (ev->kind == EV_lost) {
		t->skipped++;
		return 0;
	}
	if (!playable(ev)) {
		fprintf(stderr, "live_events: %s: event %zu (%s) lacks a field, which no probe can say\n", path,
			t->n + t->skipped + 1, event_table[ev->kind].name);
		return -1;
	}
	t->event[t->n++] = *ev;
	return 0;
}

static int read_events(struct trace *t, const char *path, struct error *e)
{
	struct event batch[64], *grown;
	size_t cap = 0;
	ssize_t got, i;

	while ((got = source_read(t->source, batch, 64, e)) > 0) {
		if (t->n + 64 > cap) {
			cap = cap ? 2 * cap : 1024;
			grown = realloc(t->event, cap * sizeof(*grown));
			if (!grown)
				return error_set(e, "%s: out of memory", path);
			t->event = grown;
		}
		for (i = 0; i < got; i++)
			if (keep_event(t, &batch[i], path))
				return error_set(e, "%s: cannot be played", path);
	}
	return (int)got;
}

static int read_trace(struct trace *t, const char *path)
{
	struct error e = {""};
	struct capture c;

	if (!source_open(&t->source, path, &e) && source_capture(t->source, &c, &e) > 0 && !read_events(t, path, &e))
		return 0;
	fprintf(stderr, "live_events: %s\n", e.text[0] ? e.text : "nothing to play");
	return -1;
}

static void play_event(const struct trace *t, const struct event *ev)
{
	const struct event_desc *d = &event_table[ev->kind];
	uint64_t a[ARGS > EVENT_MAX_FIELDS ? ARGS : EVENT_MAX_FIELDS] = {0};
	bool coherent = ev->kind == EV_domain_add && !ev->missing;
	unsigned i;

	memcpy(a, ev->f, sizeof(ev->f));
	for (i = 0; i < d->nfields; i++)
		if (d->field[i].type == FIELD_STR)
			a[i] = (uintptr_t)(ev->missing & 1u << i ? "" :
								   intern_get(t->source->strings, (uint32_t)ev->f[i]));
	if (coherent)
		hwpt_alloc(ev->domain_add.coherent, 0, 0, 0, 0, 0);
	if (by_pointer(d))
		functions[ev->kind]((uintptr_t)a, 0, 0, 0, 0, 0);
	else
		functions[ev->kind](a[0], a[1], a[2], a[3], a[4], a[5]);
	if (coherent)
		hwpt_alloc_end(0, 0, 0, 0, 0, 0);
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	fprintf(stderr, "live_events: CPU %d: %s\n", cpu, strerror(errno));
	return -1;
}

static void pause_for(uint64_t rate)
{
	struct timespec ts;

	if (!rate)
		return;
	ts.tv_sec = rate == 1;
	ts.tv_nsec = rate == 1 ? 0 : (long)(1000000000 / rate);
	nanosleep(&ts, NULL);
}

/* A thread plays every threads-th event, and waits for the others' turns. */
static void *play_thread(void *arg)
{
	struct thread *th = arg;
	struct player *p = th->player;
	uint64_t total = p->trace->n * p->repeat, i;

	th->failed = th->cpu >= 0 && pin(th->cpu);
	for (i = th->number; i < total; i += p->threads) {
		while (atomic_load_explicit(&p->next, memory_order_acquire) != i)
			sched_yield();
		play_event(p->trace, &p->trace->event[i % p->trace->n]);
		pause_for(p->rate);
		atomic_store_explicit(&p->next, i + 1, memory_order_release);
	}
	return NULL;
}

/* The nth CPU, counted round, of those that we may run on. */
static int nth_cpu(unsigned n)
{
	cpu_set_t set;
	int cpu;

	if (sched_getaffinity(0, sizeof(set), &set) || !CPU_COUNT(&set))
		return 0;
	n %= (unsigned)CPU_COUNT(&set);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && !n--)
			return cpu;
	return 0;
}

static int play(const char *path, struct player *p, int cpu)
{
	struct thread th[MAX_THREADS];
	struct trace t = {0};
	unsigned i, started;
	int status = 1;

	p->trace = &t;
	if (read_trace(&t, path))
		goto out;
	for (i = 0; i < p->threads; i++)
		th[i] = (struct thread){.player = p, .number = i, .cpu = p->threads > 1 ? nth_cpu(i) : cpu};
	for (started = 0; started < p->threads; started++)
		if (pthread_create(&th[started].id, NULL, play_thread, &th[started])) {
			fprintf(stderr, "live_events: %u threads cannot be started\n", p->threads);
			exit(1); /* those that run wait for the ones that do not */
		}
	status = 0;
	for (i = 0; i < started; i++) {
		pthread_join(th[i].id, NULL);
		status |= th[i].failed;
	}
	printf("sent %" PRIu64 "\n", (uint64_t)t.n * p->repeat);
out:
	free(t.event);
	source_close(t.source);
	return status;
}

static int flood(uint64_t n, int cpu)
{
	uint64_t domain = FLOOD_DOMAIN + ((uint64_t)(cpu < 0 ? 0 : cpu) << 16), i;

	if (cpu >= 0 && pin(cpu))
		return 1;
	for (i = 0; i < n; i++)
		if (i & 1)
			unmap(domain, (i >> 1) << 12, 4096, 0, 0, 0);
		else
			map(domain, (i >> 1) << 12, ((i >> 1) & 0xffffffff) << 12, 4096, 3, 0);
	printf("sent %" PRIu64 "\n", n);
	return 0;
}

/* --- command line */

static int usage(void)
{
	fprintf(stderr, "usage: live_events [--paired] --probes GROUP\n"
			"       live_events [--threads N | --cpu N] [--repeat N] [--rate N] --play FILE\n"
			"       live_events [--cpu N] --flood N\n");
	return 2;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out >= min && *out <= max;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"probes", required_argument, NULL, 'p'},
		{"play", required_argument, NULL, 'f'},
		{"threads", required_argument, NULL, 't'},
		{"repeat", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'},
		{"flood", required_argument, NULL, 'F'},
		{"cpu", required_argument, NULL, 'c'},
		{"paired", no_argument, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	struct player p = {.repeat = 1, .threads = 1};
	const char *group = NULL, *file = NULL;
	uint64_t n, events = 0;
	int opt, cpu = -1;
	bool ok = true, paired = false;

	while (ok && (opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (opt) {
		case 'P':
			paired = true;
			break;
		case 'p':
			group = optarg;
			break;
		case 'f':
			file = optarg;
			break;
		case 't':
			ok = number(optarg, 1, MAX_THREADS, &n);
			p.threads = (unsigned)n;
			break;
		case 'n':
			ok = number(optarg, 1, UINT32_MAX, &p.repeat);
			break;
		case 'r':
			ok = number(optarg, 1, 1000000000, &p.rate);
			break;
		case 'F':
			ok = number(optarg, 1, 1ull << 40, &events);
			break;
		case 'c':
			ok = number(optarg, 0, CPU_SETSIZE - 1, &n);
			cpu = (int)n;
			break;
		default:
			ok = false;
		}
	if (!ok || optind != argc || !!group + !!file + !!events != 1 || (paired && !group))
		return usage();
	if (sizeof(registers) / sizeof(registers[0]) < ARGS) {
		fprintf(stderr, "live_events: the registers of this machine's function arguments are not known\n");
		return EXIT_SKIP;
	}
	if (group)
		return print_probes(group, paired);
	return file ? play(file, &p, cpu) : flood(events, cpu);
}
