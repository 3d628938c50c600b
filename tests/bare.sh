#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a bare machine: what README promises of a fresh Debian, in chroots that have no more than apt needs (minbase), with
# the sources of HEAD and nothing else. Each command of bootstrap.sh has a fresh one. "make check-bare" runs it, as root.
#
# BARE_DEBIANS (bookworm trixie), BARE_COMMANDS (demo check), BARE_MIRROR (of this machine's apt) and IOFLUSH_BARE (the
# cache of packages, ~/.cache/ioflush-bare) are heeded. All Debians do demo at once; check, which has tests that want the
# machine for themselves, they do one after the other, and without the guest.
#
# Mounts are made in a mount namespace that ends with the command, so none can be left behind.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
read -ra debians <<<"${BARE_DEBIANS:-bookworm trixie}"
read -ra commands <<<"${BARE_COMMANDS:-demo check}"
declare -A names=([bookworm]='Debian 12' [trixie]='Debian 13')
cache=${IOFLUSH_BARE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioflush-bare}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
need_kib=6000000 # of a run: a Debian with compilers, two builds, recordings
source_dir=$(cd "$here/.." && pwd)

# Commands in chroots are process groups, so that none outlives a run that is interrupted.
set -m
end_all() {
	local group
	for group in $(jobs -p); do
		kill -- "-$group" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	rm -rf --one-file-system "$bare" "$scratch"
}

skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 0
}

# Where it cannot run, all of it is skipped, in words.
need_bare() {
	((EUID == 0)) || skip_all "chroots need root"
	need_tools mmdebstrap git
	unshare --mount true 2>/dev/null || skip_all "no mount namespace can be made here"
	[[ -e $keyring ]] || skip_all "no $keyring: apt-get install debian-archive-keyring"
	mirror=${BARE_MIRROR:-$(own_mirror)}
	[[ -n $mirror ]] || skip_all "apt has no mirror of Debian (after apt-get update): BARE_MIRROR=URL names one"
	((free_kib > need_kib)) || skip_all "$bare has room for $free_kib KiB, $need_kib are needed; TMPDIR names another place"
	in_git rev-parse -q --verify HEAD >/dev/null 2>&1 || skip_all "$source_dir is no clone: what is in HEAD is tested"
}

own_mirror() {
	apt-get indextargets --format "\$(ORIGIN) \$(LABEL) \$(REPO_URI)" 'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian Debian //p' | head -n 1
}

# Whoever owns the clone
in_git() {
	git -c safe.directory='*' -C "$source_dir" "$@"
}

# The cache is for one run at a time: apt locks its folders.
lock_cache() {
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock -n 9 || {
		printf '# another run uses %s: waiting for it\n' "$cache"
		flock 9
	}
}

# make_base DEBIAN: the chroot as a tar file. What apt downloads is kept in the cache; apt checks it whenever it is used.
make_base() {
	local debs=$cache/$1/base
	mkdir -p "$debs" "$cache/$1/archives/partial" || return
	mmdebstrap --quiet --variant=minbase --keyring="$keyring" --skip=download/empty --skip=essential/unlink \
		--setup-hook="mkdir -p \"\$1\"/var/cache/apt/archives" --setup-hook="sync-in $debs /var/cache/apt/archives" \
		--customize-hook="sync-out /var/cache/apt/archives $debs" \
		--dpkgopt=force-unsafe-io "$1" "$bare/$1.new.tar" "$mirror" >"$bare/$1.base.out" 2>&1 || return
	mv "$bare/$1.new.tar" "$bare/$1.tar"
}

# in_chroot ROOT ARCHIVES COMMAND...: with this machine's /proc, /sys (and so tracefs) and /dev, and a clean environment
in_chroot() {
	# shellcheck disable=SC2016
	unshare --mount bash -ec '
		root=$1 archives=$2
		shift 2
		mount --make-rprivate /
		for dir in proc sys dev; do
			mount --rbind "/$dir" "$root/$dir"
		done
		mount --bind "$archives" "$root/var/cache/apt/archives"
		exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/root TERM=dumb ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
			CHECK_GUEST=no "$@"' in_chroot "$@" 9>&-
}

# bootstrap DEBIAN COMMAND: in a fresh chroot. Output, exit status and time are in files of that name.
bootstrap() {
	local root=$bare/$1.$2 start=$SECONDS status=0
	mkdir "$root"
	tar -C "$root" -xf "$bare/$1.tar"
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
	mkdir "$root/src"
	in_git archive HEAD | tar -C "$root/src" -x
	in_chroot "$root" "$cache/$1/archives" bash -c "cd /src && ./bootstrap.sh $2" >"$root.out" 2>&1 || status=$?
	printf '%d %d\n' "$status" "$((SECONDS - start))" >"$root.status"
	rm -rf --one-file-system "$root"
}

# The first command of a Debian, and before it its base
begin_debian() {
	make_base "$1" || return
	if [[ ${commands[0]} == demo ]]; then
		bootstrap "$1" demo
	fi
}

# judge DEBIAN COMMAND
judge() {
	local out=$bare/$1.$2.out name="${names[$1]-$1}: ./bootstrap.sh $2" status=none seconds=0 result warnings
	read -r status seconds 2>/dev/null <"$bare/$1.$2.status" || true
	if [[ ! -e $out ]]; then
		not_ok "$name" "it was not run"
		return
	fi
	result=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out" | tail -n 1) || true
	if [[ $status == 0 ]] && { [[ $2 != check ]] || [[ $result == [1-9]*' passed, 0 failed, '* ]]; }; then
		ok "$name in $seconds s${result:+: $result}"
		grep -E '^SKIP: |: skipped, ' "$out" | sed 's/^/#   /' || true
	else
		cp "$out" "$cache/"
		not_ok "$name" "$(printf 'exit status %s after %s s; all it printed is in %s\n' "$status" "$seconds" \
			"$cache/${out##*/}"; grep -E '^(FAIL|ERROR): ' "$out" | sort -u || true; tail -n 16 "$out")"
	fi
	warnings=$(grep -E ':[0-9]+: warning: ' "$out") || true
	if [[ -z $warnings ]]; then
		ok "$name: no compiler warns"
	else
		not_ok "$name: no compiler warns" "$warnings"
	fi
}

bare=$(mktemp -d "${TMPDIR:-/var/tmp}/ioflush-bare.XXXXXX")
free_kib=$(df -Pk "$bare" | awk 'NR == 2 { print $4 }')
trap end_all EXIT
trap 'exit 1' INT TERM HUP
need_bare
if [[ -n $(in_git status --porcelain --untracked-files=no) ]]; then
	printf '# what is not committed is not tested\n'
fi

lock_cache
pids=()
for debian in "${debians[@]}"; do
	begin_debian "$debian" &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || true
done
for debian in "${debians[@]}"; do
	name=${names[$debian]-$debian}
	if [[ ! -s $bare/$debian.tar ]]; then
		not_ok "$name: a chroot" "$(tail -n 40 "$bare/$debian.base.out" 2>&1)"
		continue
	fi
	ok "$name: a chroot from $mirror"
	for command in "${commands[@]}"; do
		if [[ ! -e $bare/$debian.$command.status ]]; then
			bootstrap "$debian" "$command" & # waited for, so that a signal need not wait
			wait "$!" || true
		fi
		judge "$debian" "$command"
	done
done
tap_done checks
