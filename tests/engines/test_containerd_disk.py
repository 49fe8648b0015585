# SPDX-License-Identifier: Apache-2.0
"""containerd's shim: a rootfs on a disk, as block snapshotters give it: mounts of a file or a block device."""
import contextlib
import glob
import hashlib
import os

import ttrpc
import world
from cases import case, run
from harness import Failure, check, check_equal, check_in, kill_quietly, wait_until
from shim import Shim

ROOT = os.path.join(world.BUILD, "images", "busybox", "rootfs")


def must(*argv):
    done = run(list(argv))
    if done.code != 0:
        raise Failure(f"{argv[0]} failed: {done!r}")
    return done.text.strip()


def ext4(t, name="disk.ext4"):
    path = t.path(name)
    must("mkfs.ext4", "-q", "-F", "-d", ROOT, path, "32M")
    return path


def erofs(t, name="disk.erofs", root=ROOT):
    path = t.path(name)
    must("mkfs.erofs", "--quiet", path, root)
    return path


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def strong(config):
    """As much as a container's root can be given."""
    for caps in config["process"]["capabilities"].values():
        caps += ["CAP_SYS_ADMIN", "CAP_MKNOD"]


def result(t, mounts, *command, edit=None):
    """(exit code, output) of a container with that root: a mount, or several."""
    out = t.path("out")
    if os.path.exists(out):
        os.unlink(out)
    with Shim(t, "disk", ("sh", "-c", *command), rootfs=mounts if isinstance(mounts, list) else [mounts], edit=edit) as s:
        s.paths[1] = s.paths[2] = "file://" + out
        s.create()
        s.start()
        code = s.wait()
        check_equal(s.delete(), code, "Delete's code")
    with open(out) as f:
        return code, f.read()


def link_to(link):
    with contextlib.suppress(OSError):
        return os.readlink(link)
    return None


def processes_with(path):
    """Commands of who has the file open."""
    found = []
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        if link_to(link) == path:
            with contextlib.suppress(OSError):
                with open(f"/proc/{link.split('/')[2]}/comm") as f:
                    found.append(f.read().strip())
    return found


def mounts_of(pid):
    with open(f"/proc/{pid}/mountinfo") as f:
        return f.read()


def refusal(t, mounts):
    with Shim(t, "refused", ("true",), rootfs=mounts if isinstance(mounts, list) else [mounts]) as s:
        try:
            s.create()
        except ttrpc.Refused as e:
            return e.text
    raise Failure("it was created")


@case("containerd", "a rootfs on an ext4 disk", runtimes=("onggi",))
def writable(t):
    path = ext4(t)
    with Shim(t, "disk", ("sleep", "1000"), rootfs=[("ext4", path, ["loop", "noatime"])]) as s:
        s.create()
        s.start()
        with t.line("the guest has mounted it, the host has not"):
            root = next(line for line in s.output("cat", "/proc/mounts").splitlines() if line.split()[1] == "/")
            check_equal(root.split()[0].rstrip("abcdefgh"), "/dev/v", f"device in {root!r}")
            check_equal(root.split()[2], "ext4", "type")
            check_in("noatime", root.split()[3].split(","), "options")
            for pid in ("self", s.call("State")[3][0]):
                check(path not in mounts_of(pid) and s.place + "/rootfs" not in mounts_of(pid), f"mounted for {pid}")
            check_equal(os.listdir(os.path.join(s.place, "rootfs")), [], "the folder of the bundle")
        with t.line("the VMM alone has it open"):
            check_equal(set(processes_with(path)), {"onggi-vm"}, "who")
        with t.line("it can be written"):
            s.output("sh", "-c", "echo kept >/written && mkdir /made && dd if=/dev/urandom of=/made/large bs=1M count=8 2>/dev/null")
        s.kill(15)
        s.kill()
        check_equal(s.wait(), 137, "exit code")
        s.delete()
    with t.line("after its end the file system is clean and has all of it"):
        done = run(["e2fsck", "-f", "-n", path])
        check_equal(done.code, 0, f"e2fsck: {done!r}")
        check_in("kept", must("debugfs", "-R", "cat /written", path), "file")
        check("needs_recovery" not in must("dumpe2fs", "-h", path), "its journal is to be replayed")
    with t.line("the next container finds it"):
        check_equal(result(t, ("ext4", path, ["rw"]), "cat /written; ls /made; exit 3"), (3, "kept\nlarge\n"), "result")
    with t.line("one that is deleted before its start leaves it clean, too"):
        with Shim(t, "disk", ("true",), rootfs=[("ext4", path, [])]) as s:
            s.create()
            s.delete()
        check("needs_recovery" not in must("dumpe2fs", "-h", path), "its journal is to be replayed")


@case("containerd", "a disk whose VM is killed", runtimes=("onggi",))
def killed(t):
    path = ext4(t)
    with Shim(t, "disk", ("sh", "-c", "echo first >/first; sync; >/synced; while :; do echo x >>/growing; done"),
              rootfs=[("ext4", path, [])]) as s:
        s.create()
        s.start()
        wait_until(lambda: s.exec("x", "test", "-e", "/synced") == 0, "it has written, and all is on the disk")
        vmm, = {link.split("/")[2] for link in glob.glob("/proc/[0-9]*/fd/*") if link_to(link) == path}
        kill_quietly(int(vmm))
        with t.line("the end is told, and nobody holds the disk"):
            check_equal(s.wait(), 137, "exit code")
            s.delete()
            check_equal(processes_with(path), [], "who has it open")
    with t.line("the next container's guest repairs it as after a loss of power"):
        check_equal(result(t, ("ext4", path, []), "cat /first"), (0, "first\n"), "result")
        check_equal(run(["e2fsck", "-f", "-n", path]).code, 0, "e2fsck")


@case("containerd", "a rootfs on a disk that is read-only", runtimes=("onggi",))
def readonly(t):
    script = "exec 2>/dev/null; mount -o remount,rw /; (echo x >/new) || echo refused; rm -f /bin/ls || echo refused; ls -d /bin"
    for kind, path, options in (("ext4", ext4(t), ["ro"]), ("erofs", erofs(t), ["ro", "loop"]), ("erofs", erofs(t), [])):
        before = digest(path)
        with t.line(f"{kind} {' '.join(options)}: even the container's root cannot write to it"):
            code, text = result(t, (kind, path, options), script, edit=strong)
            check_equal((code, text), (0, "refused\nrefused\n/bin\n"), "result")
            check_equal(digest(path), before, "digest")
        with t.line(f"{kind} {' '.join(options)}: a device node of one's own does not lead to it"):
            code, text = result(t, (kind, path, options), "mknod /tmp/d b 254 0 && cat /tmp/d 2>&1", edit=lambda c: (
                strong(c), c["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})))
            check_equal((code, text), (1, "cat: can't open '/tmp/d': Operation not permitted\n"), "result")


@case("containerd", "a rootfs of layers on disks", runtimes=("onggi",))
def layers(t):
    top = t.path("top")
    os.makedirs(os.path.join(top, "etc"))
    world.write(os.path.join(top, "etc", "layer"), "top\n")
    lower, upper, scratch = erofs(t), erofs(t, "top.erofs", top), t.path("scratch.ext4")
    must("mkfs.ext4", "-q", "-F", scratch, "32M")
    digests = digest(lower), digest(upper)
    overlay = ("format/mkdir/overlay", "overlay", [
        "X-containerd.mkdir.path={{ mount 0 }}/upper:0755", "X-containerd.mkdir.path={{ mount 0 }}/work:0755",
        "workdir={{ mount 0 }}/work", "upperdir={{ mount 0 }}/upper", "lowerdir={{ overlay 1 2 }}"])
    mounts = [("ext4", scratch, ["rw", "loop"]), ("erofs", upper, ["ro", "loop"]), ("erofs", lower, ["ro", "loop"]), overlay]
    with t.line("all layers are seen, and what is written goes to the writable one"):
        code, text = result(t, mounts, "cat /etc/layer; rm /etc/layer /bin/wc; echo new >/etc/new; exit 4")
        check_equal((code, text.split("\n")[0]), (4, "top"), text)
        check_in("new", must("debugfs", "-R", "cat /upper/etc/new", scratch), "file in the writable layer")
        check_equal((digest(lower), digest(upper)), digests, "digests of the others")
    with t.line("the next container goes on from there, and all is clean after it"):
        check_equal(result(t, mounts, "cat /etc/new; cat /etc/layer 2>/dev/null || echo gone"), (0, "new\ngone\n"), "result")
        check_equal(run(["e2fsck", "-f", "-n", scratch]).code, 0, "e2fsck")
    with t.line("without a writable one it is read-only"):
        only = [mounts[2], mounts[1], ("format/overlay", "overlay", ["lowerdir={{ overlay 1 0 }}"])]
        code, text = result(t, only, "cat /etc/layer; (echo x >/etc/x) 2>/dev/null || echo refused", edit=strong)
        check_equal((code, text), (0, "top\nrefused\n"), "result")
        check_equal((digest(lower), digest(upper)), digests, "digests")
    with t.line("a folder on the disk that is a link does not lead out of it"):
        link = t.path("link")
        os.makedirs(link)
        os.symlink("/run", os.path.join(link, "upper"))
        must("mkfs.ext4", "-q", "-F", "-d", link, scratch, "32M")
        text = refusal(t, mounts)
        check_in("upper", text, "reason")


def split_erofs(t, name, root):
    """A file system of metadata alone, and the file that its data lies in."""
    meta, data = t.path(name + ".meta"), t.path(name + ".data")
    must("mkfs.erofs", "--quiet", "--chunksize=4096", f"--blobdev={data}", meta, root)
    return meta, data


@case("containerd", "an erofs whose data lies in other files", runtimes=("onggi",))
def devices(t):
    top = t.path("top")
    os.makedirs(os.path.join(top, "etc"))
    world.write(os.path.join(top, "etc", "layer"), "top\n" * 5000)
    meta, data = split_erofs(t, "lower", ROOT)
    upper, upper_data = split_erofs(t, "upper", top)
    scratch = t.path("scratch.ext4")
    must("mkfs.ext4", "-q", "-F", scratch, "32M")
    digests = [digest(path) for path in (meta, data, upper, upper_data)]
    lower = ("erofs", meta, ["ro", "loop", f"device={data}"])
    with t.line("as the only mount"):
        code, text = result(t, lower, "md5sum /bin/busybox; echo x >/new || echo refused")
        check_equal(code, 0, "exit code")
        check_in(must("md5sum", os.path.join(ROOT, "bin", "busybox")).split()[0], text, "digest of a file")
        check_in("refused", text, "a write")
    with t.line("below an overlay, two of them, as containerd's EROFS snapshotter has it with merged layers"):
        mounts = [("ext4", scratch, ["rw", "loop"]), ("erofs", upper, ["ro", "loop", f"device={upper_data}"]), lower,
                  ("format/mkdir/overlay", "overlay", [
                      "X-containerd.mkdir.path={{ mount 0 }}/upper:0755", "X-containerd.mkdir.path={{ mount 0 }}/work:0755",
                      "workdir={{ mount 0 }}/work", "upperdir={{ mount 0 }}/upper", "lowerdir={{ overlay 1 2 }}"])]
        code, text = result(t, mounts, "sort -u /etc/layer; wc -l </etc/layer; md5sum /bin/busybox >/sum; echo kept >/new")
        check_equal((code, text), (0, "top\n5000\n"), "result")
        check_in("kept", must("debugfs", "-R", "cat /upper/new", scratch), "file in the writable layer")
    with t.line("nothing is written to any of them"):
        check_equal([digest(path) for path in (meta, data, upper, upper_data)], digests, "digests")
    with t.line("files in another order, or too few, fail the container with the kernel's reason"):
        for options in (["ro"], ["ro", f"device={data}", f"device={upper_data}"]):
            check_in("erofs", refusal(t, ("erofs", meta, options)), "reason")
    with t.line("one that is not there is named, as are more than a machine takes"):
        check_in("/no/such.data", refusal(t, ("erofs", meta, ["device=/no/such.data"])), "reason")
        check_in("more disks than", refusal(t, ("erofs", meta, [f"device={data}"] * 8)), "reason")


@case("containerd", "a rootfs on a block device", runtimes=("onggi",))
def block(t):
    path = ext4(t)
    for options, wanted in ((["rw"], "kept\n"), (["ro"], "kept\n")):
        with t.line(f"{' '.join(options)}: it works as with a file"):
            device = must("losetup", "-f", "--show", *(["-r"] if "ro" in options else []), path)
            try:
                command = "echo kept >/written; cat /written" if "rw" in options else "cat /written"
                code, text = result(t, ("ext4", device, options), command)
            finally:
                must("losetup", "-d", device)
            check_equal((code, text), (0, wanted), "result")


@case("containerd", "a disk in a pod that goes on", runtimes=("onggi",))
def pod(t):
    must("ip", "netns", "add", "diskpod")

    def share(config):
        config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
        config["linux"]["namespaces"].append({"type": "network", "path": "/run/netns/diskpod"})

    path = ext4(t)
    try:
        with Shim(t, "first", ("sleep", "1000"), edit=share) as first:
            first.create()
            first.start()
            with t.line("it comes and goes with its container, three times"):
                for round_ in range(3):
                    with Shim(t, "second", ("sh", "-c", f"echo {round_} >>/rounds"), rootfs=[("ext4", path, [])], edit=share) as s:
                        check_equal(s.address, first.address, "address")
                        s.create()
                        check_equal(set(processes_with(path)), {"onggi-vm"}, "who has it open")
                        s.start()
                        check_equal(s.wait(), 0, "exit code")
                        s.delete()
                        check_equal(processes_with(path), [], "who has it open after Delete")
                    check_equal(run(["e2fsck", "-f", "-n", path]).code, 0, "e2fsck")
                check_equal(must("debugfs", "-R", "cat /rounds", path).split()[-3:], ["0", "1", "2"], "content")
            with t.line("it goes when the container cannot be made, too"):
                with Shim(t, "broken", ("true",), rootfs=[("erofs", path, [])], edit=share) as s:
                    try:
                        s.create()
                        raise Failure("ext4 was mounted as erofs")
                    except ttrpc.Refused as e:
                        check_in("erofs", e.text, "reason")
            with t.line("the other container has not noticed"):
                check_equal(first.status(), "RUNNING", "status")
                check_equal(first.output("echo", "alive"), "alive", "exec")
            first.kill()
            first.wait()
            first.delete()
    finally:
        run(["ip", "netns", "del", "diskpod"])
        run(["umount", "/run/netns"])


@case("containerd", "disks that are refused", runtimes=("onggi",))
def refused(t):
    path = t.path("disk.empty", "\0" * 65536)
    for what, mount, words in (
            ("a file system that the guest does not know", ("xfs", path, ["nouuid"]), ("xfs", path)),
            ("a file that is not there", ("ext4", "/no/such.img", []), ("/no/such.img",)),
            ("a folder", ("ext4", t.dir, ["ro"]), ("neither a file nor a block device", t.dir)),
            ("an option that means nothing", ("ext4", path, ["rshared"]), ("option",)),
            ("a file system that containerd is to make", ("mkfs/ext4", path, ["X-containerd.mkfs.size=1024"]), ("mkfs/ext4",)),
            ("a check that containerd is to set up", ("erofs", path, ["X-containerd.dmverity=/x"]), ("X-containerd.dmverity=/x",)),
            ("an option that the file system does not know", ("ext4", path, ["frobnicate"]), ("frobnicate",)),
            ("a disk without a file system", ("ext4", path, []), ("ext4",))):
        with t.line(f"{what}: the reason names it"):
            text = refusal(t, mount)
            for word in words:
                check_in(word, text, "reason")
