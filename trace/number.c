/* See number.h. */
#include "number.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	unsigned long long n;

	if (!*digits || strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return -1;
	errno = 0;
	n = strtoull(digits, NULL, hex ? 16 : 10);
	if (errno || n < min || n > max)
		return -1;
	*out = n;
	return 0;
}
