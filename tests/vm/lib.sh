# SPDX-License-Identifier: GPL-2.0-or-later
# What the scripts that start guests share. Sourced; wants $vm, this folder, and $build, a build folder.
# shellcheck shell=bash disable=SC2154

cache=${IOFLUSH_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/ioflush-vm}

# What the guest finds under /mnt/guest. Its /tmp is its own, so a build tree may be out of its sight.
furnish() {
	mkdir -p "$1/guest"
	cp -r "$build/ioflush" "$build/ioflushd" "$vm/../../probes" "$vm/bind-vfio" "$1/guest/"
	cp "$cache"/{churn,replug,iommufd,iommufd_fail_nth} "$1/guest/"
}
