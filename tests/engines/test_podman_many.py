# SPDX-License-Identifier: Apache-2.0
"""podman run a hundred times, two at a time."""
from concurrent.futures import ThreadPoolExecutor

from cases import case
from harness import check_equal
from podman import IMAGE

RUNS = 100


@case("podman", "a hundred containers", runtimes=("onggi",))
def hundred(t):
    def one(number):
        done = t.call("run", "--rm", "--network", "none", "-i", IMAGE, "sh", "-c",
                      f"cat; seq {number} {number + 2000}; echo err {number} >&2; exit {number % 7}",
                      stdin=b"given\n" * number)
        want = "given\n" * number + "".join(f"{i}\n" for i in range(number, number + 2001))
        return number, (done.text == want, done.errors, done.code), (True, f"err {number}\n", number % 7)

    with ThreadPoolExecutor(2) as pool:
        for number, got, want in pool.map(one, range(RUNS)):
            with t.line(f"run {number}: output, errors and exit code are its own"):
                check_equal(got, want, "same output, errors, exit code")
    with t.line("no container is left"):
        check_equal(t.out("ps", "-aq"), "", "containers")
