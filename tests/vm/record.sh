#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes the recordings in tests/data/recordings again: small workloads in the guest, recorded by ioflushd, exported as JSON
# Lines, with the numbers that the page-by-page program has for each. Pointers, frames and times differ each time.
# usage: tests/vm/record.sh [BUILD]      BUILD: a build folder with ioflush, ioflushd and naive (default ./build)
set -euo pipefail
vm=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/vm/lib.sh
source "$vm/lib.sh"
build=$(cd "${1:-build}" && pwd)
to=$vm/../data/recordings
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# IOMMU     recording      workload, see job.sh
recordings='
none        access-held    iommufd,iommufd_ioas.no_domain.access_pin
none        access-destroy iommufd,iommufd_ioas.mock_domain.access_domain_destory
none        access-unmap   iommufd,iommufd_ioas.mock_domain.access_pin_unmap
none        copy           iommufd,iommufd_ioas.two_mock_domain.copy_area
none        vfio-split     iommufd,vfio_compat_mock_domain.Ver1v0.map
nonsnoop    replug         replug,replug
nonsnoop    slices         replug,slices
nonsnoop    churn          churn,12
snoop       replug-snoop   replug,replug
'

"$vm/build.sh"
for iommu in none nonsnoop snoop; do
	mkdir "$scratch/$iommu"
	furnish "$scratch/$iommu"
	sed -n "s/^$iommu  *\([^ ]*\)  */\1 alone /p" <<<"$recordings" >"$scratch/$iommu/runs"
	"$vm/run.sh" "$iommu" "$vm/job.sh" "$scratch/$iommu" 300 >"$scratch/console" 2>&1 || { cat "$scratch/console"; exit 1; }
	while read -r name _; do
		dir=$scratch/$iommu/$name
		if [[ $(cat "$dir/work") != 0 || $(cat "$dir/daemon") != 0 ]]; then
			tail -n 20 "$dir/work.log" "$dir/daemon.log"
			exit 1
		fi
		"$build/ioflush" verify "$dir/x.db"
		"$build/ioflush" export "$dir/x.db" -o "$to/$name.jsonl"
		"$build/naive" "$to/$name.jsonl" >"$to/$name.expected.json"
	done <"$scratch/$iommu/runs"
done
