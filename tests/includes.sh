#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every include goes where docs/architecture.md says that its folder may look, the table there has every folder, and no
# headers go in a circle.
set -euo pipefail
# shellcheck source=tests/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
top=${IOFLUSH_SRCDIR:-$here/..}
page=$top/docs/architecture.md

# The table as lines "FOLDER INCLUDED", also of a folder itself, in $scratch/allowed; its folders in $scratch/folders.
sed -nE 's/^\| `([a-z/]+)` \|.*\|([a-z/ ]*)\|$/\1 \2/p' "$page" >"$scratch/table"
cut -d' ' -f1 "$scratch/table" >"$scratch/folders"
awk '{ print $1, $1; for (i = 2; i <= NF; i++) print $1, $i }' "$scratch/table" | sort -u >"$scratch/allowed"

# All includes as lines "FILE HEADER"
cd "$top"
find base schema trace analyzer daemon -name '*.[ch]' -exec grep -HE '^[[:space:]]*#[[:space:]]*include "' {} + |
	sed -E 's/^([^:]+):[^"]*"([^"]+)".*/\1 \2/' | sort -u >"$scratch/includes"

# none NAME FILE: the file of what is wrong is empty
none() {
	if [[ -s $2 ]]; then
		not_ok "$1" "$(cat "$2")"
	else
		ok "$1"
	fi
}

if (($(wc -l <"$scratch/includes") > 300 && $(wc -l <"$scratch/table") > 15)); then
	ok "the table and the includes are found"
else
	not_ok "the table and the includes are found" "$(wc -l "$scratch/includes" "$scratch/table")"
fi

awk '{ n = $1; sub("/[^/]*$", "", n); print n }' "$scratch/includes" | sort -u | comm -23 - <(sort -u "$scratch/folders") \
	>"$scratch/wrong"
none "the table has every folder" "$scratch/wrong"

awk '{ if (!(($2) in seen) && (getline line < $2) < 0) print $1 ": " $2; close($2); seen[$2] = 1 }' "$scratch/includes" \
	>"$scratch/wrong"
none "every include names the folder of its header" "$scratch/wrong"

awk 'NR == FNR { may[$1 " " $2] = 1; next }
	{ from = $1; to = $2; sub("/[^/]*$", "", from); sub("/[^/]*$", "", to)
	  if (!((from " " to) in may)) print $1 ": " $2 ": " from " may not include " to }' "$scratch/allowed" "$scratch/includes" \
	>"$scratch/wrong"
none "no include points where its folder may not look" "$scratch/wrong"

awk '{ from = $1; to = $2; sub("/[^/]*$", "", from); if (sub("/impl\\.h$", "", to) && from != to) print $1 ": " $2 }' \
	"$scratch/includes" >"$scratch/wrong"
none "an impl.h is included in its own folder only" "$scratch/wrong"

# tsort names the headers of a circle, if there is one
awk '$1 ~ /\.h$/ { print }' "$scratch/includes" | tsort 2>"$scratch/wrong" >/dev/null || true
none "no headers include each other in a circle" "$scratch/wrong"

awk '$1 != $2' "$scratch/allowed" | tsort 2>"$scratch/wrong" >/dev/null || true
none "the table itself has no circle" "$scratch/wrong"

tap_done "the structure is as docs/architecture.md says"
