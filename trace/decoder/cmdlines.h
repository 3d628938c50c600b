/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's table of command names, saved_cmdlines: a line "PID NAME" for each thread, live or stored in a trace.dat.
 *
 * Anyone may give a thread of theirs any name, and the kernel writes it as it is: one called "a\n4242 x" makes a line that
 * speaks of thread 4242. Which lines this may have happened to can be known. A name has at most 15 bytes, so a line that
 * ends within 15 bytes from where the name of a line before it begins may be a part of that name, and one that ends later
 * cannot. What may be is in doubt, and names nobody. So are honest lines behind a very short name.
 */
#ifndef IOFLUSH_TRACE_DECODER_CMDLINES_H
#define IOFLUSH_TRACE_DECODER_CMDLINES_H

#include <stddef.h>
#include <stdint.h>

#include <event-parse.h>

#define CMDLINES_MAX_NAME 63 /* bytes of a name that is taken for one; the kernel's have 15 */
#define CMDLINES_DOUBT \
	"<a name in doubt>" /* longer than any name: in libtraceevent, of a thread that only doubtful lines name */

enum cmdline { CMDLINE_END, CMDLINE_NAME, CMDLINE_DOUBT, CMDLINE_NONE };

struct cmdlines {
	const char *at, *end; /* what is left of the text */
	const char *reach;    /* a name that began before may go on up to here */
	int32_t pid;	      /* of the present line */
	const char *name;     /* its name, without its end */
	size_t len;
};

/* The text is the caller's; it ends at its first NUL if it has one. */
void cmdlines_begin(struct cmdlines *c, const char *text, size_t len);

/*
 * The next line: CMDLINE_NAME: pid and name are its thread's own. CMDLINE_DOUBT: they may be a part of another's name.
 * CMDLINE_NONE: the kernel does not write such a line. CMDLINE_END: there is none.
 */
enum cmdline cmdlines_next(struct cmdlines *c);

/*
 * Gives libtraceevent the names of a table, in place of those that it has. A thread that only lines in doubt name, and that
 * it knows nothing of, is called CMDLINES_DOUBT. How many names were given is added to *names. -1: a line was none, and
 * named nobody; else 0.
 */
int cmdlines_register(struct tep_handle *tep, const char *text, size_t len, unsigned *names);

#endif
