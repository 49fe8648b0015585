# SPDX-License-Identifier: Apache-2.0
"""docker: the life of a container, commands of a running one, its output and its files."""
import json
import os
import re
import signal
import time

import harness
from cases import case
from docker import IMAGE
from harness import check, check_equal, check_in, wait_until
from program import follows_our_size

NONE = ("--network", "none")
# Counts lines for ever; ends with 5 when it is asked to.
COUNTER = ("sh", "-c", "trap 'echo asked; exit 5' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep .2 & wait $!; done")


def state(t, name, what="Status"):
    return t.out("inspect", "-f", "{{.State.%s}}" % what, name)


def actions(t, name):
    return t.out("events", "--since", "2m", "--until", "0s", "--filter", f"container={name}", "--format",
                 "{{.Action}}").split()


def detached(t, name, *args, options=()):
    t.ok("run", "-d", "--name", name, *NONE, *options, IMAGE, *args)
    return name


def first_line(t, name):
    wait_until(lambda: t.out("logs", name), f"'{name}' has written something")


def stands_still(t, name):
    """No line in a second, in which COUNTER writes some. What was on its way before may come first."""
    before = t.out("logs", name)
    time.sleep(1)
    return t.out("logs", name) == before


@case("docker", "life of a container")
def life(t):
    name = detached(t, "jar", *COUNTER)
    first_line(t, name)
    with t.line("run -d, --name, ps with filters, inspect"):
        check_equal(t.out("ps", "--format", "{{.Names}}", "--filter", "name=jar", "--filter", "status=running"), "jar", "ps")
        check_equal(t.out("ps", "-q", "--filter", "status=exited"), "", "ps of the others")
        found = json.loads(t.out("inspect", name))[0]
        check_equal(found["HostConfig"]["Runtime"], t.runtime, "runtime")
        check(os.path.exists(f"/proc/{found['State']['Pid']}"), "no process has the pid of inspect")
    with t.line("pause, unpause"):
        t.ok("pause", name)
        check_equal(state(t, name), "paused", "status")
        wait_until(lambda: stands_still(t, name), "no more output while paused")
        check(t.call("exec", name, "true").code != 0, "exec in a paused container")
        written = t.out("logs", name)
        t.ok("unpause", name)
        wait_until(lambda: t.out("logs", name) != written, "it writes again")
    with t.line("restart"):
        t.ok("restart", "-t", "5", name)
        check_equal(state(t, name), "running", "status")
        check_in("asked", t.out("logs", name), "log")
    wait_until(lambda: t.out("logs", "--tail", "1", name) != "asked", "it writes again")
    with t.line("stop asks with SIGTERM; the exit code is the program's"):
        t.ok("stop", name)
        check_equal((state(t, name), state(t, name, "ExitCode")), ("exited", "5"), "state")
    with t.line("start again, kill with a signal, wait"):
        t.ok("start", name)
        wait_until(lambda: t.out("logs", "--tail", "1", name) != "asked", "it writes again")
        t.ok("kill", "-s", "TERM", name)
        check_equal(t.out("wait", name), "5", "exit code")
        t.ok("start", name)
        t.ok("kill", name)
        check_equal(t.out("wait", name), "137", "exit code")
    with t.line("rm, and rm -f of a running one"):
        t.ok("rm", name)
        detached(t, name, "sleep", "1000")
        t.ok("rm", "-f", name)
        check_equal(t.out("ps", "-aq"), "", "ps -a")
    with t.line("stop of one that does not listen kills it"):
        detached(t, name, "sleep", "1000")
        t.ok("stop", "-t", "1", name)
        check_equal(state(t, name, "ExitCode"), "137", "exit code")
    with t.line("events tell all of that"):
        wanted = {"create", "start", "pause", "unpause", "kill", "die", "stop", "restart", "destroy"}
        wait_until(lambda: wanted <= set(actions(t, "jar")), "all of them")


@case("docker", "exec")
def execute(t):
    name = detached(t, "jar", "sleep", "1000", options=("-e", "FROM=config"))
    with t.line("exit code, output, input, -u, -w, -e"):
        done = t.call("exec", name, "sh", "-c", "echo out; echo err >&2; exit 4")
        check_equal((done.code, done.text, done.errors), (4, "out\n", "err\n"), "exec")
        check_equal(t.out("exec", "-i", name, "cat", stdin=b"through\n"), "through", "input")
        out = t.out("exec", "-u", "7:8", "-w", "/tmp", "-e", "Q=z", name, "sh", "-c", "id; pwd; echo $Q $FROM")
        check_equal(out.split("\n"), ["uid=7 gid=8 groups=8", "/tmp", "z config"], "inside")
    with t.line("126 for a program that is not there or is a folder"):
        check_equal(t.call("exec", name, "nosuch").code, 126, "not there")
        check_equal(t.call("exec", name, "/etc").code, 126, "a folder")
    with t.line("-d goes on by itself"):
        t.ok("exec", "-d", name, "sh", "-c", "echo done > /tmp/mark; sleep 1000")
        wait_until(lambda: t.call("exec", name, "cat", "/tmp/mark").text == "done\n", "the mark is there")
    with t.line("-it has a terminal of the size of ours"):
        tty = t.terminal("exec", "-it", name, "sh", columns=101)
        tty.expect("# ")
        tty.type("tty; stty size\n")
        tty.expect("/dev/pts/")
        tty.expect("33 101")
        follows_our_size(tty)
        tty.type("exit 9\n")
        check_equal(tty.code(), 9, "exit code")
    with t.line("top shows the program that runs"):
        check_in("sleep 1000", t.out("top", name), "top")
        t.ok("top", name, "-o", "pid,comm")
    with t.line("twenty execs at once"):
        many = [t.popen("exec", name, "echo", f"exec {i}") for i in range(20)]
        check_equal([p.communicate(timeout=120)[0].decode() for p in many], [f"exec {i}\n" for i in range(20)], "outputs")


@case("docker", "logs")
def logs(t):
    name = detached(t, "jar", *COUNTER)
    first_line(t, name)
    wait_until(lambda: "line 3" in t.out("logs", name), "three lines")
    with t.line("--tail, --timestamps, --since, --until"):
        check_in("line", t.out("logs", "--tail", "1", name), "tail")
        check_equal(len(t.out("logs", "--tail", "2", name).split("\n")), 2, "tail")
        check_equal(t.out("logs", "-t", name).split("\n")[0].split(" ", 1)[1], "line 1", "timestamps")
        check_equal(t.out("logs", "--since", "1h", name).split("\n")[0], "line 1", "since")
        check_equal(t.out("logs", "--until", "1h", name), "", "until")
    with t.line("-f follows until the end"):
        follower = t.popen("logs", "-f", "--tail", "1", name)
        time.sleep(.5)
        t.ok("stop", name)
        check_in("asked\n", follower.communicate(timeout=120)[0].decode(), "the last line")
    with t.line("json-file with max-size and max-file"):
        t.ok("run", "--name", "long", *NONE, "--log-opt", "max-size=10k", "--log-opt", "max-file=2", IMAGE, "sh", "-c",
             "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo a long line of the log $i; done")
        place = os.path.dirname(t.out("inspect", "-f", "{{.LogPath}}", "long"))
        sizes = [os.path.getsize(os.path.join(place, f)) for f in os.listdir(place) if ".log" in f]
        check(len(sizes) == 2 and max(sizes) < 12000, f"{sizes}")
        check_equal(t.out("logs", "--tail", "1", "long"), "a long line of the log 2000", "the last line")


@case("docker", "attach and terminals")
def attach(t):
    with t.line("attach: input and output of a container that runs, detach by end of input"):
        name = detached(t, "jar", "cat", options=("-i",))
        process = t.popen("attach", name)
        process.stdin.write(b"through\n")
        process.stdin.flush()
        check_equal(process.stdout.readline(), b"through\n", "answer")
        process.send_signal(signal.SIGKILL)  # SIGTERM would be forwarded
        check_equal(state(t, name), "running", "status")
    tty = t.terminal("run", "-it", "--name", "tty", *NONE, IMAGE, "sh", columns=101)
    with t.line("run -it: a terminal with the size of ours, resized with it"):
        tty.expect("# ")
        tty.type("tty; stty size\n")
        tty.expect("/dev/")
        tty.expect("33 101")
        follows_our_size(tty)
    with t.line("the detach keys leave it running"):
        tty.type("\x10\x11")
        check_equal(tty.code(), 0, "exit code")
        check_equal(state(t, "tty"), "running", "status")
    with t.line("attach to the terminal again, exit code of the shell"):
        tty = t.terminal("attach", "tty", columns=101)
        tty.type("echo again$((1+1))\n")
        tty.expect("again2")
        tty.type("exit 6\n")
        check_equal(tty.code(), 6, "exit code")


@case("docker", "restart policies and health")
def policies(t):
    with t.line("--restart on-failure:2 gives up after two"):
        detached(t, "twice", "sh", "-c", "echo begun; exit 1", options=("--restart", "on-failure:2"))
        wait_until(lambda: state(t, "twice") == "exited", "it has given up")
        check_equal((t.out("logs", "twice"), t.out("inspect", "-f", "{{.RestartCount}}", "twice")),
                    ("begun\nbegun\nbegun", "2"), "begun")
    with t.line("--restart always, until it is removed"):
        detached(t, "always", "sh", "-c", "echo begun; exit 0", options=("--restart", "always"))
        wait_until(lambda: t.out("logs", "always").count("begun") >= 3, "begun three times")
        t.ok("rm", "-f", "always")
    with t.line("--health-cmd: unhealthy, then healthy"):
        detached(t, "health", "sleep", "1000", options=(
            "--health-cmd", "test -f /tmp/well", "--health-interval", "300ms", "--health-retries", "1"))
        wait_until(lambda: state(t, "health", "Health.Status") == "unhealthy", "unhealthy")
        t.ok("exec", "health", "touch", "/tmp/well")
        wait_until(lambda: state(t, "health", "Health.Status") == "healthy", "healthy")


@case("docker", "files of a running container")
def files(t):
    name = detached(t, "jar", "sleep", "1000", options=("-v", "vol:/vol"))
    with t.line("cp into it and out of it, a tree, by tar"):
        t.ok("cp", t.path("file", "host\n"), f"{name}:/tmp/in")
        check_equal(t.out("exec", name, "cat", "/tmp/in"), "host", "copied in")
        t.ok("exec", name, "sh", "-c", "mkdir -p /tree/deep; echo guest > /tree/deep/f; ln -s f /tree/deep/l")
        t.ok("cp", f"{name}:/tree", t.path("tree"))
        with open(t.path("tree/deep/f")) as f:
            check_equal(f.read(), "guest\n", "copied out")
        check_equal(os.readlink(t.path("tree/deep/l")), "f", "a link")
        check(b"deep/f" in t.ok("cp", f"{name}:/tree", "-").out, "tar stream")
    with t.line("cp into a volume"):
        t.ok("cp", t.path("file"), f"{name}:/vol/f")
        check_equal(t.out("exec", name, "cat", "/vol/f"), "host", "in the volume")
    with t.line("a file changed by the host is seen within a second"):
        t.ok("cp", t.path("file", "changed\n"), f"{name}:/tmp/in")
        wait_until(lambda: t.out("exec", name, "cat", "/tmp/in") == "changed", "the new text")
    with t.line("diff"):
        changes = t.out("diff", name).split("\n")
        for change in ("A /tree/deep/f", "C /tmp", "A /tmp/in"):
            check_in(change, changes, "diff")
    with t.line("commit, run what was committed; export"):
        image = t.out("commit", name, f"committed-{t.runtime}")
        check_equal(t.out("run", "--rm", *NONE, image, "cat", "/tree/deep/f"), "guest", "committed")
        t.ok("rmi", image)
        check(b"tree/deep/f" in t.ok("export", name).out, "export")
    with t.line("cp out of a stopped container"):
        t.ok("kill", name)
        check(b"guest" in t.ok("cp", f"{name}:/tree/deep/f", "-").out, "copied out")


@case("docker", "containers that share")
def share(t):
    detached(t, "one", "httpd", "-f", "-p", "127.0.0.1:80", "-h", "/etc")
    pid = state(t, "one", "Pid")
    check(harness.processes().get(int(pid)), "the process of the container")
    with t.line("--network container: its loopback is the same"):
        out = t.out("run", "--rm", "--network", "container:one", IMAGE, "sh", "-c",
                    "wget -qO- http://127.0.0.1/group | head -n 1; uname -r")
        check_equal(out.split("\n")[0], "root:x:0:", "served")
    with t.line("--pid container: without its network would be of another VM, and is refused with the reason"):
        if t.ours:
            done = t.call("run", "--rm", *NONE, "--pid", "container:one", IMAGE, "ps")
            check_equal(done.code, 125, "exit code")
            check_in("--network container", done.errors, "message")
    with t.line("--pid container:, with its network"):
        out = t.out("run", "--rm", "--network", "container:one", "--pid", "container:one", IMAGE, "ps")
        check_in("httpd", out, "ps")


@case("docker", "stats, update, running out of memory")
def accounts(t):
    name = detached(t, "jar", "sh", "-c", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=20 2>/dev/null; exec sleep 1000",
                    options=("--memory", "200m", "--memory-swap", "200m", "--cpus", "1"))
    wait_until(lambda: t.call("exec", name, "du", "-m", "/dev/shm/fill").text.startswith("20"), "the memory is filled")
    with t.line("stats --no-stream has plausible figures, of this container alone"):
        usage, pids = t.out("stats", "--no-stream", "--format", "{{.MemUsage}};{{.PIDs}}", name).split(";")
        number, unit = re.match(r"([\d.]+)(\w+)", usage).groups()
        check(unit == "MiB" and 20 <= float(number) < 600, usage)
        check(int(pids) >= 1, f"{pids} pids")
    with t.line("update: memory, pids and cpus while it runs"):
        t.ok("update", "--memory", "100m", "--memory-swap", "100m", "--pids-limit", "33", "--cpus", ".7", name)
        files = ("memory.max", "pids.max", "cpu.max") if t.ours else \
            ("memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us")
        found = t.out("exec", name, "sh", "-c", f"cd /sys/fs/cgroup; cat {' '.join(files)}").split()
        check_equal(found[:3], [str(100 << 20), "33", "70000"], "limits")
        check_equal(t.out("inspect", "-f", "{{.HostConfig.Memory}}", name), str(100 << 20), "inspect")
    with t.line("a container that runs out of memory is killed, and inspect and events say why"):
        done = t.call("run", "--name", "oom", *NONE, "--memory", "32m", "--memory-swap", "32m", IMAGE, "sh", "-c",
                      "tail /dev/zero; code=$?; sleep 1; exit $code")
        check_equal(done.code, 137, "exit code")
        check_equal(state(t, "oom", "OOMKilled"), "true", "OOMKilled")
        wait_until(lambda: "oom" in actions(t, "oom"), "the event, which is told by the second")
