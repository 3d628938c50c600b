#!/usr/bin/env bash
# Everything from a fresh clone to a running program, on Debian 12.
#
#   ./bootstrap.sh demo    install what is missing, build in ./build, replay a recording and print the report
#   ./bootstrap.sh check   the same build, all tests, the tests under sanitizers (in ./build-asan), the tests in a guest
#                          whose kernel is built once (in ~/.cache/ioflush-vm, 10 to 15 minutes) and the format check;
#                          where CI=true also "make distcheck"
#   ./bootstrap.sh fuzz    fuzz what parses a trace, and the HTTP server, for FUZZ_SECONDS (60) each, in ./build-fuzz
#
# Packages are installed when run as root; otherwise the missing ones are named. What is done already is not done again,
# so a second run takes seconds. The last line of check counts the test cases; exit status 0 only if all passed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

build_packages=(autoconf automake gcc libc6-dev make pkg-config libtraceevent-dev libzstd-dev libsqlite3-dev
	libjansson-dev uthash-dev libevent-dev libsystemd-dev libbpf-dev)
check_packages=(libcmocka-dev sqlite3 trace-cmd jq clang-format mandoc curl python3-yaml python3-jsonschema systemd)
vm_packages=(linux-source-6.12 flex bison bc libelf-dev libssl-dev dwarves xz-utils kmod cpio procps qemu-system-x86
	seabios)
distcheck_packages=(xz-utils)
fuzz_packages=(clang libclang-rt-14-dev)

jobs=$(nproc 2>/dev/null || echo 2)
passed=0 failed=0 skipped=0

say() {
	printf 'bootstrap: %s\n' "$*"
}

die() {
	printf 'bootstrap: %s\n' "$*" >&2
	exit 1
}

# The packages among the arguments that are not installed, one a line.
missing_packages() {
	local package
	for package; do
		if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) != installed ]]; then
			printf '%s\n' "$package"
		fi
	done
}

need_packages() {
	local missing
	if ! command -v dpkg-query >/dev/null; then
		say "this is no Debian; what Debian calls these must be there: $*"
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

# configure_in FOLDER OPTION...: makes configure if need be, and runs it unless the folder is configured so already.
# A folder that was configured otherwise is cleaned: flags are not among what make compares.
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

# One line that changes with any file that a test could depend on, and with the compiler. Fails where there is no git.
fingerprint() {
	local files
	files=$(git ls-files --cached --others --exclude-standard 2>/dev/null) || return 1
	{
		printf '%s\n' "$files" | tr '\n' '\0' | xargs -0 sha256sum && cc --version
	} 2>/dev/null | sha256sum
}

# run_counted NAME LOG COMMAND...: runs a command that runs tests; shows what did not pass and counts all. What passed
# with these very files is not run again (CI always runs it): its counts are those of then.
run_counted() {
	local name=$1 log=$2 before now=''
	shift 2
	say "$name"
	if [[ ${CI-} != true ]] && now=$(fingerprint) && [[ $now == "$(cat "$log.passed" 2>/dev/null || true)" ]]; then
		say "passed with these files before; rm $log.passed runs them again"
		count_totals "$log"
		return
	fi
	rm -f "$log.passed"
	before=$((passed + failed + skipped))
	if "$@" >"$log" 2>&1; then
		count_totals "$log"
		if ((passed + failed + skipped == before)); then
			say "$name: no test ran; see $log" >&2
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
		say "$name failed; all it printed is in $log" >&2
	fi
}

# The logs of the test programs that did not pass, where a CI shows nothing but what was printed.
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

# What check ends with, however it ends: a build that breaks off counts as one failure.
closing_line() {
	if (($? != 0 && failed == 0)); then
		failed=1
	fi
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

# The tests in a guest, whose kernel is built when the cache folder has none of this configuration.
check_vm() {
	local why=''
	if [[ $(uname -m) != x86_64 ]] || ((EUID != 0)); then
		why="they need root on x86-64"
	elif ! (need_packages "${vm_packages[@]}"); then
		why="not all packages can be had"
	fi
	if [[ -n $why ]]; then
		say "tests in a guest: skipped, $why"
		skipped=$((skipped + 1))
		return
	fi
	run_counted "tests in a guest" build/check-vm.out make -C build check-vm
}

check() {
	local leg
	trap closing_line EXIT
	need_packages "${build_packages[@]}" "${check_packages[@]}"
	if [[ ${CI-} == true ]]; then
		need_packages "${distcheck_packages[@]}"
	fi

	say "format"
	if tools/check-format; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi

	configure_in build --enable-werror
	build_in build
	run_counted "tests" build/check.out make -C build -j"$jobs" check
	configure_in build-asan --enable-werror --enable-sanitizers CFLAGS='-g -O1'
	build_in build-asan
	run_counted "tests under sanitizers" build-asan/check.out make -C build-asan -j"$jobs" check
	check_vm
	if [[ ${CI-} == true ]]; then
		run_counted "distcheck" build/distcheck.out make -C build -j"$jobs" distcheck
	fi

	if ((failed > 0)); then
		for leg in build build-asan; do
			show_failed_logs "$leg"
		done
		printf '\n'
		exit 1
	fi
}

fuzz() {
	need_packages "${build_packages[@]}" "${fuzz_packages[@]}"
	configure_in build-fuzz --enable-fuzzing CC=clang
	build_in build-fuzz
	say "fuzzing; a finding is exit status 1"
	make -C build-fuzz -s fuzz
}

case "$#${1-}" in
1demo) demo ;;
1check) check ;;
1fuzz) fuzz ;;
1-h | 1--help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
*)
	echo "usage: ./bootstrap.sh demo|check|fuzz" >&2
	exit 2
	;;
esac
