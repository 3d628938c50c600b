/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioflushd, all but main(): reads the options, lets priv.h arm and drop privileges, ties ring, writer and HTTP
 * together, and runs the loop until it is told to stop. Exit statuses: daemon/config/exit.h.
 */
#ifndef IOFLUSH_DAEMON_DAEMON_H
#define IOFLUSH_DAEMON_DAEMON_H

int daemon_main(int argc, char **argv);

#endif
