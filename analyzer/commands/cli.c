/*
 * The program around the commands: finds the command that the first argument names, and holds what they share, so
 * that every message, help text and number looks the same whichever command prints it.
 *
 * A command gets an argv that begins with its own name, and getopt's state reset. It returns the exit status; nothing
 * below main() calls exit().
 */
#include "analyzer/commands/cli.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "analyzer/ioflush-policy.h"
#include "base/text.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unconfigured"
#endif

static const struct command *const commands[] = {
	&cmd_replay, &cmd_gaps,	   &cmd_explain,  &cmd_state,	  &cmd_verify,	 &cmd_import,
	&cmd_export, &cmd_recover, &cmd_policies, &cmd_calibrate, &cmd_generate, NULL,
};

static void vmessage(const struct command *cmd, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	if (text)
		text_printable(text);
	/* what was printed comes before what is said about it, also when both go to one file */
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

int cli_format(const struct command *cmd, const char *text, bool *json)
{
	*json = !strcmp(text, "json");
	if (!*json && strcmp(text, "text"))
		return cli_usage_error(cmd, "unknown --format '%s'; known formats: text, json", text);
	return STATUS_OK;
}

int cli_capture(const struct command *cmd, const char *text, uint64_t *capture)
{
	if (parse_u64(text, 1, INT64_MAX, capture))
		return cli_usage_error(cmd, "--capture: the number of a capture, not '%s'", text);
	return STATUS_OK;
}

int cli_inode(const struct command *cmd, const char *text, struct file_id *file)
{
	const char *colon = strchr(text, ':');
	char dev[24] = "";

	if (colon)
		snprintf(dev, sizeof(dev), "%.*s", (int)(colon - text), text);
	if (!colon || parse_u64(dev, 0, UINT64_MAX, &file->dev) || parse_u64(colon + 1, 1, UINT64_MAX, &file->ino))
		return cli_usage_error(cmd, "--inode: DEVICE:INODE, two numbers, not '%s'", text);
	return STATUS_OK;
}

#define MEMORY_MAY "--memory allows: allow more, if the machine has it"

int cli_memory(const struct command *cmd, const char *text, struct budget *b)
{
	uint64_t size;

	if (parse_size(text, &size) || !size)
		return cli_usage_error(cmd, "--memory: a number of bytes, which may end in K, M or G, not '%s'", text);
	budget_init(b, size, MEMORY_MAY);
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

int cli_bad_option(const struct command *cmd, int c, char *const *argv)
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

int cli_flush(const struct command *cmd)
{
	if (!fflush(stdout) && !ferror(stdout))
		return STATUS_OK;
	cli_message(cmd, "cannot write to standard output: %s", strerror(errno ? errno : EIO));
	clearerr(stdout);
	return STATUS_ERROR;
}

int cli_help(const struct command *cmd)
{
	printf("usage: ioflush %s %s", cmd->name, cmd->usage);
	if (cmd->usage[0] && cmd->usage[strlen(cmd->usage) - 1] != '\n')
		putchar('\n');
	printf("\nThe manual page: ioflush-%s(1)\n", cmd->name);
	return cli_flush(cmd);
}

static int program_help(void)
{
	puts("usage: ioflush COMMAND [ARGUMENT]...\n"
	     "       ioflush --help | --version | help COMMAND\n"
	     "\n"
	     "Replays recordings of iommufd under each CPU cache flush policy that was proposed for\n"
	     "non-coherent DMA, and says what each one flushes, what that costs and where it is wrong.\n"
	     "\n"
	     "commands:");
	for (const struct command *const *c = commands; *c; c++)
		printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	puts("\n"
	     "A trace is a trace.dat of trace-cmd, the text of tracefs or of trace-cmd report, JSON Lines\n"
	     "('-': standard input) or an ioflush database; which of them is told from its content.\n"
	     "Exit status: 0 done, 1 input or system error, 2 usage, 3 a gap that --fail-on names,\n"
	     "5 losses under --fail-on-loss. The manual page: ioflush(1)");
	return cli_flush(NULL);
}

static int program_version(void)
{
	printf("ioflush %s\npolicy interface %d\n", PACKAGE_VERSION, IOFLUSH_POLICY_ABI);
	return cli_flush(NULL);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++) {
		if (!strcmp((*c)->name, name))
			return *c;
	}
	return NULL;
}

static int unknown_command(const char *name)
{
	char known[256] = "";
	size_t n = 0;

	for (const struct command *const *c = commands; *c; c++) {
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

	/* a closed pipe is an output error with a message and a status, like a full disk */
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
	optind = 0; /* glibc: also forgets what an earlier command left */
	opterr = 0;
	return cmd->run(cmd, argc - 1, argv + 1);
}
