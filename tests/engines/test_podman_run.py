# SPDX-License-Identifier: Apache-2.0
"""podman run: what the options do, seen from inside of the container and from the host."""
import json
import os

from cases import PROBE, case
from harness import caps_mask, check, check_equal, check_in
from podman import IMAGE

# Cases that are not about networks do without one.
RUN = ("run", "--rm", "--network", "none")
WITH_PROBE = ("-v", f"{PROBE}:/probe:ro")
DEFAULT_CAPS = ["CAP_" + c for c in ("CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP "
                                     "SETUID SYS_CHROOT").split()]


@case("podman", "a container is a VM")
def is_a_vm(t):
    t.mark_host()
    lines = t.out(*RUN, IMAGE, "sh", "-c",
                  "uname -r; cat /proc/[0-9]*/cmdline | tr '\\0' ' '").split("\n")
    with t.line("the guest's kernel is not the host's"):
        check_equal(lines[0] != os.uname().release, t.ours, "the kernel's release differs")
    with t.line("host processes are not visible"):
        check(len(lines) == 2 and t.marker not in lines[1], f"command lines seen inside: {lines[1:]}")


@case("podman", "who and where")
def who_and_where(t):
    env = t.path("env", "FROM_FILE=file value\nBOTH=file\n# a comment\nHANDED\n")
    script = 'env; echo "user $(id -u):$(id -g) $(id -G)"; echo "cwd $(pwd)"; echo "host $(hostname)"; echo args "$@"'
    done = t.ok(*RUN, "--name", "who", "-e", "PLAIN=a b=c", "-e", "HANDED", "--env-file", env, "-e", "BOTH=flag",
                "-w", "/var/tmp", "-u", "1234:4321", "--group-add", "77", "--hostname", "jar", IMAGE,
                "sh", "-c", script, "sh", "one two", "", "*", "$HOME",
                env=dict(os.environ, HANDED="from the caller"))
    text = done.text
    with t.line("-e NAME=value, -e NAME from the caller"):
        check_in("\nPLAIN=a b=c\n", "\n" + text, "environment")
        check_in("\nHANDED=from the caller\n", "\n" + text, "environment")
    with t.line("--env-file, and -e goes before it"):
        check_in("\nFROM_FILE=file value\n", "\n" + text, "environment")
        check_in("\nBOTH=flag\n", "\n" + text, "environment")
    with t.line("-w"):
        check_in("\ncwd /var/tmp\n", text, "folder")
    with t.line("-u uid:gid and --group-add"):
        check_in("\nuser 1234:4321 4321 77\n", text, "ids")
    with t.line("--hostname"):
        check_in("\nhost jar\n", text, "name")
    with t.line("arguments arrive as they are"):
        check_in("\nargs one two  * $HOME\n", text, "arguments")
    with t.line("--rm removes the container and its name"):
        check_equal(t.out("ps", "-aq"), "", "containers")
    with t.line("-u by a name of the image"):
        check_equal(t.out(*RUN, "-u", "nobody", IMAGE, "id", "-u"), "65534", "uid")


@case("podman", "exit codes")
def exit_codes(t):
    with t.line("the command's own"):
        check_equal(t.call(*RUN, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 42").code, 42, "exit code")
    with t.line("127 for a program that is missing"):
        done = t.call(*RUN, IMAGE, "no-such-program")
        check_equal(done.code, 127, f"exit code with {done.errors!r}")
        check_in("no-such-program", done.errors, "message")
    with t.line("126 for one that cannot be executed"):
        done = t.call(*RUN, IMAGE, "/etc/passwd")
        check_equal(done.code, 126, f"exit code with {done.errors!r}")
    with t.line("stdin, stdout and stderr apart"):
        done = t.ok(*RUN, "-i", IMAGE, "sh", "-c", "cat; echo wrong >&2", stdin=b"typed\n" * 20000)
        check_equal((done.out == b"typed\n" * 20000, done.err), (True, b"wrong\n"), "streams")


@case("podman", "volumes and mounts")
def volumes(t):
    os.mkdir(t.path("data"))
    os.mkdir(t.path("locked"))
    t.path("data/from-host", "host\n")
    t.path("locked/kept", "kept\n")
    t.ok("volume", "create", "jar")
    script = """cat /data/from-host; echo guest >/data/from-guest && chown 33:44 /data/from-guest
        echo relative >/pwd/relative; echo kept >/vol/file
        (echo x >/locked/new) 2>/dev/null || echo 'locked is read-only'; cat /locked/kept
        (mount -o remount,rw /locked) 2>/dev/null || echo 'no remount'
        echo t >/scratch/f && df -k /scratch | awk 'END { print "scratch", $2 }'
        awk '$2 == "/scratch" { print "options", $4 }' /proc/mounts
        echo shm $(stat -f -c "%b %S" /dev/shm)
        (echo x >/etc/new) 2>/dev/null || echo 'root is read-only'
        cat /one/file"""
    text = t.ok(*RUN, "-v", f"{t.dir}/data:/data", "-v", "./data:/pwd", "-v", f"{t.dir}/locked:/locked:ro",
                "-v", "jar:/vol", "--tmpfs", "/scratch:rw,size=2m,noexec", "--read-only", "--shm-size", "3m",
                "--mount", f"type=bind,source={t.dir}/locked/kept,target=/one/file,readonly",
                IMAGE, "sh", "-c", script).text
    with t.line("-v folder: both sides see what the other wrote"):
        check_in("host\n", text, "read in the container")
        with open(t.path("data/from-guest")) as f:
            check_equal(f.read(), "guest\n", "written by the container")
        found = os.stat(t.path("data/from-guest"))
        check_equal((found.st_uid, found.st_gid), (33, 44), "owner as the container set it")
    with t.line("-v with a folder of the current one"):
        check(os.path.exists(t.path("data/relative")), "./data was not the caller's")
    with t.line("-v ro cannot be written nor remounted"):
        check_in("locked is read-only\nkept\nno remount\n", text, "output")
        check_equal(os.listdir(t.path("locked")), ["kept"], "the folder on the host")
    with t.line("--tmpfs with size and options"):
        check_in("scratch 2048\n", text, "size")
        check_in("noexec", text.split("options ")[1].split("\n")[0], "options")
    with t.line("--shm-size"):
        check_in("shm 768 4096\n", text, "blocks and their size")
    with t.line("--read-only"):
        check_in("root is read-only\n", text, "output")
    with t.line("--mount of one file"):
        check(text.endswith("kept\n"), f"no file in {text!r}")
    with t.line("a named volume outlives its container"):
        check_equal(t.out(*RUN, "-v", "jar:/v:ro", IMAGE, "cat", "/v/file"), "kept", "content")
    with t.line("a new volume takes over what the image has there"):
        check_in("passwd", t.out(*RUN, "-v", "fresh:/etc", IMAGE, "ls", "/etc"), "listing")


@case("podman", "privileges")
def privileges(t):
    plain = t.out(*RUN, IMAGE, "grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status")
    plain = dict(line.split(":\t") for line in plain.split("\n"))
    with t.line("default capabilities are podman's"):
        check_equal(plain["CapEff"], caps_mask(DEFAULT_CAPS), "effective")
        check_equal(plain["CapBnd"], caps_mask(DEFAULT_CAPS), "bounding")
    with t.line("the default seccomp profile is in force"):
        check_equal(plain["Seccomp"], "2", "mode")
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]}
    text = t.out(*RUN, "--cap-drop", "ALL", "--cap-add", "NET_RAW,SYS_TIME", "--security-opt", "no-new-privileges",
                 "--security-opt", f"seccomp={t.path('profile.json', json.dumps(profile))}",
                 "--sysctl", "net.ipv4.ip_default_ttl=77", "--sysctl", "kernel.msgmax=9999",
                 "--ulimit", "nofile=512:1024", "--ulimit", "nproc=300:400", "--ulimit", "core=0", IMAGE, "sh", "-c",
                 "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; cat /proc/sys/net/ipv4/ip_default_ttl "
                 "/proc/sys/kernel/msgmax; cat /proc/self/limits")
    with t.line("--cap-drop ALL and --cap-add"):
        check_in(f"CapEff:\t{caps_mask(['CAP_NET_RAW', 'CAP_SYS_TIME'])}\n", text, "effective")
    with t.line("--security-opt no-new-privileges"):
        check_in("NoNewPrivs:\t1\n", text, "status")
    with t.line("--sysctl"):
        check_in("77\n9999\n", text, "values")
    with t.line("--ulimit"):
        rows = {line[:26].strip(): line[26:].split()[:2] for line in text.split("\n")}
        check_equal(rows.get("Max open files"), ["512", "1024"], "nofile")
        check_equal(rows.get("Max processes"), ["300", "400"], "nproc")
        check_equal(rows.get("Max core file size"), ["0", "0"], "core")
    with t.line("--security-opt seccomp=FILE"):
        done = t.call(*RUN, "--security-opt", f"seccomp={t.path('profile.json')}", IMAGE, "mkdir", "/tmp/x")
        check_equal(done.code, 1, "exit code of mkdir")
        check_in("Cannot assign requested address", done.errors, "errno 99")
    with t.line("--init is PID 1 and reaps"):
        text = t.out(*RUN, "--init", IMAGE, "sh", "-c",
                     "tr '\\0' ' ' </proc/1/cmdline; echo; sh -c 'sleep 0.1 & exit'; sleep 0.5; "
                     "grep -l '^State:.Z' /proc/[0-9]*/status; true")
        check_in("init", text.split("\n")[0], "command line of PID 1")
        check_equal(text.split("\n")[1:], [], "zombies")


@case("podman", "devices")
def devices(t):
    with t.line("--device of the host is refused, or there with the reference"):
        done = t.call(*RUN, "--device", "/dev/loop-control", IMAGE, "ls", "-l", "/dev/loop-control")
        check_equal(done.code != 0, t.ours, f"refused: {done!r}")
        if t.ours:
            check_in("/dev/loop-control", done.errors, "message")
    with t.line("the usual devices work"):
        text = t.out(*RUN, IMAGE, "sh", "-c", "head -c 4 /dev/urandom | wc -c; head -c 3 /dev/zero | wc -c; "
                     "echo x >/dev/null && ls /dev/tty /dev/ptmx /dev/full")
        check_equal(text, "4\n3\n/dev/full\n/dev/ptmx\n/dev/tty", "output")


@case("podman", "limits")
def limits(t):
    with t.line("--memory: more is killed, less is not"):
        with_limit = (*RUN, *WITH_PROBE, "--memory", "48m", "--memory-swap", "48m", IMAGE, "/probe", "alloc")
        check_equal(t.out(*with_limit, "20"), "touched", "20 MiB of 48")
        check_equal(t.call(*with_limit, "96").code, 137, "exit code for 96 MiB of 48")
    with t.line("--pids-limit"):
        count = t.out(*RUN, *WITH_PROBE, "--pids-limit", "12", IMAGE, "/probe", "forks", "40")
        check(5 <= int(count.split()[-1]) <= 12, f"children that could be made: {count}")
    with t.line("--cpus"):
        # Long enough for several periods of the scheduler's; emulated loops are slow.
        spin = f"i=0; while [ $i -lt {15000 if t.ours else 300000} ]; do i=$((i + 1)); done"
        done = t.ok(*RUN, "--cpus", "0.2", IMAGE, "sh", "-c", f"time -p sh -c '{spin}'")
        found = dict(line.split() for line in done.errors.strip().split("\n") if len(line.split()) == 2)
        used = float(found["user"]) + float(found["sys"])
        check(used < 0.45 * float(found["real"]), f"0.2 CPUs, but {found}")
