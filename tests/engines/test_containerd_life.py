# SPDX-License-Identifier: Apache-2.0
"""containerd: the life of a task, step by step, and the events of it."""
import os

from cases import case
from containerd import IMAGE, SLEEPER, Containerd, Events, remove, status
from harness import check, check_equal, check_in, wait_until


@case("containerd", "a task's life")
def life(t):
    t.ok("run", "-d", IMAGE, "life", *SLEEPER)
    with t.line("it runs and has a pid of the host"):
        check_equal(status(t, "life"), "RUNNING", "status")
        check(os.path.exists(f"/proc/{Containerd.pid('life')}"), "no such process")
    if t.ours:
        with t.line("its root is mounted for its monitor, and nobody else sees that"):
            seen = {}
            for who, pid in (("monitor", Containerd.pid("life")), ("containerd", Containerd.daemon.pid), ("host", "self")):
                with open(f"/proc/{pid}/mountinfo") as f:
                    seen[who] = Containerd.bundle("life") + "/rootfs" in f.read()
            check_equal(seen, {"monitor": True, "containerd": False, "host": False}, "who sees it")
    with t.line("exec: output, exit code, standard input"):
        done = t.call("task", "exec", "--exec-id", "e1", "life", "sh", "-c", "cat; echo bad >&2; exit 3", stdin=b"hello\n")
        check_equal((done.code, done.text, done.errors), (3, "hello\n", "bad\n"), "exec")
    with t.line("exec of a command that does not exist"):
        done = t.call("task", "exec", "--exec-id", "e2", "life", "/no/such/command")
        check(done.code != 0, "it has ended well")
    with t.line("exec at a terminal"):
        terminal = t.terminal("task", "exec", "-t", "--exec-id", "e3", "life", "sh", columns=77, rows=21)
        terminal.type("sleep 1; stty size; exit 9\n")
        terminal.expect("21 77")
        check_equal(terminal.code(), 9, "exit code")
    with t.line("its processes"):
        check_in(str(Containerd.pid("life")), t.out("task", "ps", "life"), "pids")
    if t.ours:
        with t.line("metrics are those of the container"):
            text = t.out("task", "metrics", "life")
            for word in ("memory.usage", "pids.current", "cpu.usage_usec"):
                check_in(word, text, "metrics")
    with t.line("pause and resume"):
        t.ok("task", "pause", "life")
        check_equal(status(t, "life"), "PAUSED", "status")
        t.ok("task", "resume", "life")
        check_equal(status(t, "life"), "RUNNING", "status")
    with t.line("a signal is handled, its exit code is told"):
        t.ok("task", "kill", "-s", "TERM", "life")
        remove(t, "life", 5)


@case("containerd", "kill -9 and restart of an id")
def kill(t):
    t.ok("run", "-d", IMAGE, "again", *SLEEPER)
    t.ok("task", "kill", "-s", "KILL", "again")
    remove(t, "again", 137)
    with t.line("the id can be used again"):
        check_equal(t.out("run", "--rm", IMAGE, "again", "echo", "here"), "here", "output")
    with t.line("a container can be started again"):
        t.ok("container", "create", IMAGE, "twice", "echo", "run")
        for _ in range(2):
            check_equal(t.out("task", "start", "twice"), "run", "output")
            t.call("task", "rm", "twice")
        t.ok("container", "rm", "twice")


@case("containerd", "a terminal")
def tty(t):
    with t.line("size, input and exit code"):
        terminal = t.terminal("run", "-t", "--rm", IMAGE, "tty", "sh", columns=91, rows=31)
        terminal.type("sleep 1; stty size; exit 4\n")
        terminal.expect("31 91")
        check_equal(terminal.code(), 4, "exit code")


def topics(events):
    return [topic for topic, _ in events if topic.startswith("/tasks/")]


@case("containerd", "events")
def events(t):
    with Events() as heard:
        t.ok("run", "-d", IMAGE, "told", *SLEEPER)
        t.call("task", "exec", "--exec-id", "e1", "told", "sh", "-c", "exit 3")
        exec_end = heard.until("/tasks/exit")
        t.ok("task", "pause", "told")
        t.ok("task", "resume", "told")
        t.ok("task", "kill", "-s", "TERM", "told")
        end = heard.until("/tasks/exit")
        t.call("task", "rm", "told")
        rest = heard.until("/tasks/delete")
    t.ok("container", "rm", "told")
    found = exec_end + end + rest
    with t.line("their order"):
        check_equal(topics(found), ["/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit",
                                    "/tasks/paused", "/tasks/resumed", "/tasks/exit", "/tasks/delete"], "topics")
    with t.line("what they tell"):
        create, start, _, _, exit_, *_, end_, delete = [fields for topic, fields in found if topic.startswith("/tasks/")]
        check_equal((exit_["id"], exit_["exit_status"]), ("e1", 3), "exit of the exec")
        check_equal((end_["id"], end_["exit_status"]), ("told", 5), "exit of init")
        check_equal((delete["container_id"], delete["exit_status"]), ("told", 5), "delete")
        check_equal({create["pid"], start["pid"], end_["pid"], delete["pid"]}, {create["pid"]}, "pids")
        check(len(create["rootfs"]) > 0, f"no rootfs in {create}")


@case("containerd", "events of a container that ends with execs in it")
def events_of_execs(t):
    with Events() as heard:
        t.ok("run", "-d", IMAGE, "many", *SLEEPER)
        for name in ("a", "b"):
            t.ok("task", "exec", "-d", "--exec-id", name, "many", "sleep", "1000")
        t.ok("task", "kill", "-s", "KILL", "many")
        found = heard.until("/tasks/exit") + heard.until("/tasks/exit") + heard.until("/tasks/exit")
        wait_until(lambda: status(t, "many") == "STOPPED", "it has stopped")
        for name in ("a", "b"):
            t.call("task", "delete", "--exec-id", name, "many")
        t.call("task", "rm", "many")
    t.ok("container", "rm", "many")
    with t.line("init's exit is the last"):
        ids = [fields["id"] for topic, fields in found if topic == "/tasks/exit"]
        check_equal((sorted(ids[:2]), ids[2]), (["a", "b"], "many"), "ids in their order")


@case("containerd", "two namespaces")
def namespaces(t):
    for namespace in ("default", "other"):
        t.ok("-n", namespace, "run", "-d", IMAGE, "same", *SLEEPER)
    with t.line("the same id in both, and each has its own"):
        check(Containerd.pid("same") != Containerd.pid("same", "other"), "one pid for both")
        t.ok("-n", "other", "task", "kill", "-s", "KILL", "same")
        wait_until(lambda: status(t, "same", "-n", "other") == "STOPPED", "one has stopped")
        check_equal(status(t, "same"), "RUNNING", "the other one")
        check_equal(t.out("task", "exec", "--exec-id", "x", "same", "echo", "alive"), "alive", "exec")


@case("containerd", "twenty at once")
def many(t):
    with t.line("all print and end as they should"):
        count = 20
        started = [t.popen("run", "--rm", IMAGE, f"n{i}", "sh", "-c", f"echo {i}; exit {i}") for i in range(count)]
        for i, process in enumerate(started):
            out, errors = process.communicate(timeout=300)
            check_equal((process.returncode, out), (i, f"{i}\n".encode()), f"container {i} ({errors!r})")
