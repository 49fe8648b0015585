# SPDX-License-Identifier: Apache-2.0
"""A private world for container engines, as the tests need it: see enter().

Everything is in new mount, network, PID, IPC, UTS and cgroup namespaces, with an own /run, /etc and /var/lib of the
engines in memory. Killing its init removes daemons, mounts, bridges, rules, images and containers; the machine's own
engines and network are never touched. Daemons are started by hand: there is no systemd in it.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("ONGGI_BUILD", os.path.join(TOP, "build"))
RUNTIME = os.path.join(BUILD, "onggi-runtime")
LAYOUT = os.path.join(BUILD, "images", "layout")
MARK = "ONGGI_ENGINE_WORLD"
CGROUPS = "/sys/fs/cgroup"
# Where the world keeps what belongs to nobody else: configuration, temporary files, logs of the daemons.
PLACE = "/run/world"

# The OCI runtimes the engines are told of. The reference runtimes are those that users have today.
RUNTIMES = {"onggi": RUNTIME, "crun": "/usr/bin/crun", "runc": "/usr/sbin/runc", "runsc": "/usr/bin/runsc"}

# Raising a hard limit needs CAP_SYS_RESOURCE, which the machines of the tests do not have: ask for what is there.
LIMITS = ["nofile=20000:20000", "nproc=32768:32768"]


# ---- outside: cgroups, and the way in --------------------------------------------------------------

def hierarchies():
    """Mounted cgroup v1 hierarchies: mount point -> its options, e.g. "cpu,cpuacct"."""
    found = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.split(" - ", 1)
            kind, _, options = right.split()[:3]
            if kind == "cgroup" and left.split()[4].startswith(CGROUPS + "/"):
                words = [w for w in options.split(",") if w not in ("rw", "ro") and not w.startswith("release_agent")]
                found[left.split()[4]] = ",".join(words)
    return found


def own_cgroups():
    """This process' folder in each v1 hierarchy, by mount point."""
    places = {}
    with open("/proc/self/cgroup") as f:
        lines = [line.rstrip("\n").split(":", 2) for line in f]
    for mount, options in hierarchies().items():
        for _, names, path in lines:
            if names and set(names.split(",")) <= set(options.split(",")):
                places[mount] = os.path.normpath(mount + "/" + path)
    return places


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def remove_cgroups(folders):
    for folder in folders:
        for top, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(top)
            except OSError:
                pass


def make_cgroups(name):
    """A cgroup @name below ours in each hierarchy; returns the folders."""
    folders = []
    for place in own_cgroups().values():
        for old in os.listdir(place):
            if old.startswith("engine-tests-") and not os.path.exists("/proc/" + old.rsplit("-", 1)[1]):
                remove_cgroups([os.path.join(place, old)])
        folder = os.path.join(place, name)
        os.mkdir(folder)
        folders.append(folder)
        for kept in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(os.path.join(folder, kept)):
                with open(os.path.join(place, kept)) as f:
                    write(os.path.join(folder, kept), f.read())
    return folders


def enter():
    """Run this program again in a world of its own; returns only inside. PID 1 there is catatonit."""
    if os.environ.get(MARK) == "1":
        setup()
        return
    folders = make_cgroups(f"engine-tests-{os.getpid()}")
    child = os.fork()
    if child == 0:
        for folder in folders:
            write(os.path.join(folder, "cgroup.procs"), str(os.getpid()))
        os.environ[MARK] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork",
                              "--kill-child", "--mount-proc", "--propagation", "private", "catatonit", "--",
                              "/usr/bin/python3", *[os.path.abspath(sys.argv[0]), *sys.argv[1:]]])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
    _, status = os.waitpid(child, 0)
    remove_cgroups(folders)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


# ---- inside: file systems, network, configuration --------------------------------------------------

def sh(*argv):
    subprocess.run(argv, check=True)


def mount_memory(path, mode="755"):
    os.makedirs(path, exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", path)


def private_etc():
    """A copy of /etc in memory, so that engines are configured where they look."""
    with tempfile.TemporaryDirectory(dir="/run") as copy:
        subprocess.run(["cp", "-a", "/etc/.", copy], check=True)
        mount_memory("/etc")
        subprocess.run(["cp", "-a", copy + "/.", "/etc"], check=True)
    for folder in ("containers", "cni", "docker", "onggi"):
        shutil.rmtree(os.path.join("/etc", folder), ignore_errors=True)
        os.makedirs(os.path.join("/etc", folder))
    write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    write("/etc/onggi/config.json", json.dumps({"accel": os.environ.get("ONGGI_TEST_ACCEL", "auto")}))


def private_cgroups():
    """The v1 hierarchies again, seen from our cgroup namespace, and no unified one beside them."""
    found = hierarchies()
    sh("umount", "-lR", "/sys")
    sh("mount", "-t", "sysfs", "sysfs", "/sys")
    if not found:
        sh("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
        return
    mount_memory(CGROUPS)
    for path, options in found.items():
        os.mkdir(path)
        sh("mount", "-t", "cgroup", "-o", options, "cgroup", path)
    sh("mount", "-o", "remount,ro", CGROUPS)


def setup():
    if os.path.isdir(PLACE):
        return
    mount_memory("/run")
    mount_memory("/dev/shm", "1777")
    for folder in (PLACE, "/run/lock", PLACE + "/tmp", PLACE + "/logs"):
        os.makedirs(folder)
    private_etc()
    private_cgroups()
    for folder in ("containers", "docker", "containerd", "cni"):
        mount_memory(os.path.join("/var/lib", folder), "711")
    sh("hostname", "onggi-engines")
    sh("ip", "link", "set", "lo", "up")
    write("/proc/sys/net/ipv4/ip_forward", "1")
    os.environ.update(TMPDIR=PLACE + "/tmp", PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C.UTF-8", HOME="/root")
    # What the caller's shell says about engines is not part of the tests.
    for name in [n for n in os.environ if n.startswith(("DOCKER_", "CONTAINER", "BUILDAH_", "COMPOSE_", "ONGGI_CONFIG"))]:
        del os.environ[name]


def log_file(name):
    return os.path.join(PLACE, "logs", name)
