# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for ioflush(1). _ioflush_words has the options of each command, and the words of those with choices.
# shellcheck shell=bash

_ioflush() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		words=$(printf '%s\n' "${!_ioflush_words[@]}" | grep -v ' ' | sort)
		mapfile -t COMPREPLY < <(compgen -W "$words --help --version" -- "$cur")
	elif [[ $prev == --policy ]]; then
		words=$("${COMP_WORDS[0]}" policies 2>/dev/null | sed -nE 's/^([a-z][a-z0-9-]*).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "all $words" -- "$cur")
	elif [[ -n ${_ioflush_words[$command $prev]-} ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${_ioflush_words[$command $prev]}" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${_ioflush_words[$command]-}" -- "$cur")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _ioflush ioflush
