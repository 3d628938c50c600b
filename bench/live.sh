#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What recording live costs, as ratios and shares from one run; "make bench" runs it. The same flood of uprobes from all
# CPUs is recorded by ioflushd, and by what only copies pages: trace-cmd record, or, where it refuses to run, cat on the
# same trace_pipe_raw files. Runs alternate, medians count.
#
# usage: live.sh [--strict]         --strict: exit status 1 when a target is missed
# BENCH_FLOOD (300000 events of each CPU), BENCH_RUNS (3), BENCH_IDLE (20 s)
set -euo pipefail
export LC_ALL=C

ioflushd=${IOFLUSHD:?run it with \"make bench\"}
live_events=${LIVE_EVENTS:?run it with \"make bench\"}
events=${BENCH_FLOOD:-300000}
runs=${BENCH_RUNS:-3}
idle=${BENCH_IDLE:-20}
tracefs=${TRACEFS:-/sys/kernel/tracing}
name=ioflush_bench_$$
strict=
if [[ ${1-} == --strict ]]; then
	strict=yes
elif (($# > 0)); then
	echo "usage: live.sh [--strict]" >&2
	exit 2
fi

note() {
	printf 'bench: %s\n' "$*" >&2
}

skip() {
	printf 'live recording: not measured: %s\n' "$1"
	exit 0
}

((EUID == 0)) || skip "it needs root"
[[ -w $tracefs/dynamic_events && -d $tracefs/instances ]] || skip "no dynamic_events in $tracefs"
for tool in sqlite3 curl awk; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done

dir=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/ioflush-live.XXXXXX")
cpus=$(nproc)
missed=0
row_format='%-66s %12s %12s  %s\n'

remove_group() {
	local line
	while read -r line; do
		printf -- '-:%s\n' "$line" >>"$tracefs/dynamic_events" || true
	done < <(sed -n "s,^[a-z0-9]*:\($name/[^ ]*\) .*,\1,p" "$tracefs/dynamic_events")
}

disarm() {
	local i
	for ((i = 0; i < 20; i++)); do
		[[ -d $tracefs/instances/$name ]] || break
		echo 0 2>/dev/null >"$tracefs/instances/$name/events/$name/enable" || true
		rmdir "$tracefs/instances/$name" 2>/dev/null || sleep 0.1
	done
	remove_group
}

cleanup() {
	local pid
	for pid in $(jobs -p); do
		kill -TERM "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	disarm
	rm -rf "$dir"
}
trap cleanup EXIT

# cpu_ns PID...: processor time so far, in ns, of all threads
cpu_ns() {
	local pid
	for pid; do
		cat "/proc/$pid/task/"*/schedstat 2>/dev/null || true
	done | awk '{ ns += $1 } END { printf "%.0f\n", ns }'
}

calc() {
	awk "BEGIN { printf \"%.3f\\n\", $1 }"
}

median() {
	sort -g "$1" | awk '{ v[NR] = $1 } END { printf "%.3f\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
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

flood() {
	local cpu pids=()
	for ((cpu = 0; cpu < cpus; cpu++)); do
		"$live_events" --cpu "$cpu" --flood "$events" >/dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
}

start_daemon() {
	rm -f "$dir"/live.db*
	: >"$dir/log" # here, not by what runs in the background: what an earlier one has logged is not to be read
	"$ioflushd" --foreground --db "$dir/live.db" --probes "$dir/probes" --instance "$name" --tracefs "$tracefs" \
		--listen "unix:$dir/api.sock" >>"$dir/log" 2>&1 &
	first=$!
	while ! grep -q 'recording into' "$dir/log"; do
		kill -0 "$first" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
		sleep 0.05
	done
	read -r recorder _ <"/proc/$first/task/$first/children" || true
}

stop_daemon() {
	kill -TERM "$first"
	wait "$first" || { cat "$dir/log" >&2; exit 1; }
}

sql() {
	sqlite3 -readonly -cmd '.timeout 10000' "$dir/live.db" "$1"
}

# The time until a status has come, in ms: a hundred a second over one connection, as long as the flood lasts
ask_status() {
	local i urls=()
	for ((i = 0; i < 100; i++)); do
		urls+=(-o /dev/null http://localhost/v1/status)
	done
	while [[ ! -e $dir/flooded ]]; do
		curl -s -w '%{http_code} %{time_total}\n' --rate 100/s --unix-socket "$dir/api.sock" "${urls[@]}" || true
	done | awk '$1 == 200 { print $2 * 1000 }' >>"$dir/status.ms"
}

# One flood through ioflushd: processor time an event, peak memory, losses, the API meanwhile
record_ours() {
	local before after ask
	start_daemon
	rm -f "$dir/flooded"
	if [[ $1 == api ]]; then
		ask_status &
		ask=$!
	fi
	before=$(cpu_ns "$first" "$recorder")
	flood
	while (($(sql 'SELECT coalesce(max(id), 0) FROM event') < events * cpus)) && sleep 0.2; do
		((SECONDS < deadline)) || break
	done
	after=$(cpu_ns "$first" "$recorder")
	touch "$dir/flooded"
	awk '/^VmHWM/ { print $2 / 1024 }' "/proc/$recorder/status" "/proc/$first/status" |
		awk '{ sum += $1 } END { print sum }' >>"$dir/memory.mib"
	if [[ $1 == api ]]; then
		wait "$ask"
	else
		calc "($after - $before) / ($events * $cpus)" >>"$dir/ours.ns"
	fi
	stop_daemon
	sql "SELECT coalesce(sum(count), 0) + count(*) FROM lost" >>"$dir/lost"
}

arm() {
	sed -n "s,^\([pr][0-9]*\):[^/]*/,\1:$name/,p" "$dir/probes" >"$dir/lines"
	mkdir "$tracefs/instances/$name"
	echo mono >"$tracefs/instances/$name/trace_clock"
	echo 4096 >"$tracefs/instances/$name/buffer_size_kb"
	cat "$dir/lines" >>"$tracefs/dynamic_events"
	echo 1 >"$tracefs/instances/$name/events/$name/enable"
}

# copy_cpu CPU: copies its pages until SIGTERM, then says the processor time that it took. An end of file is none: the
# kernel gives one when it races with a writer.
copy_cpu() {
	local cat=
	trap 'kill "$cat" 2>/dev/null || true; wait "$cat" 2>/dev/null || true; times >"$dir/times.$1"; exit 0' TERM
	while :; do
		cat "$tracefs/instances/$name/per_cpu/cpu$1/trace_pipe_raw" >>"$dir/copy.$1" &
		cat=$!
		wait "$cat" || true
	done
}

# The same flood through what only copies
record_copied() {
	local cpu pids=() spent
	arm
	for ((cpu = 0; cpu < cpus; cpu++)); do
		copy_cpu "$cpu" &
		pids+=($!)
	done
	sleep 0.3
	flood
	sleep 1
	kill "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
	disarm
	# The second line is that of the children: "0m0.012s 0m0.345s".
	spent=$(cat "$dir"/times.* | awk 'NR % 2 == 0 { split($0, t, /[ms ]+/); s += t[1] * 60 + t[2] + t[3] * 60 + t[4] }
		END { print s * 1e9 }')
	calc "$spent / ($events * $cpus)" >>"$dir/copy.ns"
	rm -f "$dir"/copy.[0-9]*
}

# family PID: it and what it has started
family() {
	local pid
	printf '%s\n' "$1"
	for pid in $(<"/proc/$1/task/$1/children"); do
		family "$pid"
	done
}

record_trace_cmd() {
	local pid before after pids
	arm
	echo 0 >"$tracefs/instances/$name/events/$name/enable"
	trace-cmd record -q -o "$dir/copy.dat" -B "$name" -e "$name" >"$dir/trace-cmd.log" 2>&1 &
	pid=$!
	sleep 1
	if ! kill -0 "$pid" 2>/dev/null; then
		wait "$pid" || true
		disarm
		return 1
	fi
	mapfile -t pids < <(family "$pid")
	before=$(cpu_ns "${pids[@]}")
	flood
	sleep 1
	after=$(cpu_ns "${pids[@]}")
	kill -INT "$pid"
	wait "$pid" || true
	disarm
	calc "($after - $before) / ($events * $cpus)" >>"$dir/copy.ns"
	rm -f "$dir"/copy.dat*
}

copier='cat'
if command -v trace-cmd >/dev/null; then
	copier=trace-cmd
fi

copy_once() {
	if [[ $copier == trace-cmd ]] && ! record_trace_cmd; then
		note "trace-cmd record does not run here: $(tail -n 1 "$dir/trace-cmd.log")"
		copier='cat'
	fi
	if [[ $copier == cat ]]; then
		record_copied
	fi
}

measure_idle() {
	local before
	start_daemon
	sleep 2
	before=$(cpu_ns "$first" "$recorder")
	sleep "$idle"
	calc "($(cpu_ns "$first" "$recorder") - $before) / $idle / 1e7" >"$dir/idle"
	stop_daemon
}

"$live_events" --probes "$name" >"$dir/probes"
deadline=$((SECONDS + 900))
for ((i = 1; i <= runs; i++)); do
	note "run $i of $runs: $((events * cpus)) events"
	record_ours plain
	copy_once
done
note "one more with the API asked meanwhile"
record_ours api
note "idle for $idle s"
measure_idle

ours=$(median "$dir/ours.ns") copied=$(median "$dir/copy.ns")
ratio=$(calc "$ours / $copied")
lost=$(awk '{ sum += $1 } END { print sum + 0 }' "$dir/lost")
peak=$(sort -g "$dir/memory.mib" | tail -n 1)
asked=$(wc -l <"$dir/status.ms")
p99=$(sort -g "$dir/status.ms" | awk '{ v[NR] = $1 } END { i = int(NR * 0.99); print v[i < 1 ? 1 : i] + 0 }')

printf '\n%d events a flood from %d processors, %d alternating runs, medians\n\n' "$((events * cpus))" "$cpus" "$runs"
# shellcheck disable=SC2059
printf "$row_format" "what" "measured" "target" "met"
row "flood, default buffers: records lost" "$lost" "0" "$lost == 0"
row "processor time an event, ioflushd : $copier" "$ratio" "<= 3" "$ratio <= 3"
row "idle, share of a core" "$(cat "$dir/idle") %" "< 0.5 %" "$(cat "$dir/idle") < 0.5"
row "resident memory under flood, both processes, peak" "$peak MiB" "<= 64 MiB" "$peak <= 64"
row "GET /v1/status during the flood, 99th percentile of $asked" "$p99 ms" "< 20 ms" "$asked > 20 && $p99 < 20"
printf '\nfor orientation: %s ns of processor time an event (ioflushd), %s (%s)\n' "$ours" "$copied" "$copier"
if ((missed > 0)); then
	printf '%d target(s) missed\n' "$missed"
	[[ -z $strict ]]
fi
