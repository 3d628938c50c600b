/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors are values. A function that can fail takes a struct error, fills it with one sentence that names what failed,
 * where (file, offset or line, field) and what to do, and returns -1 (or NULL). The caller at the top prints it, once.
 * An error that is already set is kept: the first cause counts.
 */
#ifndef IOFLUSH_BASE_ERROR_H
#define IOFLUSH_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

struct error {
	char text[1024]; /* empty: no error */
};

/* Fills e (which may be NULL) unless it is set already. Always returns -1, so that "return error_set(...)" reads well. */
int error_set(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with ": " and strerror(errno) appended. */
int error_errno(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Up to 40 bytes of the input for a message; anything but printable ASCII becomes '?', for safe terminals. */
struct quoted {
	char text[44];
};
struct quoted error_quote(const char *text, size_t len);

#endif
