# SPDX-License-Identifier: Apache-2.0
"""The kill matrix: each process of a sandbox, killed with SIGKILL in each phase, then the leak check.

Phases: creating (create is under way), created, running, exec (an exec is running), deleting.
After the kill, `delete --force` must succeed, the engine must see an exit code that is not 0 from what was running, and
nothing may be left: the runner's own leak check after each claim sees to that.
"""
import os
import subprocess
import time

from harness import COMMAND_LIMIT, check, check_equal, claim, kill_quietly, processes, wait_until

VICTIMS = ("monitor", "vmm", "file server", "proxy", "agent")
PHASES = ("creating", "created", "running", "exec", "deleting")


def find(box, victim):
    """The pid of a sandbox's process by its command line; None if there is none (yet)."""
    marks = {"monitor": "sandbox-monitor", "vmm": "qemu-system", "file server": "virtiofsd"}
    for pid, text in sorted(processes().items()):
        if marks[victim] in text:
            return pid
    return None


def strike(box, victim, proxy):
    if victim == "agent":
        # From outside, the agent dies with its kernel: the guest is reset from within by a privileged exec.
        box.command("exec", "--cap", "CAP_SYS_BOOT", "c1", "reboot", "-f", limit=30)
        return
    pid = proxy if victim == "proxy" else find(box, victim)
    check(pid, f"no {victim} to kill")
    kill_quietly(pid)


def check_gone(box):
    result = box.command("delete", "--force", "c1")
    check_equal(result.code, 0, f"delete --force ({result!r})")
    check_equal(box.containers(), [], "containers")
    sandboxes = os.path.join(box.root, "sandboxes")
    check_equal(os.listdir(sandboxes) if os.path.isdir(sandboxes) else [], [], "sandboxes")


def while_creating(box, victim):
    for delay in (0.05, 0.4, 1.0):
        process = box.popen("create", "-b", box.bundle(["sleep", "1000"]), "c1", stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if victim == "proxy":
            pid = wait_until(lambda: next((p for p, t in processes().items() if "create" in t and p != process.pid), None)
                             or process.poll() is not None, "a proxy")
            pid = pid if pid is not True else None
        else:
            pid = wait_until(lambda: find(box, victim) or process.poll() is not None, f"a {victim}")
            pid = pid if pid is not True else None
        time.sleep(delay)
        if pid:
            kill_quietly(pid)
        code = process.wait(timeout=COMMAND_LIMIT)
        if code == 0 and victim != "proxy":
            # The kill came after the container was there: its state must say so.
            wait_until(lambda: box.status() in ("stopped", "created"), "a state")
        check_gone(box)


def in_phase(box, victim, phase):
    proxy = box.create(["sleep", "1000"])
    executing = None
    if phase != "created":
        box.ok("start", "c1")
    if phase == "exec":
        executing = box.popen("exec", "c1", "sh", "-c", "echo up; sleep 1000")
        check_equal(executing.stdout.readline(), b"up\n", "output of the exec")
    if phase == "deleting":
        target = proxy if victim == "proxy" else find(box, victim) if victim != "agent" else None
        deleting = box.popen("delete", "--force", "c1")
        if target:
            kill_quietly(target)
        deleting.wait(timeout=COMMAND_LIMIT)
    else:
        strike(box, victim, proxy)
    code = box.exit_of(proxy)
    check(code != 0, f"the engine sees exit code 0 after the {victim} was killed")
    if executing:
        check(executing.wait(timeout=30) != 0, "the exec's exit code is 0")
    check_gone(box)


def register():
    for victim in VICTIMS:
        for phase in PHASES:
            if victim == "agent" and phase in ("creating", "created", "deleting"):
                continue  # nobody outside can reach it: QEMU's death is the same event for the monitor
            function = (lambda box, v=victim: while_creating(box, v)) if phase == "creating" else \
                (lambda box, v=victim, p=phase: in_phase(box, v, p))
            claim(f"kill -9 of the {victim} while {phase} leaves nothing behind")(function)


register()
