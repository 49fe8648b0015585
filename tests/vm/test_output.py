# SPDX-License-Identifier: Apache-2.0
"""Output is never lost: bursts, slow readers, big inputs, programs that exit at once."""
import os
import subprocess
import threading

from harness import Failure, PROBE, check, check_equal, claim

MEGABYTE = 1 << 20


def expected(size, seed):
    return subprocess.run([PROBE, "burst", str(size), str(seed)], stdout=subprocess.PIPE, check=True).stdout


@claim("100 MB written in a burst by a program that exits at once arrive to the byte")
def burst(box):
    size = 100 * 1000 * 1000
    process = box.popen("run", "-b", box.bundle(["probe", "burst", str(size), "3"]), "c1", stdin=subprocess.DEVNULL)
    check_equal(subprocess.run([PROBE, "sink", str(size), "3"], stdin=process.stdout, capture_output=True,
                               timeout=300).stdout, b"same\n", "comparison")
    check_equal(process.wait(timeout=120), 0, "exit code")


@claim("a slow reader gets every byte after the workload has long exited")
def slow_reader(box):
    import time
    size = 3 * MEGABYTE
    bundle = box.bundle(["probe", "burst", str(size), "5"])
    reader, writer = os.pipe()
    pidfile = os.path.join(box.dir, "pid")
    subprocess.run(box.argv("create", "-b", bundle, "--pid-file", pidfile, "c1"), env=box.env, stdout=writer,
                   stderr=writer, stdin=subprocess.DEVNULL, check=True)
    os.close(writer)
    box.ok("start", "c1")
    time.sleep(3)  # nothing is read meanwhile: the reader is slow
    data = bytearray()
    while chunk := os.read(reader, 65536):
        data += chunk
        time.sleep(0.01)
    os.close(reader)
    check(bytes(data) == expected(size, 5), f"{len(data)} of {size} bytes, or others")
    with open(pidfile) as f:
        check_equal(box.exit_of(int(f.read())), 0, "exit code")


@claim("a stuck reader of one container does not hold up another of the same VM")
def stuck_reader(box):
    reader, writer = os.pipe()
    pidfile = os.path.join(box.dir, "pid")
    subprocess.run(box.argv("create", "-b", box.bundle(["probe", "burst", str(64 * MEGABYTE), "5"]), "--pid-file", pidfile,
                            "c1"), env=box.env, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, check=True)
    os.close(writer)
    box.ok("start", "c1")
    check_equal(box.ok("exec", "c1", "echo", "through").text, "through\n", "an exec meanwhile")
    os.close(reader)


@claim("200 runs of a program that writes a known megabyte and exits at once: every byte, every time")
def two_hundred_runs(box):
    lanes, rounds = 2, 100
    bundles = [box.bundle(["probe", "burst", str(MEGABYTE), "0"]) for _ in range(lanes)]
    problems = []

    def lane(number):
        config = box.load(bundles[number])
        for seed in range(number, lanes * rounds, lanes):
            config["process"]["args"][3] = str(seed)
            box.save(bundles[number], config)
            try:
                got = box.ok("run", "-b", bundles[number], f"r{seed}").out
            except Failure as e:
                problems.append(f"run {seed}: {e}")
                return
            if got != expected(MEGABYTE, seed):
                problems.append(f"run {seed}: {len(got)} bytes, or others")

    threads = [threading.Thread(target=lane, args=(n,)) for n in range(lanes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check_equal(problems, [], "problems")


@claim("200 execs that write a known megabyte and exit at once: every byte, every time")
def two_hundred_execs(box):
    box.start(["sleep", "100000"])
    for seed in range(200):
        got = box.ok("exec", "c1", "probe", "burst", str(MEGABYTE), str(seed)).out
        check(got == expected(MEGABYTE, seed), f"exec {seed}: {len(got)} bytes, or others")


@claim("standard input of 20 MB arrives to the byte, with its end of file")
def big_input(box):
    size = 20 * MEGABYTE
    result = box.run(["probe", "sink", str(size), "11"], stdin=expected(size, 11))
    check_equal((result.code, result.text), (0, "same\n"), "comparison")


@claim("input that nobody reads does not hang the end")
def unread_input(box):
    check_equal(box.run(["true"], stdin=b"x" * MEGABYTE).code, 0, "exit code")


@claim("stdout and stderr stay apart and whole")
def two_streams(box):
    result = box.run_ok(["sh", "-c", "probe burst 300000 1 >&2 & probe burst 300000 2; wait"])
    check(result.out == expected(300000, 2), "stdout differs")
    check(result.err == expected(300000, 1), "stderr differs")


@claim("a reader that goes away ends the workload with SIGPIPE, as with runc")
def reader_gone(box):
    process = box.popen("run", "-b", box.bundle(["probe", "burst", str(400 * MEGABYTE), "1"]), "c1",
                        stdin=subprocess.DEVNULL)
    process.stdout.read(1000)
    process.stdout.close()
    code = process.wait(timeout=120)
    check(code != 0, "exit code 0 although nobody read")


@claim("output that finds no room is dropped and told at the end; the container goes on to its own exit code")
def no_room(box):
    bundle = box.bundle(["sh", "-c", "echo out; echo more; echo err >&2; exit 7"])
    with open("/dev/full", "wb") as full:
        done = subprocess.run(box.argv("run", "-b", bundle, "c1"), env=box.env, stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=90)
    check_equal(done.returncode, 7, f"exit code ({done.stderr!r})")
    check("err\n" in done.stderr, f"stderr: {done.stderr!r}")
    check_equal(done.stderr.count("9 bytes of the container's stdout could not be written: No space left on device"), 1,
                f"words about it in {done.stderr!r}")
