#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The whole way, on this machine's kernel: functions of a helper program with the names and arguments of the events ->
# uprobes -> ring buffer -> ioflushd -> SQLite -> ioflush replay, which must give the expected numbers of each case. A
# The same once more with returns that are paired with their entries. A
# flood with tiny buffers loses records, and each loss is accounted for; one with default buffers loses none.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/live_lib.sh
source "$here/live_lib.sh"
need_tools jq sqlite3 curl
need_live
trap cleanup EXIT

# One run of the daemon for each: a capture must begin from an empty state.
play_case() {
	local file=$1 name=${2:-${1##*/}}
	shift "$(($# > 1 ? 2 : 1))"
	rm -f "$db" "$db"-*
	if ! start_daemon "$@"; then
		not_ok "$name" "$(wait_daemon; daemon_report)"
		return
	fi
	run "$live_events" --play "$file"
	if ((status != 0)); then
		not_ok "$name: played" "$(run_report)"
	fi
	stop_daemon
	is "$name: stops with status 0" 0 "$status"
	run "$ioflush" replay --format json "$db"
	compare "$name" "${file%.jsonl}.expected.json" daemon_report
	is "$name: the capture is complete" complete "$(state_of 1)"
	is "$name: nothing is lost" 0 "$(lost_of 1)"
}

# The database is read while it is written.
replay_under_way() {
	rm -f "$db" "$db"-*
	start_daemon --batch-time 50ms --listen "unix:$scratch/api.sock" || { not_ok "replay under way" "$(daemon_report)"; return; }
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	for _ in {1..100}; do
		[[ $(rows_of 1) == 26 ]] && break
		sleep 0.05
	done
	is "the metrics count events by kind" "$(grep -c '"e": "map"' "$data/cases/hotplug.jsonl")" \
		"$(curl -s --unix-socket "$scratch/api.sock" http://localhost/metrics | sed -n 's/^ioflush_events_total{kind="map"} //p')"
	run "$ioflush" replay --format json "$db"
	compare "hotplug.jsonl, replayed while it is recorded" "$data/cases/hotplug.expected.json" daemon_report
	is "the capture is under way" recording "$(state_of 1)"
	stop_daemon
	is "... and complete when stopped" complete "$(state_of 1)"
}

# mode_of FILE: mode, owner and group
mode_of() {
	stat -c '%a %U:%G' "$1" 2>&1
}

# As the service runs it: who reads the database, who uses the API, and that nobody else does either, whatever the umask.
# Another file in the place of the database is not followed, and a lock that somebody else holds has a name.
as_service() {
	local folder=$scratch/own keep=$db holder
	if ! getent passwd nobody >/dev/null || ! getent group nogroup >/dev/null || ! getent group daemon >/dev/null; then
		skip "as a service" "no user nobody, or no groups nogroup and daemon"
		return
	fi
	chmod 755 "$scratch"
	cp "$ioflush" "$scratch/ioflush"
	if ! setpriv --reuid nobody --clear-groups test -x "$scratch/ioflush"; then
		skip "as a service" "others than root cannot enter $scratch"
		return
	fi
	install -d -m 750 -o nobody -g nogroup "$folder"
	db=$folder/live.db
	umask 0
	start_daemon --user nobody --listen-group daemon --listen "unix:$folder/api/api.sock" ||
		not_ok "as a service: starts" "$(daemon_report)"
	umask 022
	is "as a service: the umask" 0027 "$(sed -n 's/^Umask:[[:space:]]*//p' "/proc/$(recorder_pid)/status")"
	is "as a service: the database" "640 nobody:nogroup" "$(mode_of "$db")"
	is "as a service: its log" "640 nobody:nogroup" "$(mode_of "$db-wal")"
	is "as a service: its shared memory" "640 nobody:nogroup" "$(mode_of "$db-shm")"
	is "as a service: the socket" "660 nobody:daemon" "$(mode_of "$folder/api/api.sock")"
	is "as a service: the socket's folder" "750 nobody:daemon" "$(mode_of "$folder/api")"
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	for _ in {1..100}; do
		[[ $(rows_of 1) == 26 ]] && break
		sleep 0.05
	done
	# Who is in the group reads, while it is recorded.
	run setpriv --reuid 65533 --regid nogroup --clear-groups "$scratch/ioflush" replay --format json "$db"
	compare "as a service: read by the group" "$data/cases/hotplug.expected.json" daemon_report
	run setpriv --reuid 65533 --regid 65533 --clear-groups "$scratch/ioflush" replay "$db"
	is "as a service: read by nobody else" 1 "$status"
	mv "$db" "$folder/kept.db"
	printf 'not a database\n' >"$db"
	wait_health 'another file lies at the database'
	mv "$folder/kept.db" "$db"
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	wait_health '"status":"ok"'
	coproc lock { exec sqlite3 "$db"; }
	holder=$lock_PID
	printf 'BEGIN IMMEDIATE;\n' >&"${lock[1]}"
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	wait_health "process $holder (sqlite3"
	kill "$holder"
	wait_health '"status":"ok"'
	stop_daemon
	is "as a service: all is in the file that was opened" 78 "$(rows_of 1)"
	db=$keep
}

# wait_health TEXT: what /healthz says comes to have it
wait_health() {
	local said=
	for _ in {1..200}; do
		said=$(curl -s --unix-socket "$scratch/own/api/api.sock" http://localhost/healthz) || true
		if [[ $said == *"$1"* ]]; then
			ok "as a service: health says: $1"
			return
		fi
		sleep 0.05
	done
	not_ok "as a service: health says: $1" "$said; $(daemon_report)"
}

# has_line NAME TEXT: the log has a line that ends so
has_line() {
	if grep -q -- "$2\$" "$log"; then
		ok "$1"
	else
		not_ok "$1" "no line ends in: $2; $(daemon_report)"
	fi
}

# What the kernel takes in place of a probe that it refuses, and what it has nothing for, is said when recording begins.
some_refused() {
	rm -f "$db" "$db"-*
	awk '/\/cut / { print "p:x/cut /nowhere/at/all:0x10 area=%di:x64"; next }
		/\/map / { print "p:x/map /nowhere/at/all:0x20 domain=%di:x64"; print "@lost what the first one had" }
		{ print }' "$probes" >"$scratch/refused.probes"
	start_daemon --probes "$scratch/refused.probes" || { not_ok "some refused: starts" "$(daemon_report)"; return; }
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	stop_daemon
	has_line "some refused: the event that is missing" 'warning: no event cut: .*/refused.probes:[0-9]*: Failed to find the given file.*'
	has_line "some refused: the alternative" 'event map by alternative 2; lost with it: what the first one had'
	has_line "some refused: how many are armed" \
		"$(($(grep -c '^[pr]' "$probes") - 1)) of $(grep -c '^[pr]' "$probes") probes armed"
	is "some refused: all events of the case are there" 26 "$(rows_of 1)"
	is "some refused: the capture has the lines that are armed" 0 "$(sql "SELECT instr(probes, '/nowhere') FROM capture")"
	is "some refused: no more lines than that" "$(($(grep -c '^[pr]' "$probes") - 1))" \
		"$(sql "SELECT length(probes) - length(replace(probes, char(10), '')) FROM capture")"
}

# heard COUNT TEXT: what was told to systemd comes to have so many lines that begin with it
heard() {
	for _ in {1..300}; do
		(($(grep -c "^$2" "$scratch/told") >= $1)) && return 0
		sleep 0.05
	done
	not_ok "systemd hears $2 $1 times" "$(cat "$scratch/told"; daemon_report)"
}

# As systemd would start it: when it is ready, reloads, is alive and ends is said to a socket.
told() {
	local -x NOTIFY_SOCKET=$scratch/notify WATCHDOG_USEC=8000000
	local listener since
	if ! command -v python3 >/dev/null; then
		skip "systemd is told" "python3 is not installed: apt-get install python3"
		return
	fi
	rm -f "$db" "$db"-*
	python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
	print(s.recv(4096).decode().replace("\n", " "), flush=True)' "$NOTIFY_SOCKET" >"$scratch/told" &
	listener=$!
	while [[ ! -S $NOTIFY_SOCKET ]]; do
		sleep 0.05
	done
	start_daemon || { not_ok "systemd is told: starts" "$(daemon_report)"; return; }
	heard 1 READY=1
	run "$live_events" --play "$data/cases/hotplug.jsonl"
	kill -HUP "$daemon_pid"
	heard 2 READY=1
	heard 1 STATUS=
	heard 1 WATCHDOG=1
	since=$SECONDS
	heard 2 WATCHDOG=1
	since=$((SECONDS - since))
	stop_daemon
	heard 1 STOPPING=1
	kill "$listener"
	wait "$listener" 2>/dev/null || true
	is "systemd is told: ready, a reload, the end" "READY=1 RELOADING=1 READY=1 STOPPING=1 " \
		"$(sed 's/ .*//' "$scratch/told" | grep -E '^(READY|RELOADING|STOPPING)' | tr '\n' ' ')"
	is "systemd is told: the status" 1 "$(grep -cxE 'STATUS=Capture 1: [0-9]+ events, 0 lost' "$scratch/told")"
	if ((since >= 2 && since < 8)); then
		ok "systemd is told: it is alive, twice as often as it must be"
	else
		not_ok "systemd is told: it is alive, twice as often as it must be" "again after $since s"
	fi
}

# flood NAME COUNT OPTION...: from both CPUs; rows and losses add up to what was sent
flood() {
	local name=$1 count=$2 pids=() pid sent=0 rows lost cpu
	shift 2
	rm -f "$db" "$db"-*
	start_daemon "$@" || { not_ok "$name" "$(daemon_report)"; return; }
	for cpu in 0 1; do
		"$live_events" --cpu "$((cpu % $(nproc)))" --flood "$count" >"$scratch/flood.$cpu" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || not_ok "$name: the flood ran"
	done
	sent=$((2 * count))
	stop_daemon
	is "$name: stops with status 0" 0 "$status"
	rows=$(rows_of 1)
	lost=$(lost_of 1)
	is "$name: $rows rows + $lost lost = sent" "$sent" "$((rows + lost))"
	is "$name: no loss of unknown size" 0 "$(sql 'SELECT count(*) FROM lost WHERE count IS NULL')"
	flood_lost=$lost
	flood_rows=$rows
}

# The same with probes whose returns lack what their entry has.
play_paired() {
	local file
	run "$live_events" --paired --probes "$instance"
	mv "$scratch/out" "$scratch/paired.probes"
	for file in "$data"/cases/[!g]*.jsonl; do
		play_case "$file" "paired returns: ${file##*/}" --probes "$scratch/paired.probes"
	done
}

cases=0
for file in "$data"/cases/*.jsonl; do
	play_case "$file"
	cases=$((cases + 1))
done
if ((cases >= 24)); then
	ok "all cases were played"
else
	not_ok "all cases were played" "$cases under $data/cases"
fi
play_paired
replay_under_way
some_refused
told
as_service

flood "tiny buffers" 200000 --buffer-size 8K --drain-interval 1s
if ((flood_lost > 0 && flood_rows > 0)); then
	ok "tiny buffers: $flood_lost are lost, $flood_rows are not"
else
	not_ok "tiny buffers: some are lost, some are not" "rows $flood_rows, lost $flood_lost"
fi
if grep -q 'records lost in the ring buffer' "$log"; then
	ok "tiny buffers: the log says so"
else
	not_ok "tiny buffers: the log says so" "$(daemon_report)"
fi
flood "default buffers" 200000
keeps_up is "default buffers: nothing is lost" 0 "$flood_lost"

no_leftovers "after all of it"
tap_done checks
