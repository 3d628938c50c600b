#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest, as root: records every run that /mnt/runs names, one after the other, and leaves what came out in
# /mnt/NAME for the host to judge. A line of /mnt/runs: NAME KIND WORKLOAD [ioflushd's options]
#
#   KIND      how it is recorded, a function record_KIND here
#   WORKLOAD  what is recorded, a function work_WORKLOAD here, which runs in a process of its own; arguments follow,
#             separated by commas
#
# Nothing is judged here: emulation is slow, and what a guest prints is hard to read. /mnt/guest holds the programs.
set -u
guest=/mnt/guest
tracing=/sys/kernel/tracing
export IOFLUSH_DATA=$guest LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

# --- workloads

# The kernel's own tests of iommufd: mock devices, all non-coherent. The second lets every allocation fail in turn.
work_selftests() {
	cd "$dir" || return
	"$guest/iommufd" >iommufd.tap # its exit status is that of any test; the host looks at each
	"$guest/iommufd_fail_nth" >fail_nth.tap
}

# One of them, by its name
work_iommufd() {
	"$guest/iommufd" -r "$1"
}

work_churn() {
	"$guest/churn" "$1" /dev/vfio/devices/vfio0 /dev/vfio/devices/vfio1 /dev/vfio/devices/vfio2
}

# Stops itself before step $1, until somebody lets it go on
work_midlife() {
	CHURN_STOP=$1 work_churn "$2"
}

work_replug() {
	"$guest/replug" "$1" /dev/vfio/devices/vfio0 /dev/vfio/devices/vfio1
}

# QEMU boots a guest of its own with the network card passed through, finds nothing to boot from, and ends.
work_nested() {
	timeout 240 qemu-system-x86_64 -machine pc -accel tcg -m 256 -nodefaults -display none -no-reboot \
		-boot reboot-timeout=1 -chardev "file,id=seabios,path=$dir/firmware.log" \
		-device isa-debugcon,iobase=0x402,chardev=seabios \
		-device "vfio-pci,host=$(card),rombar=0" </dev/null
}

# The address of the network card, as QEMU wants it
card() {
	local device
	for device in /sys/bus/pci/devices/*; do
		if [[ $(<"$device/device") == 0x10d3 ]]; then
			printf '%s' "${device##*/}"
		fi
	done
}

# --- recording

# Options are those of the run. 0: it records
start_ioflushd() {
	"$guest/ioflushd" --foreground --db "$dir/x.db" --listen "unix:$dir/api.sock" "${options[@]}" >>"$dir/daemon.log" 2>&1 &
	daemon=$!
	until grep -q 'recording into' "$dir/daemon.log"; do
		kill -0 "$daemon" 2>/dev/null || return 1
		sleep 0.1
	done
}

stop_ioflushd() {
	kill -TERM "$daemon"
	wait "$daemon"
	note daemon $?
}

# note NAME VALUE: for the host, a file of that name
note() {
	printf '%s\n' "$2" >"$dir/$1"
}

# Asks the API until it is told to stop, and keeps every answer, a line each. To start a program takes seconds here, so
# one curl asks again and again: what follows the # is not sent.
start_polling() {
	local path
	pollers=()
	for path in v1/status healthz metrics; do
		curl -sSN --rate 2/s --max-time 10 -w '\n' --unix-socket "$dir/api.sock" "http://localhost/$path#[1-100000]" \
			>"$dir/api.${path##*/}" 2>>"$dir/api.errors" &
		pollers+=($!)
		until [[ -s $dir/api.${path##*/} ]]; do
			kill -0 $! 2>/dev/null || return
			sleep 0.1
		done
	done
}

stop_polling() {
	kill "${pollers[@]}"
	wait "${pollers[@]}" 2>/dev/null
}

# work [LAUNCHER...]: the run's workload, in a process of its own, which leaves its exit status in the file work
work() {
	"$@" "$BASH" /mnt/job.sh "$workload" "$dir" >>"$dir/work.log" 2>&1
}

# tracecmd COMMAND...: runs it, recorded as README says: the probes of probes/6.12.txt, in an instance of their own.
tracecmd() {
	trace-cmd record -q -B side -C mono -b 16384 -e ioflush -e iommu:attach_device_to_domain -o "$dir/x.dat" -- "$@"
}

# What must be as it was before
note_leftovers() {
	{
		find "$tracing/instances" -maxdepth 1 -name "$instance"
		grep -E "^[a-z0-9]*:$instance/" "$tracing/dynamic_events"
	} >"$dir/leftovers"
}

# The common case: ioflushd, trace-cmd beside it, and the API asked all the while.
record_both() {
	start_ioflushd || return
	start_polling
	work tracecmd
	stop_polling
	stop_ioflushd
}

# ioflushd alone
record_alone() {
	start_ioflushd || return
	work
	stop_ioflushd
}

# Devices are attached and memory is mapped before ioflushd starts; trace-cmd has it all.
record_midlife() {
	local churn worker
	work tracecmd &
	worker=$!
	until churn=$(pidof churn) && grep -q '^State:.T' "/proc/$churn/status"; do
		kill -0 "$worker" 2>/dev/null || return
		sleep 0.1
	done
	start_ioflushd || return
	kill -CONT "$churn"
	wait "$worker"
	stop_ioflushd
}

# The second CPU comes and goes under load; what runs at last, runs there.
record_cpus() {
	local cpu=/sys/devices/system/cpu/cpu1/online worker online
	start_ioflushd || return
	work &
	worker=$!
	for online in 0 1 0 1 0 1; do
		sleep 0.7
		echo $online >$cpu
		cat $cpu >>"$dir/online"
	done
	wait "$worker"
	work taskset -c 1
	stop_ioflushd
}

# The wall clock is set a day forwards, and two back, with events on each side.
record_clock() {
	local step
	start_ioflushd || return
	for step in '' '+1 day' '-2 days'; do
		[[ -z $step ]] || date -s "$step" >>"$dir/dates"
		work
		sleep 1.5
	done
	stop_ioflushd
}

# Every rung of the ladder at once, and the kernel's structs once as the table has them: without BTF to be read.
record_ladder() {
	local rung rungs='fprobe kprobe table paired tracepoint' launcher
	local -A pid
	mkdir -p "$dir/no-btf"
	for rung in $rungs; do
		launcher=()
		if [[ $rung == table ]]; then
			launcher=(unshare -m "$BASH" -c 'mount --bind "$0" /sys/kernel/btf && exec "$@"' "$dir/no-btf")
		fi
		"${launcher[@]}" "$guest/ioflushd" --foreground --db "$dir/$rung.db" --listen none --instance "rung_$rung" \
			--rung "${rung/table/kprobe}" "${options[@]}" >"$dir/$rung.log" 2>&1 &
		pid[$rung]=$!
	done
	for rung in $rungs; do
		until grep -q 'recording into' "$dir/$rung.log"; do
			kill -0 "${pid[$rung]}" 2>/dev/null || break
			sleep 0.2
		done
	done
	work
	kill -TERM "${pid[@]}"
	for rung in $rungs; do
		wait "${pid[$rung]}"
		note "$rung.ended" $?
	done
	"$guest/ioflushd" --check --rung tracepoint >"$dir/check" 2>/dev/null
	note check.ended $?
	instance='rung_[a-z]*' # whose leftovers are looked for
}

# Lockdown can only be raised: the last run of a guest.
record_lockdown() {
	local mode
	for mode in integrity confidentiality; do
		echo "$mode" >/sys/kernel/security/lockdown
		"$guest/ioflushd" --check >"$dir/check.$mode" 2>"$dir/check.$mode.err"
		note "status.$mode" $?
		timeout --preserve-status 6 "$guest/ioflushd" --foreground --db "$dir/$mode.db" --listen none >"$dir/record.$mode" 2>&1
		note "record.$mode.status" $?
	done
}

run() {
	local kind=$2
	name=$1 workload=$3 dir=/tmp/$1
	shift 3
	options=("$@")
	instance=ioflushd
	mkdir -p "$dir"
	date +%s.%N >"$dir/begun"
	"record_$kind"
	note_leftovers
	date +%s.%N >"$dir/ended"
	rm -f "$dir/api.sock"
	cp -r "$dir" /mnt/
	rm -rf "$dir"
}

# As a workload in a process of its own: job.sh WORKLOAD DIR
if (($# == 2)); then
	dir=$2
	IFS=, read -r -a line <<<"$1"
	"work_${line[0]}" "${line[@]:1}"
	echo $? >>"$dir/work"
	exit
fi

ulimit -l unlimited
sh "$guest/bind-vfio" >/mnt/devices
cat "$guest/probes/6.12.txt" >>"$tracing/dynamic_events"
while read -r -a line; do
	run "${line[@]}"
done </mnt/runs
exit 0
