#!/usr/bin/env bash
# Makes what the guest runs, and keeps it in a cache folder: a Linux 6.12 with iommufd from Debian's linux-source-6.12
# (its packaged kernels leave iommufd out), the kernel's own iommufd selftests from the same source, and the workloads
# beside this script. The kernel takes ten to fifteen minutes on 2 cores, the workloads seconds.
#
# usage: build.sh [DIR]     DIR (default $IOFLUSH_VM, else ~/.cache/ioflush-vm)
#
# What was made from the same files before is not made again: DIR/kernel.key and DIR/done hold checksums of all that the
# kernel, and everything, was made from. A build that was interrupted is resumed. The source tree is removed afterwards.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:-${IOFLUSH_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/ioflush-vm}}
package=linux-source-6.12

die() {
	printf 'build.sh: %s\n' "$*" >&2
	exit 1
}

# The packages that a build needs are vm_packages in bootstrap.sh.
version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || die "$package is not installed: apt-get install $package"
for tool in gcc make flex bison bc pahole xz cpio; do
	command -v "$tool" >/dev/null || die "$tool not found: ./bootstrap.sh check installs it, or see vm_packages there"
done

checksum() {
	{ printf '%s\n' "$version" && cat "$@"; } | sha256sum | cut -d' ' -f1
}

configure_kernel() {
	local option
	make -s tinyconfig
	./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >/dev/null
	make -s olddefconfig
	while read -r option; do
		grep -qxF "$option" .config || die "the kernel does not take $option of kernel.config"
	done < <(grep '^CONFIG_' "$here/kernel.config")
}

# The selftests of this stable tree are newer than its kernel: leave out what the kernel does not know.
build_selftests() {
	local tests=$src/ioflush-selftests name
	rm -rf "$tests"
	mkdir "$tests"
	cp tools/testing/selftests/iommu/*.[ch] tools/testing/selftests/kselftest*.h "$tests"
	sed -i -e '/\.in_data_type = data_type,/d' -e '/if (data_type != IOMMU_HW_INFO_TYPE_DEFAULT)/,+1d' \
		-e 's/\*max_pasid = cmd.out_max_pasid_log2;/*max_pasid = 0;/' "$tests/iommufd_utils.h"
	sed -i -e 's/IOMMU_HW_INFO_TYPE_DEFAULT/0/; s/MOCK_FLAGS_DEVICE_PASID/0/; s/MOCK_PASID_WIDTH/0/' \
		-e 's#"\.\./kselftest#"kselftest#' -e "s#\"\.\./\.\./\.\./\.\./#\"$src/#" "$tests"/*.[ch]
	for name in iommufd iommufd_fail_nth; do
		gcc -O2 -w -static -I"$src/usr/include" "$tests/$name.c" -o "$dir/$name"
	done
}

build_kernel() {
	src=$dir/$package-$version
	if [[ ! -d $src ]]; then
		rm -rf "$dir/$package"*
		tar -C "$dir" -xf "/usr/src/$package.tar.xz"
		mv "$dir/$package" "$src"
	fi
	cd "$src"
	configure_kernel
	make -s -j"$(nproc)" bzImage
	make -s headers
	build_selftests
	rm -rf "$dir/include"
	cp -r usr/include "$dir/include"
	cp arch/x86/boot/bzImage "$dir/bzImage"
	cd "$dir"
	rm -rf "$src"
}

build_workloads() {
	local source
	for source in "$here"/*.c; do
		gcc -O2 -Wall -static -I"$dir/include" "$source" -o "$dir/$(basename "$source" .c)"
	done
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/lock"
flock -n 9 || {
	echo "build.sh: another build is under way in $dir: waiting for it"
	flock 9
}

kernel_key=$(checksum "$here/kernel.config" "$here/build.sh")
key=$(checksum "$here/kernel.config" "$here/build.sh" "$here"/*.[ch])
if [[ $(cat "$dir/done" 2>/dev/null) == "$key" ]]; then
	exit 0
fi
rm -f "$dir/done"
if [[ $(cat "$dir/kernel.key" 2>/dev/null) != "$kernel_key" ]]; then
	rm -f "$dir/kernel.key"
	build_kernel
	printf '%s\n' "$kernel_key" >"$dir/kernel.key"
fi
build_workloads
printf '%s\n' "$key" >"$dir/done"
