# SPDX-License-Identifier: Apache-2.0
"""How long a container takes to start, to end, to be entered and to be removed; many at once."""
import os
import re
import subprocess
import time

import stage

NAMES = ("crun", "runc", "runsc", "cold", "onggi")


def single(runtimes, rounds):
    """`run` of true from a bundle, start of the command to its end, against the boot of a raw QEMU."""
    bundle = stage.bundle(["true"], "true")
    samples = stage.Samples()
    for name in NAMES:
        runtimes[name].run(bundle, "warm")
    stage.raw_boot()
    for n in range(rounds):
        samples.add("raw", stage.raw_boot())
        for name in NAMES:
            samples.add(name, runtimes[name].run(bundle, f"r{n}"))
    raw, runsc = samples.median("raw"), samples.median("runsc")
    rows = [[stage.TITLES[n], stage.ms(samples.median(n)), stage.ms(samples.spread(n)), stage.times(samples.median(n), raw),
             stage.times(samples.median(n), runsc)] for n in ("raw",) + NAMES]
    text = stage.table(["", "median", "middle half", "of raw QEMU", "of runsc"], rows)
    return samples, text


LINE = re.compile(r"\s*([\d.]+) ms\s+\+\s*([\d.]+)\s+(\S+)\s+(.*)")


def phases(runtimes, rounds):
    """Where the milliseconds go: medians of --trace-start."""
    bundle = stage.bundle(["true"], "true")
    text, samples = "", stage.Samples()
    for name in ("onggi", "cold"):
        runtime, order = runtimes[name], []
        path = os.path.join(runtime.dir, "trace")
        for n in range(rounds):
            if os.path.exists(path):
                os.unlink(path)
            runtime("--trace-start", path, "run", "--bundle", bundle, f"t{n}")
            with open(path) as f:
                for line in f:
                    at, _, who, phase = LINE.match(line).groups()
                    if (who, phase) not in order:
                        order.append((who, phase))
                    samples.add(f"{name}: {who}: {phase}", float(at))
        rows, last = [], 0
        for who, phase in sorted(order, key=lambda k: samples.median(f"{name}: {k[0]}: {k[1]}")):
            at = samples.median(f"{name}: {who}: {phase}")
            rows.append([who, phase, f"{at:.1f}", f"{at - last:.1f}"])
            last = at
        text += f"{stage.TITLES[name]}:\n\n" + stage.table(["process", "phase that has ended", "at, ms", "since the line above"], rows) + "\n"
    return samples, text


def inside(runtimes, rounds):
    """exec of true in a running container, and delete --force of a running one."""
    bundle = stage.bundle(["sleep", "100000"], "idle")
    samples = stage.Samples()
    names = ("crun", "runc", "runsc", "onggi")
    for name in names:
        runtimes[name].start(bundle, "idle")
        runtimes[name]("exec", "idle", "true")
    for _ in range(rounds):
        for name in names:
            samples.add(f"exec {name}", stage.timed(runtimes[name], "exec", "idle", "true"))
    for name in names:
        runtimes[name].remove("idle")
    for n in range(max(3, rounds // 3)):
        for name in names:
            runtimes[name].start(bundle, f"d{n}")
            samples.add(f"delete {name}", stage.timed(runtimes[name].remove, f"d{n}"))
    rows = [[stage.TITLES[n], stage.ms(samples.median(f"exec {n}")), stage.ms(samples.median(f"delete {n}"))] for n in names]
    return samples, stage.table(["", "exec of `true`", "delete --force of a running container"], rows)


def output(runtimes, rounds):
    """100 MB written to stdout by a program in the container, read by us."""
    size = 100 * 1000 * 1000
    bundle = stage.bundle(["probe", "burst", str(size), "1"], "burst")
    samples = stage.Samples()
    names = ("crun", "runc", "runsc", "onggi")
    for n in range(rounds):
        for name in names:
            process = runtimes[name].popen("run", "--bundle", bundle, f"o{n}", stdout=subprocess.PIPE)
            got = len(process.stdout.read(1))
            begin = time.monotonic()
            while True:
                data = process.stdout.read(1 << 20)
                if not data:
                    break
                got += len(data)
            samples.add(name, got / (time.monotonic() - begin) / 1e6)
            process.stdout.close()
            if process.wait() != 0 or got != size:
                raise SystemExit(f"{name}: {got} bytes of {size}, exit {process.returncode}")
    rows = [[stage.TITLES[n], f"{samples.median(n):.0f} MB/s"] for n in names]
    return samples, stage.table(["", "100 MB through stdout"], rows)


def at_once(runtimes, rounds):
    """N containers of true started together: until the last one has ended."""
    bundle = stage.bundle(["true"], "true")
    samples = stage.Samples()
    names = ("runc", "runsc", "onggi")
    counts = (1, 5, 10, 20)
    for n in range(rounds):
        for count in counts:
            for name in names:
                begin = time.monotonic()
                started = [runtimes[name].popen("run", "--bundle", bundle, f"a{n}-{i}", stdout=subprocess.DEVNULL)
                           for i in range(count)]
                codes = [p.wait(timeout=stage.LIMIT) for p in started]
                if any(codes):
                    raise SystemExit(f"{name}, {count} at once: exit codes {codes}")
                samples.add(f"{count} {name}", time.monotonic() - begin)
    rows = [[stage.TITLES[n]] + [stage.ms(samples.median(f"{c} {n}")) for c in counts] for n in names]
    return samples, stage.table([""] + [f"{c} at once" for c in counts], rows)
