/* /v1/policies: as ioflush knows them. */
#include "daemon/api/call.h"
#include "daemon/api/routes.h"

#define WAIT_MS 5000

/* Remembers the names, so that a replay of an unknown one is refused at once. */
static int make_policies(struct call *c, const char *text, size_t len)
{
	json_t *all = json_loadb(text, len, 0, NULL), *names = json_array(), *policy;
	size_t i;

	json_array_foreach(json_object_get(all, "policies"), i, policy)
		json_array_append(names, json_object_get(policy, "name"));
	if (!all || !json_array_size(names)) {
		json_decref(all);
		json_decref(names);
		return call_fail(c, 503, "no-answer", NULL, "what 'ioflush policies' printed is not understood");
	}
	json_decref(c->api->policy_names);
	c->api->policy_names = names;
	c->json = all;
	return 0;
}

int api_get_policies(struct call *c)
{
	static const char *const args[] = {"policies", "--format", "json", NULL};

	if (call_params_end(c))
		return -1;
	return call_ask(c, args, 0, WAIT_MS, make_policies);
}
