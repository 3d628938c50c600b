#!/usr/bin/env bash
# Fuzzes the sources and the model from small traces of every format for FUZZ_SECONDS (60). "make fuzz" runs it.
# A crash leaves its input in the folder that is named at the end; exit status 1 then.
set -euo pipefail

fuzzer=${FUZZER:?run it with \"make fuzz\"}
ioflush=${IOFLUSH:?run it with \"make fuzz\"}
data=${IOFLUSH_TEST_DATA:?run it with \"make fuzz\"}
seconds=${FUZZ_SECONDS:-60}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ioflush-fuzz.XXXXXX")
mkdir "$dir/corpus" "$dir/found"

cp "$data"/cases/{hotplug,odd,split,access-held,page-offset,cut-refused,scattered}.jsonl "$dir/corpus/"
head -60 "$data/traces/churn-small.trace" >"$dir/corpus/text"
head -60 "$data/traces/vmboot-nonsnoop.report.txt" >"$dir/corpus/report"
"$ioflush" import "$data"/cases/{hotplug,odd}.jsonl -o "$dir/corpus/small.db" >/dev/null
for seed in "$data"/fuzz/*; do
	[[ -e $seed ]] && cp "$seed" "$dir/corpus/"
done

if "$fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=131072 -close_fd_mask=1 \
	-artifact_prefix="$dir/found/" "$dir/corpus" >"$dir/log" 2>&1; then
	tail -n 2 "$dir/log"
	rm -rf "$dir"
else
	tail -n 40 "$dir/log"
	echo "fuzz: found something; its input and the log are in $dir"
	exit 1
fi
