/* Values of a JSON document; see jsontext.h. */
#include "base/jsontext.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

json_t *json_hex(uint64_t v)
{
	return json_sprintf("0x%" PRIx64, v);
}

json_t *json_number(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *json_text(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	for (char *p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json;
}
