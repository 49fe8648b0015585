# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' interface: exec, attach, port-forward, logs."""
import os

from cases import case
from cri import CallError, Cri, Pod
from harness import check, check_equal, check_in, wait_until
from streams import STDERR, STDIN, STDOUT, Forward, Stream
from web import SERVE

ECHO = ("sh", "-c", "echo up; while read line; do echo \"got $line\"; done; echo over")


@case("cri", "exec sync")
def sync(t):
    with Pod(t.runtime, "sync") as pod:
        pod.container("one", "sleep", "1000", env={"COLOR": "celadon"})
        with t.line("both outputs and the exit code"):
            done = pod.exec("one", "sh", "-c", "echo out; echo err >&2; exit 9")
            check_equal((done.exit_code, done.stdout, done.stderr), (9, b"out\n", b"err\n"), "answer")
        with t.line("the container's environment"):
            check_equal(pod.sh("one", "echo $COLOR"), "celadon", "environment")
        with t.line("a megabyte of output, whole"):
            done = pod.exec("one", "sh", "-c", "yes 0123456 | head -c 1000000")
            check_equal((done.exit_code, done.stdout), (0, (b"0123456\n" * 125000)), "answer")
        with t.line("in time: nothing is cut"):
            check_equal(pod.exec("one", "true", timeout=100).exit_code, 0, "exit code")
        with t.line("not in time: an error, and the command has ended"):
            try:
                pod.exec("one", "sleep", "4321", timeout=1)
                check(False, "it has ended well")
            except CallError as e:
                check_equal(e.code, "DEADLINE_EXCEEDED", f"code ({e})")
            wait_until(lambda: "4321" not in pod.out("one", "ps", "-o", "args"), "the command has ended")
        with t.line("a command that is not there"):
            try:
                code = pod.exec("one", "/no/such/command").exit_code
            except CallError as e:
                check_in("no such file", e.details.lower(), "reason")
                code = 127
            check(code != 0, "it has ended well")
        with t.line("many, one after the other, leave nothing"):
            for i in range(20):
                check_equal(pod.exec("one", "sh", "-c", f"exit {i}").exit_code, i, "exit code")
            check_equal(pod.out("one", "ps", "-o", "args").count("sh -c"), 0, "shells that are left")


def exec_url(pod, name, *command, **streams):
    pb = pod.pb
    return Cri.client.Exec(pb.ExecRequest(container_id=pod.containers[name], cmd=command, stdout=True, **streams)).url


@case("cri", "exec and attach by streams")
def streaming(t):
    with Pod(t.runtime, "stream") as pod:
        pod.container("one", "sleep", "1000")
        with t.line("exec: both outputs, exit code"):
            with Stream(exec_url(pod, "one", "sh", "-c", "echo out; echo err >&2; exit 6", stderr=True)) as stream:
                code, status = stream.end()
                check_equal((code, stream.got.get(STDOUT), stream.got.get(STDERR)), (6, b"out\n", b"err\n"), f"result {status}")
        with t.line("exec: input"):
            with Stream(exec_url(pod, "one", "sh", "-c", "read a; echo got $a; read b; echo got $b; exit 2", stdin=True, stderr=True)) as stream:
                stream.send(STDIN, "first\n")
                stream.until(STDOUT, "got first\n")
                stream.send(STDIN, "second\n")
                check_equal((stream.end()[0], stream.got[STDOUT]), (2, b"got first\ngot second\n"), "result")
        with t.line("exec at a terminal: its size, input, exit code"):
            with Stream(exec_url(pod, "one", "sh", tty=True, stdin=True)) as stream:
                stream.resize(87, 23)
                stream.send(STDIN, "until stty size | grep -q '23 87'; do sleep .1; done; echo at''last; exit 4\n")
                stream.until(STDOUT, "atlast")
                check_equal(stream.end()[0], 4, "exit code")
        with t.line("exec at a terminal: it is told of each change of the size"):
            command = "trap 'stty size' WINCH; echo be''gun; while :; do sleep 1000 & wait $!; done"
            with Stream(exec_url(pod, "one", "sh", "-c", command, tty=True, stdin=True)) as stream:
                stream.until(STDOUT, "begun")
                for rows, columns in ((30, 100), (40, 120)):
                    stream.resize(columns, rows)
                    stream.until(STDOUT, f"{rows} {columns}")
                stream.send(STDIN, "\x03")
                check_equal(stream.end()[0], 130, "exit code after Ctrl-C")
        pod.container("asker", *ECHO, stdin=True)
        with t.line("attach: what is typed, what comes, the end"):
            pb = pod.pb
            url = Cri.client.Attach(pb.AttachRequest(container_id=pod.containers["asker"], stdin=True, stdout=True, stderr=True)).url
            with Stream(url) as stream:
                stream.send(STDIN, "this\n")
                stream.until(STDOUT, "got this\n")
                stream.send(STDIN, "that\n")
                stream.until(STDOUT, "got that\n")
            # Its input was for one who attaches: it has ended with him.
            check_equal(pod.ended("asker"), 0, "exit code")
            check_equal(pod.lines("asker"), ["up", "got this", "got that", "over"], "log")


def attach(pod, name, **options):
    pb = pod.pb
    return Stream(Cri.client.Attach(pb.AttachRequest(container_id=pod.containers[name], stdout=True, **options)).url)


@case("cri", "attach again and again")
def reattach(t):
    with Pod(t.runtime, "attach") as pod:
        pod.container("asker", *ECHO, stdin=True, stdin_once=False)
        with t.line("who leaves takes nothing along: the next one goes on"):
            for word in ("first", "second", "third"):
                with attach(pod, "asker", stdin=True, stderr=True) as stream:
                    stream.send(STDIN, f"{word}\n")
                    stream.until(STDOUT, f"got {word}\n")
            check_equal(pod.state("asker").state, pod.pb.CONTAINER_RUNNING, "state")
        with t.line("two at once hear the same"):
            with attach(pod, "asker", stdin=True) as one, attach(pod, "asker", stdin=True) as two:
                # Who hears this is attached; what was said before he was he does not hear.
                while "heard" not in str(two.got.get(STDOUT)):
                    one.send(STDIN, "heard\n")
                    if two.waits(.5):
                        check(two.receive(), f"the second has ended: {two.got}")
                one.send(STDIN, "both\n")
                for stream in (one, two):
                    stream.until(STDOUT, "got both\n")
        pod.container("shell", "sh", tty=True, stdin=True, stdin_once=False)
        with t.line("at a terminal: its size, and the end"):
            with attach(pod, "shell", stdin=True, tty=True) as stream:
                stream.resize(91, 29)
                stream.send(STDIN, "until stty size | grep '29 91'; do sleep .1; done; echo at''last\n")
                stream.until(STDOUT, "atlast")
            with attach(pod, "shell", stdin=True, tty=True) as stream:
                stream.send(STDIN, "exit 8\n")
                check_equal(pod.ended("shell"), 8, "exit code")


@case("cri", "logs")
def logs(t):
    with Pod(t.runtime, "logs") as pod:
        pod.container("one", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf last")
        with t.line("every line, in order, up to the last without an end"):
            check_equal(pod.ended("one"), 0, "exit code")
            wait_until(lambda: pod.lines("one")[-1:] == ["last"], "the last line")
            check_equal(pod.lines("one"), [f"line {i}" for i in range(20000)] + ["last"], "log")
        pod.container("two", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep .2; done")
        with t.line("a rotated log goes on in a new file"):
            pod.says("two", "line 2")
            path = os.path.join(pod.logs, "two_0.log")
            os.rename(path, path + ".1")
            Cri.client.ReopenContainerLog(pod.pb.ContainerId(id=pod.containers["two"]))
            wait_until(lambda: os.path.exists(path) and len(pod.lines("two")) > 1, "new lines")
            last = [line for line in open(path + ".1").read().splitlines()][-1].split()[-1]
            check_equal(pod.lines("two")[0], f"line {int(last) + 1}", "first line of the new file")


@case("cri", "port-forward")
def port_forward(t):
    with Pod(t.runtime, "forward") as pod:
        pod.container("server", *SERVE)
        pod.container("narrow", "sh", "-c", "mkdir /www; echo narrow >/www/index.html; exec httpd -f -p 127.0.0.1:8099 -h /www")
        for port in (80, 8099):
            wait_until(lambda: pod.exec("server", "wget", "-qO-", f"http://127.0.0.1:{port}/").exit_code == 0, "the service answers")
        url = Cri.client.PortForward(pod.pb.PortForwardRequest(pod_sandbox_id=pod.id, port=[80])).url
        with t.line("a service of all addresses"), Forward(url, 80) as connection:
            connection.send(0, "GET / HTTP/1.0\r\n\r\n")
            connection.until(0, "forward\n")
        url = Cri.client.PortForward(pod.pb.PortForwardRequest(pod_sandbox_id=pod.id, port=[8099])).url
        with t.line("a service of localhost alone"), Forward(url, 8099) as connection:
            connection.send(0, "GET / HTTP/1.0\r\n\r\n")
            connection.until(0, "narrow\n")
        url = Cri.client.PortForward(pod.pb.PortForwardRequest(pod_sandbox_id=pod.id, port=[8100])).url
        with t.line("a port where nobody listens is an error"), Forward(url, 8100) as connection:
            while connection.receive():
                pass
            check(connection.got.get(1), f"no error: {connection.got}")
