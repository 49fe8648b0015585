# SPDX-License-Identifier: Apache-2.0
"""containerd: limits and their figures, running out of memory, options, and what ctr never asks a shim for."""
import os

import ttrpc
import world
from cases import case, run
from containerd import IMAGE, SLEEPER, Containerd, Events, remove, status
from harness import Failure, check, check_equal, check_in, wait_until
from shim import Shim

MIB = 1 << 20
EAT = ("sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done")


@case("containerd", "limits and their figures")
def limits(t):
    t.ok("run", "-d", "--memory-limit", str(64 * MIB), "--cpus", "0.5", "--cpu-shares", "512", "--mount",
         "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev", IMAGE, "limited", *SLEEPER)
    with t.line("metrics name the memory limit and what is in use"):
        figures = {}
        for line in t.out("task", "metrics", "limited").splitlines():
            words = line.split()
            if len(words) == 2:
                figures[words[0]] = words[1]
        check_in(str(64 * MIB), list(figures.values()), f"limit in {figures}")
        used = int(figures["memory.usage" if t.ours else "memory.usage_in_bytes"])
        check(0 < used < 64 * MIB, f"in use: {used}")
    with t.line("the limits hold inside"):
        if t.ours:
            text = t.out("task", "exec", "--exec-id", "x", "limited", "cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max")
            check_equal(text.split(), [str(64 * MIB), "50000", "100000"], "memory.max and cpu.max")
        else:
            text = t.out("task", "exec", "--exec-id", "x", "limited", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                         "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
            check_equal(text.split(), [str(64 * MIB), "50000"], "limit and quota")
    t.ok("task", "kill", "-s", "KILL", "limited")
    remove(t, "limited", 137)


@case("containerd", "out of memory")
def oom(t):
    with Events() as heard, t.line("it is told, and the container's code is 137"):
        t.ok("run", "-d", "--memory-limit", str(32 * MIB), IMAGE, "eater", *EAT)
        found = heard.until("/tasks/oom")
        check_equal(found[-1][1]["container_id"], "eater", "whose")
        topics = [topic for topic, _ in found]
        if "/tasks/exit" not in topics:
            found = heard.until("/tasks/exit")
        # With runc either of the two may be the first.
        check(not t.ours or "/tasks/exit" not in topics, f"order: {topics}")
        check_equal(next(f for topic, f in found if topic == "/tasks/exit")["exit_status"], 137, "exit")
    wait_until(lambda: status(t, "eater") == "STOPPED", "it has stopped")
    t.call("task", "rm", "eater")
    t.ok("container", "rm", "eater")


@case("containerd", "a configuration by the runtime's options", runtimes=("onggi",))
def options(t):
    with t.line("it is read: another size of the machine"):
        path = t.path("large.json", '{"accel": "auto", "memory_mib": 700, "template": "off"}')
        text = t.out("run", "--rm", "--runtime-config-path", path, IMAGE, "large", "head", "-n", "1", "/proc/meminfo")
        check(int(text.split()[1]) > 500 * 1024, text)
        text = t.out("run", "--rm", IMAGE, "usual", "head", "-n", "1", "/proc/meminfo")
        check(int(text.split()[1]) < 500 * 1024, text)
    with t.line("what is wrong with it is said"):
        path = t.path("wrong.json", '{"accel": "auto", "memory_gib": 700}')
        done = t.call("run", "--rm", "--runtime-config-path", path, IMAGE, "wrong", "true")
        check(done.code != 0, "it runs")
        check_in("memory_gib", done.errors, "reason")
        t.call("container", "rm", "wrong")


@case("containerd", "a terminal whose size changes")
def resize(t):
    terminal = t.terminal("run", "-t", "--rm", IMAGE, "sized", "sh", "-c",
                          "trap 'stty size' WINCH; echo ready; while :; do read line && exit $line; done", columns=80, rows=24)
    with t.line("the new size arrives, with a signal"):
        terminal.expect("ready")
        # ctr reads the size once when the task has started and listens for changes after that: one between is lost.
        for columns in range(101, 131):
            terminal.resize(columns, 41)
            try:
                terminal.expect(f"41 {columns}", 3)
                break
            except Failure:
                pass
        else:
            raise Failure(f"no new size: {terminal.text!r}")
    with t.line("input still works"):
        terminal.type("6\n")
        check_equal(terminal.code(), 6, "exit code")


@case("containerd", "a shim by hand: input that is closed")
def close_input(t):
    with Shim(t, "closing", ("sh", "-c", "wc -c; exit 4")) as s:
        end, other = (os.open(s.fifo(i), os.O_RDONLY | os.O_NONBLOCK) for i in (1, 2))
        s.fifo(0)
        s.create()
        s.start()
        with t.line("CloseIO is the end of input that was written before"):
            with open(s.paths[0], "wb") as f:
                f.write(b"three")
            s.call("CloseIO", (3, 1))
            check_equal(s.wait(), 4, "exit code")
            check_equal(os.read(end, 100).strip(), b"5", "output")
        os.close(end)
        os.close(other)
        with t.line("Delete tells the code, and the shim ends"):
            check_equal(s.delete(), 4, "exit code")


def memory_limit(s):
    kind, metrics = s.stats()
    memory = ttrpc.decode(metrics[4][0])
    if kind == "io.containerd.cgroups.v2.Metrics":
        return memory[33][0]
    check_equal(kind, "io.containerd.cgroups.v1.Metrics", "type of the figures")
    return ttrpc.decode(memory[33][0])[1][0]


@case("containerd", "a shim by hand: update, figures, pids, errors")
def update(t):
    def limit(config):
        config["linux"]["resources"] = {"memory": {"limit": 96 * MIB}}

    with Shim(t, "updated", ("sleep", "1000"), edit=limit) as s:
        s.create()
        with t.line("State knows it before its start"):
            check_equal(s.status(), "CREATED", "status")
        s.start()
        check_equal(s.status(), "RUNNING", "status")
        with t.line("Stats: the limit, as it is and as Update makes it"):
            check_equal(memory_limit(s), 96 * MIB, "at the start")
            s.update({"memory": {"limit": 128 * MIB}, "cpu": {"quota": 30000, "period": 100000}, "pids": {"limit": 55}})
            check_equal(memory_limit(s), 128 * MIB, "afterwards")
            kind, metrics = s.stats()
            pids = ttrpc.decode(metrics[1 if kind.endswith("v2.Metrics") else 2][0])
            check_equal((pids[1][0] > 0, pids[2][0]), (True, 55), f"pids {pids}")
        with t.line("Pids has the pid of State and Connect"):
            pid = s.call("State")[3][0]
            check_in(pid, s.pids(), "Pids")
            check_equal(s.call("Connect")[2][0], pid, "Connect")
        with t.line("Pause is seen by State, and undone by Resume"):
            s.call("Pause")
            check_equal(s.status(), "PAUSED", "status")
            s.call("Resume")
            check_equal(s.status(), "RUNNING", "status")
        for what, code, method, fields in (
                ("a process that is not there", "NOT_FOUND", "Kill", [(2, "nobody"), (3, 9)]),
                ("an id that is taken", "ALREADY_EXISTS", "Create", [(2, s.place)]),
                ("a method that is not there", "UNIMPLEMENTED", "Nonsense", [])):
            with t.line(f"{what}: {code}"):
                try:
                    s.call(method, *fields)
                    check(False, "it is no error")
                except ttrpc.Refused as e:
                    # runc's shim has no code of its own for the second.
                    check(e.code == code or (not t.ours and code == "ALREADY_EXISTS"), str(e))
        with t.line("Wait, which is asked before the end, hears of it"):
            waiting = s.send("Wait")
            s.kill()
            check_equal(s.client.answer(waiting)[1][0], 137, "exit code")
            check_equal(s.status(), "STOPPED", "status")
        check_equal(s.delete(), 137, "exit code of Delete")


@case("containerd", "the example of docs/ttrpc.md asks a real shim")
def example(t):
    t.ok("run", "-d", IMAGE, "asked", *SLEEPER)
    with t.line("it tells the pids"):
        with open(os.path.join(Containerd.bundle("asked"), "address")) as f:
            address = f.read().strip()
        done = run([os.path.join(world.BUILD, "examples", "ttrpc_client"), address[len("unix://"):], "asked"])
        check_equal((done.code, done.errors), (0, ""), "exit code and errors")
        words = done.text.split()
        check_equal(words[:1] + words[2:4], ["shim", "task", str(Containerd.pid("asked"))], done.text)
        check(os.path.exists(f"/proc/{words[1]}"), f"no process {words[1]}")
    t.ok("task", "kill", "-s", "KILL", "asked")
    remove(t, "asked", 137)
