/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See losses.h. */
#include "trace/losses.h"

const struct loss_desc loss_table[LOSSES] = {
#define RING_LOSS(ID, id, name, text, advice) {name, text, advice},
#define WRITER_LOSS(ID, id, name, text, advice) {name, text, advice},
#include "schema/losses.def"
};
