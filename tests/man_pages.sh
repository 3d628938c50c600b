#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual and the program say the same: every command has a page and stands in ioflush --help, every page is clean,
# and has every option that the command's --help names; so has the completion of bash. ioflushd(8) explains every cause of
# loss, and no other.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools mandoc

man=$here/../man
commands=(replay gaps explain state verify import export recover policies calibrate generate)

# The long options in a text, one a line
options_in() {
	grep -oE -- '--[a-z][a-z-]*[a-z]' "$1" | sort -u
}

lint() {
	local page=$1 name=${1##*/}
	if mandoc -T lint -W warning "$page" >"$scratch/out" 2>&1; then
		ok "$name is clean"
	else
		not_ok "$name is clean" "$(cat "$scratch/out")"
	fi
}

# The page as a reader sees it
render() {
	mandoc -T ascii -O width=300 "$1" | sed $'s/.\b//g'
}

compare_options() {
	local command=$1 page=$man/ioflush-$1.1 diff
	run "$ioflush" "$command" --help
	options_in "$scratch/out" >"$scratch/help" || true
	render "$page" >"$scratch/page"
	options_in "$scratch/page" >"$scratch/named" || true
	diff=$(comm -23 "$scratch/help" <(sort -u "$scratch/named" <(printf -- '--help\n')))
	if [[ $status == 0 && -s $scratch/help && -z $diff ]]; then
		ok "$command: the page has every option of --help"
	else
		not_ok "$command: the page has every option of --help" "not in the page: $diff"
	fi
}

# completed WORD...: what bash offers for the last of these words, one a line
completed() {
	bash -c 'source "$1" && shift && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && _ioflush && printf "%s\n" "${COMPREPLY[@]}"' \
		- "$(dirname "$ioflush")/completions/ioflush" "$@"
}

# is_offered NAME WANTED WORD...: WANTED is what is offered for these words, sorted
is_offered() {
	local name=$1 wanted=$2 got
	shift 2
	got=$(completed "$@" | sort -u) || true
	if [[ $got == "$wanted" ]]; then
		ok "bash offers $name"
	else
		not_ok "bash offers $name" "$(diff <(echo "$wanted") <(echo "$got"))"
	fi
}

# The causes of loss that schema/losses.def has, and those that ioflushd(8) explains, each sorted, one a line
causes_of_loss() {
	sed -nE 's/^(RING|WRITER)_LOSS\([A-Z]+, [a-z]+, "([^"]+)".*/\2/p' "$here/../schema/losses.def" | sort
}
explained_causes() {
	sed -n '/^\.Ss What can be lost/,/^\.El/s/^\.It //p' "$man/ioflushd.8" | sort
}

compare_causes() {
	local diff
	# retention deletes what was recorded: the page explains it, but it is no line of the table
	diff=$(diff <(causes_of_loss) <(explained_causes | grep -vx retention)) || true
	if [[ -n $(causes_of_loss) && -z $diff ]]; then
		ok "ioflushd(8) explains every cause of loss"
	else
		not_ok "ioflushd(8) explains every cause of loss" "$diff"
	fi
}

# ioflush-replay(1) names every counter of health
compare_counters() {
	local names name missing=''
	names=$(sed -nE 's/^HEALTH\(([a-z_]+),.*/\1/p' "$here/../schema/health.def")
	for name in $names; do
		grep -qE "^\.Cm $name( |\$)" "$man/ioflush-replay.1" || missing+="$name "
	done
	if [[ -n $names && -z $missing ]]; then
		ok "ioflush-replay(1) names every counter of health"
	else
		not_ok "ioflush-replay(1) names every counter of health" "not there: $missing"
	fi
}

lint "$man/ioflush.1"
compare_causes
compare_counters
main_help=$("$ioflush" --help) || true
for command in "${commands[@]}"; do
	lint "$man/ioflush-$command.1"
	compare_options "$command"
	if grep -qE "^ +$command( |\$)" <<<"$main_help"; then
		ok "$command stands in ioflush --help"
	else
		not_ok "$command stands in ioflush --help"
	fi
	is_offered "the options of $command" "$("$ioflush" "$command" --help | grep -E '^ +-' | options_in -)" \
		"$ioflush" "$command" --
done
is_offered "the commands" "$(printf '%s\n' "${commands[@]}" | grep ^re | sort)" "$ioflush" re
is_offered "the formats of replay" $'csv\njson\ntext' "$ioflush" replay --format ''
is_offered "the formats of gaps" $'json\ntext' "$ioflush" gaps --format ''
is_offered "the policies" $'sticky-always\nsticky-max\nsticky-v1' "$ioflush" gaps --policy sti
tap_done checks
