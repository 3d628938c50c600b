/*
 * Replays: each is an ioflush process with limits, run for a capture under some policies. A few run at once, as many
 * again may wait, and the last 64 are kept with what they gave.
 */
#ifndef IOFLUSH_DAEMON_API_REPLAYS_H
#define IOFLUSH_DAEMON_API_REPLAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/child.h"

struct replays;

/* Texts are copied. NULL: out of memory. */
struct replays *replays_new(const char *program, const char *db_path, uint64_t max, const struct child_limits *limits);
void replays_free(struct replays *r); /* ends those that run; NULL is fine */
bool replays_tick(struct replays *r); /* whether any runs or waits */
void replays_count(const struct replays *r, unsigned *running, unsigned *waiting);

#endif
