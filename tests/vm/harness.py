# SPDX-License-Identifier: Apache-2.0
"""What the VM tests stand on: bundles, the runtime's command line, a private world, the leak check.

A test is a function registered with @claim("what must be true"). Every claim gets a Sandbox of its own
(state root, bundles) and ends with the leak check: processes, mounts, cgroups, sockets, network links and folders
must be what they were before. The runner (run.py) puts the whole suite into namespaces of its own, so that
nothing else on the machine can disturb that comparison, and nothing of ours can outlive it.
"""
import copy
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ONGGI_BUILD", os.path.join(TOP, "build"))
RUNTIME = os.path.join(BUILD, "onggi-runtime")
PROBE = os.path.join(BUILD, "tests", "probe")
IMAGES = os.path.join(BUILD, "images")

# Saved machines are kept from one claim to the next, as they are between containers. Not part of the leak check.
TEMPLATES = "/run/onggi-test-templates"

# A hang is a failure: no single command of a test may take longer, in seconds.
COMMAND_LIMIT = 300
# How long processes that were told to end may need for it before they count as leaked, in seconds.
SETTLE_LIMIT = 60
# The maker of a template ends by itself; on a busy machine, with another kernel or size of machine, it takes longer.
MAKER_LIMIT = 300

DEFAULT_CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID",
                "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_KILL", "CAP_SETFCAP"]

CLAIMS = []


def claim(text, slow=False):
    """Register a test. @text is what is claimed."""
    def register(function):
        CLAIMS.append((text, function, slow))
        return function
    return register


class Failure(AssertionError):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: got {got!r}, want {want!r}")


def check_in(needle, text, what):
    if needle not in text:
        raise Failure(f"{what}: {needle!r} is not in {text!r}")


def wait_until(condition, what, limit=120):
    """For what has no event to wait for from outside. Tests only. Longer than @limit is a hang."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise Failure(f"not within {limit} s: {what}")


# ---- the machine as it is, for comparison ---------------------------------------------------------

def processes():
    """pid -> command line of every process in this PID namespace but our own helpers."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as f:
                stat = f.read()
            if stat.rsplit(")", 1)[1].split()[0] in "ZX":
                continue
            with open(f"/proc/{name}/cmdline") as f:
                found[int(name)] = f.read().replace("\0", " ")[:120] or stat
        except OSError:
            pass
    found.pop(os.getpid(), None)
    return found


def mounts():
    with open("/proc/self/mountinfo") as f:
        return sorted(" ".join(line.split()[3:5] + line.split(" - ")[1].split()[:2]) for line in f)


def cgroups():
    """Those that bear our name: others on the machine come and go. Unit tests and engines that run meanwhile have names of theirs."""
    found = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, d) for d in folders if "onggi" in os.path.join(top, d)]
    return sorted(path for path in found if "onggi-test" not in path and "onggi-engines" not in path)


def sockets():
    with open("/proc/net/unix") as f:
        return sorted(line.split()[7] for line in f.readlines()[1:] if len(line.split()) > 7)


def links():
    return sorted(os.listdir("/sys/class/net"))


def tree(path):
    found = []
    for top, folders, files in os.walk(path):
        if top == "/run" and os.path.basename(TEMPLATES) in folders:
            folders.remove(os.path.basename(TEMPLATES))
        found += [os.path.join(top, name) for name in folders + files]
    return sorted(found)


def snapshot():
    return {
        "processes": processes(), "mounts": mounts(), "cgroups": cgroups(), "sockets": sockets(),
        "network links": links(), "folders": tree("/run") + tree("/dev/shm"),
        "descriptors of the tests": sorted(os.listdir("/proc/self/fd")),
    }


def reap():
    """The suite is the subreaper of what it starts: take the dead ones away."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def leaks(before):
    """What is there now and was not before (or the other way round): a list of texts, empty if none."""
    begin = time.monotonic()
    settled_by = begin + SETTLE_LIMIT
    while True:
        reap()
        now = snapshot()
        found = []
        for kind, old in before.items():
            if isinstance(old, dict):
                found += [f"{kind}: left over: {pid} {text}" for pid, text in now[kind].items() if pid not in old]
            elif old != now[kind]:
                found += [f"{kind}: left over: {x}" for x in now[kind] if x not in old]
                found += [f"{kind}: vanished: {x}" for x in old if x not in now[kind]]
                if len(old) != len(now[kind]) and not found:
                    found.append(f"{kind}: {len(old)} before, {len(now[kind])} now")
        making = any(" template-maker " in text or " onggi-template," in text for text in now["processes"].values())
        if making and time.monotonic() < begin + MAKER_LIMIT:
            settled_by = time.monotonic() + SETTLE_LIMIT
        if not found or time.monotonic() > settled_by:
            return found
        time.sleep(0.05)


# ---- bundles ------------------------------------------------------------------------------------

def base_config(args):
    """A specification like the one `runc spec` writes, without a terminal, root file system writable."""
    caps = list(DEFAULT_CAPS)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "onggi-test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def errors(self):
        return self.err.decode(errors="replace")

    def __repr__(self):
        return f"exit {self.code}, stdout {self.text[-600:]!r}, stderr {self.errors[-1200:]!r}"


class Sandbox:
    """One test's own state root, configuration and bundles, and short names for the commands."""

    def __init__(self, kernel="own"):
        self.dir = tempfile.mkdtemp(prefix="onggi-vm-", dir="/run")
        self.root = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "config.json")
        self.settings = {"accel": os.environ.get("ONGGI_TEST_ACCEL", "auto"), "template_dir": TEMPLATES,
                         "template": os.environ.get("ONGGI_TEST_TEMPLATE", "on")}
        self.write_config()
        self.env = dict(os.environ, ONGGI_CONFIG=self.config)
        self.count = 0
        self.started = []

    def write_config(self, **settings):
        self.settings.update(settings)
        with open(self.config, "w") as f:
            json.dump({k: v for k, v in self.settings.items() if v is not None}, f)

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        for name in self.containers():
            self.command("delete", "--force", name)
        shutil.rmtree(self.dir, ignore_errors=True)

    def containers(self):
        try:
            return sorted(os.listdir(os.path.join(self.root, "containers")))
        except OSError:
            return []

    def bundle(self, args, image="busybox", **changes):
        """A bundle with a copy of the image (a link to it for minbase); @changes: key path "a__b" -> value."""
        self.count += 1
        path = os.path.join(self.dir, f"bundle{self.count}")
        os.mkdir(path)
        if image == "busybox":
            subprocess.run(["cp", "-a", os.path.join(IMAGES, "busybox", "rootfs"), path], check=True)
            shutil.copy(PROBE, os.path.join(path, "rootfs", "bin", "probe"))
        config = base_config(args)
        if image == "minbase":
            config["root"] = {"path": os.path.join(IMAGES, "minbase", "rootfs"), "readonly": True}
        for key, value in changes.items():
            place = config
            *way, last = key.split("__")
            for step in way:
                place = place.setdefault(step, {})
            if callable(value):
                value = value(copy.deepcopy(place.get(last)))
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        self.save(path, config)
        return path

    @staticmethod
    def load(bundle):
        with open(os.path.join(bundle, "config.json")) as f:
            return json.load(f)

    @staticmethod
    def save(bundle, config):
        with open(os.path.join(bundle, "config.json"), "w") as f:
            json.dump(config, f)

    def argv(self, *args):
        return [RUNTIME, "--root", self.root, *args]

    def command(self, *args, stdin=b"", limit=COMMAND_LIMIT, **options):
        try:
            return Result(subprocess.run(self.argv(*args), input=stdin, capture_output=True, env=self.env,
                                         timeout=limit, **options))
        except subprocess.TimeoutExpired as e:
            raise Failure(f"'{' '.join(args)}' took over {limit} s; stdout {e.stdout!r}; stderr {e.stderr!r}; "
                          f"{self.diagnosis()}")

    def diagnosis(self):
        """Last lines of consoles and logs, for the message of a failure."""
        text = ""
        for top, _, files in os.walk(os.path.join(self.root, "sandboxes")):
            for name in files:
                if name.endswith(".log"):
                    with open(os.path.join(top, name), errors="replace") as f:
                        text += f"\n--- {name}:\n{f.read()[-1500:]}"
        return text

    def ok(self, *args, **options):
        result = self.command(*args, **options)
        if result.code != 0:
            raise Failure(f"'{' '.join(args)}' failed: {result!r}{self.diagnosis()}")
        return result

    def popen(self, *args, **options):
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        process = subprocess.Popen(self.argv(*args), env=self.env, **options)
        self.started.append(process)
        return process

    def run(self, args, name="c1", stdin=b"", limit=COMMAND_LIMIT, **changes):
        """`run` of a fresh bundle in the foreground."""
        return self.command("run", "--bundle", self.bundle(args, **changes), name, stdin=stdin, limit=limit)

    def run_ok(self, args, **options):
        result = self.run(args, **options)
        if result.code != 0:
            raise Failure(f"run of {args} failed: {result!r}{self.diagnosis()}")
        return result

    def create(self, args, name="c1", options=(), stdio=None, **changes):
        """`create` as an engine does it: stdio are files that stay, here <dir>/<name>.out and .err."""
        bundle = self.bundle(args, **changes)
        return self.create_bundle(bundle, name, options, stdio)

    def create_bundle(self, bundle, name="c1", options=(), stdio=None):
        pidfile = os.path.join(self.dir, f"{name}.pid")
        with open(os.path.join(self.dir, f"{name}.out"), "wb") as out, \
             open(os.path.join(self.dir, f"{name}.err"), "wb") as err:
            done = subprocess.run(
                self.argv("create", "--bundle", bundle, "--pid-file", pidfile, *options, name),
                stdin=stdio if stdio is not None else subprocess.DEVNULL, stdout=out, stderr=err, env=self.env,
                timeout=COMMAND_LIMIT)
        if done.returncode != 0:
            raise Failure(f"create failed: exit {done.returncode}: {self.errors_of(name)}{self.diagnosis()}")
        with open(pidfile) as f:
            return int(f.read())

    def start(self, args, name="c1", **options):
        pid = self.create(args, name, **options)
        self.ok("start", name)
        return pid

    def output_of(self, name="c1"):
        with open(os.path.join(self.dir, f"{name}.out"), errors="replace") as f:
            return f.read()

    def errors_of(self, name="c1"):
        with open(os.path.join(self.dir, f"{name}.err"), errors="replace") as f:
            return f.read()

    def state(self, name="c1"):
        return json.loads(self.ok("state", name).text)

    def status(self, name="c1"):
        return self.state(name)["status"]

    def wait_status(self, status, name="c1", limit=120):
        wait_until(lambda: self.status(name) == status, f"'{name}' is {status}", limit)

    def exit_of(self, pid, limit=120):
        """The exit code of a process that was left to us, the subreaper, as an engine computes it."""
        fd = os.pidfd_open(pid)
        try:
            import select
            if not select.select([fd], [], [], limit)[0]:
                raise Failure(f"process {pid} did not end within {limit} s{self.diagnosis()}")
        finally:
            os.close(fd)
        _, status = os.waitpid(pid, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def facts(self, name="c1", **changes):
        """What `probe facts` prints, as a dictionary."""
        return parse_facts(self.run_ok(["probe", "facts"], name=name, **changes).text)


def warm_up():
    """Make the saved machine that most claims start from, so that none finds the maker at work."""
    box = Sandbox()
    try:
        if box.settings["template"] == "on":
            box.ok("template", "create")
    finally:
        box.close()


def parse_facts(text):
    return dict(line.split(" ", 1) if " " in line else (line, "") for line in text.splitlines())


def caps_mask(names):
    order = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
             "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
             "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
             "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
             "PERFMON BPF CHECKPOINT_RESTORE").split()
    return f"{sum(1 << order.index(n.removeprefix('CAP_')) for n in names):016x}"


def kill_quietly(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass
