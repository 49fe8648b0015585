# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as engines prepare them: veth pairs into a bridge of the suite's own namespace."""
import os
import subprocess

from harness import Failure

MAC = "02:00:00:00:%02x:02"
V4 = "10.9.%d"
V6 = "fd09:9%d:"


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"'{command}' failed: {done.stdout}{done.stderr}")
    return done.stdout


class Netns:
    """A namespace that is held by a file, and its interfaces; with-block: all is gone at its end.

    Interface N (from 0) is called ethN, has MAC % N, V4 % N + ".2/24" and V6 % N + ":2/64"; bridge "tbrN" here has
    .1 and ::1 and is made on first use.
    """

    def __init__(self, box, name="net"):
        self.path = os.path.join(box.dir, name)
        self.links = []

    def __enter__(self):
        open(self.path, "w").close()
        sh(f"unshare --net={self.path} true")
        self.ip("link set lo up")
        return self

    def __exit__(self, *_):
        for link in self.links:
            subprocess.run(["ip", "link", "del", link], capture_output=True)
        sh(f"umount {self.path}")
        os.unlink(self.path)

    def run(self, command):
        return sh(f"nsenter --net={self.path} {command}")

    def ip(self, *commands):
        for command in commands:
            self.run(f"ip {command}")

    def add(self, number=0, mtu=1500, up=True, configure=True):
        """Interface @number and, if need be, its bridge."""
        bridge, outside, name = f"tbr{number}", f"tv{number}x{os.getpid() % 1000}", f"eth{number}"
        if subprocess.run(["ip", "link", "show", bridge], capture_output=True).returncode != 0:
            sh(f"ip link add {bridge} type bridge && ip link set {bridge} mtu {mtu} up && "
               f"ip addr add {V4 % number}.1/24 dev {bridge} && ip addr add {V6 % number}:1/64 dev {bridge} nodad")
            self.links.append(bridge)
        sh(f"ip link add {outside} type veth peer name {name} netns {self.path}")
        self.links.insert(0, outside)
        sh(f"ip link set {outside} mtu {mtu} master {bridge} up")
        self.ip(f"link set {name} address {MAC % number} mtu {mtu}")
        if configure:
            self.ip(f"addr add {V4 % number}.2/24 brd + dev {name}", f"addr add {V6 % number}:2/64 dev {name} nodad")
        if up:
            self.ip(f"link set {name} up")
        return name

    def remove(self, number=0):
        sh(f"nsenter --net={self.path} ip link del eth{number}")

    def namespaces(self):
        """For bundles: changes linux__namespaces so that the container joins this one."""
        return lambda old: [dict(n, path=self.path) if n["type"] == "network" else n for n in old]

    def remains(self):
        """What a runtime has left in here: taps and queues; empty if nothing."""
        text = self.run("ip -o link") + self.run("tc qdisc show")
        return [line for line in text.splitlines() if "onggi" in line or "ingress" in line]
