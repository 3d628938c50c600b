/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The identity of a file, independent of its name: the name may get another file while a process has the first one
 * open. As text it is DEVICE:INODE, two numbers.
 */
#ifndef IOFLUSH_BASE_FILE_ID_H
#define IOFLUSH_BASE_FILE_ID_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

struct file_id {
	uint64_t dev, ino; /* ino 0: unknown */
};

static inline struct file_id file_id_of(const struct stat *st)
{
	return (struct file_id){.dev = st->st_dev, .ino = st->st_ino};
}

static inline bool same_file(const struct file_id *a, const struct file_id *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

#define FILE_ID_TEXT 48

static inline void file_id_text(const struct file_id *id, char text[FILE_ID_TEXT])
{
	snprintf(text, FILE_ID_TEXT, "%" PRIu64 ":%" PRIu64, id->dev, id->ino);
}

#endif
