/* /healthz: whether anything is wrong, for who restarts or alarms. */
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"

int api_get_health(struct call *c)
{
	struct ring_stats r;
	struct writer_stats w;
	bool well;

	if (call_params_end(c))
		return -1;
	live_stats(c->api, &r, &w);
	c->json = live_health_json(c->api, &r, &w, &well);
	c->status = well ? 200 : 503;
	return c->json ? 0 : call_no_memory(c);
}
