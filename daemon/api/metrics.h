/* /metrics: the counters as text that Prometheus reads (exposition format 0.0.4). */
#ifndef IOFLUSH_DAEMON_API_METRICS_H
#define IOFLUSH_DAEMON_API_METRICS_H

#include <stdint.h>
#include <stddef.h>

#include "daemon/capture/ring.h"
#include "daemon/record/writer.h"
#include "trace/event.h"

struct metrics {
	const struct ring_stats *ring;
	const struct writer_stats *writer;
	const uint64_t *kinds;	  /* events by kind; NULL: not counted */
	const uint64_t *requests; /* answers by status */
	size_t statuses;
	uint64_t uptime_ms;
	unsigned replays_running, replays_waiting;
	bool healthy;
};

/* malloc'ed; NULL: out of memory. */
char *metrics_text(const struct metrics *m, size_t *len);

#endif
