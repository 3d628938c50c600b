/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the simulated iommufd share; iommufd.h is for its users. */
#ifndef IOFLUSH_ANALYZER_GENERATOR_IMPL_H
#define IOFLUSH_ANALYZER_GENERATOR_IMPL_H

#include "analyzer/generator/iommufd.h"

/* Return codes of failed calls, as in the kernel. */
enum { RC_NOMEM = -12, RC_FAULT = -14, RC_IN_USE = -98 };

/* state.c: numbers, objects, ids and events. false, NULL: no memory, or all are in use. */
void sim_push(struct sim *sim, struct stack *s, uint64_t v);
void *sim_pool_take(struct pool *p);
void sim_pool_give(struct pool *p, void *obj);
uint64_t sim_new_id(struct sim *sim);
void sim_free_id(struct sim *sim, uint64_t id);

/* Never NULL: without memory the event is dropped, and the next read returns the error. */
struct event *sim_emit(struct sim *sim, enum event_kind kind);
void sim_emit_area(struct sim *sim, enum event_kind kind, const struct area *a);
void sim_emit_access(struct sim *sim, enum event_kind kind, const struct hold *h);
void sim_emit_device(struct sim *sim, enum event_kind kind, const struct domain *d, uint32_t name);

/* memory.c: how many pages from idx on, up to last, are contiguous; the last index of a batch of runs. */
uint64_t sim_extent(const struct pages *p, uint64_t idx, uint64_t last, uint64_t *pfn);
uint64_t sim_batch_last(const struct pages *p, uint64_t from, uint64_t last, unsigned runs);

/* fill.c */
void sim_set_storage(struct area *a, struct domain *d);
uint64_t sim_index_iova(const struct area *a, uint64_t idx);
void sim_unmap_range(struct sim *sim, const struct area *a, const struct domain *d, uint64_t lo, uint64_t hi);
void sim_unpin_holes(struct sim *sim, const struct pages *p, uint64_t first, uint64_t last);
void sim_unfill(struct sim *sim, const struct area *a, const struct domain *d, uint64_t last);
int64_t sim_fill(struct sim *sim, const struct area *a, struct domain *const *d, unsigned n, bool fail);

#endif
