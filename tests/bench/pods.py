# SPDX-License-Identifier: Apache-2.0
"""containerd: a container by its own client, a pod by Kubernetes' interface, and what stays in memory for it."""
import os

import cri
import stage
from harness import processes

# ctr starts runsc through runc's shim, as containerd's documents have it for want of a shim in Debian.
CTR = {
    "runc": ("--runtime", "io.containerd.runc.v2"),
    "runsc": ("--runc-binary", os.path.join(stage.world.PLACE, "runsc")),
    "onggi": ("--runtime", "io.containerd.onggi.v2"),
}
POD_COUNTS = (1, 20)


def write_runsc():
    path = CTR["runsc"][1]
    stage.world.write(path, '#!/bin/sh\nexec /usr/bin/runsc --platform=ptrace --network=none --ignore-cgroups "$@"\n')
    os.chmod(path, 0o755)


def one_container(runtime):
    stage.run(["ctr", "-n", cri.NAMESPACE, "run", "--rm", *CTR[runtime], cri.IMAGE, f"bench-{runtime}", "true"])


def one_pod(runtime):
    """Seconds until a container of a new pod runs; the pod is gone when this returns."""
    made = []

    def start():
        made.append(cri.Pod(runtime, f"bench-{runtime}"))
        made[0].container("one", "sleep", "1000")
    seconds = stage.timed(start)
    made[0].remove()
    return seconds


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total


PARTS = {"shim": ("containerd-shim-", "sandbox-monitor"), "VMM": ("qemu-system",), "file server": ("virtiofsd",)}


def memory_of(new):
    """KiB of each part among the processes @new; the workload itself is not counted."""
    return {part: pss_kib([pid for pid, text in new.items() if any(word in text for word in words)])
            for part, words in PARTS.items()}


def pods(runtimes, rounds):
    """`ctr run --rm` of true, and a pod from RunPodSandbox to the answer of its first container's StartContainer, with a network by
    CNI. Memory (PSS, KiB for each pod) is of pods with one sleeping container, workload and containerd not counted."""
    samples, rows = stage.Samples(), []
    cri.Cri.start()
    write_runsc()
    for round in range(-1, rounds):
        for name, function in (("ctr", one_container), ("pod", one_pod)):
            for runtime in CTR if name == "ctr" else ("runc", "onggi"):
                seconds = stage.timed(function, runtime) if name == "ctr" else function(runtime)
                if round >= 0:
                    samples.add(f"{name} {runtime}", seconds)
    for name, title in (("ctr", "ctr run --rm"), ("pod", "pod until it runs")):
        for runtime in CTR:
            key = f"{name} {runtime}"
            if key in samples:
                rows.append([title, runtime, stage.ms(samples.median(key)), stage.ms(samples.spread(key)),
                             stage.times(samples.median(key), samples.median(f"{name} runc"))])
    text = stage.table(["what", "runtime", "median", "middle half", "of runc"], rows)
    memory = []
    for runtime in ("runc", "onggi"):
        for count in POD_COUNTS:
            before = set(processes())
            made = []
            for i in range(count):
                made.append(cri.Pod(runtime, f"many-{i}"))
                made[-1].container("one", "sleep", "1000")
            parts = memory_of({pid: text for pid, text in processes().items() if pid not in before})
            for part, kib in parts.items():
                samples.add(f"{part} {runtime} {count}", kib / count)
            memory.append([runtime, count, *(f"{kib / count:.0f}" if kib else "–" for kib in parts.values())])
            for pod in made:
                pod.remove()
    cri.Cri.stop()
    return samples, text + "\n" + stage.table(["runtime", "pods", *(f"{part}, KiB" for part in PARTS)], memory)
