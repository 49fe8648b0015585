# SPDX-License-Identifier: Apache-2.0
"""Bad input and broken surroundings: one clear error that names the thing, and nothing left behind."""
import json
import os
import resource
import signal

from harness import check, check_equal, check_in, claim, leaks, processes, snapshot, wait_until


def refused(box, words, *texts, code=1):
    """The command fails, names what is wrong in one line, and leaves no container or sandbox."""
    result = box.command(*words)
    check_equal(result.code, code, f"exit code of {words} ({result!r})")
    for text in texts:
        check_in(text, result.errors, "message")
    lines = [x for x in result.errors.splitlines() if x.strip()]
    check(len(lines) == 1, f"one line of message wanted, got {lines}")
    check_equal(box.containers(), [], "containers left")
    return result


def script(box, name, text):
    path = os.path.join(box.dir, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


@claim("a bundle that is missing, or has no config.json, is named")
def no_config(box):
    refused(box, ["create", "-b", "/no/such/bundle", "c1"], "/no/such/bundle")
    empty = os.path.join(box.dir, "empty")
    os.mkdir(empty)
    refused(box, ["create", "-b", empty, "c1"], "config.json")


@claim("a config.json that is no JSON, or has wrong types, is refused by file and field")
def wrong_types(box):
    bundle = box.bundle(["true"])
    for text, part in (('{"ociVersion": ', "config.json"), ("[]", "config.json")):
        with open(os.path.join(bundle, "config.json"), "w") as f:
            f.write(text)
        refused(box, ["create", "-b", bundle, "c1"], part)
    for change, field in (({"process__args": "true"}, "process.args"), ({"process__args": []}, "process.args"),
                          ({"process__cwd": "relative"}, "process.cwd"), ({"process__user": {"uid": -1, "gid": 0}}, "uid"),
                          ({"process__user": {"uid": 1 << 32, "gid": 0}}, "uid"), ({"root": None}, "root"),
                          ({"ociVersion": None}, "ociVersion"), ({"linux__namespaces": [{"type": "moon"}]}, "moon"),
                          ({"linux__resources__memory": {"limit": "much"}}, "limit"),
                          ({"mounts": [{"destination": "/x", "type": "nfs", "source": "y"}]}, "nfs")):
        refused(box, ["create", "-b", box.bundle(["true"], **change), "c1"], field)


@claim("a missing rootfs is named")
def no_rootfs(box):
    refused(box, ["create", "-b", box.bundle(["true"], root={"path": "nothing"}), "c1"], "nothing")


@claim("a missing source of a bind mount is named")
def no_mount_source(box):
    refused(box, ["create", "-b", box.bundle(["true"], mounts=lambda old: old + [
        {"destination": "/x", "type": "bind", "source": "/no/source", "options": ["bind"]}]), "c1"], "/no/source")


@claim("a program that is missing or not executable fails at create, in runc's words")
def no_program(box):
    refused(box, ["run", "-b", box.bundle(["nope"]), "c1"], 'exec: "nope": executable file not found in $PATH')
    refused(box, ["run", "-b", box.bundle(["/bin/nope"]), "c1"], "no such file or directory")
    refused(box, ["run", "-b", box.bundle(["/etc/passwd"]), "c1"], "permission denied")
    refused(box, ["create", "-b", box.bundle(["/etc"]), "c1"], "/etc")


@claim("an id in use or with bad characters is refused in runc's words")
def bad_ids(box):
    box.create(["true"], name="c1")
    result = box.command("create", "-b", box.bundle(["true"]), "c1")
    check_equal(result.code, 1, "exit code")
    check_in("already exists", result.errors, "message")
    check_equal(box.status("c1"), "created", "the first one is untouched")
    for name in ("a/b", "..", ".", "a b", "", "a\nb", "x" * 300, "ü"):
        result = box.command("create", "-b", box.bundle(["true"]), name)
        check_equal(result.code, 1, f"exit code for {name!r}")
        check_in("invalid", result.errors.lower(), f"message for {name!r}")
    box.ok("delete", "--force", "c1")


@claim("the host's network namespace is refused with the reason")
def host_network(box):
    refused(box, ["create", "-b", box.bundle(["true"], hostname=None, linux__namespaces=[
        {"type": t} for t in ("pid", "mount")]), "c1"], "network")


@claim("no kernel, no initramfs, no QEMU, no virtiofsd: each is named with its path")
def missing_parts(box):
    for key in ("kernel", "initrd", "vmm", "file_server"):
        box.write_config(**{k: None for k in ("kernel", "initrd", "vmm", "file_server")})
        box.write_config(**{key: f"/no/such/{key}"})
        refused(box, ["run", "-b", box.bundle(["true"]), "c1"], f"/no/such/{key}")


@claim("a QEMU that exits at start is reported with its last words")
def vmm_exits(box):
    box.write_config(vmm=script(box, "vmm", "#!/bin/sh\necho this machine is tired >&2\nexit 3\n"))
    refused(box, ["run", "-b", box.bundle(["true"]), "c1"], "this machine is tired")


@claim("a virtiofsd that exits at start is reported with its last words")
def file_server_exits(box):
    box.write_config(file_server=script(box, "vfs", "#!/bin/sh\n[ \"$1\" = --version ] && exec "
                                  "/usr/lib/qemu/virtiofsd --version\necho no files today >&2\nexit 3\n"))
    refused(box, ["run", "-b", box.bundle(["true"]), "c1"], "no files today")


@claim("too little memory for QEMU is reported")
def no_memory(box):
    limit = 400 << 20
    result = box.command("run", "-b", box.bundle(["true"]), "c1",
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    check_equal(result.code, 1, f"exit code ({result!r})")
    check("memory" in result.errors.lower(), f"message: {result.errors}")


@claim("a guest that panics before it answers is given up, with the tail of its console")
def panicking_guest(box):
    import subprocess
    initrd = os.path.join(box.dir, "empty.cpio")
    subprocess.run("printf '' | cpio -o -H newc --quiet", shell=True, check=True, stdout=open(initrd, "wb"))
    box.write_config(initrd=initrd, boot_timeout_s=100)
    result = box.run(["true"])
    check_equal(result.code, 1, f"exit code ({result!r})")
    check_in("panic", result.errors.lower(), "message")


@claim("a guest that hangs without a word is given up after the configured time")
def hanging_guest(box):
    box.write_config(vmm=script(box, "vmm", "#!/bin/sh\nexec sleep 1000\n"), boot_timeout_s=2)
    result = box.run(["true"])
    check_equal(result.code, 1, f"exit code ({result!r})")
    check_in("2000 ms", result.errors, "message")


@claim("without KVM the default configuration refuses and says how to allow emulation")
def default_refuses(box):
    if os.environ.get("ONGGI_TEST_ACCEL", "auto") == "kvm":
        return
    box.write_config(accel=None)
    result = box.run(["true"])
    if result.code == 0:
        check(os.path.exists("/dev/kvm"), "no /dev/kvm, yet a VM came up on KVM")
        return
    check_equal(result.code, 1, "exit code")
    for text in ("accel", "auto"):
        check_in(text, result.errors, "message")


@claim("an unknown key or a wrong value in the configuration is an error that names it")
def bad_configuration(box):
    for settings, texts in (({"acel": "auto"}, ("acel",)), ({"accel": "warp"}, ("accel", "warp")),
                            ({"memory_mib": "lots"}, ("memory_mib",)), ({"vcpus": 0}, ("vcpus",))):
        box.settings = {}
        box.write_config(**settings)
        refused(box, ["run", "-b", box.bundle(["true"]), "c1"], box.config, *texts)
    refused(box, ["--config", "/no/config.json", "run", "-b", box.bundle(["true"]), "c1"], "/no/config.json")


@claim("unknown commands, flags and missing arguments are answered with a line that names them")
def bad_usage(box):
    for words in (["frobnicate"], ["create"], ["state"], ["run", "--no-such-flag", "c1"], ["kill"], ["delete"]):
        result = box.command(*words)
        check(result.code != 0, f"{words} succeeded")
        check(result.errors.strip() != "", f"{words} says nothing")


@claim("what is not supported is refused by name")
def unsupported(box):
    for change, word in (({"linux__seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}, "NOTIFY"),
                         ({"linux__seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}}, "listenerPath"),
                         ({"linux__sysctl": {"kernel.core_pattern": "|/x"}}, "kernel.core_pattern")):
        refused(box, ["create", "-b", box.bundle(["true"], **change), "c1"], word)
    for words in (["checkpoint", "c1"], ["restore", "c1"]):
        result = box.command(*words)
        check_equal(result.code, 1, f"exit code of {words}")
        check_in("not supported", result.errors, f"message of {words}")
    check(box.command("checkpoint", "--help").code != 0, "checkpoint --help exits 0: podman takes that for support")


@claim("an unknown field of the configuration is ignored, as the specification says")
def unknown_field(box):
    check_equal(box.run_ok(["echo", "fine"], linux__moonPhase={"full": True}, extra=1).text, "fine\n", "output")


@claim("a rootfs whose /dev, /proc, /etc or mount points are symbolic links cannot lead anywhere")
def evil_rootfs(box):
    canary = os.path.join(box.dir, "canary")
    os.mkdir(canary)
    for link, target in (("dev", "/etc"), ("proc", "/tmp"), ("sys", "../../../../etc"), ("mnt", canary)):
        bundle = box.bundle(["sh", "-c", "echo ran"], mounts=lambda old: old + [
            {"destination": "/mnt/in", "type": "tmpfs", "source": "t"}])
        place = os.path.join(bundle, "rootfs", link)
        if os.path.isdir(place):
            os.rmdir(place)
        os.symlink(target, place)
        result = box.command("run", "-b", bundle, "c1")
        check((result.code == 0 and result.text == "ran\n") or (result.code == 1 and result.errors.strip()),
              f"/{link} -> {target}: {result!r}")
        check_equal(os.listdir(canary), [], f"the canary folder after /{link} -> {target}")
        if result.code:
            box.command("delete", "--force", "c1")


@claim("an image's /dev/null that is a link masks nothing else than what is to be masked")
def evil_null(box):
    bundle = box.bundle(["sh", "-c", "wc -c < /proc/keys; cat /secret"],
                        linux__maskedPaths=["/proc/keys", "/secret"], mounts=lambda old: [
                            m for m in old if m["destination"] != "/dev/null"])
    rootfs = os.path.join(bundle, "rootfs")
    os.symlink("/secret", os.path.join(rootfs, "dev", "null"))
    with open(os.path.join(rootfs, "secret"), "w") as f:
        f.write("not to be seen")
    result = box.command("run", "-b", bundle, "c1")
    check("not to be seen" not in result.text, "the masked file is readable")


@claim("a cwd that leads through a descriptor of the agent is refused")
def evil_cwd(box):
    for number in (3, 5, 7, 9, 12):
        result = box.run(["sh", "-c", "ls ../../../.."], name=f"c{number}",
                         process__cwd=f"/proc/self/fd/{number}")
        check("init" not in result.text.split() and "share" not in result.text.split(),
              f"fd {number} led out of the container: {result!r}")


@claim("the leak check catches a process, a mount, a folder, a socket and a descriptor that stay")
def leak_check(box):
    import socket
    import subprocess
    import harness
    limit, harness.SETTLE_LIMIT = harness.SETTLE_LIMIT, 0.2
    try:
        before = snapshot()
        sleeper = subprocess.Popen(["sleep", "1000"])
        check(any("sleep 1000" in x for x in leaks(before)), "a process goes unnoticed")
        sleeper.kill()
        sleeper.wait()
        place = os.path.join(box.dir, "m")
        os.mkdir(place)
        check(any(place in x for x in leaks(before)), "a folder goes unnoticed")
        subprocess.run(["mount", "-t", "tmpfs", "left", place], check=True)
        check(any(x.startswith("mounts") for x in leaks(before)), "a mount goes unnoticed")
        subprocess.run(["umount", place], check=True)
        os.rmdir(place)
        path = os.path.join(box.dir, "s")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            check(any(x.startswith("sockets") for x in leaks(before)), "a socket goes unnoticed")
            check(any(x.startswith("descriptors") for x in leaks(before)), "a descriptor goes unnoticed")
        os.unlink(path)
        group = "/sys/fs/cgroup/pids/onggi-leak-check" if os.path.isdir("/sys/fs/cgroup/pids") else \
            "/sys/fs/cgroup/onggi-leak-check"
        os.mkdir(group)
        check(any(x.startswith("cgroups") for x in leaks(before)), "a cgroup goes unnoticed")
        os.rmdir(group)
        check_equal(leaks(before), [], "leaks when all is gone")
    finally:
        harness.SETTLE_LIMIT = limit


@claim("a monitor that hangs: state and list answer, exec names it, delete --force kills it, says so and leaves nothing")
def hanging_monitor(box):
    box.start(["sleep", "1000"])
    with open(os.path.join(box.root, "sandboxes", "c1", "state.json")) as f:
        monitor = json.load(f)["monitor"]["pid"]
    os.kill(monitor, signal.SIGSTOP)
    check_equal((box.status(), box.ok("list", "--quiet").text), ("running", "c1\n"), "state and list")
    result = box.command("exec", "c1", "true")
    check_equal(result.code, 255, f"exit code of exec ({result!r})")
    check_in(f"(process {monitor}) has not answered for 20 s: 'delete --force c1' ends it", result.errors, "error")
    result = box.ok("delete", "--force", "c1")
    check_in("has not answered for 20 s: it is killed", result.errors, "warning")
    check_equal(box.containers(), [], "containers")


@claim("state that is removed by hand (rm -rf): the container, or all of the sandbox, ends, and no process stays")
def removed_by_hand(box):
    import subprocess
    bundle = box.bundle(["sleep", "1000"])
    for folder in ("containers/c1", "sandboxes/c1", ""):
        process = box.popen("--cgroup-manager", "disabled", "run", "-b", bundle, "c1", stdin=subprocess.DEVNULL)
        wait_until(lambda: '"running"' in box.command("state", "c1").text or process.poll() is not None, "c1 runs")
        with open(os.path.join(box.root, "sandboxes", "c1", "state.json")) as f:
            monitor = json.load(f)["monitor"]["pid"]
        # Once more where the monitor has just written what becomes of the container.
        wait_until(lambda: subprocess.run(["rm", "-rf", os.path.join(box.root, folder)]).returncode == 0, "removed", 60)
        check_equal(process.wait(timeout=90), 137, f"exit code after removal of '{folder}'")
        wait_until(lambda: monitor not in processes(), f"the monitor ends after removal of '{folder}'", 60)
        if folder.startswith("sandboxes"):
            box.ok("delete", "--force", "c1")
