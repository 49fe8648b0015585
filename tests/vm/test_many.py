# SPDX-License-Identifier: Apache-2.0
"""Many sandboxes: one after the other, and at the same time."""
import threading

from harness import check_equal, claim


@claim("20 sandboxes one after the other leave nothing behind")
def one_after_the_other(box):
    bundle = box.bundle(["sh", "-c", "echo $HOSTNAME; hostname; exit 3"])
    for number in range(20):
        result = box.command("run", "-b", bundle, f"c{number}")
        check_equal((result.code, result.text.split()[-1]), (3, "onggi-test"), f"run {number} ({result!r})")


@claim("6 sandboxes at a time, all of them right, leave nothing behind")
def six_at_a_time(box):
    bundles = [box.bundle(["sh", "-c", f"echo hello {n}; cat; exit {n}"]) for n in range(6)]
    results = [None] * 6

    def one(n):
        results[n] = box.command("run", "-b", bundles[n], f"c{n}", stdin=f"input {n}".encode(), limit=180)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for n, result in enumerate(results):
        check_equal((result.code, result.text), (n, f"hello {n}\ninput {n}"), f"run {n} ({result!r})")


@claim("6 containers made at once in one network namespace share one VM")
def six_in_one(box):
    import os
    first = box.start(["sleep", "1000"], name="c0")
    spaces = [{"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")]
    spaces.append({"type": "network", "path": f"/proc/{first}/ns/net"})
    bundles = [box.bundle(["sleep", "1000"], linux__namespaces=spaces) for _ in range(5)]
    threads = [threading.Thread(target=box.create_bundle, args=(b, f"c{n + 1}")) for n, b in enumerate(bundles)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check_equal(sorted(box.containers()), [f"c{n}" for n in range(6)], "containers")
    check_equal(len(os.listdir(os.path.join(box.root, "sandboxes"))), 1, "sandboxes")
