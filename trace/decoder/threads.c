/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State per thread and per device, kept between records. Both tables are bounded: forgotten state becomes "unknown" or
 * lost, never wrong.
 */
#include "trace/decoder/impl.h"

#include <string.h>

#define MAX_THREADS 65536u
#define MAX_DEVICES 65536u
#define THREAD_MEMORY (sizeof(struct thread) + BUDGET_HASHED)
#define DEVICE_MEMORY (sizeof(struct device) + BUDGET_HASHED)

struct device {
	uint64_t idev;
	uint32_t name; /* strings id */
	UT_hash_handle hh;
};

struct thread *thread_find(struct decoder *d, uint32_t id)
{
	struct thread *th;

	HASH_FIND(hh, d->threads, &id, sizeof(id), th);
	return th;
}

void thread_drop(struct decoder *d, struct thread *th)
{
	d->attaches -= th->has_attach;
	HASH_DEL(d->threads, th);
	th->next_free = d->free_threads;
	d->free_threads = th;
}

void thread_drop_if_idle(struct decoder *d, struct thread *th)
{
	if (!th->has_coherent && !th->has_attach && !th->calls && !th->covered && th->id != NO_TID)
		thread_drop(d, th);
}

struct thread *thread_get(struct decoder *d, uint32_t id, struct error *e)
{
	struct thread *th = thread_find(d, id), *old, *next;

	if (th)
		return th;
	if (HASH_COUNT(d->threads) >= MAX_THREADS)
		HASH_ITER(hh, d->threads, old, next)
			if (!old->has_attach) { /* the oldest entry; its coherency becomes unknown, its calls lost */
				thread_drop(d, old);
				break;
			}
	if (HASH_COUNT(d->threads) >= MAX_THREADS) {
		error_set(e, "attach: %u threads wait for their device, which no machine has", MAX_THREADS);
		return NULL;
	}
	th = d->free_threads;
	if (th)
		d->free_threads = th->next_free;
	else
		th = budget_resize(d->budget, NULL, 0, THREAD_MEMORY);
	if (!th)
		goto fail;
	memset(th, 0, offsetof(struct thread, attach));
	th->id = id;
	HASH_ADD(hh, d->threads, id, sizeof(th->id), th);
	if (th->hh.tbl)
		return th;
	budget_free(d->budget, th, THREAD_MEMORY);
fail:
	error_set(e, "%s", budget_failure(d->budget));
	return NULL;
}

uint32_t device_of(struct decoder *d, uint64_t idev)
{
	struct device *dev;

	HASH_FIND(hh, d->devices, &idev, sizeof(idev), dev);
	return dev ? dev->name : 0;
}

int device_remember(struct decoder *d, uint64_t idev, uint32_t name, struct error *e)
{
	struct device *dev, *old;

	HASH_FIND(hh, d->devices, &idev, sizeof(idev), dev);
	if (dev) {
		dev->name = name;
		return 0;
	}
	old = d->devices;
	if (HASH_COUNT(d->devices) >= MAX_DEVICES) {
		HASH_DEL(d->devices, old);
		budget_free(d->budget, old, DEVICE_MEMORY);
	}
	dev = budget_alloc(d->budget, DEVICE_MEMORY);
	if (!dev)
		return error_set(e, "%s", budget_failure(d->budget));
	dev->idev = idev;
	dev->name = name;
	HASH_ADD(hh, d->devices, idev, sizeof(dev->idev), dev);
	if (dev->hh.tbl)
		return 0;
	budget_free(d->budget, dev, DEVICE_MEMORY);
	return error_set(e, "out of memory");
}

void threads_free(struct decoder *d)
{
	struct thread *th, *th_next;
	struct device *dev, *dev_next;

	HASH_ITER(hh, d->threads, th, th_next) {
		HASH_DEL(d->threads, th);
		budget_free(d->budget, th, THREAD_MEMORY);
	}
	for (th = d->free_threads; th; th = th_next) {
		th_next = th->next_free;
		budget_free(d->budget, th, THREAD_MEMORY);
	}
	HASH_ITER(hh, d->devices, dev, dev_next) {
		HASH_DEL(d->devices, dev);
		budget_free(d->budget, dev, DEVICE_MEMORY);
	}
}
