/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program around the commands: finds the command that the first argument names. Also what all commands share, so
 * that messages, help texts and numbers look the same everywhere.
 *
 * A command gets an argv that begins with its own name, and returns the exit status; nothing below main() calls exit().
 */
#include "analyzer/commands/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/commands/options.h"
#include "analyzer/ioflush-policy.h"
#include "base/text.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif

const struct command *const cli_commands[] = {
#define COMMAND(name) &cmd_##name,
#include "analyzer/commands/commands.def"
	NULL,
};

static void vmessage(const struct command *cmd, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	if (text)
		text_printable(text);
	/* if both go to one file, the output must come before the message about it */
	fflush(stdout);
	fprintf(stderr, "ioflush%s%s: %s\n", cmd ? " " : "", cmd ? cmd->name : "", text ? text : "out of memory");
	free(text);
}

void cli_message(const struct command *cmd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(cmd, fmt, ap);
	va_end(ap);
}

int cli_usage_error(const struct command *cmd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(cmd, fmt, ap);
	va_end(ap);
	if (cmd)
		fprintf(stderr, "try 'ioflush %s --help'\n", cmd->name);
	else
		fputs("try 'ioflush --help'\n", stderr);
	return STATUS_USAGE;
}

int cli_traces(const struct command *cmd, char *const *paths, size_t n)
{
	bool seen = false;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(paths[i], "-"))
			continue;
		if (seen)
			return cli_usage_error(cmd, "'-' is given twice, but standard input can be read only once");
		seen = true;
	}
	return STATUS_OK;
}

int cli_flush(const struct command *cmd)
{
	if (!fflush(stdout) && !ferror(stdout))
		return STATUS_OK;
	cli_message(cmd, "cannot write to standard output: %s", strerror(errno ? errno : EIO));
	clearerr(stdout);
	return STATUS_ERROR;
}

int cli_end(const struct command *cmd, bool failed, const struct error *e)
{
	if (!failed)
		return cli_flush(cmd);
	cli_message(cmd, "%s", e->text);
	return STATUS_ERROR;
}

static int program_help(void)
{
	puts("usage: ioflush COMMAND [ARGUMENT]...\n"
	     "       ioflush --help | --version | help COMMAND\n"
	     "\n"
	     "Replays recordings of iommufd under each CPU cache flush policy that was proposed for\n"
	     "non-coherent DMA. Reports what each one flushes, what that costs, and where it is wrong.\n"
	     "\n"
	     "commands:");
	for (const struct command *const *c = cli_commands; *c; c++)
		printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	puts("\n"
	     "A trace is a trace.dat of trace-cmd, the text of tracefs or of trace-cmd report, JSON Lines,\n"
	     "or an ioflush database; ioflush looks at the content, not at the name. '-' is standard input.\n"
	     "Exit status: 0 done (verify: PASS); 1 input or system error; 2 usage; 3 a gap of a kind that\n"
	     "--fail-on names; 4 verify: FAIL; 5 records lost, under --fail-on-loss; 6 verify: INCOMPLETE, or\n"
	     "--fail-on proves nothing. The manual page: ioflush(1)");
	return cli_flush(NULL);
}

static int program_version(void)
{
	printf("ioflush %s\npolicy interface %d\n", PACKAGE_VERSION, IOFLUSH_POLICY_ABI);
	return cli_flush(NULL);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *c = cli_commands; *c; c++) {
		if (!strcmp((*c)->name, name))
			return *c;
	}
	return NULL;
}

static int unknown_command(const char *name)
{
	char known[256] = "";
	size_t n = 0;

	for (const struct command *const *c = cli_commands; *c; c++) {
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", (*c)->name);
		if (n >= sizeof(known))
			break;
	}
	return cli_usage_error(NULL, "unknown %s '%s'; known commands: %s", name[0] == '-' ? "option" : "command", name,
			       known);
}

static int help_command(int argc, char **argv)
{
	const struct command *cmd;

	if (argc < 2)
		return program_help();
	if (argc > 2)
		return cli_usage_error(NULL, "help takes one command");
	cmd = find_command(argv[1]);
	return cmd ? cli_help(cmd) : unknown_command(argv[1]);
}

int cli_main(int argc, char **argv)
{
	const struct command *cmd;

	/* a closed pipe is an output error with message and status, like a full disk */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		return cli_usage_error(NULL, "no command given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return program_help();
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return program_version();
	if (!strcmp(argv[1], "help"))
		return help_command(argc - 1, argv + 1);
	cmd = find_command(argv[1]);
	if (!cmd)
		return unknown_command(argv[1]);
	return cmd->run(cmd, argc - 1, argv + 1);
}
