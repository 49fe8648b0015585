# SPDX-License-Identifier: Apache-2.0
"""containerd's own client: what a container prints, how it ends."""
from cases import case
from containerd import IMAGE
from harness import check, check_equal, check_in


@case("containerd", "run")
def run(t):
    with t.line("output and exit code"):
        done = t.call("run", "--rm", IMAGE, "one", "sh", "-c", "echo out; echo err >&2; exit 7")
        check_equal((done.code, done.text, done.errors), (7, "out\n", "err\n"), "result")
    # With runc both hang: ctr reads its input to the end before it can tell containerd of that.
    if t.ours:
        with t.line("standard input, to its end"):
            done = t.call("run", "--rm", IMAGE, "two", "wc", "-c", stdin=b"x" * 100000)
            check_equal(done.text.strip(), "100000", "bytes")
        with t.line("little standard input, which ends before the container starts"):
            check_equal(t.out("run", "--rm", IMAGE, "little", "cat", stdin=b"hello\n"), "hello", "output")
        with t.line("it is another kernel"):
            with open("/proc/sys/kernel/osrelease") as f:
                check(f.read().strip() not in t.out("run", "--rm", IMAGE, "three", "uname", "-r"), "the host's kernel")
    with t.line("a command that does not exist"):
        done = t.call("run", "--rm", IMAGE, "four", "/no/such/command")
        check(done.code != 0, "it has ended well")
        check_in("no such file or directory", done.errors.lower(), "error")
