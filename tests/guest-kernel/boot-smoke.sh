#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# boot-smoke.sh - boot the guest kernels time and again; every boot has to come up
#
# Usage: boot-smoke.sh GUESTDIR [BOOTS]
#
#   GUESTDIR  build/guest: vmlinux, and distro/ if distro.sh made it
#   BOOTS     boots per kernel (20)
#
# Prints TAP, with the median time from the start of QEMU to its end, the guest's own clock when init
# runs, and the memory left in a guest of 128 MiB. Then runs devices.py against each kernel.

set -euo pipefail
export LC_ALL=C

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "usage: ${0##*/} GUESTDIR [BOOTS]" >&2
	exit 2
fi
guest=$1
boots=${2:-20}
# A boot takes 1 to 3 s; a hanging one is ended after this long.
boot_limit_s=60
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=0
failures=0

# The host's clock rate. Without it the guest calibrates, and hangs in 4 boots of 10 under emulation.
tsc_khz=$(awk -F: '/^cpu MHz/ { printf "%.0f\n", $2 * 1000; exit }' /proc/cpuinfo)

report()
{
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		failures=$((failures + 1))
	fi
}

# Print the median of the numbers in column $1 of the standard input.
median()
{
	awk -v c="$1" '{ print $c }' | sort -n |
		awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'
}

# $1 kernel, $2 initramfs; the console goes to the standard output
boot()
{
	timeout "$boot_limit_s" qemu-system-x86_64 \
		-M microvm,pcie=on,acpi=on,rtc=on,pic=on,pit=on -accel tcg -cpu max -m 128 \
		-nodefaults -no-user-config -no-reboot -display none -serial stdio \
		-global virtio-mmio.force-legacy=false -kernel "$1" -initrd "$2" \
		-append "console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=$tsc_khz" </dev/null
}

# $1 name for people, $2 kernel
boot_many()
{
	local i started ended good=0
	: >"$work/figures"
	for ((i = 1; i <= boots; i++)); do
		started=$(date +%s%3N)
		boot "$2" "$work/hello.cpio" >"$work/console" 2>&1 || true
		ended=$(date +%s%3N)
		if grep -q '^GUEST-UP' "$work/console"; then
			good=$((good + 1))
			sed -n "s/^GUEST-UP uptime_us=\([0-9]*\) free_kib=\([0-9]*\).*/$((ended -
				started)) \1 \2/p" "$work/console" >>"$work/figures"
		else
			echo "# boot $i of $1 did not come up:"
			tail -n 5 "$work/console" | sed 's/^/# /'
		fi
	done
	report $((good != boots)) "$1 boots $good times of $boots"
	echo "# median: $(median 1 <"$work/figures") ms start to end," \
		"init at $(($(median 2 <"$work/figures") / 1000)) ms of the guest's clock," \
		"$(median 3 <"$work/figures") KiB available of 131072"
}

# $1 name, $2 kernel, $3 folder of modules or nothing
devices()
{
	local code=0
	"$here/../../guest-kernel/initramfs.sh" "$work/devices-init" "$work/devices.cpio" ${3:+"$3"}
	"$here/devices.py" "$2" "$work/devices.cpio" >"$work/tap" 2>&1 || code=1
	grep -v '^ok' "$work/tap" | sed 's/^/# /'
	report "$code" "$1 keeps $(grep -c '^ok' "$work/tap" || true) claims from within"
}

for init in hello-init devices-init; do
	gcc -std=gnu17 -O2 -Wall -Wextra -static -o "$work/$init" "$here/$init.c"
done
"$here/../../guest-kernel/initramfs.sh" "$work/hello-init" "$work/hello.cpio"
"$here/../../guest-kernel/initramfs.sh" "$work/hello-init" "$work/hello2.cpio"
report "$(cmp -s "$work/hello.cpio" "$work/hello2.cpio"; echo $?)" "equal input makes an equal initramfs"

found=0
if [ -e "$guest/vmlinux" ]; then
	found=1
	boot_many "onggi's kernel" "$guest/vmlinux"
	devices "onggi's kernel" "$guest/vmlinux"
fi
if [ -d "$guest/distro" ]; then
	found=1
	boot_many "the distribution's kernel (bzImage)" "$guest/distro/vmlinuz"
	if [ -e "$guest/distro/vmlinux" ]; then
		boot_many "the distribution's kernel (ELF)" "$guest/distro/vmlinux"
		devices "the distribution's kernel (ELF)" "$guest/distro/vmlinux" "$guest/distro/modules"
	else
		devices "the distribution's kernel" "$guest/distro/vmlinuz" "$guest/distro/modules"
	fi
fi
report $((1 - found)) "'$guest' has a kernel"
echo "1..$tests"
[ "$failures" -eq 0 ]
