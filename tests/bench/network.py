# SPDX-License-Identifier: Apache-2.0
"""Packets between a guest and a bridge of the host: through onggi, a raw QEMU with the same tap and redirects, and natively."""
import json
import os
import re
import subprocess
import tempfile
import time
import types

import files
import netns
import stage
import world

SECONDS = 3
PINGS = 50
ADDRESS = netns.V4 % 0 + ".2"
WAIT_LIMIT = 60


def program_files(program):
    """A dynamic program with its libraries: paths on this machine."""
    text = stage.run(["ldd", program]).decode()
    return [program, *re.findall(r"(/\S+) \(0x", text)]


def install(rootfs):
    """iperf3 into a root file system of busybox."""
    for path in program_files("/usr/bin/iperf3"):
        target = rootfs + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        stage.run(["cp", "-L", path, target])


def initramfs(path):
    """One that takes the interface's configuration and serves iperf3."""
    with tempfile.TemporaryDirectory(dir=world.PLACE) as top:
        for name in ("bin", "dev", "proc", "sys", "tmp"):
            os.mkdir(os.path.join(top, name))
        stage.run(["cp", "/bin/busybox", os.path.join(top, "bin", "busybox")])
        install(top)
        with open(os.path.join(top, "init"), "w") as f:
            f.write("#!/bin/busybox sh\n/bin/busybox --install -s /bin\nPATH=/bin\n"
                    "mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n"
                    f"ip link set lo up; ip link set eth0 up; ip addr add {ADDRESS}/24 dev eth0\n"
                    "exec /usr/bin/iperf3 -s\n")
        os.chmod(os.path.join(top, "init"), 0o755)
        files.pack(top, path)


def megabits(name, *more):
    """One stream of SECONDS; the server may not be there yet, or still be busy with the last one."""
    end = time.monotonic() + WAIT_LIMIT
    while True:
        done = subprocess.run(["iperf3", "-c", ADDRESS, "-t", str(SECONDS), "-J", *more], capture_output=True,
                              timeout=stage.LIMIT)
        answer = json.loads(done.stdout)
        if "sum_received" in answer.get("end", {}):
            return answer["end"]["sum_received"]["bits_per_second"] / 1e6
        if time.monotonic() > end:
            raise SystemExit(f"network, {name}: {answer.get('error')}")
        time.sleep(0.2)


def measure(samples, name):
    """From the bridge's side; the server is at ADDRESS."""
    samples.add(f"in {name}", megabits(name))
    samples.add(f"out {name}", megabits(name, "-R"))
    text = stage.run(["ping", "-q", "-c", str(PINGS), "-i", "0.02", ADDRESS]).decode()
    samples.add(f"ping {name}", float(re.search(r"= [\d.]+/([\d.]+)/", text).group(1)))


def in_container(samples, runtime, name, net):
    changes = {"linux__namespaces": net.namespaces()(stage.harness.base_config([])["linux"]["namespaces"])}
    bundle = stage.bundle(["/usr/bin/iperf3", "-s"], "network", **changes)
    install(os.path.join(bundle, "rootfs"))
    runtime.start(bundle, "network")
    try:
        measure(samples, name)
    finally:
        runtime.remove("network")


def in_raw(samples, initrd, net):
    """A QEMU by hand: tap beside the interface, redirects both ways, the interface's hardware address."""
    net.ip("tuntap add tap0 mode tap vnet_hdr", "link set tap0 up")
    for here, there in (("eth0", "tap0"), ("tap0", "eth0")):
        net.run(f"tc qdisc add dev {here} ingress")
        net.run(f"tc filter add dev {here} ingress protocol all u32 match u32 0 0 action mirred egress redirect dev {there}")
    process = subprocess.Popen(["nsenter", f"--net={net.path}", *stage.raw_argv(initrd, 256, [
        "-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no,vhost=off",
        "-device", f"virtio-net-pci,netdev=net,mac={netns.MAC % 0},romfile=", "-serial", "null"])],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        measure(samples, "raw")
    finally:
        process.kill()
        process.wait()
        net.run("tc qdisc del dev eth0 ingress")
        net.ip("tuntap del tap0 mode tap")


def work(runtimes, rounds):
    """One TCP stream of iperf3 between a bridge of the host and a server in the container, and ping in between. The raw
    QEMU has the same kernel, a tap beside the same interface and the same redirects."""
    samples = stage.Samples()
    initrd = os.path.join(world.PLACE, "network.cpio")
    initramfs(initrd)
    with netns.Netns(types.SimpleNamespace(dir=world.PLACE), "benchnet") as net:
        net.add(0)
        for _ in range(max(3, rounds // 3)):
            in_container(samples, runtimes["crun"], "crun", net)
            in_raw(samples, initrd, net)
            in_container(samples, runtimes["onggi"], "onggi", net)
    rows = []
    for what, title in (("in", "to the container, Mbit/s"), ("out", "from the container, Mbit/s"),
                        ("ping", "ping, average, ms")):
        figures = {name: samples.median(f"{what} {name}") for name in ("onggi", "raw", "crun")}
        rows.append([title, *(f"{value:.2f}" if what == "ping" else f"{value:.0f}" for value in figures.values()),
                     stage.times(figures["onggi"], figures["raw"])])
    return samples, stage.table(["", "onggi", "raw QEMU", "crun", "onggi / raw"], rows)
