#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh - build the guest kernel, or fetch it from the cache when nothing changed
#
# Usage: build.sh [--cached] OUTDIR
#
# Writes OUTDIR/vmlinux, a stripped PVH ELF that QEMU's -kernel takes. With --cached it never builds:
# it copies what the cache has, or fails with status 3 when that's nothing.
#
# Environment:
#   ONGGI_KERNEL_SOURCE  source archive (/usr/src/linux-source-6.1.tar.xz)
#   ONGGI_CACHE          cache folder (/var/cache/onggi, or ~/.cache/onggi where that isn't writable)
#   ONGGI_JOBS           compilers at a time (number of CPUs)
#
# The cache entry CACHE/guest-kernel/KEY/ holds vmlinux, config and System.map; KEY is a hash over the
# source archive, the fragments, patches and scripts here and the compiler's version. An entry is complete
# or absent (it appears by rename). CACHE/guest-kernel/KEY.log is the log of the build, failed or not.
# The source tree is unpacked beside them and removed afterwards.

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_archive=${ONGGI_KERNEL_SOURCE:-/usr/src/linux-source-6.1.tar.xz}
jobs=${ONGGI_JOBS:-$(nproc)}
# Steps of make (CC, AR, LD, …) of one build; only the percentage shown depends on it.
steps_expected=2110
# Seconds between two progress lines where there is no terminal.
progress_interval_s=30
# What the exit trap has to end and remove.
child=
tree=
new=

die()
{
	echo "build.sh: $*" >&2
	exit 1
}

default_cache()
{
	if mkdir -p /var/cache/onggi 2>/dev/null && [ -w /var/cache/onggi ]; then
		echo /var/cache/onggi
	else
		echo "${XDG_CACHE_HOME:-$HOME/.cache}/onggi"
	fi
}

check_tools()
{
	local missing=() tool
	for tool in gcc make flex bison bc xz tar patch flock sha256sum; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ -e /usr/include/gelf.h ] || missing+=(libelf-dev)
	[ ${#missing[@]} -eq 0 ] || die "missing tools: ${missing[*]}"
}

cache_key()
{
	{
		sha256sum <"$source_archive"
		gcc --version | head -n 1
		ld --version | head -n 1
		cd "$here"
		sha256sum build.sh check-config.sh config/*.config patches/*.patch
	} | sha256sum | cut -c 1-16
}

# Show how far the build in the background is, until it ends.
# $1 pid, $2 log, $3 what is being done
show_progress()
{
	local pid=$1 log=$2 what=$3 started=$SECONDS last=$SECONDS steps text
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		steps=$(grep -cE '^  [A-Z]+ +' "$log" || true)
		text=$(printf 'guest kernel: %s, %d:%02d' "$what" $(((SECONDS - started) / 60)) \
			$(((SECONDS - started) % 60)))
		if [ "$steps" -gt 0 ]; then
			text+=", $steps steps, about $((steps * 99 / (steps > steps_expected ?
				steps : steps_expected))) %"
		fi
		if [ -t 2 ]; then
			printf '\r\033[K%s' "$text" >&2
		elif [ $((SECONDS - last)) -ge "$progress_interval_s" ]; then
			last=$SECONDS
			echo "$text" >&2
		fi
	done
	if [ -t 2 ]; then
		printf '\r\033[K' >&2
	fi
}

# Run a function in the background with its output in the log. $1 what, $2 log, $3... command
run_step()
{
	local what=$1 log=$2
	shift 2
	[ -t 2 ] || echo "guest kernel: $what" >&2
	# A process group of its own, so that all of it can be ended.
	set -m
	"$@" >>"$log" 2>&1 </dev/null &
	child=$!
	set +m
	show_progress "$child" "$log" "$what"
	if ! wait "$child"; then
		grep -E -B 2 -A 6 'error:|Error |not asked|asked for|malformed' "$log" | tail -n 40 >&2 ||
			tail -n 20 "$log" >&2
		die "$what failed, log in '$log'"
	fi
	child=
}

unpack_source()
{
	mkdir -p "$1"
	tar -xf "$source_archive" -C "$1" --strip-components=1
	local patch
	for patch in "$here"/patches/*.patch; do
		patch -d "$1" -p1 --fuzz=0 <"$patch"
	done
}

# allnoconfig and not tinyconfig: what the fragments don't name is off, defaults included.
configure()
{
	cd "$1"
	scripts/kconfig/merge_config.sh -n -m "$here"/config/*.config
	mv .config onggi.fragments
	make KCONFIG_ALLCONFIG=onggi.fragments allnoconfig
	"$here/check-config.sh" .config "$here"/config/*.config
}

# Same sources, same bytes: no build host, user or date of the day in the kernel.
compile()
{
	cd "$1"
	export KBUILD_BUILD_USER=onggi KBUILD_BUILD_HOST=onggi KBUILD_BUILD_VERSION=1
	KBUILD_BUILD_TIMESTAMP=$(date -u -r "$source_archive")
	export KBUILD_BUILD_TIMESTAMP
	nice make -j "$jobs" vmlinux
}

# $1 tree, $2 folder of the new cache entry
collect()
{
	mkdir -p "$2"
	strip --strip-all -R .comment -o "$2/vmlinux" "$1/vmlinux"
	cp "$1/.config" "$2/config"
	cp "$1/System.map" "$2/System.map"
	chmod 0644 "$2"/*
	# The PVH entry point is Xen's ELF note 18 (XEN_ELFNOTE_PHYS32_ENTRY).
	readelf -n "$2/vmlinux" | grep -q 'Xen.*0x00000012' || die "'$2/vmlinux' has no PVH entry"
}

cleanup()
{
	if [ -n "$child" ]; then
		kill -- "-$child" 2>/dev/null || true
		wait
	fi
	rm -rf "$tree" "$new"
}

build()
{
	local entry=$1 log=$1.log
	tree=$1.tree
	new=$1.new
	rm -rf "$tree" "$new"
	trap cleanup EXIT
	: >"$log"
	run_step 'unpack source' "$log" unpack_source "$tree"
	run_step 'configure' "$log" configure "$tree"
	run_step 'compile' "$log" compile "$tree"
	run_step 'collect' "$log" collect "$tree" "$new"
	sync -f "$new"
	mv -T "$new" "$entry"
	rm -rf "$tree"
	trap - EXIT
}

main()
{
	local outdir cache entry cached_only=
	if [ "${1:-}" = --cached ]; then
		cached_only=1
		shift
	fi
	[ $# -eq 1 ] || { echo "usage: ${0##*/} [--cached] OUTDIR" >&2; exit 2; }
	outdir=$1
	check_tools
	[ -r "$source_archive" ] ||
		die "no kernel source at '$source_archive' (install linux-source-6.1 or set ONGGI_KERNEL_SOURCE)"
	cache=${ONGGI_CACHE:-$(default_cache)}/guest-kernel
	entry=$cache/$(cache_key)
	if [ -n "$cached_only" ] && [ ! -d "$entry" ]; then
		echo "guest kernel: not in the cache '$cache'" >&2
		exit 3
	fi
	mkdir -p "$cache" "$outdir"

	exec 9>"$entry.lock"
	if ! flock -n 9; then
		echo "guest kernel: another build of it is under way, waiting" >&2
		flock 9
	fi
	[ -d "$entry" ] || build "$entry"
	cp "$entry/vmlinux" "$outdir/.vmlinux.$$"
	mv -T "$outdir/.vmlinux.$$" "$outdir/vmlinux"
	echo "guest kernel: $outdir/vmlinux ($(($(stat -c %s "$outdir/vmlinux") / 1024)) KiB, from ${entry})" >&2
}

main "$@"
