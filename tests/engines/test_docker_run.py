# SPDX-License-Identifier: Apache-2.0
"""docker run: what the options do, seen from inside of the container."""
import concurrent.futures
import os
import subprocess

from cases import case
from docker import IMAGE
from harness import check, check_equal, check_in

NONE = ("--network", "none")


def words(text):
    return " ".join(text.split())


@case("docker", "a container is a machine of its own")
def is_a_vm(t):
    marker = subprocess.Popen(["sleep", "4321"])
    try:
        out = t.out("run", "--rm", *NONE, IMAGE, "sh", "-c", "uname -r; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    finally:
        marker.kill()
        marker.wait()
    with t.line("the kernel inside is the host's with runc alone"):
        check_equal(out.split("\n")[0] != os.uname().release, t.ours, "another kernel")
    with t.line("host processes are not visible"):
        check("4321" not in out and "dockerd" not in out, out)


@case("docker", "run: environment, folder, user, names")
def environment(t):
    out = t.out("run", "--rm", *NONE, "-e", "A=1", "-e", "FROMHOST", "--env-file", t.path("env", "E=file\nA=2\n"),
                "-w", "/made/here", "-u", "1000:1001", "--group-add", "55", "--hostname", "jar",
                IMAGE, "sh", "-c", "echo $A $FROMHOST $E; pwd; id; hostname; cat /etc/hostname",
                env=dict(os.environ, FROMHOST="host")).split("\n")
    with t.line("-e, -e VAR and --env-file with their precedence"):
        check_equal(out[0], "1 host file", "environment")
    with t.line("-w makes and enters a folder"):
        check_equal(out[1], "/made/here", "cwd")
    with t.line("-u and --group-add"):
        check_equal(out[2], "uid=1000 gid=1001 groups=55,1001", "id")
    with t.line("--hostname"):
        check_equal(out[3:], ["jar", "jar"], "hostname")
    with t.line("-u NAME that does not exist is an error"):
        check_equal(t.call("run", "--rm", *NONE, "-u", "nosuch", IMAGE, "id").code, 125, "exit code")


@case("docker", "run: volumes and tmpfs")
def volumes(t):
    t.path("file", "host\n")
    out = t.out("run", "--rm", *NONE, "-v", f"{t.dir}:/v", "-v", f"{t.dir}:/ro:ro", "-v", "named:/named",
                "-v", "/anonymous", "--tmpfs", "/t:size=1m,mode=1770",
                "--mount", f"type=bind,src={t.dir}/file,dst=/one,readonly",
                "--mount", "type=tmpfs,dst=/tt,tmpfs-size=2m", "--shm-size", "3m", IMAGE, "sh", "-c",
                "cat /v/file; echo new > /v/new; (echo x > /ro/x) 2>&1; (echo x > /one) 2>&1; touch /named/kept;"
                "touch /anonymous/x && echo anon; stat -c %a /t; df -k /t /tt /dev/shm | awk 'NR>1{print $2}'").split("\n")
    with t.line("-v of a folder: what the host has, and back"):
        check_equal(out[0], "host", "read")
        with open(t.path("new")) as f:
            check_equal(f.read(), "new\n", "written")
    with t.line("-v :ro and a readonly bind refuse writes"):
        check("Read-only" in out[1] and "Read-only" in out[2], f"{out}")
        check(not os.path.exists(t.path("x")), "written on the host")
    with t.line("anonymous volume"):
        check_equal(out[3], "anon", "anonymous volume")
    with t.line("--tmpfs, tmpfs mounts and --shm-size with their sizes and modes"):
        check_equal(out[4:], ["1770", "1024", "2048", "3072"], "tmpfs")
    with t.line("a named volume is kept for the next container"):
        check_equal(t.out("run", "--rm", *NONE, "-v", "named:/n", IMAGE, "ls", "/n"), "kept", "volume")
    with t.line("-v $PWD and a relative path in it"):
        check_equal(t.out("run", "--rm", *NONE, "-v", f"{os.path.join(t.dir, '.')}:/p", "-w", "/p", IMAGE, "cat", "file"),
                    "host", "file")


@case("docker", "run: security options")
def security(t):
    profile = t.path("profile", '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
                                '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}')
    out = t.out("run", "--rm", *NONE, "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges",
                "--security-opt", f"seccomp={profile}", "--read-only", "--ulimit", "nofile=100:200", "--ulimit", "core=0",
                "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=4096", "--tmpfs", "/tmp", IMAGE,
                "sh", "-c", "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | awk '{print $2}';"
                "mkdir /tmp/x 2>&1; touch /x 2>&1; ulimit -n; ulimit -Hn; ulimit -c;"
                "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax; touch /tmp/y && echo tmp").split("\n")
    with t.line("--cap-drop and --cap-add"):
        check_equal(out[0:2], ["0000000000001000"] * 2, "capabilities")
    with t.line("--security-opt no-new-privileges"):
        check_equal(out[2], "1", "NoNewPrivs")
    with t.line("--security-opt seccomp=FILE"):
        check_equal(out[3], "2", "seccomp mode")
        check_in("Operation not permitted", out[4], "mkdir")
    with t.line("--read-only, with a tmpfs that is not"):
        check_in("Read-only", out[5], "touch")
        check_equal(out[11], "tmp", "tmpfs")
    with t.line("--ulimit"):
        check_equal(out[6:9], ["100", "200", "0"], "limits")
    with t.line("--sysctl"):
        check_equal(out[9:11], ["1", "4096"], "sysctls")
    with t.line("the default profile is a filter, unconfined is none"):
        ask = "grep Seccomp: /proc/self/status"
        check_equal(words(t.out("run", "--rm", *NONE, IMAGE, "sh", "-c", ask)), "Seccomp: 2", "default")
        check_equal(words(t.out("run", "--rm", *NONE, "--security-opt", "seccomp=unconfined", IMAGE, "sh", "-c", ask)),
                    "Seccomp: 0", "unconfined")


@case("docker", "run: resources")
def resources(t):
    name = "memory.max cpu.max pids.max" if t.ours else \
        "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max"
    out = t.out("run", "--rm", *NONE, "--memory", "64m", "--cpus", ".5", "--pids-limit", "20", IMAGE, "sh", "-c",
                f"cd /sys/fs/cgroup; cat {name}; for i in $(seq 40); do sleep 1 & done 2>&1 | tail -n 1; wait").split("\n")
    with t.line("--memory"):
        check_equal(out[0], str(64 << 20), "memory limit")
    with t.line("--cpus"):
        check_equal(out[1].split()[0], "50000", "cpu quota")
    with t.line("--pids-limit"):
        check_equal(out[2], "20", "pids limit")
        check_in("can't fork", "".join(out[3:]), "a fork too many")


@case("docker", "run: programs, exit codes, errors")
def programs(t):
    def code(*args):
        return t.call("run", "--rm", *NONE, *args).code

    with t.line("the exit code is the program's"):
        check_equal(code(IMAGE, "sh", "-c", "exit 7"), 7, "exit code")
    with t.line("127 for a program that is not there"):
        check_equal(code(IMAGE, "nosuch"), 127, "exit code")
    with t.line("126 for one that cannot be run, a folder too"):
        check_equal(code(IMAGE, "/etc/passwd"), 126, "a file")
        check_equal(code(IMAGE, "/etc"), 126, "a folder")
    with t.line("--init: docker-init is PID 1 and reaps"):
        out = t.out("run", "--rm", *NONE, "--init", IMAGE, "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
        check_in("docker-init", out, "PID 1")
    with t.line("--privileged"):
        if t.ours:  # runc cannot here: it wants CAP_SYS_RESOURCE
            check_equal(code("--privileged", IMAGE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"), 0, "mount")
    with t.line("--device: the guest's own devices, and no other"):
        check_equal(code("--device", "/dev/null:/dev/nothing", IMAGE, "test", "-c", "/dev/nothing"), 0, "/dev/null")
        if t.ours:
            done = t.call("run", "--rm", *NONE, "--device", "/dev/kvm", IMAGE, "true")
            check_equal(done.code, 125, "exit code")
            check_in("/dev/kvm", done.errors, "message")
    with t.line("--network host is refused, with the reason"):
        if t.ours:
            done = t.call("run", "--rm", "--network", "host", IMAGE, "true")
            check_equal(done.code, 125, "exit code")
            check_in("network namespace", done.errors, "message")


@case("docker", "run: input and output")
def streams(t):
    big = os.urandom(3_000_000)
    with t.line("-i: three megabytes through cat and back"):
        check(t.ok("run", "--rm", "-i", *NONE, IMAGE, "cat", stdin=big).out == big, "the bytes differ")
    with t.line("stdout and stderr are apart"):
        done = t.ok("run", "--rm", *NONE, IMAGE, "sh", "-c", "echo out; echo err >&2")
        check_equal((done.text, done.errors), ("out\n", "err\n"), "streams")


@case("docker", "run: fifty in a row")
def fifty(t):
    """Their outputs, then the leak check."""
    runs = 50 if t.ours else 5
    def one(i):
        check_equal(t.out("run", "--rm", *NONE, IMAGE, "echo", f"jar {i}"), f"jar {i}", "output")

    with t.line(f"{runs} x run --rm, each with its own output, two at a time"):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(runs)))
