/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the members of a line to an event, by the event table; see jsonl_line.h. The members may be in any order; a
 * repeated member is an error, and so is one that the event does not have.
 */
#include "trace/formats/jsonl_line.h"

#include <string.h>

#include "trace/caller.h"

static bool hex_text(const char *p, size_t len, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (len < 3 || len > 18 || p[0] != '0' || p[1] != 'x')
		return false;
	for (i = 2; i < len; i++) {
		unsigned c = (unsigned char)p[i], low = c | 0x20;

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (low >= 'a' && low <= 'f')
			v = v << 4 | (low - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

/* The number of a member: plain or "0x...". NULL, or what is wrong with it. */
static const char *number(const struct member *m, bool is_signed, uint64_t *out)
{
	switch (m->type) {
	case VALUE_NUMBER:
		if (m->negative && !is_signed)
			return "is negative";
		*out = m->number;
		return NULL;
	case VALUE_STRING:
		return hex_text(m->text, m->text_len, out) ? NULL : "is neither a number nor \"0x\" and 1 to 16 digits";
	case VALUE_NULL:
		return "is null, but must be known";
	case VALUE_NESTED:
		return "is not a whole number, but nested";
	default:
		return "is not a whole number";
	}
}

static int refuse(const char *event, const char *field, const char *why, struct error *e)
{
	return error_set(e, "%s: %s: %s", event, field, why);
}

static const char *set_string(struct intern *strings, const struct member *m, uint32_t *out)
{
	*out = 0;
	if (m->type == VALUE_NULL)
		return NULL;
	if (m->type != VALUE_STRING)
		return m->type == VALUE_NESTED ? "is not a string, but nested" : "is not a string";
	if (m->text_len > EVENT_MAX_STRING)
		return "is longer than 255 bytes";
	*out = intern_add(strings, m->text, m->text_len);
	return *out == UINT32_MAX ? intern_failure(strings) : NULL;
}

static const char *small_number(const struct member *m, uint32_t *out)
{
	uint64_t v = 0;
	const char *why = number(m, false, &v);

	if (!why && v >= UINT32_MAX)
		why = "is above 2^32 - 2";
	*out = (uint32_t)v;
	return why;
}

/* Field i of the event. NULL, or what is wrong. */
static const char *set_field(struct intern *strings, struct event *ev, unsigned i, const struct member *m)
{
	const struct field_desc *d = &event_table[ev->kind].field[i];
	const char *why;
	uint32_t id;

	if (d->type == FIELD_STR) {
		why = set_string(strings, m, &id);
		if (id && !why && ev->kind == EV_unpin && !caller_is_known(m->text, m->text_len))
			id = 0;
		ev->f[i] = id;
		if (!id)
			ev->missing |= 1u << i;
		return why;
	}
	if (m->type == VALUE_NULL && d->optional) {
		ev->missing |= 1u << i;
		return NULL;
	}
	return number(m, d->type == FIELD_INT, &ev->f[i]);
}

/* A member that any event may have besides its fields: sets its value, returns its bit in "seen"; 0: it is another. */
enum {
	SEEN_T = 1 << 16,
	SEEN_CPU = 1 << 17,
	SEEN_TID = 1 << 18,
	SEEN_COMM = 1 << 19,
	SEEN_E = 1 << 20,
	SEEN_RC = 1 << 21
};

static uint32_t set_common(struct intern *strings, struct event *ev, const struct member *m, const char **why)
{
	if (member_is(m, "t")) {
		*why = number(m, false, &ev->t);
		return SEEN_T;
	}
	if (member_is(m, "e"))
		return SEEN_E;
	if (member_is(m, "cpu")) {
		if (m->type != VALUE_NULL || ev->kind != EV_lost)
			*why = small_number(m, &ev->cpu);
		return SEEN_CPU;
	}
	if (member_is(m, "tid")) {
		if (m->type != VALUE_NULL || ev->kind != EV_lost)
			*why = small_number(m, &ev->tid);
		return SEEN_TID;
	}
	if (member_is(m, "comm")) {
		*why = set_string(strings, m, &ev->comm);
		return SEEN_COMM;
	}
	return 0;
}

/* The kind of event of the line. */
static int find_kind(const struct line *l, struct event *ev, struct error *e)
{
	const struct member *m = line_find(l, "e");

	if (!m)
		return error_set(e, "no \"e\": which event is it?");
	if (m->type != VALUE_STRING)
		return error_set(e, "\"e\" is not a string");
	ev->kind = event_kind_by_name(m->text, m->text_len);
	if (!ev->kind)
		return error_set(e, "\"%s\" is no event", error_quote(m->text, m->text_len).text);
	return 0;
}

static int check_absent(struct event *ev, uint32_t seen, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	unsigned i;

	if (!(seen & SEEN_T))
		return refuse(d->name, "t", "missing", e);
	if (!(seen & SEEN_CPU) && ev->kind != EV_lost)
		return refuse(d->name, "cpu", "missing", e);
	if (!(seen & SEEN_TID) && ev->kind != EV_lost)
		return refuse(d->name, "tid", "missing", e);
	for (i = 0; i < d->nfields; i++) {
		if (seen & 1u << i || d->field[i].type == FIELD_INT)
			continue;
		if (d->field[i].type == FIELD_FLAG)
			return refuse(d->name, d->field[i].name, "missing; null when it is unknown", e);
		if (!d->field[i].optional)
			return refuse(d->name, d->field[i].name, "missing", e);
		ev->missing |= 1u << i;
	}
	return 0;
}

static bool may_have_rc(unsigned kind)
{
	return kind == EV_map || kind == EV_unmap || kind == EV_access_add;
}

/* The index of the field; nfields: there is none. */
static unsigned find_field(const struct event_desc *d, const struct member *m)
{
	unsigned k = 0;

	while (k < d->nfields && !member_is(m, d->field[k].name))
		k++;
	return k;
}

/* Puts a member into the event; seen: bits of the earlier members, next: the likely field. 0 or -1. */
static int set_member(struct intern *strings, struct event *ev, const struct member *m, uint32_t *seen, unsigned *next,
		      uint64_t *rc, struct error *e)
{
	const struct event_desc *d = &event_table[ev->kind];
	const char *why = NULL;
	unsigned k = *next;
	uint32_t bit = 0;

	if (k == d->nfields || !member_is(m, d->field[k].name)) {
		bit = set_common(strings, ev, m, &why);
		k = bit ? d->nfields : find_field(d, m);
	}
	if (k < d->nfields) {
		bit = 1u << k;
		*next = k + 1;
	} else if (!bit && may_have_rc(ev->kind) && member_is(m, "rc")) {
		bit = SEEN_RC;
		why = number(m, true, rc);
	}
	if (!bit)
		why = "no field of this event";
	else if (*seen & bit)
		why = "is there twice";
	else if (bit < SEEN_T)
		why = set_field(strings, ev, k, m);
	*seen |= bit;
	return why ? refuse(d->name, error_quote(m->key, m->key_len).text, why, e) : 0;
}

/* The call failed: semantics, section 3. */
static void count_failed(struct dropped *d, unsigned kind)
{
	d->failed_maps += kind == EV_map; /* of nothing: it tells nothing */
	d->failed_accesses += kind == EV_access_add;
	d->empty_unmaps += kind == EV_unmap;
}

int line_event(const struct line *l, struct event *ev, struct intern *strings, struct dropped *d, struct error *e)
{
	unsigned i, next = 0;
	uint32_t seen = 0;
	uint64_t rc = 0;

	memset(ev, 0, sizeof(*ev));
	ev->cpu = EVENT_NO_CPU;
	ev->tid = EVENT_NO_TID;
	if (find_kind(l, ev, e))
		return -1;
	for (i = 0; i < l->n; i++)
		if (set_member(strings, ev, &l->member[i], &seen, &next, &rc, e))
			return -1;
	if (check_absent(ev, seen, e))
		return -1;
	d->no_domain += event_has_no_domain(ev);
	if (rc && ev->kind == EV_map && ev->map.size) {
		ev->kind = EV_map_failed;
		ev->map_failed.rc = (int64_t)rc;
		return 1;
	}
	if (rc)
		count_failed(d, ev->kind);
	return !rc;
}
