# SPDX-License-Identifier: Apache-2.0
"""What cannot work in a VM is refused with a message that says why, and nothing is left of the attempt."""
import os
import subprocess

from harness import RUNTIME, check, check_equal, check_in, claim


def refused(box, words, *args, **options):
    result = box.command(*args, **options)
    check_equal(result.code, 1, f"exit code of {args}")
    for word in words:
        check_in(word, result.errors, f"message of {args}")
    check("No such file or directory" not in result.errors, f"{result.errors!r} means exit code 127 to engines")
    check_equal(box.containers(), [], "containers left")
    return result


@claim("--preserve-fds with a number over 0 is refused by create, run and exec, and 0 is not")
def preserve_fds(box):
    bundle = box.bundle(["true"])
    for command in ("create", "run"):
        refused(box, ["--preserve-fds=2", "cannot be handed into a microVM"], command, "--bundle", bundle,
                "--preserve-fds", "2", "c1")
    check_equal(box.ok("run", "--preserve-fds", "0", "--bundle", bundle, "c1").code, 0, "run with 0")
    box.start(["sleep", "1000"])
    result = box.command("exec", "--preserve-fds", "1", "c1", "true")
    check_equal(result.code, 255, "exit code of exec")
    check_in("cannot be handed into a microVM", result.errors, "message of exec")


@claim("socket activation is refused when the sockets are meant for the command, and only then")
def socket_activation(box):
    bundle = box.bundle(["echo", "ran"])

    def run(pid, fds="1"):
        text = f"LISTEN_FDS={fds} LISTEN_PID={pid} exec \"$@\""
        done = subprocess.run(["sh", "-c", text, "sh", RUNTIME, "--root", box.root, "run", "--bundle", bundle, "c1"],
                              capture_output=True, env=box.env, stdin=subprocess.DEVNULL, timeout=90)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    code, out, errors = run("$$")
    check_equal((code, out), (1, ""), "LISTEN_PID is the command's")
    check_in("socket activation (LISTEN_FDS=1): sockets cannot be handed into a microVM", errors, "message")
    # As an engine that was itself activated passes it on, as conmon does without sockets, and nonsense.
    for pid, fds in (("1", "1"), ("$$", "0"), ("", "1"), ("x", "y")):
        check_equal(run(pid, fds)[:2], (0, "ran\n"), f"LISTEN_PID={pid} LISTEN_FDS={fds}")


@claim("host networking is refused: no network namespace, or the host's by its path")
def host_network(box):
    without = box.bundle(["true"], linux__namespaces=lambda old: [n for n in old if n["type"] != "network"])
    refused(box, ["host networking is not supported"], "create", "--bundle", without, "c1")
    path = f"/proc/{os.getpid()}/ns/net"
    by_path = box.bundle(["true"], linux__namespaces=lambda old: [
        {"type": "network", "path": path} if n["type"] == "network" else n for n in old])
    refused(box, [path, "host networking is not supported"], "run", "--bundle", by_path, "c1")


@claim("other namespaces of the host are refused by their path")
def host_namespaces(box):
    for kind in ("ipc", "uts", "pid"):
        path = f"/proc/{os.getpid()}/ns/{kind}"
        bundle = box.bundle(["true"], linux__namespaces=lambda old: [
            {"type": kind, "path": path} if n["type"] == kind else n for n in old])
        refused(box, [f"{kind} namespace '{path}' is the host's"], "run", "--bundle", bundle, "c1")
    bundle = box.bundle(["true"], linux__namespaces=lambda old: [
        {"type": "mount", "path": "/proc/self/ns/mnt"} if n["type"] == "mount" else n for n in old])
    refused(box, ["mount namespace"], "run", "--bundle", bundle, "c1")


@claim("rootless is refused: as an option, and for who is not root")
def rootless(box):
    bundle = box.bundle(["true"])
    refused(box, ["--rootless=true", "rootless containers are not supported"], "--rootless", "true", "run", "--bundle",
            bundle, "c1")
    refused(box, ["invalid --rootless 'maybe'"], "--rootless=maybe", "list")
    for word in ("false", "auto"):
        box.ok("--rootless", word, "list")
    os.chmod(box.dir, 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RUNTIME, "--root", "/tmp/none",
                           "run", "--bundle", bundle, "c1"], capture_output=True, env=box.env, stdin=subprocess.DEVNULL)
    check_equal(done.returncode, 1, "exit code as nobody")
    check_in("must be run as root: rootless containers are not supported", done.stderr.decode(), "message as nobody")


@claim("checkpoint and restore answer engines' probes with no, and name themselves when they are tried")
def checkpoint(box):
    check_equal(box.command("checkpoint", "--help").code, 1, "exit code of checkpoint --help")
    result = box.command("restore", "--lsm-mount-context")
    check_equal(result.code, 1, "exit code of restore --lsm-mount-context")
    check("needs an argument" not in result.errors and "requires an argument" not in result.errors,
          f"podman takes {result.errors!r} for support")
    box.start(["sleep", "1000"])
    for command in (("checkpoint", "--image-path", box.dir, "c1"), ("restore", "--bundle", box.dir, "c2")):
        result = box.command(*command)
        check_equal(result.code, 1, f"exit code of {command[0]}")
        check_in(f"'{command[0]}' is not supported", result.errors, "message")
    check_equal(box.status(), "running", "the container is what it was")


@claim("id-mapped mounts are refused by the name of their field")
def fields(box):
    bind = {"destination": "/mnt", "type": "bind", "source": box.dir}
    for mount, words in (({**bind, "options": ["bind", "idmap"]}, ["mounts[0].options[1]", "'idmap'", "no id-mapped mounts"]),
                         ({**bind, "options": ["rbind", "ridmap"]}, ["mounts[0].options[1]", "'ridmap'"]),
                         ({**bind, "options": ["bind"], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]},
                          ["mounts[0].uidMappings", "no id-mapped mounts"])):
        refused(box, words, "run", "--bundle", box.bundle(["true"], mounts=lambda old: [mount] + old), "c1")
