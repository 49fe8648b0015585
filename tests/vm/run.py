#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the VM tests: run.py [--list] [--only TEXT] [--repeat N] [--summary FILE] [FILE.py ...]

Everything runs in new PID, mount, network, IPC, UTS and cgroup namespaces, with tmpfs on /run and /dev/shm and cgroups of its own:
what a test leaves can be seen, and ends with the suite. Prints one "ok" or "not ok" line for each claim and closes with "N passed, N failed".
"""
import ctypes
import glob
import importlib.util
import os
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1


def own_cgroups():
    """Mount point, mount options and cgroup of this process in each hierarchy (version 1 and hybrid, or version 2)."""
    mounted = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.split(" - ")
            kind, _, options = right.split()[:3]
            where = left.split()[4]
            if kind in ("cgroup", "cgroup2") and where.startswith("/sys/fs/cgroup"):
                mounted[where] = (kind, set(options.split(",")))
    found = []
    with open("/proc/self/cgroup") as f:
        for line in f:
            _, names, path = line.rstrip("\n").split(":", 2)
            for where, (kind, options) in mounted.items():
                if kind == "cgroup2" if not names else kind == "cgroup" and set(names.split(",")) <= options:
                    found.append((where, "" if not names else f"none,{names}" if "=" in names else names, path))
                    break
    return found


def make_cgroups(name):
    """A cgroup @name below our own in each hierarchy, with this process in it."""
    for where, names, path in own_cgroups():
        folder = os.path.join(where, path.lstrip("/"), name)
        os.mkdir(folder)
        for file in ("cpuset.cpus", "cpuset.mems") if names == "cpuset" else ():
            with open(os.path.join(os.path.dirname(folder), file)) as f, open(os.path.join(folder, file), "w") as out:
                out.write(f.read())
        with open(os.path.join(folder, "cgroup.procs"), "w") as f:
            f.write("0")


def remove_cgroups(before):
    for where, _, path in before:
        with open(os.path.join(where, path.lstrip("/"), "cgroup.procs"), "w") as f:
            f.write("0")
        for top, _, _ in os.walk(os.path.join(where, path.lstrip("/"), SUITE), topdown=False):
            try:
                os.rmdir(top)
            except OSError as e:
                print(f"cgroup {top} is left: {e}", file=sys.stderr)


SUITE = f"onggi-test-suite-{os.getpid()}"


def enter_private_world():
    """Run this program again as PID 1's child in namespaces of its own."""
    if os.environ.get("ONGGI_TEST_WORLD") == "1":
        return
    hierarchies = own_cgroups()
    mounts = "umount -lR /sys/fs/cgroup && mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup"
    for where, names, _ in hierarchies:
        kind = f"cgroup -o {names}" if names else "cgroup2"
        mounts += f" && mkdir -p {where} && mount -t {kind} cgroup {where}"
    script = ("mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/mount && "
              "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && ip link set lo up && "
              + (mounts + " && " if hierarchies else "") + "ONGGI_TEST_WORLD=1 \"$@\"")
    argv = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child",
            "--mount-proc", "--propagation", "private", "sh", "-c", script, "sh",
            "/usr/bin/python3", os.path.abspath(__file__), *sys.argv[1:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = 1
    try:
        make_cgroups(SUITE)
        # The world must not outlive us: who kills us does not know of it.
        with subprocess.Popen(argv, preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 9)) as world:
            try:
                code = world.wait()
            finally:
                world.kill()
    finally:
        remove_cgroups(hierarchies)
    sys.exit(code)


def load(paths):
    for path in paths:
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def run_one(harness, number, text, function):
    """Returns whether the claim held."""
    before = harness.snapshot()
    begin = time.monotonic()
    problems = []
    box = harness.Sandbox()
    try:
        function(box)
    except harness.Failure as e:
        where = traceback.extract_tb(e.__traceback__)
        line = next((f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(where)
                     if not f.filename.endswith("harness.py")), "?")
        problems.append(f"{line}: {e}")
    except Exception:
        problems.append(traceback.format_exc())
    if problems:
        problems.append(box.diagnosis())
    try:
        box.close()
    except Exception:
        problems.append("cleaning up: " + traceback.format_exc())
    left = harness.leaks(before)
    problems += [f"leak: {x}" for x in left]
    for pid in set(harness.processes()) - set(before["processes"]):
        harness.kill_quietly(pid)  # so that the next claim starts from nothing
    harness.reap()
    print(f"{'not ok' if problems else 'ok'} {number} - {text} ({time.monotonic() - begin:.1f} s)", flush=True)
    for problem in problems:
        print("    " + problem.strip().replace("\n", "\n    "), flush=True)
    return not problems


def main():
    enter_private_world()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    import harness
    args, files, only, repeat, summary = sys.argv[1:], [], "", 1, None
    while args:
        word = args.pop(0)
        if word == "--only":
            only = args.pop(0)
        elif word == "--repeat":
            repeat = int(args.pop(0))
        elif word == "--summary":
            summary = args.pop(0)
        elif word == "--list":
            only = None
        else:
            files.append(os.path.abspath(word))
    load(files or sorted(glob.glob(os.path.join(HERE, "test_*.py"))))
    if only is None:
        print("\n".join(text for text, _, _ in harness.CLAIMS))
        return 0
    harness.warm_up()
    passed = failed = 0
    chosen = [c for c in harness.CLAIMS if only in c[0]] * repeat
    for number, (text, function, _) in enumerate(chosen, 1):
        if run_one(harness, number, text, function):
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed", flush=True)
    if summary:
        with open(summary, "w") as f:
            f.write(f"{passed} {failed}\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
