#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# ioflush gaps, explain and verify on cases, against the texts kept in tests/data/gaps/.
#
#	IOFLUSH=./ioflush IOFLUSH_TEST_DATA=tests/data tests/gaps.sh
#
# With UPDATE=1 the texts are written anew: look at the difference before you keep them. Each holds standard output and
# standard error, and the exit status in its last line.
set -u

prog=${IOFLUSH:-./ioflush}
data=${IOFLUSH_TEST_DATA:-tests/data}
prog=$(cd "$(dirname "$prog")" && pwd)/$(basename "$prog")
data=$(cd "$data" && pwd) || exit 1
[ -x "$prog" ] || { echo "no program at $prog"; exit 1; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0
count=0
[ -z "${UPDATE:-}" ] || mkdir -p "$data/gaps"
cd "$data/cases" || exit 1

# verdict NAME STATUS: a line of TAP, which make check counts
verdict() {
	count=$((count + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		failed=1
	fi
}

# check NAME ARGUMENT...: the output of ioflush ARGUMENT... is that of data/gaps/NAME
check() {
	name=$1
	shift
	"$prog" "$@" >"$tmp/$name" 2>&1 </dev/null
	echo "exit status $?" >>"$tmp/$name"
	if [ -n "${UPDATE:-}" ]; then
		cp "$tmp/$name" "$data/gaps/$name"
	fi
	diff -u "$data/gaps/$name" "$tmp/$name" | sed 's/^/#   /'
	cmp -s "$data/gaps/$name" "$tmp/$name"
	verdict "$name: ioflush $*" $?
}

check hotplug.sticky-v1.txt gaps hotplug.jsonl --policy sticky-v1
check hotplug.sticky-v1.json gaps hotplug.jsonl --policy sticky-v1 --format json
check hotplug.none.txt gaps hotplug.jsonl --policy none
check hotplug.ideal.txt gaps hotplug.jsonl --policy ideal
check slices.sticky-v1.txt gaps slices.jsonl --policy sticky-v1
check failed-beside.area-flag.txt gaps failed-beside.jsonl --policy area-flag
check counter-zero.counter.txt gaps counter-zero.jsonl --policy counter
check access-held.area-flag.txt gaps access-held.jsonl --policy area-flag
check access-later.none.txt gaps access-later.jsonl --policy none
check odd.none.txt gaps odd.jsonl --policy none
check generated-12.limit.txt gaps generated-12.jsonl --policy sticky-v1 --kind leak,reexpose --limit 2
check usage-none.txt gaps hotplug.jsonl
check usage-two.txt gaps hotplug.jsonl --policy none,ideal
check usage-kind.txt gaps hotplug.jsonl --policy none --kind leek

check explain-pfn.txt explain hotplug.jsonl --pfn 0x100031 --policy none,sticky-v1,ideal
check explain-pfn.json explain hotplug.jsonl --pfn 0x100031 --policy none,sticky-v1,ideal --format json
check explain-all.txt explain access-held.jsonl --pfn 0x100033
check explain-iova.txt explain pages-reuse.jsonl --iova 0xff11000000000080:0x100800 --policy sticky-v1
check explain-iova-never.txt explain hotplug.jsonl --iova 0xff11000000000100:0x5000
check explain-never.txt explain hotplug.jsonl --pfn 1
check explain-lost.txt explain odd.jsonl --pfn 0x100031 --policy none
check explain-stdin.txt explain - --iova 1:0
check explain-usage.txt explain hotplug.jsonl

check verify-pass.txt verify hotplug.jsonl slices.jsonl
check verify-pass.json verify hotplug.jsonl --format json
check verify-fail.txt verify odd.jsonl
grep -v '"e": "unpin"' hotplug.jsonl >"$tmp/no-unpins.jsonl"
grep -v '"e": "unpin", "pfn": "0x100047"' hotplug.jsonl >"$tmp/missing.jsonl"
cd "$tmp" || exit 1
check verify-cannot.txt verify no-unpins.jsonl
check verify-missing.txt verify missing.jsonl

# the frames that an iova had come out in order, whichever it had first
sed 's/0x100031/@/; s/0x100049/0x100031/; s/@/0x100049/' "$data/cases/pages-reuse.jsonl" >swapped.jsonl
"$prog" explain swapped.jsonl --iova 0xff11000000000080:0x100800 --format json >swapped.json &&
	jq -e '.pfns == ["0x100031", "0x100049"] and
		[.events[].pfn] == ["0x100049", "0x100049", "0x100031", "0x100031"]' swapped.json >/dev/null
verdict "explain --iova knows the frames in whatever order they came" $?

# times above 63 bits are "0x..." strings, the same in all that prints them
sed 's/"t": 1\([0-9]*\)/"t": "0xfffffff\1"/' "$data/cases/hotplug.jsonl" >late.jsonl
"$prog" replay late.jsonl --format json | jq -r '.trace.captures[0] | .first_t, .last_t' >late.replay
"$prog" state late.jsonl --format json | jq -r '.captures[0] | .first_t, .last_t' >late.state
jq -r 'select(.t).t' late.jsonl | sed -n '1p;$p' >late.ends
cmp late.replay late.ends && cmp late.state late.ends
verdict "replay and state print late times as they are" $?
"$prog" gaps late.jsonl --policy none --format json | jq -r '.. | objects | select(has("t")).t' | sort -u >late.gaps
"$prog" explain late.jsonl --pfn 0x100031 --format json | jq -r '.. | objects | select(has("t")).t' | sort -u >late.explain
jq -r 'select(.t).t' late.jsonl | sort -u >late.all
[ "$(wc -l <late.gaps)" -gt 3 ] && [ "$(wc -l <late.explain)" -gt 3 ] &&
	[ -z "$(comm -23 late.gaps late.all)$(comm -23 late.explain late.all)" ]
verdict "gaps and explain print late times as they are" $?

# the lines of texts stay within 100 columns, whatever the case; options that name things are not ours to wrap
cd "$data/cases" || exit 1
for c in *.jsonl; do
	"$prog" gaps "$c" --policy none --limit 0 >"$tmp/out" &&
		awk '!/^SUMMARY/ && length > 100 { print "#   " $0; bad = 1 } END { exit bad }' "$tmp/out"
	verdict "$c: no line over 100 columns" $?
done
echo "1..$count"
exit $failed
