/* The policies that ioflush brings, each in a file of its own; set.c registers them. */
#ifndef IOFLUSH_ANALYZER_POLICIES_POLICIES_H
#define IOFLUSH_ANALYZER_POLICIES_POLICIES_H

#include "analyzer/ioflush-policy.h"

extern const struct ioflush_policy_ops policy_none, policy_always, policy_sticky_v1, policy_sticky_always,
	policy_sticky_max, policy_span, policy_span_prefer_noncoherent, policy_counter, policy_area_flag, policy_ideal;

/* What the two span policies share: flush a fill for a non-coherent domain unless its pages come from one. */
bool span_map(const struct ioflush_span *s, enum ioflush_storage rule);
bool span_unmap(struct ioflush_policy *self, const struct ioflush_span *s);

#endif
