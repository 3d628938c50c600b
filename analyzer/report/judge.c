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

bool judge_is_broken(const struct judgement *j, const struct model_totals *t, int health)
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

struct judgement judge(const struct capture *c, const struct model_totals *t, const struct dropped *dropped, bool partial)
{
	struct judgement j = {
		.nothing = is_empty(t),
		.lacking = lacking_needed(lacking_kinds(c->probes, t)),
		.lost = t->health[HEALTH_lost_records] || t->health[HEALTH_lost_unknown],
		.midlife = t->midlife.seq,
		.no_unpins = !t->by_kind[EV_unpin] && t->derived_unpins,
		.coherency = t->health[HEALTH_unknown_coherency],
		.partial = partial,
		.unordered = t->health[HEALTH_unpinned_unordered],
		.failed_maps = dropped && dropped->failed_maps && t->health[HEALTH_not_mapped],
		.missing = t->by_kind[EV_unpin] && t->missing_in_kernel,
	};
	bool explained = j.nothing || j.lacking || j.lost;

	for (int i = 0; i < HEALTH_COUNT; i++)
		j.broken |= judge_is_broken(&j, t, i);
	if (!explained && (j.broken || (j.missing && !j.midlife && !j.unordered)))
		j.verdict = VERDICT_FAIL;
	else if (explained || j.midlife || j.no_unpins || j.coherency || j.partial || j.unordered || j.failed_maps)
		j.verdict = VERDICT_INCOMPLETE;
	return j;
}

struct words {
	char *out;
	size_t n;
};

static void add(struct words *w, const char *text)
{
	w->n += (size_t)snprintf(w->out + w->n, w->n < JUDGE_TEXT ? JUDGE_TEXT - w->n : 0, "%s%s", w->n ? "; " : "",
				 text);
}

void judge_text(const struct judgement *j, const struct model_totals *t, char out[JUDGE_TEXT])
{
	struct words w = {.out = out};
	char list[LACKING_TEXT], text[LACKING_TEXT + 32];

	out[0] = '\0';
	if (j->verdict == VERDICT_PASS)
		return;
	if (j->nothing && t->health[HEALTH_foreign_maps])
		add(&w, "no event of iommufd; the maps are of domains that it never named: vfio type1, or the DMA API");
	else if (j->nothing)
		add(&w, "no event of iommufd");
	if (j->lacking) {
		lacking_text(j->lacking, list);
		snprintf(text, sizeof(text), "no probe gave %s", list);
		add(&w, text);
	}
	if (j->lost)
		add(&w, "records were lost");
	if (j->midlife)
		add(&w, "the recording began in mid-life");
	if (j->partial)
		add(&w, "only a part of the input could be read");
	if (j->coherency)
		add(&w, "the coherency of a domain is unknown");
	if (j->no_unpins)
		add(&w, "no unpin event was recorded");
	if (j->unordered)
		add(&w, "operations of threads overlap where releases and unpins differ");
	if (j->failed_maps)
		add(&w, "maps failed, and how is not recorded");
	for (int i = 0, n = 0; i < HEALTH_COUNT; i++) {
		if (!judge_is_broken(j, t, i))
			continue;
		snprintf(text, sizeof(text), "%s%s", n++ ? "" : "a complete trace has no ", health_table[i].name);
		add(&w, text);
	}
	if (j->missing)
		add(&w, "unpins that the kernel did not make");
}
