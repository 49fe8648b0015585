# SPDX-License-Identifier: Apache-2.0
"""The life cycle as an engine sees it: states, exit codes, pid files, terminals, signals, exec, pause, pods."""
import json
import os
import pty
import re
import signal
import subprocess

from harness import Failure, check, check_equal, check_in, claim, kill_quietly, parse_facts, wait_until
from terminal import ConsoleSocket, Terminal


@claim("create, start, state, kill, delete go through runc's states")
def life_cycle(box):
    pid = box.create(["sleep", "1000"])
    state = box.state()
    check_equal(state["status"], "created", "status after create")
    check_equal(state["pid"], pid, "pid of the state and of the pid file")
    check_equal((state["id"], state["ociVersion"][:2]), ("c1", "1."), "id and version")
    check(os.path.isdir(state["bundle"]) and os.path.isdir(state["rootfs"]), f"bundle and rootfs: {state}")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", state["created"]), f"created: {state['created']}")
    box.ok("start", "c1")
    check_equal(box.status(), "running", "status after start")
    box.ok("kill", "c1", "KILL")
    check_equal(box.exit_of(pid), 137, "exit code after SIGKILL")
    state = box.state()
    check_equal((state["status"], state["pid"]), ("stopped", 0), "status and pid after the end")
    box.ok("delete", "c1")
    gone = box.command("state", "c1")
    check_equal(gone.code, 1, "exit code of state after delete")
    check_in("does not exist", gone.errors, "message of state after delete")


@claim("the exit code of the workload is that of run, of the proxy, and of exec")
def exit_codes(box):
    check_equal(box.run(["sh", "-c", "exit 7"]).code, 7, "run")
    check_equal(box.run(["sh", "-c", "probe signal 9; exit $?"], name="c2").code, 137, "run of what ends with 137")
    pid = box.start(["false"], name="c3")
    check_equal(box.exit_of(pid), 1, "proxy of what fails at once")
    pid = box.start(["sh", "-c", "sleep 1; exit 42"], name="c4")
    check_equal(box.exit_of(pid), 42, "proxy")
    box.start(["sleep", "1000"], name="c5")
    check_equal(box.command("exec", "c5", "sh", "-c", "exit 9").code, 9, "exec")
    check_equal(box.command("exec", "c5", "sh", "-c", "kill -TERM $$").code, 143, "exec of what ends by SIGTERM")


@claim("the pid file is written whole, before create returns, and names a living child of ours")
def pid_file(box):
    pid = box.create(["true"])
    with open(os.path.join(box.dir, "c1.pid")) as f:
        check(f.read().strip() == str(pid), "content of the pid file")
    with open(f"/proc/{pid}/stat") as f:
        parent = int(f.read().rsplit(")", 1)[1].split()[1])
    check_equal(parent, os.getpid(), "parent of the proxy (we are the subreaper)")
    box.ok("start", "c1")
    check_equal(box.exit_of(pid), 0, "exit code")


@claim("the proxy's network namespace is the sandbox's own")
def proxy_netns(box):
    pid = box.create(["true"])
    check(os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino, "it is the host's")


@claim("who enters the proxy's mount namespace meets the container's files, not the host's")
def view(box):
    data = os.path.join(box.dir, "data")
    os.mkdir(data)
    pid = box.start(["sh", "-c", "echo made >/tmp/made; echo ready; exec sleep 1000"], mounts=lambda m: m + [
        {"destination": "/mnt/data", "type": "bind", "source": data, "options": ["rbind", "rw"]},
        {"destination": "/mnt/locked", "type": "bind", "source": data, "options": ["rbind", "ro"]}])
    wait_until(lambda: "ready" in box.output_of(), "it is ready")
    inside = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", "/bin/busybox"]

    def sh(script):
        done = subprocess.run([*inside, "sh", "-c", script], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr
    check_equal(sh("cat /tmp/made; ls -d /run/onggi* /usr/lib"), "made\nls: /run/onggi*: No such file or directory\n"
                "ls: /usr/lib: No such file or directory\n", "files seen")
    sh("echo outside >/tmp/in; echo volume >/mnt/data/file")
    check_equal(box.ok("exec", "c1", "cat", "/tmp/in", "/mnt/data/file").text, "outside\nvolume\n", "seen in the guest")
    check_in("Read-only", sh("echo x >/mnt/locked/new"), "writing to a read-only mount")
    check_equal(sh("ls -d /proc/[0-9]*"), "/proc/1\n", "processes seen")
    with open("/proc/mounts") as f:
        check("/mnt/data" not in f.read(), "a mount of the view is seen on the host")


@claim("only the proxy holds the container's stdio, and drops it at the end")
def stdio_owner(box):
    reader, writer = os.pipe()
    bundle = box.bundle(["sh", "-c", "echo out; exit 0"])
    pidfile = os.path.join(box.dir, "pid")
    subprocess.run(box.argv("create", "-b", bundle, "--pid-file", pidfile, "c1"), env=box.env, stdout=writer,
                   stdin=subprocess.DEVNULL, stderr=writer, check=True)
    os.close(writer)
    name = os.readlink(f"/proc/self/fd/{reader}")
    with open(pidfile) as f:
        pid = int(f.read())
    holders = set()
    for p in (p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()):
        try:
            holders |= {int(p) for fd in os.listdir(f"/proc/{p}/fd") if os.readlink(f"/proc/{p}/fd/{fd}") == name}
        except OSError:
            pass
    check_equal(holders, {pid}, "processes that hold the pipe")
    box.ok("start", "c1")
    data = b""
    while chunk := os.read(reader, 4096):
        data += chunk
    os.close(reader)
    check_equal(data, b"out\n", "output up to the end of file")
    check_equal(box.exit_of(pid), 0, "exit code")


@claim("SIGTERM to the proxy reaches the workload, SIGKILL of it ends the sandbox")
def proxy_signals(box):
    pid = box.start(["probe", "catch"])
    wait_until(lambda: "ready" in box.output_of(), "the workload is ready")
    for sig, text in ((signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP"), (signal.SIGUSR2, "USR2")):
        os.kill(pid, sig)
        wait_until(lambda: text in box.output_of(), f"{text} arrives")
    check_equal(box.exit_of(pid), 0, "exit code")
    pid = box.start(["sleep", "1000"], name="c2")
    os.kill(pid, signal.SIGKILL)
    box.exit_of(pid)
    box.wait_status("stopped", "c2")


@claim("kill takes numbers and names, and answers as runc does about what is not running")
def kill_forms(box):
    pid = box.start(["probe", "catch"])
    wait_until(lambda: "ready" in box.output_of(), "the workload is ready")
    for form, text in (("1", "HUP"), ("USR1", "USR1"), ("SIGINT", "INT"), ("12", "USR2")):
        box.ok("kill", "c1", form)
        wait_until(lambda: text in box.output_of().split(), f"{text} arrives")
    check_equal(box.exit_of(pid), 0, "exit code")
    check_in("container not running", box.command("kill", "c1", "9").errors, "kill of what has stopped")
    check_in("does not exist", box.command("kill", "nobody", "9").errors, "kill of the unknown")
    check_equal(box.command("kill", "c1", "NOSIG").code, 1, "kill with an unknown signal")


@claim("kill of a created container ends it without running it")
def kill_created(box):
    pid = box.create(["sh", "-c", "echo ran"])
    box.ok("kill", "c1", "KILL")
    check_equal(box.exit_of(pid), 137, "exit code")
    check_equal((box.status(), box.output_of()), ("stopped", ""), "status and output")


@claim("delete refuses a running container, delete --force does not, nor minds an unknown one")
def delete_rules(box):
    pid = box.start(["sleep", "1000"])
    refused = box.command("delete", "c1")
    check_equal(refused.code, 1, "exit code")
    check_in("is not stopped", refused.errors, "message")
    box.ok("delete", "--force", "c1")
    check_equal(box.exit_of(pid), 137, "exit code of the proxy")
    box.ok("delete", "--force", "c1")
    check_equal(box.command("delete", "c1").code, 1, "delete of the unknown without force")
    box.create(["true"], name="c2")
    box.ok("delete", "c2")


@claim("start happens once")
def start_once(box):
    box.start(["sleep", "1000"])
    again = box.command("start", "c1")
    check_equal(again.code, 1, "exit code of a second start")
    check("cannot start" in again.errors, f"message: {again.errors}")


@claim("exec runs in the container's namespaces and cgroup, with its root, user and limits")
def exec_inside(box):
    box.start(["sh", "-c", "echo $$ > /tmp/init; exec sleep 1000"])
    wait_until(lambda: box.command("exec", "c1", "cat", "/tmp/init").text == "1\n", "the init's file")
    inside = parse_facts(box.ok("exec", "--env", "NEW=1", "--cwd", "/tmp", "c1", "probe", "facts").text)
    listing = box.ok("exec", "c1", "sh", "-c", "for n in pid ipc uts mnt cgroup; do readlink /proc/1/ns/$n; done").text
    check_equal([inside[f"ns.{n}"] for n in ("pid", "ipc", "uts", "mnt", "cgroup")], listing.split(), "namespaces")
    check_equal((inside["cwd"], inside["CapInh"]), ("/tmp", "0" * 16), "cwd and inheritable capabilities")
    check_in("NEW=1", box.ok("exec", "-e", "NEW=1", "c1", "env").text.splitlines(), "environment")
    check_equal(box.ok("exec", "-u", "1000:1001", "c1", "id").text.strip(), "uid=1000 gid=1001", "user")
    check_equal(box.ok("exec", "c1", "cat", "/proc/self/cgroup").text.strip(), "0::/", "cgroup")


@claim("exec passes standard input, output and error apart")
def exec_stdio(box):
    box.start(["sleep", "1000"])
    result = box.ok("exec", "c1", "sh", "-c", "cat; echo err >&2", stdin=b"through\0\xff\n")
    check_equal((result.out, result.err), (b"through\0\xff\n", b"err\n"), "streams")


@claim("exec --process reads a process from a file, --detach leaves a proxy behind")
def exec_process(box):
    box.start(["sleep", "1000"])
    spec = os.path.join(box.dir, "process.json")
    with open(spec, "w") as f:
        json.dump({"args": ["sh", "-c", "echo $A; exit 3"], "cwd": "/", "env": ["A=b", "PATH=/bin"],
                   "user": {"uid": 0, "gid": 0}}, f)
    result = box.command("exec", "--process", spec, "c1")
    check_equal((result.code, result.text), (3, "b\n"), "exit code and output")
    pidfile = os.path.join(box.dir, "exec.pid")
    with open(os.path.join(box.dir, "exec.out"), "wb") as out:
        subprocess.run(box.argv("exec", "--detach", "--pid-file", pidfile, "--process", spec, "c1"), env=box.env,
                       check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
    with open(pidfile) as f:
        check_equal(box.exit_of(int(f.read())), 3, "exit code of the exec's proxy")
    with open(os.path.join(box.dir, "exec.out")) as f:
        check_equal(f.read(), "b\n", "output of the detached exec")


@claim("exec of a missing or forbidden program says so in runc's words; of a stopped container is refused")
def exec_errors(box):
    pid = box.start(["sleep", "1000"])
    result = box.command("exec", "c1", "no-such-program")
    check_in("executable file not found in $PATH", result.errors, "missing program")
    check_equal(result.code, 255, "exit code")
    check_in("permission denied", box.command("exec", "c1", "/etc/passwd").errors.lower(), "program without x bit")
    box.ok("kill", "c1", "KILL")
    box.exit_of(pid)
    check_in("stopped", box.command("exec", "c1", "true").errors, "exec in a stopped container")


@claim("an exec whose background child keeps its output open still ends")
def exec_background(box):
    box.start(["sleep", "1000"])
    check_equal(box.ok("exec", "c1", "probe", "background", "1000").text, "parent\n", "output")


@claim("the end of init ends everything in the container, and the execs' proxies see it")
def init_ends_all(box):
    pid = box.start(["sh", "-c", "sleep 2; exit 5"])
    other = box.popen("exec", "c1", "sleep", "1000")
    check_equal(box.exit_of(pid), 5, "exit code of init")
    check_equal(other.wait(timeout=120), 137, "exit code of the exec")


@claim("a console socket gets a terminal's master: echo, size, resize, control characters")
def console_socket(box):
    path = os.path.join(box.dir, "console.sock")
    listener = ConsoleSocket(path)
    pid = box.create(["sh"], options=("--console-socket", path), process__terminal=True,
                     process__consoleSize={"height": 31, "width": 97})
    terminal = listener.receive()
    box.ok("start", "c1")
    terminal.type("stty size; tty; echo $((40+2))\n")
    check_in("31 97", terminal.expect("31 97"), "size at the start")
    check_in("/dev/pts/0", terminal.expect("/dev/pts/0"), "name of the terminal")
    terminal.expect("42")
    terminal.resize(120, 40)
    terminal.type("probe winsize\n")
    terminal.expect("size 120x40")
    terminal.resize(80, 25)
    terminal.expect("size 80x25")
    terminal.type("\x03")
    terminal.type("sleep 1000\n")
    terminal.type("\x03")
    terminal.type("echo after-$?; exit 3\n")
    terminal.expect("after-130")
    terminal.rest()
    check_equal(box.exit_of(pid), 3, "exit code")
    terminal.close()
    listener.close()


@claim("run and exec on a terminal are interactive, follow its size and leave it as it was")
def interactive(box):
    bundle = box.bundle(["sh"], process__terminal=True)
    for words in (["run", "-b", bundle, "c1"], ["exec", "-t", "c2", "sh"]):
        if words[0] == "exec":
            box.start(["sleep", "1000"], name="c2")
        master, slave = pty.openpty()
        import termios
        before = termios.tcgetattr(slave)
        terminal = Terminal(master)
        terminal.resize(90, 20)
        process = box.popen(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0))
        terminal.type("stty size; echo $((1+1))x\n")
        terminal.expect("20 90")
        terminal.expect("2x")
        terminal.resize(100, 30)
        terminal.type("probe winsize\n")
        terminal.expect("size 100x30")
        terminal.resize(80, 24)
        terminal.expect("size 80x24")
        terminal.type("\x03")
        terminal.type("exit 4\n")
        check_equal(process.wait(timeout=120), 4, f"exit code of {words[0]}")
        after = termios.tcgetattr(slave)
        check_equal(after, before, "terminal settings afterwards")
        os.close(slave)
        terminal.close()


@claim("a terminal without a console socket, and a socket without a terminal, are refused")
def console_refusals(box):
    bundle = box.bundle(["sh"], process__terminal=True)
    result = box.command("create", "-b", bundle, "c1")
    check_equal(result.code, 1, "exit code without a socket")
    check_in("console", result.errors, "message without a socket")
    bundle = box.bundle(["sh"])
    check_equal(box.command("create", "-b", bundle, "--console-socket", "/nowhere", "c1").code, 1, "exit code")


@claim("pause stops the workload and resume lets it go on")
def pause_resume(box):
    box.start(["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"])
    wait_until(lambda: box.output_of().count("\n") > 2, "output")
    box.ok("pause", "c1")
    check_equal(box.status(), "paused", "status")
    frozen = box.output_of()
    import time
    time.sleep(1)
    check(len(box.output_of()) - len(frozen) < 8, "it went on while paused")
    result = box.command("exec", "c1", "true")
    check(result.code != 0 and "paused" in result.errors, f"exec in a paused container: {result!r}")
    waiting = box.popen("exec", "--ignore-paused", "c1", "sh", "-c", "echo later; exit 3", stdout=subprocess.PIPE)
    box.ok("resume", "c1")
    out, _ = waiting.communicate(timeout=120)
    check_equal((waiting.returncode, out), (3, b"later\n"), "exec that may wait")
    check_equal(box.status(), "running", "status")
    frozen = box.output_of()
    wait_until(lambda: len(box.output_of()) > len(frozen) + 4, "output after resume")


@claim("a paused container can be killed and deleted")
def kill_paused(box):
    pid = box.start(["sleep", "1000"])
    box.ok("pause", "c1")
    box.ok("kill", "c1", "KILL")
    check_equal(box.exit_of(pid), 137, "exit code")
    box.ok("delete", "c1")


@claim("two containers of one network namespace run in one VM, and each ends alone")
def two_in_one(box):
    first = box.start(["sleep", "1000"], name="c1")
    net = {"type": "network", "path": f"/proc/{first}/ns/net"}
    second = box.start(["sleep", "1000"], name="c2", linux__namespaces=[
        {"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")] + [net])
    check_equal(len(os.listdir(os.path.join(box.root, "sandboxes"))), 1, "sandboxes")
    boot = [box.ok("exec", c, "cat", "/proc/sys/kernel/random/boot_id").text for c in ("c1", "c2")]
    check_equal(boot[0], boot[1], "boot ids")
    names = [box.ok("exec", c, "readlink", "/proc/1/ns/pid").text for c in ("c1", "c2")]
    check(names[0] != names[1], "they share a pid namespace that was not to be shared")
    box.ok("kill", "c1", "KILL")
    check_equal(box.exit_of(first), 137, "exit code of the first")
    box.ok("delete", "c1")
    check_equal(box.ok("exec", "c2", "echo", "alive").text, "alive\n", "the second, after the first is gone")
    box.ok("kill", "c2", "KILL")
    check_equal(box.exit_of(second), 137, "exit code of the second")
    box.ok("delete", "c2")
    check_equal(os.listdir(os.path.join(box.root, "sandboxes")), [], "sandboxes at the end")


@claim("containers that name each other's ipc and uts namespaces share them in the guest")
def shared_namespaces(box):
    first = box.start(["sleep", "1000"], name="c1", hostname="together")
    spaces = [{"type": t} for t in ("pid", "mount", "cgroup")]
    spaces += [{"type": t, "path": f"/proc/{first}/ns/{f}"} for t, f in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
    box.start(["sleep", "1000"], name="c2", linux__namespaces=spaces, hostname=None)
    for kind in ("ipc", "uts"):
        names = [box.ok("exec", c, "readlink", f"/proc/1/ns/{kind}").text for c in ("c1", "c2")]
        check_equal(names[0], names[1], f"{kind} namespaces")
    check_equal(box.ok("exec", "c2", "hostname").text, "together\n", "hostname in the second")


@claim("containers of one CRI sandbox run in one VM; a forged sandbox id alone leads nowhere")
def cri_sandbox(box):
    notes = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "pod1"}
    first = box.start(["sleep", "1000"], name="pod1", annotations=notes)
    notes = dict(notes, **{"io.kubernetes.cri.container-type": "container"})
    box.start(["sleep", "1000"], name="c2", annotations=notes, linux__namespaces=[
        {"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")] + [
            {"type": "network", "path": f"/proc/{first}/ns/net"}])
    check_equal(len(os.listdir(os.path.join(box.root, "sandboxes"))), 1, "sandboxes")
    box.create(["true"], name="c3", annotations=notes)
    check_equal(len(os.listdir(os.path.join(box.root, "sandboxes"))), 2, "sandboxes after a forged id")


@claim("list shows every container as a table, as JSON and by name")
def listing(box):
    box.create(["true"], name="c1")
    box.start(["sleep", "1000"], name="c2")
    rows = json.loads(box.ok("list", "--format", "json").text)
    check_equal({r["id"]: r["status"] for r in rows}, {"c1": "created", "c2": "running"}, "JSON")
    check_equal(box.ok("list", "-q").text.split(), ["c1", "c2"], "names")
    table = box.ok("list").text.splitlines()
    check_equal(table[0].split(), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], "head of the table")
    check_equal(len(table), 3, "lines of the table")


@claim("ps lists the container's processes, and as JSON the host's pids")
def ps(box):
    pid = box.start(["sh", "-c", "sleep 1000; true"])
    wait_until(lambda: "sleep" in box.ok("ps", "c1").text, "sleep is in the table")
    check_in(pid, json.loads(box.ok("ps", "--format", "json", "c1").text), "pids")


@claim("features, spec and --version answer what engines parse")
def plain_answers(box):
    features = json.loads(box.ok("features").text)
    check("ociVersionMin" in features and "ociVersionMax" in features, f"features: {features}")
    for kind in ("pid", "mount", "ipc", "uts", "cgroup", "network"):
        check_in(kind, features["linux"]["namespaces"], "namespaces of features")
    folder = os.path.join(box.dir, "spec")
    os.mkdir(folder)
    box.ok("spec", "--bundle", folder)
    with open(os.path.join(folder, "config.json")) as f:
        check_equal(json.load(f)["process"]["args"], ["sh"], "args of the template")
    check_equal(box.command("spec", "--bundle", folder).code, 1, "a second spec in the same place")
    check(re.match(r"onggi-runtime version \S+\ncommit: \S+\nspec: \S+\n", box.ok("--version").text), "--version")


@claim("errors go to stderr, and once, as a JSON object, to --log")
def log_format(box):
    log = os.path.join(box.dir, "log.json")
    result = box.command("--log", log, "--log-format", "json", "start", "nobody")
    check_equal(result.code, 1, "exit code")
    check_in("does not exist", result.errors, "stderr")
    with open(log) as f:
        line = json.loads(f.read())
    check_equal(line["level"], "error", "level")
    check_in("does not exist", line["msg"], "msg")
    check("T" in line["time"], f"time: {line['time']}")


@claim("run --detach leaves a running container behind")
def run_detached(box):
    pidfile = os.path.join(box.dir, "pid")
    bundle = box.bundle(["sleep", "1000"])
    subprocess.run(box.argv("run", "--detach", "--pid-file", pidfile, "-b", bundle, "c1"), env=box.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    check_equal(box.status(), "running", "status")
    with open(pidfile) as f:
        kill_quietly(int(f.read()))
    box.wait_status("stopped")


@claim("Ctrl-C of a run in the foreground ends the workload and removes the container")
def interrupted_run(box):
    process = box.popen("run", "-b", box.bundle(["probe", "catch"]), "c1")
    check_equal(process.stdout.readline(), b"ready\n", "the workload's output")
    process.send_signal(signal.SIGINT)
    check_equal(process.stdout.readline(), b"INT\n", "the workload's output after SIGINT")
    process.send_signal(signal.SIGUSR2)
    process.wait(timeout=120)
    check_equal(box.containers(), [], "containers afterwards")


@claim("emulation that the configuration lets happen is said aloud on a terminal, and only there")
def emulation_warning(box):
    quiet = box.run_ok(["true"])
    check_equal(quiet.errors, "", "stderr that is no terminal")
    info = pty.openpty()
    terminal = Terminal(info[0])
    process = box.popen("run", "-b", box.bundle(["true"]), "c2", stdin=subprocess.DEVNULL, stdout=info[1], stderr=info[1])
    check_equal(process.wait(timeout=120), 0, "exit code")
    os.close(info[1])
    text = terminal.rest()
    terminal.close()
    verdict = os.path.join(box.root, "cache", "kvm.json")
    with open(verdict) as f:
        works = json.load(f)["works"]
    check_equal("no security boundary" in text, not works, f"a warning on the terminal ({text!r})")


@claim("the distribution's kernel boots too")
def distribution_kernel(box):
    from harness import BUILD
    distro = os.path.join(BUILD, "guest", "distro")
    kernel = next((os.path.join(distro, n) for n in ("vmlinux", "vmlinuz") if os.path.exists(os.path.join(distro, n))),
                  None)
    if not kernel:
        raise Failure(f"no kernel in {distro}: run 'make guest-distro'")
    box.write_config(kernel=kernel, initrd=os.path.join(distro, "initramfs.cpio"))
    check_in("cloud", box.run_ok(["uname", "-r"]).text, "release")
