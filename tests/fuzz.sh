#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzes what parses a trace and the model, from small traces of every format, and the HTTP server's connections: each for
# FUZZ_SECONDS (60). FUZZ=trace or FUZZ=http does one of them. "make fuzz" runs it.
# A crash leaves its input in the folder that is named at the end; exit status 1 then.
set -euo pipefail

fuzzers=${FUZZERS:?run it with \"make fuzz\"}
ioflush=${IOFLUSH:?run it with \"make fuzz\"}
data=${IOFLUSH_TEST_DATA:?run it with \"make fuzz\"}
seconds=${FUZZ_SECONDS:-60}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ioflush-fuzz.XXXXXX")
status=0

# run_fuzzer NAME OPTION...: from the inputs in $dir/NAME/corpus
run_fuzzer() {
	local name=$1
	shift
	mkdir -p "$dir/$name/found"
	if "$fuzzers/fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=2048 -close_fd_mask=1 \
		-artifact_prefix="$dir/$name/found/" "$@" "$dir/$name/corpus" >"$dir/$name/log" 2>&1; then
		tail -n 2 "$dir/$name/log"
		rm -rf "${dir:?}/$name"
	else
		tail -n 40 "$dir/$name/log"
		echo "fuzz: found something; its input and the log are in $dir/$name"
		status=1
	fi
}

fuzz_trace() {
	local corpus=$dir/trace/corpus seed
	mkdir -p "$corpus"
	cp "$data"/cases/{hotplug,odd,split,access-held,page-offset,cut-refused,scattered}.jsonl "$corpus/"
	head -60 "$data/traces/churn-small.trace" >"$corpus/text"
	head -60 "$data/traces/vmboot-nonsnoop.report.txt" >"$corpus/report"
	"$ioflush" import "$data"/cases/{hotplug,odd}.jsonl -o "$corpus/small.db" >/dev/null
	for seed in "$data"/fuzz/* "$data"/faults/*; do
		[[ -e $seed ]] && cp "$seed" "$corpus/"
	done
	run_fuzzer trace -timeout=20 -max_len=131072
}

# The server has threads of its own: leaks are looked for at the end only.
fuzz_http() {
	mkdir -p "$dir/http/corpus"
	cp "$data"/fuzz_http/* "$dir/http/corpus/"
	# it forks: the less memory, the faster
	ASAN_OPTIONS=quarantine_size_mb=16 run_fuzzer http -timeout=90 -max_len=96 -len_control=0 -detect_leaks=0
}

for name in ${FUZZ:-trace http}; do
	case $name in
	trace) fuzz_trace ;;
	http) fuzz_http ;;
	*)
		echo "fuzz: FUZZ is trace, http or both, not '$name'" >&2
		exit 2
		;;
	esac
done
rmdir "$dir" 2>/dev/null || true
exit "$status"
