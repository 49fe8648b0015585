# SPDX-License-Identifier: Apache-2.0
"""What the agent applies, seen from inside the guest: each item of the OCI configuration that is supported."""
import os

from harness import caps_mask, check, check_equal, check_in, claim, DEFAULT_CAPS, parse_facts


def shell(box, script, name="c1", **changes):
    return box.run_ok(["sh", "-c", script], name=name, **changes).text


@claim("a container runs on another kernel than the host's and sees none of its processes")
def another_kernel(box):
    facts = box.facts()
    check(facts["release"] != os.uname().release, f"guest runs the host's kernel {facts['release']}")
    check_equal(facts["pid"], "1", "pid of the workload")
    listing = shell(box, "ps -o pid,comm; cat /proc/1/comm", name="c2")
    check("qemu" not in listing and "python" not in listing, f"host processes are visible: {listing}")


@claim("args, env, cwd and hostname arrive as given")
def args_env_cwd(box):
    facts = box.run_ok(["probe", "facts", "a b", "", "ü*$x"], process__cwd="/var/tmp", hostname="jar").text
    facts = parse_facts(facts)
    check_equal((facts["arg.0"], facts["arg.1"], facts["arg.2"]), ("a b", "", "ü*$x"), "arguments")
    check_equal((facts["cwd"], facts["nodename"]), ("/var/tmp", "jar"), "cwd and hostname")
    env = shell(box, "env", name="c2", process__env=["PATH=/bin", "A=1 2", "EMPTY=", "B=x=y"])
    for line in ("A=1 2", "EMPTY=", "B=x=y", "PATH=/bin"):
        check(line in env.splitlines(), f"{line!r} is not in the environment {env!r}")


@claim("domainname is set in the container's uts namespace")
def domainname(box):
    check_equal(box.facts(domainname="example.test", ociVersion="1.2.0")["domainname"], "example.test", "domainname")


@claim("a missing cwd is made, as runc makes it")
def cwd_made(box):
    check_equal(box.facts(process__cwd="/new/folder")["cwd"], "/new/folder", "cwd")


@claim("user, group, additional groups and umask are the configuration's")
def user(box):
    facts = box.facts(process__user={"uid": 1000, "gid": 1001, "additionalGids": [7, 1002], "umask": 0o027})
    check_equal([facts[k] for k in ("uid", "euid", "gid", "egid")], ["1000", "1000", "1001", "1001"], "ids")
    check_equal(sorted(facts["groups"].split()), ["1002", "7"], "additional groups")
    check_equal(facts["Umask"], "0027", "umask")


@claim("capability sets are exactly the configuration's, inheritable empty unless asked for")
def capability_sets(box):
    facts = box.facts()
    for key in ("CapPrm", "CapEff", "CapBnd"):
        check_equal(facts[key], caps_mask(DEFAULT_CAPS), key)
    check_equal((facts["CapInh"], facts["CapAmb"]), ("0" * 16, "0" * 16), "inheritable and ambient")
    some = ["CAP_CHOWN", "CAP_NET_RAW"]
    facts = box.facts(name="c2", process__capabilities={
        "bounding": some + ["CAP_KILL"], "effective": ["CAP_CHOWN"], "permitted": some, "inheritable": some,
        "ambient": ["CAP_CHOWN"]}, process__user={"uid": 1000, "gid": 1000})
    check_equal(facts["CapBnd"], caps_mask(some + ["CAP_KILL"]), "bounding")
    check_equal(facts["CapInh"], caps_mask(some), "inheritable")
    check_equal(facts["CapAmb"], caps_mask(["CAP_CHOWN"]), "ambient")


@claim("what a missing capability allows fails with EPERM, and works with it")
def capability_tried(box):
    script = "probe try sethostname x; probe try chroot /; probe try settime; probe try mknod /tmp/n 1 3"
    check_equal(shell(box, script).split(), ["EPERM"] * 4, "without the capabilities")
    caps = DEFAULT_CAPS + ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_TIME", "CAP_MKNOD"]
    caps = {k: caps for k in ("bounding", "effective", "permitted")}
    check_equal(shell(box, script, name="c2", process__capabilities=caps).split()[:3], ["ok"] * 3,
                "with the capabilities")


@claim("without a capabilities object the workload has none")
def no_capabilities(box):
    facts = box.facts(process__capabilities=None)
    check_equal([facts[k] for k in ("CapPrm", "CapEff", "CapInh", "CapAmb")], ["0" * 16] * 4, "capability sets")


@claim("no_new_privs is set when asked for and only then")
def no_new_privs(box):
    check_equal(box.facts()["NoNewPrivs"], "1", "noNewPrivileges true")
    check_equal(box.facts(name="c2", process__noNewPrivileges=False)["NoNewPrivs"], "0", "noNewPrivileges false")


@claim("rlimits are applied")
def rlimits(box):
    facts = box.facts(process__rlimits=[{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99},
                                        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                                        {"type": "RLIMIT_FSIZE", "soft": 4096, "hard": 8192}])
    check_equal((facts["rlimit.nofile"], facts["rlimit.core"], facts["rlimit.fsize"]),
                ("77 99", "0 0", "4096 8192"), "limits")
    out = shell(box, "head -c 9000 /dev/zero > /tmp/f; wc -c < /tmp/f", name="c2",
                process__rlimits=[{"type": "RLIMIT_FSIZE", "soft": 4096, "hard": 8192}])
    check_equal(out.split()[-1], "4096", "size of a file beyond its limit")


@claim("oom_score_adj is applied")
def oom_score_adj(box):
    check_equal(shell(box, "cat /proc/self/oom_score_adj", process__oomScoreAdj=321).strip(), "321", "oom_score_adj")


@claim("each namespace of the list is a new one, and one left out is the guest's own")
def namespaces(box):
    kinds = ("pid", "ipc", "uts", "mnt", "cgroup")
    box.start(["sleep", "1000"])
    inside = parse_facts(box.ok("exec", "c1", "probe", "facts").text)
    bundle = box.bundle(["probe", "facts"], linux__namespaces=[
        {"type": t} for t in ("pid", "network", "mount", "uts")], mounts=lambda old: old[:-1])
    fewer = parse_facts(box.ok("run", "-b", bundle, "c2").text)
    for kind in kinds:
        check(inside[f"ns.{kind}"].startswith(f"{kind}:["), f"{kind}: {inside[f'ns.{kind}']}")
    again = parse_facts(box.ok("exec", "c1", "probe", "facts").text)
    for kind in kinds:
        check_equal(again[f"ns.{kind}"], inside[f"ns.{kind}"], f"{kind} namespace of a second exec")
    check_equal(fewer["ns.ipc"], "ipc:[4026531839]", "the guest's own ipc namespace, left out of the list")
    check(fewer["ns.uts"] != "uts:[4026531838]", "uts namespace is the guest's")
    check(inside["ns.ipc"] != "ipc:[4026531839]", "ipc namespace is the guest's")


@claim("the workload holds no descriptor but 0, 1 and 2")
def descriptors(box):
    facts = box.facts()
    check_equal(sorted(k for k in facts if k.startswith("fd.")), ["fd.0", "fd.1", "fd.2"], "open descriptors")


@claim("signals are neither blocked nor ignored at the start")
def signals(box):
    facts = box.facts()
    check_equal((facts["SigBlk"], int(facts["SigIgn"], 16)), ("0" * 16, 0), "signal masks")


@claim("default devices and the links of /dev are there and work")
def devices(box):
    out = shell(box, """
        for d in null zero full random urandom tty; do test -c /dev/$d && stat -c '%n %t:%T %a' /dev/$d; done
        for l in fd stdin stdout stderr ptmx core; do echo $l $(readlink /dev/$l); done
        echo gone > /dev/null && head -c 4 /dev/zero | od -An -tx1 && head -c 8 /dev/urandom | wc -c
        echo x > /dev/full || echo full""")
    for text in ("/dev/null 1:3 666", "/dev/zero 1:5 666", "/dev/full 1:7 666", "/dev/random 1:8 666",
                 "/dev/urandom 1:9 666", "/dev/tty 5:0 666", "fd /proc/self/fd", "stdin /proc/self/fd/0",
                 "stdout /proc/self/fd/1", "stderr /proc/self/fd/2", "ptmx pts/ptmx", "00 00 00 00", "full"):
        check_in(text, out, "devices")


@claim("a device that the rules do not allow cannot be opened, even by who may make its node")
def device_rules(box):
    caps = DEFAULT_CAPS + ["CAP_MKNOD"]
    out = shell(box, "mknod /tmp/kmsg c 1 11 && probe try open /tmp/kmsg; mknod /tmp/mem c 1 1; probe try open /tmp/mem;"
                " mknod /tmp/port c 1 4; probe try open /tmp/port; for n in 0 1 2; do mknod /tmp/v$n c 248 $n; "
                "probe try open /tmp/v$n; done; mknod /tmp/null c 1 3; probe try open /tmp/null",
                process__capabilities={k: caps for k in ("bounding", "effective", "permitted")},
                process__noNewPrivileges=False)
    lines = [x for x in out.split() if x.isupper() or x == "ok"]
    check_equal(lines[-1], "ok", "an allowed device")
    check(set(lines[:-1]) == {"EPERM"}, f"devices that are not allowed: {lines}")


@claim("bind mounts carry files both ways, and a read-only one is read-only for the guest's root as well")
def bind_mounts(box):
    shared = os.path.join(box.dir, "shared")
    fixed = os.path.join(box.dir, "fixed")
    for folder in (shared, fixed):
        os.mkdir(folder)
        with open(os.path.join(folder, "in"), "w") as f:
            f.write("from the host")
    single = os.path.join(box.dir, "one-file")
    with open(single, "w") as f:
        f.write("single")
    caps = DEFAULT_CAPS + ["CAP_SYS_ADMIN"]
    out = shell(box, """
        cat /mnt/shared/in /mnt/fixed/in /etc/one-file; echo; echo from the guest > /mnt/shared/out
        probe try create /mnt/fixed/new; probe try open /mnt/fixed/in w
        probe try mount none /mnt/fixed none 0x20; probe try open /mnt/fixed/in w; probe try open /etc/one-file w""",
                process__capabilities={k: caps for k in ("bounding", "effective", "permitted")},
                mounts=lambda old: old + [
                    {"destination": "/mnt/shared", "type": "bind", "source": shared, "options": ["rbind", "rw"]},
                    {"destination": "/mnt/fixed", "type": "bind", "source": fixed, "options": ["rbind", "ro"]},
                    {"destination": "/etc/one-file", "type": "bind", "source": single, "options": ["bind", "ro"]}])
    check_in("from the hostfrom the hostsingle", out, "files of the host")
    answers = out.split()[-5:]
    check_equal((answers[0], answers[1], answers[3], answers[4]), ("EROFS",) * 4, "writes to what is read-only")
    with open(os.path.join(shared, "out")) as f:
        check_equal(f.read(), "from the guest\n", "what the guest wrote")
    with open(os.path.join(fixed, "in")) as f:
        check_equal(f.read(), "from the host", "the read-only file on the host")


@claim("tmpfs, proc, sysfs, devpts, mqueue and cgroup are mounted with their options")
def mounts(box):
    out = shell(box, "cat /proc/mounts", mounts=lambda old: old + [
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "nodev", "noexec", "size=1m", "mode=1750"]}])
    table = {line.split()[1]: line.split() for line in out.splitlines()}
    for place, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"),
                        ("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue"), ("/sys/fs/cgroup", "cgroup2"),
                        ("/scratch", "tmpfs")):
        check(place in table and table[place][2] == kind, f"{place} is no {kind}: {table.get(place)}")
    for option in ("nosuid", "nodev", "noexec", "size=1024k", "mode=1750"):
        check_in(option, table["/scratch"][3].split(","), "options of /scratch")
    check_in("ro", table["/sys"][3].split(","), "options of /sys")
    check_in("ro", table["/sys/fs/cgroup"][3].split(","), "options of /sys/fs/cgroup")


@claim("nosuid, nodev and noexec do what they say")
def mount_flags(box):
    answer = box.run(["sh", "-c", "cp /bin/busybox /noexec/b; /noexec/b true; echo $?; mknod /noexec/n c 1 3; "
                      "probe try open /noexec/n"],
                     process__capabilities={k: DEFAULT_CAPS + ["CAP_MKNOD"] for k in
                                            ("bounding", "effective", "permitted")},
                     mounts=lambda old: old + [{"destination": "/noexec", "type": "tmpfs", "source": "t",
                                                "options": ["noexec", "nodev", "nosuid"]}])
    check_equal(answer.text.split()[-2:], ["126", "EACCES"], "exec, then open of a device")


@claim("mount propagation is the configuration's")
def propagation(box):
    out = shell(box, "cat /proc/self/mountinfo", mounts=lambda old: old + [
        {"destination": "/a", "type": "tmpfs", "source": "a", "options": ["rshared"]},
        {"destination": "/b", "type": "tmpfs", "source": "b", "options": ["rprivate"]}])
    lines = {line.split()[4]: line for line in out.splitlines()}
    check_in("shared:", lines["/a"], "/a")
    check("shared:" not in lines["/b"] and "master:" not in lines["/b"], f"/b is not private: {lines['/b']}")


@claim("a read-only root cannot be written, not even after a remount in the guest, and its tmpfs can")
def readonly_root(box):
    caps = {k: DEFAULT_CAPS + ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}
    bundle = box.bundle(["sh", "-c", "probe try create /new; probe try mount none / none 0x20; probe try create /new;"
                         "probe try create /dev/shm/new; probe try create /made/new"],
                        root__readonly=True, process__capabilities=caps,
                        mounts=lambda old: old + [{"destination": "/made", "type": "tmpfs", "source": "t"}])
    answers = box.ok("run", "--bundle", bundle, "c1").text.split()
    check_equal((answers[0], answers[2], answers[3], answers[4]), ("EROFS", "EROFS", "ok", "ok"), "writes")
    check(not os.path.exists(os.path.join(bundle, "rootfs", "new")), "the file exists on the host")


@claim("masked paths show nothing and read-only paths cannot be written")
def masked_paths(box):
    out = shell(box, "cat /etc/passwd | wc -c; ls -A /home | wc -l; ls -A /sys/firmware | wc -l; "
                "cat /proc/keys | wc -c; probe try create /home/new; "
                "probe try open /proc/sys/kernel/printk w; probe try create /etc/new",
                linux__maskedPaths=lambda old: old + ["/etc/passwd", "/home", "/not/there"],
                linux__readonlyPaths=lambda old: old + ["/etc", "/nor/there"])
    check_equal(out.split(), ["0", "0", "0", "0", "EROFS", "EROFS", "EROFS"], "masked, then read-only")


@claim("sysctls are set in the container's namespaces")
def sysctl(box):
    out = shell(box, "cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ip_forward",
                linux__sysctl={"kernel.msgmax": "4096", "fs.mqueue.msg_max": "9", "net.ipv4.ip_forward": "1"})
    check_equal(out.split(), ["4096", "9", "1"], "values")


@claim("a memory limit kills what exceeds it, with exit code 137, and nothing else")
def memory_limit(box):
    result = box.run(["probe", "alloc", "100"], linux__resources__memory={"limit": 32 << 20, "swap": 32 << 20})
    check_equal(result.code, 137, "exit code of what exceeds the limit")
    check_in("touched", box.run_ok(["probe", "alloc", "20"], name="c2",
                                   linux__resources__memory={"limit": 48 << 20}).text, "within the limit")


@claim("a pids limit stops a fork bomb")
def pids_limit(box):
    count = int(box.run_ok(["probe", "forks", "200"], linux__resources__pids={"limit": 20}).text)
    check(count < 20, f"{count} children in spite of a limit of 20")


@claim("cpu, cpuset, memory and pids limits stand in the container's cgroup")
def cgroup_files(box):
    out = shell(box, "cd /sys/fs/cgroup; cat cpu.max cpu.weight memory.max memory.low cpuset.cpus pids.max; "
                "cat /proc/self/cgroup",
                linux__resources={"cpu": {"quota": 50000, "period": 100000, "shares": 2048, "cpus": "0"},
                                  "memory": {"limit": 64 << 20, "reservation": 16 << 20},
                                  "pids": {"limit": 55}})
    lines = out.splitlines()
    check_equal(lines[0], "50000 100000", "cpu.max")
    check_equal(lines[1], "79", "cpu.weight of 2048 shares")
    check_equal(lines[2:6], [str(64 << 20), str(16 << 20), "0", "55"], "memory, cpuset and pids")
    check_equal(lines[6], "0::/", "the cgroup as seen from its own namespace")


PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["chroot", "no_such_system_call"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 33,
         "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
         "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_GE"}]},
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71,
         "args": [{"index": 0, "value": 0x10000000, "valueTwo": 0x10000000, "op": "SCMP_CMP_MASKED_EQ"}]},
    ],
}


@claim("seccomp denies what the profile denies, by call and by argument, and nothing else")
def seccomp(box):
    out = shell(box, "probe try mkdir /x; probe try chroot /; probe try personality 8; probe try personality 0xffffffff;"
                "probe try socket 16 2; probe try socket 1 1; probe try unshare 0x10000400; grep Seccomp: /proc/self/status",
                linux__seccomp=PROFILE)
    check_equal(out.split(), ["EOPNOTSUPP", "EPERM", "EDOM", "ok", "EAFNOSUPPORT", "ok", "EPROTO", "Seccomp:", "2"],
                "answers of the calls")


@claim("seccomp actions kill, log and trap do what they say")
def seccomp_actions(box):
    for number, (action, code) in enumerate((("SCMP_ACT_KILL_PROCESS", 159), ("SCMP_ACT_TRAP", 159),
                                             ("SCMP_ACT_KILL", 159), ("SCMP_ACT_LOG", 0))):
        result = box.run(["probe", "try", "mkdir", "/x"], name=f"c{number}", linux__seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": action}]})
        check_equal(result.code, code, f"exit code with {action}")


@claim("a default of errno denies everything that is not listed")
def seccomp_default(box):
    names = sorted(set("""read write close fstat newfstatat mmap mprotect munmap brk rt_sigaction rt_sigprocmask ioctl
        access execve exit exit_group arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink readlinkat
        getrandom uname getpid getuid geteuid getgid getegid openat open lseek fcntl dup dup2 mremap futex prctl
        sysinfo getcwd writev pread64 getdents64 wait4""".split()))
    out = box.run_ok(["probe", "try", "mkdir", "/x"], linux__seccomp={
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}).text
    check_equal(out.strip(), "ENOSYS", "a call that is not listed")


@claim("file ownership, modes, links, xattrs and big files survive the shared file system")
def file_system(box):
    bundle = box.bundle(["sh", "-c", "touch /tmp/f; chown 1234:4321 /tmp/f; chmod 4711 /tmp/f; ln /tmp/f /tmp/hard; "
                         "ln -s /tmp/f /tmp/soft; stat -c '%u:%g %a %h' /tmp/f; readlink /tmp/soft; "
                         "dd if=/dev/zero of=/tmp/big bs=1M count=64 2>/dev/null; stat -c %s /tmp/big; "
                         "mkfifo /tmp/fifo; (echo through > /tmp/fifo &); cat /tmp/fifo; rm /tmp/hard; ls /tmp"])
    out = box.ok("run", "-b", bundle, "c1").text
    check_equal(out.split(), ["1234:4321", "4711", "2", "/tmp/f", "67108864", "through", "big", "f", "fifo", "soft"],
                "files")
    stat = os.stat(os.path.join(bundle, "rootfs", "tmp", "f"))
    check_equal((stat.st_uid, stat.st_gid, stat.st_mode & 0o7777), (1234, 4321, 0o4711), "the file on the host")


@claim("a real distribution runs from its image: bash, dpkg and apt of Debian")
def minbase(box):
    out = box.run_ok(["bash", "-c", ". /etc/os-release; echo $ID; dpkg-query -W bash | cut -f 1; id -un; "
                      "apt-get --version | head -n 1 | cut -d ' ' -f 1"], image="minbase").text
    check_equal(out.split(), ["debian", "bash", "root", "apt"], "output")
