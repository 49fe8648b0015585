# SPDX-License-Identifier: Apache-2.0
"""containerd in the private world, without docker: its daemon, images, its own client ctr, and its events."""
import glob
import json
import os
import re
import select
import shutil
import socket
import subprocess

import cases
import rpc
import ttrpc
import world
from cases import engine, run
from daemon import Daemon
from harness import Failure, check_equal, check_in, wait_until

SLEEPER = ("sh", "-c", "trap 'exit 5' TERM; sleep 1000 & wait")
IMAGE = "docker.io/library/busybox:latest"
CONFIG = "/etc/containerd/onggi.toml"
STATE, ROOT = "/run/containerd", "/var/lib/containerd"
NAMESPACE = "default"
OTHER_NAMESPACE = "other"
SHIM = os.path.join(world.BUILD, "containerd-shim-onggi-v2")
# What containerd finds behind each name: containerd-shim-<x>-v2, in the PATH that it is started with.
NAMES = {"onggi": "io.containerd.onggi.v2", "runc": "io.containerd.runc.v2"}

# Made by the first container of a namespace and kept: the state root.
STATE_ROOT = r"/run/onggi/containerd(/[0-9a-f]{16}(/(lock|cache|cache/.*|containers|sandboxes))?)?"
if "/run/containerd/s" not in cases.OUR_FOLDERS:
    cases.OUR_FOLDERS += ("/run/containerd/s", f"{STATE}/io.containerd.runtime.v2.task")


@engine
class Containerd(Daemon):
    name = program = "containerd"
    reference = "runc"

    @classmethod
    def start(cls):
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        world.write(CONFIG, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                    f'root = "{ROOT}"\nstate = "{STATE}"\n')
        cls.start_daemon()
        archive = os.path.join(world.PLACE, "tmp", "busybox-containerd.tar")
        done = run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{world.LAYOUT}:busybox",
                    f"docker-archive:{archive}:{IMAGE}"])
        for namespace in (NAMESPACE, OTHER_NAMESPACE):
            if done.code == 0:
                done = cls.run("-n", namespace, "image", "import", archive)
        if done.code != 0:
            raise Failure(f"cannot import the image: {done!r}")
        # gRPC keeps descriptors from its first use on.
        with Tasks() as tasks:
            tasks.call("List")
        # Both make folders of their own at the first use.
        for runtime in NAMES:
            for namespace in (NAMESPACE, OTHER_NAMESPACE):
                done = cls.run("-n", namespace, "run", "--rm", "--runtime", NAMES[runtime], IMAGE, "first", "true")
                if done.code != 0:
                    raise Failure(f"containerd does not work with {runtime}: {done!r}; {cls.log()[-2000:]}")

    @classmethod
    def start_daemon(cls, config=CONFIG):
        cls.launch(["containerd", "--config", config], first_in_path=world.BUILD)

    @staticmethod
    def run(*args, **options):
        return run(["ctr", *args], **options)

    @staticmethod
    def argv(runtime, args):
        """--runtime is an option of run and create; a namespace may stand before them."""
        args = list(args)
        for i, word in enumerate(args[:3]):
            if word == "run" or args[i:i + 2] == ["container", "create"]:
                args[i + (2 if word == "container" else 1):0] = []
                at = i + (1 if word == "run" else 2)
                args[at:at] = ["--runtime", NAMES[runtime]]
                break
        return ["ctr", *args]

    @classmethod
    def clean(cls, runtime):
        for namespace in (NAMESPACE, OTHER_NAMESPACE):
            for kind, remove in (("task", ("task", "rm", "-f")), ("container", ("container", "rm"))):
                names = cls.run("-n", namespace, kind, "ls", "-q").text.split()
                if names:
                    done = cls.run("-n", namespace, *remove, *names)
                    if done.code != 0:
                        raise Failure(f"ctr {' '.join(remove)} failed: {done!r}")

    @classmethod
    def bundle(cls, container, namespace=NAMESPACE):
        return f"{STATE}/io.containerd.runtime.v2.task/{namespace}/{container}"

    @classmethod
    def pid(cls, container, namespace=NAMESPACE):
        """Of a task, as containerd tells it."""
        for line in cls.run("-n", namespace, "task", "ls").text.splitlines()[1:]:
            words = line.split()
            if words[0] == container:
                return int(words[1])
        raise Failure(f"there is no task '{container}'")

    @staticmethod
    def keeps(kind, item):
        text = str(item)
        return (text.startswith("containerd --config") or "containerd --config" in text or
                (kind == "cgroups" and text.endswith(("/default", "/other"))) or
                (kind == "folders" and re.fullmatch(STATE_ROOT, text) is not None))


class Events:
    """What `ctr events` prints while a block of code runs: a list of (topic, fields)."""

    def __enter__(self):
        self.process = subprocess.Popen(["ctr", "events"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        # What happens before it is connected it does not tell: make something happen until it does.
        number = 0
        while not select.select([self.process.stdout], [], [], .2)[0]:
            number += 1
            run(["ctr", "namespace", "label", NAMESPACE, f"listened={number}"])
        return self

    def until(self, wanted, **values):
        """Events up to the first one of the topic @wanted whose fields have these @values."""
        found = []
        for line in self.process.stdout:
            topic = next(w for w in line.split() if w.startswith("/"))
            if topic.startswith("/namespaces/"):
                continue
            fields = json.loads(line[line.index("{"):]) if "{" in line else {}
            found.append((topic, fields))
            if topic == wanted and values.items() <= fields.items():
                return found
        raise Failure(f"the events ended before {wanted}: {found}")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Tasks:
    """What ctr has no command for: calls of containerd's own interface for tasks, with fields by their numbers."""

    def __init__(self):
        self.channel = rpc.connect(f"unix://{STATE}/containerd.sock")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, *fields):
        return rpc.caller(self.channel, "containerd.services.tasks.v1.Tasks", method, ttrpc.encode, ttrpc.decode,
                          (("containerd-namespace", NAMESPACE),))(fields)


def status(t, name, *namespace):
    for line in t.call(*namespace, "task", "ls").text.splitlines()[1:]:
        words = line.split()
        if words[0] == name:
            return words[2]
    return None


def remove(t, name, code):
    wait_until(lambda: status(t, name) == "STOPPED", f"{name} has stopped")
    done = t.ok("task", "rm", name)
    check_in(f"exit with non-zero exit code {code}", done.errors, f"exit code of {name}")
    t.ok("container", "rm", name)


def children(pid):
    """Of the sandbox monitor: command line -> pid."""
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(path + "/stat") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
            with open(path + "/cmdline") as f:
                command = f.read().replace("\0", " ")
        except OSError:
            continue
        if parent == pid:
            found[command] = int(path.split("/")[2])
    return found


def remove_dead_sockets():
    """A shim of runc's that is killed leaves its own, where containerd does not look for it."""
    for path in glob.glob("/run/containerd/s/*"):
        with socket.socket(socket.AF_UNIX) as s:
            if s.connect_ex(path) != 0:
                os.unlink(path)


def bundle(t, **changes):
    """A bundle as containerd makes it, the rootfs in it."""
    place = t.path("bundle")
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    shutil.copytree(os.path.join(world.BUILD, "images", "busybox", "rootfs"), os.path.join(place, "rootfs"), symlinks=True)
    done = run([world.RUNTIME, "spec", "--bundle", place])
    check_equal(done.code, 0, f"spec ({done!r})")
    path = os.path.join(place, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["root"]["path"] = os.path.join(place, "rootfs")
    config["process"].update(terminal=False, args=["sleep", "1000"])
    config.update(changes)
    world.write(path, json.dumps(config))
    return place
