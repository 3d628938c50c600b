/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /v1/policies: the list from ioflush. */
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define WAIT_MS 5000

/* Remembers the names, so that a replay of an unknown one is refused at once. The text is passed on. */
static int make_policies(struct call *c, const char *text, size_t len)
{
	struct json *all = json_read(text, len, NULL);

	if (!json_first(json_get(all, "policies"))) {
		json_free(all);
		return call_fail(c, 503, "no-answer", NULL, "what 'ioflush policies' printed is not understood");
	}
	json_free(c->api->policies_known);
	c->api->policies_known = all;
	c->text = json_compact(text, len, NULL);
	c->text_len = c->text ? strlen(c->text) : 0;
	return c->text ? 0 : call_no_memory(c);
}

int api_get_policies(struct call *c)
{
	static const char *const args[] = {"policies", "--format", "json", NULL};

	if (call_params_end(c))
		return -1;
	return call_ask(c, args, 0, WAIT_MS, make_policies);
}
