# SPDX-License-Identifier: Apache-2.0
"""containerd: the daemon, the shim or the VMM is killed; the shim's own command line."""
import glob
import json
import os
import signal
import time

import ttrpc
from cases import COMMAND_LIMIT, case, run
from containerd import (IMAGE, OTHER_NAMESPACE, SHIM, SLEEPER, Containerd, Events, Tasks, bundle, children, remove,
                        remove_dead_sockets, status)
from harness import check, check_equal, check_in, kill_quietly, processes, wait_until

COUNTER = ("sh", "-c", "trap 'exit 5' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep .2 & wait $!; done")


@case("containerd", "containerd is killed and begins anew", runtimes=("onggi",))
def restart(t):
    t.ok("run", "-d", IMAGE, "lasting", *COUNTER)
    t.ok("-n", OTHER_NAMESPACE, "run", "-d", IMAGE, "ending", *SLEEPER)
    pid, ending = Containerd.pid("lasting"), Containerd.pid("ending", OTHER_NAMESPACE)
    Containerd.stop(signal.SIGKILL)
    # What ends while nobody is there to hear of it: its VMM does.
    for name, child in children(ending).items():
        if "qemu" in name:
            kill_quietly(child)
    Containerd.start_daemon()
    with t.line("the container runs on and is found"):
        check_equal((Containerd.pid("lasting"), status(t, "lasting")), (pid, "RUNNING"), "task")
    with t.line("exec, events and the end work over the new connection"):
        check_equal(t.out("task", "exec", "--exec-id", "x", "lasting", "echo", "alive"), "alive", "exec")
        with Events() as heard:
            # ctr is connected when it tells of what is done now.
            time.sleep(1)
            t.ok("task", "kill", "-s", "TERM", "lasting")
            # The other one's, which nobody has heard, comes too.
            ends = [heard.until("/tasks/exit")[-1][1] for _ in range(2)]
        check_equal({e["id"]: e["exit_status"] for e in ends}, {"lasting": 5, "ending": 137}, "events")
        remove(t, "lasting", 5)
    with t.line("what ended meanwhile is known"):
        wait_until(lambda: status(t, "ending", "-n", OTHER_NAMESPACE) == "STOPPED", "it has stopped")


STUBBORN = ("sh", "-c", "trap 'echo >/told' TERM; echo >/ready; while :; do sleep 1000 & wait $!; done")


def run_detached(t, *command):
    t.ok("run", "-d", IMAGE, "victim", *command)


def wait_for_file(t, path):
    wait_until(lambda: t.call("task", "exec", "--exec-id", "x", "victim", "test", "-e", path).code == 0, f"{path} is there")


# Each brings the container "victim" where something is to be killed.

def created(t):
    t.ok("container", "create", IMAGE, "victim", "sleep", "1000")
    mounts = [line.split() for line in run(["ctr", "snapshot", "mounts", "/rootfs", "victim"]).text.splitlines()]
    fields = [[(1, words[words.index("-t") + 1]), (2, words[-2]), *((4, o) for o in words[words.index("-o") + 1].split(","))]
              for words in mounts]
    with Tasks() as tasks:
        tasks.call("Create", (1, "victim"), *((3, mount) for mount in fields))
    check_equal(status(t, "victim"), "CREATED", "status")


def running(t):
    run_detached(t, "sleep", "1000")


def exec_runs(t):
    run_detached(t, "sleep", "1000")
    call = t.popen("task", "exec", "--exec-id", "x", "victim", "sh", "-c", "echo begun; sleep 1000")
    check_equal(call.stdout.readline(), b"begun\n", "output of the exec")
    return call


def paused(t):
    run_detached(t, "sleep", "1000")
    t.ok("task", "pause", "victim")


def stopping(t):
    run_detached(t, *STUBBORN)
    wait_for_file(t, "/ready")
    t.ok("task", "kill", "-s", "TERM", "victim")
    wait_for_file(t, "/told")


def part_of(t, part):
    """The pid of the shim, or with onggi of a child of it."""
    shim = Containerd.pid("victim") if t.ours else next(
        pid for pid, text in processes().items() if "containerd-shim-runc-v2" in text and "-id victim" in text)
    return shim if part == "shim" else next(p for text, p in children(shim).items() if part in text.split(" --")[0])


@case("containerd", "a part of the sandbox is killed")
def parts(t):
    for phase in (created, running, exec_runs, paused, stopping):
        for part in ("shim", "qemu-system", "virtiofsd") if t.ours else ("shim",):
            name = f"{part}, {phase.__name__.replace('_', ' ')}"
            with t.line(f"{name}: containerd hears of it, nothing is left, and the id can be used again"), Events() as heard:
                call = phase(t)
                kill_quietly(part_of(t, part))
                end = heard.until("/tasks/exit", id="victim")[-1][1]
                check_equal((end["container_id"], end["exit_status"]), ("victim", 137), "event")
                check("exited_at" in end, f"no time: {end}")
                if call:
                    check(call.wait(COMMAND_LIMIT) != 0, "the exec has ended well")
                wait_until(lambda: status(t, "victim") in (None, "STOPPED"), "it has ended")
                t.call("task", "rm", "-f", "victim")
                t.ok("container", "rm", "victim")
                left = glob.glob("/run/onggi/containerd/*/containers/*") + glob.glob("/run/onggi/containerd/*/sandboxes/*")
                check_equal(left, [], "state")
                check_equal(t.call("run", "--rm", IMAGE, "victim", "sh", "-c", "exit 7").code, 7, "exit code of the next")
    if not t.ours:
        remove_dead_sockets()


def shim(*args, cwd, flags=(), stdin=b"", **env):
    return run([SHIM, "-namespace", "by-hand", "-address", "/run/nowhere.sock", "-publish-binary", "/bin/false", *flags, *args],
               cwd=cwd, stdin=stdin, env=dict(os.environ, **env))


@case("containerd", "the shim's command line", runtimes=("onggi",))
def command_line(t):
    with t.line("-v and -info"):
        done = run([SHIM, "-v"])
        check_equal((done.code, done.errors), (0, ""), "-v")
        done = run([SHIM, "-info"])
        check_equal((done.code, done.errors), (0, ""), "-info")
        check_in("io.containerd.onggi.v2", done.text, "-info")
        check_equal(5 in ttrpc.decode(done.out), False, "annotations")
    with t.line("-info: asks for mounts when the configuration says so"):
        path = t.path("disks.json", json.dumps({"accel": "auto", "rootfs_disks": True}))
        done = run([SHIM, "-info"], stdin=ttrpc.encode([(1, "runtimeoptions.v1.Options"), (2, [(2, path)])]))
        check_equal((done.code, done.errors), (0, ""), "-info")
        check_equal(ttrpc.decode(ttrpc.decode(done.out)[5][0]),
                    {1: [b"containerd.io/runtime-allow-mounts"], 2: [b"erofs,format/overlay,format/mkdir/overlay"]}, "annotation")
        done = run([SHIM, "-info"], env=dict(os.environ, ONGGI_CONFIG=t.path("no.json")))
        check_equal(done.code, 1, "exit code without its configuration")
        check_in("no.json", done.errors, "reason")
    with t.line("start: an address and nothing else, at once valid; delete: idempotent, below five seconds"):
        place = bundle(t)
        done = shim("-id", "hand", "start", cwd=place)
        check_equal((done.code, done.errors), (0, ""), f"start ({done!r})")
        check(done.text.startswith("unix:///run/onggi/containerd/") and len(done.text) < 106 + len("unix://"), done.text)
        with open(os.path.join(place, "address")) as f:
            check_equal(f.read(), done.text, "file 'address'")
        check(os.path.exists(done.text[len("unix://"):]), "no socket")
        for _ in range(3):
            begin = time.monotonic()
            done = shim("-id", "hand", "delete", cwd=place, flags=("-bundle", place))
            check_equal((done.code, done.errors), (0, ""), f"delete ({done!r})")
            check(time.monotonic() - begin < 5, "delete took too long")
        # exit_status, field 2, is 137
        check(b"\x10\x89\x01" in done.out, f"answer {done.out!r}")
    with t.line("a start that fails says why, and leaves nothing"):
        place = bundle(t, linux={"namespaces": [{"type": "mount"}, {"type": "uts"}]})
        done = shim("-id", "hand", "start", cwd=place)
        check_equal(done.code, 1, "exit code")
        check_in("host networking is not supported", done.errors, "reason")
    with t.line("options: a configuration that is missing is named"):
        path = b"/run/world/no.json"
        options = b"\x12" + bytes([len(path)]) + path
        kind = b"runtimeoptions.v1.Options"
        done = shim("-id", "hand", "start", cwd=bundle(t),
                    stdin=b"\x0a" + bytes([len(kind)]) + kind + b"\x12" + bytes([len(options)]) + options)
        check_equal(done.code, 1, "exit code")
        check_in("/run/world/no.json", done.errors, "reason")
    with t.line("two starts for one network namespace have one address"):
        run(["ip", "netns", "add", "pod"])
        spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")] + [{"type": "network", "path": "/run/netns/pod"}]
        place = bundle(t, linux={"namespaces": spaces})
        first, second = (shim("-id", name, "start", cwd=place) for name in ("first", "second"))
        for name in ("first", "second"):
            shim("-id", name, "delete", cwd=place, flags=("-bundle", place))
        run(["ip", "netns", "del", "pod"])
        run(["umount", "/run/netns"])
        check_equal((first.code, second.code), (0, 0), f"exit codes ({first!r}, {second!r})")
        check_equal(first.text, second.text, "addresses")
    with t.line("what it does not know is refused"):
        for args in (("-id", "x", "nonsense"), ("-nonsense",), ("-id", "../x", "start"), ()):
            done = shim(*args, cwd="/")
            check_equal((done.code, done.text), (1, ""), f"{args}")
