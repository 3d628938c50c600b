/* See ledger.h. */
#include "daemon/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* What is said behind the number of new ones. */
static const struct {
	const char *name, *advice;
} causes[HEALTH_CAUSES] = {
	[HEALTH_RING] = {"records lost in the ring buffer", "raise buffer-size"},
	[HEALTH_DECODER] = {"records lost could not be decoded", "the log at level debug says why"},
	[HEALTH_LATE] = {"records lost came after their time", "raise merge-window"},
	[HEALTH_MERGE] = {"records lost for lack of merge memory", "raise merge-bytes"},
	[HEALTH_PROBE] = {"records lost as probes missed them", "give return probes more room, r64: in place of r:"},
	[HEALTH_QUEUE] = {"records lost in the queue to the database", "raise queue-events, or use a faster disk"},
	[HEALTH_DATABASE] = {"records lost while the database took no rows", "see why it failed"},
	[HEALTH_INVALID] = {"records lost as no reader would take them", "the log at level debug says why"},
	[HEALTH_UNKNOWN] = {"places where the count is not known", "raise buffer-size"},
	[HEALTH_NAMES] = {"events stored without the name of their command or device, as there are too many names",
			  "see who makes so many; retention makes room in the database, a restart in memory"},
};

static void counts(uint64_t n[HEALTH_CAUSES], const struct ring_stats *r, const struct writer_stats *w)
{
	n[HEALTH_RING] = r->lost_ring;
	n[HEALTH_DECODER] = r->lost_decoder;
	n[HEALTH_LATE] = r->lost_late;
	n[HEALTH_MERGE] = r->lost_merge;
	n[HEALTH_PROBE] = r->lost_probe;
	n[HEALTH_QUEUE] = w->lost_queue;
	n[HEALTH_DATABASE] = w->lost_database;
	n[HEALTH_INVALID] = w->lost_invalid;
	n[HEALTH_UNKNOWN] = r->lost_unknown;
	n[HEALTH_NAMES] = r->unnamed + w->unnamed;
}

uint64_t health_lost(const struct ring_stats *r, const struct writer_stats *w)
{
	return r->lost_ring + r->lost_decoder + r->lost_late + r->lost_merge + r->lost_probe + w->lost_queue +
	       w->lost_database + w->lost_invalid;
}

static bool say_losses(struct health *h, const struct ring_stats *r, const struct writer_stats *w)
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

	/* A recovery is said at once; it is the next failure that has to wait. */
	if (failing != h->failing && (!failing || now_s >= h->failing_due)) {
		say_database(h, w);
		if (failing)
			h->failing_due = now_s + HEALTH_INTERVAL_S;
	}
	if (now_s >= h->loss_due && say_losses(h, r, w))
		h->loss_due = now_s + HEALTH_INTERVAL_S;
}

void health_finish(struct health *h, const struct ring_stats *r, const struct writer_stats *w)
{
	say_losses(h, r, w);
}
