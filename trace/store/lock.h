/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who holds a lock that keeps others from a database. The kernel lists all locks in /proc/locks; asking it for those of one
 * file would take a descriptor of that file, and to close that would end this process's own locks on it.
 */
#ifndef IOFLUSH_TRACE_STORE_LOCK_H
#define IOFLUSH_TRACE_STORE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Names one process other than this which holds a lock on the database file, or its -shm, that a writer waits for:
 * "process 7 (python3, user 1000) holds a read lock on x.db-shm". false: none is seen.
 */
bool db_lock_holder(const char *file, char *text, size_t size);

#endif
