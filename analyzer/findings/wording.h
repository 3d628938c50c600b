/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How events and their origins are shown: the texts and JSON values that several commands share. Texts go into buffers
 * of the caller and are cut if they do not fit. Names in a trace (commands, devices) may be hostile: characters that
 * are not printable ASCII are shown as '?', and long names are cut.
 *
 * Formats: an event by its number in the capture, "#16"; times in seconds with nine digits; ids, addresses and PFNs in
 * hex; a thread as "comm-tid", with "<...>" and "?" for unknown ones.
 */
#ifndef IOFLUSH_ANALYZER_FINDINGS_WORDING_H
#define IOFLUSH_ANALYZER_FINDINGS_WORDING_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analyzer/model/model.h"
#include "base/intern.h"
#include "base/json.h"
#include "base/text.h"
#include "trace/event.h"

#define TEXT_MAX 1024 /* enough for any one sentence or event here */

/* A string of a trace, made fit to print; fallback if id is unknown. */
void text_string(char *buf, size_t len, const struct intern *s, uint64_t id, const char *fallback);

/* "#16  1.000035219  cpu 0  qemu-100  map"; "unknown" if o has no event. */
void text_origin(char *buf, size_t len, const struct origin *o, const struct intern *s);

/* "domain=0xff.. iova=0x1000 ...", the fields that are known. */
void text_fields(char *buf, size_t len, const struct event *ev, const struct intern *s);

/* Prints a health counter, its meaning and the advice. */
void text_health(FILE *out, enum health h, uint64_t value);

/* "1 event got a later time, ...": about the events whose time a source moved (struct dropped). Returns buf. */
const char *text_moved(char *buf, size_t len, uint64_t n);

/* Puts "event", "name", "t", "cpu", "tid" and "comm" into obj; unknown ones are null. */
void json_put_origin(struct json *obj, const struct origin *o, const struct intern *s);

/* {"iova": "0x..", ...}: the fields that are known. */
void json_put_fields(struct json *into, const char *key, const struct event *ev, const struct intern *s);

/* {NAME: N} of all health counters; more can be added. */
struct json *json_put_health(struct json *into, const char *key, const uint64_t *health);

/*
 * The objects older than the recording, by its health counters, and the first event that shows one: "1 iopt and 2
 * domains are older than the recording, as event 12 (domain_remove at 1.000000000) is the first to show"
 */
void text_midlife(char *buf, size_t len, const struct midlife *m, const uint64_t *health);

/* {"event", "name", "t"} of that event, or null. */
void json_put_midlife(struct json *into, const char *key, const struct midlife *m);

#endif
