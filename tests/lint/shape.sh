#!/usr/bin/env bash
# No function over 100 lines, no file over 1,000; nothing that waits by sleeping in product code.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
files=$(git ls-files '*.c' '*.h')
for f in $files; do
	n=$(wc -l <"$f")
	[ "$n" -le 1000 ] || { echo "$f has $n lines (at most 1000)"; bad=1; }
done
# A function begins at a line that starts with "{" in column 0 and ends at "}" in column 0.
for f in $files; do
	awk -v f="$f" '/^\{/ { start = NR } /^\}/ { if (start && NR - start + 1 > 100) {
		print f ":" start ": function of " NR - start + 1 " lines (at most 100)"; bad = 1 } start = 0 } END { exit bad }' \
		"$f" || bad=1
done
product=$(git ls-files 'common/*.[ch]' 'agent/*.[ch]' 'hypervisor/*.[ch]' 'net/*.[ch]' 'shim/*.[ch]' 'image/*.[ch]')
# shellcheck disable=SC2086 # names of ours, without blanks
found=$(grep -nE '\b(sleep|usleep|nanosleep|sched_yield)\(' $product)
[ -z "$found" ] || { printf 'product code must not wait by sleeping:\n%s\n' "$found"; bad=1; }
# shellcheck disable=SC2086
found=$(grep -nE '\b(strcpy|strcat|sprintf|vsprintf|gets|system|popen|strtok|atoi|mktemp)\(' $product)
[ -z "$found" ] || { printf 'banned functions:\n%s\n' "$found"; bad=1; }
exit $bad
