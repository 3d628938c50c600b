/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a capture fits the model, and how sure that is: PASS, FAIL, or INCOMPLETE. The same for every command: verify prints
 * it, and no other verdict is stronger.
 *
 * FAIL: something that a complete trace of a correct kernel never shows. INCOMPLETE: it cannot be told, for what would
 * show it is not there. So a loss, a beginning in mid-life, or events that no probe gave make of a FAIL an INCOMPLETE, where
 * they can explain it, and of a PASS in any case. A capture that was cut off is no PASS: what came later is not there. It
 * explains no FAIL: what did come is whole. One that is still being recorded is judged by what is there, and says so.
 */
#ifndef IOFLUSH_ANALYZER_REPORT_JUDGE_H
#define IOFLUSH_ANALYZER_REPORT_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer/model/model.h"
#include "base/json.h"
#include "trace/source.h"

enum verdict { VERDICT_PASS, VERDICT_INCOMPLETE, VERDICT_FAIL, VERDICTS }; /* the worse, the larger */

extern const char *const verdict_names[VERDICTS];      /* "PASS", "INCOMPLETE", "FAIL" */
extern const char *const verdict_json_names[VERDICTS]; /* "pass", "incomplete", "fail" */

#define JUDGE_INSTEAD 640

struct judgement {
	enum verdict verdict;
	/* what makes it incomplete */
	bool nothing; /* no event that only iommufd gives */
	bool idle;    /* with nothing: ioflushd had all probes and lost nothing, so iommufd was not used, it seems */
	uint64_t lacking; /* kinds of events that every policy needs and no probe gives */
	bool lost, midlife;
	bool no_unpins;		     /* unpins are derived, none of iommufd is recorded */
	bool foreign_unpins;	     /* with no_unpins: unpins of others are recorded */
	bool cut_off;		     /* the recorder died or failed: what came later is not there */
	bool coherency;		     /* of some domain, is unknown */
	bool partial;		     /* the input breaks off */
	bool open;		     /* operations are under way where it ends */
	bool more_entries;	     /* text has more than its header says: it was read while recording went on */
	bool racing;		     /* something is broken, but cuts or accesses may have come in another order */
	bool unordered;		     /* operations of threads overlapped where releases and unpins differ */
	bool noted_no_rc;	     /* the same of a stored capture, whose note tells it */
	uint64_t no_rc;		     /* kinds of ends that tell no return code: what failed is not known */
	char instead[JUDGE_INSTEAD]; /* with nothing: what the capture has in place of events; "" if that is not known */
	bool failed_maps; /* maps failed and left no events, which explains unmaps of what nothing had mapped */
	/* what makes it fail, if nothing explains it */
	bool broken;  /* a counter that a complete trace does not have */
	bool missing; /* unpins derived that the kernel did not make */
	/* what a PASS has to say */
	bool recording;	      /* it goes on: all is said of what there is so far */
	bool none_to_compare; /* nothing was unpinned, so no unpin bears the model out */
};

/* dropped: NULL if it is not known. */
struct judgement judge(const struct capture *c, const struct model_totals *t, const struct dropped *dropped,
		       bool partial);

/* Whether a health counter of the capture speaks against it. */
bool judge_is_broken(const struct judgement *j, const struct model_totals *t, int health);

#define JUDGE_TEXT 2048

/* Why it is no PASS, or what a PASS has to say, in words: "records were lost; ...". Empty: a PASS that needs no words. */
void judge_text(const struct judgement *j, const struct model_totals *t, char out[JUDGE_TEXT]);

/*
 * Whether policies can be judged by it: without events of iommufd, or without some that every policy needs, each policy
 * would look flawless. The second says why not, in words.
 */
bool judge_is_judged(const struct judgement *j);
void judge_cannot_text(const struct judgement *j, char out[JUDGE_TEXT]);

/*
 * The worst of several captures. An idle one counts in verdict, as any that has nothing to judge. For policies it says
 * nothing: if there are others, it is named, and their verdicts are as without it.
 */
struct worst {
	enum verdict verdict, policies;	    /* of all; of those that count for policies */
	uint64_t captures, unjudged;	    /* in all; those by which no policy can be judged, without idle ones */
	uint64_t idle, unread;		    /* those that are idle; that could not be read */
	uint64_t capture, unjudged_capture; /* which it is, the first of several, counted from 1; the first unjudged one */
	char reasons[JUDGE_TEXT];	    /* of it, judge_text() */
	bool of_idle;			    /* it is idle */
	bool recording;			    /* some capture goes on */
	char cannot[JUDGE_TEXT];	    /* of the unjudged one, or of an idle one: the first reason */
};

/* The next capture. The second: one that could not be read, and so may hide anything. */
void worst_add(struct worst *w, const struct judgement *j, const struct model_totals *t);
void worst_add_unread(struct worst *w);

/* Whether policies can be judged by all captures that are not idle; whether by none. */
bool worst_is_judged(const struct worst *w);
bool worst_none_judged(const struct worst *w);

/* "FAIL: unpins that ...", with "capture 2: " before the reasons if there are several captures. */
#define WORST_TEXT (JUDGE_TEXT + 64)
void worst_text(const struct worst *w, char out[WORST_TEXT]);
/* The same for why policies cannot be judged: "no event of iommufd". Empty if they can. */
void worst_cannot_text(const struct worst *w, char out[WORST_TEXT]);

/*
 * What a verdict on a policy must add: "not proof: verify says FAIL", "so far: still being recorded", "an idle capture says
 * nothing", or NULL.
 */
const char *worst_doubt(const struct worst *w);
/* The same with the reasons, for a summary; "CANNOT BE JUDGED: ..." if policies cannot be. Empty: nothing to add. */
#define WORST_DOUBT (WORST_TEXT + 64)
void worst_doubt_text(const struct worst *w, char out[WORST_DOUBT]);

/* "result": NAME, "reasons": [sentence], "judged": bool, "idle": N, "cannot": sentence or null; into an object. */
void worst_put(struct json *into, const struct worst *w);
/* The reasons alone. */
void judge_put_reasons(struct json *into, const char *key, const char *reasons);

#endif
