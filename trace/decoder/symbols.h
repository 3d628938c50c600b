/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which function of the kernel an address is in, from the text of kallsyms ("ADDRESS TYPE NAME", and for a function of a
 * module a tab and "[MODULE]") or of tracefs (the same without TYPE). The text is not kept, and its lines may be in any order: who asks reads it once more for
 * each address, in pieces of any size. Few addresses are asked for: those that call one function.
 *
 * A line that is no symbol is skipped. Addresses that are all 0 (the reader may not see them) name nothing.
 */
#ifndef IOFLUSH_TRACE_DECODER_SYMBOLS_H
#define IOFLUSH_TRACE_DECODER_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#define SYMBOL_MAX 160	     /* of "NAME [MODULE]", with its end; a longer one is no answer */
#define SYMBOL_LINE_MAX 1024 /* a longer line is skipped */

struct symbol_search {
	uint64_t address;
	uint64_t best; /* the nearest symbol so far that does not lie behind it; 0: none */
	char name[SYMBOL_MAX];
	size_t len; /* of the line that is not whole yet */
	char line[SYMBOL_LINE_MAX];
};

/* address: one behind a call, as it is returned to. */
void symbol_begin(struct symbol_search *s, uint64_t address);
void symbol_text(struct symbol_search *s, const char *text, size_t len);

/* "NAME [MODULE]" or "NAME", valid as long as s; NULL: no function is near enough before it. */
const char *symbol_end(struct symbol_search *s);

#endif
