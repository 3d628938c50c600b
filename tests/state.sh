#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# ioflush state, and --to of replay and gaps: what exists at a time, counted by hand from the cases.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools jq

hotplug=$data/cases/hotplug.jsonl

# is NAME JQ-EXPRESSION EXPECTED COMMAND...: what jq makes of the output of a command that succeeds
is() {
	local name=$1 expression=$2 expected=$3 got
	shift 3
	run "$@"
	got=$(jq -c "$expression" "$scratch/out" 2>&1) || true
	if [[ $status == 0 && $got == "$expected" ]]; then
		ok "$name"
	else
		not_ok "$name" "expected $expected, got $got; $(run_report)"
	fi
}

fails() {
	local name=$1 expected=$2
	shift 2
	run "$@"
	if [[ $status == "$expected" && ! -s $scratch/out && -s $scratch/err ]]; then
		ok "$name"
	else
		not_ok "$name" "$(run_report)"
	fi
}

state() {
	printf '%s\n' "$ioflush" state --format json "$@"
}

mapfile -t now < <(state "$hotplug")
is "nothing is left at the end" '.captures[0] | [.iopts, .domains, .partial]' '[[],[],null]' "${now[@]}"
mapfile -t at < <(state --areas --at 1000014460 "$hotplug")
is "a domain that is joining" '.captures[0].domains[0] | [.coherent, .joining, .mapped_pages, .exposed_pages]' \
	'[0,true,14,14]' "${at[@]}"
is "its iopt" '.captures[0].iopts[0] | [.domains, .noncoherent, .areas, .mapped_pages, .exposed_pages, .held_pages]' \
	'[1,1,1,14,14,0]' "${at[@]}"
is "its area" '.captures[0].areas[0] | [.iova, .last, .storage, .filling]' '["0x100000","0x10ffff",null,false]' "${at[@]}"
is "it says that it is a part" '.captures[0] | [.events, .last_t, (.partial | type)]' '[5,1000014460,"string"]' "${at[@]}"
mapfile -t at < <(state --areas --at 1000022030 "$hotplug")
is "a domain that has joined" '.captures[0] | [.domains[0].joining, .domains[0].mapped_pages, .areas[0].storage == .domains[0].domain]' \
	'[false,16,true]' "${at[@]}"
mapfile -t at < <(state --at 0 "$hotplug")
is "before the first event" '.captures[0] | [.events, .iopts]' '[0,[]]' "${at[@]}"
mapfile -t at < <(state --at 18446744073709551615 "$hotplug")
is "long after the last" '.captures[0] | [.events, .partial]' '[26,null]' "${at[@]}"

access=$data/cases/access-held.jsonl
held=$(grep -m 1 '"access_add"' "$access" | jq .t)
mapfile -t at < <(state --at "$held" "$access")
is "pages held by an access" '.captures[0].iopts[0].held_pages' 4 "${at[@]}"
is "replay --to" '[.trace.events, (.health.partial | type)]' '[5,"string"]' \
	"$ioflush" replay --format json --to 1000014460 "$hotplug"
is "replay --to after the end is the whole" '[.trace.events, .health.partial]' '[26,null]' \
	"$ioflush" replay --format json --to 1000060252 "$hotplug"
is "gaps --to" '[.summary.pages.leak, (.summary.partial | type)]' '[14,"string"]' \
	"$ioflush" gaps --policy none --format json --to 1000014460 "$hotplug"
fails "gaps --to needs a time" 2 "$ioflush" gaps --policy none --to soon "$hotplug"
fails "replay --to needs a time" 2 "$ioflush" replay --to soon "$hotplug"
fails "state --at needs a time" 2 "$ioflush" state --at soon "$hotplug"
fails "state needs a trace" 2 "$ioflush" state
fails "state of nothing" 1 "$ioflush" state /nonexistent
run "$ioflush" state --at 1000022030 "$hotplug"
if [[ $status == 0 ]] && grep -q "non-coherent, device unknown, 16 pages mapped, 16 exposed" "$scratch/out"; then
	ok "as text"
else
	not_ok "as text" "$(run_report)"
fi
# what a trace holds must not steer the terminal: as \u escapes in JSON, as '?' in text
{
	printf '{"ioflush_trace":1,"page_size":4096,"host":"a\\u001b]0;x\\u0007b","clock":"mono"}\n'
	printf '{"t":1,"cpu":0,"tid":1,"e":"attach","hwpt":"0x3","domain":"0x2","device":"\\u001b]0;x\\u0007\\u009b1m"}\n'
	printf '{"t":2,"cpu":0,"tid":1,"e":"domain_add","iopt":"0x1","domain":"0x2","coherent":0}\n'
	printf '{"t":3,"cpu":0,"tid":1,"e":"domain_add_end","iopt":"0x1","domain":"0x2","rc":0}\n'
} >"$scratch/steer.jsonl"
run "$ioflush" state "$scratch/steer.jsonl"
if [[ $status == 0 ]] && grep -qF 'device ?]0;x???1m,' "$scratch/out" && ! grep -q $'[\x01-\x08\x0b-\x1f\x7f\x9b]' "$scratch/out"; then
	ok "a device's name does not steer the terminal"
else
	not_ok "a device's name does not steer the terminal" "$(run_report)"
fi
run env IOFLUSH_PROGRESS=lines "$ioflush" replay "$hotplug"
if [[ $status == 0 ]] && ! grep -v '^progress ' "$scratch/err"; then
	ok "IOFLUSH_PROGRESS=lines prints nothing else"
else
	not_ok "IOFLUSH_PROGRESS=lines prints nothing else" "$(run_report)"
fi
tap_done checks
