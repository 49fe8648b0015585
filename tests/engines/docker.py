# SPDX-License-Identifier: Apache-2.0
"""dockerd in the private world: configuration, start and end of the daemon, images, cleaning up between cases."""
import json
import os

import cases
import world
from cases import engine, run
from daemon import Daemon
from harness import Failure

IMAGE = "busybox"
NGINX = "nginx"
SOCKET = "unix:///run/docker.sock"
CONFIG = "/etc/docker/daemon.json"
# /usr/local/bin may hold another client: the one of Debian's package is the one that is tested.
CLIENT = "/usr/bin/docker"
# dockerd 20.10 passes this root to each runtime, whatever its name.
STATE = "/run/docker/runtime-runc"

# README.md shows the part that a user needs: "runtimes".
SETTINGS = {
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "storage-driver": "overlay2",
    "live-restore": True,
    "runtimes": {"onggi": {"path": world.RUNTIME}, "runsc": {"path": world.RUNTIMES["runsc"],
                           "runtimeArgs": ["--platform=ptrace", "--network=none", "--ignore-cgroups"]}},
}

# What the engine keeps between containers; made once, not once for each container.
KEPT = {
    "cgroups": ("/docker", "/buildkit"),
    "mounts": ("/netns/default",),
    "processes": ("dockerd ", "containerd --config "),
}
# The default state root of onggi, which BuildKit uses: the first container makes it.
KEPT_FOLDERS = ["/run/onggi/" + name for name in ("cache", "cache/kvm.json", "containers", "lock", "sandboxes")]

if STATE not in cases.OUR_FOLDERS:
    cases.OUR_FOLDERS += (STATE,)


@engine
class Docker(Daemon):
    name = "docker"
    program = "dockerd"
    reference = "runc"

    @classmethod
    def start(cls, **settings):
        """The daemon (with its own containerd) and the images. @settings change daemon.json."""
        cls.start_daemon(**settings)
        cls.load_image(IMAGE)
        # Both make folders of their own at the first use.
        for runtime in (cls.reference, "onggi"):
            done = cls.run("run", "--rm", "--network", "none", "--runtime", runtime, IMAGE, "true")
            if done.code != 0:
                raise Failure(f"docker does not work with {runtime}: {done!r}")

    @classmethod
    def start_daemon(cls, first_in_path="", **settings):
        """@first_in_path: a folder whose programs dockerd finds before the system's."""
        world.write(CONFIG, json.dumps({**SETTINGS, **settings}))
        os.environ["DOCKER_HOST"] = SOCKET
        cls.launch(["dockerd", "--config-file", CONFIG, "--host", SOCKET], first_in_path)

    @classmethod
    def load_image(cls, tag):
        """Import the image @tag unless it is there already."""
        if cls.run("image", "inspect", tag).code == 0:
            return
        archive = os.path.join(world.PLACE, "tmp", f"{tag}.tar")
        done = run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{world.LAYOUT}:{tag}", f"docker-archive:{archive}:{tag}:latest"])
        if done.code == 0:
            done = cls.run("load", "-i", archive)
        if done.code != 0:
            raise Failure(f"cannot import the image '{tag}': {done!r}")
        os.unlink(archive)

    @staticmethod
    def run(*args, **options):
        return run([CLIENT, *args], **options)

    @staticmethod
    def argv(runtime, args):
        """--runtime is an option of the commands that make a container."""
        args = list(args)
        if args[0] in ("run", "create"):
            args[1:1] = ["--runtime", runtime]
        return [CLIENT, *args]

    @classmethod
    def clean(cls, runtime):
        """Whatever a case left: containers, volumes, networks."""
        for kind, remove in ((("ps", "-aq"), ("rm", "-f", "-v")),
                             (("volume", "ls", "-q"), ("volume", "rm", "-f")),
                             (("network", "ls", "-q", "--filter", "type=custom"), ("network", "rm"))):
            names = cls.run(*kind).text.split()
            if names:
                done = cls.run(*remove, *names)
                if done.code != 0:
                    raise Failure(f"docker {' '.join(remove)} failed: {done!r}")

    @classmethod
    def containerd(cls):
        """The pid of the daemon's own containerd."""
        with open("/run/docker/containerd/containerd.pid") as f:
            return int(f.read())

    @staticmethod
    def keeps(kind, item):
        return item in KEPT_FOLDERS or any(word in str(item) for word in KEPT.get(kind, ()))
