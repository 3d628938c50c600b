/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The logging module: standard error, with <N> level prefixes for the journal, or with times in the foreground. */
#ifndef IOFLUSH_BASE_LOG_H
#define IOFLUSH_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_L_ERROR = 3, LOG_L_WARNING = 4, LOG_L_NOTICE = 5, LOG_L_INFO = 6, LOG_L_DEBUG = 7 }; /* syslog's */

void log_init(enum log_level max, bool journal);
int log_level_parse(const char *name, enum log_level *out); /* 0 or -1 */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
