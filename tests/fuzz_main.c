/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzzer without libFuzzer, for "make check": each input of a folder, then random ones (the same every time) for
 * some seconds. usage: PROGRAM, with the folder FUZZ_CORPUS and FUZZ_SECONDS (5) in the environment. Prints TAP.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX 65536
#define RANDOM_MAX 64 /* bytes of a random input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* xorshift64*: small, and the same everywhere */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull >> 32;
}

static int run_file(const char *dir, const char *name)
{
	uint8_t *data = malloc(INPUT_MAX);
	char path[4352];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (data && f)
		len = fread(data, 1, INPUT_MAX, f);
	if (f)
		fclose(f);
	if (!data || !f || !len) {
		printf("not ok - %s cannot be read\n", path);
		free(data);
		return -1;
	}
	printf("# %s\n", name);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

static int run_corpus(const char *dir)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort), run = 0;

	for (int i = 0; i < n; i++) {
		if (run >= 0 && names[i]->d_name[0] != '.')
			run = run_file(dir, names[i]->d_name) ? -1 : run + 1;
		free(names[i]);
	}
	free(names);
	return run;
}

static unsigned long run_random(unsigned seconds)
{
	uint64_t state = 20260701;
	uint8_t data[RANDOM_MAX];
	unsigned long n = 0;
	time_t end = time(NULL) + seconds;

	for (; time(NULL) < end; n++) {
		size_t len = 1 + next_random(&state) % RANDOM_MAX;

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)next_random(&state);
		LLVMFuzzerTestOneInput(data, len);
	}
	return n;
}

int main(void)
{
	const char *dir = getenv("FUZZ_CORPUS"), *text = getenv("FUZZ_SECONDS");
	int n = dir ? run_corpus(dir) : 0;

	printf("# %d inputs\n%s 1 - the corpus\n", n, n > 0 ? "ok" : "not ok");
	fflush(stdout);
	printf("# %lu inputs\n", run_random(text ? (unsigned)atoi(text) : 5));
	printf("ok 2 - random inputs\n1..2\n");
	return n > 0 ? 0 : 1;
}
