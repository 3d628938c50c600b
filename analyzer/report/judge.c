/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PASS, FAIL or INCOMPLETE; see judge.h. */
#include "analyzer/report/judge.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/report/lacking.h"
#include "base/text.h"

const char *const verdict_names[VERDICTS] = {"PASS", "INCOMPLETE", "FAIL"};
const char *const verdict_json_names[VERDICTS] = {"pass", "incomplete", "fail"};

/* Kinds that others than iommufd give as well, or that say nothing of what it did. */
static bool is_foreign(unsigned kind)
{
	switch (kind) {
	case EV_map:
	case EV_map_failed:
	case EV_unmap:
	case EV_unpin:
	case EV_rw_access:
	case EV_rw_access_end:
	case EV_attach:
	case EV_detach:
	case EV_lost:
		return true;
	default:
		return false;
	}
}

static bool is_empty(const struct model_totals *t)
{
	for (unsigned kind = 1; kind < EV_KINDS; kind++)
		if (t->by_kind[kind] && !is_foreign(kind))
			return false;
	return true;
}

static bool is_tracepoint(const char *name)
{
	static const char *const names[] = {"iommu:map", "iommu:unmap"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

/* What a beginning in mid-life explains. */
static bool is_older(int health)
{
	switch (health) {
	case HEALTH_unknown_area:
	case HEALTH_unknown_domain:
	case HEALTH_midlife_iopts:
	case HEALTH_midlife_domains:
	case HEALTH_midlife_areas:
	case HEALTH_midlife_pages:
	case HEALTH_midlife_map_pages:
	case HEALTH_unpinned_too_few:
	case HEALTH_unpinned_too_many:
	case HEALTH_unpinned_early:
		return true;
	default:
		return false;
	}
}

/* What a cut or an access explains that took effect earlier or later than the trace tells it. */
static bool may_be_order(const struct model_totals *t, int health)
{
	if (t->health[HEALTH_shared_cuts])
		return true;
	switch (health) {
	case HEALTH_unpinned_too_few:
	case HEALTH_unpinned_too_many:
	case HEALTH_unpinned_early:
		return t->health[HEALTH_shared_accesses];
	default:
		return false;
	}
}

/* As if the order of all events were known. */
static bool is_broken(const struct judgement *j, const struct model_totals *t, int health)
{
	if (!t->health[health] || health_table[health].severity == 'i')
		return false;
	switch (health) {
	case HEALTH_lost_records:
	case HEALTH_lost_unknown:
	case HEALTH_unknown_after_loss:
	case HEALTH_unpinned_unordered:
	case HEALTH_unknown_coherency:
		return false; /* incomplete */
	case HEALTH_not_mapped:
		return !j->failed_maps;
	default:
		return !(j->midlife && is_older(health));
	}
}

bool judge_is_broken(const struct judgement *j, const struct model_totals *t, int health)
{
	return is_broken(j, t, health) && !may_be_order(t, health);
}

struct words {
	char *out;
	size_t n, size;
};

/* Cut to what there is room for. */
static void add_text(struct words *w, const char *between, const char *text)
{
	if (w->n < w->size)
		w->n += (size_t)snprintf(w->out + w->n, w->size - w->n, "%s%s", w->n ? between : "", text);
}

/* One of the other events: "3,120 sched_switch events", "7 events named x:mymap on iommu_map". */
static void add_other(struct words *w, const struct other_event *ev)
{
	char text[2 * OTHER_NAME + 64];

	if (ev->function[0])
		snprintf(text, sizeof(text), "%s event%s named %s on %s", text_thousands(ev->n), text_s(ev->n),
			 ev->name, ev->function);
	else
		snprintf(text, sizeof(text), "%s %s event%s%s", text_thousands(ev->n), ev->name, text_s(ev->n),
			 ev->probe ? " of a probe" : "");
	add_text(w, ", ", text);
}

/* What there is in place of iommufd's events. */
static void find_instead(const struct capture *c, const struct model_totals *t, const struct dropped *d,
			 char out[JUDGE_INSTEAD])
{
	struct words w = {.out = out, .size = JUDGE_INSTEAD};
	bool probes = false, no_domain = strstr(c->probes, "iommu:map") || strstr(c->probes, "iommu:unmap");
	uint64_t named = 0;
	const char *note;
	char text[JUDGE_INSTEAD];

	if (t->health[HEALTH_foreign_maps]) {
		snprintf(text, sizeof(text), "%s map or unmap event%s of %s",
			 text_thousands(t->health[HEALTH_foreign_maps]), text_s(t->health[HEALTH_foreign_maps]),
			 no_domain || (d && d->no_domain) ?
				 "the tracepoints of the IOMMU core, which tell no domain: cannot be judged" :
				 "domains that iommufd never named: vfio type1, or the DMA API?");
		add_text(&w, ", ", text);
	}
	if (d && d->tracepoints) {
		snprintf(text, sizeof(text),
			 "%s record%s of the tracepoints iommu:map and iommu:unmap, which tell no domain: cannot be judged",
			 text_thousands(d->tracepoints), text_s(d->tracepoints));
		add_text(&w, ", ", text);
		named = d->tracepoints;
	}
	for (int i = 0; d && i < OTHER_EVENTS && d->other_event[i].n; i++) {
		const struct other_event *ev = &d->other_event[i];

		if (is_tracepoint(ev->name))
			continue;
		add_other(&w, ev);
		named += ev->n;
		probes |= ev->probe;
	}
	note = named ? NULL : strstr(c->note, DROPPED_OTHERS);
	if (note) { /* from a database, which keeps no names but these */
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(note, ";"), note);
		text_printable(text);
		add_text(&w, ", ", text);
	} else if (d && d->other > named) {
		snprintf(text, sizeof(text), "%s record%s of %s events", text_thousands(d->other - named),
			 text_s(d->other - named), named ? "more" : "other");
		add_text(&w, ", ", text);
	}
	if (probes)
		add_text(&w, ": ", "rename the probes, ioflush knows them by the names of their events");
	if (!w.n && !t->events)
		add_text(&w, "", c->probes[0] ? "its probes gave no event" : "it has no record at all");
}

/*
 * Whether a recorder of ours with all its probes saw nothing of iommufd. Other events do not count against that: maps of the
 * DMA API come all the time. That a trace.dat has formats does not say that its events were enabled.
 */
static bool is_idle(const struct judgement *j, const struct capture *c, const struct dropped *d)
{
	bool tracedat = !strcmp(c->format, "trace.dat") || (c->origin && !strcmp(c->origin, "trace.dat"));

	return j->nothing && c->probes[0] && !tracedat && !j->lacking && !j->lost && !j->no_rc && !j->noted_no_rc &&
	       !j->partial && !(d && d->other);
}

struct judgement judge(const struct capture *c, const struct model_totals *t, const struct dropped *dropped, bool partial)
{
	struct judgement j = {
		.nothing = is_empty(t),
		.lacking = lacking_needed(lacking_kinds(c->probes, t)),
		.lost = t->health[HEALTH_lost_records] || t->health[HEALTH_lost_unknown],
		.midlife = t->midlife.seq,
		.no_unpins = !t->kernel_unpins && t->unpinned_pages,
		.foreign_unpins = t->by_kind[EV_unpin],
		.cut_off = !strcmp(c->state, "cut-off"),
		.recording = !strcmp(c->state, "recording"),
		.none_to_compare = !t->kernel_unpins && !t->unpinned_pages,
		.coherency = t->health[HEALTH_unknown_coherency],
		.partial = partial,
		.open = t->health[HEALTH_operations_open],
		.more_entries = (dropped && dropped->more_entries) || strstr(c->note, DROPPED_MORE_ENTRIES),
		.unordered = t->health[HEALTH_unpinned_unordered],
		.failed_maps = dropped && dropped->failed_maps && t->health[HEALTH_not_mapped],
		.no_rc = dropped ? dropped->no_rc_kinds : 0,
		.noted_no_rc = strstr(c->note, DROPPED_NO_RC),
		.missing = t->kernel_unpins && t->missing_in_kernel,
	};
	bool explained = j.nothing || j.lacking || j.lost || j.no_rc || j.noted_no_rc;

	if (j.nothing)
		find_instead(c, t, dropped, j.instead);
	j.idle = is_idle(&j, c, dropped);
	for (int i = 0; i < HEALTH_COUNT; i++)
		*(may_be_order(t, i) ? &j.racing : &j.broken) |= is_broken(&j, t, i);
	if (!explained && (j.broken || (j.missing && !j.midlife && !j.unordered)))
		j.verdict = VERDICT_FAIL;
	else if (explained || j.midlife || j.no_unpins || j.coherency || j.partial || j.more_entries || j.cut_off ||
		 j.open || j.unordered || j.racing || j.failed_maps)
		j.verdict = VERDICT_INCOMPLETE;
	return j;
}

static void add(struct words *w, const char *text)
{
	add_text(w, "; ", text);
}

/* What makes that no policy can be judged. */
static void add_cannot(struct words *w, const struct judgement *j)
{
	char list[LACKING_TEXT], text[JUDGE_INSTEAD + LACKING_TEXT];

	if (j->nothing) {
		snprintf(text, sizeof(text), "no event of iommufd%s%s%s", j->instead[0] ? " (" : "", j->instead,
			 j->instead[0] ? ")" : "");
		add(w, text);
	}
	if (j->lacking) {
		lacking_text(j->lacking, list);
		snprintf(text, sizeof(text), "no probe gave %s", list);
		add(w, text);
	}
}

bool judge_is_judged(const struct judgement *j)
{
	return !j->nothing && !j->lacking;
}

void judge_cannot_text(const struct judgement *j, char out[JUDGE_TEXT])
{
	struct words w = {.out = out, .size = JUDGE_TEXT};

	out[0] = '\0';
	add_cannot(&w, j);
}

void judge_text(const struct judgement *j, const struct model_totals *t, char out[JUDGE_TEXT])
{
	struct words w = {.out = out, .size = JUDGE_TEXT};
	char list[LACKING_TEXT], text[LACKING_TEXT + 64];
	bool first = true;

	out[0] = '\0';
	if (j->recording)
		add(&w, "so far: it is still being recorded");
	if (j->verdict == VERDICT_PASS) {
		if (j->none_to_compare)
			add(&w, "no page was released, so no unpin was compared");
		return;
	}
	add_cannot(&w, j);
	if (j->lost)
		add(&w, "records were lost");
	if (j->midlife)
		add(&w, "the recording began in mid-life");
	if (j->partial)
		add(&w, "only a part of the input was read");
	if (j->more_entries)
		add(&w, "more entries than the header says: the text was read while recording went on, or was edited");
	if (j->cut_off)
		add(&w, "the recording was cut off: what came later is not here");
	if (j->coherency)
		add(&w, "the coherency of a domain is unknown");
	if (j->no_unpins)
		add(&w, j->foreign_unpins ? "no unpin by iommufd was recorded, only those of others" :
					    "no unpin event was recorded");
	if (j->open)
		add(&w, "it ends within an operation");
	if (j->racing)
		add(&w, "cuts or accesses, and events of another thread: their order is not known");
	if (j->unordered)
		add(&w, "releases and unpins differ where operations of threads overlap");
	if (j->no_rc) {
		lacking_text(j->no_rc, list);
		snprintf(text, sizeof(text), "no rc in %s: whether these failed is not known", list);
		add(&w, text);
	}
	if (j->noted_no_rc && !j->no_rc)
		add(&w, "no rc in some ends, as the note says: whether these failed is not known");
	if (j->failed_maps)
		add(&w, "maps failed, and how is not recorded");
	for (int i = 0; i < HEALTH_COUNT; i++) {
		if (!judge_is_broken(j, t, i))
			continue;
		snprintf(text, sizeof(text), "%s%s (%s)", first ? "must be 0: " : "", health_table[i].name,
			 text_thousands(t->health[i]));
		add_text(&w, first ? "; " : ", ", text);
		first = false;
	}
	if (j->missing) {
		snprintf(text, sizeof(text), "%s unpin%s derived that the kernel did not make",
			 text_thousands(t->missing_in_kernel), text_s(t->missing_in_kernel));
		add(&w, text);
	}
}

/* ---- of several captures ---- */

void worst_add(struct worst *w, const struct judgement *j, const struct model_totals *t)
{
	w->captures++;
	w->recording |= j->recording;
	if (j->verdict > w->verdict || (j->verdict == w->verdict && (!w->reasons[0] || (w->of_idle && !j->idle)))) {
		w->verdict = j->verdict;
		w->of_idle = j->idle;
		w->capture = w->captures;
		judge_text(j, t, w->reasons);
	}
	if ((!j->idle || j->cut_off) && j->verdict > w->policies)
		w->policies = j->verdict;
	if (!judge_is_judged(j) && !w->unjudged && (!j->idle || !w->idle)) {
		w->unjudged_capture = w->captures;
		judge_cannot_text(j, w->cannot);
		w->cannot[strcspn(w->cannot, ";")] = '\0';
	}
	w->idle += j->idle;
	w->unjudged += !j->idle && !judge_is_judged(j);
}

bool worst_is_judged(const struct worst *w)
{
	return !w->unjudged && (!w->idle || w->idle + w->unread < w->captures);
}

bool worst_none_judged(const struct worst *w)
{
	return w->unjudged + w->idle + w->unread == w->captures;
}

void worst_add_unread(struct worst *w)
{
	w->captures++;
	w->unread++;
	if (w->policies < VERDICT_INCOMPLETE)
		w->policies = VERDICT_INCOMPLETE;
	if (w->verdict >= VERDICT_INCOMPLETE)
		return;
	w->verdict = VERDICT_INCOMPLETE;
	w->capture = w->captures;
	snprintf(w->reasons, sizeof(w->reasons), "it could not be read");
}

static size_t put_which(const struct worst *w, uint64_t capture, char *out, size_t len)
{
	return w->captures > 1 ? (size_t)snprintf(out, len, "capture %llu here: ", (unsigned long long)capture) : 0;
}

void worst_text(const struct worst *w, char out[WORST_TEXT])
{
	size_t n = (size_t)snprintf(out, WORST_TEXT, "%s", verdict_names[w->verdict]);

	if (!w->reasons[0])
		return;
	n += (size_t)snprintf(out + n, WORST_TEXT - n, ": ");
	n += put_which(w, w->capture, out + n, WORST_TEXT - n);
	snprintf(out + n, WORST_TEXT - n, "%s", w->reasons);
}

void worst_cannot_text(const struct worst *w, char out[WORST_TEXT])
{
	size_t n;

	out[0] = '\0';
	if (worst_is_judged(w))
		return;
	n = put_which(w, w->unjudged_capture, out, WORST_TEXT);
	snprintf(out + n, WORST_TEXT - n, "%s", w->cannot);
}

const char *worst_doubt(const struct worst *w)
{
	static const char *const not_proof[VERDICTS] = {NULL, "not proof: verify says INCOMPLETE",
							"not proof: verify says FAIL"};

	if (w->policies != VERDICT_PASS)
		return not_proof[w->policies];
	return w->recording ? "so far: still being recorded" : w->idle ? "an idle capture says nothing" : NULL;
}

void worst_doubt_text(const struct worst *w, char out[WORST_DOUBT])
{
	char text[WORST_TEXT];

	worst_cannot_text(w, text);
	if (text[0]) {
		snprintf(out, WORST_DOUBT, "CANNOT BE JUDGED: %s", text);
	} else if (w->policies != VERDICT_PASS) {
		worst_text(w, text);
		snprintf(out, WORST_DOUBT, "not proof: verify says %s", text);
	} else {
		snprintf(out, WORST_DOUBT, "%s", worst_doubt(w) ? worst_doubt(w) : "");
	}
}

void judge_put_reasons(struct json *into, const char *key, const char *reasons)
{
	struct json *list = json_put_array(into, key);
	char copy[JUDGE_TEXT], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", reasons);
	for (char *r = strtok_r(copy, ";", &save); r; r = strtok_r(NULL, ";", &save))
		json_put_text(list, NULL, r + (*r == ' '));
}

void worst_put(struct json *into, const struct worst *w)
{
	char cannot[WORST_TEXT];

	worst_cannot_text(w, cannot);
	json_put_text(into, "result", verdict_json_names[w->verdict]);
	judge_put_reasons(into, "reasons", w->reasons);
	json_put_bool(into, "judged", worst_is_judged(w));
	json_put_u64(into, "idle", w->idle);
	json_put_text(into, "cannot", cannot[0] ? cannot : NULL);
}
