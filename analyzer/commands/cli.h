/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the commands share: exit statuses and messages; options.h has their options. Each command is one file, NAME.c,
 * with one entry point that commands.def names; it returns the exit status.
 */
#ifndef IOFLUSH_ANALYZER_COMMANDS_CLI_H
#define IOFLUSH_ANALYZER_COMMANDS_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum exit_status {
	STATUS_OK = 0,
	STATUS_ERROR = 1, /* input or system error */
	STATUS_USAGE = 2,
	STATUS_GAP = 3,	       /* a gap that --fail-on names */
	STATUS_FAIL = 4,       /* verify: FAIL */
	STATUS_LOSS = 5,       /* losses under --fail-on-loss */
	STATUS_INCOMPLETE = 6, /* verify: INCOMPLETE; --fail-on: it cannot be judged */
};

struct cli_option;

struct command {
	const char *name;
	const char *summary; /* one line, for ioflush --help */
	/* --help of the command: after "usage: ioflush NAME "; what it does; the text below its options, or NULL */
	const char *synopsis, *about;
	const struct cli_option *options; /* options.h */
	int column;			  /* where their texts begin */
	const char *notes;
	int (*run)(const struct command *cmd, int argc, char **argv); /* argv[0] is the command's name */
};

#define COMMAND(name) extern const struct command cmd_##name;
#include "analyzer/commands/commands.def"

extern const struct command *const cli_commands[]; /* in the order of --help; ends with NULL */

/* The whole program behind main(): finds the command and runs it. */
int cli_main(int argc, char **argv);

/* "ioflush NAME: message" on standard error. The second adds how to get help and returns STATUS_USAGE. */
void cli_message(const struct command *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_usage_error(const struct command *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* STATUS_USAGE if "-" is among the traces more than once: standard input can be read only once. Else STATUS_OK. */
int cli_traces(const struct command *cmd, char *const *paths, size_t n);

/* Flushes standard output and reports a failed write: a full disk must not look like success. */
int cli_flush(const struct command *cmd); /* STATUS_OK or STATUS_ERROR with a message */

/* The exit status of a command that came to its end: failed, which it says, or cli_flush(). */
int cli_end(const struct command *cmd, bool failed, const struct error *e);

#endif
