# SPDX-License-Identifier: Apache-2.0
"""docker: networks, published ports, names."""
import json
import re
import urllib.error
import urllib.request

from cases import case, run
from docker import IMAGE, NGINX, Docker
from harness import check, check_equal, check_in, wait_until

SERVE = ("sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www")
# Of the image, see tests/images/make-images.
PAGE = "the page of the tests\n"
# What wrk is given, in seconds: enough for thousands of requests under emulation.
LOAD_S = 3


def address(t, name, network="bridge", what="IPAddress"):
    return t.out("inspect", "-f", "{{(index .NetworkSettings.Networks \"%s\").%s}}" % (network, what), name)


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""


def served(url, want):
    wait_until(lambda: fetch(url) == want, f"{url} answers {want!r}")


@case("docker", "network: the default bridge")
def bridge(t):
    t.ok("run", "-d", "--name", "jar", "--hostname", "jar", "-p", "8080:80", "-p", "127.0.0.1:8081:80/tcp", IMAGE, *SERVE)
    ip = address(t, "jar")
    inside = t.out("exec", "jar", "sh", "-c", "ip -4 -o addr show eth0; ip route; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu")
    with t.line("eth0 has the address, MAC, MTU and routes that docker gave it"):
        check_in(f"inet {ip}/16 ", inside, "addresses")
        check_in(address(t, "jar", what="MacAddress") + "\n1500", inside, "MAC and MTU")
        check_in(f"default via {address(t, 'jar', what='Gateway')} dev eth0", inside, "routes")
    with t.line("-p: published ports answer, at the addresses they were published for"):
        served("http://127.0.0.1:8080/", "jar\n")
        served("http://127.0.0.1:8081/", "jar\n")
        served(f"http://{ip}/", "jar\n")
        gateway = address(t, "jar", what="Gateway")
        check_equal(fetch(f"http://{gateway}:8080/"), "jar\n", "by the bridge's address")
        check_equal(fetch(f"http://{gateway}:8081/"), "", "a port of 127.0.0.1 alone")
    with t.line("port"):
        check_in("80/tcp -> 0.0.0.0:8080", t.out("port", "jar"), "port")
    with t.line("a second container reaches the first by its address; ping"):
        out = t.out("run", "--rm", IMAGE, "sh", "-c", f"wget -qO- http://{ip}/; ping -c 2 -q {ip}")
        check_equal(out.split("\n")[0], "jar", "served")
        check_in("2 packets received, 0% packet loss", out, "ping")
    with t.line("--network container: has the same card and loopback"):
        out = t.out("run", "--rm", "--network", "container:jar", IMAGE, "sh", "-c",
                    "wget -qO- http://127.0.0.1/; ip -4 -o addr show eth0")
        check_equal(out.split("\n")[0], "jar", "served")
        check_in(ip, out, "address")
    with t.line("restart: the card comes back, ports too"):
        t.ok("restart", "-t", "0", "jar")
        served("http://127.0.0.1:8080/", "jar\n")
    with t.line("stop takes the ports away"):
        t.ok("rm", "-f", "jar")
        check_equal(fetch("http://127.0.0.1:8080/"), "", "nobody there")


@case("docker", "network: of the user's own, names")
def named(t):
    t.ok("network", "create", "--subnet", "10.77.0.0/24", "clay")
    t.ok("network", "create", "kiln")
    with t.line("network create, --ip, --network-alias"):
        t.ok("run", "-d", "--name", "one", "--hostname", "one", "--network", "clay", "--ip", "10.77.0.77",
             "--network-alias", "alias", IMAGE, *SERVE)
        check_in("10.77.0.77/24", t.out("exec", "one", "ip", "addr", "show", "eth0"), "address")
    with t.line("two containers find each other by name, by alias, and both ways"):
        t.ok("run", "-d", "--name", "two", "--hostname", "two", "--network", "clay", IMAGE, *SERVE)
        wait_until(lambda: t.call("exec", "two", "wget", "-qO-", "http://one/").text == "one\n", "one answers two")
        check_equal(t.out("exec", "two", "wget", "-qO-", "http://alias/"), "one", "by alias")
        wait_until(lambda: t.call("exec", "one", "wget", "-qO-", "http://two/").text == "two\n", "two answers one")
    with t.line("network connect before start: two cards"):
        t.ok("create", "--name", "three", "--network", "clay", IMAGE, *SERVE)
        t.ok("network", "connect", "kiln", "three")
        t.ok("start", "three")
        cards = set(re.findall(r"inet (\S+?)/", t.out("exec", "three", "ip", "-4", "addr")))
        check_equal(cards, {"127.0.0.1", address(t, "three", "clay"), address(t, "three", "kiln")}, "addresses")
        check_equal(t.out("exec", "three", "wget", "-qO-", "http://one/"), "one", "one by name")
    with t.line("other networks are out of reach"):
        t.ok("run", "-d", "--name", "four", "--network", "kiln", IMAGE, *SERVE)
        check(t.call("exec", "four", "timeout", "2", "wget", "-qO-", "http://10.77.0.77/").code != 0, "reached")
    with t.line("network connect to one that runs, and disconnect"):
        t.ok("network", "connect", "clay", "four")
        wait_until(lambda: t.call("exec", "four", "timeout", "2", "wget", "-qO-", "http://one/").text == "one\n",
                   "one answers four", 20)
        t.ok("network", "disconnect", "clay", "four")
        wait_until(lambda: "10.77.0." not in t.out("exec", "four", "ip", "addr"), "the card has gone")
    with t.line("--dns, --add-host"):
        out = t.out("run", "--rm", "--dns", "192.0.2.9", "--add-host", "far:192.0.2.7", IMAGE, "cat",
                    "/etc/resolv.conf", "/etc/hosts")
        check_in("192.0.2.9", out, "resolv.conf")
        check_in("192.0.2.7\tfar", out, "hosts")


@case("docker", "network: IPv6, links, hardware addresses")
def others(t):
    t.ok("network", "create", "--ipv6", "--subnet", "fd00:77::/64", "six")
    t.ok("run", "-d", "--name", "jar", "--network", "six", IMAGE, *SERVE)
    six = address(t, "jar", "six", "GlobalIPv6Address")
    with t.line("IPv6 from the host and from another container"):
        served(f"http://[{six}]/", t.out("exec", "jar", "hostname") + "\n")
        check_in("1 packets received", t.out("run", "--rm", "--network", "six", IMAGE, "ping6", "-c", "1", "-q", six), "ping6")
    with t.line("-P publishes what is exposed; --mac-address"):
        t.ok("run", "-d", "--name", "auto", "-P", "--expose", "80", "--mac-address", "02:42:aa:bb:cc:dd", IMAGE, *SERVE)
        served("http://" + t.out("port", "auto", "80").split("\n")[0] + "/", t.out("exec", "auto", "hostname") + "\n")
        check_equal(t.out("exec", "auto", "cat", "/sys/class/net/eth0/address"), "02:42:aa:bb:cc:dd", "address")
    with t.line("--link"):
        out = t.out("run", "--rm", "--link", "auto:buddy", IMAGE, "ping", "-c", "1", "-q", "buddy")
        check_in("1 packets received", out, "ping")


@case("docker", "network: more cards than there are places", runtimes=("onggi",))
def too_many(t):
    t.ok("create", "--name", "jar", IMAGE, *SERVE)
    for i in range(9):
        t.ok("network", "create", "--subnet", f"10.88.{i}.0/24", f"clay{i}")
        t.ok("network", "connect", f"clay{i}", "jar")
    with t.line("start fails with the reason, and the container has ended"):
        done = t.call("start", "jar")
        check(done.code != 0, "started")
        check_in("network", done.errors, "message")
        check_equal(t.out("inspect", "-f", "{{.State.Running}} {{.State.Pid}}", "jar"), "false 0", "state")
    with t.line("with fewer networks it starts"):
        for i in range(3, 9):
            t.ok("network", "disconnect", f"clay{i}", "jar")
        t.ok("start", "jar")
        check_equal(t.out("exec", "jar", "ip", "-4", "addr").count("inet "), 5, "addresses")


@case("docker", "network: nginx under load")
def nginx(t):
    Docker.load_image(NGINX)
    t.ok("run", "-d", "--name", "web", "-p", "8090:80", NGINX)
    wait_until(lambda: fetch("http://127.0.0.1:8090/") == PAGE, "nginx answers")
    with t.line("wrk through the published port: no error"):
        done = run(["wrk", "-t1", "-c8", f"-d{LOAD_S}s", "http://127.0.0.1:8090/"])
        check_equal(done.code, 0, f"wrk: {done!r}")
        requests = int(re.search(r"(\d+) requests in", done.text).group(1))
        check(requests > 100, f"{requests} requests only")
        check("Non-2xx" not in done.text and "Socket errors" not in done.text, done.text)
        print(f"# {t.runtime}: {requests / LOAD_S:.0f} requests/s")
    with t.line("its log has come out"):
        wait_until(lambda: "GET / HTTP" in t.ok("exec", "web", "tail", "-n", "1", "/var/log/nginx/access.log").text,
                   "a line of the access log", 10)


@case("docker", "network: docker-compose services by name")
def compose(t):
    t.path("docker-compose.yml", json.dumps({"version": "2.4", "services": {
        "web": {"image": IMAGE, "runtime": t.runtime, "hostname": "web", "command": list(SERVE), "ports": ["8070:80"]},
        "client": {"image": IMAGE, "runtime": t.runtime, "depends_on": ["web"],
                   "command": ["sh", "-c", "until wget -qO- http://web/; do sleep .2; done"]}}}))

    def call(*args):
        done = run(["/usr/bin/docker-compose", "-p", "pots", *args], cwd=t.dir)
        check_equal(done.code, 0, f"exit code of {args}: {done!r}")
        return done.text

    call("up", "-d")
    with t.line("one service finds the other by its name"):
        wait_until(lambda: "web\n" in call("logs", "--no-color", "client"), "the answer is in the log")
    with t.line("published port"):
        served("http://127.0.0.1:8070/", "web\n")
    call("down", "-t", "0")
