#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# distro.sh - make Debian's cloud kernel usable as a guest kernel
#
# Usage: distro.sh OUTDIR
#
# Takes the newest installed linux-image-*-cloud-amd64 and writes
#   OUTDIR/distro/vmlinuz             the kernel as it was installed, a bzImage
#   OUTDIR/distro/vmlinux             the ELF inside it, if it has a PVH entry: boots in half the time
#   OUTDIR/distro/modules/NN-name.ko  what onggi needs and this kernel has as modules, and what those
#                                     need, in loading order (for initramfs.sh)
#   OUTDIR/distro/release             the kernel's release, "6.1.0-56-cloud-amd64"
# The folder is replaced as a whole.
#
# Environment:
#   ONGGI_DISTRO_KERNEL  another kernel file, named vmlinuz-RELEASE (newest /boot/vmlinuz-*-cloud-amd64)
#   ONGGI_DISTRO_ROOT    where lib/modules/RELEASE is (/)

set -euo pipefail
export LC_ALL=C

# A name that is built into the kernel is fine, one that it has not at all is an error.
modules=(
	virtio_mmio virtio_pci			# buses
	virtio_console				# the agent's channel
	virtio_blk virtio_net virtio-rng	# devices
	virtio_balloon virtio_mem		# memory
	fuse virtiofs overlay erofs ext4	# files
)

die()
{
	echo "distro.sh: $*" >&2
	exit 1
}

# Print an unsigned little-endian number of $3 bytes at offset $2 of file $1.
number_at()
{
	od -An -v -j "$2" -N "$3" -t "u$3" --endian=little "$1" | tr -d ' '
}

# Write the ELF that a bzImage carries. The header says where its payload is
# (Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length).
# $1 bzImage, $2 file to write
extract_elf()
{
	local setup_sects offset length payload tool
	[ "$(number_at "$1" 0x202 4)" = "$((0x53726448))" ] || die "'$1' is no bzImage"
	setup_sects=$(number_at "$1" 0x1f1 1)
	offset=$(((setup_sects + 1) * 512 + $(number_at "$1" 0x248 4)))
	# The last four bytes are the size of what comes out.
	length=$(($(number_at "$1" 0x24c 4) - 4))
	payload=$2.payload
	tail -c "+$((offset + 1))" "$1" | head -c "$length" >"$payload" || true
	case $(number_at "$payload" 0 4) in
	"$((0x184c2102))") tool=lz4 ;;
	"$((0xfd2fb528))") tool=zstd ;;
	"$((0x587a37fd))") tool=xz ;;
	"$((0x00088b1f))") tool=gzip ;;
	*) rm -f "$payload"; die "'$1' is compressed in a way this script doesn't know" ;;
	esac
	command -v "$tool" >/dev/null || die "unpacking '$1' needs the program '$tool'"
	"$tool" -dc <"$payload" >"$2"
	rm -f "$payload"
}

# The PVH entry point is Xen's ELF note 18 (XEN_ELFNOTE_PHYS32_ENTRY).
has_pvh_entry()
{
	readelf -n "$1" 2>/dev/null | grep -q 'Xen.*0x00000012'
}

# Print the files to load for the modules named, in order, each once.
# $1 release, $2 root, $3... names
modules_in_order()
{
	local release=$1 root=$2 name plan
	shift 2
	for name; do
		plan=$(modprobe -C /dev/null -d "$root" -S "$release" --show-depends "$name") ||
			die "kernel $release has no module '$name'"
		echo "$plan"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

copy_modules()
{
	local release=$1 root=$2 target=$3 file name n=0
	mkdir "$target"
	modules_in_order "$release" "$root" "${modules[@]}" >"$target.list"
	while read -r file; do
		n=$((n + 1))
		[ "$n" -le 99 ] || die "more than 99 modules, their names would not sort"
		name=$(basename "$file")
		case $name in
		*.ko) cp "$file" "$target/$(printf '%02d' "$n")-$name" ;;
		*.ko.xz) xz -dc "$file" >"$target/$(printf '%02d' "$n")-${name%.xz}" ;;
		*.ko.zst) zstd -qdc "$file" >"$target/$(printf '%02d' "$n")-${name%.zst}" ;;
		*) die "module '$file' is compressed in a way this script doesn't know" ;;
		esac
	done <"$target.list"
	rm "$target.list"
	chmod 0644 "$target"/*.ko
}

main()
{
	[ $# -eq 1 ] || { echo "usage: ${0##*/} OUTDIR" >&2; exit 2; }
	local outdir=$1 root=${ONGGI_DISTRO_ROOT:-/} kernel release
	kernel=${ONGGI_DISTRO_KERNEL:-$(printf '%s\n' /boot/vmlinuz-*-cloud-amd64 | sort -V | tail -n 1)}
	[ -r "$kernel" ] || die "no kernel at '$kernel' (install linux-image-cloud-amd64)"
	release=${kernel##*/vmlinuz-}
	[ -d "$root/lib/modules/$release" ] || die "no modules of '$kernel' in '$root/lib/modules/$release'"

	mkdir -p "$outdir"
	work=$(mktemp -d "$outdir/.distro.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	chmod 0755 "$work"
	cp "$kernel" "$work/vmlinuz"
	chmod 0644 "$work/vmlinuz"
	extract_elf "$kernel" "$work/vmlinux"
	has_pvh_entry "$work/vmlinux" || rm "$work/vmlinux"
	copy_modules "$release" "$root" "$work/modules"
	echo "$release" >"$work/release"
	rm -rf "$outdir/distro"
	mv -T "$work" "$outdir/distro"
	trap - EXIT
	echo "distribution's kernel: $outdir/distro ($release, $(find "$outdir/distro/modules" -name '*.ko' |
		wc -l) modules)" >&2
}

main "$@"
