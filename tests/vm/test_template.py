# SPDX-License-Identifier: Apache-2.0
"""Saved machines: who starts from one, what makes one, and that two starts from the same one share nothing."""
import os
import re
import shutil
import signal
import subprocess
import time

from harness import check, check_equal, check_in, claim, kill_quietly, processes, wait_until
from store import clones, fresh_store, made, makers, names, unfinished

@claim("the first container boots and leaves a template, the second goes on from it")
def first_and_second(box):
    store = fresh_store(box)
    box.run_ok(["echo", "hello"])
    made(store)
    check_equal(clones(store), 0, "machines started from it")
    check_equal(box.run_ok(["echo", "again"], name="c2").text, "again\n", "output")
    check_equal(clones(store), 1, "machines started from it")
    check_equal(oct(os.stat(store).st_mode & 0o777), "0o700", "mode of the folder")
    for name in ("memory", "state", "template.json"):
        check_equal(oct(os.stat(os.path.join(store, names(store)[0], name)).st_mode & 0o777), "0o400", name)


@claim("two machines from one template never have the same random numbers, boot id or uuid, and the right time")
def clones_differ(box):
    store = fresh_store(box)
    box.ok("template", "create")
    script = ("cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; "
              "head -c 32 /dev/urandom | od -An -tx1; head -c 32 /dev/random | od -An -tx1; hostname; date +%s")
    outputs = []
    for number in range(8):
        before = time.time()
        lines = box.run_ok(["sh", "-c", script], name=f"c{number}").text.split("\n")
        after = time.time()
        check(int(before) <= int(lines[-2]) <= int(after) + 1, f"time {lines[-2]}, not within {before} and {after}")
        outputs.append(lines[:-3])
    check_equal(clones(store), 8, "machines started from the template")
    for i in range(6):
        values = [o[i] for o in outputs]
        check_equal(len(set(values)), len(values), f"different values of line {i} of {values}")


def with_program(box, path, args):
    """A bundle whose rootfs has a program of the host with the libraries that it needs."""
    bundle = box.bundle(args)
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout)
    for source in [path, *libraries]:
        target = os.path.join(bundle, "rootfs", source.lstrip("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
    return bundle


@claim("two machines from one template make different ssh host keys")
def ssh_keys(box):
    store = fresh_store(box)
    box.ok("template", "create")
    script = "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cat /tmp/key.pub"
    keys = []
    for number in range(2):
        bundle = with_program(box, "/usr/bin/ssh-keygen", ["sh", "-c", script])
        done = box.ok("run", "--bundle", bundle, f"c{number}")
        keys.append(done.text.split()[:2])
    check_equal(clones(store), 2, "machines started from the template")
    check_equal([k[0] for k in keys], ["ssh-ed25519"] * 2, f"kind of {keys}")
    check(keys[0][1] != keys[1][1], f"the keys differ: {keys}")


@claim("a machine that does not go on from its template is given up, and the container boots")
def silent(box):
    wrapper = os.path.join(box.dir, "vmm")
    with open(wrapper, "w") as f:
        f.write('#!/bin/sh\ncase " $* " in *" -incoming "*) exec sleep 1000;; esac\nexec /usr/bin/qemu-system-x86_64 "$@"\n')
    os.chmod(wrapper, 0o755)
    store = fresh_store(box, vmm=wrapper)
    box.ok("template", "create")
    box.write_config(boot_timeout_s=15)
    check_equal(box.run_ok(["echo", "fine"]).text, "fine\n", "output")
    check_equal(clones(store) if names(store) else 1, 1, "machines that tried")


@claim("no page of a template is mapped by a VMM")
def nothing_is_shared(box):
    store = fresh_store(box)
    box.ok("template", "create")
    box.start(["sleep", "1000"])
    check_equal(clones(store), 1, "machines started from it")
    inode = os.stat(os.path.join(store, names(store)[0], "memory")).st_ino
    looked = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() != "onggi-vm":
                    continue
            with open(f"/proc/{pid}/maps") as f:
                maps = f.read()
        except OSError:
            continue
        looked += 1
        check("onggi-guest" in maps, "the VMM's memory is a copy of its own")
        check(store not in maps and f" {inode} " not in maps, "the template is mapped")
        for fd in os.listdir(f"/proc/{pid}/fd"):
            check(store not in os.readlink(f"/proc/{pid}/fd/{fd}"), "the template is open in the VMM")
    check_equal(looked, 1, "VMMs looked at")
    box.ok("delete", "--force", "c1")


def damage(store, name, offset):
    path = os.path.join(store, names(store)[0], name)
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.seek(offset)
        old = f.read(1)
        f.seek(offset)
        f.write(bytes([old[0] ^ 0xff]))
    os.chmod(path, 0o400)


def first_data(store):
    fd = os.open(os.path.join(store, names(store)[0], "memory"), os.O_RDONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    finally:
        os.close(fd)


def survives(box, store, what):
    """The container runs although the template is damaged, and a good template takes its place."""
    check_equal(box.run_ok(["echo", "fine"]).text, "fine\n", f"output with {what}")
    made(store)
    before = clones(store)
    box.run_ok(["true"], name="c2")
    check_equal(clones(store), before + 1, f"machines from the new template after {what}")


@claim("a template with a changed byte in its memory is found out: the container boots, a new one is made")
def memory_changed(box):
    store = fresh_store(box)
    box.ok("template", "create")
    damage(store, "memory", first_data(store) + 100)
    check_equal(box.run_ok(["echo", "fine"]).text, "fine\n", "output")
    check_equal(names(store), [], "the damaged template")
    # The next one finds none, and has it made.
    box.run_ok(["true"])
    made(store)


@claim("a template with a changed byte in its state is found out: the container boots, a new one is made")
def state_changed(box):
    store = fresh_store(box)
    box.ok("template", "create")
    damage(store, "state", 1000)
    survives(box, store, "a damaged state")


@claim("a template that QEMU does not take is found out: the container boots")
def state_of_another(box):
    store = fresh_store(box)
    box.ok("template", "create")
    # A state that is whole as far as we can tell, but that no QEMU wrote.
    path = os.path.join(store, names(store)[0])
    import json
    with open(os.path.join(path, "template.json")) as f:
        meta = json.load(f)
    xxh = subprocess.run(["xxhsum", "-H3", "-"], input=b"rubbish", capture_output=True, check=True).stdout
    meta["stateBytes"] = len(b"rubbish")
    meta["stateChecksum"] = int(re.search(rb"[0-9a-f]{16}", xxh).group(0), 16)
    for name, content in (("state", b"rubbish"), ("template.json", json.dumps(meta).encode())):
        os.chmod(os.path.join(path, name), 0o600)
        with open(os.path.join(path, name), "wb") as f:
            f.write(content)
        os.chmod(os.path.join(path, name), 0o400)
    check_equal(box.run_ok(["echo", "fine"]).text, "fine\n", "output")
    check_equal(names(store), [], "the template that did not work")


@claim("with \"template\": \"off\" every container boots, and none is made")
def off(box):
    store = fresh_store(box, template="off")
    check_equal(box.run_ok(["echo", "hello"]).text, "hello\n", "output")
    pid = box.start(["sh", "-c", "echo up; sleep 1000"], name="c2")
    check_equal(box.ok("exec", "c2", "echo", "exec").text, "exec\n", "output of exec")
    box.ok("kill", "c2", "KILL")
    check_equal(box.exit_of(pid), 137, "exit code")
    check_equal(names(store) + makers(), [], "templates and makers")


@claim("three containers at once that find no template make one, whole")
def at_once(box):
    store = fresh_store(box)
    bundles = [box.bundle(["echo", "hello"]) for _ in range(3)]
    started = [box.popen("run", "--bundle", b, f"c{i}", stdin=subprocess.DEVNULL) for i, b in enumerate(bundles)]
    for process in started:
        out, err = process.communicate(timeout=90)
        check_equal((process.returncode, out), (0, b"hello\n"), f"container: {err}")
    made(store)
    check_equal(len(names(store)), 1, "templates")


@claim("a template is renewed after the number of starts that the configuration names")
def renewed(box):
    store = fresh_store(box, template_clones=2)
    box.ok("template", "create")
    name, = names(store)
    inode = os.stat(os.path.join(store, name, "memory")).st_ino
    for number in range(3):
        box.run_ok(["true"], name=f"c{number}")
    wait_until(lambda: os.stat(os.path.join(store, name, "memory")).st_ino != inode, "the template is another")
    made(store)
    check(clones(store) <= 1, "the new one counts from the beginning")


@claim("a template maker that is killed leaves nothing that stands in the way of the next")
def maker_killed(box):
    store = fresh_store(box)
    box.start(["sleep", "1000"])
    wait_until(makers, "the maker runs")
    for pid in makers():
        kill_quietly(pid, signal.SIGKILL)
    wait_until(lambda: not makers(), "it is gone")
    check_equal(names(store), [], "templates")
    check_equal(box.ok("exec", "c1", "echo", "alive").text, "alive\n", "the container")
    box.ok("template", "create")
    check_equal((len(names(store)), unfinished(store)), (1, []), "templates")
    box.ok("delete", "--force", "c1")


def machine_of_maker():
    return [pid for pid, text in processes().items() if "-name onggi-template" in text]


def draft_has(store, name):
    """Whether something was written into @name of a template that is being made."""
    for draft in unfinished(store):
        try:
            with open(os.path.join(store, draft, name), "rb") as f:
                if os.lseek(f.fileno(), 0, os.SEEK_DATA) >= 0:
                    return True
        except OSError:
            pass
    return False


@claim("template create that is killed at any step leaves no machine, and the next one succeeds")
def killed_at_each_step(box):
    store = fresh_store(box)
    steps = {
        "a folder is there": lambda: unfinished(store),
        "the machine runs": machine_of_maker,
        "the guest has memory": lambda: draft_has(store, "memory"),
        "the state is being written": lambda: draft_has(store, "state"),
    }
    for what, reached in steps.items():
        making = box.popen("template", "create")
        wait_until(lambda: reached() or making.poll() is not None, what)
        making.kill()
        making.communicate(timeout=120)
        wait_until(lambda: not machine_of_maker(), f"the machine is gone that was there when {what}")
        check_equal(box.run_ok(["echo", "fine"], name=f"c{len(what)}").text, "fine\n", f"output after {what}")
        wait_until(lambda: not makers(), "the maker that this container has started has ended")
        box.ok("template", "refresh")
        check_equal((len(names(store)), unfinished(store)), (1, []), f"templates after {what}")
        box.ok("template", "remove")


@claim("template list, remove and refresh do what they say; wrong words are refused")
def commands(box):
    store = fresh_store(box)
    check_equal(len(box.ok("template", "list").text.splitlines()), 1, "lines of an empty list")
    box.ok("template", "create")
    name, = names(store)
    check_in(name, box.ok("template", "list").text, "list")
    box.ok("template", "refresh")
    check_equal(names(store), [name], "after refresh")
    damage(store, "state", 5)
    check_in("damaged", box.ok("template", "list").text, "list")
    box.ok("template", "remove", name)
    check_equal(names(store), [], "after remove")
    box.ok("template", "create")
    box.ok("template", "remove")
    check_equal(names(store), [], "after remove of all")
    for words, text in ((["frobnicate"], "frobnicate"), (["remove", "../../etc"], "../../etc"),
                        (["create", "x"], "no argument"), ([], "requires")):
        result = box.command("template", *words)
        check_equal(result.code, 1, f"exit code of template {words}")
        check_in(text, result.errors, "message")


@claim("another size of machine has another template")
def other_machine(box):
    store = fresh_store(box)
    box.ok("template", "create")
    box.write_config(memory_mib=192)
    box.ok("template", "create")
    check_equal(len(names(store)), 2, "templates")


@claim("a container with a huge memory limit boots, and leaves no template of that size")
def huge_machine(box):
    store = fresh_store(box)
    box.run_ok(["true"], linux__resources__memory={"limit": 6 << 30})
    # The run has ended with its monitor, who would have begun to make one.
    check_equal((makers(), names(store), unfinished(store)), ([], [], []), "makers of templates, and what they made")


@claim("delete --force while a machine is being restored leaves nothing")
def killed_while_restoring(box):
    fresh_store(box)
    box.ok("template", "create")
    for number in range(5):
        bundle = box.bundle(["sleep", "1000"])
        process = box.popen("create", "--bundle", bundle, f"c{number}", stdin=subprocess.DEVNULL)
        time.sleep(0.03 * (number + 1))
        process.kill()
        process.wait()
        box.command("delete", "--force", f"c{number}")
