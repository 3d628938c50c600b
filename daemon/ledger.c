/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ledger.h. */
#include "daemon/ledger.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/number.h"

/* The text behind the number of new ones. */
static const struct {
	const char *name, *advice;
} causes[HEALTH_CAUSES] = {
#define RING_LOSS(ID, id, name, text, advice) {text, advice},
#define WRITER_LOSS(ID, id, name, text, advice) {text, advice},
#include "schema/losses.def"
	[HEALTH_UNKNOWN] = {"places where the count is not known", "raise buffer-size"},
	[HEALTH_NAMES] = {"events stored without the name of their command or device, as there are too many names",
			  "see who makes so many; retention makes room in the database, a restart in memory"},
};

static void counts(uint64_t n[HEALTH_CAUSES], const struct ring_stats *r, const struct writer_stats *w)
{
#define RING_LOSS(ID, id, ...) n[LOSS_##ID] = r->lost_##id;
#define WRITER_LOSS(ID, id, ...) n[LOSS_##ID] = w->lost_##id;
#include "schema/losses.def"
	n[HEALTH_UNKNOWN] = r->lost_unknown;
	n[HEALTH_NAMES] = r->unnamed + w->unnamed;
}

uint64_t health_lost(const struct ring_stats *r, const struct writer_stats *w)
{
	uint64_t n[HEALTH_CAUSES], sum = 0;

	counts(n, r, w);
	for (int i = 0; i < LOSSES; i++)
		sum = number_sum(sum, n[i]);
	return sum;
}

bool health_say_losses(struct health *h, const struct ring_stats *r, const struct writer_stats *w)
{
	uint64_t n[HEALTH_CAUSES];
	bool said = false;

	counts(n, r, w);
	for (int i = 0; i < HEALTH_CAUSES; i++) {
		if (n[i] <= h->said[i])
			continue;
		if (i == HEALTH_UNKNOWN)
			log_warning("records lost: %" PRIu64 " more %s (%s)", n[i] - h->said[i], causes[i].name,
				    causes[i].advice);
		else
			log_warning("%" PRIu64 " %s, %" PRIu64 " since the start (%s)", n[i] - h->said[i],
				    causes[i].name, n[i], causes[i].advice);
		h->said[i] = n[i];
		said = true;
	}
	return said;
}

static void say_database(struct health *h, const struct writer_stats *w)
{
	if (w->failing[0]) {
		log_error("the database takes no rows: %s; recording goes on, events wait in the queue", w->failing);
		h->lost_database = w->lost_database + w->lost_queue;
	} else {
		log_notice("the database takes rows again; %" PRIu64 " events were lost meanwhile",
			   w->lost_database + w->lost_queue - h->lost_database);
	}
	h->failing = w->failing[0];
}

void health_update(struct health *h, uint64_t now_s, const struct ring_stats *r, const struct writer_stats *w)
{
	bool failing = w->failing[0];

	/* A recovery is logged at once; only the next failure has to wait. */
	if (failing != h->failing && (!failing || now_s >= h->failing_due)) {
		say_database(h, w);
		if (failing)
			h->failing_due = now_s + HEALTH_INTERVAL_S;
	}
	if (now_s >= h->loss_due && health_say_losses(h, r, w))
		h->loss_due = now_s + HEALTH_INTERVAL_S;
}
