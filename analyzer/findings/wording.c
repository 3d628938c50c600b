/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How events and their origins are shown; see wording.h. */
#include "analyzer/findings/wording.h"

#include <inttypes.h>

#include "base/text.h"

#define NAME_SHOWN 64 /* characters of a string of the trace */

/* Appends to buf at *at; what does not fit is cut. */
__attribute__((format(printf, 4, 5))) static void append(char *buf, size_t len, size_t *at, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (*at + 1 >= len)
		return;
	va_start(ap, fmt);
	n = vsnprintf(buf + *at, len - *at, fmt, ap);
	va_end(ap);
	if (n > 0)
		*at = (size_t)n < len - *at ? *at + (size_t)n : len - 1;
}

void text_string(char *buf, size_t len, const struct intern *s, uint64_t id, const char *fallback)
{
	const char *text = s && id <= UINT32_MAX ? intern_get(s, (uint32_t)id) : NULL;

	snprintf(buf, len, "%.*s", NAME_SHOWN, text ? text : fallback);
	for (char *p = buf; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

void text_origin(char *buf, size_t len, const struct origin *o, const struct intern *s)
{
	char comm[NAME_SHOWN + 1], when[32];
	size_t at = 0;

	if (!o->seq) {
		snprintf(buf, len, "unknown");
		return;
	}
	text_time(when, sizeof(when), o->t);
	text_string(comm, sizeof(comm), s, o->comm, "<...>");
	append(buf, len, &at, "#%" PRIu64 "  %s  ", o->seq, when);
	if (o->cpu == EVENT_NO_CPU)
		append(buf, len, &at, "cpu ?  ");
	else
		append(buf, len, &at, "cpu %" PRIu32 "  ", o->cpu);
	if (o->tid == EVENT_NO_TID)
		append(buf, len, &at, "%s-?  ", comm);
	else
		append(buf, len, &at, "%s-%" PRIu32 "  ", comm, o->tid);
	append(buf, len, &at, "%s", event_table[o->kind].name);
}

static void append_field(char *buf, size_t len, size_t *at, const struct field_desc *d, uint64_t v,
			 const struct intern *s)
{
	char text[NAME_SHOWN + 1];

	append(buf, len, at, "%s%s=", *at ? " " : "", d->name);
	switch (d->type) {
	case FIELD_ID:
	case FIELD_HEX:
		append(buf, len, at, "0x%" PRIx64, v);
		break;
	case FIELD_INT:
		append(buf, len, at, "%" PRId64, (int64_t)v);
		break;
	case FIELD_STR:
		text_string(text, sizeof(text), s, v, "?");
		append(buf, len, at, "%s", text);
		break;
	case FIELD_DEC:
	case FIELD_FLAG:
		append(buf, len, at, "%" PRIu64, v);
		break;
	}
}

void text_fields(char *buf, size_t len, const struct event *ev, const struct intern *s)
{
	const struct event_desc *d = &event_table[ev->kind];
	size_t at = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < d->nfields; i++)
		if (!(ev->missing & 1u << i))
			append_field(buf, len, &at, &d->field[i], ev->f[i], s);
}

void text_health(FILE *out, enum health h, uint64_t value)
{
	const struct health_desc *d = &health_table[h];
	char buf[TEXT_MAX], counted[TEXT_MAX / 2];

	text_counted(counted, sizeof(counted), value, d->doc);
	snprintf(buf, sizeof(buf), "%s: %s%s%s", d->name, counted, d->advice[0] ? "; advice: " : "", d->advice);
	text_item(out, d->severity == 'e' ? "error" : d->severity == 'w' ? "warning" : "info", buf);
}

const char *text_moved(char *buf, size_t len, uint64_t n)
{
	snprintf(buf, len, "%s event%s got a later time, that of what came before: held back until it was clear",
		 text_thousands(n), text_s(n));
	return buf;
}

/* A name in the trace; null if unknown. */
static void put_name(struct json *into, const char *key, const struct intern *s, uint64_t id)
{
	const char *text = s && id <= UINT32_MAX ? intern_get(s, (uint32_t)id) : NULL;
	char shown[NAME_SHOWN + 1];

	text_string(shown, sizeof(shown), s, id, "");
	json_put_text(into, key, text ? shown : NULL);
}

void json_put_origin(struct json *obj, const struct origin *o, const struct intern *s)
{
	json_put_u64(obj, "event", o->seq);
	json_put_text(obj, "name", event_table[o->kind].name);
	json_put_u64(obj, "t", o->t);
	json_put_known(obj, "cpu", o->cpu != EVENT_NO_CPU, o->cpu);
	json_put_known(obj, "tid", o->tid != EVENT_NO_TID, o->tid);
	put_name(obj, "comm", s, o->comm);
}

void json_put_fields(struct json *into, const char *key, const struct event *ev, const struct intern *s)
{
	const struct event_desc *d = &event_table[ev->kind];
	struct json *obj = json_put_object(into, key);

	for (unsigned i = 0; i < d->nfields; i++) {
		const char *name = d->field[i].name;

		if (ev->missing & 1u << i)
			continue;
		switch (d->field[i].type) {
		case FIELD_ID:
		case FIELD_HEX:
			json_put_hex(obj, name, ev->f[i]);
			break;
		case FIELD_STR:
			put_name(obj, name, s, ev->f[i]);
			break;
		case FIELD_INT:
			json_put_i64(obj, name, (int64_t)ev->f[i]);
			break;
		case FIELD_DEC:
		case FIELD_FLAG:
			json_put_u64(obj, name, ev->f[i]);
			break;
		}
	}
}

struct json *json_put_health(struct json *into, const char *key, const uint64_t *health)
{
	struct json *obj = json_put_object(into, key);

	for (int i = 0; i < HEALTH_COUNT; i++)
		json_put_u64(obj, health_table[i].name, health[i]);
	return obj;
}

void text_midlife(char *buf, size_t len, const struct midlife *m, const uint64_t *health)
{
	static const struct {
		enum health h;
		const char *unit;
	} part[] = {
		{HEALTH_midlife_iopts, "iopts"},
		{HEALTH_midlife_domains, "domains"},
		{HEALTH_midlife_areas, "areas"},
		{HEALTH_midlife_pages, "objects (iopt_pages)"},
	};
	char counted[64], when[32];
	uint64_t sum = 0;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		uint64_t n = health[part[i].h];

		if (!n)
			continue;
		text_counted(counted, sizeof(counted), n, part[i].unit);
		at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? ", " : "", counted);
		sum += n;
	}
	text_time(when, sizeof(when), m->t);
	snprintf(buf + at, len - at, " %s older than the recording; event %" PRIu64 " (%s at %s) is the first to show it",
		 sum == 1 ? "is" : "are", m->seq, event_table[m->kind].name, when);
}

void json_put_midlife(struct json *into, const char *key, const struct midlife *m)
{
	struct json *obj;

	if (!m->seq) {
		json_put_null(into, key);
		return;
	}
	obj = json_put_object(into, key);
	json_put_u64(obj, "event", m->seq);
	json_put_text(obj, "name", event_table[m->kind].name);
	json_put_u64(obj, "t", m->t);
}
