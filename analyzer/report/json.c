/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report as JSON. Cycles stop at 2^63 - 1, which means "that or more"; cost.saturated says if some did. */
#include "analyzer/findings/wording.h"
#include "analyzer/report/failures.h"
#include "analyzer/report/impl.h"
#include "analyzer/report/lacking.h"
#include "analyzer/report/losses.h"
#include "base/json.h"

/* null for "" */
static void put_known(struct json *into, const char *key, const char *text)
{
	json_put_text(into, key, text && text[0] ? text : NULL);
}

/* If policies cannot be judged, 0 is no answer: null. */
static void put_gaps(struct json *into, const char *key, const struct report *r, const uint64_t *pages)
{
	struct json *gaps = json_put_object(into, key);

	for (int i = 0; i < GAPS; i++)
		json_put_known(gaps, gap_names[i], pages[i] || report_judged(r), pages[i]);
}

/* The leaks, by what the device can read. */
static void put_leaks(struct json *into, const struct report *r, const struct policy_counts *c)
{
	struct json *leaks = json_put_object(into, "leaks");
	uint64_t other = c->gaps[GAP_LEAK] - c->stale_leak;

	json_put_known(leaks, "stale", c->stale_leak || report_judged(r), c->stale_leak);
	json_put_known(leaks, "other_owner", other || report_judged(r), other);
}

static bool is_saturated(const struct report *r, const struct policy_counts *c)
{
	return report_cycles(r, c) >= INT64_MAX;
}

static void put_policy(struct json *into, const char *name, const struct report *r, const struct policy_counts *c)
{
	struct json *policy = json_put_object(into, name);
	char key[64];

	json_put_u64(policy, "flush_pages", report_flushed(c));
	for (int i = 0; i < HOOKS; i++) {
		snprintf(key, sizeof(key), "flush_%s_pages", hook_names[i]);
		json_put_u64(policy, key, c->flush[i]);
	}
	json_put_u64(policy, "flush_ranges", c->ranges);
	json_put_u64(policy, "cycles", is_saturated(r, c) ? INT64_MAX : report_cycles(r, c));
	json_put_bool(policy, "judged", report_judged(r));
	put_gaps(policy, "gaps", r, c->gaps);
	put_gaps(policy, "uncertain", r, c->uncertain);
	put_gaps(policy, "if_new", r, c->if_new);
	put_leaks(policy, r, c);
	put_gaps(policy, "unordered", r, c->unordered);
}

static void put_cost(struct json *into, const struct report *r)
{
	struct json *cost = json_put_object(into, "cost");
	bool saturated = false;

	for (size_t i = 0; i < r->set->n; i++)
		saturated |= is_saturated(r, &r->counts[i]);
	json_put_u64(cost, "cycles_per_page", r->cycles_per_page);
	json_put_u64(cost, "cpu_mhz", r->cpu_mhz);
	json_put_bool(cost, "saturated", saturated);
}

static void put_verify(struct json *into, const struct report *r)
{
	struct json *verify = json_put_object(into, "verify");

	worst_put(verify, &r->worst);
	json_put_u64(verify, "derived_unpins", r->totals.derived_unpins);
	json_put_u64(verify, "kernel_unpins", r->totals.kernel_unpins);
	json_put_u64(verify, "derived_unpins_missing_in_kernel", r->totals.missing_in_kernel);
	json_put_u64(verify, "kernel_unpins_not_derived", r->totals.not_derived);
	json_put_u64(verify, "derived_unpins_pending", r->totals.pending_unpins);
}

/* The first capture that is partial speaks for all, or else the first left out; each has its own in "trace". */
static void put_health(struct json *into, const struct report *r)
{
	struct json *health = json_put_object(into, "health");
	const char *partial = r->nleft_out ? r->left_out[0] : NULL;

	for (int i = 0; i < HEALTH_COUNT; i++) {
		/* some recordings have only their number */
		bool maps = i == HEALTH_failed_maps;

		json_put_known(health, health_table[i].name, !maps || !r->dropped_unknown,
			       r->totals.health[i] + (maps ? r->dropped.failed_maps : 0));
	}
	json_put_known(health, "failed_accesses", !r->dropped_unknown, r->dropped.failed_accesses);
	json_put_known(health, "empty_unmaps", !r->dropped_unknown, r->dropped.empty_unmaps);
	json_put_known(health, "other_records", !r->dropped_unknown, r->dropped.other);
	json_put_known(health, "unnamed", !r->dropped_unknown, r->dropped.unnamed);
	json_put_known(health, "doubtful_names", !r->dropped_unknown, r->dropped.doubtful_names);
	json_put_known(health, "moved_events", !r->dropped_unknown, r->dropped.moved);
	for (size_t i = r->n; i-- > 0;)
		partial = r->capture[i].partial ? r->capture[i].partial : partial;
	put_known(health, "partial", partial);
}

static void put_capture(struct json *into, const struct report_capture *c)
{
	struct json *capture = json_put_object(into, NULL), *verify;

	json_put_text(capture, "source", c->c.source);
	json_put_u64(capture, "capture", c->c.id);
	json_put_text(capture, "format", c->c.format);
	put_known(capture, "host", c->c.host);
	put_known(capture, "kernel", c->c.kernel);
	put_known(capture, "clock", c->c.clock);
	put_known(capture, "state", c->c.state);
	put_known(capture, "note", c->c.note);
	json_put_u64(capture, "events", c->events);
	json_put_u64(capture, "first_t", c->first_t);
	json_put_u64(capture, "last_t", c->last_t);
	put_known(capture, "partial", c->partial);
	lacking_put(capture, "lacking", lacking_needed(c->lacking));
	json_put_midlife(capture, "midlife", &c->midlife);
	verify = json_put_object(capture, "verify");
	json_put_text(verify, "result", verdict_json_names[c->verdict]);
	judge_put_reasons(verify, "reasons", c->reasons);
	json_put_bool(verify, "judged", c->judged);
	json_put_bool(verify, "idle", c->idle);
}

static void put_trace(struct json *into, const struct report *r)
{
	struct json *trace = json_put_object(into, "trace"), *captures;

	json_put_u64(trace, "events", r->totals.events);
	json_put_u64(trace, "mapped_pages", r->totals.mapped_pages);
	json_put_u64(trace, "unpinned_pages", r->totals.unpinned_pages);
	json_put_u64(trace, "peak_exposed_pages", r->totals.peak_exposed);
	captures = json_put_array(trace, "captures");
	for (size_t i = 0; i < r->n; i++)
		put_capture(captures, &r->capture[i]);
}

int report_json(const struct report *r, FILE *out, struct error *e)
{
	struct json *report = json_new_object(), *policies = json_put_object(report, "policies");

	for (size_t i = 0; i < r->set->n; i++)
		put_policy(policies, r->set->policy[i]->ops->name, r, &r->counts[i]);
	put_cost(report, r);
	put_verify(report, r);
	put_health(report, r);
	losses_put(report, "losses", &r->totals.losses, r->texts);
	failures_put(report, "failures", &r->totals.failures, r->texts);
	put_trace(report, r);
	/* what cannot be written shows when the stream is flushed */
	return json_print(out, report, 1) ? error_set(e, "out of memory") : 0;
}
