# SPDX-License-Identifier: Apache-2.0
"""podman and buildah in the private world: configuration, images, cleaning up between cases."""
import json

import world
from cases import engine, run
from harness import Failure

IMAGE = "localhost/busybox"
NGINX = "localhost/nginx"
# What engines keep for the next container; each is made once, not once for each container.
KEPT = {"cgroups": ("/libpod_parent",), "mounts": ("/netns", "/storage/overlay /var/lib/containers"), "network links": (), "processes": ()}


def configure():
    """Everything podman and buildah read; README.md shows the part a user needs."""
    names = ", ".join(f'"{name}"' for name in world.RUNTIMES)
    limits = ", ".join(f'"{limit}"' for limit in world.LIMITS)
    runtimes = "\n".join(f'{name} = ["{path}"]' for name, path in world.RUNTIMES.items())
    world.write("/etc/containers/containers.conf", f"""[containers]
default_ulimits = [{limits}]

[network]
network_backend = "netavark"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
runtime_supports_json = [{names}]

[engine.runtimes]
{runtimes}
""")
    world.write("/etc/containers/storage.conf", '[storage]\ndriver = "overlay"\n'
                'runroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n')
    world.write("/etc/containers/policy.json", json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    world.write("/etc/containers/registries.conf", "unqualified-search-registries = []\n")


def load_image(tag):
    done = run(["skopeo", "copy", "-q", f"oci:{world.LAYOUT}:{tag}", f"containers-storage:localhost/{tag}:latest"])
    if done.code != 0:
        raise Failure(f"cannot import the image '{tag}': {done!r}")


@engine
class Podman:
    name = "podman"
    reference = "crun"
    configured = False

    @classmethod
    def start(cls):
        """Nothing runs between commands: write the configuration, import images, let podman make what it keeps."""
        if not Podman.configured:
            configure()
            for tag in ("busybox", "minbase", "nginx"):
                load_image(tag)
            Podman.configured = True
        for runtime, network in ((Podman.reference, "podman"), ("onggi", "none")):
            done = run(Podman.argv(runtime, ["run", "--rm", "--network", network, IMAGE, "true"]))
            if done.code != 0:
                raise Failure(f"podman does not work with {runtime}: {done!r}")

    @staticmethod
    def argv(runtime, args):
        return ["podman", "--runtime", runtime, *args]

    @staticmethod
    def clean(runtime):
        """Whatever a case left: containers, pods, volumes, networks."""
        for kind, remove in ((("pod", "ps", "-q"), ("pod", "rm", "-f", "-t", "0")),
                             (("ps", "-aq"), ("rm", "-f", "-t", "0")),
                             (("volume", "ls", "-q"), ("volume", "rm", "-f")),
                             (("network", "ls", "-q", "--filter", "driver=bridge"), ("network", "rm", "-f"))):
            names = [n for n in run(["podman", *kind]).text.split() if n != "podman"]
            if names:
                done = run(["podman", *remove, *names])
                if done.code != 0:
                    raise Failure(f"podman {' '.join(remove)} failed: {done!r}")

    @staticmethod
    def stop():
        pass

    @staticmethod
    def keeps(kind, item):
        return any(word in str(item) for word in KEPT.get(kind, ()))


@engine
class Buildah(Podman):
    name = "buildah"

    @staticmethod
    def argv(runtime, args):
        """--runtime belongs to the commands that run something."""
        if args[0] in ("run", "bud"):
            return ["buildah", args[0], "--runtime", world.RUNTIMES[runtime], *args[1:]]
        return ["buildah", *args]

    @staticmethod
    def clean(runtime):
        run(["buildah", "rm", "--all"])
        Podman.clean(runtime)
