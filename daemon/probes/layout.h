/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where members of the kernel's structs lie, for probe lines that name them: "+{iopt_area.node.last}(%di)" becomes
 * "+32(%di)". The running kernel's BTF says so; where it has none, the probe set's own table (@layout) stands in.
 *
 * A table that does not fit the kernel would give wrong numbers that look right. What shows it: of every area_fill, the
 * range of bytes, the offset and the range of indexes must agree (event_check()), and one that does not is a loss with
 * its words, not an event.
 */
#ifndef IOFLUSH_DAEMON_PROBES_LAYOUT_H
#define IOFLUSH_DAEMON_PROBES_LAYOUT_H

#include "base/error.h"
#include "daemon/probes/probeset.h"

struct layout;

/* root: what /sys/kernel/btf is looked up below, "" on a host. BTF is read when a line first asks. NULL: out of memory. */
struct layout *layout_new(const char *root, const struct probe_set *set);
void layout_free(struct layout *l);

/*
 * The line with every {STRUCT.MEMBER} replaced; malloc'ed. *from: where the offsets come from, in words, or NULL: the line
 * has none. NULL and the error: one is unavailable.
 */
char *layout_resolve(struct layout *l, const char *line, const char **from, struct error *e);

#endif
