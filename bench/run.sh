#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The speed and memory figures that ioflush promises, as ratios measured in one run: each is the quotient of two medians
# whose runs alternate, so that a slow minute of the machine hits both sides. "make bench" runs it.
#
# usage: run.sh [--strict]          --strict: exit status 1 when a target is missed
# BENCH_EVENTS (10000000), BENCH_RUNS (5, alternating), BENCH_REPEAT (20: selftest.dat on one command line),
# BENCH_MAPPINGS (200000), BENCH_DIR (scratch: needs about 80 bytes an event)
set -euo pipefail
export LC_ALL=C

ioflush=${IOFLUSH:?run it with \"make bench\"}
bin=${BENCH_BIN:?run it with \"make bench\"}
data=${IOFLUSH_TEST_DATA:?run it with \"make bench\"}
events=${BENCH_EVENTS:-10000000}
runs=${BENCH_RUNS:-5}
repeat=${BENCH_REPEAT:-20}
mappings=${BENCH_MAPPINGS:-200000}
strict=
if [[ ${1-} == --strict ]]; then
	strict=yes
elif (($# > 0)); then
	echo "usage: run.sh [--strict]" >&2
	exit 2
fi

dir=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/ioflush-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
missed=0
row_format='%-58s %14s %14s  %s\n'

note() {
	printf 'bench: %s\n' "$*" >&2
}

# median FILE COLUMN
median() {
	awk -v c="$2" '{ print $c }' "$1" | sort -g | awk '{ v[NR] = $1 } END {
		printf "%.6f\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# once NAME COMMAND...: one run of the command, its time and peak memory added to the file of that name
once() {
	local name=$1
	shift
	"$bin/timed" "$@" >>"$dir/$name.times"
}

seconds() {
	median "$dir/$1.times" 1
}

peak_mib() {
	awk '$2 > max { max = $2 } END { printf "%.1f\n", max / 1024 }' "$dir/$1.times"
}

calc() {
	awk "BEGIN { printf \"%.3f\\n\", $1 }"
}

# row WHAT MEASURED TARGET CONDITION: one line of the table; the condition is arithmetic for awk
row() {
	local met=yes
	if ! awk "BEGIN { exit !($4) }"; then
		met=NO
		missed=$((missed + 1))
	fi
	# shellcheck disable=SC2059
	printf "$row_format" "$1" "$2" "$3" "$met"
}

# How many times the recording is to be named on the command line
times_over() {
	local i
	for ((i = 0; i < $2; i++)); do
		printf '%s\n' "$1"
	done
}

# mapping_trace SIZE NPAGES LAST: so many mappings of one physical run each, made and taken away again
mapping_trace() {
	local size=$1 npages=$2 last=$3
	awk -v n="$mappings" -v size="$size" -v npages="$npages" -v last="$last" 'BEGIN {
		print "{\"ioflush_trace\":1,\"page_size\":4096,\"host\":\"bench\",\"clock\":\"mono\"}"
		t = 1000
		area = "\"area\":\"0xff11000000000100\""
		where = "\"pages\":\"0xff11000000000080\",\"iopt\":\"0xff11000000000040\",\"iova\":\"0x0\",\"last\":\"" last "\""
		domain = "\"domain\":\"0xff110000000000c0\""
		run = "\"iova\":\"0x0\",\"paddr\":\"0x100000000\",\"size\":\"" size "\""
		joining = "\"iopt\":\"0xff11000000000040\"," domain
		printf "{\"t\":%d,\"cpu\":0,\"tid\":1,\"e\":\"domain_add\",%s,\"coherent\":0}\n", t++, joining
		printf "{\"t\":%d,\"cpu\":0,\"tid\":1,\"e\":\"domain_add_end\",%s,\"rc\":0}\n", t++, joining
		for (i = 0; i < n; i++) {
			at = "\"cpu\":0,\"tid\":1,\"e\":"
			printf "{\"t\":%d,%s\"area_fill\",%s,%s,\"first\":0,\"last_index\":%d,\"page_offset\":0}\n", t++, at, area, where, npages - 1
			printf "{\"t\":%d,%s\"map\",%s,%s}\n", t++, at, domain, run
			printf "{\"t\":%d,%s\"area_fill_end\",%s,\"rc\":0}\n", t++, at, area
			printf "{\"t\":%d,%s\"area_unfill\",%s,%s}\n", t++, at, area, where
			printf "{\"t\":%d,%s\"unmap\",%s,\"iova\":\"0x0\",\"size\":\"%s\"}\n", t++, at, domain, size
			printf "{\"t\":%d,%s\"unpin\",\"pfn\":\"0x100000\",\"npages\":%d}\n", t++, at, npages
			printf "{\"t\":%d,%s\"area_unfill_end\",%s,%s}\n", t++, at, area, where
		}
	}'
}

# long_text FILE TIMES: the text of a recording so many times over, each with its times moved on behind those before
long_text() {
	awk -v times="$2" -v n=0 '
		/^#/ { print; next }
		match($0, / [0-9]+\.[0-9]+: /) {
			before[n] = substr($0, 1, RSTART)
			t[n] = substr($0, RSTART + 1, RLENGTH - 3)
			after[n] = substr($0, RSTART + RLENGTH - 2)
			n++
		}
		END {
			step = t[n - 1] - t[0] + 0.001
			for (r = 0; r < times; r++) {
				for (i = 0; i < n; i++)
					printf "%s%.6f%s\n", before[i], t[i] + r * step, after[i]
			}
		}' "$1"
}

for tool in trace-cmd awk; do
	command -v "$tool" >/dev/null || { echo "bench: $tool not found: apt-get install $tool" >&2; exit 1; }
done

small=$((events / 10))
note "generating $events and $small events"
"$ioflush" generate --seed 1 --events "$events" --shape churn -o "$dir/big.db" >/dev/null
"$ioflush" generate --seed 1 --events "$small" --shape churn -o "$dir/small.db" >/dev/null
mapping_trace 0x1000 1 0xfff >"$dir/4k.jsonl"
mapping_trace 0x10000000000 268435456 0xffffffffff >"$dir/1t.jsonl"
for size in 4k 1t; do
	"$ioflush" import "$dir/$size.jsonl" -o "$dir/$size.db" >/dev/null
done
table=event
rows=$("$bin/scan" "$dir/big.db" "$table" | awk '{ print $1 }')

recording=$data/traces/selftest.dat
text=$data/traces/churn-small.trace
mapfile -t recordings < <(times_over "$recording" "$repeat")
long_text "$text" 2000 >"$dir/long.trace"
text_lines=$(wc -l <"$dir/long.trace")

note "$runs alternating runs of each"
for ((i = 1; i <= runs; i++)); do
	note "run $i of $runs"
	once scan "$bin/scan" "$dir/big.db" "$table"
	once replay "$ioflush" replay --policy all "$dir/big.db"
	once none "$ioflush" replay --policy none "$dir/big.db"
	once small "$ioflush" replay --policy all "$dir/small.db"
	once 4k "$ioflush" replay --policy all "$dir/4k.db"
	once 1t "$ioflush" replay --policy all "$dir/1t.db"
	once text "$ioflush" replay --policy none "$dir/long.trace"
	once recording "$ioflush" replay --policy all "${recordings[@]}"
	# shellcheck disable=SC2016
	once trace-cmd bash -c 'for ((i = 0; i < $1; i++)); do trace-cmd report -i "$2" 2>/dev/null; done' - "$repeat" "$recording"
done

printf '\n%s events, %d alternating runs, medians; %d processors\n\n' "$rows" "$runs" "$(nproc)"
# shellcheck disable=SC2059
printf "$row_format" "what" "measured" "target" "met"
ratio=$(calc "$(seconds scan) / $(seconds replay)")
row "replay of ten policies : bare scan of the rows, rate" "$ratio" ">= 0.6" "$ratio >= 0.6"
ratio=$(calc "$(seconds replay) / $(seconds none)")
row "ten policies : none alone, time" "$ratio" "<= 2" "$ratio <= 2"
ratio=$(calc "$(seconds trace-cmd) / $(seconds recording)")
row "selftest.dat: replay : trace-cmd report, events a second" "$ratio" ">= 10" "$ratio >= 10"
peak=$(peak_mib replay)
row "peak memory, $rows events" "$peak MiB" "<= 200 MiB" "$peak <= 200"
ratio=$(calc "$peak / $(peak_mib small)")
row "peak memory : that of a tenth of the events" "$ratio" "<= 1.1" "$ratio <= 1.1"
ratio=$(calc "$(seconds 1t) / $(seconds 4k)")
row "$mappings mappings of 1 TiB : of 4 KiB, time" "$ratio" "0.9 to 1.1" "$ratio >= 0.9 && $ratio <= 1.1"
rate=$(calc "$text_lines / $(seconds text) / 1e6")
mkdir "$dir/writer"
ratio=$("$bin/writer" "$dir/writer" 1000000 "$runs" | awk '{ print $NF }')
row "ioflushd, queue to committed rows : bare inserts, rate" "$ratio" ">= 0.6" "$ratio >= 0.6"
row "ftrace text, $text_lines lines, a second" "$rate M" ">= 1 M" "$rate >= 1"

printf '\nfor orientation: %s M events/s (ten policies), %s M/s (none), %s M/s (scan)\n' \
	"$(calc "$rows / $(seconds replay) / 1e6")" "$(calc "$rows / $(seconds none) / 1e6")" \
	"$(calc "$rows / $(seconds scan) / 1e6")"
if ((missed > 0)); then
	printf '%d target(s) missed\n' "$missed"
	[[ -z $strict ]]
fi
