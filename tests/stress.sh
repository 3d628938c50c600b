#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All at once on one recorder, for STRESS_SECONDS (1800): a flood from all CPUs, SIGHUP with ever other options, retention
# so small that it deletes and sweeps all the time, requests and replays, done and aborted, readers that stay, writers that
# lock. "make stress" runs it; it is not part of check.
#
# Each minute the flood pauses, all else goes on, and the sum must be exact: what was sent is in the database, as a row, as
# deleted by retention (its mark counts), or as lost. Every five minutes the recorder ends, and a new one begins with a
# new database; every second one has small buffers that overwrite.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/live_lib.sh
source "$here/live_lib.sh"
need_tools sqlite3 curl jq
need_live
seconds=${STRESS_SECONDS:-1800}
minute=60 minutes_of_recorder=5
socket=$scratch/api.sock
conf=$scratch/stress.conf
count=$scratch/count # a folder: a file for each thing that is counted, a byte for each time
over=$scratch/over   # once it is there, what runs beside the flood ends
wrong=0 checked=0 total=0
trap 'touch "$over"; cleanup' EXIT
mkdir "$count"

tick() {
	printf . >>"$count/$1"
}

ticks() {
	stat -c %s "$count/$1" 2>/dev/null || echo 0
}

one_of() {
	shift "$((RANDOM % $#))"
	printf '%s' "$1"
}

# A nap of up to so many ms
nap() {
	local ms=$((RANDOM % $1))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

write_config() {
	{
		printf 'retain-size = %s\n' "$(one_of 2M 4M 8M 8M 16M 64M 0)"
		printf 'retain-age = %s\n' "$(one_of 0 0 0 2s 20s)"
		printf 'batch-rows = %s\n' "$(one_of 100 1000 8192 8192 100000)"
		printf 'batch-time = %s\n' "$(one_of 10ms 100ms 500ms 500ms 2s)"
		printf 'drain-interval = %s\n' "$(one_of 10ms 50ms 100ms 100ms 1s)"
		printf 'queue-events = %s\n' "$(one_of 8K 64K 256K)" # waits for a restart
		printf 'log-level = %s\n' "$(one_of info info debug)"
	} >"$conf.new"
	mv "$conf.new" "$conf"
}

# One at a time, or eight that overtake each other
hang_up() {
	local n
	while [[ ! -e $over ]]; do
		write_config
		n=1
		((RANDOM % 8)) || n=8
		for ((; n > 0; n--)); do
			kill -HUP "$daemon_pid" 2>/dev/null || return 0
			tick reloads
			((RANDOM % 2)) || nap 30
		done
		nap 1500
	done
}

# ask PATH [OPTION...]: the answer, which may be an error; a client that does not wait for it counts as aborted
ask() {
	local path=$1
	shift
	if curl -s --unix-socket "$socket" --max-time 20 "$@" "http://localhost$path"; then
		tick requests
	else
		tick aborted
	fi
}

ask_all() {
	local hurry
	while [[ ! -e $over ]]; do
		hurry=()
		((RANDOM % 3)) || hurry=(--max-time "0.0$((RANDOM % 90 + 10))")
		ask "$(one_of /v1/status /v1/captures /metrics /healthz '/v1/events?limit=1000' \
			'/v1/events?order=desc&limit=1000' '/v1/events?kind=lost&limit=1000' /v1/domains /v1/iopts)" \
			"${hurry[@]}" >/dev/null
		nap 100
	done
}

# Replays of what is recorded and deleted meanwhile: looked at, ended, or left alone
replay_some() {
	local id
	while [[ ! -e $over ]]; do
		id=$(ask /v1/replays -d '{"policies": "sticky-v1,ideal"}' -H 'Content-Type: application/json' | jq -r '.id // empty')
		nap 2000
		if [[ -n $id ]]; then
			tick replays
			case $((RANDOM % 3)) in
			0) ask "/v1/replays/$id" -X DELETE ;;
			1) ask "/v1/replays/$id/gaps?policy=sticky-v1" ;;
			2) ask "/v1/replays/$id" ;;
			esac >/dev/null
		fi
	done
}

# Others at the database: a reader that stays, so that the log grows; a writer that holds the lock
disturb() {
	local what
	while [[ ! -e $over ]]; do
		nap 8000
		what=$(one_of 'BEGIN; SELECT max(id) FROM event' 'BEGIN IMMEDIATE')
		printf '.timeout 5000\n%s;\n.shell sleep %d.%d\nROLLBACK;\n' "$what" "$((RANDOM % 3))" "$((RANDOM % 10))" |
			sqlite3 "$db" >/dev/null 2>&1 || true
		tick disturbed
	done
}

# flood_cpu CPU UNTIL: floods and pauses. Each by another thread under another name: tasks and strings come and go. Some are
# one event again and again, whose records fill pages to the last byte.
flood_cpu() {
	local cpu=$1 until=$2 n link
	while ((SECONDS < until)); do
		n=$((RANDOM * 4 + 1000))
		link=$scratch/flood_$cpu.$((RANDOM % 1000))
		if ((RANDOM % 4)); then
			ln -f "$live_events" "$link"
			"$link" --cpu "$cpu" --flood "$n" | sed -n 's/^sent //p' >>"$scratch/sent.$cpu"
			rm "$link"
		else
			"$live_events" --cpu "$cpu" --repeat "$n" --play "$data/ring/map.jsonl" |
				sed -n 's/^sent //p' >>"$scratch/sent.$cpu"
		fi
		((RANDOM % 4)) || nap 1500
		((RANDOM % 2)) || nap 100
	done
}

flood_all() {
	local until=$((SECONDS + $1)) cpu pids=()
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		flood_cpu "$cpu" "$until" &
		pids+=($!)
	done
	wait "${pids[@]}"
}

sent() {
	cat "$scratch"/sent.* | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

status_of() {
	curl -s --unix-socket "$socket" --max-time 20 http://localhost/v1/status
}

# Until all that was sent has come through: nothing is read, nothing waits, nothing is written.
settle() {
	local now before='' same=0
	for _ in {1..300}; do
		now=$(status_of | jq -c '[.capture.records, .losses, .queue.events, .database.rows, .database.failing]') || now=
		if [[ -n $now && $now == "$before" && $now == *',0,'[0-9]*',null]' ]]; then
			((++same < 6)) || return 0
		else
			same=0
		fi
		before=$now
		sleep 0.3
	done
	return 1
}

# Of all captures: rows that are events, deleted by retention, otherwise lost, losses of unknown size
sums() {
	sqlite3 -readonly -separator ' ' -cmd '.timeout 20000' "$db" "
		SELECT (SELECT count(*) FROM event) - (SELECT count(*) FROM lost),
			(SELECT ifnull(sum(count), 0) FROM lost WHERE cause = 'retention'),
			(SELECT ifnull(sum(count), 0) FROM lost WHERE cause IS NOT 'retention'),
			(SELECT count(*) FROM lost WHERE count IS NULL)"
}

# The numbers that a flood counts up, stored more than once of one thread
doubled() {
	sql "SELECT count(*) FROM (SELECT 1 FROM event JOIN task ON task.id = task JOIN string ON string.id = comm
		WHERE text LIKE 'flood%' GROUP BY capture, task, kind, f1 HAVING count(*) > 1)"
}

# check_sums WHEN: one line, and what there is to know where it does not add up
check_sums() {
	local rows deleted lost unknown all
	all=$(sent)
	read -r rows deleted lost unknown < <(sums)
	checked=$((checked + 1))
	printf '# %s: sent %d = %d rows + %d deleted + %d lost; %d reloads, %d requests, %d aborted, %d replays, %d disturbed\n' \
		"$1" "$all" "$rows" "$deleted" "$lost" "$(ticks reloads)" "$(ticks requests)" "$(ticks aborted)" \
		"$(ticks replays)" "$(ticks disturbed)"
	if ((rows + deleted + lost == all)) && { ((unknown == 0)) || [[ $overwrites == yes ]]; }; then
		return
	fi
	wrong=$((wrong + 1))
	not_ok "$1: sums are exact" "$(printf 'sent %d, in the database %d, %d too few; losses of unknown size: %d\n' "$all" \
		"$((rows + deleted + lost))" "$((all - rows - deleted - lost))" "$unknown"
	status_of | jq -c 'del(.probes)'
	sqlite3 -readonly -header "$db" "SELECT id, events, first_event, last_event, state, note FROM capture"
	sqlite3 -readonly -header "$db" "SELECT capture, id, t, cpu, count, cause, since FROM lost ORDER BY id DESC LIMIT 10"
	grep -vE ' (debug|info): ' "$log" | tail -n 10)"
}

# One recorder, for so many seconds
recorder() {
	local until=$((SECONDS + $1)) name="recorder $2" minutes=0 beside=() options=()
	overwrites=no
	if (($2 % 2 == 0)); then
		overwrites=yes # full pages then do not tell how many were lost, but all in all it is known
		options=(--overwrite --buffer-size 64K)
	fi
	rm -f "$db" "$db"-* "$over" "$scratch"/sent.*
	write_config
	start_daemon --config "$conf" --listen "unix:$socket" "${options[@]}" || { not_ok "$name: starts" "$(daemon_report)"; return; }
	for what in hang_up ask_all ask_all replay_some disturb; do
		$what &
		beside+=($!)
	done
	while ((SECONDS < until)); do
		flood_all "$((until - SECONDS < minute ? until - SECONDS : minute))"
		minutes=$((minutes + 1))
		if settle; then
			check_sums "$name, minute $minutes"
		else
			wrong=$((wrong + 1))
			not_ok "$name, minute $minutes: comes to rest" "$(status_of | jq -c 'del(.probes)'; daemon_report)"
		fi
	done
	touch "$over"
	wait "${beside[@]}"
	stop_daemon
	is "$name: stops with status 0" 0 "$status"
	check_sums "$name, at the end"
	total=$((total + $(sent)))
	is "$name: one capture, complete" "1 complete" "$(sql "SELECT count(*) || ' ' || max(state) FROM capture")"
	is "$name: no row is doubled" 0 "$(doubled)"
	sound "$name"
	run "$ioflush" replay --policy none "$db"
	is "$name: the database can be replayed" 0 "$status"
	cp "$log" "$scratch/log.$2"
}

end=$((SECONDS + seconds))
for ((n = 1; SECONDS < end; n++)); do
	rest=$((end - SECONDS))
	recorder "$((rest < minutes_of_recorder * minute ? rest : minutes_of_recorder * minute))" "$n"
done
if ((checked > 0 && wrong == 0 && total > 0)); then
	ok "$total events, $checked sums: all exact"
elif ((wrong == 0)); then
	not_ok "sums were made" "$checked of $total events"
fi
no_leftovers "after all of it"
tap_done checks
