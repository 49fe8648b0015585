# SPDX-License-Identifier: Apache-2.0
"""CRI-O's calls of a runtime of type "vm", made by hand: no address, no events, pinned namespaces, its annotations."""
import os

from cases import case, run
from harness import Failure, check, check_equal, kill_quietly, wait_until
from shim import Shim

KINDS = {"network": "net", "ipc": "ipc", "uts": "uts"}
# Where CRI-O pins the namespaces of its pods.
PLACE = "/run/crio-{}ns"


def pin_namespaces():
    for kind in KINDS.values():
        os.makedirs(PLACE.format(kind), exist_ok=True)
        with open(PLACE.format(kind) + "/pod", "w"):
            pass
    done = run(["unshare", *[f"--{kind}={PLACE.format(kind)}/pod" for kind in KINDS.values()], "hostname", "crio-pod"])
    if done.code != 0:
        raise Failure(f"no namespaces: {done!r}")


def unpin_namespaces():
    for kind in KINDS.values():
        run(["umount", PLACE.format(kind) + "/pod"])
        os.unlink(PLACE.format(kind) + "/pod")
        os.rmdir(PLACE.format(kind))


def member(kind):
    """Edits a spec as CRI-O has it for the pod's sandbox or one of its containers."""
    def edit(config):
        config["linux"]["namespaces"] = [{"type": "pid"}, {"type": "mount"}] + [
            {"type": space, "path": PLACE.format(name) + "/pod"} for space, name in KINDS.items()]
        config["annotations"] = {"io.kubernetes.cri-o.ContainerType": kind, "io.kubernetes.cri-o.SandboxID": "crio-sandbox"}
        config["hostname"] = "crio-pod"
    return edit


@case("containerd", "as CRI-O calls it", runtimes=("onggi",))
def crio(t):
    pin_namespaces()
    try:
        with Shim(t, "crio-sandbox", ("sleep", "1000"), edit=member("sandbox"), daemon=False) as sandbox:
            sandbox.create()
            sandbox.start()
            with t.line("the address is in the bundle, for a CRI-O that comes back"):
                with open(os.path.join(sandbox.place, "address")) as f:
                    check_equal(f.read(), sandbox.address, "address")
            out = t.path("out")
            with Shim(t, "crio-one", ("sh", "-c", "hostname; exit 6"), edit=member("container"), daemon=False) as one:
                with t.line("a container of the pod is in its VM, and its end is told by Wait and State"):
                    check_equal(one.address, sandbox.address, "address")
                    one.paths[1] = "file://" + out
                    one.create()
                    check_equal(one.status(), "CREATED", "status")
                    one.start()
                    check_equal(one.wait(), 6, "exit code")
                    check_equal((one.status(), one.call("State")[9][0]), ("STOPPED", 6), "state")
                    check(10 in one.call("State"), "no time of its end")
                    with open(out) as f:
                        check_equal(f.read(), "crio-pod\n", "host name")
                with t.line("its figures are of a type that CRI-O knows"):
                    check_equal(sandbox.stats()[0], "io.containerd.cgroups.v2.Metrics", "type")
                check_equal(one.delete(), 6, "Delete's code")
            with t.line("the other one has not noticed, and the pod ends by calls alone"):
                check_equal(sandbox.output("echo", "alive"), "alive", "exec")
                sandbox.kill()
                check_equal(sandbox.wait(), 137, "exit code")
                check_equal(sandbox.delete(), 137, "Delete's code")
            with t.line("the monitor has gone"):
                wait_until(lambda: not os.path.exists(sandbox.address[len("unix://"):]), "its socket has gone")
        with t.line("a monitor that is killed: who waits hears of it, and another pod starts though nobody has cleaned up"):
            with Shim(t, "crio-lost", ("sleep", "1000"), edit=member("sandbox"), daemon=False) as lost:
                lost.create()
                lost.start()
                waiting = lost.send("Wait")
                kill_quietly(lost.call("State")[3][0])
                try:
                    lost.client.answer(waiting)
                    check(False, "it has ended well")
                except ConnectionError:
                    pass
                with Shim(t, "crio-next", ("true",), edit=member("sandbox"), daemon=False) as following:
                    following.create()
                    following.start()
                    check_equal(following.wait(), 0, "exit code")
                    following.delete()
        with t.line("a name that ended so can be used again"):
            with Shim(t, "crio-sandbox", ("true",), edit=member("sandbox"), daemon=False) as again:
                again.create()
                again.start()
                check_equal(again.wait(), 0, "exit code")
                again.delete()
    finally:
        unpin_namespaces()
