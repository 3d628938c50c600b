#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every case and recording in tests/data, replayed, gives exactly the numbers beside it: as it is, from standard input,
# from a database, from the database's export, and from a database made of that export. What each comparison looks at
# is what the expected file has.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools jq

replay() {
	run "$ioflush" replay --format json "$@"
}

# step NAME COMMAND...: a command that must succeed for what follows
step() {
	local name=$1
	shift
	run "$@"
	if ((status != 0)); then
		not_ok "$name" "$(run_report)"
		return 1
	fi
}

same() {
	if cmp -s "$2" "$3"; then
		ok "$1"
	else
		not_ok "$1" "$(cmp "$2" "$3" 2>&1)"
	fi
}

# The file with the expected numbers of a recording: its own, or for the text of a report that of the recording.
expected_of() {
	case $1 in
	*.jsonl) printf '%s' "${1%.jsonl}.expected.json" ;;
	*.report.txt) printf '%s' "${1%.report.txt}.dat.expected.json" ;;
	*) printf '%s' "$1.expected.json" ;;
	esac
}

# Through every form and back. The direct report is compared as a whole with that of the export: nothing was lost.
check_trace() {
	local file=$1 name=${1#"$data"/} expected db=$scratch/t.db back=$scratch/back.db
	expected=$(expected_of "$file")
	rm -f "$db" "$back" "$scratch"/*.jsonl

	replay "$file"
	compare "$name" "$expected"

	replay - <"$file"
	compare "$name: standard input" "$expected"

	step "$name: import" "$ioflush" import "$file" -o "$db" || return 0
	replay "$db"
	compare "$name: import" "$expected"

	step "$name: export" "$ioflush" export "$db" -o "$scratch/a.jsonl" || return 0
	step "$name: export" "$ioflush" export "$db" -o "$scratch/b.jsonl" || return 0
	same "$name: export, repeated, gives the same bytes" "$scratch/a.jsonl" "$scratch/b.jsonl"

	replay "$scratch/a.jsonl"
	compare "$name: export" "$expected"

	step "$name: import of the export" "$ioflush" import "$scratch/a.jsonl" -o "$back" || return 0
	replay "$back"
	compare "$name: import of the export" "$expected"
	step "$name: export again" "$ioflush" export "$back" -o "$scratch/c.jsonl" || return 0
	same "$name: export of that gives the same bytes" "$scratch/a.jsonl" "$scratch/c.jsonl"
}

# The table in traces/README.md: mapped, unpinned, missing, peak exposed; and the kernel's own unpins bear the model out.
check_totals() {
	local recording mapped unpinned missing peak want got
	# shellcheck disable=SC2016
	while read -r recording mapped unpinned missing peak; do
		replay "$data/traces/$recording"
		want="$mapped $unpinned $missing $peak"
		got=$(jq -r '[.trace.mapped_pages, .trace.unpinned_pages, .verify.derived_unpins_missing_in_kernel,
			.trace.peak_exposed_pages] | map(tostring) | join(" ")' "$scratch/out" 2>&1) || true
		if [[ $want == "$got" ]]; then
			ok "$recording: mapped, unpinned, missing, peak exposed"
		else
			not_ok "$recording: mapped, unpinned, missing, peak exposed" "expected $want, got $got"
		fi
		recordings=$((recordings + 1))
	done < <(sed -n 's/^| `\([^`]*\)` | \([0-9]*\) | \([0-9]*\) | \([0-9]*\) | \([0-9]*\) |$/\1 \2 \3 \4 \5/p' \
		"$data/traces/README.md")
}

# What the page-by-page program says beside the policies of a recording of the guest: pages and unpins.
check_naive_totals() {
	local name=${1##*/} want got
	want=$(jq -c '.totals | [.mapped_pages, .unpinned_pages, .peak_exposed, .derived_unpins, .kernel_unpins,
		.missing_in_kernel, .not_derived]' "$(expected_of "$1")" 2>&1) || true
	replay "$1"
	got=$(jq -c '[.trace.mapped_pages, .trace.unpinned_pages, .trace.peak_exposed_pages, .verify.derived_unpins,
		.verify.kernel_unpins, .verify.derived_unpins_missing_in_kernel, .verify.kernel_unpins_not_derived]' \
		"$scratch/out" 2>&1) || true
	if [[ -n $want && $want == "$got" ]]; then
		ok "$name: mapped, unpinned, peak exposed, and unpins against the kernel's"
	else
		not_ok "$name: mapped, unpinned, peak exposed, and unpins against the kernel's" "expected $want, got $got"
	fi
	guest_recordings=$((guest_recordings + 1))
}

# Several sources in one database are as many captures, in order, and their counts add up.
check_several() {
	local db=$scratch/several.db a=$data/cases/hotplug.jsonl b=$data/cases/split.jsonl c=$data/traces/churn-small.trace
	local sum got
	step "several sources: import" "$ioflush" import "$a" "$b" "$c" -o "$db" || return 0
	replay "$db"
	got=$(jq '.trace.captures | length' "$scratch/out" 2>&1) || true
	if [[ $got == 3 ]]; then
		ok "three sources in one database are three captures"
	else
		not_ok "three sources in one database are three captures" "$got; $(run_report)"
	fi
	sum=$(jq -s '[.[].policies."sticky-v1".flush_pages] | add' "$(expected_of "$a")" "$(expected_of "$b")" \
		"$(expected_of "$c")")
	got=$(jq '.policies."sticky-v1".flush_pages' "$scratch/out" 2>&1) || true
	if [[ $got == "$sum" ]]; then
		ok "their counts add up"
	else
		not_ok "their counts add up" "expected $sum, got $got"
	fi
	mv "$scratch/out" "$scratch/one.json"
	replay "$a" "$b" "$c"
	jq -S .policies "$scratch/out" >"$scratch/x.json" || true
	jq -S .policies "$scratch/one.json" >"$scratch/y.json" || true
	same "three traces on one command line give the same" "$scratch/x.json" "$scratch/y.json"
}

check_deterministic() {
	local format
	for format in text json csv; do
		run "$ioflush" replay --format "$format" "$data/traces/churn-small.trace"
		mv "$scratch/out" "$scratch/first"
		run "$ioflush" replay --format "$format" "$data/traces/churn-small.trace"
		if ((status == 0)); then
			same "the $format report, repeated, is the same bytes" "$scratch/first" "$scratch/out"
		else
			not_ok "the $format report, repeated, is the same bytes" "$(run_report)"
		fi
	done
}

traces=0 recordings=0
for file in "$data"/cases/*.jsonl "$data"/recordings/*.jsonl "$data"/traces/*.dat "$data"/traces/*.trace "$data"/traces/*.report.txt; do
	if [[ -e $file ]]; then
		check_trace "$file"
		traces=$((traces + 1))
	fi
done
guest_recordings=0
for file in "$data"/recordings/*.jsonl; do
	check_naive_totals "$file"
done
check_totals
check_several
check_deterministic

# Were the data not found, nothing above would have failed.
if ((traces >= 37 && recordings == 4 && guest_recordings >= 8)); then
	ok "all cases and recordings were there"
else
	not_ok "all cases and recordings were there" "$traces traces, $recordings and $guest_recordings recordings under $data"
fi
tap_done comparisons
