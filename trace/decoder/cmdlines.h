/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's table of command names, saved_cmdlines: a line "PID NAME" for each thread, live or stored in a
 * trace.dat.
 *
 * Anyone may give their threads any name, and the kernel writes it unchanged: the name "a\n4242 x" makes a line about
 * thread 4242. But forgeries are near: a name has at most 15 bytes, so a line that ends within 15 bytes after an
 * earlier name begins may be a part of that name, and a line that ends later cannot. A doubtful line names nobody. This
 * also affects honest lines after a very short name.
 */
#ifndef IOFLUSH_TRACE_DECODER_CMDLINES_H
#define IOFLUSH_TRACE_DECODER_CMDLINES_H

#include <stddef.h>
#include <stdint.h>

#include <event-parse.h>

#define CMDLINES_MAX_NAME 63 /* bytes of an accepted name; the kernel's have 15 */
#define CMDLINES_DOUBT \
	"<a name in doubt>" /* longer than any name: in libtraceevent, of a thread that only doubtful lines name */

enum cmdline { CMDLINE_END, CMDLINE_NAME, CMDLINE_DOUBT, CMDLINE_NONE };

struct cmdlines {
	const char *at, *end; /* the rest of the text */
	const char *reach;    /* an earlier name may extend up to here */
	int32_t pid;	      /* of the current line */
	const char *name;     /* its name, without its end */
	size_t len;
};

/* The text belongs to the caller; it ends at its first NUL, if any. */
void cmdlines_begin(struct cmdlines *c, const char *text, size_t len);

/*
 * The next line. CMDLINE_NAME: a thread's pid and name. CMDLINE_DOUBT: they may be a part of another thread's name.
 * CMDLINE_NONE: the kernel does not write such a line. CMDLINE_END: there is no more.
 */
enum cmdline cmdlines_next(struct cmdlines *c);

/*
 * Gives libtraceevent the names of a table, replacing its own. A thread that it does not know, and only doubtful lines
 * name, gets the name CMDLINES_DOUBT. Adds the number of names given to *names. -1: a line was malformed and is
 * ignored; else 0.
 */
int cmdlines_register(struct tep_handle *tep, const char *text, size_t len, unsigned *names);

#endif
