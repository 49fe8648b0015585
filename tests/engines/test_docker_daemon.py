# SPDX-License-Identifier: Apache-2.0
"""docker: the daemon comes and goes, the runtime as the default one, docker build."""
import contextlib
import os
import signal

import world
from cases import case
from docker import IMAGE, Docker
from harness import check, check_equal, check_in, kill_quietly, wait_until

NONE = ("--network", "none")
COUNTER = ("sh", "-c", "trap 'echo asked; exit 5' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep .2 & wait $!; done")


@contextlib.contextmanager
def daemon_with(**settings):
    """Another daemon.json, or another PATH of the daemon, for a while."""
    Docker.stop()
    Docker.start_daemon(**settings)
    try:
        yield
    finally:
        Docker.stop()
        Docker.start_daemon()


def goes_on(t, name, pid):
    """The container has lived through what was done, and can be used, and stopped."""
    wait_until(lambda: t.call("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name).text == f"{pid} true\n",
               "the daemon has found the container again", 30)
    check_equal(t.out("exec", name, "echo", "alive"), "alive", "exec")
    lines = t.out("logs", name).count("\n")
    wait_until(lambda: t.out("logs", name).count("\n") > lines, "its output is read again")


@case("docker", "live-restore")
def live_restore(t):
    name = "jar"
    t.ok("run", "-d", "--name", name, *NONE, IMAGE, *COUNTER)
    pid = t.out("inspect", "-f", "{{.State.Pid}}", name)
    with t.line("dockerd is killed and begins anew under a running container"):
        Docker.stop(signal.SIGKILL)
        check(os.path.exists(f"/proc/{pid}"), "the container has ended with the daemon")
        Docker.start_daemon()
        goes_on(t, name, pid)
    with t.line("containerd is killed under it, dockerd starts another"):
        kill_quietly(Docker.containerd())
        wait_until(lambda: t.call("exec", name, "true").code == 0, "exec works again")
        goes_on(t, name, pid)
    with t.line("dockerd is restarted in order"):
        Docker.stop()
        Docker.start_daemon()
        goes_on(t, name, pid)
    with t.line("what ended while nobody looked is known afterwards"):
        Docker.stop(signal.SIGKILL)
        os.kill(int(pid), signal.SIGTERM)
        Docker.start_daemon()
        wait_until(lambda: t.out("inspect", "-f", "{{.State.Status}}", name) == "exited", "it has exited")
        check_equal(t.out("inspect", "-f", "{{.State.ExitCode}}", name), "5", "exit code")
    with t.line("it can be started again, and stopped"):
        lines = t.out("logs", name).count("\n")
        t.ok("start", name)
        # It counts once it has set its trap.
        wait_until(lambda: t.out("logs", name).count("\n") > lines, "it counts again")
        t.ok("stop", name)
        check_equal(t.out("inspect", "-f", "{{.State.ExitCode}}", name), "5", "exit code")


@case("docker", "default runtime and docker build")
def build(t):
    t.path("Dockerfile", f"""FROM {IMAGE}
ARG WORD=none
ENV KEPT=$WORD
COPY file /file
RUN uname -r > /kernel && cat /file >> /kernel
RUN echo 'builder:x:1234:1234::/:/bin/sh' >> /etc/passwd && chmod 1777 /tmp
USER builder
WORKDIR /tmp
RUN id -u > id && echo $KEPT > word
CMD ["sh", "-c", "cat /kernel /tmp/word /tmp/id"]
""")
    t.path("file", "from the context\n")
    tag = f"built-{t.runtime}"
    with daemon_with(**{"default-runtime": t.runtime}):
        with t.line("the default runtime is used where none is named"):
            release = t.engine.run("run", "--rm", *NONE, IMAGE, "uname", "-r").text.strip()
            check_equal(release != os.uname().release, t.ours, "another kernel")
        with t.line("docker build: RUN steps execute with it, in a VM"):
            t.ok("build", "-q", "--no-cache", "--network", "none", "--build-arg", "WORD=given", "-t", tag, ".",
                 env=dict(os.environ, DOCKER_BUILDKIT="0"))
            out = t.engine.run("run", "--rm", *NONE, tag).text.split("\n")
            check_equal(out[:4], [release, "from the context", "given", "1234"], "what the built image says")
        with t.line("docker build: a step that fails has its exit code in the message"):
            t.path("Dockerfile.bad", f"FROM {IMAGE}\nRUN echo before; exit 7\n")
            done = t.call("build", "--no-cache", "--network", "none", "-f", "Dockerfile.bad", ".", env=dict(os.environ, DOCKER_BUILDKIT="0"))
            check(done.code != 0, "the build has succeeded")
            check_in("returned a non-zero code: 7", done.errors, "message")
        with t.line("docker build: another shell, many layers, from a layer of its own"):
            t.path("Dockerfile.two", f"""FROM {IMAGE} AS first
RUN for i in 1 2 3; do echo $i >> /made; done; chmod 4711 /made; ln -s made /link
FROM {IMAGE}
COPY --from=first /made /copied
SHELL ["/bin/sh", "-ec"]
RUN rm /etc/os-release; test -u /copied
RUN test ! -e /etc/os-release
""")
            t.ok("build", "-q", "--no-cache", "--network", "none", "-f", "Dockerfile.two", "-t", tag, ".",
                 env=dict(os.environ, DOCKER_BUILDKIT="0"))
            check_equal(t.engine.run("run", "--rm", *NONE, tag, "cat", "/copied").text, "1\n2\n3\n", "copied")
        t.ok("image", "prune", "-f")
        t.ok("rmi", tag)


@case("docker", "docker build with BuildKit")
def buildkit(t):
    """It runs the `runc` of dockerd's PATH, whatever the default runtime is."""
    t.path("Dockerfile", f"FROM {IMAGE}\nENV WORD=kept\nRUN uname -r > /kernel; id -u >> /kernel; echo $WORD >> /kernel\n")
    os.mkdir(t.path("programs"))
    os.symlink(world.RUNTIMES[t.runtime], t.path("programs/runc"))
    tag = f"kit-{t.runtime}"
    with daemon_with(first_in_path=t.path("programs")):
        with t.line("RUN steps execute in a VM when runc is a link to onggi-runtime"):
            t.ok("build", "-q", "--no-cache", "--network", "none", "-t", tag, ".", env=dict(os.environ, DOCKER_BUILDKIT="1"))
            out = t.out("run", "--rm", *NONE, tag, "cat", "/kernel").split("\n")
            check_equal(out[0] != os.uname().release, t.ours, f"another kernel than '{out[0]}'")
            check_equal(out[1:], ["0", "kept"], "what the step has written")
        with t.line("a step that fails stops the build, with its exit code in the message"):
            t.path("Dockerfile.bad", f"FROM {IMAGE}\nRUN echo before; exit 7\n")
            done = t.call("build", "--network", "none", "-f", "Dockerfile.bad", ".", env=dict(os.environ, DOCKER_BUILDKIT="1"))
            check(done.code != 0, "the build has succeeded")
            check_in("exit code: 7", done.errors, "message")
        t.ok("rmi", tag)
        t.ok("builder", "prune", "-af")


@case("docker", "user namespaces (userns-remap)")
def remap(t):
    for name, line in (("passwd", "jars:x:990:990::/:/bin/false"), ("group", "jars:x:990:"), ("subuid", "jars:100000:65536"),
                       ("subgid", "jars:100000:65536")):
        path = os.path.join("/etc", name)
        text = open(path).read() if os.path.exists(path) else ""
        if line not in text:
            world.write(path, text + line + "\n")
    with daemon_with(**{"userns-remap": "jars"}):
        Docker.load_image(IMAGE)
        with t.line("root of the container is an ordinary user, in the guest too"):
            out = t.out("run", "--rm", *NONE, IMAGE, "sh", "-c",
                        "id -u; awk '{print $1, $2, $3}' /proc/self/uid_map; touch /made && ls -ln /made | awk '{print $3}'")
            check_equal(out.split("\n"), ["0", "0 100000 65536", "0"], "inside")
        with t.line("files of volumes belong to the mapped user on the host"):
            t.ok("run", "--rm", *NONE, "-v", "vol:/v", IMAGE, "touch", "/v/made")
            place = t.out("volume", "inspect", "-f", "{{.Mountpoint}}", "vol")
            check_equal(os.stat(os.path.join(place, "made")).st_uid, 100000, "owner")
        with t.line("exec, -u, network"):
            t.ok("run", "-d", "--name", "jar", IMAGE, "sleep", "1000")
            check_equal(t.out("exec", "-u", "5", "jar", "id", "-u"), "5", "exec")
            check_in("inet 172.", t.out("exec", "jar", "ip", "addr", "show", "eth0"), "address")
        t.engine.clean(t.runtime)
