/* Values of a JSON document out of those of a trace. The reference is the caller's; NULL: out of memory. */
#ifndef IOFLUSH_BASE_JSONTEXT_H
#define IOFLUSH_BASE_JSONTEXT_H

#include <stdint.h>

#include <jansson.h>

/* "0x1f" */
json_t *json_hex(uint64_t v);

/* A count. JSON readers with signed 64-bit numbers are common: what is above is given as the greatest of those. */
json_t *json_number(uint64_t n);

/* A string; null for NULL. JSON is UTF-8, a path or text of a trace anything: if it is not, '?' for what is not ASCII. */
json_t *json_text(const char *text);

#endif
