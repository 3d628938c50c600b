#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What goes wrong on a live host, one after the other: kill -9 at random points, a full disk, a database that cannot be
# written or is locked, tracefs that is not there, an event format that changed, SIGHUP in a flood, others who turn off,
# restrict, empty or read what we record. After each of them: no stored row lost or doubled, the database sound, nothing of
# ours left in tracefs, what is others' untouched.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/live_lib.sh
source "$here/live_lib.sh"
need_tools sqlite3 jq
need_live
kills=${FAULT_KILLS:-20}
other=${instance}_other

cleanup_all() {
	rmdir "$tracefs/instances/$other" 2>/dev/null || true
	remove_group "$other"
	cleanup
}
trap cleanup_all EXIT

fresh() {
	rm -f "$db" "$db"-*
}

# flood COUNT: in the background, sequence numbers from 1; its process in $flood_pid
flood() {
	"$live_events" --flood "$1" >"$scratch/flood.out" 2>&1 &
	flood_pid=$!
}

# Somebody else's probe and instance: here before, and to be here after all.
plant_other() {
	grep -m 1 '^[pr]:' "$probes" | sed "s,:[^/]*/,:$other/," >>"$tracefs/dynamic_events"
	mkdir "$tracefs/instances/$other"
}

check_other() {
	if grep -q ":$other/" "$tracefs/dynamic_events" && [[ -d $tracefs/instances/$other ]]; then
		ok "probes and instances of others are untouched"
	else
		not_ok "probes and instances of others are untouched" "$(cat "$tracefs/dynamic_events")"
	fi
}

# The numbers that the flood counts up, stored more than once in one capture
doubled() {
	sql "SELECT count(*) FROM (SELECT 1 FROM event WHERE kind = (SELECT kind FROM event_kind WHERE name = 'unmap')
		GROUP BY capture, f1, f2, f0 HAVING count(*) > 1)"
}

# once_killed WHO: the recorder, the first process, or both, somewhere in a flood. Rows that were there before the kill
# are there after it.
once_killed() {
	local who=$1 recorder before after state first=$daemon_pid
	recorder=$(recorder_pid)
	flood 1000000
	sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
	before=$(sql 'SELECT count(*) FROM event')
	case $who in
	recorder) kill -KILL "$recorder" ;;
	first) kill -KILL "$first" ;;
	both)
		kill -STOP "$recorder" # else it may see that the first process is gone, and end well
		kill -KILL "$first" "$recorder"
		;;
	esac
	wait_daemon
	if ((status == 0)); then
		failures+="kill of $who: exit status 0; "
	fi
	# Without the first process the recorder ends by itself, when it has stored what it read.
	for _ in {1..1200}; do
		kill -0 "$recorder" 2>/dev/null || break
		sleep 0.05
	done
	if kill -0 "$recorder" 2>/dev/null; then
		failures+="kill of $who: the recorder goes on; "
	fi
	kill "$flood_pid" 2>/dev/null || true
	wait "$flood_pid" 2>/dev/null || true
	after=$(sql 'SELECT count(*) FROM event')
	if ((after < before)); then
		failures+="kill of $who: $before rows before, $after after; "
	fi
	state=$("$ioflush" replay --format json --policy none "$db" 2>&1 | jq -r '.trace.captures[-1].state' 2>&1)
	if [[ $who != first && $state != cut-off ]]; then
		failures+="kill of $who: readers call the capture \"$state\"; "
	fi
	if [[ $who == recorder && -n $(leftovers) ]]; then
		failures+="kill of $who: $(leftovers); "
	fi
}

killed() {
	local who=(recorder both first) i failures='' captures open
	fresh
	for ((i = 0; i < kills; i++)); do
		if ! start_daemon --batch-time 20ms --batch-rows 500; then
			not_ok "start after kill $i" "$(daemon_report)"
			return
		fi
		once_killed "${who[i % 3]}"
	done
	if [[ -z $failures ]]; then
		ok "killed $kills times: fails, leaves no recorder, loses no committed row"
	else
		not_ok "killed $kills times: fails, leaves no recorder, loses no committed row" "$failures"
	fi
	start_daemon || true
	stop_daemon
	captures=$(sql 'SELECT count(*) FROM capture')
	is "killed: each start is a capture" "$((kills + 1))" "$captures"
	open=$(sql "SELECT count(*) FROM capture WHERE state = 'recording'")
	is "killed: no capture is left open" 0 "$open"
	is "killed: the last one is complete" complete "$(state_of "$captures")"
	is "killed: a capture whose recorder died is cut off" cut-off "$(state_of 1)"
	is "killed: no row is doubled" 0 "$(doubled)"
	if (($(sql "SELECT count(*) FROM event") > 1000)); then
		ok "killed: there were rows to lose"
	else
		not_ok "killed: there were rows to lose"
	fi
	sound killed
	run "$ioflush" replay "$db"
	is "killed: the database can be replayed" 0 "$status"
	no_leftovers killed
}

# disarm STATUS TEXT NAME: what --disarm says of our instance
disarm() {
	run "$ioflushd" --disarm --instance "$instance" --tracefs "$tracefs"
	if ((status == $1)) && cat "$scratch/out" "$scratch/err" | grep -q -- "$2"; then
		ok "$3"
	else
		not_ok "$3" "$(run_report)"
	fi
}

# Both processes are killed, and nobody starts a recorder again: what is armed stays so until it is said otherwise.
disarmed() {
	local recorder
	fresh
	start_daemon || { not_ok "disarm: starts" "$(daemon_report)"; return; }
	disarm 16 'another ioflushd uses the instance' "disarm: refused while a recorder holds the instance"
	flood 1000
	wait "$flood_pid" || true
	kill -0 "$daemon_pid" 2>/dev/null || not_ok "disarm: the recorder goes on" "$(daemon_report)"
	recorder=$(recorder_pid)
	kill -KILL "$daemon_pid" "$recorder"
	wait_daemon
	while kill -0 "$recorder" 2>/dev/null; do
		sleep 0.05
	done
	if [[ $(leftovers) == *:$instance/*instance\ $instance ]]; then
		ok "disarm: a kill of both leaves probes and the instance"
	else
		not_ok "disarm: a kill of both leaves probes and the instance" "$(leftovers)"
	fi
	disarm 0 'leftovers (probes, and the instance) are removed' "disarm: removes them"
	no_leftovers disarm
	disarm 0 'nothing is left over' "disarm: has nothing to do the second time"
	no_leftovers "disarm, again"
	# One whose first process is gone still has its buffers open, until it has closed its capture.
	start_daemon || { not_ok "disarm: starts again" "$(daemon_report)"; return; }
	kill -KILL "$daemon_pid"
	wait_daemon
	disarm 0 'leftovers (probes, and the instance) are removed' "disarm: waits for a recorder that is ending"
	no_leftovers "disarm, of one that is ending"
}

# wait_log TEXT: at most half a minute
wait_log() {
	for _ in {1..300}; do
		if grep -q -- "$1" "$log"; then
			return 0
		fi
		sleep 0.1
	done
	return 1
}

full_disk() {
	local keep=$db count=400000 rows lost
	if ! { mkdir -p "$scratch/small" && mount -t tmpfs -o size=8M tmpfs "$scratch/small"; } 2>/dev/null; then
		skip "a full disk" "no tmpfs can be mounted here"
		return
	fi
	db=$scratch/small/full.db
	head -c 5M /dev/zero >"$scratch/small/ballast"
	if ! start_daemon; then
		not_ok "full disk: starts" "$(daemon_report)"
	else
		flood "$count"
		if wait_log 'takes no rows'; then
			ok "full disk: the log says so"
		else
			not_ok "full disk: the log says so" "$(df "$scratch/small"; daemon_report)"
		fi
		wait "$flood_pid" || true
		mount -o remount,size=256M "$scratch/small"
		rm "$scratch/small/ballast"
		if wait_log 'takes rows again'; then
			ok "full disk: recovers by itself"
		else
			not_ok "full disk: recovers by itself" "$(daemon_report)"
		fi
		stop_daemon
		is "full disk: stops with status 0" 0 "$status"
		rows=$(rows_of 1) lost=$(lost_of 1)
		is "full disk: $rows rows + $lost lost = sent" "$count" "$((rows + lost))"
		is "full disk: no row is doubled" 0 "$(doubled)"
		sound "full disk"
	fi
	umount -l "$scratch/small"
	db=$keep
	no_leftovers "full disk"
}

read_only() {
	local keep=$db
	if ! { mkdir -p "$scratch/small" && mount -t tmpfs -o size=8M tmpfs "$scratch/small"; } 2>/dev/null; then
		skip "a read-only database" "no tmpfs can be mounted here"
		return
	fi
	db=$scratch/small/ro.db
	start_daemon && stop_daemon
	mount -o remount,ro "$scratch/small"
	if start_daemon; then
		not_ok "a read-only database is refused" "$(daemon_report)"
		stop_daemon
	else
		wait_daemon
		is "a read-only database: exit status 1" 1 "$status"
		if grep -q 'ro\.db' "$log"; then
			ok "a read-only database is named"
		else
			not_ok "a read-only database is named" "$(daemon_report)"
		fi
	fi
	umount -l "$scratch/small"
	db=$keep
	no_leftovers "a read-only database"
}

# Somebody holds the write lock for longer than any busy timeout should wait; the queue bridges it.
locked() {
	local holder count=20000
	fresh
	start_daemon --batch-time 50ms || { not_ok "locked: starts" "$(daemon_report)"; return; }
	printf 'BEGIN IMMEDIATE;\n.shell touch %s/held; sleep 4\nROLLBACK;\n' "$scratch" |
		sqlite3 -cmd '.timeout 5000' "$db" >"$scratch/holder" 2>&1 &
	holder=$!
	while [[ ! -e $scratch/held ]]; do
		sleep 0.02
	done
	flood "$count"
	wait "$flood_pid" || true
	wait "$holder" || true
	stop_daemon
	is "locked: stops with status 0" 0 "$status"
	is "locked: every event is stored" "$count" "$(rows_of 1)"
	is "locked: nothing is lost" 0 "$(lost_of 1)"
	is "locked: no row is doubled" 0 "$(doubled)"
	sound locked
	no_leftovers locked
}

# The API's address cannot be had: nothing is recorded, so there must be no capture that says so.
no_address() {
	fresh
	: >"$scratch/file"
	if start_daemon --listen "unix:$scratch/file"; then
		not_ok "no address for the API: refused" "$(daemon_report)"
		stop_daemon
	else
		wait_daemon
		is "no address for the API: exit status 1" 1 "$status"
		if [[ ! -e $db ]] && grep -q "$scratch/file: something that is no socket is there" "$log"; then
			ok "no address for the API: the log says so, and the database was not touched"
		else
			not_ok "no address for the API: the log says so, and the database was not touched" "$(daemon_report)"
		fi
	fi
	no_leftovers "no address for the API"
}

# Recording fails under way: the first process, which looks what CPUs there are, may open no more files.
fails_under_way() {
	local count=1000
	fresh
	start_daemon || { not_ok "fails under way: starts" "$(daemon_report)"; return; }
	flood "$count"
	wait "$flood_pid" || true
	prlimit --pid "$daemon_pid" --nofile=3:3
	wait_daemon
	is "fails under way: exit status 1" 1 "$status"
	is "fails under way: the capture is cut off" cut-off "$(state_of 1)"
	is "fails under way: the reason is its note" 1 "$(sql "SELECT note LIKE '%Too many open files%' FROM capture")"
	is "fails under way: what was recorded is there" "$count" "$(rows_of 1)"
	sound "fails under way"
	start_daemon && stop_daemon # without files nothing could be taken away either: the next start does
	no_leftovers "fails under way"
}

no_tracefs() {
	local keep=$tracefs
	fresh
	tracefs=$scratch/nowhere
	if start_daemon; then
		not_ok "no tracefs: refused" "$(daemon_report)"
		stop_daemon
	else
		wait_daemon
		is "no tracefs: exit status 10" 10 "$status"
		if grep -q "$scratch/nowhere" "$log"; then
			ok "no tracefs: the folder is named"
		else
			not_ok "no tracefs: the folder is named" "$(daemon_report)"
		fi
	fi
	tracefs=$keep
	no_leftovers "no tracefs"
}

# The fields of every probe in reverse order: the same names, other offsets, as after an update of the kernel.
format_changed() {
	local keep=$probes before after
	fresh
	start_daemon || { not_ok "format: starts" "$(daemon_report)"; return; }
	"$live_events" --play "$data/cases/hotplug.jsonl" >/dev/null
	stop_daemon
	awk '/^[pr][0-9]*:/ { line = $1 " " $2; for (i = NF; i > 2; i--) line = line " " $i; print line; next } { print }' \
		"$keep" >"$scratch/reversed.probes"
	probes=$scratch/reversed.probes
	start_daemon || { not_ok "format: starts with other fields" "$(daemon_report)"; return; }
	"$live_events" --play "$data/cases/hotplug.jsonl" >/dev/null
	stop_daemon
	probes=$keep
	before=$(sql 'SELECT kind, f0, f1, f2, f3, f4 FROM event WHERE capture = 1 ORDER BY id')
	after=$(sql 'SELECT kind, f0, f1, f2, f3, f4 FROM event WHERE capture = 2 ORDER BY id')
	if [[ -n $before && $before == "$after" ]]; then
		ok "an event format that changed gives the same events"
	else
		not_ok "an event format that changed gives the same events" "$(diff <(echo "$before") <(echo "$after"))"
	fi
	no_leftovers "an event format that changed"
}

# A field that is needed is gone: it must not pass in silence.
field_gone() {
	local keep=$probes
	fresh
	sed '/\/map /s/ size=[^ ]*//' "$keep" >"$scratch/gone.probes"
	probes=$scratch/gone.probes
	if start_daemon; then
		"$live_events" --play "$data/cases/hotplug.jsonl" >/dev/null
		stop_daemon
		if (($(lost_of 1) > 0)); then
			ok "a field that is gone: what cannot be decoded counts as lost"
		else
			not_ok "a field that is gone: what cannot be decoded counts as lost" "$(daemon_report)"
		fi
	else
		wait_daemon
		if ((status != 0)) && grep -q 'size' "$log"; then
			ok "a field that is gone is refused by name"
		else
			not_ok "a field that is gone is refused by name" "$(daemon_report)"
		fi
	fi
	probes=$keep
	no_leftovers "a field that is gone"
}

hangups() {
	local count=100000 n=0
	fresh
	printf 'batch-rows = 1000\n' >"$scratch/hup.conf"
	start_daemon --config "$scratch/hup.conf" || { not_ok "SIGHUP: starts" "$(daemon_report)"; return; }
	flood "$count"
	while kill -0 "$flood_pid" 2>/dev/null; do
		n=$((n + 1))
		printf 'batch-rows = %d\nqueue-events = %d\n' "$((1000 + n))" "$((65536 + n))" >"$scratch/hup.conf"
		kill -HUP "$daemon_pid"
		sleep 0.02
	done
	printf 'batch-rows = 1000\ndurability = commit\n' >"$scratch/hup.conf"
	kill -HUP "$daemon_pid"
	if wait_log 'durability has changed$'; then
		ok "SIGHUP: durability changes at once"
	else
		not_ok "SIGHUP: durability changes at once" "$(daemon_report)"
	fi
	printf 'batch-rows = 1000\nno-such-key = 1\n' >"$scratch/hup.conf"
	kill -HUP "$daemon_pid"
	if wait_log 'no-such-key'; then
		ok "SIGHUP: an error in the file is named, and changes nothing"
	else
		not_ok "SIGHUP: an error in the file is named, and changes nothing" "$(daemon_report)"
	fi
	stop_daemon
	is "SIGHUP: stops with status 0" 0 "$status"
	is "SIGHUP: rows + lost = sent" "$count" "$(($(rows_of 1) + $(lost_of 1)))"
	keeps_up is "SIGHUP: $n in a flood cost nothing" "$count" "$(rows_of 1)"
	if grep -q 'batch-rows has changed' "$log" && grep -q 'queue-events has changed; it takes effect when' "$log"; then
		ok "SIGHUP: the log says what changed, and what waits for a restart"
	else
		not_ok "SIGHUP: the log says what changed, and what waits for a restart" "$(daemon_report)"
	fi
	no_leftovers SIGHUP
}

# flood_and_wait COUNT
flood_and_wait() {
	flood "$1"
	wait "$flood_pid" || true
}

unknown_losses() {
	sql 'SELECT count(*) FROM lost WHERE count IS NULL'
}

# changed WHAT FILE VALUE: somebody writes the value into a file of our instance, and nothing else tells that events are
# missing from then on.
changed() {
	local what=$1 file=$tracefs/instances/$instance/$2 value=$3
	fresh
	start_daemon || { not_ok "$what: starts" "$(daemon_report)"; return; }
	flood_and_wait 1000
	printf '%s\n' "$value" >"$file"
	flood_and_wait 1000
	stop_daemon
	if (($(rows_of 1) < 2000)); then
		ok "$what: events are missing"
	else
		not_ok "$what: events are missing" "$(rows_of 1) rows"
	fi
	if (($(unknown_losses) > 0)) && grep -q "somebody else has changed how the kernel records: .*/${2##*/} is " "$log"; then
		ok "$what: that is a loss, and the log says why"
	else
		not_ok "$what: that is a loss, and the log says why" "$(sql 'SELECT * FROM lost'; daemon_report)"
	fi
	no_leftovers "$what"
}

# Turned off and on again under way: the loss has a beginning and an end.
paused() {
	fresh
	start_daemon || { not_ok "paused: starts" "$(daemon_report)"; return; }
	flood_and_wait 1000
	echo 0 >"$tracefs/instances/$instance/tracing_on"
	wait_log 'somebody else has changed' || true
	flood_and_wait 1000
	echo 1 >"$tracefs/instances/$instance/tracing_on"
	wait_log 'records as it was told to, again' || true
	flood_and_wait 1000
	stop_daemon
	is "paused: what was recorded before and after is there" 2000 "$(rows_of 1)"
	is "paused: a loss when it was seen, one when it was over" 2 "$(unknown_losses)"
	is "paused: nothing after that is in doubt" 1000 \
		"$(sql 'SELECT count(*) FROM event WHERE id > (SELECT max(id) FROM lost)')"
	no_leftovers paused
}

# While the recorder is late, somebody empties its buffer, or reads from it.
emptied() {
	local recorder rows lost
	fresh
	start_daemon || { not_ok "emptied: starts" "$(daemon_report)"; return; }
	recorder=$(recorder_pid)
	flood_and_wait 1000
	sleep 0.5
	kill -STOP "$recorder"
	flood_and_wait 1000
	echo >"$tracefs/instances/$instance/trace"
	kill -CONT "$recorder"
	stop_daemon
	if (($(rows_of 1) < 2000 && $(unknown_losses) > 0)); then
		ok "emptied: what is missing is a loss"
	else
		not_ok "emptied: what is missing is a loss" "$(rows_of 1) rows; $(sql 'SELECT * FROM lost'; daemon_report)"
	fi
	fresh
	start_daemon || { not_ok "read by another: starts" "$(daemon_report)"; return; }
	recorder=$(recorder_pid)
	flood_and_wait 1000
	kill -STOP "$recorder"
	flood_and_wait 1000
	timeout 1 cat "$tracefs/instances/$instance/trace_pipe" >"$scratch/stolen" || true
	kill -CONT "$recorder"
	flood_and_wait 1000
	stop_daemon
	rows=$(rows_of 1) lost=$(lost_of 1)
	is "read by another: $rows rows + $lost lost = sent" 3000 "$((rows + lost))"
	is "read by another: as many as it read" "$(grep -cE ' (un)?map: ' "$scratch/stolen")" "$lost"
	no_leftovers "read by another"
}

# Several at once: each removes its own while the list that it would read changes under it.
neighbours() {
	local round i pids left=''
	for round in 1 2 3 4 5 6 7 8; do
		pids=()
		for i in 1 2 3; do
			"$ioflushd" --foreground --db "$scratch/$i.db" --probes "$probes" --instance "${instance}_$i" \
				--tracefs "$tracefs" --listen none >"$scratch/$i.log" 2>&1 &
			pids+=($!)
		done
		for i in 1 2 3; do
			log=$scratch/$i.log wait_log 'recording into' || not_ok "neighbours: $i starts" "$(cat "$scratch/$i.log")"
		done
		kill -TERM "${pids[@]}"
		wait "${pids[@]}" || not_ok "neighbours: they end with status 0" "$(cat "$scratch"/[123].log)"
		left+=$(grep ":${instance}_[123]/" "$tracefs/dynamic_events" || true)
	done
	if [[ -z $left ]]; then
		ok "neighbours: three that stop at the same time leave nothing behind"
	else
		not_ok "neighbours: three that stop at the same time leave nothing behind" "$left"
		for i in 1 2 3; do
			remove_group "${instance}_$i"
		done
	fi
}

plant_other
neighbours
killed
disarmed
full_disk
read_only
locked
no_address
fails_under_way
no_tracefs
format_changed
field_gone
hangups
changed "turned off" tracing_on 0
changed "disabled" "events/$instance/enable" 0
changed "filtered" "events/$instance/map/filter" 'size > 5000'
changed "for one process only" set_event_pid 1
paused
emptied
skip "a step of the wall clock" "it would reach every process of this machine: make check-vm steps that of a guest"
check_other
tap_done checks
