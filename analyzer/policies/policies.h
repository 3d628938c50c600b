/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in policies: each is a file here and a line in policies.def. */
#ifndef IOFLUSH_ANALYZER_POLICIES_POLICIES_H
#define IOFLUSH_ANALYZER_POLICIES_POLICIES_H

#include "analyzer/ioflush-policy.h"

#define POLICY(name) extern const struct ioflush_policy_ops policy_##name;
#include "analyzer/policies/policies.def"

/* What the two span policies share: flush a fill for a non-coherent domain unless its pages come from one. */
bool span_map(const struct ioflush_span *s, enum ioflush_storage rule);
bool span_unmap(struct ioflush_policy *self, const struct ioflush_span *s);

#endif
