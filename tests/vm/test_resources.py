# SPDX-License-Identifier: Apache-2.0
"""Limits that change, the guest's size behind them, statistics, and processes killed by a memory limit."""
import json
import os
import time

from harness import check, check_equal, check_in, claim, wait_until

MIB = 1 << 20


def limits(**resources):
    """For bundles: resources beside the device rule that is there."""
    return lambda old: {**(old or {}), **resources}


def inside(box, *files, name="c1"):
    """Contents of files of the container's cgroup."""
    return box.ok("exec", name, "cat", *(f"/sys/fs/cgroup/{f}" for f in files)).text.split("\n")[:-1]


def guest_mib(box, name="c1"):
    text = box.ok("exec", name, "grep", "MemTotal", "/proc/meminfo").text
    return int(text.split()[1]) // 1024


def cpus(box, name="c1"):
    return int(box.ok("exec", name, "nproc").text)


def stats(box, name="c1"):
    lines = box.ok("events", "--stats", name).text.splitlines()
    check_equal(len(lines), 1, f"lines of events --stats: {lines}")
    event = json.loads(lines[0])
    check_equal((event["type"], event["id"]), ("stats", name), "type and id")
    return event["data"]


# What a shell needs beside the pages that it is to use up.
EAT = "dd if=/dev/zero of=/dev/shm/eaten bs=1M count={mib} 2>/dev/null && echo had it"
BIG_SHM = [{"destination": "/proc", "type": "proc", "source": "proc"},
           {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
           {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=1g"]},
           {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
           {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]


@claim("a container's memory limit is kept whatever its guest has")
def limit_holds(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 64 * MIB}), mounts=BIG_SHM)
    check(guest_mib(box) > 256, f"the guest has {guest_mib(box)} MiB, not more than without a limit")
    check_equal(inside(box, "memory.max"), [str(64 * MIB)], "memory.max")
    result = box.command("exec", "c1", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1")
    check_equal(result.code, 137, f"100 MiB within 64: {result!r}")


@claim("update raises a memory limit and grows the guest: the workload can use what it got")
def memory_grows(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 64 * MIB}), mounts=BIG_SHM)
    before = guest_mib(box)
    box.ok("update", "--memory", "500m", "c1")
    check_equal(inside(box, "memory.max"), [str(500 * MIB)], "memory.max")
    check(guest_mib(box) >= before + 380, f"{before} MiB before, {guest_mib(box)} after")
    # More than all that the guest had before.
    result = box.ok("exec", "c1", "sh", "-c", EAT.format(mib=420))
    check_in("had it", result.text, "420 MiB")


@claim("update lowers a memory limit: memory goes back from the guest, and from the guest to the host")
def memory_shrinks(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 64 * MIB}), mounts=BIG_SHM)
    before = guest_mib(box)
    box.ok("update", "--memory", "400m", "c1")
    box.ok("exec", "c1", "sh", "-c", EAT.format(mib=250))
    full = vmm_resident_mib(box)
    check(full > 250, f"the VMM has {full} MiB when the guest uses over 250")
    box.ok("exec", "c1", "rm", "/dev/shm/eaten")
    box.ok("update", "--memory", "64m", "c1")
    check_equal(inside(box, "memory.max"), [str(64 * MIB)], "memory.max")
    wait_until(lambda: guest_mib(box) == before, f"the guest has {before} MiB again")
    wait_until(lambda: vmm_resident_mib(box) < full - 200,
               f"the VMM gives back 200 of {full} MiB, has {vmm_resident_mib(box)}", 30)


def vmm_resident_mib(box):
    sandbox, = os.listdir(os.path.join(box.root, "sandboxes"))
    with open(os.path.join(box.root, "sandboxes", sandbox, "state.json")) as f:
        pid = json.load(f)["vmm"]["pid"]
    # The guest's memory is a memfd of QEMU's: what counts is what of it exists.
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Pss_Shmem:", "Pss_Anon:"))) // 1024


@claim("memory that is in use stays: update does not hang, kill or lie")
def shrink_in_use(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 300 * MIB}), mounts=BIG_SHM)
    box.ok("exec", "c1", "sh", "-c", EAT.format(mib=200))
    size = guest_mib(box)
    refused = box.command("update", "--resources", "-", "c1",
                          stdin=json.dumps({"memory": {"limit": 64 * MIB, "checkBeforeUpdate": True}}).encode())
    check_equal(refused.code, 1, "update below what is in use, with a check before")
    check_in("unable to set memory limit", refused.errors, "message")
    check_equal(inside(box, "memory.max"), [str(300 * MIB)], "memory.max after the refusal")
    check_equal(guest_mib(box), size, "size of the guest after the refusal")
    check_equal(box.ok("exec", "c1", "stat", "-c", "%s", "/dev/shm/eaten").text.strip(), str(200 * MIB), "the file")


@claim("a limit that the machine cannot hold is refused with the reason, and nothing changes")
def too_large(box):
    box.write_config(memory_max_mib=512)
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 128 * MIB}))
    refused = box.command("update", "--memory", "4g", "c1")
    check_equal(refused.code, 1, "exit code")
    check_in("memory_max_mib", refused.errors, "remedy")
    check_equal(inside(box, "memory.max"), [str(128 * MIB)], "memory.max")


@claim("the distribution's kernel cannot grow: update says so, within its size it works")
def distribution_kernel(box):
    guest = os.path.join(os.environ["ONGGI_BUILD"], "guest", "distro")
    kernel = next(p for p in (f"{guest}/vmlinux", f"{guest}/vmlinuz") if os.path.exists(p))
    box.write_config(kernel=kernel, initrd=f"{guest}/initramfs.cpio", boot_timeout_s=60)
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 128 * MIB}))
    refused = box.command("update", "--memory", "1g", "c1")
    check_equal(refused.code, 1, "exit code")
    check_in("takes no memory by its address", refused.errors, "reason")
    check_equal(inside(box, "memory.max"), [str(128 * MIB)], "memory.max")
    box.ok("update", "--memory", "100m", "c1")
    check_equal(inside(box, "memory.max"), [str(100 * MIB)], "memory.max")


@claim("the quota says how many CPUs the guest has, at the start and after update")
def cpu_count(box):
    host = os.cpu_count()
    box.start(["sleep", "1000"], linux__resources=limits(cpu={"quota": 50000, "period": 100000}))
    check_equal(cpus(box), 1, "CPUs for half a CPU's quota")
    if host > 1:
        box.ok("update", "--cpu-quota", "150000", "c1")
        check_equal(inside(box, "cpu.max"), ["150000 100000"], "cpu.max")
        check_equal(cpus(box), 2, "CPUs for one and a half")
    box.ok("update", "--cpu-quota", "-1", "c1")
    check_equal(inside(box, "cpu.max"), ["max 100000"], "cpu.max without a quota")
    wait_until(lambda: cpus(box) == 1, "one CPU again")
    box.start(["sleep", "1000"], name="c2", linux__resources=limits(cpu={"quota": 100000 * host, "period": 100000}))
    check_equal(cpus(box, "c2"), host, "CPUs at the start")


@claim("a further container of the sandbox makes the guest grow, its end makes it shrink")
def second_container(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 64 * MIB}))
    before = guest_mib(box)
    with open(os.path.join(box.dir, "c1.pid")) as f:
        netns = f"/proc/{f.read().strip()}/ns/net"
    namespaces = [{"type": t} for t in ("pid", "ipc", "uts", "mount", "cgroup")]
    namespaces.append({"type": "network", "path": netns})
    box.start(["sleep", "1000"], name="c2", linux__namespaces=namespaces,
              linux__resources=limits(memory={"limit": 512 * MIB}))
    check(guest_mib(box) >= before + 500, f"{before} MiB before, {guest_mib(box)} after")
    box.ok("delete", "--force", "c2")
    wait_until(lambda: guest_mib(box) == before, f"{before} MiB again")


@claim("only what update names changes, from flags and from --resources")
def update_forms(box):
    box.start(["sleep", "1000"], linux__resources=limits(
        memory={"limit": 64 * MIB}, cpu={"quota": 50000, "period": 200000, "shares": 512}, pids={"limit": 50}))
    files = ("memory.max", "cpu.max", "cpu.weight", "pids.max", "memory.low")
    start = inside(box, *files)
    check_equal(start[:2] + start[3:], [str(64 * MIB), "50000 200000", "50", "0"], "limits at the start")
    steps = (
        (["--pids-limit", "20"], None, {"pids.max": "20"}),
        (["--cpu-period", "100000"], None, {"cpu.max": "50000 100000"}),
        (["--cpu-quota", "25000"], None, {"cpu.max": "25000 100000"}),
        (["--memory-reservation", "32m"], None, {"memory.low": str(32 * MIB)}),
        (["--cpu-share", "2"], None, {"cpu.weight": "1"}),
        (["--resources", "-"], {"memory": {"limit": 48 * MIB}}, {"memory.max": str(48 * MIB)}),
        (["--resources=-"], {"pids": {"limit": -1}, "cpu": {"shares": 0, "quota": 0}}, {"pids.max": "max"}),
        (["--memory=-1"], None, {"memory.max": "max"}),
        (["--resources", "-"], {"unified": {"memory.high": str(40 * MIB)}}, {}),
    )
    expected = dict(zip(files, start))
    for flags, text, changes in steps:
        box.ok("update", *flags, "c1", stdin=json.dumps(text).encode() if text else b"")
        expected.update(changes)
        check_equal(dict(zip(files, inside(box, *files))), expected, f"after {flags} {text}")
    check_equal(inside(box, "memory.high"), [str(40 * MIB)], "memory.high")
    path = os.path.join(box.dir, "resources.json")
    with open(path, "w") as f:
        json.dump({"pids": {"limit": 33}}, f)
    box.ok("update", "-r", path, "--pids-limit", "5", "c1")
    check_equal(inside(box, "pids.max"), ["33"], "a file is preferred to flags")


@claim("a limit on processes is kept from the moment of update")
def pids_limit(box):
    box.start(["sleep", "1000"])
    many = ["exec", "c1", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; echo all 8"]
    check_in("all 8", box.command(*many).text, "without a limit")
    box.ok("update", "--pids-limit", "6", "c1")
    result = box.command(*many)
    check("all 8" not in result.text, f"with a limit of 6: {result!r}")


@claim("update refuses what is no limit, by name, and changes nothing")
def wrong_input(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 64 * MIB}))
    for flags, stdin, words in (
            (["--memory", "12x"], b"", "--memory"), (["--memory", "-2"], b"", "--memory"),
            (["--memory", "1e6"], b"", "--memory"), (["--pids-limit", "many"], b"", "--pids-limit"),
            (["--cpu-period", "-1"], b"", "--cpu-period"), (["--cpuset-cpus", "a"], b"", "cpu.cpus"),
            (["--blkio-weight", "5"], b"", "weight"), (["--memory", "128m", "--memory-swap", "64m"], b"", "swap"),
            (["--cpu-rt-runtime", "5"], b"", "--cpu-rt-runtime"), (["--l3-cache-schema", "x"], b"", "--l3-cache-schema"),
            (["--nonsense", "1"], b"", "flag provided but not defined"),
            (["--resources", "/no/such/file"], b"", "/no/such/file"), (["--resources", "-"], b"", "line"),
            (["--resources", "-"], b"[]", "object"), (["--resources", "-"], b'{"memory":{"limit":"x"}}', "memory.limit"),
            (["--resources", "-"], b'{"unified":{"../x":"1"}}', "unified"),
            (["--resources", "-"], b'{"unified":{"cgroup.kill":"1"}}', "unified")):
        result = box.command("update", *flags, "c1", stdin=stdin)
        check_equal(result.code, 1, f"exit code of {flags} {stdin}: {result!r}")
        check_in(words, result.errors, f"message of {flags} {stdin}")
    check_equal(inside(box, "memory.max"), [str(64 * MIB)], "memory.max")
    check_in("does not exist", box.command("update", "--memory", "64m", "nobody").errors, "the unknown")
    box.ok("kill", "c1", "KILL")
    box.wait_status("stopped")
    check_in("container not running", box.command("update", "--memory", "64m", "c1").errors, "the stopped")
    check_in("not running", box.command("events", "--stats", "c1").errors, "events of the stopped")
    check_in("does not exist", box.command("events", "nobody").errors, "events of the unknown")
    for interval in ("0s", "5", "x", "-1s", ""):
        check_equal(box.command("events", "--interval", interval, "c1").code, 1, f"--interval {interval!r}")


@claim("the memory limit kills: exit code 137, an oom event, and the container's end ends events")
def oom(box):
    pid = box.create(["sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1; exit 0"], linux__resources=limits(
        memory={"limit": 32 * MIB}, unified={"memory.oom.group": "1"}))
    events = box.popen("events", "--interval", "1h", "c1")
    check_equal(json.loads(events.stdout.readline())["type"], "stats", "the first event, of a created container")
    box.ok("start", "c1")
    check_equal(box.exit_of(pid), 137, "exit code")
    check_equal(events.wait(30), 0, "exit code of events")
    lines = [json.loads(line) for line in events.stdout]
    check({"type": "oom", "id": "c1"} in lines, f"events: {lines}")
    check_equal([e for e in lines if e["type"] not in ("oom", "stats")], [], "other events")


@claim("a killed child is an oom event of a container that goes on")
def oom_of_a_child(box):
    box.start(["sleep", "1000"], linux__resources=limits(memory={"limit": 32 * MIB}))
    events = box.popen("events", "--interval", "1h", "c1")
    check_equal(json.loads(events.stdout.readline())["type"], "stats", "the first event")
    result = box.command("exec", "c1", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1")
    check_equal(result.code, 137, "exit code of the exec")
    check_equal(json.loads(events.stdout.readline()), {"type": "oom", "id": "c1"}, "the next event")
    check_equal(box.status(), "running", "status")
    late = box.popen("events", "--interval", "1h", "c1")
    check_in("oom", "".join(late.stdout.readline().decode() for _ in range(2)), "events of one who comes later")
    box.ok("delete", "--force", "c1")
    check_equal((events.wait(30), late.wait(30)), (0, 0), "exit codes of events")


@claim("statistics are those that the container sees itself")
def stats_are_true(box):
    box.start(["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=20; sleep 1000 & wait"], linux__resources=limits(
        memory={"limit": 64 * MIB}, pids={"limit": 33}, cpu={"quota": 80000, "period": 100000}))
    wait_until(lambda: stats(box)["memory"]["raw"]["shmem"] >= 20 * MIB, "20 MiB of shared memory")
    wait_until(lambda: stats(box)["pids"]["current"] == 2, "a shell and its sleep")
    data = stats(box)
    current, = inside(box, "memory.current")
    check(abs(data["memory"]["usage"]["usage"] - int(current)) < 8 * MIB, f"usage {data['memory']}, inside {current}")
    check_equal(data["memory"]["usage"]["limit"], 64 * MIB, "limit")
    check_equal(data["pids"]["limit"], 33, "limit on processes")
    usage = data["cpu"]["usage"]
    check(usage["total"] > 10**6 and usage["kernel"] + usage["user"] <= usage["total"] * 1.01, f"cpu: {usage}")
    check(data["cpu"]["throttling"].get("periods", 0) > 0, f"throttling: {data['cpu']}")
    before = time.monotonic(), stats(box)["cpu"]["usage"]["total"]
    box.ok("exec", "c1", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    used = stats(box)["cpu"]["usage"]["total"] - before[1]
    check(10**7 < used < (time.monotonic() - before[0]) * 10**9, f"{used} ns used by a busy exec")
    check_equal(sorted(data), ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"],
                "members as runc has them")
    check_equal([i["Name"] for i in data["network_interfaces"] if i["Name"] == "lo"], [], "the loopback interface")


@claim("events repeats statistics at its interval until the container ends")
def events_repeat(box):
    box.start(["sleep", "1000"])
    begin = time.monotonic()
    events = box.popen("events", "--interval", "300ms", "c1")
    for _ in range(4):
        check_equal(json.loads(events.stdout.readline())["type"], "stats", "event")
    check(0.8 < time.monotonic() - begin < 20, f"four statistics took {time.monotonic() - begin} s")
    box.ok("kill", "c1", "KILL")
    check_equal(events.wait(30), 0, "exit code")


@claim("update works on a container that is created, and on one that is paused")
def update_in_other_states(box):
    box.create(["sleep", "1000"])
    box.ok("update", "--pids-limit", "7", "c1")
    box.ok("start", "c1")
    check_equal(inside(box, "pids.max"), ["7"], "pids.max")
    box.ok("pause", "c1")
    box.ok("update", "--pids-limit", "9", "c1")
    check_equal(stats(box)["pids"]["limit"], 9, "statistics of a paused one")
    box.ok("resume", "c1")
    check_equal(inside(box, "pids.max"), ["9"], "pids.max")


@claim("the host's limits follow update: raised at once, lowered when the guest has given its memory back")
def host_limits(box):
    def host(controller, file):
        with open(f"/sys/fs/cgroup/{controller}/upd/c1/{file}") as f:
            return int(f.read())

    box.start(["sleep", "1000"], linux__cgroupsPath="/upd/c1", mounts=BIG_SHM,
              linux__resources=limits(memory={"limit": 64 * MIB}, pids={"limit": 50}))
    start = host("memory", "memory.limit_in_bytes")
    box.ok("update", "--memory", "400m", "--cpu-quota", "150000", "c1")
    check_equal(host("memory", "memory.limit_in_bytes"), start + 336 * MIB, "host's limit after raising")
    check_equal(host("cpu", "cpu.cfs_quota_us"), 150000, "host's quota")
    box.ok("exec", "c1", "sh", "-c", EAT.format(mib=250))
    box.ok("exec", "c1", "rm", "/dev/shm/eaten")
    box.ok("update", "--memory", "64m", "c1")
    wait_until(lambda: host("memory", "memory.limit_in_bytes") == start, "the host's limit is lowered")
    check_equal(box.status(), "running", "status")
    check_equal(inside(box, "memory.max"), [str(64 * MIB)], "memory.max")
    refused = box.command("update", "--resources", "-", "c1", stdin=b'{"memory":{"limit":104857600,"swap":104857601,'
                          b'"disableOOMKiller":true}}')
    check_equal(refused.code, 1, f"exit code of what the guest refuses: {refused!r}")
    check_equal(host("memory", "memory.limit_in_bytes"), start, "host's limit after a refused update")


@claim("a limit above the host's memory, as engines write none, makes a machine as large as the host at most")
def limit_like_none(box):
    limit = 9223372036854771712
    box.write_config(template="off")  # nobody needs one of this size
    out = box.run_ok(["cat", "/proc/meminfo"], linux__resources__memory={"limit": limit}).text
    with open("/proc/meminfo") as f:
        host = int(f.readline().split()[1])
    inside = int(out.split()[1])
    check(host // 2 < inside <= host, f"memory: {inside} kB in the guest, {host} kB on the host")
