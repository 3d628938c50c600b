#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a C file of SQL migrations: embed.sh FILE.sql... > migrations.c
# The files are NNNN_name.sql, numbered from 0001 without gaps, given in any order.
set -eu

if [ $# -eq 0 ]; then
	echo "usage: embed.sh FILE.sql... > migrations.c" >&2
	exit 2
fi

LC_ALL=C
export LC_ALL

# Sorted by file name: the number comes first. The build's file names have no newlines.
list=$(for file in "$@"; do printf '%s\t%s\n' "${file##*/}" "$file"; done | sort)

cat <<'END'
/* Made by schema/embed.sh from schema/migrations/: do not edit. */
#include "schema/migrations.h"

#include <stddef.h>

const struct migration migrations[] = {
END

expect=1
tab=$(printf '\t')
while IFS=$tab read -r base file; do
	number=$(printf '%s\n' "$base" | sed -n 's/^0*\([0-9][0-9]*\)_[A-Za-z0-9_]*\.sql$/\1/p')
	if [ "$number" != "$expect" ]; then
		echo "embed.sh: $file: expected migration number $expect, named like 0001_name.sql" >&2
		exit 1
	fi
	printf '\t{%s, "%s",\n' "$number" "${base%.sql}"
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/\t "/' -e 's/$/\\n"/' "$file"
	printf '\t},\n'
	expect=$((expect + 1))
done <<END
$list
END

cat <<'END'
	{0, NULL, NULL},
};
END
