#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check a guest kernel's devices and interfaces from within: devices.py KERNEL INITRAMFS

INITRAMFS has devices-init as /init, and the kernel's modules if it needs any. The guest gets a virtio-serial port over
virtio-mmio, a vhost-user-fs device, and two free PCIe root ports for what is plugged while it runs. Shows the TAP of
the guest; exit status 0 when the guest says that all its claims hold.
"""
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

VIRTIOFSD = os.environ.get("VIRTIOFSD", "/usr/lib/qemu/virtiofsd")
LIMIT_S = 120
SOCKET_LIMIT_S = 10
MEMORY_MIB = 192


class Qmp:
    """One QMP connection; events are dropped."""

    def __init__(self, sock):
        self.stream = sock.makefile("rw")
        self.stream.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            reply = json.loads(self.stream.readline())
            if "error" in reply:
                raise RuntimeError(f"{name}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]


def tsc_khz():
    """The host's clock rate. Calibration by the guest itself hangs now and then under emulation."""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("cpu MHz"):
                return round(float(line.split(":")[1]) * 1000)
    raise RuntimeError("/proc/cpuinfo has no 'cpu MHz'")


def start_share(work, tag, children):
    """Serve a folder with one file; returns the path of virtiofsd's socket."""
    folder = os.path.join(work, tag)
    os.mkdir(folder)
    with open(os.path.join(folder, "file"), "w") as f:
        f.write(tag + "\n")
    path = os.path.join(work, tag + ".sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    children.append(subprocess.Popen(
        [VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={folder}", "-o", "cache=auto"],
        pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL))
    listener.close()
    return path


def listen(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(SOCKET_LIMIT_S)
    return listener


def qemu_command(kernel, initramfs, work, cold):
    return ["qemu-system-x86_64", "-M", "microvm,pcie=on,acpi=on,rtc=on,pic=on,pit=on,memory-backend=mem",
            "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY_MIB),
            "-object", f"memory-backend-memfd,id=mem,size={MEMORY_MIB}M,share=on",
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
            "-global", "virtio-mmio.force-legacy=false", "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 quiet panic=-1 reboot=t pcie_ports=native tsc_early_khz={tsc_khz()}",
            "-qmp", f"unix:{work}/qmp.sock",
            "-device", "virtio-serial-device",
            "-chardev", f"socket,id=port,path={work}/port.sock",
            "-device", "virtserialport,chardev=port,name=org.onggi.test",
            "-device", "pcie-root-port,id=rp0,slot=1", "-device", "pcie-root-port,id=rp1,slot=2",
            "-device", "pcie-root-port,id=rp2,slot=3",
            "-chardev", f"socket,id=cold,path={cold}",
            "-device", "vhost-user-fs-pci,chardev=cold,tag=cold,bus=rp0"]


def plug(qmp, request, plugged):
    if request == "plug-net":
        qmp.command("netdev_add", type="hubport", id="net", hubid=0)
        qmp.command("device_add", driver="virtio-net-pci", id="net0", netdev="net", bus="rp1",
                    mac="52:54:00:12:34:56")
    elif request == "plug-fs":
        qmp.command("chardev-add", id="late", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": plugged}}, "server": False}})
        qmp.command("device_add", driver="vhost-user-fs-pci", id="fs1", chardev="late", tag="plugged", bus="rp2")
    elif request == "unplug-net":
        qmp.command("device_del", id="net0")
    else:
        raise RuntimeError(f"the guest asks for '{request}'")


def answer_port(connection):
    """The host's end of the virtio-serial port."""
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(64)
        if not part:
            return
        data += part
    if data == b"ping\n":
        connection.sendall(b"pong\n")


def read_lines(stream, lines):
    for line in stream:
        lines.put(line.decode(errors="replace").rstrip())
    lines.put(None)


def converse(qemu, qmp, plugged):
    """Follow the guest's output and do what it asks. True when it ends with all claims kept."""
    lines = queue.Queue()
    threading.Thread(target=read_lines, args=(qemu.stdout, lines), daemon=True).start()
    verdict = False
    while (line := lines.get(timeout=LIMIT_S)) is not None:
        if line.startswith("HOST "):
            plug(qmp, line.split()[1], plugged)
        elif line.startswith("GUEST-DONE"):
            verdict = line == "GUEST-DONE passed"
        else:
            print(line, flush=True)
    return verdict


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    work = tempfile.mkdtemp(prefix="onggi-devices-")
    children = []
    try:
        cold = start_share(work, "cold", children)
        plugged = start_share(work, "plugged", children)
        control, port = listen(work + "/qmp.sock"), listen(work + "/port.sock")
        qemu = subprocess.Popen(qemu_command(sys.argv[1], sys.argv[2], work, cold),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        children.append(qemu)
        # QEMU opens its character devices in the order of their kind, the port before the monitor or after.
        accepted = port.accept()[0]
        threading.Thread(target=answer_port, args=(accepted,), daemon=True).start()
        good = converse(qemu, Qmp(control.accept()[0]), plugged)
    except (queue.Empty, TimeoutError, RuntimeError, json.JSONDecodeError) as error:
        print(f"not ok - {error or 'the guest fell silent'}")
        good = False
    finally:
        for child in children:
            child.kill()
            child.wait()
        shutil.rmtree(work)
    sys.exit(0 if good else 1)


main()
