/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /healthz: whether anything is wrong, for programs that restart services or raise alarms. */
#include "daemon/api/call.h"
#include "daemon/api/live.h"
#include "daemon/api/routes.h"

int api_get_health(struct call *c)
{
	struct ring_stats r;
	struct writer_stats w;

	if (call_params_end(c))
		return -1;
	live_stats(c->api, &r, &w);
	c->json = json_new_object();
	c->status = live_put_health(c->json, c->api, &r, &w) ? 200 : 503;
	return 0;
}
