/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the simulated iommufd stands on: random numbers, its own memory, ids, the queue of events, its begin and end.
 * Only fixed-width integer arithmetic is used: the same options give the same bytes on every machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/generator/impl.h"
#include "base/grow.h"

/* --- numbers --- */

static uint64_t rotl(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

static uint64_t splitmix(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* xoshiro256**, by David Blackman and Sebastiano Vigna (public domain algorithm). */
static uint64_t draw(struct sim *sim)
{
	uint64_t *s = sim->random, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
	return (draw(sim) >> 32) * n >> 32;
}

bool sim_chance(struct sim *sim, uint32_t thousandths)
{
	return thousandths && sim_below(sim, 1000) < thousandths;
}

/* --- memory of the generator itself --- */

void sim_push(struct sim *sim, struct stack *s, uint64_t v)
{
	if (grow_within(NULL, s->v, s->n, s->cap, 64u))
		s->v[s->n++] = v;
	else
		sim->no_memory = true;
}

static bool pool_init(struct pool *p, size_t size, size_t cap)
{
	p->size = size;
	p->cap = cap;
	p->mem = calloc(cap, size);
	return p->mem;
}

/* A zeroed object, or NULL: all are in use. The one freed last comes first, as from a slab. */
void *sim_pool_take(struct pool *p)
{
	void *obj = p->free;

	if (obj)
		p->free = *(void **)obj;
	else if (p->used < p->cap)
		obj = p->mem + p->size * p->used++;
	else
		return NULL;
	return memset(obj, 0, p->size);
}

void sim_pool_give(struct pool *p, void *obj)
{
	*(void **)obj = p->free;
	p->free = obj;
}

/*
 * Kernel pointers of objects: one cache for all kinds, the one freed last comes first, so that the address of an
 * iopt_pages may be that of an area next.
 */
uint64_t sim_new_id(struct sim *sim)
{
	if (sim->free_ids.n)
		return sim->free_ids.v[--sim->free_ids.n];
	return 0xffff888100000000 + 0x100 * sim->next_id++;
}

void sim_free_id(struct sim *sim, uint64_t id)
{
	sim_push(sim, &sim->free_ids, id);
}

/* --- events --- */

/* Never NULL: without memory what is written is thrown away, and the next read says so. */
struct event *sim_emit(struct sim *sim, enum event_kind kind)
{
	const struct thread *th = &sim->thread[sim->now];
	struct event *ev = &sim->scratch;

	if (grow_within(NULL, sim->queue, sim->tail, sim->cap, 1024u))
		ev = &sim->queue[sim->tail++];
	else
		sim->no_memory = true;
	memset(ev, 0, sizeof(*ev));
	sim->t += 120 + (draw(sim) >> 53);
	sim->emitted++;
	ev->t = sim->t;
	ev->cpu = th->cpu;
	ev->tid = th->tid;
	ev->comm = th->comm;
	ev->kind = (uint8_t)kind;
	return ev;
}

void sim_begin(struct sim *sim)
{
	uint64_t r = draw(sim);

	sim->now = (unsigned)(r % SIM_THREADS);
	if (!(r >> 8 & 15))
		sim->thread[sim->now].cpu = (uint32_t)(r >> 16 & 7);
	sim->t += 1000 + (r >> 48);
}

void sim_emit_area(struct sim *sim, enum event_kind kind, const struct area *a)
{
	struct event *ev = sim_emit(sim, kind);

	/* area_unfill and area_unfill_end have the same fields in the same order */
	ev->area_unfill.area = a->id;
	ev->area_unfill.pages = a->pages->id;
	ev->area_unfill.iopt = a->iopt->id;
	ev->area_unfill.iova = a->iova;
	ev->area_unfill.last = a->last;
}

void sim_emit_access(struct sim *sim, enum event_kind kind, const struct hold *h)
{
	struct event *ev = sim_emit(sim, kind);

	ev->access_add.area = h->area->id;
	ev->access_add.pages = h->area->pages->id;
	ev->access_add.iopt = h->area->iopt->id;
	ev->access_add.iova = h->area->iova;
	ev->access_add.first = h->first;
	ev->access_add.last = h->last;
}

void sim_emit_device(struct sim *sim, enum event_kind kind, const struct domain *d, uint32_t name)
{
	struct event *ev = sim_emit(sim, kind);

	/* attach and detach have the same fields in the same order */
	ev->attach.hwpt = d->hwpt;
	ev->attach.domain = d->id;
	ev->attach.device = name;
}

/* --- begin and end --- */

static bool init_pools(struct sim *sim)
{
	size_t n = sim->o.live + (sim->o.shape == GENERATE_VMBOOT ? GENERATE_VM_RAMS : 0);

	sim->max_areas = n;
	sim->max_regions = 2 * n + 16;
	sim->ndevices = (size_t)sim->o.iopts * sim->o.domains + 2;
	sim->areas = calloc(n, sizeof(*sim->areas));
	sim->regions = calloc(sim->max_regions, sizeof(*sim->regions));
	sim->iopts = calloc(sim->o.iopts, sizeof(*sim->iopts));
	sim->devices = calloc(sim->ndevices, sizeof(*sim->devices));
	if (!sim->areas || !sim->regions || !sim->iopts || !sim->devices)
		return false;
	for (size_t i = 0; i < sim->o.iopts; i++) {
		sim->iopts[i].area = calloc(n, sizeof(struct area *));
		if (!sim->iopts[i].area)
			return false;
		sim->iopts[i].id = sim_new_id(sim);
	}
	/* one iopt_pages more than areas: it is made before its area */
	return pool_init(&sim->area_pool, sizeof(struct area), n) &&
	       pool_init(&sim->pages_pool, sizeof(struct pages), n + 1) &&
	       pool_init(&sim->region_pool, sizeof(struct region), sim->max_regions) &&
	       pool_init(&sim->domain_pool, sizeof(struct domain), sim->ndevices);
}

static bool init_names(struct sim *sim, struct intern *s)
{
	static const char *const comms[SIM_THREADS] = {"qemu-system-x86", "CPU 0/KVM", "CPU 1/KVM",
						       "worker",	  "libvirtd",  "dpdk-main"};
	char name[32];
	int len;

	for (unsigned i = 0; i < SIM_THREADS; i++) {
		sim->thread[i].cpu = i & 3;
		sim->thread[i].tid = 1000 + 7 * i;
		sim->thread[i].comm = intern_add(s, comms[i], strlen(comms[i]));
		if (sim->thread[i].comm == UINT32_MAX)
			return false;
	}
	for (size_t i = 0; i < sim->ndevices; i++) {
		len = snprintf(name, sizeof(name), "0000:%02zx:%02zx.0", 1 + i / 32, i % 32);
		sim->devices[i].name = intern_add(s, name, (size_t)len);
		if (sim->devices[i].name == UINT32_MAX)
			return false;
	}
	return true;
}

bool sim_init(struct sim *sim, const struct generate_options *o, struct intern *strings)
{
	uint64_t seed = o->seed;

	memset(sim, 0, sizeof(*sim));
	sim->o = *o;
	for (unsigned i = 0; i < 4; i++)
		sim->random[i] = splitmix(&seed);
	sim->t = 1000000000;
	sim->next_pfn = 0x100000;
	return init_pools(sim) && init_names(sim, strings);
}

void sim_free(struct sim *sim)
{
	for (size_t i = 0; i < sim->nregions; i++)
		free(sim->regions[i]->run);
	for (size_t i = 0; sim->iopts && i < sim->o.iopts; i++)
		free(sim->iopts[i].area);
	for (size_t i = 0; i <= SIM_MAX_RUN_ORDER; i++)
		free(sim->free_frames[i].v);
	free(sim->free_ids.v);
	free(sim->area_pool.mem);
	free(sim->pages_pool.mem);
	free(sim->region_pool.mem);
	free(sim->domain_pool.mem);
	free(sim->areas);
	free(sim->regions);
	free(sim->iopts);
	free(sim->devices);
	free(sim->queue);
}
