/* ioflush policies: which policies there are, where each was proposed, what it takes and what it needs. */
#include <getopt.h>
#include <jansson.h>
#include <string.h>

#include "analyzer/commands/cli.h"
#include "analyzer/policies/set.h"

static const struct {
	unsigned need;
	const char *name; /* in JSON */
	const char *events;
} need_table[] = {
	{IOFLUSH_NEEDS_FILL, "fill", "area_fill, area_fill_end, area_add_domain, area_add_domain_end"},
	{IOFLUSH_NEEDS_ACCESS, "access", "access_add, access_remove"},
	{IOFLUSH_NEEDS_SOURCE, "source", "area fills, accesses, cut and domain_remove"},
	{IOFLUSH_NEEDS_COHERENT, "coherent", "the coherent field of domain_add (hwpt_alloc)"},
};
#define NEEDS (sizeof(need_table) / sizeof(need_table[0]))

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
		printf("%s%s\n", separator, need_table[i].events);
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

/* Members that cannot be made are left NULL, which the caller's setters report. */
static json_t *policy_json(const struct ioflush_policy_ops *ops, bool plugin)
{
	json_t *params = json_array(), *needs = json_array();

	for (const struct ioflush_param *p = ops->params; p && p->name; p++)
		json_array_append_new(params, json_pack("{s:s, s:s, s:s}", "name", p->name, "default", p->value, "doc",
							p->doc ? p->doc : ""));
	for (size_t i = 0; i < NEEDS; i++) {
		if (ops->needs & need_table[i].need)
			json_array_append_new(needs, json_string(need_table[i].name));
	}
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "name", ops->name, "summary",
			 ops->summary ? ops->summary : "", "origin", ops->origin ? ops->origin : "", "plugin", plugin,
			 "parameters", params, "needs", needs);
}

static int print_json(const struct policy_set *set)
{
	json_t *policies = json_array();
	json_t *all = json_pack("{s:i, s:O}", "interface_version", IOFLUSH_POLICY_ABI, "policies", policies);
	int ret = all ? 0 : -1;

	for (size_t i = 0; i < set->n && !ret; i++)
		ret = json_array_append_new(policies, policy_json(set->policy[i]->ops, set->handle[i]));
	if (!ret) {
		/* an output error shows when standard output is flushed */
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
	}
	json_decref(all);
	json_decref(policies);
	return ret;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	static const struct option options[] = {
		{"plugin", required_argument, NULL, 'p'},
		{"format", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct policy_set set = {0};
	struct error e = {0};
	bool json = false;
	int status = STATUS_USAGE;
	int c;

	if (policy_set_add(&set, "all", &e))
		goto error;
	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			if (policy_set_add_plugin(&set, optarg, &e))
				goto error;
			break;
		case 'f':
			if (cli_format(cmd, optarg, &json))
				goto out;
			break;
		case 'h':
			status = cli_help(cmd);
			goto out;
		default:
			cli_bad_option(cmd, c, argv);
			goto out;
		}
	}
	if (optind < argc) {
		cli_usage_error(cmd, "unexpected argument '%s'", argv[optind]);
		goto out;
	}
	if (json ? print_json(&set) : print_text(&set)) {
		error_set(&e, "out of memory, or a plugin's texts are not UTF-8");
		status = STATUS_ERROR;
		goto error;
	}
	status = cli_flush(cmd);
	goto out;
error:
	cli_message(cmd, "%s", e.text);
out:
	policy_set_clear(&set);
	return status;
}

const struct command cmd_policies = {
	.name = "policies",
	.summary = "list the policies: origin, parameters, events that they need",
	.usage = "[--plugin PATH[:KEY=VALUE]...]... [--format text|json]\n"
		 "\n"
		 "Lists the flush policies: what each does, where it was proposed, its parameters with their\n"
		 "defaults, and the events that a trace must have for its result to mean something.\n"
		 "\n"
		 "  --plugin PATH[:KEY=VALUE]...  list the policy of this shared object too\n"
		 "  --format text|json            text (default) or JSON\n"
		 "  -h, --help                    this help\n",
	.run = run,
};
