#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What makes ioflushd a service: the unit is sound and hardened, the user and the folders are what the unit expects, the
# manual and the sample config have every option.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

src=$here/..
ioflushd=${IOFLUSHD:-$src/build/ioflushd}
threshold=2.4
unit=$scratch/ioflushd.service

# The unit as it is installed, but for the program: systemd-analyze wants one that is there.
make_unit() {
	sed "s,@sbindir@/ioflushd,$(command -v true)," "$src/daemon/ioflushd.service.in" >"$unit"
}

check_placeholders() {
	if grep -n '@[a-z_]*@' "$unit" >"$scratch/left"; then
		not_ok "the unit has no placeholder but sbindir" "$(cat "$scratch/left")"
	else
		ok "the unit has no placeholder but sbindir"
	fi
}

# What make made of it
check_built() {
	local built=${IOFLUSH_BUILD:-$src/build}/daemon/ioflushd.service
	if grep -qE '^ExecStart=/[^@]*/ioflushd --user ' "$built"; then
		ok "the built unit names the program by its path"
	else
		not_ok "the built unit names the program by its path" "$(grep ExecStart= "$built" 2>&1)"
	fi
}

# has NAME LINE: the unit has the line as it stands
has() {
	if grep -qxF -- "$2" "$unit"; then
		ok "$1"
	else
		not_ok "$1" "no line $2"
	fi
}

# default_of KEY: of an option, in bytes
default_of() {
	sed -n "s/^OPTION([A-Z0-9]*, $1, \"\([^\"]*\)\".*/\1/p" "$src/schema/options.def" | numfmt --from=iec
}

# The replays that the defaults allow, and those for other answers, fit and leave the recorder its part.
check_memory() {
	local most recorder answers
	most=$(sed -n 's/^MemoryMax=//p' "$unit" | numfmt --from=iec)
	answers=$(sed -n 's/^#define RUNNING_MAX //p' "$src/daemon/api/query.c")
	recorder=$((most - ($(default_of replay_max) + answers) * $(default_of replay_memory)))
	# pages to merge, the queue of events of 112 bytes, and caches and tables of names
	if ((recorder >= $(default_of merge_bytes) + 112 * $(default_of queue_events) + 256 * 1024 * 1024)); then
		ok "memory is bounded, and enough: $((recorder >> 20)) MiB for the recorder"
	else
		not_ok "memory is bounded, and enough" "MemoryMax is $most"
	fi
}

check_promises() {
	has "ready is said by the daemon itself" Type=notify
	has "the recording child is heard" NotifyAccess=all
	has "a reload is SIGHUP" "ExecReload=kill -HUP \$MAINPID"
	has "one SIGTERM, to the first process" KillMode=mixed
	has "a replay that goes for lack of memory takes nothing with it" OOMPolicy=continue
	if grep -qE '^ExecStopPost=[^ ]+ --disarm$' "$unit"; then
		ok "what killed processes leave is removed"
	else
		not_ok "what killed processes leave is removed" "$(grep ExecStopPost "$unit")"
	fi
	check_memory
	if grep -qE '^WatchdogSec=[1-9]' "$unit"; then
		ok "there is a watchdog"
	else
		not_ok "there is a watchdog"
	fi
}

check_analyze() {
	if ! command -v systemd-analyze >/dev/null; then
		skip "the unit is valid" "systemd-analyze is not installed: apt-get install systemd"
		skip "exposure is at most $threshold" "systemd-analyze is not installed: apt-get install systemd"
		return
	fi
	run systemd-analyze verify --man=no "$unit"
	if ! type -P kill >/dev/null; then # which ExecReload= names
		skip "the unit is valid" "kill is not installed: apt-get install procps"
	elif ((status == 0)) && ! grep -q 'ioflushd.service' "$scratch/err"; then
		ok "the unit is valid"
	else
		not_ok "the unit is valid" "$(run_report)"
	fi
	run systemd-analyze security --offline=yes --threshold="${threshold/./}" "$unit"
	if ((status == 0)); then
		ok "exposure is at most $threshold: $(grep -o 'level.*: [0-9.]*' "$scratch/out" | grep -o '[0-9.]*$')"
	else
		not_ok "exposure is at most $threshold" "$(tail -n 1 "$scratch/out")"
	fi
}

# A path may have become a symbolic link since it was made: owner and mode are changed by descriptor, or of the link itself.
check_links() {
	local found
	found=$(grep -rnE '(^|[^a-z_])(chown|chmod)[[:space:]]*\(' "$src"/{base,trace,daemon} --include='*.c' || true)
	if [[ -z $found ]]; then
		ok "owner and mode are never changed through a symbolic link"
	else
		not_ok "owner and mode are never changed through a symbolic link" "$found"
	fi
}

# The user that the unit names, and the group that the socket is given to.
check_user() {
	local user group api
	user=$(sed -n 's/^u \([a-z]*\) .*/\1/p' "$src/daemon/ioflushd.sysusers")
	group=$(sed -n 's/^Group=//p' "$unit")
	if [[ -n $user && $group == "$user" ]] && grep -qE -- "--user $user( |\$)" "$unit"; then
		ok "sysusers.d makes the user that the unit names"
	else
		not_ok "sysusers.d makes the user that the unit names" "sysusers.d: $user, unit: $group"
	fi
	api=$(sed -n 's/^g \([a-z-]*\) .*/\1/p' "$src/daemon/ioflushd.sysusers")
	if [[ -n $api && $api != "$user" ]] && grep -qE -- "--listen-group $api( |\$)" "$unit"; then
		ok "sysusers.d makes the group of the socket, which is not that of the database"
	else
		not_ok "sysusers.d makes the group of the socket, which is not that of the database" "sysusers.d: $api"
	fi
	if ! grep -q '^m ' "$src/daemon/ioflushd.sysusers"; then
		ok "sysusers.d puts nobody into a group"
	else
		not_ok "sysusers.d puts nobody into a group"
	fi
	# Nobody but the user writes: who could, could put another file or socket in the place of ours.
	folder "$user" "$user" /var/lib/ioflush
	folder "$user" "$api" /run/ioflush
	if grep -qE '^(State|Runtime)Directory=' "$unit"; then
		not_ok "the unit leaves the folders to tmpfiles.d"
	else
		ok "the unit leaves the folders to tmpfiles.d"
	fi
}

# folder USER GROUP FOLDER
folder() {
	if grep -qE "^d $3 0750 $1 $2 " "$src/daemon/ioflushd.tmpfiles" &&
		grep -qE "^ReadWritePaths=.*-$3( |\$)" "$unit"; then
		ok "tmpfiles.d makes $3 for the user, group $2; the unit may write there"
	else
		not_ok "tmpfiles.d makes $3 for the user, group $2; the unit may write there"
	fi
}

# dry NAME PROGRAM FILE: the tool takes the file, in an empty root
dry() {
	if ! command -v "$2" >/dev/null; then
		skip "$1" "$2 is not installed: apt-get install systemd"
		return
	fi
	if ((EUID != 0)); then
		skip "$1" "not root"
		return
	fi
	mkdir -p "$scratch/root/etc" "$scratch/root/var/lib" "$scratch/root/run"
	run "$2" --root="$scratch/root" ${4+"$4"} "$3"
	if ((status == 0)); then
		ok "$1"
	else
		not_ok "$1" "$(run_report)"
	fi
}

options() {
	sed -n 's/^OPTION([A-Z0-9]*, \([a-z_]*\), .*/\1/p' "$src/schema/options.def"
}

check_options() {
	local key missing='' known=0
	run "$ioflushd" --help-config
	if ((status != 0)); then
		not_ok "ioflushd --help-config" "$(run_report)"
		return
	fi
	while read -r key; do
		known=$((known + 1)) key=${key//_/-}
		grep -qE "^#? ?$key =" "$scratch/out" || missing+=" $key (sample)"
		grep -qE "^\.It Cm $key = " "$src/man/ioflushd.conf.5" || missing+=" $key (manual)"
	done < <(options)
	if [[ -z $missing ]] && ((known >= 20)); then
		ok "manual and sample config have all $known options"
	else
		not_ok "manual and sample config have every option" "of $known missing:$missing"
	fi
	mv "$scratch/out" "$scratch/sample.conf"
	# What it prints is a config file: the next error is not in there.
	run "$ioflushd" --config "$scratch/sample.conf" --no-such-option
	if ((status == 2)) && grep -q 'no-such-option' "$scratch/err"; then
		ok "the sample config is a config file"
	else
		not_ok "the sample config is a config file" "$(run_report)"
	fi
}

check_manual() {
	local page
	if ! command -v mandoc >/dev/null; then
		skip "manual pages are clean" "mandoc is not installed: apt-get install mandoc"
		return
	fi
	for page in ioflushd.8 ioflushd.conf.5; do
		run mandoc -T lint -W warning "$src/man/$page"
		if ((status == 0)); then
			ok "$page is clean"
		else
			not_ok "$page is clean" "$(run_report)"
		fi
	done
}

make_unit
check_placeholders
check_built
check_promises
check_analyze
check_links
check_user
dry "systemd-sysusers takes the file" systemd-sysusers "$src/daemon/ioflushd.sysusers"
dry "systemd-tmpfiles takes the file" systemd-tmpfiles "$src/daemon/ioflushd.tmpfiles" --create
check_options
check_manual
tap_done checks
