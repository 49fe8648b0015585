# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks stand on: runtimes behind one face, a raw VM, samples and their medians.

Everything that is compared is measured interleaved in one run, after a warm-up: these figures are ratios first.
"""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "engines"), os.path.join(HERE, "..", "vm")]
import world  # noqa: E402
import harness  # noqa: E402

GUEST = os.path.join(world.BUILD, "guest")
# No single step may take longer, in seconds.
LIMIT = 300

# A ttrpc request for a service that nobody has: header (length, stream 1, type request), service, method. Whoever
# answers that is up.
QUESTION = b"\x0a\x01x\x12\x01y"
QUESTION = len(QUESTION).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\x01\x00" + QUESTION


class Samples(dict):
    """Name -> list of numbers."""

    def add(self, name, value):
        self.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self[name])

    def spread(self, name):
        """Distance of the middle half of the samples."""
        if len(self[name]) < 4:
            return max(self[name]) - min(self[name])
        quarters = statistics.quantiles(self[name], n=4)
        return quarters[2] - quarters[0]


def timed(function, *args, **options):
    begin = time.monotonic()
    function(*args, **options)
    return time.monotonic() - begin


def run(argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, **options)
    if done.returncode != 0:
        raise SystemExit(f"'{' '.join(argv)}' failed: exit {done.returncode}\n{done.stdout[-500:]!r}\n{done.stderr[-2000:]!r}")
    return done.stdout


# ---- runtimes -----------------------------------------------------------------------------------

class Runtime:
    """One OCI runtime with a state folder of its own."""

    def __init__(self, name, argv, **settings):
        self.name, self.program = name, argv
        self.dir = os.path.join(world.PLACE, "bench-" + name.replace(" ", "-"))
        os.makedirs(self.dir)
        self.env = dict(os.environ)
        if settings:
            config = os.path.join(self.dir, "config.json")
            with open(config, "w") as f:
                json.dump(settings, f)
            self.env["ONGGI_CONFIG"] = config

    def argv(self, *args):
        return [*self.program, "--root", os.path.join(self.dir, "state"), *args]

    def __call__(self, *args):
        return run(self.argv(*args), env=self.env)

    def popen(self, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen(self.argv(*args), env=self.env, **options)

    def run(self, bundle, name):
        """Seconds for one container, from the command's start to its end."""
        return timed(self, "run", "--bundle", bundle, name)

    def start(self, bundle, name):
        """A container that stays."""
        with open(os.devnull, "r+b") as null:
            subprocess.run(self.argv("run", "--detach", "--bundle", bundle, name), stdin=null, stdout=null, stderr=null,
                           env=self.env, check=True, timeout=LIMIT)

    def remove(self, name):
        self("delete", "--force", name)


def runtimes():
    """Those that are compared; ours twice."""
    accel = os.environ.get("ONGGI_TEST_ACCEL", "auto")
    templates = os.path.join(world.PLACE, "templates")
    return {
        "crun": Runtime("crun", ["/usr/bin/crun"]),
        "runc": Runtime("runc", ["/usr/sbin/runc"]),
        "runsc": Runtime("runsc", ["/usr/bin/runsc", "--platform=ptrace", "--network=none", "--ignore-cgroups"]),
        "cold": Runtime("onggi cold", [world.RUNTIME], accel=accel, template="off"),
        "onggi": Runtime("onggi", [world.RUNTIME], accel=accel, template_dir=templates),
    }


TITLES = {"crun": "crun", "runc": "runc", "runsc": "runsc (ptrace)", "cold": "onggi, booted", "onggi": "onggi, from a template",
          "raw": "raw QEMU, same kernel and initramfs, until the agent answers"}


def bundle(args, name, image="busybox", **changes):
    """A bundle with a root file system of its own, as `runc spec` would have it."""
    path = os.path.join(world.PLACE, "bundles", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    run(["cp", "-a", os.path.join(harness.IMAGES, image, "rootfs"), path])
    shutil.copy(harness.PROBE, os.path.join(path, "rootfs", "bin", "probe"))
    config = harness.base_config(args)
    config["linux"].pop("resources")
    for key, value in changes.items():
        place = config
        *way, last = key.split("__")
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    return path


# ---- a raw VM -----------------------------------------------------------------------------------

def tsc_khz():
    with open("/proc/cpuinfo") as f:
        return int(float(re.search(r"cpu MHz\s*: ([\d.]+)", f.read()).group(1)) * 1000)


def raw_argv(initrd, memory_mib=256, more=()):
    """A plain QEMU with our kernel, as somebody would start it by hand."""
    return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-accel", accelerator(), "-M", "microvm,pcie=on,acpi=on", "-cpu", "max", "-m", str(memory_mib),
            "-global", "virtio-mmio.force-legacy=false", "-kernel", os.path.join(GUEST, "vmlinux"), "-initrd", initrd,
            "-append", f"console=ttyS0 panic=-1 reboot=t quiet pcie_ports=native tsc_early_khz={tsc_khz()}", *more]


def raw_boot(memory_mib=256):
    """Seconds from the start of a plain QEMU to the first answer of the agent in it."""
    ours, theirs = socket.socketpair()
    ours.sendall(QUESTION)
    argv = raw_argv(os.path.join(GUEST, "initramfs.cpio"), memory_mib, [
        "-serial", "null", "-device", "virtio-serial-device", "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
        "-device", "virtserialport,chardev=agent,name=onggi.agent"])
    begin = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               pass_fds=[theirs.fileno()])
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


_accelerator = []


def accelerator():
    """What onggi's own probe says of this machine."""
    if not _accelerator:
        # Without a template: one would be made meanwhile, and be measured with the rest.
        runtime = Runtime("probe", [world.RUNTIME], accel=os.environ.get("ONGGI_TEST_ACCEL", "auto"), template="off")
        runtime.run(bundle(["true"], "probe"), "probe")
        with open(os.path.join(runtime.dir, "state", "cache", "kvm.json")) as f:
            _accelerator.append("kvm" if json.load(f)["works"] else "tcg")
    return _accelerator[0]


# ---- processes ----------------------------------------------------------------------------------

def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))


ROLES = (("VMM", "qemu-system"), ("monitor", "sandbox-monitor"), ("file server", "virtiofsd"), ("proxy", "onggi-proxy"),
         ("runsc", "runsc"))


def roles():
    """(pid, role) of every process on the machine that belongs to a sandbox."""
    for pid, text in harness.processes().items():
        role = next((role for role, mark in ROLES if mark in text), None)
        if role:
            yield pid, role


def pids_of_role(role):
    return [pid for pid, other in roles() if other == role]


def memory_by_role():
    """PSS in KiB of everything on the machine that belongs to sandboxes."""
    found = {}
    for pid, role in roles():
        try:
            found[role] = found.get(role, 0) + pss_kib(pid)
        except OSError:
            pass
    return found


# ---- tables -------------------------------------------------------------------------------------

def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]) + "\n"


def ms(seconds):
    return f"{seconds * 1000:.0f} ms"


def times(value, other):
    return f"{value / other:.2f} ×"
