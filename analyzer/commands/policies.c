/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioflush policies: lists the policies, where each was proposed, its parameters and the events it needs. */
#include <getopt.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "analyzer/policies/set.h"
#include "analyzer/report/lacking.h"
#include "base/json.h"

static void print_params(const struct ioflush_policy_ops *ops)
{
	for (const struct ioflush_param *p = ops->params; p && p->name; p++)
		printf("  parameter: %s=%s  %s\n", p->name, p->value, p->doc ? p->doc : "");
}

static void print_policy(const struct ioflush_policy_ops *ops, bool plugin)
{
	const char *separator = "  needs:     ";

	printf("%s%s\n  %s\n", ops->name, plugin ? " (plugin)" : "", ops->summary ? ops->summary : "");
	if (ops->origin && ops->origin[0])
		printf("  from:      %s\n", ops->origin);
	print_params(ops);
	for (size_t i = 0; i < NEEDS; i++) {
		if (!(ops->needs & need_table[i].need))
			continue;
		printf("%s%s\n", separator, need_table[i].text);
		separator = "             ";
	}
}

static int print_text(const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (i)
			putchar('\n');
		print_policy(set->policy[i]->ops, set->handle[i]);
	}
	return 0;
}

static void put_policy(struct json *into, const struct ioflush_policy_ops *ops, bool plugin)
{
	struct json *obj = json_put_object(into, NULL), *params, *needs, *one;

	json_put_text(obj, "name", ops->name);
	json_put_text(obj, "summary", ops->summary ? ops->summary : "");
	json_put_text(obj, "origin", ops->origin ? ops->origin : "");
	json_put_bool(obj, "plugin", plugin);
	params = json_put_array(obj, "parameters");
	for (const struct ioflush_param *p = ops->params; p && p->name; p++) {
		one = json_put_object(params, NULL);
		json_put_text(one, "name", p->name);
		json_put_text(one, "default", p->value);
		json_put_text(one, "doc", p->doc ? p->doc : "");
	}
	needs = json_put_array(obj, "needs");
	for (size_t i = 0; i < NEEDS; i++) {
		if (ops->needs & need_table[i].need)
			json_put_text(needs, NULL, need_table[i].name);
	}
}

static int print_json(const struct policy_set *set)
{
	struct json *all = json_new_object(), *policies;

	json_put_u64(all, "interface_version", IOFLUSH_POLICY_ABI);
	policies = json_put_array(all, "policies");
	for (size_t i = 0; i < set->n; i++)
		put_policy(policies, set->policy[i]->ops, set->handle[i]);
	/* an output error shows when standard output is flushed */
	return json_print(stdout, all, 1);
}

struct options {
	struct policy_set set;
	bool json;
};

static int take_plugin(const struct command *cmd, const struct cli_option *opt, const char *text, void *options)
{
	struct options *o = options;
	struct error e = {0};

	(void)opt;
	if (policy_set_add_plugin(&o->set, text, &e)) {
		cli_message(cmd, "%s", e.text);
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

#define CLI_OPTIONS struct options

static const struct cli_option options[] = {
	{"plugin", 0, "PATH[:KEY=VALUE]...", "list the policy of this shared object, too", .take = take_plugin},
	{"format", 0, "text|json", "text (default) or json", TAKE(cli_take_format, json), .choices = "text json"},
	CLI_HELP,
	{0},
};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = {0};
	struct error e = {0};
	int err, status = STATUS_USAGE;

	if (policy_set_add(&o.set, "all", &e)) {
		cli_message(cmd, "%s", e.text);
		goto out;
	}
	status = cli_options(cmd, argc, argv, &o);
	if (status >= 0)
		goto out;
	if (optind < argc) {
		status = cli_usage_error(cmd, "unexpected argument '%s'", argv[optind]);
		goto out;
	}
	err = o.json ? print_json(&o.set) : print_text(&o.set);
	if (err)
		error_set(&e, "out of memory, or a plugin's texts are not UTF-8");
	status = cli_end(cmd, err, &e);
out:
	policy_set_clear(&o.set);
	return status;
}

const struct command cmd_policies = {
	.name = "policies",
	.summary = "list the policies: origin, parameters, events that they need",
	.synopsis = "[--plugin PATH[:KEY=VALUE]...]... [--format text|json]",
	.about = "Lists the flush policies: what each one does, where it was proposed, its parameters with their\n"
		 "defaults, and the events that it needs. Without these in the trace its result means nothing.\n",
	.options = options,
	.column = 32,
	.run = run,
};
