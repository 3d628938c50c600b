/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The logging module: standard error, with <N> level prefixes for the journal, or with times in the foreground. */
#ifndef IOFLUSH_BASE_LOG_H
#define IOFLUSH_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_L_ERROR = 3, LOG_L_WARNING = 4, LOG_L_NOTICE = 5, LOG_L_INFO = 6, LOG_L_DEBUG = 7 }; /* syslog's */

void log_init(enum log_level max, bool journal);
int log_level_parse(const char *name, enum log_level *out); /* 0 or -1 */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_L_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_L_WARNING, __VA_ARGS__)
#define log_notice(...) log_at(LOG_L_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_L_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_L_DEBUG, __VA_ARGS__)

#endif
