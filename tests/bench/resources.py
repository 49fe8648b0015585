# SPDX-License-Identifier: Apache-2.0
"""What sandboxes cost the host: memory of one, fifty at once, sizes of what is shipped."""
import os
import time

import stage
import world


# What the memory of a VMM is, by the lines of its smaps. The first that fits.
PARTS = (
    ("the guest's memory", lambda permissions, path: path.startswith("/memfd:")),
    ("translated code", lambda permissions, path: permissions.startswith("rwx")),
    ("QEMU's program and libraries, shared by all VMMs of the machine", lambda permissions, path: path.startswith("/")),
    ("QEMU's own data", lambda permissions, path: True),
)


def parts_of(pid):
    """Part -> PSS in KiB."""
    found, part = {}, None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            words = line.split()
            if not words[0].endswith(":"):
                path = words[5] if len(words) > 5 else ""
                part = next(name for name, fits in PARTS if fits(words[1], path))
            elif words[0] == "Pss:":
                found[part] = found.get(part, 0) + int(words[1])
    return found


def add_parts(samples, name):
    for pid in stage.pids_of_role("VMM"):
        for part, kib in parts_of(pid).items():
            samples.add(f"{name}: VMM: {part}", kib)


def idle(runtimes, rounds):
    """PSS of everything on the host for one idle busybox container, the only one of the machine: nobody shares QEMU's program with it (fifty: below)."""
    bundle = stage.bundle(["sleep", "100000"], "idle")
    samples = stage.Samples()
    for name in ("runsc", "cold", "onggi"):
        for n in range(max(2, rounds // 4)):
            before = stage.memory_by_role()
            runtimes[name].start(bundle, f"m{n}")
            after = stage.memory_by_role()
            add_parts(samples, name)
            total = 0
            for role, kib in after.items():
                samples.add(f"{name}: {role}", kib - before.get(role, 0))
                total += kib - before.get(role, 0)
            samples.add(f"{name}: total", total)
            runtimes[name].remove(f"m{n}")
    rows = []
    for name in ("runsc", "cold", "onggi"):
        for role in ("runsc", "VMM", *(f"VMM: {part}" for part, _ in PARTS), "file server", "monitor", "proxy", "total"):
            if f"{name}: {role}" in samples:
                rows.append([stage.TITLES[name], role, f"{samples.median(f'{name}: {role}') / 1024:.1f} MiB"])
    return samples, stage.table(["", "process", "PSS"], rows)


def fifty(runtimes, rounds):
    """50 idle sandboxes: to start them five at a time, their memory, an exec in each, to remove them, what is left."""
    bundle = stage.bundle(["sleep", "100000"], "idle")
    runtime, samples, count = runtimes["onggi"], stage.Samples(), 50
    null = open(os.devnull, "r+b")
    begin = time.monotonic()
    for first in range(0, count, 5):
        started = [runtime.popen("run", "--detach", "--bundle", bundle, f"f{i}", stdout=null, stderr=null)
                   for i in range(first, first + 5)]
        codes = [p.wait(timeout=stage.LIMIT) for p in started]
        if any(codes):
            raise SystemExit(f"fifty: exit codes {codes}")
    samples.add("start", time.monotonic() - begin)
    samples.add("PSS KiB", sum(stage.memory_by_role().values()))
    samples.add("exec each", stage.timed(lambda: [runtime("exec", f"f{i}", "true") for i in range(count)]))
    samples.add("remove", stage.timed(lambda: [runtime.remove(f"f{i}") for i in range(count)]))
    null.close()
    samples.add("left", sum(1 for _ in stage.memory_by_role()))
    if samples["left"][0]:
        raise SystemExit(f"left behind: {stage.memory_by_role()}")
    rows = [["start, five at a time", f"{samples.median('start'):.1f} s"],
            ["memory of all, PSS", f"{samples.median('PSS KiB') / 1024:.0f} MiB"],
            ["memory of each, PSS", f"{samples.median('PSS KiB') / 1024 / count:.1f} MiB"],
            ["exec of true in each, one by one", f"{samples.median('exec each'):.1f} s"],
            ["delete --force, one by one", f"{samples.median('remove'):.1f} s"],
            ["processes left", "0"]]
    return samples, stage.table(["50 sandboxes", ""], rows)


def sizes(runtimes, rounds):
    samples, rows = stage.Samples(), []
    for name in ("onggi-runtime", "onggi-agent", "guest/onggi-agent", "guest/vmlinux", "guest/initramfs.cpio"):
        size = os.path.getsize(os.path.join(world.BUILD, name))
        samples.add(name, size)
        rows.append([f"`build/{name}`", f"{size / 1e6:.2f} MB"])
    return samples, stage.table(["file", "size"], rows)
