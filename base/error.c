/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors as values; see error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void error_vset(struct error *e, int errnum, const char *fmt, va_list ap)
{
	size_t n;

	if (!e || e->text[0])
		return;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	n = strlen(e->text);
	if (errnum)
		snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(errnum));
}

int error_set(struct error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(e, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int error_errno(struct error *e, const char *fmt, ...)
{
	int errnum = errno;
	va_list ap;

	va_start(ap, fmt);
	error_vset(e, errnum, fmt, ap);
	va_end(ap);
	return -1;
}

struct quoted error_quote(const char *text, size_t len)
{
	struct quoted q;
	size_t i;

	for (i = 0; i < len && i < 40; i++)
		q.text[i] = (char)((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f ? '?' : text[i]);
	q.text[i] = '\0';
	return q;
}
