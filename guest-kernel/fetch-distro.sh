#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# fetch-distro.sh - Debian's cloud kernel for the guest, without installing it on the host
#
# Usage: fetch-distro.sh OUTDIR
#
# Downloads the package that linux-image-cloud-amd64 depends on with apt-get, unpacks it into the cache and
# has distro.sh make OUTDIR/distro from it. The host's /boot and its boot loader are left alone; a kernel that
# is installed already is used as it is.
#
# Environment: ONGGI_CACHE  cache folder (/var/cache/onggi)

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
outdir=${1:?usage: fetch-distro.sh OUTDIR}
cache=${ONGGI_CACHE:-/var/cache/onggi}/distro-kernel

die()
{
	echo "fetch-distro.sh: $*" >&2
	exit 1
}

# The newest package of the kind that apt knows; empty before the first "apt-get update".
newest()
{
	apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }'
}

download()
{
	local package=$1
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	echo "guest kernel: downloading $package"
	# apt's own unprivileged user must be able to write there.
	chmod 0777 "$work"
	(cd "$work" && apt-get download -q "$package" >/dev/null 2>"$work/log") ||
		die "cannot download $package: $(tail -n 1 "$work/log")"
	mkdir "$work/root"
	dpkg-deb -x "$work"/*.deb "$work/root"
	depmod -b "$work/root" "${package#linux-image-}"
	rm -rf "${cache:?}/$package"
	mv -T "$work/root" "$cache/$package"
}

if compgen -G '/boot/vmlinuz-*-cloud-amd64' >/dev/null; then
	exec "$here/distro.sh" "$outdir"
fi
package=$(newest)
[ -n "$package" ] || { apt-get update -q >/dev/null && package=$(newest); }
[ -n "$package" ] || die "apt knows no package linux-image-cloud-amd64"
mkdir -p "$cache"
(
	flock 9
	[ -d "$cache/$package" ] || download "$package"
) 9>"$cache/lock"
export ONGGI_DISTRO_ROOT=$cache/$package
export ONGGI_DISTRO_KERNEL=$cache/$package/boot/vmlinuz-${package#linux-image-}
exec "$here/distro.sh" "$outdir"
