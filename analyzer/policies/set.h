/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policies of one run: which of the built-in ones, which from shared objects, with which parameters, each with its
 * bit. Built-in policies register in one place, set.c's table.
 */
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
 * Adds policies by a comma-separated list of names, each NAME or "all". A name with parameters is
 * NAME:key=value[:key=value]. Asking for the same policy twice (same name) is an error, but "all" skips what is there.
 * Unknown names, parameters and versions are errors that name the known ones. 0 or -1.
 */
int policy_set_add(struct policy_set *set, const char *names, struct error *e);

/* Adds the policy of a shared object: PATH[:key=value]... */
int policy_set_add_plugin(struct policy_set *set, const char *spec, struct error *e);

/* Finds a policy of the set by name, or NULL. */
struct ioflush_policy *policy_set_find(const struct policy_set *set, const char *name);

void policy_set_clear(struct policy_set *set);

#endif
