# SPDX-License-Identifier: GPL-2.0-or-later
# What the test scripts share: TAP output for automake, a scratch folder, one command with its three results.
# Sourced, never run. Wants IOFLUSH (the program) and IOFLUSH_TEST_DATA; in a checkout it finds ./build itself.
# shellcheck shell=bash disable=SC2034

export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ioflush=${IOFLUSH:-$here/../build/ioflush}
data=${IOFLUSH_TEST_DATA:-$here/data}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ioflush-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

tap_count=0
tap_failed=0

ok() {
	tap_count=$((tap_count + 1))
	printf 'ok %d - %s\n' "$tap_count" "$1"
}

# not_ok NAME [TEXT]: text becomes diagnostics
not_ok() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' "$tap_count" "$1"
	if [[ -n ${2-} ]]; then
		printf '%s\n' "$2" | head -n 40 | sed 's/^/#   /'
	fi
}

skip() {
	tap_count=$((tap_count + 1))
	printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$1" "$2"
}

# Ends the script: the plan, the summary, the exit status.
tap_done() {
	printf '1..%d\n' "$tap_count"
	if ((tap_failed > 0)); then
		printf '# %d of %d failed\n' "$tap_failed" "$tap_count"
		exit 1
	fi
	printf '# PASS: %d %s\n' "$tap_count" "$1"
	exit 0
}

# need_tools TOOL...: without one of them the whole script is skipped, with words
need_tools() {
	local tool
	for tool; do
		if ! command -v "$tool" >/dev/null; then
			printf '1..0 # SKIP %s not found: apt-get install %s\n' "$tool" "$tool"
			exit 0
		fi
	done
}

# run COMMAND...: leaves its exit status in $status and what it printed in $scratch/out and $scratch/err
run() {
	status=0
	"$@" >"$scratch/out" 2>"$scratch/err" || status=$?
}

# A run that came to grief, for not_ok
run_report() {
	printf 'exit status %d\n' "$status"
	printf 'standard output:\n'
	head -c 2000 "$scratch/out"
	printf '\nstandard error:\n'
	head -c 4000 "$scratch/err"
}

# The numbers that a report must hold, and how many of them differ: "path: expected N, got M" a line. An expected file
# without numbers is a failure of its own.
# shellcheck disable=SC2016
differences='
	$want[0] as $w | $got[0] as $g
	| [$w.policies | paths(numbers)] as $paths
	| if ($paths | length) < 9 then "the expected file has no numbers" else empty end,
	  ($paths[] | . as $p | ($w.policies | getpath($p)) as $a | ($g.policies | getpath($p)) as $b
	   | select($a != $b) | "\($p | join(".")): expected \($a), got \($b)")'

# compare NAME EXPECTED [MORE]: the report in $scratch/out; MORE is a command that says more of a difference. Needs jq.
compare() {
	local diff
	if ((status != 0)); then
		not_ok "$1" "$(run_report)"
	elif ! diff=$(jq -rn --slurpfile want "$2" --slurpfile got "$scratch/out" "$differences" 2>&1); then
		not_ok "$1" "$diff"
	elif [[ -n $diff ]]; then
		not_ok "$1" "$diff${3:+; $("$3")}"
	else
		ok "$1"
	fi
}
