/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of a command are one table. getopt(), the lines of --help and the completion of bash are made from it, so
 * a new option is one row, and its use.
 *
 * A row says how its value is taken: by a function that stores it in the command's own struct, at the row's offset.
 * Functions that several commands share are below; the others are in the commands.
 */
#ifndef IOFLUSH_ANALYZER_COMMANDS_OPTIONS_H
#define IOFLUSH_ANALYZER_COMMANDS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "analyzer/commands/cli.h"
#include "base/budget.h"

struct cli_option {
	const char *name;  /* without the dashes; NULL: a heading; below it --help prints two options a line */
	char letter;	   /* its short form, or 0; -h is always --help */
	const char *value; /* what --help calls its value; NULL: it takes none */
	const char *help;  /* lines; NULL ends the table */
	/* STATUS_OK, or another status with a message. NULL: this is --help. */
	int (*take)(const struct command *cmd, const struct cli_option *o, const char *text, void *options);
	size_t offset;	     /* in the options */
	const char *choices; /* "a b c": the allowed words */
	uint64_t min, max;   /* of a number */
};

/* For a table: how a value is taken, into which field of the command's CLI_OPTIONS; --help. */
#define TAKE(function, field) .take = function, .offset = offsetof(CLI_OPTIONS, field)
#define CLI_HELP                                                   \
	{                                                          \
		.name = "help", .letter = 'h', .help = "this help" \
	}

/* What --help says of options that several commands have. */
#define CLI_CAPTURE_HELP "only capture N of the trace (default: all)"
#define CLI_PARTIAL_HELP "accept an incomplete or damaged trace: use what can be read, and say so"
#define CLI_INODE_HELP "refuse a trace unless its file has these numbers, from stat -c %d:%i"

/*
 * Takes all options in argv, in their order, and leaves optind at the first operand. Returns -1 to go on, or the exit
 * status: --help was printed, or an error message was.
 */
int cli_options(const struct command *cmd, int argc, char **argv, void *options);

/* Prints the help of a command to standard output; returns STATUS_OK or STATUS_ERROR. */
int cli_help(const struct command *cmd);

/* The index of text in the row's choices, or -1; and all choices for a sentence: "a, b, c". */
int cli_choice(const struct cli_option *o, const char *text);
const char *cli_choices(const struct cli_option *o);

/* Where the value of an option is stored. */
void *cli_place(const struct cli_option *o, void *options);

typedef int cli_take(const struct command *cmd, const struct cli_option *o, const char *text, void *options);
cli_take cli_take_flag;	   /* bool */
cli_take cli_take_text;	   /* const char * */
cli_take cli_take_format;  /* bool: of "text json", whether it is JSON */
cli_take cli_take_capture; /* uint64_t: its number, from 1 */
cli_take cli_take_memory;  /* struct budget: of the model */
cli_take cli_take_inode;   /* struct file_id: DEVICE:INODE */
cli_take cli_take_policy;  /* struct policy_set: adds policies by name */
cli_take cli_take_plugin;  /* struct policy_set: adds the policy of a shared object */

/*
 * Default of --memory, the limit of the model: far more than recordings need, at most half of the machine's memory, so
 * that other processes survive. If the address space is limited, CLI_BESIDE of it is left for everything else, mainly
 * reading a file, so that it is the model that hits its limit and says so.
 */
#define CLI_MEMORY (4ull << 30)
#define CLI_BESIDE (384ull << 20)
#define CLI_MEMORY_HELP "memory limit of the model (default 4G, or half of the machine's if less)"
void cli_default_memory(struct budget *b);

#endif
