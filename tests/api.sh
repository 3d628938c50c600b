#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The API against its description: tests/openapi_check.py asks a server over the tests' database, on a Unix socket.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

server=${IOFLUSH_API_SERVER:-$here/../build/tests/api_server}
python=
for candidate in /usr/bin/python3 python3; do
	if "$candidate" -c 'import jsonschema, yaml' 2>/dev/null; then
		python=$candidate
		break
	fi
done
if [[ -z $python ]]; then
	printf '1..0 # SKIP no python3 with yaml and jsonschema: apt-get install python3-yaml python3-jsonschema\n'
	exit 0
fi
if [[ ! -x $server ]]; then
	printf '1..0 # SKIP %s was not built\n' "$server"
	exit 0
fi

# The server ends when its standard input does.
coproc server { exec env IOFLUSH="$ioflush" "$server" "unix:$scratch/api.sock"; }
read -r -t 30 ready <&"${server[0]}" || ready="nothing"
if [[ $ready != ready ]]; then
	not_ok "the server starts" "it said: $ready"
	tap_done checks
fi
status=0
"$python" "$here/openapi_check.py" "$here/../schema/openapi.yaml" "$scratch/api.sock" || status=$?
eval "exec ${server[1]}>&-"
exit "$status"
