# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of a live ioflushd share: one daemon at a time, under an instance of its own, fed by uprobes on the helper
# program live_events; what it left is checked and taken away. Sourced after lib.sh.
# shellcheck shell=bash disable=SC2034,SC2154

ioflushd=${IOFLUSHD:-$here/../build/ioflushd}
# A copy: a uprobe belongs to a file, so what another test's probes on the same program record would be played here too.
live_events=$scratch/live_events
cp "${LIVE_EVENTS:-$here/../build/tests/live_events}" "$live_events"
tracefs=${TRACEFS:-/sys/kernel/tracing}
instance=ioflush_test_$$
daemon_pid=
db=$scratch/live.db
log=$scratch/daemon.log
probes=$scratch/live.probes

# skip_all WORDS: nothing here can run on this machine
skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

# Root, tracefs, and a kernel that takes uprobes; else the whole script is skipped, in words.
need_live() {
	local line group=${instance}_try
	if ((EUID != 0)); then
		skip_all "recording live needs root"
	fi
	if [[ ! -w $tracefs/dynamic_events || ! -d $tracefs/instances ]]; then
		skip_all "no dynamic_events in $tracefs: is tracefs mounted, does the kernel have it?"
	fi
	remove_stale
	run "$live_events" --probes "$group"
	if ((status == 77)); then
		skip_all "$(cat "$scratch/err")"
	elif ((status != 0)); then
		not_ok "the helper program says its probes" "$(run_report)"
		tap_done checks
	fi
	mv "$scratch/out" "$probes"
	line=$(grep -m 1 '^[pr]:' "$probes")
	if ! { printf '%s\n' "$line" >>"$tracefs/dynamic_events"; } 2>/dev/null; then
		skip_all "this kernel takes no uprobe: $line"
	fi
	remove_group "$group"
	trap 'exit 1' INT TERM HUP # so that the trap at the exit cleans up
}

remove_group() {
	local line
	while read -r line; do
		printf -- '-:%s\n' "${line#*:}" >>"$tracefs/dynamic_events" || true
	done < <(sed -n "s,^[a-z0-9]*:\($1/[^ ]*\) .*,x:\1,p" "$tracefs/dynamic_events")
}

# What a test that was killed has left: the process that gave it its name is gone, as far as can be seen from here, and no
# recorder holds the lock of its instance.
remove_stale() {
	local dir name pid
	for dir in "$tracefs"/instances/ioflush_test_*; do
		name=${dir##*/} pid=${dir##*/ioflush_test_}
		pid=${pid%_other}
		if [[ -d $dir && $pid =~ ^[0-9]+$ && ! -d /proc/$pid ]] && flock -n "$dir" true; then
			echo 0 2>/dev/null >"$dir/events/$name/enable" || true
			rmdir "$dir" 2>/dev/null || true
			remove_group "$name"
		fi
	done
}

# Whatever happens, nothing stays armed. The recorder goes first: it holds the buffers open.
cleanup() {
	local pid
	for pid in ${daemon_pid:+$(recorder_pid 2>/dev/null)} $daemon_pid $(jobs -p); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	for _ in {1..50}; do
		[[ -d $tracefs/instances/$instance ]] || break
		echo 0 2>/dev/null >"$tracefs/instances/$instance/events/$instance/enable" || true
		rmdir "$tracefs/instances/$instance" 2>/dev/null || sleep 0.2
	done
	remove_group "$instance"
	if mountpoint -q "$scratch/small" 2>/dev/null; then
		umount -l "$scratch/small"
	fi
	rm -rf "$scratch"
}

# start_daemon OPTION...: in the background; 0 when it records, 1 when it has ended instead
start_daemon() {
	: >"$log"
	# Log appended: the descriptor is shared, and a line of ours would be written over.
	"$ioflushd" --foreground --db "$db" --probes "$probes" --instance "$instance" --tracefs "$tracefs" \
		--listen none "$@" >>"$log" 2>&1 &
	daemon_pid=$!
	for _ in {1..1500}; do
		if grep -q 'recording into' "$log"; then
			return 0
		elif ! kill -0 "$daemon_pid" 2>/dev/null; then
			return 1
		fi
		sleep 0.02
	done
	printf 'neither recording nor gone after half a minute: killed\n' >>"$log"
	kill -KILL "$daemon_pid"
	return 1
}

# The process that records: the child of the one that we started
recorder_pid() {
	local children
	read -r children <"/proc/$daemon_pid/task/$daemon_pid/children" || true
	printf '%s' "${children%% *}"
}

# wait_daemon: until it has ended; its exit status in $status
wait_daemon() {
	status=0
	wait "$daemon_pid" 2>/dev/null || status=$?
	daemon_pid=
}

stop_daemon() {
	kill -TERM "$daemon_pid"
	wait_daemon
}

daemon_report() {
	printf 'exit status %s; the log:\n' "${status-}"
	tail -n 30 "$log"
}

sql() {
	sqlite3 -readonly -cmd '.timeout 10000' "$db" "$1"
}

# Rows that are events, and records known to be lost, of a capture (default: the last)
rows_of() {
	sql "SELECT count(*) FROM event WHERE capture = $1 AND kind != (SELECT kind FROM event_kind WHERE name = 'lost')"
}

lost_of() {
	sql "SELECT coalesce(sum(count), 0) FROM lost WHERE capture = $1"
}

last_capture() {
	sql 'SELECT max(id) FROM capture'
}

state_of() {
	sql "SELECT state FROM capture WHERE id = $1"
}

# No probe of ours, no instance of ours
leftovers() {
	grep -E "^[a-z0-9]*:$instance/" "$tracefs/dynamic_events" || true
	if [[ -d $tracefs/instances/$instance ]]; then
		printf 'instance %s\n' "$instance"
	fi
}

# no_leftovers NAME
no_leftovers() {
	local left
	left=$(leftovers)
	if [[ -z $left ]]; then
		ok "$1: nothing is left behind"
	else
		not_ok "$1: nothing is left behind" "$left"
	fi
}

# sound NAME: the database is
sound() {
	local answer
	answer=$(sql 'PRAGMA integrity_check' 2>&1) || true
	if [[ $answer == ok ]]; then
		ok "$1: the database is sound"
	else
		not_ok "$1: the database is sound" "$answer"
	fi
}

# keeps_up CHECK NAME...: a check of speed, for what is built to be fast; a build with sanitizers is not
keeps_up() {
	if grep -q __asan_init "$ioflushd"; then
		skip "$2" "this build has sanitizers, which take too long to keep up"
	else
		"$@"
	fi
}

# is NAME WANT GOT
is() {
	if [[ $2 == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "expected $2, got $3; $(daemon_report)"
	fi
}
