# SPDX-License-Identifier: Apache-2.0
"""A small server in a container, and clients on the host."""
import re
import urllib.error
import urllib.request

from cases import run
from harness import check, check_equal, wait_until

# Answers with its host name at port 80.
SERVE = ("sh", "-c", "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www")
# What nginx of the tests serves, see tests/images/make-images.
PAGE = "the page of the tests\n"
# What wrk is given, in seconds: enough for thousands of requests under emulation.
LOAD_S = 3


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""


def served(url, want):
    wait_until(lambda: fetch(url) == want, f"{url} answers {want!r}")


def load(url):
    """Requests per second by wrk; an error in any answer is a failure."""
    done = run(["wrk", "-t1", "-c8", f"-d{LOAD_S}s", url])
    check_equal(done.code, 0, f"wrk: {done!r}")
    requests = int(re.search(r"(\d+) requests in", done.text).group(1))
    check(requests > 100, f"{requests} requests only")
    check("Non-2xx" not in done.text and "Socket errors" not in done.text, done.text)
    return requests / LOAD_S
