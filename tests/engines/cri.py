# SPDX-License-Identifier: Apache-2.0
"""containerd with its CRI plugin in the private world, and a client that does what kubelet does.

The runtime handlers are "onggi" and "runc". Pods get addresses from CNI's bridge plugin. Images are imported: one of
busybox, and a sandbox image made of the same program.
"""
import io
import json
import os
import subprocess
import sys
import tarfile
import uuid

import cases
import containerd
import rpc
import world
from cases import engine, run
from containerd import Containerd
from daemon import DAEMON_LIMIT
from harness import Failure, wait_until
from rpc import CallError

CONFIG = "/etc/containerd/cri.toml"
NETWORK = "/etc/cni/net.d/10-pods.conflist"
PLUGINS = "/usr/lib/cni"
IMAGE = "docker.io/library/busybox:latest"
SANDBOX_IMAGE = "onggi.test/sandbox:1"
NAMESPACE = "k8s.io"
SUBNET = "10.77.0.0/16"
BRIDGE = "pods0"
SOCKET = f"unix://{containerd.STATE}/containerd.sock"
# What kubelet has for each pod.
PODS = "/run/world/pods"
# Where the plugin keeps sandboxes and containers, and CNI its namespaces.
PLUGIN = f"{containerd.STATE}/io.containerd.grpc.v1.cri"
for place in (f"{PLUGIN}/sandboxes", f"{PLUGIN}/containers", "/run/netns"):
    if place not in cases.OUR_FOLDERS:
        cases.OUR_FOLDERS += (place,)

# docs/kubernetes.md shows the part that a user needs.
SETTINGS = f"""version = 2
root = "{containerd.ROOT}"
state = "{containerd.STATE}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{os.path.dirname(NETWORK)}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.onggi]
      runtime_type = "io.containerd.onggi.v2"
      pod_annotations = ["io.onggi.*"]
      privileged_without_host_devices = true
"""
CNI = {
    "cniVersion": "0.4.0", "name": "pods",
    "plugins": [{"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": True,
                 "ipam": {"type": "host-local", "ranges": [[{"subnet": SUBNET}]], "routes": [{"dst": "0.0.0.0/0"}]}}],
}


def messages():
    """The module with the interface's messages, compiled from cri.proto."""
    place = os.path.join(world.PLACE, "proto")
    if place not in sys.path:
        os.makedirs(place, exist_ok=True)
        subprocess.run(["protoc", f"--proto_path={os.path.dirname(os.path.abspath(__file__))}", f"--python_out={place}",
                        "cri.proto"], check=True)
        sys.path.append(place)
    import cri_pb2
    return cri_pb2


class Client:
    """.Method(request) of each method of both services."""

    def __init__(self, address):
        self.pb = messages()
        self.channel = rpc.connect(address)
        for service in self.pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                setattr(self, method.name, self.caller(service, method))

    def caller(self, service, method):
        call = rpc.caller(self.channel, service.full_name, method.name, lambda message: message.SerializeToString(),
                          getattr(self.pb, method.output_type.name).FromString)
        return lambda request=None: call(request if request is not None else self.pb.Empty())

    def close(self):
        self.channel.close()


def make_sandbox_image(path):
    """An archive as `docker save` writes it: busybox, which sleeps."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(os.path.join(world.BUILD, "images", "busybox", "rootfs", "bin", "busybox"), "busybox")
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
              "config": {"Entrypoint": ["/busybox", "sleep", "1000000"]}}
    manifest = [{"Config": "config.json", "RepoTags": [SANDBOX_IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        for name, data in (("layer.tar", layer.getvalue()), ("config.json", json.dumps(config).encode()),
                           ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def digest(data):
    import hashlib
    return "sha256:" + hashlib.sha256(data).hexdigest()


@engine
class Cri:
    name = "cri"
    reference = "runc"
    client = None

    @classmethod
    def start(cls):
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        os.makedirs(os.path.dirname(NETWORK), exist_ok=True)
        os.makedirs(PODS, exist_ok=True)
        world.write(CONFIG, SETTINGS)
        world.write(NETWORK, json.dumps(CNI))
        cls.start_daemon()
        archives = [os.path.join(world.PLACE, "tmp", name) for name in ("busybox-cri.tar", "sandbox-cri.tar")]
        done = run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{world.LAYOUT}:busybox",
                    f"docker-archive:{archives[0]}:{IMAGE}"])
        make_sandbox_image(archives[1])
        for archive in archives:
            if done.code == 0:
                done = Containerd.run("-n", NAMESPACE, "image", "import", archive)
        if done.code != 0:
            raise Failure(f"cannot import the images: {done!r}")
        pb = cls.client.pb
        for name in (IMAGE, SANDBOX_IMAGE):
            wait_until(lambda: cls.client.ImageStatus(pb.ImageStatusRequest(image=pb.ImageSpec(image=name))).image.id,
                       f"{name} is known")
        # Both runtimes, CNI and iptables make things of their own at the first use.
        for runtime in ("runc", "onggi"):
            with Pod(runtime, "first") as pod:
                pod.container("first", "true")

    @classmethod
    def start_daemon(cls):
        Containerd.start_daemon(CONFIG)
        cls.client = Client(SOCKET)
        wait_until(cls.ready, "the network is ready", DAEMON_LIMIT)

    @classmethod
    def ready(cls):
        try:
            found = {c.type: c.status for c in cls.client.Status().status.conditions}
        except CallError as e:
            if e.code in ("UNAVAILABLE", "UNKNOWN", "UNIMPLEMENTED"):
                return False
            raise
        return found.get("RuntimeReady") and found.get("NetworkReady")

    @classmethod
    def stop(cls, number=None):
        cls.client.close()
        Containerd.stop(*([number] if number else []))

    @staticmethod
    def argv(_, args):
        """For the tests' own looks behind the interface."""
        return ["ctr", "-n", NAMESPACE, *args]

    @classmethod
    def clean(cls, _):
        pb = cls.client.pb
        for pod in cls.client.ListPodSandbox().items:
            cls.client.StopPodSandbox(pb.PodSandboxId(id=pod.id))
            cls.client.RemovePodSandbox(pb.PodSandboxId(id=pod.id))
            world.remove_cgroups(pod_cgroups(pod.metadata.uid))

    @staticmethod
    def keeps(kind, item):
        text = str(item)
        return (Containerd.keeps(kind, item) or (kind == "cgroups" and text.endswith(("/k8s.io", "/kubepods"))) or
                (kind == "folders" and text == f"{containerd.STATE}/io.containerd.runtime.v2.task/{NAMESPACE}") or
                (kind == "mounts" and text.endswith(" /run/netns")) or (kind == "network links" and BRIDGE in text))


class Pod:
    """A pod as kubelet runs it: one container after the other in a sandbox of its own."""

    def __init__(self, runtime, name, sysctls=None, resources=None, annotations=None, dns=None, pid="CONTAINER",
                 memory_limit=0, network="POD", ipc="POD", privileged=False):
        pb = self.pb = Cri.client.pb
        self.name, self.runtime, self.attempts, self.containers = name, runtime, {}, {}
        self.uid = str(uuid.uuid4())
        self.dir = os.path.join(PODS, self.uid)
        self.logs = os.path.join(self.dir, "logs")
        os.makedirs(self.logs)
        self.namespaces = pb.NamespaceOption(network=network, pid=pid, ipc=ipc)
        self.config = pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=name, uid=self.uid, namespace="tests"), log_directory=self.logs,
            hostname="" if network == "NODE" else name,
            dns_config=pb.DNSConfig(**dns) if dns else None, annotations=annotations or {},
            linux=pb.LinuxPodSandboxConfig(
                cgroup_parent=f"/kubepods/pod{self.uid}", sysctls=sysctls or {},
                resources=pb.LinuxContainerResources(**resources) if resources else None,
                security_context=pb.LinuxSandboxSecurityContext(namespace_options=self.namespaces, privileged=privileged)))
        make_pod_cgroups(self.uid)
        if memory_limit:
            limit_memory(self.uid, memory_limit)
        self.id, self.removed = None, False
        try:
            self.id = Cri.client.RunPodSandbox(pb.RunPodSandboxRequest(config=self.config, runtime_handler=runtime)).id
        finally:
            if not self.id:
                self.remove_cgroups()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    # ---- the pod itself ----

    def status(self):
        return Cri.client.PodSandboxStatus(self.pb.StatusOfRequest(id=self.id)).status

    @property
    def ip(self):
        return self.status().network.ip

    def stop(self):
        Cri.client.StopPodSandbox(self.pb.PodSandboxId(id=self.id))

    def remove(self):
        if not self.removed:
            self.stop()
            Cri.client.RemovePodSandbox(self.pb.PodSandboxId(id=self.id))
            self.remove_cgroups()
        self.removed = True

    def remove_cgroups(self):
        """As kubelet does: again and again, what was killed may be on its way out still. Ours leaves none of its own."""
        folders = pod_cgroups(self.uid)
        if self.runtime == "onggi":
            wait_until(lambda: not any(entry.is_dir() for folder in folders if os.path.isdir(folder) for entry in os.scandir(folder)),
                       "the pod's cgroups have no others in them")

        def gone():
            world.remove_cgroups(folders)
            return not any(os.path.exists(folder) for folder in folders)
        wait_until(gone, "the pod's cgroups are gone")

    # ---- containers ----

    def create(self, name, *command, mounts=(), env=None, resources=None, stdin=False, stdin_once=True, tty=False, args=(), target=None,
               **security):
        """@mounts: (host path, container path, read-only). @security: fields of LinuxContainerSecurityContext."""
        pb = self.pb
        attempt = self.attempts[name] = self.attempts.get(name, -1) + 1
        namespaces = pb.NamespaceOption()
        namespaces.CopyFrom(self.namespaces)
        if target:
            namespaces.pid, namespaces.target_id = pb.TARGET, target
        for key in ("run_as_user", "run_as_group"):
            if key in security:
                security[key] = pb.Int64Value(value=security[key])
        config = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name, attempt=attempt), image=pb.ImageSpec(image=IMAGE), command=command,
            args=args, envs=[pb.KeyValue(key=k, value=v) for k, v in (env or {}).items()],
            mounts=[pb.Mount(host_path=m[0], container_path=m[1], readonly=len(m) > 2 and m[2]) for m in mounts],
            log_path=f"{name}_{attempt}.log", stdin=stdin, stdin_once=stdin and stdin_once, tty=tty,
            linux=pb.LinuxContainerConfig(
                resources=pb.LinuxContainerResources(**resources) if resources else None,
                security_context=pb.LinuxContainerSecurityContext(namespace_options=namespaces, **security)))
        made = Cri.client.CreateContainer(pb.CreateContainerRequest(pod_sandbox_id=self.id, config=config,
                                                                    sandbox_config=self.config))
        self.containers[name] = made.id
        return made.id

    def start(self, name):
        Cri.client.StartContainer(self.pb.ContainerId(id=self.containers[name]))

    def container(self, name, *command, **options):
        self.create(name, *command, **options)
        self.start(name)
        return self.containers[name]

    def state(self, name):
        return Cri.client.ContainerStatus(self.pb.StatusOfRequest(id=self.containers[name])).status

    def ended(self, name):
        """The exit code, once it has one."""
        wait_until(lambda: self.state(name).state == self.pb.CONTAINER_EXITED, f"container {name} has ended", cases.COMMAND_LIMIT)
        return self.state(name).exit_code

    def stop_container(self, name, grace=0):
        Cri.client.StopContainer(self.pb.StopContainerRequest(container_id=self.containers[name], timeout=grace))

    def remove_container(self, name):
        Cri.client.RemoveContainer(self.pb.ContainerId(id=self.containers.pop(name)))

    def log(self, name):
        """What kubelet would show: (stream, text) of each line."""
        path = os.path.join(self.logs, f"{name}_{self.attempts[name]}.log")
        with open(path) as f:
            return [(words[1], words[3]) for words in (line.rstrip("\n").split(" ", 3) for line in f) if len(words) == 4]

    def lines(self, name):
        return [text for _, text in self.log(name)]

    def says(self, name, text, limit=120):
        wait_until(lambda: text in self.lines(name), f"container {name} says '{text}'", limit)

    def exec(self, name, *command, timeout=0):
        """The answer of ExecSync."""
        return Cri.client.ExecSync(self.pb.ExecSyncRequest(container_id=self.containers[name], cmd=command, timeout=timeout))

    def out(self, name, *command):
        """Standard output of a command that must succeed, without the last line's end."""
        done = self.exec(name, *command)
        if done.exit_code != 0:
            raise Failure(f"{command} in {name}: exit code {done.exit_code}, {done.stdout!r}, {done.stderr!r}")
        return done.stdout.decode().rstrip("\n")

    def sh(self, name, script):
        return self.out(name, "sh", "-c", script)

    def volume(self, name, **files):
        """A folder on the host with some files in it."""
        path = os.path.join(self.dir, "volumes", name)
        os.makedirs(path)
        for file, text in files.items():
            world.write(os.path.join(path, file), text)
        return path


def pod_cgroups(uid):
    if os.path.exists(os.path.join(world.CGROUPS, "cgroup.controllers")):
        return [os.path.join(world.CGROUPS, "kubepods", "pod" + uid)]
    return [os.path.join(world.CGROUPS, name, "kubepods", "pod" + uid) for name in os.listdir(world.CGROUPS)
            if os.path.isdir(os.path.join(world.CGROUPS, name))]


def limit_memory(uid, size):
    """Of the pod as a whole, which kubelet does when all its containers have limits."""
    for folder in pod_cgroups(uid):
        for name in ("memory.limit_in_bytes", "memory.max"):
            if os.path.exists(os.path.join(folder, name)):
                world.write(os.path.join(folder, name), str(size))


def make_pod_cgroups(uid):
    """kubelet makes them before the sandbox; a cpuset's must be filled."""
    for folder in pod_cgroups(uid):
        os.makedirs(folder, exist_ok=True)
        for child in (os.path.dirname(folder), folder):
            for kept in ("cpuset.cpus", "cpuset.mems"):
                path = os.path.join(child, kept)
                if os.path.exists(path):
                    with open(os.path.join(os.path.dirname(child), kept)) as f:
                        world.write(path, f.read())
