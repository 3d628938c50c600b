/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The progress line; see progress.h. On a terminal it costs one clock reading per batch, otherwise nothing. */
#include "analyzer/replay/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define NS_PER_S 1000000000ll
#define INTERVAL_NS (NS_PER_S / 5)

static int64_t now_ns(void)
{
	return (int64_t)clock_ns();
}

void progress_begin(struct progress *p, const char *title)
{
	const char *form = getenv("IOFLUSH_PROGRESS");

	*p = (struct progress){.title = title, .lines = form && !strcmp(form, "lines")};
	p->on = title && (p->lines || isatty(STDERR_FILENO));
	if (p->on)
		p->start = p->shown = now_ns();
}

bool progress_due(struct progress *p, uint64_t new_events)
{
	p->events += new_events;
	return p->on && now_ns() - p->shown >= INTERVAL_NS;
}

void progress_show(struct progress *p, double share)
{
	char done[16] = "";
	int64_t elapsed;

	if (!p->on)
		return;
	p->shown = now_ns();
	elapsed = p->shown - p->start;
	if (p->lines) {
		if (share >= 0)
			snprintf(done, sizeof(done), "%.3f", share < 1 ? share : 1);
		fprintf(stderr, "progress %s %" PRIu64 "\n", share >= 0 ? done : "-", p->events);
		return;
	}
	if (share >= 0)
		snprintf(done, sizeof(done), "%3.0f%%  ", 100 * (share < 1 ? share : 1));
	/* clear the line only after it was written over: no flicker */
	fprintf(stderr, "\r%s%.40s: %s events, %s/s\033[K", done, p->title, text_thousands(p->events),
		text_thousands((uint64_t)((double)p->events * NS_PER_S / (double)(elapsed ? elapsed : 1))));
	fflush(stderr);
	p->dirty = true;
}

void progress_end(struct progress *p)
{
	if (p->dirty)
		fputs("\r\033[K", stderr);
	p->dirty = false;
}
