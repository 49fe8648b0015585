# SPDX-License-Identifier: Apache-2.0
"""A containerd shim driven by hand: started as containerd does it, and called over its socket.

For what ctr cannot ask for: Update, CloseIO at a certain moment, a rootfs on a disk. Works with runc's shim too.
"""
import json
import os
import shutil

import ttrpc
import world
from cases import run
from containerd import NAMES, STATE
from harness import Failure

TASK = "containerd.task.v2.Task"
NAMESPACE = "default"
RUNTIME_SPEC = "types.containerd.io/opencontainers/runtime-spec/1/"
STATUSES = ["UNKNOWN", "CREATED", "RUNNING", "STOPPED", "PAUSED", "PAUSING"]


def text_field(fields, number):
    return fields.get(number, [b""])[0].decode()


class Shim:
    """One container with a shim of its own, in a bundle below the case's folder. To be used in a with statement."""

    def __init__(self, t, name, args, rootfs=None, edit=None, terminal=False, daemon=True):
        """@daemon: False: there is no containerd to hear of events, as with CRI-O."""
        self.name, self.runtime, self.daemon = name, t.runtime, daemon
        self.place = t.path("bundle-" + name)
        self.rootfs = [] if rootfs is None else rootfs
        self.program = "containerd-shim-" + "-".join(NAMES[t.runtime].split(".")[-2:])
        self.client = None
        self.deleted = False
        self.paths = ["", "", ""]
        self._bundle(args, rootfs is None, edit, terminal)

    def _bundle(self, args, with_root, edit, terminal):
        shutil.rmtree(self.place, ignore_errors=True)
        os.makedirs(os.path.join(self.place, "rootfs"))
        if with_root:
            shutil.copytree(os.path.join(world.BUILD, "images", "busybox", "rootfs"), os.path.join(self.place, "rootfs"),
                            symlinks=True, dirs_exist_ok=True)
        done = run([world.RUNTIME, "spec", "--bundle", self.place])
        if done.code != 0:
            raise Failure(f"spec failed: {done!r}")
        path = os.path.join(self.place, "config.json")
        with open(path) as f:
            config = json.load(f)
        config["process"].update(terminal=terminal, args=list(args))
        config["root"] = {"path": "rootfs", "readonly": False}
        config["linux"]["cgroupsPath"] = "/by-hand-" + self.name
        if edit:
            edit(config)
        world.write(path, json.dumps(config))

    def _run(self, *words):
        socket = f"{STATE}/containerd.sock" if self.daemon else ""
        env = dict(os.environ, PATH=f"{world.BUILD}:{os.environ['PATH']}")
        if self.daemon:
            env["TTRPC_ADDRESS"] = socket + ".ttrpc"
        return run([self.program, "-namespace", NAMESPACE, "-address", socket, "-publish-binary", shutil.which("containerd"),
                    "-id", self.name, *words], cwd=self.place, env=env)

    def fifo(self, index):
        path = os.path.join(self.place, f"fifo{index}")
        os.mkfifo(path)
        self.paths[index] = path
        return path

    def __enter__(self):
        # runc's shim ends without it.
        path = os.path.join(self.place, "log")
        os.mkfifo(path)
        self.log = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        done = self._run("start")
        if done.code != 0:
            raise Failure(f"{self.program} start failed: {done!r}")
        self.address = done.text.strip()
        self.client = ttrpc.Client(self.address[len("unix://"):])
        return self

    def __exit__(self, kind, *_):
        os.close(self.log)
        if self.client:
            self.client.close()
        if self.deleted:
            return
        done = self._run("-bundle", self.place, "delete")
        # The first failure is the one to be told.
        if done.code != 0 and kind is None:
            raise Failure(f"{self.program} delete failed: {done!r}")

    # ---- calls

    def send(self, method, *fields):
        return self.client.send(TASK, method, [(1, self.name), *fields])

    def call(self, method, *fields):
        return self.client.answer(self.send(method, *fields))

    def create(self, terminal=False):
        mounts = [(3, [(1, kind), (2, source), *((4, word) for word in options)]) for kind, source, options in self.rootfs]
        self.call("Create", (2, self.place), *mounts, (4, int(terminal)), (5, self.paths[0]), (6, self.paths[1]),
                  (7, self.paths[2]))

    def start(self):
        self.call("Start")

    def status(self):
        return STATUSES[self.call("State").get(4, [0])[0]]

    def wait(self):
        return self.call("Wait").get(1, [0])[0]

    def kill(self, number=9):
        self.call("Kill", (3, number), (4, 1))

    def update(self, resources):
        self.call("Update", (2, [(1, RUNTIME_SPEC + "LinuxResources"), (2, json.dumps(resources))]))

    def pids(self):
        return [ttrpc.decode(one).get(1, [0])[0] for one in self.call("Pids").get(1, [])]

    def stats(self):
        """(name of the message's type, the message)."""
        stats = ttrpc.decode(self.call("Stats")[1][0])
        return text_field(stats, 1).rpartition("/")[2], ttrpc.decode(stats[2][0])

    def exec(self, name, *args, out=""):
        process = {"cwd": "/", "args": list(args), "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
        self.call("Exec", (2, name), (5, out), (7, [(1, RUNTIME_SPEC + "Process"), (2, json.dumps(process))]))
        self.call("Start", (2, name))
        code = self.call("Wait", (2, name)).get(1, [0])[0]
        self.call("Delete", (2, name))
        return code

    def output(self, *args):
        """Output of an exec that must succeed."""
        path = os.path.join(self.place, "exec.out")
        if os.path.exists(path):
            os.unlink(path)
        code = self.exec("x", *args, out="file://" + path)
        with open(path) as f:
            text = f.read()
        if code != 0:
            raise Failure(f"exec of {args} ended with {code}: {text!r}")
        return text.rstrip("\n")

    def delete(self):
        """As containerd does at the end of a task; the shim ends."""
        answer = self.call("Delete")
        try:
            self.call("Shutdown")
        except ConnectionError:
            # runc's shim may be gone before its answer has left, which containerd takes for one. Ours answers.
            if "runc" not in self.program:
                raise
        self.deleted = True
        return answer.get(2, [0])[0]
