/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUs that come and go: the buffer of each present CPU is opened, given to the ring, and watched by the loop. A CPU
 * whose buffer is gone is tried again now and then.
 */
#include "daemon/impl.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"

#define CPU_RETRY_S 10 /* how often a CPU whose buffer is gone is tried again */

struct cpu {
	unsigned number;
	bool open;	   /* the ring has its buffer */
	bool said_gone;	   /* logged; not logged again until it is back */
	uint64_t retry_at; /* seconds */
};

static struct cpu *find_cpu(struct ioflushd *d, unsigned number)
{
	for (size_t i = 0; i < d->cpus.n; i++)
		if (d->cpus.cpu[i].number == number)
			return &d->cpus.cpu[i];
	return NULL;
}

static struct cpu *new_cpu(struct ioflushd *d, unsigned number, struct error *e)
{
	struct cpu *cpu = grow(d->cpus.cpu, d->cpus.n);

	if (!cpu) {
		error_errno(e, "CPU %u", number);
		return NULL;
	}
	cpu->number = number;
	d->cpus.n++;
	return cpu;
}

static int open_cpu(struct ioflushd *d, struct cpu *cpu, struct error *e)
{
	int fd = priv_open_buffer(d->priv, cpu->number), stats;

	if (fd < 0)
		return error_errno(e, "CPU %u: its buffer cannot be opened", cpu->number);
	stats = priv_open_stats(d->priv, cpu->number);
	if (stats < 0)
		log_warning("CPU %u: its statistics cannot be opened; what it loses may not be counted", cpu->number);
	if (loop_watch(d->loop, cpu->number, fd, e)) {
		close(fd);
		if (stats >= 0)
			close(stats);
		return -1;
	}
	if (ring_cpu_add(d->ring, cpu->number, fd, stats, e)) {
		loop_unwatch(d->loop, cpu->number);
		return -1;
	}
	cpu->open = true;
	return 0;
}

void cpus_gone(struct ioflushd *d, unsigned number)
{
	struct cpu *cpu = find_cpu(d, number);

	loop_unwatch(d->loop, number);
	if (!cpu)
		return;
	cpu->open = false;
	cpu->retry_at = clock_s() + CPU_RETRY_S;
	if (!cpu->said_gone)
		log_notice("CPU %u has gone; it is looked for every %d seconds", number, CPU_RETRY_S);
	cpu->said_gone = true;
}

/* Opens buffers of present CPUs that are not open. first: at the start a failure is an error. */
static int update_cpu(struct ioflushd *d, unsigned number, bool first, struct error *e)
{
	struct cpu *cpu = find_cpu(d, number);
	struct error why = {0};

	if (cpu && cpu->open) {
		if (cpu->said_gone) /* it has been back for a whole tick */
			log_notice("CPU %u is back", number);
		cpu->said_gone = false;
		return 0;
	}
	if (cpu && clock_s() < cpu->retry_at)
		return 0;
	if (!cpu) {
		cpu = new_cpu(d, number, e);
		if (!cpu)
			return -1;
		if (!first)
			log_notice("CPU %u is new", number);
	}
	if (!open_cpu(d, cpu, first ? e : &why))
		return 0;
	if (first)
		return -1;
	if (!cpu->said_gone)
		log_warning("%s; tried again every %d seconds", why.text, CPU_RETRY_S);
	cpu->said_gone = true;
	cpu->retry_at = clock_s() + CPU_RETRY_S;
	return 0;
}

/*
 * The buffer of an offline CPU stays, and stays open here: what is left in it is read, and when the CPU is back nothing
 * that it records is late. If it were closed, it would be opened again only at a later tick.
 */
int cpus_update(struct ioflushd *d, bool first, struct error *e)
{
	size_t n;
	unsigned *number = priv_cpus(d->priv, &n, e);
	int rc = 0;

	if (!number)
		return -1;
	for (size_t i = 0; i < n && !rc; i++)
		rc = update_cpu(d, number[i], first, e);
	free(number);
	return rc;
}
