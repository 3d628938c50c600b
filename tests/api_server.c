/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API over the test's database, for scripts: api_server LISTEN [TOKEN_FILE]. Prints "ready" and serves until
 * standard input ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/http/server.h"
#include "tests/api_fixture.h"

int main(int argc, char **argv)
{
	struct error e = {""};
	struct api *api = NULL;
	struct http *http = NULL;
	struct fixture f;
	int status = 1;
	char c;

	if (argc < 2) {
		fputs("usage: api_server LISTEN [TOKEN_FILE]\n", stderr);
		return 2;
	}
	log_init(LOG_L_INFO, false);
	if (fixture_make(&f, &e))
		goto out;
	f.config.listen = argv[1];
	if (argc > 2)
		f.config.token_file = argv[2];
	api = api_new(&f.config, &f.live, &e);
	http = api ? http_new(&f.config, api, &e) : NULL;
	if (!http)
		goto out;
	http_strict(http);
	if (http_start(http, &e))
		goto out;
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	status = 0;
out:
	if (e.text[0])
		fprintf(stderr, "api_server: %s\n", e.text);
	http_free(http);
	api_free(api);
	fixture_remove(&f);
	return status;
}
