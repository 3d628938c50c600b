/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text for people; see text.h. */
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define NUMBER_BUFFERS 16
#define NUMBER_LENGTH 40 /* two hex numbers of 64 bits and a separator */
#define LABEL_WIDTH 10	 /* label of text_item(), after two blanks */

/* One of the thread's rotating buffers, so that one printf can show several numbers. */
static char *number_buffer(void)
{
	static _Thread_local char buffer[NUMBER_BUFFERS][NUMBER_LENGTH];
	static _Thread_local unsigned next;

	return buffer[next++ % NUMBER_BUFFERS];
}

const char *text_thousands(uint64_t n)
{
	char *p = number_buffer() + NUMBER_LENGTH - 1;
	unsigned digits = 0;

	*p = '\0';
	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = (char)('0' + n % 10);
		n /= 10;
		digits++;
	} while (n);
	return p;
}

const char *text_bytes(uint64_t n)
{
	static const char unit[] = "KMGTPE";
	char *buffer = number_buffer();
	double value = (double)n;
	int i = -1;

	if (n < 1024) {
		snprintf(buffer, NUMBER_LENGTH, "%u B", (unsigned)n);
		return buffer;
	}
	/* 1023.95 and more would print as 1024.0 */
	while (value >= 1023.95) {
		value /= 1024;
		i++;
	}
	if (i < 0) {
		value /= 1024;
		i = 0;
	}
	snprintf(buffer, NUMBER_LENGTH, "%.1f %ciB", value, unit[i]);
	return buffer;
}

const char *text_range(uint64_t lo, uint64_t hi)
{
	char *buffer = number_buffer();

	if (lo == hi)
		snprintf(buffer, NUMBER_LENGTH, "0x%" PRIx64, lo);
	else
		snprintf(buffer, NUMBER_LENGTH, "0x%" PRIx64 "-0x%" PRIx64, lo, hi);
	return buffer;
}

const char *text_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}

void text_counted(char *buf, size_t len, uint64_t n, const char *text)
{
	size_t word = strcspn(text, " "), kept = word;

	if (n == 1 && word > 2 && text[word - 1] == 's')
		kept -= word > 3 && !strncmp(text + word - 3, "xes", 3) ? 2 : 1;
	snprintf(buf, len, "%s %.*s%s", text_thousands(n), (int)kept, text, text + word);
}

void text_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < ' ' || *p == 127)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* the control characters above ASCII, in UTF-8 */
			*p = p[1] = '?';
	}
}

size_t text_utf8_len(const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static bool in_ticks; /* of the thread that prints */

void text_use_ticks(bool ticks)
{
	in_ticks = ticks;
}

void text_time(char *buf, size_t len, uint64_t t)
{
	if (in_ticks)
		snprintf(buf, len, "%" PRIu64, t);
	else
		snprintf(buf, len, "%" PRIu64 ".%09" PRIu64, t / 1000000000, t % 1000000000);
}

void text_item(FILE *out, const char *label, const char *text)
{
	int col = fprintf(out, "  %-*s", LABEL_WIDTH, label);
	bool first = true;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (!first && col + 1 + n > TEXT_COLUMNS) {
			fputc('\n', out);
			col = fprintf(out, "  %*s", LABEL_WIDTH, "");
			first = true;
		}
		col += fprintf(out, "%s%.*s", first ? "" : " ", n, text);
		first = false;
		text += n;
		while (*text == ' ' && text[1] == ' ') { /* the columns of an origin */
			col += fprintf(out, " ");
			text++;
		}
		text += *text == ' ';
	}
	fputc('\n', out);
}
