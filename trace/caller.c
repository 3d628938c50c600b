/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See caller.h. */
#include "trace/caller.h"

#include <ctype.h>
#include <string.h>

#define ADDRESS_DIGITS 8 /* a hex number that is at least so long is an address, with 0x or without */

static bool has(const char *text, size_t len, const char *part)
{
	return memmem(text, len, part, strlen(part));
}

/* A function of C; not "0xffffffffc0001045", "[unknown/kretprobe'd]", "(fault)". */
static bool is_function(const char *name, size_t len)
{
	size_t i;

	if (!len || !(isalpha((unsigned char)*name) || strchr("_.$", *name)))
		return false;
	for (i = 0; i < len && isxdigit((unsigned char)name[i]); i++)
		;
	return i < len || len < ADDRESS_DIGITS;
}

/* Of a kretprobe, fprobe, BPF program or the function graph tracer on the same function: it returns to them first. */
static bool is_trampoline(const char *name, size_t len)
{
	return has(name, len, "trampoline") || has(name, len, "return_to_handler");
}

bool caller_is_known(const char *name, size_t len)
{
	size_t function = 0;

	while (function < len && name[function] != '+' && name[function] != ' ')
		function++;
	if (!is_function(name, function) || is_trampoline(name, function))
		return false;
	return !has(name + function, len - function, "[__builtin__"); /* code that ftrace or kprobes made */
}
