#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a real iommufd: a guest with a Linux 6.12, under emulation. ioflushd records with its own choice of probes, and
# beside it, in another instance, trace-cmd with the probe file; what comes out is judged here, outside of the guest.
#
# A run is one line of the table below, a boot is all lines with its name. What they do is in tests/vm/job.sh; how they
# are judged, here in judge_NAME, or by judge alone.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
vm=$here/vm
build=${IOFLUSH_BUILD:-$here/../build}
# shellcheck source=tests/vm/lib.sh
source "$vm/lib.sh"
only=${VM_RUNS:-} # names of runs; empty: all

# Guests are process groups, so that none outlives a test that is interrupted.
set -m
end_guests() {
	local guest
	for guest in $(jobs -p); do
		kill -- "-$guest" 2>/dev/null || true
	done
	rm -rf "$scratch"
}
trap end_guests EXIT
trap 'exit 1' INT TERM HUP

# boot      IOMMU     run       how      workload   ioflushd's options
runs='
none        none      selftest  both     selftests
none        none      lockdown  lockdown -
nonsnoop    nonsnoop  churn     both     churn,300
nonsnoop    nonsnoop  nested    both     nested
nonsnoop    nonsnoop  midlife   midlife  midlife,150,300
nonsnoop    nonsnoop  ladder    ladder   churn,200
nonsnoop    nonsnoop  cpus      cpus     churn,1000
nonsnoop    nonsnoop  clock     clock    churn,100  --retain-age 12h
snoop       snoop     coherent  both     churn,300
'

# Where the guest cannot run, all of it is skipped, in words.
need_vm() {
	if [[ $(uname -m) != x86_64 ]]; then
		skip_all "the guest is x86-64, this machine is $(uname -m)"
	elif ((EUID != 0)); then
		skip_all "the guest runs on this machine's root file system, which only root can read whole"
	fi
	need_tools qemu-system-x86_64 jq sqlite3 trace-cmd curl
	if [[ ! -e $cache/done ]]; then
		skip_all "no guest kernel in $cache: tests/vm/build.sh makes it"
	fi
}

skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

# is NAME WANT GOT [TEXT]
is() {
	if [[ $2 == "$3" ]]; then
		ok "$1"
	else
		not_ok "$1" "expected $2, got $3${4:+; $4}"
	fi
}

sql() {
	sqlite3 -readonly "$db" "$1" 2>&1 || true
}

note() {
	cat "$dir/$1" 2>/dev/null || printf 'none'
}

logs() {
	tail -n 15 "$dir/daemon.log" "$dir/work.log" 2>&1
}

# guest NAME IOMMU JOB OPTION...: boots it; what it leaves is in $scratch/NAME, beside how long it took and its exit status
guest() {
	local name=$1 iommu=$2 job=$3 begun=$SECONDS status=0
	shift 3
	"$vm/run.sh" "$iommu" "$job" "$scratch/$name" 600 "$@" >"$scratch/$name/console" 2>&1 || status=$?
	printf '%s %s\n' "$status" "$((SECONDS - begun))" >"$scratch/$name/guest.ended"
}

# begin NAME IOMMU JOB OPTION...: in the background, two guests at a time, for each has two CPUs
begin() {
	guests+=("$1")
	mkdir -p "$scratch/$1"
	furnish "$scratch/$1"
	while (($(jobs -pr | wc -l) >= 2)); do
		wait -n
	done
	guest "$@" &
}

wanted() {
	[[ -z $only || " $only " == *" $1 "* ]]
}

# All boots with a run that is wanted
begin_boots() {
	local boot iommu name run
	guests=()
	while read -r boot iommu name run; do
		if [[ -n $boot ]] && wanted "$name"; then
			mkdir -p "$scratch/$boot"
			printf '%s\n' "$name $run" >>"$scratch/$boot/runs"
			printf '%s\n' "$iommu" >"$scratch/$boot/iommu"
		fi
	done <<<"$runs"
	for boot in nonsnoop none snoop; do
		if [[ -e $scratch/$boot/runs ]]; then
			begin "$boot" "$(<"$scratch/$boot/iommu")" "$vm/job.sh"
		fi
	done
	if wanted systemd; then
		begin_systemd
	fi
	wait
}

judge_boots() {
	local boot iommu line status took
	for boot in "${guests[@]}"; do
		read -r status took <"$scratch/$boot/guest.ended" || true
		is "$boot: the guest ran, for $took s" 0 "$status" "$(tail -n 20 "$scratch/$boot/console")"
	done
	while read -r boot iommu name _; do
		dir=$scratch/$boot/$name db=$dir/x.db
		if [[ -z $boot ]] || ! wanted "$name"; then
			continue
		elif [[ ! -d $dir ]]; then
			not_ok "$name: left its results"
		elif declare -F "judge_$name" >/dev/null; then
			"judge_$name"
		else
			judge
		fi
	done <<<"$runs"
	name=systemd dir=$scratch/systemd/systemd db=$dir/ioflush.db
	if wanted systemd && [[ -d $dir ]]; then
		judge_systemd
	fi
}

# What every recording must hold
judge() {
	judge_stopped
	judge_verify
	if [[ -e $dir/api.status ]]; then
		judge_api
	fi
	if [[ -e $dir/x.dat ]]; then
		judge_same
	fi
}

judge_stopped() {
	is "$name: the workload succeeds" 0 "$(note work | sort -u)" "$(logs)"
	is "$name: ioflushd stops with status 0" 0 "$(note daemon)" "$(logs)"
	is "$name: nothing is left behind" "" "$(note leftovers)"
	is "$name: the database is sound" ok "$(sql 'PRAGMA integrity_check')"
	is "$name: every capture is complete" complete "$(sql 'SELECT DISTINCT state FROM capture')"
	is "$name: nothing is lost" 0 "$(sql 'SELECT count(*) FROM lost')"
}

judge_verify() {
	local got
	run "$ioflush" verify --format json "$db"
	got=$(jq -r '.captures | map([.result, .unpins.missing_in_kernel, .unpins.derived > 0] | join(" ")) | join(", ")' \
		"$scratch/out" 2>&1) || true
	is "$name: verify: $(jq '[.captures[].unpins.derived] | add' "$scratch/out") unpins derived, the kernel confirms all" \
		"pass 0 true" "$got" "$(run_report)"
}

# Every answer that was given while the workload ran. The last line may be of one that was broken off.
judge_api() {
	local n
	sed -i '$d' "$dir"/api.{status,healthz,metrics}
	n=$(jq -s 'length' "$dir/api.status" 2>&1) || true
	if ((n >= 3)); then
		ok "$name: the API answered $n times meanwhile"
	else
		not_ok "$name: the API answered meanwhile" "$n; $(head -n 5 "$dir/api.errors")"
	fi
	is "$name: the API: every request was answered" "" "$(note api.errors)"
	is "$name: the API: well, and nothing lost, in every answer" '["ok",0,0]' \
		"$(jq -sc 'map([.health.status, .losses.records, .losses.unknown]) | unique[]' "$dir/api.status")"
	is "$name: the API: healthz is ok in every answer" ok "$(jq -sr 'map(.status) | unique | join(" ")' "$dir/api.healthz")"
	is "$name: the API: the metrics' count of events only grows" yes \
		"$(sed -n 's/^ioflush_events_total{kind="map"} //p' "$dir/api.metrics" |
			awk '$1 < n { bad = 1 } { n = $1 } END { print NR && !bad ? "yes" : "no" }')"
}

# The numbers of a report, without what says where and when it was recorded
numbers() {
	jq -S '{policies, verify: (.verify | del(.result, .reasons)), health, trace: (.trace | del(.captures))} | del(.health.other_records)' "$1"
}

# The daemon's database and trace-cmd's recording of the same run
judge_same() {
	run "$ioflush" replay --format json "$db"
	mv "$scratch/out" "$scratch/db.json"
	run "$ioflush" replay --format json "$dir/x.dat"
	if ((status != 0)); then
		not_ok "$name: trace-cmd's recording can be replayed" "$(run_report)"
	elif diff <(numbers "$scratch/db.json") <(numbers "$scratch/out") >"$scratch/diff"; then
		ok "$name: replay says the same of both recordings, $(jq .trace.events "$scratch/out") events"
	else
		not_ok "$name: replay says the same of both recordings" "$(cat "$scratch/diff")"
	fi
}

# The selftests come from a newer kernel than the one they test: two of them know what 6.12 does not.
judge_selftest() {
	local log
	judge
	for log in iommufd fail_nth; do
		is "$name: $log: $(grep -c '^ok' "$dir/$log.tap") tests pass, none fails but those of later kernels" "" \
			"$(grep '^not ok' "$dir/$log.tap" | grep -vE '\.(alloc_hwpt_nested|get_hw_info)$')"
	done
	is "$name: every unpin names its caller in iommufd" "batch_unpin" \
		"$(sql "SELECT DISTINCT ifnull(caller, 'unknown') FROM unpin" | tr '\n' ' ' | sed 's/ $//')"
	is "$name: reads and writes are seen, and that they unpin" "true true true" "$(run "$ioflush" verify --format json "$db"
		jq -r '.captures[0].health | "\(.rw_unpins > 0) \(.foreign_unpins == 0) \(.unattributed_unpins == 0)"' "$scratch/out")"
	is "$name: no test was left out" "190 7" "$(grep -cE '^(not )?ok' "$dir/iommufd.tap") $(grep -cE '^(not )?ok' "$dir/fail_nth.tap")"
}

judge_nested() {
	judge
	if grep -q 'No bootable device' "$dir/firmware.log"; then
		ok "$name: the guest's guest reached the end of its firmware"
	else
		not_ok "$name: the guest's guest reached the end of its firmware" "$(tail -n 5 "$dir/firmware.log"; logs)"
	fi
}

# With snoop control there is nothing to do.
judge_coherent() {
	judge
	is "$name: only 'always' flushes, and nothing has a gap" always \
		"$(jq -r '.policies | to_entries | map(select(.value.flush_pages + ([.value.gaps[]] | add) > 0).key) | join(" ")' \
			"$scratch/db.json")"
}

# ioflushd began in the middle: its database cannot say what trace-cmd's recording, which has it all, does.
judge_midlife() {
	judge_stopped
	run "$ioflush" verify "$dir/x.dat"
	is "$name: verify passes for the recording from the beginning" 0 "$status" "$(run_report)"
	run "$ioflush" replay --format json "$dir/x.dat"
	is "$name: the recording from the beginning: every gap is certain" "null 0" \
		"$(jq -r '"\(.trace.captures[0].midlife) \([.policies[].uncertain[]] | add)"' "$scratch/out")"
	run "$ioflush" replay --format json "$db"
	is "$name: the recording from the middle says where that shows" object \
		"$(jq -r '.trace.captures[0].midlife | type' "$scratch/out")" "$(run_report)"
	is "$name: it counts what is older" "true true true" \
		"$(jq -r '.health | "\(.midlife_iopts > 0) \(.midlife_domains > 0) \(.midlife_areas > 0)"' "$scratch/out")"
	is "$name: it has gaps, none of which is certain" "true true" \
		"$(jq -r '.policies | "\([.[].gaps[]] | add > 0) \(all(.[]; .gaps == .uncertain))"' "$scratch/out")"
	run "$ioflush" replay --policy none,ideal --fail-on error "$db"
	is "$name: a check finds no gap in them, and no proof" 6 "$status" "$(run_report)"
	run "$ioflush" verify "$db"
	is "$name: what the kernel unpins of older pages is no failure, and no proof" 6 "$status" "$(run_report)"
}

# One run, recorded by every rung of the ladder: all but the last say the same of it.
judge_ladder() {
	local rung
	is "$name: the workload succeeds" 0 "$(note work)" "$(cat "$dir/work.log" 2>&1)"
	is "$name: nothing is left behind" "" "$(note leftovers)"
	for rung in fprobe kprobe table paired tracepoint; do
		db=$dir/$rung.db
		is "$name: $rung: ioflushd stops with status 0" 0 "$(note $rung.ended)" "$(cat "$dir/$rung.log" 2>&1)"
		is "$name: $rung: nothing is lost" 0 "$(sql 'SELECT count(*) FROM lost')"
		run "$ioflush" replay --format json "$db"
		mv "$scratch/out" "$scratch/$rung.json"
	done
	db=$dir/fprobe.db
	judge_verify
	for rung in kprobe table paired; do
		# Whether a domain is coherent stands in a struct that no table has: unknown, and taken for what these are.
		if diff <(numbers "$scratch/fprobe.json") <(numbers "$scratch/$rung.json" | known "$rung") >"$scratch/diff"; then
			ok "$name: replay says the same by rung $rung as by fprobe, $(jq .trace.events "$scratch/$rung.json") events"
		else
			not_ok "$name: replay says the same by rung $rung as by fprobe" "$(cat "$scratch/diff" "$dir/$rung.log")"
		fi
	done
	for rung in 'kprobe BTF' 'paired BTF' 'table table'; do
		if grep -q "offsets of struct members are from .*${rung#* }" "$dir/${rung% *}.log"; then
			ok "$name: ${rung% *}: offsets come from ${rung#* }"
		else
			not_ok "$name: ${rung% *}: offsets come from ${rung#* }" "$(cat "$dir/${rung% *}.log")"
		fi
	done
	judge_tracepoints
}

known() {
	if [[ $1 == table ]]; then
		jq -S 'if .health.unknown_coherency > 0 then .health.unknown_coherency = 0 else error("coherency is known?") end'
	else
		cat
	fi
}

# The last rung sees as many maps and unmaps, and says that it cannot know more.
judge_tracepoints() {
	local calls="SELECT count(*) FROM event WHERE kind IN (SELECT kind FROM event_kind WHERE name IN ('map', 'unmap'))"
	is "$name: tracepoint: as many maps and unmaps" "$(db=$dir/fprobe.db sql "$calls")" "$(db=$dir/tracepoint.db sql "$calls")"
	is "$name: tracepoint: no domain is known" 0 "$(db=$dir/tracepoint.db sql "SELECT count(*) FROM map WHERE domain != '0x0'")"
	is "$name: tracepoint: --check says that it does not suffice" "15 1" \
		"$(note check.ended) $(grep -c '^verdict: no policy can be judged by a capture of the rung tracepoint' "$dir/check")"
	is "$name: tracepoint: replay names what the capture lacks" "domain_add area_fill" \
		"$(jq -r '.trace.captures[0].lacking | map(select(. == ("domain_add", "area_fill"))) | join(" ")' "$scratch/tracepoint.json")"
	run "$ioflush" replay --policy ideal "$dir/tracepoint.db"
	is "$name: tracepoint: no verdict" 1 "$(grep -c '^ideal: *cannot be judged' "$scratch/out")"
}

# The CPU's buffer is read to its end when it goes, and again when it is back.
judge_cpus() {
	judge
	is "$name: the CPU went three times and came back" "0 1 0 1 0 1" "$(note online | tr '\n' ' ' | sed 's/ $//')"
	is "$name: events come from both CPUs" "0 1" "$(sql 'SELECT DISTINCT cpu FROM event ORDER BY cpu' | tr '\n' ' ' | sed 's/ $//')"
	is "$name: events of the second come after it is back" 1 "$(sql "SELECT cpu FROM event WHERE kind =
		(SELECT kind FROM event_kind WHERE name = 'map') ORDER BY id DESC LIMIT 1")"
}

# Times are those of the trace clock, and so is what retention goes by.
judge_clock() {
	local span
	judge
	is "$name: the wall clock was set twice" 2 "$(wc -l <"$dir/dates")"
	span=$(sql 'SELECT (last_t - first_t) / 1000000000 FROM capture')
	if ((span < 120)); then
		ok "$name: the capture lasts $span s"
	else
		not_ok "$name: the capture lasts seconds" "$span s"
	fi
	is "$name: events are in the order of time" 0 \
		"$(sql 'SELECT count(*) FROM event a JOIN event b ON b.id = a.id + 1 WHERE b.t < a.t')"
	is "$name: retention deletes nothing that is not old" 1 \
		"$(sql "SELECT count(*) FROM (SELECT 1 FROM capture WHERE events = (SELECT count(*) FROM event))")"
	is "$name: three times the same was recorded" 3 "$(grep -c 'churn done' "$dir/work.log")"
}

# Integrity lets tracefs alone. Confidentiality refuses it: there is nothing to record with, and the sentence says why.
judge_lockdown() {
	is "$name: integrity: --check says that this host can be recorded" 0 "$(note status.integrity)" "$(note check.integrity)"
	is "$name: integrity: records until it is told to stop" "0 1" \
		"$(note record.integrity.status) $(grep -c 'recording into' "$dir/record.integrity")" "$(note record.integrity)"
	is "$name: confidentiality: --check ends with status 12" 12 "$(note status.confidentiality)"
	is "$name: confidentiality: so does a start" 12 "$(note record.confidentiality.status)"
	for text in check.confidentiality record.confidentiality; do
		if grep -q 'the kernel is locked down (confidentiality) and refuses this' "$dir/$text"; then
			ok "$name: $text says why"
		else
			not_ok "$name: $text says why" "$(note "$text")"
		fi
	done
}

# --- the service, under a real systemd

begin_systemd() {
	if ! make -C "$build" -s install "DESTDIR=$scratch/systemd/install" >"$scratch/install" 2>&1; then
		not_ok "systemd: make install" "$(cat "$scratch/install")"
		return
	fi
	begin systemd nonsnoop "$vm/job-systemd.sh" "init=$vm/guest-systemd"
}

# did NAME WHAT: a step of the guest's succeeded
did() {
	is "$name: $2" 0 "$(note "$1")" "$(cat "$dir/$1.log" 2>&1; tail -n 20 "$dir/journal.log" 2>&1)"
}

# mains FILE: whether the first process is the same as before
mains() {
	local before='' after=''
	read -r before after <"$dir/$1" || true
	if [[ -z $before || -z $after ]]; then
		printf 'none'
	elif [[ $before == "$after" ]]; then
		printf 'same'
	else
		printf 'another'
	fi
}

judge_systemd() {
	did sysusers "systemd-sysusers makes the user"
	did tmpfiles "systemd-tmpfiles makes the folders"
	did start "systemctl start"
	is "$name: once it has started it is armed" "on" "$(awk 'NR == 1 { n = $1 } NR > 1 { on += $1 } END { print (n >= 20 && on == 2) ? "on" : "off" }' "$dir/armed.log")" "$(cat "$dir/armed.log")"
	is "$name: it is active" active "$(note active.log)"
	is "$name: the recorder is the user" ioflush "$(note user.log)"
	did churn "the workload succeeds under the hardened unit"
	did api "the API's socket answers"
	is "$name: the API: nothing is lost" 0 "$(jq .losses.records "$dir/api.log" 2>&1)"
	did reload "systemctl reload"
	is "$name: a reload keeps the process" same "$(mains reloaded.main)"
	is "$name: a step of the wall clock keeps the process: the watchdog does not fire" same "$(mains dated.main)"
	is "$name: killed, it is started again" another "$(mains killed.main)"
	is "$name: a recorder that hangs is found by the watchdog and started again" another "$(mains watchdog.main)"
	did churn-again "the workload succeeds again"
	did stop "systemctl stop"
	is "$name: nothing is left behind" "" "$(note leftovers)"
	# Of a first process that was killed the recorder ends its capture, if systemd does not kill it before that.
	is "$name: the captures end as they did" "cut-off complete" \
		"$(sql 'SELECT state FROM capture WHERE id > 1 ORDER BY id' | tr '\n' ' ' | sed 's/ $//')"
	is "$name: the capture of a first process that was killed has ended" 1 \
		"$(sql "SELECT count(*) FROM capture WHERE id = 1 AND state IN ('cut-off', 'complete')")"
	is "$name: nothing is lost" 0 "$(sql 'SELECT count(*) FROM lost')"
	run "$ioflush" verify --format json "$db"
	is "$name: verify passes what is complete, and knows what was cut off" "true pass" \
		"$(jq -r '.captures | "\(all(.[]; .broken == [] and .unpins.missing_in_kernel == 0 and
			.result == (if .state == "complete" then "pass" else "incomplete" end))) \(.[-1].result)"' "$scratch/out")" \
		"$(run_report)"
	for words in 'recording into' 'reload: log-level has changed' 'Watchdog timeout' 'status=9/KILL'; do
		if grep -qF "$words" "$dir/journal.log"; then
			ok "$name: the journal has: $words"
		else
			not_ok "$name: the journal has: $words" "$(tail -n 40 "$dir/journal.log")"
		fi
	done
}

need_vm
begin_boots
judge_boots
tap_done checks
