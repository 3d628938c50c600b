/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offsets of members in the kernel's structs, for probe lines that name them: "+{iopt_area.node.last}(%di)" becomes
 * "+32(%di)". They come from the running kernel's BTF; if it has none, from the probe set's own table (@layout).
 *
 * A table that does not fit the kernel would give wrong numbers that look right. So event_check() compares, in every
 * area_fill, the range of bytes, the offset and the range of indexes: if they do not agree, it is a loss and not an
 * event.
 */
#ifndef IOFLUSH_DAEMON_PROBES_LAYOUT_H
#define IOFLUSH_DAEMON_PROBES_LAYOUT_H

#include "base/error.h"
#include "daemon/probes/probeset.h"

struct layout;

/* root: a prefix of /sys/kernel/btf, "" on a host. BTF is read when a line first needs it. NULL: out of memory. */
struct layout *layout_new(const char *root, const struct probe_set *set);
void layout_free(struct layout *l);

/*
 * The line with every {STRUCT.MEMBER} replaced; malloc'ed. *from: where the offsets come from, in words, or NULL: the
 * line has none. NULL and the error: an offset is unavailable.
 */
char *layout_resolve(struct layout *l, const char *line, const char **from, struct error *e);

#endif
