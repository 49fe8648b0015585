# SPDX-License-Identifier: Apache-2.0
"""containerd: hooks of the specification, and a rootfs that is a folder, as a bundle of one's own has them."""
import json
import os

from cases import case
from containerd import bundle, status
from harness import check, check_equal, wait_until

KINDS = ("prestart", "createRuntime", "poststart", "poststop")


def entry(t, kind, code=0):
    """A hook that appends its kind, network namespace and the state to a file."""
    out = os.path.join(t.dir, "hooks")
    return [{"path": "/bin/sh", "args": ["sh", "-c", f"(echo {kind} $(readlink /proc/self/ns/net) $(cat)) >>{out}; exit {code}"]}]


def lines(t):
    with open(os.path.join(t.dir, "hooks")) as f:
        return [line.split(" ", 2) for line in f.read().splitlines()]


@case("containerd", "hooks", runtimes=("onggi",))
def hooks(t):
    place = bundle(t, hooks={kind: entry(t, kind) for kind in KINDS})
    t.ok("run", "-d", "--config", os.path.join(place, "config.json"), "hooked")
    wait_until(lambda: len(lines(t)) == 3, "poststart has run")
    t.ok("task", "kill", "-s", "KILL", "hooked")
    wait_until(lambda: status(t, "hooked") == "STOPPED", "it has stopped")
    t.call("task", "rm", "hooked")
    t.ok("container", "rm", "hooked")
    found = lines(t)
    with t.line("each runs once, in order, in the host's network namespace"):
        check_equal([kind for kind, _, _ in found], list(KINDS), "kinds")
        check_equal({space for _, space, _ in found}, {os.readlink("/proc/self/ns/net")}, "network namespaces")
    with t.line("the state has a pid as long as there is one"):
        states = [json.loads(text) for _, _, text in found]
        check(all(s["id"] == "hooked" for s in states), f"ids in {states}")
        check(all(s["pid"] > 0 for s in states[:3]) and not states[3].get("pid"), f"pids in {states}")
    with t.line("one that fails fails the container, of which nothing is left"):
        place = bundle(t, hooks={"createRuntime": entry(t, "failing", 4)})
        done = t.call("run", "-d", "--config", os.path.join(place, "config.json"), "refused")
        check(done.code != 0, "it runs")
        check_equal(status(t, "refused"), None, "task")
        t.call("container", "rm", "refused")
