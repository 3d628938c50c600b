/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of records that gave no event; see dropped.h. */
#include "trace/dropped.h"

#include <string.h>

/* Whether a is named before b. */
static bool is_before(const struct other_event *a, const struct other_event *b)
{
	bool ours = a->function[0], theirs = b->function[0];

	return ours != theirs ? ours : a->n > b->n;
}

void dropped_name(struct dropped *d, const struct other_event *ev)
{
	struct other_event *at = d->other_event, *end = at + OTHER_EVENTS;

	if (!ev->n)
		return;
	while (at < end && at->n && !is_before(ev, at))
		at++;
	if (at == end)
		return;
	memmove(at + 1, at, (size_t)(end - at - 1) * sizeof(*at));
	*at = *ev;
}

static bool is_name(const char *have, const char *name, size_t len)
{
	if (len > OTHER_NAME - 1)
		len = OTHER_NAME - 1;
	return !memcmp(have, name, len) && !have[len];
}

void other_names_count(struct other_names *o, const char *name, size_t len, bool probe, const char *function,
		       size_t function_len)
{
	struct other_event *ev = &o->ev[o->last];
	unsigned i;

	if (!is_name(ev->name, name, len) || !is_name(ev->function, function, function_len)) {
		for (i = 0; i < o->n; i++)
			if (is_name(o->ev[i].name, name, len) && is_name(o->ev[i].function, function, function_len))
				break;
		if (i == OTHER_NAMES)
			return;
		ev = &o->ev[i];
		if (i == o->n) {
			memcpy(ev->name, name, len < OTHER_NAME ? len : OTHER_NAME - 1);
			memcpy(ev->function, function, function_len < OTHER_NAME ? function_len : OTHER_NAME - 1);
			ev->probe = probe;
			o->n++;
		}
		o->last = i;
	}
	ev->n++;
}

void other_names_dropped(const struct other_names *o, struct dropped *d)
{
	struct other_event ev;
	unsigned i;

	for (i = 0; i < o->n; i++) {
		ev = o->ev[i];
		other_event_name(ev.name, o->ev[i].name, strlen(o->ev[i].name));
		other_event_name(ev.function, o->ev[i].function, strlen(o->ev[i].function));
		dropped_name(d, &ev);
	}
}

void other_event_name(char out[OTHER_NAME], const char *name, size_t len)
{
	size_t i;

	if (len > OTHER_NAME - 1)
		len = OTHER_NAME - 1;
	for (i = 0; i < len; i++)
		out[i] = name[i] > ' ' && name[i] < 0x7f && name[i] != ';' ? name[i] : '?';
	out[len] = '\0';
}

bool is_our_function(const char *name, size_t len)
{
	static const char *const whole[] = {"iommu_map", "iommu_unmap", "unpin_user_page_range_dirty_lock"};
	static const char *const prefix[] = {"iopt_", "iommufd_"};
	size_t i;

	for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (strlen(whole[i]) == len && !memcmp(whole[i], name, len))
			return true;
	for (i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
		if (len > strlen(prefix[i]) && !memcmp(prefix[i], name, strlen(prefix[i])))
			return true;
	return false;
}
