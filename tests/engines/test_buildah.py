# SPDX-License-Identifier: Apache-2.0
"""buildah and podman build: RUN steps happen in a VM."""
import os

from cases import case, run
from harness import check, check_equal, check_in
from podman import IMAGE

BUILT = "localhost/built"
CONTAINERFILE = f"""FROM {IMAGE} AS first
ARG CLAY=red
ENV GLAZE=blue
RUN uname -r >/kernel && echo "$CLAY $GLAZE" >/colours
RUN mkdir -p /data/deep && ln -s ../colours /data/link && chmod 4711 /data/deep && chown 12:34 /data/deep && rm /etc/os-release
COPY added /data/added
WORKDIR /data
USER nobody
RUN id -u >/tmp/who && pwd >>/tmp/who && cat added >>/tmp/who
FROM {IMAGE}
COPY --from=first /kernel /colours /tmp/who /
COPY --from=first /data /data
RUN ls -ln /data | awk '/deep/ {{ print $1, $3, $4 }}' >/listing
CMD ["cat", "/colours", "/who", "/listing"]
"""


def build_and_look(t, *command):
    t.path("Containerfile", CONTAINERFILE)
    t.path("added", "added by copy\n")
    t.mark_host()
    t.ok(*command, "--network", "none", "--build-arg", "CLAY=white", "-t", BUILT, ".")
    try:
        text = run(["podman", "--runtime", "crun", "run", "--rm", "--network", "none", BUILT]).text
        kernel = run(["podman", "--runtime", "crun", "run", "--rm", "--network", "none", BUILT, "cat", "/kernel"]).text
    finally:
        run(["podman", "rmi", "-f", BUILT])
    with t.line("RUN steps ran on another kernel than the host's"):
        check_equal(kernel.strip() != os.uname().release, t.ours, f"the kernel {kernel!r} differs")
    with t.line("ARG, ENV, WORKDIR, USER, COPY, a second stage"):
        check_in("white blue\n65534\n/data\nadded by copy\n", text, "files of the image")
    with t.line("modes and owners are in the image"):
        check_in("drws--x--x 12 34", text, "listing")


@case("buildah", "bud")
def bud(t):
    build_and_look(t, "bud", "--layers=false")


@case("podman", "build")
def build(t):
    build_and_look(t, "build", "--no-cache")


@case("buildah", "from, run, commit")
def by_hand(t):
    name = t.out("from", IMAGE)
    with t.line("run: output, exit code, a volume"):
        os.mkdir(t.path("data"))
        check_equal(t.out("run", "--network", "none", "-v", f"{t.dir}/data:/mnt", name, "sh", "-c",
                          "echo made >/mnt/file; echo made >/made; uname -r") != os.uname().release, t.ours, "kernel")
        check(os.path.exists(t.path("data/file")), "nothing in the volume")
        check_equal(t.call("run", "--network", "none", name, "sh", "-c", "exit 3").code, 3, "exit code")
    with t.line("run at a terminal"):
        terminal = t.terminal("run", "--network", "none", "-t", name, "sh", "-c", "sleep 0.3; tty; sleep 0.3")
        check_in("/dev/pts/", terminal.expect("/dev/pts/"), "terminal")
        check_equal(terminal.code(), 0, "exit code")
    with t.line("a RUN step that fails ends the build"):
        t.path("Containerfile", f"FROM {IMAGE}\nRUN exit 9\nRUN touch /never\n")
        done = t.call("bud", "--network", "none", ".")
        check(done.code != 0 and "exit status 9" in done.errors, f"{done!r}")
    with t.line("commit"):
        t.ok("commit", "-q", name, BUILT)
        check_equal(run(["podman", "run", "--rm", "--network", "none", BUILT, "cat", "/made"]).text, "made\n", "content")
        run(["podman", "rmi", "-f", BUILT])
