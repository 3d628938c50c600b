/* SPDX-License-Identifier: GPL-2.0-or-later */
/* always: flush at every fill and before every unpin, whatever the coherency. The upper bound that is never wrong. */
#include "analyzer/policies/policies.h"

static bool always(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	(void)s;
	return true;
}

const struct ioflush_policy_ops policy_always = {
	.name = "always",
	.summary = "flush at every fill and before every unpin",
	.origin = "upper bound",
	.needs = IOFLUSH_NEEDS_FILL,
	.map = always,
	.unpin = always,
};
