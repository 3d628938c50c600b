#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Everything from a fresh clone to a running program, on Debian 12 and 13.
#
#   ./bootstrap.sh demo        install what is missing, build in ./build, replay a recording and print the report
#   ./bootstrap.sh check       the same build, the format check, all tests, the tests under sanitizers (in ./build-asan),
#                              and the tests in a guest, whose kernel is built once (in ~/.cache/ioflush-vm, 10 to 15
#                              minutes; CHECK_GUEST=no skips these). With CI=true also "make distcheck" and demo on bare
#                              Debians ("make check-bare")
#   ./bootstrap.sh check-long  the slow tests: demo and check on bare Debians ("make check-bare"), stress on one recorder
#                              for STRESS_SECONDS (1800; "make stress"), fuzz for FUZZ_SECONDS (300)
#   ./bootstrap.sh fuzz        run the fuzzers of the trace readers and of the HTTP server, for FUZZ_SECONDS (60) each, in
#                              ./build-fuzz
#
# Run as root, it installs the packages that are missing; otherwise it names them. What is done is not done again, so a
# second run of demo or check takes seconds. At its end a check prints a table of its stages with the time of each, and
# then counts the test cases. The exit status is 0 only if all passed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

build_packages=(autoconf automake gcc libc6-dev make pkg-config libtraceevent-dev libzstd-dev libsqlite3-dev
	libcjson-dev uthash-dev libevent-dev libsystemd-dev libbpf-dev)
check_packages=(libcmocka-dev sqlite3 trace-cmd jq clang-format mandoc curl python3-yaml python3-jsonschema systemd
	procps)
vm_packages=(linux-source-6.12 flex bison bc libelf-dev libssl-dev dwarves xz-utils kmod cpio qemu-system-x86 seabios)
distcheck_packages=(xz-utils)
bare_packages=(mmdebstrap "debian-archive-keyring>=2023.3+deb12u2") # which has the keys of Debian 13
fuzz_packages=(clang libclang-rt-dev)

jobs=$(nproc 2>/dev/null || echo 2)
passed=0 failed=0 skipped=0
stage='' # the present stage of a check; stage_start and stage_counts have the time and the counts at its start
table='' # a line for each stage that has ended

say() {
	printf 'bootstrap: %s\n' "$*"
}

die() {
	printf 'bootstrap: %s\n' "$*" >&2
	exit 1
}

# The packages among the arguments that are not installed, or older than NAME>=VERSION says, one a line.
missing_packages() {
	local package name status version
	for package; do
		name=${package%%>=*}
		read -r status version < <(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$name" 2>/dev/null) || status=''
		if [[ $status != installed ]] || { [[ $package == *'>='* ]] &&
			dpkg --compare-versions "$version" lt "${package#*>=}"; }; then
			printf '%s\n' "$name"
		fi
	done
}

need_packages() {
	local missing
	if ! command -v dpkg-query >/dev/null; then
		say "this is not Debian; install what Debian calls: $*"
		return
	fi
	mapfile -t missing < <(missing_packages "$@")
	if ((${#missing[@]} == 0)); then
		return
	fi
	if ((EUID != 0)); then
		say "missing packages: ${missing[*]}" >&2
		die "run as root, or first: apt-get install --no-install-recommends ${missing[*]}"
	fi
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; }; then
		die "apt-get could not install: ${missing[*]}"
	fi
}

# configure_in FOLDER OPTION...: makes configure if necessary, and runs it unless the folder is already configured with these
# options. A folder that was configured with others is cleaned, because make does not compare flags.
configure_in() {
	local dir=$1 clean='' autoreconf_out
	shift
	if [[ ! -x configure || configure.ac -nt configure || ! -e Makefile.in ]]; then
		say "making configure"
		autoreconf_out=$(autoreconf -i 2>&1) || die "autoreconf failed: $autoreconf_out"
	fi
	mkdir -p "$dir"
	if [[ -e $dir/Makefile && -e $dir/config.status ]]; then
		if [[ $(cat "$dir/.bootstrap-options" 2>/dev/null || true) == "$*" ]]; then
			return
		fi
		clean=yes
	fi
	say "configuring $dir"
	(cd "$dir" && ../configure -q "$@" >configure.out) || { cat "$dir/configure.out"; die "configure failed in $dir"; }
	grep '^    ' "$dir/configure.out" || true
	if [[ -n $clean ]]; then
		make -C "$dir" -s clean
	fi
	printf '%s\n' "$*" >"$dir/.bootstrap-options"
}

build_in() {
	say "building in $1"
	make -C "$1" -j"$jobs" >"$1/build.out" || die "the build failed in $1"
}

# Adds the totals of a test run, as automake prints them, to ours.
count_totals() {
	local word n
	while read -r _ word n; do
		case $word in
		PASS: | XFAIL:) passed=$((passed + n)) ;;
		FAIL: | XPASS: | ERROR:) failed=$((failed + n)) ;;
		SKIP:) skipped=$((skipped + n)) ;;
		esac
	done < <(grep -E '^# (PASS|XFAIL|FAIL|XPASS|ERROR|SKIP): +[0-9]+$' "$1" || true)
}

# One line that changes with any file that a test could depend on, and with the compiler. Fails if there is no git.
fingerprint() {
	local files
	files=$(git ls-files --cached --others --exclude-standard 2>/dev/null) || return 1
	{
		printf '%s\n' "$files" | tr '\n' '\0' | xargs -0 sha256sum && cc --version
	} 2>/dev/null | sha256sum
}

# stage NAME COMMAND...: one part of a check. Its time and its counts become a line of the table at the end.
stage() {
	stage=$1 stage_start=$SECONDS stage_counts=("$passed" "$failed" "$skipped")
	say "$stage"
	shift
	"$@"
	end_stage
}

end_stage() {
	local took=$((SECONDS - stage_start))
	say "$stage: $took s"
	printf -v table '%s%-40s %6d %8d %8d %8d\n' "$table" "$stage" "$took" "$((passed - stage_counts[0]))" \
		"$((failed - stage_counts[1]))" "$((skipped - stage_counts[2]))"
	stage=''
}

# run_counted LOG COMMAND...: runs a command that runs tests, shows what did not pass, and counts all. If the command passed
# with exactly these files before, it is not run again and its old counts are used; CI and check-long always run it.
run_counted() {
	local log=$1 before now=''
	shift
	if [[ ${CI-} != true && $command != check-long ]] && now=$(fingerprint) && [[ $now == "$(cat "$log.passed" 2>/dev/null || true)" ]]; then
		say "passed with these files before; rm $log.passed runs them again"
		count_totals "$log"
		return
	fi
	rm -f "$log.passed"
	before=$((passed + failed + skipped))
	if "$@" >"$log" 2>&1; then
		count_totals "$log"
		if ((passed + failed + skipped == before)); then
			say "$stage: no test ran; see $log" >&2
			failed=$((failed + 1))
		elif [[ -n $now ]]; then
			printf '%s\n' "$now" >"$log.passed"
		fi
		grep -E '^SKIP: ' "$log" || true
	else
		before=$failed
		count_totals "$log"
		if ((failed == before)); then # it broke before or beside the tests
			failed=$((failed + 1))
			tail -n 60 "$log"
		fi
		grep -E '^(FAIL|ERROR|XPASS|SKIP): ' "$log" || true
		say "$stage failed; all it printed is in $log" >&2
	fi
}

# run_long LOG COMMAND...: runs a command that takes long and prints its progress. It counts as one test.
run_long() {
	local log=$1
	shift
	if ! "$@" 2>&1 | tee "$log"; then
		failed=$((failed + 1))
		say "$stage failed; all it printed is in $log" >&2
	elif grep -q '^1\.\.0 # SKIP' "$log"; then
		skipped=$((skipped + 1))
	else
		passed=$((passed + 1))
	fi
}

# Prints the logs of the test programs that did not pass, for a CI that shows only what was printed.
show_failed_logs() {
	local result
	for result in "$1"/tests/*.trs; do
		if grep -qsE '^:global-test-result: (FAIL|ERROR)' "$result"; then
			printf '\n==== %s\n' "${result%.trs}.log"
			grep -vE '^(ok|PASS)' "${result%.trs}.log" | tail -n 100
		fi
	done
}

demo() {
	local recording=tests/data/traces/churn-small.trace
	need_packages "${build_packages[@]}"
	if [[ ! -e build/Makefile ]]; then
		configure_in build
	fi
	build_in build
	say "build/ioflush replay $recording"
	printf '\n'
	exec build/ioflush replay "$recording"
}

# Runs at the end of a check, however it ends: a stage that did not get to its end counts as one failure.
closing_line() {
	if (($? != 0 && failed == 0)); then
		failed=1
	fi
	if [[ -n $stage ]]; then
		end_stage
	fi
	printf '\n%-40s %6s %8s %8s %8s\n%s' stage seconds passed failed skipped "$table"
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

skip_stage() {
	say "$stage: skipped, $1"
	skipped=$((skipped + 1))
}

check_format() {
	if tools/check-format; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
}

# configure_and_build FOLDER OPTION...
configure_and_build() {
	configure_in "$@"
	build_in "$1"
}

# The tests in a guest. Its kernel is built if the cache folder has none with this configuration.
check_guest() {
	if [[ ${CHECK_GUEST-} == no ]]; then
		skip_stage "as CHECK_GUEST=no asks"
	elif [[ $(uname -m) != x86_64 ]] || ((EUID != 0)); then
		skip_stage "they need root on x86-64"
	elif ! (need_packages "${vm_packages[@]}"); then
		skip_stage "not all packages are available"
	else
		run_counted build/check-vm.out make -C build check-vm
	fi
}

# check_bare COMMANDS: of this script, in fresh chroots of Debians
check_bare() {
	if ((EUID != 0)); then
		skip_stage "chroots need root"
	elif ! (need_packages "${bare_packages[@]}"); then
		skip_stage "not all packages are available"
	else
		run_counted build/check-bare.out env BARE_COMMANDS="$1" make -C build check-bare
	fi
}

end_check() {
	local leg
	if ((failed > 0)); then
		for leg in build build-asan; do
			show_failed_logs "$leg"
		done
		exit 1
	fi
}

check() {
	trap closing_line EXIT
	stage "packages" need_packages "${build_packages[@]}" "${check_packages[@]}"
	stage "format" check_format
	stage "build" configure_and_build build --enable-werror
	stage "tests" run_counted build/check.out make -C build -j"$jobs" check
	stage "build with sanitizers" configure_and_build build-asan --enable-werror --enable-sanitizers CFLAGS='-g -O1'
	stage "tests under sanitizers" run_counted build-asan/check.out make -C build-asan -j"$jobs" check
	stage "tests in a guest" check_guest
	if [[ ${CI-} == true ]]; then
		need_packages "${distcheck_packages[@]}"
		stage "distcheck" run_counted build/distcheck.out make -C build -j"$jobs" distcheck
		stage "demo on bare Debians" check_bare demo
	fi
	end_check
}

check_long() {
	trap closing_line EXIT
	stage "packages" need_packages "${build_packages[@]}" "${check_packages[@]}" "${fuzz_packages[@]}"
	stage "build" configure_and_build build --enable-werror
	stage "demo and check on bare Debians" check_bare "demo check"
	stage "stress" run_long build/stress.out make -C build -s stress
	stage "build for fuzzing" configure_and_build build-fuzz --enable-fuzzing CC=clang
	stage "fuzz" run_long build-fuzz/fuzz.out env FUZZ_SECONDS="${FUZZ_SECONDS:-300}" make -C build-fuzz -s fuzz
	end_check
}

fuzz() {
	need_packages "${build_packages[@]}" "${fuzz_packages[@]}"
	configure_and_build build-fuzz --enable-fuzzing CC=clang
	say "fuzzing; a finding is exit status 1"
	make -C build-fuzz -s fuzz
}

command=${1-}
case "$#$command" in
1demo) demo ;;
1check) check ;;
1check-long) check_long ;;
1fuzz) fuzz ;;
1-h | 1--help) sed -n '3,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
*)
	echo "usage: ./bootstrap.sh demo|check|check-long|fuzz" >&2
	exit 2
	;;
esac
