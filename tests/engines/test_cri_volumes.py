# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: volumes as kubelet prepares them on the host."""
import os
import subprocess

import world
from cases import case
from cri import Pod
from harness import check, check_equal, check_in, wait_until


def publish(folder, version, **files):
    """As kubelet writes a ConfigMap or Secret: files in a folder of their own, and one rename that makes all of them new."""
    place = os.path.join(folder, f"..{version}")
    os.makedirs(place)
    for name, text in files.items():
        world.write(os.path.join(place, name), text)
    link = os.path.join(folder, "..data_tmp")
    os.symlink(f"..{version}", link)
    os.rename(link, os.path.join(folder, "..data"))
    for name in files:
        if not os.path.lexists(os.path.join(folder, name)):
            os.symlink(f"..data/{name}", os.path.join(folder, name))


@case("cri", "ConfigMap, Secret, subPath")
def config_map(t):
    with Pod(t.runtime, "config") as pod:
        folder = pod.volume("map")
        publish(folder, "1", color="blue", size="small")
        secret = pod.volume("secret")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", secret], check=True)
        try:
            publish(secret, "1", token="first")
            # kubelet resolves a subPath and mounts the file itself.
            mounts = ((folder, "/etc/map", True), (secret, "/etc/secret", True),
                      (os.path.join(folder, "..1", "color"), "/etc/color", True))
            pod.container("one", "sleep", "1000", mounts=mounts)
            with t.line("files are there, and cannot be written"):
                check_equal(pod.sh("one", "cat /etc/map/color /etc/map/size /etc/secret/token /etc/color"), "bluesmallfirstblue", "texts")
                check(pod.exec("one", "sh", "-c", "echo x >/etc/map/color").exit_code != 0, "it can be written")
            with t.line("new versions come without a restart, all files at once"):
                publish(folder, "2", color="green", size="large")
                publish(secret, "2", token="second")
                wait_until(lambda: pod.sh("one", "cat /etc/map/color /etc/map/size /etc/secret/token") == "greenlargesecond",
                           "the new version is seen")
            with t.line("a subPath stays what it was"):
                check_equal(pod.out("one", "cat", "/etc/color"), "blue", "text")
            with t.line("the old version can go"):
                for name in ("color", "size"):
                    os.unlink(os.path.join(folder, "..1", name))
                os.rmdir(os.path.join(folder, "..1"))
                wait_until(lambda: "..1" not in pod.out("one", "ls", "-a", "/etc/map"), "it is gone")
                check_equal(pod.sh("one", "cat /etc/map/size"), "large", "text")
            pod.remove()
        finally:
            subprocess.run(["umount", secret], check=True)


@case("cri", "emptyDir and hostPath")
def volumes(t):
    with Pod(t.runtime, "volumes") as pod:
        empty, host = pod.volume("empty"), pod.volume("host", given="of the host\n")
        nested = pod.volume("nested")
        os.makedirs(os.path.join(nested, "a", "b"))
        world.write(os.path.join(nested, "a", "b", "file"), "deep\n")
        pod.container("writer", "sleep", "1000", mounts=((empty, "/shared"), (host, "/host")))
        pod.container("reader", "sleep", "1000",
                      mounts=((empty, "/elsewhere"), (host, "/host", True), (os.path.join(nested, "a", "b"), "/part"),
                              (os.path.join(host, "given"), "/one-file")))
        with t.line("an emptyDir is of both containers"):
            pod.sh("writer", "echo hello >/shared/file; mkdir /shared/folder; ln -s file /shared/link")
            wait_until(lambda: pod.exec("reader", "cat", "/elsewhere/link").stdout == b"hello\n", "the file is seen")
            pod.sh("writer", "echo more >>/shared/file")
            wait_until(lambda: pod.exec("reader", "cat", "/elsewhere/file").stdout == b"hello\nmore\n", "the addition is seen")
        with t.line("a hostPath shows the host's files and takes new ones"):
            check_equal(pod.out("writer", "cat", "/host/given"), "of the host", "text")
            pod.sh("writer", "echo new >/host/new; chown 1234:4321 /host/new")
            with open(os.path.join(host, "new")) as f:
                check_equal(f.read(), "new\n", "text on the host")
            st = os.stat(os.path.join(host, "new"))
            check_equal((st.st_uid, st.st_gid), (1234, 4321), "owner on the host")
        with t.line("read-only is read-only, a folder's part and a single file are what they are"):
            check(pod.exec("reader", "touch", "/host/no").exit_code != 0, "it can be written")
            check_equal(pod.sh("reader", "cat /part/file /one-file; ls /part"), "deep\nof the host\nfile", "texts")
        with t.line("/dev/shm is the pod's, and it is memory"):
            for text in ("memory", "rewritten"):
                pod.sh("writer", f"echo {text} >/dev/shm/file")
                check_equal(pod.out("reader", "cat", "/dev/shm/file"), text, "at once")
            mount = pod.sh("reader", "grep ' /dev/shm ' /proc/mounts")
            check_in("tmpfs", mount, "mount")
            check_in("noexec", mount, "mount")
