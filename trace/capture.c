/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a capture; see capture.h. */
#include "trace/capture.h"

#include <string.h>

const size_t capture_text_at[CAPTURE_TEXTS] = {
	offsetof(struct capture, source), offsetof(struct capture, format), offsetof(struct capture, host),
	offsetof(struct capture, kernel), offsetof(struct capture, clock),  offsetof(struct capture, probes),
	offsetof(struct capture, state),  offsetof(struct capture, note),
};

void capture_init(struct capture *c, uint64_t id, const char *source, const char *format)
{
	unsigned i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < CAPTURE_TEXTS; i++)
		*capture_text(c, i) = "";
	c->id = id;
	c->source = source;
	c->format = format;
	c->state = "complete";
}

bool capture_in_ticks(const struct capture *c)
{
	static const char *const ticks[] = {"ticks", "counter", "uptime", "x86-tsc", "ppc-tb"};
	size_t i;

	for (i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++)
		if (!strcmp(c->clock, ticks[i]))
			return true;
	return false;
}

int capture_keep(struct capture *c, struct intern *texts)
{
	const char **text;
	unsigned i;

	for (i = 0; i < CAPTURE_TEXTS; i++) {
		text = capture_text(c, i);
		*text = intern_keep(texts, *text);
		if (!*text)
			return -1;
	}
	return 0;
}
