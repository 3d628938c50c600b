/* SPDX-License-Identifier: GPL-2.0-or-later */
/* none: what upstream does today. The other end of the scale from always, and the speed limit of a replay. */
#include "analyzer/policies/policies.h"

const struct ioflush_policy_ops policy_none = {
	.name = "none",
	.summary = "never flush",
	.origin = "upstream today",
};
