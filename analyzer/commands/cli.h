/*
 * What the commands share: exit statuses, messages, option parsing, number formats. Each command is one file,
 * NAME.c, with one entry point that main's table names; it returns the exit status.
 */
#ifndef IOFLUSH_ANALYZER_COMMANDS_CLI_H
#define IOFLUSH_ANALYZER_COMMANDS_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/budget.h"
#include "base/file_id.h"
#include "base/number.h"

enum exit_status {
	STATUS_OK = 0,
	STATUS_ERROR = 1, /* input or system error */
	STATUS_USAGE = 2,
	STATUS_GAP = 3,	 /* a gap that --fail-on names */
	STATUS_LOSS = 5, /* losses under --fail-on-loss */
};

struct command {
	const char *name;
	const char *summary; /* one line, for ioflush --help */
	const char *usage;   /* what --help prints after "usage: ioflush NAME " : synopsis, blank line, options */
	int (*run)(const struct command *cmd, int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command cmd_replay, cmd_gaps, cmd_explain, cmd_verify, cmd_import, cmd_export, cmd_policies,
	cmd_calibrate, cmd_generate, cmd_state, cmd_recover;

/* The whole program behind main(): finds the command and runs it. */
int cli_main(int argc, char **argv);

/* "ioflush NAME: message" on standard error. The second adds how to get help and returns STATUS_USAGE. */
void cli_message(const struct command *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_usage_error(const struct command *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * What getopt_long() returned '?' or ':' for (opterr 0, short options starting with ':'), said on standard error.
 * Returns STATUS_USAGE.
 */
int cli_bad_option(const struct command *cmd, int c, char *const *argv);

/* Prints the help of a command to standard output; returns STATUS_OK. */
int cli_help(const struct command *cmd);

/* Values of options that several commands have. STATUS_OK, or STATUS_USAGE with a message. */
int cli_format(const struct command *cmd, const char *text, bool *json);	 /* --format: text or json */
int cli_capture(const struct command *cmd, const char *text, uint64_t *capture); /* --capture: its number, from 1 */
int cli_memory(const struct command *cmd, const char *text, struct budget *b);	 /* --memory: of the model */

/*
 * What the model may take where --memory does not say: far more than recordings need, and no more than half of a small
 * machine, for there too much of it would end others than us. A limit of address space holds for all that the process has,
 * and what is refused should be the model's to say: CLI_BESIDE is for what is beside it, reading a file above all.
 */
#define CLI_MEMORY (4ull << 30)
#define CLI_BESIDE (384ull << 20)
#define CLI_MEMORY_DEFAULT "default 4G, or half of the machine's if that is less"
void cli_default_memory(struct budget *b);

int cli_inode(const struct command *cmd, const char *text, struct file_id *file); /* --inode: DEVICE:INODE */

/* Whether "-" stands among the traces at most once: standard input can be read once. STATUS_OK, or STATUS_USAGE. */
int cli_traces(const struct command *cmd, char *const *paths, size_t n);

/* Flushes standard output and says whether all that was printed got there: a full disk must not look like success. */
int cli_flush(const struct command *cmd); /* STATUS_OK or STATUS_ERROR with a message */

#endif
