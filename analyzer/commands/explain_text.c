/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a page as text; see explain.h. */
#include "analyzer/commands/explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/findings/wording.h"
#include "base/text.h"

/* The names of policies, kept short: "-", "all", "all but x, y" or "x, y". */
static void names_text(const struct explain *x, uint64_t mask, char *buf, size_t len)
{
	uint64_t all = x->set.n ? UINT64_MAX >> (64 - x->set.n) : 0;
	bool invert = mask != all && __builtin_popcountll(mask) * 2 > (int)x->set.n && x->set.n > 3;
	size_t at;

	mask &= all;
	if (!mask || mask == all) {
		snprintf(buf, len, "%s", mask ? "all" : "-");
		return;
	}
	at = (size_t)snprintf(buf, len, "%s", invert ? "all but " : "");
	if (invert)
		mask ^= all;
	for (size_t i = 0; i < x->set.n && at < len; i++) {
		if (!(mask >> i & 1))
			continue;
		at += (size_t)snprintf(buf + at, len - at, "%s%s", x->set.policy[i]->ops->name,
				       mask >> i & ~1ull ? ", " : "");
	}
}

void explain_print_event(const struct explain *x, const struct event *ev)
{
	struct origin o = explain_origin(x, ev);
	char buf[TEXT_MAX], label[32];
	size_t n;

	text_origin(buf, sizeof(buf), &o, x->strings);
	n = strcspn(buf, " ");
	snprintf(label, sizeof(label), "%.*s", (int)n, buf);
	n += strspn(buf + n, " ");
	memmove(buf, buf + n, strlen(buf + n) + 1);
	n = strlen(buf);
	snprintf(buf + n, sizeof(buf) - n, " ");
	n = strlen(buf);
	text_fields(buf + n, sizeof(buf) - n, ev, x->strings);
	text_item(stdout, label, buf);
}

static void print_state(const struct explain *x, const struct watch *w, const struct model_frame *f)
{
	char buf[TEXT_MAX], names[TEXT_MAX / 2], changes[64] = "";
	size_t at = 0;

	for (int i = 0; i < CHANGES; i++)
		if (w->changes & 1u << i)
			at += (size_t)snprintf(changes + at, sizeof(changes) - at, "%s%s", at ? ", " : "; ",
					       explain_changes[i]);
	names_text(x, f->clean, names, sizeof(names));
	snprintf(buf, sizeof(buf), "pfn 0x%" PRIx64 ": pin %" PRIu32 ", non-coherent mappings %" PRIu32 ", ever %s%s",
		 w->pfn, f->pin, f->nc, f->ever ? "yes" : "no", changes);
	text_item(stdout, "", buf);
	if (f->pin) {
		snprintf(buf, sizeof(buf), "clean: %s", names);
		text_item(stdout, "", buf);
	}
}

void explain_print_row(const struct explain *x, const struct watch *w, const struct model_frame *f)
{
	char buf[TEXT_MAX], names[TEXT_MAX / 2];

	for (int h = 0; h < HOOKS; h++) {
		if (!w->flushed[h])
			continue;
		names_text(x, w->flushed[h], names, sizeof(names));
		snprintf(buf, sizeof(buf), "flushed at %s: %s", hook_names[h], names);
		text_item(stdout, "", buf);
	}
	for (int k = 0; k < GAPS; k++) {
		if (!w->gaps[k])
			continue;
		names_text(x, w->gaps[k], names, sizeof(names));
		snprintf(buf, sizeof(buf), "GAP %s (%s): %s", gap_names[k], gap_is_error[k] ? "error" : "warning", names);
		text_item(stdout, "", buf);
	}
	print_state(x, w, f);
}

void explain_print_outside(struct explain *x, const struct event *ev)
{
	explain_print_lost(x);
	explain_print_event(x, ev);
	text_item(stdout, "",
		  "outside of the model: no area of iommufd is known here, it is no RAM, or it changes nothing");
}

void explain_print_lost(struct explain *x)
{
	if (x->lost)
		printf("  ---       records were lost here, in %s place%s\n", text_thousands(x->lost), text_s(x->lost));
	x->lost = 0;
}
