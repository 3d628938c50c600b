/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the process whose lock blocks others from a database, in /proc/locks, where the kernel lists all locks. Asking
 * for the locks of one file would take a descriptor of it, and closing that would end our own locks on the file.
 */
#ifndef IOFLUSH_TRACE_STORE_LOCK_H
#define IOFLUSH_TRACE_STORE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Names another process with a lock on the database file, or its -shm, that blocks a writer: "process 7 (python3, user
 * 1000) holds a read lock on x.db-shm". false: none is found.
 */
bool db_lock_holder(const char *file, char *text, size_t size);

#endif
