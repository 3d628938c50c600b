/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the log says about losses and a failing database: once per change, with sums, never more often than allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/ledger.h"

struct fixture {
	int kept; /* standard error as it was */
	FILE *file;
};

/* The log goes to a file from here on. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->file = tmpfile();
	f->kept = dup(STDERR_FILENO);
	if (!f->file || f->kept < 0)
		return -1;
	dup2(fileno(f->file), STDERR_FILENO);
	log_init(LOG_L_INFO, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dup2(f->kept, STDERR_FILENO);
	close(f->kept);
	fclose(f->file);
	free(f);
	return 0;
}

/* How many lines of the log so far have the text. */
static unsigned said(struct fixture *f, const char *text)
{
	char line[1024];
	unsigned n = 0;

	rewind(f->file);
	while (fgets(line, sizeof(line), f->file))
		n += strstr(line, text) != NULL;
	fseek(f->file, 0, SEEK_END);
	return n;
}

static void losses_are_summed_up(void **state)
{
	struct fixture *f = *state;
	struct health h = {0};
	struct ring_stats r = {0};
	struct writer_stats w = {0};

	health_update(&h, 100, &r, &w);
	assert_int_equal(said(f, "lost"), 0);
	for (unsigned i = 1; i <= HEALTH_INTERVAL_S; i++) { /* a loss every second: said first and a minute later */
		r.lost_ring += 10;
		health_update(&h, 100 + i, &r, &w);
	}
	assert_int_equal(said(f, "lost"), 1);
	assert_int_equal(said(f, "10 records lost in the ring buffer, 10 since the start"), 1);
	r.lost_ring += 10;
	health_update(&h, 101 + HEALTH_INTERVAL_S, &r, &w);
	assert_int_equal(said(f, "600 records lost in the ring buffer, 610 since the start"), 1);
	assert_int_equal(said(f, "lost"), 2);
	health_update(&h, 100000, &r, &w);
	assert_int_equal(said(f, "lost"), 2);
	w.lost_queue = 5;
	r.lost_probe = 3;
	health_say_losses(&h, &r, &w);
	assert_int_equal(said(f, "3 records lost because probes missed them"), 1);
	assert_int_equal(said(f, "5 records lost in the queue"), 1);
	assert_int_equal(health_lost(&r, &w), 618);
	r.unnamed = 3;
	w.unnamed = 4; /* not lost: stored, but for their names */
	health_say_losses(&h, &r, &w);
	assert_int_equal(said(f, "7 events stored without the name of their command or device"), 1);
	assert_int_equal(health_lost(&r, &w), 618);
}

static void a_failing_database_is_said_once(void **state)
{
	struct fixture *f = *state;
	struct health h = {0};
	struct ring_stats r = {0};
	struct writer_stats w = {.failing = "disk full"};

	for (unsigned i = 0; i < 30; i++)
		health_update(&h, 100 + i, &r, &w);
	assert_int_equal(said(f, "takes no rows: disk full"), 1);
	w.failing[0] = '\0';
	w.lost_database = 7;
	health_update(&h, 131, &r, &w);
	assert_int_equal(said(f, "takes rows again; 7 events"), 1);
	strcpy(w.failing, "disk full"); /* flapping */
	health_update(&h, 132, &r, &w);
	assert_int_equal(said(f, "takes no rows"), 1);
	w.failing[0] = '\0';
	health_update(&h, 133, &r, &w);
	assert_int_equal(said(f, "takes rows again"), 1);
	strcpy(w.failing, "disk full");
	health_update(&h, 100 + HEALTH_INTERVAL_S, &r, &w);
	assert_int_equal(said(f, "takes no rows"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(losses_are_summed_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failing_database_is_said_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
