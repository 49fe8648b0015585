# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: a part of the pod or the daemon dies; figures, limits and sizes."""
import json
import os
import signal

import world
from cases import case
from containerd import Containerd, children
from cri import CallError, Cri, Pod
from harness import check, check_equal, check_in, kill_quietly, wait_until

MIB = 1 << 20


def monitor_of(pod):
    """Of onggi: the pid that containerd has for the pod's sandbox."""
    return Containerd.pid(pod.id, "k8s.io")


@case("cri", "a part of the pod is killed", runtimes=("onggi",))
def parts(t):
    for part in ("sandbox-monitor", "qemu-system", "virtiofsd"):
        with t.line(f"{part}: all containers have ended, the pod is not ready, and can be stopped and removed"):
            with Pod(t.runtime, "victim") as pod:
                for name in ("one", "two"):
                    pod.container(name, "sleep", "1000")
                pid = monitor_of(pod)
                found = {"sandbox-monitor": pid, **children(pid)}
                kill_quietly(next(p for name, p in found.items() if part in name.split(" --")[0]))
                # Without the one who knows it containerd's plugin says 255: unknown.
                known = (137, 255) if part == "sandbox-monitor" else (137,)
                for name in ("one", "two"):
                    check_in(pod.ended(name), known, f"exit code of {name}")
                wait_until(lambda: pod.status().state == pod.pb.SANDBOX_NOTREADY, "the pod is not ready")


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
        with t.line("limits can be changed"):
            Cri.client.UpdateContainerResources(pb.UpdateContainerResourcesRequest(
                container_id=pod.containers["busy"], linux=pb.LinuxContainerResources(memory_limit_in_bytes=80 * MIB)))
            if t.ours:
                check_equal(pod.out("busy", "cat", "/sys/fs/cgroup/memory.max"), str(80 * MIB), "limit in the guest")
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
