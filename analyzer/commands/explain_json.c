/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a page as JSON; see explain.h.
 *
 * JSON, stable (members may be added), printed as it is found:
 *	{"domain" (null: any), "iova": if asked for, "pfns": ["0x.."], "policies": [NAME],
 *	 "events": [{"capture": N, "event", "name", "t", "cpu", "tid", "comm", "fields": {...},
 *		"pfn", "pin": N, "nc": N, "ever": bool, "changes": ["pinned", "exposed", "hidden", "released"],
 *		"clean": [NAME], "flushed": {HOOK: [NAME]}, "gaps": {KIND: [NAME]}}
 *		or, for lost records, without "pfn" and what follows it; or, for a map or unmap of the iova that the model
 *		does not follow (not iommufd's, no RAM), with "outside": true in place of these],
 *	 "touched": N, "outside": N: such maps, "pfns_not_shown": N,
 *	 "seen_as_hex": PFN: only if the decimal one was never seen, but its digits read as hex were,
 *	 "verify": {"result": "pass|incomplete|fail", "reasons": [sentence], "judged": bool, "idle": N,
 *	 "cannot": sentence or null},
 *	 "midlife": {"event", "name", "t"} or null: of the first
 *	 capture that began in mid-life, "partial": sentence or null}
 */
#include "analyzer/commands/explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/findings/wording.h"

static void put_names(struct json *into, const char *key, const struct explain *x, uint64_t mask)
{
	struct json *list = json_put_array(into, key);

	for (size_t i = 0; i < x->set.n; i++)
		if (mask >> i & 1)
			json_put_text(list, NULL, x->set.policy[i]->ops->name);
}

static void put_masks(struct json *into, const char *key, const struct explain *x, const uint64_t *mask,
		      const char *const *name, int n)
{
	struct json *obj = json_put_object(into, key);

	for (int i = 0; i < n; i++)
		if (mask[i])
			put_names(obj, name[i], x, mask[i]);
}

struct json *explain_event_json(const struct explain *x, const struct event *ev)
{
	struct json *obj = json_new_object();
	struct origin o = explain_origin(x, ev);

	json_put_origin(obj, &o, x->strings);
	json_put_u64(obj, "capture", x->capture);
	json_put_fields(obj, "fields", ev, x->strings);
	return obj;
}

struct json *explain_outside_json(const struct explain *x, const struct event *ev)
{
	struct json *obj = explain_event_json(x, ev);

	json_put_bool(obj, "outside", true);
	return obj;
}

struct json *explain_row_json(const struct explain *x, const struct event *ev, const struct watch *w,
			      const struct model_frame *f)
{
	struct json *obj = explain_event_json(x, ev), *changes;

	json_put_hex(obj, "pfn", w->pfn);
	json_put_u64(obj, "pin", f->pin);
	json_put_u64(obj, "nc", f->nc);
	json_put_bool(obj, "ever", f->ever);
	changes = json_put_array(obj, "changes");
	for (int i = 0; i < CHANGES; i++)
		if (w->changes & 1u << i)
			json_put_text(changes, NULL, explain_changes[i]);
	put_names(obj, "clean", x, f->clean);
	put_masks(obj, "flushed", x, w->flushed, hook_names, HOOKS);
	put_masks(obj, "gaps", x, w->gaps, gap_names, GAPS);
	return obj;
}

static int no_memory(struct explain *x)
{
	return error_set(x->error, "out of memory while printing");
}

int explain_add_element(struct explain *x, struct json *obj)
{
	printf(x->first ? "\n" : ",\n");
	x->first = false;
	return json_print(stdout, obj, 2) ? no_memory(x) : 0;
}

/* Prints the members of doc without its brackets, then end. Takes doc. */
static int print_members(struct explain *x, struct json *doc, const char *end)
{
	char *text = json_format(doc, JSON_LINE);

	json_free(doc);
	if (!text)
		return no_memory(x);
	printf("%.*s%s", (int)strlen(text) - 2, text + 1, end);
	free(text);
	return 0;
}

int explain_begin_json(struct explain *x)
{
	struct json *pfns = json_new_array(), *policies = json_new_object();

	for (size_t i = 0; i < x->n; i++)
		json_put_hex(pfns, NULL, x->watch[i].pfn);
	put_names(policies, "policies", x, UINT64_MAX);
	printf("{");
	if (x->by_iova && x->any_domain)
		printf("\"domain\": null, \"iova\": \"0x%" PRIx64 "\",\n", x->iova);
	else if (x->by_iova)
		printf("\"domain\": \"0x%" PRIx64 "\", \"iova\": \"0x%" PRIx64 "\",\n", x->domain, x->iova);
	printf("\"pfns\": ");
	if (json_print(stdout, pfns, 2)) {
		json_free(policies);
		return no_memory(x);
	}
	printf(",");
	x->first = true;
	return print_members(x, policies, ",\n\"events\": [");
}

int explain_end_json(struct explain *x)
{
	struct json *doc = json_new_object();

	json_put_u64(doc, "touched", x->touched);
	json_put_u64(doc, "outside", x->outside);
	json_put_u64(doc, "pfns_not_shown", x->not_shown);
	if (!x->touched && x->hex_seen)
		json_put_hex(doc, "seen_as_hex", x->hex);
	worst_put(json_put_object(doc, "verify"), &x->worst);
	json_put_midlife(doc, "midlife", &x->midlife);
	json_put_text(doc, "partial", x->partial[0] ? x->partial : NULL);
	printf("],\n");
	return print_members(x, doc, "}\n");
}
