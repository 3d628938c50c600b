/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text for people: numbers with separators, sizes, plurals, wrapped lines; and nothing that could control a terminal.
 *
 * Functions without a buffer argument return one of a few rotating static buffers of the calling thread, so that one
 * printf can show several numbers.
 */
#ifndef IOFLUSH_BASE_TEXT_H
#define IOFLUSH_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_COLUMNS 100

/* n with thousands separators. */
const char *text_thousands(uint64_t n);

/* Bytes as "1.5 GiB". */
const char *text_bytes(uint64_t n);

/* From lo to hi, both inclusive: "0x10-0x1f", or "0x10" if they are equal. */
const char *text_range(uint64_t lo, uint64_t hi);

/* The ending of a plural: "s", or "" for 1. */
const char *text_s(uint64_t n);

/* n, then text, whose first word is a plural that becomes singular for 1: "1 page mapped twice". Cut to len. */
void text_counted(char *buf, size_t len, uint64_t n, const char *text);

/*
 * Seconds of nanoseconds: "1.000035219"; while ticks are used the number as it is, for a clock that does not count in them.
 * Each capture has its own clock: who shows times says of which they are.
 */
void text_time(char *buf, size_t len, uint64_t t);
void text_use_ticks(bool ticks);

/* Makes text from a trace safe for a terminal: what could control it becomes '?'. */
void text_printable(char *text);

/* Length of the UTF-8 sequence at p; 0: it is not one (overlong, a surrogate, above U+10FFFF, cut short). */
size_t text_utf8_len(const char *p, size_t left);

/* Prints "  label     text", wrapped at TEXT_COLUMNS between words. */
void text_item(FILE *out, const char *label, const char *text);

#endif
