#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the commands say of a recording that began in mid-life: a whole trace without its first events. The same trace as
# a whole is beside it: nothing of this may show there.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools jq

whole=$scratch/whole.jsonl
part=$scratch/part.jsonl
run "$ioflush" generate --seed 4 --events 3000 --shape churn -o "$whole"
{
	head -n 1 "$whole" | sed 's/"events":[^,}]*/"note":"cut"/'
	tail -n +502 "$whole"
} >"$part"

# says NAME STATUS PATTERN COMMAND...: the command's exit status, and what its output as one line has
says() {
	local name=$1 expected=$2 pattern=$3
	shift 3
	run "$@"
	if [[ $status == "$expected" ]] && cat "$scratch/out" "$scratch/err" | tr -s '\n ' ' ' | grep -qE -- "$pattern"; then
		ok "$name"
	else
		not_ok "$name" "no '$pattern' with status $expected; $(run_report)"
	fi
}

# silent NAME COMMAND...: it succeeds and says nothing of all this
silent() {
	local name=$1
	shift
	run "$@"
	if [[ $status == 0 ]] && ! cat "$scratch/out" "$scratch/err" | grep -qiE 'mid-?life|uncertain|certain gap'; then
		ok "$name"
	else
		not_ok "$name" "$(run_report)"
	fi
}

# is NAME JQ-EXPRESSION COMMAND...: what jq says is true of the output
is() {
	local name=$1 expression=$2
	shift 2
	run "$@"
	if [[ $(jq -c "$expression" "$scratch/out" 2>&1) == true ]]; then
		ok "$name"
	else
		not_ok "$name" "$expression is not true; $(run_report)"
	fi
}

silent "replay of the whole" "$ioflush" replay "$whole"
silent "gaps of the whole" "$ioflush" gaps --policy none "$whole"
silent "verify of the whole" "$ioflush" verify "$whole"
silent "state of the whole" "$ioflush" state "$whole"
silent "explain of the whole" "$ioflush" explain --pfn 0x100000 "$whole"

says "replay: the paragraph" 0 'midlife the recording began in mid-life: 2 iopts, [0-9]+ domains, [0-9]+ areas, [0-9]+ objects \(iopt_pages\) are older than the recording; event [0-9]+ \([a-z_]+ at 1\.[0-9]+\) is the first to show it\..*start recording before the first device is attached' \
	"$ioflush" replay "$part"
says "replay: the verdict" 0 'none: no certain gap; uncertain: [0-9,]+ leak \([0-9,]+ if new\), [0-9,]+ release' "$ioflush" replay "$part"
says "replay: the verdict without gaps" 0 'ideal: no certain gap; the lower bound' "$ioflush" replay "$part"
says "replay: missing unpins are explained" 0 'verify INCOMPLETE: the recording began in mid-life.* [0-9,]+ unpins derived, .*pinned before the recording began' "$ioflush" replay "$part"
is "replay: JSON, every gap is uncertain" '[.policies[] | .gaps == .uncertain] | all' "$ioflush" replay --format json "$part"
is "replay: JSON, some are if new, and no more than there are" \
	'(.policies.none.if_new.leak > 0) and ([.policies[] | [.uncertain, .if_new] | (.[0] | to_entries[]) as $u | .[1][$u.key] <= $u.value] | all)' \
	"$ioflush" replay --format json "$part"
is "replay: JSON, the first event" '.trace.captures[0].midlife | .event > 0 and (.name | length) > 0 and .t > 0' \
	"$ioflush" replay --format json "$part"
is "replay: JSON, the whole has none" '(.trace.captures[0].midlife == null) and ([.policies[] | .uncertain[], .if_new[]] | add == 0)' \
	"$ioflush" replay --format json "$whole"
is "replay: two captures, one of them whole: only its gaps are certain" \
	'(.policies.none.gaps.leak > .policies.none.uncertain.leak) and .policies.none.uncertain.leak > 0' \
	"$ioflush" replay --format json "$whole" "$part"
says "replay: two captures, which of them it is" 0 'the recording of capture 2 here began in mid-life' "$ioflush" replay "$whole" "$part"
says "CSV has the columns" 0 'uncertain_leak,.*if_new_access,.*,judged none,' "$ioflush" replay --format csv --policy none "$part"

says "--fail-on: uncertain gaps do not count, but prove nothing" 6 'none has uncertain leak gaps of .*not counted without --fail-on-uncertain' \
	"$ioflush" replay --policy none --fail-on leak "$part"
says "--fail-on-uncertain: they do" 3 'none has uncertain leak gaps' \
	"$ioflush" replay --policy none --fail-on leak --fail-on-uncertain "$part"
says "--fail-on: certain ones count" 3 '--fail-on: none has leak gaps' "$ioflush" replay --policy none --fail-on leak "$whole"

says "gaps: a finding is marked" 0 'leak \(uncertain error\).* uncertain the recording began in mid-life: of [0-9,]+ pages?,' \
	"$ioflush" gaps --policy none "$part"
says "gaps: the summary" 0 'SUMMARY: none: .*; [0-9]+ uncertain' "$ioflush" gaps --policy none "$part"
is "gaps: JSON" '([.findings[].uncertain] | all) and ([.findings[].if_new_pages] | add) == ([.summary.if_new_pages[]] | add) and .summary.uncertain == .summary.findings and .summary.midlife.event > 0' \
	"$ioflush" gaps --policy none --format json "$part"
pages=$(jq -c .summary.if_new_pages "$scratch/out")
is "gaps and replay count the same" ".policies.none.if_new == $pages" "$ioflush" replay --format json "$part"

says "verify: neither PASS nor FAIL" 6 'invariants: not all hold; .* midlife .* INCOMPLETE: the recording began in mid-life' "$ioflush" verify "$part"
run "$ioflush" verify --format json "$part"
if ((status == 6)) && jq -e '.result == "incomplete" and .captures[0].midlife.event > 0 and .captures[0].broken == []' \
	"$scratch/out" >/dev/null; then
	ok "verify: JSON"
else
	not_ok "verify: JSON" "$(run_report)"
fi
says "state says that there may be more" 0 'began in mid-life, so more objects may exist: 2 iopts' "$ioflush" state "$part"
is "state: JSON" '.captures[0].midlife.name | length > 0' "$ioflush" state --format json "$part"
says "explain says it" 0 'MID-LIFE: no gap is certain: .* SUMMARY' "$ioflush" explain --pfn 0x100000 "$part"
is "explain: JSON" '.midlife.event > 0' "$ioflush" explain --pfn 0x100000 --format json "$part"
tap_done checks
