# SPDX-License-Identifier: Apache-2.0
"""The host's cgroups of a sandbox: who is in them, limits, OOM as engines see it, nothing left."""
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess

from harness import BUILD, RUNTIME, check, check_equal, check_in, claim, wait_until

MIB = 1 << 20


def own():
    """hierarchy's names -> cgroup of this process, as /proc/self/cgroup has it."""
    return cgroups_of("self")


def cgroups_of(pid):
    with open(f"/proc/{pid}/cgroup") as f:
        return {names: path for _, names, path in (line.rstrip("\n").split(":", 2) for line in f)}


def folder(controller, path):
    """Where the hierarchy of @controller is mounted in the tests' world, and @path below it."""
    return f"/sys/fs/cgroup/{controller}{path}"


def read(controller, path, file):
    with open(os.path.join(folder(controller, path), file)) as f:
        return f.read().strip()


def commands_in(controller, path):
    found = []
    for pid in read(controller, path, "cgroup.procs").split():
        with open(f"/proc/{pid}/comm") as f:
            found.append(f.read().strip())
    return sorted(found)


def everywhere(path):
    """Mounted hierarchies that have a cgroup @path."""
    return sorted(c for c in os.listdir("/sys/fs/cgroup") if os.path.isdir(folder(c, path)))


def hierarchies():
    return sorted(os.listdir("/sys/fs/cgroup"))


ALL = ["onggi-monitor", "onggi-runtime", "onggi-vm", "virtiofsd", "virtiofsd"]


@claim("proxy, monitor, VMM and file server are in the cgroup that the specification names, in every hierarchy")
def everybody_is_in(box):
    before = own()
    pid = box.create(["sleep", "1000"], linux__cgroupsPath="/some/parent/c1")
    check_equal(set(cgroups_of(pid).values()), {"/some/parent/c1"}, "cgroups of the proxy")
    check_equal(everywhere("/some/parent/c1"), hierarchies(), "hierarchies that have it")
    for controller in hierarchies():
        check_equal(commands_in(controller, "/some/parent/c1"), ALL, f"who is in it of {controller}")
    box.ok("start", "c1")
    exec_pid = os.path.join(box.dir, "exec.pid")
    subprocess.run(box.argv("exec", "--detach", "--pid-file", exec_pid, "c1", "sleep", "1000"), env=box.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(exec_pid) as f:
        pid = int(f.read())
    wait_until(lambda: set(cgroups_of(pid).values()) == {"/some/parent/c1"}, "the exec's proxy is in it too")
    check_equal(own(), before, "our own cgroups: the command has not moved its caller")
    box.ok("delete", "--force", "c1")
    check_equal(everywhere("/some"), [], "what was made for it is gone, parents too")


@claim("a cgroup that was there before stays, with its parents")
def existing_cgroup_stays(box):
    for controller in ("memory", "pids"):
        os.makedirs(folder(controller, "/engine/c1"))
    box.create(["true"], linux__cgroupsPath="/engine/c1")
    check_in("onggi-vm", commands_in("memory", "/engine/c1"), "who is in it")
    box.ok("delete", "--force", "c1")
    check_equal(everywhere("/engine"), ["memory", "pids"], "what is left")
    for controller in ("memory", "pids"):
        os.rmdir(folder(controller, "/engine/c1"))
        os.rmdir(folder(controller, "/engine"))


@claim("without a path the cgroup is one of our own, a relative one is below the caller's")
def default_and_relative(box):
    pid = box.create(["true"])
    path = cgroups_of(pid)["memory"]
    check(path.startswith("/onggi/c1@"), f"the path, of a state root that is not the default: {path}")
    box.ok("delete", "--force", "c1")
    check_equal(everywhere("/onggi"), [], "our own parent goes with the last container")
    os.mkdir(folder("memory", "/caller"))
    bundle = box.bundle(["true"], linux__cgroupsPath="below/c2")
    try:
        subprocess.run(["sh", "-c", 'echo $$ >/sys/fs/cgroup/memory/caller/cgroup.procs; exec "$@"', "sh", RUNTIME,
                        "--root", box.root, "create", "--bundle", bundle, "c2"], env=box.env, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        check_in("onggi-vm", commands_in("memory", "/caller/below/c2"), "who is in it")
        check_in("onggi-vm", commands_in("pids", "/below/c2"), "who is in it")
        box.ok("delete", "--force", "c2")
        check_equal(os.path.isdir(folder("memory", "/caller/below")), False, "the parent that was made is there")
    finally:
        os.rmdir(folder("memory", "/caller"))


@claim("the host's limits are the container's, and what the VM needs on top; quota from the start on")
def limits(box):
    box.write_config(host_overhead_mib=300)
    box.create(["sleep", "1000"], linux__cgroupsPath="/lim/c1",
               linux__resources__memory={"limit": 64 * MIB},
               linux__resources__cpu={"quota": 75000, "period": 50000, "shares": 512, "cpus": "0"},
               linux__resources__pids={"limit": 20})
    check_equal(int(read("memory", "/lim/c1", "memory.limit_in_bytes")), (64 + 256 + 300) * MIB, "memory limit")
    check_equal(read("cpu", "/lim/c1", "cpu.cfs_quota_us"), "-1", "quota while the VM boots")
    check_equal(read("cpu", "/lim/c1", "cpu.shares"), "512", "shares")
    check_equal(read("cpuset", "/lim/c1", "cpuset.cpus"), "0", "cpuset")
    # Threads of the host: not the guest's processes.
    check_equal(read("pids", "/lim/c1", "pids.max"), "4096", "pids")
    box.ok("start", "c1")
    check_equal((read("cpu", "/lim/c1", "cpu.cfs_quota_us"), read("cpu", "/lim/c1", "cpu.cfs_period_us")),
                ("75000", "50000"), "quota and period of a running container")
    usage = int(read("memory", "/lim/c1", "memory.usage_in_bytes"))
    check(40 * MIB < usage < 620 * MIB, f"memory in use: {usage}")
    box.ok("delete", "--force", "c1")
    box.create(["true"], name="c2", linux__cgroupsPath="/lim/c2")
    check(int(read("memory", "/lim/c2", "memory.limit_in_bytes")) > 1 << 60, "there is a limit nobody asked for")


@claim("update changes the host's limits too, and only those that are named")
def updated_limits(box):
    box.start(["sleep", "1000"], linux__cgroupsPath="/lim/c1", linux__resources__memory={"limit": 64 * MIB},
              linux__resources__cpu={"quota": 50000, "period": 100000, "shares": 512})
    box.ok("update", "--memory", "96m", "c1")
    check_equal(int(read("memory", "/lim/c1", "memory.limit_in_bytes")), (96 + 256 + 512) * MIB, "memory limit")
    check_equal(read("cpu", "/lim/c1", "cpu.cfs_quota_us"), "50000", "quota that was not named")
    box.ok("update", "--cpu-quota", "80000", "--cpu-share", "256", "c1")
    check_equal((read("cpu", "/lim/c1", "cpu.cfs_quota_us"), read("cpu", "/lim/c1", "cpu.shares")), ("80000", "256"),
                "quota and shares")
    check_equal(int(read("memory", "/lim/c1", "memory.limit_in_bytes")), (96 + 256 + 512) * MIB, "memory limit")
    box.ok("update", "--memory", "-1", "--cpu-quota", "-1", "c1")
    check(int(read("memory", "/lim/c1", "memory.limit_in_bytes")) > 1 << 60, "memory limit that was lifted")
    check_equal(read("cpu", "/lim/c1", "cpu.cfs_quota_us"), "-1", "quota that was lifted")
    check_equal(box.ok("exec", "c1", "echo", "alive").text, "alive\n", "exec afterwards")


@claim("a process that is killed for memory while its container lives on is an event at once")
def oom_while_running(box):
    pid = box.create(["sh", "-c", "sh -c 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done'; sleep 1000"],
                     linux__cgroupsPath="/oom/c1", linux__resources__memory={"limit": 32 * MIB})
    watch = OomWatch("/oom/c1")
    try:
        box.ok("start", "c1")
        wait_until(watch.came, "an OOM event")
        check_equal(box.status(), "running", "status after the event")
        box.ok("kill", "c1", "KILL")
        check_equal(box.exit_of(pid), 137, "exit code")
    finally:
        watch.close()


@claim("a value that the host's cgroup refuses is an error that names file and value, and nothing is left")
def refused_limit(box):
    result = box.run(["true"], linux__cgroupsPath="/lim/c1", linux__resources__cpu={"cpus": "4090"})
    check_equal(result.code, 1, "exit code")
    check_in("cpuset.cpus", result.errors, "message")
    check_in("4090", result.errors, "message")
    check_equal(everywhere("/lim"), [], "cgroups")


@claim("a cgroup with processes in it, '..' and a wrong systemd path are refused by name")
def refused_paths(box):
    os.makedirs(folder("memory", "/full/c1"))
    sleeper = subprocess.Popen(["sleep", "1000"])
    with open(folder("memory", "/full/c1/cgroup.procs"), "w") as f:
        f.write(str(sleeper.pid))
    try:
        result = box.run(["true"], linux__cgroupsPath="/full/c1")
        check_equal(result.code, 1, "exit code")
        check_in("container's cgroup '/sys/fs/cgroup/memory/full/c1' is not empty", result.errors, "message")
    finally:
        sleeper.kill()
        sleeper.wait()
        os.rmdir(folder("memory", "/full/c1"))
        os.rmdir(folder("memory", "/full"))
    check_in("'..' is not allowed", box.run(["true"], linux__cgroupsPath="/a/../../b").errors, "message")
    result = box.command("--systemd-cgroup", "run", "--bundle", box.bundle(["true"], linux__cgroupsPath="/a/b"), "c1")
    check_in('"slice:prefix:name"', result.errors, "message")


@claim("--cgroup-manager disabled leaves everybody where the caller is")
def disabled(box):
    bundle = box.bundle(["true"], linux__cgroupsPath="/some/c1")
    pid_file = os.path.join(box.dir, "pid")
    subprocess.run(box.argv("--cgroup-manager", "disabled", "create", "--bundle", bundle, "--pid-file", pid_file,
                            "c1"), env=box.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with open(pid_file) as f:
        check_equal(cgroups_of(int(f.read())), own(), "cgroups of the proxy")


@claim("in a pod the VM is in the first container's cgroup, and moves to another's when that one is deleted")
def pod(box):
    for controller in hierarchies():
        os.mkdir(folder(controller, "/pod"))
    pid = box.start(["sleep", "1000"], name="first", linux__cgroupsPath="/pod/first",
                    linux__resources__memory={"limit": 64 * MIB})
    share = [{"type": "network", "path": f"/proc/{pid}/ns/net"}] + [
        {"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")]
    second = box.start(["sleep", "1000"], name="second", linux__cgroupsPath="/pod/second", linux__namespaces=share,
                       linux__resources__memory={"limit": 32 * MIB})
    check_equal(commands_in("memory", "/pod/first"), ALL, "who is in the first one's")
    check_equal(commands_in("memory", "/pod/second"), ["onggi-runtime"], "who is in the second one's")
    check_equal(int(read("memory", "/pod/first", "memory.limit_in_bytes")), (64 + 32 + 256 + 512) * MIB,
                "limit of both")
    box.ok("kill", "first", "KILL")
    check_equal(box.exit_of(pid), 137, "exit code of the first")
    box.ok("delete", "first")
    check_equal(everywhere("/pod/first"), [], "the first one's cgroups")
    for controller in hierarchies():
        check_equal(commands_in(controller, "/pod/second"), ALL, f"who is in the second one's of {controller}")
    check_equal(int(read("memory", "/pod/second", "memory.limit_in_bytes")), (32 + 256 + 512) * MIB,
                "limit of the one that is left")
    # All of the VM's memory is charged elsewhere now.
    watch = OomWatch("/pod/second")
    try:
        check_equal(box.command("exec", "second", *EAT).code, 137, "exit code of what exceeds the limit")
        check(watch.came(), "no OOM event after the move")
    finally:
        watch.close()
    check_equal(box.ok("exec", "second", "echo", "alive").text, "alive\n", "exec after the move")
    box.ok("kill", "second", "KILL")
    box.exit_of(second)
    box.ok("delete", "second")
    for controller in hierarchies():
        os.rmdir(folder(controller, "/pod"))  # fails unless it is empty


class OomWatch:
    """What conmon and containerd's shim do with version 1: an eventfd on memory.oom_control."""

    def __init__(self, path):
        self.path = folder("memory", path)
        self.fd = ctypes.CDLL(None, use_errno=True).eventfd(0, os.O_NONBLOCK)
        control = os.open(os.path.join(self.path, "memory.oom_control"), os.O_RDONLY)
        with open(os.path.join(self.path, "cgroup.event_control"), "w") as f:
            f.write(f"{self.fd} {control}")
        os.close(control)

    def came(self):
        """Whether there was an event while the cgroup exists (its removal is one too)."""
        return bool(select.select([self.fd], [], [], 0)[0]) and os.path.isdir(self.path)

    def close(self):
        os.close(self.fd)


EAT = ["sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"]


@claim("an OOM of the guest is an OOM event in the host's cgroup before the proxy ends, and nobody else is killed")
def oom_is_seen(box):
    pid = box.create(EAT, linux__cgroupsPath="/oom/c1", linux__resources__memory={"limit": 32 * MIB})
    watch = OomWatch("/oom/c1")
    try:
        limit = read("memory", "/oom/c1", "memory.limit_in_bytes")
        box.ok("start", "c1")
        fd = os.pidfd_open(pid)
        select.select([fd], [], [], 60)
        os.close(fd)
        check(watch.came(), "no OOM event when the proxy had ended")
        check_equal(box.exit_of(pid), 137, "exit code")
        check_in("oom_kill 1", read("memory", "/oom/c1", "memory.oom_control"), "kills in the host's cgroup")
        check_equal(read("memory", "/oom/c1", "memory.limit_in_bytes"), limit, "the limit afterwards")
        with open(os.path.join(box.root, "sandboxes", "c1", "monitor.log")) as f:
            log = f.read()
        check("given up" not in log and "OOM could not" not in log, f"monitor's log: {log}")
    finally:
        watch.close()


@claim("the VM survives the event when an exec runs out of memory, and a normal end is no OOM")
def oom_of_exec(box):
    pid = box.start(["sleep", "1000"], linux__cgroupsPath="/oom/c1", linux__resources__memory={"limit": 32 * MIB})
    watch = OomWatch("/oom/c1")
    try:
        check_equal(box.command("exec", "c1", "sh", "-c", "exit 137").code, 137, "exit code of an innocent exec")
        check(not watch.came(), "an event without an OOM")
        # The kernel chooses among all of the container: the eater is the largest.
        check_equal(box.command("exec", "c1", *EAT).code, 137, "exit code of the exec")
        check(watch.came(), "no OOM event")
        check_equal(box.ok("exec", "c1", "echo", "alive").text, "alive\n", "exec afterwards")
        box.ok("kill", "c1", "KILL")
        check_equal(box.exit_of(pid), 137, "exit code")
    finally:
        watch.close()


@claim("whoever is killed with SIGKILL, delete --force leaves no cgroup")
def kill_minus_nine(box):
    for victim in ("onggi-monitor", "onggi-runtime", "onggi-vm"):
        pid = box.start(["sleep", "1000"], linux__cgroupsPath="/kill/c1")
        for process in read("memory", "/kill/c1", "cgroup.procs").split():
            with open(f"/proc/{process}/comm") as f:
                if f.read().strip() == victim:
                    os.kill(int(process), signal.SIGKILL)
        box.exit_of(pid)
        box.ok("delete", "--force", "c1")
        check_equal(everywhere("/kill"), [], f"cgroups after SIGKILL of {victim}")


@claim("a create that is killed half way leaves no cgroup after delete --force")
def killed_create(box):
    for delay in (0.02, 0.1, 0.3, 0.8):
        bundle = box.bundle(["true"], linux__cgroupsPath="/kill/c1")
        command = box.popen("create", "--bundle", bundle, "c1", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        try:
            command.wait(delay)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
        box.ok("delete", "--force", "c1")
        check_equal(everywhere("/kill"), [], f"cgroups of a create killed after {delay} s")


@claim("all of it works with cgroup version 2 alone: the unit tests of the host's cgroups pass in a guest")
def version_2(box):
    things = os.path.join(box.dir, "things")
    os.mkdir(things)
    program = os.path.join(BUILD, "tests", "unit", "test_hostcgroup")
    shutil.copy(program, things)
    for line in subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines():
        if " => /" in line and "libc.so" not in line:
            shutil.copy(line.split()[2], things)

    def mounts(old):
        old = [m for m in old if m["destination"] != "/sys/fs/cgroup"]
        return old + [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]},
                      {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
                      {"destination": "/mnt", "type": "bind", "source": things, "options": ["bind", "ro"]}]

    # Only a cgroup without processes hands its controllers down.
    script = ("set -e; test $(stat -f -c %T /sys/fs/cgroup) = cgroup2fs; mkdir /sys/fs/cgroup/leaf; "
              "echo $$ >/sys/fs/cgroup/leaf/cgroup.procs; "
              "LD_LIBRARY_PATH=/mnt CMOCKA_MESSAGE_OUTPUT=tap /mnt/test_hostcgroup")
    result = box.run(["sh", "-c", script], image="minbase", mounts=mounts)
    check_equal(result.code, 0, f"exit code: {result!r}")
    good = sum(line.startswith("ok ") for line in (result.text + result.errors).splitlines())
    check(good >= 13, f"tests that have passed: {result!r}")


BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""


class Systemd:
    """A private system bus with the stand-in of tests/vm/fake_systemd.py on it; @box's commands find it."""

    def __init__(self, box):
        socket = os.path.join(box.dir, "bus")
        config = os.path.join(box.dir, "bus.conf")
        self.log = os.path.join(box.dir, "systemd.log")
        with open(config, "w") as f:
            f.write(BUS_CONFIG.format(socket=socket))
        self.children = [subprocess.Popen(["dbus-daemon", "--nofork", f"--config-file={config}"],
                                          stderr=subprocess.DEVNULL)]
        wait_until(lambda: os.path.exists(socket), "the bus listens")
        self.address = f"unix:path={socket}"
        self.children.append(subprocess.Popen(
            ["/usr/bin/python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_systemd.py"),
             self.address, self.log]))
        wait_until(lambda: self.calls("ready"), "the stand-in is on the bus")
        box.env["DBUS_SYSTEM_BUS_ADDRESS"] = self.address

    def calls(self, kind):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as f:
            return [call for call in map(json.loads, f) if call["call"] == kind]

    def close(self):
        for child in reversed(self.children):
            child.kill()
            child.wait()


@claim("--systemd-cgroup asks systemd for a scope with the command in it, and places the sandbox there")
def systemd_scope(box):
    systemd = Systemd(box)
    try:
        bundle = box.bundle(["sleep", "1000"], linux__cgroupsPath="machine-x.slice:libpod:abc",
                            linux__resources__memory={"limit": 64 * MIB},
                            linux__resources__cpu={"quota": 50000, "period": 100000, "shares": 512})
        pid_file = os.path.join(box.dir, "pid")
        with subprocess.Popen(box.argv("--systemd-cgroup", "create", "--bundle", bundle, "--pid-file", pid_file, "c1"),
                              env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as command:
            check_equal(command.wait(60), 0, "exit code of create")
        start, = systemd.calls("start")
        check_equal((start["unit"], start["mode"]), ("libpod-abc.scope", "replace"), "unit")
        want = {"Slice": "machine-x.slice", "Delegate": True, "DefaultDependencies": False, "PIDs": [command.pid],
                "MemoryAccounting": True, "CPUAccounting": True, "TasksAccounting": True, "CPUShares": 512,
                "MemoryLimit": (64 + 256 + 512) * MIB, "TasksMax": 4096, "CPUQuotaPerSecUSec": (1 << 64) - 1}
        check_equal({k: start["properties"].get(k) for k in want}, want, "properties")
        path = "/machine.slice/machine-x.slice/libpod-abc.scope"
        with open(pid_file) as f:
            check_equal(set(cgroups_of(int(f.read())).values()), {path}, "cgroups of the proxy")
        check_equal(commands_in("memory", path), ALL, "who is in it")
        box.ok("delete", "--force", "c1")
        check_equal([c["unit"] for c in systemd.calls("stop")], ["libpod-abc.scope"], "units that were stopped")
        check_equal(everywhere(path), [], "cgroups after delete")
        for controller in hierarchies():  # slices are systemd's
            os.rmdir(folder(controller, "/machine.slice/machine-x.slice"))
            os.rmdir(folder(controller, "/machine.slice"))
    finally:
        systemd.close()


@claim("a scope that systemd refuses or fails to start, and a missing bus, fail the create with the reason")
def systemd_refuses(box):
    result = box.command("--systemd-cgroup", "run", "--bundle", box.bundle(["true"]), "c0")
    check_equal(result.code, 1, "exit code without a bus")
    check_in("option --systemd-cgroup", result.errors, "message without a bus")
    check("No such file" not in result.errors, f"engines would take it for a missing command: {result.errors}")
    systemd = Systemd(box)
    try:
        for name, words in (("refused", "already exists"), ("fails", "systemd: start of the scope: failed")):
            bundle = box.bundle(["true"], linux__cgroupsPath=f"system.slice:onggi:{name}")
            result = box.command("--systemd-cgroup", "run", "--bundle", bundle, name)
            check_equal(result.code, 1, f"exit code of '{name}'")
            check_in(words, result.errors, f"message of '{name}'")
            check_equal(everywhere(f"/system.slice/onggi-{name}.scope"), [], "cgroups")
            check_equal(box.containers(), [], "containers on disk")
            check_equal([c for c in systemd.calls("stop") if "refused" in c["unit"]], [], "stops of another's unit")
    finally:
        systemd.close()
