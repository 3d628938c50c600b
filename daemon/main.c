/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioflushd: everything is in a library, so that tests and fuzzers link all but this. */
#include "daemon/daemon.h"

int main(int argc, char **argv)
{
	return daemon_main(argc, argv);
}
