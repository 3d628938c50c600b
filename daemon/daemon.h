/*
 * ioflushd, all but main(): reads the options, lets priv.c arm and drop privileges, ties ring, writer and HTTP together
 * and runs the loop until it is told to stop.
 *
 * Exit status: 0 stopped, or --check found all; 1 a run-time error; 2 a usage or configuration error; 10 to 16 the host
 * cannot be recorded, as enum tracer_host says.
 */
#ifndef IOFLUSH_DAEMON_DAEMON_H
#define IOFLUSH_DAEMON_DAEMON_H

enum { DAEMON_EXIT_OK = 0, DAEMON_EXIT_ERROR = 1, DAEMON_EXIT_USAGE = 2 };

int daemon_main(int argc, char **argv);

#endif
