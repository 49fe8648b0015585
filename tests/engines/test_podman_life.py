# SPDX-License-Identifier: Apache-2.0
"""podman: the life of a container in the background, and what can be asked about it."""
import json
import os
import re
import time

import world
from cases import case, run
from harness import check, check_equal, check_in, processes, wait_until
from podman import IMAGE
from program import follows_our_size

DETACHED = ("run", "-d", "--network", "none")
# Ends at once when it is told to.
SERVICE = ("sh", "-c", "trap 'echo stopping; exit 7' TERM; echo ready; while :; do sleep 0.1 & wait $!; done")


def status(t, name):
    return t.out("inspect", "-f", "{{.State.Status}}", name)


def ready(t, name):
    wait_until(lambda: "ready" in t.call("logs", name).text, f"'{name}' says that it is ready")


@case("podman", "a service from run to rm")
def service(t):
    name = t.out(*DETACHED, "--name", "service", "--label", "shelf=top", IMAGE, *SERVICE)
    ready(t, "service")
    with t.line("run -d prints the id, inspect has it"):
        found = json.loads(t.out("inspect", "service"))[0]
        check_equal((found["Id"], found["State"]["Status"], found["OCIRuntime"]), (name, "running", t.runtime), "inspect")
        check(os.path.exists(f"/proc/{found['State']['Pid']}"), "the pid is not alive")
    with t.line("a second --name is refused"):
        done = t.call(*DETACHED, "--name", "service", IMAGE, "true")
        check_equal(done.code, 125, f"exit code with {done.errors!r}")
    with t.line("ps with filters"):
        def listed(*filters):
            words = [w for f in filters for w in ("--filter", f)]
            return t.out("ps", "-a", "--format", "{{.Names}}", *words).split()
        check_equal(listed("name=serv", "status=running", "label=shelf=top"), ["service"], "all that fit")
        check_equal(listed("label=shelf=low") + listed("status=exited"), [], "what does not fit")
    with t.line("top shows the container's processes"):
        text = t.out("top", "service")
        check_in("trap", text, "the first process")
        # Of a VM podman sees the process that stands for the container; `podman exec … ps` sees them all.
        check_equal(re.search(r"sleep 0.1\s*$", text) is not None, not t.ours, f"all the processes: {text}")
        check(len(text.split("\n")) <= 3, f"processes of others: {text}")
    with t.line("pause and unpause"):
        t.ok("pause", "service")
        check_equal(status(t, "service"), "paused", "status")
        check(t.call("exec", "service", "true").code != 0, "exec works in a paused container")
        t.ok("unpause", "service")
        check_equal(t.out("exec", "service", "echo", "again"), "again", "exec after unpause")
    with t.line("stop sends TERM and keeps the exit code"):
        t.ok("stop", "-t", "20", "service")
        check_equal(t.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "service"), "exited 7", "state")
        check_in("stopping", t.out("logs", "service"), "its last words")
    with t.line("start, restart: the same container again"):
        t.ok("start", "service")
        wait_until(lambda: t.out("logs", "service").count("ready") == 2, "ready again")
        t.ok("restart", "-t", "20", "service")
        wait_until(lambda: t.out("logs", "service").count("ready") == 3, "ready a third time")
    with t.line("kill -s, wait"):
        waiting = t.popen("wait", "service")
        t.ok("kill", "-s", "KILL", "service")
        check_equal(waiting.communicate(timeout=120)[0].decode().strip(), "137", "exit code by wait")
    with t.line("rm -f of a running one"):
        t.ok("start", "service")
        t.ok("rm", "-f", "-t", "0", "service")
        check_equal(t.out("ps", "-aq"), "", "containers")
    with t.line("events name what happened"):
        text = t.out("events", "--stream=false", "--filter", "container=service", "--format", "{{.Status}}")
        for word in ("create", "start", "pause", "unpause", "died", "restart", "kill", "remove"):
            check_in(word, text.split(), "events")


@case("podman", "exec")
def execute(t):
    t.ok(*DETACHED, "--name", "box", "-e", "MADE=run", "--hostname", "jar", IMAGE, *SERVICE)
    ready(t, "box")
    with t.line("output, errors and exit code"):
        done = t.call("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 5")
        check_equal((done.code, done.text), (5, "out\n"), "code and output")
        check_in("err\n", done.errors, "errors")
    with t.line("exec -i reads to the end"):
        data = os.urandom(300000)
        check_equal(t.ok("exec", "-i", "box", "cat", stdin=data).out == data, True, "what comes back is what went in")
    with t.line("exec -u, -w, -e"):
        text = t.out("exec", "-u", "nobody", "-w", "/tmp", "-e", "ADDED=1", "box", "sh", "-c",
                     "id -u; pwd; echo $ADDED $MADE; hostname")
        check_equal(text, "65534\n/tmp\n1 run\njar", "output")
    with t.line("exec of a missing program is 127"):
        check_equal(t.call("exec", "box", "no-such-program").code, 127, "exit code")
    with t.line("exec -it has a terminal of the caller's size"):
        terminal = t.terminal("exec", "-it", "box", "sh")
        terminal.type("tty; stty size; echo do''ne\n")
        text = terminal.expect("done")
        check_in("/dev/pts/", text, "terminal")
        check_in("33 90", text, "size")
        follows_our_size(terminal)
        terminal.type("exit 9\n")
        check_equal(terminal.code(), 9, "exit code")
    with t.line("exec -d goes on by itself"):
        t.ok("exec", "-d", "box", "sh", "-c", "sleep 0.3; echo later >/tmp/later")
        wait_until(lambda: t.call("exec", "box", "cat", "/tmp/later").text == "later\n", "the file is written")


@case("podman", "terminals and attach")
def terminals(t):
    with t.line("run -it"):
        terminal = t.terminal("run", "-it", "--rm", "--network", "none", "--name", "typed", IMAGE, "sh")
        terminal.type("echo term''inal $(stty size); tty\n")
        check_in("33 90", terminal.expect("/dev/"), "size")
        terminal.type("sleep 0.2; exit 3\n")
        check_equal(terminal.code(), 3, "exit code")
    t.ok("run", "-dit", "--network", "none", "--name", "shell", IMAGE, "sh")
    with t.line("attach, detach keys, attach again"):
        terminal = t.terminal("attach", "shell")
        terminal.type("echo fir''st\n")
        terminal.expect("first")
        # podman takes the keys only if they come one by one.
        for key in "\x10\x11":
            time.sleep(0.3)
            terminal.type(key)
        check_equal(terminal.code(), 0, "exit code of detaching")
        check_equal(status(t, "shell"), "running", "status")
        terminal = t.terminal("attach", "shell")
        terminal.type("echo sec''ond; sleep 0.2; exit 4\n")
        terminal.expect("second")
        terminal.code()
        check_equal(t.out("wait", "shell"), "4", "the container's exit code")
    with t.line("attach without a terminal passes signals on"):
        t.ok(*DETACHED, "--name", "service", IMAGE, *SERVICE)
        ready(t, "service")
        attached = t.popen("attach", "--no-stdin", "service")
        # podman attaches before it says so; the signal has to come after that.
        time.sleep(1)
        attached.terminate()
        attached.wait(60)
        check_equal(t.out("wait", "service"), "7", "the container's exit code")


@case("podman", "logs")
def logs(t):
    script = "echo one; echo two >&2; printf 'no end'; sleep 2.2; echo; echo three; while :; do sleep 0.2; echo more; done"
    t.ok(*DETACHED, "--name", "talker", "--stop-signal", "KILL", IMAGE, "sh", "-c", script)
    wait_until(lambda: t.out("logs", "talker").count("more") > 1, "lines behind the third are there")
    with t.line("both streams, a line without an end"):
        done = t.ok("logs", "talker")
        check(done.text.startswith("one\nno end\nthree\n"), f"stdout {done.text!r}")
        check_equal(done.errors, "two\n", "stderr")
    with t.line("--tail"):
        check_equal(len(t.out("logs", "--tail", "2", "talker").split("\n")), 2, "lines")
    with t.line("--timestamps and --since"):
        lines = t.out("logs", "--timestamps", "talker").split("\n")
        check(all(re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", x) for x in lines), f"stamps: {lines[:3]}")
        third = next(x for x in lines if x.endswith("three")).split(" ")[0]
        since = t.out("logs", "--since", third, "talker").split("\n")
        check("one" not in since and "more" in since, f"since the third: {since[:3]}")
    with t.line("-f follows to the end"):
        following = t.popen("logs", "-f", "--tail", "1", "talker")
        following.stdout.readline()
        check_equal(following.stdout.readline(), b"more\n", "a later line")
        t.ok("kill", "talker")
        check_equal(following.wait(60), 0, "exit code")
    with t.line("k8s-file with max-size keeps the last part"):
        t.ok(*DETACHED, "--name", "flood", "--log-driver", "json-file", "--log-opt", "max-size=20kb", IMAGE, "sh", "-c",
             "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); echo line number $i; done")
        t.ok("wait", "flood")
        text = t.out("logs", "flood")
        check(text.endswith("line number 2000") and len(text) < 20 * 1024, f"{len(text)} bytes, ends {text[-40:]!r}")


@case("podman", "files of a container")
def files(t):
    t.path("in", "from outside\n")
    t.ok(*DETACHED, "--name", "box", IMAGE, "sh", "-c", "echo inside >/tmp/made; rm /etc/os-release; echo ready; exec sleep 1000")
    ready(t, "box")
    with t.line("cp into a running container is seen at once"):
        t.ok("cp", t.path("in"), "box:/tmp/in")
        check_equal(t.out("exec", "box", "cat", "/tmp/in"), "from outside", "content")
    with t.line("cp out of a running container"):
        t.ok("cp", "box:/tmp/made", t.path("out"))
        with open(t.path("out")) as f:
            check_equal(f.read(), "inside\n", "content")
        t.ok("exec", "box", "sh", "-c", "mkdir -p /tmp/d/e; echo deep >/tmp/d/e/f")
        t.ok("cp", "box:/tmp/d", t.path("tree"))
        check(os.path.exists(t.path("tree/e/f")), "the folder's file is missing")
    with t.line("diff"):
        text = t.out("diff", "box").split("\n")
        check("A /tmp/made" in text and "D /etc/os-release" in text, f"differences: {text}")
    with t.line("commit makes an image of it"):
        t.ok("commit", "-q", "box", "localhost/committed")
        try:
            text = t.out("run", "--rm", "--network", "none", "localhost/committed", "sh", "-c",
                         "cat /tmp/made /tmp/in; ls /etc")
            check("os-release" not in text and text.startswith("inside\nfrom outside\n"), f"committed: {text!r}")
        finally:
            t.ok("rmi", "-f", "localhost/committed")
    t.ok("kill", "box")
    t.ok("wait", "box")
    with t.line("cp from a stopped container"):
        t.ok("cp", "box:/tmp/in", t.path("again"))
        with open(t.path("again")) as f:
            check_equal(f.read(), "from outside\n", "content")


@case("podman", "restart and health")
def restart_and_health(t):
    t.ok(*DETACHED, "--name", "again", "--restart", "always", IMAGE, "sh", "-c", "echo ready; sleep 0.3; exit 1")
    with t.line("--restart always"):
        wait_until(lambda: t.out("logs", "again").count("ready") >= 3, "three starts")
        # With every runtime podman may meet it between two lives.
        wait_until(lambda: t.call("rm", "-f", "-t", "0", "again").code == 0, "it can be removed")
    with t.line("--health-cmd"):
        t.ok(*DETACHED, "--name", "checked", "--health-cmd", "test -e /tmp/healthy", "--health-retries", "1",
             "--health-interval", "disable", IMAGE, *SERVICE)
        ready(t, "checked")
        check_equal(t.call("healthcheck", "run", "checked").code, 1, "before the file is there")
        t.ok("exec", "checked", "touch", "/tmp/healthy")
        check_equal(t.call("healthcheck", "run", "checked").code, 0, "when it is there")
        check_equal(t.out("inspect", "-f", "{{.State.Healthcheck.Status}}", "checked"), "healthy", "status")


@case("podman", "figures and update")
def figures(t):
    t.ok(*DETACHED, "--name", "box", "--memory", "128m", IMAGE, *SERVICE)
    ready(t, "box")
    with t.line("stats"):
        found = json.loads(t.out("stats", "--no-stream", "--format", "json", "box"))[0]
        check(found["mem_usage"].split(" / ")[0] not in ("0B", "--"), f"memory: {found}")
        check(found["cpu_percent"] not in ("--",), f"cpu: {found}")
        check(int(found["pids"]) >= 1, f"pids: {found}")
    with t.line("update changes the limits of a running container"):
        t.ok("update", "--memory", "96m", "--memory-swap", "96m", "--cpu-shares", "512", "box")
        if t.ours:
            check_equal(t.out("exec", "box", "cat", "/sys/fs/cgroup/memory.max"), str(96 << 20), "limit inside")
        else:
            check_equal(t.out("exec", "box", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"), str(96 << 20), "limit")
    with t.line("port, without any published"):
        check_equal(t.out("port", "box"), "", "ports")


@case("podman", "a killed engine")
def killed_engine(t):
    running = t.popen("run", "--network", "none", "--name", "orphan", IMAGE, *SERVICE)
    wait_until(lambda: b"ready" in running.stdout.readline(), "it is ready")
    running.kill()
    running.wait()
    with t.line("podman is killed, the container goes on"):
        check_equal(status(t, "orphan"), "running", "status")
        check_equal(t.out("exec", "orphan", "echo", "still here"), "still here", "exec")
    with t.line("and can be stopped"):
        t.ok("stop", "-t", "20", "orphan")
        check_equal(t.out("inspect", "-f", "{{.State.ExitCode}}", "orphan"), "7", "exit code")
    with t.line("conmon is killed: podman notices, rm -f works"):
        name = t.out(*DETACHED, "--name", "lost", IMAGE, *SERVICE)
        ready(t, "lost")
        os.kill(int(t.out("inspect", "-f", "{{.State.ConmonPid}}", "lost")), 9)
        t.ok("rm", "-f", "-t", "0", "lost")
        # With every runtime: podman does not have it delete the container then. The VM has ended.
        check_equal([x for x in processes().values() if "qemu" in x], [], "virtual machines")
        check_equal(run([world.RUNTIMES[t.runtime], "delete", "--force", name]).code, 0, "delete by hand")
