# SPDX-License-Identifier: Apache-2.0
"""What the processes that a guest may take over can reach of the host: an exact listing, and a program in their place."""
import json
import os
import re

from harness import Failure, check, check_equal, check_in, claim, wait_until

# What QEMU may hold: streams and taps and disks handed to it, memory, its own events. Nothing of the host's by a path but these.
VMM_DESCRIPTORS = re.compile(r"/dev/null|/dev/urandom|/dev/kvm|socket:\[\d+\]|pipe:\[\d+\]|/memfd:[a-z-]+( \(deleted\))?|"
                             r"anon_inode:(\[?(eventfd|signalfd|eventpoll|kvm-vm|kvm-vcpu:\d+|io_uring)\]?)")


def vmm_of(box, name="c1"):
    with open(os.path.join(box.root, "sandboxes", name, "vmm.pid")) as f:
        return int(f.read())


def fields(path):
    with open(path) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def check_threads(pid):
    for thread in os.listdir(f"/proc/{pid}/task"):
        status = fields(f"/proc/{pid}/task/{thread}/status")
        for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            check_equal(status[key], "0" * 16, f"{key} of {status['Name']}")
        check_equal((status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]), ("1", "2", "2"),
                    f"confinement of {status['Name']}")


def way_to_kernel(pid):
    """Where the build lies is shown to a QEMU that boots, as far as the way to kernel and initramfs: its top entry."""
    with open(f"/proc/{pid}/cmdline") as f:
        return {os.path.abspath(__file__).split("/")[1]} if "-kernel" in f.read().split("\0") else set()


def user_of(pid):
    """The one user and group that all threads of a VMM have; no group besides."""
    ids = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        status = fields(f"/proc/{pid}/task/{thread}/status")
        ids |= set(status["Uid"].split() + status["Gid"].split())
        check_equal(status["Groups"].split(), [], "supplementary groups")
    check_equal(len(ids), 1, "user and group ids")
    return int(ids.pop())


def check_vmm(pid):
    check_threads(pid)
    check(user_of(pid) >= 0x70000000, "its user is one of the host's")
    extra = way_to_kernel(pid)
    for name in ("mnt", "pid", "net", "ipc", "uts"):
        check(os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), f"namespace '{name}' is the host's")
    check_equal(set(os.listdir(f"/proc/{pid}/root")) - extra - {"lib", "lib64", "bin", "nix", "gnu", "etc"},
                {"usr", "dev", "proc"}, "top folders")
    check(set(os.listdir(f"/proc/{pid}/root/etc")) <= {"ld.so.cache", "alternatives"}, "files of /etc")
    check(set(os.listdir(f"/proc/{pid}/root/dev")) <= {"null", "urandom", "kvm"}, "device nodes")
    with open(f"/proc/{pid}/mountinfo") as f:
        for line in f:
            options = line.split()[5].split(",")
            check("ro" in options and "nosuid" in options, f"mount is not read-only: {line}")
            check("nodev" in options or line.split()[4].startswith("/dev/"), f"mount with devices: {line}")
            check(not any(word.startswith(("shared:", "master:")) for word in line.split()), f"mount is shared: {line}")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        check(VMM_DESCRIPTORS.fullmatch(target), f"descriptor {fd}: {target}")


@claim("QEMU has no capability, no namespace, no file and no descriptor of the host's but those it needs, before and after load")
def vmm_posture(box):
    for template in ("on", "off"):
        box.write_config(template=template)
        box.start(["sleep", "1000"])
        check_vmm(vmm_of(box))
        box.ok("exec", "c1", "sh", "-c", "head -c 1000000 /dev/urandom > /file; sync; cat /file > /dev/null")
        check_vmm(vmm_of(box))
        box.ok("delete", "--force", "c1")


@claim("the monitor holds neither its guest's memory nor anything of a template while the guest runs: both end with QEMU")
def monitor_descriptors(box):
    box.start(["sleep", "1000"])
    with open(os.path.join(box.root, "sandboxes", "c1", "state.json")) as f:
        monitor = json.load(f)["monitor"]["pid"]
    # Its own folders and logs, and what has no name: no memfd, no template.
    allowed = re.compile(r"/dev/null|socket:\[\d+\]|pipe:\[\d+\]|anon_inode:.*|net:\[\d+\]|mnt:\[\d+\]|" +
                         re.escape(box.dir) + "(/.*)?")

    def others():
        found = []
        for number in os.listdir(f"/proc/{monitor}/fd"):
            try:
                found.append(os.readlink(f"/proc/{monitor}/fd/{number}"))
            except FileNotFoundError:
                pass  # closed meanwhile
        return [target for target in found if not allowed.fullmatch(target)]

    try:
        wait_until(lambda: not others(), "only its own descriptors are left to the monitor")
    except Failure as e:
        raise Failure(f"{e}: {others()}")


@claim("each QEMU has a user of its own")
def vmm_users(box):
    box.start(["sleep", "1000"], name="one")
    box.start(["sleep", "1000"], name="two")
    one, two = user_of(vmm_of(box, "one")), user_of(vmm_of(box, "two"))
    check(one != two, f"both are {one}")


@claim("a guest kernel that QEMU's user may not read is refused by name, with the remedy")
def unreadable_kernel(box):
    kernel = os.path.join(box.dir, "vmlinux")
    with open(kernel, "wb") as f:
        f.write(b"\x7fELF")
    os.chmod(kernel, 0o600)
    box.write_config(kernel=kernel, template="off")
    result = box.run(["true"])
    check_equal(result.code, 1, f"exit code ({result!r})")
    check_in(f"'{kernel}': a VMM has a user of its own, who may not read it: chmod o+r", result.errors, "the error")


def processes_of(box, program):
    """Pids of the sandbox's processes of that name, the oldest first. There is one sandbox."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and fields(f"/proc/{pid}/status")["Name"] == program:
                found.append(int(pid))
        except OSError:
            pass
    return sorted(found)


@claim("the file server's roots are the shared folder, where devices and setuid are nothing; it has a filter and what serving needs")
def file_server_posture(box):
    volume = os.path.join(box.dir, "volume")
    os.mkdir(volume)
    box.start(["sleep", "1000"], mounts=lambda m: m + [
        {"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}])
    box.ok("exec", "c1", "sh", "-c", "echo x > /volume/file; cat /bin/busybox > /dev/null")
    outer, inner = processes_of(box, "virtiofsd")
    for pid, caps in (outer, 0), (inner, 0x880000db):
        status = fields(f"/proc/{pid}/status")
        check_equal(int(status["CapEff"], 16) & ~caps, 0, "capabilities")
        check_equal((int(status["CapBnd"], 16), status["NoNewPrivs"]), (0, "1"), "confinement")
        check_equal(os.listdir(f"/proc/{pid}/root"), ["c1"], "its root")
        for name in ("mnt", "net", "ipc", "uts"):
            check(os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), f"namespace '{name}' is the host's")
        for thread in os.listdir(f"/proc/{pid}/task"):
            check_equal(fields(f"/proc/{pid}/task/{thread}/status")["Seccomp"], "2", f"filter of thread {thread}")
    check(int(fields(f"/proc/{inner}/status")["Seccomp_filters"]) >= 2, "no filter of the file server's own")
    with open(f"/proc/{inner}/mountinfo") as f:
        mounts = [line.split() for line in f]
    check_equal(len(mounts), 3, "mounts")
    for line in mounts[1:]:
        check({"nodev", "nosuid"} <= set(line[5].split(",")), f"mount with devices: {line}")


@claim("a device node and a setuid file that the guest makes in its image are no more than names for who looks by way of the proxy")
def proxy_view(box):
    pid = box.start(["sh", "-c", "mknod /disk c 1 3; cp /bin/busybox /suid; chmod 4755 /suid; touch /done; sleep 1000"],
                    process__capabilities={k: ["CAP_MKNOD", "CAP_FSETID", "CAP_FOWNER"] for k in ("bounding", "effective", "permitted")},
                    linux__resources__devices=[{"allow": True, "access": "rwm"}])
    root = f"/proc/{pid}/root"
    wait_until(lambda: os.path.exists(f"{root}/done"), "the files are made")
    try:
        os.close(os.open(f"{root}/disk", os.O_RDWR))
        raise Failure("the device can be opened")
    except PermissionError:
        pass
    check(os.statvfs(root).f_flag & os.ST_NOSUID, "setuid programs are that")


# Runs in QEMU's place. What it finds goes to stderr, on one line.
EVIL = """#!/usr/bin/python3 -IS
import ctypes, os, socket
found = []
libc = ctypes.CDLL(None, use_errno=True)

def works(what, function, *args):
    try:
        function(*args)
        found.append(what)
    except OSError:
        pass

def call(*args):
    if libc.syscall(*args) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

for path in ["/etc/passwd", "/etc/shadow", "/root", "/home", "/sys", "/var", "/boot", "/proc/sys", "/proc/net", "/dev/mem", "/dev/vda",
             "/dev/tty", %(root)r, %(canary)r]:
    works("sees " + path, os.stat, path)
for pid in %(pids)r:
    works("reaches process %%d" %% pid, os.kill, pid, 0)
for path in ["/x", "/usr/x", "/dev/x", "/proc/x", __file__]:
    works("writes " + path, write, path)
NEWUSER, NEWNS, CHILD = 0x10000000, 0x20000, 17
for what, args in {
        "makes a process": (56, CHILD, 0, 0, 0, 0), "forks": (57,), "makes a process by clone3": (435, 0, 0),
        "makes a user namespace": (272, NEWUSER), "makes a mount namespace": (272, NEWNS), "mounts": (165, 0, b"/", 0, 0, 0),
        "has a keyring": (250, 0, -3, 1), "loads BPF": (321, 0, 0, 0), "traces": (101, 0, 0, 0, 0), "counts": (298, 0, 0, -1, -1, 0),
        "has a ring of I/O": (425, 1, 0), "handles page faults": (323, 1), "becomes root": (105, 0)}.items():
    works(what, call, *args)
for family in (socket.AF_INET, socket.AF_NETLINK, socket.AF_PACKET, 40):
    works("has sockets of family %%d" %% family, socket.socket, family, socket.SOCK_DGRAM)
with os.scandir(%(dir)r) as entries:
    found += [e.name for e in entries if e.name != "vmm"]
os.write(2, ("%%s; I am %%d" %% ("; ".join(found), os.getpid())).encode())
os._exit(3)
"""


@claim("a program in QEMU's place sees nothing of the host but programs, reaches no process, and gets nowhere with the kernel")
def evil_vmm(box):
    box.start(["sleep", "1000"], name="victim")
    canary = os.path.join(box.dir, "canary")
    with open(canary, "w") as f:
        f.write("secret\n")
    path = os.path.join(box.dir, "vmm")
    pids = [vmm_of(box, "victim"), box.state("victim")["pid"], os.getpid()]
    with open(path, "w") as f:
        f.write(EVIL % {"root": box.root, "canary": canary, "dir": box.dir, "pids": pids})
    os.chmod(path, 0o755)
    box.write_config(vmm=path, template="off")
    result = box.run(["true"])
    check_equal(result.code, 1, f"exit code ({result!r})")
    check_in("(exit status 3): ; I am 1", result.errors, "what it found")
    check_equal(box.ok("exec", "victim", "echo", "unharmed").text, "unharmed\n", "the other sandbox")
