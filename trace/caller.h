/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The name of a caller, as any source has it: "NAME", "NAME [MODULE]", "NAME+0x12/0x80 [MODULE]". Where a probe on the way
 * replaced the return address, or nobody could resolve it, it names no function that called: it is unknown then. All readers
 * ask here, so a caller is unknown in all of them or in none.
 */
#ifndef IOFLUSH_TRACE_CALLER_H
#define IOFLUSH_TRACE_CALLER_H

#include <stdbool.h>
#include <stddef.h>

bool caller_is_known(const char *name, size_t len);

#endif
