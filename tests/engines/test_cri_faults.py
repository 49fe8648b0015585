# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: a part of the pod or the daemon dies; figures, limits and sizes."""
import json
import os
import signal
import threading

import world
from cases import case
from containerd import Containerd, children, remove_dead_sockets
from cri import CallError, Cri, Pod
from harness import check, check_equal, check_in, kill_quietly, processes, wait_until
from rpc import CALL_LIMIT

MIB = 1 << 20


STUBBORN = ("sh", "-c", "trap 'echo no' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
# What containerd's plugin says of a container whose end nobody has told: its shim has gone.
UNKNOWN = 255


def part_of(t, pod, part):
    """The pid of the pod's shim, or with onggi of a child of it."""
    shim = Containerd.pid(pod.id, "k8s.io") if t.ours else next(
        pid for pid, text in processes().items() if "containerd-shim-runc-v2" in text and pod.id in text)
    return shim if part == "shim" else next(pid for text, pid in children(shim).items() if part in text.split(" --")[0])


class Background(threading.Thread):
    """A call that ends when something else is done: what it answered, or the error, is in .result."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.call, self.result = call, None
        self.start()

    def run(self):
        try:
            self.result = self.call()
        except CallError as e:
            self.result = e

    def end(self):
        self.join(2 * CALL_LIMIT)
        check(not self.is_alive(), "the call does not end")
        return self.result


# Each brings a pod of two containers where something is to be killed; returns the call that is under way.

def ready(_):
    return None


def created(pod):
    for name in ("one", "two"):
        pod.create(name, "sleep", "1000")


def running(pod):
    pod.container("one", *STUBBORN)
    pod.container("two", "sleep", "1000")
    pod.says("one", "ready")


def exec_runs(pod):
    running(pod)
    call = Background(lambda: pod.exec("one", "sh", "-c", "echo >/begun; sleep 1000"))
    wait_until(lambda: pod.exec("one", "test", "-e", "/begun").exit_code == 0, "the command has begun")
    return call


def stopping(pod):
    running(pod)
    call = Background(lambda: pod.stop_container("one", grace=1000))
    pod.says("one", "no")
    return call


def after_the_loss(t, pod, phase, part, call):
    """All that is promised of a pod that has lost a part."""
    wait_until(lambda: pod.status().state == pod.pb.SANDBOX_NOTREADY, "the pod is not ready")
    for name in pod.containers:
        if phase is created:
            # There is no task of it before its start.
            try:
                pod.start(name)
                check(False, f"{name} has started")
            except CallError as e:
                check_in("is not running", e.details, "reason")
            check_equal((pod.ended(name), pod.state(name).reason), (128, "StartError"), f"end of {name}")
        else:
            check_equal(pod.ended(name), UNKNOWN if part == "shim" else 137, f"exit code of {name}")
            check_equal(pod.state(name).reason, "Error", f"reason of {name}")
    result = call.end() if call else None
    if phase is exec_runs:
        check(isinstance(result, CallError) if part == "shim" else result.exit_code == 137, f"the exec's end: {result}")


@case("cri", "a part of the pod is killed")
def parts(t):
    for phase in (ready, created, running, exec_runs, stopping):
        for part in ("shim", "qemu-system", "virtiofsd") if t.ours else ("shim",):
            with t.line(f"{part}, {phase.__name__.replace('_', ' ')}: all has ended, the pod is not ready, and another of its name runs"):
                with Pod(t.runtime, "victim") as pod:
                    call = phase(pod)
                    kill_quietly(part_of(t, pod, part))
                    after_the_loss(t, pod, phase, part, call)
                with Pod(t.runtime, "victim") as pod:
                    pod.container("one", "sh", "-c", "exit 7")
                    check_equal(pod.ended("one"), 7, "exit code of the next")
    if not t.ours:
        remove_dead_sockets()


@case("cri", "the sandbox container is killed")
def sandbox_container(t):
    with Pod(t.runtime, "headless") as pod:
        pod.container("one", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait $!; done")
        pod.says("one", "ready")
        with t.line("the pod is not ready; what runs in it runs on until it is stopped"):
            t.ok("task", "kill", "-s", "KILL", pod.id)
            wait_until(lambda: pod.status().state == pod.pb.SANDBOX_NOTREADY, "the pod is not ready")
            check_equal(pod.out("one", "echo", "alive"), "alive", "exec")
            pod.stop_container("one", grace=100)
            check_equal(pod.ended("one"), 5, "exit code")


@case("cri", "containerd is killed under a pod")
def restart(t):
    with Pod(t.runtime, "lasting") as pod:
        pod.container("one", "sh", "-c", "trap 'exit 5' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep .2 & wait $!; done")
        pod.container("ending", "sleep", "1000")
        pod.says("one", "line 1")
        boot = pod.sh("one", "cat /proc/sys/kernel/random/boot_id")
        Cri.stop(signal.SIGKILL)
        Cri.start_daemon()
        with t.line("the pod runs on and is known"):
            check_equal(pod.status().state, pod.pb.SANDBOX_READY, "state of the pod")
            check_equal(pod.state("one").state, pod.pb.CONTAINER_RUNNING, "state of the container")
            check_equal(pod.sh("one", "cat /proc/sys/kernel/random/boot_id"), boot, "boot id")
        with t.line("its log goes on"):
            count = len(pod.lines("one"))
            wait_until(lambda: len(pod.lines("one")) > count + 2, "new lines")
        with t.line("its containers can be stopped, and another started"):
            pod.stop_container("ending")
            check_equal(pod.ended("ending"), 137, "exit code")
            pod.container("new", "sh", "-c", "exit 6")
            check_equal(pod.ended("new"), 6, "exit code")
            pod.stop_container("one", grace=100)
            check_equal(pod.ended("one"), 5, "exit code")


@case("cri", "figures and limits")
def stats(t):
    with Pod(t.runtime, "figures") as pod:
        pod.container("idle", "sleep", "1000")
        pod.container("busy", "sh", "-c", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=30 2>/dev/null; echo filled; while :; do :; done",
                      resources={"memory_limit_in_bytes": 64 * MIB, "cpu_period": 100000, "cpu_quota": 50000})
        pod.says("busy", "filled")
        pb = pod.pb

        def figures(name):
            s = Cri.client.ContainerStats(pb.ContainerId(id=pod.containers[name])).stats
            return s.cpu.usage_core_nano_seconds.value, s.memory.working_set_bytes.value

        with t.line("each container has figures of its own"):
            wait_until(lambda: figures("busy")[0] > 100_000_000, "CPU time of the busy one")
            busy, idle = figures("busy"), figures("idle")
            check(busy[0] > idle[0] and busy[1] > 25 * MIB > idle[1] > 0, f"busy {busy}, idle {idle}")
        with t.line("all containers' at once"):
            found = {s.attributes.id: s for s in Cri.client.ListContainerStats().stats}
            check_equal(set(found), set(pod.containers.values()), "containers")
            check(found[pod.containers["busy"]].memory.working_set_bytes.value > 25 * MIB, f"{found}")
        with t.line("the pod's: its network, and all its containers"):
            pod.out("idle", "ping", "-c", "1", "-W", "20", "10.77.0.1")
            stats = Cri.client.PodSandboxStats(pb.PodSandboxId(id=pod.id)).stats.linux
            check_equal({s.attributes.id for s in stats.containers}, set(pod.containers.values()), "containers")
            check(stats.cpu.usage_core_nano_seconds.value > 0 and stats.memory.working_set_bytes.value > 0, f"{stats}")
            interface = stats.network.default_interface
            check(interface.name == "eth0" and interface.rx_bytes.value > 0 and interface.tx_bytes.value > 0, f"{interface}")
        with t.line("limits can be changed"):
            for change in ({"memory_limit_in_bytes": 80 * MIB}, {"cpu_period": 100000, "cpu_quota": 70000, "cpu_shares": 512}):
                Cri.client.UpdateContainerResources(pb.UpdateContainerResourcesRequest(
                    container_id=pod.containers["busy"], linux=pb.LinuxContainerResources(**change)))
            if t.ours:
                found = {name: pod.out("busy", "cat", f"/sys/fs/cgroup/{name}") for name in ("memory.max", "cpu.max", "cpu.weight")}
                check_equal(found, {"memory.max": str(80 * MIB), "cpu.max": "70000 100000", "cpu.weight": "20"}, "in the guest")
        with t.line("of a container that is not there: not found"):
            for call, request in ((Cri.client.ContainerStats, pb.ContainerId(id="nobody")),
                                  (Cri.client.UpdateContainerResources, pb.UpdateContainerResourcesRequest(
                                      container_id="nobody", linux=pb.LinuxContainerResources(cpu_shares=2)))):
                try:
                    call(request)
                    check(False, "there are some")
                except CallError as e:
                    check_equal(e.code, "NOT_FOUND", f"code ({e})")
        with t.line("who takes more memory than allowed is killed, and the reason told"):
            pod.container("greedy", "sh", "-c", "x=a; while :; do x=$x$x; done", resources={"memory_limit_in_bytes": 16 * MIB})
            check_equal(pod.ended("greedy"), 137, "exit code")
            wait_until(lambda: pod.state("greedy").reason == "OOMKilled", "the reason is known")


# What docs/kubernetes.md recommends for a RuntimeClass.
OVERHEAD_MIB = 256


@case("cri", "a pod's own limit", runtimes=("onggi",))
def overhead(t):
    limit = 128
    with Pod(t.runtime, "tight", memory_limit=(limit + OVERHEAD_MIB) * MIB, resources={"memory_limit_in_bytes": limit * MIB}) as pod:
        folder = pod.volume("big")
        with open(os.path.join(folder, "file"), "wb") as f:
            for _ in range(400):
                f.write(os.urandom(MIB))
        pod.container("one", "sleep", "1000", mounts=((folder, "/big", True),), resources={"memory_limit_in_bytes": limit * MIB})
        with t.line("with the recommended overhead it holds a guest that uses all it can"):
            pod.sh("one", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=100; cat /big/file >/dev/null; "
                          "for i in $(seq 50); do ls -lR /bin /etc /proc/self >/dev/null; md5sum /bin/busybox; done")
            check_equal(pod.out("one", "echo", "alive"), "alive", "exec")


def total_mib(pod, name):
    return int(pod.sh(name, "awk '/^MemTotal/ {print $2}' /proc/meminfo")) // 1024


@case("cri", "the size of a pod", runtimes=("onggi",))
def sizes(t):
    with Pod(t.runtime, "usual") as pod:
        pod.container("one", "sleep", "1000")
        base = total_mib(pod, "one")
        with t.line("a container with a limit makes room for itself"):
            pod.container("two", "sleep", "1000", resources={"memory_limit_in_bytes": 512 * MIB})
            check(total_mib(pod, "one") >= base + 500, f"{total_mib(pod, 'one')} MiB, {base} before")
    with Pod(t.runtime, "large", resources={"memory_limit_in_bytes": 512 * MIB, "cpu_quota": 200000, "cpu_period": 100000}) as pod:
        pod.container("one", "sleep", "1000")
        with t.line("what the pod's containers may use together is there from its start"):
            check(total_mib(pod, "one") >= base + 500, f"{total_mib(pod, 'one')} MiB, {base} without")
            check_equal(pod.out("one", "nproc"), str(min(2, os.cpu_count())), "CPUs")
        large = total_mib(pod, "one")
        with t.line("and is what they get, not more"):
            pod.container("two", "sleep", "1000", resources={"memory_limit_in_bytes": 256 * MIB})
            pod.container("three", "sleep", "1000", resources={"memory_limit_in_bytes": 256 * MIB})
            check_equal(total_mib(pod, "one"), large, "MiB")


@case("cri", "annotations of pods", runtimes=("onggi",))
def annotations(t):
    with t.line("what the configuration does not allow is refused, and said why"):
        for name, value in (("memory_mib", "512"), ("vmm", "/bin/sh"), ("kernel", "/etc/passwd"), ("", "x")):
            try:
                with Pod(t.runtime, "wishing", annotations={f"io.onggi.{name}": value}):
                    check(False, f"{name}: it runs")
            except CallError as e:
                check_in(f"annotation 'io.onggi.{name}' is not allowed", e.details, "reason")
    with t.line("those of others mean nothing"), Pod(t.runtime, "other", annotations={"io.katacontainers.config.hypervisor.path": "/x"}) as pod:
        pod.container("one", "true")
        check_equal(pod.ended("one"), 0, "exit code")
    path = "/etc/onggi/config.json"
    with open(path) as f:
        before = f.read()
    try:
        world.write(path, json.dumps({**json.loads(before), "annotations": ["memory_mib"], "memory_max_mib": 1024}))
        with t.line("what it allows is done"), Pod(t.runtime, "allowed", annotations={"io.onggi.memory_mib": "768"}) as pod:
            pod.container("one", "sleep", "1000")
            check(650 < total_mib(pod, "one") <= 768, f"{total_mib(pod, 'one')} MiB")
        with t.line("within its bounds, and nothing else"):
            for name, value, reason in (("memory_mib", "1025", "want a number from 64 to 1024"), ("vcpus", "2", "is not allowed"),
                                        ("memory_mib", "700,share=on", "want a number")):
                try:
                    with Pod(t.runtime, "greedy", annotations={f"io.onggi.{name}": value}):
                        check(False, f"{name}: it runs")
                except CallError as e:
                    check_in(reason, e.details, "reason")
    finally:
        world.write(path, before)
