#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest, under a real systemd: ioflushd as the installed, hardened service, from its installation to its end.
# What came out is left in /mnt/systemd, a file for each question, for the host to judge.
set -u
dir=/mnt/systemd
guest=/mnt/guest
tracing=/sys/kernel/tracing
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$dir"

note() {
	printf '%s\n' "$2" >"$dir/$1"
}

# tell NAME COMMAND...: its output, and its exit status
tell() {
	local name=$1
	shift
	"$@" >"$dir/$name.log" 2>&1
	note "$name" $?
}

property() {
	systemctl show -P "$1" ioflushd
}

# The process that records: the child of the first
recorder() {
	pgrep -P "$1"
}

# The first process after that of $1; nothing for half a minute: it did not come
next_main() {
	local main
	for _ in {1..150}; do
		main=$(property MainPID)
		if [[ $main != 0 && $main != "$1" && $(systemctl is-active ioflushd) == active ]]; then
			printf '%s' "$main"
			return
		fi
		sleep 0.2
	done
}

churn() {
	"$guest/churn" "$1" /dev/vfio/devices/vfio0 /dev/vfio/devices/vfio1 /dev/vfio/devices/vfio2
}

ask() {
	curl -sS --max-time 10 --unix-socket /run/ioflush/api.sock "http://localhost$1"
}

armed() {
	grep -c ':ioflushd/' "$tracing/dynamic_events"
	cat "$tracing/instances/ioflushd/tracing_on" "$tracing/instances/ioflushd/events/ioflushd/enable"
}

sh "$guest/bind-vfio" >/dev/null
tell sysusers systemd-sysusers
tell tmpfiles systemd-tmpfiles --create
# The real unit, but for a watchdog that is not waited for for half a minute.
mkdir -p /run/systemd/system/ioflushd.service.d
printf '[Service]\nWatchdogSec=6\n' >/run/systemd/system/ioflushd.service.d/watchdog.conf
tell daemon-reload systemctl daemon-reload

tell start systemctl start ioflushd
tell armed armed
tell active systemctl is-active ioflushd
main=$(property MainPID)
tell status systemctl status --no-pager ioflushd
tell user ps -o user= -p "$(recorder "$main")"
tell churn churn 200
sleep 1
tell api ask /v1/status

printf 'log-level = debug\n' >>/usr/local/etc/ioflush/ioflushd.conf
tell reload systemctl reload ioflushd
tell reloaded systemctl is-active ioflushd
note reloaded.main "$main $(property MainPID)"

# The wall clock is set: neither watchdog nor unit mind.
tell date date -s '+1 day'
sleep 7
tell date-back date -s '-2 days'
sleep 7
note dated.main "$main $(property MainPID)"

kill -KILL "$main"
killed=$(next_main "$main")
note killed.main "$main $killed"

kill -STOP "$(recorder "$killed")"
stopped=$(next_main "$killed")
note watchdog.main "$killed $stopped"
note result "$(property NRestarts)"
tell churn-again churn 200

tell stop systemctl stop ioflushd
tell stopped systemctl is-active ioflushd
{
	ls -d "$tracing/instances/ioflushd" 2>/dev/null
	grep ':ioflushd/' "$tracing/dynamic_events"
} >"$dir/leftovers"
tell journal journalctl --no-pager -o short-monotonic -u ioflushd
journalctl --no-pager -b >"$dir/journal.all" 2>&1
ls -lan /var/lib/ioflush >"$dir/files"
cp /var/lib/ioflush/ioflush.db* "$dir/"
