#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Traces of kernel bugs, failures, odd domains and missing events, in tests/data/faults: what verify and replay say of
# each, and with which exit status, against the texts in tests/data/faults/golden.
#
# With UPDATE=1 the texts are written anew: look at the difference before you keep them. Each holds standard output and
# standard error, and the exit status in its last line.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools jq
data=$(cd "$data" && pwd)
ioflush=$(cd "$(dirname "$ioflush")" && pwd)/$(basename "$ioflush")
golden=$data/faults/golden
cd "$data/faults"

# check NAME ARGUMENT...: the output of ioflush ARGUMENT... is that of golden/NAME
check() {
	local name=$1 status=0
	shift
	"$ioflush" "$@" >"$scratch/$name" 2>&1 </dev/null || status=$?
	echo "exit status $status" >>"$scratch/$name"
	[[ -z ${UPDATE:-} ]] || cp "$scratch/$name" "$golden/$name"
	if cmp -s "$golden/$name" "$scratch/$name"; then
		ok "$name: ioflush $*"
	else
		not_ok "$name: ioflush $*" "$(diff -u "$golden/$name" "$scratch/$name" 2>&1)"
	fi
}

for file in 01-*.txt *.jsonl; do
	name=${file%.*}
	check "$name.verify.txt" verify "$file"
	check "$name.replay.txt" replay --fail-on error --fail-on-loss "$file"
done

# same NAME GOT WANT
same() {
	if [[ $2 == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "expected $3
got $2"
	fi
}

# what cannot be judged looks like no clean bill in any form, through any kind of trace
for file in 07-type1 12-retention-advice; do
	"$ioflush" import "$file.jsonl" -o "$scratch/$file.db" >/dev/null
	for trace in "$file.jsonl" "$scratch/$file.db"; do
		name=${trace##*/}
		run "$ioflush" replay --format json "$trace"
		same "$name: judged is false, gaps are null" \
			"$(jq -c '[.policies[] | [.judged, .gaps.leak, .leaks.stale]] | unique' "$scratch/out")" \
			'[[false,null,null]]'
		run "$ioflush" replay --format csv "$trace"
		same "$name: CSV has no 0 for gaps" "$(sed 1d "$scratch/out" | cut -d, -f9-12 | sort -u)" ",,,"
		run "$ioflush" replay --fail-on leak --fail-on-loss "$trace"
		same "$name: --fail-on gives 6" "$status" 6
	done
done
# of several captures the worst, and of several statuses the first of 3, 6, 5
run "$ioflush" verify c4-serial.jsonl 07-type1.jsonl 08-unpin-overrun.jsonl
same "verify: FAIL wins" "$status" 4
run "$ioflush" verify c4-serial.jsonl 07-type1.jsonl
same "verify: INCOMPLETE wins over PASS" "$status" 6
run "$ioflush" replay --policy none --fail-on leak --fail-on-loss c4-serial.jsonl 12-retention-advice.jsonl
same "--fail-on: a gap wins over what cannot be judged" "$status" 3
same "and its verdict says that there may be more" \
	"$(grep -c '^none: *leaks 8 pages.*' "$scratch/out") $(grep -c 'there may be more: a capture' "$scratch/out")" "1 1"
run "$ioflush" replay --policy none --fail-on leak --fail-on-loss 12-retention-advice.jsonl
same "--fail-on: what cannot be judged wins over a loss" "$status" 6
run "$ioflush" replay --policy none --fail-on-loss 12-retention-advice.jsonl
same "--fail-on-loss alone" "$status" 5
check type1.gaps.txt gaps 07-type1.jsonl --policy ideal
check type1.gaps.json gaps 07-type1.jsonl --policy ideal --format json
check type1.explain-domain.txt explain 07-type1.jsonl --iova 0xff11000001000000:0x101000
check type1.explain.txt explain 07-type1.jsonl --iova 0x101000
check type1.explain.json explain 07-type1.jsonl --iova 0x101000 --format json
check pfn-hex.txt explain 15-failed-map.jsonl --pfn 2000f --policy none,ideal
check pfn-decimal.txt explain 15-failed-map.jsonl --pfn 20000 --policy none,ideal
check failed.verify.json verify 15-failed-map.jsonl --format json
check failed.replay.json replay 15-failed-map.jsonl --format json --policy none
check retention.verify.json verify 12-retention-advice.jsonl --format json
check retention.replay.json replay 12-retention-advice.jsonl --format json --policy none
check order.replay.txt replay --fail-on leak --fail-on-loss 12-retention-advice.jsonl c4-serial.jsonl --policy ideal
check several.replay.json replay 08-unpin-overrun.jsonl 07-type1.jsonl c4-serial.jsonl --policy ideal --format json
check overlap.gaps.txt gaps overlap.jsonl --policy none
check overlap.gaps.json gaps overlap.jsonl --policy none --format json

# says NAME STATUS PATTERN ARGUMENT...: ioflush ARGUMENT... ends with this status and prints a line like the pattern
says() {
	local name=$1 want=$2 pattern=$3 got
	shift 3
	run "$ioflush" "$@"
	got=$(cat "$scratch/out" "$scratch/err")
	if [[ $status == "$want" ]] && grep -qE -- "$pattern" <<<"$got"; then
		ok "$name"
	else
		not_ok "$name" "expected status $want, $pattern
got $status
$got"
	fi
}

# A capture that was cut off is no proof of what came later; of one that goes on all is said so far.
hotplug=$data/cases/hotplug.jsonl
for state in cut-off recording; do
	sed "1s/}\$/, \"state\": \"$state\"}/" "$hotplug" >"$scratch/$state.jsonl"
	sed "1s/}\$/, \"state\": \"$state\"}/" 08-unpin-overrun.jsonl >"$scratch/fail.jsonl"
	says "$state: what is wrong is wrong still" 4 "^  FAIL: " verify "$scratch/fail.jsonl"
done
says "cut off: verify" 6 "^  INCOMPLETE: the recording was cut off: what came later is not here$" verify "$scratch/cut-off.jsonl"
says "cut off: replay" 0 "^ideal: .*not proof: verify says INCOMPLETE$" replay --policy ideal "$scratch/cut-off.jsonl"
says "cut off: gaps" 0 "^SUMMARY: .*not proof: verify says INCOMPLETE: the recording was cut off" \
	gaps --policy ideal "$scratch/cut-off.jsonl"
says "recording: verify" 0 "^  PASS: so far: it is still being recorded$" verify "$scratch/recording.jsonl"
says "recording: verify in JSON" 0 '"so far: it is still being recorded"' verify --format json "$scratch/recording.jsonl"
says "recording: replay" 0 "^ideal: .*; so far: still being recorded$" replay --policy ideal "$scratch/recording.jsonl"
says "recording: gaps" 0 "^SUMMARY: .*; so far: still being recorded$" gaps --policy ideal "$scratch/recording.jsonl"
says "recording: explain" 0 "^SUMMARY: .*; so far: still being recorded$" explain --pfn 0x1 "$scratch/recording.jsonl"
says "of two captures the one that goes on" 0 "^verify *PASS: capture 2 here: so far: it is still being recorded$" \
	replay --policy ideal "$hotplug" "$scratch/recording.jsonl"
says "a PASS without a word" 0 "^  PASS$" verify "$hotplug"

# An idle capture says nothing of policies, and does not keep others from being judged. What lacks a probe or lost records does.
probes="domain_add domain_add_end domain_remove domain_remove_end area_fill area_fill_end area_unfill area_unfill_end"
probes="$probes area_add_domain area_add_domain_end map unmap"
idle() {
	printf '{"ioflush_trace":1,"page_size":4096,"probes":"%s","state":"%s"}\n' "$2" "$1"
	echo '{"t":1,"cpu":0,"tid":1,"e":"map","domain":"0x10","iova":"0x1000","paddr":"0x1000","size":"0x1000","prot":3}'
}
idle complete "$probes" >"$scratch/idle.jsonl"
idle cut-off "$probes" >"$scratch/idle-cut.jsonl"
idle complete "${probes/area_fill /}" >"$scratch/unprobed.jsonl"
{ cat "$scratch/idle.jsonl" && echo '{"t":2,"e":"lost"}'; } >"$scratch/idle-lost.jsonl"
ideal=(replay --policy ideal --fail-on error)
says "idle: alone it is not judged" 6 "^ideal: .*cannot be judged: no event of iommufd" "${ideal[@]}" "$scratch/idle.jsonl"
says "idle: beside others the policies are judged" 0 "^ideal: .*the lower bound; an idle capture says nothing$" \
	"${ideal[@]}" "$scratch/idle.jsonl" "$hotplug"
same "idle: it is named" "$(grep -c 'note: capture 1 here is idle' "$scratch/out")" 1
same "idle: verify of the two says so too" "$(grep -c '^verify *INCOMPLETE: capture 1 here: no event of iommufd' "$scratch/out")" 1
says "idle: in JSON" 0 '"idle": 1' replay --format json "$scratch/idle.jsonl" "$hotplug"
same "idle: in JSON it is judged" "$(jq -c '[.verify.judged, .verify.result, .policies.ideal.gaps.leak]' "$scratch/out")" \
	'[true,"incomplete",0]'
says "idle: verify counts the worst" 6 "INCOMPLETE: no event of iommufd" verify "$scratch/idle.jsonl" "$hotplug"
"$ioflush" import "$scratch/idle.jsonl" "$hotplug" -o "$scratch/idle.jsonl.db" >/dev/null
says "idle: gaps of a database" 0 "^SUMMARY: .*; an idle capture says nothing$" gaps --policy ideal "$scratch/idle.jsonl.db"
says "idle: cut off" 6 "not proof: verify says INCOMPLETE: capture 1 here: no event .*cut off" \
	"${ideal[@]}" "$scratch/idle-cut.jsonl" "$hotplug"
says "idle: records lost" 6 "no policy can be judged" "${ideal[@]}" "$scratch/idle-lost.jsonl" "$hotplug"
says "idle: no probe of a kind" 6 "no policy can be judged" "${ideal[@]}" "$hotplug" "$scratch/unprobed.jsonl"

# --fail-on: no gap is no proof, unless verify says PASS
says "--fail-on: no gap, and PASS" 0 "^verify *PASS$" "${ideal[@]}" "$hotplug"
says "--fail-on: no gap, but FAIL" 6 "^ioflush replay: --fail-on: no such gap, but that is not proof: verify says FAIL" \
	"${ideal[@]}" 08-unpin-overrun.jsonl
says "--fail-on: no gap, but INCOMPLETE" 6 "not proof: verify says INCOMPLETE: the recording was cut off" \
	"${ideal[@]}" "$scratch/cut-off.jsonl"
says "--fail-on: a gap wins over FAIL" 3 "not proof" replay --policy none --fail-on error "$scratch/cut-off.jsonl"
says "--fail-on: a capture that goes on" 0 "so far" "${ideal[@]}" "$scratch/recording.jsonl"
says "without --fail-on no status" 0 "^verify *FAIL" replay --policy ideal 08-unpin-overrun.jsonl

# the header of ftrace text
small=$data/traces/churn-small.trace
sed 's#^\# entries-in-buffer.*: 354/354#\# entries-in-buffer/entries-written: 20/20#' "$small" >"$scratch/more.txt"
sed 's#^\# entries-in-buffer.*: 354/354#\# entries-in-buffer/entries-written: 354/0#' "$small" >"$scratch/unwritten.txt"
says "text: as many entries as its header says" 0 "^  PASS$" verify "$small"
says "text: more entries than its header says" 6 "^  INCOMPLETE: more entries than the header says" verify "$scratch/more.txt"
"$ioflush" import "$scratch/more.txt" -o "$scratch/more.db" >/dev/null
says "text: in a database too" 6 "^  INCOMPLETE: more entries than the header says" verify "$scratch/more.db"
sed '$s/$/\nCPU:1 [LOST 3 EVENTS]/' "$small" >"$scratch/lost.txt"
says "text: what was lost is no entry" 6 "^  INCOMPLETE: records were lost$" verify "$scratch/lost.txt"
says "text: more in the buffer than written" 1 "unwritten.txt:3: .*the first at most the second" verify "$scratch/unwritten.txt"

# what cannot be read is said, and the rest is judged
echo '{"ioflush_trace":1}' >"$scratch/damaged.jsonl"
head -c 900 "$hotplug" >"$scratch/broken.jsonl"
several=("$scratch/damaged.jsonl" "$hotplug" "$scratch/broken.jsonl" /nonexistent 08-unpin-overrun.jsonl)
says "unread: verify ends with 1" 1 "^  FAIL" verify "${several[@]}"
same "unread: both captures are judged" "$(grep -c ', capture 1: ' "$scratch/out")" 2
same "unread: three are named" "$(grep -cE '^ioflush verify: .*(damaged.jsonl:1|broken.jsonl:[0-9]+|nonexistent):' "$scratch/err")" 3
says "unread: verify in JSON" 1 '"result": "fail"' verify --format json "${several[@]}"
same "unread: it has a member" "$(jq -c '[(.captures | length), (.unread | map([(.trace | sub(".*/"; "")), .capture]))[]]' \
	"$scratch/out")" '[2,["damaged.jsonl",null],["broken.jsonl",1],["nonexistent",null]]'
says "unread: all of it, in JSON" 1 '"result": "incomplete"' verify --format json /nonexistent
says "unread: replay ends with 1" 1 "^sum +2 captures" replay --policy ideal --fail-on error "${several[@]}"
# wherever its lines break: paths may be long
same "unread: the report names the three" \
	"$(tr -s ' \n' ' ' <"$scratch/out" | grep -oE ' error: (/|capture 1 is left out)' | wc -l)" 3
same "unread: and standard error" "$(grep -cE '(damaged.jsonl:1|broken.jsonl:[0-9]+|nonexistent):' "$scratch/err")" 3
says "unread: no proof" 1 "^ideal: .*not proof: verify says" replay --policy ideal "$hotplug" /nonexistent
says "unread: nothing at all" 1 "^ioflush replay: /nonexistent: " replay "$scratch/damaged.jsonl" /nonexistent
same "unread: no report, two messages" "$(cat "$scratch/out" "$scratch/err" | wc -l)" 2
says "unread: too little memory is said of each" 1 "hotplug.jsonl: .*--memory" verify --memory 100 "$hotplug" 08-unpin-overrun.jsonl
same "unread: of both" "$(grep -c -- --memory "$scratch/err")" 2

# A ratio below that of ideal, which only gaps make possible, is none.
says "no ratio below ideal" 0 "^sticky-v1: .*16 re-exposed; flushes [0-9]+ pages" replay "$data/cases/reexpose.jsonl"
same "nor in the table" "$(grep -cE '^(sticky-v1|area-flag) .* -$' "$scratch/out") $(grep -cE ' 0[.][0-9]+x' "$scratch/out")" "2 0"

# what no unpin bears out
unpins='"e": ?"unpin"'
grep -vE "$unpins" "$hotplug" >"$scratch/none.jsonl"
says "no unpin at all" 6 "^  INCOMPLETE: no unpin event was recorded$" verify "$scratch/none.jsonl"
sed -E "s/($unpins)/\\1,\"caller\":\"ib_umem_release [ib_core]\"/" "$hotplug" >"$scratch/foreign.jsonl"
says "unpins of others only" 6 "^  INCOMPLETE: no unpin by iommufd was recorded, only those of others$" verify "$scratch/foreign.jsonl"
same "are of no operation" "$(grep -c 'released and not unpinned' "$scratch/out")" 0
sed -E '/"e": ?"(area_unfill|domain_remove)"/,$d' "$scratch/none.jsonl" >"$scratch/live.jsonl"
says "no page was released" 0 "^  PASS: no page was released, so no unpin was compared$" verify "$scratch/live.jsonl"

# more causes and errors than the tables have room for: the sums are right still
{
	echo '{"ioflush_trace":1,"page_size":4096}'
	for ((i = 1; i <= 40; i++)); do
		echo '{"t":'$i',"e":"lost","count":2,"cause":"cause '$i'"}'
		echo '{"t":'$i',"cpu":0,"tid":1,"e":"area_fill_end","area":"0x30","rc":-'$i'}'
	done
} >"$scratch/many.jsonl"
for form in verify replay; do
	run "$ioflush" $form --format json "$scratch/many.jsonl"
	same "$form: many causes and errors" \
		"$(jq -c '.captures[0] // . | [(.losses, .failures | length), (.losses, .failures | map(.count) | add)],
			[.losses[-1].cause, .failures[-1].rc]' "$scratch/out")" '[16,16,80,40]
["several other causes",null]'
done

tap_done "checks of given faults"
