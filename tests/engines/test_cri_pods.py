# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: a pod is one VM with one network; what its containers share and what they do not."""
import json
import os
import platform

from cases import case
from cri import CallError, Cri, Pod
from harness import check, check_equal, check_in, processes, wait_until
from web import SERVE, served

# Ends by TERM with code 5; the other one does not.
WAITER = ("sh", "-c", "trap 'echo ending; exit 5' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
STUBBORN = ("sh", "-c", "trap 'echo no' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def machines():
    return sum("qemu-system" in text for text in processes().values())


@case("cri", "a pod of two containers")
def two(t):
    before = machines()
    with Pod(t.runtime, "shelf", dns={"servers": ["10.1.2.3"], "searches": ["tests.example"], "options": ["ndots:5"]}) as pod:
        pod.container("server", *SERVE)
        pod.container("client", *WAITER)
        with t.line("one reaches the other's service at localhost"):
            wait_until(lambda: pod.exec("client", "wget", "-qO-", "http://127.0.0.1/").stdout == b"shelf\n", "the service answers")
        with t.line("the pod's address is reached from the host's side"):
            served(f"http://{pod.ip}/", "shelf\n")
        with t.line("both have the pod's address and none else"):
            seen = [pod.sh(name, "ip -4 -o addr show eth0") for name in ("server", "client")]
            check_equal(seen[0], seen[1], "of both containers")
            check_in(pod.ip, seen[0], "address")
        with t.line("the host is reached from the pod"):
            check_equal(pod.exec("client", "ping", "-c", "1", "-W", "20", "10.77.0.1").exit_code, 0, "ping")
        with t.line("host name and resolv.conf are the pod's"):
            for name in ("server", "client"):
                check_equal(pod.out(name, "hostname"), "shelf", "host name")
                text = pod.out(name, "cat", "/etc/resolv.conf")
                for word in ("nameserver 10.1.2.3", "search tests.example", "options ndots:5"):
                    check_in(word, text, "resolv.conf")
        with t.line("they share ipc and uts, and have processes of their own"):
            for kind in ("ipc", "uts", "net"):
                check_equal(pod.out("server", "readlink", f"/proc/self/ns/{kind}"),
                            pod.out("client", "readlink", f"/proc/self/ns/{kind}"), kind)
            check("httpd" not in pod.out("client", "ps"), "the server is seen")
        with t.line("a pod is one VM with a kernel of its own" if t.ours else "it is the host's kernel"):
            check_equal(machines() - before, 1 if t.ours else 0, "virtual machines")
            for name in ("server", "client"):
                check_equal(pod.out(name, "uname", "-r") == platform.release(), not t.ours, "kernel")
            check_equal(pod.sh("server", BOOT_ID), pod.sh("client", BOOT_ID), "boot ids of both containers")
        with t.line("another pod is another machine, which it reaches by its address"), Pod(t.runtime, "other") as other:
            other.container("client", *WAITER)
            check_equal(other.sh("client", BOOT_ID) == pod.sh("client", BOOT_ID), not t.ours, "the same boot id")
            check_equal(other.out("client", "wget", "-qO-", f"http://{pod.ip}/"), "shelf", "what was served")
    check_equal(machines(), before, "virtual machines at the end")


@case("cri", "a container ends and another takes its place")
def restart(t):
    with Pod(t.runtime, "kiln") as pod:
        pod.container("steady", *WAITER)
        pod.container("job", "sh", "-c", "echo out; echo err >&2; exit 7")
        with t.line("exit code, times and reason are told"):
            check_equal(pod.ended("job"), 7, "exit code")
            status = pod.state("job")
            check_equal(status.reason, "Error", "reason")
            check(0 < status.created_at <= min(status.started_at, status.finished_at), f"times {status}")
        with t.line("its log has both streams"):
            check_equal(sorted(pod.log("job")), [("stderr", "err"), ("stdout", "out")], "log")
        boot = pod.sh("steady", BOOT_ID)
        with t.line("it is started anew in the same pod"):
            for code in (3, 0):
                pod.remove_container("job")
                pod.container("job", "sh", "-c", f"{BOOT_ID}; exit {code}")
                check_equal(pod.ended("job"), code, "exit code")
                check_equal(pod.lines("job"), [boot], "boot id of the new one")
        with t.line("the other one has not noticed"):
            check_equal(pod.state("steady").state, pod.pb.CONTAINER_RUNNING, "state")
        with t.line("a command that is not there fails its container alone"):
            try:
                pod.container("broken", "/no/such/command")
                check(False, "it runs")
            except CallError as e:
                check_in("no such file or directory", e.details.lower(), "reason")
            check_equal(pod.sh("steady", BOOT_ID), boot, "boot id")


@case("cri", "grace")
def grace(t):
    with Pod(t.runtime, "glaze") as pod:
        for name, command in (("willing", WAITER), ("stubborn", STUBBORN), ("fired", WAITER)):
            pod.container(name, *command)
            pod.says(name, "ready")
        with t.line("who handles TERM ends in time, with a code of its own"):
            pod.stop_container("willing", grace=100)
            check_equal(pod.ended("willing"), 5, "exit code")
            check_equal(pod.lines("willing"), ["ready", "ending"], "log")
        with t.line("who does not is killed when the time is over"):
            pod.stop_container("stubborn", grace=1)
            check_equal(pod.ended("stubborn"), 137, "exit code")
            check_equal(pod.lines("stubborn"), ["ready", "no"], "log")
        with t.line("without grace it is killed at once; to stop again is no error"):
            for _ in range(2):
                pod.stop_container("fired")
            check_equal(pod.ended("fired"), 137, "exit code")
    with t.line("a pod is stopped with all that runs in it, twice, and removed twice"), Pod(t.runtime, "glaze") as pod:
        pod.container("left", *STUBBORN)
        for _ in range(2):
            pod.stop()
        check_equal(pod.status().state, pod.pb.SANDBOX_NOTREADY, "state")
        check_equal(pod.ended("left"), 137, "exit code")
        for _ in range(2):
            Cri.client.RemovePodSandbox(pod.pb.PodSandboxId(id=pod.id))
        pod.remove_cgroups()
        pod.removed = True


@case("cri", "status, told at length")
def verbose(t):
    with Pod(t.runtime, "verbose") as pod:
        pod.container("one", "sleep", "1000")
        pb = pod.pb
        with t.line("of a container: its process and its whole configuration"):
            info = json.loads(Cri.client.ContainerStatus(pb.StatusOfRequest(id=pod.containers["one"], verbose=True)).info["info"])
            check(info["pid"] > 1 and os.path.exists(f"/proc/{info['pid']}"), f"pid {info['pid']}")
            check_equal((info["sandboxID"], info["runtimeSpec"]["process"]["args"]), (pod.id, ["sleep", "1000"]), "container")
            check_in(f".{t.runtime}.", info["runtimeType"], "runtime")
        with t.line("of a pod: its process, its runtime and its network"):
            info = json.loads(Cri.client.PodSandboxStatus(pb.StatusOfRequest(id=pod.id, verbose=True)).info["info"])
            check_equal((info["processStatus"], info["runtimeHandler"]), ("running", t.runtime), "pod")
            check_in(f".{t.runtime}.", info["runtimeType"], "runtime")
            check(os.path.exists(f"/proc/{info['pid']}"), f"pid {info['pid']}")
            space = next(n["path"] for n in info["runtimeSpec"]["linux"]["namespaces"] if n["type"] == "network")
            check_equal(os.stat(f"/proc/{info['pid']}/ns/net").st_ino, os.stat(space).st_ino, "network namespace of that process")


@case("cri", "what runs is removed")
def forced(t):
    with Pod(t.runtime, "forced") as pod:
        pb = pod.pb
        for name in ("one", "two"):
            pod.container(name, *STUBBORN)
            pod.says(name, "ready")
        with t.line("a container: it is stopped first, the other one runs on"):
            one = pod.containers["one"]
            pod.remove_container("one")
            check_equal([c.id for c in Cri.client.ListContainers().containers], [pod.containers["two"]], "containers")
            check_equal(pod.out("two", "echo", "alive"), "alive", "exec")
            # Who removes it again hears of no error.
            Cri.client.RemoveContainer(pb.ContainerId(id=one))
        with t.line("a pod: all of it is stopped first"):
            Cri.client.RemovePodSandbox(pb.PodSandboxId(id=pod.id))
            check_equal([list(Cri.client.ListContainers().containers), list(Cri.client.ListPodSandbox().items)], [[], []], "left")
            pod.remove_cgroups()
            pod.removed = True


@case("cri", "processes of a pod in one namespace")
def shared_pid(t):
    with Pod(t.runtime, "shared", pid="POD") as pod:
        pod.container("one", "sleep", "1111")
        pod.container("two", "sleep", "2222")
        with t.line("each sees the other's, and the sandbox's first"):
            for name in ("one", "two"):
                text = pod.out(name, "ps", "-o", "pid,args")
                for word in ("sleep 1000000", "sleep 1111", "sleep 2222"):
                    check_in(word, text, f"processes in {name}")
        with t.line("and can end them"):
            pod.exec("one", "sh", "-c", "kill -9 $(ps -o pid,args | awk '/[s]leep 2222/ {print $1}')")
            check_equal(pod.ended("two"), 137, "exit code")
            check_equal(pod.state("one").state, pod.pb.CONTAINER_RUNNING, "state of the other")


@case("cri", "networks that are none", runtimes=("onggi",))
def host_network(t):
    with t.line("the host's network is refused, and said why"):
        try:
            with Pod(t.runtime, "outside", network="NODE"):
                check(False, "it runs")
        except CallError as e:
            check_in("host networking is not supported", e.details, "reason")
    with t.line("the host's processes and its ipc are the VM's own"), Pod(t.runtime, "near", pid="NODE", ipc="NODE") as pod:
        pod.container("one", "sleep", "1000")
        t.mark_host()
        check(t.marker not in pod.out("one", "ps", "-o", "args"), "a process of the host is seen")


@case("cri", "many pods")
def many(t):
    count = 5
    pods = []
    try:
        with t.line(f"{count} at once, each of two containers"):
            for i in range(count):
                pods.append(Pod(t.runtime, f"pod{i}"))
                for name in ("one", "two"):
                    pods[-1].container(name, "sleep", "1000")
            check_equal(len({pod.ip for pod in pods}), count, "addresses")
            ids = {pod.sh(name, BOOT_ID) for pod in pods for name in ("one", "two")}
            check_equal(len(ids), count if t.ours else 1, "boot ids")
    finally:
        for pod in pods:
            pod.remove()
