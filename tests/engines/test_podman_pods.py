# SPDX-License-Identifier: Apache-2.0
"""podman: pods, by pod create and by kube play."""
import json

from cases import case
from harness import check_equal, check_in, processes, wait_until
from podman import IMAGE
from web import SERVE, served

# Waits for the loopback service of its pod.
CLIENT = "until wget -qO- http://127.0.0.1/ 2>/dev/null; do sleep 0.2; done; echo ready; exec sleep 1000"


def machines():
    return sum("qemu-system" in text for text in processes().values())


@case("podman", "a pod of two containers")
def pod(t):
    t.ok("pod", "create", "--name", "shelf", "--hostname", "shelf", "-p", "8085:80")
    t.ok("run", "-d", "--pod", "shelf", "--name", "server", IMAGE, *SERVE)
    t.ok("run", "-d", "--pod", "shelf", "--name", "client", IMAGE, "sh", "-c", CLIENT)
    with t.line("one sees the other's service on localhost"):
        wait_until(lambda: "ready" in t.out("logs", "client"), "the service was met")
        check_equal(t.out("logs", "client"), "shelf\nready", "what was served")
    with t.line("a pod is one VM"):
        check_equal(machines(), 1 if t.ours else 0, "virtual machines")
    with t.line("both have the pod's name, address and ipc"):
        seen = [t.out("exec", name, "sh", "-c", "hostname; ip -4 -o addr show eth0; readlink /proc/self/ns/ipc")
                for name in ("server", "client")]
        check_equal(seen[0], seen[1], "of both containers")
        t.ok("exec", "server", "sh", "-c", "echo shared >/dev/shm/file")
        check_equal(t.out("exec", "client", "cat", "/dev/shm/file"), "shared", "/dev/shm")
    with t.line("processes are apart"):
        check_equal("httpd" in t.out("exec", "client", "ps"), False, "the server is seen")
    with t.line("the pod's published port"):
        served("http://127.0.0.1:8085/", "shelf\n")
    with t.line("pod stop, start, ps, rm"):
        t.ok("pod", "stop", "-t", "0", "shelf")
        check_equal(machines(), 0, "virtual machines")
        t.ok("pod", "start", "shelf")
        served("http://127.0.0.1:8085/", "shelf\n")
        check_in("Running", t.out("pod", "ps"), "state")
        t.ok("pod", "rm", "-f", "-t", "0", "shelf")
        check_equal(t.out("ps", "-aq"), "", "containers")


@case("podman", "kube play")
def kube(t):
    container = {"image": IMAGE, "imagePullPolicy": "Never"}
    t.path("pod.yaml", json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kiln", "labels": {"app": "kiln"}},
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "containers": [
                {**container, "name": "server", "command": list(SERVE),
                 "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                 "resources": {"limits": {"memory": "64Mi"}},
                 "ports": [{"containerPort": 80, "hostPort": 8086}]},
                {**container, "name": "client", "command": ["sh", "-c", CLIENT],
                 "env": [{"name": "GLAZE", "value": "blue"}],
                 "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                 "securityContext": {"runAsUser": 1000}},
            ]}}))
    t.ok("kube", "play", t.path("pod.yaml"))
    with t.line("both containers run and share localhost"):
        wait_until(lambda: "ready" in t.out("logs", "kiln-client"), "the service was met")
        served("http://127.0.0.1:8086/", "kiln\n")
    with t.line("environment, user, a volume of both"):
        t.ok("exec", "kiln-server", "sh", "-c", "echo put >/shared/file")
        check_equal(t.out("exec", "kiln-client", "sh", "-c", "echo $GLAZE; id -u; cat /shared/file"), "blue\n1000\nput",
                    "in the client")
    with t.line("kube down takes it away"):
        t.ok("kube", "down", t.path("pod.yaml"))
        check_equal(t.out("ps", "-aq"), "", "containers")


@case("podman", "namespaces of another container")
def other_container(t):
    t.ok("run", "-d", "--network", "none", "--name", "first", IMAGE, "sleep", "1000")
    with t.line("--pid container: with its network sees its processes"):
        out = t.out("run", "--rm", "--network", "container:first", "--pid", "container:first", IMAGE, "ps")
        check_in("sleep 1000", out, "processes")
    with t.line("--pid container: without its network is refused, or there with the reference"):
        done = t.call("run", "--rm", "--network", "none", "--pid", "container:first", IMAGE, "ps")
        check_equal(done.code != 0, t.ours, f"refused: {done!r}")
        if t.ours:
            check_in("another VM", done.errors, "message")
