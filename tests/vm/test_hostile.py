# SPDX-License-Identifier: Apache-2.0
"""A guest whose kernel and agent were taken over, in a running VM: hostile_agent.c is its PID 1, and lies, floods or is silent.

Looked at from outside: commands end, with an error that says why and drives no terminal; the monitor lives, stays small and is
quiet afterwards; `delete --force` leaves nothing (the leak check of every claim); other sandboxes go on.
"""
import json
import os
import re
import subprocess
import threading
import time

from harness import BUILD, RUNTIME, check, check_equal, check_in, claim, wait_until

INITRD = os.path.join(BUILD, "tests", "hostile.cpio")
# What a monitor may grow by while its guest floods it: the largest message, unpacked and copied, and what the C library keeps.
MONITOR_GROWTH_KIB = 64 << 10
LONG = os.environ.get("ONGGI_TEST_HOSTILE") == "long"


def archive(name, data):
    """A newc cpio archive of one file."""
    def entry(path, mode, content):
        head = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path) + 1, 0)
        text = b"070701" + b"".join(b"%08x" % n for n in head) + path.encode() + b"\0"
        return text + b"\0" * (-len(text) % 4) + content + b"\0" * (-len(content) % 4)
    return entry(name, 0o100644, data) + entry("TRAILER!!!", 0, b"")


def hostile(box, plan="", name="hostile", **settings):
    """The guests that are started from here on have the hostile agent, with @plan from its first moment."""
    path = os.path.join(box.dir, f"{name}.cpio")
    with open(INITRD, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(data + b"\0" * (-len(data) % 4) + archive("plan", plan.encode()))
    box.write_config(initrd=path, template="off", boot_timeout_s=120, **settings)


def friendly(box):
    box.write_config(initrd=None, template=os.environ.get("ONGGI_TEST_TEMPLATE", "on"))


def told(result, what):
    """An error of one line that can be shown to people: cut, and no control character in it."""
    text = result.errors
    check(text.endswith("\n") and text.count("\n") == 1, f"{what}: one line wanted: {result!r}")
    check(len(text) < 2000, f"{what}: {len(text)} bytes of message")
    check(re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]*", text[:-1]) and "\ufffd" not in text, f"{what}: not for a terminal: {text!r}")
    return text


def fails(box, *words, code=None, text=""):
    result = box.command(*words)
    check(result.code == code if code else result.code != 0, f"{words}: {result!r}")
    check_in(text, told(result, f"{words}"), f"error of {words}")
    return result


def plan(box, text, name="c1"):
    """Have the agent go by another plan. Returns what it tells."""
    return box.ok("exec", name, f"plan:{text}").text


def monitor_of(box, name="c1"):
    with open(os.path.join(box.root, "sandboxes", name, "state.json")) as f:
        return json.load(f)["monitor"]["pid"]


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])


def becomes_quiet(pid):
    """It uses no CPU any more: not a tick in half a second."""
    def quiet():
        before = cpu_ticks(pid)
        time.sleep(0.5)
        return cpu_ticks(pid) == before
    wait_until(quiet, f"process {pid} is quiet", 120)


def at_once(*calls):
    """Run functions side by side, and fail if one does."""
    failures = []

    def run(call):
        try:
            call()
        except BaseException as e:
            failures.append(e)
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def join(box, pid):
    """Namespaces of a container that joins the sandbox of process @pid's."""
    return lambda old: [dict(n, path=f"/proc/{pid}/ns/net") if n["type"] == "network" else n for n in old]


@claim("a process without a name, as a workload can have one, is listed, and the monitor lives")
def nameless(box):
    box.start(["sh", "-c", "echo > /proc/$$/comm; echo done; sleep 1000; true"])
    wait_until(lambda: "done" in box.output_of(), "the name is gone")
    check_equal([line.split()[1:] for line in box.ok("ps", "c1").text.splitlines()][:2], [["CMD"], []], "processes")
    check_equal(box.status(), "running", "status")


@claim("a guest that claims its channel is lost, or answers nonsense, fails each create by itself with an error that drives no terminal")
def lies_at_create(box):
    hostile(box)
    pid = box.start(["init"])
    bundle = box.bundle(["init"], linux__namespaces=join(box, pid))

    def create(action, name="c2"):
        config = box.load(bundle)
        config["process"]["args"] = ["init", f"plan:{action}"]
        box.save(bundle, config)
        with open(os.devnull) as null, open(os.path.join(box.dir, f"{name}.err"), "wb") as err:
            done = subprocess.run(box.argv("create", "--bundle", bundle, name), stdin=null, stdout=err, stderr=err, env=box.env,
                                  timeout=90)
        return done.returncode

    class Errors:
        pass
    for action, text in (("code:14", "evil"), ("code:1", "evil"), ("code:5", "evil"), ("code:77777", "evil"), ("long", "evil"),
                         ("garbage", "the guest: the response is malformed"), ("over", "the guest: the response is too long")):
        check(create(f"CreateContainer={action}") != 0, f"create with {action} has worked")
        errors = Errors()
        errors.errors = box.errors_of("c2")
        check_in(text, told(errors, action), f"error of {action}")
        check_equal(box.containers(), ["c1"], f"containers after {action}")
    # Warnings by the thousand end in a log that is bounded; an answer twice is one; exits before the start are exits.
    check_equal(create("CreateContainer=big"), 0, "create with warnings")
    box.ok("delete", "--force", "c2")
    check_equal(create("CreateContainer=twice;StartProcess=twice"), 0, "create that is answered twice")
    box.ok("start", "c2")
    box.ok("delete", "--force", "c2")
    check_equal(create("CreateContainer=ok;StartProcess=ok;WaitProcess=absurd:7"), 0, "create of what has ended")
    box.wait_status("stopped", "c2")
    fails(box, "start", "c2", code=1)
    box.ok("delete", "c2")
    plan(box, "WaitProcess=ok")
    check_equal(box.status(), "running", "the first container")
    # Codes out of range end the VM, and say so.
    check_equal(create("WaitProcess=absurd:4294967295"), 0, "create of what has ended impossibly")
    box.wait_status("stopped")
    check_equal(box.state()["lostReason"], "the agent tells an impossible exit status 4294967295", "reason")
    check_equal(box.exit_of(pid), 137, "exit code of the other")


@claim("figures, lists and texts of a hostile guest are shown cut and escaped, or refused; the container goes on")
def lies_in_answers(box):
    hostile(box, "Configure=big;UpdateMachine=absurd;StartProcess=absurd")
    box.start(["init"])
    monitor = monitor_of(box)
    for action, text in (("garbage", "malformed"), ("over", "too long"), ("long", "evil"), ("code:14", "evil"),
                         ("absurd:100000", "more than 65536 processes")):
        plan(box, f"ListProcesses={action}")
        fails(box, "ps", "c1", code=1, text=text)
    for action in ("big", "zero", "twice", "ok"):
        plan(box, f"ListProcesses={action}")
        lines = box.ok("ps", "c1").text
        check(re.fullmatch(r"[ -~\n]*", lines) and len(lines) < 3000, f"ps after {action}: {lines!r}")
    plan(box, "StatContainer=ok")
    for action in ("ok", "big", "zero"):
        plan(box, f"StatContainer={action}")
        json.loads(box.ok("events", "--stats", "c1").text)
    for action, text in (("AddProcess=code:14", "evil"), ("AddProcess=garbage", "malformed"),
                         ("AddProcess=ok;StartProcess=code:14", "evil"), ("StartProcess=code:1", "evil")):
        fails(box, "exec", "c1", f"plan:{action}", code=255, text=text)
    plan(box, "StartProcess=ok;PauseContainer=code:14;UpdateContainer=code:14")
    fails(box, "pause", "c1", code=1, text="evil")
    fails(box, "update", "--pids-limit", "10", "c1", code=1, text="evil")
    check_equal(monitor_of(box), monitor, "monitor")
    check_equal(box.status(), "running", "status")


@claim("floods of a hostile guest, by a reader who has stopped: the monitor stays small, is quiet afterwards, and others go on")
def floods(box):
    friendly(box)
    box.start(["sleep", "1000"], "good")
    hostile(box, "ReadOutput=flood")
    reader, writer = os.pipe()
    subprocess.run(box.argv("run", "--detach", "--bundle", box.bundle(["init"]), "c1"), stdin=subprocess.DEVNULL, stdout=writer,
                   stderr=writer, env=box.env, timeout=120, check=True)
    os.close(writer)
    try:
        monitor = monitor_of(box)
        before = rss_kib(monitor)
        for action in ("tiny:1000000", "large:5"):
            plan(box, f"now={action}")
            check(rss_kib(monitor) < before + MONITOR_GROWTH_KIB, f"after {action}: {before} KiB, now {rss_kib(monitor)}")
            box.ok("exec", "good", "true")
        becomes_quiet(monitor)
        check(rss_kib(monitor) < before + MONITOR_GROWTH_KIB, f"in the end: {before} KiB, now {rss_kib(monitor)}")
    finally:
        os.close(reader)
    box.ok("delete", "--force", "c1")
    check_equal(box.status("good"), "running", "the other sandbox")


@claim("OOM events without end fill neither the log nor the monitor, which is quiet when they stop")
def oom_flood(box):
    hostile(box, "WaitOom=flood")
    box.start(["init"])
    log = os.path.join(box.root, "sandboxes", "c1", "monitor.log")
    limit = (1 << 20) + 4096

    def told_often():
        with open(log) as f:
            return f.read().count("has killed processes") > 100
    wait_until(told_often, "events", 120)
    plan(box, "WaitOom=silent")
    becomes_quiet(monitor_of(box))
    check(os.path.getsize(log) < limit, f"monitor.log has {os.path.getsize(log)} bytes")


@claim("queries for names whose answers a hostile guest does not take are fetched in a bounded number")
def name_flood(box):
    resolv = os.path.join(box.dir, "resolv.conf")
    with open(resolv, "w") as f:
        f.write("nameserver 127.0.0.11\n")
    hostile(box, "NextQuery=flood;AnswerQuery=silent")
    begin = time.monotonic()
    box.start(["init"], mounts=lambda old: old + [
        {"destination": "/etc/resolv.conf", "type": "bind", "source": resolv, "options": ["bind"]}])

    def answers():
        n = int(plan(box, "now=count"))
        # Those that were not taken within 10 s are forgotten.
        check(n <= 128 * (2 + (time.monotonic() - begin) // 10), f"{n} answers are waiting to be taken")
        return n
    wait_until(lambda: answers() >= 128, "as many queries as may be under way", 120)
    for _ in range(10):
        answers()


@claim("a guest that is silent, closes its port or sends a byte a second is given up in time, with an error that says so")
def silence(box):
    hostile(box)
    pid = box.start(["init"])
    # What is on its way is lost when the port is closed.
    plan(box, "ListProcesses=silent;SignalProcess=silent;StatContainer=reopen:20")
    configs = {}
    for name, what in (("b1", "Greet=silent"), ("b2", "Greet=drip"), ("b3", "Greet=short")):
        hostile(box, what, name)
        box.write_config(boot_timeout_s=5)
        configs[name] = os.path.join(box.dir, f"{name}.json")
        with open(box.config) as f, open(configs[name], "w") as out:
            out.write(f.read())
    bundles = {name: box.bundle(["init"]) for name in configs}

    def boots_not(name):
        path = os.path.join(box.dir, f"{name}.err")
        with open(path, "w") as err:
            done = subprocess.run([RUNTIME, "--root", box.root, "--config", configs[name], "create", "--bundle", bundles[name],
                                   name], stdin=subprocess.DEVNULL, stdout=err, stderr=err, timeout=90)
        check_equal(done.returncode, 1, f"create of {name}")
        check_in("the guest has not answered within 5000 ms ('boot_timeout_s')", box.errors_of(name), f"error of {name}")

    def times_out(code, *words):
        # Unless the kill's time was over before it came to that.
        text = fails(box, *words, code=code).errors
        check(re.search(r"the guest: no answer in time|does not carry out a kill|not running", text), f"error of {words}: {text}")
    at_once(lambda: times_out(1, "ps", "c1"), lambda: times_out(255, "exec", "c1", "plan:AddProcess=silent"),
            lambda: times_out(1, "events", "--stats", "c1"), lambda: fails(box, "kill", "c1", "KILL", code=1),
            *[lambda name=name: boots_not(name) for name in configs])
    box.wait_status("stopped")
    check_equal(box.state()["lostReason"], "the guest does not carry out a kill", "reason")
    check_equal(box.exit_of(pid), 137, "exit code")
    check_equal(box.containers(), ["c1"], "containers")


@claim("a guest that powers off, reboots or panics at any step fails that step with the reason, and delete leaves nothing")
def ends_at_each_step(box):
    def step(name, what, *commands):
        result = None
        for words in commands:
            if words[0] != "create":
                result = box.command(*words)
                continue
            with open(os.path.join(box.dir, f"{name}.err"), "wb") as err:
                done = subprocess.run(
                    [RUNTIME, "--root", box.root, "--config", configs[name], *words[:-1], "--bundle", bundles[name], name],
                    stdin=subprocess.DEVNULL, stdout=err, stderr=err, timeout=90)
            if done.returncode != 0:
                check_in("the VMM has ended", box.errors_of(name), f"{what}: error")
                return
        check(result.code != 0, f"{what}: {commands[-1]} has worked: {result!r}")
        told(result, what)
        box.wait_status("stopped", name)
        check_in("the VMM has ended", box.state(name)["lostReason"], f"{what}: reason")
        box.ok("delete", "--force", name)

    create = ("create", "")
    steps = [("p1", "Configure=reboot", create), ("p2", "CreateContainer=panic", create),
             ("p3", "StartProcess=poweroff", create, ("start", "p3")),
             ("p4", "AddProcess=reboot", create, ("start", "p4"), ("exec", "p4", "true")),
             ("p5", "SignalProcess=poweroff", create, ("start", "p5"), ("kill", "p5", "KILL"))]
    if not LONG:
        steps = [steps[i] for i in (0, 2, 4)]
    configs, bundles = {}, {}
    for name, what, *_ in steps:
        hostile(box, what, name)
        bundles[name] = box.bundle(["init"])
        configs[name] = os.path.join(box.dir, f"{name}.json")
        with open(box.config) as f, open(configs[name], "w") as out:
            out.write(f.read())
    at_once(*[lambda s=s: step(*s) for s in steps])
    check_equal(box.containers(), [], "containers")


@claim("the root of a hostile guest writes to no read-only volume, and makes nothing above the shared folders")
def share(box):
    def volume(name):
        path = os.path.join(box.dir, name)
        os.mkdir(path)
        for file in ("canary", "canary-two", "canary-three"):
            with open(os.path.join(path, file), "w") as f:
                f.write("alive")
        return path
    closed, opened = volume("closed"), volume("opened")
    before = {f: os.stat(os.path.join(closed, f)) for f in sorted(os.listdir(closed))}
    hostile(box)
    box.start(["init"], mounts=lambda old: old + [
        {"destination": "/closed", "type": "bind", "source": closed, "options": ["bind", "ro"]},
        {"destination": "/opened", "type": "bind", "source": opened, "options": ["bind"]}])
    report = plan(box, "now=share")
    check_in("share: over", report, "report")
    got = dict(line.rsplit(": ", 1) for line in report.splitlines())
    count = len(box.load(os.path.join(box.dir, "bundle1"))["mounts"])
    closed_name, opened_name = f"c1/m{count - 2}", f"c1/m{count - 1}"
    for what in ("write", "overwrite", "chmod", "chown", "unlink", "rename", "setxattr", "link", "symlink", "setuid", "mknod", "fifo"):
        check_equal(got[f"{closed_name} {what}"], "EROFS", f"{what} in the read-only volume")
        check(what == "overwrite" or got[f"{opened_name} {what}"] != "EROFS", f"{what} in the other: {got}")
    check_equal(got["c1 new-folder"], "EROFS", "a folder beside those of the containers")
    # Nodes can be made, as by any container's root; the host's devices are not behind them.
    for name in (opened_name, "c1/rootfs"):
        check(got[f"{name} open-device"] != "done", f"a device of the host was opened: {got}")
    after = {f: os.stat(os.path.join(closed, f)) for f in sorted(os.listdir(closed))}
    check_equal({f: (s.st_mode, s.st_uid, s.st_size, s.st_mtime_ns) for f, s in after.items()},
                {f: (s.st_mode, s.st_uid, s.st_size, s.st_mtime_ns) for f, s in before.items()}, "read-only volume on the host")
    box.ok("delete", "--force", "c1")
