/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command names; see cmdlines.h. */
#include "trace/decoder/cmdlines.h"

#include <stdbool.h>
#include <string.h>

#define KERNEL_NAME 15 /* TASK_COMM_LEN without the NUL */

void cmdlines_begin(struct cmdlines *c, const char *text, size_t len)
{
	*c = (struct cmdlines){.at = text, .end = text + strnlen(text, len), .reach = text};
}

/* "PID NAME" up to eol. */
static bool parse(struct cmdlines *c, const char *line, const char *eol)
{
	const char *p = line;
	int64_t n = 0;

	for (; p < eol && *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > INT32_MAX)
			return false;
	}
	if (p == line || p == eol || *p != ' ' || eol - p - 1 > CMDLINES_MAX_NAME)
		return false;
	c->pid = (int32_t)n;
	c->name = p + 1;
	c->len = (size_t)(eol - c->name);
	return true;
}

enum cmdline cmdlines_next(struct cmdlines *c)
{
	const char *line, *eol;
	bool is_line, in_doubt;

	while (c->at < c->end) {
		line = c->at;
		eol = memchr(line, '\n', (size_t)(c->end - line));
		eol = eol ? eol : c->end;
		c->at = eol < c->end ? eol + 1 : eol;
		is_line = parse(c, line, eol);
		in_doubt = eol <= c->reach;
		if (is_line) /* in case it is not forged: a name begins here */
			c->reach = c->name + KERNEL_NAME;
		if (is_line && c->len)
			return in_doubt ? CMDLINE_DOUBT : CMDLINE_NAME;
		if (!is_line && !in_doubt)
			return CMDLINE_NONE;
	}
	return CMDLINE_END;
}

int cmdlines_register(struct tep_handle *tep, const char *text, size_t len, unsigned *names)
{
	char comm[CMDLINES_MAX_NAME + 1];
	enum cmdline kind;
	struct cmdlines c;
	int ret = 0;

	cmdlines_begin(&c, text, len);
	while ((kind = cmdlines_next(&c))) {
		if (kind == CMDLINE_NONE)
			ret = -1;
		if (kind != CMDLINE_NAME)
			continue;
		memcpy(comm, c.name, c.len);
		comm[c.len] = '\0';
		*names += !tep_override_comm(tep, comm, c.pid);
	}
	cmdlines_begin(&c, text, len);
	while ((kind = cmdlines_next(&c)))
		if (kind == CMDLINE_DOUBT && !tep_is_pid_registered(tep, c.pid))
			*names += !tep_register_comm(tep, CMDLINES_DOUBT, c.pid);
	return ret;
}
