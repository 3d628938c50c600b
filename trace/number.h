/*
 * Numbers as users and clients write them, on a command line as in a request: decimal or 0x hex, all of the text, without
 * the signs, spaces and octal that strtoull() takes.
 */
#ifndef IOFLUSH_NUMBER_H
#define IOFLUSH_NUMBER_H

#include <stdint.h>

/* 0; -1: it is no such number, or not from min to max, and *out stays. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

#endif
