/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What exists at a time: the iopts, domains and areas of a capture as the model knows them after its last event (or the
 * last one up to a given time).
 */
#ifndef IOFLUSH_ANALYZER_REPORT_STATE_H
#define IOFLUSH_ANALYZER_REPORT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analyzer/model/model.h"
#include "base/error.h"
#include "trace/source.h"

struct state_domain {
	struct model_domain d;
	const char *device; /* NULL: unknown */
};

struct state_capture {
	uint64_t id, events;
	uint64_t first_t, last_t; /* of the events taken */
	const char *state;	  /* "complete", "recording", ... */
	const char *partial;	  /* NULL, or why not all events were taken */
	uint64_t health[HEALTH_COUNT];
	struct midlife midlife;
	bool ticks; /* its times are such */
	struct model_iopt *iopt;
	struct state_domain *domain;
	struct model_area *area; /* only if asked for */
	size_t niopts, ndomains, nareas;
	size_t iopts_cap, domains_cap, areas_cap;
};

struct state {
	struct budget *budget; /* of all that is gathered; NULL: no bound */
	struct intern *texts;  /* of captures */
	struct state_capture *capture;
	size_t n, cap;
};

/* Adds a capture, whose model has taken its events. strings: what the model's string ids mean. 0 or -1. */
int state_add(struct state *s, const struct capture *c, const struct model *m, const struct intern *strings, bool areas,
	      const char *partial, struct error *e);
void state_clear(struct state *s);

void state_text(const struct state *s, FILE *out);
int state_json(const struct state *s, FILE *out, struct error *e);

#endif
