# SPDX-License-Identifier: Apache-2.0
"""The kill matrix: each process of a sandbox, killed with SIGKILL in each phase, then the leak check.

Phases: creating (create is under way), created, running, exec (an exec is running), deleting.
The agent is PID 1 of a guest that nobody outside can reach, and its kernel spares it every signal. So a second
container of the same VM, with the guest's PID namespace and CAP_SYS_PTRACE, overwrites the agent's program.
After the kill, `delete --force` must succeed, the engine must see an exit code that is not 0 from what was running, and
nothing may be left: the runner's own leak check after each claim sees to that.
"""
import os
import subprocess
import time

from harness import COMMAND_LIMIT, check, check_equal, check_in, claim, kill_quietly, processes, wait_until

VICTIMS = ("monitor", "vmm", "file server", "proxy", "agent")
PHASES = ("creating", "created", "running", "exec", "deleting")


def find(victim):
    """The pid of a sandbox's process by its command line; None if there is none (yet)."""
    marks = {"monitor": "sandbox-monitor", "vmm": "qemu-system", "file server": "virtiofsd"}
    for pid, text in sorted(processes().items()):
        if marks[victim] in text:
            return pid
    return None


class Assassin:
    """A container of its own VM, which others may join, that kills the agent when told to."""

    def __init__(self, box):
        self.box = box
        reader, self.trigger = os.pipe()
        spaces = [{"type": t} for t in ("network", "ipc", "uts", "mount", "cgroup")]
        try:
            self.proxy = box.create(["probe", "smash", "1"], name="assassin", stdio=reader, linux__namespaces=spaces,
                                    linux__maskedPaths=[], linux__readonlyPaths=[],
                                    process__capabilities={k: ["CAP_SYS_PTRACE"]
                                                           for k in ("bounding", "effective", "permitted")})
        finally:
            os.close(reader)
        box.ok("start", "assassin")
        wait_until(lambda: "ready" in box.output_of("assassin"), "the assassin is ready")

    def spaces(self):
        """The namespaces of a container that is to share the VM."""
        return [{"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")] + \
            [{"type": "network", "path": f"/proc/{self.proxy}/ns/net"}]

    def strike(self):
        os.write(self.trigger, b"\n")
        os.close(self.trigger)

    def check_done(self):
        """The guest's kernel must have seen its init die, or the strike was none; then clean up after it."""
        check(self.box.exit_of(self.proxy) != 0, "the assassin's exit code is 0")
        logs = self.box.diagnosis()
        check_in("Attempted to kill init", logs, "the guest's console")
        check_equal(self.box.command("delete", "--force", "assassin").code, 0, "delete of the assassin")


def strike(box, victim, proxy):
    pid = proxy if victim == "proxy" else find(victim)
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
            pid = wait_until(lambda: find(victim) or process.poll() is not None, f"a {victim}")
            pid = pid if pid is not True else None
        time.sleep(delay)
        if pid:
            kill_quietly(pid)
        code = process.wait(timeout=COMMAND_LIMIT)
        if code == 0 and victim != "proxy":
            # The kill came after the container was there: its state must say so.
            wait_until(lambda: box.status() in ("stopped", "created"), "a state")
        check_gone(box)


def agent_while_creating(box):
    """At some moment of it; and while hooks hold it up, of the host's side and of the guest's."""
    for delay in (0, 0.1):
        assassin = Assassin(box)
        process = box.popen("create", "-b", box.bundle(["sleep", "1000"], linux__namespaces=assassin.spaces()), "c1",
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        assassin.strike()
        process.wait(timeout=COMMAND_LIMIT)
        assassin.check_done()
        check_gone(box)
    for kind in ("prestart", "createContainer"):
        assassin = Assassin(box)
        marker = os.path.join(box.dir, f"{kind}.begun")
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {marker}; sleep 1"], "env": ["PATH=/usr/bin:/bin"]}
        process = box.popen("create", "-b", box.bundle(["sleep", "1000"], linux__namespaces=assassin.spaces(),
                                                       hooks={kind: [hook]}), "c1",
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(marker) or process.poll() is not None, f"a {kind} hook")
        check(os.path.exists(marker), "the create ended before its hook")
        assassin.strike()
        check(process.wait(timeout=COMMAND_LIMIT) != 0, f"create succeeds although the agent died in a {kind} hook")
        assassin.check_done()
        check_gone(box)


def agent_while_deleting(box):
    """Once with the agent dead when it is asked to remove the container, then ever later."""
    for delay in (0, 0.02, 0.1):
        assassin = Assassin(box)
        proxy = box.start(["sleep", "1000"], linux__namespaces=assassin.spaces())
        box.ok("kill", "c1", "KILL")
        check_equal(box.exit_of(proxy), 137, "exit code")
        deleting = box.popen("delete", "--force", "c1")
        time.sleep(delay)
        assassin.strike()
        check_equal(deleting.wait(timeout=COMMAND_LIMIT), 0, "exit code of the delete")
        assassin.check_done()
        check_gone(box)


def in_phase(box, victim, phase):
    assassin = Assassin(box) if victim == "agent" else None
    proxy = box.create(["sleep", "1000"], **({"linux__namespaces": assassin.spaces()} if assassin else {}))
    executing = None
    if phase != "created":
        box.ok("start", "c1")
    if phase == "exec":
        executing = box.popen("exec", "c1", "sh", "-c", "echo up; sleep 1000")
        check_equal(executing.stdout.readline(), b"up\n", "output of the exec")
    if phase == "deleting":
        target = proxy if victim == "proxy" else find(victim)
        deleting = box.popen("delete", "--force", "c1")
        kill_quietly(target)
        deleting.wait(timeout=COMMAND_LIMIT)
    elif assassin:
        assassin.strike()
    else:
        strike(box, victim, proxy)
    code = box.exit_of(proxy)
    check(code != 0, f"the engine sees exit code 0 after the {victim} was killed")
    if executing:
        check(executing.wait(timeout=120) != 0, "the exec's exit code is 0")
    if assassin:
        assassin.check_done()
    check_gone(box)


def function_for(victim, phase):
    if victim == "agent" and phase == "creating":
        return agent_while_creating
    if victim == "agent" and phase == "deleting":
        return agent_while_deleting
    if phase == "creating":
        return lambda box: while_creating(box, victim)
    return lambda box: in_phase(box, victim, phase)


@claim("why a VM was lost is told by the container's stderr, and afterwards by state, start and exec")
def reason_is_told(box):
    proxy = box.start(["sh", "-c", "echo before >&2; sleep 1000"])
    wait_until(lambda: "before" in box.errors_of(), "stderr")
    executing = box.popen("exec", "c1", "sh", "-c", "echo up; sleep 1000")
    check_equal(executing.stdout.readline(), b"up\n", "output of the exec")
    kill_quietly(find("vmm"))
    check_equal(box.exit_of(proxy), 137, "exit code")
    lines = box.errors_of().splitlines()
    check_equal((len(lines), lines[0]), (2, "before"), f"lines on stderr ({lines})")
    check_in("the virtual machine was lost: the VMM has ended (signal 9)", lines[1], "stderr")
    # In the foreground the command itself tells it, once.
    check_equal(executing.stderr.read().decode().count("was lost"), 1, "lines on the exec's stderr")
    check_equal(executing.wait(timeout=120), 137, "exit code of the exec")
    check_in("the VMM has ended (signal 9)", box.state()["lostReason"], "state")
    for words in (("start", "c1"), ("exec", "c1", "true")):
        check_in("its virtual machine was lost: the VMM has ended (signal 9)", box.command(*words).errors, f"{words}")
    box.ok("delete", "c1")


@claim("that a monitor was killed is told by state and start")
def monitor_is_told(box):
    proxy = box.create(["sleep", "1000"])
    kill_quietly(find("monitor"))
    check_equal(box.exit_of(proxy), 137, "exit code")
    check_equal(box.state()["lostReason"], "the sandbox monitor has ended", "state")
    check_in("the sandbox monitor has ended", box.command("start", "c1").errors, "start")
    box.ok("delete", "c1")


def register():
    for victim in VICTIMS:
        for phase in PHASES:
            claim(f"kill -9 of the {victim} while {phase} leaves nothing behind")(function_for(victim, phase))


register()
