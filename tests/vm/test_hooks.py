# SPDX-License-Identifier: Apache-2.0
"""Hooks: each kind in the namespace and at the moment that the specification names, with state, timeout, failure."""
import json
import os
import shutil
import subprocess
import time

from harness import check, check_equal, check_in, claim, wait_until

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def script(text, **members):
    """A hook of the host's shell."""
    return {"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], **members}


def read(path):
    with open(path) as f:
        return f.read()


def all_kinds(box):
    """Hooks of every kind that note their name and keep the state they got. startContainer's is in the guest."""
    hooks = {k: [script(f"echo {k} >> {box.dir}/order; cat > {box.dir}/state-{k}")] for k in KINDS}
    hooks["startContainer"] = [script("echo startContainer >> /order; cat > /state")]
    return hooks


@claim("hooks of all six kinds run in the order of the specification, each with the state of its moment on stdin")
def all_hooks(box):
    bundle = box.bundle(["sh", "-c", "cat /order; cat /state"], hooks=all_kinds(box), annotations={"a.b": "c"})
    pid = box.create_bundle(bundle)
    check_equal(read(f"{box.dir}/order").split(), ["prestart", "createRuntime", "createContainer"], "at create")
    for kind in KINDS[:3]:
        state = json.loads(read(f"{box.dir}/state-{kind}"))
        check_equal(state, {"ociVersion": "1.0.2", "id": "c1", "pid": pid, "status": "creating", "bundle": bundle,
                            "annotations": {"a.b": "c"}}, kind)
    box.ok("start", "c1")
    check_equal(json.loads(read(f"{box.dir}/state-poststart"))["pid"], pid, "pid at poststart")
    check_equal(json.loads(read(f"{box.dir}/state-poststart"))["status"], "running", "status at poststart")
    box.exit_of(pid)
    lines = box.output_of().splitlines()
    check_equal(lines[0], "startContainer", "before the program, inside the container")
    inside = json.loads(lines[1])
    check_equal((inside["status"], inside["pid"], inside["id"], inside["bundle"]), ("created", 1, "c1", bundle),
                "state of startContainer")
    check(not os.path.exists(f"{box.dir}/state-poststop"), "poststop has run before delete")
    box.ok("delete", "c1")
    state = json.loads(read(f"{box.dir}/state-poststop"))
    check_equal((state["status"], state["pid"]), ("stopped", 0), "state of poststop")
    check_equal(read(f"{box.dir}/order").split(),
                ["prestart", "createRuntime", "createContainer", "poststart", "poststop"], "order on the host")


@claim("runc runs the same hooks in the same order with the same state, but for pids")
def same_as_runc(box):
    found = {}
    for runtime in ("onggi", "runc"):
        for name in os.listdir(box.dir):
            if name.startswith(("state-", "order")):
                os.unlink(os.path.join(box.dir, name))
        hooks = all_kinds(box)
        del hooks["startContainer"]  # no shell at /bin/sh of the guest has our path
        bundle = box.bundle(["true"], hooks=hooks)
        if runtime == "onggi":
            box.ok("run", "--bundle", bundle, "c1")
        else:
            config = box.load(bundle)
            config["process"]["rlimits"] = []
            config["mounts"] = [m for m in config["mounts"] if m["type"] in ("proc", "tmpfs")]
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"]
            config["linux"]["resources"] = {}
            box.save(bundle, config)
            done = subprocess.run(["runc", "--root", f"{box.dir}/runc", "run", "--bundle", bundle, "c1"],
                                  capture_output=True, stdin=subprocess.DEVNULL)
            check_equal(done.returncode, 0, f"runc: {done.stderr!r}")
        states = {}
        for kind in KINDS:
            if kind != "startContainer":
                state = json.loads(read(f"{box.dir}/state-{kind}"))
                states[kind] = (state["id"], state["status"], bool(state.get("pid")), sorted(set(state) - {"pid"}))
        found[runtime] = (read(f"{box.dir}/order").split(), states)
    # runc of this version says "created" at poststart; the specification says that the program runs by then.
    for _, states in found.values():
        check(states["poststart"][1] in ("created", "running"), f"status at poststart: {states}")
        del states["poststart"]
    check_equal(found["onggi"], found["runc"], "hooks")


@claim("prestart, createRuntime, poststart and poststop run in the caller's namespaces, createContainer in the network's")
def places(box):
    look = "readlink /proc/self/ns/net > {0}; readlink /proc/self/ns/pid >> {0}"
    hooks = {k: [script(look.format(f"{box.dir}/ns-{k}"))] for k in KINDS if k != "startContainer"}
    bundle = box.bundle(["sleep", "1000"], hooks=hooks)
    pid = box.create_bundle(bundle)
    box.ok("start", "c1")
    sandbox = os.readlink(f"/proc/{pid}/ns/net")
    box.ok("delete", "--force", "c1")
    mine = os.readlink("/proc/self/ns/net")
    check(sandbox != mine, "the sandbox has the caller's network namespace")
    for kind in KINDS:
        if kind == "startContainer":
            continue
        net, pids = read(f"{box.dir}/ns-{kind}").split()
        check_equal(net, sandbox if kind == "createContainer" else mine, f"network namespace of {kind}")
        check_equal(pids, os.readlink("/proc/self/ns/pid"), f"pid namespace of {kind}")


@claim("a foreground run's hooks run in the caller's network namespace too")
def foreground_places(box):
    look = "readlink /proc/self/ns/net > {0}"
    kinds = ("prestart", "createRuntime", "poststart", "poststop")
    hooks = {k: [script(look.format(f"{box.dir}/ns-{k}"))] for k in kinds}
    box.run_ok(["true"], hooks=hooks)
    for kind in kinds:
        check_equal(read(f"{box.dir}/ns-{kind}").strip(), os.readlink("/proc/self/ns/net"), kind)


@claim("a prestart hook finds the container's network namespace behind the pid, as Docker's libnetwork-setkey does")
def setkey(box):
    text = ("pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); touch {0}/net; mount --bind /proc/$pid/ns/net {0}/net; "
            "nsenter --net={0}/net ip addr add 10.98.7.6/32 dev lo")
    bundle = box.bundle(["sleep", "1000"], hooks={"prestart": [script(text.format(box.dir))]})
    try:
        pid = box.create_bundle(bundle)
        out = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-o", "addr"], capture_output=True)
        check_in("10.98.7.6", out.stdout.decode(), "addresses in the sandbox's network namespace")
        box.ok("start", "c1")
    finally:
        subprocess.run(["umount", "-l", f"{box.dir}/net"], check=False, capture_output=True)
    box.ok("delete", "--force", "c1")


@claim("createContainer works in the container's root: files and mounts that it makes are there for the program")
def create_container(box):
    text = ("pwd > {0}/cwd; echo made > made; mkdir -p vol; mount -t tmpfs -o size=1m hook vol; echo inner > vol/file; "
            "cat /proc/self/mountinfo > {0}/mountinfo")
    bundle = box.bundle(["sh", "-c", "cat /made /vol/file; ls -A /vol"],
                        hooks={"createContainer": [script(text.format(box.dir))]})
    result = box.ok("run", "--bundle", bundle, "c1")
    check_equal(result.text.split(), ["made", "inner", "file"], "what the program sees")
    check_equal(read(f"{box.dir}/cwd").strip(), f"{bundle}/rootfs", "working folder of the hook")
    check_equal(os.listdir(f"{bundle}/rootfs/vol"), [], "the mount is in the caller's namespace too")
    check(f"{bundle}/rootfs/vol" not in read("/proc/self/mountinfo"), "the mount is in the caller's namespace too")


@claim("startContainer resolves its path in the container and runs with the container's user, in its namespaces")
def start_container(box):
    text = "id -u > /tmp/uid; grep CapEff /proc/self/status > /tmp/caps; readlink /proc/self/ns/mnt > /tmp/ns; pwd > /tmp/cwd"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", text + "; env > /tmp/env"], "env": ["PATH=/bin", "ONLY=me"]}
    out = box.run_ok(["sh", "-c", "cat /tmp/uid /tmp/caps /tmp/ns; readlink /proc/self/ns/mnt; cat /tmp/cwd; cat /tmp/env"],
                     hooks={"startContainer": [hook]}, process__user={"uid": 1000, "gid": 1000},
                     process__cwd="/var/tmp", process__capabilities=None).text.splitlines()
    check_equal(out[0], "1000", "user")
    check_in("0000000000000000", out[1], "effective capabilities")
    check_equal(out[2], out[3], "mount namespace")
    check_equal(out[4], "/var/tmp", "working folder")
    check_in("ONLY=me", out, "environment")
    check(not any(line.startswith("TERM=") for line in out), f"the environment is the program's: {out}")
    only = box.run(["true"], name="c2", hooks={"startContainer": [{"path": box.dir + "/nowhere"}]})
    check_equal(only.code, 1, "a path of the host's as startContainer")
    check_in("startContainer hook #0", only.errors, "message")


@claim("a startContainer hook that fails fails the start, and the container has stopped without running its program")
def start_container_fails(box):
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo no licence >&2; exit 4"]}
    bundle = box.bundle(["sh", "-c", "echo ran"], hooks={"startContainer": [hook], "poststop": [
        script(f"touch {box.dir}/poststop")], "poststart": [script(f"touch {box.dir}/poststart")]})
    box.create_bundle(bundle)
    result = box.command("start", "c1")
    check_equal(result.code, 1, "exit code of start")
    check_in("error running startContainer hook #0", result.errors, "message")
    check_in("exit status 4", result.errors, "message")
    check_in("no licence", result.errors, "message")
    box.wait_status("stopped")
    check_equal(box.output_of(), "", "output of the program")
    check(not os.path.exists(f"{box.dir}/poststart"), "poststart has run")
    box.ok("delete", "c1")
    check(os.path.exists(f"{box.dir}/poststop"), "poststop has not run")


@claim("a hook of creation that fails fails the create: later ones are not run, poststop is, and nothing is left")
def create_fails(box):
    for kind in KINDS[:3]:
        later = KINDS[KINDS.index(kind) + 1]
        hooks = {kind: [script("exit 0"), script("echo broken network >&2; exit 3"), script(f"touch {box.dir}/third")],
                 "poststop": [script(f"touch {box.dir}/poststop-{kind}")]}
        if later != "startContainer":
            hooks[later] = [script(f"touch {box.dir}/later")]
        result = box.command("create", "--bundle", box.bundle(["true"], hooks=hooks), "c1")
        check_equal(result.code, 1, f"exit code of create with a failing {kind}")
        for words in (f"error running {kind} hook #1", "exit status 3", "broken network"):
            check_in(words, result.errors, "message")
        check(not os.path.exists(f"{box.dir}/third"), "the hook after the failed one has run")
        check(not os.path.exists(f"{box.dir}/later"), f"{later} has run after {kind} failed")
        check(os.path.exists(f"{box.dir}/poststop-{kind}"), "poststop has not run")
        check_in("does not exist", box.command("state", "c1").errors, "state afterwards")


@claim("a hook that takes longer than its timeout is killed and has failed; one within its time has not")
def timeouts(box):
    for number, kind in enumerate(KINDS[:4]):
        path = "/bin/sleep"
        slow = {"path": path, "args": ["sleep", "600"], "timeout": 1}
        bundle = box.bundle(["true"], hooks={kind: [{"path": path, "args": ["sleep", "0"], "timeout": 30}, slow]})
        begin = time.monotonic()
        result = box.command("run", "--bundle", bundle, f"c{number}")
        check_equal(result.code, 1, f"exit code of run with a slow {kind}")
        check_in(f"error running {kind} hook #1: hook '{path}' did not end in 1 s", result.errors, "message")
        check(time.monotonic() - begin < 30, f"{kind}: the time-out took {time.monotonic() - begin:.1f} s")


@claim("poststart and poststop hooks that fail are warned of, and the others of their kind run all the same")
def post_hooks_fail(box):
    for kind in ("poststart", "poststop"):
        hooks = {kind: [script("echo trouble >&2; exit 9"), script(f"touch {box.dir}/second-{kind}")]}
        bundle = box.bundle(["sh", "-c", "echo fine"], hooks=hooks)
        result = box.command("run", "--bundle", bundle, "c1")
        check_equal((result.code, result.text), (0, "fine\n"), f"run with a failing {kind}")
        check_in(f"error running {kind} hook #0", result.errors, "warning")
        check(os.path.exists(f"{box.dir}/second-{kind}"), f"the second {kind} hook has not run")


@claim("a hook that was killed or does not exist has failed, and the message says which")
def broken_hooks(box):
    cases = ((script("kill -9 $$"), "killed by signal 9"), ({"path": box.dir + "/none"}, "No such file"),
             ({"path": "/etc/passwd"}, "Permission denied"))
    for hook, words in cases:
        for kind in ("createRuntime", "createContainer"):
            result = box.command("create", "--bundle", box.bundle(["true"], hooks={kind: [hook]}), "c1")
            check_equal(result.code, 1, "exit code")
            check_in(f"error running {kind} hook #0: hook '{hook['path']}'", result.errors, "message")
            check_in(words, result.errors, "message")


@claim("hooks get their own environment and no descriptor but the first three")
def environment(box):
    text = "env > {0}/env-{1}; ls -l /proc/self/fd > {0}/fds-{1}"
    hooks = {k: [{"path": "/bin/sh", "args": ["sh", "-c", text.format(box.dir, k)], "env": ["PATH=/bin:/usr/bin", f"K={k}"]}]
             for k in ("prestart", "createContainer", "poststop")}
    box.run_ok(["true"], hooks=hooks)
    for kind in hooks:
        check_equal(sorted(x for x in read(f"{box.dir}/env-{kind}").split() if not x.startswith(("PWD=", "_=", "SHLVL="))),
                    [f"K={kind}", "PATH=/bin:/usr/bin"], f"environment of {kind}")
        numbers = [line.split()[8] for line in read(f"{box.dir}/fds-{kind}").splitlines()[1:]]
        check_equal(numbers, ["0", "1", "2", "3"], f"descriptors of {kind} (3 is the folder that is listed)")


@claim("a command that is killed while a createContainer hook runs leaves no hook behind")
def killed_meanwhile(box):
    flag = f"{box.dir}/flag"
    bundle = box.bundle(["true"], hooks={"createContainer": [script(f"touch {flag}; sleep 500")]})
    process = box.popen("create", "--bundle", bundle, "c1")
    wait_until(lambda: os.path.exists(flag), "the hook runs")
    process.kill()
    process.wait()
    box.ok("delete", "--force", "c1")


@claim("a second container of a pod has its own hooks, and a long one does not hold up the first")
def second_container(box):
    pid = box.start(["sh", "-c", "while read x; do echo got $x; done; sleep 1000"])
    net = f"/proc/{pid}/ns/net"
    bundle = box.bundle(["cat", "/by-hook"], hooks={"createContainer": [
        script(f"echo second > by-hook; touch {box.dir}/running; while ! [ -e {box.dir}/go ]; do sleep .05; done")]},
        linux__namespaces=lambda old: [n if n["type"] != "network" else {"type": "network", "path": net} for n in old])
    process = box.popen("run", "--bundle", bundle, "c2")
    wait_until(lambda: os.path.exists(f"{box.dir}/running"), "the hook runs")
    check_equal(box.ok("exec", "c1", "echo", "alive").text, "alive\n", "exec in the first container meanwhile")
    open(f"{box.dir}/go", "w").close()
    out, _ = process.communicate(timeout=120)
    check_equal((process.returncode, out), (0, b"second\n"), "the second container")
    shutil.rmtree(f"{bundle}/rootfs/vol", ignore_errors=True)
    box.ok("delete", "--force", "c1")


@claim("a bundle that is removed after create is no reason for a word; hooks that are lost with it are")
def bundle_removed(box):
    for hooks, kinds in (({}, []), ({"poststart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]},
                                   ["start", "delete"])):
        bundle = box.bundle(["sleep", "1000"], image="minbase", hooks=hooks)
        box.create_bundle(bundle)
        shutil.rmtree(bundle)
        for words in (["start", "c1"], ["delete", "--force", "c1"]):
            result = box.ok(*words)
            check_equal(bool(result.errors), words[0] in kinds, f"words of {words} with hooks {hooks}: {result!r}")
            check("config.json" in result.errors or not kinds, f"what is missing is named: {result!r}")
