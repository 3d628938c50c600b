/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of options: for getopt_long(), for --help, and the values that several commands take. */
#include "analyzer/commands/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "analyzer/policies/set.h"
#include "base/file_id.h"
#include "base/number.h"

#define MAX_OPTIONS 32
#define LONG 256 /* getopt's value is LONG plus the row's number; letters are below it */

/* The table, as getopt_long() has it. */
struct arrays {
	struct option name[MAX_OPTIONS + 1];
	char letters[3 + 2 * MAX_OPTIONS];
};

static void fill_arrays(struct arrays *a, const struct cli_option *o)
{
	struct option *name = a->name;
	char *letter = a->letters;

	*a = (struct arrays){0};
	letter = stpcpy(letter, ":h");
	for (int i = 0; o[i].help && i < MAX_OPTIONS; i++) {
		if (!o[i].name)
			continue;
		*name++ = (struct option){o[i].name, o[i].value ? required_argument : no_argument, NULL, LONG + i};
		if (o[i].letter && o[i].letter != 'h') {
			*letter++ = o[i].letter;
			if (o[i].value)
				*letter++ = ':';
		}
	}
}

/* The row for a value from getopt_long(); NULL: it is --help. */
static const struct cli_option *find_option(const struct cli_option *o, int c)
{
	if (c == 'h')
		return NULL;
	if (c >= LONG)
		o += c - LONG;
	else
		while (!o->name || o->letter != c)
			o++;
	return o->take ? o : NULL;
}

/* What getopt_long() returned '?' or ':' for (opterr 0, short options starting with ':'). */
static int bad_option(const struct command *cmd, int c, char *const *argv)
{
	const char *arg = argv[optind - 1];

	if (c == ':' && optopt > 0 && optopt < 256 && strncmp(arg, "--", 2))
		return cli_usage_error(cmd, "option -%c needs a value", optopt);
	if (c == ':')
		return cli_usage_error(cmd, "option %s needs a value", arg);
	/* getopt_long() is past a bundle of short options only at its end */
	if (optopt > ' ' && optopt < 127 && strncmp(arg, "--", 2))
		return cli_usage_error(cmd, "unknown option -%c", optopt);
	return cli_usage_error(cmd, "unknown, ambiguous or malformed option %s", arg);
}

int cli_options(const struct command *cmd, int argc, char **argv, void *options)
{
	const struct cli_option *o;
	struct arrays a;
	int c, status;

	fill_arrays(&a, cmd->options);
	optind = 0; /* glibc: also forgets what an earlier command left */
	opterr = 0;
	while ((c = getopt_long(argc, argv, a.letters, a.name, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(cmd, c, argv);
		o = find_option(cmd->options, c);
		if (!o)
			return cli_help(cmd);
		status = o->take(cmd, o, optarg, options);
		if (status)
			return status;
	}
	return -1;
}

/* Help */

/* "  -o, --output FILE" */
static void label(char *buf, size_t len, const struct cli_option *o)
{
	char letter[8] = "";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(buf, len, "  %s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

/* A label that is too long gets its own line. */
static void print_option(const struct cli_option *o, int column)
{
	char buf[64];

	label(buf, sizeof(buf), o);
	if ((int)strlen(buf) < column)
		printf("%-*s", column, buf);
	else
		printf("%s\n%*s", buf, column, "");
	for (const char *line = o->help, *end; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		printf("%.*s\n%*s", end ? (int)(end - line) : (int)strlen(line), line, end ? column : 0, "");
	}
}

/* Two options a line. */
static const struct cli_option *print_pair(const struct cli_option *o, int column)
{
	char buf[64];

	label(buf, sizeof(buf), o);
	printf("%-*s", column, buf);
	if (!o[1].name) {
		printf("%s\n", o->help);
		return o;
	}
	printf("%-24s", o->help);
	o++;
	label(buf, sizeof(buf), o);
	printf("%-*s%s\n", column - 2, buf + 2, o->help);
	return o;
}

int cli_help(const struct command *cmd)
{
	bool pairs = false;

	printf("usage: ioflush %s %s\n\n%s\n", cmd->name, cmd->synopsis, cmd->about);
	for (const struct cli_option *o = cmd->options; o->help; o++) {
		if (!o->name)
			printf("\n%s\n", o->help);
		else if (pairs)
			o = print_pair(o, cmd->column);
		else
			print_option(o, cmd->column);
		pairs |= !o->name;
	}
	if (cmd->notes)
		printf("\n%s", cmd->notes);
	printf("\nThe manual page: ioflush-%s(1)\n", cmd->name);
	return cli_flush(cmd);
}

/* Values */

void *cli_place(const struct cli_option *o, void *options)
{
	return (char *)options + o->offset;
}

int cli_choice(const struct cli_option *o, const char *text)
{
	size_t len = strlen(text), n;
	int i = 0;

	for (const char *word = o->choices;; word += n + 1, i++) {
		n = strcspn(word, " ");
		if (n == len && !strncmp(word, text, n))
			return i;
		if (!word[n])
			return -1;
	}
}

const char *cli_choices(const struct cli_option *o)
{
	static char text[128];
	size_t at = 0;

	for (const char *c = o->choices; *c && at < sizeof(text) - 3; c++) {
		if (*c == ' ')
			text[at++] = ',';
		text[at++] = *c;
	}
	text[at] = '\0';
	return text;
}

int cli_take_flag(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	(void)cmd, (void)text;
	*(bool *)cli_place(o, options) = true;
	return STATUS_OK;
}

int cli_take_text(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	(void)cmd;
	*(const char **)cli_place(o, options) = text;
	return STATUS_OK;
}

int cli_take_format(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	int choice = cli_choice(o, text);

	if (choice < 0)
		return cli_usage_error(cmd, "unknown --format '%s'; known formats: %s", text, cli_choices(o));
	*(bool *)cli_place(o, options) = choice;
	return STATUS_OK;
}

int cli_take_capture(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	if (parse_u64(text, 1, INT64_MAX, cli_place(o, options)))
		return cli_usage_error(cmd, "--capture '%s': it takes the number of a capture", text);
	return STATUS_OK;
}

int cli_take_inode(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct file_id *file = cli_place(o, options);
	const char *colon = strchr(text, ':');
	char dev[24] = "";

	if (colon)
		snprintf(dev, sizeof(dev), "%.*s", (int)(colon - text), text);
	if (!colon || parse_u64(dev, 0, UINT64_MAX, &file->dev) || parse_u64(colon + 1, 1, UINT64_MAX, &file->ino))
		return cli_usage_error(cmd, "--inode '%s': it takes DEVICE:INODE, two numbers", text);
	return STATUS_OK;
}

int cli_take_policy(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct error e = {0};

	return policy_set_add(cli_place(o, options), text, &e) ? cli_usage_error(cmd, "%s", e.text) : STATUS_OK;
}

int cli_take_plugin(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	struct error e = {0};

	return policy_set_add_plugin(cli_place(o, options), text, &e) ? cli_usage_error(cmd, "%s", e.text) : STATUS_OK;
}

#define MEMORY_MAY "--memory allows: allow more, if the machine has it"

int cli_take_memory(const struct command *cmd, const struct cli_option *o, const char *text, void *options)
{
	uint64_t size;

	if (parse_size(text, &size) || !size)
		return cli_usage_error(cmd, "--memory '%s': it takes a number of bytes, which may end in K, M or G",
				       text);
	budget_init(cli_place(o, options), size, MEMORY_MAY);
	return STATUS_OK;
}

void cli_default_memory(struct budget *b)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	uint64_t size = CLI_MEMORY, most;
	struct rlimit space;

	most = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 2 : size;
	size = most < size ? most : size;
	if (!getrlimit(RLIMIT_AS, &space) && space.rlim_cur != RLIM_INFINITY) {
		most = space.rlim_cur > 2 * CLI_BESIDE ? space.rlim_cur - CLI_BESIDE : space.rlim_cur / 2;
		size = most < size ? most : size;
	}
	budget_init(b, size, MEMORY_MAY);
}
