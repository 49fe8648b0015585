#!/usr/bin/env bash
# Who may include whom: the table of docs/architecture.md, "Folders". Prints each line that breaks it.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
# folder: folders of ours that it may include beside itself
declare -A may=([common]="" [agent]="common" [hypervisor]="common" [net]="common" [image]="common"
	[shim]="common hypervisor net image")
for folder in "${!may[@]}"; do
	allowed=$(echo "$folder ${may[$folder]}" | tr -s ' ' '|' | sed 's/|$//')
	found=$(find "$folder" -name '*.[ch]' -exec grep -nHE '^#include "' {} + 2>/dev/null |
		grep -vE "#include \"($allowed)/")
	[ -z "$found" ] || { printf '%s may only include %s:\n%s\n' "$folder" "${allowed//|/, }" "$found"; bad=1; }
done
# Third-party headers stay behind one or a few named files.
one_place() {
	local header=$1 files=$2 found
	found=$(grep -rlE "#include <$header" common agent hypervisor net image shim --include='*.[ch]' 2>/dev/null |
		grep -vE "^($files)$")
	[ -z "$found" ] || { printf '<%s…> belongs into %s alone:\n%s\n' "$header" "$files" "$found"; bad=1; }
}
one_place 'json-c/' 'common/json\.c'
one_place 'event' 'common/loop\.c'
one_place 'systemd/' 'shim/hostcgroup_systemd\.c'
one_place 'seccomp\.h' 'agent/seccomp\.c|shim/runtime/features\.c|hypervisor/filter/compile\.c'
exit $bad
