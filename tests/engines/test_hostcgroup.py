# SPDX-License-Identifier: Apache-2.0
"""podman and docker: what they read from the host's cgroups - OOMKilled, stats, limits - and where the sandbox is."""
import json
import os

from cases import case
from docker import IMAGE as DOCKER_IMAGE
from harness import check, check_equal, check_in, wait_until
from podman import IMAGE as PODMAN_IMAGE

EAT = ("sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done")
NONE = ("--network", "none")


def state(t, name, what):
    return t.out("inspect", "-f", "{{.State.%s}}" % what, name)


def memory_cgroup(pid):
    with open(f"/proc/{pid}/cgroup") as f:
        path, = (line.rstrip("\n").split(":", 2)[2] for line in f if ":memory:" in line)
    return "/sys/fs/cgroup/memory" + path


def commands(folder):
    found = []
    with open(os.path.join(folder, "cgroup.procs")) as f:
        for pid in f.read().split():
            with open(f"/proc/{pid}/comm") as comm:
                found.append(comm.read().strip())
    return found


def oom(t, image, seen):
    with t.line("a container that exceeds --memory is seen to, its code is 137"):
        t.call("run", "--name", "eater", *NONE, "--memory", "32m", "--memory-swap", "32m", image, *EAT)
        check(seen("eater"), "the engine has seen no OOM")
        check_equal(state(t, "eater", "ExitCode"), "137", "exit code")
    with t.line("one that is killed by somebody else is not"):
        t.ok("run", "-d", "--name", "victim", *NONE, "--memory", "32m", "--memory-swap", "32m", image, "sleep", "1000")
        t.ok("kill", "victim")
        t.call("wait", "victim")
        check(not seen("victim"), "the engine has seen an OOM")
        check_equal(state(t, "victim", "ExitCode"), "137", "exit code")
    t.ok("rm", "-f", "eater", "victim")


def figures(t, image, stats):
    name = t.out("run", "-d", *NONE, "--memory", "64m", "--pids-limit", "33", image, "sh", "-c",
                 "while true; do true; done")
    pid = int(state(t, name, "Pid"))
    folder = memory_cgroup(pid)
    with t.line("the pid is in a cgroup named after the container"):
        check_in(name, folder, "cgroup of the pid")
    if t.ours:
        with t.line("so is the VM"):
            found = commands(folder)
            check("onggi-vm" in found and "virtiofsd" in found and "onggi-monitor" in found, f"who is in it: {found}")
    with t.line("stats show memory, CPU and pids that are being used"):
        got = {}

        def burning():
            got.update(stats(name))
            return got["cpu"] > 1
        wait_until(burning, "stats show CPU time")
        check(got["memory"] > 0 and got["pids"] > 0, f"stats: {got}")
    t.ok("rm", "-f", name)
    with t.line("rm leaves no cgroup"):
        check(not os.path.exists(folder), folder)


def number(text):
    """"12.5MiB" and the like in bytes, "3.14%" as 3.14."""
    digits = text.rstrip("%BiKMGkT")
    unit = text[len(digits):].replace("iB", "").replace("B", "")
    return float(digits or 0) * {"": 1, "%": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[unit[:1]]


@case("podman", "OOM as podman sees it")
def podman_oom(t):
    """
    conmon notes an OOM as a file "oom" in its current folder, which is podman's. podman 4.3 looks for it in the
    container's own, so that its OOMKilled is false with every runtime on version 1: conmon's word counts.
    """
    def seen(name):
        path = t.path("oom")
        found = os.path.exists(path)
        if found:
            os.unlink(path)
        return found
    oom(t, PODMAN_IMAGE, seen)


@case("podman", "figures that podman reads from the cgroup")
def podman_figures(t):
    def stats(name):
        found = json.loads(t.out("stats", "--no-stream", "--format", "json", name))[0]
        return {"cpu": number(found["cpu_percent"]), "memory": number(found["mem_usage"].split(" / ")[0]),
                "pids": int(found["pids"])}
    figures(t, PODMAN_IMAGE, stats)


@case("docker", "OOM as docker sees it")
def docker_oom(t):
    oom(t, DOCKER_IMAGE, lambda name: state(t, name, "OOMKilled") == "true")


@case("docker", "figures that docker reads from the cgroup")
def docker_figures(t):
    def stats(name):
        found = json.loads(t.out("stats", "--no-stream", "--format", "{{json .}}", name))
        return {"cpu": number(found["CPUPerc"]), "memory": number(found["MemUsage"].split(" / ")[0]),
                "pids": int(found["PIDs"])}
    figures(t, DOCKER_IMAGE, stats)
