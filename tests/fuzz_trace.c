/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzer for everything that parses a trace. The first bytes of the input choose the format, as for any file; events
 * that the sources accept go into the model under all policies. Nothing may crash, leak, or go out of bounds; an error
 * must have a text; events must pass event_check() and be in time order; lack of memory must be reported, and all
 * memory be given back. Run by "make fuzz".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analyzer/model/model.h"
#include "analyzer/policies/set.h"
#include "trace/formats/open.h"
#include "trace/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_trace: %s\n", what);
	abort();
}

static void replay_capture(struct source *s, const struct policy_set *set, uint64_t memory)
{
	struct budget budget;
	struct model *m;
	struct event ev[64];
	struct error e = {""};
	uint64_t last = 0;
	ssize_t n = 0;

	budget_init(&budget, memory, "the fuzzer allows");
	m = model_new(set->policy, set->n, NULL, &budget);
	while (m && (n = source_read(s, ev, 64, &e)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			struct error bad = {""};

			must(!event_check(&ev[i], &bad), "an event that cannot be");
			must(ev[i].t >= last, "an event that is earlier than the one before");
			last = ev[i].t;
		}
		if (model_events(m, ev, (size_t)n, &e)) {
			must(budget.over && strstr(e.text, budget.refusal), "out of memory");
			break;
		}
	}
	must(m || budget.over, "no model");
	must(n == 0 || e.text[0], "an error without a text");
	if (m && n == 0)
		must(!model_finish(m, &e) || e.text[0], "an end without a text");
	model_free(m);
	must(!budget.used, "memory that is not given back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("fuzz", 0);
	struct policy_set set = {0};
	uint64_t memory = UINT64_MAX, little;
	struct error e = {""};
	struct source *s = NULL;
	struct capture c;
	char path[64];

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len, "memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(!policy_set_add(&set, "all", &e), e.text);
	must(!source_open(&s, path, &e) || e.text[0], "a refusal without a text");
	if (s && len % 4 == 3) { /* of one in four the memory ends somewhere, of the source or of the model */
		little = 1u << data[len / 3] % 20;
		if (data[len / 2] % 2)
			s->budget.limit = s->budget.used + little;
		else
			memory = little;
	}
	while (s && source_capture(s, &c, &e) > 0) {
		must(s->budget.used <= s->budget.limit, "more memory than there is");
		replay_capture(s, &set, memory);
	}
	source_close(s);
	policy_set_clear(&set);
	close(fd);
	return 0;
}
