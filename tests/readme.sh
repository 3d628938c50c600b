#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# README.md and docs/findings.md show what the program prints: every block that begins with "$ ioflush ..." is run and
# compared.
#
#	IOFLUSH=./ioflush IOFLUSH_SRCDIR=. tests/readme.sh
set -u

prog=${IOFLUSH:-./ioflush}
srcdir=${IOFLUSH_SRCDIR:-.}
prog=$(cd "$(dirname "$prog")" && pwd)/$(basename "$prog")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$srcdir" || exit 1

# One file a block: its first line the command, the rest what it should print.
awk -v tmp="$tmp" '
	/^```/ { inside = !inside; n += inside; first = 1; next }
	inside { if (first) keep = /^\$ ioflush /; first = 0; if (keep) print > (tmp "/" n ".block") }
' README.md docs/findings.md

count=0
failed=0
for block in "$tmp"/*.block; do
	count=$((count + 1))
	command=$(sed -n '1s/^\$ ioflush //p' "$block")
	sed 1d "$block" >"$tmp/want"
	# shellcheck disable=SC2086 # the README's words are the arguments
	"$prog" $command >"$tmp/got" 2>&1
	if cmp -s "$tmp/want" "$tmp/got"; then
		echo "ok $count - ioflush $command"
	else
		echo "not ok $count - ioflush $command"
		diff "$tmp/want" "$tmp/got" | sed 's/^/# /'
		failed=1
	fi
done
echo "1..$count"
[ "$count" -ge 11 ] || failed=1
exit $failed
