# SPDX-License-Identifier: Apache-2.0
"""Cases of the engine tests: registration, what a case is given, and the leak check around each.

A case is a function registered with @case(engine, "what it is about"). It runs once for onggi and once for the engine's
reference runtime (crun for podman and buildah, runc for docker), so that a difference is a finding. Starting a VM takes
a second under emulation, so that one case looks at several lines, each with a name of its own:

    @case("podman", "environment")
    def environment(t):
        out = t.ok("run", "--rm", "-e", "A=1", IMAGE, "env").text
        with t.line("-e sets a variable"):
            check_in("A=1\n", out, "environment")
"""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import world

sys.path.insert(0, os.path.join(world.TOP, "tests", "vm"))
import harness  # noqa: E402
from harness import Failure, Result  # noqa: E402
from program import Program  # noqa: E402

PROBE = os.path.join(world.BUILD, "tests", "probe")

# A hang is a failure: no single command of a test may take longer, in seconds.
COMMAND_LIMIT = 300
# Folders of the runtimes: nothing may be left of a case there.
OUR_FOLDERS = ("/run/onggi", "/run/crun", "/run/runc", "/run/user", "/dev/shm")
# Kept on purpose: the saved machines that containers start from.
TEMPLATES = "/run/onggi/templates"

CASES = []
ENGINES = {}


class Case:
    def __init__(self, engine, text, function, runtimes):
        self.engine, self.text, self.function, self.runtimes = engine, text, function, runtimes


def case(engine, text, runtimes=None):
    """Register a case. @runtimes: onggi and the engine's reference runtime unless it says otherwise."""
    def register(function):
        CASES.append(Case(engine, text, function, runtimes))
        return function
    return register


def engine(cls):
    """Register an engine: a class with name, reference, start(), clean(), stop(), argv(runtime, args)."""
    ENGINES[cls.name] = cls
    return cls


def run(argv, stdin=b"", limit=COMMAND_LIMIT, **options):
    """One command to its end, output kept; a hang is a failure."""
    if stdin is not None:
        options["input"] = stdin
    try:
        return Result(subprocess.run(argv, capture_output=True, timeout=limit, **options))
    except subprocess.TimeoutExpired as e:
        raise Failure(f"'{' '.join(argv)}' took over {limit} s; stdout {e.stdout!r}; stderr {e.stderr!r}")


class Test:
    """What a case is given: the engine's command line with one runtime, a folder, and lines to report."""

    def __init__(self, engine, runtime, prefix, report):
        self.engine, self.runtime, self.prefix, self.report = engine, runtime, prefix, report
        self.dir = tempfile.mkdtemp(prefix="case-")
        self.started = []
        self.terminals = []

    @property
    def ours(self):
        return self.runtime == "onggi"

    @contextlib.contextmanager
    def line(self, text):
        """One claim: what fails inside of it is reported under its name, and the case goes on."""
        begin = time.monotonic()
        problem = None
        try:
            yield
        except Failure as e:
            problem = f"{place_of(e)}: {e}"
        except Exception:
            problem = traceback.format_exc()
        self.report(f"{self.prefix}: {text}", problem, time.monotonic() - begin)

    def path(self, name, text=None):
        """A file of the case's own, written if @text is given."""
        path = os.path.join(self.dir, name)
        if text is not None:
            with open(path, "w") as f:
                f.write(text)
        return path

    def call(self, *args, **options):
        return run(self.engine.argv(self.runtime, args), cwd=options.pop("cwd", self.dir), **options)

    def ok(self, *args, **options):
        result = self.call(*args, **options)
        if result.code != 0:
            raise Failure(f"'{self.engine.name} {' '.join(args)}' failed: {result!r}")
        return result

    def out(self, *args, **options):
        """Standard output of a command that must succeed, without the last line's end."""
        return self.ok(*args, **options).text.rstrip("\r\n")

    def popen(self, *args, **options):
        """A command that goes on; ended with the case."""
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        process = subprocess.Popen(self.engine.argv(self.runtime, args), cwd=self.dir, **options)
        self.started.append(process)
        return process

    def terminal(self, *args, columns=90, rows=33):
        """A command at a terminal of its own, which ends with the case at the latest."""
        terminal = Program(self.engine.argv(self.runtime, args), rows, columns, cwd=self.dir)
        self.terminals.append(terminal)
        return terminal

    def mark_host(self):
        """A process on the host whose command line must not be seen inside of a container: self.marker is in it."""
        self.marker = f"host-marker-{os.getpid()}"
        self.started.append(subprocess.Popen(["sh", "-c", "read line", self.marker], stdin=subprocess.PIPE))

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        for terminal in self.terminals:
            terminal.end()
        self.engine.clean(self.runtime)
        shutil.rmtree(self.dir, ignore_errors=True)


def place_of(error):
    where = traceback.extract_tb(error.__traceback__)
    helpers = ("harness.py", "cases.py", "contextlib.py")
    return next((f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(where)
                 if not f.filename.endswith(helpers)), "?")


def make_template():
    """So that no case meets the process that makes it when it is missing."""
    done = run([world.RUNTIME, "template", "create"])
    if done.code != 0:
        raise Failure(f"no template: {done!r}")


# ---- the leak check --------------------------------------------------------------------------------

def cgroups():
    found = []
    for top, folders, _ in os.walk(world.CGROUPS):
        found += [os.path.join(top, d) for d in folders]
    return sorted(found)


def snapshot():
    """As harness.snapshot, and every cgroup: the world is ours. Folders: only those of the runtimes."""
    now = harness.snapshot()
    now["cgroups"] = cgroups()
    now["sockets"] = [name for name in now["sockets"] if "onggi" in name]
    now["folders"] = sorted(path for top in OUR_FOLDERS for path in harness.tree(top)
                            if not path.startswith(TEMPLATES))
    return now


def leaks(before, engine):
    """A list of texts: what is there now and was not before, or the other way round. Empty if nothing."""
    end = time.monotonic() + harness.SETTLE_LIMIT
    while True:
        now = snapshot()
        found = []
        for kind, old in before.items():
            new = now[kind]
            texts = [f"{x} {new[x]}" if isinstance(new, dict) else x for x in new if x not in old]
            found += [f"leak: {kind}: left over: {text}" for text in texts if not engine.keeps(kind, text)]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)
