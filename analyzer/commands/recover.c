/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflush recover: brings a database whose writer died back to its last commit. Commands that read never write, not
 * even this; the next writer does it by itself.
 */
#include <getopt.h>
#include <stdio.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"
#include "trace/store/store.h"

static void tell(const char *path, const struct store_recovered *r)
{
	if (r->rolled_back)
		printf("%s: what was not committed was rolled back\n", path);
	if (r->moved)
		printf("%s: its log was moved into it\n", path);
	if (r->in_use)
		printf("%s: another process has it open, and keeps its log\n", path);
	if (!r->rolled_back && !r->moved && !r->in_use)
		printf("%s: nothing to recover\n", path);
}

static const struct cli_option options[] = {CLI_HELP, {0}};

static int run(const struct command *cmd, int argc, char **argv)
{
	struct store_recovered r;
	int status = cli_options(cmd, argc, argv, NULL);

	if (status >= 0)
		return status;
	status = STATUS_OK;
	if (optind == argc)
		return cli_usage_error(cmd, "no database given");
	for (; optind < argc; optind++) {
		struct error e = {""};

		if (store_recover(argv[optind], &r, &e)) {
			cli_message(cmd, "%s", e.text);
			status = STATUS_ERROR;
		} else {
			tell(argv[optind], &r);
		}
	}
	return cli_flush(cmd) ? STATUS_ERROR : status;
}

const struct command cmd_recover = {
	.name = "recover",
	.summary = "bring a database whose writer died back to its last commit",
	.synopsis = "DB...",
	.about = "Rolls back what was not committed (the journal, DB-journal), and moves what was committed into the\n"
		 "database (the log, DB-wal). Commands that only read do neither. ioflushd and ioflush import do both\n"
		 "when they open a database.\n",
	.options = options,
	.column = 14,
	.run = run,
};
