/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings as JSON; see gaps.h.
 *
 * JSON, stable (members may be added). Ids, addresses and PFNs are "0x..." strings; lo and hi are inclusive; an origin
 * is {"event", "name", "t", "cpu", "tid", "comm"} or null, "event" being its number in the capture, from 1:
 *
 *	{"findings": [{
 *		"kind": "leak|reexpose|release|access", "severity": "error|warning", "what": sentence, "capture": N,
 *		"pages": N, "spans": N, "events": N,		occurrences, as pages, as spans, as violating events
 *		"pfn": {"lo", "hi", "ranges": [{"lo", "hi"}], "more_spans": N}, "iova": the same, in bytes,
 *		"iopt", "domain", "more_domains": bool, "device", "pages_id", "more_pages": N,
 *		"area",						of the first occurrence; N others
 *		"event": origin, "within": origin,		that violates; the fill, unfill or removal around it
 *		"setup": origin and "role": "pinned|bit-set|hidden|exposed",
 *		"history": {"bit_set": origin, "bit_of": "pages|area" or null, "pinned", "exposed", "hidden": origins},
 *		"last": {"event", "t"},
 *		"missing": {"hook": "map|unmap|unpin|access", "where": sentence}, "why": sentence,
 *		"lost_before": N,				lost events before it
 *		"stale_pages": N,				of the pages: leaks of frames at the same place as before
 *		"unordered_pages": N,				of the pages: where operations of threads overlapped
 *		"uncertain": bool, "if_new_pages": N		the recording began in mid-life; of the pages, those that
 *								are gaps if their memory was new to iommufd
 *	}], "summary": {"trace", "policy", "findings": N, "shown": N, "not_shown": N, "errors": N, "warnings": N,
 *		"pages": {"leak", "reexpose", "release", "access"},
 *		"uncertain": N, "if_new_pages": {"leak", ...},	uncertain findings; of the pages, as above
 *		"stale_leak_pages": N, "unordered_pages": {"leak", ...},	of the pages, as above
 *		"causes": [{"kind", "event": NAME, "within": NAME or null, "cause": words, "findings": N, "pages": N}],
 *		"health": {NAME: N}, "lacking": [NAME]: events that every policy needs and no probe gave,
 *		"losses": [{"cause", "count", "places", "unknown_places", "advice"}],
 *		"verify": {"result": "pass|incomplete|fail", "reasons": [sentence], "judged": bool: false: no finding
 *			proves nothing, "idle": N captures, "cannot": why not, or null},
 *		"midlife": {"event", "name", "t"} or null: of the first capture that began in mid-life,
 *		"partial": sentence or null}}
 *
 * errors and warnings count findings.
 */
#include "analyzer/commands/gaps.h"

#include <stdio.h>

#include "analyzer/findings/wording.h"
#include "analyzer/report/lacking.h"
#include "analyzer/report/losses.h"

static void put_range(struct json *obj, uint64_t lo, uint64_t hi)
{
	json_put_hex(obj, "lo", lo);
	json_put_hex(obj, "hi", hi);
}

static void put_ranges(struct json *finding, const char *key, const struct finding_ranges *x)
{
	struct json *obj = json_put_object(finding, key), *list;

	put_range(obj, x->lo, x->hi);
	list = json_put_array(obj, "ranges");
	for (unsigned i = 0; i < x->n; i++)
		put_range(json_put_object(list, NULL), x->r[i].lo, x->r[i].hi);
	json_put_u64(obj, "more_spans", x->more);
}

static void put_objects(struct json *obj, const struct gaps *a, const struct finding *g)
{
	char device[128];

	text_string(device, sizeof(device), findings_strings(a->findings), g->device, "");
	json_put_hex(obj, "iopt", g->iopt);
	if (g->domain)
		json_put_hex(obj, "domain", g->domain);
	else
		json_put_null(obj, "domain");
	json_put_bool(obj, "more_domains", g->more_domains);
	json_put_text(obj, "device", g->device ? device : NULL);
	json_put_hex(obj, "pages_id", g->pages);
	json_put_u64(obj, "more_pages", g->more_pages);
	json_put_hex(obj, "area", g->area);
}

/* An origin, to which more can be added; null if o has no event. */
static struct json *put_side(struct json *obj, const char *key, const struct gaps *a, const struct origin *o)
{
	struct json *side;

	if (!o->seq) {
		json_put_null(obj, key);
		return NULL;
	}
	side = json_put_object(obj, key);
	json_put_origin(side, o, findings_strings(a->findings));
	return side;
}

static void put_sides(struct json *obj, const struct gaps *a, const struct finding *g)
{
	struct json *setup, *history;

	put_side(obj, "event", a, &g->event);
	put_side(obj, "within", a, &g->within);
	setup = put_side(obj, "setup", a, &g->setup);
	json_put_text(setup, "role", finding_roles[g->reason]);
	history = json_put_object(obj, "history");
	put_side(history, "bit_set", a, &g->mark);
	json_put_text(history, "bit_of", !g->mark.seq ? NULL : g->mark_in_area ? "area" : "pages");
	put_side(history, "pinned", a, &g->pinned);
	put_side(history, "exposed", a, &g->exposed);
	put_side(history, "hidden", a, &g->hidden);
}

static struct json *finding_json(const struct gaps *a, const struct finding *g)
{
	struct json *obj = json_new_object(), *last, *missing;
	char buf[TEXT_MAX];

	json_put_text(obj, "kind", gap_names[g->kind]);
	json_put_text(obj, "severity", gap_is_error[g->kind] ? "error" : "warning");
	json_put_text(obj, "what", finding_what(g));
	json_put_u64(obj, "capture", g->capture);
	json_put_u64(obj, "pages", g->npages);
	json_put_u64(obj, "spans", g->spans);
	json_put_u64(obj, "events", g->events);
	put_ranges(obj, "pfn", &g->pfn);
	put_ranges(obj, "iova", &g->iova);
	put_objects(obj, a, g);
	put_sides(obj, a, g);
	last = json_put_object(obj, "last");
	json_put_u64(last, "event", g->last_seq);
	json_put_u64(last, "t", g->last_t);
	missing = json_put_object(obj, "missing");
	finding_missing(g, buf, sizeof(buf));
	json_put_text(missing, "hook", hook_names[g->hook]);
	json_put_text(missing, "where", buf);
	finding_why(g, a->policy, buf, sizeof(buf));
	json_put_text(obj, "why", buf);
	json_put_u64(obj, "lost_before", g->lost);
	json_put_u64(obj, "stale_pages", g->stale_pages);
	json_put_u64(obj, "unordered_pages", g->unordered_pages);
	json_put_bool(obj, "uncertain", g->uncertain);
	json_put_u64(obj, "if_new_pages", g->uncertain ? g->new_pages : 0);
	return obj;
}

static void put_causes(struct json *summary, const struct summary *s)
{
	struct json *list = json_put_array(summary, "causes"), *obj;

	for (const struct cause *c = s->cause; c < s->cause + s->causes; c++) {
		obj = json_put_object(list, NULL);
		json_put_text(obj, "kind", gap_names[c->kind]);
		json_put_text(obj, "event", event_table[c->event].name);
		json_put_text(obj, "within", c->within ? event_table[c->within].name : NULL);
		json_put_text(obj, "cause", finding_reason_text(c->reason));
		json_put_u64(obj, "findings", c->findings);
		json_put_u64(obj, "pages", c->pages);
	}
}

static void put_pages(struct json *summary, const char *key, const uint64_t *pages)
{
	struct json *obj = json_put_object(summary, key);

	for (int k = 0; k < GAPS; k++)
		json_put_u64(obj, gap_names[k], pages[k]);
}

static struct json *summary_json(const struct gaps *a, const struct summary *s)
{
	struct json *obj = json_new_object();

	json_put_text(obj, "trace", a->path);
	json_put_text(obj, "policy", a->policy);
	json_put_u64(obj, "findings", s->findings);
	json_put_u64(obj, "shown", s->shown);
	json_put_u64(obj, "not_shown", s->findings - s->shown);
	json_put_u64(obj, "errors", s->errors);
	json_put_u64(obj, "warnings", s->warnings);
	put_pages(obj, "pages", s->pages);
	json_put_u64(obj, "uncertain", s->uncertain);
	put_pages(obj, "if_new_pages", s->new_pages);
	json_put_u64(obj, "stale_leak_pages", s->stale);
	put_pages(obj, "unordered_pages", s->unordered);
	put_causes(obj, s);
	json_put_health(obj, "health", a->health);
	lacking_put(obj, "lacking", a->lacking);
	losses_put(obj, "losses", &a->losses, findings_strings(a->findings));
	worst_put(json_put_object(obj, "verify"), &a->worst);
	json_put_midlife(obj, "midlife", &a->midlife);
	json_put_text(obj, "partial", a->partial[0] ? a->partial : NULL);
	return obj;
}

/* Only one finding is in memory at a time: there can be many. */
int gaps_print_json(const struct gaps *a, const struct summary *s)
{
	size_t shown = 0;
	int err = 0;

	printf("{\"findings\": [");
	for (size_t i = 0; i < s->findings && shown < s->shown && !err; i++) {
		const struct finding *g = findings_get(a->findings, i);

		if (!(a->kinds & 1u << g->kind))
			continue;
		printf(shown++ ? ",\n" : "\n");
		err = json_print(stdout, finding_json(a, g), 2);
	}
	printf("],\n\"summary\": ");
	if (!err)
		err = json_print(stdout, summary_json(a, s), 2);
	printf("}\n");
	return err ? error_set(a->error, "out of memory while printing") : 0;
}
