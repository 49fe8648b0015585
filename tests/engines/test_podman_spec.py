# SPDX-License-Identifier: Apache-2.0
"""podman: user namespaces, hooks, devices and volumes inside of volumes."""
import json
import os

from cases import case
from harness import check, check_equal, check_in, wait_until
from podman import IMAGE

RUN = ("run", "--rm", "--network", "none")
MAP = ("--uidmap", "0:200000:5000", "--gidmap", "0:300000:5000")


@case("podman", "user namespaces")
def user_namespaces(t):
    script = ("id -u; tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; touch /vol/made /made; chown 7:8 /made; "
              "stat -c %u:%g / /vol/made /made /dev/null; ls -d /sys/class/net; mount | grep -c ' /proc '; hostname")
    os.makedirs(f"{t.dir}/vol")
    os.chmod(f"{t.dir}/vol", 0o777)
    lines = t.out(*RUN, *MAP, "-v", f"{t.dir}/vol:/vol", "--hostname", "mapped", IMAGE, "sh", "-c", script).split("\n")
    with t.line("--uidmap and --gidmap"):
        check_equal(lines[:3], ["0", " 0 200000 5000", " 0 300000 5000"], "ids inside")
        check_equal(lines[3:7], ["0:0", "0:0", "7:8", "0:0"], "owners of the root, of new files, of a node")
        check_equal(lines[9], "mapped", "host name")
    with t.line("files of a volume belong to the mapped user on the host"):
        made = os.stat(f"{t.dir}/vol/made")
        check_equal((made.st_uid, made.st_gid), (200000, 300000), "owner of a file in the volume")
    t.ok("run", "-d", "--rm", "--name", "mapped", "--network", "none", *MAP, IMAGE, "sleep", "1000")
    with t.line("exec joins the namespace"):
        check_equal(t.out("exec", "mapped", "sh", "-c", "id -u; tr -s ' ' < /proc/self/uid_map").split("\n")[:2],
                    ["0", " 0 200000 5000"], "ids in an exec")
        check_equal(t.out("exec", "-u", "1000", "mapped", "id", "-u"), "1000", "another user")
    with t.line("--userns container: of one in another network"):
        check_equal(t.out(*RUN, "--userns", "container:mapped", IMAGE, "sh", "-c",
                          "id -u; tr -s ' ' < /proc/self/uid_map").split("\n")[:2], ["0", " 0 200000 5000"], "ids")
    with t.line("--userns container: shares it"):
        check_equal(t.out("run", "--rm", "--network", "container:mapped", "--userns", "container:mapped", IMAGE, "sh", "-c",
                          "id -u; tr -s ' ' < /proc/self/uid_map").split("\n")[:2], ["0", " 0 200000 5000"], "ids")
    # Removed by conmon's own clean-up: with mappings that is in another mount namespace, and a `podman rm` afterwards
    # finds "userdata/shm: device or resource busy", with crun too.
    t.ok("kill", "mapped")
    wait_until(lambda: not t.out("ps", "-aq"), "the container is removed")


@case("podman", "user namespace of its own, chosen by podman")
def userns_auto(t):
    for name in ("subuid", "subgid"):
        with open(f"/etc/{name}", "w") as f:
            f.write("containers:1000000:1000000\n")
    lines = t.out(*RUN, "--userns", "auto", IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map").split("\n")
    with t.line("--userns auto"):
        check_equal(lines[0], "0", "uid")
        inside, outside, size = lines[1].split()
        check(inside == "0" and int(outside) >= 100000 and int(size) >= 1000, f"mapping {lines[1]!r}")


@case("podman", "hooks")
def hooks(t):
    folder = f"{t.dir}/hooks"
    os.makedirs(folder)
    stages = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    for stage in stages:
        with open(f"{folder}/{stage}.json", "w") as f:
            json.dump({"version": "1.0.0", "when": {"always": True}, "stages": [stage],
                       "hook": {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {t.dir}/{stage}; echo {stage} >> {t.dir}/order"],
                                "env": ["PATH=/bin:/usr/bin"]}}, f)
    t.ok("--hooks-dir", folder, *RUN, IMAGE, "true")
    with t.line("--hooks-dir: every stage, in order"):
        with open(f"{t.dir}/order") as f:
            check_equal(f.read().split(), list(stages), "order")
        for stage in stages:
            with open(f"{t.dir}/{stage}") as f:
                check_in("id", json.load(f), f"state of {stage}")


@case("podman", "devices")
def devices(t):
    with t.line("--device /dev/fuse"):
        check_equal(t.out(*RUN, "--device", "/dev/fuse", IMAGE, "sh", "-c", "(: <> /dev/fuse) && echo open").strip(), "open",
                    "what can be done with it")
    with t.line("--device with a path and an access of its own"):
        check_equal(t.out(*RUN, "--device", "/dev/null:/dev/mine:r", IMAGE, "sh", "-c", "stat -c %t:%T /dev/mine").strip(),
                    "1:3", "numbers")


@case("podman", "devices that only the host has", runtimes=("onggi",))
def refused_device(t):
    done = t.call(*RUN, "--device", "/dev/kvm", IMAGE, "true")
    with t.line("--device /dev/kvm is refused with the reason"):
        check(done.code in (125, 126, 127), f"exit code {done.code}")
        check_in("'/dev/kvm' (c 10:232) is the host's: it does not exist in the virtual machine", done.errors, "message")


@case("podman", "volumes")
def volumes(t):
    for name in ("a", "b", "a/inner"):
        os.makedirs(f"{t.dir}/{name}")
    for name in ("a", "b"):
        with open(f"{t.dir}/{name}/name", "w") as f:
            f.write(f"{name}\n")
    lines = t.out(*RUN, "-v", f"{t.dir}/a:/m", "-v", f"{t.dir}/b:/m/inner", "-v", f"{t.dir}/b:/ro:ro", IMAGE, "sh", "-c",
                  "cat /m/name /m/inner/name; touch /ro/x 2>/dev/null || echo ro; touch /m/inner/new").split()
    with t.line("-v of a folder inside of another volume"):
        check_equal(lines[:2], ["a", "b"], "files")
        check(os.path.exists(f"{t.dir}/b/new"), "the new file is not in the inner volume")
    with t.line("-v …:ro"):
        check_equal(lines[2:], ["ro"], "writing")
