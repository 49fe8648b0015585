#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: run.py [--rounds N] [--only SECTION[,SECTION]] [--page FILE] [--json FILE]

Measures everything in one run in a private world (tests/engines/world.py), prints the page as it goes, and writes it
and the samples to the files named.
"""
import inspect
import json
import os
import platform
import subprocess
import sys
import time

import stage

stage.world.enter()

import engines  # noqa: E402
import files  # noqa: E402
import network  # noqa: E402
import pods  # noqa: E402
import resources  # noqa: E402
import start  # noqa: E402

SECTIONS = {
    "start": ("One container of `true`, from a bundle", start.single),
    "phases": ("Where the time goes", start.phases),
    "inside": ("In a running container", start.inside),
    "output": ("Output", start.output),
    "at-once": ("Several at once", start.at_once),
    "memory": ("Memory of one idle busybox container", resources.idle),
    "files": ("Files", files.work),
    "network": ("Network", network.work),
    "engines": ("By an engine", engines.runs),
    "copies": ("Copied by an engine", engines.copies),
    "pods": ("By containerd, and as a pod", pods.pods),
    "fifty": ("Fifty sandboxes", resources.fifty),
    "sizes": ("Sizes", resources.sizes),
}


def version(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "not there"


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024 // 1024
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "CPU": f"{model}, {os.cpu_count()} of them",
        "memory": f"{memory} GiB",
        "host kernel": platform.release(),
        "acceleration": stage.accelerator(),
        "QEMU": version("qemu-system-x86_64", "--version"),
        "crun": version("/usr/bin/crun", "--version"),
        "runc": version("/usr/sbin/runc", "--version"),
        "runsc": version("/usr/bin/runsc", "--version"),
        "onggi": version(stage.world.RUNTIME, "--version") + " " + subprocess.run(
            [stage.world.RUNTIME, "--version"], capture_output=True, text=True).stdout.splitlines()[1],
    }


PREFACE = """# Performance

Written by `make bench` ({command}); every figure of a table comes from one run, interleaved, after a warm-up. Medians;
"middle half" is the distance between the first and the third quarter of the samples. Compare ratios, not milliseconds: the
machine is shared with others.
"""
EMULATED = """
**These figures are from software emulation (TCG):** the machine has no KVM that can run a kernel, so each instruction of a
guest is translated, while crun, runc and runsc run natively. With KVM the same command runs unchanged. What is believed, not
seen: that a restored start is then dominated by the starts of QEMU and of the file server, since most of what the tables show
between "guest goes on" and "process started" is QEMU translating kernel code that runs once.
"""


def options(args):
    given = {"--rounds": "10", "--only": "", "--page": "", "--json": ""}
    while args:
        word = args.pop(0)
        if word not in given or not args:
            sys.exit(__doc__)
        given[word] = args.pop(0)
    return given


def main():
    command = " ".join(["tests/bench/run.py", *sys.argv[1:]])
    given = options(sys.argv[1:])
    rounds = int(given["--rounds"])
    chosen = [s for s in given["--only"].split(",") if s] or list(SECTIONS)
    runtimes = stage.runtimes()
    runtimes["onggi"]("template", "create")
    facts = machine()
    page = PREFACE.format(command="`" + command + "`")
    if facts["acceleration"] == "tcg":
        page += EMULATED
    page += "\n" + stage.table(["", ""], facts.items())
    print(page, flush=True)
    result = {"command": command, "machine": facts, "sections": {}}
    for name in chosen:
        title, function = SECTIONS[name]
        samples, text = function(runtimes, rounds)
        result["sections"][name] = samples
        page += f"\n## {title}\n\n{inspect.getdoc(function) or ''}\n\n{text}"
        print(f"\n## {title}\n\n{text}", flush=True)
    for option, content in (("--page", page), ("--json", json.dumps(result, indent=1) + "\n")):
        if given[option]:
            with open(given[option], "w") as f:
                f.write(content)


if __name__ == "__main__":
    main()
