#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bad input by the command line: each gets its exit status and a message that names the file and the place, nothing on
# standard output that looks like a report, and with --allow-partial a report that says that it is a part.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tools jq sqlite3

# bad NAME STATUS PATTERN ARGUMENT...: ioflush with these arguments ends so, says on standard error what the pattern
# (grep -E, any case) wants, and prints nothing.
bad() {
	local name=$1 want=$2 pattern=$3 why=
	shift 3
	run "$ioflush" "$@" </dev/null
	if ((status != want)); then
		why="exit status $status, expected $want"
	elif ! grep -qiE -- "$pattern" "$scratch/err"; then
		why="no message like: $pattern"
	elif [[ -s $scratch/out ]]; then
		why="something on standard output"
	fi
	verdict "$name" "$why"
}

# good NAME FILTER ARGUMENT...: ioflush replay --format json ends well, and the filter (jq) says true of the report.
good() {
	local name=$1 filter=$2 why=
	shift 2
	run "$ioflush" replay --format json "$@"
	if ((status != 0)); then
		why="exit status $status, expected 0"
	elif [[ $(jq "$filter" "$scratch/out" 2>&1) != true ]]; then
		why="the report does not hold: $filter"
	fi
	verdict "$name" "$why"
}

# says NAME PATTERN COMMAND...: it ends well, and a line of what it prints is like the pattern (grep -E)
says() {
	local name=$1 pattern=$2 why=
	shift 2
	run "$@"
	if ((status != 0)); then
		why="exit status $status, expected 0"
	elif ! grep -qE -- "$pattern" "$scratch/out"; then
		why="no line like: $pattern"
	fi
	verdict "$name" "$why"
}

# partial NAME FILE [FILTER]: with --allow-partial a report, in both forms, that says partial
partial() {
	local name=$1 file=$2 filter=${3:-true}
	good "$name, --allow-partial" ".health.partial != null and .trace.captures[-1].partial != null and ($filter)" \
		--allow-partial "$file"
	run "$ioflush" replay --allow-partial "$file"
	if ((status == 0)) && grep -qi partial "$scratch/out"; then
		verdict "$name, --allow-partial: the text says so" ""
	else
		verdict "$name, --allow-partial: the text says so" "no report, or one that looks whole"
	fi
}

# partial_or_nothing NAME FILE: so much may be gone that there is nothing to report; never a report that looks whole
partial_or_nothing() {
	run "$ioflush" replay --format json --allow-partial "$2"
	if ((status == 1)) && [[ ! -s $scratch/out && -s $scratch/err ]]; then
		verdict "$1, --allow-partial: nothing to report, and it says so" ""
	elif ((status == 0)) && [[ $(jq '.health.partial != null' "$scratch/out" 2>&1) == true ]]; then
		verdict "$1, --allow-partial: a report that says partial" ""
	else
		verdict "$1, --allow-partial" "neither an error nor a report that says partial"
	fi
}

verdict() {
	if [[ -z $2 ]]; then
		ok "$1"
	else
		not_ok "$1" "$2"$'\n'"$(run_report)"
	fi
}

size_of() {
	stat -c %s "$1"
}

# cut_at FILE PERCENT TO
cut_at() {
	head -c $(($(size_of "$1") * $2 / 100)) "$1" >"$3"
}

# overwrite FILE OFFSET COUNT: noise over a part of a file, the same each time
overwrite() {
	awk -v n="$3" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 33 + (i * 7919) % 90 }' |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- files that are none

check_files() {
	bad "a missing file" 1 "no-such\.dat.*no such file" replay "$scratch/no-such.dat"
	mkdir "$scratch/folder"
	bad "a folder" 1 "folder.*(folder|directory)" replay "$scratch/folder"
	: >"$scratch/empty"
	bad "an empty file" 1 "/empty:.*empty" replay "$scratch/empty"
	bad "empty standard input" 1 "empty" replay -
	bad "a file that cannot be read" 1 "/proc/self/mem.*(error|cannot)" replay /proc/self/mem
	if ((EUID == 0)); then
		skip "a file without permission" "root may read anything"
	else
		cp "$data/cases/split.jsonl" "$scratch/secret"
		chmod 0 "$scratch/secret"
		bad "a file without permission" 1 "secret.*permission denied" replay "$scratch/secret"
	fi
	bad "a program" 1 "/bash.*ELF" replay "$(command -v bash)"
	printf 'once upon a time\n' >"$scratch/prose"
	bad "prose" 1 "/prose:.*format" replay "$scratch/prose"
	gzip -c "$data/cases/split.jsonl" >"$scratch/packed"
	bad "a compressed file" 1 "/packed:.*gzip" replay "$scratch/packed"
	for command in gaps explain verify import export; do
		case $command in
		gaps) options=(--policy none) ;;
		explain) options=(--pfn 1) ;;
		import) options=(-o "$scratch/unmade.db") ;;
		export) options=(-o "$scratch/unmade.jsonl") ;;
		*) options=() ;;
		esac
		bad "$command: a missing file" 1 "no-such" "$command" "$scratch/no-such" "${options[@]}"
		bad "$command: an empty file" 1 "/empty" "$command" "$scratch/empty" "${options[@]}"
	done
	if [[ -e $scratch/unmade.db || -e $scratch/unmade.jsonl ]]; then
		not_ok "what could not be read leaves no output file" "$(ls "$scratch")"
	else
		ok "what could not be read leaves no output file"
	fi
}

# --- trace.dat

check_tracedat() {
	local version percent file
	cp "$data/traces/vmboot-nonsnoop.dat" "$scratch/v7.dat"
	if command -v trace-cmd >/dev/null && trace-cmd convert -i "$scratch/v7.dat" -o "$scratch/v6.dat" \
		--file-version 6 --compression none >/dev/null 2>&1; then
		replay_equal "$scratch/v7.dat" "$scratch/v6.dat"
	else
		skip "trace.dat of version 6" "no trace-cmd, or one that cannot convert"
	fi
	for version in v6 v7; do
		[[ -e $scratch/$version.dat ]] || continue
		for percent in 0 1 30 60 90 99; do
			file=$scratch/$version-cut-$percent.dat
			cut_at "$scratch/$version.dat" "$percent" "$file"
			((percent > 0)) || head -c 11 "$scratch/$version.dat" >"$file"
			bad "$version cut off at $percent %" 1 "$version-cut-$percent\.dat" replay "$file"
			partial_or_nothing "$version cut off at $percent %" "$file"
		done
		for percent in 1 20 50 80; do
			file=$scratch/$version-damaged-$percent.dat
			cp "$scratch/$version.dat" "$file"
			overwrite "$file" $(($(size_of "$file") * percent / 100)) 2000
			run "$ioflush" replay --format json "$file"
			# noise may hit what nobody reads, but then the numbers are those of the whole
			if ((status == 1)) && [[ ! -s $scratch/out ]] && grep -q "$version-damaged" "$scratch/err"; then
				ok "$version damaged at $percent %"
			elif ((status == 0)) && cmp -s <(jq -S .policies "$scratch/out") <(jq -S .policies "$scratch/whole.json"); then
				ok "$version damaged at $percent %: nothing that counts"
			else
				not_ok "$version damaged at $percent %" "$(run_report)"
			fi
			partial_or_same "$version damaged at $percent %" "$file"
		done
	done
	printf '\027\010Dtracing99\0\0' >"$scratch/future.dat"
	head -c 5000 /dev/zero >>"$scratch/future.dat"
	bad "a trace.dat of a version to come" 1 "future\.dat" replay "$scratch/future.dat"
}

replay_equal() {
	"$ioflush" replay --format json "$1" >"$scratch/whole.json" 2>/dev/null || true
	run "$ioflush" replay --format json "$2"
	if ((status == 0)) && cmp -s <(jq -S .policies "$scratch/out") <(jq -S .policies "$scratch/whole.json"); then
		ok "trace.dat of version 6 gives what version 7 gives"
	else
		not_ok "trace.dat of version 6 gives what version 7 gives" "$(run_report)"
	fi
}

partial_or_same() {
	run "$ioflush" replay --format json --allow-partial "$2"
	if ((status == 0)) && cmp -s <(jq -S .policies "$scratch/out") <(jq -S .policies "$scratch/whole.json"); then
		ok "$1, --allow-partial: the whole"
	else
		partial_or_nothing "$1" "$2"
	fi
}

# --- databases

check_database() {
	local db=$scratch/t.db percent
	run "$ioflush" import "$data/cases/generated-12.jsonl" -o "$db"
	if ((status != 0)) || ! sqlite3 "$db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null; then
		not_ok "a database to damage" "$(run_report)"
		return
	fi
	for percent in 1 50 90; do
		cut_at "$db" "$percent" "$scratch/cut-$percent.db"
		bad "a database cut off at $percent %" 1 "cut-$percent\.db" replay "$scratch/cut-$percent.db"
		partial_or_nothing "a database cut off at $percent %" "$scratch/cut-$percent.db"
	done
	cp "$db" "$scratch/damaged.db"
	overwrite "$scratch/damaged.db" $(($(size_of "$db") / 2)) 9000
	bad "a damaged database" 1 "damaged\.db" replay "$scratch/damaged.db"
	cp "$db" "$scratch/newer.db"
	sqlite3 "$scratch/newer.db" 'PRAGMA user_version = 999'
	bad "a database from a newer version" 1 "newer\.db.*(999|newer)" replay "$scratch/newer.db"
	bad "a database from a newer version, export" 1 "newer\.db.*(999|newer)" export "$scratch/newer.db" \
		-o "$scratch/n.jsonl"
	bad "a database from a newer version, import into" 1 "newer\.db.*(999|newer)" \
		import "$data/cases/split.jsonl" -o "$scratch/newer.db"
	sqlite3 "$scratch/other.db" 'CREATE TABLE events (name TEXT)'
	bad "somebody else's database" 1 "other\.db" replay "$scratch/other.db"
	bad "somebody else's database, import into" 1 "other\.db" import "$data/cases/split.jsonl" -o "$scratch/other.db"
	head -c 4096 "$data/traces/churn-small.trace" >"$scratch/text.db"
	bad "import into a file that is no database" 1 "text\.db" import "$data/cases/split.jsonl" -o "$scratch/text.db"
}

# One capture of three is damaged: the others are reported on, and it is told which one is missing.
check_left_out() {
	local db=$scratch/three.db name why=
	for name in hotplug prefer split; do
		run "$ioflush" import "$data/cases/$name.jsonl" -o "$db"
	done
	sqlite3 "$db" 'UPDATE event SET t = t + 1 WHERE id = (SELECT first_event + 3 FROM capture WHERE id = 2)'
	run "$ioflush" replay --format json "$db"
	if ((status != 1)); then
		why="exit status $status, expected 1"
	elif ! grep -q 'capture 2 is left out: .*three\.db: .*the database is damaged' "$scratch/err"; then
		why="the message does not say which, and why"
	elif [[ $(jq -c '[.trace.captures[].capture]' "$scratch/out") != '[1,3]' ]]; then
		why="the report is not about the other two"
	elif [[ $(jq '.health.partial | contains("capture 2 is left out")' "$scratch/out") != true ]]; then
		why="the report looks whole"
	fi
	verdict "a damaged capture among others is left out" "$why"
	good "the same, --allow-partial: all three" '[.trace.captures[] | .partial != null] == [false, true, false]' \
		--allow-partial "$db"
	bad "the same, that capture alone" 1 "three\.db.*damaged" replay --capture 2 "$db"
	bad "a broken trace, and no other" 1 "broken\.jsonl:2" replay "$(printf '%s\n' \
		'{"ioflush_trace":1,"page_size":4096}' 'x' >"$scratch/broken.jsonl"; echo "$scratch/broken.jsonl")"
}

# --- JSON Lines: line 10 of a good trace is replaced

json_case() {
	local name=$1 pattern=$2 line=$3 file=$scratch/bad.jsonl
	head -n 9 "$data/cases/split.jsonl" >"$file"
	printf '%s\n' "$line" >>"$file"
	tail -n +11 "$data/cases/split.jsonl" >>"$file"
	bad "JSON: $name" 1 "bad\.jsonl:10:.*($pattern)" replay "$file"
	partial "JSON: $name" "$file" '.health.partial | contains("bad.jsonl:10")'
}

check_json() {
	local at='"t":9000000000,"cpu":0,"tid":1'
	local map="$at,\"e\":\"map\",\"domain\":\"0x10\""
	local fill="$at,\"e\":\"area_fill\",\"area\":\"0x1\",\"pages\":\"0x2\",\"iopt\":\"0x3\",\"page_offset\":0"
	local file=$scratch/cut.jsonl

	cut_at "$data/cases/generated-11.jsonl" 50 "$file"
	bad "JSON cut off" 1 "cut\.jsonl:[0-9]+" replay "$file"
	partial "JSON cut off" "$file" '.trace.events > 100'
	run "$ioflush" replay - <"$file"
	if ((status == 1)) && [[ ! -s $scratch/out ]] && grep -qE ':[0-9]+' "$scratch/err"; then
		ok "JSON cut off, standard input"
	else
		not_ok "JSON cut off, standard input" "$(run_report)"
	fi

	json_case "no object" "." "[1, 2]"
	json_case "not JSON at all" "." "{nonsense"
	json_case "NUL bytes" "." '{"t":1\u0000'
	json_case "an unknown event" "frobnicate" "{$at,\"e\":\"frobnicate\"}"
	json_case "no event name" "\be\b" "{$at}"
	json_case "no time" "\bt\b" '{"cpu":0,"tid":1,"e":"detach"}'
	json_case "a field that is missing" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\"}"
	json_case "a field of the wrong type" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":[]}"
	json_case "a number that is none" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":\"many\"}"
	json_case "a number too large" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":\"0x10000000000000000\"}"
	json_case "a fraction" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":4096.5}"
	json_case "size 0" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":\"0x0\"}"
	json_case "size 2^63" "size" "{$map,\"iova\":\"0x0\",\"paddr\":\"0x1000\",\"size\":\"0x8000000000000000\"}"
	json_case "a map that wraps" "iova" "{$map,\"iova\":\"0xfffffffffffff000\",\"paddr\":\"0x1000\",\"size\":\"0x2000\"}"
	json_case "an unmap that wraps" "iova" \
		"{$at,\"e\":\"unmap\",\"domain\":\"0x10\",\"iova\":\"0xfffffffffffff000\",\"size\":\"0x2000\"}"
	json_case "an unmap of size 0" "size" "{$at,\"e\":\"unmap\",\"domain\":\"0x10\",\"iova\":\"0x0\",\"size\":0}"
	json_case "an unmap of size 2^63" "size" \
		"{$at,\"e\":\"unmap\",\"domain\":\"0x10\",\"iova\":\"0x0\",\"size\":\"0x8000000000000000\"}"
	json_case "an area that wraps" "last" "{$fill,\"iova\":\"0x2000\",\"last\":\"0x1fff\",\"first\":0,\"last_index\":0}"
	json_case "an area whose indexes do not fit" "last_index" \
		"{$fill,\"iova\":\"0x2000\",\"last\":\"0x2fff\",\"first\":0,\"last_index\":7}"
	json_case "an unpin of 0 pages" "npages" "{$at,\"e\":\"unpin\",\"pfn\":\"0x1\",\"npages\":0}"
	json_case "an unpin of 2^63 pages" "npages" "{$at,\"e\":\"unpin\",\"pfn\":\"0x1\",\"npages\":\"0x8000000000000000\"}"
	json_case "time goes back" "\bt\b|order|back|before" '{"t":5,"cpu":0,"tid":1,"e":"detach"}'

	tail -n +2 "$data/cases/split.jsonl" >"$scratch/headless.jsonl"
	bad "JSON without its first line" 1 "headless\.jsonl:1" replay "$scratch/headless.jsonl"
	printf '{"ioflush_trace":999,"page_size":4096}\n' >"$scratch/newer.jsonl"
	bad "JSON of a newer version" 1 "newer\.jsonl:1.*(999|version)" replay "$scratch/newer.jsonl"
	printf '{"ioflush_trace":1,"page_size":65536}\n' >"$scratch/pages.jsonl"
	bad "JSON of another page size" 1 "pages\.jsonl:1.*page_size" replay "$scratch/pages.jsonl"

	bad "import of JSON that breaks off" 1 "cut\.jsonl:[0-9]+" import "$file" -o "$scratch/part.db"
	if [[ ! -e $scratch/part.db ]]; then
		ok "import of JSON that breaks off leaves nothing that looks whole"
	else
		bad "import of JSON that breaks off leaves nothing that looks whole" 1 "part\.db" replay "$scratch/part.db"
	fi
}

# --- text

check_text() {
	local file=$scratch/cut.trace
	cut_at "$data/traces/churn-small.trace" 50 "$file"
	bad "ftrace text cut off in a line" 1 "cut\.trace:[0-9]+" replay "$file"
	partial "ftrace text cut off in a line" "$file" '.trace.events > 100'
	{
		head -n 100 "$data/traces/churn-small.trace"
		printf 'a line of something else altogether\n'
		tail -n +101 "$data/traces/churn-small.trace"
	} >"$scratch/odd.trace"
	bad "ftrace text with a line of something else" 1 "odd\.trace:101" replay "$scratch/odd.trace"
	partial "ftrace text with a line of something else" "$scratch/odd.trace"
	sed '/: map: /s/ size=[0-9]*/ size=0/' "$data/traces/churn-small.trace" >"$scratch/zero.trace"
	bad "ftrace text with a size of 0" 1 "zero\.trace:[0-9]+.*size" replay "$scratch/zero.trace"
	{
		head -n 60 "$data/traces/churn-small.trace"
		sed -n '30,40p' "$data/traces/churn-small.trace"
	} >"$scratch/back.trace"
	bad "ftrace text whose time goes back" 1 "back\.trace:6[0-9]" replay "$scratch/back.trace"
}

# --- a million bytes without a newline, and a great many more in little memory

letters() {
	head -c "$1" /dev/zero | tr '\0' a
}

check_long_lines() {
	letters 1000000 >"$scratch/long"
	bad "a million letters" 1 "/long:" replay "$scratch/long"
	{
		head -n 9 "$data/cases/split.jsonl"
		printf '{"t":1,"e":"'
		letters 1000000
	} >"$scratch/long.jsonl"
	bad "a million bytes without newline in JSON" 1 "long\.jsonl:10" replay "$scratch/long.jsonl"
	partial "a million bytes without newline in JSON" "$scratch/long.jsonl"
	{
		head -n 100 "$data/traces/churn-small.trace"
		letters 1000000
	} >"$scratch/long.trace"
	bad "a million bytes without newline in ftrace text" 1 "long\.trace:101" replay "$scratch/long.trace"
	partial "a million bytes without newline in ftrace text" "$scratch/long.trace"
	if ! (ulimit -v 300000 && "$ioflush" --help >/dev/null 2>&1); then
		skip "half a gigabyte without newline in 300 MB" "the sanitizers take more memory than that"
		return
	fi
	for head in "$data/cases/split.jsonl" "$data/traces/churn-small.trace"; do
		status=0
		{
			head -n 5 "$head"
			letters 500000000 2>/dev/null || true
		} | (ulimit -v 300000 && exec "$ioflush" replay -) >"$scratch/out" 2>"$scratch/err" || status=$?
		if ((status == 1)) && [[ ! -s $scratch/out ]] && ! grep -qi "out of memory" "$scratch/err"; then
			ok "half a gigabyte without newline in 300 MB: ${head##*.}"
		else
			not_ok "half a gigabyte without newline in 300 MB: ${head##*.}" "$(run_report)"
		fi
	done
}

# --- what is odd but no error: it shows in the health

check_health() {
	local at='"cpu":0,"tid":1' file=$scratch/unknown.jsonl
	{
		printf '{"ioflush_trace":1,"page_size":4096,"host":"test","clock":"mono"}\n'
		printf '{"t":1,%s,"e":"map","domain":"0x10","iova":"0x0","paddr":"0x1000","size":"0x1000"}\n' "$at"
		printf '{"t":2,%s,"e":"unmap","domain":"0x10","iova":"0x0","size":"0x1000"}\n' "$at"
		printf '{"t":3,%s,"e":"domain_remove","iopt":"0x20","domain":"0x30"}\n' "$at"
		printf '{"t":4,%s,"e":"domain_remove_end","iopt":"0x20","domain":"0x30"}\n' "$at"
		printf '{"t":5,%s,"e":"area_unfill","area":"0x40","pages":"0x50","iopt":"0x20","iova":"0x0","last":"0xfff"}\n' "$at"
		printf '{"t":6,%s,"e":"area_fill_end","area":"0x60"}\n' "$at"
		printf '{"t":7,%s,"e":"access_remove","area":"0x40","pages":"0x50","iopt":"0x20","iova":"0x0","first":0,"last":3}\n' "$at"
		printf '{"t":8,%s,"e":"unpin","pfn":"0x7","npages":3}\n' "$at"
	} >"$file"
	good "ids never introduced: exit status 0, and the health says so" \
		'.health.foreign_maps == 2 and .health.unknown_domain > 0 and .health.unknown_area > 0 and .trace.events == 8' \
		"$file"
	good "ids never introduced: the kernel's unpin stands alone" '.verify.kernel_unpins_not_derived == 3' "$file"
	good "lost records show" '.health.lost_records + .health.lost_unknown > 0' "$data/cases/odd.jsonl"
	printf '{"ioflush_trace":1,"page_size":4096}\n' >"$scratch/none.jsonl"
	{
		printf '{"ioflush_trace":1,"page_size":4096}\n'
		printf '{"t":1,%s,"e":"map","domain":"0x10","iova":"0x0","paddr":"0x1000","size":"0x1000","prot":7,"rc":-12}\n' "$at"
		printf '{"t":2,%s,"e":"domain_add","iopt":"0x1","domain":"0x10","coherent":0}\n' "$at"
	} >"$scratch/failed.jsonl"
	good "a map that failed is an event, and is counted" \
		'.trace.events == 2 and .health.failed_maps == 1 and .health.failed_accesses == 0 and .health.other_records == 0' \
		"$scratch/failed.jsonl"
	good "it is not known where events were left out" '.health.failed_maps == null' --to 1 "$scratch/failed.jsonl"
	good "and listed" '.failures == [{"event": "map_failed", "error": "ENOMEM", "rc": -12, "count": 1, "first": .failures[0].first}]' \
		"$scratch/failed.jsonl"
	says "the text says so too" "note: 1 map failed: ENOMEM .-12.; event #1" "$ioflush" replay --policy none "$scratch/failed.jsonl"
	good "a trace without events" '.trace.events == 0 and .health.partial == null' "$scratch/none.jsonl"
}

# --- events that wait for a later record do not come out behind their time

check_order() {
	local file name
	for name in attach-lost.txt attach-lost.dat; do
		file=$data/faults/$name
		good "$name: the times are in order, and it shows" \
			'.health.moved_events == 1 and .trace.captures[0].first_t <= .trace.captures[0].last_t' "$file"
		says "$name: no span that wraps" "2 events in 0\.000000 s" "$ioflush" replay --policy none "$file"
		says "$name: the text says so" "note: 1 event got a later time" "$ioflush" replay --policy none "$file"
		run "$ioflush" import "$file" -o "$scratch/order.db"
		verdict "$name: import says so" "$(grep -q '1 event got a later time' "$scratch/out" || run_report)"
		good "$name: as it is in a database" '.trace.events == 2' "$scratch/order.db"
		rm -f "$scratch/order.db"
		run "$ioflush" export "$file"
		verdict "$name: export says so" "$(grep -q '1 event got a later time' "$scratch/err" || run_report)"
		cp "$scratch/out" "$scratch/order.jsonl"
		good "$name: as it is in JSON Lines" '.trace.events == 2' "$scratch/order.jsonl"
	done
	partial "an attach before a loss in text that was cut" "$data/faults/fuzz-crash.bin" '.health.moved_events == 1'
}

# --- what has no event of iommufd is not judged, and says what it has instead

# incomplete NAME PATTERN FILE: ioflush verify says INCOMPLETE, and why
incomplete() {
	local name=$1 pattern=$2 file=$3 why=
	run "$ioflush" verify "$file"
	if ((status != 6)); then
		why="exit status $status, expected 6"
	elif ! grep -qE -- "INCOMPLETE: .*$pattern" "$scratch/out"; then
		why="no line like: $pattern"
	fi
	verdict "$name" "$why"
}

check_instead() {
	local faults=$data/faults file=$scratch/instead small=$data/traces/churn-small.trace
	incomplete "other events only" "no event of iommufd \(1 sched_switch event, 1 sched_wakeup event\)" \
		"$faults/01-foreign-text.txt"
	"$ioflush" import "$faults/01-foreign-text.txt" -o "$file.db" >"$scratch/out"
	incomplete "other events only, in a database" "\(it had other events: 1 sched_switch, 1 sched_wakeup\)" "$file.db"
	"$ioflush" export "$file.db" -o "$file.jsonl" >"$scratch/out"
	incomplete "and in its export" "\(it had other events: 1 sched_switch, 1 sched_wakeup\)" "$file.jsonl"
	rm -f "$file.db"
	incomplete "tracepoints only" "2 records of the tracepoints iommu:map and iommu:unmap.*cannot be judged" \
		"$faults/04-tracepoint-only.txt"
	incomplete "vfio type1" "8 map or unmap events of domains that iommufd never named: vfio type1" "$faults/07-type1.jsonl"
	sed 's/0xff11000001000000/0x0/' "$faults/07-type1.jsonl" >"$file.jsonl"
	incomplete "maps without a domain in JSON Lines" "8 map or unmap events of the tracepoints of the IOMMU core" "$file.jsonl"
	"$ioflush" import "$file.jsonl" -o "$file.db" >"$scratch/out"
	incomplete "maps without a domain in a database" "8 map or unmap events of the tracepoints of the IOMMU core" "$file.db"
	rm -f "$file.db"
	printf '# tracer: nop\n#\n' >"$file.txt"
	incomplete "an empty header of text" "it has no record at all" "$file.txt"
	printf '{"ioflush_trace":1,"page_size":4096}\n' >"$file.jsonl"
	incomplete "an empty header of JSON Lines" "it has no record at all" "$file.jsonl"
	"$ioflush" import "$file.jsonl" -o "$file.db" >"$scratch/out"
	incomplete "an empty capture of a database" "it has no record at all" "$file.db"
	rm -f "$file.db"
	sed -n 's/: map: /: x:mymap: /p' "$small" >"$file.txt"
	incomplete "probes with other names in text" "[0-9]+ events named x:mymap on iommu_map: rename the probes" "$file.txt"
	LC_ALL=C sed 's/name: [a-z]/name: Z/' "$data/fuzz/small-v6.dat" >"$file.dat"
	incomplete "probes with other names in a trace.dat" "no event of iommufd .3 ioflush:Znpin events." "$file.dat"
	sed 's/\(: area_fill_end: .*\) rc=0$/\1/' "$faults/02-plain.txt" >"$file.txt"
	incomplete "a return probe without rc" "no rc in area_fill_end: whether" "$file.txt"
	"$ioflush" import "$file.txt" -o "$file.db" >"$scratch/out"
	incomplete "nor does a database forget it" "no rc in some ends, as the note says" "$file.db"
	"$ioflush" export "$file.db" -o "$file.jsonl" >"$scratch/out"
	incomplete "nor its export" "no rc in some ends, as the note says" "$file.jsonl"
	rm -f "$file.db"
	incomplete "a lost pair" "records were lost" "$faults/21-loss-counted-twice.txt"
	good "its records are counted once" '.health.lost_records == 2' "$faults/21-loss-counted-twice.txt"
	good "a column more" '.policies["sticky-v1"].gaps.leak == 4' "$faults/02-ts-diff.txt"
	sed 's/5\.000/5000/' "$faults/02-plain.txt" >"$file.txt"
	says "ticks are no seconds" "22 events in 250 ticks, from 5000010 to 5000260" "$ioflush" replay --policy none "$file.txt"
	says "nor in gaps" "#[0-9]+ +5000170 +cpu" "$ioflush" gaps --policy sticky-v1 "$file.txt"
	"$ioflush" import "$file.txt" "$faults/02-plain.txt" -o "$file.db" >"$scratch/out"
	says "ticks of a capture beside another's seconds" "#[0-9]+ +5000170 +cpu" "$ioflush" gaps --policy sticky-v1 "$file.db"
	says "seconds of a capture beside another's ticks" "#[0-9]+ +5\.000170000 +cpu" "$ioflush" gaps --policy sticky-v1 "$file.db"
	rm -f "$file.db"
}

# --- losses whose sum would wrap to none

check_huge_losses() {
	local file=$scratch/huge.jsonl
	printf '%s\n' '{"ioflush_trace":1,"page_size":4096}' '{"t":1,"e":"lost","count":"0x8000000000000000"}' >"$file"
	cat "$file" "$file" >"$scratch/huge2.jsonl" # two captures
	says "the losses of two captures" "lost_records: 18,446,744,073,709,551,615 records" "$ioflush" gaps --policy none "$scratch/huge2.jsonl"
	says "the same in a replay" "18,446,744,073,709,551,615 records" "$ioflush" replay "$scratch/huge2.jsonl"
}

# --- what is only a part, or has something wrong with it, proves nothing

check_doubts() {
	local hotplug=$data/cases/hotplug.jsonl part=$scratch/part.jsonl area
	head -c 700 "$hotplug" >"$part"
	says "explain --iova of a part says PARTIAL" "^PARTIAL: .*part.jsonl" \
		"$ioflush" explain "$part" --iova 0x1:0x100000 --allow-partial
	says "explain --iova of a part is not sure" "^SUMMARY: .* did not map .* in the part that is there" \
		"$ioflush" explain "$part" --iova 0x1:0x100000 --allow-partial
	says "explain --pfn of a part is not sure" "^SUMMARY: .* was not seen in the part that is there" \
		"$ioflush" explain "$part" --pfn 1 --allow-partial
	run "$ioflush" explain "$part" --iova 0x1:0x100000 --allow-partial --format json
	verdict "explain --iova of a part says so in JSON" \
		"$(jq -e '.partial | type == "string"' "$scratch/out" >/dev/null 2>&1 || echo 'no partial')"
	says "explain --iova after losses is not sure" "^SUMMARY: .* did not map .*records were lost" \
		"$ioflush" explain "$data/cases/odd.jsonl" --iova 0x1:0x100000
	says "explain --iova of a whole is sure" "^SUMMARY: .* never mapped iova 0x100000$" \
		"$ioflush" explain "$hotplug" --iova 0x1:0x100000

	printf '%s\n' '{"ioflush_trace":1,"page_size":4096,"host":"","clock":"mono","probes":"iommu:map\niommu:unmap"}' \
		'{"t":1,"cpu":0,"tid":1,"e":"map","domain":"0x0","iova":"0x1000","paddr":"0x1000","size":"0x1000"}' >"$scratch/tracepoints.jsonl"
	good "tracepoints alone: the report names what lacks" \
		'.trace.captures[0].lacking | index("domain_add") and index("area_fill") and (index("map") | not)' "$scratch/tracepoints.jsonl"
	says "tracepoints alone: no verdict" "^ideal: *cannot be judged" "$ioflush" replay --policy ideal "$scratch/tracepoints.jsonl"
	run "$ioflush" replay --fail-on error "$scratch/tracepoints.jsonl"
	verdict "tracepoints alone: no check passes" "$([[ $status == 6 ]] || echo "status $status")"
	says "tracepoints alone: gaps says so" "^SUMMARY: ideal: 0 findings .*; CANNOT BE JUDGED: no event of iommufd" \
		"$ioflush" gaps --policy ideal "$scratch/tracepoints.jsonl"
	run "$ioflush" verify "$scratch/tracepoints.jsonl"
	verdict "tracepoints alone: verify does not pass it" \
		"$([[ $status == 6 ]] && grep -q 'INCOMPLETE: .*no probe gave domain_add' "$scratch/out" || echo "status $status")"

	says "a whole trace: a verdict without doubt" "^ideal: .*the lower bound$" "$ioflush" replay --policy ideal "$hotplug"
	area=$scratch/no-fill.jsonl
	grep -v '"e": "area_fill' "$data/cases/access-later.jsonl" >"$area"
	good "a trace without a kind of event: warnings" '.health.unknown_area + .health.unknown_domain + .health.mappings_dropped > 0' "$area"
	says "and its verdicts point at them" "^none: .*not proof" "$ioflush" replay --policy none "$area"
	says "losses and warnings" "^ideal: .*not proof: verify says INCOMPLETE" \
		"$ioflush" replay --policy ideal "$data/cases/odd.jsonl"
	grep -v '"e": "unpin"' "$hotplug" >"$scratch/no-unpin.jsonl"
	says "unpins that were not recorded: no proof" "^ideal: .*the lower bound; not proof: verify says INCOMPLETE$" \
		"$ioflush" replay --policy ideal "$scratch/no-unpin.jsonl"
	grep -v '"e": "unpin", "pfn": "0x100047"' "$hotplug" >"$scratch/missing.jsonl"
	says "unpins missing in the kernel: no proof" "^ideal: .*not proof: verify says FAIL" \
		"$ioflush" replay --policy ideal "$scratch/missing.jsonl"
}

# --- numbers and their nouns

check_plurals() {
	local one=$scratch/one.jsonl at='"cpu":0,"tid":1'
	{
		printf '{"ioflush_trace":1,"page_size":4096}\n'
		printf '{"t":1,%s,"e":"domain_add","iopt":"0x1","domain":"0x2","coherent":null}\n' "$at"
		printf '{"t":2,%s,"e":"lost","count":1}\n' "$at"
	} >"$one"
	says "one record" "error: 1 record lost, as far" "$ioflush" replay --policy ideal "$one"
	says "one domain" "warning: 1 domain of unknown coherency" "$ioflush" replay --policy ideal "$one"
	says "one domain, in state" "^warning: 1 domain of unknown coherency" "$ioflush" state "$one"
}

# --- what a trace holds must not steer the terminal by way of a message

check_terminal() {
	local file=$scratch/steer.jsonl bytes=$'[\x01-\x08\x0b-\x1f\x7f]'
	{
		printf '{"ioflush_trace":1,"page_size":4096}\n'
		printf '{"t":1,"cpu":0,"tid":1,"e":"\\u001b]0;x\\u0007"}\n'
	} >"$file"
	bad "an event of another name" 1 "steer\.jsonl:2" replay "$file"
	verdict "its name does not steer the terminal" "$(! grep -q "$bytes" "$scratch/err" || echo 'control bytes')"
	bad "an option with control bytes" 2 "unknown" replay $'--\033[2J'
	verdict "nor does an argument" "$(! grep -q "$bytes" "$scratch/err" || echo 'control bytes')"
	for command in "gaps --policy none" verify state "explain --pfn 1" "replay --policy none"; do
		# shellcheck disable=SC2086 # words
		run "$ioflush" $command --allow-partial "$file"
		verdict "${command%% *}: nor does a part" \
			"$(! grep -q "$bytes" "$scratch/out" "$scratch/err" || echo 'control bytes')"
	done
}

# --- input that is read once, output that is input

check_once() {
	local hotplug=$data/cases/hotplug.jsonl db=$scratch/once.db
	for command in "replay" "verify" "import -o $scratch/twice.db"; do
		# shellcheck disable=SC2086 # words
		bad "${command%% *}: standard input twice" 2 "twice" $command - -
	done
	mkfifo "$scratch/fifo"
	status=0
	timeout 20 "$ioflush" explain "$scratch/fifo" --iova 1:0 >"$scratch/out" 2>"$scratch/err" || status=$?
	verdict "explain --iova of a FIFO is refused" \
		"$( ((status == 2)) && grep -q "twice, which .*fifo cannot" "$scratch/err" || echo "no such message")"
	run "$ioflush" import "$hotplug" -o "$db"
	ln -s once.db "$scratch/link.db"
	cp "$db" "$scratch/kept.db"
	bad "export into the database itself" 1 "into itself" export "$db" -o "$db"
	bad "export into it by another name" 1 "into itself" export "$db" -o "$scratch/link.db"
	bad "export of text into itself" 1 "into itself" export "$scratch/zero.trace" -o "$scratch/zero.trace"
	verdict "and nothing was changed" "$(cmp "$db" "$scratch/kept.db" 2>&1)"
}

# --- what the model may take

check_memory() {
	local trace=$data/cases/generated-11.jsonl command words
	for command in "gaps --policy none" "explain --pfn 1" state verify replay; do
		read -ra words <<<"$command"
		run "$ioflush" "${words[@]}" --memory 30K "$trace" # explain prints as it goes
		verdict "${words[0]}: too little memory says where and what to do" "$( ((status == 1)) && grep -qE \
			"generated-11.jsonl: capture 1.*: event [0-9]+ \([a-z_]+, t=[0-9]+\): more than the 30 KiB of memory that --memory allows: allow more" \
			"$scratch/err" || run_report)"
		bad "${words[0]}: next to no memory" 1 "more than the 100 bytes of memory that --memory allows" \
			"${words[@]}" --memory 100 "$trace"
		status_is "${words[0]}: enough memory" 0 "${words[@]}" --memory 10M "$trace"
		for value in 0 -1 many 1T 1.5G ""; do
			bad "${words[0]}: --memory '$value'" 2 "it takes a number of bytes" "${words[@]}" --memory "$value" "$trace"
		done
	done
}

# --- exit statuses and usage

status_is() {
	local name=$1 want=$2
	shift 2
	run "$ioflush" "$@"
	if ((status == want)); then
		ok "$name"
	else
		not_ok "$name" "expected exit status $want; $(run_report)"
	fi
}

check_statuses() {
	local hotplug=$data/cases/hotplug.jsonl later=$data/cases/access-later.jsonl odd=$data/cases/odd.jsonl
	status_is "a gap that nobody asked about" 0 replay --policy none "$hotplug"
	status_is "--fail-on leak, one there" 3 replay --policy none --fail-on leak "$hotplug"
	status_is "--fail-on error, one there" 3 replay --policy none --fail-on error "$hotplug"
	status_is "--fail-on error, none there" 0 replay --policy ideal --fail-on error "$hotplug"
	status_is "--fail-on warning, a warning there" 3 replay --policy sticky-always --fail-on warning "$later"
	status_is "--fail-on error, only a warning there" 0 replay --policy sticky-always --fail-on error "$later"
	status_is "--fail-on leak,access, the second there" 3 replay --policy sticky-always --fail-on leak,access "$later"
	status_is "--fail-on leak,release, neither there" 0 replay --policy sticky-always --fail-on leak,release "$later"
	status_is "--fail-on-loss, losses there" 5 replay --fail-on-loss "$odd"
	status_is "--fail-on-loss, none there" 0 replay --fail-on-loss "$hotplug"
	status_is "help" 0 --help
	for command in replay gaps explain state verify import export policies calibrate generate; do
		status_is "$command --help" 0 "$command" --help
		bad "$command: unknown option" 2 "no-such-option" "$command" --no-such-option
	done
	bad "no command" 2 "." # the usage, on standard error
	bad "an unknown command" 2 "frobnicate" frobnicate
	bad "replay without a trace" 2 "trace" replay
	bad "an unknown policy" 2 "no-such-policy.*sticky-v1|sticky-v1.*no-such-policy" replay --policy no-such-policy "$hotplug"
	bad "an unknown kind of gap" 2 "drip" replay --fail-on drip "$hotplug"
	bad "an unknown format" 2 "yaml" replay --format yaml "$hotplug"
	bad "a number that is none" 2 "cycles-per-page" replay --cycles-per-page many "$hotplug"
	bad "a plugin that is not there" 2 "no-such\.so" replay --plugin "$scratch/no-such.so" "$hotplug"
	bad "gaps without a policy" 2 "policy" gaps "$hotplug"
	bad "explain without a page" 2 "pfn" explain "$hotplug"
	bad "import without a database" 2 "-o" import "$hotplug"
	if [[ -w /dev/full ]]; then
		status=0
		"$ioflush" replay "$hotplug" >/dev/full 2>"$scratch/err" || status=$?
		: >"$scratch/out"
		if ((status == 1)) && [[ -s $scratch/err ]]; then
			ok "a full disk is no success"
		else
			not_ok "a full disk is no success" "$(run_report)"
		fi
	else
		skip "a full disk is no success" "no /dev/full"
	fi
}

check_files
check_tracedat
check_database
check_left_out
check_json
check_text
check_long_lines
check_health
check_order
check_instead
check_huge_losses
check_doubts
check_plurals
check_terminal
check_once
check_memory
check_statuses
tap_done checks
