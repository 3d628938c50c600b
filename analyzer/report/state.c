/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathers and prints what exists; see state.h. Texts are copied: their source is closed before printing. */
#include "analyzer/report/state.h"

#include <inttypes.h>
#include <string.h>

#include "analyzer/findings/wording.h"
#include "base/grow.h"
#include "base/json.h"
#include "base/text.h"

/* What the visitor's functions need; they cannot fail by themselves. */
struct gathering {
	struct state *s;
	struct state_capture *c;
	const struct intern *strings;
	bool failed; /* no memory */
};

static void on_iopt(void *ctx, const struct model_iopt *iopt)
{
	struct gathering *g = ctx;
	struct state_capture *c = g->c;

	g->failed = g->failed || !grow_within(g->s->budget, c->iopt, c->niopts, c->iopts_cap, 1u);
	if (!g->failed)
		c->iopt[c->niopts++] = *iopt;
}

static void on_domain(void *ctx, const struct model_domain *domain)
{
	struct gathering *g = ctx;
	struct state_capture *c = g->c;
	const char *device = intern_get(g->strings, domain->device),
		   *kept = device ? intern_keep(g->s->texts, device) : NULL;

	g->failed = g->failed || (device && !kept) ||
		    !grow_within(g->s->budget, c->domain, c->ndomains, c->domains_cap, 1u);
	if (!g->failed)
		c->domain[c->ndomains++] = (struct state_domain){.d = *domain, .device = kept};
}

static void on_area(void *ctx, const struct model_area *area)
{
	struct gathering *g = ctx;
	struct state_capture *c = g->c;

	g->failed = g->failed || !grow_within(g->s->budget, c->area, c->nareas, c->areas_cap, 1u);
	if (!g->failed)
		c->area[c->nareas++] = *area;
}

static int no_memory(const struct state *s, const struct capture *c, struct error *e)
{
	return error_set(e, "capture %" PRIu64 ": %s", c->id, budget_failure(s->budget));
}

int state_add(struct state *s, const struct capture *c, const struct model *m, const struct intern *strings, bool areas,
	      const char *partial, struct error *e)
{
	const struct model_totals *t = model_totals(m);
	struct gathering g = {.s = s, .strings = strings};
	const struct model_visitor v = {.ctx = &g, .iopt = on_iopt, .domain = on_domain, .area = areas ? on_area : NULL};

	if (!s->texts)
		s->texts = intern_new_within(s->budget);
	if (!s->texts || !grow_within(s->budget, s->capture, s->n, s->cap, 1u))
		return no_memory(s, c, e);
	g.c = &s->capture[s->n++];
	*g.c = (struct state_capture){.id = c->id, .events = t->events, .first_t = t->first_t, .last_t = t->last_t};
	memcpy(g.c->health, t->health, sizeof(g.c->health));
	g.c->midlife = t->midlife;
	g.c->ticks = capture_in_ticks(c);
	g.c->state = intern_keep(s->texts, c->state);
	g.c->partial = partial ? intern_keep(s->texts, partial) : NULL;
	if (model_visit(m, &v, e))
		return -1;
	return g.failed || !g.c->state || (partial && !g.c->partial) ? no_memory(s, c, e) : 0;
}

void state_clear(struct state *s)
{
	struct budget *b = s->budget;

	for (size_t i = 0; i < s->n; i++) {
		const struct state_capture *c = &s->capture[i];

		budget_free(b, c->iopt, c->iopts_cap * sizeof(*c->iopt));
		budget_free(b, c->domain, c->domains_cap * sizeof(*c->domain));
		budget_free(b, c->area, c->areas_cap * sizeof(*c->area));
	}
	budget_free(b, s->capture, s->cap * sizeof(*s->capture));
	intern_free(s->texts);
	*s = (struct state){.budget = b};
}

/* ---- text ---- */

static const char *coherency(int coherent)
{
	return coherent < 0 ? "unknown" : coherent ? "coherent" : "non-coherent";
}

/* text from the trace, made printable and cut to buf */
static const char *shown(char *buf, size_t len, const char *text)
{
	snprintf(buf, len, "%s", text);
	text_printable(buf);
	return buf;
}

static void iopt_text(const struct state_capture *c, const struct model_iopt *o, FILE *out)
{
	char device[128];

	fprintf(out, "iopt 0x%" PRIx64 ": %" PRIu32 " domain%s (%" PRIu32 " non-coherent), %s area%s\n", o->id,
		o->domains, text_s(o->domains), o->noncoherent, text_thousands(o->areas), text_s(o->areas));
	fprintf(out, "  pages: %s mapped, %s exposed, %s held by accesses\n", text_thousands(o->mapped),
		text_thousands(o->exposed), text_thousands(o->held));
	for (size_t i = 0; i < c->ndomains; i++) {
		const struct model_domain *d = &c->domain[i].d;

		if (d->iopt != o->id)
			continue;
		fprintf(out, "  domain 0x%" PRIx64 ": %s%s, device %s, %s page%s mapped, %s exposed\n", d->id,
			coherency(d->coherent), d->joining ? ", joining" : "",
			shown(device, sizeof(device), c->domain[i].device ? c->domain[i].device : "unknown"),
			text_thousands(d->mapped), text_s(d->mapped), text_thousands(d->exposed));
	}
	for (size_t i = 0; i < c->nareas; i++) {
		const struct model_area *a = &c->area[i];

		if (a->iopt != o->id)
			continue;
		fprintf(out,
			"  area 0x%" PRIx64 "-0x%" PRIx64 ": pages 0x%" PRIx64 ", %s mapped, %s exposed, %s held%s\n",
			a->iova, a->last, a->pages, text_thousands(a->mapped), text_thousands(a->exposed),
			text_thousands(a->held), a->filling ? ", filling" : "");
	}
}

void state_text(const struct state *s, FILE *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct state_capture *c = &s->capture[i];
		char text[1024];

		fprintf(out, "%scapture %" PRIu64 " (%s): after %s event%s, t=%" PRIu64 "\n", i ? "\n" : "", c->id,
			shown(text, sizeof(text), c->state), text_thousands(c->events), text_s(c->events), c->last_t);
		if (c->partial)
			fprintf(out, "a part: %s\n", shown(text, sizeof(text), c->partial));
		if (c->midlife.seq) {
			text_use_ticks(c->ticks);
			text_midlife(text, sizeof(text), &c->midlife, c->health);
			fprintf(out, "began in mid-life, so more objects may exist: %s\n", text);
		}
		for (int h = 0; h < HEALTH_COUNT; h++) {
			if (!c->health[h] || health_table[h].severity == 'i')
				continue;
			text_counted(text, sizeof(text), c->health[h], health_table[h].doc);
			fprintf(out, "%s: %s\n", health_table[h].severity == 'e' ? "error" : "warning", text);
		}
		if (!c->niopts)
			fputs("nothing is there\n", out);
		for (size_t k = 0; k < c->niopts; k++)
			iopt_text(c, &c->iopt[k], out);
	}
}

/* ---- JSON ---- */

/* An id; null if there is none. */
static void put_id(struct json *into, const char *key, bool known, uint64_t id)
{
	if (known)
		json_put_hex(into, key, id);
	else
		json_put_null(into, key);
}

static void put_iopt(struct json *into, const struct model_iopt *o)
{
	struct json *obj = json_put_object(into, NULL);

	json_put_hex(obj, "iopt", o->id);
	json_put_u64(obj, "domains", o->domains);
	json_put_u64(obj, "noncoherent", o->noncoherent);
	json_put_u64(obj, "areas", o->areas);
	json_put_u64(obj, "mapped_pages", o->mapped);
	json_put_u64(obj, "exposed_pages", o->exposed);
	json_put_u64(obj, "held_pages", o->held);
}

static void put_domain(struct json *into, const struct state_domain *s)
{
	struct json *obj = json_put_object(into, NULL);
	const struct model_domain *d = &s->d;

	json_put_hex(obj, "domain", d->id);
	json_put_hex(obj, "iopt", d->iopt);
	if (d->coherent < 0)
		json_put_null(obj, "coherent");
	else
		json_put_i64(obj, "coherent", d->coherent);
	json_put_text(obj, "device", s->device);
	json_put_bool(obj, "joining", d->joining);
	json_put_u64(obj, "areas", d->areas);
	json_put_u64(obj, "mapped_pages", d->mapped);
	json_put_u64(obj, "exposed_pages", d->exposed);
}

static void put_area(struct json *into, const struct model_area *a)
{
	struct json *obj = json_put_object(into, NULL);

	put_id(obj, "area", a->id, a->id);
	json_put_hex(obj, "iopt", a->iopt);
	json_put_hex(obj, "pages", a->pages);
	json_put_hex(obj, "iova", a->iova);
	json_put_hex(obj, "last", a->last);
	json_put_u64(obj, "first", a->first);
	json_put_u64(obj, "last_index", a->last_index);
	put_id(obj, "storage", a->has_storage, a->storage);
	json_put_bool(obj, "filling", a->filling);
	json_put_u64(obj, "mapped_pages", a->mapped);
	json_put_u64(obj, "exposed_pages", a->exposed);
	json_put_u64(obj, "held_pages", a->held);
}

static void put_capture(struct json *into, const struct state_capture *c)
{
	struct json *all = json_put_object(into, NULL), *list;

	json_put_u64(all, "capture", c->id);
	json_put_text(all, "state", c->state);
	json_put_u64(all, "events", c->events);
	json_put_u64(all, "first_t", c->first_t);
	json_put_u64(all, "last_t", c->last_t);
	json_put_text(all, "partial", c->partial);
	json_put_midlife(all, "midlife", &c->midlife);
	json_put_health(all, "health", c->health);
	list = json_put_array(all, "iopts");
	for (size_t i = 0; i < c->niopts; i++)
		put_iopt(list, &c->iopt[i]);
	list = json_put_array(all, "domains");
	for (size_t i = 0; i < c->ndomains; i++)
		put_domain(list, &c->domain[i]);
	list = c->area ? json_put_array(all, "areas") : NULL;
	for (size_t i = 0; i < c->nareas; i++)
		put_area(list, &c->area[i]);
}

int state_json(const struct state *s, FILE *out, struct error *e)
{
	struct json *all = json_new_object(), *captures = json_put_array(all, "captures");

	for (size_t i = 0; i < s->n; i++)
		put_capture(captures, &s->capture[i]);
	/* what cannot be written shows when the stream is flushed */
	return json_print(out, all, 1) ? error_set(e, "out of memory") : 0;
}
