/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policies of one run: built-in ones and those of shared objects, with their parameters, each with its own bit. */
#ifndef IOFLUSH_ANALYZER_POLICIES_SET_H
#define IOFLUSH_ANALYZER_POLICIES_SET_H

#include <stddef.h>

#include "analyzer/ioflush-policy.h"
#include "base/error.h"

/* The built-in policies in the order of the semantics; ends with NULL. */
extern const struct ioflush_policy_ops *const builtin_policies[];

struct policy_set {
	struct ioflush_policy **policy; /* n of them; policy[i]->bit is 1 << i */
	size_t n;
	void **handle; /* of a plugin, by policy; NULL for built-in ones */
};

/*
 * Adds policies from a comma-separated list; each item is NAME, NAME:key=value[:key=value] or "all". The same name
 * twice is an error, but "all" skips policies that are there already. An unknown name, parameter or version is an error
 * that lists the known ones. 0 or -1.
 */
int policy_set_add(struct policy_set *set, const char *names, struct error *e);

/* Adds the policy of a shared object: PATH[:key=value]... */
int policy_set_add_plugin(struct policy_set *set, const char *spec, struct error *e);

/* Finds a policy of the set by name, or NULL. */
struct ioflush_policy *policy_set_find(const struct policy_set *set, const char *name);

void policy_set_clear(struct policy_set *set);

#endif
