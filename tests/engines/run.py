#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the engine tests: run.py [--list] [--only TEXT] [--runtime NAME] [--engine NAME] [--summary FILE] [FILE.py ...]

Needs root and the engines (.ci/packages-engines); everything runs in a private world (world.py). Each case runs with
onggi and with the engine's reference runtime. Prints one "ok" or "not ok" line for each claim and closes with
"N passed, N failed". --only chooses the cases whose names hold TEXT.
"""
import glob
import importlib.util
import os
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import world  # noqa: E402


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, text, problem, seconds):
        good = not problem
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"{'ok' if good else 'not ok'} {self.passed + self.failed} - {text} ({seconds:.1f} s)", flush=True)
        if problem:
            print("    " + problem.strip().replace("\n", "\n    "), flush=True)


def run_case(cases, one, engine, runtime, report):
    """The case's own lines, then one for the case as a whole: it ran to its end and left nothing."""
    prefix = f"{engine.name}, {runtime}: {one.text}"
    begin = time.monotonic()
    problems = []
    before = cases.snapshot()
    test = cases.Test(engine, runtime, prefix, report)
    try:
        one.function(test)
    except cases.Failure as e:
        problems.append(f"{cases.place_of(e)}: {e}")
    except Exception:
        problems.append(traceback.format_exc())
    try:
        test.close()
    except Exception:
        problems.append("cleaning up: " + traceback.format_exc())
    problems += cases.leaks(before, engine)
    report(f"{prefix}: done, nothing left behind", "\n".join(problems), time.monotonic() - begin)


def options(args):
    given = {"--only": "", "--runtime": "", "--engine": "", "--summary": "", "--list": False}
    files = []
    while args:
        word = args.pop(0)
        if word == "--list":
            given[word] = True
        elif word in given:
            given[word] = args.pop(0)
        else:
            files.append(os.path.abspath(word))
    return given, files


def main():
    world.enter()
    import cases
    given, files = options(sys.argv[1:])
    for path in files or sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    chosen = [c for c in cases.CASES if given["--only"] in c.text and given["--engine"] in c.engine]
    if given["--list"]:
        print("\n".join(f"{c.engine}: {c.text}" for c in chosen))
        return 0
    report = Report()
    cases.make_template()
    # An engine at a time: cases of the same one follow each other.
    for name in dict.fromkeys(c.engine for c in chosen):
        engine = cases.ENGINES[name]
        begin = time.monotonic()
        try:
            engine.start()
        except Exception:
            report(f"{name} starts", traceback.format_exc(), time.monotonic() - begin)
            continue
        report(f"{name} starts", None, time.monotonic() - begin)
        for one in (c for c in chosen if c.engine == name):
            for runtime in one.runtimes or ("onggi", engine.reference):
                if given["--runtime"] in runtime:
                    run_case(cases, one, engine, runtime, report)
        engine.stop()
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    if given["--summary"]:
        with open(given["--summary"], "w") as f:
            f.write(f"{report.passed} {report.failed}\n")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
