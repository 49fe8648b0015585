# SPDX-License-Identifier: Apache-2.0
"""Mounts: what their options do inside, on the host, and when the host's mounts change; runc beside it where it can run."""
import os
import signal
import subprocess

from harness import COMMAND_LIMIT, DEFAULT_CAPS, check, check_equal, check_in, claim, processes, wait_until

ALL_CAPS = {k: DEFAULT_CAPS + ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}


def bind(source, destination="/vol", *options):
    return {"destination": destination, "type": "bind", "source": source, "options": list(options)}


def plus(*mounts):
    return lambda old: old + list(mounts)


def shell(box, script, name="c1", **changes):
    return box.run_ok(["sh", "-c", script], name=name, **changes).text


def mount(*args):
    subprocess.run(["mount", *args], check=True)


class Volume:
    """A folder with a tmpfs mounted on its folder "sub", as `with` block."""

    def __init__(self, box, name="volume"):
        self.path = os.path.join(box.dir, name)

    def __enter__(self):
        os.makedirs(f"{self.path}/sub")
        os.mkdir(f"{self.path}/late")
        with open(f"{self.path}/file", "w") as f:
            f.write("top\n")
        mount("-t", "tmpfs", "tmpfs", f"{self.path}/sub")
        with open(f"{self.path}/sub/file", "w") as f:
            f.write("below\n")
        return self.path

    def __exit__(self, *_):
        for name in ("late", "sub"):
            subprocess.run(["umount", "-l", f"{self.path}/{name}"], capture_output=True, check=False)


def runc(box, bundle, name):
    """The output of the same bundle under runc, without what this host's runc cannot do."""
    config = box.load(bundle)
    config["process"]["rlimits"] = []
    config["mounts"] = [m for m in config["mounts"] if m["type"] not in ("cgroup", "mqueue", "sysfs")]
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
    config["linux"]["resources"] = {}
    box.save(bundle, config)
    done = subprocess.run(["runc", "--root", f"{box.dir}/runc", "run", "--bundle", bundle, name],
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


WRITE = "touch /vol/x 2>/dev/null && echo rw || echo ro; touch /vol/sub/x 2>/dev/null && echo rw || echo ro"


@claim("ro covers the mount it names and not those below a recursive bind, rro covers all: as with runc")
def readonly(box):
    with Volume(box) as path:
        for number, options in enumerate((("rbind", "ro"), ("rbind", "rw"), ("rbind", "ro", "rprivate"))):
            bundle = box.bundle(["sh", "-c", WRITE], mounts=plus(bind(path, "/vol", *options)))
            ours = box.ok("run", "--bundle", bundle, f"c{number}").text
            check_equal(ours, runc(box, bundle, f"r{number}")[1], f"onggi and runc with {options}")
            check_equal(ours.split(), ["rw" if "rw" in options else "ro", "rw"], f"with {options}")
        # runc of this version does not know them.
        for number, options in enumerate((("rbind", "rro"), ("rbind", "ro", "rro"))):
            check_equal(shell(box, WRITE, name=f"d{number}", mounts=plus(bind(path, "/vol", *options))).split(),
                        ["ro", "ro"], f"with {options}")


@claim("a plain bind leaves out what is mounted below its source")
def plain_bind(box):
    with Volume(box) as path:
        for number, options in enumerate((("bind",), ("bind", "ro"), ("rbind",))):
            bundle = box.bundle(["sh", "-c", "ls /vol/sub; cat /vol/file"], mounts=plus(bind(path, "/vol", *options)))
            ours = box.ok("run", "--bundle", bundle, f"c{number}").text
            check_equal(ours, runc(box, bundle, f"r{number}")[1], f"onggi and runc with {options}")
            check_equal(ours.split(), (["file"] if "rbind" in options else []) + ["top"], f"with {options}")


@claim("read-only is the host's word: a remount in the guest lifts neither ro nor rro, and /proc/mounts says ro")
def remount(box):
    with Volume(box) as path:
        script = "mount -o remount,rw,bind /vol 2>/dev/null; " + WRITE
        out = shell(box, script, mounts=plus(bind(path, "/vol", "rbind", "rro")), process__capabilities=ALL_CAPS,
                    process__noNewPrivileges=False)
        check_equal(out.split(), ["ro", "ro"], "rro after a remount by root with CAP_SYS_ADMIN")
        out = shell(box, script, name="c2", mounts=plus(bind(path, "/vol", "rbind", "ro")), process__capabilities=ALL_CAPS,
                    process__noNewPrivileges=False)
        check_equal(out.split(), ["ro", "rw"], "ro after a remount")
        out = shell(box, "grep ' /vol ' /proc/self/mounts", name="c3", mounts=plus(bind(f"{path}/sub", "/vol", "rbind", "ro")))
        check_in("ro", out.split()[3].split(","), "flags of a read-only bind with nothing below it")


@claim("recursive attributes reach what is mounted below: rnosuid, rnoexec, rnodev, rnoatime")
def recursive_attributes(box):
    with Volume(box) as path:
        for name in ("run", "sub/run"):
            with open(f"{path}/{name}", "w") as f:
                f.write("#!/bin/sh\necho ran\n")
            os.chmod(f"{path}/{name}", 0o755)
        script = "/vol/run 2>/dev/null || echo no; /vol/sub/run 2>/dev/null || echo no; grep ' /vol ' /proc/self/mounts"
        out = shell(box, script, mounts=plus(bind(path, "/vol", "rbind", "rnoexec", "rnosuid", "rnodev", "rnoatime"))).split()
        check_equal(out[:2], ["no", "no"], "programs with rnoexec")
        for flag in ("noexec", "nosuid", "nodev", "noatime"):
            check_in(flag, out[5].split(","), "flags of the mount")
        check_equal(shell(box, script, name="c2", mounts=plus(bind(path, "/vol", "rbind"))).split()[:2], ["ran", "ran"],
                    "programs without it")
        check_equal(shell(box, script, name="c3", mounts=plus(bind(path, "/vol", "rbind", "noexec", "rexec"))).split()[:2],
                    ["ran", "ran"], "rexec after noexec")


@claim("what the host mounts later appears with rslave and rshared within a second, and vanishes again; not with rprivate")
def late_mounts(box):
    with Volume(box) as path:
        mount("--make-rshared", f"{path}/sub")
        mount("--bind", path, path)
        try:
            mount("--make-rshared", path)
            box.start(["sleep", "1000"], mounts=plus(bind(path, "/slave", "rbind", "rslave"), bind(path, "/shared", "rbind", "rshared"),
                                                     bind(path, "/private", "rbind", "rprivate"), bind(path, "/none", "rbind")))
            mount("-t", "tmpfs", "tmpfs", f"{path}/late")
            with open(f"{path}/late/file", "w") as f:
                f.write("late\n")

            def sees(where):
                return box.command("exec", "c1", "cat", f"/{where}/late/file").code == 0
            wait_until(lambda: sees("slave") and sees("shared"), "the late mount is seen")
            check(not sees("private") and not sees("none"), "rprivate, or no propagation at all, sees the late mount")
            # Lazily: the file server has it open for as long as the guest remembers it.
            subprocess.run(["umount", "-l", f"{path}/late"], check=True)
            wait_until(lambda: not sees("slave") and not sees("shared"), "the unmounted file system is gone")
        finally:
            box.command("delete", "--force", "c1")
            subprocess.run(["umount", "-l", "-R", path], check=False)


@claim("nothing that the container mounts reaches the host, whatever the propagation")
def not_to_host(box):
    with Volume(box) as path:
        before = open("/proc/self/mountinfo").read()
        out = shell(box, "mount -t tmpfs none /vol/late && touch /vol/late/mine && ls /vol/late", process__capabilities=ALL_CAPS,
                    mounts=plus(bind(path, "/vol", "rbind", "rshared")), linux__rootfsPropagation="rshared")
        check_equal(out, "mine\n", "inside")
        check_equal(open("/proc/self/mountinfo").read(), before, "mounts of the host")
        check_equal(os.listdir(f"{path}/late"), [], "the folder on the host")


@claim("tmpfs takes size, mode, nr_inodes, uid and gid; what it has no room for is refused")
def tmpfs(box):
    one = {"destination": "/t", "type": "tmpfs", "source": "tmpfs",
           "options": ["size=1m", "mode=0710", "nr_inodes=4", "uid=3", "gid=4", "noexec"]}
    script = ("stat -c %a:%u:%g /t; head -c 2000000 /dev/zero > /t/big 2>/dev/null; stat -c %s /t/big; rm /t/big; "
              "for i in 1 2 3 4 5; do touch /t/$i 2>/dev/null || echo full; done; grep ' /t ' /proc/self/mounts")
    bundle = box.bundle(["sh", "-c", script], mounts=plus(one))
    out = box.ok("run", "--bundle", bundle, "c1").text.split("\n")
    check_equal(out[:4], ["710:3:4", "1048576", "full", "full"], "mode and owner, size, inodes")
    theirs = runc(box, bundle, "r1")[1].split("\n")
    # runc of this version gives a folder that exists the mode it had, whatever mode= says.
    check_equal([out[0][3:], *out[1:4]], [theirs[0][3:], *theirs[1:4]], "onggi and runc")
    for word in ("noexec", "size=1024k", "nr_inodes=4", "mode=710", "uid=3", "gid=4"):
        check_in(word, out[4], "options as mounted")
    bad = box.run(["true"], name="c2", mounts=plus({**one, "options": ["size=1m", "nosuchoption=1"]}))
    check_equal(bad.code, 1, "exit code with an unknown option")
    check_in("nosuchoption", bad.errors, "message")


@claim("a destination is found inside the root: links, dots, missing folders and files as with runc")
def destinations(box):
    volume = f"{box.dir}/v"
    os.mkdir(volume)
    with open(f"{volume}/here", "w") as f:
        f.write("here\n")

    def prepare(bundle):
        root = f"{bundle}/rootfs"
        os.makedirs(f"{root}/real/deep")
        os.symlink("/real/deep", f"{root}/absolute")
        os.symlink("real/deep", f"{root}/relative")
        os.symlink("../../../../../../real", f"{root}/climbing")
        os.symlink("/made/by/link", f"{root}/dangling")
        with open(f"{root}/plainfile", "w") as f:
            f.write("covered\n")
    cases = (("/absolute", "/real/deep/here"), ("/relative", "/real/deep/here"), ("/climbing/deep", "/real/deep/here"),
             ("/dangling", "/made/by/link/here"), ("/a/b/../c/./d//", "/a/c/d/here"), ("/new/folder", "/new/folder/here"),
             ("/real/../real/deep", "/real/deep/here"))
    for number, (destination, where) in enumerate(cases):
        bundle = box.bundle(["cat", where], mounts=plus(bind(volume, destination, "bind")))
        prepare(bundle)
        theirs = runc(box, bundle, f"r{number}")
        ours = box.command("run", "--bundle", bundle, f"c{number}")
        check_equal((ours.code, ours.text), theirs[:2], f"{destination}: onggi and runc ({ours.errors} {theirs[2]})")
        check_equal(ours.text, "here\n", f"a mount on {destination}")
    bundle = box.bundle(["cat", "/plainfile", "/new/file"], mounts=plus(bind(f"{volume}/here", "/plainfile", "bind"),
                                                                       bind(f"{volume}/here", "/new/file", "bind")))
    prepare(bundle)
    check_equal(box.ok("run", "--bundle", bundle, "f1").text, "here\nhere\n", "files on a file, and on nothing")
    with open(f"{bundle}/rootfs/plainfile") as f:
        check_equal(f.read(), "covered\n", "the covered file")


@claim("a destination never leads out of the root, and the host's files of its name stay as they are")
def no_way_out(box):
    victim = f"{box.dir}/victim"
    os.mkdir(victim)
    volume = f"{box.dir}/v"
    os.mkdir(volume)
    bundle = box.bundle(["true"], mounts=plus(bind(volume, "/out/new", "bind")))
    os.symlink(victim, f"{bundle}/rootfs/out")
    box.command("run", "--bundle", bundle, "c1")
    check_equal(os.listdir(victim), [], "the folder outside of the root")


@claim("mounts that runc refuses are refused: on /, on /proc, below it, and a folder on a file")
def refused(box):
    volume = f"{box.dir}/v"
    os.mkdir(volume)
    for number, (destination, words) in enumerate((("/", "nothing can be mounted on '/'"),
                                                   ("/proc", "only procfs can be mounted on /proc"),
                                                   ("/proc/self", "inside /proc"), ("/etc/passwd/x", "mount point"))):
        result = box.run(["true"], name=f"c{number}", mounts=plus(bind(volume, destination, "bind")))
        check_equal(result.code, 1, f"exit code of a mount on {destination}")
        check_in(words, result.errors, "message")
    result = box.run(["true"], name="missing", mounts=plus(bind(f"{box.dir}/none", "/vol", "bind")))
    check_equal(result.code, 1, "exit code of a missing source")
    check_in(f"{box.dir}/none", result.errors, "message")
    result = box.run(["true"], name="type", mounts=plus({"destination": "/x", "type": "nfs", "source": "a:/b"}))
    check_in("type 'nfs' on '/x' is not supported", result.errors, "message")


@claim("mounts are made in the order of the list: one below another, one over another")
def order(box):
    for name in ("a", "b"):
        os.mkdir(f"{box.dir}/{name}")
        with open(f"{box.dir}/{name}/name", "w") as f:
            f.write(name)
    os.mkdir(f"{box.dir}/a/inner")
    mounts = plus(bind(f"{box.dir}/a", "/m", "bind"), bind(f"{box.dir}/b", "/m/inner", "bind"),
                  bind(f"{box.dir}/a", "/n", "bind"), bind(f"{box.dir}/b", "/n", "bind"))
    check_equal(shell(box, "cat /m/name /m/inner/name /n/name", mounts=mounts), "abb", "names")


def stop_file_servers(signal_number):
    for pid, text in processes().items():
        if "virtiofsd" in text:
            os.kill(pid, signal_number)


@claim("a volume can go while its file is being read ahead and the file server is slow: the guest waits")
def leave_while_reading(box):
    with Volume(box) as path:
        with open(f"{path}/file", "wb") as f:
            f.write(b"x" * (4 << 20))
        bundle = box.bundle(["probe", "leave", "/vol", "file"], mounts=plus(bind(path)), process__capabilities=ALL_CAPS)
        process = box.popen("run", "--bundle", bundle, "c1")
        check_equal(process.stdout.readline(), b"open\n", "first line")
        stop_file_servers(signal.SIGSTOP)
        try:
            process.stdin.write(b"\n")
            process.stdin.flush()
            check_equal(process.stdout.readline(), b"waiting\n", "second line")
        finally:
            stop_file_servers(signal.SIGCONT)
        check_equal(process.stdout.readline(), b"left\n", "last line")
        check_equal(process.wait(COMMAND_LIMIT), 0, "exit code")


@claim("a bind of the host's /sys is the guest's own sysfs")
def sysfs(box):
    entry = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev", "ro"]}
    out = shell(box, "grep ' /sys ' /proc/self/mounts; touch /sys/x 2>/dev/null || echo ro; cat /sys/class/dmi/id/* 2>/dev/null; "
                "cat /sys/kernel/uevent_seqnum", mounts=lambda old: [entry if m["destination"] == "/sys" else m for m in old])
    check_in("sysfs", out.split()[:3], "file system")
    check_in("ro", out.splitlines()[1], "writing")
    check(out.splitlines()[-1] != open("/sys/kernel/uevent_seqnum").read().strip(), "the kernel behind it is the host's")


@claim("a root that is mounted where only the caller of create sees it is served all the same")
def callers_namespace(box):
    """As podman's, which prepares containers with user namespaces in a mount namespace of its own."""
    first = box.bundle(["sleep", "1000"])
    pidfile = f"{box.dir}/first.pid"
    # The monitor is launched in a mount namespace that hears nothing of ours.
    subprocess.run(["unshare", "--mount", "--propagation", "private", *box.argv("create", "--bundle", first, "--pid-file",
                                                                            pidfile, "c1")],
                   check=True, env=box.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    box.ok("start", "c1")
    with open(pidfile) as f:
        net = f"/proc/{int(f.read())}/ns/net"
    second = box.bundle(["sh", "-c", "cat /file /vol/file"], linux__namespaces=lambda old: [
        {"type": "network", "path": net} if n["type"] == "network" else n for n in old],
        mounts=plus(bind(f"{box.dir}/late", "/vol", "rbind")))
    os.mkdir(f"{box.dir}/late")
    try:
        for path, text in ((f"{second}/rootfs", "root"), (f"{box.dir}/late", "volume")):
            copy = f"{path}.copy"
            subprocess.run(["cp", "-a", path, copy], check=True)
            mount("--bind", copy, path)
            with open(f"{copy}/file", "w") as f:
                f.write(f"{text}\n")
        check_equal(box.ok("run", "--bundle", second, "c2").text, "root\nvolume\n", "what the second container sees")
    finally:
        for path in (f"{second}/rootfs", f"{box.dir}/late"):
            subprocess.run(["umount", "-l", path], check=False)


@claim("a volume with many files is changed on both sides, and both see it")
def both_ways(box):
    volume = f"{box.dir}/v"
    os.mkdir(volume)
    box.start(["sleep", "1000"], mounts=plus(bind(volume, "/vol", "rbind")))
    with open(f"{volume}/from-host", "w") as f:
        f.write("host\n")
    wait_until(lambda: box.command("exec", "c1", "cat", "/vol/from-host").text == "host\n", "the host's file")
    box.ok("exec", "c1", "sh", "-c", "echo guest > /vol/from-guest; rm /vol/from-host")
    with open(f"{volume}/from-guest") as f:
        check_equal(f.read(), "guest\n", "the guest's file")
    check(not os.path.exists(f"{volume}/from-host"), "the file that the guest removed")
    with open(f"{volume}/from-guest", "w") as f:
        f.write("changed by the host\n")
    wait_until(lambda: box.command("exec", "c1", "cat", "/vol/from-guest").text == "changed by the host\n", "the change")
