# SPDX-License-Identifier: Apache-2.0
"""Many machines at once: this needs the processors for itself, so it runs when nothing else does."""
import subprocess

from harness import check_equal, claim
from store import clones, fresh_store

# Seconds for thirty machines on two processors that may have other work.
THIRTY_LIMIT = 240


@claim("thirty machines go on from one template at once, and no two draw the same numbers")
def thirty(box):
    store = fresh_store(box)
    box.ok("template", "create")
    bundle = box.bundle(["sh", "-c", "head -c 32 /dev/urandom | od -An -v -tx1 -w32; cat /proc/sys/kernel/random/boot_id"])
    started = [box.popen("run", "--bundle", bundle, f"c{n}", stdin=subprocess.DEVNULL) for n in range(30)]
    outputs = []
    for process in started:
        out, err = process.communicate(timeout=THIRTY_LIMIT)
        check_equal(process.returncode, 0, f"exit code: {err}")
        outputs.append(out.decode().split("\n"))
    check_equal(clones(store), 30, "machines started from the template")
    for line in range(2):
        check_equal(len({o[line] for o in outputs}), 30, f"different values of line {line}")
