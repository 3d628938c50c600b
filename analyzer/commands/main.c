/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioflush: everything is in a library, so that tests and fuzzers link all but this. */
#include "analyzer/commands/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
