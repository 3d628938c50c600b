#!/bin/bash
# Builds what the guest runs: a Linux 6.12 with iommufd from Debian's linux-source-6.12 (its packaged kernels leave
# iommufd out), the kernel's own iommufd selftests from the same source, and churn.c. About 6 minutes on 2 cores.
# usage: build.sh [DIR]     DIR (default ~/.cache/ioflush-vm) keeps bzImage, iommufd, iommufd_fail_nth, churn
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/ioflush-vm}
mkdir -p "$dir"
if [[ -e $dir/done ]]; then echo "$dir is built"; exit 0; fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends linux-source-6.12 qemu-system-x86 seabios trace-cmd \
  gcc make flex bison bc libelf-dev libssl-dev dwarves xz-utils rsync kmod cpio >/dev/null
src=$dir/linux-source-6.12
[[ -d $src ]] || tar -C "$dir" -xf /usr/src/linux-source-6.12.tar.xz
cd "$src"
make -s tinyconfig
./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >/dev/null
make -s olddefconfig
for o in CGROUP_BPF SECCOMP_FILTER OVERLAY_FS SECURITY_LOCKDOWN_LSM HOTPLUG_CPU IOMMUFD_TEST INTEL_IOMMU VFIO_PCI FPROBE_EVENTS KPROBE_EVENTS DEBUG_INFO_BTF 9P_FS; do
  grep -q "CONFIG_$o=y" .config || { echo "kernel option $o did not take" >&2; exit 1; }
done
make -s -j"$(nproc)" bzImage
make -s headers
cp arch/x86/boot/bzImage "$dir/bzImage"
# The selftests of this stable tree are newer than its kernel: leave out what the kernel does not know.
st=$dir/selftest
rm -rf "$st" && mkdir -p "$st"
cp tools/testing/selftests/iommu/*.[ch] tools/testing/selftests/kselftest*.h "$st"
sed -i -e '/\.in_data_type = data_type,/d' -e '/if (data_type != IOMMU_HW_INFO_TYPE_DEFAULT)/,+1d' \
  -e 's/\*max_pasid = cmd.out_max_pasid_log2;/*max_pasid = 0;/' "$st/iommufd_utils.h"
sed -i -e 's/IOMMU_HW_INFO_TYPE_DEFAULT/0/; s/MOCK_FLAGS_DEVICE_PASID/0/; s/MOCK_PASID_WIDTH/0/' \
  -e 's#"\.\./kselftest#"kselftest#' -e "s#\"\.\./\.\./\.\./\.\./#\"$src/#" "$st"/*.[ch]
for t in iommufd iommufd_fail_nth; do
  gcc -O2 -w -static -I"$src/usr/include" "$st/$t.c" -o "$dir/$t"
done
gcc -O2 -Wall -static -I"$src/usr/include" "$here/churn.c" -o "$dir/churn"
touch "$dir/done"
ls -la "$dir"/bzImage "$dir"/iommufd "$dir"/iommufd_fail_nth "$dir"/churn
