#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# initramfs.sh - pack the guest's only program into an initramfs
#
# Usage: initramfs.sh AGENT OUT [MODULE_DIR]
#
#   AGENT       static binary, becomes /init (mode 0755)
#   OUT         file to write: a newc cpio archive, not compressed: under emulation a
#               decompressor takes longer than the larger read
#   MODULE_DIR  folder of kernel modules NN-name.ko (distro.sh makes one), become
#               /modules/NN-name.ko; the order of the names is the order to load them in
#
# The archive depends on the files' contents alone (times 0, owner root, names sorted), so equal
# input gives equal bytes. Needs no root: the one device node that init's stdio wants,
# /dev/console, is in the initramfs built into every kernel.

set -euo pipefail
export LC_ALL=C

die()
{
	echo "initramfs.sh: $*" >&2
	exit 1
}

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
	echo "usage: ${0##*/} AGENT OUT [MODULE_DIR]" >&2
	exit 2
fi
agent=$1
out=$2
modules=${3:-}

[ -f "$agent" ] || die "no agent at '$agent'"
# A dynamic one would only show itself as a panic in the guest.
if readelf -lW "$agent" | grep -q INTERP; then
	die "'$agent' is not a static binary"
fi

tree=$(mktemp -d)
partial=$out.partial.$$
trap 'rm -rf "$tree" "$partial"' EXIT

mkdir "$tree/dev" "$tree/proc" "$tree/sys"
install -m 0755 "$agent" "$tree/init"
if [ -n "$modules" ]; then
	mkdir "$tree/modules"
	found=0
	for module in "$modules"/[0-9][0-9]-*.ko; do
		[ -f "$module" ] || break
		install -m 0644 "$module" "$tree/modules/"
		found=$((found + 1))
	done
	[ "$found" -gt 0 ] || die "no NN-name.ko in '$modules'"
fi
find "$tree" -type d -exec chmod 0755 {} +
find "$tree" -exec touch -h -d @0 {} +

mkdir -p "$(dirname "$out")"
(cd "$tree" && find . -mindepth 1 -printf '%P\0' | sort -z |
	cpio --null -o -H newc --reproducible --owner 0:0 --quiet) >"$partial"
mv -T "$partial" "$out"
