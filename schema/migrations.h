/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SQL migrations, made from schema/migrations/NNNN_*.sql by schema/embed.sh. Migrations 1 to N make version N. */
#ifndef IOFLUSH_SCHEMA_MIGRATIONS_H
#define IOFLUSH_SCHEMA_MIGRATIONS_H

struct migration {
	int version;
	const char *name; /* the file's, without .sql */
	const char *sql;
};

extern const struct migration migrations[]; /* in order of version, without gaps; ends with a NULL name */

#endif
