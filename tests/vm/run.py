#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the VM tests: run.py [--list] [--only TEXT] [--summary FILE] [FILE.py ...]

Everything runs in new PID, mount, network, IPC and UTS namespaces, with tmpfs on /run: what a test leaves can be
seen, and ends with the suite. Prints one "ok" or "not ok" line for each claim and closes with "N passed, N failed".
"""
import ctypes
import glob
import importlib.util
import os
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
PR_SET_CHILD_SUBREAPER = 36


def enter_private_world():
    """Run this program again as PID 1's child in namespaces of its own."""
    if os.environ.get("ONGGI_TEST_WORLD") == "1":
        return
    script = ("mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/mount && ip link set lo up && "
              "ONGGI_TEST_WORLD=1 \"$@\"")
    os.execvp("unshare", ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
                          "--mount-proc", "--propagation", "private", "sh", "-c", script, "sh",
                          "/usr/bin/python3", os.path.abspath(__file__), *sys.argv[1:]])


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
    args, files, only, summary = sys.argv[1:], [], "", None
    while args:
        word = args.pop(0)
        if word == "--only":
            only = args.pop(0)
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
    chosen = [c for c in harness.CLAIMS if only in c[0]]
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
