# SPDX-License-Identifier: Apache-2.0
"""Files of the container: the same work through onggi, through a raw QEMU with the same virtiofsd, and natively."""
import os
import re
import socket
import subprocess
import tempfile

import stage
import world

SIZE_MIB = 64
FILES = 1000

# Every line of output is "name seconds". The folder is W; what is read was written before and is known to the host.
SCRIPT = f"""
t() {{ n=$1; shift; a=$(cut -d' ' -f1 /proc/uptime); "$@" >/dev/null 2>&1; b=$(cut -d' ' -f1 /proc/uptime);
       echo "$n $(awk "BEGIN {{ print $b - $a }}")"; }}
cd $W
t write dd if=/dev/zero of=big bs=1M count={SIZE_MIB}
t sync sync big
t read dd if=big of=/dev/null bs=1M
t read-cold dd if=cold of=/dev/null bs=1M
t unpack tar xf many.tar
t list find many -type f
t pack tar cf /dev/null many
t remove rm -rf many
echo end
"""

RESULT = re.compile(r"^(\S+) ([\d.e+-]+)\s*$", re.M)


def prepare(folder):
    os.makedirs(folder, exist_ok=True)
    stage.run(["dd", "if=/dev/urandom", f"of={folder}/cold", "bs=1M", f"count={SIZE_MIB}"])
    with tempfile.TemporaryDirectory(dir=world.PLACE) as place:
        for n in range(FILES):
            path = os.path.join(place, "many", str(n % 20))
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, f"f{n}"), "wb") as f:
                f.write(os.urandom(2048))
        stage.run(["tar", "cf", os.path.join(folder, "many.tar"), "-C", place, "many"])


def clean(folder):
    for name in ("big",):
        try:
            os.unlink(os.path.join(folder, name))
        except FileNotFoundError:
            pass


def add(samples, name, text):
    found = dict(RESULT.findall(text))
    if "end" not in text or len(found) < 8:
        raise SystemExit(f"files, {name}: {text!r}")
    for what, seconds in found.items():
        samples.add(f"{what} {name}", float(seconds))


def in_container(runtime, folder, n):
    mounts = stage.harness.base_config([])["mounts"] + [
        {"destination": "/work", "type": "bind", "source": folder, "options": ["rbind", "rw"]}]
    bundle = stage.bundle(["sh", "-c", "W=/work\n" + SCRIPT], "files", mounts=mounts)
    return runtime("run", "--bundle", bundle, f"files{n}").decode()


def cpio(path, script):
    """An initramfs of busybox that runs @script."""
    with tempfile.TemporaryDirectory(dir=world.PLACE) as top:
        for name in ("bin", "dev", "proc", "sys", "mnt"):
            os.mkdir(os.path.join(top, name))
        stage.run(["cp", "/bin/busybox", os.path.join(top, "bin", "busybox")])
        with open(os.path.join(top, "init"), "w") as f:
            f.write("#!/bin/busybox sh\n/bin/busybox --install -s /bin\nPATH=/bin\n"
                    "mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n"
                    "mount -t virtiofs share /mnt && W=/mnt\n" + script + "\npoweroff -f\n")
        os.chmod(os.path.join(top, "init"), 0o755)
        pack(top, path)


def pack(top, path):
    """The folder @top as an initramfs."""
    with open(path, "wb") as out:
        find = subprocess.Popen(["find", "."], cwd=top, stdout=subprocess.PIPE)
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=top, stdin=find.stdout, stdout=out, check=True)
        find.wait()


def in_raw(initrd, folder):
    """The same in a QEMU started by hand, with the same file server and the same options as ours."""
    path = os.path.join(world.PLACE, "raw.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    server = subprocess.Popen(["/usr/lib/qemu/virtiofsd", f"--fd={listener.fileno()}", "--thread-pool-size=0", "-o",
                               f"source={folder},cache=always,timeout=1,xattr,sandbox=namespace"],
                              pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listener.close()
    try:
        done = subprocess.run(stage.raw_argv(initrd, 256, [
            "-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-machine", "memory-backend=mem",
            "-chardev", f"socket,id=share,path={path}", "-device", "vhost-user-fs-pci,chardev=share,tag=share",
            "-serial", "stdio"]), stdin=subprocess.DEVNULL, capture_output=True, timeout=stage.LIMIT)
        return done.stdout.decode(errors="replace").replace("\r", "")
    finally:
        server.kill()
        server.wait()
        os.unlink(path)


def work(runtimes, rounds):
    """Reading, writing and small files in a folder of the host."""
    folder = os.path.join("/var/tmp", f"onggi-bench-{os.getpid()}")
    initrd = os.path.join(world.PLACE, "files.cpio")
    samples = stage.Samples()
    names = ("runc", "runsc", "raw", "onggi")
    prepare(folder)
    cpio(initrd, SCRIPT)
    try:
        for n in range(max(2, rounds // 4)):
            for name in names:
                clean(folder)
                add(samples, name, in_raw(initrd, folder) if name == "raw" else in_container(runtimes[name], folder, n))
    finally:
        stage.run(["rm", "-rf", folder])
    rows = []
    for what, amount in (("write", f"{SIZE_MIB} MiB written"), ("read", "read again"), ("read-cold", f"{SIZE_MIB} MiB read that the guest has not seen"),
                         ("unpack", f"tar of {FILES} files unpacked"), ("list", "found"), ("pack", "packed"), ("remove", "removed")):
        rows.append([amount] + [f"{samples.median(f'{what} {n}'):.2f} s" for n in names] +
                    [stage.times(max(samples.median(f"{what} onggi"), 0.01), max(samples.median(f"{what} raw"), 0.01))])
    return samples, stage.table(["", "runc", "runsc (ptrace)", "raw QEMU + virtiofsd", "onggi", "onggi / raw"], rows)
