/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policies of one run. A built-in policy is a file here and a line in policies.def; nothing else names it. Specs,
 * NAME:key=value..., are split in a copy; values live until init returns. A policy is checked before it joins: the set
 * holds no half-made ones.
 */
#include "analyzer/policies/set.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/policies.h"

#define NAME_MAX_LENGTH 23 /* the width of the report's first column */

const struct ioflush_policy_ops *const builtin_policies[] = {
#define POLICY(name) &policy_##name,
#include "analyzer/policies/policies.def"
	NULL,
};

/* Room for a list of known names in an error. */
struct names {
	char text[512];
	size_t n;
};

static void names_add(struct names *names, const char *name)
{
	int n;

	if (names->n >= sizeof(names->text))
		return;
	n = snprintf(names->text + names->n, sizeof(names->text) - names->n, "%s%s", names->n ? ", " : "", name);
	names->n += (size_t)n;
}

static const char *known_policies(struct names *names)
{
	for (const struct ioflush_policy_ops *const *ops = builtin_policies; *ops; ops++)
		names_add(names, (*ops)->name);
	return names->text;
}

static size_t count_params(const struct ioflush_policy_ops *ops)
{
	size_t n = 0;

	while (ops->params && ops->params[n].name)
		n++;
	return n;
}

static const char *known_params(const struct ioflush_policy_ops *ops, struct names *names)
{
	for (size_t i = 0; i < count_params(ops); i++)
		names_add(names, ops->params[i].name);
	return names->text;
}

static const struct ioflush_policy_ops *find_builtin(const char *name)
{
	for (const struct ioflush_policy_ops *const *ops = builtin_policies; *ops; ops++) {
		if (!strcmp((*ops)->name, name))
			return *ops;
	}
	return NULL;
}

struct ioflush_policy *policy_set_find(const struct policy_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (!strcmp(set->policy[i]->ops->name, name))
			return set->policy[i];
	}
	return NULL;
}

/* Puts one "key=value" (split in place) into values, whose other entries are NULL. */
static int set_param(const struct ioflush_policy_ops *ops, char *text, const char **values, struct error *e)
{
	char *value = strchr(text, '=');
	struct names names = {0};

	if (!value)
		return error_set(e, "policy '%s': parameter '%s' has no value; write %s:KEY=VALUE", ops->name, text,
				 ops->name);
	*value++ = '\0';
	for (size_t i = 0; i < count_params(ops); i++) {
		if (strcmp(ops->params[i].name, text))
			continue;
		if (values[i])
			return error_set(e, "policy '%s': parameter '%s' is given twice", ops->name, text);
		values[i] = value;
		return 0;
	}
	if (!count_params(ops))
		return error_set(e, "policy '%s' has no parameter '%s'; it takes none", ops->name, text);
	return error_set(e, "policy '%s' has no parameter '%s'; known parameters: %s", ops->name, text,
			 known_params(ops, &names));
}

/* values: one for each parameter, from params ("key=value:key=value", split in place; NULL: none) or the defaults. */
static int parse_params(const struct ioflush_policy_ops *ops, char *params, const char **values, struct error *e)
{
	char *next;

	for (; params; params = next) {
		next = strchr(params, ':');
		if (next)
			*next++ = '\0';
		if (set_param(ops, params, values, e))
			return -1;
	}
	for (size_t i = 0; i < count_params(ops); i++) {
		if (!values[i])
			values[i] = ops->params[i].value;
	}
	return 0;
}

static int set_grow(struct policy_set *set, struct error *e)
{
	struct ioflush_policy **policy;
	void **handle;

	if (set->n >= MODEL_MAX_POLICIES)
		return error_set(e, "more than %d policies at once", MODEL_MAX_POLICIES);
	policy = realloc(set->policy, (set->n + 1) * sizeof(*policy));
	if (!policy)
		return error_set(e, "out of memory");
	set->policy = policy;
	handle = realloc(set->handle, (set->n + 1) * sizeof(*handle));
	if (!handle)
		return error_set(e, "out of memory");
	set->handle = handle;
	return 0;
}

static int init_policy(struct ioflush_policy *policy, const char *const *values, struct error *e)
{
	char err[256] = "";

	if (!policy->ops->init || !policy->ops->init(policy, values, err, sizeof(err)))
		return 0;
	err[sizeof(err) - 1] = '\0';
	return error_set(e, "policy '%s': %s", policy->ops->name, err[0] ? err : "it refused to start");
}

/* Makes an instance of ops with params and appends it. The set owns handle from success on. */
static int set_append(struct policy_set *set, const struct ioflush_policy_ops *ops, char *params, void *handle,
		      struct error *e)
{
	struct ioflush_policy *policy = NULL;
	const char **values = NULL;
	int ret = -1;

	if (policy_set_find(set, ops->name)) {
		error_set(e, "policy '%s' is asked for twice", ops->name);
		goto out;
	}
	values = calloc(count_params(ops) + 1, sizeof(*values));
	policy = calloc(1, sizeof(*policy));
	if (!values || !policy) {
		error_set(e, "out of memory");
		goto out;
	}
	if (set_grow(set, e) || parse_params(ops, params, values, e))
		goto out;
	policy->ops = ops;
	policy->bit = 1ull << set->n;
	if (init_policy(policy, values, e))
		goto out;
	set->policy[set->n] = policy;
	set->handle[set->n] = handle;
	set->n++;
	policy = NULL;
	ret = 0;
out:
	free(policy);
	free(values);
	return ret;
}

static int add_all(struct policy_set *set, struct error *e)
{
	for (const struct ioflush_policy_ops *const *ops = builtin_policies; *ops; ops++) {
		if (!policy_set_find(set, (*ops)->name) && set_append(set, *ops, NULL, NULL, e))
			return -1;
	}
	return 0;
}

/* One entry of the list, NAME[:key=value]..., split in place. */
static int add_named(struct policy_set *set, char *spec, struct error *e)
{
	const struct ioflush_policy_ops *ops;
	struct names names = {0};
	char *params = strchr(spec, ':');

	if (params)
		*params++ = '\0';
	if (!strcmp(spec, "all"))
		return params ? error_set(e, "'all' takes no parameters") : add_all(set, e);
	ops = find_builtin(spec);
	if (!ops)
		return error_set(e, "unknown policy '%s'; known policies: %s, or all", spec, known_policies(&names));
	return set_append(set, ops, params, NULL, e);
}

int policy_set_add(struct policy_set *set, const char *names, struct error *e)
{
	char *copy = strdup(names);
	char *next;
	int ret = 0;

	if (!copy)
		return error_set(e, "out of memory");
	for (char *spec = copy; spec && !ret; spec = next) {
		next = strchr(spec, ',');
		if (next)
			*next++ = '\0';
		ret = add_named(set, spec, e);
	}
	free(copy);
	return ret;
}

/* dlopen() searches the system's folders if a path has no slash; a plugin is a file, like any other argument. */
static void *open_plugin(const char *path, struct error *e)
{
	size_t len = strlen(path) + sizeof("./");
	char *local = malloc(len);
	void *handle = NULL;

	if (!local) {
		error_set(e, "out of memory");
		return NULL;
	}
	snprintf(local, len, "%s%s", strchr(path, '/') ? "" : "./", path);
	dlerror();
	handle = dlopen(local, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		error_set(e, "cannot load plugin %s: %s", path, dlerror());
	free(local);
	return handle;
}

static int check_params(const char *path, const struct ioflush_policy_ops *ops, struct error *e)
{
	if (count_params(ops) && !ops->init)
		return error_set(e, "plugin %s: it has parameters but no init to take them", path);
	for (size_t i = 0; i < count_params(ops); i++) {
		if (!ops->params[i].value || !ops->params[i].name[0] || strpbrk(ops->params[i].name, ":=,"))
			return error_set(e,
					 "plugin %s: parameter %zu has no default, or a name that is empty or holds "
					 "one of ':=,'",
					 path, i + 1);
	}
	return 0;
}

static int check_name(const char *path, const char *name, struct error *e)
{
	size_t len = name ? strlen(name) : 0;

	if (!len || len > NAME_MAX_LENGTH || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len ||
	    name[0] == '-')
		return error_set(e,
				 "plugin %s: its policy's name '%.64s' is not 1 to %d lower case letters, digits and '-'",
				 path, name ? name : "", NAME_MAX_LENGTH);
	if (!strcmp(name, "all") || find_builtin(name))
		return error_set(e, "plugin %s: its policy is named '%s' like a built-in one", path, name);
	return 0;
}

/* The version is checked before anything else of the plugin is read. */
static const struct ioflush_policy_ops *plugin_ops(const char *path, void *handle, struct error *e)
{
	const struct ioflush_plugin *plugin = dlsym(handle, "ioflush_plugin");
	const struct ioflush_policy_ops *ops;

	if (!plugin) {
		error_set(e, "%s is not an ioflush plugin: it exports no ioflush_plugin", path);
		return NULL;
	}
	if (plugin->abi != IOFLUSH_POLICY_ABI) {
		error_set(e,
			  "plugin %s has policy interface version %u; the known version is %d: build it with this "
			  "ioflush's ioflush-policy.h",
			  path, plugin->abi, IOFLUSH_POLICY_ABI);
		return NULL;
	}
	ops = plugin->policy;
	if (!ops) {
		error_set(e, "plugin %s: its ioflush_plugin names no policy", path);
		return NULL;
	}
	if (check_name(path, ops->name, e) || check_params(path, ops, e))
		return NULL;
	return ops;
}

int policy_set_add_plugin(struct policy_set *set, const char *spec, struct error *e)
{
	const struct ioflush_policy_ops *ops;
	char *path = strdup(spec);
	void *handle = NULL;
	char *params;
	int ret = -1;

	if (!path)
		return error_set(e, "out of memory");
	params = strchr(path, ':');
	if (params)
		*params++ = '\0';
	if (!path[0]) {
		error_set(e, "plugin '%s' has no path", spec);
		goto out;
	}
	handle = open_plugin(path, e);
	if (!handle)
		goto out;
	ops = plugin_ops(path, handle, e);
	if (!ops)
		goto out;
	ret = set_append(set, ops, params, handle, e);
out:
	if (ret && handle)
		dlclose(handle);
	free(path);
	return ret;
}

void policy_set_clear(struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct ioflush_policy *policy = set->policy[i];

		if (policy->ops->fini)
			policy->ops->fini(policy);
		free(policy);
		if (set->handle[i])
			dlclose(set->handle[i]);
	}
	free(set->policy);
	free(set->handle);
	*set = (struct policy_set){0};
}
