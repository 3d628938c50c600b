/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the completion of bash knows of ioflush's commands, from their tables of options: for each command its options,
 * and for each option with choices these. The other half is ioflush.bash, which asks for what is said here.
 */
#include <stdio.h>

#include "analyzer/commands/cli.h"
#include "analyzer/commands/options.h"

int main(void)
{
	printf("# Made by a build, from the options of the commands and completions/ioflush.bash.\n"
	       "declare -gA _ioflush_words=(\n");
	for (const struct command *const *c = cli_commands; *c; c++) {
		printf("\t['%s']='", (*c)->name);
		for (const struct cli_option *o = (*c)->options; o->help; o++)
			if (o->name)
				printf(" --%s", o->name);
		printf("'\n");
		for (const struct cli_option *o = (*c)->options; o->help; o++)
			if (o->choices)
				printf("\t['%s --%s']='%s'\n", (*c)->name, o->name, o->choices);
	}
	printf(")\n\n");
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
