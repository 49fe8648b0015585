# SPDX-License-Identifier: Apache-2.0
"""User and time namespaces. Users with mappings: who the container's users are inside, on its files, and on the host."""
import os
import subprocess

from harness import DEFAULT_CAPS, check, check_equal, check_in, claim, parse_facts

BASE = 200000


def own(path, uid):
    """Give a tree to the container's root, as podman and containerd do."""
    for top, folders, files in os.walk(path):
        os.lchown(top, uid, uid)
        for name in folders + files:
            os.lchown(os.path.join(top, name), uid, uid)


def bundle_of(box, args, base=BASE, size=65536, path=None, chown=True, **changes):
    ids = [{"containerID": 0, "hostID": base, "size": size}]
    entry = {"type": "user", "path": path} if path else {"type": "user"}
    changes.setdefault("linux__uidMappings", ids)
    changes.setdefault("linux__gidMappings", ids)
    changes.setdefault("linux__namespaces", lambda old: old + [entry])
    bundle = box.bundle(args, **changes)
    if chown:
        own(os.path.join(bundle, "rootfs"), base)
    os.chmod(bundle, 0o755)
    return bundle


def shell(box, script, name="c1", **changes):
    result = box.ok("run", "--bundle", bundle_of(box, ["sh", "-c", script], **changes), name)
    return result.text


@claim("root in a user namespace is an unprivileged user of the guest and of the host's files")
def root_is_mapped(box):
    bundle = bundle_of(box, ["sh", "-c", "id -u; id -g; tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; "
                             "touch /made /tmp/made; stat -c %u:%g /made /tmp/made / /bin/busybox; chown 5:6 /made"],
                       mounts=lambda old: old + [{"destination": "/vol", "type": "bind", "source": box.dir, "options": ["bind"]},
                                                 {"destination": "/file", "type": "bind", "source": box.config,
                                                  "options": ["bind"]}])
    os.chmod(f"{bundle}/rootfs", 0o555)  # as podman makes it
    out = box.ok("run", "--bundle", bundle, "c1").text.splitlines()
    check_equal(out, ["0", "0", f" 0 {BASE} 65536", f" 0 {BASE} 65536"] + ["0:0"] * 4, "inside")
    made = os.stat(f"{bundle}/rootfs/made")
    check_equal((made.st_uid, made.st_gid), (BASE + 5, BASE + 6), "owner on the host of a file given to 5:6")
    for name in ("proc", "sys", "dev", "vol", "file"):
        check_equal(os.stat(f"{bundle}/rootfs/{name}").st_uid, BASE, f"owner of the mount point {name}")


@claim("proc, sysfs, tmpfs, devpts, mqueue and cgroup are mounted in a user namespace, and their options' ids are its own")
def mounts(box):
    def more(old):
        return old + [{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["uid=7", "gid=8", "mode=700"]}]
    out = shell(box, "for m in proc sys dev dev/pts dev/shm dev/mqueue sys/fs/cgroup mnt; do stat -f -c %t /$m; done; "
                "stat -c %u:%g:%a /mnt; stat -c %u:%g /dev /dev/null /dev/shm; echo x > /dev/null && echo null; "
                "ls /sys/class/net", mounts=more).split()
    check_equal(out[:8], ["9fa0", "62656572", "1021994", "1cd1", "1021994", "19800202", "63677270", "1021994"],
                "file systems")
    check_equal(out[8], "7:8:700", "tmpfs with uid and gid")
    check_equal(out[9:13], ["0:0", "0:0", "0:0", "null"], "owners of /dev, of a node, of /dev/shm; a device works")
    check_in("lo", out, "/sys/class/net")


@claim("capabilities in a user namespace are those of the configuration, over the container's own things alone")
def capabilities(box):
    caps = DEFAULT_CAPS + ["CAP_SYS_ADMIN", "CAP_SYS_TIME", "CAP_MKNOD"]
    caps = {k: caps for k in ("bounding", "effective", "permitted")}
    facts = parse_facts(box.ok("run", "--bundle", bundle_of(box, ["probe", "facts"]), "c1").text)
    plain = parse_facts(box.run_ok(["probe", "facts"], name="c2").text)
    for key in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "uid", "gid"):
        check_equal(facts[key], plain[key], key)
    out = shell(box, "probe try settime; probe try mknod /tmp/n 1 3; mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo mounted; "
                "umount /proc 2>/dev/null || echo locked; mount -o remount,rw /sys 2>/dev/null; "
                "mkdir /sys/fs/cgroup/x 2>/dev/null || echo ro",
                name="c3", process__capabilities=caps).split()
    check_equal(out, ["EPERM", "EPERM", "mounted", "locked", "ro"], "with CAP_SYS_ADMIN, CAP_SYS_TIME and CAP_MKNOD")


@claim("the container's root has its capabilities over files of every user who is mapped")
def over_files(box):
    bundle = bundle_of(box, ["sh", "-c", "mkdir /home/x && chown 33:33 /home/x && chmod 700 /home/x && touch /home/x/by-root && "
                             "stat -c %u /home/x/by-root; mkdir -m 0 /closed && touch /closed/file && cat /closed/file && echo ok"])
    os.makedirs(f"{bundle}/rootfs/home", exist_ok=True)
    own(f"{bundle}/rootfs", BASE)
    check_equal(box.ok("run", "--bundle", bundle, "c1").text.split(), ["0", "ok"], "root in other users' folders")


@claim("a low port can be bound in a user namespace with CAP_NET_BIND_SERVICE")
def low_port(box):
    out = shell(box, "(nc -l -p 80 < /dev/null > /tmp/got &) ; n=0; until echo hello | nc 127.0.0.1 80 2>/dev/null; "
                "do n=$((n+1)); [ $n -gt 50 ] && break; sleep 0.1; done; sleep 0.2; cat /tmp/got")
    check_equal(out, "hello\n", "what came to port 80")


@claim("files that belong to nobody in the mapping show the overflow ids and cannot be changed")
def unmapped(box):
    bundle = bundle_of(box, ["sh", "-c", "stat -c %u:%g /foreign; echo x 2>/dev/null >> /foreign || echo denied; cat /foreign; "
                             "chown 0 /foreign 2>/dev/null || echo kept; touch /theirs/x 2>/dev/null || echo closed"])
    os.mkdir(f"{bundle}/rootfs/theirs", 0o755)
    path = f"{bundle}/rootfs/foreign"
    with open(path, "w") as f:
        f.write("secret of root\n")
    os.chmod(path, 0o644)
    out = box.ok("run", "--bundle", bundle, "c1").text.splitlines()
    check_equal(out, ["65534:65534", "denied", "secret of root", "kept", "closed"], "a file of the host's root")
    os.chmod(path, 0o600)
    out = box.ok("run", "--bundle", bundle, "c2").text.splitlines()
    check("secret of root" not in out, f"a private file of the host's root can be read: {out}")


@claim("exec joins the user namespace, as its root and as another user")
def exec_joins(box):
    box.create_bundle(bundle_of(box, ["sleep", "1000"]))
    box.ok("start", "c1")
    inside = parse_facts(box.ok("exec", "c1", "probe", "facts").text)
    check_equal((inside["uid"], inside["CapEff"]), ("0", inside["CapPrm"]), "user of an exec")
    text = box.ok("exec", "c1", "sh", "-c", "tr -s ' ' < /proc/self/uid_map; readlink /proc/self/ns/user; "
                  "readlink /proc/1/ns/user; touch /by-exec; echo > /dev/stdout").text.splitlines()
    check_equal(text[0], f" 0 {BASE} 65536", "mapping")
    check_equal(text[1], text[2], "user namespace of exec and init")
    text = box.ok("exec", "--user", "1000:1001", "c1", "sh", "-c", "id -u; id -g; echo out > /dev/stdout").text.split()
    check_equal(text, ["1000", "1001", "out"], "another user, who can open its stdout")
    result = box.command("exec", "--user", "70000", "c1", "true")
    check_equal(result.code, 255, "exit code of exec by a user who is not mapped")
    check_in("70000 is not mapped in the user namespace", result.errors, "message")


@claim("a container's terminal belongs to its user in a user namespace")
def terminal(box):
    box.create_bundle(bundle_of(box, ["sleep", "1000"]))
    box.ok("start", "c1")
    out = subprocess.run(["script", "-qec", " ".join(box.argv("exec", "-t", "--user", "1000", "c1", "sh", "-c",
                                                               "'tty; stat -c %u $(tty); : > /dev/tty && echo open'")), "/dev/null"],
                         capture_output=True, env=box.env, stdin=subprocess.DEVNULL, timeout=60).stdout.decode().split()
    # script(1) passes the end of its own input on, which is echoed.
    check_equal(out[0].removeprefix("^@"), "/dev/pts/0", "name of the terminal")
    check_equal(out[1:], ["1000", "open"], "owner, and whether it can be opened")


@claim("a second container that names the first one's user namespace shares it, whatever mappings it lists")
def shared(box):
    pid = box.create_bundle(bundle_of(box, ["sleep", "1000"]))
    box.ok("start", "c1")
    one = [{"containerID": 0, "hostID": 0, "size": 1}]

    def spaces(old):
        paths = {k: f"/proc/{pid}/ns/{f}" for k, f in (("network", "net"), ("ipc", "ipc"), ("user", "user"))}
        return [{"type": n["type"], "path": paths[n["type"]]} if n["type"] in paths else n for n in old + [{"type": "user"}]]
    # podman writes this mapping when it joins, because runc wants one.
    second = bundle_of(box, ["sh", "-c", "readlink /proc/self/ns/user; tr -s ' ' < /proc/self/uid_map; touch /x; stat -c %u /x"],
                       linux__namespaces=spaces, linux__uidMappings=one, linux__gidMappings=one)
    out = box.ok("run", "--bundle", second, "c2").text.splitlines()
    first = box.ok("exec", "c1", "readlink", "/proc/self/ns/user").text.strip()
    check_equal(out, [first, f" 0 {BASE} 65536", "0"], "the second container")


@claim("two containers of one VM with user namespaces of their own cannot reach each other's files")
def apart(box):
    pid = box.create_bundle(bundle_of(box, ["sleep", "1000"]))
    box.ok("start", "c1")
    volume = f"{box.dir}/volume"
    os.mkdir(volume, 0o700)
    os.chown(volume, BASE, BASE)
    net = {"type": "network", "path": f"/proc/{pid}/ns/net"}
    other = bundle_of(box, ["sh", "-c", "ls /vol 2>/dev/null || echo denied"], base=BASE + 100000,
                      linux__namespaces=lambda old: [net if n["type"] == "network" else n for n in old] + [{"type": "user"}],
                      mounts=lambda old: old + [{"destination": "/vol", "type": "bind", "source": volume, "options": ["bind"]}])
    check_equal(box.ok("run", "--bundle", other, "c2").text, "denied\n", "the second container at the first one's folder")


@claim("several ranges map piece by piece; a user outside of them is refused")
def ranges(box):
    maps = [{"containerID": 0, "hostID": BASE, "size": 1}, {"containerID": 1000, "hostID": BASE + 5000, "size": 2}]
    bundle = bundle_of(box, ["sh", "-c", "id -u; tr -s ' ' < /proc/self/uid_map; touch /tmp/x; stat -c %u /tmp/x"],
                       linux__uidMappings=maps, process__user={"uid": 1001, "gid": 0})
    out = box.ok("run", "--bundle", bundle, "c1").text.split("\n")
    check_equal(out[:4], ["1001", f" 0 {BASE} 1", f" 1000 {BASE + 5000} 2", "1001"], "user 1001")
    bundle = bundle_of(box, ["true"], linux__uidMappings=maps, process__user={"uid": 5, "gid": 0})
    result = box.command("run", "--bundle", bundle, "c2")
    check_equal(result.code, 1, "exit code for a user that is not mapped")
    check_in("process.user.uid 5 is not mapped in the user namespace", result.errors, "message")


@claim("a user namespace without mappings is refused by the name of the field")
def no_mappings(box):
    bundle = bundle_of(box, ["true"], linux__uidMappings=None, linux__gidMappings=None)
    result = box.command("create", "--bundle", bundle, "c1")
    check_equal(result.code, 1, "exit code")
    check_in("linux.uidMappings", result.errors, "message")


@claim("seccomp, masked paths, read-only root and hooks work in a user namespace too")
def together(box):
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
               "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "id -u > /tmp/hook"]}
    for name, privs in (("c1", True), ("c2", False)):
        out = shell(box, "cat /tmp/hook; mkdir /tmp/x 2>/dev/null || echo seccomp; touch /x 2>/dev/null || echo ro; "
                    "wc -c < /proc/timer_list; grep Seccomp: /proc/self/status", name=name, root__readonly=True,
                    linux__seccomp=seccomp, linux__maskedPaths=["/proc/timer_list"], process__noNewPrivileges=privs,
                    hooks={"startContainer": [hook]},
                    mounts=lambda old: old + [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]).split()
        check_equal(out, ["0", "seccomp", "ro", "0", "Seccomp:", "2"], f"noNewPrivileges {privs}")


@claim("a time namespace has the configuration's offsets, in an exec as well, and no other container is touched by them")
def time_namespace(box):
    offsets = {"monotonic": {"secs": 172800, "nanosecs": 5}, "boottime": {"secs": 604800}}
    look = ["sh", "-c", "cut -d. -f1 /proc/uptime; tr -s ' ' < /proc/self/timens_offsets; readlink /proc/self/ns/time"]
    pid = box.start(["sleep", "1000"], linux__namespaces=lambda old: old + [{"type": "time"}], linux__timeOffsets=offsets)
    first = box.ok("exec", "c1", *look).text.splitlines()
    check(604800 <= int(first[0]) < 604800 + 3600, f"time since boot is {first[0]} s")
    check_equal(first[1:3], ["monotonic 172800 5", "boottime 604800 0"], "offsets in an exec")
    net = {"type": "network", "path": f"/proc/{pid}/ns/net"}
    other = box.bundle(look, linux__namespaces=lambda old: [net if n["type"] == "network" else n for n in old])
    second = box.ok("run", "--bundle", other, "c2").text.splitlines()
    check(int(second[0]) < 3600, f"the other container's time since boot is {second[0]} s")
    check(second[3] != first[3], "both are in one time namespace")
