# SPDX-License-Identifier: Apache-2.0
"""containerd: output that goes to a file, or to a program that logs it."""
import os

from cases import case
from containerd import IMAGE, status
from harness import check, check_equal, check_in, wait_until

TALKER = ("sh", "-c", "echo out; echo err >&2; exit 3")
LOGGER = """#!/bin/sh
exec 5>&-
printf '%s|' "$@" "$CONTAINER_ID" "$CONTAINER_NAMESPACE" >FILE
cat <&3 >>FILE
cat <&4 >>FILE
echo end >>FILE
"""


def text_of(path):
    with open(path) as f:
        return f.read()


def ended(t, name):
    wait_until(lambda: status(t, name) == "STOPPED", f"{name} has stopped")
    t.call("task", "rm", name)
    t.ok("container", "rm", name)


@case("containerd", "loggers")
def loggers(t):
    with t.line("file: both outputs are appended, its folder is made"):
        path = os.path.join(t.dir, "new", "folder", "log")
        for _ in range(2):
            t.ok("run", "-d", "--log-uri", f"file://{path}", IMAGE, "filed", *TALKER)
            ended(t, "filed")
        check_equal(sorted(text_of(path).split()), ["err", "err", "out", "out"], "file")
    # runc's shim kills a logger that is not quick enough at the end.
    if t.ours:
        with t.line("binary: arguments, environment, both outputs, and the end of them"):
            path = t.path("logged")
            program = t.path("logger", LOGGER.replace("FILE", path))
            os.chmod(program, 0o755)
            t.ok("run", "-d", "--log-uri", f"binary://{program}?key=a%20value", IMAGE, "logged", *TALKER)
            ended(t, "logged")
            wait_until(lambda: os.path.exists(path) and text_of(path).endswith("end\n"), "the logger has ended")
            check_equal(text_of(path), "key|a value|logged|default|out\nerr\nend\n", "log")
        with t.line("a logger that is missing is named, a scheme that is not known too"):
            for name in ("binary:///no/such/logger", "carrier-pigeon:///x"):
                done = t.call("run", "-d", "--log-uri", name, IMAGE, "missing", "true")
                check(done.code != 0, "it runs")
                check_in(name.rpartition("//")[2].strip("/"), done.errors, "reason")
                t.call("container", "rm", "missing")
        with t.line("a logger that ends at once does not hold up the container"):
            program = t.path("short", "#!/bin/sh\nexit 0\n")
            os.chmod(program, 0o755)
            t.ok("run", "-d", "--log-uri", f"binary://{program}", IMAGE, "short", "sh", "-c", "yes | head -c 3000000; true")
            ended(t, "short")
