/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generated traces: what happens when, by shape, and the source that returns the events. The simulated iommufd
 * (iommufd.h) does the operations and makes the events. Each step is one operation; its events are read before the next
 * step.
 */
#include "analyzer/generator/generator.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/generator/iommufd.h"

#define MAX_AREA_PAGES (1ull << 24)
#define MAX_MEMORY_PAGES (1ull << 28)
#define IDLE_LIMIT 10000	      /* steps without an event after which the options leave nothing to do */
#define VM_LOW_END 786432ull	      /* 3 GiB in pages: where RAM goes on above 4 GiB */
#define VM_WINDOWS_IOVA 0x10000000000 /* 1 TiB */

const char *const generate_shape_names[GENERATE_SHAPES] = {"vmboot", "churn", "mixed"};

struct window {
	uint64_t iova;
	struct region *region;
	struct area *area;
};

enum vm_phase { VM_BOOT, VM_RUN, VM_STOP };

struct vm {
	enum vm_phase phase;
	size_t at; /* steps done of boot or stop */
	uint64_t ops_left;
	struct region *ram;
	struct area *ram_area[GENERATE_VM_RAMS];
	struct window *window;
};

struct gen {
	struct source source;
	struct sim sim;
	struct vm vm;
	bool taken, failed;
	_Atomic uint64_t read; /* events handed out */
};

/* --- churn and mixed --- */

static struct iopt *pick_iopt(struct sim *sim)
{
	return &sim->iopts[sim_below(sim, sim->o.iopts)];
}

static struct area *pick_area(struct sim *sim)
{
	return sim->nareas ? sim->areas[sim_below(sim, sim->nareas)] : NULL;
}

/* Makes room in user memory: frees unused regions. */
static void evict(struct sim *sim, uint64_t npages)
{
	for (unsigned tries = 0; tries < 16 && sim->nregions; tries++) {
		struct region *r = sim->regions[sim_below(sim, sim->nregions)];

		if (sim->memory + npages <= sim->o.memory_pages && sim->nregions < sim->max_regions)
			return;
		if (!r->users && !r->kept)
			sim_region_free(sim, r);
	}
}

/* Memory for a new iopt_pages: new memory, or memory that another one shares. */
static struct region *pick_region(struct sim *sim)
{
	uint64_t npages = 1 + sim_below(sim, sim_min(sim->o.area_pages, sim->o.memory_pages));

	if (!sim->nregions || !sim_chance(sim, sim->o.share)) {
		evict(sim, npages);
		if (sim->memory + npages <= sim->o.memory_pages && sim->nregions < sim->max_regions)
			return sim_region_new(sim, npages);
	}
	return sim->nregions ? sim->regions[sim_below(sim, sim->nregions)] : NULL;
}

static bool pick_iova(struct sim *sim, const struct iopt *t, uint64_t size, uint64_t align, uint64_t offset,
		      uint64_t *iova)
{
	const struct area *a;
	uint64_t r;

	for (unsigned tries = 0; tries < 8; tries++) {
		r = sim_below(sim, 4);
		if (r == 0 && t->freed_iova) {
			*iova = t->freed_iova;
		} else if (r == 1 && t->nareas) {
			a = t->area[sim_below(sim, t->nareas)];
			*iova = a->last + 1;
		} else {
			*iova = 0x100000 + sim_below(sim, 1ull << 26) * PAGE_SIZE_BYTES +
				sim_below(sim, PAGE_SIZE_BYTES / align) * align;
		}
		*iova = ((*iova + align - 1) & ~(align - 1));
		if (align == PAGE_SIZE_BYTES)
			*iova += offset;
		if (sim_iova_free(t, *iova, size))
			return true;
	}
	return false;
}

/* Maps pages [lo, lo + n) of p, or with a chance a part of them that begins and ends inside a page. */
static void map_somewhere(struct sim *sim, struct iopt *t, struct pages *p, uint64_t lo, uint64_t n)
{
	uint64_t byte = lo * PAGE_SIZE_BYTES, size = n * PAGE_SIZE_BYTES, align = PAGE_SIZE_BYTES, skip, iova;

	if (sim_chance(sim, sim->o.offset)) {
		skip = sim_below(sim, 8) * 512;
		byte += skip;
		size -= skip;
		size -= sim_below(sim, sim_min(size / 512, 8)) * 512;
		align = sim_below(sim, 2) ? 512 : PAGE_SIZE_BYTES; /* an IOMMU with small pages, or not */
	}
	if (pick_iova(sim, t, size, align, byte % PAGE_SIZE_BYTES, &iova))
		sim_map(sim, t, p, byte, size, iova);
	else
		sim_pages_put(sim, p);
}

static void map_new_op(struct sim *sim)
{
	struct region *r = pick_region(sim);
	struct pages *p;
	uint64_t lo = 0, n;

	if (!r)
		return;
	n = sim_min(r->npages, sim->o.area_pages);
	if (r->npages > 1 && !sim_below(sim, 3)) {
		lo = sim_below(sim, r->npages);
		n = 1 + sim_below(sim, sim_min(r->npages - lo, sim->o.area_pages));
	}
	p = sim_pages_new(sim, r, lo, n);
	if (!p)
		return;
	map_somewhere(sim, pick_iopt(sim), p, 0, n);
}

/* A copy: a second area over a slice of an area's iopt_pages. */
static void copy_op(struct sim *sim)
{
	struct area *a = pick_area(sim);
	uint64_t lo, n;

	if (!a || a->pages->nareas == SIM_MAX_SHARE)
		return;
	lo = a->first;
	n = a->last_index - a->first + 1;
	if (sim_below(sim, 2)) {
		lo += sim_below(sim, n);
		n = 1 + sim_below(sim, a->last_index - lo + 1);
	}
	map_somewhere(sim, pick_iopt(sim), a->pages, lo, n);
}

static void migrate_op(struct sim *sim)
{
	struct region *r = sim->nregions ? sim->regions[sim_below(sim, sim->nregions)] : NULL;

	if (r && !r->busy)
		sim_migrate(sim, r);
}

/* If it is much work, devices come and go rarely, so that other operations get their share. */
static void domain_op(struct sim *sim, bool attach)
{
	struct iopt *t = pick_iopt(sim);

	if (sim->emitted < t->attach_at)
		return;
	if (attach && t->ndomains < sim->o.domains)
		sim_attach(sim, t);
	else
		sim_detach(sim, t);
	t->attach_at = sim->emitted + 2 * t->nareas;
}

static void access_op(struct sim *sim, bool add)
{
	struct area *a = pick_area(sim);

	if (!sim->o.accesses)
		return;
	if (add && a && sim->nholds < sim->o.accesses)
		sim_hold(sim, a);
	else if (sim->nholds)
		sim_release(sim, (unsigned)sim_below(sim, sim->nholds));
}

static void map_op(struct sim *sim, uint64_t r)
{
	struct area *a;

	if (sim->nareas < sim->o.live && r < 38)
		map_new_op(sim);
	else if (sim->nareas < sim->o.live && r < 58)
		copy_op(sim);
	else if ((a = pick_area(sim)))
		sim_unmap(sim, a);
}

static void step_random(struct sim *sim)
{
	uint64_t r = sim_below(sim, 128);
	struct area *a;

	if (r < 94)
		map_op(sim, r);
	else if (r < 102)
		domain_op(sim, r < 99);
	else if (r < 105)
		sim_attach_more(sim, pick_iopt(sim));
	else if (r < 119)
		access_op(sim, r < 112);
	else if (r < 124 && sim->o.cuts && (a = pick_area(sim)))
		sim_cut(sim, a);
	else if (r < 127)
		migrate_op(sim);
	else
		sim_renew_iopt(sim, pick_iopt(sim));
}

/* --- vmboot --- */

/* The parts of the RAM: which pages of it, and where; n is 0 if there is none. */
static uint64_t ram_part(const struct gen *g, size_t i, uint64_t *start, uint64_t *iova)
{
	uint64_t all = g->sim.o.memory_pages, low = sim_min(all, VM_LOW_END);

	*start = i == 0 ? 0 : i == 1 ? 192 : VM_LOW_END; /* 640 KiB, from 768 KiB on, what does not fit below 3 GiB */
	*iova = i == 2 ? 1ull << 32 : *start * PAGE_SIZE_BYTES;
	if (i == 0)
		return sim_min(all, 160);
	if (i == 1)
		return low > 192 ? low - 192 : 0;
	return all > VM_LOW_END ? all - VM_LOW_END : 0;
}

static struct area *map_slice(struct gen *g, struct region *r, uint64_t start, uint64_t n, uint64_t iova)
{
	struct pages *p = r && n ? sim_pages_new(&g->sim, r, start, n) : NULL;

	return p ? sim_map(&g->sim, &g->sim.iopts[0], p, 0, n * PAGE_SIZE_BYTES, iova) : NULL;
}

static void ram_map(struct gen *g, size_t i)
{
	uint64_t start, iova, n = ram_part(g, i, &start, &iova);

	if (!g->vm.ram_area[i])
		g->vm.ram_area[i] = map_slice(g, g->vm.ram, start, n, iova);
}

static void window_toggle(struct gen *g, struct window *w)
{
	if (w->area) {
		sim_unmap(&g->sim, w->area);
		w->area = NULL;
	} else if (w->region) {
		w->area = map_slice(g, w->region, 0, w->region->npages, w->iova);
	}
}

/* The memory of the RAM and of the windows belongs to the VM while it runs. */
static void vm_memory(struct gen *g)
{
	struct vm *vm = &g->vm;
	uint64_t n;

	vm->ram = sim_region_new(&g->sim, g->sim.o.memory_pages);
	if (vm->ram)
		vm->ram->kept = true;
	for (size_t i = 0; i < g->sim.o.live; i++) {
		n = sim_below(&g->sim, 4) ? 1 + sim_below(&g->sim, sim_min(g->sim.o.area_pages, 64)) :
					    1 + sim_below(&g->sim, g->sim.o.area_pages);
		vm->window[i].region = sim_region_new(&g->sim, n);
		if (vm->window[i].region)
			vm->window[i].region->kept = true;
		vm->window[i].iova = VM_WINDOWS_IOVA + i * MAX_AREA_PAGES * PAGE_SIZE_BYTES;
	}
}

static void vm_boot(struct gen *g)
{
	struct vm *vm = &g->vm;
	size_t at = vm->at++;

	if (at == 0)
		vm_memory(g);
	else if (at == 1)
		sim_attach(&g->sim, &g->sim.iopts[0]);
	else if (at < 2 + GENERATE_VM_RAMS)
		ram_map(g, at - 2);
	else if (at < 2 + GENERATE_VM_RAMS + g->sim.o.live)
		window_toggle(g, &vm->window[at - 2 - GENERATE_VM_RAMS]);
	else
		*vm = (struct vm){.phase = VM_RUN,
				  .ops_left = 4096 + sim_below(&g->sim, 8192),
				  .ram = vm->ram,
				  .ram_area = {vm->ram_area[0], vm->ram_area[1], vm->ram_area[2]},
				  .window = vm->window};
}

/* Remaps of the RAM and hot-plug are rare; all else is windows. */
static void vm_run(struct gen *g)
{
	struct vm *vm = &g->vm;
	struct iopt *t = &g->sim.iopts[0];
	uint64_t r = sim_below(&g->sim, 4096);
	size_t i = sim_below(&g->sim, GENERATE_VM_RAMS);

	if (!vm->ops_left--) {
		vm->phase = VM_STOP;
		vm->at = 0;
		return;
	}
	if (!vm->ram_area[i] && r < 2048) {
		ram_map(g, i);
	} else if (r < 2 && vm->ram_area[i]) {
		sim_unmap(&g->sim, vm->ram_area[i]);
		vm->ram_area[i] = NULL;
	} else if (r < 4) {
		sim_attach(&g->sim, t);
	} else if (r < 5) {
		if (t->ndomains > 1)
			sim_detach(&g->sim, t);
	} else if (r < 8) {
		sim_attach_more(&g->sim, t);
	} else {
		window_toggle(g, &vm->window[sim_below(&g->sim, g->sim.o.live)]);
	}
}

/* The VM shuts down: everything is unmapped, the devices leave, and the next VM gets the memory. */
static void vm_stop(struct gen *g)
{
	struct vm *vm = &g->vm;
	struct iopt *t = &g->sim.iopts[0];

	if (t->nareas) {
		sim_unmap(&g->sim, t->area[t->nareas - 1]);
		return;
	}
	if (t->ndomains) {
		sim_detach(&g->sim, t);
		return;
	}
	for (size_t i = 0; i < g->sim.o.live; i++)
		if (vm->window[i].region)
			sim_region_free(&g->sim, vm->window[i].region);
	if (vm->ram)
		sim_region_free(&g->sim, vm->ram);
	memset(vm->window, 0, g->sim.o.live * sizeof(*vm->window));
	*vm = (struct vm){.phase = VM_BOOT, .window = vm->window};
	sim_renew_iopt(&g->sim, t);
}

static void step_vm(struct gen *g)
{
	switch (g->vm.phase) {
	case VM_BOOT:
		vm_boot(g);
		break;
	case VM_RUN:
		vm_run(g);
		break;
	case VM_STOP:
		vm_stop(g);
		break;
	}
}

/* --- the source --- */

/* One operation of the end: accesses, areas, domains. false: nothing is left. */
static bool wind_down(struct sim *sim)
{
	sim_begin(sim);
	if (sim->nholds) {
		sim_release(sim, sim->nholds - 1);
		return true;
	}
	if (sim->nareas) {
		sim_unmap(sim, sim->areas[sim->nareas - 1]);
		return true;
	}
	for (size_t i = 0; i < sim->o.iopts; i++)
		if (sim->iopts[i].ndomains) {
			sim_detach(sim, &sim->iopts[i]);
			return true;
		}
	return false;
}

/* Queues at least one event. 1, 0: the trace has ended, or -1. */
static int advance(struct gen *g, struct error *e)
{
	struct sim *sim = &g->sim;

	sim->head = sim->tail = 0;
	for (unsigned idle = 0; !sim->tail; idle++) {
		if (sim->emitted >= sim->o.events) {
			if (sim->o.no_teardown || !wind_down(sim))
				return 0;
		} else {
			sim_begin(sim);
			if (sim->o.shape == GENERATE_VMBOOT)
				step_vm(g);
			else
				step_random(sim);
		}
		if (sim->no_memory)
			return error_set(e, "%s: out of memory after %llu events; ask for less live state (--live)",
					 g->source.path, (unsigned long long)sim->emitted);
		if (idle == IDLE_LIMIT)
			return error_set(e, "%s: these options leave nothing to do", g->source.path);
	}
	return 1;
}

static int gen_capture(struct source *s, struct capture *c, struct error *e)
{
	struct gen *g = (struct gen *)s;

	(void)e;
	if (g->taken)
		return 0;
	g->taken = true;
	capture_init(c, 1, s->path, "generated");
	c->host = "generated";
	c->clock = "mono";
	return 1;
}

static ssize_t gen_read(struct source *s, struct event *ev, size_t max, struct error *e)
{
	struct gen *g = (struct gen *)s;
	struct sim *sim = &g->sim;
	size_t done = 0, n;
	int more = 1;

	if (g->failed)
		return 0;
	while (done < max) {
		if (sim->head == sim->tail) {
			more = advance(g, e);
			if (more <= 0)
				break;
		}
		n = sim_min(max - done, sim->tail - sim->head);
		memcpy(ev + done, sim->queue + sim->head, n * sizeof(*ev));
		sim->head += n;
		done += n;
	}
	atomic_fetch_add_explicit(&g->read, done, memory_order_relaxed);
	if (more < 0) {
		g->failed = true;
		return -1;
	}
	return (ssize_t)done;
}

static double gen_progress(struct source *s)
{
	struct gen *g = (struct gen *)s;
	uint64_t done = atomic_load_explicit(&g->read, memory_order_relaxed);

	return done >= g->sim.o.events ? 1 : (double)done / (double)g->sim.o.events;
}

static void gen_close(struct source *s)
{
	struct gen *g = (struct gen *)s;

	sim_free(&g->sim);
	free(g->vm.window);
	intern_free(s->strings);
	free(s->path);
	free(g);
}

static const struct source_ops gen_ops = {
	.capture = gen_capture,
	.read = gen_read,
	.progress = gen_progress,
	.close = gen_close,
};

void generate_defaults(struct generate_options *o, enum generate_shape shape, uint64_t seed, uint64_t events)
{
	static const struct generate_options defaults[GENERATE_SHAPES] = {
		[GENERATE_VMBOOT] = {.live = 24,
				     .iopts = 1,
				     .domains = 2,
				     .run_order = 18,
				     .area_pages = 4096,
				     .memory_pages = 1 << 21,
				     .coherent = 250},
		[GENERATE_CHURN] = {.live = 64,
				    .iopts = 2,
				    .domains = 2,
				    .run_order = 3,
				    .area_pages = 32,
				    .memory_pages = 8192,
				    .coherent = 250,
				    .share = 100},
		[GENERATE_MIXED] = {.live = 48,
				    .iopts = 3,
				    .domains = 3,
				    .accesses = 16,
				    .run_order = 4,
				    .area_pages = 64,
				    .memory_pages = 4096,
				    .fail = 30,
				    .coherent = 400,
				    .unknown = 30,
				    .offset = 60,
				    .share = 250,
				    .cuts = true},
	};

	*o = defaults[shape];
	o->shape = shape;
	o->seed = seed;
	o->events = events;
}

static int check(const char *name, uint64_t v, uint64_t min, uint64_t max, struct error *e)
{
	if (v >= min && v <= max)
		return 0;
	return error_set(e, "generate: %s is %llu, it must be %llu to %llu", name, (unsigned long long)v,
			 (unsigned long long)min, (unsigned long long)max);
}

static int check_options(const struct generate_options *o, struct error *e)
{
	bool vm = o->shape == GENERATE_VMBOOT;

	if (check("shape", o->shape, 0, GENERATE_SHAPES - 1, e) || check("events", o->events, 1, GENERATE_MAX_EVENTS, e) ||
	    check("live", o->live, 1, GENERATE_MAX_LIVE, e) || check("iopts", o->iopts, 1, vm ? 1 : SIM_MAX_IOPTS, e) ||
	    check("domains", o->domains, 1, SIM_MAX_DOMAINS, e) ||
	    check("accesses", o->accesses, 0, SIM_MAX_ACCESSES, e) ||
	    check("run_order", o->run_order, 0, SIM_MAX_RUN_ORDER, e) ||
	    check("area_pages", o->area_pages, 1, MAX_AREA_PAGES, e) ||
	    check("memory_pages", o->memory_pages, 1, MAX_MEMORY_PAGES, e))
		return -1;
	if (check("fail", o->fail, 0, 999, e) || check("coherent", o->coherent, 0, 1000, e) ||
	    check("unknown", o->unknown, 0, 1000, e) || check("offset", o->offset, 0, 1000, e) ||
	    check("share", o->share, 0, 1000, e))
		return -1;
	return 0;
}

int generate_open(struct source **out, const struct generate_options *o, struct error *e)
{
	struct gen *g;

	*out = NULL;
	if (check_options(o, e))
		return -1;
	g = calloc(1, sizeof(*g));
	if (!g)
		return error_set(e, "generate: out of memory");
	g->source.ops = &gen_ops;
	g->source.path = strdup("generated");
	g->source.strings = intern_new();
	g->vm.window = calloc(o->live, sizeof(*g->vm.window));
	if (!g->source.path || !g->source.strings || !g->vm.window || !sim_init(&g->sim, o, g->source.strings)) {
		error_set(e, "generate: out of memory for %u live areas; ask for fewer (--live)", o->live);
		gen_close(&g->source);
		return -1;
	}
	*out = &g->source;
	return 0;
}
