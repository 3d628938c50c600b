/*
 * Fuzzer for everything that parses a trace: the input's first bytes choose the format, as for any file, and what the
 * sources let through goes into the model under all policies. Nothing may crash, leak, or go out of bounds; an error
 * must have a text; events must pass event_check() and be in time order. Run by "make fuzz".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model.h"
#include "policyset.h"
#include "source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_trace: %s\n", what);
	abort();
}

static void replay_capture(struct source *s, const struct policy_set *set)
{
	struct model *m = model_new(set->policy, set->n, NULL);
	struct event ev[64];
	struct error e = {""};
	uint64_t last = 0;
	ssize_t n;

	while (m && (n = source_read(s, ev, 64, &e)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			struct error bad = {""};

			must(!event_check(&ev[i], &bad), "an event that cannot be");
			must(ev[i].t >= last, "an event that is earlier than the one before");
			last = ev[i].t;
		}
		must(!model_events(m, ev, (size_t)n, &e), "out of memory");
	}
	must(m && (n == 0 || e.text[0]), "an error without a text");
	must(!model_finish(m, &e) || e.text[0], "an end without a text");
	model_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("fuzz", 0);
	struct policy_set set = {0};
	struct error e = {""};
	struct source *s = NULL;
	struct capture c;
	char path[64];

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len, "memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(!policy_set_add(&set, "all", &e), e.text);
	if (source_open(&s, path, &e))
		must(e.text[0], "a refusal without a text");
	else
		while (source_capture(s, &c, &e) > 0)
			replay_capture(s, &set);
	source_close(s);
	policy_set_clear(&set);
	close(fd);
	return 0;
}
