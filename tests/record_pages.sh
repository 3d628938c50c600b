#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Records the ring buffer pages in tests/data/ring/ anew, from this machine's kernel: see the README there.
# usage: tests/record_pages.sh LIVE_EVENTS DIR
# LIVE_EVENTS is the built tests/live_events, DIR the folder to write. Needs root, tracefs and uprobe events; takes a
# minute. Exit status: 0, 1 on an error, 2 on a usage error.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -ne 2 ] || [ ! -x "$1" ]; then
	sed -n '4,6s/^# //p' "${BASH_SOURCE[0]}" >&2
	exit 2
fi
live=$(realpath "$1")
out=$2
tracefs=/sys/kernel/tracing
group=ioflush_pages
instance=$tracefs/instances/$group

# Only what this script made is taken away again.
clean()
{
	if [ -d "$instance" ]; then
		echo 0 >"$instance/events/$group/enable" || true
		rmdir "$instance" || true
	fi
	"$live" --probes $group | sed 's/^p:\([^ ]*\).*/-:\1/' >"$out/remove"
	while read -r line; do
		echo "$line" >>$tracefs/dynamic_events || true
	done <"$out/remove"
	rm -f "$out/remove"
}

arm()
{
	local line

	mkdir -p "$out"
	"$live" --probes $group | while read -r line; do
		echo "$line" >>$tracefs/dynamic_events
	done
	mkdir "$instance"
	echo mono >"$instance/trace_clock"
	trap clean EXIT
	mkdir -p "$out/formats"
	cat $tracefs/events/header_page >"$out/header_page"
	for format in "$tracefs/events/$group"/*/format; do
		# Where the program lies is nobody's business.
		sed '/^print fmt:/d' "$format" >"$out/formats/$(basename "$(dirname "$format")")"
	done
}

# record NAME KIB OVERWRITE TEXT ARG...: what live_events does with these arguments. TEXT 1: keep the kernel's text, too.
record()
{
	local name=$1 kib=$2 overwrite=$3 text=$4 cpu

	shift 4
	echo "$name"
	echo 0 >"$instance/tracing_on"
	echo "$overwrite" >"$instance/options/overwrite"
	echo "$kib" >"$instance/buffer_size_kb"
	echo >"$instance/trace"
	echo 1 >"$instance/events/$group/enable"
	echo 1 >"$instance/tracing_on"
	"$live" "$@"
	echo 0 >"$instance/tracing_on"
	echo 0 >"$instance/events/$group/enable"
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name"
	[ "$text" = 0 ] || cat "$instance/trace" >"$out/$name/trace"
	for cpu in "$instance"/per_cpu/cpu*; do
		cpu=${cpu##*/}
		# The end of what there is is an error to dd: EAGAIN.
		dd if="$instance/per_cpu/$cpu/trace_pipe_raw" of="$out/$name/$cpu.raw" bs=4096 iflag=nonblock 2>/dev/null || true
		cat "$instance/per_cpu/$cpu/stats" >"$out/$name/$cpu.stats"
		[ -s "$out/$name/$cpu.raw" ] || rm "$out/$name/$cpu.raw" "$out/$name/$cpu.stats"
	done
}

one_map='{"t":1,"cpu":0,"tid":1,"e":"map","domain":"0xff110000000000c0","iova":"0x1000","paddr":"0x2000","size":"0x1000","prot":3}'

arm
printf '{"ioflush_trace":1,"page_size":4096}\n%s\n' "$one_map" >"$out/map.jsonl"
record normal 64 0 0 --threads 2 --play tests/data/cases/generated-11.jsonl
record gaps 64 0 1 --cpu 0 --rate 6 --play tests/data/cases/hotplug.jsonl
record dropped 8 0 0 --cpu 0 --flood 1000
record overwritten 8 1 0 --cpu 0 --flood 1000
record overwritten-full 8 1 0 --cpu 0 --repeat 1000 --play "$out/map.jsonl"
record overwritten-gaps 8 1 0 --cpu 1 --rate 7 --repeat 220 --play "$out/map.jsonl"
