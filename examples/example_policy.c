/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * first-touch: a flush policy for ioflush, in a shared object.
 *
 * The idea: a frame is flushed when the first non-coherent mapping is about to reach it, not again as long as any
 * non-coherent domain maps it, and once more before it is unpinned. It would cost a kernel one count for each frame,
 * which no proposal has; the replay says whether that would pay.
 *
 * Build and run it with the one header that ioflush installs:
 *
 *	gcc -O2 -Wall -fPIC -shared -o first_touch.so example_policy.c
 *	ioflush replay --plugin ./first_touch.so trace.dat
 *	ioflush replay --plugin ./first_touch.so:unpin=always trace.dat
 *
 * (with -I PREFIX/include where the header is not on the compiler's path)
 */
#include <ioflush-policy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What to flush before an unpin. */
enum unpin { UNPIN_NEVER, UNPIN_EVER, UNPIN_ALWAYS };

/* Names and defaults of the parameters; ioflush checks what the user gives against this list. */
static const struct ioflush_param params[] = {
	{"unpin", "flush before an unpin: never, ever (what a non-coherent device could reach), always", "ever"},
	{NULL, NULL, NULL},
};

/* values has one text for each of params, in their order: what the user gave, or the default. */
static int init(struct ioflush_policy *self, const char *const *values, char *err, size_t err_len)
{
	static const char *const names[] = {"never", "ever", "always"};
	enum unpin *unpin;

	for (int i = UNPIN_NEVER; i <= UNPIN_ALWAYS; i++) {
		if (strcmp(values[0], names[i]))
			continue;
		unpin = malloc(sizeof(*unpin));
		if (!unpin) {
			snprintf(err, err_len, "out of memory");
			return -1;
		}
		*unpin = (enum unpin)i;
		self->data = unpin;
		return 0;
	}
	snprintf(err, err_len, "unpin '%.32s' is none of never, ever, always", values[0]);
	return -1;
}

static void fini(struct ioflush_policy *self)
{
	free(self->data);
}

/* A fill maps these pages. nc counts the non-coherent mappings that there are already: the first one flushes. */
static bool map(struct ioflush_policy *self, const struct ioflush_span *s)
{
	(void)self;
	return ioflush_noncoherent(s->iopt, s->domain) && s->nc == 0;
}

/* These pages are about to be unpinned. Only the last pin gives a frame back to its owner. */
static bool unpin(struct ioflush_policy *self, const struct ioflush_span *s)
{
	const enum unpin *when = self->data;

	if (*when == UNPIN_EVER)
		return s->ever && s->pin == 1;
	return *when == UNPIN_ALWAYS;
}

static const struct ioflush_policy_ops first_touch = {
	.name = "first-touch",
	.summary = "flush when the first non-coherent mapping reaches a frame, and before it is unpinned",
	.origin = "an example",
	.params = params,
	.needs = IOFLUSH_NEEDS_FILL | IOFLUSH_NEEDS_COHERENT,
	.init = init,
	.fini = fini,
	.map = map,
	.unpin = unpin,
};

/* The one symbol that ioflush looks for. */
extern const struct ioflush_plugin ioflush_plugin;
const struct ioflush_plugin ioflush_plugin = {
	.abi = IOFLUSH_POLICY_ABI,
	.policy = &first_touch,
};
