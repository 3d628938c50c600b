/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The speed limit of any replay from a database: reads every column of every row of a table, in the order in which they
 * are stored, and does nothing with them but add them up. Prints the number of rows and the sum, so that nothing of it
 * can be left out.
 *
 * usage: scan DATABASE TABLE
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "trace/store/open.h"

static int scan(sqlite3_stmt *stmt, uint64_t *rows, uint64_t *sum)
{
	int columns = sqlite3_column_count(stmt);
	int rc;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		for (int i = 0; i < columns; i++)
			*sum += (uint64_t)sqlite3_column_int64(stmt, i);
		++*rows;
	}
	return rc == SQLITE_DONE ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct db_guard guard = {0};
	struct error e = {""};
	sqlite3_stmt *stmt = NULL;
	uint64_t sum = 0;
	sqlite3 *db = NULL;
	char sql[256];
	int rc = 1;

	if (argc != 3) {
		fputs("usage: scan DATABASE TABLE\n", stderr);
		return 2;
	}
	snprintf(sql, sizeof(sql), "SELECT * FROM \"%.200s\" ORDER BY rowid", argv[2]);
	if (db_open(&db, argv[1], DB_READ, &guard, &e)) {
		fprintf(stderr, "scan: %s\n", e.text);
		goto out;
	}
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK || scan(stmt, &guard.rows, &sum) < 0) {
		fprintf(stderr, "scan: %s: %s\n", argv[1], sqlite3_errmsg(db));
		goto out;
	}
	printf("%llu rows, sum %llu\n", (unsigned long long)guard.rows, (unsigned long long)sum);
	rc = 0;
out:
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return rc;
}
