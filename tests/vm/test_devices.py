# SPDX-License-Identifier: Apache-2.0
"""linux.devices: what a guest has is given to the container, what only the host has is refused by name."""
import os

from harness import DEFAULT_CAPS, check, check_equal, check_in, claim


def shell(box, script, name="c1", **changes):
    return box.run_ok(["sh", "-c", script], name=name, **changes).text


def device(path, kind, major, minor, **members):
    return {"path": path, "type": kind, "major": major, "minor": minor, **members}


def allow(*rules):
    """Device rules as engines write them: nothing, and then what is allowed."""
    return [{"allow": False, "access": "rwm"}] + [
        {"allow": True, "type": t, "major": a, "minor": b, "access": m} for t, a, b, m in rules]


@claim("a device of the list gets its path, numbers, mode and owner, below folders that are made for it")
def made(box):
    devices = [device("/dev/my/null", "c", 1, 3, fileMode=0o640, uid=7, gid=8), device("/dev/net/tun", "c", 10, 200),
               device("/dev/fuse", "c", 10, 229, fileMode=0o660), device("/dev/pipe", "p", 0, 0, fileMode=0o600)]
    out = shell(box, "stat -c '%n %F %t:%T %a %u:%g' /dev/my/null /dev/net/tun /dev/fuse /dev/pipe; echo x > /dev/my/null",
                linux__devices=devices, linux__resources__devices=allow(("c", 10, 229, "rwm"), ("c", 10, 200, "rwm")))
    check_equal(out.splitlines(), ["/dev/my/null character special file 1:3 640 7:8",
                                   "/dev/net/tun character special file a:c8 666 0:0",
                                   "/dev/fuse character special file a:e5 660 0:0", "/dev/pipe fifo 0:0 600 0:0"], "nodes")


@claim("the guest has fuse and tun: what the rules allow can be opened, what they do not cannot")
def opened(box):
    devices = [device("/dev/fuse", "c", 10, 229), device("/dev/net/tun", "c", 10, 200)]
    script = "for d in fuse net/tun; do if (: <> /dev/$d) 2>/dev/null; then echo open; else echo closed; fi; done"
    check_equal(shell(box, script, linux__devices=devices, linux__resources__devices=allow(
        ("c", 10, 229, "rwm"), ("c", 10, 200, "rwm"))).split(), ["open", "open"], "with rules for both")
    check_equal(shell(box, script, name="c2", linux__devices=devices, linux__resources__devices=allow(
        ("c", 10, 229, "rwm"))).split(), ["open", "closed"], "with a rule for fuse only")


@claim("a device rule's read and write are told apart")
def access(box):
    devices = [device("/dev/net/tun", "c", 10, 200)]
    script = "(: < /dev/net/tun) 2>/dev/null && echo r; (: <> /dev/net/tun) 2>/dev/null && echo rw; true"
    check_equal(shell(box, script, linux__devices=devices, linux__resources__devices=allow(("c", 10, 200, "r"))).split(),
                ["r"], "a rule for reading")
    check_equal(shell(box, script, name="c2", linux__devices=devices,
                      linux__resources__devices=allow(("c", 10, 200, "rw"))).split(), ["r", "rw"], "a rule for both")


@claim("a device that only the host has is refused by path, type and numbers, and nothing is left")
def refused(box):
    for one in (device("/dev/kvm", "c", 10, 232), device("/dev/sda", "b", 8, 0), device("/dev/null", "b", 1, 3),
                device("/dev/port", "u", 1, 4)):
        result = box.command("create", "--bundle", box.bundle(["true"], linux__devices=[one]), "c1")
        check_equal(result.code, 1, f"exit code with {one['path']}")
        check_in(f"'{one['path']}' ({one['type']} {one['major']}:{one['minor']}) is the host's: it does not exist in the "
                 "virtual machine", result.errors, "message")
        check_equal(box.containers(), [], "containers left")
    result = box.command("create", "--bundle", box.bundle(["true"], linux__devices=[device("/etc/null", "c", 1, 3)]), "c1")
    check_in("'/etc/null' is not below /dev", result.errors, "message for a path outside of /dev")


@claim("a privileged container, which lists whatever the host has, gets those that the guest has")
def privileged(box):
    devices = [device("/dev/kvm", "c", 10, 232), device("/dev/fuse", "c", 10, 229), device("/dev/sda", "b", 8, 0)]
    caps = DEFAULT_CAPS + ["CAP_MKNOD", "CAP_SYS_ADMIN"]
    out = shell(box, "ls /dev; (: <> /dev/fuse) && echo open; mknod /dev/x c 10 200; (: <> /dev/x) && echo tun",
                linux__devices=devices, linux__resources__devices=[{"allow": True, "access": "rwm"}],
                process__capabilities={k: caps for k in ("bounding", "effective", "permitted")}).split()
    check("kvm" not in out and "sda" not in out, f"devices of the host in {out}")
    check("fuse" in out and out[-2:] == ["open", "tun"], f"/dev/fuse is missing in {out}")


@claim("the nodes of a device's list are made in the container's /dev alone, not in its image")
def not_in_image(box):
    bundle = box.bundle(["ls", "/dev/fuse"], linux__devices=[device("/dev/fuse", "c", 10, 229)])
    box.ok("run", "--bundle", bundle, "c1")
    left = os.listdir(f"{bundle}/rootfs/dev") if os.path.isdir(f"{bundle}/rootfs/dev") else []
    check("fuse" not in left and "null" not in left, f"nodes in the image: {left}")


@claim("a device node of the host that is bind-mounted opens the guest's device of that number, or nothing")
def bound_node(box):
    def mounts(old):
        return old + [{"destination": "/dev/hostnull", "type": "bind", "source": "/dev/null", "options": ["bind"]},
                      {"destination": "/dev/hosttun", "type": "bind", "source": "/dev/net/tun", "options": ["bind"]}]
    out = shell(box, "echo x > /dev/hostnull && echo ok; (: <> /dev/hosttun) 2>/dev/null || echo closed", mounts=mounts)
    check_equal(out.split(), ["ok", "closed"], "null is the guest's, tun is not allowed by the rules")
