#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A first set of figures: figures.py [ROUNDS]

Prints medians and ratios, all measured interleaved in one run:
 - cold start to first output against raw QEMU booting the same kernel and initramfs until the agent answers
 - exec latency, delete, 100 MB of output
 - PSS of monitor, proxy, VMM and file server of an idle sandbox
 - memory of the guest and of the agent in a VM of 128 MiB
"""
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "vm"))
import harness  # noqa: E402

# A ttrpc request for a service that nobody has: header (length, stream 1, type request), service, method.
QUESTION = b"\x0a\x01x\x12\x01y"
QUESTION = len(QUESTION).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\x01\x00" + QUESTION


def raw_boot(guest, memory_mib=256):
    """Seconds from the start of a plain QEMU to the first answer of the agent in it."""
    with open("/proc/cpuinfo") as f:
        khz = int(float(re.search(r"cpu MHz\s*: ([\d.]+)", f.read()).group(1)) * 1000)
    ours, theirs = socket.socketpair()
    ours.sendall(QUESTION)
    begin = time.monotonic()
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg",
         "-M", "microvm,pcie=on,acpi=on", "-cpu", "max", "-m", str(memory_mib), "-global",
         "virtio-mmio.force-legacy=false", "-kernel", f"{guest}/vmlinux", "-initrd", f"{guest}/initramfs.cpio",
         "-append", f"console=ttyS0 panic=-1 reboot=t tsc_early_khz={khz} quiet", "-serial", "null",
         "-device", "virtio-serial-device", "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
         "-device", "virtserialport,chardev=agent,name=onggi.agent"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        ours.settimeout(60)
        if not ours.recv(1):
            raise SystemExit("raw QEMU ended without an answer of the agent")
        return time.monotonic() - begin
    finally:
        process.kill()
        process.wait()
        ours.close()


def timed(function):
    begin = time.monotonic()
    function()
    return time.monotonic() - begin


def first_output(box, bundle, name):
    begin = time.monotonic()
    process = box.popen("run", "-b", bundle, name)
    process.stdout.read(1)
    first = time.monotonic() - begin
    process.wait()
    return first, time.monotonic() - begin


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))


def roles(proxy):
    found = {}
    for pid, text in harness.processes().items():
        role = ("monitor" if "sandbox-monitor" in text else "VMM" if "qemu-system" in text else
                "file server" if "virtiofsd" in text else "proxy" if pid == proxy else None)
        if role:
            found[role] = found.get(role, 0) + pss_kib(pid)
    return found


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    box = harness.Sandbox()
    guest = os.path.join(harness.BUILD, "guest")
    figures = {"raw": [], "first": [], "whole": [], "exec": [], "delete": []}
    try:
        bundle = box.bundle(["echo", "x"])
        first_output(box, bundle, "warm")
        raw_boot(guest)
        for n in range(rounds):
            figures["raw"].append(raw_boot(guest))
            first, whole = first_output(box, bundle, f"r{n}")
            figures["first"].append(first)
            figures["whole"].append(whole)
        proxy = box.start(["sleep", "100000"], name="idle")
        for _ in range(2):
            box.ok("exec", "idle", "true")
        figures["exec"] = [timed(lambda: box.ok("exec", "idle", "true")) for _ in range(rounds * 2)]
        idle = roles(proxy)
        figures["delete"].append(timed(lambda: box.ok("delete", "--force", "idle")))
        size = 100 * 1000 * 1000
        process = box.popen("run", "-b", box.bundle(["probe", "burst", str(size), "1"]), "burst")
        process.stdout.read(1)
        begin = time.monotonic()
        while process.stdout.read(1 << 20):
            pass
        burst = size / (time.monotonic() - begin) / 1e6
        process.wait()
        box.write_config(memory_mib=128)
        small = box.run_ok(["sh", "-c", "grep -E 'MemTotal|MemAvailable|MemFree' /proc/meminfo"], name="small").text
    finally:
        box.close()
    median = {k: statistics.median(v) for k, v in figures.items()}
    print(f"raw QEMU until the agent        {median['raw']:.3f} s")
    print(f"run, start to first output     {median['first']:.3f} s   {median['first'] / median['raw']:.2f} x raw")
    print(f"run, start to end              {median['whole']:.3f} s   {median['whole'] / median['raw']:.2f} x raw")
    print(f"exec of true                   {median['exec'] * 1000:.0f} ms")
    print(f"delete --force, running        {median['delete'] * 1000:.0f} ms")
    print(f"100 MB of output               {burst:.0f} MB/s")
    for role, kib in sorted(idle.items()):
        print(f"PSS of the {role:<19} {kib} KiB")
    print("guest of 128 MiB: " + ", ".join(" ".join(line.split()) for line in small.splitlines()))
    for name in ("onggi-runtime", "onggi-agent", "guest/vmlinux", "guest/initramfs.cpio"):
        print(f"size of {name:<22} {os.path.getsize(os.path.join(harness.BUILD, name))} bytes")
    print(json.dumps({k: v for k, v in figures.items()}))


if __name__ == "__main__":
    main()
